"""Backups in a second bucket: as good as in a folder, and as forgetful."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from archive import checkup, worker
from archive.archive import SYSTEM, Archive
from archive.assembly import Assembly
from archive.backups import backup, bucketpath, destinations, dumping
from archive.backups.bucketpath import BucketPath
from archive.config import Config
from archive.erasure import journal
from archive.errors import (
    BackupUnusable,
    BadSetting,
    CatalogueUnavailable,
    NotFound,
    RestoreUnfinished,
    StoreUnavailable,
)
from archive.keyring import keyreport, rotation
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import open_keys
from archive.storage.address import backup_store
from tests.clock import Clock
from tests.media import wav
from tests.test_backup import (  # noqa: F401 - fixtures
    Elsewhere,
    back_up,
    elsewhere,
    environment,
    means,
    private,
    state,
)
from tests.test_story import deliver, read

BUCKET = "backups"


@pytest.fixture
def url(config: Config) -> str:
    return config.store_url.replace("/tests?", f"/{BUCKET}?")


@pytest.fixture
def archive(archive: Archive, config: Config, url: str) -> Archive:
    archive.config = replace(
        archive.config,
        backup_url=url,
        backup_access_key=config.store_access_key,
        backup_secret_key=config.store_secret_key,
    )
    return archive


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    """Given back after the test."""
    yield
    bucketpath.close()


@pytest.fixture
def folder(archive: Archive, url: str) -> Iterator[Path]:
    """The empty bucket."""
    yield destinations.at(archive.config, url)
    with closing(backup_store(archive.config, url)) as store:
        store.delete([each.key for each in store.list("")])


def names(folder: Path, below: str) -> list[str]:
    return sorted(each.name for each in (folder / below).rglob("*"))


def test_home_and_keys_destroyed_a_bucket_brings_back_what_lived_and_nothing_else(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
    elsewhere: Elsewhere,  # noqa: F811
) -> None:
    kept = [deliver(archive, str(n), days_ago=n * 30 + 1) for n in range(3)]
    ending, secret = deliver(archive, "ending", days_ago=360), deliver(archive, "private")
    worker.until_idle(archive)
    assert str(folder).startswith("http://127.0.0.1:") and str(folder).endswith("/backups")
    back_up(archive, folder)
    archive.erase(SYSTEM, secret.id, reason="private")
    since = deliver(archive, "since the first backup")
    worker.until_idle(archive)
    made = back_up(archive, folder)
    assert not any(str(secret.id) in n for n in names(folder, f"{backup.OBJECTS}/recordings"))
    assert made.manifest["objects"]["deleted"] > 0
    clock.advance(timedelta(days=10))
    before = state(archive)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole
        for receipt in (*kept, since):
            assert read(restored, receipt) == wav(0.5)
        for receipt in (ending, secret):
            with pytest.raises(NotFound):
                read(restored, receipt)
        after = state(restored)
        assert set(after["recordings"]) == set(before["recordings"]) - {ending.id}
        # The bucket goes on serving the restored archive.
        restored.config = replace(
            restored.config,
            backup_access_key=archive.config.backup_access_key,
            backup_secret_key=archive.config.backup_secret_key,
        )
        again = back_up(restored, folder)
        assert again.manifest["objects"]["copied"] < again.manifest["objects"]["objects"]
        backups = KeyBackups(restored.keys, now=clock, keep_days=35)
        assert [str(each) for each in backups.destinations()] == [f"{folder}/keys"]
        assert len(backups.standing()) == 3


def test_objects_are_copied_once_and_everything_rolls_off(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
) -> None:
    deliver(archive, "1", days_ago=350), deliver(archive, "2")
    first = back_up(archive, folder)
    assert first.manifest["objects"]["copied"] == 2
    clock.advance(timedelta(days=20))
    archive.expire()
    second = back_up(archive, folder)
    assert second.manifest["objects"]["deleted"] == 1
    assert len([n for n in names(folder, backup.OBJECTS) if n.endswith(".original")]) == 1
    assert len(names(folder, backup.KEYS)) == 2
    clock.advance(timedelta(days=15, hours=1))
    third = back_up(archive, folder)
    assert third.manifest["objects"]["copied"] == 0
    assert [made.folder for made in backup.made(folder)] == [second.folder, third.folder]
    assert len(names(folder, backup.KEYS)) == 2
    assert len(names(folder, backup.CATALOGUE)) == 4  # a dump and a manifest each
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    (newest,) = [each for each in backups.standing() if each.written.made_at == clock()]
    assert newest.reachable and str(newest.written.path).startswith(f"{folder}/keys/keys-")
    assert KeyBackup.read(newest.written.path).open(private).keys
    assert all(each.good for each in backups.verify(private))


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from archive.backups import backup, destinations, restoring
from archive.archive import Archive
from archive.assembly import assemble
from archive.config import Config
from archive.keyring.recovery import PrivateKey
what, url, step, at, key = sys.argv[1:]
def reached(name, *rest):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)
config = Config.from_env(os.environ)
folder, now = destinations.at(config, url), datetime.fromisoformat(at)
made = assemble(config, restoring=what == "restore").archive
if what == "backup":
    means = backup.Means(made.config, made.engine, made.store, made.keys, lambda: now)
    backup.run(means, folder, step=reached, progress=lambda n: reached(f"object {n}"))
else:
    archive = Archive(config=made.config, engine=made.engine, store=made.store, keys=made.keys,
        index=made.index, now=lambda: now, database_now=lambda c: now)
    restoring.restore(archive, folder, PrivateKey.load(Path(key)), progress=reached)
"""


