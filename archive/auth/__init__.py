"""Who is asking: a password, a session, a token or a one-time link becomes an Actor.

Knows people, their sessions and machine tokens, and nothing of recordings or HTTP. Passwords
are argon2id; of every token only its SHA-256 is stored; of who tried to log in, and from
where, only digests under an installation key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from archive.accounts.tokens import Token
from archive.archive import SYSTEM
from archive.auth.entering import ONE_TIME_LIFE, Entering
from archive.auth.factors import Factors
from archive.auth.register import Person, Register
from archive.auth.sessions import (
    IDLE,
    LACKS_CODE,
    LACKS_COMMITMENT,
    LACKS_FACTOR,
    LONGEST,
    OpenSession,
    Session,
)
from archive.model import Actor, Purpose

__all__ = [
    "IDLE",
    "LACKS_CODE",
    "LACKS_COMMITMENT",
    "LACKS_FACTOR",
    "LONGEST",
    "ONE_TIME_LIFE",
    "OpenSession",
    "People",
    "Person",
    "Session",
]


class People(Register, Entering, Factors):
    """The people and machines that may ask. Thread-safe; one a process.

    `pepper` gives the key under which names and addresses of attempts are digested, `group_days`
    how far back people of a group see. People of `factor_groups` must have a second factor, and
    everybody accepts the version `commitment` of the commitment first (None: there is none).
    """

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
