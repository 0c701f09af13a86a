"""Who met anything of a customer: found in the log by keyed digests, also when it is all gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from archive import audit, subjects
from archive.archive import OPERATOR, SYSTEM, Archive
from archive.auth import People
from archive.db import reading, transaction
from archive.errors import BadFields, Forbidden, NotFound
from archive.model import Query
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.web.visitor import Visitor

AINO, PHONE = "100234567", "+358401234567"


@pytest.fixture
def call(machine: Machine, clock: Clock) -> str:
    given = metadata(clock, customer_number=AINO, caller="040 123 4567", source_ref="a")
    id: str = post_call(machine, given, audio=wav(0.5)).get_json()["id"]
    other = metadata(clock, customer_number="200", caller="050 765 4321", source_ref="b")
    post_call(machine, other, audio=wav(0.5))
    machine.work()
    return id


def met(archive: Archive, **known: str) -> list[str]:
    """Verbs of what is found, oldest first, without what asking itself adds."""
    found = archive.who_met(SYSTEM, subjects.typed(**known))
    return [entry.verb for entry in reversed(found) if entry.verb != "read-audit"]


def test_every_way_of_meeting_a_customers_recordings_is_found_by_each_identifier(
    archive: Archive, people: People, call: str, machine: Machine
) -> None:
    people.create("agentti", "customer-service", None)
    actor = people.actor_of_session(people.use_one_time(people.one_time_link("agentti")))
    assert actor is not None
    archive.find(actor, Query(customer=AINO))
    archive.describe(actor, UUID(call))
    archive.open(actor, UUID(call), purpose="verification")
    archive.make_opening(actor, UUID(call), purpose="verification", rendition="original")
    archive.find(actor, Query(customer="200"))
    ways = ["search", "read", "open", "open"]
    assert met(archive, customer="100 234 567") == ways
    assert met(archive, phone="(040) 1234567") == ways
    assert met(archive, phone=PHONE) == ways
    assert met(archive, customer="200") == ["search"]
    assert met(archive, customer="999") == []
    archive.browse(OPERATOR)
    assert met(archive, customer=AINO)[-1] == "browse"  # whoever sees a list has met all of it


def test_an_email_is_its_senders_and_not_the_archived_mailboxs(
    archive: Archive, machine: Machine, clock: Clock
) -> None:
    id = post_email(machine, mail(subject="x", text="y")).get_json()["id"]
    machine.work()
    view = archive.describe(OPERATOR, UUID(id))
    described = view.description
    assert described is not None and described.mail is not None
    (sender, *_) = described.mail.from_
    assert met(archive, email=sender.upper()) == ["read"]
    assert met(archive, email=view.line) == []


def test_what_is_gone_can_still_be_asked_for(archive: Archive, call: str) -> None:
    archive.open(_complaints(archive, call), UUID(call), purpose="complaint", case=CASE)
    archive.erase(SYSTEM, UUID(call), reason="private")
    with pytest.raises(NotFound):
        archive.describe(OPERATOR, UUID(call))
    assert "open" in met(archive, customer=AINO)


CASE = "2026-00077"


def _complaints(archive: Archive, id: str) -> Any:
    archive.open_case(OPERATOR, CASE)
    archive.add_to_case(OPERATOR, CASE, UUID(id))
    return OPERATOR


def test_when_a_months_key_is_gone_nobody_can_ask_and_the_chain_holds(
    archive: Archive, call: str, clock: Clock
) -> None:
    archive.describe(OPERATOR, UUID(call))
    assert met(archive, customer=AINO) == ["read"]
    later = clock().replace(year=clock().year + 3, month=11)
    assert subjects.forget(archive.keys, later) == []
    assert subjects.forget(archive.keys, later.replace(month=12)) == ["audit/2026-11"]
    clock.set(datetime(2026, 12, 1, 12, tzinfo=UTC))
    assert met(archive, customer=AINO) == []
    with transaction(archive.engine) as connection:
        while audit.chain(connection):
            pass
    with transaction(archive.engine) as connection:
        count, breaks = audit.verify(connection)
    assert count > 0 and breaks == []


def test_the_log_names_nobody(archive: Archive, call: str) -> None:
    archive.find(OPERATOR, Query(customer=AINO, phone=PHONE))
    archive.describe(OPERATOR, UUID(call))
    met(archive, customer=AINO, phone=PHONE)
    with reading(archive.engine) as connection:
        rows = connection.execute(text("select t::text from audit_event t")).scalars().all()
    everything = "\n".join(rows)
    assert "subjects" in everything
    assert AINO not in everything and "1234567" not in everything


def test_asking_is_for_auditors_and_an_entry_of_its_own(
    archive: Archive, people: People, call: str
) -> None:
    people.create("agentti", "customer-service", None)
    agent = people.actor_of_session(people.use_one_time(people.one_time_link("agentti")))
    assert agent is not None
    with pytest.raises(Forbidden):
        archive.who_met(agent, subjects.typed(customer=AINO))
    with pytest.raises(BadFields):
        archive.who_met(SYSTEM, subjects.typed(customer="10*"))
    archive.who_met(SYSTEM, subjects.typed(customer=AINO))
    (entry, *_) = archive.who_met(SYSTEM, subjects.typed(customer=AINO))
    assert entry.verb == "read-audit" and entry.detail["of"] == "customer"


@pytest.fixture
def auditor(app: Any, people: People) -> Visitor:
    people.create("tarkastaja", "auditor", None)
    visitor = Visitor(app.test_client())
    visitor.get(f"/once/{people.one_time_link('tarkastaja')}")
    return visitor


def test_the_page_takes_what_is_known_of_the_customer(
    auditor: Visitor, archive: Archive, call: str, token_of: Callable[..., Machine]
) -> None:
    archive.describe(OPERATOR, UUID(call))
    for typed in (AINO, "040 123 4567"):
        auditor.get("/audit")
        answer = auditor.submit("/audit", customer=typed)
        assert answer.status_code == 200 and call in auditor.page
    auditor.submit("/audit", customer="200")
    assert call not in auditor.page
    auditor.get("/audit")
    auditor.submit("/audit", customer="131052-308T")
    assert call not in auditor.page and "131052" not in auditor.page
