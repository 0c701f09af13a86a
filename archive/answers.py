"""What the archive answers with: receipts, views, pages of results, opened content.

Frozen and without behaviour; how they look in JSON or HTML is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from archive.casework.cases import Case, Gone, Note
from archive.casework.holdterms import Held
from archive.model import Descriptor, Direction, Kind, State
from archive.search.marking import Excerpt
from archive.search.understanding import Piece
from archive.vault import Description

type_bytes = bytes  # `bytes` is a field's name below


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a delivery. `created` is False where the recording was known already."""

    created: bool
    id: UUID
    state: State
    kind: Kind
    bytes: int
    sha256: str
    occurred_at: datetime
    expires_at: datetime
    warnings: tuple[tuple[str, str], ...] = ()  # (field, expected)
    ignored: tuple[str, ...] = ()  # fields that differ from what is stored


@dataclass(frozen=True, slots=True)
class Leg:
    """Another recording of the same call."""

    id: UUID
    occurred_at: datetime
    direction: Direction


@dataclass(frozen=True, slots=True)
class View:
    """One recording as its reader may see it. `description` is None before describing."""

    id: UUID
    kind: Kind
    state: State
    source: str
    line: str
    direction: Direction
    occurred_at: datetime
    received_at: datetime
    expires_at: datetime
    bytes: int
    descriptor: Descriptor
    description: Description | None
    renditions: tuple[str, ...]
    readable: bool = True  # False where its key is gone or its seal broken
    error_code: str | None = None
    holds: tuple[Held, ...] = ()  # for those who work with holds
    restricted: bool = False
    related: tuple[Leg, ...] = ()  # other legs of its call, where one recording is looked at


@dataclass(frozen=True, slots=True)
class Page:
    """One page of results, the cursor of the next, and what was asked for besides."""

    items: list[View]
    next: str | None = None
    total: int | None = None
    facets: Mapping[str, Mapping[str, int]] | None = None
    explained: tuple[str, ...] = ()
    understood: tuple[Piece, ...] = ()  # how `q` was read, in the order in which it was typed
    excerpts: Mapping[UUID, Excerpt] = field(default_factory=dict)  # what was asked for, in context
    subjects: Mapping[UUID, Excerpt] = field(default_factory=dict)  # with what was asked for marked
    rebuilding: tuple[str, ...] = ()  # months (YYYY-MM) of which not everything is found now


@dataclass(frozen=True, slots=True)
class Opened:
    """Content that may be read now: [start, stop) of `length` plaintext bytes."""

    length: int
    media_type: str
    etag: str
    read: Callable[[int, int], Iterator[type_bytes]]
    file_name: str


@dataclass(frozen=True, slots=True)
class MailView:
    """An email as it may be shown: `html` is sanitised and loads nothing from elsewhere."""

    view: View
    text: str
    html: str | None


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """One recording of a case, with the notes and marks made there."""

    view: View
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A complaint case whole: recordings in the order of contact, its own notes, what went."""

    case: Case
    entries: tuple[CaseEntry, ...]
    notes: tuple[Note, ...]
    gone: tuple[Gone, ...]
