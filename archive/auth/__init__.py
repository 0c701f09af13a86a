"""Who is asking: a password, a session, a token or a one-time link becomes an Actor.

Knows people, their sessions and machine tokens, and nothing of recordings or HTTP. Passwords
are argon2id; of every token only its SHA-256 is stored; of who tried to log in, and from
where, only digests under an installation key.
"""

from __future__ import annotations

from archive.auth.entering import ONE_TIME_LIFE, Entering
from archive.auth.factors import Factors
from archive.auth.machines import Machines
from archive.auth.register import Person, Register
from archive.auth.sessions import (
    IDLE,
    LACKS_CODE,
    LACKS_COMMITMENT,
    LACKS_FACTOR,
    LONGEST,
    OpenSession,
    Session,
)

__all__ = [
    "IDLE",
    "LACKS_CODE",
    "LACKS_COMMITMENT",
    "LACKS_FACTOR",
    "LONGEST",
    "ONE_TIME_LIFE",
    "OpenSession",
    "People",
    "Person",
    "Session",
]


class People(Register, Entering, Factors, Machines):
    """The people and machines that may ask. Thread-safe; one a process.

    `pepper` gives the key under which names and addresses of attempts are digested, `group_days`
    how far back people of a group see. People of `factor_groups` must have a second factor, and
    everybody accepts the version `commitment` of the commitment first (None: there is none).
    """
