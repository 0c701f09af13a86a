"""Who acts where no person or machine asked: the service itself, and whoever stands at it."""

from __future__ import annotations

from dataclasses import replace

from archive.model import (
    Actor,
    Purpose,
    Scope,
)

SYSTEM = Actor(
    id="system",
    name="system",
    kind="system",
    group=None,
    scopes=frozenset(Scope),
    session=b"system",
)

# Whoever stands at the machine and gives commands: works with holds and cases, opens nothing.
OPERATOR = replace(SYSTEM, id="operator", name="operator", purposes=frozenset({Purpose.COMPLAINT}))
