"""Every row of the intake's contract, over HTTP, against the real parts."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from archive.api.shape import instant
from archive.app import create_app
from archive.archive import Archive
from archive.auth import People
from archive.config import Config
from archive.db import open_engine
from archive.model import Scope
from tests.clock import Clock
from tests.machine import Machine

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 200
MAIL = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: Lasku\r\n\r\nHei\r\n"


def metadata(clock: Clock, **changes: Any) -> dict[str, Any]:
    base = {
        "source": "pbx",
        "source_ref": "call-1",
        "occurred_at": (clock() - timedelta(hours=2)).isoformat(),
        "direction": "inbound",
        "line": "viat",
    }
    return {k: v for k, v in (base | changes).items() if v is not None}


def post_call(machine: Machine, meta: Any, audio: bytes = WAV, **headers: str) -> Any:
    """Posts with metadata first; `meta` may be anything that is sent as JSON, or bytes."""
    raw = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    return machine.client.post(
        "/api/v1/calls",
        data={
            "metadata": (io.BytesIO(raw), "metadata.json", "application/json"),
            "audio": (io.BytesIO(audio), "call.wav", "audio/wav"),
        },
        headers=machine.headers | headers,
    )


def post_email(
    machine: Machine, body: bytes = MAIL, query: str | None = None, **headers: str
) -> Any:
    return machine.client.post(
        "/api/v1/emails?"
        + (query or "source=pbx&mailbox=asiakaspalvelu@example.com&direction=inbound"),
        data=body,
        headers=machine.headers | {"Content-Type": "message/rfc822"} | headers,
    )


def test_a_stored_call_is_answered_with_its_receipt(machine: Machine, clock: Clock) -> None:
    answer = post_call(machine, metadata(clock))
    assert answer.status_code == 201
    body = answer.get_json()
    assert body["state"] == "received"
    assert body["kind"] == "call"
    assert body["bytes"] == len(WAV)
    assert body["sha256"] == hashlib.sha256(WAV).hexdigest()
    assert body["warnings"] == []
    occurred = datetime.fromisoformat(body["occurred_at"])
    expires = datetime.fromisoformat(body["expires_at"])
    assert occurred == clock() - timedelta(hours=2)
    assert expires.year == occurred.year + 1
    assert answer.headers["Location"].endswith(f"/api/v1/recordings/{body['id']}")
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_same_call_again_is_known_and_its_metadata_stay(machine: Machine, clock: Clock) -> None:
    first = post_call(machine, metadata(clock, agent="Aino")).get_json()
    again = post_call(machine, metadata(clock, agent="Eino", line="laskutus"))
    assert again.status_code == 200
    assert again.get_json()["id"] == first["id"]
    assert sorted(again.get_json()["ignored"]) == ["agent", "line"]
    seen = machine.get(f"/api/v1/recordings/{first['id']}").get_json()
    assert seen["agent"] == "Aino"
    assert seen["line"] == "viat"


def test_the_same_reference_with_other_bytes_is_a_conflict_and_counted(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    post_call(machine, metadata(clock))
    answer = post_call(machine, metadata(clock), audio=WAV + b"x")
    assert answer.status_code == 409
    assert answer.mimetype == "application/problem+json"
    assert machine.refusals() == {"reference-conflict": 1}


@pytest.mark.parametrize("field", ["source", "source_ref", "occurred_at", "direction", "line"])
def test_a_missing_required_field_is_named(machine: Machine, clock: Clock, field: str) -> None:
    answer = post_call(machine, metadata(clock, **{field: None}))
    assert answer.status_code == 422
    assert [e["field"] for e in answer.get_json()["errors"]] == [field]
    assert all(e["expected"] for e in answer.get_json()["errors"])


def test_every_unparsable_required_field_is_named_at_once(machine: Machine, clock: Clock) -> None:
    bad = metadata(clock, occurred_at="yesterday", direction="sideways", line="a\x00b")
    answer = post_call(machine, bad)
    assert answer.status_code == 422
    assert {e["field"] for e in answer.get_json()["errors"]} == {
        "occurred_at", "direction", "line",
    }  # fmt: skip
    assert "sideways" not in answer.get_data(as_text=True)


def test_a_time_without_offset_is_not_a_time(machine: Machine, clock: Clock) -> None:
    answer = post_call(machine, metadata(clock, occurred_at="2026-11-01T12:00:00"))
    assert answer.status_code == 422


def test_a_token_of_another_source_is_refused(machine: Machine, clock: Clock) -> None:
    assert post_call(machine, metadata(clock, source="other")).status_code == 403


def test_audio_before_metadata_is_refused(machine: Machine, clock: Clock) -> None:
    answer = machine.client.post(
        "/api/v1/calls",
        data={
            "audio": (io.BytesIO(WAV), "call.wav", "audio/wav"),
            "metadata": (io.BytesIO(json.dumps(metadata(clock)).encode()), "m.json"),
        },
        headers=machine.headers,
    )
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == "metadata"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_metadata_that_is_no_json_object_is_refused(machine: Machine, raw: bytes) -> None:
    answer = post_call(machine, raw)
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == "metadata"


def test_other_bad_fields_are_kept_raw_and_listed(machine: Machine, clock: Clock) -> None:
    answer = post_call(
        machine,
        metadata(
            clock,
            metering_point="643007000000000000",
            duration_s="long",
            masked=[[5, 1]],
            announcement="yes",
            case="12",
            nonsense={"a": "\ud800"},
        ),
    )
    assert answer.status_code == 201
    assert {w["field"] for w in answer.get_json()["warnings"]} == {
        "metering_point", "duration_s", "masked", "announcement", "case", "nonsense",
    }  # fmt: skip
    seen = machine.get(f"/api/v1/recordings/{answer.get_json()['id']}").get_json()
    assert seen["not_understood"]["duration_s"] == "long"
    assert seen["metering_point"] is None


def test_a_contact_of_more_than_a_year_ago_is_refused_and_counted(
    machine: Machine, clock: Clock
) -> None:
    old = (clock() - timedelta(days=366)).isoformat()
    assert post_call(machine, metadata(clock, occurred_at=old)).status_code == 410
    assert machine.refusals() == {"older-than-retention": 1}


def test_a_reference_that_was_erased_is_refused_until_its_year_is_over(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    id = post_call(machine, metadata(clock)).get_json()["id"]
    erased = machine.post(f"/api/v1/recordings/{id}/erasure", {"reason": "private"})
    assert erased.status_code == 200
    told = erased.get_json()
    assert told["erased_at"] == instant(clock())
    assert told["gone_from_backups_by"] == (clock() + timedelta(days=35)).date().isoformat()
    assert post_call(machine, metadata(clock)).status_code == 410
    assert machine.get(f"/api/v1/recordings/{id}").status_code == 404
    assert machine.refusals() == {"reference-erased": 1}
    assert list(archive.store.list("recordings/")) == []


@pytest.mark.parametrize("given", ["future", "1999-12-31T12:00:00Z", "untrusted"])
def test_an_impossible_contact_time_is_replaced_by_arrival_and_kept_beside(
    machine: Machine, clock: Clock, given: str
) -> None:
    changes: dict[str, Any] = {"occurred_at": given}
    if given == "future":
        changes["occurred_at"] = (clock() + timedelta(days=2)).isoformat()
    if given == "untrusted":
        changes = {"clock_trusted": False}
    answer = post_call(machine, metadata(clock, **changes))
    assert answer.status_code == 201
    body = answer.get_json()
    assert datetime.fromisoformat(body["occurred_at"]) == clock()
    assert [w["field"] for w in body["warnings"]] == ["occurred_at"]
    seen = machine.get(f"/api/v1/recordings/{body['id']}").get_json()
    assert seen["given_occurred_at"] is not None


@pytest.mark.parametrize("audio", [b"", b"not audio at all", b"RIFF"])
def test_empty_and_undecodable_audio_is_stored(
    machine: Machine, clock: Clock, audio: bytes
) -> None:
    answer = post_call(machine, metadata(clock), audio=audio)
    assert answer.status_code == 201
    assert answer.get_json()["bytes"] == len(audio)
    id = answer.get_json()["id"]
    machine.work()
    seen = machine.get(f"/api/v1/recordings/{id}").get_json()
    assert seen["state"] == "indexed"
    assert seen["description"]["decodes"] is False
    assert machine.content(id).data == audio


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 50, b"no header at all", MAIL])
def test_an_email_is_stored_byte_for_byte_however_malformed(machine: Machine, body: bytes) -> None:
    answer = post_email(machine, body)
    assert answer.status_code == 201
    id = answer.get_json()["id"]
    machine.work()
    assert machine.get(f"/api/v1/recordings/{id}").get_json()["state"] == "indexed"
    assert machine.content(id).data == body


def test_an_email_without_reference_is_known_by_mailbox_and_body(machine: Machine) -> None:
    first = post_email(machine)
    again = post_email(machine)
    elsewhere = post_email(
        machine, query="source=pbx&mailbox=laskutus@example.com&direction=inbound"
    )
    assert (first.status_code, again.status_code, elsewhere.status_code) == (201, 200, 201)
    assert first.get_json()["id"] == again.get_json()["id"]


@pytest.mark.parametrize("lacking", ["source", "mailbox", "direction"])
def test_an_email_needs_source_mailbox_and_direction(machine: Machine, lacking: str) -> None:
    query = {"source": "pbx", "mailbox": "a@example.com", "direction": "inbound"}
    del query[lacking]
    answer = post_email(machine, query="&".join(f"{k}={v}" for k, v in query.items()))
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == lacking


def test_an_emails_contact_time_is_the_sources_word_and_never_its_date_header(
    machine: Machine, clock: Clock
) -> None:
    dated = b"Date: Mon, 1 Jan 2001 00:00:00 +0000\r\n" + MAIL
    assert datetime.fromisoformat(post_email(machine, dated).get_json()["occurred_at"]) == clock()
    at = (clock() - timedelta(days=3)).isoformat()
    told = post_email(machine, dated + b"x", **{"X-Archive-Received-At": at})
    assert datetime.fromisoformat(told.get_json()["occurred_at"]) == clock() - timedelta(days=3)


def test_a_bad_optional_header_of_an_email_is_a_warning(machine: Machine) -> None:
    answer = post_email(machine, **{"X-Archive-Received-At": "soon", "X-Archive-Envelope": "{"})
    assert answer.status_code == 201
    assert {w["field"] for w in answer.get_json()["warnings"]} == {"received_at", "envelope"}


def test_too_large_is_413_and_nothing_is_kept(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    machine.limit(max_bytes=10_000)
    answer = post_call(machine, metadata(clock), audio=b"x" * 10_001)
    assert answer.status_code == 413
    assert list(archive.store.list("recordings/")) == []
    assert post_call(machine, metadata(clock), audio=b"x" * 10_000).status_code == 201


def test_two_identical_deliveries_at_once_make_one_recording(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    answers: list[Any] = []
    barrier = threading.Barrier(6)

    def deliver() -> None:
        barrier.wait()
        answers.append(post_call(machine, metadata(clock), audio=WAV * 50))

    threads = [threading.Thread(target=deliver) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200] * 5 + [201]
    assert len({a.get_json()["id"] for a in answers}) == 1
    assert len(list(archive.store.list("recordings/"))) == 1


def test_a_body_cut_short_is_no_recording(machine: Machine, clock: Clock, archive: Archive) -> None:
    answer = machine.client.post(
        "/api/v1/emails?source=pbx&mailbox=a@example.com&direction=inbound",
        input_stream=io.BytesIO(b"Subject: x\r\n\r\nhalf"),
        environ_overrides={"CONTENT_LENGTH": "1000"},
        headers=machine.headers,
    )
    assert answer.status_code == 400
    assert list(archive.store.list("recordings/")) == []


def test_without_a_token_nothing_is_taken_in(client: FlaskClient) -> None:
    for path in ("/api/v1/calls", "/api/v1/emails"):
        answer = client.post(path, data=b"x")
        assert answer.status_code == 401
        assert answer.mimetype == "application/problem+json"


def test_a_token_for_reading_delivers_nothing(
    machine: Machine, reader: Machine, clock: Clock
) -> None:
    assert post_call(reader, metadata(clock)).status_code == 403


def test_the_store_away_is_503_and_nothing_is_kept(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    with machine.store_away():
        answer = post_call(machine, metadata(clock))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert post_call(machine, metadata(clock)).status_code == 201


def test_the_year_is_counted_from_the_contact(machine: Machine, clock: Clock) -> None:
    clock.set(datetime(2024, 3, 10, 12, tzinfo=UTC))
    answer = post_call(machine, metadata(clock, occurred_at="2024-02-29T12:00:00+02:00"))
    assert answer.get_json()["expires_at"] == "2025-02-28T10:00:00.000Z"


def test_the_catalogue_away_is_503_with_retry_after_and_no_trace(
    config: Config, archive: Archive, clock: Clock
) -> None:
    engine = open_engine("postgresql://nobody@/nowhere?host=/nonexistent", pool_size=1)
    away = Archive(
        config=config,
        engine=engine,
        store=archive.store,
        keys=archive.keys,
        index=archive.index,
        now=clock,
    )
    people = People(engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"))
    client = create_app(away, people).test_client()
    for answer in (
        client.post("/api/v1/calls", headers={"Authorization": "Bearer ca_x"}, data=b"x"),
        client.get("/api/v1/recordings", headers={"Authorization": "Bearer ca_x"}),
        client.get("/readyz"),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Traceback" not in answer.get_data(as_text=True)
        assert "nonexistent" not in answer.get_data(as_text=True)
    engine.dispose()


def test_a_token_may_be_limited_to_lines(token_of: Callable[..., Machine], clock: Clock) -> None:
    sender = token_of(Scope.INGEST, purposes=(), source="pbx", lines=["viat"])
    assert post_call(sender, metadata(clock)).status_code == 201
    assert post_call(sender, metadata(clock, source_ref="2", line="myynti")).status_code == 403
