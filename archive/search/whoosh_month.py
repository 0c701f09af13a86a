"""One month of the Whoosh index: its folder, what is read of it, and how a commit is made.

    <index>/2026-11.3/      month and generation; each generation has a key of its own
    <index>/2026-11.4.new/  being rewritten; nothing reads it

Knows nothing of questions and keys' whereabouts.
"""

from __future__ import annotations

import copy
import errno
import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from whoosh import fields
from whoosh.reading import TermNotFound
from whoosh.util.text import utf8encode
from whoosh.writing import NO_MERGE

from archive.search.instants import Key
from archive.search.sealed_storage import SealedStorage, WholeFile, names
from archive.search.terms import FIELDS, VERSION
from archive.search.whoosh_names import (
    TOC,
    Existence,
    FileIndex,
    FixedBytesColumn,
    Frequency,
    NumericColumn,
    SegmentReader,
)
from archive.search.whoosh_postings import TermsWriter

_FOLDER = re.compile(r"([0-9]{4}-[0-9]{2})\.([0-9]{1,9})(\.new)?")
_ABOUT = "about"
_INDEX_NAME = "MAIN"
COUNTED = ("text", "subject")  # fields whose terms are counted, for relevance
_TIER = 4  # so many segments of one size are merged into one of the next
_MOST_MERGED = 800  # documents written again by one commit
MOST_COMPACTED = 5_000  # documents of a segment, that one of them may be taken out soon


class Terms(fields.FieldType):
    """A field whose terms are given ready made; `counted`: also how often they come."""

    def __init__(self, counted: bool) -> None:
        self.format = Frequency() if counted else Existence()
        self.scorable = self.stored = self.unique = False
        self.analyzer = self.vector = self.column_type = None


def schema_of(kind: type[Terms]) -> Any:
    """Time and id of a document in columns, and every field of FIELDS of this kind."""
    schema = fields.Schema(
        occurred=fields.COLUMN(NumericColumn("q")),
        key=fields.COLUMN(FixedBytesColumn(16)),
    )
    for name in FIELDS:
        schema.add(name, kind(counted=name in COUNTED))
    return schema


SCHEMA = schema_of(Terms)


# -- folders ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where one generation of a month lies; `new` while it is being rewritten."""

    month: str
    generation: int
    new: bool
    folder: Path

    @property
    def key_name(self) -> str:
        """Its key, as the keys directory calls it."""
        return f"index/{self.month}.{self.generation}"

    def storage(self, key: bytes) -> SealedStorage:
        """Its files."""
        return SealedStorage(self.folder, key, month=self.month, generation=self.generation)

    def toc_number(self) -> int:
        """The number of its last commit; -1 before one. FileNotFoundError once it was removed."""
        pattern = re.compile(rf"_{_INDEX_NAME}_([0-9]+)\.toc")
        found = (pattern.fullmatch(name) for name in names(self.folder))
        number = max((int(match[1]) for match in found if match), default=-1)
        if number < 0 and not self.folder.exists():
            raise FileNotFoundError(errno.ENOENT, "no such month")
        return number


def place(path: Path, month: str, generation: int, *, new: bool = False) -> Place:
    """The place of a generation under the index's folder."""
    return Place(month, generation, new, path / f"{month}.{generation}{'.new' if new else ''}")


def places(path: Path) -> list[Place]:
    """Everything that lies under the index's folder, sorted by month and generation."""
    found = (_FOLDER.fullmatch(name) for name in names(path))
    return sorted(place(path, m[1], int(m[2]), new=m[3] is not None) for m in found if m)


# -- reading ---------------------------------------------------------------------------


def segments(place: Place, storage: SealedStorage) -> list[Any]:
    """The segments of a place's last commit, each with its deletions; [] before one."""
    number = place.toc_number()
    if number < 0:
        return []
    return list(TOC.read(storage, _INDEX_NAME, gen=number, schema=SCHEMA).segments)


