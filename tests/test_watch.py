"""A watched folder: finished files are taken in once, and go only when told and safe."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from archive.archive import Archive
from archive.errors import BadSetting, StoreUnavailable
from archive.sources.folder import Options, Summary
from archive.sources.watch import EMPTY_S, Watcher, Watching
from tests.machine import Machine
from tests.mail_server import content, kept, mail, refused
from tests.media import wav

WAV = wav(seconds=0.1)


class Watched:
    """A folder, a clock and a watcher of it."""

    def __init__(self, archive: Archive, root: Path, **more: Any) -> None:
        self.inbox, self.done, self.refused = root / "in", root / "done", root / "refused"
        for each in (self.inbox, self.done, self.refused):
            each.mkdir(exist_ok=True)
        self.now = 0.0
        options = Options(source="pbx", line="viat")
        watching = Watching(path=self.inbox, options=options, **more)
        self.watcher = Watcher(archive, watching, monotonic=lambda: self.now)

    def put(self, name: str, raw: bytes) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        os.utime(path, ns=(int(self.now * 1e9), int(1.79e18) + int(self.now * 1e9)))
        return path

    def look(self, after_s: float = 0) -> Summary:
        self.now += after_s
        return self.watcher.look()


@pytest.fixture
def watched(archive: Archive, tmp_path: Path) -> Watched:
    return Watched(archive, tmp_path)


def test_a_file_is_taken_when_it_stops_changing_and_only_once(
    archive: Archive, watched: Watched
) -> None:
    watched.put("call.wav", WAV[:1000])
    assert watched.look().new == 0
    watched.put("call.wav", WAV)  # still being written
    assert watched.look(9).new == 0
    assert watched.look(9).new == 0
    assert watched.look(1).new == 1
    assert [content(archive, one) for one in kept(archive)] == [WAV]
    again = watched.look(60)
    assert (again.new, again.known) == (0, 0)
    assert (watched.inbox / "call.wav").read_bytes() == WAV


def test_a_new_watcher_knows_what_the_last_one_took(
    archive: Archive, watched: Watched, tmp_path: Path
) -> None:
    watched.put("call.wav", WAV)
    watched.put("mail.eml", mail())
    watched.look()
    assert watched.look(10).new == 2
    other = Watched(archive, tmp_path)
    other.look()
    summary = other.look(10)
    assert (summary.new, summary.known) == (0, 2)


def test_unfinished_hidden_and_empty_files_are_waited_for(
    archive: Archive, watched: Watched
) -> None:
    for name in ("a.wav.tmp", ".b.wav", "c.wav.filepart"):
        watched.put(name, WAV)
    watched.put("empty.wav", b"")
    watched.look()
    assert watched.look(60).new == 0
    assert watched.look(EMPTY_S).new == 1
    assert [one.bytes for one in kept(archive)] == [0]


def test_a_file_goes_only_when_told_and_what_was_stored_reads_back_the_same(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(archive, tmp_path, done=tmp_path / "done")
    watched.put("2026/11/call.wav", WAV)
    watched.put("2026/11/call.wav.json", b'{"agent": "Ville"}')
    plain = Archive.read_back
    monkeypatch.setattr(Archive, "read_back", lambda *a: "0" * 64)
    watched.look()
    assert watched.look(10).new == 1
    assert (watched.inbox / "2026/11/call.wav").exists()  # it did not read back
    monkeypatch.setattr(Archive, "read_back", plain)
    watched.put("2026/11/call.wav", WAV)
    watched.look(1)
    assert watched.look(10).known == 1
    assert sorted(p.name for p in watched.done.rglob("*.*")) == ["call.wav", "call.wav.json"]
    assert not list(watched.inbox.rglob("*.*"))


def test_a_file_that_cannot_be_read_back_now_goes_when_it_can(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(archive, tmp_path, delete=True)
    watched.put("call.wav", WAV)
    watched.look()

    def away(*_: Any) -> str:
        raise StoreUnavailable()

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(Archive, "read_back", away)
        watched.look(10)
    assert watched.look(15).known == 1
    assert list(watched.inbox.iterdir()) == []


def test_a_deleted_file_does_not_take_one_of_the_same_name_with_it(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path, delete=True)
    for n in range(2):
        watched.put("call.wav", WAV + bytes(n))
        watched.look()
        assert watched.look(10).new == 1
        assert list(watched.inbox.iterdir()) == []
    assert len(kept(archive)) == 2


def test_metadata_that_come_first_are_waited_for_and_late_ones_are_added(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path, sidecar_s=120)
    watched.put("early.json", json.dumps({"source_ref": "e", "agent": "Ville"}).encode())
    watched.look()
    assert watched.look(60).refused == []
    watched.put("early.wav", WAV)
    watched.put("late.wav", WAV)
    watched.look()
    assert watched.look(10).new == 1
    assert watched.look(120).new == 1  # the other without its metadata
    agents = {archive.vault.descriptor(one).agent for one in kept(archive)}
    assert agents == {"Ville", None}
    watched.put("late.wav.json", json.dumps({"agent": "Aino", "duration_s": "x"}).encode())
    watched.look()
    summary = watched.look(10)
    assert (summary.new, summary.known) == (0, 1)
    assert {archive.vault.descriptor(one).agent for one in kept(archive)} == {"Ville", "Aino"}


def test_what_is_no_recording_is_counted_put_aside_and_never_named_in_a_log(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watched = Watched(archive, tmp_path, refused=tmp_path / "refused")
    watched.put("0401234567.bin", bytes(range(256)) * 10)
    watched.put("0501234567.json", b"{}")
    watched.put("old.wav", WAV)
    watched.put("old.json", b'{"occurred_at": "2024-01-01T12:00:00Z"}')
    watched.put("elsewhere.wav", WAV)
    watched.put("elsewhere.json", b'{"source": "other"}')
    watched.look()
    assert len(watched.look(10).refused) == 3
    assert len(watched.look(EMPTY_S).refused) == 1
    assert refused(archive) == {
        "not-a-recording": 1,
        "metadata-without-recording": 1,
        "older-than-retention": 1,
        "other-source": 1,
    }
    assert len(list(watched.refused.iterdir())) == 6
    assert kept(archive) == []
    assert "01234567" not in caplog.text


def test_while_the_store_is_away_nothing_is_lost_or_thrown_away(
    archive: Archive, machine: Machine, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path, delete=True)
    watched.put("call.wav", WAV)
    watched.look()
    with machine.store_away(), pytest.raises(StoreUnavailable):
        watched.look(10)
    assert watched.look().new == 1
    assert list(watched.inbox.iterdir()) == []


def test_a_place_that_files_cannot_go_to_stops_the_start(archive: Archive, tmp_path: Path) -> None:
    for wrong in (
        {"done": tmp_path / "in" / "done"},
        {"done": tmp_path / "nowhere"},
        {"refused": Path("/proc")},
        {"done": tmp_path / "done", "delete": True},
    ):
        (tmp_path / "in" / "done").mkdir(parents=True, exist_ok=True)
        with pytest.raises(BadSetting):
            Watched(archive, tmp_path, **wrong)