def killed(config: Config, what: str, url: str, step: str, clock: Clock, key: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, what, url, step, clock().isoformat(), str(key)],
        env=environment(config)
        | {
            "ARCHIVE_BACKUP_ACCESS_KEY": config.store_access_key,
            "ARCHIVE_BACKUP_SECRET_KEY": config.store_secret_key,
        },
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", ["dumped", "object 1", "keys"])
def test_a_backup_killed_at_any_step_is_whole_after_the_next_run(
    step: str,
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
    elsewhere: Elsewhere,  # noqa: F811
    url: str,
    tmp_path: Path,
) -> None:
    receipts = [deliver(archive, str(n)) for n in range(2)]
    killed(archive.config, "backup", url, step, clock, tmp_path / "offline.key")
    back_up(archive, folder)
    assert len(backup.made(folder)) == 1
    assert len(list((folder / backup.CATALOGUE).iterdir())) == 1
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole
        assert [read(restored, receipt) for receipt in receipts] == [wav(0.5)] * 2


@pytest.mark.parametrize("stage", ["objects", "envelopes"])
def test_a_restore_killed_lets_nothing_start_and_ends_the_same_when_run_again(
    stage: str,
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
    elsewhere: Elsewhere,  # noqa: F811
    url: str,
    tmp_path: Path,
) -> None:
    receipts = [deliver(archive, str(n)) for n in range(2)]
    back_up(archive, folder)
    killed(elsewhere.config, "restore", url, stage, clock, tmp_path / "offline.key")
    with pytest.raises(RestoreUnfinished):
        open_keys(elsewhere.config)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole and outcome.recordings == 2
        assert [read(restored, receipt) for receipt in receipts] == [wav(0.5)] * 2
        assert state(restored)["objects"] == state(archive)["objects"]


