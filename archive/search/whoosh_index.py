"""The search engine over Whoosh: one sealed index a month, newest month first.

A question is walked as a tree over sets of documents; the order of hits and the limits of time
come from a sorted list that every segment keeps, not from the index. Knows nothing of rights.
"""

from __future__ import annotations

import errno
import fcntl
import heapq
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from archive.errors import (
    ArchiveError,
    DiskFull,
    IndexBusy,
    IndexDamaged,
    KeyDestroyed,
    KeyMissing,
    SealBroken,
)
from archive.model import Document, Hit, Query
from archive.search import FACETS, KeyProvider
from archive.search.finnish import Analyser
from archive.search.query import Question, question
from archive.search.sealed_storage import names, remove_leftovers, sync_folder
from archive.search.terms import document_terms
from archive.search.whoosh_month import (
    Key,
    Leaf,
    MonthWriter,
    OpenMonth,
    Place,
    analyser_mark,
    analysers,
    microseconds,
    moment,
    month_of,
    note_analyser,
    place,
    places,
    rewrite,
)
from archive.search.whoosh_walk import matching, newest, scores, span, weights

_REMOVED = "removed"  # an empty file: the month lost documents and was not rewritten yet
_PIECES = 8  # small segments of a month beyond which it is worth rewriting
_LOCK = "write.lock"  # empty; held while something is written
_GONE = ".gone"  # behind the name of a folder that is being removed
_ATTEMPTS = 50  # of reading a month while writers replace its files
_PAUSE_S = 0.01


