"""Notices and mails to people, and what a complaint case says and who works on it."""

from alembic import op

revision = "0006"
down_revision = "0005"

UP = """
alter table person add email text;      -- where notices are mailed to; null: on the pages alone

-- What somebody should know: ids, case numbers and days, never a name or a reason.
create table notice (
    id uuid primary key,
    person_id uuid not null references person on delete cascade,
    kind text not null,
    key text not null,                  -- what it is about; told once, or again another day
    case_number text,
    hold_id uuid,
    recording_id uuid,
    day date,
    until timestamptz,
    told_on date not null,
    made_at timestamptz not null,
    seen_at timestamptz,
    mail_due boolean not null default true,
    unique (person_id, key)
);
create index notice_unseen on notice (person_id) where seen_at is null;
create index notice_to_mail on notice (person_id) where mail_due;
create index notice_by_hold on notice (hold_id) where hold_id is not null;

-- Mails on their way. The address is the person's at the moment of sending.
create table outgoing_mail (
    id uuid primary key,
    person_id uuid not null references person on delete cascade,
    subject text not null,
    body text not null,
    made_at timestamptz not null,
    next_attempt_at timestamptz not null,
    attempts integer not null default 0,
    error_code text
);
create index outgoing_mail_due on outgoing_mail (next_attempt_at);

-- `about` (subject and customer) is sealed under the case's key, as are notes without a recording.
alter table complaint_case rename column subject to about;
alter table complaint_case add owner text;
alter table complaint_case add due_on date;
alter table complaint_case add closed_by text;
alter table complaint_case add close_requested_by text;
create index complaint_case_open on complaint_case (due_on) where closed_at is null;

-- A note or a mark. With a recording it is sealed under its data key and goes with it.
create table case_note (
    id uuid primary key,
    case_number text not null references complaint_case on delete cascade,
    recording_id uuid references recording on delete cascade,
    kind text not null check (kind in ('note', 'mark', 'closing', 'reopening', 'handing-over')),
    by text not null,
    at timestamptz not null,
    sealed bytea not null
);
create index case_note_by_case on case_note (case_number, at);
create index case_note_by_recording on case_note (recording_id) where recording_id is not null;
create index audit_by_case on audit_event (case_number, id) where case_number is not null;
"""

DOWN = """
drop index audit_by_case;
drop table case_note, outgoing_mail, notice;
drop index complaint_case_open;
alter table complaint_case drop close_requested_by;
alter table complaint_case drop closed_by;
alter table complaint_case drop due_on;
alter table complaint_case drop owner;
alter table complaint_case rename column about to subject;
alter table person drop email;
"""


def upgrade() -> None:
    """Makes the tables and columns."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them, and what was written there."""
    op.execute(DOWN)
