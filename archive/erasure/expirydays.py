"""What goes and what went, day by day: the figures behind the expiry calendar.

Counts rows and reads certificates; changes nothing. Who may know of holds and of restrictions
is told by the caller, and figures of neither leave here for anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from archive.db import transaction

EARLIEST, LATEST = date(2000, 1, 1), date(9000, 1, 1)


@dataclass(frozen=True, slots=True)
class Knows:
    """What the reader may be told of beside the bare days."""

    holds: bool = False
    restrictions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryDay:
    """One day on which years end.

    `kept` is what nothing keeps beyond the day: on a day that is over it is late. `held` outlives
    the day by a hold, `restricted` by a restriction; both 0 for those who may not know of them,
    and what is held within its year is then part of `kept`.
    """

    day: date
    kept: int = 0
    destroyed: int = 0
    held: int = 0
    restricted: int = 0
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRun:
    """One expiry run as far as it concerns a day. `certificate` holds what was signed of it."""

    run: UUID
    finished_at: datetime | None
    destroyed: int  # of this day
    early: int  # of these before their year was over
    closed: bool  # whether it closed the day: destroyed its key
    certificate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAccount:
    """All that is told of one day: figures, the runs that took from it, and what failed."""

    figures: ExpiryDay
    calls: int
    emails: int
    runs: tuple[DayRun, ...] = ()
    failed: tuple[tuple[str, int], ...] = ()  # reason and how many, by the last run


_KEEPS = "hold where recording_id = recording.id"
# A restricted recording is counted as nothing else, whether its year is over or not.
_COUNTS = f"""
    select cohort as day, count(*) filter (where what = 'kept') as kept,
        count(*) filter (where what = 'held') as held,
        count(*) filter (where what = 'live-held') as live_held,
        count(*) filter (where what = 'restricted') as restricted
    from (select cohort, case when restricted then 'restricted'
            when expires_at > :now and exists (select from {_KEEPS}
                and released_at is null) then 'live-held'
            when expires_at <= :now and exists (select from {_KEEPS}) then 'held'
            else 'kept' end as what
        from recording where cohort between :since and :until) as each
    group by cohort"""  # noqa: S608
_DAYS = text(f"""
    select day, closed_at, coalesce(kept, 0) as kept, coalesce(held, 0) as held,
        coalesce(live_held, 0) as live_held, coalesce(restricted, 0) as restricted,
        coalesce(destroyed, 0) as destroyed
    from cohort left join ({_COUNTS}) as counted using (day)
        left join (select cohort as day, count(*) as destroyed from expired
            where cohort between :since and :until group by cohort) as gone using (day)
    where day between :since and :until order by day""")  # noqa: S608


def days(
    engine: Engine,
    *,
    now: datetime,
    knows: Knows,
    since: date = EARLIEST,
    until: date = LATEST,
) -> list[ExpiryDay]:
    """Each day from `since` to `until` that has or had recordings, earliest first."""
    with transaction(engine) as connection:
        return _days(connection, now=now, knows=knows, since=since, until=until)


def _days(
    connection: Connection, *, now: datetime, knows: Knows, since: date, until: date
) -> list[ExpiryDay]:
    rows = connection.execute(_DAYS, {"now": now, "since": since, "until": until}).mappings()
    return [_day(row, knows) for row in rows]


def _day(row: RowMapping, knows: Knows) -> ExpiryDay:
    return ExpiryDay(
        day=row["day"],
        kept=row["kept"] if knows.holds else row["kept"] + row["live_held"],
        destroyed=row["destroyed"],
        held=row["held"] + row["live_held"] if knows.holds else 0,
        restricted=row["restricted"] if knows.restrictions else 0,
        closed_at=row["closed_at"],
    )


def account(engine: Engine, day: date, *, now: datetime, knows: Knows) -> DayAccount:
    """What is told of one day; figures of nothing where no year ends or ended on it."""
    with transaction(engine) as connection:
        found = _days(connection, now=now, knows=knows, since=day, until=day)
        calls, emails = _by_kind(connection, day, now=now, knows=knows)
        return DayAccount(
            figures=found[0] if found else ExpiryDay(day=day),
            calls=calls,
            emails=emails,
            runs=tuple(_runs(connection, day)),
            failed=tuple(_failed(connection, day, now=now)),
        )


def _by_kind(connection: Connection, day: date, *, now: datetime, knows: Knows) -> tuple[int, int]:
    """Calls and emails among what the day's `kept` counts."""
    held = f"and not exists (select from {_KEEPS} and released_at is null)" if knows.holds else ""
    row = connection.execute(
        text(f"""select count(*) filter (where kind = 'call') as calls,
                count(*) filter (where kind = 'email') as emails
            from recording where cohort = :day and not restricted and
                (expires_at > :now {held} or expires_at <= :now
                    and not exists (select from {_KEEPS}))"""),  # noqa: S608
        {"day": day, "now": now},
    ).one()
    return row.calls, row.emails


def _runs(connection: Connection, day: date) -> list[DayRun]:
    rows = connection.execute(
        text("""select run, finished_at, certificate, coalesce(n, 0) as n,
                coalesce(early, 0) as early,
                coalesce(certificate->'cohorts_closed' ? :written, false) as closed
            from expiry_run left join (select run, count(*) as n,
                    count(*) filter (where reason <> 'year') as early
                from expired where cohort = :day group by run) as gone using (run)
            where n > 0 or certificate->'cohorts_closed' ? :written
            order by started_at"""),
        {"day": day, "written": day.isoformat()},
    )
    return [
        DayRun(
            run=row.run,
            finished_at=row.finished_at,
            destroyed=row.n,
            early=row.early,
            closed=row.closed,
            certificate=row.certificate,
        )
        for row in rows
    ]


def _failed(connection: Connection, day: date, *, now: datetime) -> list[tuple[str, int]]:
    """What the last finished run could not destroy of the day's, and is still there."""
    rows = connection.execute(
        text("""select failed->>'reason' as reason, count(*) as n
            from (select certificate from expiry_run where certificate is not null
                    order by finished_at desc limit 1) as last,
                jsonb_array_elements(certificate->'failed') as failed
                join recording on recording.id = cast(failed->>'id' as uuid)
            where cohort = :day and expires_at <= :now and not restricted
            group by 1 order by 1"""),
        {"day": day, "now": now},
    )
    return [(row.reason, row.n) for row in rows]
