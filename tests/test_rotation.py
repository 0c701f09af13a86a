"""Recovery key, key backups, and the rotation of the root key."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive import keys
from archive.archive import SYSTEM, Archive
from archive.cli import cli
from archive.config import Config
from archive.errors import (
    ArchiveError,
    BackupRunning,
    KeyBackupUnusable,
    KeyConflict,
    KeyDestroyed,
    RecoveryKeyMissing,
    RecoveryKeyUnusable,
    RootKeyUnusable,
    RotationStopped,
)
from archive.keyring import keybackup, recovery, roots, rotation
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import KeysDirectory
from tests.clock import Clock
from tests.media import wav
from tests.test_story import READER as SYSTEM_READER

ROOT = Path(__file__).parent.parent
NAMES = (
    *(f"cohort/2027-11-{day:02}" for day in range(1, 9)),
    "hold/2026-00001.x",
    "case/2026-00001",
    "installation/reference",
    "installation/signing",
)


def settings(folder: Path) -> Config:
    return Config.from_env({"ARCHIVE_HOME": str(folder / "home"), "ARCHIVE_KEY_CACHE_S": "0"})


@pytest.fixture
def directory(tmp_path: Path) -> KeysDirectory:
    opened = keys.open_keys(settings(tmp_path))
    for name in NAMES:
        opened.ensure(name)
    return opened


@pytest.fixture
def backups(directory: KeysDirectory, clock: Clock) -> KeyBackups:
    return KeyBackups(directory, now=clock, keep_days=35)


@pytest.fixture
def private(backups: KeyBackups, tmp_path: Path) -> PrivateKey:
    backups.make_recovery_key(tmp_path / "offline.key")
    return PrivateKey.load(tmp_path / "offline.key")


def all_keys(directory: KeysDirectory) -> dict[str, bytes]:
    return {name: directory.get(name) for name in directory.everything()}


def refused(action: Callable[[], object], kind: type[ArchiveError]) -> str:
    with pytest.raises(kind) as caught:
        action()
    return caught.value.message


# -- the recovery key ------------------------------------------------------------------


def test_the_private_half_is_written_once_for_its_owner_and_kept_nowhere_else(
    backups: KeyBackups, tmp_path: Path
) -> None:
    public = backups.make_recovery_key(tmp_path / "offline.key")
    assert (tmp_path / "offline.key").stat().st_mode & 0o777 == 0o600
    secret = json.loads((tmp_path / "offline.key").read_text())["private"].encode()
    raw = base64.b64decode(secret)
    for file in backups.keys.path.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes() and raw not in file.read_bytes()
    assert backups.public().id == public.id == PrivateKey.load(tmp_path / "offline.key").public.id


def test_a_recovery_key_is_never_written_over(backups: KeyBackups, tmp_path: Path) -> None:
    backups.make_recovery_key(tmp_path / "a.key")
    before = (tmp_path / "a.key").read_bytes()
    again = refused(lambda: backups.make_recovery_key(tmp_path / "b.key"), RecoveryKeyUnusable)
    assert "--replace" in again
    with pytest.raises(RecoveryKeyUnusable, match="exists already"):
        backups.make_recovery_key(tmp_path / "a.key", replace_old=True)
    assert (tmp_path / "a.key").read_bytes() == before
    assert backups.make_recovery_key(tmp_path / "b.key", replace_old=True) == backups.public()


def test_the_private_half_is_not_written_beside_the_keys(backups: KeyBackups) -> None:
    with pytest.raises(RecoveryKeyUnusable, match="must not lie with the keys"):
        backups.make_recovery_key(backups.keys.path / "offline.key")


def test_a_private_half_that_others_may_read_is_refused(
    private: PrivateKey, tmp_path: Path
) -> None:
    (tmp_path / "offline.key").chmod(0o644)
    with pytest.raises(RootKeyUnusable, match="chmod 600"):
        PrivateKey.load(tmp_path / "offline.key")


# -- key backups -----------------------------------------------------------------------


def test_a_key_backup_opens_with_the_recovery_key_and_with_no_other(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    made = backups.back_up(tmp_path / "dest")
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert KeyBackup.read(made.path).open(private).keys == all_keys(backups.keys)
    other = PrivateKey.generate()
    with pytest.raises(KeyBackupUnusable, match=f"sealed to {private.public.id}"):
        KeyBackup.read(made.path).open(other)
    disguised = PrivateKey(private.public, other.key)
    with pytest.raises(KeyBackupUnusable, match="damaged"):
        KeyBackup.read(made.path).open(disguised)


def test_nothing_of_a_key_is_readable_in_its_backup(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    raw = backups.back_up(tmp_path / "dest").path.read_bytes()
    for key in (*all_keys(backups.keys).values(), backups.keys.root.for_recovery()):  # type: ignore[attr-defined]
        assert key not in raw and base64.b64encode(key) not in raw


def test_every_changed_byte_of_a_key_backup_is_noticed(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    raw = backups.back_up(tmp_path / "dest").path.read_bytes()
    for place in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[place] ^= 1
        by_recovery = by_root = True
        try:
            backup = KeyBackup.parse(bytes(changed), where="x")
        except KeyBackupUnusable:
            continue
        try:
            backup.open(private)
        except KeyBackupUnusable:
            by_recovery = False
        try:
            backup.open_by_root(backups.keys.root)
        except KeyBackupUnusable:
            by_root = False
        assert not (by_recovery and by_root), place
    for length in range(0, len(raw), 11):
        with pytest.raises(KeyBackupUnusable):
            KeyBackup.parse(raw[:length], where="x").open(private)


def test_without_a_recovery_key_nothing_is_backed_up_and_the_remedy_is_named(
    backups: KeyBackups, tmp_path: Path
) -> None:
    message = refused(lambda: backups.back_up(tmp_path / "dest"), RecoveryKeyMissing)
    assert "archive keys recovery-key" in message
    assert backups.standing() == []


def test_a_destination_that_is_gone_is_not_made_anew(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    (tmp_path / "dest").rename(tmp_path / "unmounted")
    with pytest.raises(KeyBackupUnusable, match="is it mounted"):
        backups.back_up(tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_a_day_that_is_over_is_in_no_backup_even_before_the_night_destroyed_it(
    backups: KeyBackups, private: PrivateKey, clock: Clock, tmp_path: Path
) -> None:
    clock.set(datetime(2027, 11, 5, 23, 30, tzinfo=UTC))  # in Helsinki the 6th
    made = backups.back_up(tmp_path / "dest")
    cohorts = [name for name in made.names if name.startswith("cohort/")]
    assert cohorts == [f"cohort/2027-11-{day:02}" for day in (6, 7, 8)]


def test_the_status_names_each_backup_until_when_and_what_it_could_still_open(
    backups: KeyBackups, private: PrivateKey, clock: Clock, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    backups.keys.destroy("cohort/2027-11-03")
    backups.back_up(tmp_path / "dest")
    first, second = backups.standing()
    assert first.still_opens == ("cohort/2027-11-03",)
    assert second.still_opens == ()
    assert first.written.until == clock() + timedelta(days=35)
    assert first.reachable and not first.overdue


def test_key_backups_roll_off_and_one_that_cannot_be_reached_is_overdue(
    backups: KeyBackups, private: PrivateKey, clock: Clock, tmp_path: Path
) -> None:
    here, away = backups.back_up(tmp_path / "here"), backups.back_up(tmp_path / "away")
    (tmp_path / "away").rename(tmp_path / "unmounted")
    clock.advance(timedelta(days=35))
    new = backups.back_up(tmp_path / "here")
    assert not here.path.exists() and new.path.exists()
    assert {each.written.path: each.overdue for each in backups.standing()} == {
        away.path: True,
        new.path: False,
    }
    (tmp_path / "unmounted").rename(tmp_path / "away")
    backups.back_up(tmp_path / "here")
    assert not away.path.exists()
    assert all(not each.overdue for each in backups.standing())


def test_a_key_backup_that_was_only_begun_is_removed_by_the_next_run(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    made = backups.back_up(tmp_path / "dest")
    made.path.rename(tmp_path / "dest" / ".new-0011")  # killed before it got its name
    next_one = backups.back_up(tmp_path / "dest")
    assert list((tmp_path / "dest").iterdir()) == [next_one.path]
    assert [each.written.path for each in backups.standing()] == [next_one.path]


def test_keys_are_restored_into_an_empty_directory_by_the_recovery_key_alone(
    backups: KeyBackups, private: PrivateKey, clock: Clock, tmp_path: Path
) -> None:
    before = all_keys(backups.keys)
    backups.keys.destroy("cohort/2027-11-02")
    made = backups.back_up(tmp_path / "dest")
    new = keys.open_keys(settings(tmp_path / "elsewhere"))
    contents = KeyBackup.read(made.path).open(private)
    done = keybackup.restore(new, contents, today=date(2027, 11, 4), private=private)
    with pytest.raises(KeyDestroyed):
        new.get("cohort/2027-11-02")  # destroyed before the backup
    for day in ("01", "03"):  # over since: never revived
        with pytest.raises(KeyDestroyed):
            new.get(f"cohort/2027-11-{day}")
    assert (done.restored, done.destroyed) == (len(NAMES) - 3, 2)
    dead = {f"cohort/2027-11-0{n}" for n in (1, 2, 3)}
    assert all_keys(new) == {name: key for name, key in before.items() if name not in dead}
    again = keybackup.restore(new, contents, today=date(2027, 11, 4), private=private)
    assert (again.restored, again.present) == (0, done.restored)


def test_restoring_an_older_backup_does_not_bring_back_what_was_destroyed_since(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    made = backups.back_up(tmp_path / "dest")
    backups.keys.destroy("hold/2026-00001.x")
    contents = KeyBackup.read(made.path).open(private)
    keybackup.restore(backups.keys, contents, today=date(2026, 11, 24), private=private)
    with pytest.raises(KeyDestroyed):
        backups.keys.get("hold/2026-00001.x")
    assert "hold/2026-00001.x" not in backups.keys.everything()


def test_a_restore_never_replaces_another_key_of_the_name(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    made = backups.back_up(tmp_path / "dest")
    new = keys.open_keys(settings(tmp_path / "elsewhere"))
    kept = new.ensure("installation/reference")
    with pytest.raises(KeyConflict):
        new.put("installation/reference", bytes(32))
    contents = KeyBackup.read(made.path).open(private)
    done = keybackup.restore(new, contents, today=date(2026, 11, 24), private=private)
    assert done.conflicts == ("installation/reference",)
    assert new.get("installation/reference") == kept


@pytest.mark.parametrize("version", [1, 2])
def test_a_key_backup_of_every_format_stays_readable(version: int) -> None:
    """tests/vectors/keys/backup-N.json: written once by the first program of that version."""
    file = ROOT / "tests" / "vectors" / "keys" / f"backup-{version}.json"
    vector = json.loads(file.read_text())
    assert bytes.fromhex(vector["backup"])[4] == version
    key = recovery.X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private"]))
    private = PrivateKey(recovery.PublicKey.of(key.public_key()), key)
    backup = KeyBackup.parse(bytes.fromhex(vector["backup"]), where="the vector")
    for contents in (
        backup.open(private),
        backup.open_by_root(roots.FileRootKey(bytes.fromhex(vector["root"]))),
    ):
        assert {name: key.hex() for name, key in contents.keys.items()} == vector["keys"]
        assert list(contents.destroyed) == vector["destroyed"]
    assert private.public.id == vector["recovery"] == backup.header.recovery


# -- rotation --------------------------------------------------------------------------


def test_after_a_rotation_every_key_is_the_same_under_a_new_root_and_the_old_one_is_gone(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    old, before = backups.keys.root, all_keys(backups.keys)
    old_file = (backups.keys.path / "root.key").read_bytes()
    done = rotation.rotate(backups)
    assert done.root == backups.keys.root.id != old.id
    assert done.rewrapped == len(NAMES)
    assert all_keys(backups.keys) == before == all_keys(keys.open_keys(settings(tmp_path)))
    for file in backups.keys.path.rglob("*"):
        if file.is_file():
            assert old_file not in file.read_bytes()
            assert old.id not in file.name
    assert not rotation.is_unfinished(backups.keys.path)
    assert KeyBackup.read(done.backups[0]).open(private).keys == before
    copy = backups.keys.path / "recovery" / f"{done.root}.sealed"
    assert KeyBackup.read(copy).open(private).keys[done.root] == (
        backups.keys.root.for_recovery()  # type: ignore[attr-defined]
    )


def test_a_rotation_stops_before_it_begins_where_nothing_could_be_restored(
    backups: KeyBackups, tmp_path: Path
) -> None:
    before = backups.keys.root.id
    with pytest.raises(RecoveryKeyMissing):
        rotation.rotate(backups)
    backups.make_recovery_key(tmp_path / "offline.key")
    with pytest.raises(RotationStopped, match="archive keys backup"):
        rotation.rotate(backups)
    assert backups.keys.root.id == before
    assert not rotation.is_unfinished(backups.keys.path)


def test_a_destination_away_stops_the_rotation_with_both_roots_in_use(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    before = all_keys(backups.keys)
    (tmp_path / "dest").rename(tmp_path / "unmounted")
    with pytest.raises(RotationStopped, match="is it mounted"):
        rotation.rotate(backups)
    assert rotation.is_unfinished(backups.keys.path)
    assert (backups.keys.path / "root.key").exists()
    assert (backups.keys.path / "root.next").exists()
    opened = keys.open_keys(settings(tmp_path))
    assert all_keys(opened) == before
    opened.ensure("cohort/2027-12-24")
    (tmp_path / "unmounted").rename(tmp_path / "dest")
    rotation.rotate(backups)
    assert not rotation.is_unfinished(backups.keys.path)
    assert all_keys(opened) == all_keys(keys.open_keys(settings(tmp_path)))
    assert set(all_keys(opened)) == {*before, "cohort/2027-12-24"}


def test_a_damaged_key_file_stops_the_rotation_and_is_named(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    file = backups.keys.path / "cohort" / "2027-11-04"
    whole = file.read_bytes()
    file.write_bytes(whole[:50])
    with pytest.raises(RotationStopped, match="cohort/2027-11-04"):
        rotation.rotate(backups)
    file.write_bytes(whole)
    rotation.rotate(backups)
    assert backups.keys.get("cohort/2027-11-04")


def test_two_rotations_do_not_run_at_once(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    with backups.alone(), pytest.raises(BackupRunning):
        rotation.rotate(backups)


def test_a_key_destroyed_before_or_during_a_rotation_does_not_come_back(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    backups.keys.destroy("cohort/2027-11-01")
    doomed = iter(("cohort/2027-11-07", "hold/2026-00001.x"))

    def step(name: str) -> None:
        if name == "rewrapped one" and (victim := next(doomed, None)):
            backups.keys.destroy(victim)

    rotation.rotate(backups, step=step)
    left = backups.keys.everything()
    for name in ("cohort/2027-11-01", "cohort/2027-11-07", "hold/2026-00001.x"):
        assert name not in left
        with pytest.raises(KeyDestroyed):
            backups.keys.get(name)


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from archive import keys
from archive.keyring import rotation
from archive.config import Config
from archive.keyring.keybackup import KeyBackups
opened = keys.open_keys(Config.from_env({"ARCHIVE_HOME": sys.argv[1]}))
def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
now = lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)
rotation.rotate(KeyBackups(opened, now=now, keep_days=35), step=step)
"""