def test_a_bucket_that_is_away_is_listed_and_costs_nothing(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver(archive, "1")
    back_up(archive, folder)
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    there = bucketpath._stores[str(folder)]
    for gone in ({}, {str(folder): _Away()}):
        monkeypatch.setattr(bucketpath, "_stores", gone)
        with pytest.raises((StoreUnavailable, BackupUnusable)):
            back_up(archive, folder)
        clock.advance(timedelta(days=36))
        assert backups.roll_off() == 0
        report = keyreport.report(backups, days=365, now=clock())
        assert [one["reachable"] for one in report["backups"]] == [False]
        assert [one["overdue"] for one in report["backups"]] == [True]
    monkeypatch.setattr(bucketpath, "_stores", {str(folder): there})
    assert len(backup.made(folder)) == 1
    assert backups.roll_off() == 1
    assert names(folder, backup.KEYS) == []


class _Away:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable()

        return refuse


def test_a_dump_that_fails_leaves_no_object(
    archive: Archive,
    private: PrivateKey,  # noqa: F811
    folder: Path,
) -> None:
    broken = replace(means(archive), config=replace(archive.config, database_url="postgresql:///x"))
    with pytest.raises(CatalogueUnavailable):
        backup.run(broken, folder)
    assert names(folder, backup.CATALOGUE) == []
    assert backup.made(folder) == []


def test_only_an_empty_bucket_or_ones_own_is_written_to(
    archive: Archive,
    private: PrivateKey,  # noqa: F811
    folder: Path,
) -> None:
    (folder / "something/else").write_bytes(b"whose?")
    with pytest.raises(BackupUnusable, match="no backup"):
        back_up(archive, folder)
    assert names(folder, "") == ["else"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://s3.example.com/backups?region=eu-north-1", "ARCHIVE_EU_HOSTS"),
        ("s3://backups", "expected http"),
        ("https://127.0.0.1", "expected http"),
    ],
)
def test_an_address_that_cannot_be_is_refused(archive: Archive, url: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why) as refused:
        destinations.at(archive.config, url)
    assert "ARCHIVE_BACKUP_URL" in refused.value.message


def test_the_archives_own_bucket_is_no_place_for_its_backup(archive: Archive) -> None:
    with pytest.raises(BadSetting, match="is to be backed up"):
        destinations.at(archive.config, archive.config.store_url)


def test_the_worker_backs_up_to_folder_and_bucket_and_the_doctor_looks_at_both(
    archive: Archive,
    private: PrivateKey,  # noqa: F811
    folder: Path,
    tmp_path: Path,
    people: Any,
) -> None:
    deliver(archive, "1")
    archive.config = replace(archive.config, backup_dir=str(tmp_path / "daily"))
    assert worker.back_up_if_due(archive) is not None
    assert worker.back_up_if_due(archive) is None
    assert [len(backup.made(each)) for each in destinations.configured(archive.config)] == [1, 1]
    found = checkup.look(Assembly(archive.config, archive.engine, archive, people))
    assert sum("last backup" in each.what or "overdue" in each.what for each in found) >= 2


def test_a_rotation_writes_its_key_backup_to_the_bucket(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,  # noqa: F811
    folder: Path,
) -> None:
    deliver(archive, "1")
    back_up(archive, folder)
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    done = rotation.rotate(backups)
    (path,) = done.backups
    assert isinstance(path, BucketPath)
    assert KeyBackup.read(path).header.root == done.root
    with pytest.raises(TypeError, match="no file"):
        open(path)  # noqa: PTH123, SIM115 - nothing takes it for a file by mistake


def test_a_recording_that_is_gone_is_looked_for_in_the_bucket_too(
    archive: Archive,
    private: PrivateKey,  # noqa: F811
    folder: Path,
) -> None:
    receipt, other = deliver(archive, "private"), deliver(archive, "stays")
    back_up(archive, folder)
    assert journal.reachable_backups(archive.config, archive.keys) == [folder]
    (dump,) = [made.folder / backup.DUMP for made in backup.made(folder)]
    assert (dumping.row(dump, "recording", str(receipt.id)) or {})["id"] == str(receipt.id)
    archive.erase(SYSTEM, receipt.id, reason="private")
    # Its entry in the journal is in the bucket at once, so that a restore does not revive it.
    assert f"{receipt.id}.json" in names(folder, f"{backup.OBJECTS}/journal")
    again = back_up(archive, folder)
    assert dumping.row(again.folder / backup.DUMP, "recording", str(receipt.id)) is None
    assert dumping.row(again.folder / backup.DUMP, "recording", str(other.id)) is not None
