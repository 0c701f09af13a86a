"""Who delivers when the archive itself reads a source: may deliver for it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from archive.model import Actor, Scope


def of_source(source: str, lines: Iterable[str] | None = None) -> Actor:
    """The source itself; `lines` None: whatever its list of lines allows."""
    return Actor(
        id=f"source:{source}",
        name=source,
        kind="system",
        group=None,
        scopes=frozenset({Scope.INGEST}),
        source=source,
        lines=None if lines is None else frozenset(lines),
    )
