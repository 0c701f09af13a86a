"""The connection to an HTTP server, against servers that behave well and badly (real sockets)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from archive.storage.wire import Wire, WireError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amz-Version-Id: v1\r\n\r\nok"


class Server:
    """Gives one canned answer a request, and notes connections and what was sent."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.requests: list[bytes] = []
        self._answers = iter(answers)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with line:
                line.settimeout(5)
                while (request := _request(line)) is not None:
                    self.requests.append(request)
                    answer = next(self._answers, None)
                    if answer is None:
                        break
                    line.sendall(answer)
                    if b"close" in answer or answer.startswith(b"HTTP/1.0"):
                        break

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def _request(line: socket.socket) -> bytes | None:
    got = b""
    while b"\r\n\r\n" not in got:
        try:
            piece = line.recv(65536)
        except OSError:
            return None
        if not piece:
            return None
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = 0
    for row in head.split(b"\r\n"):
        if row.lower().startswith(b"content-length:"):
            length = int(row.partition(b":")[2])
    while len(body) < length:
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def served(*answers: bytes | None) -> Iterator[tuple[Wire, Server]]:
    server = Server(list(answers))
    wire = Wire(server.endpoint, tls=None, connections=2, connect_s=2.0, read_s=2.0, wait_s=0.2)
    with closing(wire):
        try:
            yield wire, server
        finally:
            wire.close()
            server.stop()


def put(wire: Wire, body: bytes = b"body") -> tuple[int, bytes]:
    answer = wire.request("PUT", "/bucket/key", {"Host": "h"}, body)
    return answer.status, answer.data


def test_requests_share_a_connection() -> None:
    with served(OK, OK, OK) as (wire, server):
        assert [put(wire) for _ in range(3)] == [(200, b"ok")] * 3
        assert server.connections == 1


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    with served(OK) as (wire, server):
        put(wire, body)
        assert server.requests[0].endswith(b"\r\n\r\n" + body)


def test_headers_are_found_by_their_name_in_lower_case() -> None:
    with served(OK) as (wire, _):
        answer = wire.request("GET", "/", {"Host": "h"}, None)
        assert answer.headers["x-amz-version-id"] == "v1"


def test_the_answer_to_head_has_no_body_and_keeps_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n"
    with served(head, OK) as (wire, server):
        answer = wire.request("HEAD", "/", {"Host": "h"}, None)
        assert (answer.status, answer.headers["content-length"]) == (200, "700")
        assert put(wire) == (200, b"ok")
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
    ids=["chunked", "continue", "until closed", "http 1.0"],
)
def test_every_way_of_ending_a_body_is_understood(answer: bytes) -> None:
    with served(answer, OK) as (wire, _):
        assert put(wire) == (200, b"ok")
        assert put(wire) == (200, b"ok")


def test_a_kept_connection_that_died_is_replaced() -> None:
    with served(OK, None, OK) as (wire, server):
        put(wire)
        assert put(wire) == (200, b"ok")  # the second request met a closed connection
        assert server.connections == 2


def test_a_server_that_never_answers_anybody_is_not_asked_for_ever() -> None:
    with served(None, None, None) as (wire, server):
        with pytest.raises(WireError):
            put(wire)
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nok",
        b"SSH-2.0-close\r\n",
    ],
    ids=["short", "short chunk", "not http"],
)
def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    with served(answer) as (wire, _), pytest.raises(WireError):
        put(wire)


def test_an_early_refusal_is_read_though_the_body_was_not_taken() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with served(refusal) as (wire, _):
        assert put(wire)[0] == 413


def test_a_line_break_in_a_header_is_never_sent() -> None:
    with served(OK) as (wire, server):
        with pytest.raises(ValueError, match="line break"):
            wire.request("GET", "/", {"Host": "h\r\nX: y"}, None)
        assert server.requests == []


def test_waiting_for_a_connection_ends() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
    wire = Wire(endpoint, tls=None, connections=1, connect_s=2.0, read_s=5.0, wait_s=0.2)
    first = threading.Thread(target=_put_in_vain, args=(wire,))
    first.start()
    line, _ = listener.accept()
    with pytest.raises(TimeoutError):
        put(wire)
    line.close()
    listener.close()
    first.join(10)
    wire.close()


def _put_in_vain(wire: Wire) -> None:
    with pytest.raises(OSError):
        put(wire)
