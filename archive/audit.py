"""The audit log: who did what, when, for which purpose; append-only and hash-chained.

Appending takes no lock: an entry is inserted unchained in the caller's transaction, and one
process at a time gives it its place in the chain soon after. Knows nothing of recordings
beyond their ids; never stores names, numbers or content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, text

from archive.model import Actor

CHAIN_LOCK = 7_401_002
GENESIS = hashlib.sha256(b"contact-archive/audit/1").digest()
_APPEND = """insert into audit_event
    (at, actor_id, actor_kind, verb, recording_id, purpose, case_number, detail)
    values (%(at)s, %(actor)s, %(kind)s, %(verb)s, %(rid)s, %(purpose)s, %(case)s,
        %(detail)s::jsonb)"""
_COLUMNS = "id, at, actor_id, actor_kind, verb, recording_id, purpose, case_number, detail"


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold: the chain number and what is wrong there."""

    chain_no: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, as it is read. `detail` holds no names, numbers or content."""

    id: int
    at: datetime
    actor_id: str
    actor_kind: str
    verb: str
    recording_id: UUID | None
    purpose: str | None
    case_number: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which entries are asked for; what is None does not matter. `to` is exclusive.

    `subjects`: entries that carry one of these digests; see `archive.subjects`.
    """

    recording_id: UUID | None = None
    actor_id: str | None = None
    verb: str | None = None
    purpose: str | None = None
    case_number: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    subjects: tuple[str, ...] | None = None


def append(
    connection: Connection | psycopg.Connection[Any],
    *,
    at: datetime,
    actor: Actor,
    verb: str,
    recording_id: UUID | None = None,
    purpose: str | None = None,
    case: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds one entry within the caller's transaction; durable when that commits.

    Over a connection of which each statement commits by itself (`db.quick`): durable on return.
    """
    row = {
        "at": at,
        "actor": actor.id,
        "kind": actor.kind,
        "verb": verb,
        "rid": recording_id,
        "purpose": purpose,
        "case": case,
        "detail": json.dumps(dict(detail or {})),
    }
    if isinstance(connection, Connection):
        connection.exec_driver_sql(_APPEND, row)
    else:
        connection.execute(_APPEND, row)


def chain(connection: Connection, *, limit: int = 1000) -> int:
    """Chains up to `limit` entries that have no place yet; 0 when there are none.

    Only one process chains at a time; another one's call returns 0 at once.
    """
    if not connection.execute(
        text("select pg_try_advisory_xact_lock(:k)"), {"k": CHAIN_LOCK}
    ).scalar():
        return 0
    number, link = head(connection)
    rows = connection.execute(
        text(
            f"select {_COLUMNS} from audit_event where chain_no is null "  # noqa: S608
            "order by id limit :n"
        ),
        {"n": limit},
    ).all()
    for row in rows:
        number += 1
        link = _link(link, number, row)
        connection.execute(
            text("update audit_event set chain_no = :no, hash = :hash where id = :id"),
            {"no": number, "hash": link, "id": row.id},
        )
    return len(rows)


def verify(connection: Connection) -> tuple[int, list[Break]]:
    """Number of chained entries, and each place where the chain does not hold."""
    breaks: list[Break] = []
    before: bytes | None = GENESIS
    expected, count = 1, 0
    for row in _chained(connection):
        count += 1
        if row.chain_no != expected:
            breaks.append(Break(expected, "entry missing"))
            expected = row.chain_no
            before = None
        link = _link(before, row.chain_no, row) if before is not None else bytes(row.hash)
        if link != bytes(row.hash):
            breaks.append(Break(row.chain_no, "entry altered or out of order"))
        before = bytes(row.hash)
        expected += 1
    return count, breaks


def head(connection: Connection) -> tuple[int, bytes]:
    """Number and hash of the last chained entry; of none: 0 and the chain's beginning."""
    last = connection.execute(
        text(
            "select chain_no, hash from audit_event where chain_no is not null "
            "order by chain_no desc limit 1"
        )
    ).first()
    return (last.chain_no, bytes(last.hash)) if last else (0, GENESIS)


def hashes(connection: Connection, numbers: Sequence[int]) -> dict[int, bytes]:
    """Hashes of the chained entries with these numbers, of those that are there."""
    rows = connection.execute(
        text("select chain_no, hash from audit_event where chain_no = any(:n)"),
        {"n": list(numbers)},
    )
    return {row.chain_no: bytes(row.hash) for row in rows}


def entries(
    connection: Connection, asked: Asked, *, before: int | None = None, limit: int = 100
) -> list[Entry]:
    """Entries newest first; `before` is the id of the last one seen."""
    conditions = ["true"]
    values: dict[str, Any] = {"limit": limit}
    for column, comparison, value in (
        ("recording_id", "=", asked.recording_id),
        ("actor_id", "=", asked.actor_id),
        ("verb", "=", asked.verb),
        ("purpose", "=", asked.purpose),
        ("case_number", "=", asked.case_number),
        ("at", ">=", asked.from_),
        ("at", "<", asked.to),
        ("id", "<", before),
    ):
        if value is not None:
            name = f"v{len(values)}"
            conditions.append(f"{column} {comparison} :{name}")
            values[name] = value
    source = "audit_event"
    if asked.subjects is not None:
        # Materialized, so that the index of subjects finds them: by the order that is asked for the
        # planner would rather walk the whole log backwards.
        source = "met"
        values["subjects"] = list(asked.subjects)
    met = f"""with met as materialized (select {_COLUMNS} from audit_event
        where detail ? 'subjects' and detail -> 'subjects' ?| :subjects)"""  # noqa: S608
    rows = connection.execute(
        text(
            f"{met if source == 'met' else ''} select {_COLUMNS} from {source} "  # noqa: S608
            f"where {' and '.join(conditions)} order by id desc limit :limit"
        ),
        values,
    ).mappings()
    return [Entry(**row) for row in rows]


def _chained(connection: Connection) -> Iterator[Any]:
    return iter(
        connection.execution_options(yield_per=2000).execute(
            text(
                f"select {_COLUMNS}, chain_no, hash from audit_event "  # noqa: S608
                "where chain_no is not null order by chain_no"
            )
        )
    )


def _link(head: bytes, number: int, row: Any) -> bytes:
    """SHA-256 over the former link and the entry in canonical JSON."""
    body = json.dumps(
        [
            number,
            row.id,
            row.at.astimezone(UTC).isoformat(),
            row.actor_id,
            row.actor_kind,
            row.verb,
            str(row.recording_id) if row.recording_id else None,
            row.purpose,
            row.case_number,
            row.detail,
        ],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(head + body.encode()).digest()
