"""People whom an identity provider knows: by issuer and subject, never by name or address.

Of both only a digest under an installation key is stored. It stays with the person's row, so that
who was disabled stays out for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from archive.accounts import names
from archive.accounts.passwords import NO_PASSWORD
from archive.keys import keyed_digest

UNSUITABLE = re.compile(r"[^\w.@+ -]")
LONGEST_NAME = 56  # a number may follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Whom the provider's word leads to. `refusal`: why they do not come in, or nothing."""

    person: UUID | None
    refusal: str = ""  # "group", "disabled"
    is_new: bool = False
    group_before: str | None = None  # where it was another one


def digest(key: bytes, issuer: str, subject: str) -> bytes:
    """What a person of the provider's is known by."""
    return keyed_digest(key, "identity", issuer, subject)


def arrive(
    connection: Connection, key: bytes, *, name: str, group: str | None, now: datetime
) -> Arrival:
    """Finds the person, with the group of today, or makes one of this name without a password.

    Who has no group any longer, or a new one, loses every session there is.
    """
    connection.execute(  # two first log-ins of somebody make one user
        text("select pg_advisory_xact_lock(:k)"),
        {"k": int.from_bytes(key[:8], "big", signed=True)},
    )
    found = connection.execute(
        text("""select p.id, p."group", p.disabled_at from identity i
            join person p on p.id = i.person_id where i.key = :key"""),
        {"key": key},
    ).first()
    if found is not None and found.disabled_at is not None:
        return Arrival(person=found.id, refusal="disabled")
    if found is not None and found.group != group:
        connection.execute(text("delete from session where person_id = :id"), {"id": found.id})
    if group is None:
        return Arrival(person=found.id if found else None, refusal="group")
    if found is None:
        return Arrival(person=_make(connection, key, name, group, now), is_new=True)
    if found.group == group:
        return Arrival(person=found.id)
    connection.execute(
        text('update person set "group" = :group where id = :id'),
        {"group": group, "id": found.id},
    )
    return Arrival(person=found.id, group_before=found.group)


def is_same(connection: Connection, person: UUID, key: bytes) -> bool:
    """Whether the person is the one of this digest, and not disabled."""
    return bool(
        connection.execute(
            text("""select exists (select 1 from identity i join person p on p.id = i.person_id
                where i.key = :key and i.person_id = :id and p.disabled_at is null)"""),
            {"key": key, "id": person},
        ).scalar()
    )


def has(connection: Connection, person: UUID) -> bool:
    """Whether the person comes in by the identity provider."""
    return bool(
        connection.execute(
            text("select exists (select 1 from identity where person_id = :id)"), {"id": person}
        ).scalar()
    )


def forget(connection: Connection, person: UUID) -> bool:
    """Parts a person from the provider's; whether they were one."""
    return bool(
        connection.execute(
            text("delete from identity where person_id = :id"), {"id": person}
        ).rowcount
    )


def _make(connection: Connection, key: bytes, name: str, group: str, now: datetime) -> UUID:
    id = uuid4()
    connection.execute(
        text("""insert into person (id, name, "group", password_hash, created_at)
            values (:id, :name, :group, :hash, :now)"""),
        {
            "id": id,
            "name": _free_name(connection, _suitable(name)),
            "group": group,
            "hash": NO_PASSWORD,
            "now": now,
        },
    )
    connection.execute(
        text("insert into identity (key, person_id, made_at) values (:key, :id, :now)"),
        {"key": key, "id": id, "now": now},
    )
    return id


def _suitable(name: str) -> str:
    """The provider's word for somebody as a name of a user here."""
    kept = " ".join(UNSUITABLE.sub("", names.storable(name)).split())[:LONGEST_NAME].strip()
    return kept if kept and not names.name_errors(kept) else "user"


def _free_name(connection: Connection, wanted: str) -> str:
    """The name, with a number where another user has it already: a name alone proves nothing."""
    # One at a time: names are unique, and two newcomers may be called the same.
    connection.execute(text("select pg_advisory_xact_lock(hashtext('person-name'))"))
    taken = set(
        connection.execute(
            text("""select lower(name) from person
                where lower(name) = :name or starts_with(lower(name), :name || '-')"""),
            {"name": wanted.lower()},
        ).scalars()
    )
    if wanted.lower() not in taken:
        return wanted
    return next(
        f"{wanted}-{n}" for n in range(2, len(taken) + 3) if f"{wanted}-{n}".lower() not in taken
    )
