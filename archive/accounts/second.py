"""The second factor: a code of a person's app (TOTP, RFC 6238), or a recovery code, each once.

The secret is stored sealed, bound to its person; of recovery codes only keyed digests are stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import Connection, text

from archive import seal
from archive.errors import SealBroken

STEP_S = 30
DIGITS = 6
SECRET_BYTES = 20
DRIFT_STEPS = 1  # a code of the step before or after is taken too: clocks differ
RECOVERY_CODES = 10
RECOVERY_BYTES = 15  # 120 random bits, 24 letters
ISSUER = "Contact archive"


class SecondFactors:
    """Second factors of people. `key` gives the key that secrets are sealed under."""

    def __init__(self, *, now: Callable[[], datetime], key: Callable[[], bytes]) -> None:
        self._now = now
        self._key = key

    def begin(self, connection: Connection, person: UUID) -> bytes:
        """A new secret, which proves nothing until a code of it is given: see `confirm`.

        One that was confirmed stays as it is until then. The secret's 20 bytes are told this once.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        connection.execute(
            text("""insert into second_factor (person_id, secret, made_at)
                values (:person, :secret, :now)
                on conflict (person_id) do update
                    set secret = excluded.secret, made_at = excluded.made_at, last_step = 0
                    where second_factor.confirmed_at is null"""),
            {
                "person": person,
                "secret": seal.seal(self._key(), _context(person), secret),
                "now": self._now(),
            },
        )
        return secret

    def waiting(self, connection: Connection, person: UUID) -> bytes | None:
        """The secret that was begun and not yet confirmed."""
        row = self._row(connection, person)
        return None if row is None or row[1] is not None else row[0]

    def confirm(self, connection: Connection, person: UUID, code: str) -> list[str] | None:
        """Ten recovery codes, told this once, if the code is the app's; else None."""
        row = self._row(connection, person)
        if row is None or row[1] is not None or not self._take(connection, person, row[0], code):
            return None
        connection.execute(
            text("update second_factor set confirmed_at = :now where person_id = :person"),
            {"now": self._now(), "person": person},
        )
        return self.renew_recovery(connection, person)

    def renew_recovery(self, connection: Connection, person: UUID) -> list[str]:
        """Ten new recovery codes instead of those there were."""
        made = [_recovery_code() for _ in range(RECOVERY_CODES)]
        connection.execute(
            text("delete from recovery_code where person_id = :person"), {"person": person}
        )
        connection.execute(
            text("insert into recovery_code (digest, person_id) values (:digest, :person)"),
            [{"digest": self._digest(person, code), "person": person} for code in made],
        )
        return made

    def has(self, connection: Connection, person: UUID) -> bool:
        """Whether the person has confirmed a second factor."""
        row = self._row(connection, person)
        return row is not None and row[1] is not None

    def left(self, connection: Connection, person: UUID) -> int:
        """How many recovery codes are left."""
        return int(
            connection.execute(
                text("select count(*) from recovery_code where person_id = :person"),
                {"person": person},
            ).scalar_one()
        )

    def check(self, connection: Connection, person: UUID, given: str) -> bool:
        """Whether it is a code of the app's or a recovery code; either is then used up."""
        row = self._row(connection, person)
        if row is None or row[1] is None:
            return False
        if self._take(connection, person, row[0], given):
            return True
        return bool(
            connection.execute(
                text("delete from recovery_code where digest = :digest and person_id = :person"),
                {"digest": self._digest(person, given), "person": person},
            ).rowcount
        )

    def remove(self, connection: Connection, person: UUID) -> bool:
        """Takes second factor and recovery codes away; whether there was anything."""
        values = {"person": person}
        connection.execute(text("delete from recovery_code where person_id = :person"), values)
        done = connection.execute(
            text("delete from second_factor where person_id = :person"), values
        )
        return bool(done.rowcount)

    def _take(self, connection: Connection, person: UUID, secret: bytes, given: str) -> bool:
        """Whether it is a code of now or a step beside, newer than each one taken before."""
        code = "".join(given.split())
        if len(code) != DIGITS or not code.isdecimal() or not code.isascii():
            return False
        app, now = _app(secret), int(self._now().timestamp()) // STEP_S
        for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
            if hmac.compare_digest(app.generate(step * STEP_S), code.encode()):
                # One statement decides between two who give the same code at once.
                return bool(
                    connection.execute(
                        text("""update second_factor set last_step = :step
                            where person_id = :person and last_step < :step"""),
                        {"step": step, "person": person},
                    ).rowcount
                )
        return False

    def _row(self, connection: Connection, person: UUID) -> tuple[bytes, datetime | None] | None:
        row = connection.execute(
            text("select secret, confirmed_at from second_factor where person_id = :person"),
            {"person": person},
        ).first()
        if row is None:
            return None
        try:
            return seal.unseal(self._key(), _context(person), bytes(row.secret)), row.confirmed_at
        except SealBroken:
            return b"\x00" * SECRET_BYTES if row.confirmed_at else b"", row.confirmed_at

    def _digest(self, person: UUID, code: str) -> bytes:
        bare = "".join(c for c in code.upper() if c.isalnum())
        message = f"recovery-code/{person}/{bare}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key(), message, hashlib.sha256).digest()


def address(secret: bytes, name: str) -> str:
    """What an app reads from the square: otpauth://totp/…"""
    label = quote(f"{ISSUER}:{name}", safe="")
    return (
        f"otpauth://totp/{label}?secret={written(secret)}&issuer={quote(ISSUER)}"
        f"&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )


def written(secret: bytes) -> str:
    """The secret as it is typed into an app without a camera."""
    return base64.b32encode(secret).decode().rstrip("=")


def code_at(secret: bytes, at: datetime) -> str:
    """The code that an app with this secret shows at an instant."""
    return _app(secret).generate(int(at.timestamp())).decode()


def _app(secret: bytes) -> TOTP:
    # SHA-1 is what every app knows; HMAC with it is not touched by its collisions (RFC 6238).
    return TOTP(secret, DIGITS, SHA1(), STEP_S, enforce_key_length=False)  # noqa: S303


def _context(person: UUID) -> bytes:
    return seal.context("second-factor", str(person))


def _recovery_code() -> str:
    letters = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
    return "-".join(letters[n : n + 4] for n in range(0, len(letters), 4))
