"""Complaint cases over the interface, and by command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from archive.archive import Archive
from archive.auth import People
from archive.cli import cli
from archive.errors import ArchiveError
from archive.model import Purpose, Scope
from tests.clock import Clock
from tests.machine import Machine
from tests.running import environment_of
from tests.test_holds import HANDLER, hold
from tests.test_story import deliver

CASES = "/api/v1/cases"
ONE = f"{CASES}/2026-00001"


@pytest.fixture
def desk(token_of: Callable[..., Machine]) -> Machine:
    """The complaint system."""
    return token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))


def opened(desk: Machine, archive: Archive) -> str:
    """A case with one held recording; the recording's id."""
    asked = {"number": "2026-00001", "subject": "lasku", "customer": "1", "due_on": "2026-12-24"}
    assert desk.post(CASES, asked).status_code == 201
    id = deliver(archive, "1").id
    assert desk.post(f"{ONE}/recordings", {"id": str(id)}).status_code == 204
    held = {"case": "2026-00001", "reason": "x", "review_on": "2027-03-01"}
    assert desk.post(f"/api/v1/recordings/{id}/holds", held).status_code == 201
    return str(id)


def test_a_case_is_read_with_its_recordings_and_notes(desk: Machine, archive: Archive) -> None:
    id = opened(desk, archive)
    note = {"text": "lupaus", "id": id, "start_s": 1.5, "end_s": 2}
    assert desk.post(f"{ONE}/notes", note).status_code == 201
    assert desk.post(f"{ONE}/notes", {"text": "soitettu"}).status_code == 201
    body = desk.get(ONE).get_json()
    assert (body["subject"], body["customer"], body["due_on"], body["held"]) == (
        "lasku", "1", "2026-12-24", 1,
    )  # fmt: skip
    (item,) = body["items"]
    assert item["recording"]["id"] == id
    assert [(n["kind"], n["text"], n["start_s"]) for n in item["notes"]] == [
        ("mark", "lupaus", 1.5)
    ]
    assert [n["text"] for n in body["notes"]] == ["soitettu"]
    listed = desk.get(CASES).get_json()["items"]
    assert [one["number"] for one in listed] == ["2026-00001"]
    assert desk.get(f"{CASES}?closed=true").get_json() == {"items": []}


def test_a_case_is_closed_as_shown_and_reopened(
    desk: Machine, archive: Archive, clock: Clock
) -> None:
    id = opened(desk, archive)
    shown = desk.get(f"{ONE}/closing").get_json()
    assert [(i["recording"], i["kept_by"]) for i in shown["items"]] == [(id, None)]
    assert shown["grace_ends_at"].startswith("2026-12-01")
    asked = {"digest": shown["digest"], "reason": "hyvitetty"}
    changed = desk.post(f"{ONE}/closing", asked | {"digest": "x"})
    assert changed.status_code == 409
    assert desk.post(f"{ONE}/closing", asked | {"reason": ""}).status_code == 422
    closed = desk.post(f"{ONE}/closing", asked)
    assert closed.status_code == 200 and len(closed.get_json()["released"]) == 1
    assert desk.get(f"{ONE}/closing").status_code == 409
    assert desk.post(f"{ONE}/notes", {"text": "x"}).status_code == 409
    clock.advance(timedelta(days=2))
    reopened = desk.post(f"{ONE}/reopening", {"reason": "uusi tieto", "review_on": "2027-03-01"})
    assert reopened.get_json()["held"] == 1
    assert desk.get(ONE).get_json()["held"] == 1


def test_with_four_eyes_another_token_confirms_the_closing(
    desk: Machine, archive: Archive, token_of: Callable[..., Machine]
) -> None:
    archive.config = replace(archive.config, hold_release_four_eyes=True)
    opened(desk, archive)
    asked = {"digest": desk.get(f"{ONE}/closing").get_json()["digest"], "reason": "x"}
    assert desk.post(f"{ONE}/closing", asked).status_code == 202
    assert desk.post(f"{ONE}/closing", asked).status_code == 409
    other = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    assert other.post(f"{ONE}/closing", asked).status_code == 200


def test_what_is_wrong_is_named_and_strangers_get_nothing(
    desk: Machine, archive: Archive, reader: Machine, people: People
) -> None:
    id = opened(desk, archive)
    for path, body, field in (
        (CASES, {"due_on": "joskus"}, "due_on"),
        (CASES, {"subject": "131052-308T"}, "subject"),
        (f"{ONE}/notes", {"text": ""}, "text"),
        (f"{ONE}/notes", {"text": "x", "id": "x"}, "id"),
        (f"{ONE}/notes", {"text": "x", "id": id, "start_s": "alussa"}, "start_s"),
        (f"{ONE}/notes", {"text": "x", "id": id, "start_s": 5, "end_s": 4}, "end_s"),
        (f"{ONE}/reopening", {"reason": "x", "review_on": "2020-01-01"}, "review_on"),
    ):
        answer = desk.post(path, body)
        assert answer.status_code == 422, path
        assert [e["field"] for e in answer.get_json()["errors"]] == [field]
    assert desk.get(f"{CASES}/2026-00099").status_code == 404
    assert desk.get(f"{CASES}?mine=1").status_code == 422
    owner = {"owner": "kollega", "reason": "loma"}

    def give(machine: Machine) -> int:
        return machine.client.put(f"{ONE}/owner", json=owner, headers=machine.headers).status_code

    assert give(desk) == 422
    people.create("kollega", "complaints", None)
    assert (give(desk), give(reader)) == (200, 403)
    for path in (CASES, ONE, f"{ONE}/closing"):
        assert reader.get(path).status_code == 403


def test_commands_change_holds_and_close_cases(archive: Archive, people: People) -> None:
    environment = environment_of(archive.config)

    def command(*words: str) -> tuple[int, str]:
        """Exit code, as the command's own `main` makes it of an error, and what was said."""
        done = CliRunner().invoke(cli, words, env=environment)
        error = done.exception
        code = error.exit_code if isinstance(error, ArchiveError) else done.exit_code
        return code, done.output

    people.create("kollega", "complaints", None)
    archive.open_case(HANDLER, "2026-00001")
    id = str(hold(archive, deliver(archive, "1").id).hold.id)
    assert command("hold", "extend", id, "--review-on", "2099-06-01", "--reason", "x")[0] == 0
    assert command("hold", "extend", id, "--review-on", "2000-06-01", "--reason", "x")[0] == 2
    assert command("hold", "hand-over", id, "--to", "kollega", "--reason", "loma")[0] == 0
    (held,) = archive.list_holds(HANDLER)
    assert (str(held.hold.review_on), held.owner_name) == ("2099-06-01", "kollega")
    code, said = command("case", "close", "2026-00001")
    assert code == 0 and "1 holds released" in said and "Nothing has been done" in said
    assert archive.list_cases(HANDLER)[0].held == 1
    assert command("case", "close", "2026-00001", "--reason", "hyvitetty")[0] == 0
    assert archive.list_cases(HANDLER) == []
    assert command("case", "close", "2026-00001", "--reason", "x")[0] == 29
    code, said = command(
        "case", "reopen", "2026-00001", "--reason", "x", "--review-on", "2099-06-01"
    )
    assert (code, said) == (0, "Open again; 1 recordings held again.\n")
    (_, again) = sorted(archive.list_holds(HANDLER), key=lambda h: h.hold.placed_at)
    code, said = command("hold", "release", str(again.hold.id), "--reason", "x")
    assert code == 0 and said.startswith("Released; keeps the recording until ")
    code, said = command("case", "list")
    assert "2026-00001  1 recordings, 0 held" in said
