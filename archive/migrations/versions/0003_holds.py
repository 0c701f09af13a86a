"""Holds and restrictions, and the mark that a recording's erasure has begun."""

from alembic import op

revision = "0003"
down_revision = "0002"

UP = """
alter table recording add restricted boolean not null default false;
alter table recording add erasing_at timestamptz;   -- set under the row's lock; never taken back

-- A hold for a complaint case (GDPR 17(3)(e)), or without a case a restriction (GDPR 18). Reason
-- and legal basis are in `terms`, sealed under the recording's data key. A row without durable_at
-- is one being placed: it keeps its day from being destroyed, and is carried through by the run.
create table hold (
    id uuid primary key,
    recording_id uuid not null references recording on delete cascade,
    case_number text references complaint_case,
    key text not null unique,           -- name in the keys directory
    cohort date not null,               -- that the wrapping is bound to
    object_key text not null unique,    -- of its envelope
    owner text not null,
    review_on date,
    placed_at timestamptz not null,
    terms bytea not null,
    wrapped bytea,                      -- the data key under the hold's key
    durable_at timestamptz,             -- the envelope is in the store
    requested_by text,                  -- who asked for the release that another confirms
    released_at timestamptz,
    ends_at timestamptz,                -- the end of the grace period
    check ((wrapped is null) = (durable_at is null)),
    check ((released_at is null) = (ends_at is null))
);
create index hold_by_recording on hold (recording_id);
create index hold_by_case on hold (case_number);
"""

DOWN = """
drop table hold;
alter table recording drop erasing_at;
alter table recording drop restricted;
"""


def upgrade() -> None:
    """Makes the table and the marks."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them: what was held past its year is then due at the next run."""
    op.execute(DOWN)
