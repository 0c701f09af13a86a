"""Closing a complaint case, and opening it again: its holds end with it, after days of grace.

What closing would do is worked out first and shown; closing then does that or nothing. Knows
cases, holds and the clock; who may close is asked elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import audit, catalogue
from archive.casework import cases, holdrows, holds, notices
from archive.db import transaction
from archive.errors import ConsequencesChanged, HoldBeingPlaced, NotFound, SecondPersonNeeded
from archive.model import Actor, Hold, Recording
from archive.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What becomes of one recording whose hold ends with the case.

    `kept_by` names what keeps it all the same: "case" or "restriction"; else it goes at
    `gone_at`, the end of its year or of the days of grace, whichever comes later.
    """

    hold: Hold
    recording: Recording
    kept_by: str | None
    gone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """Of closing a case now. `digest` stands for all that is shown; `placing` forbids closing."""

    number: str
    grace_ends_at: datetime
    recordings: tuple[Consequence, ...]
    four_eyes: bool  # whether two people have to want it
    requested_by: str | None  # who asked for it already
    placing: bool
    digest: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing came to: `done`, or asked for until a second person does the same."""

    done: bool
    released: tuple[Hold, ...]


def consequences(
    connection: Connection, number: str, *, four_eyes: bool, grace: timedelta, now: datetime
) -> Consequences:
    """What closing the open case would do. NotFound, CaseClosed."""
    row = cases.require_open(connection, number)
    return _worked_out(
        connection, number, requested_by=row["close_requested_by"],
        four_eyes=four_eyes, grace=grace, now=now,
    )  # fmt: skip


def _worked_out(
    connection: Connection,
    number: str,
    *,
    requested_by: str | None,
    four_eyes: bool,
    grace: timedelta,
    now: datetime,
) -> Consequences:
    own = holdrows.in_force(connection, number)
    ids = [hold.recording_id for hold in own]
    rows = catalogue.get_many(connection, ids)
    others = [hold for hold in holdrows.of(connection, ids) if hold.case != number]
    placed = [hold for hold in own if hold.durable_at is not None]
    ends = now + grace
    found = tuple(_one(hold, rows[hold.recording_id], others, ends) for hold in placed)
    return Consequences(
        number=number,
        grace_ends_at=ends,
        recordings=tuple(sorted(found, key=lambda c: (c.recording.occurred_at, c.recording.id))),
        four_eyes=four_eyes and bool(own),
        requested_by=requested_by,
        placing=len(placed) < len(own),
        digest=_digest(number, found, others, grace),
    )


def _one(hold: Hold, recording: Recording, others: Sequence[Hold], ends: datetime) -> Consequence:
    beside = [other for other in others if other.recording_id == recording.id]
    lasting = {other.case for other in beside if other.released_at is None}
    kept_by = ("restriction" if lasting == {None} else "case") if lasting else None
    graces = [other.ends_at for other in beside if other.ends_at is not None]
    gone_at = None if lasting else max([ends, recording.expires_at, *graces])
    return Consequence(hold=hold, recording=recording, kept_by=kept_by, gone_at=gone_at)


def _digest(
    number: str, found: Sequence[Consequence], others: Sequence[Hold], grace: timedelta
) -> str:
    """Over holds, ends of years, other cases' holds; not over restrictions, which are secret."""
    said = [number, str(grace)]
    for each in sorted(found, key=lambda c: c.hold.id):
        said += [str(each.hold.id), each.recording.expires_at.isoformat()]
    said += sorted(f"{other.id} {other.ends_at}" for other in others if other.case is not None)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def close(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    number: str,
    *,
    seen: str,
    reason: str,
    four_eyes: bool,
    grace: timedelta,
    now: datetime,
) -> Closed:
    """Closes the case and releases its holds, all at once or not at all.

    With `four_eyes`, where it holds anything, the first person only asks for it. Closing again
    changes nothing. NotFound, CaseClosed, ConsequencesChanged unless `seen` is the digest of what
    it does, HoldBeingPlaced, SecondPersonNeeded.
    """
    with transaction(engine) as connection:
        # The case's row first, then the recordings by id: as placing a hold does it.
        row = cases.require_open(connection, number, lock=True)
        found = _worked_out(
            connection, number, requested_by=row["close_requested_by"],
            four_eyes=four_eyes, grace=grace, now=now,
        )  # fmt: skip
        if found.placing:
            raise HoldBeingPlaced()
        if found.digest != seen:
            raise ConsequencesChanged()
        if found.four_eyes and found.requested_by == actor.id:
            raise SecondPersonNeeded()
        if found.four_eyes and found.requested_by is None:
            _set(connection, number, close_requested_by=actor.id)
            audit.append(connection, at=now, actor=actor, verb="close-case-request", case=number)
            return Closed(False, ())
        released = _let_all_go(vault, connection, actor, found, grace=grace, now=now, reason=reason)
        _set(connection, number, closed_at=now, closed_by=actor.id)
        cases.add_note(
            vault, connection, number=number, kind="closing", by=actor, said=reason, now=now
        )
        audit.append(
            connection, at=now, actor=actor, verb="close-case", case=number,
            detail={"released": len(released)},
        )  # fmt: skip
    # A crash here leaves envelopes that hold on, for a catalogue that is rebuilt: what is in
    # doubt lives. The catalogue itself says that they were released.
    for hold in released:
        holds.tell_envelope(vault, engine, hold.id)
    return Closed(True, tuple(released))


