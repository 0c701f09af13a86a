"""The second factor, and proving again who one is before what is grave."""

from __future__ import annotations

import secrets
from uuid import UUID

from sqlalchemy import text

from archive.accounts.names import digest
from archive.archive import SYSTEM
from archive.auth.sessions import LACKS_CODE, PROOF_LIFE, Session, Sessions
from archive.db import reading, transaction
from archive.errors import BadCredentials, Forbidden, NotFound
from archive.model import Actor


class Factors(Sessions):
    """Codes of an app, recovery codes, proofs of a session."""

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
        with reading(self._engine) as connection:
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
        with reading(self._engine) as connection:
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
