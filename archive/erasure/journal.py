"""The journal of early erasures: one signed, write-once object for each, in store and backups.

A catalogue or a backup of before an erasure knows nothing of it; the journal tells whoever
restores one. An entry says which recording (a random id), when and why; the reference by which
its source would deliver it again is sealed under the key of its day, and dies with that key.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import retention, seal
from archive.backups import backup, destinations
from archive.config import Config
from archive.db import transaction
from archive.erasure import proofs
from archive.errors import ArchiveError, KeyDestroyed, KeyMissing, SealBroken, StoreUnavailable
from archive.keyring.keybackup import KeyBackups
from archive.keyring.keyfiles import make_private, write_durably
from archive.keys import KeysDirectory
from archive.model import Recording
from archive.vault import Vault, cohort_name

PREFIX = proofs.ERASURES


@dataclass(frozen=True, slots=True)
class Erasure:
    """One early erasure: `at` gone from everything live, `backups_until` from the last backup."""

    id: UUID
    at: datetime
    reason: str
    until: datetime
    backups_until: date
    cohort: date
    reference: bytes  # sealed


# -- writing ---------------------------------------------------------------------------


def note(
    connection: Connection,
    vault: Vault,
    recording: Recording,
    *,
    reason: str,
    backup_days: int,
    now: datetime,
) -> Erasure:
    """Notes the erasure in the catalogue, in the transaction that decides it.

    A crash after it leaves a row without an entry in the store, which `publish` carries through.
    """
    try:
        key = vault.keys.ensure(cohort_name(recording.cohort))
    except KeyDestroyed:
        key = os.urandom(seal.KEY)  # its year is over: nobody needs the reference any longer
    made = Erasure(
        id=recording.id,
        at=now,
        reason=reason,
        until=recording.expires_at,
        backups_until=gone_from_backups(now, backup_days=backup_days),
        cohort=recording.cohort,
        reference=seal.seal(key, _context(recording.id), recording.reference),
    )
    _insert(connection, made, entry_at=None)
    return made


def gone_from_backups(erased_at: datetime, *, backup_days: int) -> date:
    """The day (Helsinki) by whose end the last backup of before `erased_at` has been destroyed.

    A backup is let go by the daily run before its days are over (`backup.run`).
    """
    return retention.local(erased_at + timedelta(days=backup_days)).date()


def publish(vault: Vault, engine: Engine, config: Config, *, now: datetime) -> int:
    """Writes the entries that are not in the store yet, there and into each backup; how many.

    StoreUnavailable: then they stay to be written. A backup that cannot be reached gets its
    copy from the store in its next run.
    """
    with transaction(engine) as connection:
        waiting = _rows(connection, "entry_at is null")
    for erasure in waiting:
        key, content = object_key(erasure), _encoded(vault, erasure)
        vault.store.put_bytes(key, content)
        for folder in reachable_backups(config, vault.keys):
            with suppress(OSError, ArchiveError):
                _copy(folder, key, content)
        with transaction(engine) as connection:
            connection.execute(
                text("update erasure set entry_at = :now where id = :id"),
                {"now": now, "id": erasure.id},
            )
    return len(waiting)


def reachable_backups(config: Config, keys: KeysDirectory) -> list[Path]:
    """Folders and buckets with backups of this archive that are there."""
    known = {path.parent for path in KeyBackups(keys, now=_never, keep_days=1).destinations()}
    known |= set(destinations.named(config))
    return sorted(filter(_is_there, known), key=str)


def _is_there(folder: Path) -> bool:
    try:
        return (folder / backup.LABEL).is_file()
    except StoreUnavailable:
        return False


def _never() -> datetime:
    raise AssertionError("asked for the destinations alone")


def _copy(folder: Path, key: str, content: bytes) -> None:
    path = backup.object_path(folder / backup.OBJECTS, key)
    make_private(path.parent)
    with suppress(FileExistsError):
        write_durably(path, content)


def object_key(erasure: Erasure) -> str:
    """Where an entry lies."""
    return f"{PREFIX}{erasure.at.astimezone(UTC).date().isoformat()}/{erasure.id}.json"


def _encoded(vault: Vault, erasure: Erasure) -> bytes:
    body = {
        "version": 1,
        "kind": "erasure",
        "id": str(erasure.id),
        "at": erasure.at.astimezone(UTC).isoformat(),
        "reason": erasure.reason,
        "until": erasure.until.astimezone(UTC).isoformat(),
        "backups_until": erasure.backups_until.isoformat(),
        "cohort": erasure.cohort.isoformat(),
        "reference": base64.b64encode(erasure.reference).decode(),
    }
    signed = proofs.sign(vault.keys.ensure("installation/signing"), body)
    return json.dumps(signed, sort_keys=True).encode()


def _context(id: UUID) -> bytes:
    return seal.context("erased-reference", str(id))


# -- reading ---------------------------------------------------------------------------


def listed(connection: Connection, *, since: datetime) -> list[Erasure]:
    """Erasures since then, newest first."""
    return _rows(connection, "at >= :since", since=since)


def find(connection: Connection, id: UUID) -> Erasure | None:
    """The early erasure of this recording."""
    return next(iter(_rows(connection, "id = :id", id=id)), None)


def stored(vault: Vault) -> Iterator[Erasure]:
    """The entries in the store whose signature holds; a forged one erases nothing."""
    public = proofs.public_of(vault.keys.ensure("installation/signing"))
    bundle = proofs.Bundle()
    for each in vault.store.list(PREFIX):
        bundle.add(each.key, b"".join(vault.store.stream(each.key)))
    yield from valid(bundle, public)


def valid(bundle: proofs.Bundle, public: bytes) -> Iterator[Erasure]:
    """The entries of those that were read whose signature holds."""
    for name, entry in sorted(bundle.erasures.items()):
        if entry is not None and not list(proofs.erasure_problems(name, entry, public)):
            yield _decoded(entry)


def _decoded(entry: dict[str, Any]) -> Erasure:
    return Erasure(
        id=UUID(entry["id"]),
        at=datetime.fromisoformat(entry["at"]),
        reason=entry["reason"],
        until=datetime.fromisoformat(entry["until"]),
        backups_until=date.fromisoformat(entry["backups_until"]),
        cohort=date.fromisoformat(entry["cohort"]),
        reference=base64.b64decode(entry["reference"]),
    )


def _rows(connection: Connection, condition: str, **values: Any) -> list[Erasure]:
    rows = connection.execute(
        text(
            "select id, at, reason, until, backups_until, cohort, reference from erasure "  # noqa: S608
            f"where {condition} order by at desc, id"
        ),
        values,
    ).mappings()
    return [Erasure(**{**row, "reference": bytes(row["reference"])}) for row in rows]


def _insert(connection: Connection, erasure: Erasure, *, entry_at: datetime | None) -> None:
    connection.execute(
        text("""insert into erasure
                (id, at, reason, until, backups_until, cohort, reference, entry_at)
            values (:id, :at, :reason, :until, :backups_until, :cohort, :reference, :entry_at)
            on conflict (id) do update set entry_at = coalesce(erasure.entry_at, :entry_at)"""),
        {name: getattr(erasure, name) for name in erasure.__slots__} | {"entry_at": entry_at},
    )


# -- replaying -------------------------------------------------------------------------


def replay(
    connection: Connection, vault: Vault, erasure: Erasure, *, run: UUID, now: datetime
) -> bool:
    """Makes a catalogue of before the erasure know of it; whether it had the recording.

    `run` is the one whose certificate covers it, unless an earlier one does.
    """
    _insert(connection, erasure, entry_at=now)
    connection.execute(
        text("""insert into expired (id, cohort, run, reason) values (:id, :cohort, :run, :reason)
            on conflict do nothing"""),
        {"id": erasure.id, "cohort": erasure.cohort, "run": run, "reason": erasure.reason},
    )
    remember(connection, vault, erasure, now=now)
    return bool(
        connection.execute(
            text("delete from recording where id = :id"), {"id": erasure.id}
        ).rowcount
    )


def remember(connection: Connection, vault: Vault, erasure: Erasure, *, now: datetime) -> None:
    """Refuses the reference until its year would be over; afterwards nobody can read it."""
    if erasure.until <= now:
        return
    try:
        key = vault.keys.get(cohort_name(erasure.cohort))
        reference = seal.unseal(key, _context(erasure.id), erasure.reference)
    except (KeyDestroyed, KeyMissing, SealBroken):
        return
    connection.execute(
        text("""insert into erased_reference (reference, until) values (:r, :until)
            on conflict (reference) do update set until = excluded.until"""),
        {"r": reference, "until": erasure.until},
    )
