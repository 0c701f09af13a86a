"""The end of an evidence package: its key first, then its object, then its row.

A package ends with its days, with any recording in it, or when somebody deletes it. Knows rows,
keys and objects; not who may ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import audit
from archive.db import transaction
from archive.errors import StoreUnavailable
from archive.model import Actor, Scope
from archive.vault import Vault

FOLDER, PREFIX = "evidence", "evidence/"
JOB = Actor(id="system", name="system", kind="system", group=None, scopes=frozenset(Scope))


def key_name(id: UUID) -> str:
    """Name of the package's key."""
    return f"{FOLDER}/{id}"


def end(
    vault: Vault, engine: Engine, id: UUID, *, reason: str, now: datetime, actor: Actor = JOB
) -> bool:
    """Ends a package for good; whether there was one.

    From the first step on nothing opens it. A crash after any step, or a store that is away
    (StoreUnavailable), leaves a row that `packages.tidy` finds.
    """
    with transaction(engine) as connection:
        row = connection.execute(
            text("""update evidence set state = 'ending', reason = :reason, claimed_by = null
                where id = :id returning case_number"""),
            {"id": id, "reason": reason},
        ).first()
    if row is None:
        return False
    vault.keys.destroy(key_name(id))
    vault.store.delete([each.key for each in vault.store.list(f"{PREFIX}{id}.")])
    with transaction(engine) as connection:
        if connection.execute(text("delete from evidence where id = :id"), {"id": id}).rowcount:
            audit.append(
                connection, at=now, actor=actor, verb="end-evidence", case=row.case_number,
                detail={"package": str(id), "reason": reason},
            )  # fmt: skip
    return True


def end_with(
    vault: Vault, engine: Engine, recordings: Iterable[UUID], *, reason: str, now: datetime
) -> int:
    """Ends every package with any of these recordings; how many.

    Their keys are destroyed on return, whatever becomes of the store.
    """
    with transaction(engine) as connection:
        found = with_any(connection, recordings)
    for id in found:
        with suppress(StoreUnavailable):
            end(vault, engine, id, reason=reason, now=now)
    return len(found)


def mark(connection: Connection, recordings: Iterable[UUID], *, reason: str) -> None:
    """From the transaction's end nobody is given a package with any of these recordings.

    `end_with` is to follow; where a crash comes between, `packages.tidy` ends them.
    """
    connection.execute(
        text("""update evidence set state = 'ending', reason = :reason, claimed_by = null
            where id in (select evidence_id from evidence_recording
                where recording_id = any(:ids))"""),
        {"ids": list(recordings), "reason": reason},
    )


def with_any(connection: Connection, recordings: Iterable[UUID]) -> list[UUID]:
    """Packages with any of these recordings in them."""
    rows = connection.execute(
        text("""select distinct evidence_id from evidence_recording
            where recording_id = any(:ids)"""),
        {"ids": list(recordings)},
    ).scalars()
    return [UUID(str(id)) for id in rows]
