"""The installation's own transcriber: an entry point that hears calls, one at a time, confined."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive import catalogue, transcribing, transcriptions
from archive.archive import Archive
from archive.auth import People
from archive.config import Config
from archive.db import reading, transaction
from archive.errors import BadSetting
from archive.formats import transcriber, transcript
from archive.worker import Worker
from tests import whisper_model
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.test_transcripts import VTT, deliver, found, given, put
from tests.web.browser import chromium, serving, window
from tests.web.conftest import AINO
from tests.web.visitor import PASSWORD

# Says of each second what tone it has; ends itself on three seconds, hangs on four.
EAR = """
import array, os, socket, sys, time

class Ear:
    def __init__(self, model):
        self.words = (model / "words.txt").read_text(encoding="utf-8").split()

    @staticmethod
    def check(model):
        return None if model and (model / "words.txt").is_file() else "it lacks words.txt"

    def transcribe(self, sound, *, sample_rate_hz):
        samples = array.array("h", sound.read())
        seconds = round(len(samples) / sample_rate_hz)
        if seconds == 3:
            os._exit(1)
        if seconds == 4:
            time.sleep(600)
        for second in range(seconds):
            heard = samples[second * sample_rate_hz : (second + 1) * sample_rate_hz]
            crossings = sum((a < 0) != (b < 0) for a, b in zip(heard, heard[1:]))
            if max(map(abs, heard)) > 1000:
                yield second, second + 1, self.words[0 if crossings < 1200 else 1]
        yield 0, 0.1, " ".join(name for name, free in walls() if free)

