"""Kept connections to one HTTP server, and single requests over them. Knows nothing of S3.

For the few kinds of request that are sent thousands of times an hour: urllib3 with http.client
costs a small PUT half a millisecond, as much as all sealing and half of what the database does
(measured by `archive bench`). The answers are parsed by llhttp (package httptools).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from httptools import HttpParserError, HttpResponseParser

READ_BYTES = 256 * 1024


class WireError(OSError):
    """The server's answer is no HTTP, or ended before it was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Wire:
    """At most `connections` requests at a time to `endpoint` ("host:port"). Thread-safe.

    A request is sent once more, over a new connection, where a kept one turns out to be dead
    before the first byte of an answer: so only such requests may go through here that do no
    harm when the server sees them twice. Raises OSError, of which TimeoutError is one.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        tls: ssl.SSLContext | None,
        connections: int,
        connect_s: float,
        read_s: float,
        wait_s: float,
    ) -> None:
        self._host, self._port = _host_and_port(endpoint, 443 if tls else 80)
        self._tls = tls
        self._connect_s, self._read_s, self._wait_s = connect_s, read_s, wait_s
        self._free = threading.BoundedSemaphore(connections)
        self._kept: deque[socket.socket] = deque()

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """One request and its answer. `headers` are complete but for Content-Length."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
        if head.count(b"\n") != len(lines) + 1:
            raise ValueError("a line break in a header")
        if not self._free.acquire(timeout=self._wait_s):
            raise TimeoutError("all connections are in use")
        try:
            return self._exchange(method, head, body or b"")
        finally:
            self._free.release()

    def close(self) -> None:
        """Closes what is kept; a later request connects anew."""
        while True:
            try:
                self._kept.pop().close()
            except IndexError:
                return

    def _exchange(self, method: str, head: bytes, body: bytes) -> Answer:
        kept = self._take()
        if kept is not None:
            with suppress(_Dead):
                return self._over(kept, method, head, body)
        try:
            return self._over(self._connect(), method, head, body)
        except _Dead as error:
            raise WireError("the connection was closed without an answer") from error.__cause__

    def _take(self) -> socket.socket | None:
        try:
            return self._kept.pop()  # the one used last: the others may be closed for being idle
        except IndexError:
            return None

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), timeout=self._connect_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return plain
            return self._tls.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise

    def _over(self, line: socket.socket, method: str, head: bytes, body: bytes) -> Answer:
        """The exchange over one connection, which is kept or closed afterwards."""
        keep = False
        try:
            line.settimeout(self._read_s)
            reader = _Reader(bodiless=method == "HEAD")
            try:
                _send(line, head, body)
            except (BrokenPipeError, ConnectionResetError) as error:
                # It may have answered already (too large, no room) and closed.
                if not reader.feed_from(line):
                    raise _Dead from error
            keep = reader.read(line)
            return reader.answer()
        finally:
            if keep:
                self._kept.append(line)
            else:
                line.close()


class _Dead(Exception):
    """The connection ended before a byte of an answer came."""


def _send(line: socket.socket, head: bytes, body: bytes) -> None:
    """Head and body in as few packets as they need, without copying the body."""
    if not body:
        line.sendall(head)
    elif isinstance(line, ssl.SSLSocket) or len(body) < 2 * READ_BYTES:
        line.sendall(head + body)
    else:
        line.sendall(head)
        line.sendall(body)


class _Reader:
    """What has come of one answer. Its methods on_… are called by the parser."""

    def __init__(self, *, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._status = 0
        self._stays_open = False
        self._complete = False
        self._any = False

    def feed_from(self, line: socket.socket) -> bool:
        """Takes what there is; False at the end of the connection."""
        try:
            data = line.recv(READ_BYTES)
        except ConnectionResetError as error:
            if self._any:
                raise
            raise _Dead from error
        if not data:
            return False
        self._any = True
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise WireError(f"not an answer of HTTP: {type(error).__name__}") from None
        return True

    def read(self, line: socket.socket) -> bool:
        """Reads to the end of the answer; whether the connection may be used again."""
        while not self._complete:
            if not self.feed_from(line):
                if not self._any:
                    raise _Dead
                if not self._ends_with_the_connection():
                    raise WireError("the answer ended before it was whole")
                return False
        return self._stays_open

    def _ends_with_the_connection(self) -> bool:
        return self._status >= 200 and not {"content-length", "transfer-encoding"} & set(
            self._headers
        )

    def answer(self) -> Answer:
        """The answer, complete."""
        return Answer(self._status, self._headers, b"".join(self._pieces))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, of the answer or of one that only announces it."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The end of the head: of a HEAD's answer the end of everything."""
        self._status = self._parser.get_status_code()
        self._stays_open = bool(self._parser.should_keep_alive())  # wrong after the end
        if self._status < 200:
            self._headers = {}
        elif self._bodiless:
            self._complete = True

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end."""
        if self._status >= 200:
            self._complete = True


def _host_and_port(endpoint: str, default: int) -> tuple[str, int]:
    """("::1", 8333) of "[::1]:8333"."""
    host, colon, port = endpoint.rpartition(":")
    if not colon or "]" in port:
        host, port = endpoint, str(default)
    return host.removeprefix("[").removesuffix("]"), int(port)
