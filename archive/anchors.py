"""The audit log's signed heads, kept in the object store: what its database could not hide.

The chain alone shows any change by somebody who does not reckon it anew. Whoever owns the
database can do that, or cut off its end. A head signed with the installation's key and kept
elsewhere says which entry was the last one then, so both are found. Knows nothing of recordings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from archive import audit
from archive.db import transaction
from archive.erasure import proofs
from archive.vault import Vault

PREFIX = "audit/"
AT_MOST = timedelta(hours=1)  # between heads while entries come
AT_LEAST = timedelta(days=1)  # also where none came: the silence is attested
_SIGNING = "installation/signing"


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking found: `wrong` must not be, `notes` are to be known."""

    entries: int
    heads: int
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Anchors:
    """Writes heads. One a process; several may write at once, each its own object."""

    def __init__(self, vault: Vault, engine: Engine, *, now: Callable[[], datetime]) -> None:
        self._vault = vault
        self._engine = engine
        self._now = now
        self._newest: Mapping[str, Any] | None = None

    def step(self) -> bool:
        """Writes a head if one is due; whether it did."""
        newest = self._newest or self._read_newest()
        with transaction(self._engine) as connection:
            number, hash = audit.head(connection)
        if newest is not None and not self._due(newest, number):
            return False
        self._newest = self._write(number, hash, previous=newest, restored=False)
        return True

    def restart(self) -> None:
        """After a restore: says up to which entry the log came back.

        Heads of entries after that one stay, and are told as lost instead of as tampering.
        """
        with transaction(self._engine) as connection:
            number, hash = audit.head(connection)
        previous = self._read_newest()
        if previous is not None and previous["chain_no"] > number:
            self._newest = self._write(number, hash, previous=previous, restored=True)

    def _due(self, newest: Mapping[str, Any], number: int) -> bool:
        age = self._now() - datetime.fromisoformat(newest["at"])
        return age >= (AT_MOST if number != newest["chain_no"] else AT_LEAST)

    def _read_newest(self) -> Mapping[str, Any] | None:
        heads = [head for _, head in _stored(self._vault) if head is not None]
        self._newest = heads[-1] if heads else None
        return self._newest

    def _write(
        self, number: int, hash: bytes, *, previous: Mapping[str, Any] | None, restored: bool
    ) -> dict[str, Any]:
        at = self._now().astimezone(UTC)
        head = proofs.sign(
            self._vault.keys.ensure(_SIGNING),
            {
                "v": 1,
                "kind": "audit-head",
                "at": at.isoformat(),
                "chain_no": number,
                "hash": hash.hex(),
                "previous": proofs.certificate_digest(previous) if previous else None,
                "restored": restored,
            },
        )
        self._vault.store.put_bytes(_key(head), json.dumps(head, indent=1).encode())
        return head


def verify(vault: Vault, engine: Engine, *, public: bytes | None = None) -> Checked:
    """Checks chain and heads, by the installation's key or by `public` (32 bytes)."""
    if public is None:
        public = proofs.public_of(vault.keys.ensure(_SIGNING))
    stored = list(_stored(vault))  # before the log, which grows meanwhile
    whole = [head for _, head in stored if head is not None]
    with transaction(engine) as connection:
        count, breaks = audit.verify(connection)
        last, _ = audit.head(connection)
        valid, lost = _valid(whole)
        hashes = audit.hashes(connection, [head["chain_no"] for head in valid])
    wrong = [f"entry {broken.chain_no}: {broken.what}" for broken in breaks]
    for key, head in stored:
        wrong += [f"{key}: {problem}" for problem in _problems(key, head, public)]
    wrong += _links(whole)
    wrong += _against_the_log(valid, hashes, last)
    return Checked(count, len(stored), wrong, lost)


def _stored(vault: Vault) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Keys of the heads in the store in order of time, each with its head or None."""
    for stored in sorted(vault.store.list(PREFIX), key=lambda s: s.key):
        raw = b"".join(vault.store.stream(stored.key))
        yield stored.key, _parsed(raw)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        head = json.loads(raw)
        datetime.fromisoformat(head["at"])
        bytes.fromhex(head["hash"])
        return head if isinstance(head["chain_no"], int) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _key(head: Mapping[str, Any]) -> str:
    at = str(head["at"])
    digest = proofs.certificate_digest(head)
    return f"{PREFIX}{at[:10]}/{at[11:19].replace(':', '')}-{digest[:12]}.json"


def _problems(key: str, head: dict[str, Any] | None, public: bytes) -> Iterator[str]:
    if head is None:
        yield "not readable as a head of the audit log"
        return
    if head.get("kind") != "audit-head" or not proofs.signed(head, public=public):
        yield "signature does not hold"
    elif key != _key(head):
        yield "lies under the name of another head"


def _links(heads: list[dict[str, Any]]) -> Iterator[str]:
    """Every head but the first names one that is there."""
    there = {proofs.certificate_digest(head) for head in heads}
    for head in heads:
        if head.get("previous") is not None and head["previous"] not in there:
            yield f"{_key(head)}: the head before it is missing or altered"
    firsts = sum(head.get("previous") is None for head in heads)
    if heads and firsts == 0:
        yield "the first head is missing"


def _valid(heads: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Heads that the log must agree with, and what restores took from the others, in words."""
    valid: list[dict[str, Any]] = []
    notes = []
    for head in heads:
        if head.get("restored"):
            most = max((h["chain_no"] for h in valid), default=0)
            kept = head["chain_no"]
            if most > kept:
                notes.append(
                    f"{head['at']}: restored up to entry {kept}; entries {kept + 1} to "
                    f"{most} or later of before are in no catalogue any more"
                )
            valid = [h for h in valid if h["chain_no"] <= kept]
        valid.append(head)
    return valid, notes


def _against_the_log(
    heads: list[dict[str, Any]], hashes: Mapping[int, bytes], last: int
) -> Iterator[str]:
    """Where the log is not what it was when a head was signed."""
    holds = 0
    for head in heads:
        number = head["chain_no"]
        if number == 0:
            continue
        if number > last:
            yield f"entries {last + 1} to {number} missing at the end (head of {head['at']})"
            return
        if hashes.get(number) != bytes.fromhex(head["hash"]):
            yield (
                f"entries {holds + 1} to {number}: altered and chained anew (head of {head['at']})"
            )
            return
        holds = number
