"""Openings: short-lived permissions to read one rendition in one session.

Knows rows of openings only. Whether the recording may still be seen is asked elsewhere, at
every use.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive.model import Actor

EXTEND_EVERY = timedelta(minutes=1)
_USED = text("""select recording_id, rendition, purpose, case_number, until from opening
    where token_digest = :token and session = :session and until > :now and not closed""")
_EXTEND = text("""update opening set until = greatest(until, :until)
    where token_digest = :token and not closed""")
_UNHURRIED = text("set local synchronous_commit to off")
_SERVED = text("update opening set bytes_served = bytes_served + :n where token_digest = :token")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a token opens."""

    recording_id: UUID
    rendition: str
    purpose: str
    case: str | None


def make(
    connection: Connection,
    *,
    now: datetime,
    life: timedelta,
    actor: Actor,
    recording_id: UUID,
    rendition: str,
    purpose: str,
    case: str | None,
) -> tuple[str, datetime]:
    """A new token (256 random bits, only its digest is stored) and until when it holds."""
    token = secrets.token_urlsafe(32)
    until = now + life
    connection.execute(
        text("""insert into opening (token_digest, session, recording_id, rendition, purpose,
                case_number, actor_id, made_at, until)
            values (:token, :session, :rid, :rendition, :purpose, :case, :actor, :now, :until)"""),
        {
            "token": digest(token),
            "session": actor.session,
            "rid": recording_id,
            "rendition": rendition,
            "purpose": purpose,
            "case": case,
            "actor": actor.id,
            "now": now,
            "until": until,
        },
    )
    return token, until


def use(
    connection: Connection, token: str, *, session: bytes, now: datetime, life: timedelta
) -> Opening | None:
    """The opening, if it holds and was made in this very session; use extends it.

    A player asks for many ranges: the row is written at most once a minute.
    """
    row = connection.execute(
        _USED, {"token": digest(token), "session": session, "now": now}
    ).first()
    if row is None:
        return None
    if row.until < now + life - EXTEND_EVERY:
        connection.execute(_EXTEND, {"token": digest(token), "until": now + life})
    return Opening(row.recording_id, row.rendition, row.purpose, row.case_number)


def served(connection: Connection, token: str, bytes_: int) -> None:
    """Adds to the sum of what was read through the opening, within a transaction.

    Not waited for until it is on the disk: a power cut may lose the last second's sums, never
    the entry that says that the recording was opened.
    """
    connection.execute(_UNHURRIED)
    connection.execute(_SERVED, {"n": bytes_, "token": digest(token)})


def close_over(connection: Connection, *, now: datetime) -> list[dict[str, Any]]:
    """Closes the openings whose time is over; what each of them served, for the audit log."""
    rows = connection.execute(
        text("""update opening set closed = true where not closed and until <= :now
            returning actor_id, recording_id, rendition, purpose, case_number, bytes_served"""),
        {"now": now},
    )
    return [dict(row._mapping) for row in rows]


def forget(connection: Connection, *, before: datetime) -> int:
    """Deletes closed openings older than that."""
    return connection.execute(
        text("delete from opening where closed and until < :before"), {"before": before}
    ).rowcount


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
