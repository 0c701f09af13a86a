"""Holds on the pages: placed within a case, found again past the year, released, restricted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from archive.archive import Archive
from tests.clock import Clock
from tests.web.visitor import Visitor


@pytest.fixture
def dpo(person: Callable[..., Visitor]) -> Visitor:
    return person("dpo")


def view_of(visitor: Visitor) -> str:
    found = re.search(r'name="view" value="([^"]+)"', visitor.page)
    assert found is not None
    return found[1]


def hold(visitor: Visitor, call: dict[str, Any]) -> None:
    """Opens a case of the call and holds it there."""
    path = f"/recordings/{call['id']}"
    visitor.get(path)
    visitor.submit(f"{path}/purpose", purpose="complaint", action="new")
    assert "Säilytä reklamaatiota 2026-00001 varten" in visitor.page
    visitor.submit(
        f"{path}/holds",
        view=view_of(visitor),
        case="2026-00001",
        reason="laskukiista",
        review_on="2027-03-01",
    )


def shown(visitor: Visitor) -> str:
    """Goes to the first held recording by the list of holds; the page."""
    visitor.get("/holds")
    (action,) = re.findall(r'action="(/holds/[^"]+/show)"', visitor.page)
    visitor.submit(action)
    return visitor.page


def test_a_complaint_handler_holds_and_releases_a_recording(
    complaints: Visitor, call: dict[str, Any], archive: Archive
) -> None:
    hold(complaints, call)
    assert "Tallenne säilytetään, kunnes" in complaints.page
    assert "laskukiista" in complaints.page and "Voimassa" in complaints.page
    assert "Säilytä reklamaatiota 2026-00001 varten" not in complaints.page
    complaints.get("/holds")
    assert "laskukiista" in complaints.page and "complaints" in complaints.page
    shown(complaints)
    (action,) = re.findall(r'action="(/recordings/[^"]+/release)"', complaints.page)
    complaints.submit(action)
    assert "Purettu, säilytetään" in complaints.page


def test_a_hold_without_a_reason_or_a_day_to_come_is_not_placed(
    complaints: Visitor, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}"
    complaints.get(path)
    complaints.submit(f"{path}/purpose", purpose="complaint", action="new")
    for fields in (
        {"reason": "", "review_on": "2027-03-01"},
        {"reason": "x", "review_on": "2026-11-24"},
        {"reason": "x", "review_on": "huomenna"},
        {"reason": "x", "review_on": ""},
    ):
        view = view_of(complaints)
        complaints.submit(f"{path}/holds", view=view, case="2026-00001", **fields)
        assert "anna syy ja tuleva tarkistuspäivä" in complaints.page
    complaints.get("/holds")
    assert "Säilytysvelvoitteita ei ole" in complaints.page


def test_a_held_recording_is_reached_past_its_year_by_its_case_alone(
    complaints: Visitor, agent: Visitor, call: dict[str, Any], archive: Archive, clock: Clock
) -> None:
    hold(complaints, call)
    archive.expire()
    clock.advance(timedelta(days=368))
    archive.expire()
    complaints.log_in("complaints")
    agent.log_in("customer-service")
    for visitor in (complaints, agent):
        assert visitor.get(f"/recordings/{call['id']}").status_code == 404
    complaints.get("/holds")
    assert "Tarkistus on ajankohtainen" in complaints.page
    assert "data-player" in shown(complaints)
    peaks = re.search(r'data-peaks="([^"]+)"', complaints.page)
    assert peaks is not None
    assert complaints.get(peaks[1].replace("&amp;", "&")).status_code == 200
    answer = complaints.post(f"/recordings/{call['id']}/open", view=view_of(complaints))
    assert answer.status_code == 200
    address = re.search(r'src="(/openings/[^"]+)"', answer.get_data(as_text=True))
    assert address is not None
    assert complaints.client.get(address[1]).data[:4] == b"OggS"
    assert agent.get("/holds").status_code == 403
    assert not agent.links("^/holds")


def test_a_second_person_confirms_where_the_setting_says_so(
    complaints: Visitor, person: Callable[..., Visitor], call: dict[str, Any], archive: Archive
) -> None:
    archive.config = replace(archive.config, hold_release_four_eyes=True)
    hold(complaints, call)
    shown(complaints)
    (action,) = re.findall(r'action="(/recordings/[^"]+/release)"', complaints.page)
    complaints.submit(action)
    assert "Purkamista pyydetty" in complaints.page
    complaints.submit(action)
    assert "Pyysit purkamista itse" in complaints.page
    colleague = person("complaints", name="colleague")
    colleague.submit(action)
    assert "Purettu, säilytetään" in colleague.page


def test_data_protection_restricts_and_lifts(
    dpo: Visitor, agent: Visitor, complaints: Visitor, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}"
    complaints.get(path)
    assert complaints.post(f"{path}/restriction", reason="x").status_code == 403
    dpo.get(path)
    dpo.submit(f"{path}/restriction", reason="asiakkaan pyyntö")
    assert "vain tietosuoja näkee sen" in dpo.page and "asiakkaan pyyntö" in dpo.page
    for visitor in (agent, complaints):
        assert visitor.get(path).status_code == 404
    complaints.get("/holds")
    assert "asiakkaan pyyntö" not in complaints.page
    shown(dpo)
    dpo.submit(f"{path}/restriction/lift")
    assert "Rajoitus poistettiin" in dpo.page
    assert agent.get(path).status_code == 200


def test_an_agent_sees_nothing_of_holds_on_a_recording(
    agent: Visitor, complaints: Visitor, call: dict[str, Any]
) -> None:
    hold(complaints, call)
    agent.get(f"/recordings/{call['id']}")
    assert "laskukiista" not in agent.page and "2026-00001" not in agent.page
