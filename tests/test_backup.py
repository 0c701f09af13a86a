"""Backups, and what becomes of an archive that is restored from one."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from archive import catalogue, checkup, worker
from archive import keys as keyring
from archive.archive import SYSTEM, Archive, Receipt
from archive.assembly import Assembly, utc_now
from archive.backups import backup, dumping, restoring
from archive.backups.backup import Made, Means
from archive.config import Config
from archive.db import open_engine, transaction
from archive.erasure import certificates
from archive.errors import (
    ArchiveError,
    BackupUnusable,
    KeyBackupUnusable,
    KeyDestroyed,
    KeyMissing,
    NotEmpty,
    NotFound,
    ObjectMissing,
    RecoveryKeyMissing,
    RestoreUnfinished,
    SealBroken,
)
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import open_keys
from archive.model import Query
from archive.search import open_index
from archive.storage import Store, open_store
from archive.vault import Vault
from tests.clock import Clock
from tests.media import mail, wav
from tests.owner import as_owner
from tests.running import environment_of
from tests.test_story import READER, deliver, read

ROOT = Path(__file__).parent.parent


@pytest.fixture
def private(archive: Archive, tmp_path: Path, clock: Clock) -> PrivateKey:
    KeyBackups(archive.keys, now=clock, keep_days=35).make_recovery_key(tmp_path / "offline.key")
    return PrivateKey.load(tmp_path / "offline.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def means(archive: Archive) -> Means:
    return Means(archive.config, archive.engine, archive.store, archive.keys, now=archive.now)


def back_up(archive: Archive, folder: Path, **more: Any) -> Made:
    return backup.run(means(archive), folder, **more)


@dataclass(frozen=True)
class Elsewhere:
    """An installation with nothing in it: another home, database and bucket."""

    config: Config
    clock: Clock

    @contextmanager
    def archive(self, *, restoring: bool = False) -> Iterator[Archive]:
        with ExitStack() as stack:
            engine = open_engine(self.config.database_url, pool_size=5)
            stack.callback(engine.dispose)
            store = stack.enter_context(closing(open_store(self.config)))
            keys = open_keys(self.config, restoring=restoring)
            index = stack.enter_context(closing(open_index(self.config.home / "index", keys)))
            yield Archive(
                config=self.config,
                engine=engine,
                store=store,
                keys=keys,
                index=index,
                now=self.clock,
                database_now=lambda connection: self.clock.witness,
                wait=lambda seconds: None,
            )

    @contextmanager
    def restored(
        self, folder: Path, private: PrivateKey, **more: Any
    ) -> Iterator[tuple[Archive, restoring.Outcome]]:
        with self.archive(restoring=True) as archive:
            outcome = restoring.restore(archive, folder, private, **more)
        with self.archive() as archive:
            yield archive, outcome


@pytest.fixture
def elsewhere(
    config: Config, new_database: Callable[..., str], clock: Clock, tmp_path: Path
) -> Iterator[Elsewhere]:
    home = tmp_path / "elsewhere"
    made = replace(
        config,
        home=home,
        keys_dir=home / "keys",
        database_url=new_database(),
        database_owner_url="",
        store_url=config.store_url.replace("/tests?", "/restored?"),
    )
    yield Elsewhere(made, clock)
    with closing(open_store(made)) as store:
        store.delete(each.key for each in list(store.list("")))


def state(archive: Archive) -> dict[str, Any]:
    """What there is to see of an archive: content of every recording, objects, dead keys."""
    with transaction(archive.engine) as connection:
        rows = catalogue.walk(connection, after=None, limit=1000)
    return {
        "recordings": {r.id: archive.vault.read_all(r) for r in rows},
        "objects": sorted(o.key for o in archive.store.list("recordings/")),
        "closed": archive.keys.destroyed("cohort"),
        "found": sorted(h.id for h in archive.index.find(Query(customer="1234567"), limit=100)),
    }


# -- must show: everything destroyed, and restored -------------------------------------


def test_home_and_keys_destroyed_everything_acknowledged_before_the_backup_is_served_again(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    calls = [deliver(archive, str(n), days_ago=n * 30 + 1) for n in range(4)]
    email = archive.receive_email(
        SYSTEM, io.BytesIO(mail()), source="pbx", mailbox="a@example.com", direction="inbound"
    )
    worker.until_idle(archive)
    waiting = deliver(archive, "waiting")  # neither described nor indexed yet
    back_up(archive, folder)
    before = state(archive)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole
        assert outcome.recordings == 6
        for receipt in (*calls, waiting):
            assert read(restored, receipt) == wav(0.5)
        assert read(restored, email) == mail()
        after = state(restored)
        assert after["recordings"] == before["recordings"]
        assert set(after["found"]) >= set(before["found"]) - {email.id}
        again = deliver(restored, "0", days_ago=1)  # references are known again
        assert not again.created and again.id == calls[0].id
        worker.until_idle(restored)
        assert {v.id for v in restored.find(READER, Query(customer="1234567")).items} == {
            receipt.id for receipt in (*calls, waiting)
        }
        assert restored.keys.root.id != archive.keys.root.id


def test_what_ended_since_the_backup_stays_dead_after_a_restore(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    ending, living = deliver(archive, "1", days_ago=360), deliver(archive, "2", days_ago=10)
    worker.until_idle(archive)
    back_up(archive, folder)
    with transaction(archive.engine) as connection:
        cohort = catalogue.get(connection, ending.id).cohort  # type: ignore[union-attr]
    clock.advance(timedelta(days=10))
    # The archive is lost before its night: nothing but the date says that the recording ended.
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole and outcome.ended == 1
        with pytest.raises(NotFound):
            read(restored, ending)
        with pytest.raises(KeyDestroyed):
            restored.keys.get(f"cohort/{cohort}")
        assert read(restored, living) == wav(0.5)
        assert [str(living.id) in o.key for o in restored.store.list("recordings/")].count(
            False
        ) == 0
        assert [h.id for h in restored.index.find(Query(customer="1234567"), limit=9)] == [
            living.id
        ]
        assert certificates.verify_all(restored.vault, restored.engine)[1] == []


def test_an_old_dump_joined_with_todays_keys_and_objects_revives_nothing_and_loses_nothing(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    ending, private_call = deliver(archive, "1", days_ago=360), deliver(archive, "2")
    living = deliver(archive, "3", days_ago=20)
    worker.until_idle(archive)
    old = back_up(archive, folder)
    clock.advance(timedelta(days=8))
    archive.erase(READER, private_call.id, reason="private")
    archive.correct(READER, living.id, {"agent": "Aino", "customer_number": "7654321"})
    done = archive.expire()
    assert done["destroyed"] == 2
    later = deliver(archive, "4")
    worker.until_idle(archive)
    back_up(archive, folder)
    with elsewhere.restored(folder, private, dump=old.folder) as (restored, outcome):
        assert outcome.whole
        assert (outcome.added, outcome.updated, outcome.recordings) == (1, 1, 2)
        for dead in (ending, private_call):
            with pytest.raises(NotFound):
                read(restored, dead)
        for alive in (living, later):
            assert read(restored, alive) == wav(0.5)
        worker.until_idle(restored)
        found = restored.find(READER, Query(customer="7654321")).items
        assert [view.id for view in found] == [living.id]
        assert found[0].descriptor.agent == "Aino"
        runs = certificates.verify_all(restored.vault, restored.engine)
        assert runs[0] >= 2 and runs[1] == []
        assert archive.expire()["failed"] == []


def test_a_recording_erased_while_the_backup_runs_does_not_come_back(
    archive: Archive, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    kept, gone = deliver(archive, "1"), deliver(archive, "2")

    def step(name: str) -> None:
        if name == "dumped":
            archive.erase(READER, gone.id, reason="private")

    back_up(archive, folder, step=step)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.ended == 1  # the journal says so
        assert outcome.whole
        with pytest.raises(NotFound):
            read(restored, gone)
        assert read(restored, kept) == wav(0.5)


def test_a_backup_made_while_recordings_come_in_is_whole(
    archive: Archive, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    acknowledged: list[Receipt] = [deliver(archive, "first")]
    stop = threading.Event()
    failures: list[Exception] = []

    def send() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                acknowledged.append(deliver(archive, str(number), days_ago=number % 300 + 1))
            except Exception as error:
                failures.append(error)

    senders = [threading.Thread(target=send) for _ in range(1)]
    for sender in senders:
        sender.start()
    before: list[Receipt] = []

    def step(name: str) -> None:
        if name == "dumped":
            before.extend(acknowledged[:1])

    try:
        back_up(archive, folder, step=step)
    finally:
        stop.set()
        for sender in senders:
            sender.join(timeout=30)
    assert failures == []
    assert len(acknowledged) > 3
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole and outcome.without_object == []
        with transaction(restored.engine) as connection:
            rows = catalogue.walk(connection, after=None, limit=1000)
        assert {before[0].id} <= {row.id for row in rows} <= {a.id for a in acknowledged}
        for row in rows:
            assert restored.vault.read_all(row) == wav(0.5)


def test_a_lost_catalogue_is_restored_beside_keys_and_objects_that_live(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    ending, erased = deliver(archive, "1", days_ago=360), deliver(archive, "2")
    living = deliver(archive, "3", days_ago=20)
    worker.until_idle(archive)
    back_up(archive, folder)
    # All of this is in keys, objects and certificates, and in no dump.
    clock.advance(timedelta(days=8))
    archive.correct(READER, living.id, {"customer_number": "7654321"})
    archive.expire()
    archive.erase(READER, erased.id, reason="private")
    later = deliver(archive, "4")
    worker.until_idle(archive)
    lost = replace(
        archive.config, database_url=elsewhere.config.database_url, database_owner_url=""
    )
    there = Elsewhere(lost, clock)
    with there.archive(restoring=True) as empty:
        outcome = restoring.restore_catalogue(empty, folder)
        assert outcome.whole
        assert (outcome.added, outcome.updated, outcome.recordings) == (1, 1, 2)
        assert outcome.ended == 2 and outcome.without_object == []
    with there.archive() as restored:
        for dead in (ending, erased):
            with pytest.raises(NotFound):
                read(restored, dead)
        for alive in (living, later):
            assert read(restored, alive) == wav(0.5)
        worker.until_idle(restored)
        found = restored.find(READER, Query(customer="7654321")).items
        assert [view.id for view in found] == [living.id]
        assert certificates.verify_all(restored.vault, restored.engine)[1] == []
        with pytest.raises(NotEmpty, match="recordings in its catalogue"):
            restoring.restore_catalogue(restored, folder)


# -- the adversary ---------------------------------------------------------------------


@dataclass
class Adversary:
    """Holds what it ever got hold of, and tries all of it together with the project's code."""

    hoard: Path

    def copy(self, archive: Archive, folder: Path, *, key_backups: bool) -> None:
        """Takes a copy of the backup folder (every dump, every object), as it is now."""
        for kind in (backup.OBJECTS, backup.CATALOGUE, *([backup.KEYS] if key_backups else [])):
            shutil.copytree(folder / kind, self.hoard / kind, dirs_exist_ok=True)

    def bucket(self, store: Store) -> None:
        """Takes a copy of every object in the live store."""
        for stored in store.list(""):
            path = backup.object_path(self.hoard / backup.OBJECTS, stored.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(store.stream(stored.key)))

    def index(self, archive: Archive) -> None:
        """Takes a copy of the search index as it lies on the disk."""
        shutil.copytree(archive.config.home / "index", self.hoard / "index")

    def finds(self, keys: Any, copy: Path) -> set[UUID]:
        """What the copied index still answers with these keys."""
        shutil.copytree(self.hoard / "index", copy)
        with closing(open_index(copy, keys)) as index:
            return {hit.id for hit in index.find(Query(customer="1234567"), limit=10)}

    def opens(
        self, elsewhere: Elsewhere, keys_dir: Path, private: PrivateKey, target: UUID
    ) -> bool:
        """Whether any dump or envelope, with any key anywhere, opens the recording's content."""
        key_sets = [self._directory(keys_dir)]
        for path in sorted((self.hoard / backup.KEYS).glob("*.sealed")):
            key_sets.append(KeyBackup.read(path).open(private).keys)
        with closing(open_store(elsewhere.config)) as store:
            self._fill(store)
            vaults = [Vault(keys=_Keys(each), store=store) for each in key_sets]  # type: ignore[arg-type]
            return any(self._tries(elsewhere, vault, target) for vault in vaults)

    def _directory(self, keys_dir: Path) -> dict[str, bytes]:
        opened = open_keys(Config.from_env({"ARCHIVE_KEYS_DIR": str(keys_dir)}))
        return {name: opened.get(name) for name in opened.everything()}

    def _fill(self, store: Store) -> None:
        there = {each.key for each in store.list("")}
        for key, path in backup.object_files(self.hoard / backup.OBJECTS):
            if key not in there:
                store.put_bytes(key, path.read_bytes())

    def _tries(self, elsewhere: Elsewhere, vault: Vault, target: UUID) -> bool:
        rows = []
        for dump in sorted((self.hoard / backup.CATALOGUE).glob("*/catalogue.dump")):
            dumping.load(elsewhere.config.database_url, dump)
            engine = open_engine(elsewhere.config.database_url, pool_size=1)
            with transaction(engine) as connection:
                rows.append(catalogue.get(connection, target))
            engine.dispose()
        return any(row is not None and _opens(vault, row) for row in rows) or self._by_envelope(
            vault, target
        )

    def _by_envelope(self, vault: Vault, target: UUID) -> bool:
        from archive.rebuild import read_envelope

        for stored in vault.store.list("recordings/"):
            if str(target) not in stored.key:
                continue
            envelope, _ = read_envelope(vault, stored)
            for name in vault.keys.names("cohort"):
                try:
                    keyring.unwrap_data_key(
                        vault.keys.get(name), target, envelope.cohort, envelope.wrapped_key
                    )
                    return True
                except SealBroken:
                    continue
        return False


