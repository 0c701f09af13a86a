"""Transcripts that come with calls: sealed, found, read for a purpose, silent where the call is."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive import catalogue, describing, rebuild, reviews
from archive.archive import Archive
from archive.auth import People
from archive.db import reading, transaction
from archive.describing import Describer
from archive.formats import transcript
from archive.model import Purpose, Scope
from archive.reception import complete_descriptor
from archive.search import open_index
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.owner import as_owner
from tests.web.browser import chromium, serving, window
from tests.web.conftest import AINO
from tests.web.visitor import PASSWORD

SOUND = wav(seconds=6, channels=1)
PURPOSE = {"X-Archive-Purpose": "verification"}
LINES = ("Hei, <b>Aino</b> tässä.", "Muuntajassa on vika.", "Tilaan pistorasian.")
VTT = "WEBVTT\n\n" + "\n\n".join(
    f"00:0{2 * n}.000 --> 00:0{2 * n + 1}.500\n{said.replace('<', '&lt;')}"
    for n, said in enumerate(LINES)
)


def put(machine: Machine, id: str, said: bytes | str = VTT) -> Any:
    return machine.client.put(
        f"/api/v1/recordings/{id}/transcript", data=said, headers=machine.headers
    )


def deliver(machine: Machine, told: Any, said: bytes | str = VTT) -> Any:
    """A call with its transcript behind the sound."""
    said = said.encode() if isinstance(said, str) else said
    return machine.client.post(
        "/api/v1/calls",
        data={
            "metadata": (io.BytesIO(json.dumps(told).encode()), "metadata.json"),
            "audio": (io.BytesIO(SOUND), "call.wav", "audio/wav"),
            "transcript": (io.BytesIO(said), "call.vtt", "text/vtt"),
        },
        headers=machine.headers,
    )


@pytest.fixture
def call(machine: Machine, clock: Clock) -> str:
    """A call of six seconds that came with a transcript of three lines."""
    answer = deliver(machine, metadata(clock, customer_number=AINO))
    assert (answer.status_code, answer.get_json()["warnings"]) == (201, [])
    machine.work()
    return str(answer.get_json()["id"])


def given(machine: Machine, id: str) -> Any:
    return machine.get(f"/api/v1/recordings/{id}/renditions/transcript", PURPOSE)


def found(machine: Machine, words: str, **more: Any) -> list[Any]:
    answer = machine.client.post(
        "/api/v1/recordings/search", json={"q": words} | more, headers=machine.headers | PURPOSE
    )
    return list(answer.get_json()["items"])


def objects(archive: Archive) -> list[str]:
    return sorted(each.key.partition(".")[2] for each in archive.store.list("recordings/"))


def test_a_transcript_that_comes_with_a_call_is_kept_as_given_found_and_shown_in_hits(
    machine: Machine, archive: Archive, clock: Clock, call: str
) -> None:
    answer = given(machine, call)
    assert (answer.data.decode(), answer.mimetype) == (VTT, "text/vtt")
    assert machine.audit(call)[-1]["detail"]["rendition"] == "transcript"
    (item,) = found(machine, "muuntaja", excerpts=True)
    assert "".join(part["text"] for part in item["excerpt"]).count("Muuntajassa on vika") == 1
    assert "transcript" in machine.get(f"/api/v1/recordings/{call}").get_json()["renditions"]
    # The same again, call and all, changes nothing.
    before = objects(archive)
    again = deliver(machine, metadata(clock, customer_number=AINO))
    assert (again.status_code, again.get_json()["id"]) == (200, call)
    assert put(machine, call).status_code == 200
    assert objects(archive) == before == [
        "original", "peaks.1001", "playback.1001", "transcript.1",
    ]  # fmt: skip
    # Nothing of it lies about unsealed.
    key = next(o.key for o in archive.store.list("recordings/") if "transcript" in o.key)
    assert b"Muuntajassa" not in archive.store.get(key, start=0, length=4096)


def test_another_transcript_replaces_the_first_in_store_and_index(
    machine: Machine, archive: Archive, call: str
) -> None:
    said = json.dumps([{"start": 0, "end": 1, "text": "Laskutus keskeytetään"}])
    assert put(machine, call, said).status_code == 200
    machine.work()
    assert (given(machine, call).get_json(), objects(archive)[-1]) == (
        json.loads(said), "transcript.2",
    )  # fmt: skip
    assert (found(machine, "muuntaja"), len(found(machine, "laskutus"))) == ([], 1)


def test_what_is_no_transcript_is_named_and_never_costs_the_call(
    machine: Machine, clock: Clock, token_of: Callable[..., Machine], call: str
) -> None:
    answer = deliver(machine, metadata(clock, source_ref="call-2"), b"\x00salaisuus")
    assert answer.status_code == 201
    (warning,) = answer.get_json()["warnings"]
    assert warning["field"] == "transcript"
    wrong = put(machine, call, "salaisuus")
    assert (wrong.status_code, wrong.get_json()["errors"][0]["field"]) == (422, "transcript")
    assert b"salaisuus" not in wrong.data
    assert put(machine, call, b" " * (3 * 1024 * 1024)).status_code == 413
    mail = post_email(machine).get_json()["id"]
    assert put(machine, mail).status_code == 404
    other = token_of(Scope.INGEST, purposes=(), source="other")
    assert put(other, call).status_code == 404
    reader = token_of(Scope.OPEN, purposes=(Purpose.VERIFICATION,))
    assert put(reader, call).status_code == 403
    assert given(machine, call).data.decode() == VTT


def test_silenced_stretches_are_cut_out_of_what_is_read_and_of_what_is_found(
    machine: Machine, archive: Archive, call: str
) -> None:
    before = given(machine, call).headers["ETag"]
    path = f"/api/v1/recordings/{call}/metadata"
    assert machine.patch(path, {"masked": [[2.5, 3.0]]}).status_code == 200
    # From that moment, before anything is described anew.
    answer = given(machine, call)
    assert b"Muuntajassa" not in answer.data and b"pistorasian" in answer.data
    assert answer.headers["ETag"] != before
    machine.work()
    assert found(machine, "muuntaja") == []
    assert len(found(machine, "pistorasia")) == 1
    assert objects(archive) == ["envelope.2", "original", "peaks.2001", "playback.2001",
                                "transcript.1"]  # fmt: skip


def test_a_vcon_carries_what_was_said_without_silenced_stretches(
    machine: Machine, call: str
) -> None:
    assert machine.patch(
        f"/api/v1/recordings/{call}/metadata", {"masked": [[2.5, 3.0]]}
    ).status_code == 200  # fmt: skip
    machine.work()
    signed = machine.get(f"/api/v1/recordings/{call}/vcon", PURPOSE)
    assert signed.status_code == 200
    payload = signed.get_json()["payload"]
    made = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    (said,) = made["analysis"]
    assert (said["type"], said["dialog"], said["mediatype"]) == ("transcript", 0, "text/vtt")
    _, lines = transcript.parse(said["body"].encode())
    assert [(line.start_s, line.text) for line in lines] == [(0.0, LINES[0]), (4.0, LINES[2])]


def test_a_transcript_that_comes_while_the_call_is_described_is_not_lost(
    machine: Machine, archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = post_call(machine, metadata(clock), SOUND).get_json()["id"]
    decode = describing.call.decode_call

    def meanwhile(*arguments: Any, **more: Any) -> Any:
        done = decode(*arguments, **more)
        assert put(machine, id).status_code == 200
        return done

    monkeypatch.setattr(describing.call, "decode_call", meanwhile)
    describer = Describer(archive)
    with transaction(archive.engine) as connection:
        claimed = catalogue.claim_to_describe(connection, now=archive.now(), worker=0)
    assert claimed is not None
    describer.describe(claimed)
    describer.close()
    machine.work()
    assert len(found(machine, "muuntaja")) == 1


def test_a_card_number_in_a_transcript_is_looked_at_and_never_indexed(
    machine: Machine, archive: Archive, clock: Clock, call: str
) -> None:
    said = json.dumps([{"start": 0, "end": 1, "text": "korttini on 4111 1111 1111 1111 kiitos"}])
    put(machine, call, said)
    told = deliver(machine, metadata(clock, source_ref="call-2"), said).get_json()["id"]
    machine.work()
    with reading(archive.engine) as connection:
        waiting = reviews.waiting(connection, now=clock(), lines=None, limit=9)
    assert {str(one.id): one.reasons for one in waiting} == {
        call: ("card-number",), told: ("card-number",),
    }  # fmt: skip
    assert (len(found(machine, "korttini")), found(machine, "1111")) == (2, [])


@pytest.fixture
def on_postgres(archive: Archive, empty_database_url: str) -> Iterator[None]:
    """The same archive, its index in PostgreSQL."""
    whoosh = archive.index
    archive.index = open_index(archive.config.home / "index", archive.keys, url=empty_database_url)
    object.__setattr__(archive._means, "index", archive.index)
    yield
    archive.index.close()
    archive.index = whoosh


@pytest.mark.usefixtures("on_postgres")
def test_a_transcript_is_found_with_the_other_engine_and_goes_with_its_recording(
    machine: Machine, archive: Archive, clock: Clock, call: str
) -> None:
    assert len(found(machine, "muuntajassa")) == 1
    clock.advance(timedelta(days=367))
    archive.expire()
    assert (objects(archive), found(machine, "muuntajassa")) == ([], [])
    with reading(archive.engine) as connection:
        assert catalogue.renditions(connection, [UUID(call)])[UUID(call)] == []


def test_a_rebuilt_catalogue_finds_the_newest_transcript_again(
    machine: Machine, archive: Archive, call: str
) -> None:
    put(machine, call, '[{"start": 0, "end": 1, "text": "Laskutus keskeytetään"}]')

    def again() -> None:
        rebuild.catalogue_from_envelopes(
            archive.vault, archive.engine, now=archive.now(), progress=lambda n: None,
            complete=lambda d, sha256, length: complete_descriptor(
                d, sha256=sha256, length=length),
        )  # fmt: skip
        machine.work()
        assert (found(machine, "muuntaja"), len(found(machine, "laskutus"))) == ([], 1)
        assert b"keskeytet" in given(machine, call).data

    as_owner(archive, "delete from recording")
    again()
    as_owner(archive, "delete from rendition where name = 'transcript'")  # an older dump's rows
    again()


def test_a_reader_is_led_by_the_transcript_and_asked_for_a_purpose_first(
    machine: Machine, app: Flask, people: People, call: str
) -> None:
    people.create("agent", "customer-service", PASSWORD)

    def read() -> int:
        return sum(e["detail"].get("rendition") == "transcript" for e in machine.audit(call))

    with serving(app) as url, chromium() as browser, window(browser, url) as desk:
        desk.log_in("agent")
        page = desk.page
        page.goto(f"{desk.url}/recordings/{call}")
        expect(page.get_by_role("heading", name="Puhuttu tekstinä")).to_be_visible()
        assert "Muuntajassa" not in page.content()
        assert read() == 0
        page.get_by_role("button", name="Näytä puhuttu tekstinä").click()
        lines = page.locator("[data-transcript] li")
        expect(lines).to_have_count(3)
        expect(lines.first).to_contain_text("<b>Aino</b> tässä")
        assert page.locator("[data-transcript] b").count() == 0
        assert read() == 1
        # The line leads the player, and the one that is being said is marked.
        page.locator("[data-drawn=true]").wait_for()
        lines.nth(1).locator("a").click()
        expect(page.locator("[data-now]")).to_have_text("0:02")
        expect(lines.nth(1)).to_have_attribute("aria-current", "true")
        page.keyboard.press("j")
        expect(page.locator("[data-now]")).to_have_text("0:04")
        page.keyboard.press("k")
        page.keyboard.press("Space")
        desk.until("document.querySelector('audio').currentTime > 4.2")
        expect(page.locator("[data-transcript] [aria-current]")).to_contain_text("pistorasian")
        page.keyboard.press("Space")
        assert desk.problems == []
