"""Machine tokens: made, revoked, and whose a token is. Of each only the digest is stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from archive import permissions
from archive.accounts import names
from archive.archive import SYSTEM
from archive.auth.base import Common
from archive.db import reading, transaction
from archive.errors import BadFields, FieldError, NotFound
from archive.model import Actor, Purpose, Scope

TOKEN_CACHE = timedelta(seconds=5)  # how long a revoked token may still work in a process
TOKENS_CACHED = 512
TOKEN_PREFIX = "ca_"  # noqa: S105 - what a token begins with, so that scanners know one


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


class Machines(Common):
    """The machine tokens of an installation."""

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
        errors = [*names.name_errors(name), *_token_errors(asked, source, purposes)]
        if errors:
            raise BadFields(errors=errors)
        token, id = TOKEN_PREFIX + secrets.token_urlsafe(32), uuid4()
        row = {
            "digest": names.digest(token),
            "id": id,
            "name": name,
            "scopes": sorted(asked),
            "source": source or None,
            "lines": names.unique(lines),
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
            detail = {"token": str(id), "scopes": row["scopes"]}
            self._note(connection, by, "create-token", detail)
        return token

    def tokens(self) -> list[Token]:
        """Every machine token, those that work first, then by name."""
        with reading(self._engine) as connection:
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
        self._machines.clear()

    def actor_of_token(self, token: str) -> Actor | None:
        """Whose token it is; None if unknown, over or revoked.

        A known one is remembered for 5 s: a sender's every delivery asks.
        """
        now, key = self._now(), names.digest(token)
        cached = self._machines.get(key)
        if cached is not None and cached[0] > now:
            return cached[1]
        with reading(self._engine) as connection:
            row = connection.execute(
                text("""select id, name, scopes, source, lines, purposes from machine_token
                    where token_digest = :digest and revoked_at is null
                      and (expires_at is null or expires_at > :now)"""),
                {"digest": key, "now": now},
            ).first()
        if row is None:
            self._machines.pop(key, None)
            return None
        if len(self._machines) >= TOKENS_CACHED:
            self._machines.clear()
        actor = _token_actor(row, key)
        self._machines[key] = (now + TOKEN_CACHE, actor)
        return actor


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
    values["lines"] = names.listed(values["lines"])
    values["scopes"], values["purposes"] = tuple(values["scopes"]), tuple(values["purposes"])
    return Token(**values)


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
