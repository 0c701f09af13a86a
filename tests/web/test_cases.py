"""Complaint cases on the pages: opened, filled, worked on, handed over, closed and reopened."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive.archive import Archive
from archive.auth import People
from tests.clock import Clock
from tests.web.browser import chromium, serving, window
from tests.web.conftest import AINO, HETU
from tests.web.visitor import PASSWORD, Visitor

CASE = "2026-00001"


def opened(visitor: Visitor, **fields: str) -> None:
    """Opens a case; its page is then the last one."""
    visitor.get("/cases")
    visitor.submit("/cases", **({"subject": "Lasku väärin", "customer": AINO} | fields))


def filled(visitor: Visitor, id: str) -> None:
    """Finds the customer's recordings within the case and adds one."""
    visitor.get(f"/cases/{CASE}/find")
    assert f'value="{AINO}"' in visitor.page, "the case's customer is there already"
    visitor.submit(f"/cases/{CASE}/find", customer=AINO)
    assert f'value="{id}"' in visitor.page
    visitor.submit(f"/cases/{CASE}/recordings", id=id)


def held(visitor: Visitor, id: str) -> None:
    visitor.submit(
        f"/cases/{CASE}/recordings/{id}/hold", reason="laskukiista", review_on="1.3.2027"
    )


def test_a_case_is_opened_filled_noted_in_and_held_from_its_timeline(
    complaints: Visitor, call: dict[str, Any], email: dict[str, Any]
) -> None:
    opened(complaints, due="24.12.2026")
    assert "Reklamaatio 2026-00001 avattiin" in complaints.page
    assert "ei ole vielä mitään" in complaints.page and "to 24.12.2026" in complaints.page
    filled(complaints, call["id"])
    assert "1 tallenne lisättiin" in complaints.page and "Mikko Laine" in complaints.page
    assert "Ei säilytyksessä: poistetaan" in complaints.page
    complaints.submit(
        f"/cases/{CASE}/notes", recording=call["id"], text="lupaus hyvityksestä", start="0:02",
        end="0:04",
    )  # fmt: skip
    assert "lupaus hyvityksestä" in complaints.page and "0:02–0:04" in complaints.page
    complaints.submit(f"/cases/{CASE}/notes", text="Soitettu asiakkaalle")
    timeline = complaints.page[complaints.page.index('class="timeline"') :]
    assert timeline.index("lupaus") < timeline.index("Soitettu asiakkaalle")
    held(complaints, call["id"])
    assert "tarkistus ma 1.3.2027" in complaints.page
    complaints.get("/cases")
    assert CASE in complaints.page and "Lasku väärin" in complaints.page


def test_a_mark_leads_to_its_place_in_the_call(complaints: Visitor, call: dict[str, Any]) -> None:
    opened(complaints)
    filled(complaints, call["id"])
    complaints.submit(f"/cases/{CASE}/notes", recording=call["id"], text="x", start="0:04")
    assert 'name="at" value="4"' in complaints.page
    answer = complaints.post(f"/cases/{CASE}/recordings/{call['id']}/show", at="4")
    assert answer.location.endswith("#t=4")
    complaints.get(answer.location)
    assert "data-player" in complaints.page, "purpose and case are those of the case"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"due": "joskus"}, "Kirjoita päivämäärä"),
        ({"subject": f"Aino {HETU}"}, "Älä kirjoita henkilötunnusta"),
        ({"customer": "x" * 101}, "Liian pitkä"),
        ({"number": "12"}, "2026-00012"),
    ],
)
def test_what_is_wrong_with_a_new_case_is_said_beside_the_field(
    complaints: Visitor, fields: dict[str, str], says: str
) -> None:
    complaints.get("/cases")
    assert complaints.submit("/cases", **fields).status_code == 422
    assert says in complaints.page and HETU not in complaints.page
    complaints.get("/cases")
    assert "ei ole avoimia reklamaatioita" in complaints.page


def test_a_number_is_taken_over_and_a_known_one_leads_to_its_case(complaints: Visitor) -> None:
    opened(complaints, number="2026-04711")
    assert "2026-04711" in complaints.page
    opened(complaints, number="2026-04711", subject="toinen")
    assert "on jo olemassa" in complaints.page and "Lasku väärin" in complaints.page
    opened(complaints)
    assert "2026-04712" in complaints.page


def test_overdue_cases_come_first_and_are_marked(complaints: Visitor, clock: Clock) -> None:
    opened(complaints, subject="myöhemmin", due="31.12.2026")
    opened(complaints, subject="myöhässä", due="20.11.2026")
    complaints.get("/cases")
    page = complaints.page
    assert page.index("(myöhässä)") < page.index("31.12.2026")
    assert re.search(r'<tr class="late">.*?20\.11\.2026', page, re.DOTALL)


def test_the_consequences_are_shown_before_a_case_is_closed_and_it_opens_again(
    complaints: Visitor, call: dict[str, Any]
) -> None:
    opened(complaints)
    filled(complaints, call["id"])
    held(complaints, call["id"])
    complaints.get(f"/cases/{CASE}/closing")
    assert "1 säilytysvelvoite puretaan" in complaints.page
    assert "1.12.2026" in complaints.page and "24.11.2027" in complaints.page
    seen = re.findall(r'name="seen" value="(\w+)"', complaints.page)[0]
    assert complaints.submit(f"/cases/{CASE}/closing", seen=seen, reason="").status_code == 422
    assert complaints.submit(f"/cases/{CASE}/closing", seen="x", reason="x").status_code == 409
    assert "jokin on muuttunut" in complaints.page
    complaints.submit(f"/cases/{CASE}/closing", seen=seen, reason="Hyvitetty")
    assert "1 säilytysvelvoite purettiin" in complaints.page and "Hyvitetty" in complaints.page
    assert "Lisää puheluita" not in complaints.page
    complaints.submit(
        f"/cases/{CASE}/reopen", reason="Asiakas soitti", again="1", review_on="1.3.2027"
    )
    assert "1 tallenne on taas säilytyksessä" in complaints.page
    assert "Voimassa" in complaints.get("/holds").get_data(as_text=True)


