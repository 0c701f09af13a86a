"""Early erasure by two people, where ARCHIVE_ERASE_FOUR_EYES says so: one asks, another confirms.

A request changes nothing about the recording: it is seen and expires as before, and the request
goes with it. Knows rows of requests; not who may erase, nor how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive import audit
from archive.casework import notices
from archive.errors import BadRequest, SecondPersonNeeded
from archive.model import Actor
from archive.permissions import DPO


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Somebody's wish to erase a recording. `by` is an actor's id, `by_name` None for a machine."""

    id: UUID
    reason: str
    by: str
    by_name: str | None
    at: datetime


def ask(
    connection: Connection, actor: Actor, id: UUID, *, reason: str, now: datetime
) -> ErasureRequest:
    """Notes the wish and tells the others of data protection. The recording's row is locked.

    Asked again by the same actor, the newer reason counts. SecondPersonNeeded where another one
    asked already: a machine never takes the place of a person.
    """
    before = of(connection, id)
    if before is not None and before.by != actor.id:
        raise SecondPersonNeeded()
    connection.execute(
        text("""insert into erasure_request (recording_id, reason, requested_by, requested_at)
            values (:id, :reason, :by, :now)
            on conflict (recording_id) do update set reason = excluded.reason,
                requested_by = excluded.requested_by, requested_at = excluded.requested_at"""),
        {"id": id, "reason": reason, "by": actor.id, "now": now},
    )
    others = connection.execute(
        text("""select id from person where "group" = :dpo and disabled_at is null
            and cast(id as text) <> :by order by id"""),
        {"dpo": DPO, "by": actor.id},
    ).scalars()
    notices.tell(
        connection, [UUID(str(each)) for each in others], kind="erasure-asked",
        key=f"erasure/{id}/{now.isoformat()}", recording=id, now=now,
    )  # fmt: skip
    audit.append(
        connection, at=now, actor=actor, verb="erase-request", recording_id=id,
        detail={"reason": reason},
    )  # fmt: skip
    found = of(connection, id)
    assert found is not None
    return found


def confirm(connection: Connection, actor: Actor, id: UUID, *, reason: str) -> None:
    """Nothing where another one asked for the same and a person confirms it.

    SecondPersonNeeded, BadRequest where it was asked for with another reason.
    """
    asked = of(connection, id)
    if asked is None or asked.by == actor.id or actor.kind != "person":
        raise SecondPersonNeeded()
    if asked.reason != reason:
        raise BadRequest(reason=f"it was asked for with the reason {asked.reason}")


def is_asked_by_another(connection: Connection, actor: Actor, id: UUID) -> bool:
    """Whether there is a request that this actor may confirm."""
    asked = of(connection, id)
    return asked is not None and asked.by != actor.id and actor.kind == "person"


def withdraw(connection: Connection, actor: Actor, id: UUID, *, now: datetime) -> bool:
    """Takes the request back; whether there was one. Anyone who may erase may do so."""
    gone = connection.execute(
        text("delete from erasure_request where recording_id = :id"), {"id": id}
    ).rowcount
    if gone:
        audit.append(connection, at=now, actor=actor, verb="erase-withdraw", recording_id=id)
    return bool(gone)


def of(connection: Connection, id: UUID) -> ErasureRequest | None:
    """The request about this recording."""
    return next(iter(_select(connection, "recording_id = :id", id=id)), None)


def waiting(connection: Connection) -> Sequence[ErasureRequest]:
    """Requests that nobody confirmed yet, oldest first; of what is still there for people."""
    return _select(
        connection,
        "exists (select from recording where id = recording_id and erasing_at is null)",
    )


def _select(connection: Connection, condition: str, **values: Any) -> list[ErasureRequest]:
    rows = connection.execute(
        text(f"""select recording_id, reason, requested_by, name, requested_at
            from erasure_request left join person on cast(person.id as text) = requested_by
            where {condition} order by requested_at, recording_id"""),  # noqa: S608
        values,
    )
    return [ErasureRequest(UUID(str(row[0])), *row[1:]) for row in rows]
