"""Coming in: by password, by a one-time link, by the identity provider."""

from __future__ import annotations

import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from archive.accounts import identities, names, passwords
from archive.accounts.names import digest
from archive.accounts.passwords import NO_PASSWORD
from archive.archive import SYSTEM
from archive.auth.base import SESSION_COLUMNS, STRANGER
from archive.auth.sessions import PROOF_LIFE, Sessions
from archive.db import reading, transaction
from archive.errors import (
    BadCredentials,
    BadFields,
    FieldError,
    Forbidden,
    NotFound,
    NotLetIn,
)
from archive.model import Actor

ONE_TIME_LIFE = timedelta(minutes=30)


class Entering(Sessions):
    """What begins a session, and the password that does."""

    def login(self, name: str, password: str, address: str) -> tuple[str, Actor]:
        """A new session's token and whose it is.

        BadCredentials for a wrong name as for a wrong password, after the same work;
        TooManyAttempts past the limits, whether the name exists or not.
        """
        self._attempts.count(name, address)
        with reading(self._engine) as connection:
            row = connection.execute(
                text(f"""select {SESSION_COLUMNS}, p.password_hash from person p
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
                    returning {SESSION_COLUMNS}"""),  # noqa: S608
                {"digest": digest(token), "now": self._now()},
            ).first()
            if row is not None:
                return self._begin(connection, row)[0]
        self._refused("link", None)
        raise BadCredentials()

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
                    text(f"select {SESSION_COLUMNS} from person p where id = :id"),  # noqa: S608
                    {"id": arrival.person},
                ).one()
                shown = proved_at is not None and proved_at > (now - PROOF_LIFE).timestamp()
                token, _ = self._begin(
                    connection, row, strong=strong, by="provider", is_proved=shown
                )
                return token
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
        with reading(self._engine) as connection:
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

    def _rehash(self, id: UUID, password: str) -> None:
        hashed = self._passwords.hash(password)
        with transaction(self._engine) as connection:
            connection.execute(
                text("update person set password_hash = :hash where id = :id"),
                {"hash": hashed, "id": id},
            )
