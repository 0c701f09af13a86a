"""Which companies of the group a person sees."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds the column; empty: every company."""
    op.execute("alter table person add companies text[]")


def downgrade() -> None:
    """Drops it: whoever was narrowed to companies sees every one again."""
    op.execute("alter table person drop companies")
