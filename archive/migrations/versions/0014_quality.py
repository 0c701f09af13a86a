"""Developing the service: scorecards, samples of calls, and what was scored."""

from alembic import op

revision = "0014"
down_revision = "0013"

UP = """
-- A scorecard as it was when calls were scored by it; a change makes a new row.
create table scorecard (
    id uuid primary key,
    name text not null,
    criteria jsonb not null,            -- a list of texts, each scored 1 to 5
    by text not null,
    at timestamptz not null,
    retired_at timestamptz
);

-- A random sample of a line's calls; which calls, goes with them.
create table quality_sample (
    id uuid primary key,
    line text not null,
    from_day date not null,
    to_day date not null,
    by text not null,
    at timestamptz not null
);
create table quality_pick (
    sample_id uuid not null references quality_sample on delete cascade,
    place integer not null,
    recording_id uuid not null references recording on delete cascade,
    primary key (sample_id, place)
);
create index quality_pick_by_recording on quality_pick (recording_id);

-- Points and note are sealed under the recording's data key and go with it.
create table quality_score (
    recording_id uuid not null references recording on delete cascade,
    scorecard_id uuid not null references scorecard,
    by text not null,
    at timestamptz not null,
    sealed bytea not null,
    primary key (recording_id, scorecard_id, by)
);
"""

DOWN = "drop table quality_score, quality_pick, quality_sample, scorecard"


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them, and what was scored."""
    op.execute(DOWN)
