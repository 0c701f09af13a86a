"""Passwords: which do, and argon2id of them. A few are hashed at once: each takes 64 MiB.

What everybody tries first is refused by zxcvbn, offline: its lists hold 30,000 passwords of
published breaches, English words and names, and it knows them with digits, years, keyboard rows
and letters swapped.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from archive.errors import FieldError, Saturated

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
HASHING_AT_ONCE = 2
HASHING_WAIT_S = 5.0
NO_PASSWORD = ""  # stored of a user who has not chosen one
FEWEST_GUESSES = 10**8  # that zxcvbn reckons somebody with the lists would need
JUDGED = 64  # characters: its work grows with their square
WORDS = (  # what its lists lack and people here try
    "salasana", "tervetuloa", "kesä", "talvi", "syksy", "kevät", "suomi", "helsinki", "tampere",
    "turku", "oulu", "sähkö", "arkisto", "asiakaspalvelu", "reklamaatio", "perkele", "archive",
)  # fmt: skip


class Passwords:
    """Hashes and compares. Thread-safe; Saturated where too many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._hashing = threading.BoundedSemaphore(HASHING_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def is_dated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def hash(self, password: str) -> str:
        """argon2id of it."""
        with self._one_of_few():
            return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """Whether it is the password; as much work where there is none to compare with."""
        stored = stored or self._nobody
        if len(password) > LONGEST_PASSWORD:
            password = ""
        with self._one_of_few():
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError, UnicodeError):
                return False

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        if not self._hashing.acquire(timeout=HASHING_WAIT_S):
            raise Saturated()
        try:
            yield
        finally:
            self._hashing.release()


def errors(password: str, name: str) -> list[FieldError]:
    """What is wrong with a chosen password: nothing, or the field with the rule."""
    expected = (
        f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, not the user name, and none of "
        "those that are tried first"
    )
    fits = (
        SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
        and password.lower() != name.lower()
        and not any("\ud800" <= c <= "\udfff" for c in password)
        and not is_tried_first(password, name)
    )
    return [] if fits else [FieldError("password", expected)]


def is_tried_first(password: str, name: str) -> bool:
    """Whether it stands in a list of breached ones, or is put together from one and little else."""
    judged = zxcvbn(password[:JUDGED], user_inputs=[*WORDS, name, *name.split(".")])
    return int(judged["guesses"]) < FEWEST_GUESSES
