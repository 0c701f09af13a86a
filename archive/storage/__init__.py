"""Where sealed bytes live: the port. A store knows nothing of keys, people or calls.

Keys of objects are opaque to a store and carry nothing personal. Objects are write-once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from archive.config import Config


class Readable(Protocol):
    """A source of bytes. `read(n)` returns exactly n bytes until the end, b"" after it."""

    def read(self, n: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store holds it; `version` is None where the bucket is unversioned."""

    key: str
    version: str | None
    bytes: int


class Store(Protocol):
    """A bucket of objects.

    Every method raises StoreUnavailable where the store does not answer (within 3 s to
    connect, 60 s to answer), DiskFull where it has no space. Nothing is half-kept then.
    """

    def put(self, key: str, body: Readable) -> Stored:
        """Stores all that `body` yields, length unknown beforehand; durable on return.

        Holds at most 16 MiB of it in memory. An exception of `body.read` passes through and
        leaves no object.
        """
        ...

    def put_bytes(self, key: str, data: bytes) -> Stored:
        """Stores `data`; durable on return."""
        ...

    def get(self, key: str, *, start: int, length: int, version: str | None = None) -> bytes:
        """`length` bytes from `start` (0-based); fewer only where the object ends.

        b"" at or past the end. Raises ObjectMissing.
        """
        ...

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Iterator[bytes]:
        """Like `get` in pieces of at most 4 MiB; length None: to the end. Raises ObjectMissing."""
        ...

    def head(self, key: str) -> Stored | None:
        """The newest version's version and size; None where there is no such object."""
        ...

    def modified(self, key: str) -> datetime | None:
        """When the newest version was written, by the store's clock; None where there is none."""
        ...

    def delete(self, keys: Iterable[str]) -> int:
        """Deletes every version of every key; returns how many versions went. Idempotent.

        DeletionRefused names the keys of which something is locked; the others of their batch
        are gone then.
        """
        ...

    def hold(self, key: str, *, held: bool) -> None:
        """Puts every version of the object under legal hold, or lifts it; durable on return.

        Nothing where objects are not locked, or there is none of that key.
        """
        ...

    def probe_lock(self) -> Sequence[str]:
        """What of object lock does not hold here: "bypassed" where the service's own credential
        deletes what is locked, "kept" where the eraser's does not."""
        ...

    def abort_uploads(self, *, before: datetime) -> int:
        """Ends uploads in parts that were begun before that instant; how many there were."""
        ...

    def reclaim(self) -> int | None:
        """Has the store give back the room of what was deleted; the bytes, None if it sees to
        that itself."""
        ...

    def list(self, prefix: str) -> Iterator[Stored]:
        """The newest version of every object whose key begins with `prefix`, by key."""
        ...

    def versions(self, prefix: str) -> Iterator[Stored]:
        """Every version of every object whose key begins with `prefix`, deleted ones' too."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """What the keys below `prefix` (which ends with "/") go on with, up to the next "/"."""
        ...

    def check(self) -> None:
        """Returns if the store answers and the bucket is there; raises StoreUnavailable."""
        ...

    def close(self) -> None:
        """Gives back connections."""
        ...


def open_store(config: Config) -> Store:
    """The store that the settings name, else the one of the archive running in the home.

    Makes the bucket where there is none. Raises NotRunning where neither is there, BadSetting
    for an unusable address, StoreUnavailable where nothing answers.
    """
    from archive.storage.address import store_from

    return store_from(config)
