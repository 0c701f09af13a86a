"""What verifying a contact came to: recorded, found again by its reference, taken back, gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from archive.archive import Archive
from archive.db import transaction
from archive.web import narrowing
from tests.clock import Clock
from tests.machine import Machine
from tests.web.conftest import AINO, HETU
from tests.web.visitor import Visitor

TODAY = date(2026, 11, 24)  # a Tuesday


def reference(visitor: Visitor) -> str:
    return re.search(r'<strong id="reference">(V-\w{4}-\w{4})<', visitor.page)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("viime tiistai", "2026-11-17", "2026-11-17"),
        ("tiistaina", "2026-11-24", "2026-11-24"),
        ("viime maanantaina", "2026-11-23", "2026-11-23"),
        ("Last  Friday", "2026-11-20", "2026-11-20"),
        ("keskiviikkona", "2026-11-18", "2026-11-18"),
        ("eilen", "2026-11-23", "2026-11-23"),
        ("3 päivää sitten", "2026-11-21", "2026-11-21"),
        ("viime viikolla", "2026-11-16", "2026-11-22"),
        ("last month", "2026-10-01", "2026-10-31"),
        ("12.3.", "2026-03-12", "2026-03-12"),
        ("24.12.", "2025-12-24", "2025-12-24"),
        ("29.2.2024", "2024-02-29", "2024-02-29"),
        ("12.3.–15.3.", "2026-03-12", "2026-03-15"),
        ("12.–15.3.", "2026-03-12", "2026-03-15"),
        ("28.12. - 3.1.", "2025-12-28", "2026-01-03"),
    ],
)
def test_days_are_read_as_people_say_them(said: str, first: str, last: str) -> None:
    assert [on.isoformat() for on in narrowing.days(said, TODAY)] == [first, last]


@pytest.mark.parametrize("said", ["", "joskus", "32.1.", "viime", "t", "15.3.2026 – 12.3.2026"])
def test_what_is_no_day_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"day|beginning|month"):
        narrowing.days(said, TODAY)


def test_the_list_is_narrowed_by_day_line_and_agent(
    agent: Visitor, call: dict[str, Any], email: dict[str, Any], many: list[str]
) -> None:
    agent.verify(AINO)
    assert "31 kontaktia" in agent.page
    narrow = re.search(r'action="(/verify/[\w-]+/narrow)"', agent.page)[1]  # type: ignore[index]
    agent.submit(narrow, when="viime tiistai")
    assert "1 kontakti" in agent.page and many[6] in agent.page and call["id"] not in agent.page
    narrow = re.search(r'action="(/verify/[\w-]+/narrow)"', agent.page)[1]  # type: ignore[index]
    agent.submit(narrow, when="joskus")
    assert "Ei ymmärretty" in agent.page and many[6] in agent.page
    agent.submit(narrow, when=f"eilen {HETU}")
    assert HETU not in agent.page
    agent.submit(narrow, agent="Mikko Laine")
    assert call["id"] in agent.page and many[6] not in agent.page
    agent.submit(narrow, line="laskutus")
    assert "Kontakteja ei löytynyt" in agent.page
    agent.submit(narrow)
    assert "31 kontaktia" in agent.page


def test_a_confirmation_has_a_reference_that_finds_it_again(
    agent: Visitor, complaints: Visitor, machine: Machine, call: dict[str, Any]
) -> None:
    agent.verify(AINO)
    agent.submit(
        f"/recordings/{call['id']}/verification", outcome="confirmed", note="Luvattiin hyvitys"
    )
    made = reference(agent)
    assert "Vahvistettu" in agent.page and "Luvattiin hyvitys" in agent.page
    assert "ti 24.11.2026 klo 12.00" in agent.page
    agent.get(f"/recordings/{call['id']}")
    assert made in agent.page and "Luvattiin hyvitys" in agent.page
    agent.verify(made.lower().replace("-", " "))
    assert reference(agent) == made
    assert "peruttu" not in agent.page
    noted = [e for e in machine.audit(call["id"]) if e["verb"] == "record-verification"]
    assert noted[0]["detail"] == {"outcome": "confirmed", "reference": made}
    complaints.get(f"/recordings/{call['id']}")
    assert made in complaints.page and '/verification"' not in complaints.page


def test_only_those_who_verify_record_an_outcome_and_of_their_own_lines(
    agent: Visitor, person: Callable[..., Visitor], complaints: Visitor, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}/verification"
    complaints.get("/search")
    assert complaints.submit(path, outcome="confirmed").status_code == 403
    other = person("customer-service", lines=["laskutus"], name="billing")
    other.get("/verify")
    assert other.submit(path, outcome="confirmed").status_code == 404
    agent.get("/verify")
    agent.submit(path, outcome="confirmed")
    made = reference(agent)
    assert other.get(f"/verifications/{made}").status_code == 404
    for wrong in (
        {"outcome": "not-found"},
        {"outcome": "x"},
        {"outcome": "confirmed", "note": HETU},
    ):
        agent.submit(path, **wrong)
        assert "Ei kirjattu" in agent.page and HETU not in agent.page
    assert agent.get("/verifications/V-2222-2222").status_code == 404
    assert agent.get("/verifications/nonsense").status_code == 404


def test_a_wrong_outcome_is_taken_back_on_its_day_by_who_recorded_it(
    agent: Visitor, person: Callable[..., Visitor], call: dict[str, Any], clock: Clock
) -> None:
    agent.get("/verify")
    agent.submit(f"/recordings/{call['id']}/verification", outcome="different", note="Eri päivä")
    made = reference(agent)
    other = person("customer-service", name="other")
    other.get(f"/verifications/{made}")
    assert "Peru tulos" not in other.page
    assert other.submit(f"/verifications/{made}/undo").status_code == 409
    agent.get(f"/verifications/{made}")
    agent.submit(f"/verifications/{made}/undo")
    assert "Tämä tulos peruttiin" in agent.page and "Eri päivä" not in agent.page
    agent.get(f"/recordings/{call['id']}")
    assert made not in agent.page
    agent.submit(f"/recordings/{call['id']}/verification", outcome="confirmed")
    late = reference(agent)
    clock.advance(timedelta(hours=14))
    agent.log_in("customer-service")
    assert agent.submit(f"/verifications/{late}/undo").status_code == 409


def test_a_contact_that_was_not_found_is_recorded_and_forgotten_within_the_year(
    agent: Visitor, complaints: Visitor, archive: Archive, clock: Clock
) -> None:
    agent.verify("999999")
    path = re.search(r'action="(/verify/[\w-]+/not-found)"', agent.page)[1]  # type: ignore[index]
    agent.submit(path, note="Kertoi soittaneensa tiistaina")
    made = reference(agent)
    assert "Ei löytynyt" in agent.page and "999999" in agent.page
    assert complaints.get(f"/verifications/{made}").status_code == 403
    with transaction(archive.engine) as connection:
        row = connection.execute(text("select sealed, cohort from verification")).one()
    assert b"999999" not in bytes(row.sealed) and b"tiistaina" not in bytes(row.sealed)
    assert row.cohort == date(2027, 11, 24)
    clock.advance(timedelta(days=367))
    archive.expire()
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from verification")).scalar() == 0
    assert archive.keys.is_destroyed("cohort/2027-11-24")


def test_an_outcome_goes_with_its_recording(
    agent: Visitor, archive: Archive, call: dict[str, Any], clock: Clock
) -> None:
    agent.get("/verify")
    agent.submit(f"/recordings/{call['id']}/verification", outcome="confirmed", note="Hyvitys")
    made = reference(agent)
    clock.advance(timedelta(days=367))
    agent.log_in("customer-service")
    assert agent.get(f"/verifications/{made}").status_code == 404
    archive.expire()
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from verification")).scalar() == 0
