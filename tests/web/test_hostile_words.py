"""What attackers write into subjects, names, notes and file names runs nowhere and breaks nothing.

Must be shown of every place that shows it: the pages as text, headers of downloads, the interface.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from uuid import UUID

from flask import Flask

from archive.archive import OPERATOR, Archive
from archive.auth import People
from archive.errors import BadCredentials
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.web.visitor import PASSWORD, Visitor

MARKUP = (
    '"><script>alert(1)</script>',
    "<img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "{{ 7*7 }}{% print(1) %}",
    "</title><svg/onload=alert(1)>",
)
FILE_NAME = 'a"; filename="b.html\r\nX-Evil: 1\r\n\r\n<script>.html'


class Running(HTMLParser):
    """Collects whatever of a page would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not str(given.get("src", "")).startswith("/static/"):
            self.found.append(f"<{tag}>")
        if tag in {"svg", "img"} and any(name.startswith("on") for name in given):
            self.found.append(f"<{tag} on…>")
        for name, value in attrs:
            bad = (value or "").strip().lower().startswith(("javascript:", "data:text"))
            if name.startswith("on") or (name in {"href", "src", "action"} and bad):
                self.found.append(f"{tag}.{name}")


def running(page: str) -> list[str]:
    reader = Running()
    reader.feed(page)
    return reader.found


def test_stored_markup_runs_nowhere(
    machine: Machine, clock: Clock, archive: Archive, person: Callable[..., Visitor]
) -> None:
    evil = " ".join(MARKUP)
    call = post_call(
        machine,
        metadata(
            clock, customer_number="100234567", caller=MARKUP[0], callee=MARKUP[1], agent=evil,
            notes=evil, contract=MARKUP[2], company=MARKUP[4], extra={"x": evil},
        ),
        audio=wav(0.5),
    ).get_json()["id"]  # fmt: skip
    raw = mail(
        subject=evil, text=evil, html=f"<p>{evil}</p><a href='javascript:alert(1)'>x</a>",
        attachments=[("<script>alert(1)</script>.csv", "text/csv", b"=cmd|' /C calc'!A0,x")],
    )  # fmt: skip
    letter = post_email(machine, raw).get_json()["id"]
    machine.work()
    number = archive.open_case(OPERATOR, subject=evil[:200], customer=MARKUP[0])
    for id in (call, letter):
        archive.add_to_case(OPERATOR, number, UUID(id))
        archive.hold(
            OPERATOR, UUID(id), case=number, reason=evil[:300],
            review_on=(clock() + timedelta(days=30)).date(),
        )  # fmt: skip
        archive.note_in_case(OPERATOR, number, evil[:300], id=UUID(id))
    archive.note_in_case(OPERATOR, number, evil[:300])
    shown = 0
    for group in ("complaints", "dpo"):
        visitor = person(group, name=f"x-{group}")
        for path in (
            f"/recordings/{call}", f"/recordings/{letter}", f"/recordings/{letter}?show=formatted",
            f"/recordings/{letter}/email-frame", f"/cases/{number}", "/cases?show=all", "/holds",
            "/notices", f"/cases/{number}/closing", f"/cases/{number}/find",
        ):  # fmt: skip
            page = visitor.get(path).get_data(as_text=True)
            assert running(page) == [], path
            assert "49" not in re.findall(r"\b49\b", page.replace("7*7", "")), path
            shown += "alert(1)" in page
    assert shown > 6  # it was there to be seen
    agent = person("customer-service")
    agent.verify("100234567")
    assert running(agent.page) == [] and "alert(1)" in agent.page
    for typed in MARKUP:
        agent.verify(typed)
        assert running(agent.page) == []
        assert running(agent.get("/login?next=" + typed).get_data(as_text=True)) == []


def test_names_of_attachments_make_no_header(
    machine: Machine, person: Callable[..., Visitor], archive: Archive
) -> None:
    raw = mail(subject="x", text="x", attachments=[("x.html", "text/html", b"<script>")])
    lines = FILE_NAME.replace("\r\n", "%0D%0A").replace('"', "%22").replace(" ", "%20")
    raw = re.sub(rb'filename="x.html"', b"filename*=utf-8''" + lines.encode(), raw)
    id = post_email(machine, raw).get_json()["id"]
    machine.work()
    number = archive.open_case(OPERATOR)
    archive.add_to_case(OPERATOR, number, UUID(id))
    visitor = person("complaints")
    visitor.get(f"/recordings/{id}")
    visitor.submit(f"/recordings/{id}/purpose", purpose="complaint", case=number)
    (address, *_) = visitor.links(r"/attachments/0")
    answer = visitor.client.get(address)
    assert answer.status_code == 200
    assert "X-Evil" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename\*=UTF-8''[\w.%~-]+", disposition)
    assert answer.mimetype == "application/octet-stream"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_line_breaks_in_what_is_sent_make_no_header(app: Flask, machine: Machine) -> None:
    client = app.test_client()
    for path in (
        "/login?next=/x%0d%0aX-Evil:1",
        "/verify/%0d%0aX-Evil:%201",
        "/x%0aSet-Cookie:a=b",
    ):
        answer = client.get(path)
        assert "X-Evil" not in answer.headers
        assert not any("a=b" in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    answer = machine.get("/api/v1/recordings?cursor=%0d%0aX-Evil:1")
    assert answer.status_code == 400 and "X-Evil" not in answer.headers


def test_nobody_is_answered_trace(app: Flask) -> None:
    for path in ("/login", "/", "/api/v1/recordings", "/static/app.css", "/healthz"):
        answer = app.test_client().open(path, method="TRACE")
        assert answer.status_code in {303, 401, 405}, path
        assert b"TRACE" not in answer.data


def test_the_time_of_a_failure_does_not_tell_whether_the_name_exists(
    people: People, clock: Clock
) -> None:
    """Work, not time, is compared where it can be: each failure hashes once. Time within half."""
    people.create("aino", "customer-service", PASSWORD)
    took: dict[str, list[float]] = {"aino": [], "nobody": []}
    for n in range(4):
        for name, times in took.items():
            clock.advance(timedelta(minutes=16))
            began = time.thread_time()
            try:
                people.login(name, "wrong password 1", f"10.0.{n}.1")
            except BadCredentials:
                times.append(time.thread_time() - began)
    there, lacking = (statistics.median(times) for times in took.values())
    assert 0.5 < there / lacking < 2.0


def test_no_object_answers_by_guessing_its_number(
    machine: Machine, clock: Clock, person: Callable[..., Visitor]
) -> None:
    """Ids are random, and cases are counted: a guessed case shows to nobody outside its work."""
    ids = [
        post_call(machine, metadata(clock, source_ref=f"g{n}"), audio=wav(0.5)).get_json()["id"]
        for n in range(3)
    ]
    assert all(UUID(id).version == 4 for id in ids)
    agent = person("customer-service")
    for path in ("/cases/2026-00001", "/cases/2026-00002", "/cases"):
        assert agent.client.get(path).status_code == 403
