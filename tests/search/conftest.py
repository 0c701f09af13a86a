"""One index for each engine, with real keys in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archive.db import ensure_database
from archive.keyring.roots import FileRootKey
from archive.keys import KeysDirectory
from archive.search import Index, open_index

ENGINES = ("whoosh", "postgres")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine that the contract is asked of."""
    return str(request.param)


def open_keys(folder: Path) -> KeysDirectory:
    """A keys directory with a root key of its own, made if it is not there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    root = folder / "root.key"
    key = FileRootKey.load(root) if root.exists() else FileRootKey.create(root)
    return KeysDirectory(folder, root=key, cache_s=5)


class NoLemmas:
    """A dictionary without words, for processes that must not wait for one."""

    name = "no-lemmas"

    def lemmas(self, word: str, language: str | None = None) -> tuple[str, ...]:
        return ()

    def parts(self, word: str) -> tuple[str, ...]:
        return ()

    def knows(self, word: str) -> bool:
        return False

    def load(self) -> None:
        return None


@pytest.fixture()
def keys(tmp_path: Path) -> KeysDirectory:
    return open_keys(tmp_path / "keys")


@pytest.fixture()
def index_url(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The database of the index, which the test finds empty; "" for an engine without."""
    if engine != "postgres":
        yield ""
        return
    url = str(request.getfixturevalue("server_url")).replace("/postgres?", "/test_index?")
    ensure_database(url)
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")


@pytest.fixture()
def make(tmp_path: Path, keys: KeysDirectory, index_url: str) -> Iterator[Callable[..., Index]]:
    """Opens the same index again and again; all are closed at the end."""
    made: list[Index] = []

    def opening(**more: Any) -> Index:
        made.append(open_index(tmp_path / "index", keys, url=index_url, **more))
        return made[-1]

    yield opening
    for each in made:
        each.close()


@pytest.fixture()
def index(make: Callable[[], Index]) -> Iterator[Index]:
    opened = make()
    yield opened
    opened.close()
