"""The users of the archive: made, listed, given rights and addresses, locked out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from archive import permissions
from archive.accounts import names, passwords
from archive.accounts.passwords import NO_PASSWORD
from archive.archive import SYSTEM
from archive.auth.base import Common
from archive.casework import outgoing
from archive.db import reading, transaction
from archive.errors import (
    BadFields,
    BadRequest,
    FieldError,
    Forbidden,
    NameTaken,
    NotFound,
)
from archive.model import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One user, as an administrator sees it."""

    id: UUID
    name: str
    group: str
    lines: tuple[str, ...] | None
    companies: tuple[str, ...] | None
    created_at: datetime
    disabled_at: datetime | None
    by_provider: bool


class Register(Common):
    """What administrators do with users, and what users accept."""

    def create(
        self,
        name: str,
        group: str,
        password: str | None,
        lines: Iterable[str] | None = None,
        *,
        companies: Iterable[str] | None = None,
        by: Actor = SYSTEM,
    ) -> UUID:
        """A new user; without a password, one who comes in by a one-time link.

        BadFields names what does not do: name, group, password. NameTaken.
        """
        errors = names.name_errors(name)
        if password is not None:
            errors += passwords.errors(password, name)
        if group not in permissions.GROUPS:
            errors.append(FieldError("group", "one of " + ", ".join(permissions.GROUPS)))
        if errors:
            raise BadFields(errors=errors)
        id = uuid4()
        row = {
            "id": id,
            "name": name,
            "group": group,
            "hash": self._passwords.hash(password) if password is not None else NO_PASSWORD,
            "lines": names.unique(lines),
            "companies": names.unique(companies),
            "now": self._now(),
        }
        try:
            with transaction(self._engine) as connection:
                connection.execute(
                    text("""insert into person (id, name, "group", password_hash, lines, companies,
                            created_at)
                        values (:id, :name, :group, :hash, :lines, :companies, :now)"""),
                    row,
                )
                self._note(connection, by, "create-person", {"person": str(id), "group": group})
        except IntegrityError:
            raise NameTaken() from None
        return id

    def anybody(self) -> bool:
        """Whether some user who is not disabled has a password, or comes by the provider."""
        with reading(self._engine) as connection:
            return bool(
                connection.execute(
                    text("""select exists (select 1 from person p where disabled_at is null
                        and (password_hash <> '' or exists
                            (select 1 from identity where person_id = p.id)))""")
                ).scalar()
            )

    def people(self) -> list[Person]:
        """Every user, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                text("""select id, name, "group", lines, companies, created_at, disabled_at,
                        i.key is not null as by_provider
                    from person left join identity i on i.person_id = id order by lower(name)""")
            ).mappings()
            return [
                Person(
                    **dict(row)
                    | {
                        "lines": names.listed(row["lines"]),
                        "companies": names.listed(row["companies"]),
                    }
                )
                for row in rows
            ]

    def change_rights(
        self,
        id: UUID,
        *,
        group: str,
        lines: Iterable[str] | None,
        companies: Iterable[str] | None = None,
        by: Actor = SYSTEM,
    ) -> None:
        """Another group, lines, companies for a user; every session of theirs ends.

        Forbidden for one's own: nobody alters their own rights. BadFields, NotFound.
        """
        if str(id) == by.id:
            raise Forbidden(verb="alter one's own rights")
        if group not in permissions.GROUPS:
            expected = "one of " + ", ".join(permissions.GROUPS)
            raise BadFields(errors=[FieldError("group", expected)])
        given = {
            "group": group,
            "lines": names.unique(lines),
            "companies": names.unique(companies),
        }
        with transaction(self._engine) as connection:
            changed = connection.execute(
                text("""update person set "group" = :group, lines = :lines, companies = :companies
                    where id = :id and disabled_at is null"""),
                given | {"id": id},
            ).rowcount
            if not changed:
                raise NotFound()
            connection.execute(text("delete from session where person_id = :id"), {"id": id})
            self._note(connection, by, "change-rights", {"person": str(id)} | given)

    def mail_to(self, id: UUID, address: str | None, *, by: Actor = SYSTEM) -> None:
        """Where the person's notices are mailed to; None: nowhere. BadFields, NotFound."""
        if address is not None and not outgoing.is_address(address):
            raise BadFields(errors=[FieldError("email", "an email address")])
        with transaction(self._engine) as connection:
            changed = connection.execute(
                text("update person set email = :address where id = :id and disabled_at is null"),
                {"address": address, "id": id},
            )
            if changed.rowcount == 0:
                raise NotFound()
            detail = {"person": str(id), "set": address is not None}
            self._note(connection, by, "mail-address", detail)

    def mailed_to(self, id: UUID) -> str | None:
        """The address of the person's notices."""
        with reading(self._engine) as connection:
            found: str | None = connection.execute(
                text("select email from person where id = :id"), {"id": id}
            ).scalar()
        return found

    def disable(self, id: UUID, *, by: Actor = SYSTEM) -> None:
        """Locks a user out at once, with every session. NotFound if there is none (left)."""
        with transaction(self._engine) as connection:
            changed = connection.execute(
                text("""update person set disabled_at = :now
                    where id = :id and disabled_at is null"""),
                {"id": id, "now": self._now()},
            ).rowcount
            if not changed:
                raise NotFound()
            connection.execute(text("delete from session where person_id = :id"), {"id": id})
            connection.execute(text("delete from one_time_login where person_id = :id"), {"id": id})
            self._note(connection, by, "disable-person", {"person": str(id)})

    def agree(self, actor: Actor, version: str) -> None:
        """Accepts the commitment in the version that was shown. BadRequest if it is another one."""
        if version != self.commitment:
            raise BadRequest(reason="another version of the commitment counts today")
        with transaction(self._engine) as connection:
            connection.execute(
                text("update person set agreed_to = :to, agreed_at = :now where id = :id"),
                {"to": version, "now": self._now(), "id": UUID(actor.id)},
            )
            self._note(connection, actor, "accept-commitment", {"version": version})

    def agreed(self, id: UUID) -> tuple[str, datetime] | None:
        """Which version of the commitment the person accepted, and when."""
        with reading(self._engine) as connection:
            row = connection.execute(
                text("select agreed_to, agreed_at from person where id = :id"), {"id": id}
            ).first()
        return (row.agreed_to, row.agreed_at) if row and row.agreed_to else None
