"""Limits on trying passwords and codes, by name and by address; they survive restarts.

Stored are digests under an installation key, never a name or an address.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from archive.db import transaction
from archive.errors import TooManyAttempts

ATTEMPT_WINDOW = timedelta(minutes=15)
ATTEMPTS_BY_NAME = 5
ATTEMPTS_BY_ADDRESS = 30


class Attempts:
    """The attempts of the last quarter of an hour. `pepper` gives the key of the digests."""

    def __init__(
        self, engine: Engine, *, now: Callable[[], datetime], pepper: Callable[[], bytes]
    ) -> None:
        self._engine = engine
        self._now = now
        self._pepper = pepper

    def count(self, name: str, address: str) -> None:
        """Counts the attempt before the password is looked at, so that a crowd of them at once
        gets no more tries than the limits allow; a success forgets the name's."""
        limits = (
            (self._key("name", name.lower()), ATTEMPTS_BY_NAME),
            (self._key("address", address), ATTEMPTS_BY_ADDRESS),
        )
        now = self._now()
        with transaction(self._engine) as connection:
            # Always in the same order, so that two attempts never wait for each other's lock.
            for key in sorted(key for key, _ in limits):
                connection.execute(
                    text("select pg_advisory_xact_lock(:k)"),
                    {"k": int.from_bytes(key[:8], "big", signed=True)},
                )
            wait = max(self._wait(connection, key, most, now) for key, most in limits)
            if not wait:
                connection.execute(
                    text("insert into login_attempt (key, at) values (:key, :now)"),
                    [{"key": key, "now": now} for key, _ in limits],
                )
        if wait:
            error = TooManyAttempts(wait_s=wait)
            error.retry_after_s = wait
            raise error

    def forget(self, connection: Connection, name: str) -> None:
        connection.execute(
            text("delete from login_attempt where key = :key"),
            {"key": self._key("name", name.lower())},
        )

    def _wait(self, connection: Connection, key: bytes, most: int, now: datetime) -> int:
        """Seconds until one more attempt is allowed; 0: now."""
        freed: datetime | None = connection.execute(
            text("""select at from login_attempt where key = :key and at > :since
                order by at desc offset :most limit 1"""),
            {"key": key, "since": now - ATTEMPT_WINDOW, "most": most - 1},
        ).scalar()
        if freed is None:
            return 0
        return max(1, int((freed + ATTEMPT_WINDOW - now).total_seconds()) + 1)

    def _key(self, what: str, value: str) -> bytes:
        message = f"login-attempt/{what}/{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self._pepper(), message, hashlib.sha256).digest()
