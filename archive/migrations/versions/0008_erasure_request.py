"""Early erasure by two people: who asked for it."""

from alembic import op

revision = "0008"
down_revision = "0007"

UP = """
create table erasure_request (          -- asked for by one person, not yet confirmed by another
    recording_id uuid primary key references recording on delete cascade,
    reason text not null,
    requested_by text not null,
    requested_at timestamptz not null
);
"""


def upgrade() -> None:
    """Makes the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drops it; what was asked for has to be asked for again."""
    op.execute("drop table erasure_request")
