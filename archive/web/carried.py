"""A form that waits while its person proves elsewhere who they are: read once, in its session."""

from __future__ import annotations

from archive.archive import Archive
from archive.model import Actor
from archive.web import drawer

_KIND = "carried-form"


def keep(archive: Archive, actor: Actor, to: str, given: list[tuple[str, str]]) -> str:
    """Keeps what was to be sent to an address of this service; by which it is found again."""
    return drawer.put(archive, actor, _KIND, {"to": to, "given": given})


def find(archive: Archive, actor: Actor, token: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Where it was to go and its fields, this once; None if it was not kept in this session."""
    found = drawer.take(archive, actor, _KIND, token)
    if found is None:
        return None
    return found["to"], [(name, value) for name, value in found["given"]]
