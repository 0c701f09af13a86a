"""Sources: how far a mail folder was read, what a source may deliver, what came again."""

from alembic import op

revision = "0007"
down_revision = "0006"

UP = """
create table mail_folder (              -- how far a folder of a mail server has been read
    source text not null,
    folder text not null,
    uidvalidity bigint not null,
    last_uid bigint not null,
    read_at timestamptz not null,
    primary key (source, folder)
);

create table source_line (              -- a source with rows here delivers for these lines alone
    source text not null,
    line text not null,
    added_by text not null,
    added_at timestamptz not null,
    primary key (source, line)
);

create table source_again (             -- deliveries of what was there already, by day (UTC)
    day date not null,
    source text not null,
    n bigint not null default 0,
    primary key (day, source)
);

-- rows are written in the order of arrival, so this costs next to nothing
create index recording_by_arrival on recording using brin (received_at);
"""

DOWN = """
drop index recording_by_arrival;
drop table source_again, source_line, mail_folder;
"""


def upgrade() -> None:
    """Makes the tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drops the tables."""
    op.execute(DOWN)
