"""Second factors, recovery codes, what a session has proved, and the accepted commitment."""

from alembic import op

revision = "0015"
down_revision = "0014"

UP = """
alter table person add agreed_to text;          -- version of the confidentiality commitment
alter table person add agreed_at timestamptz;

alter table session add id uuid not null unique default gen_random_uuid();
alter table session add code_due boolean not null default false;   -- the second factor is lacking
alter table session add proved_at timestamptz;  -- password, code or one-time login, last time

-- The shared secret of a person's app, sealed. Not yet confirmed: it proves nothing so far.
create table second_factor (
    person_id uuid primary key references person on delete cascade,
    secret bytea not null,
    made_at timestamptz not null,
    confirmed_at timestamptz,
    last_step bigint not null default 0         -- of the newest code that was taken: none twice
);
create table recovery_code (
    digest bytea primary key,
    person_id uuid not null references person on delete cascade
);
create index recovery_code_by_person on recovery_code (person_id);
"""

DOWN = """
drop table recovery_code, second_factor;
alter table session drop proved_at, drop code_due, drop id;
alter table person drop agreed_at, drop agreed_to;
"""


def upgrade() -> None:
    """Makes the tables and columns."""
    op.execute(UP)


def downgrade() -> None:
    """Drops them: passwords alone let people in again."""
    op.execute(DOWN)
