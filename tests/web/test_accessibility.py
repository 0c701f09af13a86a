"""Every page, in both languages: nothing serious by axe, nothing wider than the window, none heavy.

Two journeys by keyboard alone are here too. axe-core comes from npm by the lock file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from archive.auth import People
from tests.machine import Machine
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import ADDRESS, AINO
from tests.web.visitor import PASSWORD

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_HEADER = """() => { const box = document.querySelector(".top").getBoundingClientRect();
    return box.left === 0 && box.width === document.documentElement.clientWidth }"""
MOST_BYTES = 200_000  # of a page with everything it needs but media
TABLET = {"width": 820, "height": 1180}
_RUN = """async (colours) => (await axe.run(document, {
    rules: { "color-contrast": { enabled: colours } },
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    resultTypes: ["violations"],
  })).violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`)"""
_OVERFLOW = "() => document.scrollingElement.scrollWidth - window.innerWidth"
_BYTES = """() => performance.getEntriesByType("resource")
    .concat(performance.getEntriesByType("navigation"))
    .filter((e) => !/openings|peaks/.test(e.name)).reduce((sum, e) => sum + e.decodedBodySize, 0)"""


class Inspector:
    """Looks at one page after the other and notes what is wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.colours = True  # whether contrast is looked at: the same in every language
        self.wrong: list[str] = []
        self.seen = 0
        self._axe = AXE.read_text(encoding="utf-8")

    def look(self, page: Page, name: str) -> None:
        page.wait_for_load_state("load")
        if page.locator("[data-player]").count():
            page.locator("[data-drawn=true]").wait_for(state="attached")
        for details in page.locator("main details").all():
            details.evaluate("there => { there.open = true; }")
        for size in (TABLET, {"width": 1280, "height": 720}):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            if (over := page.evaluate(_OVERFLOW)) > 0:
                self.wrong.append(f"{name}: {over} px wider than {size['width']}")
            if not page.evaluate(_HEADER):
                self.wrong.append(f"{name}: the header does not reach the edges")
        page.evaluate(self._axe)
        self.wrong += [f"{name}: {said}" for said in page.evaluate(_RUN, self.colours)]
        if (weight := page.evaluate(_BYTES)) > MOST_BYTES:
            self.wrong.append(f"{name}: {weight} bytes")
        self.seen += 1

    def visit(self, page: Page, *paths: str) -> None:
        for path in paths:
            page.goto(self.url + path)
            self.look(page, path)


@pytest.fixture
def staff(people: People) -> dict[str, str]:
    """A user of each group that has pages; group by name."""
    groups = ("customer-service", "complaints", "dpo", "admin", "quality-lead")
    for group in groups:
        people.create(group, group, PASSWORD)
    return {group: group for group in groups}


@pytest.fixture
def desk(app: Flask, staff: dict[str, str]) -> Iterator[Callable[[str], Window]]:
    """Opens a window for one of the staff; all close at the end."""
    with serving(app) as url, chromium() as browser:
        opened: list[Any] = []

        def log_in(name: str) -> Window:
            context = window(browser, url)
            one = context.__enter__()
            opened.append(context)
            one.log_in(name)
            return one

        yield log_in
        for context in opened:
            context.__exit__(None, None, None)


def ask(page: Page, url: str, contact: str) -> None:
    page.goto(url + "/verify")
    page.fill("#contact", contact)
    page.locator(".lookup button").click()
    page.wait_for_url(re.compile(r"/verify/[\w-]{24}"))


def test_every_page_is_accessible_fits_the_window_and_is_light(
    desk: Callable[[str], Window], call: dict[str, Any], email: dict[str, Any]
) -> None:
    inspector = Inspector("")
    for language in ("fi", "en"):
        inspector.colours = language == "fi"
        _look_at_everything(desk, inspector, language, call["id"], email["id"])
    assert inspector.wrong == []
    assert inspector.seen >= 56


def _look_at_everything(
    desk: Callable[[str], Window], inspector: Inspector, language: str, call: str, email: str
) -> None:
    agent = desk("customer-service")
    page, inspector.url = agent.page, agent.url
    page.context.clear_cookies()
    page.context.add_cookies([{"name": "language", "value": language, "url": agent.url}])
    inspector.visit(page, "/login")
    _in_language(agent, "customer-service", language)
    inspector.visit(page, "/verify", "/search", "/expiry", "/password", "/admin", "/nowhere")
    ask(page, agent.url, "999999")
    inspector.look(page, "nothing found")
    ask(page, agent.url, AINO)
    inspector.look(page, "contacts and player")
    page.keyboard.press("?")
    inspector.look(page, "keys")
    page.keyboard.press("Escape")
    page.locator(".outcome button.primary").click()
    inspector.look(page, "verification")
    ask(page, agent.url, ADDRESS)
    page.locator("[data-toggle]").click()
    page.wait_for_selector(".message")
    inspector.look(page, "email")
    view = re.search(r"view=([\w-]+)", page.url)[1]  # type: ignore[index]
    inspector.visit(page, f"/recordings/{email}/source?view={view}", f"/verify/{view}/timeline")

    handler = desk("complaints")
    page = handler.page
    _in_language(handler, "complaints", language)
    page.goto(handler.url + f"/recordings/{call}")
    inspector.look(page, "purpose")
    page.locator("button[name=action][value=new]").click()
    page.wait_for_selector("[data-player]")
    page.locator("[data-said]").fill("Lupasi hyvityksen")
    page.locator(".noting [name=start]").fill("0:02")
    page.locator(".noting .actions:last-child button").click()
    inspector.look(page, "complaint call with a mark")
    page.goto(handler.url + "/cases")
    case = page.locator("main table a").first.get_attribute("href")
    inspector.visit(
        page,
        "/cases",
        f"{case}",
        f"{case}/find",
        f"{case}/closing",
        f"{case}/evidence",
        "/holds",
        "/notices",
    )

    for name, paths in (
        (
            "dpo",
            (
                "/audit",
                "/account",
                "/emergency/reviews",
                "/expiry/proof",
                f"/recordings/{email}",
                "/search",
            ),
        ),
        ("admin", ("/admin", "/admin/sources", "/admin/retention", "/expiry/day/2027-11-24")),
        ("quality-lead", ("/quality",)),
    ):
        other = desk(name)
        _in_language(other, name, language)
        inspector.visit(other.page, *paths)
    page = other.page
    if language == "fi":
        page.locator(".scorecard button.primary").click()
        page.wait_for_selector("#results")
    page.select_option("#f-line", "viat")
    page.fill("[name=when]", "24.11.2026")
    page.locator("form.inline button.primary").click()
    page.wait_for_selector("main table a")
    inspector.look(page, "sample")
    page.locator("main table a").first.click()
    page.wait_for_selector(".scoring")
    inspector.look(page, "drawn call")


def _in_language(opened: Window, name: str, language: str) -> None:
    """Logs in, and chooses the language if the pages speak another one."""
    opened.page.goto(opened.url + "/")
    if opened.page.locator("[name=password]").count():
        opened.log_in(name)
    wanted = opened.page.locator(f".language button[value={language}]")
    if wanted.count():
        wanted.click()
        opened.page.wait_for_selector(f"html[lang={language}]", state="attached")


def test_a_contact_is_verified_and_a_case_is_opened_by_keyboard_alone(
    desk: Callable[[str], Window], machine: Machine, call: dict[str, Any]
) -> None:
    agent = desk("customer-service")
    page = agent.page
    page.keyboard.type(AINO)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-player]")
    _tab_to(page, "note")
    page.keyboard.type("Luvattiin hyvitys")
    page.keyboard.press("Enter")  # the first of the outcomes
    expect(page.locator(".sheet h1")).to_have_text("Vahvistettu")
    assert [e["verb"] for e in machine.audit(call["id"])].count("record-verification") == 1

    handler = desk("complaints")
    page = handler.page
    page.keyboard.press("/")
    page.goto(handler.url + f"/recordings/{call['id']}")
    _tab_to(page, "action", "new")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-player]")
    page.locator("[data-drawn=true]").wait_for()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("m")
    page.keyboard.type("Tässä luvataan hyvitys")
    _tab_to(page, "", "", text="Tallenna muistiinpano")
    page.keyboard.press("Enter")
    expect(page.locator(".noted .moment")).to_have_text("0:05")
    expect(page.locator(".marks .marked")).to_have_count(1)
    assert agent.problems == handler.problems == []

    # What looks at the pages sees a fault where there is one.
    planted = Inspector(handler.url)
    page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")
    page.evaluate("() => { document.querySelector('main').style.width = '1500px'; }")
    planted.look(page, "planted")
    assert any("button-name" in said for said in planted.wrong)
    assert any("px wider" in said for said in planted.wrong)


def _tab_to(page: Page, name: str, value: str = "", text: str = "") -> None:
    """Presses Tab until the focus is there; it must be seen wherever it is on the way."""
    for _ in range(80):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => { const e = document.activeElement, box = e.getBoundingClientRect();
              return [e.getAttribute('name') ?? '', e.value ?? '', e.textContent.trim(),
                      box.width > 0 && getComputedStyle(e).outlineStyle !== 'none'] }"""
        )
        assert at[3], f"focus is not seen at {at[:3]}"
        if (text and at[2] == text) or (not text and at[0] == name and value in {"", at[1]}):
            return
    raise AssertionError(f"no way to {name or text} by Tab")
