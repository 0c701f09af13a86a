"""The keys directory: one key a name, whoever asks first; destroyed means gone for ever."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from archive import keys, seal
from archive.config import Config
from archive.errors import (
    ArchiveError,
    KeyDestroyed,
    KeyMissing,
    RootKeyUnusable,
    SealBroken,
)
from archive.keyring.roots import FileRootKey
from archive.keys import KeysDirectory

NAME = "cohort/2027-11-24"
ROOT = Path(__file__).parent.parent


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def root() -> FileRootKey:
    return FileRootKey(os.urandom(32))


@pytest.fixture
def directory(tmp_path: Path, root: FileRootKey) -> KeysDirectory:
    return KeysDirectory(tmp_path / "keys", root=root, cache_s=60)


def config(tmp_path: Path) -> Config:
    return Config.from_env({"ARCHIVE_HOME": str(tmp_path / "home")})


def refused(action: Callable[[], object], kind: type[ArchiveError]) -> str:
    with pytest.raises(kind) as caught:
        action()
    return caught.value.message


def run(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


# -- making and getting ----------------------------------------------------------------


def test_a_key_is_made_once_and_stays(directory: KeysDirectory, root: FileRootKey) -> None:
    made = directory.ensure(NAME)
    assert len(made) == 32
    assert directory.ensure(NAME) == directory.get(NAME) == made
    assert KeysDirectory(directory.path, root=root, cache_s=0).get(NAME) == made
    assert directory.ensure("cohort/2027-11-25") != made


def test_a_key_that_was_never_made_is_missing(directory: KeysDirectory) -> None:
    assert refused(lambda: directory.get(NAME), KeyMissing) == (
        "Key cohort/2027-11-24 is not in the keys directory."
    )


def test_a_key_file_holds_no_key_in_the_clear_and_is_the_owners_alone(
    directory: KeysDirectory,
) -> None:
    made = directory.ensure(NAME)
    file = directory.path / NAME
    raw = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == directory.path.stat().st_mode & 0o777 == 0o700
    assert made not in raw and base64.b64encode(made) not in raw and made.hex().encode() not in raw
    fields = json.loads(raw)
    assert (fields["v"], fields["name"], fields["root"]) == (1, NAME, directory.root.id)
    assert set(fields) == {"v", "name", "root", "wrapped"}


def test_nothing_else_is_left_in_the_folder(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    assert [p.name for p in (directory.path / "cohort").iterdir()] == ["2027-11-24"]


def test_a_name_cannot_lead_elsewhere(directory: KeysDirectory) -> None:
    for name in (
        "../x",
        "cohort/../../x",
        "cohort/a/b",
        "cohort",
        "cohort/",
        "other/x",
        "cohort/.new-1",
        "cohort/x.destroyed",
        "cohort/x\n",
        "",
    ):
        for verb in (
            directory.ensure,
            directory.get,
            directory.destroy,
            directory.is_destroyed,
        ):
            with pytest.raises(ValueError, match="not a name of a key"):
                verb(name)


def test_names_are_those_of_keys_that_exist(directory: KeysDirectory) -> None:
    for name in (NAME, "cohort/2026-01-01", "index/2026-11.3", "case/2026-00001"):
        directory.ensure(name)
    directory.destroy("cohort/2026-01-01")
    (directory.path / "cohort" / ".new-0011").write_bytes(b"")
    assert directory.names("cohort") == [NAME]
    assert directory.names("index") == ["index/2026-11.3"]
    assert directory.names("installation") == []
    with pytest.raises(ValueError, match="no folder of keys"):
        directory.names("elsewhere")


# -- memory ----------------------------------------------------------------------------


def test_a_key_removed_by_hand_is_missing_at_once_and_no_other(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    other = directory.ensure("cohort/2027-11-25")
    (directory.path / NAME).unlink()
    refused(lambda: directory.get(NAME), KeyMissing)
    assert directory.get("cohort/2027-11-25") == other


def test_a_key_replaced_on_disk_is_noticed_at_once(
    directory: KeysDirectory, root: FileRootKey
) -> None:
    made = directory.ensure(NAME)
    kept = (directory.path / NAME).read_bytes()
    (directory.path / NAME).unlink()
    replaced = KeysDirectory(directory.path, root=root, cache_s=0).ensure(NAME)
    assert directory.get(NAME) == replaced != made
    (directory.path / NAME).write_bytes(kept)
    assert directory.get(NAME) == made


def test_a_key_is_read_again_when_its_time_in_memory_is_over(
    tmp_path: Path, root: FileRootKey
) -> None:
    clock, unwrapped = Clock(), []

    class Counting(FileRootKey):
        def unwrap(self, ctx: bytes, wrapped: bytes) -> bytes:
            unwrapped.append(ctx)
            return super().unwrap(ctx, wrapped)

    counting = Counting(os.urandom(32))
    directory = KeysDirectory(tmp_path, root=counting, cache_s=5, monotonic=clock)
    directory.ensure(NAME)
    directory.get(NAME)
    assert len(unwrapped) == 1
    clock.now += 4.9
    directory.get(NAME)
    assert len(unwrapped) == 1
    clock.now += 0.1
    directory.get(NAME)
    assert len(unwrapped) == 2


def test_a_process_that_asks_no_more_forgets_its_keys(tmp_path: Path, root: FileRootKey) -> None:
    directory = KeysDirectory(tmp_path, root=root, cache_s=0.1)
    directory.ensure(NAME)
    assert len(directory._cache._entries) == 1
    deadline = time.monotonic() + 5
    while directory._cache._entries and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not directory._cache._entries


def test_without_a_cache_nothing_is_kept(tmp_path: Path, root: FileRootKey) -> None:
    directory = KeysDirectory(tmp_path, root=root, cache_s=0)
    directory.ensure(NAME)
    assert not directory._cache._entries


FORK = """
import os, sys
from pathlib import Path
from archive.keys import KeysDirectory
from archive.keyring.roots import FileRootKey
keys = KeysDirectory(Path(sys.argv[1]), root=FileRootKey(bytes(32)), cache_s=60)
made = keys.ensure("cohort/2027-11-24")
if os.fork() == 0:
    cache = keys._cache
    right = keys.get("cohort/2027-11-24") == made and cache._pid == os.getpid()
    os._exit(0 if right and cache._timer.is_alive() else 1)
