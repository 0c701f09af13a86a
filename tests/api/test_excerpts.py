"""What comes back of a search besides its hits: excerpts, facets, what is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from archive.model import Purpose, Scope
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav

SEARCH = "/api/v1/recordings/search"
PURPOSE = {"X-Archive-Purpose": "verification"}
SAID = "Hei,\n\nsähkölaskussani on <b>virhe</b>. Hetuni on 131052-308T.\n\nTerveisin Aino\n"


@pytest.fixture
def email(machine: Machine) -> dict[str, Any]:
    raw = mail(subject="Laskun oikaisu", text=SAID)
    answer = post_email(machine, raw)
    machine.work()
    return dict(answer.get_json())


def asked(machine: Machine, headers: dict[str, str] | None = None, **body: Any) -> Any:
    answer = machine.client.post(SEARCH, json=body, headers=machine.headers | (headers or {}))
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()


def joined(parts: list[dict[str, Any]]) -> str:
    return "".join(f"[{p['text']}]" if p["hit"] else p["text"] for p in parts)


def excerpts(machine: Machine, id: str) -> list[tuple[str | None, str | None]]:
    return [(e["purpose"], e["case_number"]) for e in machine.audit(id) if e["verb"] == "excerpt"]


def test_an_excerpt_of_an_email_is_made_for_a_purpose_and_noted(
    machine: Machine, email: dict[str, Any], clock: Clock
) -> None:
    (item,) = asked(machine, q="lasku", excerpts=True)["items"]
    assert joined(item["subject_marked"]) == "[Laskun] oikaisu"
    assert "excerpt" not in item
    assert excerpts(machine, email["id"]) == []
    (item,) = asked(machine, {"X-Archive-Purpose": "quality"}, q="lasku", excerpts=True)["items"]
    assert "excerpt" not in item
    for _ in range(2):
        (item,) = asked(machine, PURPOSE, q="lasku", excerpts=True)["items"]
    assert "[sähkölaskussani] on <b>virhe</b>." in joined(item["excerpt"])
    assert "131052" not in joined(item["excerpt"])
    assert excerpts(machine, email["id"]) == [("verification", None)], "one reading, one entry"
    assert "excerpt" not in asked(machine, PURPOSE, q="lasku")["items"][0]


def test_a_complaint_gives_excerpts_of_its_own_case_alone(
    email: dict[str, Any], token_of: Callable[..., Machine]
) -> None:
    desk = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    desk.post("/api/v1/cases", {"number": "2026-00001"})
    complaint = {"X-Archive-Purpose": "complaint", "X-Archive-Case": "2026-00001"}
    (item,) = asked(desk, complaint, q="virhe", excerpts=True)["items"]
    assert "excerpt" not in item
    desk.post("/api/v1/cases/2026-00001/recordings", {"id": email["id"]})
    (item,) = asked(desk, complaint, q="virhe", excerpts=True)["items"]
    assert "[virhe]" in joined(item["excerpt"])
    assert excerpts(desk, email["id"]) == [("complaint", "2026-00001")]


def test_notes_of_a_call_are_metadata_and_come_without_a_purpose(
    machine: Machine, clock: Clock
) -> None:
    post_call(machine, metadata(clock, notes="Kysyi sopimuksesta"), audio=wav(2.0))
    machine.work()
    (item,) = asked(machine, q="sopimus", excerpts=True)["items"]
    assert joined(item["excerpt"]) == "Kysyi [sopimuksesta]"


def test_facets_count_lengths_attachments_and_for_some_what_is_held(
    machine: Machine, email: dict[str, Any], clock: Clock, token_of: Callable[..., Machine]
) -> None:
    call = post_call(machine, metadata(clock, source_ref="2"), audio=wav(2.0)).get_json()
    machine.work()
    desk = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    desk.post("/api/v1/cases", {"number": "2026-00001"})
    given = {"case": "2026-00001", "reason": "laskukiista", "review_on": "2027-03-01"}
    wanted = ["duration", "attachment", "kind", "held"]
    assert asked(desk, facets=wanted)["facets"] == {
        "duration": {"0-30": 1},
        "attachment": {"no": 1},
        "kind": {"call": 1, "email": 1},
        "held": {},
    }
    assert desk.post(f"/api/v1/recordings/{call['id']}/holds", given).status_code == 201
    assert asked(desk, facets=["held"])["facets"] == {"held": {"yes": 1}}
    assert [item["id"] for item in asked(desk, held=True)["items"]] == [call["id"]]
    assert [i["id"] for i in asked(desk, duration="0-30", source="pbx")["items"]] == [call["id"]]
    assert [item["id"] for item in asked(desk, attachment=False)["items"]] == [email["id"]]
    assert asked(machine, facets=["held"])["facets"] == {}, "not for those who know no holds"
    assert machine.post(SEARCH, {"held": True}).status_code == 403
    assert machine.post(SEARCH, {"duration": "long"}).status_code == 422
