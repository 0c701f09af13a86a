"""What each source may deliver and what it delivered, day by day. The only SQL about it.

Days are UTC, like those of refusals. Knows counts and lines, never a recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Connection, text

SILENT_FOR = timedelta(hours=1)
WEEKS = 4  # the same hour of so many weeks before is a source's rhythm
LEAST_USUAL = 5  # recordings in that hour, below which silence means nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDay:
    """One day of a source. What was erased or expired since is no longer in `received`."""

    day: date
    received: int = 0
    calls: int = 0
    emails: int = 0
    empty: int = 0  # of no bytes
    undecodable: int = 0  # calls whose media does not play
    again: int = 0  # deliveries of what was there already
    refused: Mapping[str, int] = field(default_factory=dict)  # reason: how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source and its days, newest first. `lines` None: whatever its token or settings allow.

    `usual` is how many recordings come in an hour like the last one.
    """

    name: str
    lines: tuple[str, ...] | None
    last_arrival: datetime | None
    usual: int
    silent: bool
    days: tuple[SourceDay, ...]


# -- what may be delivered -------------------------------------------------------------


def lines_of(connection: Connection, source: str) -> frozenset[str] | None:
    """The lines a source may deliver for; None where it has no list, empty where none is left."""
    return _listed(
        connection.execute(
            text("select line from source_line where source = :s"), {"s": source}
        ).scalars()
    )


def allow(connection: Connection, *, source: str, line: str, by: str, now: datetime) -> None:
    """Adds a line to the source's list; from the first one on, no other line is taken."""
    connection.execute(
        text("""insert into source_line (source, line, added_by, added_at)
            values (:s, :l, :by, :now), (:s, '', :by, :now) on conflict do nothing"""),
        {"s": source, "l": line, "by": by, "now": now},
    )


def disallow(connection: Connection, *, source: str, line: str) -> bool:
    """Takes a line off the list; whether it was on it. An empty list lets nothing in."""
    return bool(
        connection.execute(
            text("delete from source_line where source = :s and line = :l and line <> ''"),
            {"s": source, "l": line},
        ).rowcount
    )


def unrestrict(connection: Connection, *, source: str) -> bool:
    """Throws the list away; whether there was one."""
    return bool(
        connection.execute(
            text("delete from source_line where source = :s"), {"s": source}
        ).rowcount
    )


def _listed(rows: Iterable[str]) -> frozenset[str] | None:
    """A list without the mark ('') that says that there is one."""
    found = frozenset(rows)
    return found - {""} if found else None


# -- what was delivered ----------------------------------------------------------------


def count_again(connection: Connection, *, source: str, now: datetime) -> None:
    """Counts one delivery of what was there already."""
    connection.execute(
        text("""insert into source_again (day, source, n) values (:day, :s, 1)
            on conflict (day, source) do update set n = source_again.n + 1"""),
        {"day": now.astimezone(UTC).date(), "s": source},
    )


def report(
    connection: Connection, *, now: datetime, days: int, known: Iterable[str] = ()
) -> list[Source]:
    """Every source that delivered, was refused or is `known`, by name; `days` back, today too."""
    since = now.astimezone(UTC).date() - timedelta(days=days - 1)
    figures: dict[tuple[str, date], dict[str, int]] = defaultdict(dict)
    refused: dict[tuple[str, date], dict[str, int]] = defaultdict(dict)
    for row in _received(connection, since):
        figures[row["source"], row["day"]] |= {n: row[n] for n in _FIGURES}
    for row in _rows(connection, "select day, source, n from source_again", since):
        figures[row["source"], row["day"]]["again"] = row["n"]
    for row in _rows(connection, "select day, source, reason, n from refusal", since):
        refused[row["source"], row["day"]][row["reason"]] = row["n"]
    lines, last, rhythm = _lines(connection), _last(connection, since), _rhythm(connection, now)
    names = {source for source, _ in (*figures, *refused)} | set(lines) | set(rhythm) | set(known)
    return [
        Source(
            name=name,
            lines=tuple(sorted(lines[name] - {""})) if name in lines else None,
            last_arrival=last.get(name),
            usual=int(median(rhythm[name][1:])) if name in rhythm else 0,
            silent=name in rhythm and _is_silent(rhythm[name]),
            days=tuple(
                SourceDay(day=day, refused=refused[name, day], **figures[name, day])
                for source, day in sorted({*figures, *refused}, reverse=True)
                if source == name
            ),
        )
        for name in sorted(names)
    ]


_FIGURES = ("received", "calls", "emails", "empty", "undecodable")


def _received(connection: Connection, since: date) -> list[Mapping[str, Any]]:
    rows = connection.execute(
        text("""select (received_at at time zone 'UTC')::date as day, source,
                count(*) as received,
                count(*) filter (where kind = 'call') as calls,
                count(*) filter (where kind = 'email') as emails,
                count(*) filter (where bytes = 0) as empty,
                count(*) filter (where kind = 'call' and error_code is not null) as undecodable
            from recording where received_at >= :since group by 1, 2"""),
        {"since": datetime(since.year, since.month, since.day, tzinfo=UTC)},
    )
    return [dict(row._mapping) for row in rows]


def _rows(connection: Connection, select: str, since: date) -> list[Mapping[str, Any]]:
    rows = connection.execute(text(f"{select} where day >= :since"), {"since": since})
    return [dict(row._mapping) for row in rows]


def _lines(connection: Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for source, line in connection.execute(text("select source, line from source_line")):
        found[source].add(line)
    return found


def _last(connection: Connection, since: date) -> dict[str, datetime]:
    """The last arrival of each source since then, or in the weeks that its rhythm is taken from."""
    earliest = datetime(since.year, since.month, since.day, tzinfo=UTC)
    rows = connection.execute(
        text("""select source, max(received_at) as last from recording
            where received_at >= :since group by source"""),
        {"since": earliest - timedelta(weeks=WEEKS)},
    )
    return {row.source: row.last.astimezone(UTC) for row in rows}


def _rhythm(connection: Connection, now: datetime) -> dict[str, list[int]]:
    """How many came in the last hour, and in the same hour of each of the weeks before."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * (WEEKS + 1))
    for weeks in range(WEEKS + 1):
        end = now - timedelta(weeks=weeks)
        rows = connection.execute(
            text("""select source, count(*) as n from recording
                where received_at > :start and received_at <= :end group by source"""),
            {"start": end - SILENT_FOR, "end": end},
        )
        for row in rows:
            found[row.source][weeks] = row.n
    return found


def _is_silent(counts: list[int]) -> bool:
    return counts[0] == 0 and median(counts[1:]) >= LEAST_USUAL
