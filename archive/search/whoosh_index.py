"""The search engine over Whoosh: one sealed index a month, newest month first.

A question is walked as a tree over sets of documents; the order of hits and the limits of time
come from a sorted list that every segment keeps, not from the index. Knows nothing of rights.
"""

from __future__ import annotations

import fcntl
import heapq
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from archive.errors import IndexBusy, IndexDamaged, KeyDestroyed
from archive.model import Document, Hit, Query
from archive.search import FACETS, KeyProvider, Opened
from archive.search.exact import Verifier, verifier
from archive.search.finnish import Analyser
from archive.search.instants import Key, microseconds, moment, month_of, span
from archive.search.marking import Marker, marker
from archive.search.query import Question, question
from archive.search.sealed_storage import names, remove_leftovers, sync_folder
from archive.search.terms import document_terms
from archive.search.whoosh_month import (
    Leaf,
    MonthWriter,
    OpenMonth,
    Place,
    analyser_mark,
    analysers,
    documents_at,
    note_analyser,
    place,
    places,
)
from archive.search.whoosh_opened import OpenedMonths, damage_named
from archive.search.whoosh_rewrite import Snapshot, catch_up, copy
from archive.search.whoosh_walk import matching, newest, scores, weights

_REMOVED = "removed"  # an empty file: the month lost documents and was not rewritten yet
_PIECES = 4  # small segments of a month beyond which it is worth rewriting
_LOCK = "write.lock"  # empty; held while something is written
_REWRITE_LOCK = "rewrite.lock"  # empty; held while a month is being rewritten
_REWRITE_WAIT_S = 900
_GONE = ".gone"  # behind the name of a folder that is being removed


