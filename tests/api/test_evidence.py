"""Evidence packages over the interface, and by command."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive import worker
from archive.archive import Archive
from archive.cli import cli
from archive.evidence import verify
from archive.model import Purpose, Scope
from tests.machine import Machine
from tests.running import environment_of
from tests.test_evidence import build
from tests.test_holds import HANDLER
from tests.test_story import deliver

CASE = "2026-00001"
EVIDENCE = f"/api/v1/cases/{CASE}/evidence"


@pytest.fixture
def id(archive: Archive) -> str:
    """A call in a case."""
    archive.open_case(HANDLER, CASE, customer="1234567")
    id = deliver(archive, "1").id
    worker.until_idle(archive)
    archive.add_to_case(HANDLER, CASE, id)
    return str(id)


@pytest.fixture
def desk(token_of: Callable[..., Machine]) -> Machine:
    """The complaint system."""
    return token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))


def test_a_package_is_asked_for_followed_fetched_and_removed(
    desk: Machine, archive: Archive, id: str
) -> None:
    answer = desk.post(EVIDENCE, {"language": "en"})
    assert answer.status_code == 202
    one = answer.headers["Location"]
    body = desk.get(one).get_json()
    assert (body["state"], body["percent"], body["recordings"]) == ("waiting", 0, [id])
    purpose = {"X-Archive-Purpose": "complaint"}
    assert desk.get(f"{one}/content", purpose).status_code == 404
    assert build(archive)
    body = desk.get(EVIDENCE).get_json()["items"][0]
    assert (body["state"], body["percent"], body["with_pdf"]) == ("ready", 100, True)
    assert desk.get(f"{one}/content").status_code == 400
    whole = desk.get(f"{one}/content", purpose)
    assert whole.mimetype == "application/zip" and len(whole.data) == body["bytes"]
    assert "evidence-2026-00001-20261124.zip" in whole.headers["Content-Disposition"]
    assert verify.check_zip(io.BytesIO(whole.data))[2] == []
    part = desk.get(f"{one}/content", purpose | {"Range": "bytes=0-3"})
    assert (part.status_code, part.data) == (206, b"PK\3\4")
    other = one.replace(CASE, "2026-00002")
    archive.open_case(HANDLER, "2026-00002")
    assert desk.get(f"{other}/content", purpose).status_code == 404
    assert desk.client.delete(other, headers=desk.headers).status_code == 404
    assert desk.client.delete(one, headers=desk.headers).status_code == 204
    assert desk.get(one).status_code == 404


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"recordings": "x"}, "recordings"),
        ({"recordings": [1]}, "recordings"),
        ({"recordings": []}, "recordings"),
        ({"language": "sv"}, "language"),
        ({"masked_originals": "yes"}, "masked_originals"),
    ],
)
def test_what_is_wrong_with_the_question_is_named(
    desk: Machine, id: str, asked: dict[str, object], field: str
) -> None:
    answer = desk.post(EVIDENCE, asked)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.get_json()["errors"]] == [field]


def test_machines_without_the_scope_or_the_purpose_are_refused(
    token_of: Callable[..., Machine], id: str
) -> None:
    for scopes, purposes in (
        ((Scope.SEARCH, Scope.CASES), (Purpose.COMPLAINT,)),
        ((Scope.OPEN, Scope.CASES), (Purpose.VERIFICATION,)),
        ((Scope.OPEN, Scope.SEARCH), (Purpose.COMPLAINT,)),
    ):
        machine = token_of(*scopes, purposes=purposes)
        assert machine.post(EVIDENCE, {}).status_code == 403
        assert machine.get(EVIDENCE).status_code == 403


def test_the_commands_make_list_write_check_and_remove_a_package(
    archive: Archive, id: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environment_of(archive.config))
    file = home / "package.zip"
    runner = CliRunner()

    def said(*words: str, code: int = 0) -> str:
        done = runner.invoke(cli, ["evidence", *words])
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.output

    made = said("create", CASE, "--output", str(file)).split()[-1]
    assert made in said("list", CASE) and "ready" in said("list", CASE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "every byte is as it was signed" in said("verify", str(file))
    with file.open("r+b") as opened:
        opened.seek(5000)
        opened.write(b"\0\1\2")
    assert "BAD" in said("verify", str(file), code=1)
    said("save", made, str(home / "again.zip"))
    said("remove", made)
    assert said("list", CASE) == ""
