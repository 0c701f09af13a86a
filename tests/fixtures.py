"""Fixtures over the whole service: an archive, its application, and machines with tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine

from archive.app import create_app
from archive.archive import Archive
from archive.auth import People
from archive.config import Config
from archive.db import open_engine
from archive.keys import open_keys
from archive.model import Purpose, Scope
from archive.search import open_index
from archive.storage import open_store
from tests.clock import Clock
from tests.machine import Machine


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    engine = open_engine(config.database_url, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def archive(config: Config, engine: Engine, clock: Clock) -> Iterator[Archive]:
    """An empty archive over a database, a bucket and keys of its own."""
    keys, store = open_keys(config), open_store(config)
    index = open_index(config.home / "index", keys)

    def database_now(connection: Connection) -> datetime:
        return clock.witness

    yield Archive(
        config=config,
        engine=engine,
        store=store,
        keys=keys,
        index=index,
        now=clock,
        database_now=database_now,
        wait=lambda seconds: None,
    )
    index.close()
    store.close()


@pytest.fixture
def people(archive: Archive, engine: Engine, clock: Clock) -> People:
    return People(engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"))


@pytest.fixture
def app(archive: Archive, people: People) -> Flask:
    return create_app(archive, people)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def token_of(archive: Archive, people: People, app: Flask) -> Callable[..., Machine]:
    """Makes a machine with the given scopes."""

    def make(*scopes: Scope, purposes: tuple[Purpose, ...], **more: Any) -> Machine:
        token = people.create_token("test", scopes=scopes, purpose=purposes, **more)
        return Machine(archive, app.test_client(), {"Authorization": f"Bearer {token}"})

    return make


@pytest.fixture
def machine(token_of: Callable[..., Machine]) -> Machine:
    """Delivers for `pbx`, searches, opens for verification, erases."""
    return token_of(
        Scope.INGEST,
        Scope.SEARCH,
        Scope.OPEN,
        Scope.ERASE,
        purposes=(Purpose.VERIFICATION,),
        source="pbx",
    )


@pytest.fixture
def reader(token_of: Callable[..., Machine]) -> Machine:
    """Another session that searches and opens."""
    return token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.VERIFICATION,))


@pytest.fixture
def handler(token_of: Callable[..., Machine]) -> Machine:
    """Opens for complaints."""
    return token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.COMPLAINT,))


@pytest.fixture
def one_line(token_of: Callable[..., Machine]) -> Machine:
    """Sees the line `viat` alone."""
    return token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.VERIFICATION,), lines=["viat"])
