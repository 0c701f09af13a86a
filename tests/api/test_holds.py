"""Holds and restrictions over the interface."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from archive.archive import Archive
from archive.model import Purpose, Scope
from tests.clock import Clock
from tests.machine import Machine
from tests.test_story import deliver

ASKED = {"case": "2026-00001", "reason": "laskukiista", "review_on": "2027-03-01"}
FOR_ITS_CASE = {"X-Archive-Purpose": "complaint", "X-Archive-Case": "2026-00001"}


@pytest.fixture
def desk(token_of: Callable[..., Machine]) -> Machine:
    """The complaint system: opens cases and holds."""
    made = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    assert made.post("/api/v1/cases", {"number": "2026-00001"}).status_code == 201
    return made


def test_a_hold_is_placed_shown_listed_and_released(
    desk: Machine, archive: Archive, clock: Clock
) -> None:
    path = f"/api/v1/recordings/{deliver(archive, '1').id}"
    placed = desk.post(f"{path}/holds", ASKED)
    assert placed.status_code == 201
    hold = placed.get_json()
    assert {name: hold[name] for name in ASKED} == ASKED
    assert desk.get(path).get_json()["holds"] == [hold]
    assert desk.get("/api/v1/holds").get_json() == {"items": [hold]}
    assert desk.get("/api/v1/holds?due=true").get_json() == {"items": []}
    clock.advance(timedelta(days=100))
    assert len(desk.get("/api/v1/holds?due=true").get_json()["items"]) == 1
    clock.advance(timedelta(days=300))
    archive.expire()
    assert desk.get(path).status_code == 404
    assert desk.get(path, FOR_ITS_CASE).status_code == 200
    assert desk.get(f"{path}/content", FOR_ITS_CASE).status_code == 200
    released = desk.client.delete(f"{path}/holds/{hold['id']}", headers=desk.headers)
    assert released.status_code == 200
    assert released.get_json()["ends_at"] is not None


def test_what_is_wrong_with_a_hold_is_named(desk: Machine, archive: Archive) -> None:
    path = f"/api/v1/recordings/{deliver(archive, '1').id}/holds"
    for changed, field in (
        ({"review_on": "2026-11-24"}, "review_on"),
        ({"review_on": "soon"}, "review_on"),
        ({"review_on": None}, "review_on"),
        ({"reason": ""}, "reason"),
        ({"legal_basis": "x" * 201}, "basis"),
    ):
        answer = desk.post(path, ASKED | changed)
        assert answer.status_code == 422
        assert [e["field"] for e in answer.get_json()["errors"]] == [field]
    assert desk.post(path, ASKED | {"case": "2026-00009"}).status_code == 403
    assert desk.get("/api/v1/holds?due=x").status_code == 422
    assert desk.post(path, ASKED).status_code == 201
    assert desk.post(path, ASKED).status_code == 409


def test_machines_that_only_read_neither_hold_nor_restrict(
    desk: Machine, reader: Machine, archive: Archive
) -> None:
    path = f"/api/v1/recordings/{deliver(archive, '1').id}"
    desk.post(f"{path}/holds", ASKED)
    assert reader.post(f"{path}/holds", ASKED).status_code == 403
    assert reader.get("/api/v1/holds").status_code == 403
    assert reader.get(path).get_json()["holds"] == []
    for machine in (desk, reader):
        assert machine.post(f"{path}/restriction", {"reason": "x"}).status_code == 403
        lifted = machine.client.delete(f"{path}/restriction", headers=machine.headers)
        assert lifted.status_code == 403
