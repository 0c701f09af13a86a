"""An export of another installation taken into this empty one: `archive import`.

Everything of it is held against its manifest before anything here is changed; then the steps are
those of a restore, so what had ended meanwhile stays dead and what broke off is begun again.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from archive.archive import Archive
from archive.backups import backup, exporting, restoring
from archive.backups.backup import CATALOGUE, DUMP, KEYS, OBJECTS, Made
from archive.backups.exporting import INVENTORY, LABEL, MANIFEST, Progress
from archive.errors import ExportUnusable, KeyBackupUnusable
from archive.keyring.recovery import Contents, KeyBackup, PrivateKey

_SHOWN = 3  # names in a refusal


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is whole and this key's to open."""

    folder: Path
    manifest: dict[str, Any]
    contents: Contents

    @property
    def chosen(self) -> Made:
        """Its dump, as a restore takes it."""
        return Made(self.folder / CATALOGUE / str(self.manifest["folder"]), self.manifest)


def run(
    archive: Archive,
    folder: Path,
    private: PrivateKey,
    *,
    sample: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> tuple[Export, restoring.Outcome]:
    """Takes in the export in `folder`.

    NotEmpty, ExportUnusable (unfinished, over, another key's, changed on its way: names what)
    before anything here is changed.
    """
    export = opened(folder.absolute(), private, now=archive.now())
    check(export, progress)
    done = restoring.bring_back(
        archive, export.folder, private, chosen=export.chosen, contents=export.contents,
        sample=sample, progress=progress, exported=True,
    )  # fmt: skip
    return export, done


def opened(folder: Path, private: PrivateKey, *, now: datetime) -> Export:
    """The export with its keys. ExportUnusable."""
    if not (folder / LABEL).exists():
        raise ExportUnusable(path=folder, reason="it is no export")
    try:
        manifest = dict(json.loads((folder / MANIFEST).read_bytes()))
        until = datetime.fromisoformat(manifest["until"])
        path = folder / KEYS / Path(manifest["keys"]["name"]).name
        told = str(manifest["mac"])
    except FileNotFoundError:
        reason = "it is not finished: run archive export again where it comes from"
        raise ExportUnusable(path=folder, reason=reason) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ExportUnusable(path=folder, reason=f"its {MANIFEST} is damaged") from None
    try:
        sealed = KeyBackup.read(path)
        contents = sealed.open(private)
    except KeyBackupUnusable as error:
        raise ExportUnusable(path=folder, reason=error.message) from None
    # The keys' own header is what counts: it is sealed with them.
    ends = min(until, sealed.header.until or until)
    if ends <= now:
        reason = f"it ended on {ends:%Y-%m-%d}: destroy it, and make another"
        raise ExportUnusable(path=folder, reason=reason)
    key = contents.keys.get("installation/reference", b"")
    if not key or not hmac.compare_digest(told, exporting.mac(key, manifest)):
        raise ExportUnusable(path=folder, reason=f"its {MANIFEST} was changed")
    return Export(folder, manifest, contents)


def check(export: Export, progress: Progress) -> None:
    """ExportUnusable unless every file is as the manifest says, and there is no other object."""
    manifest, folder = export.manifest, export.folder
    for path, expected in (
        (export.chosen.folder / DUMP, manifest["dump"]["sha256"]),
        (folder / INVENTORY, manifest["inventory"]["sha256"]),
    ):
        if not path.is_file() or backup.sha256_of(path) != expected:
            raise ExportUnusable(path=folder, reason=f"{path.name} was changed or is missing")
    listed = [json.loads(line) for line in (folder / INVENTORY).read_text().splitlines()]
    wrong = []
    for number, (key, size, sha256) in enumerate(listed):
        path = backup.object_path(folder / OBJECTS, key)
        whole = path.is_file() and path.stat().st_size == size
        if not whole or backup.sha256_of(path) != sha256:
            wrong.append(f"{key} was changed or is missing")
        progress("checking", number + 1, len(listed))
    known = {key for key, _, _ in listed}
    others = (key for key, _ in backup.object_files(folder / OBJECTS) if key not in known)
    wrong += [f"{key} is not of it" for key in others]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ExportUnusable(path=folder, reason=", ".join(wrong[:_SHOWN]) + more)
