"""A ZIP of which every byte follows from names, lengths and CRCs, written as a stream.

Nothing is compressed, no byte is free: so that `verify` can hold each one against the signed
manifest. Knows nothing of what the files are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from archive.evidence import verify

type_bytes = bytes  # `bytes` is a field's name below

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file: `read` gives its content anew at each call, the same every time."""

    name: str
    bytes: int
    crc32: int
    sha256: str
    read: Callable[[], Iterable[type_bytes]] = field(repr=False)

    @classmethod
    def of(cls, name: str, content: type_bytes) -> Part:
        """A file that is in memory."""
        return cls.measured(name, lambda: (content,))

    @classmethod
    def measured(
        cls,
        name: str,
        read: Callable[[], Iterable[type_bytes]],
        step: Callable[[int], None] = lambda n: None,
    ) -> Part:
        """A file that is read once to know its length and digests; `step` is told of each piece."""
        digest, crc, length = hashlib.sha256(), 0, 0
        for piece in read():
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
            length += len(piece)
            step(len(piece))
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not a name in a package: {name}")
        return cls(name=name, bytes=length, crc32=crc, sha256=digest.hexdigest(), read=read)


def total_bytes(parts: Sequence[Part]) -> int:
    """How long the ZIP of these parts is."""
    return sum(len(piece) for piece in _around(parts)) + sum(part.bytes for part in parts)


def stream(parts: Sequence[Part]) -> Iterator[bytes]:
    """The ZIP. ValueError where a part reads differently from how it was measured."""
    for part in parts:
        yield verify.local_header(part.name, part.bytes, part.crc32)
        crc = length = 0
        for piece in part.read():
            crc = zlib.crc32(piece, crc)
            length += len(piece)
            yield piece
        if (crc, length) != (part.crc32, part.bytes):
            raise ValueError("a part of the package changed while it was being written")
    yield from _directory(parts)


def _around(parts: Sequence[Part]) -> Iterator[bytes]:
    for part in parts:
        yield verify.local_header(part.name, part.bytes, part.crc32)
    yield from _directory(parts)


def _directory(parts: Sequence[Part]) -> Iterator[bytes]:
    offset, size = 0, 0
    for part in parts:
        entry = verify.central_entry(part.name, part.bytes, part.crc32, offset)
        offset += len(verify.local_header(part.name, part.bytes, part.crc32)) + part.bytes
        size += len(entry)
        yield entry
    yield verify.end_record(len(parts), offset, size)


class PiecesReader:
    """Reads what an iterator yields: exactly n bytes until the end, then b""."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, n: int = -1, /) -> bytes:
        """The next `n` bytes; all that is left for -1."""
        found, missing = [self._rest], n - len(self._rest)
        while missing > 0 or n < 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            missing -= len(piece)
        whole = b"".join(found)
        if n < 0:
            n = len(whole)
        self._rest = whole[n:]
        return whole[:n]
