"""Alerts: what is wrong is told once by each channel, again until heard, and when it is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from archive import alertchannels, alerts
from archive.alarms import Alarms
from archive.alerts import Lookout
from archive.archive import SYSTEM, Archive
from archive.config import Config
from archive.db import transaction
from archive.errors import BadSetting
from archive.sources import announced
from tests.clock import Clock
from tests.running import free_port
from tests.test_story import deliver

SECRET = "salaisuus-testissä"


class Hook:
    """A web server that writes down what it is told; `status` is what it answers."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.told.append((dict(self.headers), body))
                self.send_response(hook.status)
                self.send_header("Location", "http://192.0.2.1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def states(self) -> list[tuple[str, str, str]]:
        found = [json.loads(body) for _, body in self.told]
        return [(one["alert"], one["of"], one["state"]) for one in found]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Mailbox:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content)
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


@pytest.fixture
def watching(archive: Archive, clock: Clock, hook: Hook) -> Callable[..., None]:
    """One turn of the worker over what may be wrong; `passes` is how much time has passed."""
    archive.config = replace(archive.config, alert_url=hook.url, alert_secret=SECRET)
    passed = [0.0]
    channels = alertchannels.channels_of(archive.config, now=clock)
    lookout = Lookout(
        archive.engine, Alarms(archive.keys.path), tuple(channels), now=clock,
        monotonic=lambda: passed[0],
    )  # fmt: skip

    def turn(passes: timedelta = timedelta(), *, clock_says: timedelta | None = None) -> None:
        passed[0] += passes.total_seconds()
        clock.advance(passes if clock_says is None else clock_says)
        lookout.look()
        alerts.send_due(archive.engine, channels, now=clock)

    return turn


def lasting(archive: Archive) -> set[tuple[str, str]]:
    with transaction(archive.engine) as connection:
        return {(one.name, one.of) for one in alerts.lasting(connection)}


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """The database's clock is the test's, as in every test of an archive."""
    monkeypatch.setattr(alerts, "database_now", lambda connection: clock())


def test_a_source_that_falls_silent_is_told_once_signed_and_when_it_is_over(
    archive: Archive, clock: Clock, hook: Hook, watching: Callable[..., None]
) -> None:
    for weeks in (4, 3, 2, 1):
        at = clock() - timedelta(weeks=weeks, minutes=10)
        with transaction(archive.engine) as connection:
            for n in range(6):
                receipt = deliver(archive, f"{weeks}-{n}")
                _arrived(connection, receipt.id, at)
    watching()
    watching(timedelta(minutes=1))
    assert hook.states() == [("source-silent", "pbx", "began")]
    headers, body = hook.told[0]
    assert headers["X-Archive-Signature"] == alertchannels.signature(
        SECRET, headers["X-Archive-Timestamp"], body
    )
    assert set(json.loads(body)) == {
        "id", "alert", "of", "state", "began_at", "ended_at", "meaning",
    }  # fmt: skip
    deliver(archive, "again")
    watching(timedelta(minutes=1))
    assert hook.states()[1:] == [("source-silent", "pbx", "over")]


def _arrived(connection: Any, id: Any, at: datetime) -> None:
    from archive import catalogue

    catalogue.change(connection, id, received_at=at)


def test_an_alert_that_is_not_heard_is_told_again_and_a_redirect_is_not_followed(
    archive: Archive, hook: Hook, watching: Callable[..., None]
) -> None:
    Alarms(archive.keys.path).ring("root-away", "x", now=archive.now())
    hook.status = 302  # to a host that the test's network refuses
    watching()
    watching(timedelta(seconds=30))
    assert len(hook.told) == 1  # waits before it tries again
    with transaction(archive.engine) as connection:
        assert alerts.waiting(connection) == (1, "HTTP-302")
    hook.status = 204
    watching(timedelta(minutes=2))
    watching(timedelta(minutes=5))
    assert hook.states() == [("alarm", "root-away", "began")] * 2
    assert len({json.loads(body)["id"] for _, body in hook.told}) == 1  # the same message


def test_a_moved_clock_a_late_and_a_failed_night_and_a_difference_are_told(
    archive: Archive, clock: Clock, hook: Hook, watching: Callable[..., None]
) -> None:
    archive.expire()
    watching()
    assert hook.states() == []
    watching(timedelta(seconds=30), clock_says=timedelta(minutes=10))
    assert lasting(archive) == {("clock-jump", "host")}
    receipt = deliver(archive, "1")
    rows = ["source_ref,occurred_at", f"2,{(clock() - timedelta(hours=2)).isoformat()}"]
    archive.reconcile(SYSTEM, source="pbx", announced=announced.read(rows))
    assert lasting(archive) == {("clock-jump", "host"), ("source-differs", "pbx")}
    watching(timedelta(hours=27))
    assert lasting(archive) == {("expiry-late", "worker")}  # the others were of their moment
    archive.expire()
    watching(timedelta(minutes=1))
    assert lasting(archive) == set()
    assert sorted(hook.states()) == [
        (name, of, state)
        for name, of in (
            ("clock-jump", "host"), ("expiry-late", "worker"), ("source-differs", "pbx"),
        )
        for state in ("began", "over")
    ]  # fmt: skip
    assert str(receipt.id) not in str(hook.told)


def test_alerts_are_mailed_by_the_server_for_mails(archive: Archive, clock: Clock) -> None:
    with mailbox() as (box, port):
        config = replace(
            archive.config,
            alert_mail=("paivystys@yhtio.example",),
            smtp_url=f"smtp://127.0.0.1:{port}",
            mail_from="arkisto@yhtio.example",
        )
        channels = alertchannels.channels_of(config, now=clock)
        with transaction(archive.engine) as connection:
            alerts.begin(connection, "test", "archive", now=clock(), channels=tuple(channels))
            alerts.begin(connection, "test", "archive", now=clock(), channels=tuple(channels))
        assert alerts.send_due(archive.engine, channels, now=clock) == (1, [])
    (mail,) = box.mails
    assert b"Subject: Contact archive: test archive, began" in mail
    assert b"To: paivystys@yhtio.example" in mail


@pytest.mark.parametrize(
    "changes",
    [
        {"alert_url": "https://hooks.example/x"},  # not in ARCHIVE_EU_HOSTS
        {"alert_url": "http://hooks.yhtio.example/x"},  # not encrypted
        {"alert_url": "https://u:p@hooks.yhtio.example/x"},
        {"alert_url": "file:///etc/passwd"},
        {"alert_url": "https://hooks.yhtio.example/x", "alert_secret": "short"},
        {"alert_mail": ("paivystys@yhtio.example",)},  # no server for mails
    ],
)
def test_a_channel_that_will_not_do_stops_the_start(
    config: Config, clock: Clock, changes: dict[str, Any]
) -> None:
    allowed = replace(config, eu_hosts=("hooks.yhtio.example",), alert_secret=SECRET)
    alertchannels.channels_of(allowed, now=clock)
    with pytest.raises(BadSetting):
        alertchannels.channels_of(replace(allowed, **changes), now=clock)


def test_the_docs_name_every_alert() -> None:
    text = (Path(__file__).parent.parent / "docs/operations.md").read_text("utf-8")
    assert [name for name in alerts.NAMES if f"`{name}`" not in text] == []
