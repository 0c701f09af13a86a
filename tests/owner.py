"""What only the owner of the catalogue's tables can do: the service's own role is refused it."""

from __future__ import annotations

import psycopg

from archive.archive import Archive


def as_owner(archive: Archive, *statements: str) -> None:
    """Runs statements as the owner, in one transaction."""
    with psycopg.connect(archive.config.owner_url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
