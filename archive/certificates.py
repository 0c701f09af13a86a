"""Certificates of expiry, checked: signature, chain, and the list of ids behind each.

Needs the public key and the certificates; nothing of the recordings, which are gone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, text

from archive.db import transaction
from archive.errors import ArchiveError
from archive.expiry import canonical, certificate_digest, merkle_root
from archive.vault import Vault

PREFIX = "certificates/"


def verify_all(vault: Vault, engine: Engine) -> tuple[int, list[str]]:
    """Number of certificates in the store, and what is wrong with any of them or their order."""
    stored = {c["run"]: c for c in _stored(vault)}
    wrong = [problem for c in stored.values() for problem in check(vault, c)]
    wrong += _chain(stored)
    with transaction(engine) as connection:
        runs = connection.execute(
            text("select run from expiry_run where certificate is not null")
        ).scalars()
        wrong += [
            f"{run}: certificate missing in the store" for run in runs if str(run) not in stored
        ]
    return len(stored), wrong


def check(vault: Vault, certificate: dict[str, Any]) -> list[str]:
    """What is wrong with one certificate; nothing if it holds."""
    run = certificate.get("run", "?")
    problems = []
    own = vault.keys.ensure("installation/signing")
    if not signed(certificate, expected_public=_public_of(own)):
        problems.append(f"{run}: signature does not hold")
    ids = _ids(vault, certificate)
    if ids is None:
        problems.append(f"{run}: id list missing or unreadable")
    elif merkle_root(ids).hex() != certificate.get("merkle_root"):
        problems.append(f"{run}: id list does not match")
    elif len(ids) != certificate.get("destroyed"):
        problems.append(f"{run}: count does not match the id list")
    return problems


def signed(certificate: dict[str, Any], *, expected_public: bytes) -> bool:
    """Whether the signature is that of the expected key over this very certificate."""
    try:
        signature = base64.b64decode(certificate["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(expected_public).verify(
            signature, canonical(certificate)
        )
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True


def stored(vault: Vault) -> Iterator[tuple[dict[str, Any], list[UUID]]]:
    """Certificates in the store whose signature and id list hold, oldest first, with their ids."""
    for certificate in sorted(_stored(vault), key=lambda c: str(c.get("at"))):
        if not check(vault, certificate):
            yield certificate, _ids(vault, certificate) or []


def _public_of(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _stored(vault: Vault) -> list[dict[str, Any]]:
    found = []
    for stored in vault.store.list(PREFIX):
        if stored.key.endswith(".json"):
            raw = b"".join(vault.store.stream(stored.key, version=stored.version))
            found.append(json.loads(raw))
    return found


def _ids(vault: Vault, certificate: dict[str, Any]) -> list[UUID] | None:
    key = f"{PREFIX}{certificate['at'][:10]}/{certificate['run']}.ids"
    try:
        raw = b"".join(vault.store.stream(key))
        return [UUID(line) for line in raw.decode().split()]
    except (ArchiveError, ValueError):
        return None


def _chain(certificates: dict[str, dict[str, Any]]) -> list[str]:
    """Every certificate but the first names one that is there, and none is named twice."""
    digests = {certificate_digest(c): run for run, c in certificates.items()}
    problems, named = [], set()
    firsts = 0
    for run, certificate in certificates.items():
        previous = certificate.get("previous")
        if previous is None:
            firsts += 1
        elif previous not in digests:
            problems.append(f"{run}: the certificate before it is missing or altered")
        elif previous in named:
            problems.append(f"{run}: follows a certificate that another one follows too")
        named.add(previous)
    if firsts > 1:
        problems.append("more than one certificate claims to be the first")
    return problems
