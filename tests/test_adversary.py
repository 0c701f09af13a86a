"""Somebody who ever got hold of everything, and tries it all: every key on every wrapped key.

What is promised is tried here with the project's own code, on the bytes as they lie on the disk:
of the database and the object store stopped, and as they lie while both run. Whatever the
scanner misses would make the promise look better than it is, so the same scanner has to open
what is alive from each of the sources alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from archive import keys as keyring
from archive import retention, seal, worker
from archive.archive import Archive
from archive.backups import backup, dumping
from archive.config import Config
from archive.db import migrate, open_engine
from archive.embedded import Parts
from archive.errors import ArchiveError, SealBroken
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import open_keys
from archive.model import Query
from archive.search import open_index
from archive.storage import open_store
from tests.clock import Clock
from tests.media import wav
from tests.test_backup import _Keys, back_up
from tests.test_holds import CASE, HANDLER, hold
from tests.test_story import READER, deliver

WRAPPED = 104  # bytes of a sealed data key
IN_A_ROW = re.compile(b"\xd3(?=(.{%d}))" % WRAPPED, re.DOTALL)  # bytea with a short header
IN_A_DUMP = re.compile(rb"\\\\x([0-9a-f]{%d})(?![0-9a-f])" % (2 * WRAPPED))
OBJECT = seal.MAGIC + bytes((seal.FORMAT_VERSION, 0, 0, 0))
LEAST_VALUES = 55  # different byte values in what can be sealed; random bytes have about 85
Keys = dict[str, bytes]


@dataclass
class Loot:
    """What was found: wrapped keys from anywhere, and objects as they were stored."""

    wrapped: set[bytes] = field(default_factory=set)
    objects: list[bytes] = field(default_factory=list)

    def __or__(self, other: Loot) -> Loot:
        return Loot(self.wrapped | other.wrapped, self.objects + other.objects)

    def object(self, content: bytes) -> None:
        """An object, or bytes that go on after one: its envelope and what follows."""
        try:
            envelope, _ = seal.Envelope.parse(content)
        except SealBroken:
            return
        self.wrapped.add(envelope.wrapped_key)
        self.objects.append(content)


def from_raw(folder: Path) -> Loot:
    """Everything in the raw files of a folder, whatever program wrote them."""
    loot = Loot()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        try:
            raw = path.read_bytes()
        except OSError:
            continue  # vanished while everything runs
        at = raw.find(OBJECT)
        while at >= 0:
            loot.object(raw[at : at + 256 * 1024])
            at = raw.find(OBJECT, at + 1)
        loot.wrapped |= {
            found[1] for found in IN_A_ROW.finditer(raw) if len(set(found[1])) >= LEAST_VALUES
        }
    return loot


def from_bucket(copy: Path) -> Loot:
    loot = Loot()
    for path in copy.rglob("*"):
        if path.is_file():
            loot.object(path.read_bytes())
    return loot


def from_dumps(folder: Path) -> Loot:
    """Every value of the length of a wrapped key in any table of any dump."""
    loot = Loot()
    for path in sorted(folder.rglob(backup.DUMP)):
        command = [str(dumping._programs() / "pg_restore"), "--data-only", "--file=-", str(path)]
        told = subprocess.run(command, capture_output=True, check=True).stdout
        loot.wrapped |= {bytes.fromhex(found[1].decode()) for found in IN_A_DUMP.finditer(told)}
    return loot


def opens(id: UUID, days: set[date], loot: Loot, key_sets: list[Keys]) -> bool:
    """Whether any key on any wrapped key gives the data key of the recording, on any day."""
    return any(True for _ in data_keys(id, days, loot, key_sets))


def plays(id: UUID, days: set[date], loot: Loot, key_sets: list[Keys]) -> bool:
    """Whether it opens and what was said comes out of one of the objects, byte for byte."""
    wanted = wav(0.5)
    stream = seal.sealed_length(len(wanted))
    for key in data_keys(id, days, loot, key_sets):
        for content in loot.objects:
            envelope, start = seal.Envelope.parse(content)
            if (envelope.id, envelope.rendition) != (id, "original"):
                continue
            ctx = seal.content_context(id, "original", 1)
            try:
                if seal.unseal(key, ctx, content[start : start + stream]) == wanted:
                    return True
            except SealBroken:
                continue
    return False


def data_keys(id: UUID, days: set[date], loot: Loot, key_sets: list[Keys]) -> Iterator[bytes]:
    keys = {key for held in key_sets for key in held.values()}
    for day in days:
        for key in keys:
            for wrapped in loot.wrapped:
                try:
                    yield keyring.unwrap_data_key(key, id, day, wrapped)
                except SealBroken:
                    continue


def key_files(folder: Path) -> Keys:
    """Every key that the files and the root key open today."""
    opened = open_keys(Config.from_env({"ARCHIVE_KEYS_DIR": str(folder)}))
    return {name: opened.get(name) for name in opened.everything()}


def key_backups(folder: Path, private: PrivateKey) -> list[Keys]:
    """Every key of every key backup in the folder, opened by the recovery key."""
    return [KeyBackup.read(path).open(private).keys for path in sorted(folder.rglob("*.sealed"))]


@contextmanager
def running(home: Path, clock: Clock) -> Iterator[Archive]:
    """An archive over parts of its own, whose raw folders can be had."""
    with Parts(home, say=lambda words: None) as parts:
        config = Config(
            home=home,
            keys_dir=home.parent / "keys",
            database_url=parts.database_url,
            store_url=parts.store_url,
            store_access_key=parts.access_key,
            store_secret_key=parts.secret_key,
            key_cache_s=0,
        )
        migrate(config.database_url)
        engine = open_engine(config.database_url, pool_size=6)
        keys = open_keys(config)
        with closing(open_store(config)) as store:
            index = open_index(home / "index", keys)
            with closing(index):
                yield Archive(
                    config=config,
                    engine=engine,
                    store=store,
                    keys=keys,
                    index=index,
                    now=clock,
                    database_now=lambda connection: clock.witness,
                    wait=lambda seconds: None,
                )
        engine.dispose()


class Scene:
    """The archive, the backups, and everything that the adversary took in the meantime."""

    def __init__(self, tmp_path: Path, home: Path, clock: Clock) -> None:
        self.home, self.clock = home, clock
        self.folder, self.bucket = tmp_path / "backups", tmp_path / "bucket"
        self.dumps, self.indexes = tmp_path / "dumps", tmp_path / "indexes"
        self.offline = tmp_path / "offline.key"
        self.raw = Loot()  # of the database's and the store's folders, each time

    def take(self, archive: Archive) -> None:
        """A copy of every dump, of the bucket, of the index, and of what lies on the disks."""
        shutil.copytree(self.folder / backup.CATALOGUE, self.dumps, dirs_exist_ok=True)
        for stored in archive.store.list(""):
            path = backup.object_path(self.bucket, stored.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(archive.store.stream(stored.key)))
        number = len(list(self.indexes.glob("*")))
        shutil.copytree(self.home / "index", self.indexes / str(number))
        self.take_disks()

    def take_disks(self) -> None:
        self.raw |= from_raw(self.home / "postgres") | from_raw(self.home / "seaweedfs")

    @property
    def loot(self) -> Loot:
        return self.raw | from_bucket(self.bucket) | from_dumps(self.dumps)

    def found_by(self, keys: Keys, copy: Path) -> set[UUID]:
        """What any copy of the search index still answers, with these keys."""
        found: set[UUID] = set()
        for number, path in enumerate(sorted(self.indexes.glob("*"))):
            shutil.copytree(path, copy / str(number))
            try:
                with closing(open_index(copy / str(number), _Keys(keys))) as index:
                    found |= {hit.id for hit in index.find(Query(customer="1234567"), limit=20)}
            except ArchiveError:
                continue
        return found


@pytest.mark.timeout(600)
def test_with_everything_ever_copied_nothing_opens_that_expired_was_private_or_was_released(
    tmp_path: Path, home: Path, clock: Clock
) -> None:
    home = home / "home"
    scene = Scene(tmp_path, home, clock)
    days: dict[UUID, set[date]] = {}

    def keys_of_today() -> Keys:
        return key_files(home.parent / "keys")

    with running(home, clock) as archive:
        KeyBackups(archive.keys, now=clock, keep_days=35).make_recovery_key(scene.offline)
        private = PrivateKey.load(scene.offline)
        archive.open_case(HANDLER, CASE)
        dying = deliver(archive, "1", days_ago=364).id
        living = deliver(archive, "2", days_ago=10).id
        called = deliver(archive, "3", days_ago=1).id  # a private call
        held = deliver(archive, "4", days_ago=364, case=CASE).id
        placed = hold(archive, held)
        worker.until_idle(archive)
        for id, contact in ((dying, 364), (living, 10), (called, 1), (held, 364)):
            expires = retention.expires_at(clock() - timedelta(days=contact))
            days[id] = {retention.cohort_of(expires)}
        back_up(archive, scene.folder)
        scene.take(archive)
        old_key_backups = key_backups(scene.folder, private)
    # Stopped: what was in memory is on the disk now, the log of the database included.
    before = from_raw(home / "postgres"), from_raw(home / "seaweedfs")
    scene.take_disks()

    def plays_from(loot: Loot, id: UUID, *key_sets: Keys) -> bool:
        return plays(id, days[id], loot, list(key_sets))

    # The same code, that evening: it opens each of them, from each of the sources alone.
    evening = keys_of_today()
    for id in (dying, living, called, held):
        assert opens(id, days[id], Loot(before[0].wrapped), [evening]), "raw database"
        assert plays_from(before[1], id, evening), "raw store"
        assert plays_from(from_bucket(scene.bucket), id, evening), "bucket"
        assert opens(id, days[id], from_dumps(scene.dumps), [evening]), "dump"
    assert scene.found_by(evening, tmp_path / "index-1") == {dying, living, called, held}

    clock.advance(timedelta(days=1, hours=13))
    with running(home, clock) as archive:
        assert (done := archive.expire())["destroyed"] == 1 and done["held"] == 1
        back_up(archive, scene.folder)
        scene.take(archive)
    scene.take_disks()
    # Today's key files and root key, and the recovery key with what it opens of today.
    today = keys_of_today()
    made_since = key_backups(scene.folder, private)[-1]
    everything = scene.loot
    assert not opens(dying, days[dying], everything, [today, made_since])
    for id in (living, called, held):
        assert plays_from(everything, id, today), id
    assert scene.found_by(today, tmp_path / "index-2") <= {living, called}
    # What is promised as the exception, and told by `archive keys status`.
    assert plays_from(everything, dying, *old_key_backups)

    with running(home, clock) as archive:
        erased = archive.erase(READER, called, reason="private")
        archive.release(HANDLER, held, placed.hold.id)  # and the case stays open
        back_up(archive, scene.folder)
        clock.advance(timedelta(days=8))
        assert archive.expire()["destroyed"] == 2
        back_up(archive, scene.folder)
        for _ in range(34):
            clock.advance(timedelta(days=1))
            if clock().day % 7 == 0 or clock().date() >= erased.backups_until:
                back_up(archive, scene.folder)
        clock.advance(timedelta(days=1))
        back_up(archive, scene.folder)
        # Every backup that still exists, the bucket as it is, and today's keys.
        late = Scene(tmp_path / "late", home, clock)
        late.folder = scene.folder
        late.take(archive)
        names = [made.folder.name for made in backup.made(scene.folder)]
    late.take_disks()
    assert 2 < len(names) < 20
    still = from_bucket(late.bucket) | from_dumps(scene.folder)
    still |= from_bucket(scene.folder / backup.OBJECTS)
    holds_all = [keys_of_today(), *key_backups(scene.folder, private)]
    for id in (dying, called, held):
        assert not opens(id, days[id], still, holds_all), id
    assert plays_from(still, living, *holds_all)
    # What had a key of its own does not open from the disks either, nor with all that was ever
    # copied: its key is in no backup any more.
    for id in (dying, held):
        assert not opens(id, days[id], scene.loot | late.loot, holds_all), id
    assert plays_from(late.raw, living, *holds_all)


def test_the_scanner_knows_what_a_wrapped_key_looks_like() -> None:
    id, day, key = uuid4(), date(2027, 1, 1), keyring.new_data_key()
    wrapped = keyring.wrap_data_key(key, id, day, keyring.new_data_key())
    assert len(wrapped) == WRAPPED
    assert [m[1] for m in IN_A_ROW.finditer(b"\0" * 9 + b"\xd3" + wrapped + b"\1" * 300)][:1] == [
        wrapped
    ]
