"""Legs of one call, metadata before their recordings, what is to be looked at, and alerts."""

from alembic import op

revision = "0013"
down_revision = "0012"

UP = """
create table call_leg (                 -- which call a recording is a leg of
    recording_id uuid primary key references recording on delete cascade,
    call bytea not null                 -- source and call id, as a keyed digest
);
create index call_leg_by_call on call_leg (call);

create table awaiting (                 -- metadata whose recording has not come yet
    name bytea primary key,             -- the first reference it may come under, a keyed digest
    others bytea[] not null default '{}',
    id uuid not null,                   -- what the sealing is bound to
    source text not null,
    arrived_at timestamptz not null,
    cohort date not null,               -- the day whose key it is sealed under
    wrapped_key bytea not null,
    sealed bytea not null
);
create index awaiting_by_others on awaiting using gin (others);

create table review (                   -- why somebody should look at a recording
    recording_id uuid not null references recording on delete cascade,
    reason text not null,
    found_at timestamptz not null,
    settled_at timestamptz,
    settled_by text,
    primary key (recording_id, reason)
);
create table alert (                    -- what somebody should be told at once
    name text not null,
    "of" text not null,                 -- a source or a part, never a person
    began_at timestamptz not null,
    ended_at timestamptz,
    primary key (name, "of")
);

create table alert_message (            -- what a channel has yet to be told
    id uuid primary key,
    channel text not null,
    name text not null,
    "of" text not null,
    began_at timestamptz not null,
    ended_at timestamptz,
    made_at timestamptz not null,
    attempts int not null default 0,
    next_attempt_at timestamptz not null,
    error_code text
);
create index review_waiting on review (found_at) where settled_at is null;
"""

DOWN = """
drop table alert_message, alert, review, awaiting, call_leg;
"""


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them: legs are found again when recordings are described again."""
    op.execute(DOWN)