def walls():
    def may(what):
        try:
            what()
        except OSError:
            return False
        return True
    yield "verkkoon", may(lambda: socket.create_connection(("127.0.0.1", 9), 1))
    yield "levylle", may(lambda: open("/tmp/ear", "wb").write(b"x"))
    yield "lukemaan", may(lambda: open("/etc/passwd").read())
    yield "kiireellä", os.nice(0) < 19
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with an entry point of the group, and its model's folder."""
    site, folder = tmp_path / "site", tmp_path / "model"
    about = site / "ear-1.0.dist-info"
    about.mkdir(parents=True)
    folder.mkdir()
    (site / "ear.py").write_text(textwrap.dedent(EAR), encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ear\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{transcriber.GROUP}]\near = ear:Ear\n")
    (folder / "words.txt").write_text("muuntaja sulake", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    return folder


@pytest.fixture
def listening(archive: Archive, model: Path) -> Iterator[Archive]:
    """The archive with that transcriber chosen."""
    archive.config = replace(
        archive.config,
        transcriber="ear",
        transcriber_model=model,
        transcriber_seconds=20,
        transcriber_memory_mb=2048,
    )
    yield archive


def state(archive: Archive, id: str) -> tuple[str | None, dict[str, int]]:
    with reading(archive.engine) as connection:
        return transcriptions.state(connection, UUID(id)), transcriptions.counts(connection)


def call(machine: Machine, clock: Clock, ref: str, sound: bytes, **more: Any) -> str:
    answer = post_call(machine, metadata(clock, source_ref=ref, **more), audio=sound)
    assert answer.status_code == 201
    return str(answer.get_json()["id"])


def lines(machine: Machine, id: str) -> list[str]:
    return [line for line in given(machine, id).data.decode().splitlines()[1:] if line]


def test_a_call_is_heard_channel_by_channel_behind_walls_found_and_read(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    id = call(machine, clock, "a", wav(2.0, hz=(300, 900)))
    machine.work()
    assert lines(machine, id) == [
        "00:00:00.000 --> 00:00:01.000", "<v 1>muuntaja",
        "00:00:00.000 --> 00:00:01.000", "<v 2>sulake",
        "00:00:01.000 --> 00:00:02.000", "<v 1>muuntaja",
        "00:00:01.000 --> 00:00:02.000", "<v 2>sulake",
    ]  # fmt: skip
    assert [item["id"] for item in found(machine, "sulakkeet")] == [id]
    assert state(listening, id) == ("done", {"due": 0, "done": 1, "failed": 0})
    metrics = machine.client.get("/metrics").data.decode()
    assert 'archive_transcriptions{state="done"} 1.0' in metrics
    # The same sound on both channels is one speaker; nothing said is no transcript.
    one, none = (call(machine, clock, f"b{hz}", wav(2.0, hz=hz)) for hz in (300, 0))
    machine.work()
    assert lines(machine, one)[:2] == ["00:00:00.000 --> 00:00:01.000", "muuntaja"]
    assert len(lines(machine, one)) == 4
    assert given(machine, none).status_code == 404
    assert state(listening, none)[0] == "done"


def test_silenced_stretches_are_not_heard_and_a_new_one_is_left_out_at_once_and_heard_anew(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    id = call(machine, clock, "a", wav(6.0, channels=1, hz=300), masked=[[1.0, 2.0]])
    machine.work()
    # What reaches into the stretch by the margin of silence goes too.
    assert [line[:8] for line in lines(machine, id)[::2]] == ["00:00:03", "00:00:04", "00:00:05"]
    path = f"/api/v1/recordings/{id}/metadata"
    assert machine.patch(path, {"masked": [[1.0, 2.0], [4.0, 4.5]]}).status_code == 200
    assert "00:00:04" not in {line[:8] for line in lines(machine, id)[::2]}
    machine.work()
    assert "00:00:04" not in {line[:8] for line in lines(machine, id)[::2]}
    assert state(listening, id)[0] == "done"
    with reading(listening.engine) as connection:
        row = connection.exec_driver_sql("select made_version from transcription").scalar()
    assert row == 2


def test_a_transcript_that_came_with_the_call_wins_before_and_after(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    answer = deliver(machine, metadata(clock, source_ref="a"))
    machine.work()
    came = answer.get_json()["id"]
    assert given(machine, came).data.decode() == VTT
    assert state(listening, came) == (None, {"due": 0, "done": 0, "failed": 0})
    made = call(machine, clock, "b", wav(2.0, hz=300))
    machine.work()
    assert b"muuntaja" in given(machine, made).data
    assert put(machine, made).status_code == 200
    machine.work()
    assert given(machine, made).data.decode() == VTT
    # Described anew, it stays.
    path = f"/api/v1/recordings/{made}/metadata"
    assert machine.patch(path, {"masked": [[1.9, 2.0]]}).status_code == 200
    machine.work()
    assert b"pistorasian" in given(machine, made).data
    assert state(listening, made)[0] is None


def test_sound_that_ends_or_hangs_the_transcriber_is_given_up_and_the_next_call_is_heard(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    listening.config = replace(listening.config, transcriber_seconds=3)
    deadly = call(machine, clock, "a", wav(3.0, hz=300))
    endless = call(machine, clock, "b", wav(4.0, hz=300))
    good = call(machine, clock, "c", wav(2.0, hz=300))
    machine.work()
    assert b"muuntaja" in given(machine, good).data
    assert state(listening, deadly)[0] == state(listening, endless)[0] == "due"
    codes = []
    with transaction(listening.engine) as connection:
        connection.exec_driver_sql(
            "update transcription set attempts = 2, next_at = '2000-01-01' where state = 'due'"
        )
    machine.work()
    with reading(listening.engine) as connection:
        codes = (
            connection.exec_driver_sql(
                "select error_code from transcription where state = 'failed' order by 1"
            )
            .scalars()
            .all()
        )
    assert codes == ["time-limit", "transcriber-failed"]
    assert given(machine, deadly).status_code == 404
    assert machine.get(f"/api/v1/recordings/{deadly}").get_json()["state"] == "indexed"


def test_a_call_that_ends_its_worker_each_time_is_given_up(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    id = call(machine, clock, "a", wav(2.0, hz=300))
    listening.config = replace(listening.config, transcriber="")
    machine.work()
    with transaction(listening.engine) as connection:
        assert transcriptions.note_due(connection, now=clock()) == 1
        for attempt in range(1, transcriptions.MOST_ATTEMPTS + 1):
            due = transcriptions.take(
                connection, now=clock()
            )  # and killed, before it says anything
            assert due is not None and due.attempts == attempt
        assert transcriptions.take(connection, now=clock()) is None
    assert state(listening, id)[0] == "failed"


def test_nothing_is_heard_while_recordings_wait_to_be_described(
    machine: Machine, listening: Archive, clock: Clock
) -> None:
    chosen = listening.config
    listening.config = replace(chosen, transcriber="")
    first = call(machine, clock, "a", wav(2.0, hz=300))
    machine.work()
    listening.config = chosen
    by = transcribing.chosen(chosen)
    assert by is not None
    with transaction(listening.engine) as connection:
        assert transcriptions.note_due(connection, now=clock()) == 1
    second = call(machine, clock, "b", wav(2.0, hz=900))
    assert transcribing.step(listening, by) is False
    machine.work()
    assert state(listening, first)[0] == state(listening, second)[0] == "done"


def test_without_a_transcriber_nothing_of_it_is_there(
    machine: Machine, archive: Archive, clock: Clock
) -> None:
    id = call(machine, clock, "a", wav(2.0, hz=300))
    machine.work()
    assert state(archive, id) == (None, {"due": 0, "done": 0, "failed": 0})
    assert given(machine, id).status_code == 404
    assert "archive_transcriptions{" not in machine.client.get("/metrics").data.decode()


def test_faster_whisper_answers_behind_the_walls(
    machine: Machine, archive: Archive, clock: Clock, tmp_path: Path
) -> None:
    """With invented weights: what it says is nothing, that it says something is much."""
    archive.config = replace(
        archive.config,
        transcriber="faster-whisper",
        transcriber_model=whisper_model.make(tmp_path / "whisper"),
        transcriber_seconds=120,
        transcriber_memory_mb=4096,
    )
    spoken = files("archive.demo") / "media" / "katko-jatko.opus"
    id = call(machine, clock, "a", spoken.read_bytes())
    machine.work()
    assert state(archive, id) == ("done", {"due": 0, "done": 1, "failed": 0})
    _, said = transcript.parse(given(machine, id).data)
    assert said and {cue.speaker for cue in said} == {"1", "2"}
    with reading(archive.engine) as connection:
        recording = catalogue.get(connection, UUID(id))
    assert recording is not None
    description = archive.vault.description(recording)
    assert description is not None and description.call is not None
    lasts = description.call.duration_s
    assert lasts is not None and max(cue.end_s for cue in said) <= lasts + 0.1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"transcriber": "nobody"}, "ARCHIVE_TRANSCRIBER.*there are: ear, faster-whisper"),
        ({"transcriber_model": Path("/nowhere")}, "ARCHIVE_TRANSCRIBER_MODEL.*no such folder"),
        ({"transcriber_model": None}, "ARCHIVE_TRANSCRIBER_MODEL.*lacks words.txt"),
        ({"transcriber": "faster-whisper"}, "ARCHIVE_TRANSCRIBER_MODEL.*faster-whisper"),
    ],
)
def test_a_worker_does_not_start_with_a_transcriber_or_model_that_is_not_there(
    listening: Archive, changes: dict[str, Any], named: str
) -> None:
    Worker(listening)
    listening.config = replace(listening.config, **changes)
    with pytest.raises(BadSetting, match=named):
        Worker(listening)


def test_the_page_tells_that_text_is_being_made_and_whose_it_is(
    machine: Machine, listening: Archive, app: Flask, people: People, clock: Clock
) -> None:
    id = call(machine, clock, "a", wav(2.0, hz=300), customer_number=AINO)
    people.create("agent", "customer-service", PASSWORD)
    chosen = listening.config
    listening.config = replace(chosen, transcriber="")
    machine.work()
    listening.config = chosen
    with transaction(listening.engine) as connection:
        transcriptions.note_due(connection, now=clock())
    with serving(app) as url, chromium() as browser, window(browser, url) as desk:
        desk.log_in("agent")
        page = desk.page
        page.goto(f"{desk.url}/recordings/{id}")
        expect(page.get_by_text("Puhetta muutetaan tekstiksi…")).to_be_visible()
        machine.work()
        page.reload()
        page.get_by_role("button", name="Näytä puhuttu tekstinä").click()
        expect(page.locator("[data-transcript] li")).to_have_count(2)
        expect(page.get_by_text("Koneen kirjaama")).to_be_visible()
        assert desk.problems == []


def test_settings_of_the_transcriber_are_read_from_the_environment(tmp_path: Path) -> None:
    config = Config.from_env({"ARCHIVE_TRANSCRIBER": "ear", "ARCHIVE_TRANSCRIBER_MODEL": "/m"})
    by = transcribing.chosen(config)
    assert by is not None
    assert (by.name, by.model, by.wall_s) == ("ear", Path("/m"), 3600)
    assert transcribing.chosen(Config.from_env({})) is None
