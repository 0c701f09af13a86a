"""SIPREC metadata with a call: what it lacks is filled in, and they are kept sealed as given."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import rebuild
from archive.archive import SYSTEM, Archive
from archive.reception import complete_descriptor
from archive.sources import folder, siprec
from tests.api.test_delivery import metadata
from tests.clock import Clock
from tests.machine import Machine
from tests.mail_server import kept
from tests.media import wav
from tests.owner import as_owner
from tests.siprec_samples import BROADWORKS, NAMESPACE, ORACLE, RIBBON, rfc
from tests.test_supplements import descriptors
from tests.test_watch import Watched

SOUND = wav(seconds=0.1)
PURPOSE = {"X-Archive-Purpose": "verification"}


def deliver(machine: Machine, told: Any, raw: bytes, *, before: bool = True) -> Any:
    """A call with SIPREC metadata before its sound or after it."""
    parts = {
        "metadata": (io.BytesIO(json.dumps(told).encode()), "metadata.json"),
        "siprec": (io.BytesIO(raw), "call.xml", "application/rs-metadata+xml"),
        "audio": (io.BytesIO(SOUND), "call.wav", "audio/wav"),
    }
    order = parts if before else {n: parts[n] for n in ("metadata", "audio", "siprec")}
    return machine.client.post("/api/v1/calls", data=order, headers=machine.headers)


def attached(machine: Machine, id: str) -> Any:
    return machine.get(f"/api/v1/recordings/{id}/renditions/siprec", PURPOSE)


# -- reading ------------------------------------------------------------------------------


def test_what_the_standard_says_becomes_the_fields_of_a_call() -> None:
    told = siprec.fields(rfc(stop="2026-11-23T08:03:30.250Z"))
    rest = told.pop("extra")["siprec"]
    assert told == {
        "caller": "+358401234567", "callee": "201", "agent": "Ville", "direction": "inbound",
        "call_id": "ryhma-1", "occurred_at": "2026-11-23T08:00:00.250000+00:00",
        "duration_s": 210.0,
    }  # fmt: skip
    assert rest["sip_session"] == "ab30;remote=cd40"
    assert rest["streams"][0] == {"label": "1", "from": "sip:+358401234567@sbc.example;user=phone"}
    assert rest["participants"][1] == {"aor": "sip:201@pbx.example", "name": "Ville"}


def test_clients_of_other_make_are_understood() -> None:
    oracle = siprec.fields(ORACLE)
    assert (oracle["caller"], oracle["callee"], oracle["agent"]) == ("0401234567", "201", "201")
    assert oracle["call_id"] == "i2"
    assert oracle["occurred_at"] == "2026-11-23T08:00:00+00:00"  # the device's own, local time
    assert oracle["extra"]["siprec"]["streams"][1]["from"] == "sip:0401234567@sbc.example"
    assert siprec.looks_like(RIBBON)
    ribbon = siprec.fields(RIBBON)
    assert (ribbon["caller"], ribbon["callee"]) == ("+358401234567", "020123456")
    assert ribbon["call_id"] == "ryhma-3" and "occurred_at" not in ribbon  # of a clock in 1970
    assert ribbon["extra"]["siprec"]["started"] == "1970-05-13T03:29:05Z"
    assert ribbon["extra"]["siprec"]["call"]["callid"] == "2da5-f7"
    broadworks = siprec.fields(BROADWORKS)
    assert broadworks["caller"] == "Call.Centre@company.example"
    assert "direction" not in broadworks and "callee" not in broadworks


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "XML"),
        (b"<recording", "XML"),
        (b"<recording><participant/></recording>", "a recording element of RFC 7865"),
        (f'<call xmlns="{NAMESPACE}"/>'.encode(), "a recording element of RFC 7865"),
        (b"<a:recording/>", "XML"),
        (f'<!DOCTYPE recording [<!ENTITY a "aa">]><recording xmlns="{NAMESPACE}">&a;</recording>'
         .encode(), "XML without a document type"),
        (f'<!DOCTYPE recording SYSTEM "file:///etc/passwd"><recording xmlns="{NAMESPACE}"/>'
         .encode(), "XML without a document type"),
        (f'<recording xmlns="{NAMESPACE}">'.encode() + b"<a>" * 60, "60 deep"),
        (f'<recording xmlns="{NAMESPACE}">'.encode() + b"<a/>" * 20_001, "elements"),
        (b" " * (siprec.MOST_BYTES + 1), "at most 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_siprec_is_said_to_be_none(raw: bytes, expected: str) -> None:
    with pytest.raises(siprec.SiprecError) as raised:
        siprec.fields(raw)
    assert expected.removeprefix("60 ") in str(raised.value)


@given(st.binary(max_size=200), st.integers(0, 1500))
def test_no_damage_does_more_than_make_it_unreadable(noise: bytes, at: int) -> None:
    for whole in (rfc(), ORACLE, RIBBON):
        try:
            json.dumps(siprec.fields(whole[:at] + noise + whole[at + len(noise) :]))
        except siprec.SiprecError:
            continue


# -- over HTTP ------------------------------------------------------------------------------


def test_what_the_metadata_lack_is_filled_in_and_what_they_say_counts(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    told = metadata(clock, agent="Aino", extra={"jono": "viat"})
    del told["occurred_at"], told["direction"]
    start = (clock() - timedelta(hours=3)).isoformat()
    answer = deliver(machine, told, rfc(start=start))
    assert (answer.status_code, answer.get_json()["warnings"]) == (201, [])
    [one] = descriptors(archive).values()
    assert (one.caller, one.callee, one.agent) == ("+358401234567", "201", "Aino")
    assert (one.direction, one.call_id) == ("inbound", "ryhma-1")
    assert one.occurred_at == clock() - timedelta(hours=3)
    assert one.extra["jono"] == "viat" and one.extra["siprec"]["session"] == "istunto-1"
    id = answer.get_json()["id"]
    machine.work()
    given = attached(machine, id)
    assert given.data == rfc(start=start)
    assert given.headers["Content-Type"] == "application/rs-metadata+xml"
    assert machine.audit(id)[-1]["detail"]["rendition"] == "siprec"
    assert machine.post("/api/v1/recordings/search", {"phone": "0401234567"}).get_json()["items"]
    again = deliver(machine, told, rfc(start=start))
    assert (again.status_code, again.get_json()["ignored"]) == (200, [])


def test_behind_the_sound_they_add_what_the_call_lacks(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    answer = deliver(machine, metadata(clock, callee="020 123 456"), rfc(), before=False)
    assert (answer.status_code, answer.get_json()["warnings"]) == (201, [])
    [one] = descriptors(archive).values()
    assert (one.caller, one.callee, one.agent) == ("+358401234567", "+35820123456", "Ville")
    assert one.extra["siprec"]["group"] == "ryhma-1"
    assert attached(machine, answer.get_json()["id"]).data == rfc()


def test_bad_ones_are_named_and_never_cost_the_call(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    for n, before in enumerate((True, False)):
        told = metadata(clock, source_ref=f"call-{n}")
        answer = deliver(machine, told, b"<recording>", before=before)
        assert answer.status_code == 201
        assert answer.get_json()["warnings"] == [{"field": "siprec", "expected": "XML"}]
        assert attached(machine, answer.get_json()["id"]).data == b"<recording>"  # as it came
    odd = deliver(machine, metadata(clock, source_ref="call-4"), rfc(name="x" * 300), before=False)
    assert odd.get_json()["warnings"] == []
    one = descriptors(archive)["call-4"]
    assert one.caller and one.extra["not_understood"] == {"agent": "x" * 300}
    told = metadata(clock)
    del told["direction"]
    refused = deliver(machine, told, b"<recording>")
    assert refused.status_code == 422
    assert [one["field"] for one in refused.get_json()["errors"]] == ["direction", "siprec"]


def test_they_are_sealed_come_back_with_a_rebuilt_catalogue_and_go_with_the_call(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    id = deliver(machine, metadata(clock), rfc()).get_json()["id"]
    machine.work()
    for stored in archive.store.list("recordings/"):
        raw = archive.store.get(stored.key, start=0, length=stored.bytes)
        assert b"358401234567" not in raw and b"istunto" not in raw
    as_owner(archive, "delete from recording")
    rebuild.catalogue_from_envelopes(
        archive.vault, archive.engine, now=archive.now(), progress=lambda n: None,
        complete=lambda d, sha256, length: complete_descriptor(d, sha256=sha256, length=length),
    )  # fmt: skip
    machine.work()
    assert attached(machine, id).data == rfc()
    clock.advance(timedelta(days=367))
    archive.expire()
    assert list(archive.store.list("recordings/")) == []


# -- in a folder ------------------------------------------------------------------------------


def test_beside_a_file_they_tell_of_it_whichever_comes_first(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path)
    watched.put("early.xml", rfc())
    watched.put("early.wav", SOUND)
    watched.put("late.wav", wav(seconds=0.2))
    watched.look()
    assert watched.look(10).new == 2
    agents = {one.file_name: one.agent for one in descriptors(archive).values()}
    assert agents == {"early.wav": "Ville", "late.wav": None}
    watched.put("late.siprec.xml", rfc(name="Aino"))
    watched.look()
    summary = watched.look(10)
    assert (summary.new, summary.known, summary.left) == (0, 1, [])
    found = {one.file_name: one for one in descriptors(archive).values()}
    assert (found["late.wav"].agent, found["late.wav"].callee) == ("Aino", "201")
    given = {name for one in kept(archive) for name in archive.describe(SYSTEM, one.id).renditions}
    assert given == {"siprec"}


def test_files_taken_once_know_their_sidecars_and_an_orphan_is_refused(
    archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "call.wav").write_bytes(SOUND)
    (tmp_path / "call.wav.xml").write_bytes(rfc())
    (tmp_path / "call.json").write_bytes(json.dumps({"agent": "Olli", "extra": {"a": 1}}).encode())
    (tmp_path / "alone.xml").write_bytes(rfc())
    summary = folder.ingest(archive, SYSTEM, [tmp_path], folder.Options(source="pbx"))
    assert (summary.new, summary.left) == (1, [])
    assert [reason for _, reason in summary.refused] == ["SIPREC metadata without their recording"]
    [one] = descriptors(archive).values()
    assert (one.agent, one.callee, one.extra["a"]) == ("Olli", "201", 1)
    assert one.extra["siprec"]["mode"] == "complete"