def run(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("step", rotation.STEPS)
def test_a_rotation_killed_at_any_step_loses_no_key_and_is_finished_by_the_next(
    step: str, backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    before = all_keys(backups.keys)
    killed = run(KILLED, str(tmp_path / "home"), step)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    # Whoever was running goes on, whoever starts now starts, and a new key can be made.
    started = keys.open_keys(settings(tmp_path))
    assert all_keys(backups.keys) == before == all_keys(started)
    before["cohort/2027-12-01"] = started.ensure("cohort/2027-12-01")
    # Were the directory lost now, but for the recovery copies: every root in use is in one.
    _assert_roots_recoverable(started, private)
    rotation.rotate(KeyBackups(started, now=Clock(), keep_days=35))
    assert not rotation.is_unfinished(started.path)
    assert all_keys(backups.keys) == before == all_keys(keys.open_keys(settings(tmp_path)))
    assert [p.stem for p in (started.path / "recovery").iterdir()] == [started.root.id]
    newest = keybackup.newest(tmp_path / "dest").open(private).keys
    assert set(newest) >= set(NAMES) and before == {**before, **newest}


def _assert_roots_recoverable(directory: KeysDirectory, private: PrivateKey) -> None:
    needed = {directory.wrapped_under(name) for name in directory.everything()}
    copies = [KeyBackup.read(p).open(private) for p in (directory.path / "recovery").iterdir()]
    recoverable = {id: secret for copy in copies for id, secret in copy.keys.items()}
    assert needed <= set(recoverable)
    for name in directory.everything():
        fields = json.loads((directory.path / name).read_bytes())
        root = roots.FileRootKey(recoverable[fields["root"]])
        wrapped = base64.b64decode(fields["wrapped"])
        assert root.unwrap(keys.seal.key_file_context(name), wrapped) == directory.get(name)


def test_nobody_makes_or_destroys_a_key_in_the_instant_in_which_roots_change(
    directory: KeysDirectory,
) -> None:
    new = roots.FileRootKey.create(directory.path / rotation.FRESH_FILE)
    made, doomed = directory.path / "cohort" / "2027-12-01", directory.path / NAMES[0]
    waiting = [
        threading.Thread(target=directory.ensure, args=("cohort/2027-12-01",)),
        threading.Thread(target=directory.destroy, args=(NAMES[0],)),
    ]
    with directory.exclusive():
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join(timeout=0.3)
        assert not made.exists() and doomed.exists()
        (directory.path / rotation.FRESH_FILE).rename(directory.path / roots.NEXT_ROOT_FILE)
    for thread in waiting:
        thread.join(timeout=30)
    assert directory.wrapped_under("cohort/2027-12-01") == new.id
    assert not doomed.exists()


BUSY = """
import itertools, sys
from pathlib import Path
from archive import keys
from archive.config import Config
from archive.errors import KeyDestroyed
opened = keys.open_keys(Config.from_env(
    {"ARCHIVE_HOME": sys.argv[1], "ARCHIVE_KEY_CACHE_S": sys.argv[3]}))
# What the other busy process makes and destroys meanwhile is its own affair.
known = {name: opened.get(name) for name in opened.everything()
         if not name.startswith("cohort/2028-")}
print("ready", flush=True)
stop = Path(sys.argv[1]) / "stop"
reads = made = 0
for number in itertools.count():
    for name, key in known.items():
        assert opened.get(name) == key, name
        reads += 1
    name = f"cohort/2028-{number % 12 + 1:02}-{sys.argv[2]}{number // 12:05}"
    known[name] = opened.ensure(name)
    made += 1
    if number % 3 == 0:
        opened.destroy(name)
        del known[name]
        try:
            opened.get(name)
        except KeyDestroyed:
            pass
        else:
            raise AssertionError(name)
    if len(known) > 60:
        del known[name]
    if stop.exists():
        break
print(reads, made)
"""


def test_no_read_and_no_new_key_fails_in_other_processes_while_the_root_is_rotated(
    backups: KeyBackups, private: PrivateKey, tmp_path: Path
) -> None:
    backups.back_up(tmp_path / "dest")
    busy = [run(BUSY, str(tmp_path / "home"), str(n), cache) for n, cache in ((1, "0"), (2, "1"))]
    for process in busy:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    seen = {backups.keys.root.id}
    for _ in range(3):
        seen.add(rotation.rotate(backups).root)
    (tmp_path / "home" / "stop").touch()
    said = [process.communicate(timeout=60)[0].split() for process in busy]
    assert [process.returncode for process in busy] == [0, 0]
    assert len(seen) == 4
    assert all(int(reads) > 100 and int(made) > 3 for reads, made in said)
    checked, wrong = keys.open_keys(settings(tmp_path)).check()
    assert wrong == [] and checked > len(NAMES)


def test_the_root_is_rotated_under_load_without_a_failed_reading_or_intake(
    archive: Archive, clock: Clock, tmp_path: Path
) -> None:
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    backups.make_recovery_key(tmp_path / "offline.key")
    backups.back_up(tmp_path / "dest")
    objects = _deliver(archive, "first")
    stop, failures, done = threading.Event(), [], []

    def load() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                _deliver(archive, f"{number}", days_ago=number % 300 + 1)
                opened = archive.open(SYSTEM_READER, objects, purpose="verification")
                assert b"".join(opened.read(0, opened.length)) == wav(0.5)
                done.append(number)
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    before = {each.key: each.bytes for each in archive.store.list("recordings/")}
    for _ in range(5):
        rotation.rotate(backups)
    stop.set()
    thread.join(timeout=30)
    assert failures == []
    assert len(done) >= 3
    after = {each.key: each.bytes for each in archive.store.list("recordings/")}
    assert {key: after[key] for key in before} == before  # no recording rewritten


def _deliver(archive: Archive, reference: str, *, days_ago: int = 1) -> recovery.UUID:
    metadata = {
        "source": "pbx",
        "source_ref": reference,
        "occurred_at": (archive.now() - timedelta(days=days_ago)).isoformat(),
        "direction": "inbound",
        "line": "viat",
    }
    return archive.receive_call(SYSTEM, metadata, io.BytesIO(wav(0.5))).id


# -- the command -----------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    def invoke(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(
            cli, ["keys", *words], env={"ARCHIVE_HOME": str(tmp_path / "home")}
        )
        if isinstance(result.exception, ArchiveError):
            return result.exception.exit_code, result.exception.message
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    yield invoke


def test_the_commands_of_keys_from_the_first_to_a_restore(
    command: Callable[..., tuple[int, str]], directory: KeysDirectory, tmp_path: Path
) -> None:
    before = all_keys(directory)
    code, said = command("status")
    assert code == 1 and "NO RECOVERY KEY" in said and "NO KEY BACKUP" in said
    offline, dest = str(tmp_path / "offline.key"), str(tmp_path / "dest")
    assert command("recovery-key", offline)[0] == 0
    assert command("backup", dest)[0] == 0
    assert command("rotate-root")[0] == 0
    assert command("verify")[0] == 0
    code, said = command("verify", "--recovery-key", offline)
    assert code == 0 and said.count(": opens") == 3
    code, said = command("status", "--json")
    assert code == 0 and len(json.loads(said)["backups"]) == 2
    (tmp_path / "home").rename(tmp_path / "lost")
    code, said = command("restore", dest, "--recovery-key", offline)
    assert code == 0 and f"{len(NAMES)} keys restored" in said
    assert all_keys(keys.open_keys(settings(tmp_path))) == before
    assert command("status")[0] == 0


def test_a_lost_root_key_stops_every_start_harms_nothing_and_comes_back_from_its_copy(
    command: Callable[..., tuple[int, str]], directory: KeysDirectory, tmp_path: Path
) -> None:
    before = all_keys(directory)
    assert command("recovery-key", str(tmp_path / "offline.key"))[0] == 0
    files = {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()}
    lost = files.pop(directory.path / "root.key")
    (directory.path / "root.key").unlink()
    code, said = command("status")
    assert code == 33 and "root.key is missing but keys made under it are there" in said
    assert {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()} == files
    (copy,) = (directory.path / "recovery").iterdir()
    code, said = command("restore", str(copy), "--recovery-key", str(tmp_path / "offline.key"))
    assert code == 0 and "is back" in said
    back = json.loads((directory.path / "root.key").read_bytes())
    assert json.loads(lost)["key"] == back["key"]
    assert all_keys(keys.open_keys(settings(tmp_path))) == before


def test_a_wrong_root_key_stops_the_start_and_harms_nothing(
    command: Callable[..., tuple[int, str]], directory: KeysDirectory
) -> None:
    (directory.path / "root.key").unlink()
    roots.FileRootKey.create(directory.path / "root.key")
    files = {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()}
    code, said = command("status")
    assert code == 33 and "needs root key" in said
    assert {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()} == files


def test_a_running_archive_whose_root_key_is_lost_reads_on_and_makes_no_key(
    directory: KeysDirectory,
) -> None:
    before = all_keys(directory)
    (directory.path / "root.key").unlink()
    assert all_keys(directory) == before
    with pytest.raises(RootKeyUnusable, match="is missing"):
        directory.ensure("cohort/2028-01-01")
    assert not (directory.path / "cohort" / "2028-01-01").exists()
