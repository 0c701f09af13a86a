"""A path in a bucket: what of `pathlib.Path` backups use, over an object store.

So that a backup is written once for a folder and a bucket alike. A bucket has no folders: those
that objects' keys suggest are always there. Every write is whole or not at all, and durable.
Knows nothing of backups; the store is given to it, by the bucket's address.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from archive.errors import ObjectMissing, StoreUnavailable

_ROOT_PARTS = 3  # "https:", host, bucket


class Objects(Protocol):
    """What a path needs of a store; see `archive.storage.Store`."""

    def put(self, key: str, body: Any) -> Any: ...
    def put_bytes(self, key: str, data: bytes) -> Any: ...
    def head(self, key: str) -> Any: ...
    def stream(self, key: str) -> Iterator[bytes]: ...
    def delete(self, keys: Iterable[str]) -> int: ...
    def list(self, prefix: str) -> Iterator[Any]: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of an object, named as `os.stat` names it."""

    st_size: int


_stores: dict[str, Objects] = {}


def give(address: str, store: Objects) -> Path:
    """Gives the store of a bucket to its paths; the path of the bucket, https://host/bucket.

    Typed as a Path: whoever gets one uses of it what this module has.
    """
    root = BucketPath(address)
    former = _stores.get(str(root))
    _stores[str(root)] = store
    if former is not None:
        former.close()
    return cast("Path", root)


def close() -> None:
    """Gives back connections; paths that are used again make new ones."""
    for store in _stores.values():
        store.close()


def path_of(written: str) -> Path:
    """The path that was written down: of a bucket, where it says so, else of a file."""
    return cast("Path", BucketPath(written)) if "://" in written else Path(written)


class BucketPath(PurePosixPath):
    """https://host:port/bucket/key. StoreUnavailable where nobody gave its store, or it is away."""

    __slots__ = ()

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        raise TypeError("a path in a bucket is no file")

    @property
    def key(self) -> str:
        """The object's key; "" for the bucket itself."""
        return "/".join(self.parts[_ROOT_PARTS:])

    @property
    def _store(self) -> Objects:
        store = _stores.get(str(type(self)(*self.parts[:_ROOT_PARTS])))
        if store is None:
            raise StoreUnavailable(reason="no credentials")
        return store

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    # -- looking ---------------------------------------------------------------------

    def absolute(self) -> BucketPath:
        """Itself."""
        return self

    def exists(self) -> bool:
        """Whether there is such an object."""
        return self._store.head(self.key) is not None

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return self.exists()

    def is_dir(self) -> bool:
        """Whether the bucket can be reached."""
        try:
            self._store.check()
        except StoreUnavailable:
            return False
        return True

    def stat(self) -> Size:
        """Its size in bytes. FileNotFoundError."""
        found = self._store.head(self.key)
        if found is None:
            raise FileNotFoundError(2, "no such object")
        return Size(found.bytes)

    def sizes(self) -> dict[str, int]:
        """Bytes of every object below it, by key relative to it."""
        return {
            each.key[len(self._prefix) :]: each.bytes for each in self._store.list(self._prefix)
        }

    def iterdir(self) -> Iterator[BucketPath]:
        """What lies directly below it, as folders would show it."""
        for name in dict.fromkeys(key.partition("/")[0] for key in self.sizes()):
            yield self / name

    def glob(self, pattern: str) -> Iterator[BucketPath]:
        """Objects whose key below it matches, part by part."""
        wanted = pattern.split("/")
        for key in self.sizes():
            parts = key.split("/")
            if len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)):
                yield self / key

    def rglob(self, pattern: str) -> Iterator[BucketPath]:
        """Objects at any depth whose name matches."""
        for key in self.sizes():
            if fnmatchcase(key.rpartition("/")[2], pattern):
                yield self / key

    # -- reading and writing ---------------------------------------------------------

    def read_bytes(self) -> bytes:
        """The whole object. FileNotFoundError."""
        try:
            return b"".join(self._store.stream(self.key))
        except ObjectMissing:
            raise FileNotFoundError(2, "no such object") from None

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """For reading from its beginning to its end."""
        if mode != "rb":
            raise ValueError("an object is opened for reading only")
        return io.BufferedReader(_Stream(self._store.stream(self.key)), 1024 * 1024)

    def write_bytes(self, data: bytes) -> None:
        """In the place of any other of the key."""
        self._store.put_bytes(self.key, data)

    def put(self, body: Any) -> None:
        """Writes what `body.read(n)` yields; an exception of it leaves no object."""
        self._store.put(self.key, body)

    def put_blocks(self, blocks: Iterator[bytes]) -> None:
        """Writes what the blocks hold."""
        self.put(io.BufferedReader(_Stream(blocks), 1024 * 1024))

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes every version of it."""
        self._store.delete([self.key])

    def remove_tree(self) -> None:
        """Deletes every version of everything below it."""
        self._store.delete([each.key for each in self._store.list(self._prefix)])


class _Stream(io.RawIOBase):
    """Blocks as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            with suppress(StopIteration):
                self._rest = memoryview(next(self._blocks))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n
