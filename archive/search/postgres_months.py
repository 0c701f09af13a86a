"""The tables of the PostgreSQL index: one of contacts and one of words for each generation of a
month, and the register that says which generation counts.

A database of its own, made at first use, in no backup. Knows no keys and no questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

REWRITE_LOCK = 7_401_011  # pg_advisory_lock: one process rewrites
LOCK = 7_401_010  # pg_advisory_lock: one process makes the schema
FIRST_GENERATION = 1_000_001  # the other engine's keys have smaller numbers

Connection = psycopg.Connection[Any]

_SCHEMA = """
create table if not exists index_month (
    month text not null,
    generation bigint not null,
    state text not null check (state in ('current', 'new', 'gone')),
    removed boolean not null default false,
    analysers text[] not null default '{}',
    primary key (month, generation)
);
create unique index if not exists index_month_current on index_month (month)
    where state = 'current';
create table if not exists index_epoch (
    one boolean primary key default true,
    epoch bigint not null
);
insert into index_epoch (epoch) values (1) on conflict do nothing;
create sequence if not exists index_version;
"""
_TABLES = """
create table {documents} (
    id uuid primary key,
    at bigint not null,
    version bigint not null default nextval('index_version'),
    terms bigint[] not null,
    often bigint[] not null,
    times smallint[] not null
);
-- Beside their row, although they are long: of what many contacts say, row after row is looked at.
alter table {documents} alter column terms set storage main;
create index {by_time} on {documents} (at, id);
create index {by_term} on {documents} using gin (terms) with (fastupdate = off);
create table {words} (
    portion bigint generated always as identity primary key,
    kind text not null,
    name text not null,
    sealed bytea not null
);
"""


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """One generation of a month."""

    month: str
    generation: int

    @property
    def key_name(self) -> str:
        """Its key, as the keys directory calls it."""
        return f"index/{self.month}.{self.generation}"

    @property
    def documents(self) -> str:
        """Its table of contacts."""
        return f"document_{self.month.replace('-', '_')}_{self.generation}"

    @property
    def words(self) -> str:
        """Its table of words."""
        return f"words_{self.month.replace('-', '_')}_{self.generation}"


def make_schema(connection: Connection) -> None:
    """Makes the register where there is none."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute(_SCHEMA)


def epoch(connection: Connection) -> int:
    """Grows whenever the register changes."""
    row = connection.execute("select epoch from index_epoch").fetchone()
    return int(row[0]) if row else 0


def listed(connection: Connection, *states: str) -> list[Generation]:
    """Generations in these states, newest month first."""
    rows = connection.execute(
        "select month, generation from index_month where state = any(%s)"
        " order by month desc, generation desc",
        (list(states),),
    )
    return [Generation(str(month), int(generation)) for month, generation in rows]


def states(connection: Connection) -> dict[Generation, str]:
    """Every generation there is."""
    rows = connection.execute("select month, generation, state from index_month")
    return {Generation(str(m), int(generation)): str(state) for m, generation, state in rows}


@contextmanager
def rewriting(connection: Connection) -> Iterator[None]:
    """The only one that rewrites; ends with the session if its process is killed."""
    connection.execute("select pg_advisory_lock(%s)", (REWRITE_LOCK,))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (REWRITE_LOCK,))


def nobody_rewrites(connection: Connection) -> bool:
    """Whether no session, this one neither, is rewriting."""
    row = connection.execute(
        "select exists (select from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
        " and classid = %s and objid = %s)",
        (REWRITE_LOCK >> 32, REWRITE_LOCK & 0xFFFFFFFF),
    ).fetchone()
    return row is not None and not row[0]


def locked(connection: Connection, month: str) -> Generation | None:
    """The current generation, locked against other writers until the transaction ends."""
    for _ in range(100):
        row = connection.execute(
            "select generation from index_month where month = %s and state = 'current' for update",
            (month,),
        ).fetchone()
        if row is not None:
            return Generation(month, int(row[0]))
        # A writer that was waited for may have put another generation in its place.
        row = connection.execute(
            "select 1 from index_month where month = %s and state = 'current'", (month,)
        ).fetchone()
        if row is None:
            return None
    return None


def add(connection: Connection, generation: Generation, state: str) -> None:
    """Makes the tables of a generation and registers it."""
    connection.execute(
        "insert into index_month (month, generation, state) values (%s, %s, %s)",
        (generation.month, generation.generation, state),
    )
    names = {
        "documents": generation.documents,
        "words": generation.words,
        "by_time": f"{generation.documents}_by_time",
        "by_term": f"{generation.documents}_by_term",
    }
    made = sql.SQL(_TABLES).format(**{k: sql.Identifier(v) for k, v in names.items()})
    connection.execute(made)
    changed(connection)


def last_generation(connection: Connection, month: str) -> int:
    """The highest number that the month ever had here."""
    row = connection.execute(
        "select max(generation) from index_month where month = %s", (month,)
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else FIRST_GENERATION - 1


def set_state(connection: Connection, generation: Generation, state: str) -> None:
    """Moves a generation to another state."""
    connection.execute(
        "update index_month set state = %s where month = %s and generation = %s",
        (state, generation.month, generation.generation),
    )
    changed(connection)


def forget(connection: Connection, generation: Generation) -> None:
    """Drops the tables of a generation and takes it out of the register."""
    for name in (generation.documents, generation.words):
        connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(name)))
    connection.execute(
        "delete from index_month where month = %s and generation = %s",
        (generation.month, generation.generation),
    )
    changed(connection)


def changed(connection: Connection) -> None:
    """Tells readers that the register is another."""
    connection.execute("update index_epoch set epoch = epoch + 1")


def note(
    connection: Connection,
    generation: Generation,
    *,
    removed: bool | None = None,
    analysers: Sequence[str] = (),
) -> None:
    """Notes that documents were removed (or none any more), and what analysed those put."""
    connection.execute(
        """update index_month set removed = coalesce(%s, removed),
            analysers = (select coalesce(array_agg(distinct a order by a), '{}')
                from unnest(analysers || %s::text[]) as a)
        where month = %s and generation = %s
          and (removed is distinct from coalesce(%s, removed) or not analysers @> %s::text[])""",
        (
            removed,
            list(analysers),
            generation.month,
            generation.generation,
            removed,
            list(analysers),
        ),
    )
