"""The whole archive for another installation: `archive export`.

    DIR/archive-export.json                        whose it is, and to which key it is sealed
    DIR/objects/<object key>                       every sealed object, as it is in the store
    DIR/catalogue/<time>-<id>/catalogue.dump       the catalogue
    DIR/keys/keys-<time>-<id>.sealed               the keys, sealed to the other's recovery key
    DIR/inventory.jsonl                            each object with its length and SHA-256
    DIR/export.json                                what holds it together; written last

A backup in every step, but that its keys are another's to open. What had ended does not come
along: days that are over keep their keys to themselves. Knows nothing of importing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from archive import __version__, audit, catalogue, seal
from archive.backups import backup, dumping
from archive.backups.backup import CATALOGUE, DUMP, KEYS, OBJECTS, Means, installation, object_path
from archive.db import reading, transaction
from archive.errors import ArchiveError, ExportUnusable, ObjectMissing, RootKeyAway
from archive.keyring.keybackup import KeyBackups, Written
from archive.keyring.keyfiles import encode, make_private, remove_tree, sync_folder, write_durably
from archive.keyring.recovery import PublicKey
from archive.model import Actor, Recording, StoredRendition
from archive.storage import Store
from archive.vault import Vault

LABEL, INVENTORY, MANIFEST = "archive-export.json", "inventory.jsonl", "export.json"
SPARE_BYTES = 16 * 1024 * 1024  # for the dump, above what the objects take

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Outcome:
    """What a run did. `missing` and `damaged` are object keys."""

    folder: Path
    manifest: dict[str, Any]
    copied: int
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether everything that lives is in the export and opens there."""
        return not self.missing and not self.damaged


