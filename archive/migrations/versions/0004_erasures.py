"""Early erasures: what the write-once journal in the object store says, and whether it is there."""

from alembic import op

revision = "0004"
down_revision = "0003"

UP = """
create table erasure (
    id uuid primary key,                -- the recording's, which is gone
    at timestamptz not null,            -- gone from everything live
    reason text not null,
    until timestamptz not null,         -- the end of the year it would have had
    backups_until date not null,        -- gone from the last backup by the end of this day
    cohort date not null,
    reference bytea not null,           -- sealed under the day's key: unreadable from that night on
    entry_at timestamptz                -- the journal's entry is durable in the object store
);
create index erasure_by_time on erasure (at);
create index erasure_without_entry on erasure (id) where entry_at is null;
"""

DOWN = "drop table erasure"


def upgrade() -> None:
    """Makes the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drops it; the entries in the store stay."""
    op.execute(DOWN)
