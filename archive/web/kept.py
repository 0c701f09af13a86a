"""What the pages remember of a search: its fields, its pages so far, the purpose once stated.

A search has an opaque address of its own, so that no name or number stands in a URL and Back,
reload and previous/next work. Kept sealed, bound to the session, and gone with it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from uuid import UUID

from sqlalchemy import text

from archive import seal
from archive.archive import Archive
from archive.db import transaction
from archive.errors import SealBroken
from archive.model import Actor

KEY = "installation/pages"
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
    token = secrets.token_urlsafe(18)
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""insert into kept_view (token, session_digest, sealed, created_at)
                values (:token, :session, :sealed, :now)"""),
            {
                "token": token,
                "session": actor.session,
                "sealed": _sealed(archive, token, kept),
                "now": archive.now(),
            },
        )
    return token


def change(archive: Archive, actor: Actor, token: str, kept: Kept) -> None:
    """Keeps what became of it."""
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""update kept_view set sealed = :sealed
                where token = :token and session_digest = :session"""),
            {
                "token": token,
                "session": actor.session,
                "sealed": _sealed(archive, token, kept),
            },
        )


def find(archive: Archive, actor: Actor, token: str | None) -> Kept | None:
    """The search of this address, if it was made in this very session."""
    if not token:
        return None
    with transaction(archive.engine) as connection:
        sealed: bytes | None = connection.execute(
            text("select sealed from kept_view where token = :token and session_digest = :session"),
            {"token": token, "session": actor.session},
        ).scalar()
    if sealed is None:
        return None
    try:
        opened = seal.unseal(archive.keys.ensure(KEY), _context(token), bytes(sealed))
    except SealBroken:
        return None
    fields: Mapping[str, object] = json.loads(opened)
    return Kept(**fields)  # type: ignore[arg-type]


def _sealed(archive: Archive, token: str, kept: Kept) -> bytes:
    return seal.seal(archive.keys.ensure(KEY), _context(token), json.dumps(asdict(kept)).encode())


def _context(token: str) -> bytes:
    return seal.context("kept-view", token)
