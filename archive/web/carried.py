"""A form that waits while its person proves elsewhere who they are: sealed, bound to the session.

Kept beside the searches of the session and gone with it; read once.
"""

from __future__ import annotations

import json
import secrets

from sqlalchemy import text

from archive import seal
from archive.archive import Archive
from archive.db import transaction
from archive.errors import SealBroken
from archive.model import Actor

KEY = "installation/pages"


def keep(archive: Archive, actor: Actor, to: str, given: list[tuple[str, str]]) -> str:
    """Keeps what was to be sent to an address of this service; by which it is found again."""
    token = secrets.token_urlsafe(18)
    packed = json.dumps({"to": to, "given": given}).encode()
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""insert into kept_view (token, session_digest, sealed, created_at)
                values (:token, :session, :sealed, :now)"""),
            {
                "token": token,
                "session": actor.session,
                "sealed": seal.seal(archive.keys.ensure(KEY), _context(token), packed),
                "now": archive.now(),
            },
        )
    return token


def find(archive: Archive, actor: Actor, token: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Where it was to go and its fields, this once; None if it was not kept in this session."""
    with transaction(archive.engine) as connection:
        sealed: bytes | None = connection.execute(
            text("""delete from kept_view where token = :token and session_digest = :session
                returning sealed"""),
            {"token": token, "session": actor.session},
        ).scalar()
    if sealed is None:
        return None
    try:
        opened = json.loads(seal.unseal(archive.keys.ensure(KEY), _context(token), bytes(sealed)))
    except SealBroken:
        return None
    return opened["to"], [(name, value) for name, value in opened["given"]]


def _context(token: str) -> bytes:
    return seal.context("carried-form", token)
