"""One index for each engine, with real keys in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive.keys import KeysDirectory
from archive.roots import FileRootKey
from archive.search import Index, open_index

ENGINES = ("whoosh",)


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

    def lemmas(self, word: str) -> tuple[str, ...]:
        return ()

    def parts(self, word: str) -> tuple[str, ...]:
        return ()

    def load(self) -> None:
        return None


@pytest.fixture()
def keys(tmp_path: Path) -> KeysDirectory:
    return open_keys(tmp_path / "keys")


@pytest.fixture()
def make(engine: str, tmp_path: Path, keys: KeysDirectory) -> Callable[[], Index]:
    """Opens the same index again and again."""
    assert engine == "whoosh"
    return lambda: open_index(tmp_path / "index", keys)


@pytest.fixture()
def index(make: Callable[[], Index]) -> Iterator[Index]:
    opened = make()
    yield opened
    opened.close()
