"""People whom an identity provider knows."""

from alembic import op

revision = "0017"
down_revision = "0016"

UP = """
-- Who a person is at the identity provider: a keyed digest of issuer and subject, nothing else.
create table identity (
    key bytea primary key,
    person_id uuid not null unique references person on delete cascade,
    made_at timestamptz not null
);
alter table session add strong boolean not null default false;  -- a second factor, shown elsewhere
"""

DOWN = """
alter table session drop strong;
drop table identity;
"""


def upgrade() -> None:
    """Makes the tables and columns."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them: people of the provider come in no longer."""
    op.execute(DOWN)
