"""Who is asking: a password, a session, a token or a one-time link becomes an Actor.

Knows people, their sessions and machine tokens, and nothing of recordings or HTTP. Passwords
are argon2id; of every token only its SHA-256 is stored; of who tried to log in, and from
where, only digests under an installation key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from archive import audit, permissions
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
    Saturated,
    TooManyAttempts,
)
from archive.model import Actor, Purpose, Scope

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
ONE_TIME_LIFE = timedelta(minutes=30)
ATTEMPT_WINDOW = timedelta(minutes=15)
ATTEMPTS_BY_NAME = 5
ATTEMPTS_BY_ADDRESS = 30
SEEN_STEP = timedelta(seconds=30)  # how exactly the last use of a session is known
TOKEN_CACHE = timedelta(seconds=5)  # how long a revoked token may still work in a process
TOKENS_CACHED = 512
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
HASHING_AT_ONCE = 2  # argon2id takes 64 MiB each
HASHING_WAIT_S = 5.0
NO_PASSWORD = ""  # stored of a user who has not chosen one
TOKEN_PREFIX = "ca_"  # noqa: S105 - what a token begins with, so that scanners know one

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One machine token, as an administrator sees it: never the token itself."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    source: str | None
    lines: tuple[str, ...] | None
    purposes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


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
        self._pepper = pepper
        self._hasher = PasswordHasher()
        self._hashing = threading.BoundedSemaphore(HASHING_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        self._tokens: dict[bytes, tuple[datetime, Actor]] = {}
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
        errors = _name_errors(name)
        if password is not None:
            errors += _password_errors(password, name)
        if group not in permissions.GROUPS:
            errors.append(FieldError("group", "one of " + ", ".join(permissions.GROUPS)))
        if errors:
            raise BadFields(errors=errors)
        id = uuid4()
        row = {
            "id": id,
            "name": name,
            "group": group,
            "hash": self._hash(password) if password is not None else NO_PASSWORD,
            "lines": _sorted(lines),
            "companies": _sorted(companies),
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
            self._count_attempt(actor.name, address)
            if not self._verify(stored, old):
                raise BadCredentials()
        if errors := _password_errors(new, actor.name):
            raise BadFields(errors=errors)
        hashed = self._hash(new)
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
            self._forget_attempts(connection, actor.name)
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
                    | {"lines": _tuple(row["lines"]), "companies": _tuple(row["companies"])}
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
        row = {"id": id, "group": group, "lines": _sorted(lines), "companies": _sorted(companies)}
        with transaction(self._engine) as connection:
            changed = connection.execute(
                text("""update person set "group" = :group, lines = :lines, companies = :companies
                    where id = :id and disabled_at is null"""),
                row,
            ).rowcount
            if not changed:
                raise NotFound()
            connection.execute(text("delete from session where person_id = :id"), {"id": id})
            detail = {"person": str(id), **{name: row[name] for name in row if name != "id"}}
            self._note(connection, by, "change-rights", detail)

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
        self._count_attempt(name, address)
        with self._reading() as connection:
            row = connection.execute(
                text(f"""select {_SESSION_COLUMNS}, p.password_hash from person p
                    where lower(p.name) = lower(:name) and p.disabled_at is null"""),  # noqa: S608
                {"name": _storable(name)},
            ).first()
        stored = row.password_hash if row else NO_PASSWORD
        known = self._verify(stored, password)
        if row is None or not known:
            raise BadCredentials()
        if self._hasher.check_needs_rehash(stored):
            self._rehash(row.id, password)
        with transaction(self._engine) as connection:
            self._forget_attempts(connection, name)
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
        """A new machine token, told this once, with the purposes it may open for.

        BadFields: no or unknown scope, `ingest` without a source, unknown purpose, no name.
        """
        asked, purposes = {str(scope) for scope in scopes}, {str(word) for word in purpose}
        errors = [*_name_errors(name), *_token_errors(asked, source, purposes)]
        if errors:
            raise BadFields(errors=errors)
        token, id = TOKEN_PREFIX + secrets.token_urlsafe(32), uuid4()
        row = {
            "digest": digest(token),
            "id": id,
            "name": name,
            "scopes": sorted(asked),
            "source": source or None,
            "lines": sorted(set(lines)) if lines else None,
            "purposes": sorted(purposes),
            "now": self._now(),
            "until": expires_at,
        }
        with transaction(self._engine) as connection:
            connection.execute(
                text("""insert into machine_token (token_digest, id, name, scopes, source, lines,
                        purposes, created_at, expires_at)
                    values (:digest, :id, :name, :scopes, :source, :lines, :purposes, :now,
                        :until)"""),
                row,
            )
            self._note(connection, by, "create-token", {"token": str(id), "scopes": row["scopes"]})
        return token

    def tokens(self) -> list[Token]:
        """Every machine token, those that work first, then by name."""
        with self._reading() as connection:
            rows = connection.execute(
                text("""select id, name, scopes, source, lines, purposes, created_at,
                        expires_at, revoked_at
                    from machine_token order by revoked_at is not null, lower(name)""")
            ).mappings()
            return [_token(row) for row in rows]

    def revoke_token(self, id: UUID, *, by: Actor = SYSTEM) -> None:
        """Ends a token: within 5 s in every process. NotFound if there is none (left)."""
        with transaction(self._engine) as connection:
            changed = connection.execute(
                text("""update machine_token set revoked_at = :now
                    where id = :id and revoked_at is null"""),
                {"id": id, "now": self._now()},
            ).rowcount
            if not changed:
                raise NotFound()
            self._note(connection, by, "revoke-token", {"token": str(id)})
        self._tokens.clear()

    def actor_of_token(self, token: str) -> Actor | None:
        """Whose token it is; None if unknown, over or revoked.

        A known one is remembered for 5 s: a sender's every delivery asks.
        """
        now, key = self._now(), digest(token)
        cached = self._tokens.get(key)
        if cached is not None and cached[0] > now:
            return cached[1]
        with self._reading() as connection:
            row = connection.execute(
                text("""select id, name, scopes, source, lines, purposes from machine_token
                    where token_digest = :digest and revoked_at is null
                      and (expires_at is null or expires_at > :now)"""),
                {"digest": key, "now": now},
            ).first()
        if row is None:
            self._tokens.pop(key, None)
            return None
        if len(self._tokens) >= TOKENS_CACHED:
            self._tokens.clear()
        actor = _token_actor(row, key)
        self._tokens[key] = (now + TOKEN_CACHE, actor)
        return actor

    # -- attempts --------------------------------------------------------------------

    def _count_attempt(self, name: str, address: str) -> None:
        """Counts the attempt before the password is looked at, so that a crowd of them at once
        gets no more tries than the limits allow; a success forgets the name's."""
        limits = (
            (self._attempt_key("name", name.lower()), ATTEMPTS_BY_NAME),
            (self._attempt_key("address", address), ATTEMPTS_BY_ADDRESS),
        )
        now = self._now()
        with transaction(self._engine) as connection:
            # Always in the same order, so that two attempts never wait for each other's lock.
            for key in sorted(key for key, _ in limits):
                connection.execute(
                    text("select pg_advisory_xact_lock(:k)"),
                    {"k": int.from_bytes(key[:8], "big", signed=True)},
                )
            wait = max(self._wait(connection, key, most, now) for key, most in limits)
            if not wait:
                connection.execute(
                    text("insert into login_attempt (key, at) values (:key, :now)"),
                    [{"key": key, "now": now} for key, _ in limits],
                )
        if wait:
            error = TooManyAttempts(wait_s=wait)
            error.retry_after_s = wait
            raise error

    def _forget_attempts(self, connection: Connection, name: str) -> None:
        connection.execute(
            text("delete from login_attempt where key = :key"),
            {"key": self._attempt_key("name", name.lower())},
        )

    def _wait(self, connection: Connection, key: bytes, most: int, now: datetime) -> int:
        """Seconds until one more attempt is allowed; 0: now."""
        freed: datetime | None = connection.execute(
            text("""select at from login_attempt where key = :key and at > :since
                order by at desc offset :most limit 1"""),
            {"key": key, "since": now - ATTEMPT_WINDOW, "most": most - 1},
        ).scalar()
        if freed is None:
            return 0
        return max(1, int((freed + ATTEMPT_WINDOW - now).total_seconds()) + 1)

    def _attempt_key(self, what: str, value: str) -> bytes:
        message = f"login-attempt/{what}/{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self._pepper(), message, hashlib.sha256).digest()

    # -- passwords -------------------------------------------------------------------

    def _hash(self, password: str) -> str:
        with self._one_of_few():
            return self._hasher.hash(password)

    def _verify(self, stored: str, password: str) -> bool:
        """Whether it is the password; as much work where there is none to compare with."""
        stored = stored or self._nobody
        if len(password) > LONGEST_PASSWORD:
            password = ""
        with self._one_of_few():
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError, UnicodeError):
                return False

    def _rehash(self, id: UUID, password: str) -> None:
        hashed = self._hash(password)
        with transaction(self._engine) as connection:
            connection.execute(
                text("update person set password_hash = :hash where id = :id"),
                {"hash": hashed, "id": id},
            )

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        if not self._hashing.acquire(timeout=HASHING_WAIT_S):
            raise Saturated()
        try:
            yield
        finally:
            self._hashing.release()

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

    # -- the database ----------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with database_errors(self._engine), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _note(self, connection: Connection, by: Actor, verb: str, detail: dict[str, Any]) -> None:
        audit.append(connection, at=self._now(), actor=by, verb=verb, detail=detail)


