"""Who opens what a colleague or they themselves are a party to stands out, and nobody is named."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from archive.archive import Archive
from archive.auth import People
from archive.db import transaction
from archive.erasure import housekeeping
from archive.errors import BadFields, Forbidden, NotFound
from archive.model import Actor
from archive.staffdesk import StaffDesk
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.web.visitor import PASSWORD, Visitor


def somebody(people: People, group: str, name: str) -> Actor:
    people.create(name, group, None)
    actor = people.actor_of_session(people.use_one_time(people.one_time_link(name)))
    assert actor is not None
    return actor


def test_opening_ones_own_or_a_colleagues_recording_stands_out_and_a_customers_does_not(
    archive: Archive, people: People, machine: Machine, clock: Clock, engine: Engine
) -> None:
    aino, irja = (somebody(people, "customer-service", name) for name in ("aino", "irja"))
    admin, auditor = somebody(people, "admin", "pomo"), somebody(people, "auditor", "tarkastaja")
    ids: dict[str, UUID] = {}
    for name, told in (
        ("own", {"caller": "040 555 1234"}), ("customer", {"caller": "0501112222"}),
        ("number", {"caller": "0501112222", "customer_number": "888777"}),
    ):  # fmt: skip
        given = metadata(clock, source_ref=name, **told)
        answer = post_call(machine, given, audio=wav(0.5))
        ids[name] = UUID(answer.get_json()["id"])
    raw = mail(subject="Hei", text="x", sender="Irja <irja.koti@posti.example>")
    ids["email"] = UUID(post_email(machine, raw).get_json()["id"])
    machine.work()
    desk = StaffDesk(archive)
    desk.give(aino, UUID(aino.id), kind="phone", number="+358 40 5551234")  # by the person
    desk.give(admin, UUID(irja.id), kind="email", number="IRJA.koti@posti.example")
    desk.give(admin, UUID(irja.id), kind="customer", number="888 777")
    desk.give(admin, UUID(irja.id), kind="customer", number="888777")  # once is enough

    archive.open(aino, ids["customer"], purpose="verification")
    assert archive.unusual(auditor) == []
    archive.open(aino, ids["own"], purpose="verification")
    archive.describe(aino, ids["email"])
    archive.open(irja, ids["number"], purpose="verification")
    found = {(f.actor_id, f.kind.value, f.n) for f in archive.unusual(auditor)}
    assert found == {(aino.id, "own", 1), (aino.id, "colleague", 1), (irja.id, "own", 1)}
    (one, *_rest) = archive.unusual(auditor)
    archive.review_unusual(auditor, one.key)
    assert one.key not in {f.key for f in archive.unusual(auditor)}

    assert {g.kind for g in desk.numbers(admin, UUID(irja.id))} == {"email", "customer"}
    assert len(desk.numbers(admin, UUID(irja.id))) == 2
    with engine.connect() as connection:
        rows = [
            str(row)
            for table in ("staff_number", "audit_event")
            for row in connection.execute(text(f"select t::text from {table} t"))
        ]
    everything = "\n".join(rows)
    assert not any(part in everything for part in ("5551234", "irja.koti", "888777"))
    with transaction(engine) as connection:
        people.disable(UUID(irja.id))
        housekeeping.tidy(connection, now=clock())
    assert desk.numbers(admin, UUID(irja.id)) == []
    clock.advance(timedelta(minutes=1))
    fresh = somebody(people, "customer-service", "uusi")
    archive.open(fresh, ids["number"], purpose="verification")
    assert fresh.id not in {f.actor_id for f in archive.unusual(auditor)}


def test_numbers_are_given_by_their_person_or_an_administrator_and_taken_by_another_one_alone(
    archive: Archive, people: People
) -> None:
    aino, irja = (somebody(people, "customer-service", name) for name in ("aino", "irja"))
    admin = somebody(people, "admin", "pomo")
    desk = StaffDesk(archive)
    with pytest.raises(Forbidden):
        desk.give(aino, UUID(irja.id), kind="phone", number="0401234567")
    with pytest.raises(Forbidden):
        desk.numbers(aino, UUID(irja.id))
    for kind, number in (
        ("phone", "12"), ("phone", ""), ("email", "*"), ("x", "0401234567"), ("phone", "040*"),
        ("customer", "131052-308T"),
    ):  # fmt: skip
        with pytest.raises(BadFields):
            desk.give(aino, UUID(aino.id), kind=kind, number=number)
    desk.give(aino, UUID(aino.id), kind="phone", number="0401234567")
    desk.give(admin, UUID(admin.id), kind="phone", number="0401234568")
    ((mine,), (bosses,)) = (desk.numbers(each, UUID(each.id)) for each in (aino, admin))
    for actor, person, id in ((aino, aino, mine.id), (admin, admin, bosses.id)):
        with pytest.raises(Forbidden):
            desk.take(actor, UUID(person.id), id)
    for person, id in ((irja, mine.id), (aino, uuid4())):
        with pytest.raises(NotFound):
            desk.take(admin, UUID(person.id), id)
    desk.take(admin, UUID(aino.id), mine.id)
    assert desk.numbers(aino, UUID(aino.id)) == []
    for n in range(20):
        desk.give(aino, UUID(aino.id), kind="phone", number=f"04012345{n:02}")
    with pytest.raises(BadFields):
        desk.give(aino, UUID(aino.id), kind="phone", number="0407654321")


def test_they_are_given_and_taken_on_the_pages(app: Any, people: People) -> None:
    def visitor(name: str, group: str) -> Visitor:
        people.create(name, group, PASSWORD)
        made = Visitor(app.test_client())
        made.log_in(name)
        return made

    aino, pomo = visitor("aino", "customer-service"), visitor("pomo", "admin")
    aino.get("/account")
    assert aino.submit("/account/numbers", kind="phone", number="12").status_code == 422
    assert "Ei tallennettu" in aino.page
    aino.submit("/account/numbers", kind="phone", number="040 123 4567")
    assert "Puhelin, annettu" in aino.page
    assert "/take" not in aino.page
    id = next(p.id for p in people.people() if p.name == "aino")
    pomo.get(f"/admin/people/{id}")
    pomo.submit(f"/admin/people/{id}/numbers", kind="email", number="aino@koti.example")
    takes = re.findall(rf'action="(/admin/people/{id}/numbers/[^"]+/take)"', pomo.page)
    assert len(takes) == 2 and "koti.example" not in pomo.page
    for path in takes:
        pomo.submit(path)
    assert "/take" not in pomo.page
