"""The months of a Whoosh index that a process holds open: found, refreshed, bounded in memory.

A folder's time of change says whether anything has been committed since it was read, so an
unchanged month costs a search two looks at the file system. Knows nothing of questions.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import (
    ArchiveError,
    DiskFull,
    IndexDamaged,
    KeyDestroyed,
    KeyMissing,
    SealBroken,
)
from archive.search import KeyProvider, Opened
from archive.search.instants import Key, moment, month_of
from archive.search.whoosh_month import OpenMonth, Place, places, segments

_ATTEMPTS = 50  # of reading a month while writers replace its files
_PAUSE_S = 0.01
_SETTLED_NS = 1_000_000_000  # age of a change that tells it from the next: clocks tick coarsely


class OpenedMonths:
    """What is read of an index. Not safe between threads: whoever uses it holds `lock`."""

    def __init__(self, path: Path, keys: KeyProvider, *, memory_bytes: int) -> None:
        self.lock = threading.RLock()  # a segment's reader is not safe between threads
        self._path = path
        self._keys = keys
        self._memory_bytes = memory_bytes
        self._open: dict[str, OpenMonth] = {}  # used last, last
        self._listed: tuple[int, list[Place]] | None = None  # change of the folder, what was there

    def names(self) -> list[str]:
        """The months that lie on disk, newest first."""
        return [where.month for where in self._current()]

    def between(
        self, first: Key | None, stop: Key | None, *, lacking: set[str] | None = None
    ) -> Iterator[OpenMonth]:
        """The months that may hold keys from `first` to before `stop`, newest first.

        One that cannot be read is named in `lacking`, or without it raises IndexDamaged.
        """
        oldest = month_of(moment(first[0])) if first is not None else ""
        newest = month_of(moment(stop[0])) if stop is not None else "9999-99"
        for where in self._current():
            if not oldest <= where.month <= newest:
                continue
            try:
                opened = self.month(where.month, where)
            except IndexDamaged:
                if lacking is None:
                    raise
                lacking.add(where.month)
                continue
            if opened is not None:
                yield opened

    def month(self, month: str, where: Place | None = None) -> OpenMonth | None:
        """The month as it is on disk now; None where there is none. IndexDamaged.

        `where`: the place where it was just seen, if it was.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._refreshed(month, where or self._place(month))
            except FileNotFoundError:
                where = None
                time.sleep(_PAUSE_S)  # a writer was faster; what it wrote is there already
        raise IndexDamaged(month=month, reason="file missing")

    def size(self, month: str) -> int:
        """Documents of the month, by its table of contents alone. IndexDamaged."""
        for _ in range(_ATTEMPTS):
            where = self._place(month)
            try:
                if where is None or self.dead(where):
                    return 0
                with damage_named(month):
                    return sum(
                        s.doc_count() for s in segments(where, where.storage(self.key(where)))
                    )
            except (FileNotFoundError, KeyDestroyed):
                time.sleep(_PAUSE_S)  # a writer was faster
        raise IndexDamaged(month=month, reason="file missing")

    def key(self, where: Place) -> bytes:
        """The key of a place. KeyDestroyed, IndexDamaged."""
        try:
            return self._keys.get(where.key_name)
        except KeyMissing:
            raise IndexDamaged(month=where.month, reason="key missing") from None

    def dead(self, where: Place) -> bool:
        """Whether the key of a place was destroyed."""
        try:
            self._keys.get(where.key_name)
        except KeyDestroyed:
            return True
        except (KeyMissing, SealBroken):
            return False
        return False

    def let_go(self, where: Place) -> None:
        """Closes what is open of a place."""
        with self.lock:
            opened = self._open.get(where.month)
            if opened is not None and opened.place == where:
                self._open.pop(where.month).close()

    def taken(self) -> Opened:
        """What is open now."""
        held = list(self._open.values())  # without the lock: a search may take a while
        return Opened(len(held), sum(opened.memory_bytes for opened in held))

    def close(self) -> None:
        """Gives back everything."""
        with self.lock:
            for opened in self._open.values():
                opened.close()
            self._open.clear()

    def _current(self) -> list[Place]:
        """The last generation of each month, newest month first."""
        try:
            changed = _changed(self._path)
        except FileNotFoundError:
            return []
        if self._listed is None or changed is None or self._listed[0] != changed:
            found = {p.month: p for p in places(self._path) if not p.new}
            self._listed = (changed or 0, sorted(found.values(), reverse=True))
        return self._listed[1]

    def _place(self, month: str) -> Place | None:
        found = [p for p in places(self._path) if p.month == month and not p.new]
        return found[-1] if found else None

    def _refreshed(self, month: str, where: Place | None) -> OpenMonth | None:
        held = self._open.pop(month, None)
        opened = None
        try:
            if where is not None:
                opened = self._read(where, held)
        finally:
            if held is not None and (opened is None or opened.place != held.place):
                held.close()
        if opened is not None:
            self._open[month] = opened
            if opened is not held:
                self._close_unused()
        return opened

    def _read(self, where: Place, held: OpenMonth | None) -> OpenMonth | None:
        try:
            with damage_named(where.month):
                key = self.key(where)
                changed = _changed(where.folder)
                if held is not None and held.place == where and held.changed == changed is not None:
                    return held
                opened = OpenMonth.read(where, key, reuse=held)
                if opened is not None:
                    opened.changed = changed
                return opened
        except (KeyDestroyed, IndexDamaged):
            # Not damage if a writer was just destroying the key: then the month was rewritten,
            # and is read there, or dropped.
            if any(p > where for p in places(self._path) if p.month == where.month and not p.new):
                raise FileNotFoundError from None
            if self.dead(where):
                return None
            raise

    def _close_unused(self) -> None:
        """Keeps within the memory given; the month at hand, the last, stays whatever it takes.

        Which one goes is left to chance: questions walk the months in one order, so that what was
        used longest ago is what is wanted next, and a year a little too large for the memory would
        be opened anew by every question.
        """
        taken = sum(opened.memory_bytes for opened in self._open.values())
        while taken > self._memory_bytes and len(self._open) > 1:
            opened = self._open.pop(random.choice([*self._open][:-1]))  # noqa: S311 - no secret
            taken -= opened.memory_bytes
            opened.close()


def _changed(folder: Path) -> int | None:
    """When the folder's names last changed; None if that was so lately that the next change may
    bear the same time."""
    at = os.stat(folder).st_mtime_ns  # noqa: PTH116 (at every search, for speed)
    return at if time.time_ns() - at > _SETTLED_NS else None


@contextmanager
def damage_named(month: str, *, writing: bool = False) -> Iterator[None]:
    """Whatever unreadable bytes lead to becomes IndexDamaged; no space becomes DiskFull.

    While writing, an exception that is not about bytes is a mistake of ours and stays what it
    is: rebuilding the month would not mend it.
    """
    try:
        yield
    except SealBroken as error:
        raise IndexDamaged(month=month, reason=str(error.facts["reason"])) from None
    except FileNotFoundError:
        if not writing:
            raise  # perhaps a writer was faster: see OpenedMonths.month
        raise IndexDamaged(month=month, reason="file missing") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull() from None
        raise IndexDamaged(month=month, reason=f"file unreadable, errno {error.errno}") from None
    except (ArchiveError, MemoryError):
        raise
    except Exception as error:
        if writing:
            raise
        raise IndexDamaged(month=month, reason=type(error).__name__) from None
