"""Months of the search index that cannot be read or lack something: noticed, made anew by
themselves, and named to whoever searches meanwhile.

Notes lie in the catalogue: `index/damaged/M` until the worker takes it, `index/rebuilding/M`
(with the time it began) until every recording of the month is in the index again. Knows nothing
of engines' files and of rights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from archive import catalogue
from archive.db import reading, transaction
from archive.errors import IndexDamaged
from archive.search import Index

DAMAGED, REBUILDING = "damaged", "rebuilding"
_MONTH = "to_char(occurred_at at time zone 'UTC', 'YYYY-MM')"


def note_damage(engine: Engine, months: Iterable[str]) -> None:
    """Tells the worker that these months cannot be read."""
    found = sorted(months)
    if found:
        with transaction(engine) as connection:
            for month in found:
                catalogue.note_month(connection, DAMAGED, month)


def mend(engine: Engine, index: Index, *, now: datetime) -> list[str]:
    """Begins to make every noted month anew; the months."""
    with reading(engine) as connection:
        months = _noted(connection, DAMAGED)
    for month in months:
        rebuild(engine, index, month, now=now)
    return months


def rebuild(engine: Engine, index: Index, month: str, *, now: datetime) -> None:
    """Throws the month's index away and makes its recordings due for it.

    A crash between the steps leaves the note of the damage, and the month is made anew.
    """
    with transaction(engine) as connection:
        # First, so that no search takes the empty month for a whole one.
        catalogue.note_month(connection, DAMAGED, month)
        _begin(connection, month, now)
    index.drop(month)
    with transaction(engine) as connection:
        catalogue.reindex(connection, month=month, now=now)
        connection.execute(
            text("delete from installation where name = :name"),
            {"name": f"index/{DAMAGED}/{month}"},
        )


def lacking(connection: Connection, *, from_: datetime | None, to: datetime | None) -> list[str]:
    """The months between the two instants of which searches find not everything now."""
    first = from_.astimezone(UTC).strftime("%Y-%m") if from_ is not None else ""
    last = to.astimezone(UTC).strftime("%Y-%m") if to is not None else "9999-99"
    found = _noted(connection, DAMAGED, REBUILDING)
    return sorted(month for month in found if first <= month <= last)


def end_rebuilds(connection: Connection, *, now: datetime) -> list[str]:
    """The months of which everything is in the index again; they are noted no more."""
    rows = connection.execute(
        text(f"""delete from installation as note where name like :rebuilding and not exists (
                select from recording where index_due and erasing_at is null
                  and (index_next_at <= note.value::timestamptz or index_attempts > 0)
                  and {_MONTH} = substr(note.name, :from)
                  and state <> 'index-failed'
                  and (expires_at > :now
                    or exists (select from hold where recording_id = recording.id)))
            returning name"""),  # noqa: S608
        {
            "rebuilding": f"index/{REBUILDING}/%",
            "from": len(f"index/{REBUILDING}/") + 1,
            "now": now,
        },
    ).scalars()
    return sorted(name.rpartition("/")[2] for name in rows)


def _begin(connection: Connection, month: str, now: datetime) -> None:
    connection.execute(
        text("""insert into installation (name, value) values (:name, :now)
            on conflict (name) do update set value = excluded.value"""),
        {"name": f"index/{REBUILDING}/{month}", "now": now.isoformat()},
    )


def _noted(connection: Connection, *what: str) -> list[str]:
    rows = connection.execute(
        text("select name from installation where name like any(:names)"),
        {"names": [f"index/{each}/%" for each in what]},
    ).scalars()
    return sorted({name.rpartition("/")[2] for name in rows})


# -- reconciliation --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Count:
    """Of a month, by the catalogue: what the index must hold at least, and may at most."""

    least: int
    most: int


class Reconciler:
    """Compares catalogue and index month by month, every `every_s` at most and in at most `share`
    of the time.

    To be asked by whoever alone writes the index, between two writings. What differs twice in
    a row is made anew; so is what does not read back whole, and what another analyser made before
    the program was renewed, one month a round.
    """

    def __init__(
        self,
        engine: Engine,
        index: Index,
        *,
        now: Callable[[], datetime],
        every_s: float = 10,
        share: float = 0.02,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._index = index
        self._now = now
        self._every_s = every_s
        self._rest = 1 / share - 1  # seconds for each second of work
        self._monotonic = monotonic
        self._due = 0.0
        self._suspected: set[str] = set()
        self._some_stale = True  # until it is known that there is none: nothing makes one later
        self._read: list[str] = []  # months still to be read in this turn

    def step(self) -> list[str]:
        """The months that were found wanting and are being made anew; [] where it is not time."""
        began = self._monotonic()
        if began < self._due:
            return []
        differing = self._differing()
        found = (differing & self._suspected) | self._unreadable()
        self._suspected = differing - found
        found |= found or self._one_stale()
        for month in sorted(found):
            rebuild(self._engine, self._index, month, now=self._now())
        took = self._monotonic() - began
        self._due = self._monotonic() + max(self._every_s, self._rest * took)
        return sorted(found)

    def _differing(self) -> set[str]:
        with reading(self._engine) as connection:
            counts = _counts(connection)
            noted = set(_noted(connection, DAMAGED, REBUILDING))
        found = set()
        for month in (counts.keys() | set(self._index.months())) - noted:
            count = counts.get(month, _Count(0, 0))
            try:
                size = self._index.size(month)
            except IndexDamaged:
                size = -1
            if not count.least <= size <= count.most:
                found.add(month)
        return found

    def _one_stale(self) -> set[str]:
        """The newest month that another analyser made, while no other is being made anew."""
        if not self._some_stale:
            return set()
        with reading(self._engine) as connection:
            if _noted(connection, REBUILDING, DAMAGED):
                return set()
        try:
            stale = self._index.stale()
        except IndexDamaged:
            return set()
        self._some_stale = bool(stale)
        return set(sorted(stale)[-1:])

    def _unreadable(self) -> set[str]:
        self._read = self._read or sorted(self._index.months())
        return set(self._index.check(self._read.pop())) if self._read else set()


def _counts(connection: Connection) -> dict[str, _Count]:
    rows = connection.execute(
        text(f"""select coalesce(index_month, {_MONTH}) as month,
                count(*) filter (where index_month is not null and not restricted
                  and erasing_at is null) as least,
                count(*) as most
            from recording group by 1""")  # noqa: S608
    )
    return {row.month: _Count(row.least, row.most) for row in rows}
