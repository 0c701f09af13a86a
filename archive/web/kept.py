"""What the pages remember of a search: its fields, its pages so far, the purpose once stated.

A search has an opaque address of its own, so that no name or number stands in a URL and Back,
reload and previous/next work. Kept sealed, bound to the session, and gone with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from uuid import UUID

from archive.archive import Archive
from archive.model import Actor
from archive.web import drawer

_KIND = "kept-view"
MOST_PAGES = 400


@dataclass(slots=True)
class Kept:
    """A search as its person goes through it.

    `desk` is the page it belongs to, `asked` its form as filled in, `query` the fields that are
    searched by. `pages` holds the ids of each page seen, `cursors` how each page begins (the
    first: None). `purpose` and `case` are what the person stated for this task.
    """

    desk: str
    asked: dict[str, str]
    query: dict[str, str]
    pages: list[list[str]] = field(default_factory=list)
    cursors: list[str | None] = field(default_factory=lambda: [None])
    total: int | None = None
    facets: dict[str, dict[str, int]] = field(default_factory=dict)
    purpose: str | None = None
    case: str | None = None

    def turned(self, number: int, ids: list[str], following: str | None) -> None:
        """Notes what page `number` (from 0) showed and how the next begins."""
        self.pages[number:] = [ids]
        self.cursors[number + 1 :] = [following] if following else []

    def position(self, id: UUID) -> tuple[int, int] | None:
        """Page and place on it (both from 0) where the recording was shown."""
        for number, ids in enumerate(self.pages):
            if str(id) in ids:
                return number, ids.index(str(id))
        return None


def keep(archive: Archive, actor: Actor, kept: Kept) -> str:
    """Keeps a search; the token of its address."""
    return drawer.put(archive, actor, _KIND, asdict(kept))


def change(archive: Archive, actor: Actor, token: str, kept: Kept) -> None:
    """Keeps what became of it."""
    drawer.replace(archive, actor, _KIND, token, asdict(kept))


def find(archive: Archive, actor: Actor, token: str | None) -> Kept | None:
    """The search of this address, if it was made in this very session."""
    found = drawer.look(archive, actor, _KIND, token) if token else None
    return Kept(**found) if found is not None else None
