"""Breaking the glass: possible, loud, over after 15 minutes, reviewed by somebody else."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from archive import permissions
from archive.alarms import Alarms
from archive.alerts import Lookout, lasting
from archive.app import create_app
from archive.archive import OPERATOR, Archive
from archive.auth import People
from archive.db import reading
from archive.emergencies import EmergencyDesk
from archive.errors import BadSetting, Forbidden, NotFound
from archive.model import Scope
from tests.clock import Clock
from tests.web.conftest import HETU
from tests.web.visitor import PASSWORD, Visitor

REASON = "Soittaja uhkasi räjäyttää muuntamon, poliisi odottaa linjalla"


@pytest.fixture
def people(archive: Archive, engine: Engine, clock: Clock) -> People:
    """People of an installation where two groups may break the glass."""
    return People(
        engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"),
        break_glass=["customer-service", "admin"],
    )  # fmt: skip


def break_glass(visitor: Visitor, id: object, reason: str = REASON) -> Any:
    visitor.get("/emergency")
    return visitor.post("/emergency", id=str(id), reason=reason)


def entries(engine: Engine) -> list[tuple[str, str | None, str | None]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("""select verb, purpose, cast(recording_id as text) as id from audit_event
                where purpose = 'emergency' or verb like '%break-glass%' order by id""")
        )
        return [(row.verb, row.purpose, row.id) for row in rows]


def test_somebody_without_the_right_opens_one_recording_and_data_protection_knows_at_once(
    admin: Visitor, person: Callable[..., Visitor], call: dict[str, Any], email: dict[str, Any],
    archive: Archive, engine: Engine, people: People,
) -> None:  # fmt: skip
    dpo, other = person("dpo"), person("dpo", name="toinen")
    assert admin.client.get(f"/recordings/{call['id']}").status_code == 403
    answer = break_glass(admin, call["id"])
    assert answer.status_code == 303
    page = admin.get(answer.location)
    assert page.status_code == 200 and "data-player" in admin.page
    opened = admin.post(f"{answer.location}/open")
    address = re.search(r'src="(/openings/[^"]+)"', opened.get_data(as_text=True))
    assert address is not None and admin.client.get(address[1]).data.startswith(b"OggS")
    assert admin.client.get(f"{answer.location}/peaks").status_code == 200
    # That one alone, and by this way alone.
    assert admin.client.get(f"/recordings/{call['id']}").status_code == 403
    assert admin.client.get(f"/recordings/{email['id']}").status_code == 403
    assert entries(engine) == [
        ("break-glass", "emergency", call["id"]),
        ("read", "emergency", call["id"]),
        ("open", "emergency", call["id"]),
    ]
    for each in (dpo, other):
        each.get("/notices")
        assert "Joku avasi tallenteen hätätilanteessa" in each.page
        assert "Hätätilanteessa avattuja tallenteita käymättä läpi: 1" in each.page
    with reading(engine) as connection:
        assert [one.name for one in lasting(connection)] == ["break-glass"]
    read = break_glass(admin, email["id"])
    page = admin.get(read.location)
    assert "laskussani on virhe" in admin.page and HETU not in admin.page
    for visitor in (admin, person("complaints"), person("auditor")):
        assert visitor.client.get("/emergency/reviews").status_code == 403
        visitor.get("/account")
        assert "käymättä läpi" not in visitor.page
    with engine.connect() as connection:  # the reason is readable in no table
        stored = str(connection.execute(text("select t::text from emergency t")).all())
        logged = str(connection.execute(text("select t::text from audit_event t")).all())
    assert "muuntamon" not in stored + logged


def test_without_a_setting_a_reason_or_a_right_nothing_is_opened(
    agent: Visitor, person: Callable[..., Visitor], call: dict[str, Any], archive: Archive,
    engine: Engine, clock: Clock,
) -> None:  # fmt: skip
    for reason in ("", "liian lyhyt", "a" + " " * 30, f"Asiakkaan tunnus on {HETU} ja muuta"):
        answer = break_glass(agent, call["id"], reason)
        assert answer.status_code == 422, reason
    for id in ("ei tunniste", uuid4()):
        assert break_glass(agent, id).status_code == 422
    for group in ("complaints", "quality-lead", "auditor", "dpo"):
        visitor = person(group)
        assert visitor.client.get("/emergency").status_code == 403
        visitor.get("/account")
        assert visitor.post("/emergency", id=call["id"], reason=REASON).status_code == 403
    plain = People(engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"))
    visitor = Visitor(create_app(archive, plain).test_client())
    visitor.log_in("customer-service")
    assert visitor.client.get("/emergency").status_code == 403
    assert "/emergency" not in visitor.page
    assert entries(engine) == []
    with pytest.raises(BadSetting, match="ARCHIVE_BREAK_GLASS"):
        People(engine, now=clock, pepper=lambda: b"p", break_glass=["auditor"])
    assert Scope.BREAK_GLASS not in permissions.TOKEN_SCOPES
    with pytest.raises(Forbidden):
        EmergencyDesk(archive).begin(
            dataclasses.replace(OPERATOR, scopes=frozenset()), UUID(call["id"]), reason=REASON
        )


def test_it_asks_who_it_is_and_ends_after_a_quarter_of_an_hour_and_with_the_session(
    admin: Visitor, people: People, call: dict[str, Any], clock: Clock
) -> None:
    clock.advance(timedelta(minutes=11))
    admin.get("/emergency")
    answer = admin.post("/emergency", id=call["id"], reason=REASON)
    assert answer.status_code == 403 and "proof_to" in answer.get_data(as_text=True)
    admin.submit("/prove", proof=PASSWORD, proof_to="/")
    place = break_glass(admin, call["id"]).location
    admin.get(place)
    opened = admin.post(f"{place}/open").get_data(as_text=True)
    address = re.search(r'src="(/openings/[^"]+)"', opened)
    assert address is not None
    other = Visitor(admin.client.application.test_client())
    other.log_in("admin")
    assert other.client.get(place).status_code == 404  # another session of the same person
    clock.advance(timedelta(minutes=14))
    assert admin.client.get(address[1]).status_code == 200  # use extends it, but no further
    clock.advance(timedelta(minutes=1))
    assert admin.client.get(address[1]).status_code == 404
    for path in (place, f"{place}/peaks"):
        assert admin.client.get(path).status_code == 404
    assert admin.post(f"{place}/open").status_code == 404


def test_what_is_restricted_or_over_stays_shut_and_other_lines_open(
    person: Callable[..., Visitor], call: dict[str, Any], email: dict[str, Any], archive: Archive,
    people: People, clock: Clock, engine: Engine,
) -> None:  # fmt: skip
    elsewhere = person("customer-service", lines=["laskutus"], name="muu")
    assert elsewhere.client.get(f"/recordings/{call['id']}").status_code == 404
    assert break_glass(elsewhere, call["id"]).status_code == 303
    assert elsewhere.client.get(f"/recordings/{call['id']}").status_code == 404
    dpo = person("dpo")
    dpo.get(f"/recordings/{email['id']}")
    actor = people.actor_of_session(dpo.client.get_cookie("archive").value)  # type: ignore[union-attr]
    assert actor is not None
    archive.restrict(actor, UUID(email["id"]), reason="kiistetty")
    assert break_glass(elsewhere, email["id"]).status_code == 422
    clock.advance(timedelta(days=366))
    late = Visitor(elsewhere.client.application.test_client())
    late.log_in("muu")
    assert break_glass(late, call["id"]).status_code == 422
    assert [verb for verb, _, _ in entries(engine)] == ["break-glass"]


def test_somebody_else_reviews_it_and_only_then_it_is_quiet(
    agent: Visitor, person: Callable[..., Visitor], call: dict[str, Any], archive: Archive,
    people: People, engine: Engine, clock: Clock,
) -> None:  # fmt: skip
    dpo = person("dpo")
    dpo.get("/emergency/reviews")
    assert "Kukaan ei ole avannut" in dpo.page
    break_glass(agent, call["id"])
    id = next(p.id for p in people.people() if p.name == "customer-service")
    people.change_rights(id, group="dpo", lines=None)  # they change the group, and review it?
    agent.log_in("customer-service")
    agent.get("/emergency/reviews")
    assert "käy läpi joku toinen" in agent.page
    dpo.get("/emergency/reviews")
    assert REASON in dpo.page and "customer-service" in dpo.page
    found = re.search(r'action="(/emergency/[^"]+/review)"', dpo.page)
    assert found is not None
    assert agent.post(found[1], outcome="justified", note="oma").status_code == 403
    for fields in ({"outcome": "justified", "note": ""}, {"outcome": "x", "note": "ei"}):
        dpo.get("/emergency/reviews")
        assert dpo.submit(found[1], **fields).status_code == 422
        assert "Ei tallennettu" in dpo.page
    dpo.submit(found[1], outcome="justified", note="Poliisi vahvisti uhkauksen.")
    assert "Se oli perusteltua" in dpo.page and "Poliisi vahvisti" in dpo.page
    assert "käymättä läpi" not in dpo.page
    assert dpo.post(found[1], outcome="misuse", note="toisin").status_code == 404
    with reading(engine) as connection:
        assert lasting(connection) == []
    assert entries(engine)[-1] == ("review-break-glass", None, call["id"])
    # An alert that was missed begins by itself while something waits.
    agent = person("admin", name="toinen")
    break_glass(agent, call["id"])
    with engine.begin() as connection:
        connection.execute(text("delete from alert"))
    Lookout(engine, Alarms(archive.keys.path), (), now=clock).look()
    with reading(engine) as connection:
        assert "break-glass" in {one.name for one in lasting(connection)}
    # What was told goes with the recording; that it happened stays for its own time.
    archive.erase(OPERATOR, UUID(call["id"]), reason="private")
    dpo.get("/emergency/reviews")
    assert "Poistunut tallenteen mukana" in dpo.page and REASON not in dpo.page
    with pytest.raises(NotFound):
        EmergencyDesk(archive).review(
            dataclasses.replace(OPERATOR, kind="person", group="dpo"), uuid4(),
            outcome="justified", note="x",
        )  # fmt: skip
