"""What people should know: reviews that are due, holds released or handed over to them.

A notice names ids, case numbers and days, never a person or a reason, so it may be mailed.
Knows rows of notices; not how they are worded or sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from archive import permissions, retention

_COLUMNS = """id, person_id, kind, case_number as case, hold_id as hold, recording_id as recording,
    day, until, made_at, seen_at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice to one person. `day` is a review or due date, `until` the end of days of grace."""

    id: UUID
    person_id: UUID
    kind: str
    case: str | None
    hold: UUID | None
    recording: UUID | None
    day: date | None
    until: datetime | None
    made_at: datetime
    seen_at: datetime | None


def reader(connection: Connection, owner: str) -> list[UUID]:
    """Whom to tell of what this owner has: the owner, or data protection where there is none.

    There is none where a machine placed the hold, or its person's account was disabled.
    """
    active = connection.execute(
        text("select id from person where cast(id as text) = :owner and disabled_at is null"),
        {"owner": owner},
    ).scalar()
    if active is not None:
        return [UUID(str(active))]
    rows = connection.execute(
        text('select id from person where "group" = :dpo and disabled_at is null order by id'),
        {"dpo": permissions.DPO},
    ).scalars()
    return [UUID(str(id)) for id in rows]


def tell(
    connection: Connection,
    people: Iterable[UUID],
    *,
    kind: str,
    key: str,
    now: datetime,
    on: date | None = None,
    case: str | None = None,
    hold: UUID | None = None,
    recording: UUID | None = None,
    day: date | None = None,
    until: datetime | None = None,
) -> int:
    """Tells each of them, as of the day `on` (today); again what was told on an earlier day.

    How many notices that makes.
    """
    made = 0
    for person in people:
        made += connection.execute(
            text("""insert into notice (id, person_id, kind, key, case_number, hold_id,
                    recording_id, day, until, told_on, made_at)
                values (:id, :person, :kind, :key, :case, :hold, :recording, :day, :until,
                    :today, :now)
                on conflict (person_id, key) do update set told_on = excluded.told_on,
                    made_at = excluded.made_at, until = excluded.until, seen_at = null,
                    mail_due = true
                where notice.told_on < excluded.told_on"""),
            {
                "id": uuid4(), "person": person, "kind": kind, "key": key, "case": case,
                "hold": hold, "recording": recording, "day": day, "until": until,
                "today": on or retention.local(now).date(), "now": now,
            },
        ).rowcount  # fmt: skip
    return made


def forget(connection: Connection, *, hold: UUID) -> None:
    """Takes back reminders of the hold's review: somebody has dealt with it."""
    connection.execute(
        text("delete from notice where hold_id = :hold and kind = 'review-due'"), {"hold": hold}
    )


def of(connection: Connection, person: UUID, *, limit: int = 200) -> list[Notice]:
    """The person's notices: those not yet seen first, then the newest."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from notice where person_id = :person
            order by seen_at is not null, made_at desc, id limit :limit"""),  # noqa: S608
        {"person": person, "limit": limit},
    ).mappings()
    return [Notice(**row) for row in rows]


def unseen(connection: Connection, person: UUID) -> int:
    """How many the person has not seen."""
    found: int = connection.execute(
        text("select count(*) from notice where person_id = :person and seen_at is null"),
        {"person": person},
    ).scalar_one()
    return found


def see(connection: Connection, person: UUID, *, now: datetime) -> int:
    """Notes that the person has seen every notice made until now."""
    return connection.execute(
        text("""update notice set seen_at = :now
            where person_id = :person and seen_at is null and made_at <= :now"""),
        {"person": person, "now": now},
    ).rowcount


def take_to_mail(connection: Connection) -> dict[UUID, list[Notice]]:
    """Notices that no mail told of yet, by person; from here on they count as mailed."""
    rows = connection.execute(
        text(f"update notice set mail_due = false where mail_due returning {_COLUMNS}")  # noqa: S608
    ).mappings()
    found: dict[UUID, list[Notice]] = {}
    for row in sorted(rows, key=_order):
        found.setdefault(row["person_id"], []).append(Notice(**row))
    return found


def _order(row: Any) -> tuple[Any, ...]:
    return (row["kind"], row["day"] or date.max, row["made_at"], row["id"])


def sweep(connection: Connection, *, before: datetime) -> int:
    """Drops old notices, seen or not."""
    return connection.execute(
        text("delete from notice where made_at < :before"), {"before": before}
    ).rowcount
