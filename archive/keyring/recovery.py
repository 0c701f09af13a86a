"""The recovery key, and key backups sealed to it: bytes in, bytes out.

The public half lies in the keys directory, the private half with the operator, offline. Knows
the format of a key backup (docs/format.md) and nothing of where backups are kept or when.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from archive import seal
from archive.errors import KeyBackupUnusable, RecoveryKeyMissing, RecoveryKeyUnusable, SealBroken
from archive.keyring.keyfiles import publish
from archive.keyring.roots import RootKey, refuse_readable_by_others

MAGIC = b"CARK"
VERSION = 2  # written; both are read
PUBLIC_FILE = "recovery.pub"
_PREAMBLE = MAGIC + bytes((VERSION, 0, 0, 0))
_FIRST = MAGIC + bytes((1, 0, 0, 0))
_HEADER_MOST = 64 * 1024 * 1024
_ENCAPSULATED = 32 + 32 + 16  # HPKE: X25519 share, sealed content key, tag
_WRAPPED_V1 = seal.sealed_length(seal.KEY)  # only root keys kept in files wrapped them
# RFC 9180, base mode: 0x0020 DHKEM(X25519, HKDF-SHA256), 0x0001 HKDF-SHA256, 0x0002 AES-256-GCM
_HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What key backups are sealed to."""

    id: str  # "recovery-" and 16 hex digits of the SHA-256 of the key
    key: X25519PublicKey

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """The public half in the file. RecoveryKeyMissing, RecoveryKeyUnusable."""
        try:
            fields = json.loads(path.read_bytes())
            found = cls.of(X25519PublicKey.from_public_bytes(_unbase64(fields["public"])))
            if fields["v"] != 1 or fields["kind"] != "recovery-public" or fields["id"] != found.id:
                raise ValueError
        except FileNotFoundError:
            raise RecoveryKeyMissing() from None
        except (ValueError, KeyError, TypeError):
            raise RecoveryKeyUnusable(reason=f"{path} is damaged") from None
        return found

    @classmethod
    def of(cls, key: X25519PublicKey) -> PublicKey:
        """The key with its id."""
        return cls(f"recovery-{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]}", key)

    def encode(self) -> bytes:
        """As it is kept in the keys directory."""
        public = _base64(self.key.public_bytes_raw())
        return _json({"v": 1, "kind": "recovery-public", "id": self.id, "public": public})


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """What opens key backups. Never kept where the archive runs."""

    public: PublicKey
    key: X25519PrivateKey

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.id})"

    @classmethod
    def generate(cls) -> PrivateKey:
        """A fresh one."""
        key = X25519PrivateKey.generate()
        return cls(PublicKey.of(key.public_key()), key)

    def write(self, path: Path) -> None:
        """Writes the file, mode 0600, whole or not at all; never over another."""
        private = _base64(self.key.private_bytes_raw())
        fields = {"v": 1, "kind": "recovery-key", "id": self.public.id, "private": private}
        if not publish(path, _json(fields)):
            raise RecoveryKeyUnusable(reason=f"{path} exists already and is not written over")

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """The private half in the file. RecoveryKeyUnusable."""
        try:
            with path.open("rb") as file:
                refuse_readable_by_others(path, os.fstat(file.fileno()))
                fields = json.loads(file.read(4096))
            key = X25519PrivateKey.from_private_bytes(_unbase64(fields["private"]))
            found = cls(PublicKey.of(key.public_key()), key)
            if (
                fields["v"] != 1
                or fields["kind"] != "recovery-key"
                or fields["id"] != found.public.id
            ):
                raise ValueError
        except OSError as error:
            raise RecoveryKeyUnusable(reason=f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise RecoveryKeyUnusable(reason=f"{path} is not a recovery key") from None
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is readable of a key backup without any key: no key, only names of days."""

    id: UUID
    kind: str  # "keys", or "root" for the recovery copy of a root key
    made_at: datetime
    until: datetime | None  # a root's copy lives as long as the root
    recovery: str  # id of the recovery key that opens it
    root: str  # id of the root key that opens it too, while it is in use
    names: tuple[str, ...]  # of the keys in it

    def encode(self) -> bytes:
        """Compact JSON, names sorted."""
        return _json(
            {
                "v": 1,
                "id": str(self.id),
                "kind": self.kind,
                "made_at": self.made_at.isoformat(),
                "until": self.until.isoformat() if self.until else None,
                "recovery": self.recovery,
                "root": self.root,
                "names": list(self.names),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """The inverse; ValueError, KeyError or TypeError for other bytes."""
        fields = json.loads(raw)
        return cls(
            id=UUID(fields["id"]),
            kind=str(fields["kind"]),
            made_at=datetime.fromisoformat(fields["made_at"]),
            until=datetime.fromisoformat(fields["until"]) if fields["until"] else None,
            recovery=str(fields["recovery"]),
            root=str(fields["root"]),
            names=tuple(str(name) for name in fields["names"]),
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a key backup: keys by name, and names of those that were ever destroyed."""

    keys: Mapping[str, bytes]
    destroyed: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Compact JSON."""
        keys = {name: _base64(key) for name, key in self.keys.items()}
        return _json({"v": 1, "keys": keys, "destroyed": list(self.destroyed)})

    @classmethod
    def parse(cls, raw: bytes) -> Contents:
        """The inverse."""
        fields = json.loads(raw)
        keys = {str(name): _unbase64(key) for name, key in fields["keys"].items()}
        return cls(keys, tuple(str(name) for name in fields["destroyed"]))


def sealed(header: Header, contents: Contents, *, to: PublicKey, root: RootKey) -> bytes:
    """A key backup: for the operator's recovery key, and for the root that verifies it."""
    raw, content_key = header.encode(), os.urandom(seal.KEY)
    wrapped = root.wrap(root_context(raw), content_key)
    return b"".join(
        (
            _PREAMBLE,
            struct.pack(">I", len(raw)),
            raw,
            _HPKE.encrypt(content_key, to.key, info=recovery_context(raw)),
            struct.pack(">H", len(wrapped)),
            wrapped,
            seal.seal(content_key, body_context(header.id), contents.encode()),
        )
    )


def sealed_key(name: str, secret: bytes, *, to: PublicKey) -> bytes:
    """A key of the keys directory for the recovery key alone, bound to its name."""
    return _HPKE.encrypt(secret, to.key, info=key_file_context(name))


def open_key(name: str, sealed: bytes, *, by: PrivateKey) -> bytes:
    """The inverse. SealBroken for other bytes, another name or another recovery key."""
    try:
        return _HPKE.decrypt(sealed, by.key, info=key_file_context(name))
    except (InvalidTag, ValueError):
        raise SealBroken(reason=seal.Broken.KEY_FILE) from None


def key_file_context(name: str) -> bytes:
    """The `info` of the HPKE message in a key's file."""
    return seal.context("key-file-recovery", name)


def recovery_context(raw_header: bytes) -> bytes:
    """The `info` of the HPKE message: binds the content key to every byte of the header."""
    return seal.context("key-backup", raw_header)


def root_context(raw_header: bytes) -> bytes:
    """Where the content key wrapped under the root belongs."""
    return seal.context("key-backup-root", raw_header)


def body_context(id: UUID) -> bytes:
    """Where the keys of a backup belong."""
    return seal.context("key-backup-body", str(id))


@dataclass(frozen=True, slots=True)
class KeyBackup:
    """A key backup as it was read; `where` names it in errors."""

    where: str
    header: Header
    _raw_header: bytes
    _encapsulated: bytes
    _wrapped: bytes
    _body: bytes

    @classmethod
    def parse(cls, raw: bytes, *, where: str) -> KeyBackup:
        """KeyBackupUnusable for bytes that are not a key backup of this version."""
        start = len(_PREAMBLE) + 4
        if raw[: len(MAGIC)] != MAGIC:
            raise KeyBackupUnusable(path=where, reason="it is not a key backup")
        if raw[: len(_PREAMBLE)] not in (_FIRST, _PREAMBLE):
            raise KeyBackupUnusable(path=where, reason="it is of an unknown version")
        try:
            (length,) = struct.unpack_from(">I", raw, len(_PREAMBLE))
            if length > _HEADER_MOST:
                raise ValueError
            raw_header, at = raw[start : start + length], start + length + _ENCAPSULATED
            size = _WRAPPED_V1
            if raw[: len(_PREAMBLE)] == _PREAMBLE:
                (size,), at = struct.unpack_from(">H", raw, at), at + 2
            if len(raw) < at + size:
                raise ValueError
            header = Header.parse(raw_header)
        except (struct.error, ValueError, KeyError, TypeError):
            raise KeyBackupUnusable(path=where, reason="it is cut or damaged") from None
        encapsulated = raw[start + length : start + length + _ENCAPSULATED]
        return cls(where, header, raw_header, encapsulated, raw[at : at + size], raw[at + size :])

    @classmethod
    def read(cls, path: Path) -> KeyBackup:
        """The key backup in a file."""
        try:
            return cls.parse(path.read_bytes(), where=str(path))
        except OSError as error:
            raise KeyBackupUnusable(path=path, reason=str(error.strerror)) from None

    def open(self, key: PrivateKey) -> Contents:
        """The keys, by the operator's private key."""
        if self.header.recovery != key.public.id:
            raise KeyBackupUnusable(
                path=self.where, reason=f"it is sealed to {self.header.recovery}"
            )
        try:
            content_key = _HPKE.decrypt(
                self._encapsulated, key.key, info=recovery_context(self._raw_header)
            )
        except InvalidTag:
            raise self._damaged() from None
        return self._contents(content_key)

    def open_by_root(self, root: RootKey) -> Contents:
        """The keys, by the root key it was made under."""
        try:
            content_key = root.unwrap(root_context(self._raw_header), self._wrapped)
        except SealBroken:
            raise self._damaged() from None
        return self._contents(content_key)

    def _contents(self, content_key: bytes) -> Contents:
        try:
            opened = seal.unseal(content_key, body_context(self.header.id), self._body)
            contents = Contents.parse(opened)
        except (SealBroken, ValueError, KeyError, TypeError):
            raise self._damaged() from None
        if tuple(sorted(contents.keys)) != self.header.names:
            raise self._damaged()
        return contents

    def _damaged(self) -> KeyBackupUnusable:
        return KeyBackupUnusable(path=self.where, reason="it is damaged")


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
