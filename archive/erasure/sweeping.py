"""Objects that nothing needs any more are found and deleted: what crashes and broken uploads leave.

A prefix is a hint and never a reason to delete. An object goes only if no row names it, no
envelope that can still be opened speaks for it, it is older than 48 hours, and no restore is
unfinished; a sweep of more than one object in a hundred stops and asks. What is in doubt lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from uuid import UUID

from sqlalchemy import Engine, text

from archive import catalogue, rebuild
from archive.casework import holdterms
from archive.db import quick, transaction
from archive.errors import (
    KeyDestroyed,
    KeyMissing,
    ObjectMissing,
    RestoreUnfinished,
    SealBroken,
    SweepTooLarge,
)
from archive.keys import RESTORING_FILE
from archive.model import Descriptor, Recording, State
from archive.reception import complete_descriptor
from archive.storage import Stored
from archive.vault import Vault

AGE = timedelta(hours=48)
PREFIX = rebuild.PREFIX
_BATCH = 500


class Fate(StrEnum):
    """What becomes of an object that no row names."""

    GO = "go"
    YOUNG = "young"  # may be an upload whose row is still to come
    LIVES = "lives"  # an envelope speaks for it: `archive rebuild-catalogue` gives it a row
    UNSURE = "unsure"  # damaged, or its key is missing and not destroyed


@dataclass(slots=True)
class Findings:
    """What a look at the store found. Keys of objects; `total` counts all recordings' objects."""

    total: int = 0
    unreferenced: dict[str, Fate] = field(default_factory=dict)
    swept: list[str] = field(default_factory=list)
    uploads: int = 0  # in parts, given up

    def of(self, fate: Fate) -> list[str]:
        """The unreferenced objects of this fate."""
        return [key for key, its in self.unreferenced.items() if its is fate]

    @property
    def too_many(self) -> bool:
        """Whether more than one in a hundred would go: then something else is wrong."""
        return len(self.of(Fate.GO)) > max(1, self.total // 100)


def look(vault: Vault, engine: Engine, *, now: datetime) -> Findings:
    """Finds every object of a recording that no row names, and judges it; deletes nothing."""
    found = Findings()
    stems: dict[str, list[Stored]] = {}
    objects = iter(vault.store.list(PREFIX))
    while batch := list(islice(objects, _BATCH)):
        found.total += len(batch)
        named = _named(engine, [stored.key for stored in batch])
        for stored in batch:
            if stored.key not in named:
                stems.setdefault(stored.key.partition(".")[0], []).append(stored)
    for stem, unnamed in stems.items():
        for stored, fate in _judged(vault, engine, stem, unnamed, now):
            found.unreferenced[stored.key] = fate
    return found


def sweep(
    vault: Vault,
    engine: Engine,
    *,
    now: datetime,
    however_many: bool = False,
    step: Callable[[str], None] = lambda name: None,
) -> Findings:
    """Deletes what nothing needs, and ends uploads in parts that were left two days ago.

    RestoreUnfinished; SweepTooLarge unless `however_many`: then nothing was deleted.
    """
    _require_no_restore(vault)
    found = look(vault, engine, now=now)
    step("looked")
    if found.too_many and not however_many:
        raise SweepTooLarge(n=len(found.of(Fate.GO)), total=found.total)
    for keys in _batches(found.of(Fate.GO)):
        # Both once more: a restore or a rebuild may have begun since we looked.
        _require_no_restore(vault)
        named = _named(engine, keys)
        gone = [key for key in keys if key not in named]
        vault.store.delete(gone)
        found.swept += gone
    found.uploads = vault.store.abort_uploads(before=now - AGE)
    return found


def _require_no_restore(vault: Vault) -> None:
    if (vault.keys.path / RESTORING_FILE).exists():
        raise RestoreUnfinished(path=vault.keys.path)


def _named(engine: Engine, keys: list[str]) -> set[str]:
    with transaction(engine) as connection:
        return catalogue.object_keys(connection, keys)


def _judged(
    vault: Vault, engine: Engine, stem: str, unnamed: list[Stored], now: datetime
) -> Iterator[tuple[Stored, Fate]]:
    """The fate of each unnamed object of one recording."""
    try:
        id = UUID(stem.rpartition("/")[2])
    except ValueError:
        yield from ((stored, Fate.UNSURE) for stored in unnamed)
        return
    siblings = {each.key.partition(".")[2]: each for each in vault.store.list(stem + ".")}
    with transaction(engine) as connection:
        row = catalogue.get(connection, id)
    for stored in unnamed:
        written = vault.store.modified(stored.key)
        if written is None:
            continue  # gone since it was listed
        if now - written <= AGE:
            yield stored, Fate.YOUNG
            continue
        name = stored.key.partition(".")[2]
        if name.startswith("hold."):
            yield stored, _of_hold(vault, id, stored)
        elif row is not None:
            yield stored, _beside_row(row, name)
        else:
            yield stored, _without_row(vault, engine, id, siblings)


def _of_hold(vault: Vault, id: UUID, stored: Stored) -> Fate:
    """A hold lives as long as its key: its row may be lost with a newer catalogue."""
    try:
        return Fate.LIVES if holdterms.from_envelope(vault, id, stored) else _unless_held(vault, id)
    except ObjectMissing:
        return Fate.GO
    except (SealBroken, ValueError, KeyError):
        return Fate.UNSURE


def _unless_held(vault: Vault, id: UUID) -> Fate:
    """Goes, unless a hold's key for the recording lives that opens none of this."""
    return Fate.UNSURE if holdterms.has_key(vault, id) else Fate.GO


def _beside_row(row: Recording, name: str) -> Fate:
    """A rendition or an envelope that another one replaced; a newer envelope than the row lives."""
    kind, _, number = name.rpartition(".")
    if kind == "envelope" and number.isdigit():
        return Fate.LIVES if int(number) > row.envelope_seq else Fate.GO
    if row.state is State.RECEIVED:  # its describing may be under way, or lost with its row's news
        return Fate.UNSURE
    return Fate.GO if kind and number.isdigit() else Fate.UNSURE


def _without_row(vault: Vault, engine: Engine, id: UUID, siblings: dict[str, Stored]) -> Fate:
    """What its envelopes say, where they still open.

    An upload that broke off between object and row opens too: it goes where its sender came
    again (another recording has the reference) or where the recording was erased.
    """
    original = siblings.get("original")
    if original is None:
        return _unless_held(vault, id)  # a rendition of nothing
    try:
        recording, held = rebuild.recording_and_holds(vault, id, original, siblings, _complete)
    except KeyDestroyed:
        return _unless_held(vault, id)
    except (KeyMissing, SealBroken, ValueError, KeyError):
        return Fate.UNSURE
    except ObjectMissing:
        return Fate.GO
    if held:
        return Fate.LIVES
    return Fate.GO if _known_otherwise(engine, recording) else Fate.LIVES


def _complete(descriptor: Descriptor, sha256: str, length: int) -> Descriptor:
    return complete_descriptor(descriptor, sha256=sha256, length=length)


def _known_otherwise(engine: Engine, recording: Recording) -> bool:
    """Whether its reference belongs to another recording, or it is known to have been erased."""
    with quick(engine) as driver:
        if catalogue.is_known(driver, recording.reference):
            return True
    with transaction(engine) as connection:
        _, expired = catalogue.known(connection, [recording.id])
        erased = connection.execute(
            text("select from erased_reference where reference = :r"), {"r": recording.reference}
        ).first()
    return bool(expired) or erased is not None


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, _BATCH)):
        yield batch
