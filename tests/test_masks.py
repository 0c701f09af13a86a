"""Silenced stretches: in every rendition, also when told later; the original takes a right more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from archive import catalogue, describing
from archive.archive import SYSTEM, Archive
from archive.db import reading, transaction
from archive.describing import Describer
from archive.model import Purpose, Scope
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav

SOUND = wav(seconds=4, channels=1)


@pytest.fixture
def call(machine: Machine, clock: Clock) -> str:
    """A call of four seconds, described, of which nothing is silenced."""
    id: str = post_call(machine, metadata(clock), SOUND).get_json()["id"]
    machine.work()
    return id


def silent(archive: Archive, id: str) -> bool:
    """Whether the waveform from 1 to 2 s is silence and the rest is not."""
    levels = json.loads(archive.peaks(SYSTEM, UUID(id)) or b"{}")["peaks"][0]
    at = [levels[round(len(levels) * second / 4)] for second in (0.5, 1.5, 2.5)]
    assert at[0] > 0.1 and at[2] > 0.1
    return bool(at[1] < 0.001)


def playback(machine: Machine, id: str) -> Any:
    return machine.get(
        f"/api/v1/recordings/{id}/renditions/playback", {"X-Archive-Purpose": "verification"}
    )


def mask(machine: Machine, id: str) -> Any:
    return machine.patch(f"/api/v1/recordings/{id}/metadata", {"masked": [[1.0, 2.0]]})


def test_a_stretch_silenced_later_is_heard_by_nobody_from_that_moment(
    machine: Machine, archive: Archive, call: str
) -> None:
    before = playback(machine, call)
    opening = machine.post(
        f"/api/v1/recordings/{call}/openings", {"purpose": "verification", "rendition": "playback"}
    ).get_json()["url"]
    assert not silent(archive, call)
    body = mask(machine, call).get_json()
    assert (body["masked"], body["renditions"]) == ([[1.0, 2.0]], [])
    assert playback(machine, call).status_code == 404  # until it is made anew
    assert machine.get(opening).status_code == 404
    machine.work()
    assert silent(archive, call)
    after = playback(machine, call)
    assert after.status_code == 200 and after.data != before.data
    assert after.headers["ETag"] != before.headers["ETag"]
    kinds = sorted(each.key.split(".")[1] for each in archive.store.list("recordings/"))
    assert kinds == ["envelope", "original", "peaks", "playback"]  # nothing of before is left


def test_the_original_of_a_silenced_call_takes_a_right_above_listening(
    machine: Machine, call: str, token_of: Callable[..., Machine]
) -> None:
    path = f"/api/v1/recordings/{call}/openings"
    original = {"purpose": "verification", "rendition": "original"}
    made = machine.post(path, original).get_json()["url"]
    assert machine.content(call).status_code == 200
    mask(machine, call)
    machine.work()
    assert machine.content(call).status_code == 403
    assert machine.post(path, original).status_code == 403
    assert machine.get(made).status_code == 403
    assert playback(machine, call).status_code == 200
    more = token_of(Scope.OPEN, Scope.UNMASKED, purposes=(Purpose.VERIFICATION,))
    assert more.content(call).data == SOUND


def test_a_stretch_silenced_while_the_call_is_being_described_is_silent(
    machine: Machine, archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = post_call(machine, metadata(clock), SOUND).get_json()["id"]
    decode = describing.call.decode_call
    told: list[int] = []

    def meanwhile(*given: Any, **more: Any) -> Any:
        found = decode(*given, **more)
        if not told:
            told.append(mask(machine, id).status_code)
        return found

    monkeypatch.setattr(describing.call, "decode_call", meanwhile)
    describer = Describer(archive)
    with transaction(archive.engine) as connection:
        claimed = catalogue.claim_to_describe(connection, now=archive.now(), worker=0)
    assert claimed is not None
    describer.describe(claimed)
    describer.close()
    assert told == [200]
    with reading(archive.engine) as connection:
        made = catalogue.renditions(connection, [UUID(id)])
    assert made == {UUID(id): []}  # what could be heard was thrown away
    machine.work()
    assert silent(archive, id)


def test_stretches_told_apart_from_the_recording_only_ever_add_silence(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    id = post_call(machine, metadata(clock, masked=[[3.0, 3.5]]), SOUND).get_json()["id"]
    machine.work()
    told = {"source": "pbx", "source_ref": "call-1", "masked": [{"from": 1.0, "to": 2.0}]}
    assert machine.post("/api/v1/calls/metadata", told).status_code == 200
    machine.work()
    body = machine.get(f"/api/v1/recordings/{id}").get_json()
    assert body["masked"] == [[1.0, 2.0], [3.0, 3.5]]
    assert silent(archive, id)
