"""Staff's own numbers and addresses, so that it stands out who opens what they are a party to.

Kept as keyed digests alone: what was given is told to nobody again. An administrator gives and
takes them away, a person gives their own. Knows no recordings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from archive.db import reading
from archive.errors import BadFields, FieldError
from archive.keys import keyed_digest

KINDS = ("phone", "email", "customer")
MOST = 20  # of one person
REMEMBERED = timedelta(seconds=30)
OWN, COLLEAGUES = "own", "colleague"

Identifier = tuple[str, str]  # kind, normal form; as archive/subjects.py makes them


@dataclass(frozen=True, slots=True)
class Given:
    """One that was given: its kind, never itself."""

    id: UUID
    kind: str
    given_at: datetime


class StaffNumbers:
    """What is known of staff, remembered for half a minute. Thread-safe.

    `key` gives the installation's key that the digests are made under.
    """

    def __init__(
        self, engine: Engine, *, key: Callable[[], bytes], now: Callable[[], datetime]
    ) -> None:
        self._engine, self._key, self._now = engine, key, now
        self._lock = threading.Lock()
        self._known: tuple[datetime, dict[bytes, set[str]]] | None = None

    def near(self, actor_id: str, identifiers: Iterable[Identifier]) -> str:
        """OWN where the actor is among them, COLLEAGUES where others of the staff are, else ""."""
        known = self._all()
        if not known:
            return ""
        key = self._key()
        whose = {
            person
            for each in identifiers
            if each[0] in KINDS
            for person in known.get(_digest(key, each), ())
        }
        if actor_id in whose:
            return OWN
        return COLLEAGUES if whose else ""

    def give(
        self, connection: Connection, person: UUID, identifiers: Iterable[Identifier], by: str
    ) -> None:
        """Adds what was typed, once. BadFields unless it is one whole number or address."""
        wanted = [each for each in identifiers if each[0] in KINDS]
        if len(wanted) != 1 or len(of(connection, person)) >= MOST:
            expected = f"one whole phone, email or customer number; {MOST} at most"
            raise BadFields(errors=[FieldError("number", expected)])
        connection.execute(
            text("""insert into staff_number (id, person_id, kind, digest, given_by, given_at)
                values (:id, :person, :kind, :digest, :by, :now)
                on conflict (person_id, digest) do nothing"""),
            {
                "id": uuid4(), "person": person, "kind": wanted[0][0], "by": by,
                "digest": _digest(self._key(), wanted[0]), "now": self._now(),
            },
        )  # fmt: skip
        with self._lock:
            self._known = None

    def _all(self) -> dict[bytes, set[str]]:
        now = self._now()
        with self._lock:
            if self._known is not None and timedelta(0) <= now - self._known[0] < REMEMBERED:
                return self._known[1]
        found: dict[bytes, set[str]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(text("select digest, person_id from staff_number")):
                found.setdefault(bytes(row.digest), set()).add(str(row.person_id))
        with self._lock:
            self._known = (now, found)
        return found


def of(connection: Connection, person: UUID) -> list[Given]:
    """What was given of the person, the oldest first."""
    rows = connection.execute(
        text("""select id, kind, given_at from staff_number where person_id = :id
            order by given_at, id"""),
        {"id": person},
    )
    return [Given(row.id, row.kind, row.given_at) for row in rows]


def take(connection: Connection, person: UUID, id: UUID) -> str | None:
    """Takes one away; its kind, None if there is none such of the person."""
    kind: str | None = connection.execute(
        text("delete from staff_number where id = :id and person_id = :person returning kind"),
        {"id": id, "person": person},
    ).scalar()
    return kind


def _digest(key: bytes, identifier: Identifier) -> bytes:
    return keyed_digest(key, "staff-number", *identifier)
