"""Transcripts beside files of calls: taken with them, whichever comes first, never as an email."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from archive.archive import SYSTEM, Archive
from archive.model import Purpose
from archive.sources import folder, sidecars
from tests.mail_server import kept
from tests.media import wav
from tests.test_supplements import descriptors
from tests.test_watch import Watched

SOUND = wav(seconds=0.1)
VTT = b"WEBVTT\n\n00:00.000 --> 00:00.090\n<v Aino>Muuntaja humisee."
SEGMENTS = json.dumps({"segments": [{"start": 0, "end": 0.05, "text": "Virta palasi."}]}).encode()


def said(archive: Archive) -> dict[str | None, list[str]]:
    """What was said in each call, by its file's name."""
    names = {one.id: archive.vault.descriptor(one).file_name for one in kept(archive)}
    return {name: _lines(archive, id) for id, name in names.items()}


def _lines(archive: Archive, id: UUID) -> list[str]:
    if "transcript" not in archive.describe(SYSTEM, id).renditions:
        return []
    reader = replace(SYSTEM, purposes=frozenset({Purpose.VERIFICATION}))
    opened = archive.open(reader, id, purpose="verification", rendition="transcript")
    return [b"".join(opened.read(0, opened.length)).decode()]


def test_files_bring_their_transcripts_with_them(archive: Archive, tmp_path: Path) -> None:
    beside = {
        "a.vtt": VTT, "b.wav.vtt": VTT, "c.json": SEGMENTS, "d.transcript.json": SEGMENTS,
        "d.json": json.dumps({"agent": "Ville"}).encode(), "e.vtt": b"nothing that was said",
    }  # fmt: skip
    for name in "abcde":
        (tmp_path / f"{name}.wav").write_bytes(SOUND)
    for name, raw in beside.items():
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "alone.vtt").write_bytes(VTT)
    summary = folder.ingest(archive, SYSTEM, [tmp_path], folder.Options(source="pbx"))
    assert summary.new == 5
    assert [(Path(path).name, reason) for path, reason in summary.refused] == [
        ("alone.vtt", "a transcript without its recording")
    ]
    assert [Path(path).name for path, _ in summary.left] == ["e.wav"]
    assert summary.left[0][1].startswith("transcript: expected WebVTT")
    found = said(archive)
    assert found["a.wav"] == found["b.wav"] == [VTT.decode()]
    assert found["c.wav"] == found["d.wav"] == [SEGMENTS.decode()]
    assert found["e.wav"] == []
    agents = {one.file_name: one.agent for one in descriptors(archive).values()}
    assert (agents["c.wav"], agents["d.wav"]) == (None, "Ville")


def test_a_transcript_that_comes_late_or_anew_is_taken_and_goes_away_with_its_recording(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path)
    watched.put("call.wav", SOUND)
    watched.look()
    assert watched.look(10).new == 1
    watched.put("call.vtt", VTT)
    watched.look()
    summary = watched.look(10)
    assert (summary.new, summary.known, summary.refused) == (0, 1, [])
    assert said(archive) == {"call.wav": [VTT.decode()]}
    watched.now += 5
    watched.put("call.vtt", VTT.replace(b"humisee", b"on hiljaa"))
    watched.look()
    assert watched.look(10).known == 1
    assert "on hiljaa" in said(archive)["call.wav"][0]

    moving = Watched(archive, tmp_path, done=tmp_path / "done", sidecar_s=60)
    moving.put("second.vtt", VTT)  # first, and waits for its recording
    moving.look()
    assert moving.look(30).refused == []
    moving.put("second.wav", wav(seconds=0.2))
    moving.look()
    assert moving.look(30).new == 0  # a transcript is not the metadata that are waited for
    assert moving.look(40).new == 1
    assert {p.name for p in (tmp_path / "done").iterdir()} >= {"second.vtt", "second.wav"}


def test_a_transcript_alone_is_told_of_after_an_hour(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(archive, tmp_path)
    watched.put("+358401234567.vtt", VTT)
    watched.look()
    assert watched.look(3000).refused == []
    assert len(watched.look(700).refused) == 1
    assert "358401234567" not in caplog.text
    assert kept(archive) == []


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("call.vtt", "call.wav"), ("call.wav.vtt", "call.wav"), ("call.siprec.xml", "call.wav"),
        ("call.wav.transcript.json", "call.wav"), ("a_call.cdr.xml", "call.wav"),
        ("call.JSON", "call.mp3"),
    ],
)  # fmt: skip
def test_a_sidecar_is_known_by_the_name_of_its_recording(name: str, recording: str) -> None:
    among, extensions = {Path(recording), Path(name), Path("other.wav")}, {".wav", ".mp3"}
    assert sidecars.is_sidecar(Path(name), among, extensions)
    assert not sidecars.is_sidecar(Path(recording), among, extensions)
    assert not sidecars.is_sidecar(Path(name), {Path(name), Path("other.wav")}, extensions)