def digest(token: str) -> bytes:
    """What is stored of a token (SHA-256), and what openings are bound to."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _token_actor(row: Any, session: bytes) -> Actor:
    return Actor(
        id=str(row.id),
        name=row.name,
        kind="token",
        group=None,
        scopes=permissions.token_scopes(Scope(scope) for scope in row.scopes),
        source=row.source,
        lines=frozenset(row.lines) if row.lines is not None else None,
        purposes=frozenset(Purpose(purpose) for purpose in row.purposes),
        default_purpose=Purpose(row.purposes[0]) if row.purposes else None,
        session=session,
    )


def _token(row: Any) -> Token:
    values = dict(row)
    values["lines"] = _tuple(values["lines"])
    values["scopes"], values["purposes"] = tuple(values["scopes"]), tuple(values["purposes"])
    return Token(**values)


def _name_errors(name: str) -> list[FieldError]:
    if re.fullmatch(r"[\w.@+-][\w.@+ -]{0,62}[\w.@+-]|\w", name):
        return []
    return [FieldError("name", "1 to 64 letters, digits or . _ - + @, blanks only between")]


def _password_errors(password: str, name: str) -> list[FieldError]:
    expected = (
        f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, at least five different ones, "
        "and not the user name"
    )
    fits = (
        SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
        and len(set(password)) >= 5
        and password.lower() != name.lower()
        and not any("\ud800" <= c <= "\udfff" for c in password)
    )
    return [] if fits else [FieldError("password", expected)]


def _token_errors(scopes: set[str], source: str | None, purposes: set[str]) -> list[FieldError]:
    errors = []
    allowed = {scope.value for scope in permissions.TOKEN_SCOPES}
    if not scopes or scopes - allowed:
        errors.append(FieldError("scope", "one or more of " + ", ".join(sorted(allowed))))
    if Scope.INGEST.value in scopes and not source:
        errors.append(FieldError("source", "the source that an ingest token delivers for"))
    if purposes - set(Purpose):
        errors.append(FieldError("purpose", "one of " + ", ".join(Purpose)))
    return errors


def _sorted(values: Iterable[str] | None) -> list[str] | None:
    return sorted(set(values)) if values else None


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _storable(name: str) -> str:
    """The name as PostgreSQL can compare it: no NUL, no lone surrogate."""
    return name.replace("\x00", "").encode("utf-8", "ignore").decode()