print(os.wait()[1])
"""


def test_a_forked_process_has_a_memory_of_its_own(tmp_path: Path) -> None:
    output, _ = run(FORK, str(tmp_path)).communicate(timeout=30)
    assert output.strip() == "0"


# -- destroying ------------------------------------------------------------------------


def test_a_destroyed_key_is_gone_for_everyone_at_once(
    directory: KeysDirectory, root: FileRootKey
) -> None:
    other = KeysDirectory(directory.path, root=root, cache_s=60)
    directory.ensure(NAME)
    other.get(NAME)
    assert directory.destroy(NAME) is True
    for each in (directory, other):
        assert each.is_destroyed(NAME)
        assert refused(lambda each=each: each.get(NAME), KeyDestroyed) == (  # type: ignore[misc]
            "Key cohort/2027-11-24 has been destroyed."
        )
        refused(lambda each=each: each.ensure(NAME), KeyDestroyed)  # type: ignore[misc]
    assert not (directory.path / NAME).exists()


def test_destroying_twice_is_the_same_as_once(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    assert [directory.destroy(NAME) for _ in range(3)] == [True, False, False]


def test_a_name_destroyed_before_its_key_was_made_never_gets_one(directory: KeysDirectory) -> None:
    assert directory.destroy(NAME) is False
    refused(lambda: directory.ensure(NAME), KeyDestroyed)


def test_the_bytes_of_a_destroyed_key_are_written_over(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    file = directory.path / NAME
    before = file.read_bytes()
    with file.open("rb") as still_open:
        directory.destroy(NAME)
        after = still_open.read()
    assert after == bytes(len(before))


def test_the_tombstone_says_nothing_but_the_name(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    directory.destroy(NAME)
    found = {p.name: p.read_bytes() for p in (directory.path / "cohort").iterdir()}
    assert found == {"2027-11-24.destroyed": b'{"name":"cohort/2027-11-24","v":1}\n'}


def test_a_destruction_that_broke_off_is_finished_by_the_next(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    (directory.path / f"{NAME}.destroyed").write_bytes(b"")  # a crash right after the tombstone
    refused(lambda: directory.get(NAME), KeyDestroyed)
    assert directory.names("cohort") == [NAME]
    assert directory.destroy(NAME) is True
    assert directory.names("cohort") == []


def test_a_key_made_while_it_is_destroyed_does_not_survive(
    tmp_path: Path, root: FileRootKey
) -> None:
    class Slow(FileRootKey):
        """Somebody else destroys the name while the new key is being wrapped."""

        def wrap(self, ctx: bytes, secret: bytes) -> bytes:
            KeysDirectory(tmp_path, root=root, cache_s=0).destroy(NAME)
            return super().wrap(ctx, secret)

    directory = KeysDirectory(tmp_path, root=Slow(os.urandom(32)), cache_s=60)
    refused(lambda: directory.ensure(NAME), KeyDestroyed)
    assert not (tmp_path / NAME).exists()


# -- several processes, and crashes ----------------------------------------------------

RACE = """
import sys, hashlib, time
from pathlib import Path
from archive.keys import KeysDirectory
from archive.keyring.roots import FileRootKey
path, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
digest = hashlib.sha256()
for number in range(60):
    # Opened anew each time: opening cleans up, also what the other is just writing.
    keys = KeysDirectory(path, root=FileRootKey(bytes(32)), cache_s=60)
    digest.update(keys.ensure(f"cohort/{number}"))
