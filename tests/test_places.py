"""Saturated intake: who comes on top is told to come again, and no source crowds out another."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from archive.archive import Archive
from archive.errors import Saturated
from archive.model import Purpose, Scope
from archive.places import REMEMBERED_S, Places
from tests.api.test_delivery import MAIL
from tests.machine import Machine
from tests.mail_server import kept


def take(places: Places, source: str, n: int, stack: ExitStack) -> int:
    """How many of `n` places the source gets."""
    for got in range(n):
        try:
            stack.enter_context(places.one(source))
        except Saturated:
            return got
    return n


def test_a_source_alone_leaves_one_place_and_several_share_them_equally() -> None:
    now = [0.0]
    places = Places(12, monotonic=lambda: now[0])
    with ExitStack() as first, ExitStack() as others:
        assert take(places, "pbx", 20, first) == 11
        assert take(places, "smtp", 20, others) == 1  # at once, though the first holds the rest
        first.close()
        assert take(places, "pbx", 20, first) == 6
        assert take(places, "smtp", 20, others) == 5
        others.close()
        assert take(places, "pbx", 20, first) == 0  # the other may want them again
        now[0] += REMEMBERED_S + 1
        assert take(places, "pbx", 20, first) == 5
    with ExitStack() as stack:
        assert take(places, "pbx", 20, stack) == 11


def test_one_place_serves_one_after_the_other() -> None:
    places = Places(0)
    for _ in range(3):
        with places.one("pbx"), pytest.raises(Saturated):
            places.one("smtp").__enter__()
        with places.one("smtp"):
            pass


def test_a_few_wait_for_a_place_and_the_next_is_sent_away() -> None:
    places = Places(1, waiting=1)
    came, go = threading.Event(), threading.Event()

    def wait() -> None:
        with places.one("pbx"):
            came.set()
            go.wait(30)

    with places.one("pbx"):
        second = threading.Thread(target=wait)
        second.start()
        end = time.monotonic() + 30
        while not places._waiting:
            assert time.monotonic() < end
            time.sleep(0.001)
        with pytest.raises(Saturated):
            places.one("pbx").__enter__()
        assert not came.is_set()
    assert came.wait(30)  # as soon as the first one is done
    go.set()
    second.join(30)


def test_a_place_is_given_back_whatever_happens() -> None:
    places = Places(2)
    for _ in range(5):
        with pytest.raises(ValueError), places.one("pbx"):
            raise ValueError


class Stuck(io.BytesIO):
    """A body that comes after `go` is set, as of a slow sender."""

    def __init__(self, go: threading.Event, content: bytes) -> None:
        super().__init__(content)
        self._go = go

    def read(self, n: int | None = -1, /) -> bytes:
        assert self._go.wait(60)
        return super().read(n)


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_slow_senders_of_one_source_keep_nobody_else_waiting_and_lose_nothing(
    app: Flask, archive: Archive, token_of: Callable[..., Machine], go: threading.Event
) -> None:
    app.extensions["places"] = Places(4)
    slow = token_of(Scope.INGEST, purposes=(), source="slow")
    other = token_of(Scope.INGEST, purposes=(), source="other")
    reader = token_of(Scope.SEARCH, purposes=(Purpose.VERIFICATION,))
    answers: list[Any] = []

    def post(machine: Machine, n: int, body: Any, source: str) -> Any:
        return app.test_client().post(
            f"/api/v1/emails?source={source}&mailbox=a@yhtio.example&direction=inbound",
            environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(len(MAIL))},
            content_type="message/rfc822",
            headers=machine.headers | {"X-Archive-Source-Ref": f"{source}-{n}"},
        )

    def deliver(n: int) -> None:
        answers.append(post(slow, n, Stuck(go, MAIL), "slow"))

    threads = [threading.Thread(target=deliver, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    while app.extensions["places"]._taken["slow"] < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    turned = post(slow, 9, io.BytesIO(MAIL), "slow")
    assert (turned.status_code, turned.headers["Retry-After"]) == (429, "2")
    assert turned.get_json()["type"] == "urn:contact-archive:problem:saturated"
    assert post(other, 1, io.BytesIO(MAIL), "other").status_code == 201
    assert reader.get("/api/v1/recordings").status_code == 200
    go.set()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [201] * 3
    assert post(slow, 9, io.BytesIO(MAIL), "slow").status_code == 201  # as it was told
    assert len(kept(archive)) == 5
