"""Who is asking: a password, a session, a token or a one-time link becomes an Actor.

Knows people, their sessions and machine tokens, and nothing of recordings or HTTP. Passwords
are argon2id; of every token only its SHA-256 is stored; of who tried to log in, and from
where, only digests under an installation key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from archive import audit, permissions
from archive.accounts import names, passwords
from archive.accounts.attempts import ATTEMPT_WINDOW, Attempts
from archive.accounts.names import digest
from archive.accounts.passwords import NO_PASSWORD, Passwords
from archive.accounts.tokens import Token, Tokens
from archive.archive import SYSTEM
from archive.casework import outgoing
from archive.db import database_errors, transaction
from archive.errors import (
    BadCredentials,
    BadFields,
    BadSetting,
    FieldError,
    Forbidden,
    NameTaken,
    NotFound,
)
from archive.model import Actor, Purpose

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
ONE_TIME_LIFE = timedelta(minutes=30)
SEEN_STEP = timedelta(seconds=30)  # how exactly the last use of a session is known

_SESSION_COLUMNS = 'p.id, p.name, p."group", p.lines, p.companies'


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is logged in. `csrf` must come back with every form; `language` if chosen."""

    actor: Actor
    csrf: str
    language: str | None


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


class People:
    """The people and machines that may ask. Thread-safe; one a process.

    `pepper` gives the key under which names and addresses of attempts are digested, `group_days`
    how far back people of a group see.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        pepper: Callable[[], bytes],
        group_days: Iterable[tuple[str, int]] = (),
    ) -> None:
        self._group_days = dict(group_days)
        for name in self._group_days.keys() - permissions.GROUPS.keys():
            raise BadSetting(name="ARCHIVE_GROUP_DAYS", reason=f"there is no group {name}")
        self._engine = engine
        self._now = now
        self._passwords = Passwords()
        self._attempts = Attempts(engine, now=now, pepper=pepper)
        self._tokens = Tokens(engine, now=now)
        self._swept_at: datetime | None = None

    # -- people ----------------------------------------------------------------------

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
        """Whether some user who is not disabled has a password."""
        with self._reading() as connection:
            return bool(
                connection.execute(
                    text("""select exists (select 1 from person
                        where disabled_at is null and password_hash <> '')""")
                ).scalar()
            )

    def has_password(self, id: str) -> bool:
        """Whether the user has chosen a password."""
        return self._stored_password(id) != NO_PASSWORD

    def choose_password(self, actor: Actor, old: str, new: str, *, address: str) -> None:
        """The person's own new password; every other session of theirs ends.

        BadCredentials if they have one and `old` is not it, TooManyAttempts as at the log-in,
        BadFields if `new` does not do.
        """
        stored = self._stored_password(actor.id)
        if stored != NO_PASSWORD:
            self._attempts.count(actor.name, address)
            if not self._passwords.verify(stored, old):
                raise BadCredentials()
        if errors := passwords.errors(new, actor.name):
            raise BadFields(errors=errors)
        hashed = self._passwords.hash(new)
        with transaction(self._engine) as connection:
            connection.execute(
                text("update person set password_hash = :hash where id = :id"),
                {"hash": hashed, "id": UUID(actor.id)},
            )
            connection.execute(
                text("""delete from session
                    where person_id = :id and token_digest <> :this"""),
                {"id": UUID(actor.id), "this": actor.session},
            )
            self._attempts.forget(connection, actor.name)
            self._note(connection, actor, "choose-password", {})

    def _stored_password(self, id: str) -> str:
        with self._reading() as connection:
            stored: str | None = connection.execute(
                text("select password_hash from person where id = :id"), {"id": UUID(id)}
            ).scalar()
        return stored or NO_PASSWORD

    def people(self) -> list[Person]:
        """Every user, by name."""
        with self._reading() as connection:
            rows = connection.execute(
                text("""select id, name, "group", lines, companies, created_at, disabled_at
                    from person order by lower(name)""")
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
        with self._reading() as connection:
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

    # -- log in and out --------------------------------------------------------------

    def login(self, name: str, password: str, address: str) -> tuple[str, Actor]:
        """A new session's token and whose it is.

        BadCredentials for a wrong name as for a wrong password, after the same work;
        TooManyAttempts past the limits, whether the name exists or not.
        """
        self._attempts.count(name, address)
        with self._reading() as connection:
            row = connection.execute(
                text(f"""select {_SESSION_COLUMNS}, p.password_hash from person p
                    where lower(p.name) = lower(:name) and p.disabled_at is null"""),  # noqa: S608
                {"name": names.storable(name)},
            ).first()
        stored = row.password_hash if row else NO_PASSWORD
        known = self._passwords.verify(stored, password)
        if row is None or not known:
            raise BadCredentials()
        if self._passwords.is_dated(stored):
            self._rehash(row.id, password)
        with transaction(self._engine) as connection:
            self._attempts.forget(connection, name)
            return self._begin(connection, row)

    def one_time_link(self, name: str) -> str:
        """A token that logs the user in once within 30 minutes; its page is /once/<token>."""
        token = secrets.token_urlsafe(32)
        with transaction(self._engine) as connection:
            made = connection.execute(
                text("""insert into one_time_login (token_digest, person_id, expires_at)
                    select :digest, id, :until from person
                    where lower(name) = lower(:name) and disabled_at is null"""),
                {"digest": digest(token), "until": self._now() + ONE_TIME_LIFE, "name": name},
            ).rowcount
        if not made:
            raise BadFields(errors=[FieldError("name", "a user who exists and is not disabled")])
        return token

    def use_one_time(self, token: str) -> str:
        """The token of a new session; BadCredentials if used before, too old or unknown."""
        with transaction(self._engine) as connection:
            row = connection.execute(
                text(f"""update one_time_login o set used_at = :now from person p
                    where o.token_digest = :digest and o.used_at is null
                      and o.expires_at > :now and p.id = o.person_id
                      and p.disabled_at is null
                    returning {_SESSION_COLUMNS}"""),  # noqa: S608
                {"digest": digest(token), "now": self._now()},
            ).first()
            if row is None:
                raise BadCredentials()
            return self._begin(connection, row)[0]

    def logout(self, token: str) -> None:
        """Ends the session, and with it everything that was kept for it."""
        with transaction(self._engine) as connection:
            connection.execute(
                text("delete from session where token_digest = :digest"),
                {"digest": digest(token)},
            )

    # -- sessions --------------------------------------------------------------------

    def session(self, token: str) -> Session | None:
        """The session, its idle time begun anew; None if unknown, idle for 30 min, or 10 h old."""
        now = self._now()
        key = digest(token)
        with self._reading() as connection:
            row = connection.execute(
                text(f"""select {_SESSION_COLUMNS}, s.csrf, s.language, s.seen_at
                    from session s join person p on p.id = s.person_id
                    where s.token_digest = :digest and s.seen_at > :idle
                      and s.created_at > :oldest and p.disabled_at is null"""),  # noqa: S608
                {"digest": key, "idle": now - IDLE, "oldest": now - LONGEST},
            ).first()
            if row is None:
                return None
            if row.seen_at < now - SEEN_STEP:
                connection.execute(
                    text("update session set seen_at = :now where token_digest = :digest"),
                    {"now": now, "digest": key},
                )
        return Session(self._person_actor(row, key), row.csrf, row.language)

    def actor_of_session(self, token: str) -> Actor | None:
        """Whose session it is; see `session`."""
        found = self.session(token)
        return found.actor if found else None

    def csrf(self, token: str) -> str:
        """What a form of this session must carry; "" if there is no such session."""
        found = self.session(token)
        return found.csrf if found else ""

    def choose_language(self, token: str, language: str) -> None:
        """Remembers the language for the rest of the session."""
        with transaction(self._engine) as connection:
            connection.execute(
                text("update session set language = :language where token_digest = :digest"),
                {"language": language, "digest": digest(token)},
            )

    def sweep(self) -> None:
        """Deletes what is over: sessions, attempts, one-time logins. At most every 10 minutes."""
        now = self._now()
        if self._swept_at is not None and now - self._swept_at < timedelta(minutes=10):
            return
        self._swept_at = now
        with transaction(self._engine) as connection:
            connection.execute(
                text("delete from session where seen_at <= :idle or created_at <= :oldest"),
                {"idle": now - IDLE, "oldest": now - LONGEST},
            )
            connection.execute(
                text("delete from login_attempt where at <= :old"), {"old": now - ATTEMPT_WINDOW}
            )
            connection.execute(
                text("delete from one_time_login where expires_at <= :now"), {"now": now}
            )

    def _begin(self, connection: Connection, row: Any) -> tuple[str, Actor]:
        token, now = secrets.token_urlsafe(32), self._now()
        connection.execute(
            text("""insert into session (token_digest, person_id, created_at, seen_at, csrf)
                values (:digest, :person, :now, :now, :csrf)"""),
            {
                "digest": digest(token),
                "person": row.id,
                "now": now,
                "csrf": secrets.token_urlsafe(24),
            },
        )
        actor = self._person_actor(row, digest(token))
        self._note(connection, actor, "log-in", {})
        return token, actor

    # -- machine tokens --------------------------------------------------------------

    def create_token(
        self,
        name: str,
        *,
        scopes: Iterable[str],
        source: str | None = None,
        lines: Iterable[str] | None = None,
        purpose: Iterable[str] = (Purpose.VERIFICATION,),
        expires_at: datetime | None = None,
        by: Actor = SYSTEM,
    ) -> str:
        """A new machine token, told this once; see `Tokens.create`."""
        return self._tokens.create(
            name,
            scopes=scopes,
            source=source,
            lines=lines,
            purpose=purpose,
            expires_at=expires_at,
            by=by,
        )

    def tokens(self) -> list[Token]:
        """Every machine token, those that work first, then by name."""
        return self._tokens.every()

    def revoke_token(self, id: UUID, *, by: Actor = SYSTEM) -> None:
        """Ends a token: within 5 s in every process. NotFound if there is none (left)."""
        self._tokens.revoke(id, by=by)

    def actor_of_token(self, token: str) -> Actor | None:
        """Whose token it is; None if unknown, over or revoked."""
        return self._tokens.actor(token)

    # -- the database ----------------------------------------------------------------

    def _rehash(self, id: UUID, password: str) -> None:
        hashed = self._passwords.hash(password)
        with transaction(self._engine) as connection:
            connection.execute(
                text("update person set password_hash = :hash where id = :id"),
                {"hash": hashed, "id": id},
            )

    def _person_actor(self, row: Any, session: bytes) -> Actor:
        return Actor(
            id=str(row.id),
            name=row.name,
            kind="person",
            group=row.group,
            scopes=permissions.scopes_of(row.group),
            lines=permissions.allowed_lines(row.group, row.lines),
            purposes=permissions.allowed_purposes(row.group),
            session=session,
            companies=permissions.allowed_companies(row.group, row.companies),
            days_back=permissions.allowed_days(row.group, self._group_days),
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with database_errors(self._engine), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _note(self, connection: Connection, by: Actor, verb: str, detail: dict[str, Any]) -> None:
        audit.append(connection, at=self._now(), actor=by, verb=verb, detail=detail)
