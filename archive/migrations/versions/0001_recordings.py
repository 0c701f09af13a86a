"""Recordings, their queue, openings, cases, expiry runs, audit.

Nothing personal is readable here: descriptors and descriptions are sealed, references are
keyed digests.
"""

from alembic import op

revision = "0001"
down_revision = None

UP = """
create table installation (
    name text primary key,
    value text not null
);

create table cohort (
    day date primary key,
    closed_at timestamptz
);

create table recording (
    id uuid primary key,
    kind text not null check (kind in ('call', 'email')),
    state text not null default 'received' check (state in
        ('received', 'described', 'indexed', 'describe-failed', 'index-failed')),
    source text not null,
    line text not null,
    direction text not null check (direction in ('inbound', 'outbound', 'internal')),
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    expires_at timestamptz not null,
    cohort date not null references cohort,
    bytes bigint not null,
    object_key text not null unique,
    object_version text,
    object_bytes bigint not null,
    header_bytes integer not null,
    envelope_seq integer not null default 1,
    envelope_key text,
    reference bytea not null unique,
    wrapped_key bytea not null,
    descriptor bytea not null,
    description bytea,
    index_due boolean not null default true,
    index_month text,
    index_attempts integer not null default 0,
    index_next_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    claimed_by integer,
    error_code text
);
create index recording_by_time on recording (occurred_at desc, id desc);
create index recording_by_expiry on recording (expires_at);
create index recording_by_cohort on recording (cohort);
create index recording_to_index on recording (index_next_at) where index_due;
create index recording_to_describe on recording (next_attempt_at) where state = 'received';
create index recording_claimed on recording (claimed_by) where claimed_by is not null;

create table rendition (
    recording_id uuid not null references recording on delete cascade,
    name text not null,
    version integer not null,
    object_key text not null unique,
    object_version text,
    object_bytes bigint not null,
    header_bytes integer not null,
    bytes bigint not null,
    media_type text not null,
    primary key (recording_id, name)
);

create table erased_reference (
    reference bytea primary key,
    until timestamptz not null
);

create table refusal (
    day date not null,
    source text not null,
    reason text not null,
    n bigint not null default 0,
    last_at timestamptz not null,
    primary key (day, source, reason)
);

create table complaint_case (
    number text primary key,
    subject bytea,
    opened_by text not null,
    opened_at timestamptz not null,
    closed_at timestamptz
);
create table case_recording (
    case_number text not null references complaint_case,
    recording_id uuid not null references recording on delete cascade,
    added_by text not null,
    added_at timestamptz not null,
    primary key (case_number, recording_id)
);

create table opening (
    token_digest bytea primary key,
    session bytea not null,
    recording_id uuid not null references recording on delete cascade,
    rendition text not null,
    purpose text not null,
    case_number text,
    actor_id text not null,
    made_at timestamptz not null,
    until timestamptz not null,
    bytes_served bigint not null default 0,
    closed boolean not null default false
);
create index opening_by_until on opening (until) where not closed;

create table expiry_run (
    run uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    certificate jsonb
);
create table expired (
    id uuid primary key,
    cohort date not null,
    run uuid not null references expiry_run,
    reason text not null
);
create index expired_by_run on expired (run);
create index expired_by_cohort on expired (cohort);

create table audit_event (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    actor_id text not null,
    actor_kind text not null,
    verb text not null,
    recording_id uuid,
    purpose text,
    case_number text,
    detail jsonb not null default '{}',
    chain_no bigint unique,
    hash bytea
);
create index audit_unchained on audit_event (id) where chain_no is null;
create index audit_by_recording on audit_event (recording_id, at);
create index audit_by_actor on audit_event (actor_id, at);
create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.chain_no is null and new.chain_no is not null
       and (new.id, new.at, new.actor_id, new.actor_kind, new.verb, new.detail)
           = (old.id, old.at, old.actor_id, old.actor_kind, old.verb, old.detail)
       and new.recording_id is not distinct from old.recording_id
       and new.purpose is not distinct from old.purpose
       and new.case_number is not distinct from old.case_number then
        return new;
    end if;
    raise exception 'the audit log is append-only';
end $$;
create trigger audit_append_only before update or delete on audit_event
    for each row execute function audit_is_append_only();
"""

DOWN = """
drop table audit_event;
drop function audit_is_append_only;
drop table expired, expiry_run, opening, case_recording, complaint_case, refusal,
    erased_reference, rendition, recording, cohort, installation;
"""


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops the tables."""
    op.execute(DOWN)
