"""Developing the service: fair samples of calls, scorecards, and what was scored.

A sample is drawn by chance, evenly over the agents of its line. Points are sealed under the
recording's data key and go with it, so results reach a year back and no further. Knows rows and
keys; not who may ask.
"""

from __future__ import annotations

import json
import random
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, RowMapping, text

from archive import catalogue, keys, seal
from archive.errors import KeyDestroyed, KeyMissing, NotFound
from archive.model import Actor, Descriptor, Recording
from archive.vault import Vault

MOST_CALLS = 50  # of a sample
CANDIDATES = 600  # of a line's calls, drawn by chance, among whose agents the sample is evened out
MOST_SCORES = 5000  # read for the results


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What calls are scored by: criteria, each from 1 to 5."""

    id: UUID
    name: str
    criteria: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Calls of a line between two days (both included), drawn at `at`; how many are left."""

    id: UUID
    line: str
    from_day: date
    to_day: date
    by: str
    at: datetime
    calls: int
    scored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Points by criterion, None where it did not apply, and a note."""

    scorecard: UUID
    by: str
    at: datetime
    points: tuple[int | None, ...]
    note: str

    @property
    def mean(self) -> float | None:
        """The mean of what applied."""
        given = [point for point in self.points if point is not None]
        return sum(given) / len(given) if given else None


def hidden(vault: Vault, descriptor: Descriptor) -> Descriptor:
    """What is left of a descriptor where nobody is to be known: line, time, masked places."""
    extra = descriptor.extra if isinstance(descriptor.extra, Mapping) else {}
    named = extra.get("channels")
    roles = named if isinstance(named, list) and set(named) <= {"agent", "customer"} else []
    return Descriptor(
        source="", source_ref="", occurred_at=descriptor.occurred_at,
        received_at=descriptor.received_at, kind=descriptor.kind, line=descriptor.line,
        direction=descriptor.direction, agent=code_of(vault, descriptor.agent),
        masked=descriptor.masked,
        extra={"channels": roles},
    )  # fmt: skip


def code_of(vault: Vault, agent: str | None) -> str | None:
    """A code for an agent: the same for the same one, and nothing about who that is."""
    if not agent:
        return None
    key = vault.keys.ensure("installation/pages")
    digest = keys.reference_digest(key, "quality-agent", agent.strip().casefold())
    letters = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(letters[byte % len(letters)] for byte in digest[:4])


# -- scorecards ------------------------------------------------------------------------


def scorecards(connection: Connection) -> list[Scorecard]:
    """Those in use, by name."""
    rows = connection.execute(
        text("select id, name, criteria from scorecard where retired_at is null order by name, at")
    ).mappings()
    return [_scorecard(row) for row in rows]


def scorecard(connection: Connection, id: UUID) -> Scorecard:
    """One, retired or not; NotFound."""
    row = (
        connection.execute(
            text("select id, name, criteria from scorecard where id = :id"), {"id": id}
        )
        .mappings()
        .first()
    )
    if row is None:
        raise NotFound()
    return _scorecard(row)


def put_scorecard(
    connection: Connection,
    actor: Actor,
    *,
    name: str,
    criteria: Sequence[str],
    instead_of: UUID | None,
    now: datetime,
) -> UUID:
    """A new scorecard, or one instead of another, by which what was scored stays readable."""
    if instead_of is not None:
        connection.execute(
            text("update scorecard set retired_at = :now where id = :id and retired_at is null"),
            {"id": instead_of, "now": now},
        )
    id = uuid4()
    connection.execute(
        text("""insert into scorecard (id, name, criteria, by, at)
            values (:id, :name, cast(:criteria as jsonb), :by, :now)"""),
        {"id": id, "name": name, "criteria": json.dumps(list(criteria)), "by": actor.id,
         "now": now},
    )  # fmt: skip
    return id


def _scorecard(row: RowMapping) -> Scorecard:
    return Scorecard(UUID(str(row["id"])), row["name"], tuple(row["criteria"]))


# -- samples ---------------------------------------------------------------------------


def lines(connection: Connection, *, now: datetime) -> list[str]:
    """Lines on which there are calls that can be played."""
    rows = connection.execute(
        text("""select distinct line from recording where kind = 'call' and expires_at > :now
            and not restricted and erasing_at is null order by line"""),
        {"now": now},
    ).scalars()
    return list(rows)


def draw(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    *,
    line: str,
    days: tuple[date, date],
    span: tuple[datetime, datetime],
    size: int,
    sees: Callable[[Recording], bool],
    now: datetime,
) -> UUID | None:
    """Draws a sample and keeps which calls it holds; None where there is none to draw.

    By chance among the calls that nobody scored yet, and evenly over their agents.
    """
    candidates = connection.execute(
        text("""select recording.id from recording
                join rendition on recording_id = recording.id and name = 'playback'
            where kind = 'call' and line = :line and occurred_at >= :first and occurred_at < :after
              and expires_at > :now and not restricted and erasing_at is null
              and not exists (select from quality_score where recording_id = recording.id)
            order by md5(:seed || recording.id) limit :most"""),
        {"line": line, "first": span[0], "after": span[1], "now": now, "most": CANDIDATES,
         "seed": secrets.token_hex(16)},
    ).scalars().all()  # fmt: skip
    rows = catalogue.get_many(connection, [UUID(str(id)) for id in candidates])
    drawn = _even(vault, [row for row in rows.values() if sees(row)], size)
    if not drawn:
        return None
    id = uuid4()
    connection.execute(
        text("""insert into quality_sample (id, line, from_day, to_day, by, at)
            values (:id, :line, :first, :last, :by, :now)"""),
        {"id": id, "line": line, "first": days[0], "last": days[1], "by": actor.id, "now": now},
    )
    connection.execute(
        text("""insert into quality_pick (sample_id, place, recording_id)
            values (:sample, :place, :recording)"""),
        [{"sample": id, "place": n, "recording": r} for n, r in enumerate(drawn, 1)],
    )
    return id


def _even(vault: Vault, rows: Sequence[Recording], size: int) -> list[UUID]:
    """Up to `size` of them, one of each agent after the other, in an order that says nothing."""
    of_agent: dict[str, list[UUID]] = defaultdict(list)
    chance = random.SystemRandom()
    for row in rows:
        try:
            of_agent[vault.descriptor(row).agent or ""].append(row.id)
        except (KeyDestroyed, KeyMissing):
            continue
    for ids in of_agent.values():
        chance.shuffle(ids)
    drawn: list[UUID] = []
    while len(drawn) < size and any(of_agent.values()):
        turn = [ids for ids in of_agent.values() if ids]
        chance.shuffle(turn)
        drawn += [ids.pop() for ids in turn[: size - len(drawn)]]
    chance.shuffle(drawn)
    return drawn


_SAMPLES = """select id, line, from_day, to_day, by, at,
    (select count(*) from quality_pick where sample_id = quality_sample.id) as calls,
    (select count(*) from quality_pick join quality_score using (recording_id)
        where sample_id = quality_sample.id and quality_score.by = quality_sample.by) as scored
    from quality_sample"""


def samples(connection: Connection, actor: Actor, *, limit: int = 50) -> list[Sample]:
    """The actor's own samples of which something is left, newest first."""
    rows = connection.execute(
        text(f"""select * from ({_SAMPLES} where by = :by) each
            where calls > 0 order by at desc limit :limit"""),  # noqa: S608
        {"by": actor.id, "limit": limit},
    ).mappings()
    return [Sample(**row) for row in rows]


