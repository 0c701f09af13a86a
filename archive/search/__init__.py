"""Finding: the port that every search engine fills, and the way to open one.

An index is told what a recording says (`Document`) and answers with ids. It can be thrown away
at any time and made anew from the catalogue, so it never decides what a person may see. It
knows nothing of recordings' bytes, of people or of rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from archive.model import Document, Hit, Query

FACETS = ("kind", "line", "direction", "agent", "source", "month")


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


class Index(Protocol):
    """One search engine. Months are "YYYY-MM" of the time of contact, in UTC.

    Everything it keeps outside its own memory is sealed, temporary files included. Reading
    methods raise IndexDamaged naming the month they could not read; the caller drops that month
    and puts its documents again. A month whose key was destroyed reads as empty.
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
        self, query: Query, *, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> list[Hit]:
        """At most `limit` hits strictly after `after`, the time and id of an earlier hit.

        Sorted by (occurred_at, id), both falling; for sort "relevance" by score first.
        """
        ...

    def count(self, query: Query) -> int:
        """How many documents match."""
        ...

    def facets(self, query: Query, fields: Sequence[str]) -> dict[str, dict[str, int]]:
        """For each of `fields` (of FACETS; others are left out): value -> how many match."""
        ...

    def explain(self, query: Query) -> list[str]:
        """How `query.q` was read where that is not plain: stable codes, "code" or "code:word"."""
        ...

    def months(self) -> list[str]:
        """The months that hold something, newest first."""
        ...

    def check(self) -> dict[str, str]:
        """Month -> reason code of every month that cannot be read whole; {} when all is well."""
        ...

    def stale(self) -> list[str]:
        """Months made with another analyser than today's: findable, better made anew."""
        ...

    def to_rewrite(self) -> list[str]:
        """Months that lost documents by `remove` since they were written, or lie in many pieces.

        Oldest first; for the nightly run. Rewriting a month of 8,000 takes about half a minute,
        during which nothing can be put.
        """
        ...

    def rewrite(self, month: str) -> None:
        """Writes the month under a fresh key without what was removed; destroys the old key."""
        ...

    def drop(self, month: str) -> None:
        """Destroys the month's keys, then removes its files; nothing happens if there is none."""
        ...

    def close(self) -> None:
        """Gives back memory and files; the index may be used again afterwards."""
        ...


def open_index(path: Path, keys: KeyProvider, *, memory_mb: int = 512) -> Index:
    """The index in folder `path` (made at first writing), its opened months within `memory_mb`.

    Loads the dictionaries in the background, so that the first search need not wait for them.
    """
    from archive.search.finnish import default_analyser
    from archive.search.whoosh_index import WhooshIndex

    analyser = default_analyser()
    analyser.warm()
    return WhooshIndex(path, keys, analyser=analyser, memory_bytes=memory_mb * 1024 * 1024)
