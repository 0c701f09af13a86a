"""Restoring a backup into an empty installation, so that nothing lives again that had ended.

Every step can be repeated: a restore that broke off is begun again and ends the same. Until it
is finished nothing else opens the keys, so nothing serves, receives, sweeps or expires.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from archive import audit, catalogue, rebuild, retention
from archive.anchors import Anchors
from archive.archive import SYSTEM, Archive, complete_descriptor
from archive.backups import backup, dumping, replaying
from archive.config import Config
from archive.db import downgrade, migrate, transaction
from archive.errors import BackupUnusable, KeyBackupUnusable, NotEmpty
from archive.keyring import keybackup
from archive.keyring.keybackup import KeyBackups
from archive.keyring.keyfiles import sync_folder, write_durably
from archive.keyring.recovery import Contents, PrivateKey
from archive.keys import RESTORING_FILE
from archive.worker import index_batch

_BATCH = 200
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Outcome:
    """What a restore brought back and what it left dead, in numbers."""

    recordings: int = 0
    keys: int = 0
    objects: int = 0
    updated: int = 0  # rows brought up to a newer envelope
    added: int = 0  # recordings that came after the dump
    ended: int = 0  # in the dump, but erased, expired or over since
    without_object: list[str] = field(default_factory=list)  # ids of rows that were left out
    missing: list[str] = field(default_factory=list)  # object keys
    damaged: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether everything that was restored reads back."""
        return not self.missing and not self.damaged


