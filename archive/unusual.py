"""What stands out in who opened what: for somebody to look at, never a verdict.

Counts openings and readings by person and day in Helsinki; knows no names and no recordings. What
was looked at is an entry of the log itself, so it needs no table and cannot be taken back.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, text

DAYS = 30  # back
FEWEST = 30  # recordings a day that are never too many
TIMES = 4  # as many as is usual
NIGHT_FROM, NIGHT_TO = 22, 5  # hours in Helsinki
REVIEWED = "review-unusual"


class Kind(StrEnum):
    """Why it stands out."""

    MANY = "many"  # far more recordings than people usually meet in a day
    NIGHT = "night"  # opened at night
    OWN = "own"  # a party to it is the person's own number, as far as it is known
    COLLEAGUE = "colleague"  # a party to it is a colleague's


@dataclass(frozen=True, slots=True)
class Finding:
    """One person's day. `n` recordings; `usual` of everybody's days, at night 0."""

    actor_id: str
    day: date
    kind: Kind
    n: int
    usual: int

    @property
    def key(self) -> str:
        """What a review names it by."""
        return f"{self.actor_id}/{self.day}/{self.kind}"


def findings(connection: Connection, *, now: datetime) -> list[Finding]:
    """What stands out in the last days and nobody has looked at, newest first."""
    rows = connection.execute(
        text("""select actor_id, cast(at at time zone 'Europe/Helsinki' as date) as day,
                count(distinct recording_id) as n,
                count(distinct recording_id) filter (where verb = 'open' and (
                    extract(hour from at at time zone 'Europe/Helsinki') >= :night
                    or extract(hour from at at time zone 'Europe/Helsinki') < :morning)) as night,
                count(distinct recording_id) filter (where detail ->> 'near' = 'own') as own,
                count(distinct recording_id) filter (where detail ->> 'near' = 'colleague')
                    as colleague
            from audit_event
            where at >= :since and verb in ('open', 'read') and actor_kind = 'person'
            group by 1, 2"""),
        {"since": now - timedelta(days=DAYS), "night": NIGHT_FROM, "morning": NIGHT_TO},
    ).all()
    usual = round(statistics.median([row.n for row in rows])) if rows else 0
    found = [
        *(Finding(r.actor_id, r.day, Kind.MANY, r.n, usual) for r in rows
          if r.n > max(FEWEST, TIMES * usual)),
        *(Finding(r.actor_id, r.day, Kind.NIGHT, r.night, 0) for r in rows if r.night),
        *(Finding(r.actor_id, r.day, Kind.OWN, r.own, 0) for r in rows if r.own),
        *(Finding(r.actor_id, r.day, Kind.COLLEAGUE, r.colleague, 0) for r in rows if r.colleague),
    ]  # fmt: skip
    seen = _reviewed(connection, [each.key for each in found])
    left = [each for each in found if each.key not in seen]
    return sorted(left, key=lambda each: (each.day, each.actor_id, each.kind), reverse=True)


def _reviewed(connection: Connection, keys: Sequence[str]) -> set[str]:
    if not keys:
        return set()
    rows = connection.execute(
        text("""select detail ->> 'of' from audit_event
            where verb = :verb and detail ->> 'of' = any(:keys)"""),
        {"verb": REVIEWED, "keys": list(keys)},
    )
    return set(rows.scalars())
