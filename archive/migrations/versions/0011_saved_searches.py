"""Searches that people keep for themselves."""

from alembic import op

revision = "0011"
down_revision = "0010"

UP = """
create table saved_search (
    id uuid primary key,                -- random; the search's address
    person_id uuid not null references person on delete cascade,
    created_at timestamptz not null,
    used_at timestamptz not null,
    sealed bytea not null               -- its name and what is asked
);
create index saved_search_by_person on saved_search (person_id);
"""

DOWN = "drop table saved_search"


def upgrade() -> None:
    """Makes the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drops it: nobody's searches are kept any more."""
    op.execute(DOWN)
