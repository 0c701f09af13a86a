"""Certificates of expiry and entries of the erasure journal, as anybody can check them.

Needs the public key and nothing else of the archive: no keys directory, store or database. The
same rules stand in docs/proof.md, for those who would rather not run this program.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from archive.errors import BadRequest

CERTIFICATES, ERASURES = "certificates/", "journal/"
_UNSIGNED = frozenset({"signature", "public_key"})


@dataclass(slots=True)
class Bundle:
    """What there is to check, by name ("<day>/<run>", of an erasure "<day>/<id>").

    None stands for what cannot be read as what its name says it is.
    """

    certificates: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    lists: dict[str, list[UUID] | None] = field(default_factory=dict)
    erasures: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def add(self, key: str, content: bytes) -> None:
        """Takes in an object by its key in the store; others are passed over."""
        if key.startswith(CERTIFICATES) and key.endswith(".ids"):
            self.lists[_name(key, CERTIFICATES)] = _ids(content)
        elif key.startswith(CERTIFICATES) and key.endswith(".json"):
            self.certificates[_name(key, CERTIFICATES)] = _json(content)
        elif key.startswith(ERASURES) and key.endswith(".json"):
            self.erasures[_name(key, ERASURES)] = _json(content)


def read_folder(folder: Path) -> Bundle:
    """What `archive expiry export` wrote, or the `objects` folder of a backup."""
    bundle = Bundle()
    for prefix in (CERTIFICATES, ERASURES):
        for path in sorted((folder / prefix).rglob("*")):
            if path.is_file():
                bundle.add(path.relative_to(folder).as_posix(), path.read_bytes())
    return bundle


def _name(key: str, prefix: str) -> str:
    return key.removeprefix(prefix).rpartition(".")[0]


def _json(content: bytes) -> dict[str, Any] | None:
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _ids(content: bytes) -> list[UUID] | None:
    try:
        return [UUID(line) for line in content.decode("ascii").splitlines()]
    except ValueError:
        return None


# -- checking --------------------------------------------------------------------------


def problems(bundle: Bundle, public: bytes, *, heads: Mapping[str, str]) -> list[str]:
    """All that is wrong, in words; nothing where everything holds.

    `heads` are digests of certificates that are known to have existed, each with where it is
    known from: without one, nobody could tell that the newest certificates were taken away.
    """
    wrong: list[str] = []
    for name, certificate in sorted(bundle.certificates.items()):
        wrong += [f"{name}: {p}" for p in certificate_problems(bundle, name, certificate, public)]
    for name in sorted(bundle.lists.keys() - bundle.certificates.keys()):
        wrong.append(f"{name}: id list without a certificate")
    for name, entry in sorted(bundle.erasures.items()):
        wrong += [f"{name}: {p}" for p in erasure_problems(name, entry, public)]
    whole = {name: c for name, c in bundle.certificates.items() if c is not None}
    return [*wrong, *_twice(bundle), *_chain(whole), *_missing_heads(whole, heads)]


def certificate_problems(
    bundle: Bundle, name: str, certificate: dict[str, Any] | None, public: bytes
) -> Iterator[str]:
    """What is wrong with one certificate and its list by themselves."""
    if certificate is None:
        yield "not readable as a certificate"
        return
    if not signed(certificate, public=public):
        yield "signature does not hold"
    if name != f"{str(certificate.get('at'))[:10]}/{certificate.get('run')}":
        yield "lies under the name of another run"
    ids = bundle.lists.get(name)
    if ids is None:
        yield "id list missing or unreadable"
    elif any(a >= b for a, b in pairwise(ids)):
        yield "id list is not in order"
    elif merkle_root(ids).hex() != certificate.get("merkle_root"):
        yield "id list does not match"
    elif len(ids) != certificate.get("destroyed"):
        yield "count does not match the id list"


def erasure_problems(name: str, entry: dict[str, Any] | None, public: bytes) -> Iterator[str]:
    """What is wrong with one entry of the erasure journal."""
    if entry is None:
        yield "not readable as a journal entry"
        return
    if entry.get("kind") != "erasure" or not signed(entry, public=public):
        yield "signature does not hold"
    if name != f"{str(entry.get('at'))[:10]}/{entry.get('id')}":
        yield "lies under the name of another entry"


def signed(body: Mapping[str, Any], *, public: bytes) -> bool:
    """Whether the signature is that of this key (32 bytes) over this very body."""
    try:
        signature = base64.b64decode(body["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, canonical(body))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True


def _twice(bundle: Bundle) -> Iterator[str]:
    """Ids that two lists name: each recording is destroyed once."""
    seen: dict[UUID, str] = {}
    for name, ids in sorted(bundle.lists.items()):
        for id in ids or ():
            if seen.setdefault(id, name) != name:
                yield f"{name}: {id} is in the list of {seen[id]} too"


def _chain(certificates: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Every certificate but the first names an earlier one that is there, and no other does."""
    by_digest = {certificate_digest(c): c for c in certificates.values()}
    named: set[str] = set()
    firsts = 0
    for name, certificate in sorted(certificates.items()):
        previous = certificate.get("previous")
        if previous is None:
            firsts += 1
            continue
        if previous not in by_digest:
            yield f"{name}: the certificate before it is missing or altered"
        elif previous in named:
            yield f"{name}: follows a certificate that another one follows too"
        elif str(by_digest[previous].get("at")) > str(certificate.get("at")):
            yield f"{name}: is older than the certificate it follows"
        named.add(str(previous))
    if firsts > 1:
        yield "more than one certificate claims to be the first"
    if certificates and not firsts:
        yield "the first certificate is missing"


