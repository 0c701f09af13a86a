"""A month of the Whoosh index written anew while others go on writing to it.

First a snapshot, copied in peace; then, under the writers' lock, what changed since. Knows
nothing of locks, and of keys only those it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from archive.search.sealed_storage import SealedStorage
from archive.search.whoosh_month import (
    MOST_COMPACTED,
    Leaf,
    MonthWriter,
    OpenMonth,
    Place,
    documents_at,
    segments,
)

Fresh = Callable[[], MonthWriter]  # opens the copy for one commit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A month's segments at one commit, with what was deleted of each until then.

    `compact`: small segments are merged although they lost nothing.
    """

    place: Place
    storage: SealedStorage
    segments: Sequence[Any]
    compact: bool

    @classmethod
    def take(cls, place: Place, key: bytes, *, compact: bool) -> Snapshot:
        """As it is now. Whatever unreadable bytes lead to is raised as it is."""
        storage = place.storage(key)
        return cls(place, storage, segments(place, storage), compact)


def copy(snapshot: Snapshot, fresh: Fresh) -> None:
    """What lives in the snapshot, by one or more commits.

    Segments that lost nothing are taken as they are: a month that lost one document is soon
    rewritten. Where it is compacted small ones are merged too, up to MOST_COMPACTED documents
    each.
    """
    whole = [s for s in snapshot.segments if not s.deleted_count() and s.doc_count()]
    if snapshot.compact:
        whole = [s for s in whole if s.doc_count() * 2 >= MOST_COMPACTED]
    rest = [s for s in snapshot.segments if s not in whole and s.doc_count()]
    with _committed(fresh()) as writer:
        writer.adopt(snapshot.storage, whole)
    for together in _bins(rest):
        with _committed(fresh()) as writer:
            writer.merge(snapshot.storage, together)


def catch_up(snapshot: Snapshot, place: Place, key: bytes, fresh: Fresh) -> bool:
    """Brings the copy at `place` to what the month is now; whether it took over words of
    documents that are deleted.

    The month's writers have merged nothing since the snapshot: they added segments and deleted
    documents.
    """
    taken = {s.segment_id(): s for s in snapshot.segments}
    now = segments(snapshot.place, snapshot.storage)
    added = [s for s in now if s.segment_id() not in taken and s.doc_count()]
    gone = [
        id
        for segment in now
        if (old := taken.get(segment.segment_id())) is not None
        for id in _ids(
            snapshot.storage, segment, set(segment.deleted_docs()) - set(old.deleted_docs())
        )
    ]
    if not added and not gone:
        return False
    with _committed(fresh()) as writer:
        if gone:
            writer.delete(_places(place, key, gone))
        writer.adopt(snapshot.storage, added)
    return bool(gone) or any(s.deleted_count() for s in added)


def _ids(storage: SealedStorage, segment: Any, docs: set[int]) -> list[UUID]:
    if not docs:
        return []
    leaf = Leaf(storage, segment)
    try:
        return [UUID(bytes=leaf.keys[leaf.places[doc]][1]) for doc in docs]
    finally:
        leaf.close()


def _places(place: Place, key: bytes, ids: Sequence[UUID]) -> dict[str, set[int]]:
    opened = OpenMonth.read(place, key, reuse=None)
    if opened is None:
        return {}
    try:
        return documents_at(opened.leaves, ids)
    finally:
        opened.close()


@contextmanager
def _committed(writer: MonthWriter) -> Iterator[MonthWriter]:
    try:
        yield writer
        writer.commit(merge=False)
    except BaseException:
        writer.cancel()
        raise


def _bins(segments: Iterable[Any]) -> list[list[Any]]:
    """Segments together of at most MOST_COMPACTED documents, or a larger one alone."""
    found: list[list[Any]] = []
    size = MOST_COMPACTED
    for segment in sorted(segments, key=lambda s: int(s.doc_count())):
        size += segment.doc_count()
        if size > MOST_COMPACTED:
            found.append([])
            size = segment.doc_count()
        found[-1].append(segment)
    return found
