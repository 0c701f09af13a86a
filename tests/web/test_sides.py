"""The two sides of a call, recorded as two of one channel each: heard as one, in Chromium."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from archive.archive import SYSTEM, Archive
from archive.auth import People
from archive.db import transaction
from tests.api.test_delivery import metadata
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import AINO
from tests.web.test_accessibility import Inspector
from tests.web.visitor import PASSWORD, Visitor

OWN, OTHER = "document.querySelectorAll('audio')[0]", "document.querySelectorAll('audio')[1]"
APART = f"Math.abs({OTHER}.currentTime - {OWN}.currentTime - 2)"
BOTH_PLAY = f"!{OWN}.paused && !{OTHER}.paused"


@pytest.fixture
def leg(machine: Machine, clock: Clock) -> Callable[..., str]:
    """Delivers one recording of the call, which began so many seconds after it; its id."""

    def one(name: str, after_s: float = 0.0, lasts_s: float = 8.0, **told: Any) -> str:
        at = (clock() - timedelta(hours=1) + timedelta(seconds=after_s)).isoformat()
        voices = told.pop("channels", 1)
        told = {"line": "viat", "customer_number": AINO, "call_id": "kutsu-1"} | told
        said = metadata(clock, source_ref=name, occurred_at=at, **told)
        audio = io.BytesIO(wav(lasts_s, channels=voices, hz=330 if name == "agent" else 660))
        return str(machine.archive.receive_call(SYSTEM, said, audio).id)

    return one


@pytest.fixture
def both(machine: Machine, leg: Callable[..., str]) -> dict[str, str]:
    """The agent's side, 8 s of it; the customer's, which began 2 s before and lasts 14 s."""
    made = {
        "agent": leg("agent", 2.0, extra={"side": "agent"}, agent="Mikko Laine"),
        "customer": leg("customer", 0.0, 14.0, extra={"channels": ["customer"]},
                        line="laskutus", masked=[[3.0, 4.0]]),
    }  # fmt: skip
    machine.work()
    return made


def opened(machine: Machine, id: str) -> int:
    return sum(entry["verb"] == "open" for entry in machine.audit(id))


def test_a_complaint_hears_the_other_side_only_where_its_case_holds_that_too(
    complaints: Visitor, both: dict[str, str]
) -> None:
    path = f"/recordings/{both['agent']}"
    complaints.get(path)
    complaints.submit(f"{path}/purpose", purpose="complaint", action="new")
    heard = re.search(r"/recordings/[\w-]+/open", complaints.page)
    assert heard is not None and "data-other-open" not in complaints.page
    case = re.search(r"20\d\d-\d{5}", complaints.page)
    assert case is not None
    other = f"/recordings/{both['customer']}"
    complaints.get(other)
    complaints.submit(f"{other}/purpose", purpose="complaint", action="add", case=case[0])
    assert f'data-other-open="{path}/open"' in complaints.page


@pytest.fixture
def desks(app: Flask, people: People) -> Iterator[tuple[str, Browser]]:
    people.create("agent", "customer-service", PASSWORD)
    people.create("narrow", "customer-service", PASSWORD, ["viat"])
    with serving(app) as url, chromium() as browser:
        yield url, browser


def test_two_sides_are_played_in_step_by_one_press_and_alone_by_whoever_may_hear_one(
    desks: tuple[str, Browser], both: dict[str, str], machine: Machine, archive: Archive
) -> None:
    url, browser = desks
    with window(browser, url) as desk:
        desk.log_in("agent")
        _both_are_heard(desk, both, machine)
        _the_other_goes(desk, both, archive)
    with window(browser, url) as narrow:
        narrow.log_in("narrow")
        page = narrow.page
        page.goto(f"{url}/recordings/{both['agent']}")
        page.locator("[data-drawn=true]").wait_for()
        assert page.locator("audio").count() == 1
        assert page.get_by_text("Puhelun toinen puoli").count() == 0
        narrow.fetched.clear()
        page.keyboard.press("Space")
        narrow.until(f"{OWN}.currentTime > 0.2")
        assert not [path for path in narrow.fetched if both["customer"] in path]
        assert narrow.problems == []


def _both_are_heard(desk: Window, both: dict[str, str], machine: Machine) -> None:
    page = desk.page
    page.goto(f"{desk.url}/recordings/{both['agent']}")
    page.locator("[data-drawn=true]").wait_for()
    inspector = Inspector(desk.url)
    inspector.look(page, "both sides")
    assert inspector.wrong == []
    desk.problems.clear()  # of the inspector's own styles
    expect(page.locator(".channels li")).to_have_text(["Asiakaspalvelija", "Asiakas"])
    # The other side's silenced second, told on this side's timeline: it began 2 s before.
    expect(page.locator(".player + .hint")).to_contain_text("0:01–0:02")
    assert [opened(machine, id) for id in both.values()] == [0, 0]

    page.keyboard.press("Space")
    desk.until(f"{BOTH_PLAY} && {OWN}.currentTime > 0.6")
    desk.until(f"{APART} < 0.08")
    assert [opened(machine, id) for id in both.values()] == [1, 1]

    # Seeking, speed and balance work on both; a passage is repeated by both.
    page.keyboard.press("ArrowRight")
    desk.until(f"{OWN}.currentTime > 5 && {APART} < 0.12")
    page.keyboard.press(".")
    assert page.evaluate(f"Math.abs({OWN}.playbackRate - 1.25) < 0.1")
    page.keyboard.press(",")
    page.locator("[data-balance]").focus()
    page.keyboard.press("End")
    assert page.locator("[data-balance]").get_attribute("aria-valuetext") == "100 % Asiakas"
    page.locator("[data-toggle]").focus()
    # Before the agent's side began, and after its end, the longer one is heard alone.
    page.keyboard.press("Home")
    desk.until(f"{OWN}.paused && !{OTHER}.paused && {OTHER}.currentTime < 1.9")
    assert page.locator("[data-now]").inner_text().startswith("−0:0")
    desk.until(f"{BOTH_PLAY} && {OWN}.currentTime > 0.2 && {APART} < 0.12")
    page.keyboard.press("End")
    expect(page.locator("[data-toggle]")).to_have_text("Kuuntele")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    desk.until(f"{OWN}.paused && !{OTHER}.paused && {OTHER}.currentTime > 12")
    desk.until(f"{OTHER}.ended")
    expect(page.locator("[data-toggle]")).to_have_text("Kuuntele")
    expect(page.locator("[data-now]")).to_have_text("0:12")
    assert [opened(machine, id) for id in both.values()] == [1, 1]

    page.get_by_role("link", name="Kuuntele vain tämä puoli").click()
    page.locator("[data-drawn=true]").wait_for()
    assert page.locator("audio").count() == 1
    page.get_by_role("link", name="Kuuntele molemmat puolet yhdessä").click()
    page.locator("[data-drawn=true]").wait_for()
    assert desk.problems == []


def _the_other_goes(desk: Window, both: dict[str, str], archive: Archive) -> None:
    """Restricted between the page and the press: this side is heard, and why is said."""
    page = desk.page
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.locator("[data-drawn=true]").wait_for()
    with transaction(archive.engine) as connection:
        connection.execute(
            text("update recording set restricted = true where id = :id"), {"id": both["customer"]}
        )
    page.keyboard.press("Space")
    desk.until(f"!{OWN}.paused && {OWN}.currentTime > 0.3")
    expect(page.locator("[data-status]")).to_contain_text("Toista puolta ei voi enää avata")
    assert page.evaluate(f"{OTHER}.getAttribute('src')") is None
    desk.problems.clear()  # the browser's own word on the refused request