class Leaf:
    """One segment, immutable, held open: postings, and the order of its documents.

    Not safe between threads.
    """

    def __init__(self, storage: SealedStorage, segment: Any) -> None:
        bare = copy.copy(segment)
        bare._deleted = None  # deletions change, the segment does not: see OpenMonth
        opening = _Opening(storage)
        self._reader: Any = SegmentReader(opening, SCHEMA, bare)
        count = int(segment.doc_count_all())
        times = self._column("occurred", count)
        keys = list(zip(times, self._column("key", count), strict=True))
        opening.forget()
        by_age = sorted(range(count), key=keys.__getitem__)
        self.count = count
        self.keys: list[Key] = [keys[doc] for doc in by_age]  # oldest first
        self.docs = array("l", by_age)  # place in that order -> document
        self.places = array("l", [0]) * count  # document -> place
        for at, doc in enumerate(by_age):
            self.places[doc] = at
        name = segment.make_filename(segment.COMPOUND_EXT)
        self.memory_bytes = storage.file_length(name) + 200 * count

    def _column(self, name: str, count: int) -> list[Any]:
        column = SCHEMA[name].column_type
        if not count or not self._reader.has_column(name):
            return [column.default_value()] * count
        return list(self._reader.column_reader(name, translate=False))

    def matching(self, field: str, term: str) -> set[int]:
        """Documents with this term, deleted ones too."""
        try:
            return set(self._reader.postings(field, utf8encode(term)[0]).all_ids())
        except TermNotFound:
            return set()

    def of_ids(self, wanted: set[bytes]) -> set[int]:
        """Documents of recordings with these ids (16 bytes each), deleted ones too."""
        # A look-up costs as much as fifty comparisons; a night asks for thousands.
        if len(wanted) * 50 < self.count:
            return {doc for id in wanted for doc in self.matching("id", id.hex())}
        return {self.docs[at] for at, (_, id) in enumerate(self.keys) if id in wanted}

    def starting(self, field: str, prefix: str) -> set[int]:
        """Documents with a term that begins so."""
        found: set[int] = set()
        try:
            terms = list(self._reader.expand_prefix(field, utf8encode(prefix)[0]))
        except TermNotFound:
            return found
        for term in terms:
            found.update(self._reader.postings(field, term).all_ids())
        return found

    def times(self, field: str, term: str) -> dict[int, float]:
        """Document -> how often it has this term."""
        try:
            matcher = self._reader.postings(field, utf8encode(term)[0])
        except TermNotFound:
            return {}
        found = {}
        while matcher.is_active():
            found[matcher.id()] = float(matcher.weight())
            matcher.next()
        return found

    def frequency(self, field: str, term: str) -> int:
        """How many documents have this term, deleted ones too; read without its postings."""
        return int(self._reader.doc_frequency(field, utf8encode(term)[0]))

    def terms(self, field: str) -> list[str]:
        """All terms of a field."""
        try:
            return [bytes(term).decode() for term in self._reader.lexicon(field)]
        except TermNotFound:
            return []

    def span(self, first: Key | None, stop: Key | None) -> tuple[int, int]:
        """The places with first <= key < stop."""
        lowest = bisect_left(self.keys, first) if first is not None else 0
        return lowest, bisect_left(self.keys, stop) if stop is not None else self.count

    def close(self) -> None:
        """Gives back the opened bytes."""
        self._reader.close()


class _Opening:
    """A storage from which one segment is opened: what holds the whole of it can be given back.

    Whoosh copies each part of a segment that it goes on reading, and would keep both.
    """

    def __init__(self, storage: SealedStorage) -> None:
        self._storage = storage
        self._files: list[WholeFile] = []

    def open_file(self, name: str, **_: Any) -> WholeFile:
        self._files.append(self._storage.open_file(name))
        return self._files[-1]

    def forget(self) -> None:
        """Gives back what was opened whole."""
        for file in self._files:
            file.give_back()
        self._files.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


@dataclass(slots=True)
class OpenMonth:
    """What was read of a month at one commit. Not safe between threads."""

    place: Place
    toc_number: int
    leaves: dict[str, Leaf]
    deleted: dict[str, frozenset[int]]
    changed: int | None = None  # when its folder last changed, once that is told from the next

    @classmethod
    def read(cls, place: Place, key: bytes, *, reuse: OpenMonth | None) -> OpenMonth | None:
        """The month as it is now, with what `reuse` holds open already; None before a commit.

        FileNotFoundError where a writer was faster: ask again. SealBroken and whatever Whoosh
        raises at bytes it cannot read.
        """
        number = place.toc_number()
        if number < 0:
            return None
        if reuse is not None and reuse.place == place and reuse.toc_number == number:
            return reuse
        storage = place.storage(key)
        segments = TOC.read(storage, _INDEX_NAME, gen=number, schema=SCHEMA).segments
        held = reuse.leaves if reuse is not None and reuse.place == place else {}
        leaves = {s.segment_id(): held.get(s.segment_id()) or Leaf(storage, s) for s in segments}
        deleted = {s.segment_id(): frozenset(s.deleted_docs()) for s in segments}
        for name in held.keys() - leaves.keys():
            held[name].close()
        return cls(place, number, leaves, deleted)

    @property
    def memory_bytes(self) -> int:
        """What the opened segments take, about."""
        return sum(leaf.memory_bytes for leaf in self.leaves.values())

    def small_pieces(self) -> int:
        """How many segments `rewrite` would merge with others."""
        return sum(leaf.count * 2 < MOST_COMPACTED for leaf in self.leaves.values())

    def parts(self) -> list[tuple[Leaf, frozenset[int]]]:
        """Each segment with its deleted documents."""
        return [(leaf, self.deleted[name]) for name, leaf in self.leaves.items()]

    def close(self) -> None:
        """Gives back everything."""
        for leaf in self.leaves.values():
            leaf.close()
        self.leaves = {}


