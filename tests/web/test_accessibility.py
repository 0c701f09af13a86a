"""Every page, in both languages: nothing serious by axe, nothing wider than the window, none heavy.

Which pages there are is said by the table of doors. Two journeys by keyboard alone are here too.
axe-core comes from npm by the lock file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from archive.accounts import second
from archive.archive import Archive
from archive.auth import People
from tests.clock import Clock
from tests.machine import Machine
from tests.web import tour
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import ADDRESS, AINO

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_HEADER = """() => { const box = document.querySelector(".top").getBoundingClientRect();
    return box.left === 0 && box.width === document.documentElement.clientWidth }"""
MOST_BYTES = 200_000  # of a page with everything it needs but media
TABLET = {"width": 820, "height": 1180}
_RUN = """async () => (await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    resultTypes: ["violations"],
  })).violations"""
_DARK = """async () => (await axe.run(document, {
    runOnly: { type: "rule", values: ["color-contrast"] }, resultTypes: ["violations"],
  })).violations"""
_SERIOUS = """.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`)"""
_OVERFLOW = "() => document.scrollingElement.scrollWidth - window.innerWidth"
_BYTES = """() => performance.getEntriesByType("resource")
    .concat(performance.getEntriesByType("navigation"))
    .filter((e) => !/openings|peaks/.test(e.name)).reduce((sum, e) => sum + e.decodedBodySize, 0)"""


@dataclass
class Inspector:
    """Looks at one page after the other and notes what is wrong, and which pages there were.

    By axe it looks in the first language alone, but in both colours: what differs in the other
    language is how long the words are.
    """

    url: str = ""  # of the service
    wrong: list[str] = field(default_factory=list)
    pages: set[str] = field(default_factory=set)
    seen: list[tuple[str, str]] = field(default_factory=list)  # whose, and the address

    def look(self, page: Page, name: str, *, whose: str = "") -> None:
        """Everything there is to see on the page; it can be reached again if it is somebody's."""
        _settle(page)
        self.fits(page, name)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        self._noted(page, name, _RUN)
        endpoint = tour.endpoint(page.url)
        if endpoint is None or endpoint not in self.pages:  # once for each: it takes its time
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colour on its way
            self._noted(page, f"{name}, dark", _DARK)
            page.emulate_media(color_scheme="light")
        if (weight := page.evaluate(_BYTES)) > MOST_BYTES:
            self.wrong.append(f"{name}: {weight} bytes")
        if endpoint is not None:
            self.pages.add(endpoint)
        self.seen.append((whose, page.url))

    def visit(self, page: Page, *paths: str, whose: str = "") -> None:
        """Looks at pages of the service by their addresses."""
        for path in paths:
            page.goto(self.url + path)
            self.look(page, path, whose=whose)

    def fits(self, page: Page, name: str) -> None:
        """Whether nothing is wider than the window."""
        for size in (TABLET, {"width": 1280, "height": 720}):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            if (over := page.evaluate(_OVERFLOW)) > 0:
                self.wrong.append(f"{name}: {over} px wider than {size['width']}")
            if not page.evaluate(_HEADER):
                self.wrong.append(f"{name}: the header does not reach the edges")

    def _noted(self, page: Page, name: str, run: str) -> None:
        found = page.evaluate(f"async () => (await ({run})()){_SERIOUS}")
        self.wrong += [f"{name}: {said}" for said in found]


def _settle(page: Page) -> None:
    page.wait_for_load_state("load")
    if page.locator("[data-player]").count():
        page.locator("[data-drawn=true]").wait_for(state="attached")
    for details in page.locator("main details").all():
        details.evaluate("there => { there.open = true; }")


@dataclass
class Desk:
    """A browser before the pages, and staff of each group that has some."""

    browser: Browser
    url: str
    people: People
    windows: dict[str, Window] = field(default_factory=dict)
    _open: list[Any] = field(default_factory=list)

    def __call__(self, name: str) -> Window:
        """A window of the person's, who is logged in and stands before the first page."""
        if name not in self.windows:
            context = window(self.browser, self.url)
            one = self.windows[name] = context.__enter__()
            self._open.append(context)
            one.page.goto(f"{self.url}/once/{self.people.one_time_link(name)}")
        return self.windows[name]

    def close(self) -> None:
        for context in self._open:
            context.__exit__(None, None, None)


@pytest.fixture
def people(archive: Archive, engine: Engine, clock: Clock) -> People:
    """People of an installation whose administrators may break the glass."""
    return People(
        engine,
        now=clock,
        pepper=lambda: archive.keys.ensure("installation/pages"),
        break_glass=["admin"],
    )


@pytest.fixture
def desk(app: Flask, people: People) -> Iterator[Desk]:
    for group in ("customer-service", "complaints", "dpo", "admin", "quality-lead"):
        people.create(group, group, None)
    with serving(app) as url, chromium() as browser:
        made = Desk(browser, url, people)
        yield made
        made.close()


def ask(page: Page, url: str, contact: str) -> None:
    page.goto(url + "/verify")
    page.fill("#contact", contact)
    page.locator(".lookup button").click()
    page.wait_for_url(re.compile(r"/verify/[\w-]{24}"))


def test_every_page_is_accessible_fits_the_window_and_is_light(
    desk: Desk, clock: Clock, call: dict[str, Any], email: dict[str, Any]
) -> None:
    inspector = Inspector(desk.url)
    _agent(desk, inspector, email["id"])
    _complaints(desk, inspector, call["id"])
    _administration(desk, inspector, call["id"])
    _data_protection(desk, inspector, email["id"])
    _quality(desk, inspector)
    _account(desk, inspector, clock)
    assert inspector.wrong == []
    assert tour.pages() - inspector.pages == set()

    for name, opened in desk.windows.items():  # and now in English: are the words too long?
        opened.page.goto(desk.url + "/account")
        opened.page.locator(".language button[value=en]").click()
        opened.page.wait_for_selector("html[lang=en]", state="attached")
        for address in dict.fromkeys(at for whose, at in inspector.seen if whose == name):
            opened.page.goto(address)
            _settle(opened.page)
            inspector.fits(opened.page, f"{address} in English")
    assert inspector.wrong == []


def _visit(desk: Desk, inspector: Inspector, name: str, *paths: str) -> Page:
    page = desk(name).page
    inspector.visit(page, *paths, whose=name)
    return page


def _agent(desk: Desk, inspector: Inspector, email: str) -> None:
    with window(desk.browser, desk.url) as stranger:
        stranger.page.goto(desk.url + "/login")
        inspector.look(stranger.page, "log-in")
    who = "customer-service"
    page = _visit(desk, inspector, who, "/verify", "/expiry", "/password", "/admin", "/nowhere")
    ask(page, desk.url, "999999")
    inspector.look(page, "nothing found", whose=who)
    ask(page, desk.url, AINO)
    inspector.look(page, "contacts and player", whose=who)
    page.keyboard.press("?")
    inspector.look(page, "keys")
    page.keyboard.press("Escape")
    page.locator(".outcome button.primary").click()
    inspector.look(page, "verification", whose=who)
    ask(page, desk.url, ADDRESS)
    page.locator("[data-toggle]").click()
    page.wait_for_selector(".message")
    inspector.look(page, "email", whose=who)
    view = re.search(r"view=([\w-]+)", page.url)[1]  # type: ignore[index]
    _visit(desk, inspector, who, f"/recordings/{email}/source?view={view}",
           f"/verify/{view}/timeline")  # fmt: skip


def _complaints(desk: Desk, inspector: Inspector, call: str) -> None:
    who = "complaints"
    page = _visit(desk, inspector, who, "/search", f"/recordings/{call}")
    page.locator("button[name=action][value=new]").click()
    page.wait_for_selector("[data-player]")
    page.locator("[data-said]").fill("Lupasi hyvityksen")
    page.locator(".noting [name=start]").fill("0:02")
    page.locator(".noting .actions:last-child button").click()
    inspector.look(page, "complaint call with a mark", whose=who)
    page.goto(desk.url + "/search")
    page.fill("#f-customer", AINO)
    page.locator("form.search button.primary").click()
    page.wait_for_url(re.compile(r"/search/[\w-]{24}"))
    inspector.look(page, "hits", whose=who)
    kept = page.url.removeprefix(desk.url)
    _visit(desk, inspector, who, f"{kept}?narrow=1", f"{kept}/edit", "/searches")
    page.goto(desk.url + "/cases")
    case = page.locator("main table a").first.get_attribute("href")
    _visit(desk, inspector, who, "/cases", f"{case}", f"{case}/closing", f"{case}/evidence",
           "/holds", "/notices", "/reviews", f"{case}/find")  # fmt: skip
    page.fill("[name=customer]", AINO)
    page.locator("main button.primary").click()
    page.wait_for_selector("table.choose")
    inspector.look(page, "found for the case", whose=who)


def _data_protection(desk: Desk, inspector: Inspector, email: str) -> None:
    _visit(desk, inspector, "dpo", "/audit", "/audit/unusual", "/expiry/proof",
           "/account", "/emergency/reviews", f"/recordings/{email}")  # fmt: skip


def _administration(desk: Desk, inspector: Inspector, call: str) -> None:
    page = _visit(desk, inspector, "admin", "/admin/sources", "/admin/retention",
                  "/expiry/day/2027-11-24", "/expiry/month/2027-11", "/admin")  # fmt: skip
    person = page.locator("a[href^='/admin/people/']").first.get_attribute("href")
    _visit(desk, inspector, "admin", f"{person}", "/emergency")
    page.fill("[name=id]", call)
    page.fill("[name=reason]", "Soittaja uhkasi muuntamoa, poliisi odottaa linjalla")
    page.locator("main button.primary, main button.danger").first.click()
    page.wait_for_selector("[data-player]")
    inspector.look(page, "emergency", whose="admin")


def _quality(desk: Desk, inspector: Inspector) -> None:
    who = "quality-lead"
    page = _visit(desk, inspector, who, "/quality")
    page.locator(".scorecard button.primary").click()
    page.wait_for_selector("#results")
    page.select_option("#f-line", "viat")
    page.fill("[name=when]", "24.11.2026")
    page.locator("form.inline button.primary").click()
    page.wait_for_selector("main table a")
    inspector.look(page, "sample", whose=who)
    page.locator("main table a").first.click()
    page.wait_for_selector(".scoring")
    inspector.look(page, "drawn call", whose=who)


def _account(desk: Desk, inspector: Inspector, clock: Clock) -> None:
    """One's own account, from the commitment to a log-in that asks for a code."""
    who, people = "customer-service", desk.people
    people.commitment = "2026-1"
    page = _visit(desk, inspector, who, "/commitment")
    page.locator("main button.primary").click()
    people.commitment = None
    page.wait_for_url(re.compile("/verify"))
    _visit(desk, inspector, who, "/account", "/account/second-factor")
    page.locator("main button.primary").click()
    page.wait_for_selector(".qr")
    inspector.look(page, "square of the second factor", whose=who)
    actor = people.actor_of_session(people.use_one_time(people.one_time_link(who)))
    assert actor is not None
    secret = people.waiting_factor(actor)
    assert secret is not None
    page.fill("[name=code]", second.code_at(secret, clock()))
    page.locator("main button.primary").click()
    page.wait_for_selector(".codes")
    inspector.look(page, "recovery codes")
    with window(desk.browser, desk.url) as again:
        again.page.goto(f"{desk.url}/once/{people.one_time_link(who)}")
        inspector.look(again.page, "the code")


def test_a_contact_is_verified_and_a_case_is_opened_by_keyboard_alone(
    desk: Desk, machine: Machine, call: dict[str, Any]
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
    planted = Inspector()
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
