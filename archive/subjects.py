"""Of whom an entry of the audit log is: keyed digests of a customer's identifiers, month by month.

So "who met anything of this customer" (GDPR 15 and 33) is answered by one indexed look-up, also
when the recordings are gone, and the log itself names nobody. Each month has a key of its own
("audit/2026-11"); when that is destroyed its digests say nothing to anybody, and the log's chain
holds as before. Knows no recordings and no database.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from archive.formats.identifiers import (
    normalise_metering_point,
    normalise_phone,
    phone_digits,
)
from archive.model import Descriptor, MailDescription, Query

KEPT_MONTHS = 36  # how long it can be asked who met somebody's recordings
FOLDER = "audit"
DIGEST_BYTES = 12
MOST = 100  # digests of one entry

Identifier = tuple[str, str]  # kind, normal form


class Keys(Protocol):
    """What is needed of the keys directory."""

    def ensure(self, name: str) -> bytes: ...
    def get(self, name: str) -> bytes: ...
    def destroy(self, name: str) -> bool: ...
    def names(self, folder: str) -> list[str]: ...


def of_query(query: Query) -> set[Identifier]:
    """The whole identifiers that a search named."""
    return typed(
        customer=query.customer,
        phone=query.phone,
        email=query.email,
        metering_point=query.metering_point,
    )


def typed(
    *,
    customer: str | None = None,
    phone: str | None = None,
    email: str | None = None,
    metering_point: str | None = None,
) -> set[Identifier]:
    """Identifiers as they were typed, each in its normal form; parts of one are none."""
    given = (
        ("customer", "".join((customer or "").split()).casefold()),
        ("phone", _phone(phone)),
        ("email", (email or "").strip().casefold()),
        ("metering-point", _metering_point(metering_point)),
    )
    return {(kind, value) for kind, value in given if value and not set(value) & set('*?"')}


def of_recording(descriptor: Descriptor, mail: MailDescription | None) -> set[Identifier]:
    """The customer's identifiers in a recording; the archive's own mailbox is nobody's."""
    found = typed(customer=descriptor.customer_number, metering_point=descriptor.metering_point)
    for number in (descriptor.caller, descriptor.callee):
        found |= typed(phone=number)
    for address in (*mail.from_, *mail.to, *mail.cc) if mail else ():
        if address.casefold() != descriptor.line.casefold():
            found |= typed(email=address)
    return found


def digests(keys: Keys, at: datetime, identifiers: Iterable[Identifier]) -> list[str]:
    """What an entry of this instant carries of them: hex, under its month's key."""
    wanted = sorted(set(identifiers))[:MOST]
    if not wanted:
        return []
    key = keys.ensure(f"{FOLDER}/{at:%Y-%m}")
    return [_digest(key, each) for each in wanted]


def everywhere(keys: Keys, identifiers: Iterable[Identifier]) -> list[str]:
    """The digests of them in every month that can still be asked."""
    wanted = sorted(set(identifiers))
    return [_digest(keys.get(name), each) for name in keys.names(FOLDER) for each in wanted]


def forget(keys: Keys, now: datetime) -> list[str]:
    """Destroys the keys of months too long ago; their names."""
    months = now.year * 12 + now.month - 1 - KEPT_MONTHS
    oldest = f"{FOLDER}/{months // 12:04}-{months % 12 + 1:02}"
    return [name for name in keys.names(FOLDER) if name < oldest and keys.destroy(name)]


def _digest(key: bytes, identifier: Identifier) -> str:
    kind, value = (part.encode("utf-8", "surrogatepass") for part in identifier)
    message = len(kind).to_bytes(4, "big") + kind + value
    return hmac.new(key, message, hashlib.sha256).digest()[:DIGEST_BYTES].hex()


def _phone(written: str | None) -> str:
    """The digits of the normal form; nothing of what is no whole number."""
    digits = phone_digits(normalise_phone(written)[0]) if written else ""
    return digits if len(digits) >= 5 else ""


def _metering_point(written: str | None) -> str:
    return (normalise_metering_point(written) or "") if written else ""
