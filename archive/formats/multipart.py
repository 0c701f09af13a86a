"""multipart/form-data read as a stream (RFC 7578, RFC 2046): nothing is ever spooled to a file.

Parts come one after the other in the order sent; a part's body is read before the next begins.
Knows nothing of what the parts mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Protocol

HEADER_BYTES = 16 * 1024  # most that a part's header may take
BLOCK = 256 * 1024


class MultipartError(Exception):
    """The body is not well-formed multipart/form-data."""


class Readable(Protocol):
    def read(self, n: int = -1, /) -> bytes: ...


@dataclass(slots=True)
class Part:
    """A part's name, file name and media type; `read` gives its body."""

    name: str
    file_name: str | None
    media_type: str
    _reader: MultipartReader = field(repr=False)

    def read(self, n: int = -1, /) -> bytes:
        """Up to `n` bytes of the body (all of the rest for -1); b"" at its end."""
        return self._reader.read_body(n)


def boundary_of(content_type: str) -> bytes:
    """The boundary named in a Content-Type; MultipartError if it is not multipart/form-data."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise MultipartError("expected multipart/form-data with a boundary")
    if not 1 <= len(boundary) <= 200:
        raise MultipartError("boundary too long")
    return boundary.encode("latin-1", "replace")


class MultipartReader:
    """Reads parts off a stream. `source.read(n)` may return short; b"" means the end."""

    def __init__(self, source: Readable, boundary: bytes) -> None:
        self._source = source
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter looks like the others
        self._ended = False
        self._started = False
        self._in_body = False
        self._last = False

    def next_part(self) -> Part | None:
        """The next part, or None after the last. What is left of the former part is skipped."""
        if self._last:
            return None
        while self.read_body(BLOCK):
            pass
        if not self._started:
            self._skip_preamble()
        if self._at_close():
            self._last = True
            return None
        return self._parse_header(self._read_header())

    def read_body(self, n: int = -1) -> bytes:
        """Up to `n` bytes of the current part's body; b"" at its end."""
        if not self._in_body:
            return b""
        if n < 0:
            blocks = []
            while block := self.read_body(BLOCK):
                blocks.append(block)
            return b"".join(blocks)
        while True:
            at = self._buffer.find(self._delimiter)
            if at == 0:
                del self._buffer[: len(self._delimiter)]
                self._in_body = False
                return b""
            # Bytes that could be the beginning of a delimiter stay until more has come.
            safe = at if at > 0 else len(self._buffer) - len(self._delimiter) + 1
            if safe > 0:
                take = bytes(memoryview(self._buffer)[: min(n, safe)])
                del self._buffer[: len(take)]
                return take
            self._fill(max(n, 1))

    def _skip_preamble(self) -> None:
        while (at := self._buffer.find(self._delimiter)) < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._delimiter) + 1)]
            self._fill(BLOCK)
        del self._buffer[: at + len(self._delimiter)]
        self._started = True

    def _at_close(self) -> bool:
        while len(self._buffer) < 2:
            self._fill(HEADER_BYTES)
        return self._buffer.startswith(b"--")

    def _read_header(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEADER_BYTES:
                raise MultipartError("part header too long")
            self._fill(HEADER_BYTES)
        header = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self._in_body = True
        self._empty_body()
        return header

    def _empty_body(self) -> None:
        """Some senders write no CRLF between the header's blank line and the next delimiter."""
        bare = self._delimiter[2:]
        while len(self._buffer) < len(self._delimiter) and not self._ended:
            self._fill(HEADER_BYTES, required=False)
        if self._buffer.startswith(bare):
            self._buffer[:0] = b"\r\n"

    def _parse_header(self, header: bytes) -> Part:
        message = Message()
        for line in re.split(rb"\r\n(?![ \t])", header.lstrip(b" \t\r\n")):
            name, colon, value = line.partition(b":")
            if colon:
                message[name.decode("latin-1").strip()] = value.decode("utf-8", "replace").strip()
        name = message.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise MultipartError("a part without a name")
        file_name = message.get_param("filename", header="content-disposition")
        return Part(
            name=name,
            file_name=file_name if isinstance(file_name, str) else None,
            media_type=message.get_content_type() if "content-type" in message else "",
            _reader=self,
        )

    def _fill(self, n: int, *, required: bool = True) -> None:
        block = b"" if self._ended else self._source.read(max(n, 64 * 1024))
        if not block:
            self._ended = True
            if required:
                raise MultipartError("the body ends too early")
        self._buffer += block
