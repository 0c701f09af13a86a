"""Who works with cases and holds: names of people for those who hand over, and who may own what.

Knows people's names, groups and lines; nothing of passwords, sessions or recordings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from archive import permissions
from archive.model import Scope


@dataclass(frozen=True, slots=True)
class Colleague:
    """An active user. `lines` None: every line."""

    id: UUID
    name: str
    group: str
    lines: frozenset[str] | None

    def sees(self, line: str) -> bool:
        """Whether the line is among theirs."""
        return self.lines is None or line in self.lines


def handlers(connection: Connection) -> list[Colleague]:
    """Everybody who may own a case."""
    return [one for one in _active(connection) if Scope.CASES in permissions.scopes_of(one.group)]


def keepers(connection: Connection, *, restriction: bool = False) -> list[Colleague]:
    """Everybody who may own a hold; of a restriction, data protection alone."""
    return [
        one
        for one in _active(connection)
        if one.group == permissions.DPO
        or (not restriction and Scope.CASES in permissions.scopes_of(one.group))
    ]


def names(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """The names behind ids of actors, of people who are disabled too; of machines, nothing."""
    rows = connection.execute(
        text("select cast(id as text) as id, name from person where cast(id as text) = any(:ids)"),
        {"ids": sorted(set(ids))},
    )
    return {row.id: row.name for row in rows}


def _active(connection: Connection) -> list[Colleague]:
    rows = connection.execute(
        text("""select id, name, "group", lines from person where disabled_at is null
            order by lower(name)""")
    ).mappings()
    return [_colleague(row) for row in rows]


def _colleague(row: RowMapping) -> Colleague:
    lines = permissions.allowed_lines(row["group"], row["lines"])
    return Colleague(row["id"], row["name"], row["group"], lines)
