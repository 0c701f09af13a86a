"""What each expiry run deleted, and what the store gave back of it."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the two figures to the runs."""
    op.execute("""
        alter table expiry_run add bytes_deleted bigint not null default 0;
        alter table expiry_run add bytes_reclaimed bigint;   -- null: the store sees to that itself
    """)


def downgrade() -> None:
    """Drops them."""
    op.execute("alter table expiry_run drop bytes_deleted, drop bytes_reclaimed")
