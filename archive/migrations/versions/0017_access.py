"""People whom an identity provider knows; recordings opened in an emergency."""

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

-- Accesses beyond somebody's rights, until somebody else has reviewed them. Reason and note are
-- sealed under the recording's data key and unreadable without it; the row outlives the recording.
create table emergency (
    id uuid primary key,
    by text not null,
    session bytea not null,                     -- digest of the session it is bound to
    recording_id uuid not null,
    begun_at timestamptz not null,
    until timestamptz not null,
    reason bytea not null,
    reviewed_by text,
    reviewed_at timestamptz,
    outcome text,
    note bytea
);
create index emergency_waiting on emergency (begun_at) where reviewed_at is null;
create index emergency_by_recording on emergency (recording_id, by);
"""

DOWN = """
drop table emergency;
alter table session drop strong;
drop table identity;
"""


def upgrade() -> None:
    """Makes the tables and columns."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them: people of the provider come in no longer."""
    op.execute(DOWN)
