"""Who comes in, and what leaves with every answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from archive.auth import People
from archive.web import gate
from tests.clock import Clock
from tests.web.visitor import PASSWORD, Visitor

PUBLIC = {
    "static", "healthz", "readyz", "metrics",
    "login.form", "login.log_in", "login.once", "login.language",
    "login.code", "login.give_code", "provider.begin", "provider.back",
    "api.openapi",
}  # fmt: skip
READING_METHODS = {"GET", "HEAD", "OPTIONS"}


def addresses(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every route with its variables filled in."""
    values = {
        "id": uuid4(), "session": uuid4(), "hold": uuid4(), "note": uuid4(), "run": uuid4(),
        "token": "x" * 24, "name": "original", "index": 0, "place": 1,
        "number": 1, "end": "first", "filename": "app.css", "path": "x",
    }  # fmt: skip
    for rule in app.url_map.iter_rules():
        with app.test_request_context():
            adapter = app.url_map.bind("localhost")
            chosen = {a: values.get(a, "x") for a in rule.arguments}
            method = sorted(rule.methods or {"GET"})[-1]
            yield rule, adapter.build(rule.endpoint, chosen, method=method)


def test_strangers_reach_only_the_listed_pages_by_every_method(app: Flask) -> None:
    client = app.test_client()
    reached: dict[str, set[int]] = {}
    for rule, path in addresses(app):
        for method in sorted(rule.methods or set()):
            answer = client.open(path, method=method, buffered=True)
            if rule.endpoint in PUBLIC:
                continue
            refused = answer.status_code == 401 or (
                answer.status_code == 303 and answer.location.startswith("/login")
            )
            if not refused:
                reached.setdefault(f"{method} {rule}", set()).add(answer.status_code)
    assert reached == {}


def test_public_pages_are_those_listed_and_no_more(app: Flask) -> None:
    public = {r.endpoint for r in app.url_map.iter_rules() if gate.is_public(app, r.endpoint)}
    assert public == PUBLIC


def test_a_stranger_is_led_to_the_log_in_and_back(stranger: Visitor, people: People) -> None:
    answer = stranger.client.get("/search")
    assert answer.status_code == 303
    assert answer.location == "/login?next=/search"
    people.create("agent", "customer-service", PASSWORD)
    answer = stranger.client.post(
        "/login", data={"name": "agent", "password": PASSWORD, "next": "/search"}
    )
    assert answer.location == "/search"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nX: y",
    ],
)
def test_the_log_in_sends_nobody_elsewhere(
    stranger: Visitor, people: People, elsewhere: str
) -> None:
    people.create("agent", "customer-service", PASSWORD)
    fields = {"name": "agent", "password": PASSWORD, "next": elsewhere}
    assert stranger.client.post("/login", data=fields).location == "/"


def test_every_form_must_carry_the_token_of_its_session(agent: Visitor) -> None:
    for csrf in ("", "wrong", "ä"):
        answer = agent.client.post("/verify", data={"contact": "100234567", "csrf": csrf})
        assert answer.status_code == 403
    assert agent.post("/verify", contact="100234567").status_code == 303


def test_a_form_sent_by_another_site_is_refused(agent: Visitor) -> None:
    data = {"contact": "100234567", "csrf": agent.csrf()}
    for site in ("cross-site", "same-site"):
        answer = agent.client.post("/verify", data=data, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403


def test_a_session_is_no_token_for_the_api_nor_a_token_a_session(
    agent: Visitor, machine: Any
) -> None:
    assert agent.client.get("/api/v1/recordings").status_code == 401
    assert machine.get("/verify").status_code == 303
    assert machine.get("/expiry").location.startswith("/login")


def test_a_large_or_strange_form_is_refused_without_being_kept(agent: Visitor) -> None:
    large = {"contact": "x" * 70_000, "csrf": agent.csrf()}
    assert agent.client.post("/verify", data=large).status_code == 413
    files = {"contact": "1", "csrf": agent.csrf(), "file": (__import__("io").BytesIO(b"x"), "x")}
    answer = agent.client.post("/verify", data=files, content_type="multipart/form-data")
    assert answer.status_code == 415


def test_every_page_carries_its_protection(agent: Visitor, call: dict[str, Any]) -> None:
    for path in ("/login", "/verify", "/search", "/expiry", f"/recordings/{call['id']}", "/x"):
        headers = agent.client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"


def test_no_page_has_script_or_style_inside(
    agent: Visitor, call: dict[str, Any], email: dict[str, Any]
) -> None:
    for path in ("/verify", "/search", "/expiry", f"/recordings/{call['id']}", "/password"):
        page = agent.get(path).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]* src=)", page)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_assets_are_kept_by_their_version_and_pages_never(agent: Visitor) -> None:
    sheet = agent.links(r"app\.css")[0] if agent.links(r"app\.css") else "/static/app.css?v=1"
    assert "immutable" in agent.client.get(sheet, buffered=True).headers["Cache-Control"]
    plain = agent.client.get("/static/player.js", buffered=True).headers
    assert plain["Cache-Control"] == "no-cache"


def test_the_cookie_is_out_of_reach_of_scripts(app: Flask, people: People) -> None:
    people.create("agent", "customer-service", PASSWORD)
    answer = app.test_client().post("/login", data={"name": "agent", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie


def test_behind_tls_the_cookie_is_bound_to_host_and_tls(
    machine: Any, app: Flask, people: People
) -> None:
    machine.limit(secure_cookies=True)
    people.create("agent", "customer-service", PASSWORD)
    answer = app.test_client().post("/login", data={"name": "agent", "password": PASSWORD})
    assert answer.headers["Set-Cookie"].startswith("__Host-")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_health_is_answered_without_the_database(app: Flask, stranger: Visitor) -> None:
    app.extensions["people"] = None
    assert stranger.client.get("/healthz").status_code == 200


def test_an_idle_session_ends_after_half_an_hour(agent: Visitor, clock: Clock) -> None:
    clock.advance(timedelta(minutes=29))
    assert agent.client.get("/verify").status_code == 200
    clock.advance(timedelta(minutes=29))
    assert agent.client.get("/verify").status_code == 200
    clock.advance(timedelta(minutes=31))
    assert agent.client.get("/verify").status_code == 303


def test_no_session_outlives_ten_hours(agent: Visitor, clock: Clock) -> None:
    for _ in range(24):
        clock.advance(timedelta(minutes=25))
        agent.client.get("/verify")
    assert agent.client.get("/verify").status_code == 303


def test_errors_are_pages_in_the_persons_language(
    person: Callable[..., Visitor],
) -> None:
    visitor = person("customer-service")
    assert "Sivua ei löydy" in visitor.get("/nowhere").get_data(as_text=True)
    visitor.submit("/language", language="en", next="/verify")
    assert "Verify a contact" in visitor.page
    assert "Page not found" in visitor.get("/nowhere").get_data(as_text=True)