print(digest.hexdigest())
"""


def test_processes_that_make_the_same_keys_at_once_get_the_same_keys(tmp_path: Path) -> None:
    start = str(time.time() + 1.0)
    racers = [run(RACE, str(tmp_path), start) for _ in range(4)]
    digests = {racer.communicate(timeout=60)[0] for racer in racers}
    assert all(racer.returncode == 0 for racer in racers)
    assert len(digests) == 1
    assert len(list((tmp_path / "cohort").iterdir())) == 60


BUSY = """
import sys, itertools
from pathlib import Path
from archive.keys import KeysDirectory
from archive.keyring.roots import FileRootKey
keys = KeysDirectory(Path(sys.argv[1]), root=FileRootKey(bytes(32)), cache_s=60)
print("ready", flush=True)
for number in itertools.count():
    print(number, keys.ensure(f"cohort/{sys.argv[2]}-{number}").hex(), flush=True)
    if number % 3 == 2:
        keys.destroy(f"cohort/{sys.argv[2]}-{number}")
"""


def test_a_process_killed_at_any_moment_leaves_a_usable_directory(tmp_path: Path) -> None:
    for number in range(5):
        busy = run(BUSY, str(tmp_path), str(number))
        assert busy.stdout is not None
        assert busy.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.013 * number)
        busy.send_signal(signal.SIGKILL)
        told = [line.split() for line in busy.stdout if line.endswith("\n")]
        busy.stdout.close()
        busy.wait(timeout=10)
        directory = KeysDirectory(tmp_path, root=FileRootKey(bytes(32)), cache_s=0)
        assert not list((tmp_path / "cohort").glob(".new-*"))
        for made, key in told:
            name = f"cohort/{number}-{made}"
            if not directory.is_destroyed(name):
                assert directory.ensure(name).hex() == key


def test_what_a_crash_left_behind_is_removed_at_the_next_open(
    directory: KeysDirectory, root: FileRootKey
) -> None:
    made = directory.ensure(NAME)
    folder = directory.path / "cohort"
    (folder / ".new-cut").write_bytes(b'{"v":1,')
    os.link(folder / "2027-11-24", folder / ".new-second-name")  # killed right after the link
    again = KeysDirectory(directory.path, root=root, cache_s=0)
    assert [p.name for p in folder.iterdir()] == ["2027-11-24"]
    assert again.get(NAME) == made


def test_a_folder_that_has_gone_is_not_made_anew(directory: KeysDirectory) -> None:
    (directory.path / "cohort").rmdir()  # a volume that is not mounted any more
    refused(lambda: directory.ensure(NAME), KeyMissing)
    assert not (directory.path / "cohort").exists()


# -- damage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:40],
        lambda raw: raw.replace(b'"v":1', b'"v":2'),
        lambda raw: raw.replace(b"2027-11-24", b"2027-11-25"),
        lambda raw: raw[:-30] + b"AAAA" + raw[-26:],
        lambda raw: b"[]",
        lambda raw: b"\xff\xfe",
        lambda raw: bytes(len(raw)),
    ],
)
def test_a_damaged_key_file_spoils_that_key_alone(
    directory: KeysDirectory, damage: Callable[[bytes], bytes]
) -> None:
    directory.ensure(NAME)
    other = directory.ensure("cohort/2027-11-30")
    file = directory.path / NAME
    file.write_bytes(damage(file.read_bytes()))
    assert refused(lambda: directory.get(NAME), SealBroken) == (
        "Sealed bytes do not open: key file."
    )
    assert directory.get("cohort/2027-11-30") == other


def test_a_key_file_under_another_name_does_not_open(directory: KeysDirectory) -> None:
    directory.ensure(NAME)
    file, other = directory.path / NAME, directory.path / "cohort" / "2027-11-25"
    other.write_bytes(file.read_bytes().replace(b"2027-11-24", b"2027-11-25"))
    refused(lambda: directory.get("cohort/2027-11-25"), SealBroken)


# -- root keys -------------------------------------------------------------------------


def test_a_root_key_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = FileRootKey.create(tmp_path / "root.key")
    read = FileRootKey.load(tmp_path / "root.key")
    assert read.id == made.id
    assert read.unwrap(b"c", made.wrap(b"c", b"secret")) == b"secret"
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["root.key"]


def test_a_root_key_never_shows_itself(tmp_path: Path) -> None:
    made = FileRootKey.create(tmp_path / "root.key")
    secret = json.loads((tmp_path / "root.key").read_text())["key"]
    assert secret not in repr(made)
    assert repr(made) == f"FileRootKey({made.id})"


def test_a_root_key_file_is_never_written_over(tmp_path: Path) -> None:
    FileRootKey.create(tmp_path / "root.key")
    before = (tmp_path / "root.key").read_bytes()
    message = refused(lambda: FileRootKey.create(tmp_path / "root.key"), RootKeyUnusable)
    assert "exists already" in message
    assert (tmp_path / "root.key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_root_key_that_others_may_read_is_refused_with_the_remedy(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "root.key"
    FileRootKey.create(path)
    path.chmod(mode)
    message = refused(lambda: FileRootKey.load(path), RootKeyUnusable)
    assert message.endswith(f"(mode {mode:04o}). Run: chmod 600 {path}.")


@pytest.mark.parametrize("change", ["key", "id", "cut", "short", "empty", "list"])
def test_a_damaged_root_key_file_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "root.key"
    FileRootKey.create(path)
    fields = json.loads(path.read_text())
    changed = {
        "key": json.dumps(fields | {"key": base64.b64encode(bytes(32)).decode()}),
        "id": json.dumps(fields | {"id": "file-0000000000000000"}),
        "cut": path.read_text()[:50],
        "short": json.dumps(fields | {"key": "AAAA"}),
        "empty": "",
        "list": "[]",
    }
    path.write_text(changed[change])
    message = refused(lambda: FileRootKey.load(path), RootKeyUnusable)
    assert "is damaged or not a root key" in message


def test_a_missing_root_key_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(lambda: FileRootKey.load(tmp_path / "x"), RootKeyUnusable)


def test_another_root_names_the_one_that_is_needed_and_harms_nothing(
    directory: KeysDirectory, root: FileRootKey
) -> None:
    made = directory.ensure(NAME)
    before = (directory.path / NAME).read_bytes()
    wrong = KeysDirectory(directory.path, root=FileRootKey(os.urandom(32)), cache_s=60)
    for verb in (wrong.get, wrong.ensure):
        message = refused(lambda verb=verb: verb(NAME), RootKeyUnusable)  # type: ignore[misc]
        assert root.id in message
    assert (directory.path / NAME).read_bytes() == before
    assert directory.get(NAME) == made


# -- opening by the settings -----------------------------------------------------------


def test_the_first_start_makes_private_folders_and_a_root_key(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        opened = keys.open_keys(config(tmp_path))
    finally:
        os.umask(old)
    assert opened.path == tmp_path / "home" / "keys"
    for folder in (opened.path.parent, opened.path, opened.path / "cohort"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (opened.path / "root.key").stat().st_mode & 0o777 == 0o600


def test_a_later_start_finds_the_same_keys(tmp_path: Path) -> None:
    made = keys.open_keys(config(tmp_path)).ensure(NAME)
    assert keys.open_keys(config(tmp_path)).get(NAME) == made


def test_opening_with_the_root_of_another_archive_is_refused(tmp_path: Path) -> None:
    opened = keys.open_keys(config(tmp_path))
    opened.ensure(NAME)
    (opened.path / "root.key").unlink()
    FileRootKey.create(opened.path / "root.key")
    message = refused(lambda: keys.open_keys(config(tmp_path)), RootKeyUnusable)
    assert opened.root.id in message


def test_a_lost_root_key_is_not_quietly_replaced(tmp_path: Path) -> None:
    opened = keys.open_keys(config(tmp_path))
    opened.ensure(NAME)
    (opened.path / "root.key").unlink()
    message = refused(lambda: keys.open_keys(config(tmp_path)), RootKeyUnusable)
    assert "is missing but keys made under it are there" in message
    assert not (opened.path / "root.key").exists()


def test_a_damaged_key_does_not_keep_the_archive_from_starting(tmp_path: Path) -> None:
    opened = keys.open_keys(config(tmp_path))
    for name in (NAME, "installation/pages", "installation/reference"):
        opened.ensure(name)
    (opened.path / "installation" / "pages").write_bytes(b"")
    assert keys.open_keys(config(tmp_path)).get(NAME) == opened.get(NAME)


FIRST_START = """
import sys, time
from archive.config import Config
from archive.keys import open_keys
time.sleep(max(0, float(sys.argv[2]) - time.time()))
print(open_keys(Config.from_env({"ARCHIVE_HOME": sys.argv[1]})).root.id)
"""


def test_processes_at_their_first_start_agree_on_one_root_key(tmp_path: Path) -> None:
    start = str(time.time() + 1.0)
    starters = [run(FIRST_START, str(tmp_path / "home"), start) for _ in range(4)]
    assert len({starter.communicate(timeout=60)[0] for starter in starters}) == 1
    assert all(starter.returncode == 0 for starter in starters)


# -- data keys and references ----------------------------------------------------------


def test_a_data_key_unwraps_for_its_recording_and_cohort_only() -> None:
    cohort_key, data_key, id, day = os.urandom(32), keys.new_data_key(), uuid4(), date(2027, 11, 24)
    wrapped = keys.wrap_data_key(cohort_key, id, day, data_key)
    assert keys.unwrap_data_key(cohort_key, id, day, wrapped) == data_key
    for other in (
        (os.urandom(32), id, day),
        (cohort_key, uuid4(), day),
        (cohort_key, id, date(2027, 11, 25)),
    ):
        with pytest.raises(SealBroken) as caught:
            keys.unwrap_data_key(*other, wrapped)
        assert caught.value.facts["reason"] == "commitment"


def test_data_keys_are_fresh() -> None:
    assert len({keys.new_data_key() for _ in range(100)}) == 100


def test_a_reference_is_known_again_and_no_other_is_taken_for_it() -> None:
    key = bytes(32)
    known = keys.reference_digest(key, "pbx", "1")
    assert known == keys.reference_digest(key, "pbx", "1")
    assert len(known) == 32
    others = [("pbx1", ""), ("pb", "x1"), ("pbx", "2"), ("pbx", "1 "), ("pbx", "\ud800")]
    assert known not in [keys.reference_digest(key, *other) for other in others]
    assert known != keys.reference_digest(bytes(31) + b"\1", "pbx", "1")


def test_the_digest_of_a_reference_stays_the_same_across_versions() -> None:
    digest = keys.reference_digest(bytes(range(32)), "pbx", "2026-11-24/000001")
    assert digest.hex() == ("c94ed957d2c8b794feb26cd1784f7b17223b46f36fcb9c95f989b104d660bd1a")
    assert seal.context("reference", "pbx", "x").startswith(b"\0\0\0\x11contact-archive/1")
