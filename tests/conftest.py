"""What every test may ask for: the real parts, an empty database, an empty bucket, settings.

One embedded PostgreSQL and one SeaweedFS serve the whole session, in a home of their own; each
test gets a database cloned from a migrated one, and finds the bucket empty.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from archive.config import Config
from archive.db import SERVICE_ROLE, migrate
from archive.embedded import Parts
from archive.storage import Store, open_store
from tests.clock import Clock

pytest_plugins = ["tests.fixtures", "tests.root_keepers"]

TEMPLATE = "template_of_tests"
_numbers = itertools.count(1)


def _refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: whatever a test tries, it reaches this machine only."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if isinstance(host, str) and not _is_loopback(host):
        raise RuntimeError(f"a test wanted to reach {host}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def pytest_configure(config: pytest.Config) -> None:
    sys.addaudithook(_refuse_the_network)


# Files whose few tests take a minute and more: begun first, so that no worker is left alone with
# one of them at the end. (`make test` says --no-loadscope-reorder.)
LONGEST = (
    "test_marker", "test_destroyed_home", "test_accessibility", "test_holds_steps", "test_embedded",
    "test_survival", "test_adversary", "test_rebuild", "test_backup", "test_chaos",
    "test_bench_finding", "test_doors", "test_evidence", "test_player", "test_cases",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def parts() -> Iterator[Parts]:
    """The running parts; their home is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="archive-tests-"))
    try:
        with Parts(home, say=lambda words: None) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url(parts: Parts) -> str:
    """The database from which others are made and removed."""
    return parts.database_url.replace("/archive?", "/postgres?")


@pytest.fixture(scope="session")
def template(parts: Parts, server_url: str) -> str:
    """The name of an empty database with the newest schema."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    migrate(server_url.replace("/postgres?", f"/{TEMPLATE}?"))
    return TEMPLATE


@pytest.fixture
def new_database(server_url: str) -> Iterator[Callable[..., str]]:
    """Makes databases, `template` cloned or empty; they are removed after the test."""
    made: list[sql.Identifier] = []
    with psycopg.connect(server_url, autocommit=True) as connection:

        def make(template: str = "template1") -> str:
            name = f"test_{next(_numbers)}"
            made.append(sql.Identifier(name))
            connection.execute(
                sql.SQL("create database {} template {}").format(made[-1], sql.Identifier(template))
            )
            return server_url.replace("/postgres?", f"/{name}?")

        yield make
        for each in made:
            connection.execute(sql.SQL("drop database {} with (force)").format(each))


@pytest.fixture
def empty_database_url(new_database: Callable[..., str]) -> str:
    """A database of this test alone without a schema."""
    return new_database()


@pytest.fixture
def database_url(new_database: Callable[..., str], template: str) -> str:
    """A database of this test alone, migrated and empty."""
    return new_database(template)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short folder of mode 0700, removed after the test."""
    folder = Path(tempfile.mkdtemp(prefix="archive-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def config(parts: Parts, home: Path, database_url: str) -> Iterator[Config]:
    """Settings of an archive of this test's own: home, keys, database, and an empty bucket."""
    made = Config(
        home=home,
        keys_dir=home / "keys",
        database_url=database_url.replace("//archive@", f"//{SERVICE_ROLE}@"),
        database_owner_url=database_url,
        store_url=parts.store_url.replace("/archive?", "/tests?"),
        store_access_key=parts.access_key,
        store_secret_key=parts.secret_key,
        key_cache_s=0,
    )
    yield made
    with closing(open_store(made)) as store:
        store.delete(each.key for each in list(store.list("")))


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """The test's empty bucket."""
    with closing(open_store(config)) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()
