"""Evidence packages of complaint cases: what is being built, and where it lies."""

from alembic import op

revision = "0012"
down_revision = "0011"

UP = """
create table evidence (
    id uuid primary key,
    case_number text not null references complaint_case (number),
    state text not null check (state in ('waiting', 'building', 'ready', 'failed', 'ending')),
    language text not null,
    asked_by text not null,              -- an actor's id
    asked_at timestamptz not null,
    masked_originals boolean not null,   -- also originals of calls with silenced stretches
    claimed_by integer,                  -- the worker's number, as of recordings
    attempts integer not null default 0,
    next_attempt_at timestamptz not null,
    done_bytes bigint not null default 0,
    all_bytes bigint not null default 0,
    object_key text,                     -- named before anything is written there
    object_version text,
    object_bytes bigint,
    header_bytes integer,
    bytes bigint,
    version integer,
    wrapped_key bytea,                   -- opens with its own key and those of its recordings only
    with_pdf boolean,
    reason text,                         -- why it failed, or why it ends
    ready_at timestamptz,
    expires_at timestamptz not null
);
create index evidence_of_case on evidence (case_number);

-- No reference to recording on purpose: that one is missing is what ends a package.
create table evidence_recording (
    evidence_id uuid not null references evidence (id) on delete cascade,
    recording_id uuid not null,
    primary key (evidence_id, recording_id)
);
create index evidence_with_recording on evidence_recording (recording_id);
"""

DOWN = """
drop table evidence_recording, evidence;
"""


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops the tables."""
    op.execute(DOWN)
