"""Backups: the catalogue's dump, the sealed objects, the keys sealed to the recovery key.

    DIR/archive-backup.json                        whose backup this is
    DIR/objects/<object key>                       every sealed object, as it is in the store
    DIR/keys/keys-<time>-<id>.sealed               key backups (docs/format.md)
    DIR/catalogue/<time>-<id>/catalogue.dump       one dump a run,
    DIR/catalogue/<time>-<id>/manifest.json        and what that run left; written last

DIR is a folder, or a bucket (`archive.backups.bucketpath`). Objects are mirrored, so what was
erased is gone here after the next run. Dumps and key backups roll off. Knows nothing of restoring.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import Engine

from archive import __version__, catalogue, retention, seal
from archive.backups import dumping
from archive.backups.bucketpath import BucketPath
from archive.config import Config
from archive.db import transaction
from archive.errors import BackupUnusable, DiskFull, ObjectMissing
from archive.keyring.keybackup import KeyBackups
from archive.keyring.keyfiles import make_private, remove_tree, sync_folder, write_durably
from archive.keys import KeysDirectory
from archive.storage import Store

LABEL = "archive-backup.json"
OBJECTS, KEYS, CATALOGUE = "objects", "keys", "catalogue"
DUMP, MANIFEST = "catalogue.dump", "manifest.json"
RECORDINGS = "recordings/"
COMING_DAYS = 7
_BATCH = 500
_PARTIAL = ".part-"


@dataclass(frozen=True, slots=True)
class Means:
    """What a backup works with."""

    config: Config
    engine: Engine
    store: Store
    keys: KeysDirectory
    now: Callable[[], datetime]


@dataclass(slots=True)
class Outcome:
    """What a run did, in numbers of objects; `kept_missing` are object keys."""

    objects: int = 0
    bytes: int = 0
    copied: int = 0
    deleted: int = 0
    kept_missing: list[str] = field(default_factory=list)  # gone from the store, not erased


@dataclass(frozen=True, slots=True)
class Made:
    """A finished backup: its folder under `catalogue`, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def made_at(self) -> datetime:
        """When its dump was made."""
        return datetime.fromisoformat(self.manifest["made_at"])

    @property
    def until(self) -> datetime:
        """When it is to be destroyed."""
        return datetime.fromisoformat(self.manifest["until"])


def run(
    means: Means,
    folder: Path,
    *,
    progress: Callable[[int], None] = lambda n: None,
    step: Callable[[str], None] = lambda name: None,
) -> Made:
    """One backup into `folder`, while everything runs.

    RecoveryKeyMissing and BackupUnusable before anything is written; BackupRunning;
    StoreUnavailable, CatalogueUnavailable, DiskFull: then the backups of before are whole.
    """
    folder = folder.absolute()
    backups = KeyBackups(means.keys, now=means.now, keep_days=means.config.backup_days)
    backups.public()
    with backups.alone():
        if folder / KEYS in backups.destinations() and not (folder / LABEL).exists():
            raise BackupUnusable(path=folder, reason="it was there before; is it mounted?")
        _claim(folder, installation(means.keys))
        try:
            return _run(means, folder, backups, progress=progress, step=step)
        finally:
            # Also where this run failed: how long a copy may live does not depend on the next.
            ahead = _ahead(means.config)
            _roll_off(folder, now=means.now() + ahead)
            backups.roll_off(ahead=ahead)


def _ahead(config: Config) -> timedelta:
    """What would outlive its days before tomorrow's run goes in today's."""
    return min(timedelta(hours=26), timedelta(days=config.backup_days) / 2)


