"""The expiry calendar: what each day says, to whom, and where it leads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive.archive import Archive
from archive.auth import People
from archive.errors import StoreUnavailable
from tests.clock import Clock
from tests.test_holds import CASE, DPO, HANDLER, hold
from tests.test_story import deliver
from tests.web.browser import chromium, serving, window
from tests.web.visitor import PASSWORD, Visitor

DAY = date(2026, 11, 25)  # on which the year of what is 364 days old ends


@pytest.fixture
def dpo(person: Callable[..., Visitor]) -> Visitor:
    return person("dpo")


@pytest.fixture
def mixed(archive: Archive) -> None:
    """Four recordings of one day: two that go, one that is held, one that is restricted."""
    archive.open_case(HANDLER, CASE)
    ids = [deliver(archive, str(n), days_ago=364).id for n in range(4)]
    hold(archive, ids[2])
    archive.restrict(DPO, ids[3], reason="asiakkaan pyyntö")


def marks(visitor: Visitor, path: str) -> dict[str, int]:
    """The marks of the day's own page."""
    visitor.get(path)
    found = re.findall(r'<li class="mark (\w+)">.*?class="figure">(\d+)<', visitor.page, re.DOTALL)
    return {kind: int(n) for kind, n in found}


def test_a_day_says_what_goes_and_what_is_kept_to_those_who_may_know(
    mixed: None, agent: Visitor, complaints: Visitor, dpo: Visitor, admin: Visitor
) -> None:
    path = f"/expiry/day/{DAY}"
    assert marks(dpo, path) == {"due": 2, "held": 1, "restricted": 1}
    assert marks(complaints, path) == {"due": 2, "held": 1}
    for visitor in (agent, admin):
        assert marks(visitor, path) == {"due": 3}


def test_after_the_night_too_nobody_else_learns_of_holds_and_restrictions(
    mixed: None,
    agent: Visitor,
    complaints: Visitor,
    dpo: Visitor,
    archive: Archive,
    clock: Clock,
    app: Flask,
) -> None:
    clock.advance(timedelta(days=2))
    archive.expire()
    for visitor, group in ((agent, "customer-service"), (complaints, "complaints"), (dpo, "dpo")):
        visitor.log_in(group)
    path = f"/expiry/day/{DAY}"
    assert marks(dpo, path) == {"expired": 2, "held": 1, "restricted": 1}
    certificate = dpo.links("certificates/")
    kept = json.loads(dpo.client.get(certificate[0]).data)
    assert kept["held_by"] == {"complaint": 1, "released": 0, "restricted": 1}
    assert marks(complaints, path) == {"expired": 2, "held": 1}
    assert "Rajoitettu" not in complaints.page and not complaints.links("certificates/")
    assert marks(agent, path) == {"expired": 2}
    assert "Poistettu koko ajossa" in agent.page
    for visitor in (agent, complaints):
        assert visitor.client.get(certificate[0]).status_code == 404
    agent.get("/expiry")
    for word in ("säilyy", "rajoitettu", 'class="held"', "shape held", "shape restricted"):
        assert word not in agent.page
    complaints.get("/expiry")
    assert "säilyy" in complaints.page
    assert "rajoitettu" not in complaints.page and "shape restricted" not in complaints.page


def test_a_month_has_weeks_from_monday_and_each_day_leads_to_its_account(
    mixed: None, agent: Visitor
) -> None:
    agent.get("/expiry")
    assert "marraskuu 2026" in agent.page
    table = agent.page[agent.page.index("<table") : agent.page.index("</table>")]
    assert re.findall(r'aria-hidden="true">(\w+)</span>', table)[:7] == [
        "ma", "ti", "ke", "to", "pe", "la", "su",
    ]  # fmt: skip
    assert len(agent.links("^/expiry/day/2026-11-")) >= 30
    agent.get("/expiry/month/2027-02")
    assert "helmikuu 2027" in agent.page
    assert agent.links("^/expiry/month/2027-01$") and agent.links("^/expiry/month/2027-03$")
    agent.submit("/language", language="en", next="/expiry/month/2027-02")
    assert "February 2027" in agent.page and "Mon" in agent.page


def test_what_was_not_destroyed_is_shown_with_its_reason(
    mixed: None,
    agent: Visitor,
    archive: Archive,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock.advance(timedelta(days=2))

    def away(keys: Any) -> int:
        raise StoreUnavailable()

    monkeypatch.setattr(archive.store, "delete", away)
    assert len(archive.expire()["failed"]) == 2
    monkeypatch.undo()
    agent.log_in("customer-service")
    assert marks(agent, f"/expiry/day/{DAY}") == {"failed": 2}
    assert "Tallennusjärjestelmä ei vastannut" in agent.page
    assert "Poistot ovat myöhässä" in agent.page
    agent.get("/expiry")
    assert "myöhässä" in agent.page and "shape failed" in agent.page
    archive.expire()
    assert marks(agent, f"/expiry/day/{DAY}") == {"expired": 2}


def test_days_and_months_that_are_none_are_not_found(agent: Visitor) -> None:
    for path in ("month/2027-13", "month/x", "month/0001-01", "day/2027-02-29", "day/20270228"):
        assert agent.get(f"/expiry/{path}").status_code == 404
    assert marks(agent, "/expiry/day/2031-05-05") == {}
    assert "ei täyty yhdenkään" in agent.page


def test_the_days_of_the_week_are_in_the_language_of_each_request(agent: Visitor) -> None:
    def first_day(language: str) -> list[str]:
        agent.get("/expiry")
        agent.submit("/language", language=language, next="/expiry")
        heads = re.findall(r'<th scope="col"><span aria-hidden="true">(\w+)</span>', agent.page)
        return heads[:2]

    assert [first_day(language) for language in ("fi", "en", "fi")] == [
        ["ma", "ti"], ["Mon", "Tue"], ["ma", "ti"],
    ]  # fmt: skip


def test_the_calendar_is_walked_by_keyboard(mixed: None, app: Flask, people: People) -> None:
    people.create("tiina", "dpo", PASSWORD)
    with serving(app) as url, chromium() as browser, window(browser, url) as opened:
        opened.log_in("tiina")
        page = opened.page
        page.goto(f"{url}/expiry")
        today = page.locator(".calendar [aria-current=date]")
        assert page.locator(".calendar td a[tabindex='0']").count() == 1
        today.focus()
        page.keyboard.press("ArrowRight")
        focused = page.locator(".calendar a:focus")
        expect(focused).to_contain_text("2 poistuu")
        for shape in ("due", "held", "restricted"):
            assert focused.locator(f".shape.{shape}").count() == 1
        page.keyboard.press("ArrowUp")
        expect(focused).to_contain_text("ke 18.11.2026")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/expiry/day/{DAY}")
        page.keyboard.press("n")
        page.wait_for_url("**/expiry/day/2026-11-26")
        page.goto(f"{url}/expiry")
        page.keyboard.press("n")
        page.wait_for_url("**/expiry/month/2026-12")
        assert opened.problems == []
