"""The body of a request as a stream that knows when it was cut short.

Reads the socket's bytes in large blocks and never spools them to a file.
"""

from __future__ import annotations

from typing import Any

from flask import Request

from archive.errors import BadRequest, TooLarge

DRAIN_BYTES = 16 * 1024 * 1024  # read and thrown away so that a sender sees the answer
TURNED_AWAY_BYTES = 1024 * 1024  # likewise, of a body for which there is no place now


class Body:
    """`read(n)` of a request's body; BadRequest if the sender stopped before its end."""

    def __init__(self, request: Request, *, max_bytes: int) -> None:
        self._input: Any = request.environ["wsgi.input"]
        self._chunked = bool(request.environ.get("wsgi.input_terminated")) and (
            request.content_length is None
        )
        self._left = request.content_length or 0
        if self._left > max_bytes:
            raise TooLarge(limit_bytes=max_bytes)

    def read(self, n: int = -1, /) -> bytes:
        """Up to `n` bytes; b"" at the end."""
        if self._chunked:
            return self._read(n)
        if self._left == 0:
            return b""
        block = self._read(self._left if n < 0 else min(n, self._left))
        if not block:
            raise BadRequest(reason="the body ended before its Content-Length")
        self._left -= len(block)
        return block

    def _read(self, n: int) -> bytes:
        try:
            block: bytes = self._input.read(n)
        except (OSError, ValueError, EOFError):
            raise BadRequest(reason="the body could not be read to its end") from None
        return block

    def drain(self, most: int = DRAIN_BYTES) -> None:
        """Reads on, up to a limit, so that an early answer is not lost in a reset connection."""
        left = most
        try:
            while left > 0 and (block := self.read(min(left, 256 * 1024))):
                left -= len(block)
        except BadRequest:
            return