def _run(
    means: Means,
    folder: Path,
    backups: KeyBackups,
    *,
    progress: Callable[[int], None],
    step: Callable[[str], None],
) -> Made:
    now = means.now()
    remove_unfinished(folder)
    target = folder / CATALOGUE / f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"
    make_private(target)
    # The dump first, then the objects, then the keys: whatever a row of the dump names was
    # written before the row was, so it is in what is copied afterwards, unless erased meanwhile.
    dumping.dump(means.config.database_url, target / DUMP)
    step("dumped")
    outcome = mirror(means, folder / OBJECTS, progress)
    step("mirrored")
    backups.write_root_copy(means.keys.root)
    _make_coming_keys(means.keys, retention.rules(means.config.retention).periods(), now)
    keys = backups.write(folder / KEYS)
    step("keys")
    manifest = {
        "v": 1,
        "program": __version__,
        "installation": installation(means.keys),
        "made_at": now.isoformat(),
        "until": (now + timedelta(days=means.config.backup_days)).isoformat(),
        "dump": {"bytes": (target / DUMP).stat().st_size, "sha256": sha256_of(target / DUMP)},
        "objects": asdict(outcome) | {"kept_missing": len(outcome.kept_missing)},
        "keys": keys.path.name,
    }
    write_durably(target / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
    for each in (target, target.parent):
        sync_folder(each)
    step("manifest")
    return Made(target, manifest)


def _make_coming_keys(keys: KeysDirectory, periods: set[int | None], now: datetime) -> None:
    """The keys that arrivals of the next days will be sealed under, so that they are backed up.

    Where the keys are lost and the store is not, a backup of some days ago opens those too.
    """
    for days in range(COMING_DAYS + 1):
        at = now + timedelta(days=days)
        for period in periods:
            cohort = retention.cohort_of(retention.kept_until(at, at, period))
            keys.ensure(f"cohort/{cohort.isoformat()}")


def installation(keys: KeysDirectory) -> str:
    """16 hex digits that name this archive, also after it was restored elsewhere."""
    key = keys.ensure("installation/reference")
    return hmac.digest(key, seal.context("installation"), hashlib.sha256)[:8].hex()


def _claim(folder: Path, mine: str) -> None:
    """Makes the folder a backup of this archive; BackupUnusable if it is something else."""
    if not folder.is_dir() and not folder.parent.is_dir():
        raise BackupUnusable(path=folder, reason=f"there is no folder {folder.parent}")
    make_private(folder)
    label = folder / LABEL
    if not label.exists():
        if any(folder.iterdir()):
            raise BackupUnusable(path=folder, reason="the folder is not empty and no backup")
        write_durably(label, json.dumps({"v": 1, "installation": mine}).encode())
    if owner(folder) != mine:
        raise BackupUnusable(path=folder, reason="it is the backup of another archive")
    for name in (OBJECTS, KEYS, CATALOGUE):
        make_private(folder / name)


def owner(folder: Path) -> str:
    """Which archive's backup this is. BackupUnusable."""
    try:
        return str(json.loads((folder / LABEL).read_bytes())["installation"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupUnusable(path=folder, reason=f"there is no readable {LABEL}") from None


# -- objects ---------------------------------------------------------------------------


def mirror(means: Means, folder: Path, progress: Callable[[int], None]) -> Outcome:
    """Copies what is not there yet, deletes what was erased."""
    outcome = Outcome()
    present: set[str] = set()
    # A bucket is asked once for all that it has.
    there = folder.sizes() if isinstance(folder, BucketPath) else None
    for stored in means.store.list(""):
        path = object_path(folder, stored.key)
        try:
            if _size(path, stored.key, there) != stored.bytes:
                _copy(means.store, stored.key, path)
                outcome.copied += 1
        except ObjectMissing:
            continue  # erased since it was listed
        present.add(stored.key)
        outcome.objects += 1
        outcome.bytes += stored.bytes
        progress(outcome.objects)
    _forget_erased(means.engine, folder, present, outcome)
    return outcome


def _size(path: Path, key: str, there: dict[str, int] | None) -> int | None:
    if there is not None:
        return there.get(key)
    return path.stat().st_size if path.exists() else None


def object_path(folder: Path, key: str) -> Path:
    """Where an object lies in a backup. BackupUnusable for a key that would lead elsewhere."""
    parts = key.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise BackupUnusable(path=folder, reason="an object's key cannot be a file name")
    return folder.joinpath(*parts)


def _copy(store: Store, key: str, path: Path) -> None:
    if isinstance(path, BucketPath):
        path.put_blocks(store.stream(key))
        return
    make_private(path.parent)
    temporary = path.with_name(f"{_PARTIAL}{uuid4().hex}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for block in store.stream(key):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise (DiskFull() if error.errno == 28 else _unusable(path, error)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> BackupUnusable:
    return BackupUnusable(path=path, reason=str(error.strerror))


def object_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Key and file of every object of a backup, by key."""
    if isinstance(folder, BucketPath):
        for key in sorted(folder.sizes()):
            yield key, cast("Path", folder / key)
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(_PARTIAL):
            yield path.relative_to(folder).as_posix(), path


def _forget_erased(engine: Engine, folder: Path, present: set[str], outcome: Outcome) -> None:
    """Deletes objects that the store no longer has, where that is how it should be.

    An object that a row names, or that nobody has ever heard of in larger numbers, is a loss of
    the store or of the catalogue, and its copy here may be the last.
    """
    unknown: list[tuple[str, Path]] = []
    gone = ((k, p) for k, p in object_files(folder) if k not in present)
    for batch in _batches(gone):
        with transaction(engine) as connection:
            named = catalogue.object_keys(connection, [key for key, _ in batch])
            living, expired = catalogue.known(
                connection, [id for k, _ in batch if (id := id_of(k))]
            )
        for key, path in batch:
            id = id_of(key)
            if id is None or key in named:
                outcome.kept_missing.append(key)
            elif id in expired or id in living:
                _delete(path, folder, outcome)
            else:
                unknown.append((key, path))
    if len(unknown) <= max(10, len(present) // 100):
        for _, path in unknown:
            _delete(path, folder, outcome)
    else:
        outcome.kept_missing += [key for key, _ in unknown]


def id_of(key: str) -> UUID | None:
    """The recording that an object belongs to."""
    try:
        return UUID(key.split("/")[2].split(".")[0]) if key.startswith(RECORDINGS) else None
    except (ValueError, IndexError):
        return None


def _delete(path: Path, folder: Path, outcome: Outcome) -> None:
    path.unlink(missing_ok=True)
    outcome.deleted += 1
    if isinstance(path, BucketPath):
        return
    for parent in path.parents:
        if parent == folder or any(parent.iterdir()):
            return
        parent.rmdir()


def _batches(items: Iterable[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


# -- what there is ---------------------------------------------------------------------


def made(folder: Path) -> list[Made]:
    """Finished backups in the folder, oldest first."""
    found = []
    for path in (folder / CATALOGUE).glob(f"*/{MANIFEST}"):
        try:
            one = Made(path.parent, json.loads(path.read_bytes()))
            found.append((one.made_at, one))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def newest(folder: Path) -> Made | None:
    """The finished backup that was made last."""
    return found[-1] if (found := made(folder)) else None


def _roll_off(folder: Path, *, now: datetime) -> None:
    for one in made(folder):
        if one.until <= now:
            # The manifest first: a crash leaves an unfinished one, which the next run removes.
            (one.folder / MANIFEST).unlink()
            remove_tree(one.folder)


def remove_unfinished(folder: Path) -> None:
    """Removes what runs that were killed had only begun: dumps without a manifest, parts."""
    for path in (folder / CATALOGUE).iterdir():
        if not (path / MANIFEST).exists():
            remove_tree(path)
    if isinstance(folder, BucketPath):
        return
    for path in (folder / OBJECTS).rglob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