def run(
    means: Means,
    folder: Path,
    public: PublicKey,
    *,
    actor: Actor,
    progress: Progress = lambda stage, done, total: None,
    step: Callable[[str], None] = lambda name: None,
    free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Outcome:
    """One export into `folder`, while everything runs; one that broke off goes on from there.

    The log's entry is committed before anything leaves, and so comes along.
    ExportUnusable before anything is written: the folder is something else, or has no room.
    BackupRunning; StoreUnavailable, CatalogueUnavailable, DiskFull: then there is no export yet.
    """
    folder = folder.absolute()
    backups = KeyBackups(means.keys, now=means.now, keep_days=means.config.backup_days)
    with backups.alone():
        _claim(folder, installation(means.keys), public)
        (folder / MANIFEST).unlink(missing_ok=True)  # until the end it is none
        _require_room(means, folder, free)
        with transaction(means.engine) as connection:
            detail = {"to": public.id}
            audit.append(connection, at=means.now(), actor=actor, verb="export", detail=detail)
        return _run(means, folder, public, backups, progress, step)


def _run(
    means: Means,
    folder: Path,
    public: PublicKey,
    backups: KeyBackups,
    progress: Progress,
    step: Callable[[str], None],
) -> Outcome:
    began, id = means.now(), uuid4()
    backup.remove_unfinished(folder)
    for old in (folder / CATALOGUE).iterdir():
        remove_tree(old)
    target = folder / CATALOGUE / f"{began:%Y%m%dT%H%M%SZ}-{str(id)[:8]}"
    make_private(target)
    # In the order of a backup, and for its reasons: dump, objects, keys.
    progress("catalogue", 0, 1)
    dumping.dump(means.config.database_url, target / DUMP)
    step("dumped")
    total = sum(1 for _ in means.store.list(""))
    copied = backup.mirror(means, folder / OBJECTS, lambda n: progress("objects", n, total)).copied
    step("mirrored")
    keys = backups.write_export(folder / KEYS, public)
    step("keys")
    inventory = _write_inventory(folder, progress)
    outcome = Outcome(folder, {}, copied)
    recordings = _check(means, folder, outcome, progress)
    step("checked")
    outcome.manifest = _manifest(means, target, keys, public, inventory, recordings, outcome)
    for each in (target, target.parent, folder):
        sync_folder(each)
    # Last: without it the folder is no export, and a crash leaves it to be gone on with.
    write_durably(folder / MANIFEST, encode(outcome.manifest))
    sync_folder(folder)
    return outcome


def _claim(folder: Path, mine: str, public: PublicKey) -> None:
    """Makes the folder an export of this archive to that key; ExportUnusable if it is not."""
    if not folder.is_dir() and not folder.parent.is_dir():
        raise ExportUnusable(path=folder, reason=f"there is no folder {folder.parent}")
    make_private(folder)
    label = folder / LABEL
    wanted = {"v": 1, "installation": mine, "to": public.id}
    if not label.exists():
        if any(folder.iterdir()):
            raise ExportUnusable(path=folder, reason="the folder is not empty and no export")
        write_durably(label, encode(wanted))
    try:
        found = json.loads(label.read_bytes())
    except (OSError, ValueError):
        found = None
    if found != wanted:
        raise ExportUnusable(path=folder, reason="it is another archive's, or for another key")
    for name in (OBJECTS, KEYS, CATALOGUE):
        make_private(folder / name)


def _require_room(means: Means, folder: Path, free: Callable[[Path], int]) -> None:
    needed = SPARE_BYTES
    for stored in means.store.list(""):
        path = object_path(folder / OBJECTS, stored.key)
        if not path.exists() or path.stat().st_size != stored.bytes:
            needed += stored.bytes
    there = free(folder)
    if there < needed:
        reason = f"{needed / 1e9:.2f} GB are still needed there, {there / 1e9:.2f} GB are free"
        raise ExportUnusable(path=folder, reason=reason)


# -- what is in it ---------------------------------------------------------------------


def _write_inventory(folder: Path, progress: Progress) -> dict[str, Any]:
    """Lists every object with what it is, as it lies in the export."""
    path = folder / INVENTORY
    path.unlink(missing_ok=True)
    lines, total = [], 0
    files = list(backup.object_files(folder / OBJECTS))
    for number, (key, file) in enumerate(files):
        size = file.stat().st_size
        total += size
        lines.append(json.dumps([key, size, backup.sha256_of(file)]) + "\n")
        progress("digests", number + 1, len(files))
    write_durably(path, "".join(lines).encode())
    return {"objects": len(files), "bytes": total, "sha256": backup.sha256_of(path)}


def _manifest(
    means: Means,
    target: Path,
    keys: Written,
    public: PublicKey,
    inventory: dict[str, Any],
    recordings: int,
    outcome: Outcome,
) -> dict[str, Any]:
    dump = target / DUMP
    manifest = {
        "v": 1,
        "program": __version__,
        "installation": installation(means.keys),
        "made_at": keys.made_at.isoformat(),
        "until": keys.until.isoformat(),
        "to": public.id,
        "folder": target.name,
        "dump": {"bytes": dump.stat().st_size, "sha256": backup.sha256_of(dump)},
        "inventory": inventory,
        "keys": {"name": keys.path.name, "sha256": backup.sha256_of(keys.path)},
        "recordings": recordings,
        "missing": outcome.missing,
        "damaged": outcome.damaged,
    }
    return manifest | {"mac": mac(means.keys.get("installation/reference"), manifest)}


def mac(key: bytes, manifest: dict[str, Any]) -> str:
    """What binds a manifest to the keys of its export: nobody else can have written it."""
    said = {name: value for name, value in manifest.items() if name != "mac"}
    context = seal.context("export-manifest", encode(said))
    return hmac.digest(key, context, hashlib.sha256).hex()


def fingerprint(manifest: dict[str, Any]) -> str:
    """16 hex digits that both sides can compare by telephone."""
    return hashlib.sha256(encode(manifest)).hexdigest()[:16]


# -- whether it opens ------------------------------------------------------------------


class _Files:
    """The objects of the export, as a vault reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, *, start: int, length: int, version: str | None = None) -> bytes:
        """As of a store; a file has no versions."""
        try:
            with object_path(self._folder, key).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError:
            raise ObjectMissing(key=key) from None


def _check(means: Means, folder: Path, outcome: Outcome, progress: Progress) -> int:
    """Opens every recording in the export by the keys that are here; how many there are.

    What came after the objects were listed is not in it, and is not missed.
    """
    vault = Vault(keys=means.keys, store=cast("Store", _Files(folder / OBJECTS)))
    checked = 0
    for rows in catalogue.pages(means.engine):
        with reading(means.engine) as connection:
            parts = catalogue.renditions(connection, [row.id for row in rows])
        for row in rows:
            if row.past_its_year(means.now()) and not row.held:
                continue
            opened = [_opens(means, vault, row, part, outcome) for part in (None, *parts[row.id])]
            checked += opened[0]
            progress("checking", checked, 0)
    return checked


def _opens(
    means: Means, vault: Vault, row: Recording, part: StoredRendition | None, outcome: Outcome
) -> bool:
    """Whether it does; what is missing or damaged is noted."""
    key = part.object_key if part else row.object_key
    try:
        for _ in vault.stream(row, part):
            pass
    except RootKeyAway:
        raise  # what cannot be opened now is not damaged
    except ObjectMissing:
        if means.store.head(key) is None and _is_named_still(means, row.id, key):
            outcome.missing.append(key)
        return False
    except ArchiveError:
        if _is_named_still(means, row.id, key):
            outcome.damaged.append(key)
        return False
    return True


def _is_named_still(means: Means, id: UUID, key: str) -> bool:
    """Whether the catalogue still names the object: it may have been erased or replaced since."""
    with reading(means.engine) as connection:
        row = catalogue.get(connection, id)
        return row is not None and not row.erasing and key in catalogue.object_keys(
            connection, [key]
        )  # fmt: skip
