"""Only what may be recorded is taken, and what each source did is counted day by day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from archive import reception
from archive.archive import SYSTEM, Archive
from archive.auth import People
from archive.errors import BadFields, Forbidden, NotFound
from archive.model import Actor, Purpose, Scope
from archive.sourcebook import Source, SourceDay
from tests.api import test_delivery as delivery
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.web.visitor import PASSWORD, Visitor


@pytest.fixture(autouse=True)
def rules_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an administrator changes is in force with the next delivery."""
    monkeypatch.setattr(reception, "RULES_CACHE_S", 0.0)


@pytest.fixture
def mailer(token_of: Callable[..., Machine]) -> Machine:
    return token_of(Scope.INGEST, purposes=(Purpose.VERIFICATION,), source="mail")


def call(machine: Machine, changes: dict[str, str], audio: bytes = b"x") -> Any:
    clock = machine.archive.now
    return delivery.post_call(machine, delivery.metadata(clock, **changes), audio)  # type: ignore[arg-type]


def email(machine: Machine, mailbox: str, subject: str) -> Any:
    query = f"source=mail&mailbox={mailbox}&direction=inbound"
    return delivery.post_email(machine, mail(subject=subject), query)


def only(archive: Archive, name: str, days: int = 7) -> Source:
    [found] = [one for one in archive.sources(SYSTEM, days=days) if one.name == name]
    return found


def test_a_source_with_a_list_delivers_for_what_is_listed_and_nothing_else(
    archive: Archive, machine: Machine
) -> None:
    assert call(machine, {"source_ref": "1", "line": "henkilökohtainen"}).status_code == 201
    archive.allow_line(SYSTEM, source="pbx", line="viat")
    assert call(machine, {"source_ref": "2", "line": "viat"}).status_code == 201
    assert call(machine, {"source_ref": "3", "line": "henkilökohtainen"}).status_code == 403
    assert machine.refusals() == {"line-not-allowed": 1}
    archive.disallow_line(SYSTEM, source="pbx", line="viat")  # an empty list opens nothing
    assert call(machine, {"source_ref": "4", "line": "viat"}).status_code == 403
    archive.unrestrict_source(SYSTEM, source="pbx")
    assert call(machine, {"source_ref": "5", "line": "viat"}).status_code == 201


def test_mailboxes_are_compared_like_addresses_and_other_sources_are_not_concerned(
    archive: Archive, machine: Machine, mailer: Machine
) -> None:
    archive.allow_line(SYSTEM, source="mail", line="Palvelu@Yhtio.example")
    assert email(mailer, "palvelu@YHTIO.example", "x").status_code == 201
    assert email(mailer, "matti@yhtio.example", "x").status_code == 403
    assert call(machine, {}).status_code == 201


def test_only_an_administrator_may_list_lines_and_it_is_audited(archive: Archive) -> None:
    nobody = Actor("x", "x", "person", None, frozenset({Scope.INGEST}))
    with pytest.raises(Forbidden):
        archive.allow_line(nobody, source="pbx", line="viat")
    with pytest.raises(Forbidden):
        archive.sources(nobody)
    with pytest.raises(BadFields) as wrong:
        archive.allow_line(SYSTEM, source=" ", line="viat")
    assert [e.field for e in wrong.value.errors] == ["source"]
    with pytest.raises(NotFound):
        archive.disallow_line(SYSTEM, source="pbx", line="viat")
    archive.allow_line(SYSTEM, source="pbx", line="viat")
    with archive.engine.connect() as connection:
        said = connection.exec_driver_sql(
            "select verb, detail from audit_event where verb like '%%line%%'"
        ).all()
    assert [tuple(one) for one in said] == [("allow-line", {"source": "pbx", "line": "viat"})]