class WhooshIndex:
    """An Index (see the port). Any number of processes may read while one writes."""

    name = "whoosh"

    def __init__(
        self,
        path: Path,
        keys: KeyProvider,
        *,
        analyser: Analyser,
        memory_bytes: int = 512 * 1024 * 1024,
        sort_mb: int = 64,
        lock_wait_s: float = 60,
    ) -> None:
        self._path = path
        self._keys = keys
        self._analyser = analyser
        self._memory_bytes = memory_bytes
        self._sort_mb = sort_mb
        self._lock_wait_s = lock_wait_s
        self._open: OrderedDict[str, OpenMonth] = OrderedDict()  # longest unused first
        self._reading = threading.RLock()  # a segment's reader is not safe between threads
        self._writing = threading.RLock()

    # -- writing ---------------------------------------------------------------------

    def put(self, documents: Sequence[Document]) -> None:
        """See the port: adds or replaces by id, one commit for each month of the batch."""
        by_month: dict[str, dict[UUID, Document]] = {}
        for document in documents:
            by_month.setdefault(month_of(document.occurred_at), {})[document.id] = document
        with self._lock():
            for month in sorted(by_month):
                self._put_month(month, list(by_month[month].values()))

    def remove(self, ids: Iterable[UUID], *, month: str) -> None:
        """See the port."""
        doomed = list(ids)
        with self._lock():
            where = self._current(month)
            if not doomed or where is None:
                return
            # The note comes first: a crash after it costs a rewrite that was not needed, never
            # forgets one that was.
            _touch(where.folder / _REMOVED)
            # Nothing is merged: the month is written anew soon.
            with self._writer(where, merge=False) as writer:
                writer.delete(self._documents(month, doomed))

    def rewrite(self, month: str) -> None:
        """See the port."""
        with self._lock():
            where = self._current(month)
            if where is None:
                return
            fresh = self._next_place(month, new=True)
            try:
                with _damage_named(month):
                    written = self._copy(where, fresh)
            except FileNotFoundError:  # no other writer can have been faster: we hold the lock
                raise IndexDamaged(month=month, reason="file missing") from None
            if written:
                # From this rename on the fresh one is read. A crash before it leaves a folder
                # that the next writer removes with its key; a crash after it leaves the old
                # generation, whose key the next writer destroys.
                fresh.folder.rename(place(self._path, month, fresh.generation).folder)
                sync_folder(self._path)
                self._discard(where)
            else:
                self._discard(where)
                self._discard(fresh)

    def drop(self, month: str) -> None:
        """See the port."""
        with self._lock():
            for where in places(self._path):
                if where.month == month:
                    self._discard(where)

    def _put_month(self, month: str, documents: list[Document]) -> None:
        where = self._current(month) or self._next_place(month)
        doomed = self._documents(month, [document.id for document in documents])
        with self._writer(where) as writer:
            note_analyser(writer.storage, self._analyser.name)
            writer.delete(doomed)
            for document in documents:
                key = (microseconds(document.occurred_at), document.id.bytes)
                writer.add(key, document_terms(document, self._analyser))

    @contextmanager
    def _writer(self, where: Place, *, merge: bool = True) -> Iterator[MonthWriter]:
        """One commit; nothing of it stays if it fails. IndexDamaged, DiskFull."""
        with _damage_named(where.month, writing=True):
            writer = MonthWriter(where, self._key(where), sort_mb=self._sort_mb)
            try:
                yield writer
                writer.commit(merge=merge)
            except BaseException:
                writer.cancel()
                raise

    def _documents(self, month: str, ids: Sequence[UUID]) -> dict[str, set[int]]:
        """Segment -> its documents of these ids."""
        with self._reading:
            opened = self._month(month)
            leaves = opened.leaves if opened is not None else {}
            return {
                name: {doc for id in ids for doc in leaf.matching("id", id.hex)}
                for name, leaf in leaves.items()
            }

    def _copy(self, where: Place, fresh: Place) -> bool:
        """What lives in `where`, written to `fresh`; False where nothing lives."""
        with self._reading:
            opened = self._month(where.month)
            if opened is None or not any(leaf.count > len(gone) for leaf, gone in opened.parts()):
                return False
        old = where.storage(self._key(where))
        key = self._keys.ensure(fresh.key_name)
        compact = not (where.folder / _REMOVED).exists()
        rewrite(
            old,
            opened.toc_number,
            lambda: MonthWriter(fresh, key, sort_mb=self._sort_mb),
            compact=compact,
        )
        for analyser in analysers(old):
            note_analyser(fresh.storage(key), analyser.rpartition("+fields-")[0])
        return True

    # -- places and keys -------------------------------------------------------------

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """The only writer among all threads and processes. IndexBusy after `lock_wait_s`."""
        with self._writing:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._path / _LOCK).open("ab") as file:
                _flock(file.fileno(), self._lock_wait_s)
                self._tidy()  # every time: a key that should be gone must not wait for a restart
                yield

    def _tidy(self) -> None:
        """Finishes or takes back what writers that were killed left."""
        found = places(self._path)
        for where in found:
            if where.new or self._superseded(where, found) or self._dead(where):
                self._discard(where)
            else:
                remove_leftovers(where.folder)
        for name in names(self._path):
            if name.endswith(_GONE):
                shutil.rmtree(self._path / name, ignore_errors=True)

    def _superseded(self, where: Place, found: Sequence[Place]) -> bool:
        later = (p for p in found if p.month == where.month and not p.new)
        return any(p.generation > where.generation for p in later)

    def _dead(self, where: Place) -> bool:
        try:
            self._keys.get(where.key_name)
        except KeyDestroyed:
            return True
        except (KeyMissing, SealBroken):
            return False
        return False

    def _discard(self, where: Place) -> None:
        """The key goes first: a crash after it leaves bytes that nobody can open."""
        self._keys.destroy(where.key_name)
        with self._reading:
            opened = self._open.get(where.month)
            if opened is not None and opened.place == where:
                self._open.pop(where.month).close()
        # Renamed first: a reader must not find a folder of which half is removed.
        gone = where.folder.with_name(where.folder.name + _GONE)
        if where.folder.exists():
            where.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        sync_folder(self._path)

    def _current(self, month: str) -> Place | None:
        """The generation that counts; None where there is none or its key was destroyed."""
        found = [p for p in places(self._path) if p.month == month and not p.new]
        if not found or self._dead(found[-1]):
            return None
        return found[-1]

    def _next_place(self, month: str, *, new: bool = False) -> Place:
        """A generation that never was, with its key made."""
        generation = max((p.generation for p in places(self._path) if p.month == month), default=0)
        while True:
            generation += 1
            where = place(self._path, month, generation, new=new)
            try:
                self._keys.ensure(where.key_name)
            except KeyDestroyed:
                continue
            return where

    def _key(self, where: Place) -> bytes:
        try:
            return self._keys.get(where.key_name)
        except KeyMissing:
            raise IndexDamaged(month=where.month, reason="key missing") from None

    # -- reading ---------------------------------------------------------------------

    def find(
        self, query: Query, *, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> list[Hit]:
        """See the port."""
        asked = question(query, self._analyser)
        cursor = (microseconds(after[0]), after[1].bytes) if after is not None else None
        with self._reading:
            if query.sort == "relevance":
                return self._by_relevance(asked, query, limit, cursor)
            return self._newest(asked, query, limit, cursor)

    def _newest(self, asked: Question, query: Query, limit: int, cursor: Key | None) -> list[Hit]:
        first, stop = span(query, cursor)
        found: list[Key] = []
        for opened in self._months(first, stop):
            here: list[Key] = []
            for leaf, gone in opened.parts():
                here += newest(leaf, gone, asked.clause, first, stop, limit)
            found += heapq.nlargest(limit - len(found), here)
            if len(found) >= limit:
                break
        return [Hit(UUID(bytes=id), moment(us), 0.0) for us, id in found]

    def _by_relevance(
        self, asked: Question, query: Query, limit: int, cursor: Key | None
    ) -> list[Hit]:
        """All that match, scored: the more often and the rarer the words, the higher."""
        first, stop = span(query, None)
        # Twice over the months, one open at a time: all of them may be more than memory allows.
        said = weights(asked, (leaf for m in self._months(first, stop) for leaf, _ in m.parts()))
        found: dict[Key, float] = {}
        for opened in self._months(first, stop):
            for leaf, gone in opened.parts():
                found |= scores(leaf, matching(leaf, gone, asked.clause, first, stop), said)
        ranked = ((score, key) for key, score in found.items())
        if cursor is not None:
            if cursor not in found:
                return []  # it has been removed since: there is no place to go on from
            edge = (found[cursor], cursor)
            ranked = (hit for hit in ranked if hit < edge)
        best = heapq.nlargest(limit, ranked)
        return [Hit(UUID(bytes=id), moment(us), score) for score, (us, id) in best]

    def count(self, query: Query) -> int:
        """See the port."""
        return sum(len(found) for _, _, found in self._all_matches(query))

    def facets(self, query: Query, fields: Sequence[str]) -> dict[str, dict[str, int]]:
        """See the port."""
        counts: dict[str, Counter[str]] = {f: Counter() for f in fields if f in FACETS}
        for month, leaf, found in self._all_matches(query):
            for field, values in counts.items():
                if field == "month":
                    values[month] += len(found)
                    continue
                name = "agent_label" if field == "agent" else field
                for value in leaf.terms(name):
                    values[value] += len(found & leaf.matching(name, value))
        return {f: dict((+values).most_common()) for f, values in counts.items()}

    def _all_matches(self, query: Query) -> Iterator[tuple[str, Leaf, set[int]]]:
        asked = question(query, self._analyser)
        first, stop = span(query, None)
        with self._reading:
            for opened in self._months(first, stop):
                for leaf, gone in opened.parts():
                    found = matching(leaf, gone, asked.clause, first, stop)
                    yield opened.place.month, leaf, found

    def explain(self, query: Query) -> list[str]:
        """See the port."""
        return list(question(query, self._analyser).notes)

    # -- months ----------------------------------------------------------------------

    def months(self) -> list[str]:
        """See the port."""
        with self._reading:
            return [m for m in self._month_names() if self._month(m) is not None]

    def check(self) -> dict[str, str]:
        """See the port. Reads and authenticates every file."""
        found: dict[str, str] = {}
        for month in self._month_names():
            try:
                with self._reading:
                    opened = self._month(month)
                    if opened is not None:
                        self._read_all(opened)
            except IndexDamaged as error:
                found[month] = str(error.facts["reason"])
        return found

    def stale(self) -> list[str]:
        """See the port."""
        today = [analyser_mark(self._analyser.name)]
        found = []
        with self._reading:
            for month in self._month_names():
                opened = self._month(month)
                if opened is None:
                    continue
                with _damage_named(month):
                    if analysers(opened.place.storage(self._key(opened.place))) != today:
                        found.append(month)
        return found

    def to_rewrite(self) -> list[str]:
        """See the port."""
        found = []
        with self._reading:
            for month in sorted(self._month_names()):
                try:
                    opened = self._month(month)
                except IndexDamaged:
                    continue  # to be dropped, not rewritten
                if opened is None:
                    continue
                lost = (opened.place.folder / _REMOVED).exists()
                if lost or opened.small_pieces() > _PIECES:
                    found.append(month)
        return found

    def close(self) -> None:
        """See the port."""
        with self._reading:
            for opened in self._open.values():
                opened.close()
            self._open.clear()

    def _read_all(self, opened: OpenMonth) -> None:
        with _damage_named(opened.place.month):
            storage = opened.place.storage(self._key(opened.place))
            for name in storage.list():
                storage.read(name)

    def _month_names(self) -> list[str]:
        return sorted({p.month for p in places(self._path) if not p.new}, reverse=True)

    def _months(self, first: Key | None, stop: Key | None) -> Iterator[OpenMonth]:
        """The months that may hold keys from `first` to before `stop`, newest first."""
        oldest = month_of(moment(first[0])) if first is not None else ""
        newest = month_of(moment(stop[0])) if stop is not None else "9999-99"
        for name in self._month_names():
            if oldest <= name <= newest and (opened := self._month(name)) is not None:
                yield opened

    def _month(self, month: str) -> OpenMonth | None:
        """The month as it is on disk now; None where there is none. IndexDamaged."""
        for _ in range(_ATTEMPTS):
            try:
                return self._refreshed(month)
            except FileNotFoundError:
                time.sleep(_PAUSE_S)  # a writer was faster; what it wrote is there already
        raise IndexDamaged(month=month, reason="file missing")

    def _refreshed(self, month: str) -> OpenMonth | None:
        found = [p for p in places(self._path) if p.month == month and not p.new]
        held = self._open.pop(month, None)
        opened = None
        try:
            if found:
                opened = self._read(found[-1], held)
        finally:
            if held is not None and (opened is None or opened.place != held.place):
                held.close()
        if opened is not None:
            self._open[month] = opened
            self._close_unused()
        return opened

    def _read(self, where: Place, held: OpenMonth | None) -> OpenMonth | None:
        try:
            with _damage_named(where.month):
                return OpenMonth.read(where, self._key(where), reuse=held)
        except (KeyDestroyed, IndexDamaged):
            # Not damage if a writer was just destroying the key: then the month was rewritten,
            # and is read there, or dropped.
            if any(p > where for p in places(self._path) if p.month == where.month and not p.new):
                raise FileNotFoundError from None
            if self._dead(where):
                return None
            raise

    def _close_unused(self) -> None:
        """Keeps within the memory given; the month at hand stays whatever it takes."""
        taken = sum(opened.memory_bytes for opened in self._open.values())
        while taken > self._memory_bytes and len(self._open) > 1:
            _, opened = self._open.popitem(last=False)
            taken -= opened.memory_bytes
            opened.close()


# -- files -----------------------------------------------------------------------------


@contextmanager
def _damage_named(month: str, *, writing: bool = False) -> Iterator[None]:
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
            raise  # perhaps a writer was faster: see WhooshIndex._month
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


def _flock(descriptor: int, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise IndexBusy() from None
            time.sleep(0.02)


def _touch(path: Path) -> None:
    if not path.exists():
        path.touch(mode=0o600)
        sync_folder(path.parent)
