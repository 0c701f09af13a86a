"""Rows about legs of one call, and metadata that wait for their recording. The only SQL there.

Knows digests and sealed bytes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

WAITS = timedelta(days=30)  # metadata for their recording, before they are let go
MOST_LEGS = 50  # of one call that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaiting:
    """Metadata, sealed, and the digests of the references its recording may have."""

    name: bytes
    others: tuple[bytes, ...]
    id: UUID
    source: str
    arrived_at: datetime
    cohort: date
    wrapped_key: bytes
    sealed: bytes


def note(connection: Connection, id: UUID, call: bytes | None) -> None:
    """Which call a recording is a leg of; None: of none that is known."""
    if call is None:
        connection.execute(text("delete from call_leg where recording_id = :id"), {"id": id})
        return
    connection.execute(
        text("""insert into call_leg (recording_id, call)
            select id, :call from recording where id = :id
            on conflict (recording_id) do update set call = excluded.call"""),
        {"id": id, "call": call},
    )


def of_call(connection: Connection, call: bytes) -> list[UUID]:
    """The legs of a call, in order of time."""
    rows = connection.execute(
        text("""select l.recording_id from call_leg l join recording r on r.id = l.recording_id
            where l.call = :call order by r.occurred_at, r.id limit :most"""),
        {"call": call, "most": MOST_LEGS},
    )
    return list(rows.scalars())


def beside(connection: Connection, id: UUID) -> list[UUID]:
    """The other legs of a recording's call, in order of time."""
    call = connection.execute(
        text("select call from call_leg where recording_id = :id"), {"id": id}
    ).scalar()
    return [other for other in of_call(connection, bytes(call)) if other != id] if call else []


# -- what waits ------------------------------------------------------------------------


def wait(connection: Connection, given: Awaiting) -> None:
    """Keeps metadata until their recording comes; in place of what waits under the same name."""
    connection.execute(
        text("""insert into awaiting
                (name, others, id, source, arrived_at, cohort, wrapped_key, sealed)
            values (:name, :others, :id, :source, :arrived_at, :cohort, :wrapped_key, :sealed)
            on conflict (name) do update set others = excluded.others, id = excluded.id,
                cohort = excluded.cohort, wrapped_key = excluded.wrapped_key,
                sealed = excluded.sealed"""),
        {field: getattr(given, field) for field in given.__slots__}
        | {"others": list(given.others)},
    )


def waiting(connection: Connection, names: Sequence[bytes]) -> list[Awaiting]:
    """What waits under any of these names, locked until the transaction ends."""
    rows = connection.execute(
        text("""select * from awaiting where name = any(:names) or others && :names
            order by arrived_at, name for update"""),
        {"names": list(names)},
    )
    return [
        Awaiting(
            name=bytes(row.name),
            others=tuple(map(bytes, row.others)),
            id=row.id,
            source=row.source,
            arrived_at=row.arrived_at,
            cohort=row.cohort,
            wrapped_key=bytes(row.wrapped_key),
            sealed=bytes(row.sealed),
        )
        for row in rows
    ]


def came(connection: Connection, name: bytes) -> None:
    """Its recording is here and knows it."""
    connection.execute(text("delete from awaiting where name = :name"), {"name": name})
