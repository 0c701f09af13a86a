"""What names and lists of an account look like, and what is stored of a token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from archive.errors import FieldError


def digest(token: str) -> bytes:
    """What is stored of a token (SHA-256), and what openings are bound to."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def name_errors(name: str) -> list[FieldError]:
    """What is wrong with a name of a user or token: nothing, or the field with the rule."""
    if re.fullmatch(r"[\w.@+-][\w.@+ -]{0,62}[\w.@+-]|\w", name):
        return []
    return [FieldError("name", "1 to 64 letters, digits or . _ - + @, blanks only between")]


def unique(values: Iterable[str] | None) -> list[str] | None:
    """Each once and sorted, as they are stored; None where there is none: no limit."""
    return sorted(set(values)) if values else None


def listed(values: list[str] | None) -> tuple[str, ...] | None:
    """What is stored of a list, as it is read; None: no limit."""
    return None if values is None else tuple(values)


def storable(name: str) -> str:
    """The name as PostgreSQL can compare it: no NUL, no lone surrogate."""
    return name.replace("\x00", "").encode("utf-8", "ignore").decode()
