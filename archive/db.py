"""The way to PostgreSQL: one engine a process, and the migrations.

Knows SQL connections and their failures, and nothing of what is in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg
from alembic import command
from alembic.config import Config as AlembicConfig
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from archive.errors import CatalogueUnavailable, DiskFull

MIGRATION_LOCK = 7_401_001  # pg_advisory_lock: one migration at a time
DATABASE_LOCK = 7_401_006  # taken in the database `postgres`: one makes a database at a time
SERVICE_ROLE = "archive_service"  # what the service logs in as, where the server has such a role
_AWAY = {"08", "57", "53"}  # classes: connection, operator intervention, resources
_DISK_FULL = {"53100", "58030"}  # SQLSTATE disk_full, io_error


def open_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine with a bounded pool. Bound values never reach a log or an exception text."""
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=False,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "application_name": "contact-archive"},
    )


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Turns a lost, refused or full database into CatalogueUnavailable or DiskFull.

    After a lost connection the pool is emptied, so that a restarted server is met afresh.
    Errors of the statement itself (a bug) pass through.
    """
    try:
        yield
    except PoolTimeout:
        raise CatalogueUnavailable() from None
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _DISK_FULL:
            raise DiskFull() from None
        if error.connection_invalidated or state is None or state[:2] in _AWAY:
            engine.dispose(close=False) if error.connection_invalidated else None
            raise CatalogueUnavailable() from None
        raise


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction; commits on leaving, rolls back on an exception."""
    with database_errors(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for single statements: each commits by itself."""
    with database_errors(engine), engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def alone(engine: Engine, lock: int) -> Iterator[Connection | None]:
    """For what one process at a time does, of all nodes: None where another one is at it.

    The lock is the session's: it ends with the connection, however that ends.
    """
    with engine.connect() as guard:
        got = guard.execute(text("select pg_try_advisory_lock(:k)"), {"k": lock}).scalar()
        guard.commit()
        if not got:
            yield None
            return
        try:
            yield guard
        finally:
            guard.rollback()
            guard.execute(text("select pg_advisory_unlock(:k)"), {"k": lock})
            guard.commit()


@contextmanager
def quick(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the same pool without SQLAlchemy's help, for intake's two statements.

    Each statement commits by itself. The help costs an email more than the database does.
    """
    try:
        with database_errors(engine):
            pooled = engine.raw_connection()
    except psycopg.Error:
        raise CatalogueUnavailable() from None
    connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
    try:
        connection.autocommit = True
        yield connection
        connection.autocommit = False
    except psycopg.Error as error:
        pooled.invalidate()
        state = error.sqlstate
        if state in _DISK_FULL:
            raise DiskFull() from None
        if state is None or state[:2] in _AWAY:
            engine.dispose(close=False)
            raise CatalogueUnavailable() from None
        raise
    finally:
        pooled.close()


def is_ready(engine: Engine) -> bool:
    """Whether the database answers a trivial question."""
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    except SQLAlchemyError:
        return False
    return True


def ensure_database(url: str) -> bool:
    """Makes the database where the server has none of that name; whether this call made it.

    CatalogueUnavailable where the server does not answer, or the role may not make databases.
    """
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if f'database "{_name(url)}" does not exist' not in str(error):
            raise CatalogueUnavailable() from None
    else:
        return False
    name = _name(url)
    known = "select from pg_database where datname = %s"
    try:
        with psycopg.connect(_beside(url, "postgres"), autocommit=True) as connection:
            # Two that make one at once disturb each other, also where their names differ.
            connection.execute("select pg_advisory_lock(%s)", (DATABASE_LOCK,))
            if connection.execute(known, (name,)).fetchone() is not None:
                return False
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except psycopg.Error:
        raise CatalogueUnavailable() from None
    return True


def _name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _beside(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def migrate(url: str, *, revision: str = "head") -> None:
    """Brings the schema to `revision`; waits for another process that is doing so.

    As the tables' owner. A server that has the role `archive_service` lets it in: to rows of every
    table, of the audit log to reading and adding alone.
    """

    def upgrade(config: AlembicConfig) -> None:
        command.upgrade(config, revision)
        _let_service_in(config.attributes["connection"])

    _with_alembic(url, upgrade)


def downgrade(url: str, *, revision: str) -> None:
    """Takes the schema back to `revision` ("base": nothing)."""
    _with_alembic(url, lambda config: command.downgrade(config, revision))


def _let_service_in(connection: Connection) -> None:
    role = connection.execute(
        text("select from pg_roles where rolname = :role"), {"role": SERVICE_ROLE}
    ).first()
    logged = connection.execute(text("select to_regclass('public.audit_event')")).scalar()
    if role is None or logged is None:
        return
    database = connection.execute(text("select quote_ident(current_database())")).scalar_one()
    for statement in (
        f"grant connect on database {database} to {SERVICE_ROLE}",
        f"grant usage on schema public to {SERVICE_ROLE}",
        f"grant select, insert, update, delete on all tables in schema public to {SERVICE_ROLE}",
        f"grant usage, select on all sequences in schema public to {SERVICE_ROLE}",
        f"revoke insert, update, delete on alembic_version from {SERVICE_ROLE}",
        # Entries are added and never changed, but for the place in the chain that each gets once.
        f"revoke update, delete on audit_event from {SERVICE_ROLE}",
        f"grant update (chain_no, hash) on audit_event to {SERVICE_ROLE}",
    ):
        connection.execute(text(statement))


def _with_alembic(url: str, action: Callable[[AlembicConfig], None]) -> None:
    engine = open_engine(url, pool_size=2)
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with database_errors(engine), engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:k)"), {"k": MIGRATION_LOCK})
            connection.commit()
            try:
                config.attributes["connection"] = connection
                action(config)
                connection.commit()
            finally:
                connection.execute(text("select pg_advisory_unlock(:k)"), {"k": MIGRATION_LOCK})
                connection.commit()
    finally:
        engine.dispose()
