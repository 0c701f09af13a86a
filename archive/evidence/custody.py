"""Who did what with the recordings of a package and with its case, by the audit log.

Of other cases that a recording was opened for, the numbers stay out: they are other people's.
Knows rows; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive.casework import staff

MOST = 20_000  # entries, the newest
_TOLD = ("rendition", "attachment", "bytes", "fields", "kind", "holds", "package", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: `who` is a person's name, else what kind of thing it was.

    `number` and `hash` are its place in the archive's chained log; None where it had none yet.
    """

    at: datetime
    who: str
    verb: str
    recording: UUID | None
    purpose: str | None
    case: str | None  # "other" of another case
    detail: Mapping[str, Any]
    number: int | None
    hash: str | None

    def as_json(self, names: Mapping[UUID, str]) -> dict[str, Any]:
        """As it stands in the package; `names` are the recordings' numbers there."""
        return {
            "at": self.at.isoformat(),
            "who": self.who,
            "verb": self.verb,
            "recording": names.get(self.recording) if self.recording else None,
            "purpose": self.purpose,
            "case": self.case,
            "detail": dict(self.detail),
            "audit_number": self.number,
            "audit_hash": self.hash,
        }


def log(connection: Connection, number: str, recordings: Sequence[UUID]) -> list[Entry]:
    """Entries of the case itself and of these recordings, oldest first."""
    rows = connection.execute(
        text("""select * from (
                select id, at, actor_id, actor_kind, verb, recording_id, purpose, case_number,
                    detail, chain_no, hash
                from audit_event where recording_id = any(:ids)
                    or (recording_id is null and case_number = :n)
                order by id desc limit :most) as newest
            order by id"""),
        {"ids": list(recordings), "n": number, "most": MOST},
    ).all()
    names = staff.names(connection, {row.actor_id for row in rows})
    return [
        Entry(
            at=row.at,
            who=names.get(row.actor_id, row.actor_kind),
            verb=row.verb,
            recording=row.recording_id,
            purpose=row.purpose,
            case=row.case_number if row.case_number in {None, number} else "other",
            detail={k: v for k, v in row.detail.items() if k in _TOLD},
            number=row.chain_no,
            hash=bytes(row.hash).hex() if row.hash else None,
        )
        for row in rows
    ]
