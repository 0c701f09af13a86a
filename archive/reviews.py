"""Recordings that somebody should look at: not understood, or holding what they should not.

Nothing is kept from anybody by this: the recording is where it belongs, found and expired like
every other. The only SQL about it; knows ids and reasons, never what a recording says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive import transcripts
from archive.formats import cards
from archive.intake import CORRECTABLE
from archive.model import Descriptor, Kind
from archive.vault import Description

REASONS = (
    "card-number", "failed", "unread-email", "undecodable", "truncated", "empty", "metadata",
)  # fmt: skip
DONE_FOR = timedelta(days=7)  # how far back what was settled is counted
_OVERDUE = timedelta(hours=1)  # metadata whose recording lacks for so long are told
_GRAVE = frozenset(
    {
        "empty", "not an RFC 5322 message: Outlook .msg", "no header", "nested too deeply",
        "too many parts", "unknown encoding", "time limit", "memory limit", "parser failed",
        "Outlook .msg: damaged", "Outlook .msg: not a message", "Outlook .msg: time limit",
        "Outlook .msg: memory limit", "Outlook .msg: parser failed",
    }
)  # fmt: skip
_NAMED = frozenset({*CORRECTABLE, "occurred_at", "duration_s", "codec", "received_at", "envelope"})


@dataclass(frozen=True, slots=True)
class Review:
    """One recording with the reasons that nobody settled yet."""

    id: UUID
    reasons: tuple[str, ...]
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Lacking:
    """Metadata of a source whose recordings did not come: how many, since when the oldest."""

    source: str
    n: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How many wait by reason, how many wait at all, and how many were settled of late."""

    waiting: dict[str, int]
    recordings: int
    settled: int


def reasons(descriptor: Descriptor, description: Description) -> set[str]:
    """Why somebody should look at a recording that was just described."""
    found = set[str]()
    if descriptor.bytes == 0:
        found.add("empty")
    elif descriptor.kind is Kind.CALL and description.call is not None:
        if not description.call.decodes:
            found.add("undecodable")
        elif description.call.error_code:
            found.add("truncated")
    elif description.mail is not None and _GRAVE & set(description.mail.parse_errors):
        found.add("unread-email")
    if _NAMED & set(descriptor.warnings):
        found.add("metadata")
    if any(cards.find(words) for words in _words(descriptor, description)):
        found.add("card-number")
    return found


def holds_card(values: Iterable[Any]) -> bool:
    """Whether any of these metadata holds the number of a payment card."""
    return any(cards.find(words) for value in values for words in _strings(value))


def _words(descriptor: Descriptor, description: Description) -> Iterable[str]:
    yield from _strings(descriptor.notes)
    yield from _strings(descriptor.extra)
    yield from _strings(dict(descriptor.raw))
    yield description.text
    yield from (cue.text for cue in transcripts.said(descriptor, description))
    if description.mail is not None:
        yield description.mail.subject or ""
        yield from (attachment.name for attachment in description.mail.attachments)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


# -- rows ------------------------------------------------------------------------------


def note(connection: Connection, id: UUID, found: Collection[str], *, now: datetime) -> None:
    """What was found now, in place of what nobody settled; a settled reason stays settled."""
    connection.execute(
        text("""delete from review where recording_id = :id and settled_at is null
            and reason <> all(:found)"""),
        {"id": id, "found": list(found)},
    )
    for reason in found:
        add(connection, id, reason, now=now)


def add(connection: Connection, id: UUID, reason: str, *, now: datetime) -> None:
    """One more reason, unless it is known or was settled."""
    connection.execute(
        text("""insert into review (recording_id, reason, found_at)
            select id, :reason, :now from recording where id = :id on conflict do nothing"""),
        {"id": id, "reason": reason, "now": now},
    )


def settle(connection: Connection, id: UUID, *, by: str, now: datetime) -> int:
    """Marks every reason as settled; how many were not."""
    return connection.execute(
        text("""update review set settled_at = :now, settled_by = :by
            where recording_id = :id and settled_at is null"""),
        {"id": id, "by": by, "now": now},
    ).rowcount


_VISIBLE = """from review v join recording r on r.id = v.recording_id
    where v.settled_at is null and r.erasing_at is null and r.expires_at > :now
    and (cast(:lines as text[]) is null or r.line = any(:lines))
    and not exists (select from hold h where h.recording_id = r.id and h.case_number is null
        and h.durable_at is not null and h.ends_at is null)"""


def waiting(
    connection: Connection,
    *,
    now: datetime,
    lines: frozenset[str] | None,
    reason: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[Review]:
    """Unsettled ones on these lines, the oldest first; only such as have the reason."""
    having = "having bool_or(v.reason = :reason)" if reason else ""
    rows = connection.execute(
        text(f"""select v.recording_id as id, array_agg(v.reason order by v.reason) as reasons,
            min(v.found_at) as found_at {_VISIBLE} group by v.recording_id {having}
            order by found_at, id limit :limit offset :offset"""),
        _values(now, lines) | {"limit": limit, "offset": offset}
        | ({"reason": reason} if reason else {}),
    )  # fmt: skip
    return [Review(row.id, tuple(row.reasons), row.found_at) for row in rows]


def progress(connection: Connection, *, now: datetime, lines: frozenset[str] | None) -> Progress:
    """How the work stands, on these lines."""
    rows = connection.execute(
        text(f"select v.reason, count(*) as n {_VISIBLE} group by v.reason"),
        _values(now, lines),
    )
    by_reason = {row.reason: row.n for row in rows}
    whole = connection.execute(
        text(f"select count(distinct v.recording_id) {_VISIBLE}"),
        _values(now, lines),
    ).scalar_one()
    settled = connection.execute(
        text("select count(distinct recording_id) from review where settled_at > :since"),
        {"since": now - DONE_FOR},
    ).scalar_one()
    return Progress({r: by_reason[r] for r in REASONS if r in by_reason}, whole, settled)


def lacking(connection: Connection, *, now: datetime) -> list[Lacking]:
    """Metadata that wait for their recording for more than an hour, by source."""
    rows = connection.execute(
        text("""select source, count(*) as n, min(arrived_at) as oldest from awaiting
            where arrived_at < :since group by source order by source"""),
        {"since": now - _OVERDUE},
    )
    return [Lacking(row.source, row.n, row.oldest) for row in rows]


def _values(now: datetime, lines: frozenset[str] | None) -> dict[str, Any]:
    return {"now": now, "lines": None if lines is None else sorted(lines)}
