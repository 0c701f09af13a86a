"""What each source may deliver and what it delivered, day by day. The only SQL about it.

Days are UTC, like those of refusals. Knows counts and lines, never a recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import Connection, text

from archive import retention

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


# -- announced against received --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announced:
    """A recording that the sender says it sent: the references it may have, when, its number."""

    references: tuple[str, ...]
    at: datetime
    sequence: int | None = None

    @property
    def name(self) -> str:
        """What the sender calls it. May hold a phone number: for the operator's eyes alone."""
        return self.references[0]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What does not agree. Names are the sender's, ids are recordings'."""

    announced: int
    received: int
    missing: tuple[str, ...] = ()  # announced, not here
    unannounced: tuple[str, ...] = ()  # here, of the same days, and not announced
    repeated: tuple[str, ...] = ()  # announced more than once
    gaps: tuple[tuple[int, int], ...] = ()  # numbers that lack, from and to
    empty: tuple[str, ...] = ()  # here without a byte
    undecodable: tuple[str, ...] = ()  # here, and does not play
    clock: tuple[str, ...] = ()  # kept under a time that is not the announced one

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to look after."""
        return not any(getattr(self, name) for name in self.__slots__[2:])


CLOCK_AGREES = timedelta(minutes=5)


def reconcile(
    connection: Connection,
    *,
    source: str,
    announced: Sequence[Announced],
    reference: Callable[[str], bytes],
) -> Reconciled:
    """Compares what was announced with what is kept of the days (Helsinki) it was announced for."""
    if not announced:
        return Reconciled(0, 0)
    kept = _kept(connection, source, [one.at for one in announced])
    met: dict[bytes, _Kept] = {}
    missing, clock = [], []
    once: dict[tuple[str, ...], int] = defaultdict(int)
    for one in announced:
        once[one.references] += 1
        digests = [reference(name) for name in one.references]
        # A recording whose clock was wrong by days is kept outside the days asked for.
        found = next((kept[d] for d in digests if d in kept), None) or _by_reference(
            connection, digests
        )
        if found is None:
            missing.append(one.name)
            continue
        met[found.reference] = found
        if abs(found.occurred_at - one.at) > CLOCK_AGREES:
            clock.append(found.id)
    every = met | kept
    return Reconciled(
        announced=len(once),
        received=len(met),
        missing=tuple(dict.fromkeys(missing)),
        unannounced=tuple(one.id for d, one in kept.items() if d not in met),
        repeated=tuple(names[0] for names, n in once.items() if n > 1),
        gaps=_gaps(one.sequence for one in announced if one.sequence is not None),
        empty=tuple(one.id for one in every.values() if one.bytes == 0),
        undecodable=tuple(one.id for one in every.values() if one.bytes and one.broken),
        clock=tuple(dict.fromkeys(clock)),
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    id: str
    reference: bytes
    occurred_at: datetime
    bytes: int
    broken: bool


_KEPT = """select id, reference, occurred_at, bytes, kind = 'call' and error_code is not null
    as broken from recording where """


def _kept(connection: Connection, source: str, times: Sequence[datetime]) -> dict[bytes, _Kept]:
    first, last = retention.local(min(times)).date(), retention.local(max(times)).date()
    edges = (datetime.combine(day, time()) for day in (first, last + timedelta(days=1)))
    start, end = (retention.resolve_local(edge) for edge in edges)
    rows = connection.execute(
        text(_KEPT + "source = :s and occurred_at >= :start and occurred_at < :end"),
        {"s": source, "start": start, "end": end},
    )
    return {one.reference: one for one in map(_kept_row, rows)}


def _by_reference(connection: Connection, digests: Sequence[bytes]) -> _Kept | None:
    rows = connection.execute(text(_KEPT + "reference = any(:d)"), {"d": list(digests)})
    return next(map(_kept_row, rows), None)


def _kept_row(row: Any) -> _Kept:
    return _Kept(str(row.id), bytes(row.reference), row.occurred_at, row.bytes, row.broken)


def _gaps(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    there = sorted(set(numbers))
    return tuple((a + 1, b - 1) for a, b in pairwise(there) if b - a > 1)
