"""Whether a recording is gone, and how that is known: `archive prove-expired`.

Looks everywhere it could be: the signed lists, the keys, the store in every version, the search
index, the catalogue, and the newest backup of each destination. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from archive import catalogue, retention, seal
from archive.backups import backup, dumping
from archive.db import reading
from archive.erasure import certificates, journal, proofs
from archive.erasure.journal import Erasure
from archive.errors import ArchiveError, IndexDamaged, NotProven
from archive.keyring import keybackup
from archive.keys import KeysDirectory
from archive.model import Query
from archive.search import Index
from archive.storage import Store
from archive.vault import Vault

_PAGE = 5000  # documents of the index looked at in one go
_FEW = 5  # names that are listed where something is left


@dataclass(frozen=True, slots=True)
class Check:
    """One place that was looked at: `what` is a stable word, `left` what should not be there."""

    what: str
    where: str
    good: bool
    said: str
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That a recording is gone. `good`: every place was looked at, and nothing of it is left.

    `index`, `size` and `path` (hashes in hex) lead from the id to the certificate's Merkle root;
    without a certificate the signed entry of the erasure journal stands for it until tonight.
    """

    id: UUID
    reason: str
    gone_at: datetime
    backups_until: date
    certificate: dict[str, Any] | None
    index: int | None
    size: int | None
    path: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def good(self) -> bool:
        """Whether everything that was looked at is as it should be."""
        return all(check.good for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The proof in plain types."""
        plain = {
            "id": str(self.id),
            "gone_at": self.gone_at.isoformat(),
            "backups_until": self.backups_until.isoformat(),
        }
        return {"proven": self.good, **asdict(self), **plain}


def prove(
    vault: Vault,
    engine: Engine,
    index: Index,
    id: UUID,
    *,
    backups: Sequence[Path],
    backup_days: int,
) -> Proof:
    """The proof of one recording. NotProven where no list and no journal entry names it."""
    bundle = certificates.collect(vault)
    public = certificates.public_key(vault)
    name = _named_in(bundle, id, public)
    erasure = next((e for e in journal.valid(bundle, public) if e.id == id), None)
    if name is None and erasure is None:
        raise NotProven(id=id)
    certificate = bundle.certificates[name] if name else None
    gone_at = erasure.at if erasure else datetime.fromisoformat(str((certificate or {})["at"]))
    until = journal.gone_from_backups(gone_at, backup_days=backup_days)
    place, path = proofs.inclusion(bundle.lists[name] or [], id) if name else (None, [])
    return Proof(
        id=id,
        reason=erasure.reason if erasure else "year",
        gone_at=gone_at,
        backups_until=erasure.backups_until if erasure else until,
        certificate=certificate,
        index=place,
        size=len(bundle.lists[name] or []) if name else None,
        path=tuple(each.hex() for each in path),
        checks=(
            _certified(vault, engine, bundle, name, backups),
            _keys_gone(vault.keys, id, gone_at, erasure, _day_of(engine, id)),
            _objects_gone(vault.store, id),
            _row_gone(engine, id),
            _index_gone(index, id),
            *(_backup_opens_not(folder, id) for folder in backups),
        ),
    )


def _named_in(bundle: proofs.Bundle, id: UUID, public: bytes) -> str | None:
    """The certificate that holds and whose list has the id."""
    for name, ids in bundle.lists.items():
        if ids is not None and id in ids:
            certificate = bundle.certificates.get(name)
            if not list(proofs.certificate_problems(bundle, name, certificate, public)):
                return name
    return None


def _certified(
    vault: Vault,
    engine: Engine,
    bundle: proofs.Bundle,
    name: str | None,
    backups: Sequence[Path],
) -> Check:
    count, wrong = certificates.verify_all(vault, engine, backups=backups, bundle=bundle)
    said = f"in the list of {name}" if name else "in the erasure journal; certified tonight"
    return Check("certificate", f"{count} certificates", not wrong, said, tuple(wrong[:_FEW]))


def _day_of(engine: Engine, id: UUID) -> str | None:
    """The name of the key of the day it ended on, where the catalogue still knows."""
    with reading(engine) as connection:
        day = connection.execute(
            text("select cohort from expired where id = :id and reason <> 'certificate'"),
            {"id": id},
        ).scalar()
    return f"cohort/{day.isoformat()}" if day else None


def _keys_gone(
    keys: KeysDirectory, id: UUID, gone_at: datetime, erasure: Erasure | None, own: str | None
) -> Check:
    """No hold keeps it, and no key of a day that was over then, or of its own day, is left.

    The key of an early erased recording's day lives on for the others of that day: its own data
    key was wrapped in its row and envelope alone, and those are looked for elsewhere.
    """
    left = [name for name in keys.names("hold") if str(id) in name]
    if erasure is not None:
        said = f"its own key went with row and envelope; the key of {erasure.cohort} lives on"
        return Check("keys", str(keys.path), not left, said, tuple(left))
    today = retention.local(gone_at).date()
    over = [
        name for name in keys.names("cohort") if keybackup.is_over(name, today=today) or name == own
    ]
    said = f"no key of a day before {today} is left, and none of a hold on it"
    return Check("keys", str(keys.path), not left and not over, said, (*left, *over[:_FEW]))


def _objects_gone(store: Store, id: UUID) -> Check:
    """No version of any object of it, in whatever day's folder it lay."""
    left: list[str] = []
    folders = 0
    for folder in store.folders(backup.RECORDINGS):
        folders += 1
        left += [each.key for each in store.versions(f"{folder}{id}.")]
    said = f"no object of it, in any version, in {folders} days"
    return Check("objects", "object store", not left, said, tuple(left[:_FEW]))


def _row_gone(engine: Engine, id: UUID) -> Check:
    with reading(engine) as connection:
        row = catalogue.get(connection, id)
    left = () if row is None else (f"row of {id}",)
    return Check("catalogue", "catalogue", row is None, "no row of it", left)


def _index_gone(index: Index, id: UUID) -> Check:
    """Not among all that the index finds; what was taken out of a month is rewritten at night."""
    looked, after = 0, None
    try:
        while hits := index.find(Query(), limit=_PAGE, after=after):
            if any(hit.id == id for hit in hits):
                return Check("index", "search index", False, "found", (f"document of {id}",))
            looked += len(hits)
            after = (hits[-1].occurred_at, hits[-1].id)
    except IndexDamaged as error:
        return Check("index", "search index", False, error.message)
    return Check("index", "search index", True, f"not among {looked} documents")


# -- backups ---------------------------------------------------------------------------


def _backup_opens_not(folder: Path, id: UUID) -> Check:
    """The newest backup of a destination lacks it, or lacks every key that opens it."""
    where = str(folder)
    try:
        newest = backup.newest(folder)
        if newest is None:
            return Check("backup", where, True, "no finished backup")
        days = set(_days(folder, newest, id))
        names = keybackup.newest(folder / backup.KEYS).header.names
    except (ArchiveError, OSError) as error:
        return Check("backup", where, False, f"could not be read: {error}")
    opening = [n for n in names if n in days or (days and n.startswith("hold/") and str(id) in n)]
    if opening:
        said = f"that of {newest.made_at:%Y-%m-%d %H:%M} still opens it; the next one will not"
        return Check("backup", where, False, said, tuple(opening))
    found = "has sealed remains of it and no key to them" if days else "has nothing of it"
    return Check("backup", where, True, f"that of {newest.made_at:%Y-%m-%d %H:%M} {found}")


def _days(folder: Path, made: backup.Made, id: UUID) -> Iterator[str]:
    """Names of the day keys that rows and objects of the recording in a backup are sealed under."""
    row = dumping.row(made.folder / backup.DUMP, "recording", str(id))
    if row is not None:
        yield f"cohort/{row['cohort']}"
    for path in (folder / backup.OBJECTS / backup.RECORDINGS).glob(f"*/{id}.*"):
        with path.open("rb") as file:
            head = file.read(seal.HEAD_BYTES)
            envelope, _ = seal.Envelope.parse(head + file.read(seal.header_length(head)))
        yield f"cohort/{envelope.cohort.isoformat()}"
