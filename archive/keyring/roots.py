"""Root keys: what wraps every other key. Knows their files, not what they wrap."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from archive import seal
from archive.errors import RootKeyUnusable
from archive.keyring.keyfiles import encode, publish, seen_of

ROOT_FILE = "root.key"
NEXT_ROOT_FILE = "root.next"


class RootKey(Protocol):
    """What wraps the files of the keys directory; only its `id` is ever written down."""

    @property
    def id(self) -> str:
        """Names this root key and version; written into every file it wraps."""
        ...

    @property
    def provider(self) -> str:
        """Where it is kept: one of config.ROOT_PROVIDERS."""
        ...

    @property
    def made_at(self) -> datetime | None:
        """When it was made, where its file says so."""
        ...

    def wrap(self, ctx: bytes, secret: bytes) -> bytes:
        """`secret` sealed in this context. Raises RootKeyUnusable."""
        ...

    def unwrap(self, ctx: bytes, wrapped: bytes) -> bytes:
        """The secret. Raises SealBroken for other bytes, RootKeyUnusable for a key away."""
        ...

    def check(self) -> None:
        """Opens something that it wrapped before; RootKeyUnusable where it cannot."""
        ...


class RootLoader(Protocol):
    """Reads what a file of the keys directory says of a root key."""

    def load(self, path: Path) -> RootKey:
        """The root key. RootKeyUnusable says what to do where it cannot be used."""
        ...


class FileRootKey:
    """A root key in a file that only its owner may read: JSON {v, kind, id, key}.

    Its id is "file-" and 16 hex digits of a digest of the key, so that a damaged file shows.
    """

    provider = "file"

    def __init__(self, secret: bytes, made_at: datetime | None = None) -> None:
        digest = hmac.digest(secret, seal.context("root-key-id"), hashlib.sha256)
        self.id = f"file-{digest[:8].hex()}"
        self.made_at = made_at
        self._secret = secret

    def __repr__(self) -> str:
        return f"FileRootKey({self.id})"

    @classmethod
    def create(cls, path: Path, made_at: datetime | None = None) -> FileRootKey:
        """Makes the file with a fresh key. RootKeyUnusable where there is one already."""
        key = cls(os.urandom(seal.KEY), made_at)
        if not key.write(path):
            raise RootKeyUnusable(reason=f"{path} exists already and is not written over")
        return key

    @classmethod
    def load(cls, path: Path) -> FileRootKey:
        """The key in the file. RootKeyUnusable says what to do where it cannot be used."""
        try:
            fields = read_fields(path)
            made_at = datetime.fromisoformat(fields["made_at"]) if "made_at" in fields else None
            key = cls(base64.b64decode(fields["key"], validate=True), made_at)
            if fields["v"] != 1 or fields["id"] != key.id or len(key._secret) != seal.KEY:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise RootKeyUnusable(reason=f"{path} is damaged or not a root key") from None
        return key

    def check(self) -> None:
        """Its id is a digest of it: what was loaded is the one."""

    def for_recovery(self) -> bytes:
        """The key itself, to be sealed to the recovery key and nothing else."""
        return self._secret

    def write(self, path: Path) -> bool:
        """Writes the key's file; False where there is one of the name already."""
        encoded = base64.b64encode(self._secret).decode("ascii")
        fields = {"v": 1, "kind": "root-key", "id": self.id, "key": encoded}
        if self.made_at is not None:
            fields["made_at"] = self.made_at.isoformat()
        return publish(path, encode(fields))

    def wrap(self, ctx: bytes, secret: bytes) -> bytes:
        """`secret` sealed in this context."""
        return seal.seal(self._secret, ctx, secret)

    def unwrap(self, ctx: bytes, wrapped: bytes) -> bytes:
        """The secret; SealBroken for other bytes or another key."""
        return seal.unseal(self._secret, ctx, wrapped)


def read_fields(path: Path) -> dict[str, Any]:
    """The JSON of a root's file, which is its owner's alone. ValueError, RootKeyUnusable."""
    try:
        with path.open("rb") as file:
            refuse_readable_by_others(path, os.fstat(file.fileno()))
            return dict(json.loads(file.read(4096)))
    except OSError as error:
        raise RootKeyUnusable(reason=f"{path}: {error.strerror}") from None


def refuse_readable_by_others(path: Path, found: os.stat_result) -> None:
    """RootKeyUnusable unless the file is its owner's, who runs this program, and nobody else's."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise RootKeyUnusable(
            reason=f"others than its owner may use {path} (mode {mode:04o}). Run: chmod 600 {path}"
        )
    if os.geteuid() != 0 and found.st_uid != os.geteuid():
        raise RootKeyUnusable(reason=f"{path} belongs to another user")


class FixedRoot:
    """One root key, for ever."""

    def __init__(self, root: RootKey) -> None:
        self._root = root

    def current(self) -> RootKey:
        """That key."""
        return self._root

    def age_of(self, root: RootKey, now: datetime) -> timedelta:
        """How old it is, as far as it says so."""
        return now - (root.made_at or now)

    def find(self, id: str) -> RootKey | None:
        """That key, if it is the one."""
        return self._root if self._root.id == id else None


class OnlyFiles:
    """Roots that are kept in files, and no others."""

    def load(self, path: Path) -> RootKey:
        """See RootLoader."""
        return FileRootKey.load(path)


class FileRoots:
    """The root key files of a keys directory: the root, and its successor during a rotation.

    A file holds the key, or says where it is kept: `loader` knows.

    Looks at the files on every use, so that every process follows a rotation by itself and
    never writes under one whose file is gone.
    """

    def __init__(self, folder: Path, loader: RootLoader | None = None) -> None:
        self._loader = loader or OnlyFiles()
        # The successor is looked at first: in the instant in which it takes the root's place it
        # is met under the one name or the other, never under none.
        self._paths = (folder / NEXT_ROOT_FILE, folder / ROOT_FILE)
        self._lock = threading.Lock()
        self._loaded: dict[Path, tuple[tuple[int, ...], RootKey]] = {}

    def age_of(self, root: RootKey, now: datetime) -> timedelta:
        """How old the root is; by its file's time where the file does not say."""
        made_at = root.made_at
        for path in self._paths if made_at is None else ():
            known = self._loaded.get(path)
            if known is not None and known[1] is root:
                made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return now - (made_at or now)

    def current(self) -> RootKey:
        """The successor if there is one, else the root; RootKeyUnusable where neither is."""
        with self._lock:
            for path in self._paths:
                root = self._look(path)
                if root is not None:
                    return root
        raise RootKeyUnusable(reason=f"{self._paths[-1]} is missing")

    def find(self, id: str) -> RootKey | None:
        """The one of the two that has this id.

        A root whose file was lost while we run still opens what it wrapped; `current` refuses it.
        """
        with self._lock:
            roots = [self._look(path) for path in self._paths]
            if roots == [None, None] and self._paths[-1] in self._loaded:
                roots = [self._loaded[self._paths[-1]][1]]
        return next((root for root in roots if root is not None and root.id == id), None)

    def _look(self, path: Path) -> RootKey | None:
        try:
            seen = seen_of(path.stat())
            known = self._loaded.get(path)
            if known is None or known[0] != seen:
                self._loaded[path] = known = (seen, self._loader.load(path))
        except FileNotFoundError:
            if path.name == NEXT_ROOT_FILE:
                self._loaded.pop(path, None)
            return None
        except RootKeyUnusable:
            if path.exists():
                raise
            return None  # renamed between the two looks
        return known[1]
