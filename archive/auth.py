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
from archive.accounts import identities, names, passwords
from archive.accounts.attempts import ATTEMPT_WINDOW, Attempts
from archive.accounts.names import digest
from archive.accounts.passwords import NO_PASSWORD, Passwords
from archive.accounts.second import SecondFactors
from archive.accounts.tokens import Token, Tokens
from archive.archive import SYSTEM
from archive.casework import outgoing
from archive.db import database_errors, transaction
from archive.errors import (
    BadCredentials,
    BadFields,
    BadRequest,
    BadSetting,
    FieldError,
    Forbidden,
    NameTaken,
    NotFound,
    NotLetIn,
)
from archive.model import Actor, Purpose, Scope

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
ONE_TIME_LIFE = timedelta(minutes=30)
PROOF_LIFE = timedelta(minutes=10)  # how long a password or code counts for what is grave
LACKS_CODE, LACKS_COMMITMENT, LACKS_FACTOR = "code", "commitment", "factor"
SEEN_STEP = timedelta(seconds=30)  # how exactly the last use of a session is known

# Who it is that tries is not known.
STRANGER = Actor(id="stranger", name="", kind="stranger", group=None, scopes=frozenset())
_SESSION_COLUMNS = 'p.id, p.name, p."group", p.lines, p.companies'


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is logged in. `csrf` must come back with every form; `language` if chosen.

    `lacks` is what must come before anything else: LACKS_CODE (then nobody is logged in so far),
    LACKS_COMMITMENT, LACKS_FACTOR, or nothing. `proved_at`: when who it is was last proved.
    """

    actor: Actor
    csrf: str
    language: str | None
    lacks: str = ""
    proved_at: datetime | None = None
    has_factor: bool = False
    by_provider: bool = False  # the person logs in at the identity provider


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """One of a person's sessions, as it is listed."""

    id: UUID
    created_at: datetime
    seen_at: datetime
    this: bool


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


