"""What an engine leaves behind when the settings name another one. Knows names of keys."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from archive.search.postgres_months import FIRST_GENERATION


class Keys(Protocol):
    """The part of a keys directory that is needed here."""

    def names(self, folder: str) -> list[str]: ...
    def destroy(self, name: str) -> bool: ...


def forget_other_engine(path: Path, keys: Keys, *, postgres: bool) -> int:
    """Destroys the keys of the engine that is not in use, and Whoosh's folder where it is not.

    Nobody would write its months anew when contacts expire. The number of keys destroyed.
    """
    others = [
        name
        for name in keys.names("index")
        if (_generation(name) >= FIRST_GENERATION) is not postgres
    ]
    for name in others:
        keys.destroy(name)
    if postgres:
        shutil.rmtree(path, ignore_errors=True)
    return len(others)


def _generation(name: str) -> int:
    number = name.rpartition(".")[2]
    return int(number) if number.isdigit() else 0