def _let_all_go(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    found: Consequences,
    *,
    grace: timedelta,
    now: datetime,
    reason: str,
) -> list[Hold]:
    released = []
    for each in sorted(found.recordings, key=lambda c: c.recording.id):
        catalogue.get(connection, each.recording.id, lock=True)
        hold = holdrows.one(connection, each.hold.id)
        if hold is not None and hold.released_at is None:
            released.append(
                holds.let_go(
                    vault, connection, actor, hold,
                    grace=grace, now=now, reason=reason, tells=False,
                )
            )  # fmt: skip
    told: dict[UUID, datetime | None] = {}
    for hold in released:
        told |= dict.fromkeys(notices.reader(connection, hold.owner), hold.ends_at)
    for person, until in told.items():
        notices.tell(
            connection, [person], kind="case-closed",
            key=f"case-closed/{found.number}/{now.isoformat()}", case=found.number,
            until=until, now=now,
        )  # fmt: skip
    return released


def take_back_request(engine: Engine, actor: Actor, number: str, *, now: datetime) -> None:
    """Takes back that somebody asked for closing. NotFound, CaseClosed."""
    with transaction(engine) as connection:
        if cases.require_open(connection, number, lock=True)["close_requested_by"]:
            _set(connection, number, close_requested_by=None)
            audit.append(connection, at=now, actor=actor, verb="close-case-refuse", case=number)


def reopen(
    vault: Vault, engine: Engine, actor: Actor, number: str, *, reason: str, now: datetime
) -> list[UUID]:
    """Opens a closed case again; its recordings that are still in their days of grace.

    What was released stays so until it is held again. NotFound; an open case is left as it is.
    """
    with transaction(engine) as connection:
        row = connection.execute(
            text("select closed_at from complaint_case where number = :n for no key update"),
            {"n": number},
        ).first()
        if row is None:
            raise NotFound()
        if row.closed_at is not None:
            _set(connection, number, closed_at=None, closed_by=None, close_requested_by=None)
            cases.add_note(
                vault, connection, number=number, kind="reopening", by=actor, said=reason, now=now
            )
            audit.append(connection, at=now, actor=actor, verb="reopen-case", case=number)
        return holdrows.in_grace(connection, number)


def _set(connection: Connection, number: str, **columns: object) -> None:
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    connection.execute(
        text(f"update complaint_case set {sets} where number = :n"),  # noqa: S608
        {"n": number} | columns,
    )
