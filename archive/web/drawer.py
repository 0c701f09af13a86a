"""What a session keeps between its pages: sealed under a token, bound to the session, gone with it.

Knows nothing of what is kept but its kind, which is a part of the seal.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import text

from archive import seal
from archive.archive import Archive
from archive.db import transaction
from archive.errors import SealBroken
from archive.model import Actor

KEY = "installation/pages"


def put(archive: Archive, actor: Actor, kind: str, content: Any) -> str:
    """Keeps what JSON can say; the token by which it is found again."""
    token = secrets.token_urlsafe(18)
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""insert into kept_view (token, session_digest, sealed, created_at)
                values (:token, :session, :sealed, :now)"""),
            {
                "token": token,
                "session": actor.session,
                "sealed": _sealed(archive, kind, token, content),
                "now": archive.now(),
            },
        )
    return token


def replace(archive: Archive, actor: Actor, kind: str, token: str, content: Any) -> None:
    """Keeps something else under the same token; nothing where it is another session's."""
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""update kept_view set sealed = :sealed
                where token = :token and session_digest = :session"""),
            {
                "token": token,
                "session": actor.session,
                "sealed": _sealed(archive, kind, token, content),
            },
        )


def look(archive: Archive, actor: Actor, kind: str, token: str) -> Any:
    """What is kept under the token; None if nothing of the kind was in this very session."""
    question = "select sealed from kept_view where token = :token and session_digest = :session"
    return _found(archive, actor, kind, token, question)


def take(archive: Archive, actor: Actor, kind: str, token: str) -> Any:
    """The same, this once."""
    question = """delete from kept_view where token = :token and session_digest = :session
        returning sealed"""
    return _found(archive, actor, kind, token, question)


def _found(archive: Archive, actor: Actor, kind: str, token: str, question: str) -> Any:
    with transaction(archive.engine) as connection:
        sealed: bytes | None = connection.execute(
            text(question), {"token": token, "session": actor.session}
        ).scalar()
    if sealed is None:
        return None
    try:
        return json.loads(
            seal.unseal(archive.keys.ensure(KEY), seal.context(kind, token), bytes(sealed))
        )
    except SealBroken:
        return None


def _sealed(archive: Archive, kind: str, token: str, content: Any) -> bytes:
    key = archive.keys.ensure(KEY)
    return seal.seal(key, seal.context(kind, token), json.dumps(content).encode())
