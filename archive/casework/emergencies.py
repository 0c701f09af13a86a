"""Emergency access: who opened which recording beyond their rights, why, and what a review found.

The reason and the review's note are sealed under the recording's data key and go with it; the row
stays. Knows rows and keys; not who may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from archive import seal
from archive.errors import KeyDestroyed, KeyMissing, SealBroken
from archive.model import Actor, Recording
from archive.vault import Vault

LIFE = timedelta(minutes=15)
_COLUMNS = """id, by, recording_id, begun_at, until, reason, reviewed_by, reviewed_at, outcome,
    note"""


class Outcome(StrEnum):
    """What somebody else found of it afterwards."""

    JUSTIFIED = "justified"
    NOT_NEEDED = "not-needed"  # another way would have done
    MISUSE = "misuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """One access. `reason` and `note` None: they went with the recording."""

    id: UUID
    by: str
    recording_id: UUID
    begun_at: datetime
    until: datetime
    reason: str | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    outcome: Outcome | None
    note: str | None


def begin(
    vault: Vault, connection: Connection, actor: Actor, recording: Recording, *, reason: str,
    now: datetime,
) -> UUID:  # fmt: skip
    """A new access, bound to the actor's session, for a quarter of an hour. KeyDestroyed."""
    id = uuid4()
    sealed = seal.seal(vault.data_key(recording), _context(id, "reason"), reason.encode())
    connection.execute(
        text("""insert into emergency (id, by, session, recording_id, begun_at, until, reason)
            values (:id, :by, :session, :recording, :now, :until, :reason)"""),
        {
            "id": id, "by": actor.id, "session": actor.session, "recording": recording.id,
            "now": now, "until": now + LIFE, "reason": sealed,
        },
    )  # fmt: skip
    return id


def recording_of(connection: Connection, actor: Actor, id: UUID, *, now: datetime) -> UUID | None:
    """Which recording the actor may open by this access, in this session and now."""
    found = connection.execute(
        text("""select recording_id from emergency where id = :id and by = :by
            and session = :session and until > :now"""),
        {"id": id, "by": actor.id, "session": actor.session, "now": now},
    ).scalar()
    return UUID(str(found)) if found else None


def is_open(connection: Connection, actor: Actor, recording: UUID, *, now: datetime) -> bool:
    """Whether some access of the actor's to the recording holds now, in this session."""
    return bool(
        connection.execute(
            text("""select exists (select 1 from emergency where recording_id = :recording
                and by = :by and session = :session and until > :now)"""),
            {"recording": recording, "by": actor.id, "session": actor.session, "now": now},
        ).scalar()
    )


def until_of(connection: Connection, id: UUID) -> datetime:
    """When the access ends."""
    found: datetime = connection.execute(
        text("select until from emergency where id = :id"), {"id": id}
    ).scalar_one()
    return found


def unreviewed(connection: Connection) -> list[UUID]:
    """Those that nobody else has reviewed, the oldest first."""
    rows = connection.execute(
        text("select id from emergency where reviewed_at is null order by begun_at, id")
    )
    return [UUID(str(id)) for id in rows.scalars()]


def ids(connection: Connection) -> list[UUID]:
    """The recordings that accesses are about."""
    return [
        UUID(str(id))
        for id in connection.execute(text("select distinct recording_id from emergency")).scalars()
    ]


def every(
    vault: Vault, connection: Connection, recordings: Mapping[UUID, Recording]
) -> list[Emergency]:
    """Each one, those to be reviewed first, then the newest; its words while the recording is."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from emergency
            order by reviewed_at is not null, begun_at desc, id"""),  # noqa: S608
    ).mappings()
    return [_emergency(vault, dict(row), recordings) for row in rows]


def one(connection: Connection, id: UUID) -> tuple[str, UUID] | None:
    """Whose it was and of which recording, if nobody has reviewed it; locked."""
    row = connection.execute(
        text("""select by, recording_id from emergency
            where id = :id and reviewed_at is null for update"""),
        {"id": id},
    ).first()
    return (row.by, UUID(str(row.recording_id))) if row else None


def review(
    vault: Vault, connection: Connection, actor: Actor, id: UUID, *, recording: Recording | None,
    outcome: Outcome, note: str, now: datetime,
) -> None:  # fmt: skip
    """Notes what was found of it; the note only while the recording's key is there."""
    sealed = None
    if note and recording is not None:
        try:
            sealed = seal.seal(vault.data_key(recording), _context(id, "note"), note.encode())
        except (KeyDestroyed, KeyMissing):
            sealed = None
    connection.execute(
        text("""update emergency set reviewed_by = :by, reviewed_at = :now, outcome = :outcome,
                note = :note where id = :id"""),
        {"by": actor.id, "now": now, "outcome": outcome.value, "note": sealed, "id": id},
    )


def _emergency(
    vault: Vault, row: dict[str, Any], recordings: Mapping[UUID, Recording]
) -> Emergency:
    id, recording = UUID(str(row["id"])), recordings.get(UUID(str(row["recording_id"])))
    for name in ("reason", "note"):
        row[name] = _said(vault, recording, id, name, row[name])
    row["outcome"] = Outcome(row["outcome"]) if row["outcome"] else None
    return Emergency(**row)


def _said(
    vault: Vault, recording: Recording | None, id: UUID, name: str, sealed: bytes | None
) -> str | None:
    if recording is None or sealed is None:
        return None
    try:
        return seal.unseal(vault.data_key(recording), _context(id, name), bytes(sealed)).decode()
    except (KeyDestroyed, KeyMissing, SealBroken):
        return None


def _context(id: UUID, name: str) -> bytes:
    return seal.context("emergency", str(id), name)
