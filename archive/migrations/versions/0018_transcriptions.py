"""Which calls the installation's own transcriber has heard, and which wait for it."""

from alembic import op

revision = "0018"
down_revision = "0017"

UP = """
create table transcription (
    recording_id uuid primary key references recording on delete cascade,
    playback_version integer not null,   -- of the rendition that is heard
    state text not null check (state in ('due', 'done', 'failed')),
    attempts integer not null default 0,
    next_at timestamptz not null,
    error_code text,
    made_version integer                 -- of the transcript made here; another is its sender's
);
create index transcription_due on transcription (next_at) where state = 'due';
"""

DOWN = "drop table transcription"


def upgrade() -> None:
    """Makes the table."""
    op.execute(UP)


def downgrade() -> None:
    """Drops it; transcripts that were made stay."""
    op.execute(DOWN)
