"""The archive moves to another installation: everything that lives, nothing that had ended."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from archive import audit, catalogue, worker
from archive.archive import Archive
from archive.backups import exporting, importing
from archive.backups.exporting import INVENTORY, MANIFEST
from archive.db import reading
from archive.erasure import certificates
from archive.errors import ExportUnusable, NotEmpty, NotFound, RestoreUnfinished
from archive.keyring.keybackup import KeyBackups
from archive.keyring.keyreport import report
from archive.keyring.recovery import PrivateKey
from archive.model import Query
from tests.clock import Clock
from tests.media import wav
from tests.test_backup import Elsewhere, elsewhere, means
from tests.test_holds import CASE, HANDLER, case, hold
from tests.test_holds import read as read_held
from tests.test_story import READER, deliver, read

__all__ = ["case", "elsewhere"]

WAV = wav(0.5)


class Broken(Exception):
    """A process that is killed."""


@pytest.fixture
def theirs(tmp_path: Path) -> PrivateKey:
    """The recovery key of the installation that is to have the export."""
    made = PrivateKey.generate()
    made.write(tmp_path / "theirs.key")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "export"


def sizes(folder: Path) -> dict[str, int]:
    files = (path for path in (folder / "objects").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def breaking(at: str) -> Callable[..., None]:
    def step(name: str, *numbers: int) -> None:
        if name == at:
            raise Broken

    return step


def test_everything_moves_and_what_had_ended_stays_dead(
    archive: Archive,
    clock: Clock,
    theirs: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    case: str,
) -> None:
    ours = PrivateKey.generate()
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    held = deliver(archive, "held", days_ago=364, case=CASE)
    over, private = deliver(archive, "over", days_ago=364), deliver(archive, "private")
    ending = deliver(archive, "ending", days_ago=355)
    calls = [deliver(archive, str(n), days_ago=n * 30 + 1) for n in range(3)]
    worker.until_idle(archive)
    hold(archive, held.id)
    archive.correct(READER, calls[0].id, {"agent": "Aino", "customer_number": "7654321"})
    archive.erase(READER, private.id, reason="private")
    clock.advance(timedelta(days=3))
    archive.expire()
    waiting = deliver(archive, "waiting")
    source = means(archive)
    for step in ("dumped", "mirrored", "checked"):
        with pytest.raises(Broken):
            exporting.run(source, folder, theirs.public, step=breaking(step))
        with pytest.raises(ExportUnusable, match="not finished"):
            importing.opened(folder, theirs, now=clock())
    done = exporting.run(source, folder, theirs.public)
    assert done.whole and done.copied == 0
    assert done.manifest["recordings"] == 6
    assert sizes(folder) == {f"objects/{o.key}": o.bytes for o in archive.store.list("")}
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    root = (archive.keys.path / "root.key").read_bytes()
    for secret in (json.loads(root)["key"].encode(), base64.b64decode(json.loads(root)["key"])):
        assert secret not in written
    assert b"7654321" not in written and b"Aino" not in written
    assert backups.destinations() == () and [s.written.export for s in backups.standing()] == [True]
    assert report(backups, days=365, now=clock())["good"] is False, "an export is no key backup"
    with pytest.raises(ExportUnusable, match="for another key"):
        exporting.run(source, folder, ours.public)

    clock.advance(timedelta(days=8))  # on its way: one more has ended by the date alone
    for stage in ("objects", "catalogue", "envelopes", "index"):
        with elsewhere.archive(restoring=True) as there, pytest.raises(Broken):
            importing.run(there, folder, theirs, progress=breaking(stage))
        with pytest.raises(RestoreUnfinished), elsewhere.archive():
            pass
    with elsewhere.archive(restoring=True) as there:
        export, outcome = importing.run(there, folder, theirs)
    assert exporting.fingerprint(export.manifest) == exporting.fingerprint(done.manifest)
    assert outcome.whole and outcome.recordings == 5
    with elsewhere.archive() as there:
        for receipt in (*calls, waiting):
            assert read(there, receipt) == WAV
        for dead in (over, private, ending):
            with pytest.raises(NotFound):
                read(there, dead)
        assert read_held(there, held.id) == WAV
        assert there.case_file(HANDLER, CASE).case.number == CASE
        worker.until_idle(there)
        [found] = there.find(READER, Query(customer="7654321")).items
        assert (found.id, found.descriptor.agent) == (calls[0].id, "Aino")
        again = deliver(there, "waiting")
        assert (again.created, again.id) == (False, waiting.id)
        assert certificates.verify_all(there.vault, there.engine)[1] == []
        with reading(there.engine) as connection:
            verbs = [entry.verb for entry in audit.entries(connection, audit.Asked(), limit=500)]
        assert {"import", "erase", "correct", "hold"} <= set(verbs)
        their_own = KeyBackups(there.keys, now=clock, keep_days=35)
        assert [one.written.export for one in their_own.standing()] == [True]
        assert their_own.destinations() == ()
        with pytest.raises(NotEmpty, match="keys already"):
            importing.run(there, folder, theirs)
        clock.advance(timedelta(days=400))
        there.expire()
        assert [row.id for row in rows(there)] == [held.id]
        assert their_own.roll_off() == 1, "the keys of the export end with their days"
    with pytest.raises(ExportUnusable, match="key backup"):
        importing.opened(folder, theirs, now=clock())


def rows(archive: Archive) -> list[catalogue.Recording]:
    with reading(archive.engine) as connection:
        return catalogue.walk(connection, after=None, limit=100)


def test_an_export_that_was_changed_or_is_anothers_or_over_is_refused_and_nothing_is_begun(
    archive: Archive, clock: Clock, theirs: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    one = deliver(archive, "1")
    source = means(archive)
    with pytest.raises(ExportUnusable, match=r"0\.00 GB are free"):
        exporting.run(source, folder, theirs.public, free=lambda path: 1000)
    made = exporting.run(source, folder, theirs.public)
    original = next((folder / "objects").rglob(f"{one.id}.original"))
    dump = next(folder.rglob("catalogue.dump"))

    def refused(reason: str, key: PrivateKey = theirs) -> None:
        with elsewhere.archive(restoring=True) as there:
            with pytest.raises(ExportUnusable, match=reason):
                importing.run(there, folder, key)
            assert there.keys.everything() == []
            assert list(there.store.list("")) == []

    def altered(path: Path, reason: str, change: Callable[[bytes], bytes]) -> None:
        whole = path.read_bytes()
        path.write_bytes(change(whole))
        refused(reason)
        path.write_bytes(whole)

    def flipped(raw: bytes) -> bytes:
        return raw[:-1] + bytes([raw[-1] ^ 1])

    refused("sealed to", PrivateKey.generate())
    altered(original, f"{one.id}.original was changed", flipped)
    altered(original, f"{one.id}.original was changed", lambda raw: raw[:-1])
    altered(dump, "catalogue.dump was changed", flipped)
    altered(folder / INVENTORY, "inventory.jsonl was changed", flipped)
    altered(folder / MANIFEST, "was changed", lambda raw: raw.replace(b'"v":1', b'"v":2'))
    until = made.manifest["until"].encode()
    later = (clock() + timedelta(days=99)).isoformat().encode()
    altered(folder / MANIFEST, "was changed", lambda raw: raw.replace(until, later))
    altered(folder / MANIFEST, "damaged", lambda raw: raw[:20])
    stranger = original.with_name("stranger.original")
    shutil.copy(original, stranger)
    refused("stranger.original is not of it")
    stranger.unlink()
    original.rename(original.with_name("away"))
    refused("was changed or is missing")
    original.with_name("away").rename(original)
    clock.advance(timedelta(days=36))
    refused("it ended on")

    other = folder.parent / "other"
    other.mkdir()
    (other / "note.txt").write_text("x")
    with pytest.raises(ExportUnusable, match="no export"):
        exporting.run(source, other, theirs.public)
    with pytest.raises(ExportUnusable, match="it is no export"):
        importing.opened(other, theirs, now=clock())
    # What the store lost the export may be the last to have; a new one says what it lacks.
    archive.store.delete([row.object_key for row in rows(archive)])
    assert exporting.run(source, folder, theirs.public).whole
    lacking = exporting.run(source, folder.parent / "third", theirs.public)
    assert lacking.missing == [rows(archive)[0].object_key]