def test_a_second_person_confirms_the_closing(
    complaints: Visitor,
    person: Callable[..., Visitor],
    call: dict[str, Any],
    archive: Archive,
) -> None:
    archive.config = replace(archive.config, hold_release_four_eyes=True)
    opened(complaints)
    filled(complaints, call["id"])
    held(complaints, call["id"])

    def shut(visitor: Visitor) -> None:
        visitor.get(f"/cases/{CASE}/closing")
        seen = re.findall(r'name="seen" value="(\w+)"', visitor.page)
        visitor.submit(f"/cases/{CASE}/closing", seen=seen[0] if seen else "", reason="x")

    shut(complaints)
    assert "Toisen henkilön on vahvistettava" in complaints.page
    complaints.get(f"/cases/{CASE}/closing")
    assert 'name="seen"' not in complaints.page
    colleague = person("complaints", name="kollega")
    colleague.get(f"/cases/{CASE}/closing")
    assert "complaints pyysi sulkemista" in colleague.page
    shut(colleague)
    assert "Reklamaatio suljettiin; 1" in colleague.page


def test_a_case_is_handed_over_and_its_new_owner_sees_it_among_theirs(
    complaints: Visitor, person: Callable[..., Visitor]
) -> None:
    colleague = person("complaints", name="kollega")
    opened(complaints)
    complaints.submit(f"/cases/{CASE}/owner", owner="kollega", reason="")
    assert "Ei siirretty" in complaints.page
    complaints.submit(f"/cases/{CASE}/owner", owner="kollega", reason="loma")
    colleague.get("/cases")
    assert CASE in colleague.page
    colleague.get("/notices")
    assert "Reklamaatio on siirretty sinulle" in colleague.page
    complaints.get("/cases")
    assert CASE not in complaints.page
    complaints.get("/cases?show=all")
    assert CASE in complaints.page and "kollega" in complaints.page


def test_nobody_else_learns_of_a_case(
    complaints: Visitor, agent: Visitor, admin: Visitor, person: Callable[..., Visitor]
) -> None:
    opened(complaints)
    for visitor in (agent, admin):
        for path in ("/cases", f"/cases/{CASE}", f"/cases/{CASE}/find", f"/cases/{CASE}/closing",
                     "/cases/2026-00099"):  # fmt: skip
            assert visitor.get(path).status_code == 403
        assert not visitor.links("^/cases")
    dpo = person("dpo")
    assert dpo.get(f"/cases/{CASE}").status_code == 200
    assert "Sulje reklamaatio" not in dpo.page and "Tallenna muistiinpano" not in dpo.page
    assert dpo.get(f"/cases/{CASE}/closing").status_code == 403
    assert dpo.post(f"/cases/{CASE}/notes", text="x").status_code == 403
    assert complaints.get("/cases/2026-00099").status_code == 404


def test_no_name_or_number_stands_in_an_address(complaints: Visitor, call: dict[str, Any]) -> None:
    opened(complaints)
    filled(complaints, call["id"])
    complaints.get(f"/cases/{CASE}/find")
    answer = complaints.post(f"/cases/{CASE}/find", customer=AINO)
    assert AINO not in answer.location
    complaints.get(answer.location)
    assert "on jo reklamaatiossa" in complaints.page
    for address in complaints.links("."):
        assert AINO not in address


def test_a_case_is_worked_on_by_keyboard_alone(
    app: Flask, people: People, call: dict[str, Any]
) -> None:
    people.create("irja", "complaints", PASSWORD)
    with serving(app) as url, chromium() as browser, window(browser, url) as there:
        there.log_in("irja")
        page = there.page
        page.goto(f"{url}/cases")
        page.get_by_label("Aihe", exact=True).focus()
        page.keyboard.type("Katkos")
        page.keyboard.press("Tab")
        page.keyboard.type(AINO)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/cases/{CASE}")
        page.get_by_role("link", name="Lisää puheluita ja sähköposteja").press("Enter")
        page.wait_for_url("**/find")
        page.keyboard.press("Enter")  # the customer is filled in and has the focus
        box = page.get_by_role("checkbox").first
        box.press("Space")
        page.get_by_role("button", name="Lisää valitut reklamaatioon").press("Enter")
        card = page.locator(".timeline > li").first
        expect(card).to_contain_text("Mikko Laine")
        card.get_by_text("Muistiinpano tai merkki").press("Enter")
        note = card.get_by_label("Muistiinpano", exact=True)
        note.press("Tab")  # reachable, and out of it again
        note.fill("lupaus")
        card.get_by_label("Alkaen").fill("0:03")
        card.get_by_label("Alkaen").press("Enter")
        page.wait_for_url("**#r-*")
        page.get_by_role("button", name="0:03", exact=True).press("Enter")
        page.wait_for_url("**#t=3")
        page.locator("[data-drawn=true]").wait_for()
        there.until("document.querySelector('[data-seek]').value === '3'")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("m")
        page.keyboard.type("toinen kohta")
        assert page.get_by_label("Alkaen").input_value() == "0:06"
        page.get_by_role("button", name="Tallenna muistiinpano").press("Enter")
        page.get_by_role("link", name="0:06", exact=True).wait_for()
        expect(page.locator(".noted")).to_contain_text("toinen kohta")
        page.get_by_role("link", name="0:03", exact=True).press("Enter")
        there.until("document.querySelector('[data-seek]').value === '3'")
        assert there.problems == []
