"""Changing a hold that stays: another day of review, another owner.

Each change is told in the hold's sealed terms, with its reason, and follows into the envelope.
Knows holds; who may change them is asked elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import audit
from archive.casework import holdrows, holds, notices
from archive.casework.holdterms import Change
from archive.db import transaction
from archive.errors import HoldReleased, NotFound
from archive.model import Actor, Hold
from archive.vault import Vault


def extend(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    hold_id: UUID,
    *,
    review_on: date,
    reason: str,
    now: datetime,
) -> Hold:
    """Sets the day on which the hold is reviewed next. NotFound, HoldReleased."""
    with transaction(engine) as connection:
        hold = _in_force(connection, hold_id)
        was = hold.review_on.isoformat() if hold.review_on else None
        change = Change(now, actor.id, "review", was, review_on.isoformat(), reason)
        hold = _changed(vault, connection, replace(hold, review_on=review_on), change)
        notices.forget(connection, hold=hold.id)
        days = {"was": was, "review_on": review_on.isoformat()}
        _note(connection, actor, "hold-review", hold, days, now=now)
    holds.tell_envelope(vault, engine, hold.id)
    return hold


def hand_over(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    hold_id: UUID,
    *,
    owner: UUID,
    reason: str,
    now: datetime,
) -> Hold:
    """Makes another person the hold's owner, and tells them. NotFound, HoldReleased."""
    with transaction(engine) as connection:
        hold = give_to(
            vault, connection, actor, _in_force(connection, hold_id),
            owner=owner, reason=reason, now=now,
        )  # fmt: skip
    holds.tell_envelope(vault, engine, hold.id)
    return hold


def give_to(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    hold: Hold,
    *,
    owner: UUID,
    reason: str,
    now: datetime,
    tells: bool = True,
) -> Hold:
    """The same within the caller's transaction, which has locked the recording."""
    change = Change(now, actor.id, "owner", hold.owner, str(owner), reason)
    changed = _changed(vault, connection, replace(hold, owner=str(owner)), change)
    notices.forget(connection, hold=hold.id)
    if tells and str(owner) != actor.id:
        notices.tell(
            connection, [owner], kind="handed-over", key=f"handed-over/{hold.id}/{now.isoformat()}",
            case=hold.case, hold=hold.id, recording=hold.recording_id, day=hold.review_on, now=now,
        )  # fmt: skip
    _note(connection, actor, "hold-hand-over", changed, {"was": hold.owner}, now=now)
    return changed


def _in_force(connection: Connection, hold_id: UUID) -> Hold:
    hold = holdrows.locked(connection, hold_id)
    if hold is None or hold.durable_at is None:
        raise NotFound()
    if hold.released_at is not None:
        raise HoldReleased()
    return hold


def _changed(vault: Vault, connection: Connection, hold: Hold, change: Change) -> Hold:
    hold = holds.with_change(vault, connection, hold, change)
    connection.execute(
        text("""update hold set owner = :owner, review_on = :review_on, terms = :terms
            where id = :id"""),
        {name: getattr(hold, name) for name in ("id", "owner", "review_on", "terms")},
    )
    return hold


def _note(
    connection: Connection,
    actor: Actor,
    verb: str,
    hold: Hold,
    detail: dict[str, str | None],
    *,
    now: datetime,
) -> None:
    audit.append(
        connection,
        at=now,
        actor=actor,
        verb=verb,
        recording_id=hold.recording_id,
        case=hold.case,
        detail={"hold": str(hold.id), "owner": hold.owner} | detail,
    )
