"""What every part of knowing who asks stands on: the people's tables, their actors, the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import audit, permissions
from archive.accounts.attempts import Attempts
from archive.accounts.passwords import NO_PASSWORD, Passwords
from archive.accounts.second import SecondFactors
from archive.db import reading, transaction
from archive.errors import BadSetting
from archive.model import Actor, Scope

# Who it is that tries is not known.
STRANGER = Actor(id="stranger", name="", kind="stranger", group=None, scopes=frozenset())
SESSION_COLUMNS = 'p.id, p.name, p."group", p.lines, p.companies'


class Common:
    """The ground of `People`; no use alone."""

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
        self._machines: dict[bytes, tuple[datetime, Actor]] = {}  # by token; until when
        self._swept_at: datetime | None = None

    def _stored_password(self, id: str) -> str:
        with reading(self._engine) as connection:
            stored: str | None = connection.execute(
                text("select password_hash from person where id = :id"), {"id": UUID(id)}
            ).scalar()
        return stored or NO_PASSWORD

    def _refused(self, what: str, person: str | None) -> None:
        """An entry of a failure: whose, if there is such a person; never what was typed."""
        with transaction(self._engine) as connection:
            self._note(connection, STRANGER, "refuse-log-in", {"by": what, "person": person})

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

    def _note(self, connection: Connection, by: Actor, verb: str, detail: dict[str, Any]) -> None:
        audit.append(connection, at=self._now(), actor=by, verb=verb, detail=detail)
