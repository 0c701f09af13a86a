"""Rows of holds: read, written, and what they mean for a day's end and for the index.

What a hold says is sealed and opened in `holdterms`; here it is bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from archive import audit, catalogue
from archive.model import Actor, Hold

_COLUMNS = """hold.id, recording_id, case_number as case, key, hold.cohort, hold.object_key, owner,
    review_on, placed_at, terms, wrapped, durable_at, requested_by, released_at, ends_at"""


# -- reading ---------------------------------------------------------------------------


def of(connection: Connection, ids: Sequence[UUID]) -> list[Hold]:
    """Every hold on these recordings, also those being placed and those in their grace period."""
    return _select(connection, "recording_id = any(:ids)", ids=list(ids))


def held_now(connection: Connection, now: datetime) -> frozenset[UUID]:
    """Every recording that is held for a case at this instant."""
    rows = connection.execute(
        text("""select distinct recording_id from hold where durable_at is not null
            and case_number is not null and (ends_at is null or ends_at > :now)"""),
        {"now": now},
    ).scalars()
    return frozenset(rows)


def one(connection: Connection, id: UUID) -> Hold | None:
    """The hold of this id."""
    found = _select(connection, "hold.id = :id", id=id)
    return found[0] if found else None


def in_force(connection: Connection, case: str) -> list[Hold]:
    """The case's holds that were not released, also those being placed; by recording."""
    found = _select(connection, "case_number = :case and released_at is null", case=case)
    return sorted(found, key=lambda hold: hold.recording_id)


def in_grace(connection: Connection, case: str) -> list[UUID]:
    """Recordings that the case held, released and not ended, that nothing of it holds again."""
    rows = connection.execute(
        text("""select distinct recording_id from hold as released
            where case_number = :case and released_at is not null and not exists (
                select from hold where case_number = :case and released_at is null
                    and recording_id = released.recording_id) order by 1"""),
        {"case": case},
    ).scalars()
    return [UUID(str(id)) for id in rows]


def durable(
    connection: Connection, *, due_on: date | None = None, case: str | None = None
) -> list[tuple[Hold, str | None]]:
    """Placed holds by review date, with their owners' names; those to be reviewed by `due_on`."""
    rows = connection.execute(
        text(f"""select {_COLUMNS}, person.name as owner_name
            from hold left join person on cast(person.id as text) = owner
            where durable_at is not null
              and (cast(:due as date) is null or (review_on <= :due and released_at is null))
              and (cast(:case as text) is null or case_number = :case)
            order by review_on nulls last, placed_at, hold.id"""),  # noqa: S608
        {"due": due_on, "case": case},
    ).mappings()
    return [(_row(row), row["owner_name"]) for row in rows]


def being_placed(connection: Connection) -> list[Hold]:
    """Holds whose envelope lacks: not acknowledged, and keeping their days from being destroyed."""
    return _select(connection, "durable_at is null")


def placed(connection: Connection) -> list[Hold]:
    """Every hold that counts, also in its grace period."""
    return _select(connection, "durable_at is not null")


def locked(connection: Connection, id: UUID) -> Hold | None:
    """The hold, read after its recording's row was locked."""
    hold = one(connection, id)
    if hold is None:
        return None
    catalogue.get(connection, hold.recording_id, lock=True)
    return one(connection, id)


# -- writing ---------------------------------------------------------------------------


def insert(connection: Connection, hold: Hold) -> int:
    """A new row; how many: 0 where it is there already."""
    values = {name: getattr(hold, name) for name in hold.__slots__}
    return connection.execute(
        text("""insert into hold (id, recording_id, case_number, key, cohort, object_key, owner,
                review_on, placed_at, terms, wrapped, durable_at, requested_by, released_at,
                ends_at)
            values (:id, :recording_id, :case, :key, :cohort, :object_key, :owner, :review_on,
                :placed_at, :terms, :wrapped, :durable_at, :requested_by, :released_at, :ends_at)
            on conflict do nothing"""),
        values,
    ).rowcount


def update_release(connection: Connection, hold: Hold) -> None:
    """Writes who asked for the release, when it was and until when it keeps, and the terms."""
    connection.execute(
        text("""update hold set requested_by = :requested_by, released_at = :released_at,
                ends_at = :ends_at, terms = :terms where id = :id"""),
        {
            name: getattr(hold, name)
            for name in ("id", "requested_by", "released_at", "ends_at", "terms")
        },
    )


