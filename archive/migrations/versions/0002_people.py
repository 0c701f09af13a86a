"""People, sessions, machine tokens, login throttling, kept searches."""

from alembic import op

revision = "0002"
down_revision = "0001"

UP = """
-- People, their sessions, machine tokens. Nothing here opens anything by itself: tokens are
-- stored as SHA-256 digests, passwords as argon2id, searches sealed under "installation/pages".

create table person (
    id uuid primary key,
    name text not null,
    "group" text not null,
    password_hash text not null,        -- empty: one-time logins only
    lines text[],                       -- null: every line of the group
    created_at timestamptz not null,
    disabled_at timestamptz
);
create unique index person_by_name on person (lower(name));

create table session (
    token_digest bytea primary key,
    person_id uuid not null references person on delete cascade,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    csrf text not null,
    language text
);
create index session_by_seen on session (seen_at);
create index session_by_person on session (person_id);

create table machine_token (
    token_digest bytea primary key,
    id uuid not null unique,
    name text not null,
    scopes text[] not null,
    source text,                        -- null: any; required where scopes hold 'ingest'
    lines text[],                       -- null: every line
    purposes text[] not null,           -- it may open for these
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);

create table login_attempt (
    key bytea not null,                 -- keyed digest of a name or of an address, never either
    at timestamptz not null
);
create index login_attempt_by_key on login_attempt (key, at);
create index login_attempt_by_time on login_attempt (at);

create table one_time_login (
    token_digest bytea primary key,
    person_id uuid not null references person on delete cascade,
    expires_at timestamptz not null,
    used_at timestamptz
);

create table kept_view (
    token text primary key,
    session_digest bytea not null references session on delete cascade,
    sealed bytea not null,
    created_at timestamptz not null
);
create index kept_view_by_session on kept_view (session_digest);
"""

DOWN = "drop table kept_view, one_time_login, login_attempt, machine_token, session, person"


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops the tables."""
    op.execute(DOWN)