def test_the_report_names_exactly_what_came_and_what_went_wrong(
    archive: Archive, machine: Machine, mailer: Machine, clock: Clock
) -> None:
    today = clock().date()
    for number in range(3):
        call(machine, {"source_ref": str(number)}, wav(seconds=0.1))
    call(machine, {"source_ref": "1"}, wav(seconds=0.1))  # again
    call(machine, {"source_ref": "1"}, b"other")  # a conflict
    call(machine, {"source_ref": "empty"}, b"")
    call(machine, {"source_ref": "noise"}, b"\x01\x02 no audio at all \x03" * 50)
    call(machine, {"source_ref": "old", "occurred_at": "2025-01-01T00:00:00Z"})
    email(mailer, "palvelu@yhtio.example", "x")
    machine.work()
    clock.advance(timedelta(days=1))
    call(machine, {"source_ref": "next"}, wav(seconds=0.1))
    machine.work()
    assert only(archive, "pbx").days == (
        SourceDay(day=clock().date(), received=1, calls=1),
        SourceDay(
            day=today,
            received=5,
            calls=5,
            empty=1,
            undecodable=2,
            again=1,
            refused={"reference-conflict": 1, "older-than-retention": 1},
        ),
    )
    assert only(archive, "mail").days == (SourceDay(day=today, received=1, emails=1),)
    assert only(archive, "pbx", days=1).days == (
        SourceDay(day=clock().date(), received=1, calls=1),
    )


def test_a_source_is_silent_when_the_same_hour_of_other_weeks_was_busy(
    archive: Archive, machine: Machine, mailer: Machine, clock: Clock
) -> None:
    for week in range(4):
        for number in range(6):
            call(machine, {"source_ref": f"{week}-{number}"}, b"x")
        if week < 2:  # too seldom to be a rhythm
            email(mailer, "palvelu@yhtio.example", str(week))
        clock.advance(timedelta(days=7))
    assert [(one.name, one.silent, one.usual) for one in archive.sources(SYSTEM)] == [
        ("mail", False, 0),
        ("pbx", True, 6),
    ]
    call(machine, {"source_ref": "at last"}, b"x")
    assert not only(archive, "pbx").silent
    clock.advance(timedelta(hours=6))  # at this hour nothing ever comes
    assert not only(archive, "pbx").silent


def test_an_administrator_sees_the_sources_and_lists_lines_on_the_page(
    archive: Archive, machine: Machine, app: Flask, people: People
) -> None:
    people.create("admin", "admin", PASSWORD, None)
    admin = Visitor(app.test_client())
    admin.log_in("admin")
    call(machine, {"line": "<b>"}, b"")
    archive.allow_line(SYSTEM, source="pbx", line="<b>")
    admin.get("/admin/sources")
    assert "pbx" in admin.page and "<b>" not in admin.page
    assert admin.submit("/admin/sources/lines", source="pbx", line="viat").status_code == 200
    assert "viat" in admin.page
    assert only(archive, "pbx").lines == ("<b>", "viat")
    admin.submit("/admin/sources/lines/remove", source="pbx", line="<b>")
    assert only(archive, "pbx").lines == ("viat",)
    assert admin.submit("/admin/sources/lines", source="", line="viat").status_code == 422
    people.create("agent", "customer-service", PASSWORD, None)
    agent = Visitor(app.test_client())
    agent.log_in("agent")
    assert agent.get("/admin/sources").status_code == 403
    assert agent.submit("/admin/sources/lines", source="pbx", line="x").status_code == 403


def test_the_command_prints_the_same_and_says_by_its_exit_that_a_source_is_silent(
    archive: Archive, people: People, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from archive.assembly import Assembly
    from archive.cli import cli, frame

    call(machine, {}, b"x")
    monkeypatch.setattr(frame.os, "umask", lambda mask: None)
    assembly = Assembly(archive.config, archive.engine, archive, people)
    monkeypatch.setattr(frame, "assemble", lambda *a, **k: _Kept(assembly))
    done = CliRunner().invoke(cli, ["sources", "report", "--json"])
    assert done.exit_code == 0
    [one] = json.loads(done.stdout)
    assert (one["name"], one["days"][0]["received"], one["silent"]) == ("pbx", 1, False)
    CliRunner().invoke(cli, ["sources", "allow", "pbx", "viat", "laskut"])
    said = CliRunner().invoke(cli, ["sources", "report"]).stdout
    assert "lines: laskut, viat" in said and "1 received" in said


class _Kept:
    """An assembly that a command does not close."""

    def __init__(self, assembly: Any) -> None:
        self.archive, self.people = assembly.archive, assembly.people

    def close(self) -> None:
        """Not ours to close."""