class _Keys:
    """Keys that somebody holds, in the place of a keys directory."""

    def __init__(self, held: Any) -> None:
        self._held = dict(held)

    def get(self, name: str) -> bytes:
        try:
            return bytes(self._held[name])
        except KeyError:
            raise KeyMissing(name=name) from None

    def names(self, folder: str) -> list[str]:
        return [name for name in self._held if name.startswith(f"{folder}/")]


def _opens(vault: Vault, row: Any) -> bool:
    try:
        return vault.read_all(row) == wav(0.5)
    except (KeyMissing, KeyDestroyed, SealBroken, ObjectMissing):
        return False


def test_whoever_holds_every_copy_ever_made_but_no_older_key_backup_opens_nothing_expired(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:
    dying, living = deliver(archive, "1", days_ago=360), deliver(archive, "2", days_ago=10)
    worker.until_idle(archive)
    adversary, owner = Adversary(tmp_path / "hoard"), Adversary(tmp_path / "everything")
    for _ in range(3):
        back_up(archive, folder)
        adversary.copy(archive, folder, key_backups=False)
        adversary.bucket(archive.store)
        owner.copy(archive, folder, key_backups=True)
        clock.advance(timedelta(days=1))
    live_keys = archive.keys.path
    adversary.index(archive)
    assert adversary.finds(archive.keys, tmp_path / "index-1") == {dying.id, living.id}
    # The same code, before that night, with the same hoard: it opens both.
    assert adversary.opens(elsewhere, live_keys, private, dying.id)
    clock.advance(timedelta(days=5))
    assert archive.expire()["destroyed"] == 1
    back_up(archive, folder)
    adversary.copy(archive, folder, key_backups=False)
    adversary.bucket(archive.store)
    newest = sorted((folder / backup.KEYS).glob("*.sealed"), key=lambda p: p.stat().st_mtime_ns)
    (adversary.hoard / backup.KEYS).mkdir()
    shutil.copy(newest[-1], adversary.hoard / backup.KEYS)
    assert list((adversary.hoard / backup.OBJECTS).rglob(f"{dying.id}.original"))
    assert not adversary.opens(elsewhere, live_keys, private, dying.id)
    assert adversary.opens(elsewhere, live_keys, private, living.id)
    assert adversary.finds(archive.keys, tmp_path / "index-2") == {living.id}
    # The exception that is promised, and that `archive keys status` names until it rolls off.
    assert owner.opens(elsewhere, live_keys, private, dying.id)
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    with_it = [each for each in backups.standing() if each.still_opens]
    assert len(with_it) == 3
    clock.advance(timedelta(days=35))
    back_up(archive, folder)
    assert [each for each in backups.standing() if each.still_opens] == []


def test_a_private_call_is_in_no_backup_that_still_exists_35_days_later(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:
    gone, kept = deliver(archive, "1"), deliver(archive, "2")
    back_up(archive, folder)
    archive.erase(READER, gone.id, reason="private")
    assert list((folder / backup.OBJECTS).rglob(f"{gone.id}.original"))
    back_up(archive, folder)
    assert not list((folder / backup.OBJECTS / backup.RECORDINGS).rglob(f"*{gone.id}*"))
    clock.advance(timedelta(days=35))
    back_up(archive, folder)
    holder = Adversary(tmp_path / "hoard")
    holder.copy(archive, folder, key_backups=True)
    holder.bucket(archive.store)
    assert not holder.opens(elsewhere, archive.keys.path, private, gone.id)
    assert holder.opens(elsewhere, archive.keys.path, private, kept.id)


def test_keys_lost_the_store_alive_a_key_backup_of_days_ago_opens_what_arrived_since(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    deliver(archive, "1")
    back_up(archive, folder)
    clock.advance(timedelta(days=6))
    since = deliver(archive, "2", days_ago=0)
    with transaction(archive.engine) as connection:
        row = catalogue.get(connection, since.id)
    assert row is not None
    (path,) = (folder / backup.KEYS).glob("*.sealed")
    keys = _Keys(KeyBackup.read(path).open(private).keys)
    assert Vault(keys=keys, store=archive.store).read_all(row) == wav(0.5)  # type: ignore[arg-type]


# -- a backup over time ----------------------------------------------------------------


def test_objects_are_copied_once_and_deleted_after_they_expired(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path
) -> None:
    deliver(archive, "1", days_ago=360)
    living = deliver(archive, "2")
    first = back_up(archive, folder).manifest["objects"]
    assert (first["objects"], first["copied"], first["deleted"]) == (2, 2, 0)
    assert back_up(archive, folder).manifest["objects"]["copied"] == 0
    clock.advance(timedelta(days=8))
    archive.expire()
    third = back_up(archive, folder).manifest["objects"]
    assert third["deleted"] == 1
    left = [key for key, _ in backup.object_files(folder / backup.OBJECTS)]
    assert [key for key in left if key.startswith("recordings/")] == [
        each.key for each in archive.store.list("recordings/") if str(living.id) in each.key
    ]
    assert any(key.startswith("certificates/") for key in left)


def test_dumps_roll_off_after_their_days_also_where_the_next_backup_fails(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path
) -> None:
    deliver(archive, "1")
    first = back_up(archive, folder)
    clock.advance(timedelta(days=20))
    second = back_up(archive, folder)
    clock.advance(timedelta(days=15))
    broken = replace(means(archive), config=replace(archive.config, database_url="postgresql:///x"))
    with pytest.raises(ArchiveError):
        backup.run(broken, folder)
    assert [made.folder for made in backup.made(folder)] == [second.folder]
    assert not first.folder.exists()
    assert len(list((folder / backup.KEYS).glob("*.sealed"))) == 1


def test_what_the_store_lost_is_not_deleted_from_the_backup(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    receipt = deliver(archive, "1")
    back_up(archive, folder)
    (stored,) = archive.store.list("recordings/")
    archive.store.delete([stored.key])  # by no verb of the archive
    made = back_up(archive, folder)
    assert made.manifest["objects"]["kept_missing"] == 1
    assert list((folder / backup.OBJECTS).rglob(f"{receipt.id}.original"))


def test_a_lost_catalogue_does_not_empty_the_backup(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    for number in range(12):
        deliver(archive, str(number))
    back_up(archive, folder)
    as_owner(archive, "truncate recording cascade")
    archive.store.delete([each.key for each in list(archive.store.list("recordings/"))])
    made = back_up(archive, folder)
    assert made.manifest["objects"]["kept_missing"] == 12
    assert len(list(backup.object_files(folder / backup.OBJECTS))) == 12


def test_a_dump_logs_nobody_in_and_opens_nothing(
    archive: Archive,
    people: Any,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
) -> None:
    people.create("aino", "admin", "correct horse battery staple", None)
    people.one_time_link("aino")
    back_up(archive, folder)
    with (
        elsewhere.restored(folder, private) as (restored, _),
        transaction(restored.engine) as connection,
    ):
        for table in dumping.LEFT_OUT:
            assert connection.execute(text(f"select count(*) from {table}")).scalar() == 0
        assert connection.execute(text("select count(*) from person")).scalar() == 1


def test_nothing_is_backed_up_without_a_recovery_key(archive: Archive, folder: Path) -> None:
    with pytest.raises(RecoveryKeyMissing):
        back_up(archive, folder)
    assert not folder.exists()


def test_a_folder_of_something_else_is_not_written_to(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BackupUnusable, match="not empty"):
        back_up(archive, folder)
    (folder / "holiday.jpg").unlink()
    (folder / backup.LABEL).write_text(json.dumps({"v": 1, "installation": "another"}))
    with pytest.raises(BackupUnusable, match="another archive"):
        back_up(archive, folder)
    assert [p.name for p in folder.iterdir()] == [backup.LABEL]


def test_a_backup_folder_that_is_not_mounted_is_not_made_anew(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    back_up(archive, folder)
    folder.rename(folder.with_name("unmounted"))
    with pytest.raises(BackupUnusable, match="is it mounted"):
        back_up(archive, folder)
    assert not folder.exists()


def test_the_worker_backs_up_once_a_day(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path
) -> None:
    deliver(archive, "1")
    archive.config = replace(archive.config, backup_dir=str(folder))
    assert worker.back_up_if_due(archive) is not None
    assert worker.back_up_if_due(archive) is None
    clock.advance(timedelta(hours=23))
    assert worker.back_up_if_due(archive) is not None  # a night has passed
    assert worker.back_up_if_due(archive) is None


def test_the_doctor_says_what_is_missing_of_keys_and_backups(
    archive: Archive, people: Any, folder: Path, tmp_path: Path
) -> None:
    def said() -> dict[str, str]:
        assembly = Assembly(archive.config, archive.engine, archive, people)
        return {finding.what: finding.mark for finding in checkup.look(assembly)}

    assert said()["no recovery key: keys are not backed up, and lost with this disk"] == "note"
    assert said()["no daily backup"] == "note"
    archive.config = replace(archive.config, backup_dir=str(folder))
    assert said()["the daily backup is overdue"] == "BAD"
    backups = KeyBackups(archive.keys, now=utc_now, keep_days=35)
    backups.make_recovery_key(tmp_path / "offline.key")
    backup.run(replace(means(archive), now=utc_now), folder)
    assert "the daily backup is overdue" not in said()
    (archive.keys.path / "root.fresh").touch()
    assert said()["a rotation of the root key broke off"] == "BAD"


# -- restoring, and what stops it ------------------------------------------------------


def test_a_backup_is_restored_into_an_empty_installation_only(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    receipt = deliver(archive, "1")
    back_up(archive, folder)
    before = state(archive)
    with pytest.raises(NotEmpty, match="keys already"):
        restoring.restore(archive, folder, private)
    assert state(archive) == before
    assert read(archive, receipt) == wav(0.5)
    open_keys(archive.config)


def test_another_recovery_key_restores_nothing_and_changes_nothing(
    archive: Archive, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    deliver(archive, "1")
    back_up(archive, folder)
    with elsewhere.archive(restoring=True) as empty:
        with pytest.raises(KeyBackupUnusable, match=private.public.id):
            restoring.restore(empty, folder, PrivateKey.generate())
        assert empty.keys.everything() == []
        assert list(empty.store.list("")) == []


def test_a_damaged_dump_is_found_before_anything_is_changed(
    archive: Archive, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    deliver(archive, "1")
    dump = back_up(archive, folder).folder / backup.DUMP
    raw = bytearray(dump.read_bytes())
    raw[len(raw) // 2] ^= 1
    dump.write_bytes(bytes(raw))
    with elsewhere.archive(restoring=True) as empty:
        with pytest.raises(BackupUnusable, match="damaged"):
            restoring.restore(empty, folder, private)
        assert empty.keys.everything() == []


def test_a_damaged_object_is_named_by_the_restore(
    archive: Archive, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    good, bad = deliver(archive, "1"), deliver(archive, "2")
    back_up(archive, folder)
    (path,) = (folder / backup.OBJECTS).rglob(f"{bad.id}.original")
    raw = bytearray(path.read_bytes())
    raw[-200] ^= 1
    path.write_bytes(bytes(raw))
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert not outcome.whole
        assert [str(bad.id) in key for key in outcome.damaged] == [True]
        assert read(restored, good) == wav(0.5)


def environment(config: Config) -> dict[str, str]:
    return environment_of(config) | {"PYTHONPATH": str(ROOT), "ARCHIVE_KEY_CACHE_S": "0"}


KILLED_BACKUP = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from archive.backups import backup
from archive.assembly import assemble
from archive.config import Config
def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
archive = assemble(Config.from_env(os.environ)).archive
now = datetime.fromisoformat(sys.argv[3])
means = backup.Means(archive.config, archive.engine, archive.store, archive.keys, lambda: now)
backup.run(means, Path(sys.argv[1]), step=step, progress=lambda n: step(f"object {n}"))
"""


@pytest.mark.parametrize("step", ["dumped", "object 1", "mirrored", "keys", "manifest"])
def test_a_backup_killed_at_any_step_is_whole_after_the_next_run(
    step: str,
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
) -> None:
    receipts = [deliver(archive, str(n)) for n in range(3)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BACKUP, str(folder), step, clock().isoformat()],
        env=environment(archive.config),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    back_up(archive, folder)
    assert len(list((folder / backup.CATALOGUE).iterdir())) == (2 if step == "manifest" else 1)
    assert not list(folder.rglob(".part-*"))
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole
        for receipt in receipts:
            assert read(restored, receipt) == wav(0.5)


KILLED_RESTORE = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from archive.backups import restoring
from archive.archive import Archive
from archive.assembly import assemble
from archive.config import Config
from archive.keyring.recovery import PrivateKey
def progress(stage, done, total):
    if stage == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
made = assemble(Config.from_env(os.environ), restoring=True).archive
now = datetime.fromisoformat(sys.argv[4])
archive = Archive(config=made.config, engine=made.engine, store=made.store, keys=made.keys,
    index=made.index, now=lambda: now, database_now=lambda c: now)
restoring.restore(archive, Path(sys.argv[1]), PrivateKey.load(Path(sys.argv[2])), progress=progress)
"""


@pytest.mark.parametrize("stage", ["objects", "catalogue", "envelopes", "verifying"])
def test_a_restore_killed_at_any_stage_lets_nothing_start_and_ends_the_same_when_run_again(
    stage: str,
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:
    receipts = [deliver(archive, str(n)) for n in range(3)]
    worker.until_idle(archive)
    back_up(archive, folder)
    offline = str(tmp_path / "offline.key")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RESTORE, str(folder), offline, stage, clock().isoformat()],
        env=environment(elsewhere.config),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(RestoreUnfinished, match="archive restore"):
        open_keys(elsewhere.config)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole and outcome.recordings == 3
        for receipt in receipts:
            assert read(restored, receipt) == wav(0.5)
        wanted = state(archive)
        found = state(restored)
        for what in ("recordings", "objects", "found"):
            assert found[what] == wanted[what]
