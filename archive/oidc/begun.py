"""A log-in that was begun: what the browser keeps until the provider sends it back, sealed.

It binds the answer to this very browser; it is good for one answer, within ten minutes.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from archive import seal
from archive.errors import SealBroken

LIFE = timedelta(minutes=10)
_CONTEXT = seal.context("log-in-begun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was sent to the provider. `proof`: a session's digest (hex) that is to be proved anew,
    and `form` where what was to be done waits; else a new session is wanted."""

    state: str
    nonce: str
    verifier: str
    at: float  # seconds since 1970
    next: str = "/"
    proof: str = ""
    form: str = ""


def begin(now: datetime, *, next: str = "/", proof: str = "", form: str = "") -> Begun:
    """A new one, with random values of 256 bits."""
    return Begun(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        at=now.timestamp(),
        next=next,
        proof=proof,
        form=form,
    )


def sealed(begun: Begun, key: bytes) -> str:
    """As the browser keeps it: letters, digits, - and _."""
    packed = seal.seal(key, _CONTEXT, json.dumps(asdict(begun)).encode())
    return base64.urlsafe_b64encode(packed).decode()


def opened(kept: str, key: bytes, *, now: datetime) -> Begun | None:
    """What was begun; None if it is not ours or older than ten minutes."""
    try:
        packed = base64.urlsafe_b64decode(kept.encode())
        begun = Begun(**json.loads(seal.unseal(key, _CONTEXT, packed)))
    except (SealBroken, ValueError, binascii.Error, TypeError):
        return None
    age = timedelta(seconds=now.timestamp() - begun.at)
    return begun if timedelta(0) <= age <= LIFE else None
