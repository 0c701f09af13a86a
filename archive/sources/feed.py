"""A message's bytes on their way from a session (an event loop) to the thread that stores them.

Holds a few blocks and no more: when the store is slow the session stops reading, and the sender
waits. Knows nothing of SMTP.
"""

from __future__ import annotations

import asyncio
import queue

BLOCKS = 4


class Feed:
    """One message. The session puts blocks in, one thread reads them out."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, blocks: int = BLOCKS) -> None:
        self._loop = loop
        self._room = asyncio.Semaphore(blocks)
        self._queue: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._abandoned = False
        self._left = b""
        self._ended = False

    # -- the session's side ------------------------------------------------------------

    async def put(self, block: bytes) -> None:
        """Hands over one block, when there is room; nothing once it was abandoned."""
        if not self._abandoned:
            await self._room.acquire()
            self._queue.put(block)

    def end(self) -> None:
        """The message is whole."""
        self._queue.put(b"")

    def fail(self, error: Exception) -> None:
        """The message will not be whole: whoever reads is told so by this error."""
        self._queue.put(error)

    def abandon(self) -> None:
        """Nobody reads any longer; what is still put is thrown away."""
        self._abandoned = True
        self._room.release()

    # -- the thread's side ---------------------------------------------------------------

    def read(self, n: int = -1, /) -> bytes:
        """At least one and at most `n` bytes; b"" at the end. Raises what `fail` was given."""
        if not self._left and not self._ended:
            self._left = self._next()
        if n < 0 or n >= len(self._left):
            taken, self._left = self._left, b""
        else:
            taken, self._left = self._left[:n], self._left[n:]
        return taken

    def _next(self) -> bytes:
        block = self._queue.get()
        if isinstance(block, Exception):
            self._queue.put(block)  # whoever reads on is told again
            raise block
        self._ended = not block
        if block:
            self._loop.call_soon_threadsafe(self._room.release)
        return block