def delete(connection: Connection, id: UUID) -> None:
    """Removes the row."""
    connection.execute(text("delete from hold where id = :id"), {"id": id})


def settle_restricted(connection: Connection, id: UUID, *, now: datetime) -> None:
    """Brings the recording's mark in line with its restrictions; the index follows."""
    connection.execute(
        text("""update recording set restricted = not restricted, index_due = true,
                index_next_at = :now, index_attempts = 0
            where id = :id and restricted <> exists (select from hold where recording_id = :id
                and case_number is null and durable_at is not null and released_at is null)"""),
        {"id": id, "now": now},
    )


def note(connection: Connection, actor: Actor, verb: str, hold: Hold, *, now: datetime) -> None:
    """The audit entry of a step in a hold's life."""
    audit.append(
        connection,
        at=now,
        actor=actor,
        verb=verb,
        recording_id=hold.recording_id,
        case=hold.case,
        detail={"hold": str(hold.id), "owner": hold.owner},
    )


# -- what they mean for the nightly run ------------------------------------------------


def may_close(connection: Connection, day: date) -> bool:
    """Whether no hold on the day's recordings lacks its envelope.

    To be asked after the cohort's row was locked, in a statement of its own: a hold is begun
    under the same lock, so it is either seen here or finds the day closed.
    """
    return (
        connection.execute(
            # From the few holds to their recordings, whatever the planner thinks: the other way
            # round would read the whole day.
            text("""select from hold where durable_at is null and :day =
                (select cohort from recording where recording.id = recording_id) limit 1"""),
            {"day": day},
        ).first()
        is None
    )


def begin_erasing(connection: Connection, ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    """Locks the recordings and marks those that nothing holds; from then on no hold is taken.

    The holds are read after the rows are locked: a hold committed before is seen, and one that
    comes later finds the mark (or no row).
    """
    locked = (
        connection.execute(
            text("""select id from recording where id = any(:ids) and expires_at <= :now
                order by id for update"""),
            {"ids": list(ids), "now": now},
        )
        .scalars()
        .all()
    )
    marked = connection.execute(
        text("""update recording set erasing_at = coalesce(erasing_at, :now)
            where id = any(:ids)
              and not exists (select from hold where recording_id = recording.id)
            returning id"""),
        {"ids": list(locked), "now": now},
    ).scalars()
    return [UUID(str(id)) for id in marked]


def count_kept(connection: Connection, *, now: datetime) -> dict[str, int]:
    """Recordings past their year that still live, by what keeps them; and `held`, all of them."""
    row = connection.execute(
        text("""select count(*) as held,
                count(*) filter (where restricted) as restricted,
                count(*) filter (where not restricted and complaint) as complaint,
                count(*) filter (where not restricted and not complaint) as released
            from (select restricted, exists (select from hold where recording_id = recording.id
                        and released_at is null) as complaint
                from recording where expires_at <= :now
                  and exists (select from hold where recording_id = recording.id)) as kept"""),
        {"now": now},
    ).one()
    return dict(row._mapping)


def index_months(connection: Connection, *, now: datetime) -> dict[UUID, str]:
    """Held recordings past their year that the index may still know, and in which month."""
    rows = connection.execute(
        text("""select id, coalesce(index_month,
                to_char(occurred_at at time zone 'UTC', 'YYYY-MM')) as index_month
            from recording where expires_at <= :now and (index_month is not null or index_due)
              and exists (select from hold where recording_id = recording.id)"""),
        {"now": now},
    )
    return {row.id: row.index_month for row in rows}


def unindexed(connection: Connection, ids: Iterable[UUID]) -> None:
    """Notes that the index knows these no more."""
    connection.execute(
        text("""update recording set index_month = null, index_due = false
            where id = any(:ids)"""),
        {"ids": list(ids)},
    )


# -- rows ------------------------------------------------------------------------------


def _select(connection: Connection, condition: str, **values: Any) -> list[Hold]:
    rows = connection.execute(
        text(f"select {_COLUMNS} from hold where {condition} order by placed_at, hold.id"),  # noqa: S608
        values,
    ).mappings()
    return [_row(row) for row in rows]


def _row(row: RowMapping) -> Hold:
    values = {name: row[name] for name in Hold.__slots__}
    values["terms"] = bytes(values["terms"])
    if values["wrapped"] is not None:
        values["wrapped"] = bytes(values["wrapped"])
    return Hold(**values)
