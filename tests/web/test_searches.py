"""Searches that people keep, and lists they take out."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from archive.archive import Archive
from archive.audit import Asked, entries
from archive.db import transaction
from archive.erasure.housekeeping import tidy
from tests.clock import Clock
from tests.web.conftest import AINO, HETU
from tests.web.visitor import Visitor


def token(visitor: Visitor, what: str) -> str:
    (found,) = set(re.findall(rf'action="(/search/[\w-]{{24}}/{what})"', visitor.page))
    return str(found)


def test_a_saved_search_is_its_persons_own_sealed_and_run_with_the_rights_of_now(
    complaints: Visitor,
    person: Callable[..., Visitor],
    call: dict[str, Any],
    archive: Archive,
    clock: Clock,
) -> None:
    complaints.get("/search")
    complaints.submit("/search", customer=AINO, q="katko tänään")
    save = token(complaints, "save")
    complaints.submit(save, name=f"Ainon {HETU}")
    assert "Anna haulle nimi" in complaints.page
    complaints.submit(save, name="Ainon <katkot>")
    assert "Haku tallennettiin." in complaints.page
    complaints.get("/searches")
    assert "Ainon &lt;katkot&gt;" in complaints.page
    (address,) = complaints.links("^/searches/")
    assert re.fullmatch(r"/searches/[0-9a-f-]{36}", address)
    complaints.get(address)
    assert call["id"] in complaints.page
    with transaction(archive.engine) as connection:
        row = connection.execute(text("select * from saved_search")).mappings().one()
    assert b"Ainon" not in bytes(row["sealed"])
    assert AINO.encode() not in bytes(row["sealed"])
    other = person("complaints", name="other")
    assert other.get(address).status_code == 404
    assert other.get("/searches").status_code == 200
    assert "katkot" not in other.page
    assert other.post(f"{address}/delete").status_code == 404
    clock.advance(timedelta(days=1))
    complaints.log_in("complaints")
    complaints.get(address)
    assert call["id"] not in complaints.page, "tänään is another day by now"
    clock.advance(timedelta(days=366))
    with transaction(archive.engine) as connection:
        tidy(connection, now=clock())
        assert connection.execute(text("select count(*) from saved_search")).scalar_one() == 0


def test_a_saved_search_is_deleted_by_its_person(complaints: Visitor, call: dict[str, Any]) -> None:
    complaints.get("/search")
    complaints.submit("/search", customer=AINO)
    complaints.submit(token(complaints, "save"), name="Aino")
    complaints.get("/searches")
    (address,) = complaints.links("^/searches/")
    complaints.submit(f"{address}/delete")
    assert "Haku poistettiin." in complaints.page
    assert complaints.get(address).status_code == 404


def test_a_list_of_hits_is_taken_out_for_a_purpose_and_noted(
    complaints: Visitor,
    agent: Visitor,
    call: dict[str, Any],
    email: dict[str, Any],
    archive: Archive,
) -> None:
    complaints.get("/search")
    complaints.submit("/search", **{"from": "1.11.2026"})
    take = token(complaints, "csv")
    assert "Enintään 5 000 riviä" in complaints.page.replace("\xa0", " ")
    complaints.submit(take, case="")
    assert "Anna avoimen reklamaation numero" in complaints.page
    complaints.submit(take, case="2026-99999")
    complaints.submit("/cases", subject="laskukiista", number="2026-00001", customer="")
    complaints.get("/search")
    answer = complaints.submit(take, case="2026-00001")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.get_data().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(body), delimiter=";"))
    assert [row["Tallenteen tunniste"] for row in rows] == [call["id"], email["id"]]
    assert rows[0]["Soittaja"] == "'+358401234567"
    assert rows[1]["Aihe"] == "Laskun oikaisu"
    assert HETU not in body
    assert "virhe" not in body, "nothing that was said"
    with transaction(archive.engine) as connection:
        (entry,) = entries(connection, Asked(verb="export-hits"), limit=5)
    assert (entry.purpose, entry.case_number) == ("complaint", "2026-00001")
    assert entry.detail == {"fields": ["from_"], "rows": 2}
    assert UUID(call["id"])
    agent.get("/search")
    agent.submit("/search", customer=AINO)
    assert "csv" not in agent.page
    assert agent.post(take).status_code == 403
