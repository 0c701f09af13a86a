"""A way between the archive and one of its parts that can be cut and mended while bytes pass.

Knows no protocol: bytes in, bytes out. Runs an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

_BLOCK = 64 * 1024
_T = TypeVar("_T")


class Gate:
    """Listens on a TCP port of this machine or on a socket file, and passes everything on.

    Cut, it breaks what is under way (a reset, where there is one) and takes nothing new.
    """

    def __init__(self, *, to: Path | int, at: Path | None = None) -> None:
        self._to, self._at = to, at
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(self._listen())
        self.port = 0 if at else int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """From now on nothing passes."""
        self._loop.call_soon_threadsafe(self._cut)

    def mend(self) -> None:
        """New connections pass again."""
        self._is_cut = False

    def close(self) -> None:
        """Ends the loop and its thread."""
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        if self._at is not None:
            return await asyncio.start_unix_server(self._meet, self._at)
        return await asyncio.start_server(self._meet, "127.0.0.1", 0)

    async def _shut(self) -> None:
        self._server.close()
        self._cut()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def _cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        far = None
        try:
            if self._is_cut:
                return
            far_reader, far = await self._beyond()
            self._writers.add(far)
            await asyncio.gather(_pass(reader, far), _pass(far_reader, writer))
        except OSError:
            pass
        finally:
            for each in (writer, far):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _beyond(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._to, Path):
            return await asyncio.open_unix_connection(self._to)
        return await asyncio.open_connection("127.0.0.1", self._to)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK):
        writer.write(block)
        await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()
