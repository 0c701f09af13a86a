"""What verifying a contact came to: confirmed, different from what was said, or not found.

The note is sealed under the recording's data key and goes with it; where no recording was found,
under the key of the day on which a contact of that moment would end. Knows rows and keys; not
who may ask.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, RowMapping, text

from archive import catalogue, retention, seal
from archive.errors import KeyDestroyed, KeyMissing, NotFound, TooLateToUndo
from archive.model import Actor, Recording
from archive.vault import Vault, cohort_name

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is misread or misheard
_WRITTEN = re.compile(rf"V-?([{_ALPHABET}]{{4}})-?([{_ALPHABET}]{{4}})")
_COLUMNS = "id, reference, recording_id, cohort, outcome, by, at, undone_at, sealed"


class Outcome(StrEnum):
    """What was found when a customer's word was checked."""

    CONFIRMED = "confirmed"
    DIFFERENT = "different"  # there was a contact, but not as it was told
    NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One outcome. `note` None: it was undone, or its key is gone; so is `asked` then.

    `asked` is what was searched by where nothing was found.
    """

    reference: str
    recording_id: UUID | None
    outcome: Outcome
    by: str
    at: datetime
    undone_at: datetime | None
    note: str | None
    asked: Mapping[str, str]

    def may_be_undone(self, actor: Actor, now: datetime) -> bool:
        """Whether the actor recorded it, today in Helsinki, and it still stands."""
        same_day = retention.local(self.at).date() == retention.local(now).date()
        return self.undone_at is None and self.by == actor.id and same_day


def reference_of(typed: str) -> str | None:
    """The reference as it is kept, of one typed in any way; None if it is none."""
    found = _WRITTEN.fullmatch("".join(typed.upper().split()))
    return f"V-{found[1]}-{found[2]}" if found else None


def record(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    *,
    outcome: Outcome,
    note: str,
    recording: Recording | None,
    asked: Mapping[str, str],
    now: datetime,
) -> str:
    """Records an outcome; its reference. KeyDestroyed, KeyMissing."""
    id, reference = uuid4(), _new_reference()
    if recording is not None:
        day, key = recording.cohort, vault.data_key(recording)
    else:
        day = retention.cohort_of(retention.expires_at(now))
        catalogue.ensure_cohort(connection, day)  # or no night would destroy its key
        key = vault.keys.ensure(cohort_name(day))
    body = json.dumps({"note": note, "asked": dict(asked)}).encode()
    connection.execute(
        text(f"""insert into verification ({_COLUMNS})
            values (:id, :reference, :recording, :day, :outcome, :by, :now, null, :sealed)"""),  # noqa: S608
        {
            "id": id, "reference": reference, "recording": recording.id if recording else None,
            "day": day, "outcome": outcome.value, "by": actor.id, "now": now,
            "sealed": seal.seal(key, _context(id), body),
        },
    )  # fmt: skip
    return reference


def recording_of(connection: Connection, reference: str) -> UUID | None:
    """The recording that the reference speaks of, None if of none; NotFound."""
    return _id_or_none(_row(connection, reference)["recording_id"])


def one(
    vault: Vault, connection: Connection, reference: str, recording: Recording | None
) -> Verification:
    """The outcome of this reference; NotFound."""
    return _verification(vault, _row(connection, reference), recording)


def of(
    vault: Vault, connection: Connection, recordings: Mapping[UUID, Recording]
) -> dict[UUID, tuple[Verification, ...]]:
    """The outcomes that stand of each of these recordings that has any, newest first."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from verification
            where recording_id = any(:ids) and undone_at is null order by at desc, id"""),  # noqa: S608
        {"ids": list(recordings)},
    ).mappings()
    found: dict[UUID, tuple[Verification, ...]] = {}
    for row in rows:
        id = row["recording_id"]
        found[id] = (*found.get(id, ()), _verification(vault, row, recordings[id]))
    return found


def undo(connection: Connection, actor: Actor, found: Verification, *, now: datetime) -> None:
    """Takes an outcome back on its own day, with its note. TooLateToUndo."""
    if not found.may_be_undone(actor, now):
        raise TooLateToUndo()
    done = connection.execute(
        text("""update verification set undone_at = :now, sealed = null
            where reference = :reference and undone_at is null"""),
        {"now": now, "reference": found.reference},
    )
    if not done.rowcount:
        raise TooLateToUndo()


def _row(connection: Connection, reference: str) -> RowMapping:
    row = (
        connection.execute(
            text(f"select {_COLUMNS} from verification where reference = :r"),  # noqa: S608
            {"r": reference},
        )
        .mappings()
        .first()
    )
    if row is None:
        raise NotFound()
    return row


def _verification(vault: Vault, row: RowMapping, recording: Recording | None) -> Verification:
    said: dict[str, Any] = {"note": None, "asked": {}}
    if row["sealed"] is not None:
        try:
            key = _key(vault, row["cohort"], recording)
            said = json.loads(seal.unseal(key, _context(row["id"]), bytes(row["sealed"])))
        except (KeyDestroyed, KeyMissing):
            pass
    return Verification(
        reference=row["reference"],
        recording_id=_id_or_none(row["recording_id"]),
        outcome=Outcome(row["outcome"]),
        by=row["by"],
        at=row["at"],
        undone_at=row["undone_at"],
        **said,
    )


def _key(vault: Vault, day: date, recording: Recording | None) -> bytes:
    return vault.data_key(recording) if recording else vault.keys.get(cohort_name(day))


def _context(id: UUID) -> bytes:
    return seal.context("verification", str(id))


def _new_reference() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"V-{letters[:4]}-{letters[4:]}"


def _id_or_none(value: Any) -> UUID | None:
    return UUID(str(value)) if value is not None else None
