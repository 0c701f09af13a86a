"""Searches that a person keeps: named, sealed, each under an opaque address that is theirs alone.

Only what is asked is kept, never what was found: run again, a search finds what its person may
see at that moment. Knows no requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from archive import seal
from archive.archive import Archive
from archive.db import reading, transaction
from archive.errors import NotFound, SealBroken, TooManySearches
from archive.formats.identifiers import mask_hetu
from archive.model import Actor
from archive.web.drawer import KEY

MOST = 50  # of one person
NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class Saved:
    """One kept search: its fields as they were filled in."""

    id: UUID
    name: str
    asked: Mapping[str, str]
    used_at: datetime


def save(archive: Archive, actor: Actor, *, name: str, asked: Mapping[str, str]) -> UUID:
    """Keeps a search; TooManySearches where the person has MOST already."""
    id, now = uuid4(), archive.now()
    body = {"name": mask_hetu(" ".join(name.split()))[:NAME_CHARS], "asked": dict(asked)}
    sealed = seal.seal(archive.keys.ensure(KEY), _context(id, actor), json.dumps(body).encode())
    with transaction(archive.engine) as connection:
        count = connection.execute(
            text("select count(*) from saved_search where person_id = :person"),
            {"person": UUID(actor.id)},
        ).scalar_one()
        if count >= MOST:
            raise TooManySearches(most=MOST)
        connection.execute(
            text("""insert into saved_search (id, person_id, created_at, used_at, sealed)
                values (:id, :person, :now, :now, :sealed)"""),
            {"id": id, "person": UUID(actor.id), "now": now, "sealed": sealed},
        )
    return id


def listed(archive: Archive, actor: Actor) -> list[Saved]:
    """The person's own, by name."""
    if actor.kind != "person":
        return []
    with reading(archive.engine) as connection:
        rows = connection.execute(
            text("select id, used_at, sealed from saved_search where person_id = :person"),
            {"person": UUID(actor.id)},
        ).all()
    found = [_opened(archive, actor, row.id, row.used_at, bytes(row.sealed)) for row in rows]
    return sorted((s for s in found if s is not None), key=lambda s: (s.name.casefold(), s.id))


def take(archive: Archive, actor: Actor, id: UUID) -> Saved:
    """One of the person's own, to be run now; NotFound for everybody else."""
    with transaction(archive.engine) as connection:
        row = connection.execute(
            text("""update saved_search set used_at = :now
                where id = :id and person_id = :person returning used_at, sealed"""),
            {"id": id, "person": UUID(actor.id), "now": archive.now()},
        ).first()
    found = row and _opened(archive, actor, id, row.used_at, bytes(row.sealed))
    if not found:
        raise NotFound()
    return found


def forget(archive: Archive, actor: Actor, id: UUID) -> None:
    """Deletes one of the person's own; NotFound for everybody else."""
    with transaction(archive.engine) as connection:
        gone = connection.execute(
            text("delete from saved_search where id = :id and person_id = :person"),
            {"id": id, "person": UUID(actor.id)},
        ).rowcount
    if not gone:
        raise NotFound()


def _opened(
    archive: Archive, actor: Actor, id: UUID, used_at: datetime, sealed: bytes
) -> Saved | None:
    try:
        body = json.loads(seal.unseal(archive.keys.ensure(KEY), _context(id, actor), sealed))
    except SealBroken:
        return None
    return Saved(id, body["name"], body["asked"], used_at)


def _context(id: UUID, actor: Actor) -> bytes:
    return seal.context("saved-search", str(id), actor.id)