class People:
    """The people and machines that may ask. Thread-safe; one a process.

    `pepper` gives the key under which names and addresses of attempts are digested, `group_days`
    how far back people of a group see. People of `factor_groups` must have a second factor, and
    everybody accepts the version `commitment` of the commitment first (None: there is none).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        pepper: Callable[[], bytes],
        group_days: Iterable[tuple[str, int]] = (),
        factor_groups: Iterable[str] = (),
        commitment: str | None = None,
        break_glass: Iterable[str] = (),
    ) -> None:
        self._break_glass = frozenset(break_glass)
        for name in self._break_glass - permissions.EMERGENCY_GROUPS:
            expected = ", ".join(sorted(permissions.EMERGENCY_GROUPS))
            raise BadSetting(name="ARCHIVE_BREAK_GLASS", reason=f"{name} is none of {expected}")
        self._group_days, self._factor_groups = dict(group_days), frozenset(factor_groups)
        for name in self._group_days.keys() - permissions.GROUPS.keys():
            raise BadSetting(name="ARCHIVE_GROUP_DAYS", reason=f"there is no group {name}")
        for name in self._factor_groups - permissions.GROUPS.keys():
            raise BadSetting(
                name="ARCHIVE_SECOND_FACTOR_GROUPS", reason=f"there is no group {name}"
            )
        self.commitment = commitment
        self._second = SecondFactors(now=now, key=pepper)
        self._engine = engine
        self._now = now
        self._pepper = pepper
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
        """Whether some user who is not disabled has a password, or comes by the provider."""
        with self._reading() as connection:
            return bool(
                connection.execute(
                    text("""select exists (select 1 from person p where disabled_at is null
                        and (password_hash <> '' or exists
                            (select 1 from identity where person_id = p.id)))""")
                ).scalar()
            )

    def has_password(self, id: str) -> bool:
        """Whether the user has chosen a password."""
        return self._stored_password(id) != NO_PASSWORD

    def choose_password(self, actor: Actor, old: str, new: str, *, address: str) -> None:
        """The person's own new password; every other session of theirs ends.

        BadCredentials if they have one and `old` is not it, TooManyAttempts as at the log-in,
        BadFields if `new` does not do. Forbidden for who logs in at the identity provider.
        """
        if self.comes_by_provider(UUID(actor.id)):
            raise Forbidden(verb="have a password beside the identity provider's")
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
            self._refused("password", str(row.id) if row else None)
            raise BadCredentials()
        if self._passwords.is_dated(stored):
            self._rehash(row.id, password)
        with transaction(self._engine) as connection:
            self._attempts.forget(connection, name)
            return self._begin(connection, row)

    def _refused(self, what: str, person: str | None) -> None:
        """An entry of a failure: whose, if there is such a person; never what was typed."""
        with transaction(self._engine) as connection:
            self._note(connection, STRANGER, "refuse-log-in", {"by": what, "person": person})

    def one_time_link(self, name: str) -> str:
        """A token that logs the user in once within 30 minutes; its page is /once/<token>."""
        token = secrets.token_urlsafe(32)
        with transaction(self._engine) as connection:
            made = connection.execute(
                text("""insert into one_time_login (token_digest, person_id, expires_at)
                    select :digest, id, :until from person
                    where lower(name) = lower(:name) and disabled_at is null
                      and not exists (select 1 from identity where person_id = id)"""),
                {"digest": digest(token), "until": self._now() + ONE_TIME_LIFE, "name": name},
            ).rowcount
        if not made:
            expected = "a user who exists, is not disabled and comes by password"
            raise BadFields(errors=[FieldError("name", expected)])
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
            if row is not None:
                return self._begin(connection, row)[0]
        self._refused("link", None)
        raise BadCredentials()

    # -- by the identity provider ----------------------------------------------------

    def come_by_provider(
        self,
        issuer: str,
        subject: str,
        *,
        name: str,
        group: str | None,
        strong: bool,
        proved_at: float | None,
    ) -> str:
        """A new session's token for whom the provider knows by this subject; made if unknown.

        `group` is today's by the provider's word, None: none; `strong`: a second factor was shown
        there; `proved_at`: when they last logged in there, seconds since 1970, if it says so.
        NotLetIn for who has no group or was disabled; their sessions end.
        """  # fmt: skip
        key, now = identities.digest(self._pepper(), issuer, subject), self._now()
        with transaction(self._engine) as connection:
            arrival = identities.arrive(connection, key, name=name, group=group, now=now)
            person = str(arrival.person) if arrival.person else None
            if arrival.refusal:
                detail = {"by": "provider", "person": person, "reason": arrival.refusal}
                self._note(connection, STRANGER, "refuse-log-in", detail)
            elif arrival.is_new or arrival.group_before is not None:
                verb = "create-person" if arrival.is_new else "change-rights"
                detail = {"person": person, "group": group, "by": "provider"}
                self._note(connection, SYSTEM, verb, detail)
            if not arrival.refusal:
                row = connection.execute(
                    text(f"select {_SESSION_COLUMNS} from person p where id = :id"),  # noqa: S608
                    {"id": arrival.person},
                ).one()
                shown = proved_at is not None and proved_at > (now - PROOF_LIFE).timestamp()
                return self._begin(connection, row, strong=strong, by="provider", is_proved=shown)[
                    0
                ]
        raise NotLetIn()

    def prove_by_provider(
        self, actor: Actor, issuer: str, subject: str, *, group: str | None
    ) -> None:
        """Proves again who it is, by the provider's word of just now, for ten minutes.

        BadCredentials if it is the word for somebody else, or gives another group than theirs.
        """
        key = identities.digest(self._pepper(), issuer, subject)
        with transaction(self._engine) as connection:
            known = group == actor.group and identities.is_same(connection, UUID(actor.id), key)
            if known:
                connection.execute(
                    text("update session set proved_at = :now where token_digest = :this"),
                    {"now": self._now(), "this": actor.session},
                )
        if not known:
            self._refused("provider-proof", actor.id)
            raise BadCredentials()

    def refuse_provider(self) -> None:
        """An entry: something came back from the provider that was not accepted."""
        self._refused("provider", None)

    def comes_by_provider(self, id: UUID) -> bool:
        """Whether the person logs in at the identity provider: has no password, gets no link."""
        with self._reading() as connection:
            return identities.has(connection, id)

    def part_from_provider(self, id: UUID, *, by: Actor = SYSTEM) -> None:
        """From now on the person is none of the provider's: comes by link and password, if at all.

        Their sessions end. Of a disabled one: who comes from there is a new user. NotFound.
        """
        with transaction(self._engine) as connection:
            if not identities.forget(connection, id):
                raise NotFound()
            connection.execute(text("delete from session where person_id = :id"), {"id": id})
            self._note(connection, by, "part-from-provider", {"person": str(id)})

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
                text(f"""select {_SESSION_COLUMNS}, s.csrf, s.language, s.seen_at, s.code_due,
                        s.proved_at, s.strong, p.agreed_to,
                        f.confirmed_at is not null as has_factor, i.key is not null as by_provider
                    from session s join person p on p.id = s.person_id
                    left join second_factor f on f.person_id = p.id
                    left join identity i on i.person_id = p.id
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
        return Session(
            self._person_actor(row, key),
            row.csrf,
            row.language,
            lacks=self._lacks(row),
            proved_at=row.proved_at,
            has_factor=row.has_factor,
            by_provider=row.by_provider,
        )

    def _lacks(self, row: Any) -> str:
        if row.code_due:
            return LACKS_CODE
        if self.commitment is not None and row.agreed_to != self.commitment:
            return LACKS_COMMITMENT
        if row.group in self._factor_groups and not row.has_factor and not row.strong:
            return LACKS_FACTOR
        return ""

    def actor_of_session(self, token: str) -> Actor | None:
        """Whose session it is; nobody's while the code of the second factor lacks."""
        found = self.session(token)
        return found.actor if found and found.lacks != LACKS_CODE else None

    def sessions_of(self, id: UUID, *, this: bytes = b"") -> list[OpenSession]:
        """The person's sessions that still work, the newest first; `this` is the asker's own."""
        now = self._now()
        with self._reading() as connection:
            rows = connection.execute(
                text("""select id, created_at, seen_at, token_digest from session
                    where person_id = :id and seen_at > :idle and created_at > :oldest
                    order by created_at desc"""),
                {"id": id, "idle": now - IDLE, "oldest": now - LONGEST},
            )
            return [
                OpenSession(
                    id=row.id,
                    created_at=row.created_at,
                    seen_at=row.seen_at,
                    this=bytes(row.token_digest) == this,
                )
                for row in rows
            ]

    def end_session(self, person: UUID, session: UUID, *, by: Actor) -> None:
        """Ends one session of the person's at once. NotFound where it is not theirs."""
        with transaction(self._engine) as connection:
            ended = connection.execute(
                text("delete from session where id = :id and person_id = :person"),
                {"id": session, "person": person},
            ).rowcount
            if not ended:
                raise NotFound()
            self._note(connection, by, "end-session", {"person": str(person)})

    def end_sessions(self, person: UUID, *, by: Actor) -> int:
        """Ends every session of the person's but the one that asks; how many."""
        with transaction(self._engine) as connection:
            ended = connection.execute(
                text("delete from session where person_id = :person and token_digest <> :this"),
                {"person": person, "this": by.session},
            ).rowcount
            self._note(connection, by, "end-sessions", {"person": str(person), "ended": ended})
        return int(ended)

    # -- the second factor, and proving again who one is -----------------------------

    def give_code(self, token: str, code: str, address: str) -> str:
        """The new token of a session whose code was lacking. BadCredentials, TooManyAttempts."""
        found = self.session(token)
        if found is None or found.lacks != LACKS_CODE:
            raise BadCredentials()
        person, fresh = UUID(found.actor.id), secrets.token_urlsafe(32)
        self._attempts.count(f"code/{person}", address)
        with transaction(self._engine) as connection:
            known = self._second.check(connection, person, code)
        if not known:
            self._refused("code", found.actor.id)
            raise BadCredentials()
        with transaction(self._engine) as connection:
            # Another token from here on: who knew the half-way one has nothing.
            connection.execute(
                text("""update session set token_digest = :fresh, csrf = :csrf, code_due = false,
                        proved_at = :now where token_digest = :old"""),
                {
                    "fresh": digest(fresh),
                    "csrf": secrets.token_urlsafe(24),
                    "now": self._now(),
                    "old": digest(token),
                },
            )
            self._attempts.forget(connection, f"code/{person}")
            self._note(connection, found.actor, "give-code", {})
        return fresh

    def prove(self, actor: Actor, given: str, address: str) -> None:
        """Proves again who it is, by password or code, for ten minutes of this session.

        BadCredentials, TooManyAttempts.
        """
        person = UUID(actor.id)
        self._attempts.count(f"proof/{person}", address)
        by_password = self._passwords.verify(self._stored_password(actor.id), given)
        with transaction(self._engine) as connection:
            known = by_password or self._second.check(connection, person, given)
        if not known:
            self._refused("proof", actor.id)
            raise BadCredentials()
        with transaction(self._engine) as connection:
            connection.execute(
                text("update session set proved_at = :now where token_digest = :this"),
                {"now": self._now(), "this": actor.session},
            )
            self._attempts.forget(connection, f"proof/{person}")

    def is_proved(self, session: Session) -> bool:
        """Whether who it is was proved in the last ten minutes."""
        return session.proved_at is not None and session.proved_at > self._now() - PROOF_LIFE

    def begin_factor(self, actor: Actor) -> bytes:
        """A new secret for the person's app; Forbidden while there is one that counts."""
        with transaction(self._engine) as connection:
            if self._second.has(connection, UUID(actor.id)):
                raise Forbidden(verb="replace a second factor without removing it")
            return self._second.begin(connection, UUID(actor.id))

    def waiting_factor(self, actor: Actor) -> bytes | None:
        """The secret that was begun and waits for its first code."""
        with self._reading() as connection:
            return self._second.waiting(connection, UUID(actor.id))

    def confirm_factor(self, actor: Actor, code: str, address: str) -> list[str]:
        """Makes it count, by a first code; ten recovery codes, told this once. BadCredentials."""
        self._attempts.count(f"code/{actor.id}", address)
        with transaction(self._engine) as connection:
            codes = self._second.confirm(connection, UUID(actor.id), code)
            if codes is None:
                raise BadCredentials()
            self._attempts.forget(connection, f"code/{actor.id}")
            self._note(connection, actor, "begin-second-factor", {})
        return codes

    def factor_of(self, id: UUID) -> tuple[bool, int]:
        """Whether the person has a second factor, and how many recovery codes are left."""
        with self._reading() as connection:
            return self._second.has(connection, id), self._second.left(connection, id)

    def renew_recovery(self, actor: Actor) -> list[str]:
        """Ten new recovery codes instead of the old ones. NotFound without a second factor."""
        with transaction(self._engine) as connection:
            if not self._second.has(connection, UUID(actor.id)):
                raise NotFound()
            self._note(connection, actor, "renew-recovery-codes", {})
            return self._second.renew_recovery(connection, UUID(actor.id))

    def remove_factor(self, id: UUID, *, by: Actor = SYSTEM) -> None:
        """Takes a person's second factor away, and ends their other sessions. NotFound."""
        with transaction(self._engine) as connection:
            if not self._second.remove(connection, id):
                raise NotFound()
            connection.execute(
                text("delete from session where person_id = :id and token_digest <> :this"),
                {"id": id, "this": by.session},
            )
            self._note(connection, by, "remove-second-factor", {"person": str(id)})

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
        with self._reading() as connection:
            row = connection.execute(
                text("select agreed_to, agreed_at from person where id = :id"), {"id": id}
            ).first()
        return (row.agreed_to, row.agreed_at) if row and row.agreed_to else None

    # -- what a session keeps --------------------------------------------------------

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

    def _begin(
        self,
        connection: Connection,
        row: Any,
        *,
        strong: bool = False,
        by: str = "",
        is_proved: bool = True,
    ) -> tuple[str, Actor]:
        """A new session. `strong`: a second factor was shown elsewhere, so none is asked for."""
        token, now = secrets.token_urlsafe(32), self._now()
        connection.execute(
            text("""insert into session (token_digest, person_id, created_at, seen_at, csrf,
                    proved_at, strong, code_due)
                values (:digest, :person, :now, :now, :csrf, :proved, :strong,
                    not :strong and exists (select 1 from second_factor
                        where person_id = :person and confirmed_at is not null))"""),
            {
                "digest": digest(token),
                "person": row.id,
                "now": now,
                "csrf": secrets.token_urlsafe(24),
                "strong": strong,
                "proved": now if is_proved else None,
            },
        )
        actor = self._person_actor(row, digest(token))
        self._note(connection, actor, "log-in", {"by": by} if by else {})
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

    def _exceptional(self, group: str) -> frozenset[Scope]:
        return frozenset({Scope.BREAK_GLASS}) if group in self._break_glass else frozenset()

    def _person_actor(self, row: Any, session: bytes) -> Actor:
        return Actor(
            id=str(row.id),
            name=row.name,
            kind="person",
            group=row.group,
            scopes=permissions.scopes_of(row.group) | self._exceptional(row.group),
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
