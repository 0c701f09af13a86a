"""Sessions of people who are logged in: begun, used, listed, ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive.accounts.attempts import ATTEMPT_WINDOW
from archive.accounts.names import digest
from archive.auth.base import SESSION_COLUMNS, Common
from archive.db import reading, transaction
from archive.errors import NotFound
from archive.model import Actor

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
LACKS_CODE, LACKS_COMMITMENT, LACKS_FACTOR = "code", "commitment", "factor"
PROOF_LIFE = timedelta(minutes=10)  # how long a password or code counts for what is grave
SEEN_STEP = timedelta(seconds=30)  # how exactly the last use of a session is known


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


class Sessions(Common):
    """Tokens of sessions, of which only digests are kept."""

    def session(self, token: str) -> Session | None:
        """The session, its idle time begun anew; None if unknown, idle for 30 min, or 10 h old."""
        now = self._now()
        key = digest(token)
        with reading(self._engine) as connection:
            row = connection.execute(
                text(f"""select {SESSION_COLUMNS}, s.csrf, s.language, s.seen_at, s.code_due,
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
        with reading(self._engine) as connection:
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

    def logout(self, token: str) -> None:
        """Ends the session, and with it everything that was kept for it."""
        with transaction(self._engine) as connection:
            connection.execute(
                text("delete from session where token_digest = :digest"),
                {"digest": digest(token)},
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
