"""Changing holds on the pages and over the interface, and the list of notices."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from archive.archive import Archive
from archive.auth import People
from archive.model import Purpose, Scope
from tests.machine import Machine
from tests.test_story import deliver
from tests.web.test_holds import hold
from tests.web.visitor import Visitor


def action(visitor: Visitor, what: str) -> str:
    """Where the form of that change on the page of holds goes to."""
    visitor.get("/holds")
    found = re.search(rf'action="(/recordings/[^"]+/{what})"', visitor.page)
    assert found is not None
    return found[1]


def test_a_review_is_moved_and_the_hold_handed_over_on_the_page(
    complaints: Visitor, person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    colleague = person("complaints", name="kollega")
    hold(complaints, call)
    extend = action(complaints, "review")
    for fields in ({"review_on": "2020-01-01", "reason": "x"}, {"review_on": "1.6.2027"}):
        complaints.submit(extend, next="/holds", **fields)
        assert "Tarkistusta ei siirretty" in complaints.page
    complaints.submit(extend, next="/holds", review_on="1.6.2027", reason="lautakunta")
    assert "Tarkistus siirrettiin" in complaints.page and "ti 1.6.2027" in complaints.page
    complaints.submit(action(complaints, "owner"), owner="kollega", reason="")
    assert "anna syy" in complaints.page
    complaints.submit(action(complaints, "owner"), owner="kollega", reason="loma")
    assert "Uusi vastuuhenkilö saa ilmoituksen" in complaints.page
    complaints.get("/holds?show=mine")
    assert "Sinulla ei ole säilytysvelvoitteita" in complaints.page
    colleague.get("/notices")
    assert "Säilytysvelvoite on siirretty sinulle" in colleague.page
    assert "<b>1</b>" in colleague.page
    (shown,) = re.findall(r'action="(/holds/[^"]+/show)"', colleague.page)
    colleague.submit(shown)
    assert "siirretty henkilölle kollega" in colleague.page and "loma" in colleague.page
    colleague.get("/notices")
    colleague.submit("/notices/seen")
    assert "<b>1</b>" not in colleague.page and "siirretty sinulle" in colleague.page


def test_ones_own_address_is_kept_and_shown_to_nobody_else(
    complaints: Visitor, admin: Visitor, person: Callable[..., Visitor], people: People
) -> None:
    complaints.get("/notices")
    assert complaints.submit("/notices/address", email="ei osoite").status_code == 422
    assert "Anna sähköpostiosoite" in complaints.page
    complaints.submit("/notices/address", email="irja@yhtio.example")
    assert 'value="irja@yhtio.example"' in complaints.page
    other = person("complaints", name="muu")
    for visitor, path in ((other, "/notices"), (admin, "/admin")):
        visitor.get(path)
        assert "irja@yhtio" not in visitor.page
    complaints.submit("/notices/address", email="")
    assert "Ilmoituksia ei enää lähetetä" in complaints.page


def test_who_does_not_work_with_holds_has_an_empty_list_and_no_bell(agent: Visitor) -> None:
    assert agent.get("/notices").status_code == 200
    assert "Ei uutta" in agent.page
    agent.get("/verify")
    assert not agent.links("^/notices$")


def test_the_interface_moves_a_review_and_hands_a_hold_over(
    token_of: Callable[..., Machine], archive: Archive, people: People
) -> None:
    people.create("kollega", "complaints", None)
    desk = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    desk.post("/api/v1/cases", {"number": "2026-00001"})
    path = f"/api/v1/recordings/{deliver(archive, '1').id}/holds"
    asked = {"case": "2026-00001", "reason": "x", "review_on": "2027-03-01"}
    one = f"{path}/{desk.post(path, asked).get_json()['id']}"

    def patch(**fields: Any) -> tuple[int, dict[str, Any]]:
        answer = desk.client.patch(one, json=fields, headers=desk.headers)
        return answer.status_code, dict(answer.get_json())

    for fields, field in (
        ({"reason": "x"}, "review_on"),
        ({"reason": "x", "owner": "kollega", "review_on": "2027-06-01"}, "review_on"),
        ({"review_on": "2027-06-01"}, "reason"),
        ({"review_on": "2026-01-01", "reason": "x"}, "review_on"),
        ({"owner": "ei-kukaan", "reason": "x"}, "owner"),
        ({"reviewed": "x", "reason": "x"}, "reviewed"),
    ):
        status, problem = patch(**fields)
        assert (status, problem["errors"][0]["field"]) == (422, field)
    status, moved = patch(review_on="2027-06-01", reason="lautakunta")
    assert (status, moved["review_on"]) == (200, "2027-06-01")
    status, given = patch(owner="kollega", reason="loma")
    assert status == 200
    assert [change["what"] for change in given["changes"]] == ["review", "owner"]
    reader = token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.COMPLAINT,))
    answer = reader.client.patch(one, json={"owner": "x", "reason": "x"}, headers=reader.headers)
    assert answer.status_code == 403