def sample(connection: Connection, actor: Actor, id: UUID) -> Sample:
    """One of the actor's own; NotFound."""
    row = (
        connection.execute(
            text(f"{_SAMPLES} where id = :id and by = :by"), {"id": id, "by": actor.id}
        )
        .mappings()
        .first()
    )
    if row is None:
        raise NotFound()
    return Sample(**row)


def picks(connection: Connection, sample: UUID) -> dict[int, UUID]:
    """The recordings of a sample by their place in it."""
    rows = connection.execute(
        text("select place, recording_id from quality_pick where sample_id = :id order by place"),
        {"id": sample},
    )
    return {row.place: UUID(str(row.recording_id)) for row in rows}


# -- scores ----------------------------------------------------------------------------


def put_score(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    recording: Recording,
    *,
    card: Scorecard,
    points: Sequence[int | None],
    note: str,
    now: datetime,
) -> None:
    """Scores a call; a second time by the same person and card replaces the first."""
    body = json.dumps({"points": list(points), "note": note}).encode()
    connection.execute(
        text("""insert into quality_score (recording_id, scorecard_id, by, at, sealed)
            values (:id, :card, :by, :now, :sealed)
            on conflict (recording_id, scorecard_id, by)
            do update set at = excluded.at, sealed = excluded.sealed"""),
        {
            "id": recording.id, "card": card.id, "by": actor.id, "now": now,
            "sealed": seal.seal(vault.data_key(recording), _context(recording.id, card.id), body),
        },
    )  # fmt: skip


def scores(
    vault: Vault, connection: Connection, recordings: Mapping[UUID, Recording], *, by: str | None
) -> dict[UUID, list[Score]]:
    """What these calls were scored, newest first; by one person, or with `by` None by all."""
    rows = connection.execute(
        text("""select recording_id, scorecard_id, by, at, sealed from quality_score
            where recording_id = any(:ids) and (cast(:by as text) is null or by = :by)
            order by at desc limit :most"""),
        {"ids": list(recordings), "by": by, "most": MOST_SCORES},
    ).mappings()
    found: dict[UUID, list[Score]] = defaultdict(list)
    for row in rows:
        id, card = UUID(str(row["recording_id"])), UUID(str(row["scorecard_id"]))
        try:
            key = vault.data_key(recordings[id])
        except (KeyDestroyed, KeyMissing):
            continue
        said = json.loads(seal.unseal(key, _context(id, card), bytes(row["sealed"])))
        found[id].append(
            Score(
                scorecard=card,
                by=row["by"],
                at=row["at"],
                points=tuple(said["points"]),
                note=said["note"],
            )
        )
    return found


def scored_ids(connection: Connection, card: UUID) -> list[UUID]:
    """Recordings that were scored by a card, the latest at most."""
    rows = connection.execute(
        text("""select recording_id from quality_score where scorecard_id = :card
            order by at desc limit :most"""),
        {"card": card, "most": MOST_SCORES},
    ).scalars()
    return [UUID(str(id)) for id in rows]


def _context(recording: UUID, card: UUID) -> bytes:
    return seal.context("quality-score", str(recording), str(card))