def restore(
    archive: Archive,
    folder: Path,
    private: PrivateKey,
    *,
    dump: Path | None = None,
    sample: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Outcome:
    """Restores the backup in `folder`: its newest dump (or the one named), its newest keys.

    NotEmpty, BackupUnusable, KeyBackupUnusable, RecoveryKeyUnusable before anything is changed.
    """
    folder = folder.absolute()
    chosen = _chosen(folder, dump)
    contents = keybackup.newest(folder / backup.KEYS).open(private)
    return bring_back(
        archive, folder, private, chosen=chosen, contents=contents, sample=sample, progress=progress
    )


def bring_back(
    archive: Archive,
    folder: Path,
    private: PrivateKey,
    *,
    chosen: backup.Made,
    contents: Contents,
    sample: int | None,
    progress: Progress,
    exported: bool = False,
) -> Outcome:
    """The steps of a restore, of a dump and keys that were chosen. `exported`: by another archive.

    NotEmpty before anything is changed.
    """
    work = _Restore(archive, folder, progress, exported=exported)
    work.begin(chosen)
    work.keys(contents, private)
    work.objects()
    work.from_catalogue_on(chosen, sample)
    work.finish(chosen)
    return work.outcome


def restore_catalogue(
    archive: Archive,
    folder: Path,
    *,
    dump: Path | None = None,
    sample: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Outcome:
    """Restores the catalogue alone, beside keys and objects that live; needs no recovery key.

    NotEmpty where the catalogue has recordings; BackupUnusable, also for another archive's.
    """
    work = _Restore(archive, folder.absolute(), progress)
    chosen = _chosen(work.folder, dump)
    if backup.owner(work.folder) != backup.installation(archive.keys):
        raise BackupUnusable(path=folder, reason="it is the backup of another archive")
    work.begin(chosen, catalogue_only=True)
    work.from_catalogue_on(chosen, sample)
    work.finish(chosen)
    return work.outcome


def _chosen(folder: Path, dump: Path | None) -> backup.Made:
    backup.owner(folder)
    made = backup.made(folder)
    if dump is not None:
        made = [one for one in made if one.folder == dump.absolute()]
    if not made:
        raise BackupUnusable(path=dump or folder, reason="there is no finished backup")
    chosen = made[-1]
    expected = chosen.manifest["dump"]["sha256"]
    if backup.sha256_of(chosen.folder / backup.DUMP) != expected:
        raise BackupUnusable(path=chosen.folder, reason="its dump is damaged")
    return chosen


class _Restore:
    def __init__(
        self, archive: Archive, folder: Path, progress: Progress, *, exported: bool = False
    ) -> None:
        self._exported = exported
        self.folder = folder
        self.outcome = Outcome()
        self._archive = archive
        self._progress = progress
        self._marker = archive.keys.path / RESTORING_FILE

    # -- beginning and end -----------------------------------------------------------

    def begin(self, chosen: backup.Made, *, catalogue_only: bool = False) -> None:
        """Refuses an installation with anything in it, unless a restore was begun there."""
        if self._marker.exists():
            return
        archive = self._archive
        if not catalogue_only and archive.keys.everything():
            raise NotEmpty(what="keys already")
        if not catalogue_only and next(iter(archive.store.list("")), None) is not None:
            raise NotEmpty(what="objects in its store already")
        if self._rows():
            raise NotEmpty(what="recordings in its catalogue already")
        write_durably(self._marker, json.dumps({"v": 1, "backup": chosen.folder.name}).encode())
        sync_folder(self._marker.parent)

    def from_catalogue_on(self, chosen: backup.Made, sample: int | None) -> None:
        """What follows once keys and objects are there."""
        self.catalogue(chosen)
        self.replay()
        self.envelopes()
        self.expire()
        self.index()
        self.verify(sample)

    def _rows(self) -> int:
        try:
            with transaction(self._archive.engine) as connection:
                return int(connection.execute(text("select count(*) from recording")).scalar_one())
        except ProgrammingError:
            return 0  # no tables yet

    def finish(self, chosen: backup.Made) -> None:
        archive = self._archive
        backups = KeyBackups(archive.keys, now=archive.now, keep_days=archive.config.backup_days)
        if self._exported:
            backups.note_export(Path(keybackup.newest(self.folder / backup.KEYS).where))
        else:
            backups.adopt(self.folder / backup.KEYS)
        with transaction(archive.engine) as connection:
            self.outcome.recordings = connection.execute(
                text("select count(*) from recording")
            ).scalar_one()
            detail = {"backup": chosen.folder.name, "recordings": self.outcome.recordings}
            verb = "import" if self._exported else "restore"
            audit.append(connection, at=archive.now(), actor=SYSTEM, verb=verb, detail=detail)
        Anchors(archive.vault, archive.engine, now=archive.now).restart()
        self._marker.unlink()
        sync_folder(self._marker.parent)

    # -- what is brought back --------------------------------------------------------

    def keys(self, contents: Contents, private: PrivateKey) -> None:
        """Keys first: without them nothing can be checked. Days that are over stay dead."""
        today = retention.local(self._archive.now()).date()
        done = keybackup.restore(self._archive.keys, contents, today=today, private=private)
        if done.conflicts:
            raise KeyBackupUnusable(path=self.folder, reason=f"other keys: {done.conflicts[0]}")
        self.outcome.keys = done.restored + done.present

    def objects(self) -> None:
        """Every object that is not in the store yet."""
        store = self._archive.store
        there = {stored.key: stored.bytes for stored in store.list("")}
        files = list(backup.object_files(self.folder / backup.OBJECTS))
        for number, (key, path) in enumerate(files):
            if there.get(key) != path.stat().st_size:
                with path.open("rb") as file:
                    store.put(key, file)
            self._progress("objects", number + 1, len(files))
        self.outcome.objects = len(files)

    def catalogue(self, chosen: backup.Made) -> None:
        """The dump, whole or not at all, brought to this version's tables."""
        url = self._archive.config.owner_url
        self._progress("catalogue", 0, 1)
        migrate(url)
        downgrade(url, revision="base")  # also what an attempt that broke off had loaded
        dumping.load(url, chosen.folder / backup.DUMP)
        migrate(url)
        with transaction(self._archive.engine) as connection:
            connection.execute(text("update recording set claimed_by = null"))
            connection.execute(text("delete from installation where name like 'index/%'"))
        self._name_versions()
        self._progress("catalogue", 1, 1)

    def _name_versions(self) -> None:
        """Rows name the version that an object has in this store."""
        for batch in _batches(self._archive.store.list(backup.RECORDINGS)):
            values = [{"key": each.key, "version": each.version} for each in batch]
            with transaction(self._archive.engine) as connection:
                for table in ("recording", "rendition"):
                    connection.execute(
                        text(
                            f"update {table} set object_version = :version "  # noqa: S608
                            "where object_key = :key and object_version is distinct from :version"
                        ),
                        values,
                    )

    # -- what stays dead -------------------------------------------------------------

    def replay(self) -> None:
        """What was erased after the dump: certificates, the journal, and objects that are gone."""
        archive = self._archive
        self.outcome.ended += replaying.replay(archive.vault, archive.engine, now=archive.now())
        self._drop_without_object()

    def _drop_without_object(self) -> None:
        """Rows whose original was erased between the dump and the copying of objects."""
        there = {each.key for each in self._archive.store.list(backup.RECORDINGS)}
        for rows in catalogue.pages(self._archive.engine, size=_BATCH):
            gone = [row.id for row in rows if row.object_key not in there]
            with transaction(self._archive.engine) as connection:
                connection.execute(
                    text("delete from recording where id = any(:ids)"), {"ids": gone}
                )
            self.outcome.without_object += [str(id) for id in gone]

    def envelopes(self) -> None:
        """What came or was corrected after the dump."""
        archive = self._archive

        def complete(descriptor: Any, sha256: str, length: int) -> Any:
            return complete_descriptor(descriptor, sha256=sha256, length=length)

        now = archive.now()
        self.outcome.updated = rebuild.newer_envelopes(
            archive.vault, archive.engine, complete=complete, now=now
        )
        found = rebuild.catalogue_from_envelopes(
            archive.vault,
            archive.engine,
            complete=complete,
            progress=lambda n: self._progress("envelopes", n, 0),
            now=now,
        )
        self.outcome.added = found.rebuilt
        self.outcome.damaged += found.damaged

    def expire(self) -> None:
        """What has ended meanwhile goes before anybody can ask for it."""
        with transaction(self._archive.engine) as connection:
            replayed = connection.execute(
                text("""select count(*) from expired join expiry_run using (run)
                    where finished_at is null""")
            ).scalar_one()  # of the journal: counted already
        self.outcome.ended += int(self._archive.expire()["destroyed"]) - replayed

    # -- what is made anew -----------------------------------------------------------

    def index(self) -> None:
        """The search index, from the catalogue."""
        archive = self._archive
        for month in archive.index.months():
            archive.index.drop(month)
        with transaction(archive.engine) as connection:
            total = catalogue.reindex(connection, month=None, now=archive.now())
        done = 0
        while index_batch(archive):
            with transaction(archive.engine) as connection:
                done = total - catalogue.queue_lengths(connection)["index"]
            self._progress("index", done, total)

    def verify(self, sample: int | None) -> None:
        """Everything (or so many recordings) read back; renditions that are lost are due again."""
        archive = self._archive
        findings = rebuild.verify(
            archive.vault,
            archive.engine,
            sample=sample,
            mend=True,
            progress=lambda n: self._progress("verifying", n, 0),
            now=archive.now(),
        )
        mended = set(findings.mended)
        self.outcome.missing = [key for key in findings.missing if key not in mended]
        self.outcome.damaged += [key for key in findings.damaged if key not in mended]


def _batches(items: Any) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def remove_index(config: Config) -> None:
    """Removes an index whose keys are lost, before a restore opens it.

    Only where there are no keys, or where a restore broke off.
    """
    folder = config.keys_dir
    if (folder / RESTORING_FILE).exists() or not any(folder.glob("index/*")):
        shutil.rmtree(config.home / "index", ignore_errors=True)


@contextmanager
def parts_for(config: Config, *, say: Callable[[str], None]) -> Iterator[None]:
    """The embedded parts, while restoring, where the settings name no others.

    HomeInUse where an archive is running there: what is running is not empty.
    """
    from archive.embedded import Parts

    if config.database_url:
        yield
        return
    with Parts(config.home, say=say, object_lock=bool(config.object_lock_days)):
        yield
