"""Finding: the port that every search engine fills, and the way to open one.

An index is told what a recording says (`Document`) and answers with ids. It can be thrown away
at any time and made anew from the catalogue, so it never decides what a person may see. It
knows nothing of recordings' bytes, of people or of rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from archive.model import Document, Hit, Query
from archive.search.exact import Verifier
from archive.search.marking import Marker

FACETS = (
    "kind", "line", "direction", "agent", "source", "month", "duration", "attachment",
)  # fmt: skip


class KeyProvider(Protocol):
    """Where an index's keys come from; `archive.keys.KeysDirectory` is one."""

    def ensure(self, name: str) -> bytes:
        """The 32 bytes of key `name`, made if it never was; KeyDestroyed if it was destroyed."""
        ...

    def get(self, name: str) -> bytes:
        """The 32 bytes of key `name`; KeyDestroyed or KeyMissing. Called at every search."""
        ...

    def destroy(self, name: str) -> bool:
        """Makes key `name` unusable for ever; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """Months held open by a process, and the memory they take, about."""

    months: int
    memory_bytes: int


class Index(Protocol):
    """One search engine. Months are "YYYY-MM" of the time of contact, in UTC.

    Everything it keeps outside its own memory is sealed, temporary files included. Reading
    methods raise IndexDamaged naming the month they could not read; `find`, `count` and `facets`
    pass over such months where they are given a set `lacking`, and name them there. The caller
    drops a damaged month and puts its documents again. A month whose key was destroyed reads as
    empty.
    """

    name: str

    def put(self, documents: Sequence[Document]) -> None:
        """Adds each document, or replaces the one of the same id in the same month.

        Durable on return. A crash before leaves some whole months of the batch put, others not:
        put the batch again. A document whose month changed must be removed from the old one.
        """
        ...

    def remove(self, ids: Iterable[UUID], *, month: str) -> None:
        """These are found no more; unknown ids and months are passed over. Durable on return.

        What they said can be read from the sealed files until `rewrite`.
        """
        ...

    def find(
        self,
        query: Query,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None = None,
        lacking: set[str] | None = None,
    ) -> list[Hit]:
        """At most `limit` hits strictly after `after`, the time and id of an earlier hit.

        Sorted by (occurred_at, id), both falling; for sort "relevance" by score first.
        """
        ...

    def count(self, query: Query, *, lacking: set[str] | None = None) -> int:
        """How many documents match."""
        ...

    def facets(
        self, query: Query, fields: Sequence[str], *, lacking: set[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """For each of `fields` (of FACETS; others are left out): value -> how many match."""
        ...

    def explain(self, query: Query) -> list[str]:
        """How `query.q` was read where that is not plain: stable codes, "code" or "code:word"."""
        ...

    def marker(self, query: Query) -> Marker:
        """Finds in a text the words that `query.q` asks for, as the index finds texts by them."""
        ...

    def verifier(self, query: Query) -> Verifier | None:
        """Whether a document that `find` gave holds the phrases of `query.q`, or lacks them.

        None where an index is sure. `count` and `facets` count what may be dropped by it.
        """
        ...

    def months(self) -> list[str]:
        """The months that hold something, newest first."""
        ...

    def size(self, month: str) -> int:
        """How many documents the month holds; cheap. IndexDamaged."""
        ...

    def check(self, month: str | None = None) -> dict[str, str]:
        """Month -> reason code of every month (or of this one) that cannot be read whole."""
        ...

    def opened(self) -> Opened:
        """What this process holds in memory."""
        ...

    def stale(self) -> list[str]:
        """Months made with another analyser than today's: findable, better made anew."""
        ...

    def to_rewrite(self) -> list[str]:
        """Months that lost documents by `remove` since they were written, or lie in many pieces.

        Oldest first; for the nightly run.
        """
        ...

    def rewrite(self, month: str) -> None:
        """Writes the month under a fresh key without what was removed; destroys the old key.

        Takes about half a minute for 8,000 documents, during which others read and put. What is
        removed meanwhile is found no more, but goes only with the next rewriting: the month is
        in `to_rewrite` then.
        """
        ...

    def drop(self, month: str) -> None:
        """Destroys the month's keys, then removes its files; nothing happens if there is none."""
        ...

    def close(self) -> None:
        """Gives back memory and files; the index may be used again afterwards."""
        ...


def open_index(
    path: Path,
    keys: KeyProvider,
    *,
    memory_mb: int = 1024,
    synonyms: Path | None = None,
    url: str = "",
) -> Index:
    """The index in folder `path`, or with `url` in that PostgreSQL database; made at first writing.

    What it holds open stays within `memory_mb`. `synonyms`: the administrator's list; BadSetting
    where it cannot be read.

    Loads the dictionaries in the background, so that the first search need not wait for them.
    """
    from archive.search.finnish import default_analyser
    from archive.search.postgres_index import PostgresIndex
    from archive.search.whoosh_index import WhooshIndex

    analyser = default_analyser(synonyms)
    analyser.warm()
    memory_bytes = memory_mb * 1024 * 1024
    if url:
        return PostgresIndex(url, keys, analyser=analyser, memory_bytes=memory_bytes)
    return WhooshIndex(path, keys, analyser=analyser, memory_bytes=memory_bytes)
