"""What a screen reader says of the two main journeys, in Finnish: names, order, states, news.

None can be run here; what it would be given is Chromium's accessibility tree, and the words that
come into live regions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from archive.auth import People
from tests.web import spoken
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import AINO

NEWS = "[data-announce]"
TOLD = "[data-told]"
HELD = "Tallenne säilytetään, kunnes säilytysvelvoite puretaan."


@pytest.fixture
def browser(app: Flask) -> Iterator[tuple[Browser, str]]:
    with serving(app) as url, chromium() as opened:
        yield opened, url


def logged_in(page: Page, url: str, people: People, group: str) -> None:
    people.create(group, group, None)
    page.goto(f"{url}/once/{people.one_time_link(group)}")


def no_level_is_left_out(reading: spoken.Reading) -> bool:
    """Whether there is one main heading, before all, and each is at most one deeper than before."""
    levels = [level for level, _words in reading.headings]
    steps = all(after <= before + 1 for before, after in itertools.pairwise(levels))
    return levels.count(1) == 1 and levels[0] == 1 and steps


def test_a_contact_is_verified_by_ear(
    browser: tuple[Browser, str], people: People, call: dict[str, Any], email: dict[str, Any]
) -> None:
    with window(*browser) as opened:
        page = opened.page
        logged_in(page, opened.url, people, "customer-service")
        reading = spoken.read(page)
        assert reading.title == "Varmenna kontakti · Kontaktiarkisto"
        assert [role for role, _ in reading.landmarks if role != "form"] == [
            "banner", "navigation", "main", "search",
        ]  # fmt: skip
        asked = reading.one(
            "searchbox", "Asiakasnumero, puhelin, sähköposti, käyttöpaikka tai nimi"
        )
        assert asked.states["focused"]
        assert no_level_is_left_out(reading) and reading.nameless == []

        page.keyboard.type("999999")
        page.keyboard.press("Enter")
        expect(page.locator(NEWS)).to_have_text("Kontakteja ei löytynyt")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(AINO)
        page.keyboard.press("Enter")
        expect(page.locator(NEWS)).to_have_text("1 kontakti")
        _the_call_is_heard(opened)

        page.locator(".outcome [name=note]").fill("Luvattiin hyvitys")
        page.keyboard.press("Enter")
        expect(page.locator(".sheet h1")).to_have_text("Vahvistettu")
        reading = spoken.read(page)
        assert reading.headings[0] == (1, "Vahvistettu") and no_level_is_left_out(reading)
        assert {"Kopioi viite", "Tulosta"} <= set(reading.names("button"))
        assert reading.nameless == [] and opened.problems == []


def _the_call_is_heard(opened: Window) -> None:
    page = opened.page
    page.locator("[data-drawn=true]").wait_for(state="attached")
    reading = spoken.read(page)
    assert reading.title.startswith("Puhelu ") and reading.title.endswith(" · Kontaktiarkisto")
    named = [(role, name) for role, name in reading.landmarks if name]
    assert named == [
        ("navigation", "Päävalikko"), ("complementary", "Kontaktit"), ("navigation", "Luettelo"),
        ("region", "Soitin"), ("region", "Varmennus"),
    ]  # fmt: skip
    hit = reading.one("link", "Puhelu ")
    assert "Saapuva" in hit.name and "asiakasnumero" in hit.name and "0:06" in hit.name
    assert page.locator(".rows a").get_attribute("aria-current") == "true"
    assert no_level_is_left_out(reading) and reading.nameless == []
    assert reading.of("Canvas") == []  # what is drawn is said by the slider

    at = reading.names("button").index("15 sekuntia taaksepäin")
    assert reading.names("button")[at : at + 8] == [
        "15 sekuntia taaksepäin", "5 sekuntia taaksepäin", "Kuuntele", "5 sekuntia eteenpäin",
        "15 sekuntia eteenpäin", "A–B Toista kohtaa", "Ohita hiljaisuus", "Pikanäppäimet",
    ]  # fmt: skip
    assert reading.names("slider") == ["Kohta puhelussa", "Äänten tasapaino", "Äänenvoimakkuus"]
    said = page.locator(".player [type=range]").evaluate_all(
        "all => all.map((one) => one.getAttribute('aria-valuetext'))"
    )
    assert said == ["0 sekuntia", "kummatkin yhtä kovaa", "100 %"]
    assert reading.one("combobox", "Nopeus").value == "1×"

    page.locator("[data-toggle]").focus()
    page.keyboard.press("Space")
    expect(page.locator(TOLD)).to_have_text("Toistetaan. Kohta: 0 sekuntia.")
    assert spoken.read(page).one("button", "Tauko").states["focused"]
    page.keyboard.press("s")
    expect(page.locator(TOLD)).to_have_text("Hiljaisuus ohitetaan.")
    assert spoken.read(page).one("button", "Ohita").states["pressed"] == "true"
    page.keyboard.press(".")
    expect(page.locator(TOLD)).to_have_text("Nopeus 1,25×.")
    opened.until("document.querySelector('audio').currentTime > 1.2")
    page.keyboard.press("Space")
    expect(page.locator(TOLD)).to_contain_text("Tauko. Kohta: ")
    live = [each for each in spoken.read(page).said if each.states.get("live")]
    assert all(each.states["live"] == "polite" for each in live)


def test_a_case_is_worked_by_ear(
    browser: tuple[Browser, str], people: People, call: dict[str, Any]
) -> None:
    with window(*browser) as opened:
        page = opened.page
        logged_in(page, opened.url, people, "complaints")
        page.goto(f"{opened.url}/recordings/{call['id']}")
        assert spoken.read(page).headings[:2] == [
            (1, page.locator("h1").inner_text()), (2, "Mihin reklamaatioon tämä liittyy?"),
        ]  # fmt: skip
        page.locator("button[name=action][value=new]").click()
        expect(page.locator(NEWS)).to_have_text("Reklamaatio 2026-00001 avattiin.")

        page.goto(f"{opened.url}/cases/2026-00001")
        reading = spoken.read(page)
        assert no_level_is_left_out(reading) and reading.nameless == []
        assert reading.headings[:2] == [(1, "2026-00001"), (2, "Aikajana")]
        assert reading.headings[2][0] == 3 and "Mikko Laine" in reading.headings[2][1]
        assert ("region", "Aikajana") in reading.landmarks
        folded = reading.one("DisclosureTriangle", "Säilytä")
        assert folded.states["expanded"] is False

        page.locator("summary", has_text="Säilytä").focus()
        page.keyboard.press("Enter")
        unfolded = spoken.read(page)
        assert unfolded.one("DisclosureTriangle", "Säilytä").states["expanded"] is True
        assert [each.name for each in unfolded.of("textbox", "Date")][:2] == [
            "Syy",
            "Tarkistuspäivä",
        ]
        page.locator("form[action$='/hold'] [name=reason]").fill("Kello on todiste")
        page.locator("form[action$='/hold'] button").click()
        expect(page.locator(NEWS)).to_contain_text("Säilytysvelvoitetta ei asetettu: anna syy")
        page.locator("summary", has_text="Säilytä").click()
        page.locator("form[action$='/hold'] [name=reason]").fill("Kello on todiste")
        page.locator("form[action$='/hold'] [name=review_on]").fill("2027-03-01")
        page.locator("form[action$='/hold'] button").click()
        expect(page.locator(NEWS)).to_have_text(
            "Tallenne säilytetään, kunnes säilytysvelvoite puretaan."
        )
        assert opened.problems == []
