"""Metadata apart from their recording find it, whichever comes first; legs find each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from archive.archive import SYSTEM, Archive
from archive.db import transaction
from archive.model import Descriptor
from archive.sources import folder
from archive.worker import until_idle
from tests.api.test_delivery import metadata, post_call
from tests.cdr_samples import A_LEG, B_LEG, freepbx_csv, freeswitch_json, freeswitch_xml, master_csv
from tests.clock import Clock
from tests.machine import Machine
from tests.mail_server import kept
from tests.media import wav
from tests.test_reconcile import at, name
from tests.test_watch import Watched

WAV = wav(seconds=0.1)
CDR = {"source": "pbx", "source_ref": "call-1", "agent": "Ville", "customer_number": "1234567"}


def told(machine: Machine, **changes: Any) -> Any:
    return machine.post("/api/v1/calls/metadata", CDR | changes)


def descriptors(archive: Archive) -> dict[str, Descriptor]:
    found = [archive.vault.descriptor(one) for one in kept(archive)]
    return {one.source_ref: one for one in found}


def waiting(archive: Archive) -> int:
    with transaction(archive.engine) as connection:
        return int(connection.execute(text("select count(*) from awaiting")).scalar_one())


def test_metadata_after_the_audio_are_added_and_found_and_change_nothing_that_was_said(
    machine: Machine, clock: Clock
) -> None:
    id = post_call(machine, metadata(clock, agent="Aino")).get_json()["id"]
    answer = told(machine, notes="takaisinsoitto", occurred_at=clock().isoformat())
    assert answer.status_code == 200
    assert answer.get_json() == {"state": "added", "ids": [id], "ignored": ["agent", "occurred_at"]}
    machine.work()
    found = machine.post("/api/v1/recordings/search", {"customer": "1234567"}).get_json()["items"]
    assert [(one["id"], one["agent"], one["notes"]) for one in found] == [
        (id, "Aino", "takaisinsoitto")
    ]
    assert "supplement" in [entry["verb"] for entry in machine.audit(id)]


def test_metadata_before_the_audio_wait_sealed_and_are_added_when_it_comes(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    assert told(machine).status_code == 202
    assert told(machine, notes="odottaa", agent="Aino").status_code == 202  # the later word counts
    with transaction(archive.engine) as connection:
        row = connection.execute(text("select * from awaiting")).one()
    assert b"1234567" not in bytes(row.sealed) and b"call-1" not in bytes(row.name)
    id = post_call(machine, metadata(clock)).get_json()["id"]
    machine.work()
    body = machine.get(f"/api/v1/recordings/{id}").get_json()
    assert (body["agent"], body["customer_number"], body["notes"]) == ("Aino", "1234567", "odottaa")
    assert waiting(archive) == 0


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"source_ref": None}, 422, "source_ref"),
        ({"source": None}, 422, "source"),
        ({"source": "other"}, 403, None),
        ({"customer_number": "x"}, 422, "customer_number"),
        ({"line": "viat"}, 422, "line"),
    ],
)
def test_metadata_that_cannot_be_are_refused_by_field(
    machine: Machine, archive: Archive, changes: dict[str, Any], status: int, field: str | None
) -> None:
    answer = told(machine, **changes)
    assert answer.status_code == status
    assert field is None or [e["field"] for e in answer.get_json()["errors"]] == [field]
    assert waiting(archive) == 0


def test_metadata_whose_recording_never_comes_are_let_go_after_a_month(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    told(machine)
    clock.advance(timedelta(days=29))
    archive.expire()
    assert waiting(archive) == 1
    clock.advance(timedelta(days=3))
    archive.expire()
    assert waiting(archive) == 0


def test_the_legs_of_one_call_tell_of_each_other_to_those_who_may_see_them(
    machine: Machine, one_line: Machine, clock: Clock
) -> None:
    ids = []
    for n, line in enumerate(["viat", "viat", "laskutus"]):
        sent = metadata(clock, source_ref=f"leg-{n}", line=line, call_id="kutsu-1",
                        occurred_at=(clock() - timedelta(minutes=9 - n)).isoformat())  # fmt: skip
        ids.append(post_call(machine, sent).get_json()["id"])
    post_call(machine, metadata(clock, source_ref="other", call_id="kutsu-2"))
    machine.work()

    def related(reader: Machine, id: str) -> list[str]:
        body = reader.get(f"/api/v1/recordings/{id}").get_json()
        return [leg["id"] for leg in body["related"]]

    assert related(machine, ids[1]) == [ids[0], ids[2]]
    assert related(one_line, ids[0]) == [ids[1]]
    machine.patch(f"/api/v1/recordings/{ids[2]}/metadata", {"call_id": "kutsu-2"})
    assert related(machine, ids[0]) == [ids[1]]
    assert len(related(machine, ids[2])) == 1


def test_cdrs_of_freeswitch_beside_the_audio_and_elsewhere_reach_their_legs(
    archive: Archive, tmp_path: Path
) -> None:
    began = datetime(2026, 11, 23, 8, tzinfo=UTC)
    audio, cdrs = tmp_path / "2026/Nov/23", tmp_path / "xml_cdr"
    audio.mkdir(parents=True)
    cdrs.mkdir()
    (audio / f"{A_LEG}.wav").write_bytes(WAV)
    (audio / f"a_{A_LEG}.cdr.xml").write_bytes(freeswitch_xml(A_LEG, began))
    (audio / f"{B_LEG}.wav").write_bytes(WAV)
    (cdrs / f"{B_LEG}.cdr.json").write_bytes(
        freeswitch_json(B_LEG, began, originating_leg_uuid=A_LEG, caller_id_number="anonymous")
    )
    options = folder.Options(source="pbx", line="viat")
    summary = folder.ingest(archive, SYSTEM, [tmp_path], options)
    assert (summary.new, summary.told, summary.refused) == (2, 1, [])
    until_idle(archive)
    found = descriptors(archive)
    assert {one.call_id for one in found.values()} == {A_LEG}
    assert found[A_LEG].caller == "+358401234567" and found[B_LEG].caller == "anonymous"
    assert {one.occurred_at for one in found.values()} == {began + timedelta(milliseconds=250)}
    first, second = kept(archive)
    assert [leg.id for leg in archive.describe(SYSTEM, first.id).related] == [second.id]
    again = folder.ingest(archive, SYSTEM, [tmp_path], options)
    assert (again.new, again.known) == (0, 2)
    assert waiting(archive) == 0


def test_a_growing_cdr_of_asterisk_is_read_on_where_it_was_left(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path, delete=True)
    watched.put(name(1), WAV)

    def row(number: int) -> str:
        epoch = f"{at(number).timestamp():.0f}.{number}"
        local = f"{at(number) + timedelta(hours=2):%Y-%m-%d %H:%M:%S}"
        return master_csv([(f"0401234{number:03d}", "201", local, epoch)])

    torn = row(2)[:40]
    watched.put("Master.csv", (row(1) + torn).encode())
    watched.look()
    assert (watched.look(10).new, waiting(archive)) == (1, 1)
    until_idle(archive)
    watched.put(name(2), WAV)
    watched.put("Master.csv", (row(1) + row(2)).encode())
    watched.look()
    summary = watched.look(10)
    assert (summary.new, summary.told, summary.refused) == (1, 1, [])
    until_idle(archive)
    extras = sorted(one.extra["clid"] for one in descriptors(archive).values())
    assert extras == ['"Maija" <0401234001>', '"Maija" <0401234002>']
    assert waiting(archive) == 0
    assert [path.name for path in watched.inbox.iterdir()] == ["Master.csv"]  # Asterisk's own


def test_a_freepbx_table_joins_legs_by_the_group_of_the_call(
    archive: Archive, tmp_path: Path
) -> None:
    for number in (1, 2):
        (tmp_path / name(number)).write_bytes(WAV)
    rows = [(f"2026/11/23/{name(n)}", f"{at(n).timestamp():.0f}.{n}", "1795.1") for n in (1, 2)]
    (tmp_path / "cdr.csv").write_text(freepbx_csv(rows), "utf-8")
    options = folder.Options(source="pbx", line="viat")
    folder.ingest(archive, SYSTEM, [tmp_path], options)
    until_idle(archive)
    assert {one.call_id for one in descriptors(archive).values()} == {"1795.1"}
    first, second = kept(archive)
    assert [leg.id for leg in archive.describe(SYSTEM, first.id).related] == [second.id]


def test_a_sidecar_that_is_no_cdr_is_refused_with_its_recording(
    archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "call.wav").write_bytes(WAV)
    (tmp_path / "call.xml").write_bytes(b"<cdr><variables>")
    (tmp_path / "more.json").write_bytes(json.dumps({"core-uuid": "x"}).encode())
    summary = folder.ingest(archive, SYSTEM, [tmp_path], folder.Options())
    assert len(summary.refused) == 2 and not summary.new
