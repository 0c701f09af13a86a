"""Words of the trade that stand for each other when somebody searches.

The list that comes with the program, and an administrator's file that adds to it and takes
from it. Both are read while searching, so the index need not be made anew after a change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

from archive.errors import BadSetting
from archive.search.spelling import clean, fold

SETTING = "ARCHIVE_SYNONYMS_FILE"
MOST_BYTES = 1_000_000
_LOOK_EVERY_S = 2.0

Groups = dict[str, tuple[str, ...]]  # word -> the others of its groups


class Synonyms:
    """The list in force. Safe between threads."""

    def __init__(
        self, path: Path | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """BadSetting where the file cannot be read; later the last list stays in force."""
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._looked = monotonic()
        self._groups = groups(lines_of(packaged("synonyms.txt")))
        if path is not None:
            try:
                self._read(path)
            except (OSError, ValueError) as error:
                raise BadSetting(name=SETTING, reason=_reason(error)) from None

    def of(self, lemma: str) -> tuple[str, ...]:
        """The other words that a base form is searched by."""
        self._look_again()
        return self._groups.get(lemma, ())

    def _look_again(self) -> None:
        if self._path is None or self._monotonic() - self._looked < _LOOK_EVERY_S:
            return
        with self._lock:
            self._looked = self._monotonic()
            try:
                self._read(self._path)
            except (OSError, ValueError):
                return  # it is just being written, or somebody's mistake: the last list stays

    def _read(self, path: Path) -> None:
        status = path.stat()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen == self._seen:
            return
        if status.st_size > MOST_BYTES:
            raise ValueError(f"file larger than {MOST_BYTES} bytes")
        own = lines_of(path.read_text(encoding="utf-8"))
        self._groups = groups([*lines_of(packaged("synonyms.txt")), *own])
        self._seen = seen


def groups(lines: Iterable[str]) -> Groups:
    """Lines of base forms that stand for each other; "- word word" takes such a link away."""
    found: dict[str, list[str]] = {}
    for line in lines:
        taken = line.startswith("-")
        group = clean(line.removeprefix("-")).split()
        for same in (group, [fold(word) for word in group]):
            for word in same:
                others = [other for other in same if other != word]
                known = [w for w in found.get(word, []) if w not in others]
                found[word] = known if taken else [*known, *others]
    return {word: tuple(others) for word, others in found.items() if others}


def packaged(name: str) -> str:
    """A list that comes with the program."""
    return resources.files("archive.search").joinpath(name).read_text(encoding="utf-8")


def lines_of(text: str) -> list[str]:
    """What stands in the lines, without comments and empty ones."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"file not readable ({error.strerror})"
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
