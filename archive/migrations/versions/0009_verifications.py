"""What verifying a contact came to."""

from alembic import op

revision = "0009"
down_revision = "0008"

UP = """
-- What a person found when a customer's word was checked. `sealed` (the note, what was asked) is
-- sealed under the recording's data key and goes with it; without a recording under the key of
-- `cohort`, the day on which a contact of the same moment ends.
create table verification (
    id uuid primary key,
    reference text not null unique,     -- random; what is printed or copied
    recording_id uuid references recording on delete cascade,
    cohort date not null,
    outcome text not null check (outcome in ('confirmed', 'different', 'not-found')),
    by text not null,
    at timestamptz not null,
    undone_at timestamptz,
    sealed bytea                        -- null once undone
);
create index verification_by_recording on verification (recording_id)
    where recording_id is not null;
create index verification_by_cohort on verification (cohort) where recording_id is null;
"""

DOWN = "drop table verification"


def upgrade() -> None:
    """Makes the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drops it, and what was recorded there."""
    op.execute(DOWN)
