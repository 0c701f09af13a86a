"""The bytes between DATA and the lone dot (RFC 5321, 4.1.1.4 and 4.5.2), block by block.

Only CRLF dot CRLF ends a message: a bare line feed or carriage return around a dot is content,
so nobody smuggles a second message into the first. Lines may be of any length. Every other byte
passes as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

BLOCK = 64 * 1024  # limit of the reader that is used, and so of a block
END = b"\r\n.\r\n"
_ENOUGH = 16 * 1024


async def blocks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The message without its transparency dots. `reader` must have a limit of BLOCK.

    Stands behind the last dot afterwards. asyncio.IncompleteReadError when the sender is gone.
    """
    unstuffer, block = Unstuffer(), bytearray()
    async for raw, last in _raw(reader):
        block += unstuffer.feed(raw)  # a few bytes at a time where lines are very short
        if last:
            block += unstuffer.end()
        if len(block) >= _ENOUGH or (last and block):
            yield bytes(block)
            block.clear()


async def _raw(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bool]]:
    """The bytes as sent, without the last dot's line; whether they are the last.

    Begins with a line end that is not the message's: the one of the command DATA itself.
    """
    pending = b"\r\n"
    while True:
        known = _overlap(pending)
        if known:  # could be the beginning of the end: then exactly what lacks of it is left
            if pending[:-known]:
                yield pending[:-known], False
            pending = pending[-known:] + await reader.readexactly(len(END) - known)
            if pending == END:
                yield b"\r\n", True
                return
            continue
        if pending:
            yield pending, False
        try:
            found = await reader.readuntil(END)
        except asyncio.LimitOverrunError as overrun:
            pending = await reader.read(overrun.consumed)
        else:
            yield found[:-3], True
            return


def _overlap(pending: bytes) -> int:
    """How many bytes at the end of `pending` are a beginning of END."""
    return next((n for n in range(len(END) - 1, 0, -1) if pending.endswith(END[:n])), 0)


class Unstuffer:
    """Takes away the dot that a sender puts before each line that begins with one.

    What it is fed begins with a line end before the message, which it takes away too.
    """

    def __init__(self) -> None:
        self._held = b""  # a line end, or half of one, whose next byte may be such a dot
        self._before = True

    def feed(self, raw: bytes) -> bytes:
        """What can be said of the message so far."""
        data = self._held + raw
        self._held = b"\r\n" if data.endswith(b"\r\n") else b"\r" if data.endswith(b"\r") else b""
        plain = data[: len(data) - len(self._held)].replace(b"\r\n.", b"\r\n")
        if self._before and plain:
            plain, self._before = plain[2:], False
        return plain

    def end(self) -> bytes:
        """What was held back."""
        return self._held[2:] if self._before else self._held