def _missing_heads(
    certificates: Mapping[str, dict[str, Any]], heads: Mapping[str, str]
) -> Iterator[str]:
    there = {certificate_digest(c) for c in certificates.values()}
    for digest, known_from in heads.items():
        if digest not in there:
            yield f"the certificate {digest[:16]}…, known from {known_from}, is missing or altered"


def head(certificates: Iterable[dict[str, Any] | None]) -> str | None:
    """The digest of the certificate that none follows; None where there is none."""
    whole = [c for c in certificates if c is not None]
    followed = {c.get("previous") for c in whole}
    ends = [c for c in whole if certificate_digest(c) not in followed]
    newest = max(ends, key=lambda c: str(c.get("at")), default=None)
    return certificate_digest(newest) if newest else None


# -- signing ---------------------------------------------------------------------------


def sign(seed: bytes, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with an Ed25519 signature over its canonical JSON, and the public key."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return {
        **body,
        "public_key": base64.b64encode(public_of(seed)).decode(),
        "signature": base64.b64encode(private.sign(canonical(body))).decode(),
    }


def canonical(body: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: without signature and public key, keys sorted, no blanks."""
    unsigned = {k: v for k, v in body.items() if k not in _UNSIGNED}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()


def certificate_digest(certificate: Mapping[str, Any]) -> str:
    """SHA-256 (hex) by which the next certificate names this one."""
    return hashlib.sha256(canonical(certificate)).hexdigest()


def public_of(seed: bytes) -> bytes:
    """The public key (32 bytes) to a private seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def pem(public: bytes) -> str:
    """The public key as others' programs take it (PEM, SubjectPublicKeyInfo)."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_from(content: bytes) -> bytes:
    """The 32 bytes of a PEM file. BadRequest where it is none of an Ed25519 key."""
    try:
        key = load_pem_public_key(content)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BadRequest(reason="expected a PEM file with an Ed25519 public key")
    return key.public_bytes_raw()


# -- the tree over the ids (RFC 6962, section 2.1) -------------------------------------


def merkle_root(ids: Iterable[UUID]) -> bytes:
    """Merkle tree hash over the sorted ids; of none: SHA-256 of nothing."""
    leaves = [_leaf(id) for id in sorted(ids)]
    return _tree(leaves) if leaves else hashlib.sha256(b"").digest()


def inclusion(ids: Sequence[UUID], id: UUID) -> tuple[int, list[bytes]]:
    """Where the id stands in the sorted list (from 0), and the hashes that lead to the root.

    ValueError if it is not among them.
    """
    ordered = sorted(ids)
    index = ordered.index(id)
    return index, _path([_leaf(each) for each in ordered], index)


def root_by(id: UUID, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion path leads to (RFC 9162, section 2.1.3.2); None: impossible."""
    if not 0 <= index < size:
        return None
    number, last, found = index, size - 1, _leaf(id)
    for each in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            found = _node(each, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = _node(found, each)
        number, last = number >> 1, last >> 1
    return found if last == 0 else None


def _path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_path(leaves[:split], index), _tree(leaves[split:])]
    return [*_path(leaves[split:], index - split), _tree(leaves[:split])]


def _tree(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(_tree(leaves[:split]), _tree(leaves[split:]))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _leaf(id: UUID) -> bytes:
    return hashlib.sha256(b"\x00" + id.bytes).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