class WhooshIndex:
    """An Index (see the port). Any number of processes may read while one writes."""

    name = "whoosh"

    def __init__(
        self,
        path: Path,
        keys: KeyProvider,
        *,
        analyser: Analyser,
        memory_bytes: int = 1024 * 1024 * 1024,
        lock_wait_s: float = 60,
    ) -> None:
        self._path = path
        self._keys = keys
        self._analyser = analyser
        self._lock_wait_s = lock_wait_s
        self._months = OpenedMonths(path, keys, memory_bytes=memory_bytes)
        self._reading = self._months.lock
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
        """See the port. The month is copied while others put; what they put follows at the end."""
        with self._rewriting():
            with self._lock():
                where = self._current(month)
                if where is None:
                    return
                fresh = self._next_place(month, new=True)
                # From here to the end writers of this month merge nothing (see `_writer`), so
                # that the segments of the snapshot stay where they are.
                fresh.folder.mkdir(mode=0o700)
                snapshot = self._snapshot(where)
            try:
                self._copy(snapshot, fresh)
            except (FileNotFoundError, IndexDamaged, KeyDestroyed) as error:
                self._give_up(where, fresh, error)
                return
            with self._lock():
                self._replace(snapshot, fresh)

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
        rewritten = any(p.new for p in places(self._path) if p.month == where.month)
        with damage_named(where.month, writing=True):
            writer = MonthWriter(where, self._months.key(where))
            try:
                yield writer
                writer.commit(merge=merge and not rewritten)
            except BaseException:
                writer.cancel()
                raise

    def _documents(self, month: str, ids: Sequence[UUID]) -> dict[str, set[int]]:
        """Segment -> its documents of these ids."""
        with self._reading:
            opened = self._months.month(month)
            return documents_at(opened.leaves if opened is not None else {}, ids)

    # -- rewriting -------------------------------------------------------------------

    def _snapshot(self, where: Place) -> Snapshot:
        compact = not (where.folder / _REMOVED).exists()
        try:
            with damage_named(where.month):
                return Snapshot.take(where, self._months.key(where), compact=compact)
        except FileNotFoundError:  # no other writer can have been faster: we hold the lock
            raise IndexDamaged(month=where.month, reason="file missing") from None

    def _copy(self, snapshot: Snapshot, fresh: Place) -> None:
        key = self._keys.ensure(fresh.key_name)
        with damage_named(fresh.month):
            copy(snapshot, lambda: MonthWriter(fresh, key))
            for analyser in analysers(snapshot.storage):
                note_analyser(fresh.storage(key), analyser.rpartition("+fields-")[0])

    def _give_up(self, where: Place, fresh: Place, error: Exception) -> None:
        """Nothing happened if the month was dropped meanwhile; else it is damaged."""
        with self._lock():
            self._discard(fresh)
            if self._current(where.month) != where:
                return
        if isinstance(error, IndexDamaged):
            raise error
        raise IndexDamaged(month=where.month, reason="file missing") from None

    def _replace(self, snapshot: Snapshot, fresh: Place) -> None:
        """Puts the copy in the place of the month, with what changed since the snapshot."""
        where = snapshot.place
        if self._current(where.month) != where:
            self._discard(fresh)  # the month was dropped
            return
        key = self._months.key(fresh)
        with damage_named(where.month, writing=True):
            lost = catch_up(snapshot, fresh, key, lambda: MonthWriter(fresh, key))
        opened = OpenMonth.read(fresh, key, reuse=None)
        living = sum(leaf.count - len(gone) for leaf, gone in opened.parts()) if opened else 0
        if opened is not None:
            opened.close()
        if not living:
            self._discard(where)
            self._discard(fresh)
            return
        if lost:
            _touch(fresh.folder / _REMOVED)
        # From this rename on the fresh one is read. A crash before it leaves a folder that a
        # later writer removes with its key; a crash after it leaves the old generation, whose
        # key the next writer destroys.
        fresh.folder.rename(place(self._path, fresh.month, fresh.generation).folder)
        sync_folder(self._path)
        self._discard(where)

    @contextmanager
    def _rewriting(self) -> Iterator[None]:
        """The only one that rewrites, among all threads and processes."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._path / _REWRITE_LOCK).open("ab") as file:
            _flock(file.fileno(), max(_REWRITE_WAIT_S, self._lock_wait_s))
            yield

    def _nobody_rewrites(self) -> bool:
        """Whether unfinished folders are leftovers: asked under the writers' lock, so that none
        can be begun."""
        with (self._path / _REWRITE_LOCK).open("ab") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
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
        leftover = any(p.new for p in found) and self._nobody_rewrites()
        for where in found:
            if where.new and not leftover:
                continue
            if where.new or self._superseded(where, found) or self._months.dead(where):
                self._discard(where)
            else:
                remove_leftovers(where.folder)
        for name in names(self._path):
            if name.endswith(_GONE):
                shutil.rmtree(self._path / name, ignore_errors=True)

    def _superseded(self, where: Place, found: Sequence[Place]) -> bool:
        later = (p for p in found if p.month == where.month and not p.new)
        return any(p.generation > where.generation for p in later)

    def _discard(self, where: Place) -> None:
        """The key goes first: a crash after it leaves bytes that nobody can open."""
        self._keys.destroy(where.key_name)
        self._months.let_go(where)
        # Renamed first: a reader must not find a folder of which half is removed.
        gone = where.folder.with_name(where.folder.name + _GONE)
        if where.folder.exists():
            where.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        sync_folder(self._path)

    def _current(self, month: str) -> Place | None:
        """The generation that counts; None where there is none or its key was destroyed."""
        found = [p for p in places(self._path) if p.month == month and not p.new]
        if not found or self._months.dead(found[-1]):
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

    # -- reading ---------------------------------------------------------------------

    def find(
        self,
        query: Query,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None = None,
        lacking: set[str] | None = None,
    ) -> list[Hit]:
        """See the port."""
        asked = question(query, self._analyser)
        cursor = (microseconds(after[0]), after[1].bytes) if after is not None else None
        with self._reading:
            if query.sort == "relevance":
                return self._by_relevance(asked, query, limit, cursor, lacking)
            return self._newest(asked, query, limit, cursor, lacking)

    def _newest(
        self,
        asked: Question,
        query: Query,
        limit: int,
        cursor: Key | None,
        lacking: set[str] | None,
    ) -> list[Hit]:
        first, stop = span(query, cursor)
        found: list[Key] = []
        for opened in self._months.between(first, stop, lacking=lacking):
            here: list[Key] = []
            for leaf, gone in opened.parts():
                here += newest(leaf, gone, asked.clause, first, stop, limit)
            found += heapq.nlargest(limit - len(found), here)
            if len(found) >= limit:
                break
        return [Hit(UUID(bytes=id), moment(us), 0.0) for us, id in found]

    def _by_relevance(
        self,
        asked: Question,
        query: Query,
        limit: int,
        cursor: Key | None,
        lacking: set[str] | None,
    ) -> list[Hit]:
        """All that match, scored: the more often and the rarer the words, the higher."""
        first, stop = span(query, None)
        # Twice over the months, one open at a time: all of them may be more than memory allows.
        months = self._months.between(first, stop, lacking=lacking)
        said = weights(asked, (leaf for opened in months for leaf, _ in opened.parts()))
        found: dict[Key, float] = {}
        for opened in self._months.between(first, stop, lacking=lacking):
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

    def count(self, query: Query, *, lacking: set[str] | None = None) -> int:
        """See the port."""
        return sum(len(found) for _, _, found in self._all_matches(query, lacking))

    def facets(
        self, query: Query, fields: Sequence[str], *, lacking: set[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """See the port."""
        counts: dict[str, Counter[str]] = {f: Counter() for f in fields if f in FACETS}
        for month, leaf, found in self._all_matches(query, lacking):
            for field, values in counts.items():
                if field == "month":
                    values[month] += len(found)
                    continue
                name = "agent_label" if field == "agent" else field
                for value in leaf.terms(name):
                    values[value] += len(found & leaf.matching(name, value))
        return {f: dict((+values).most_common()) for f, values in counts.items()}

    def _all_matches(
        self, query: Query, lacking: set[str] | None
    ) -> Iterator[tuple[str, Leaf, set[int]]]:
        asked = question(query, self._analyser)
        first, stop = span(query, None)
        with self._reading:
            for opened in self._months.between(first, stop, lacking=lacking):
                for leaf, gone in opened.parts():
                    found = matching(leaf, gone, asked.clause, first, stop)
                    yield opened.place.month, leaf, found

    def explain(self, query: Query) -> list[str]:
        """See the port."""
        return list(question(query, self._analyser).notes)

    def marker(self, query: Query) -> Marker:
        """See the port."""
        return marker(query, self._analyser)

    def verifier(self, query: Query) -> Verifier | None:
        """See the port."""
        return verifier(query, self._analyser)

    # -- months ----------------------------------------------------------------------

    def months(self) -> list[str]:
        """See the port."""
        with self._reading:
            names = self._months.names()
            return [month for month in names if self._months.month(month) is not None]

    def size(self, month: str) -> int:
        """See the port."""
        return self._months.size(month)

    def check(self, month: str | None = None) -> dict[str, str]:
        """See the port. Reads and authenticates every file."""
        found: dict[str, str] = {}
        with self._reading:
            names = self._months.names() if month is None else [month]
        for name in names:
            try:
                with self._reading:
                    opened = self._months.month(name)
                    if opened is not None:
                        self._read_all(opened)
            except IndexDamaged as error:
                found[name] = str(error.facts["reason"])
        return found

    def opened(self) -> Opened:
        """See the port."""
        return self._months.taken()

    def stale(self) -> list[str]:
        """See the port."""
        today = [analyser_mark(self._analyser.name)]
        found = []
        with self._reading:
            for month in self._months.names():
                opened = self._months.month(month)
                if opened is None:
                    continue
                with damage_named(month):
                    key = self._months.key(opened.place)
                    if analysers(opened.place.storage(key)) != today:
                        found.append(month)
        return found

    def to_rewrite(self) -> list[str]:
        """See the port."""
        found = []
        with self._reading:
            for month in sorted(self._months.names()):
                try:
                    opened = self._months.month(month)
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
        self._months.close()

    def _read_all(self, opened: OpenMonth) -> None:
        with damage_named(opened.place.month):
            storage = opened.place.storage(self._months.key(opened.place))
            for name in storage.list():
                storage.read(name)


# -- files -----------------------------------------------------------------------------


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