def documents_at(leaves: Mapping[str, Leaf], ids: Sequence[UUID]) -> dict[str, set[int]]:
    """Segment -> its documents of these ids, deleted ones too."""
    wanted = {id.bytes for id in ids}
    return {name: leaf.of_ids(wanted) for name, leaf in leaves.items()}


# -- writing ---------------------------------------------------------------------------


class MonthWriter:
    """One commit to one month. Only one may be at work on an index at a time: its owner locks.

    Nothing is seen by readers, or left by a crash, before `commit` returns.
    """

    def __init__(self, place: Place, key: bytes) -> None:
        place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.storage = place.storage(key)
        if place.toc_number() < 0:
            FileIndex.create(self.storage, SCHEMA, _INDEX_NAME)
        index = FileIndex(self.storage, schema=SCHEMA, indexname=_INDEX_NAME)
        self._writer: Any = TermsWriter(index, counted=COUNTED)
        self.changed = False

    def delete(self, doomed: Mapping[str, set[int]]) -> None:
        """Segment name -> documents that are found no more."""
        for segment in self._writer.segments:
            for doc in doomed.get(segment.segment_id(), ()):
                segment.delete_document(doc)
                self.changed = True

    def add(self, key: Key, terms: Mapping[str, Sequence[str]]) -> None:
        """A document with its terms."""
        self._writer.add_terms({"occurred": key[0], "key": key[1]}, terms)
        self.changed = True

    def adopt(self, other: SealedStorage, segments: Iterable[Any]) -> None:
        """Segments of another folder as they are, under this one's key."""
        for segment in segments:
            name = segment.make_filename(segment.COMPOUND_EXT)
            self.storage.write(name, other.read(name))
            self._writer.segments.append(segment)
            self.changed = True

    def merge(self, other: SealedStorage, segments: Iterable[Any]) -> None:
        """What lives in segments of another folder, together one segment here."""
        for segment in segments:
            _merge_one(self._writer, other, segment)
            self.changed = True

    def commit(self, *, merge: bool = True) -> None:
        """Durable on return, or not done at all."""
        if self.changed:
            self._writer.commit(mergetype=_merge_tiers if merge else NO_MERGE)
        else:
            self._writer.cancel()
        self.storage.forget()

    def cancel(self) -> None:
        """Forgets everything."""
        if not self._writer.is_closed:
            self._writer.cancel()
        self.storage.forget()


def _merge_tiers(writer: Any, segments: Iterable[Any]) -> list[Any]:
    """Merges segments that are mostly deleted, and each size of which there are four.

    Up to `_MOST_MERGED` documents together, so that no commit takes long; what is larger is put
    together only when the month is rewritten. A document is written again once for each size.
    """
    going = [s for s in segments if s.deleted_count() * 2 >= s.doc_count_all()]
    kept = sorted((s for s in segments if s not in going), key=lambda s: int(s.doc_count()))
    size = writer.doc_count() + sum(s.doc_count() for s in going)
    while True:
        tier, merged = [], size
        for segment in kept:
            if _tier(segment.doc_count()) <= _tier(size):
                merged += segment.doc_count()
                tier += [segment] if merged <= _MOST_MERGED else []
        if len(tier) < _TIER - 1:
            break
        going += tier
        kept = [s for s in kept if s not in tier]
        size += sum(s.doc_count() for s in tier)
    for segment in going:
        _merge_one(writer, writer.storage, segment)
    return kept


def _merge_one(writer: Any, storage: SealedStorage, segment: Any) -> None:
    reader = SegmentReader(storage, SCHEMA, segment)
    writer.add_reader(reader)
    reader.close()


def _tier(documents: int) -> int:
    """The power of four."""
    return (max(documents, 1).bit_length() - 1) // 2


# -- what made it ----------------------------------------------------------------------


def note_analyser(storage: SealedStorage, analyser: str) -> None:
    """Remembers, sealed, that documents of this month went through this analyser."""
    known = analysers(storage)
    if analyser_mark(analyser) not in known:
        marks = [*known, analyser_mark(analyser)]
        storage.write(_ABOUT, json.dumps({"analysers": marks}).encode())


def analysers(storage: SealedStorage) -> list[str]:
    """All analysers (with the version of the fields) that this month's documents went through."""
    try:
        return [str(mark) for mark in json.loads(storage.read(_ABOUT))["analysers"]]
    except FileNotFoundError:
        return []


def analyser_mark(analyser: str) -> str:
    """The analyser and the fields' version in one word."""
    return f"{analyser}+fields-{VERSION}"
