"""The audit log on its page: for auditors and data protection alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archive import audit
from archive.archive import Archive
from archive.db import transaction
from archive.web import words
from tests.web.visitor import Visitor

PACKAGE = Path(__file__).parents[2] / "archive"
LOGGED = re.compile(r'(?:(?<!Forbidden\()\bverb=|_note\(\w+, \w+, )"([a-z-]+)"')


def opened(person: Callable[..., Visitor], call: dict[str, Any], name: str) -> None:
    visitor = person("customer-service", name=name)
    visitor.verify("1234567")
    visitor.get(f"/recordings/{call['id']}")
    visitor.submit(f"/recordings/{call['id']}/open")


def rows(visitor: Visitor) -> list[str]:
    return [part.partition("</tr>")[0] for part in visitor.page.split("<tr>")[2:]]


def test_an_auditor_sees_who_met_a_recording(
    person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    opened(person, call, "matti")
    opened(person, call, "maija")
    auditor = person("auditor")
    auditor.get("/audit")
    auditor.submit("/audit", recording=call["id"])
    met = rows(auditor)
    assert {name for name in ("matti", "maija") for row in met if name in row} == {"matti", "maija"}
    assert all(call["id"] in row for row in met)
    auditor.submit("/audit", recording=call["id"], who="Matti")
    assert rows(auditor)
    assert all("matti" in row for row in rows(auditor))


def test_reading_the_log_is_an_entry_of_its_own(
    person: Callable[..., Visitor], archive: Archive
) -> None:
    person("auditor", name="tarkastaja").get("/audit")
    with transaction(archive.engine) as connection:
        found = audit.entries(connection, audit.Asked(verb="read-audit"))
    # The log is also the auditor's first page, where the log-in leads.
    assert [entry.actor_kind for entry in found] == ["person", "person"]


@pytest.mark.parametrize("group", ["customer-service", "complaints", "admin"])
def test_nobody_else_reads_it(person: Callable[..., Visitor], group: str) -> None:
    visitor = person(group)
    assert visitor.get("/audit").status_code == 403
    assert visitor.submit("/audit", who="x").status_code == 403


def test_an_auditor_meets_no_recording(
    person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    auditor = person("auditor")
    assert auditor.get(f"/recordings/{call['id']}").status_code in {403, 404}
    assert auditor.get("/search").status_code == 403
    assert auditor.get("/verify").status_code == 403
    assert auditor.get("/expiry").status_code == 403


def test_what_cannot_be_looked_for_is_said_beside_its_field(
    person: Callable[..., Visitor],
) -> None:
    auditor = person("auditor")
    auditor.get("/audit")
    auditor.submit("/audit", recording="x", who="nobody at all", **{"from": "yesterday"})
    assert auditor.page.count('aria-invalid="true"') == 3


def test_older_entries_follow_page_by_page(
    person: Callable[..., Visitor], archive: Archive
) -> None:
    from archive.archive import SYSTEM

    with transaction(archive.engine) as connection:
        for n in range(150):
            audit.append(connection, at=archive.now(), actor=SYSTEM, verb="tested", detail={"n": n})
    auditor = person("auditor")
    auditor.get("/audit")
    auditor.submit("/audit", verb="tested")
    assert len(rows(auditor)) == 100
    before = auditor.page.rpartition('name="before" value="')[2].partition('"')[0]
    auditor.submit("/audit", verb="tested", before=before)
    assert len(rows(auditor)) == 50


def test_every_action_that_is_logged_has_words_in_the_log() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    logged = {found for code in sources for found in LOGGED.findall(code)}
    assert len(logged) > 40
    assert logged - set(words.VERBS) == set()
