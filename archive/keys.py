"""The keys: a root key that wraps, and a directory in which every other key is one file.

Destroying a file destroys what was sealed under its key; nothing else in the archive erases as
surely. Must not know recordings, rows, objects or people: only names of keys.

    <keys>/root.key                       the root key, or where it is kept
    <keys>/root.next                      its successor while the root is being rotated
    <keys>/root.lock                      held for the moment in which a key file is made or removed
    <keys>/cohort/2027-11-24              a wrapped key: JSON {v, name, root, wrapped}
    <keys>/cohort/2027-11-24.destroyed    its tombstone: the name is never used again
    <keys>/cohort/.new-<random>           being written; left by a crash, removed at the next open
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from archive import seal
from archive.config import Config
from archive.errors import (
    KeyConflict,
    KeyDestroyed,
    KeyMissing,
    RestoreUnfinished,
    RootKeyUnusable,
    SealBroken,
)
from archive.keyring.keepers import KeptRoot, Providers
from archive.keyring.keyfiles import (
    encode,
    locked,
    make_private,
    overwrite_and_unlink,
    publish,
    remove_leftovers,
    replace,
    seen_of,
    sync_folder,
)
from archive.keyring.recovery import PUBLIC_FILE, PrivateKey, PublicKey, open_key, sealed_key
from archive.keyring.roots import ROOT_FILE, FileRoots, FixedRoot, RootKey

FOLDERS = ("cohort", "hold", "index", "case", "evidence", "audit", "installation")
LOCK_FILE = "root.lock"
RESTORING_FILE = "restoring.json"  # there from the begin of a restore to its end
_NAME = re.compile(rf"(?:{'|'.join(FOLDERS)})/[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}\Z")
_TOMBSTONE = ".destroyed"


# -- data keys -------------------------------------------------------------------------


def new_data_key() -> bytes:
    """32 fresh random bytes."""
    return os.urandom(seal.KEY)


def wrap_data_key(cohort_key: bytes, id: UUID, cohort: date, data_key: bytes) -> bytes:
    """`data_key` sealed under a cohort's (or hold's) key, bound to recording and cohort."""
    return seal.seal(cohort_key, seal.data_key_context(id, cohort), data_key)


def unwrap_data_key(cohort_key: bytes, id: UUID, cohort: date, wrapped: bytes) -> bytes:
    """The data key; SealBroken(commitment) for another recording, cohort or key."""
    return seal.unseal(cohort_key, seal.data_key_context(id, cohort), wrapped)


def reference_digest(key: bytes, source: str, source_ref: str) -> bytes:
    """HMAC-SHA-256 (32 bytes) by which a source's reference is known again."""
    return hmac.digest(key, seal.context("reference", source, source_ref), hashlib.sha256)


def keyed_digest(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA-256 (32 bytes) of parts that are known again and never read; each by its length."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    message = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
    return hmac.digest(key, message, hashlib.sha256)


# -- the directory ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cached:
    secret: bytes
    seen: tuple[int, ...]  # what stat() said of the file it was read from
    until: float


class KeysDirectory:
    """Keys by name. Several threads, processes and nodes may use the same directory at once.

    Names are "<folder>/<name>" with a folder of FOLDERS; anything else is a ValueError. An
    unwrapped key stays in memory for `cache_s` at most, and is not used once its file has been
    removed, replaced or written over, by whomever.
    """

    def __init__(
        self,
        path: Path,
        *,
        root: RootKey | FileRoots,
        cache_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        providers: Providers | None = None,
    ) -> None:
        self.path = path
        self._providers = providers
        self._base = str(path)
        self._roots = root if isinstance(root, FileRoots) else FixedRoot(root)
        self._cache = _Cache(cache_s, monotonic)
        self._settled: set[str] = set()  # names whose files have outlived a sync of their folder
        for folder in FOLDERS:
            make_private(path / folder)
            remove_leftovers(path / folder)

    @property
    def root(self) -> RootKey:
        """The root key that new files are wrapped under."""
        return self._roots.current()

    @property
    def providers(self) -> Providers:
        """What makes and destroys root keys; only `open_keys` gives it."""
        if self._providers is None:
            raise RootKeyUnusable(reason="this one is fixed")
        return self._providers

    def root_age(self, now: datetime) -> timedelta:
        """How old the root key is."""
        current = self._roots.current()
        return self._roots.age_of(current, now)

    def ensure(self, name: str) -> bytes:
        """The key, made now if it never existed; every caller everywhere gets the same one.

        KeyDestroyed once it has been destroyed: a name is never given a second key. DiskFull.
        """
        try:
            key = self.get(name)
        except KeyMissing:
            self._make(name)
            key = self.get(name)
        if name not in self._settled:
            # Whoever made the file may not have synced its folder yet. What is sealed under the
            # key must not be acknowledged before the key would survive a power cut.
            sync_folder((self.path / name).parent)
            self._settled.add(name)
        return key

    def get(self, name: str) -> bytes:
        """The key: 32 bytes. KeyDestroyed, KeyMissing; SealBroken("key file") if damaged.

        RootKeyUnusable where it was wrapped under another root than this one.
        """
        file, tombstone = _files(self._base, name)
        if os.path.lexists(tombstone):
            self._cache.drop(name)
            raise KeyDestroyed(name=name)
        try:
            cached = self._cache.get(name, seen_of(os.stat(file)))  # noqa: PTH116 (text, for speed)
            return cached if cached is not None else self._load(name, Path(file))
        except FileNotFoundError:
            self._cache.drop(name)
            if os.path.lexists(tombstone):  # destroyed since we looked
                raise KeyDestroyed(name=name) from None
            raise KeyMissing(name=name) from None

    def destroy(self, name: str) -> bool:
        """Makes the key unrecoverable from this directory; True if its file was there.

        Idempotent, and finishes what an earlier call left half done.
        """
        file, tombstone = _files(self._base, name)
        # The tombstone first: a crash after it leaves a key that nobody gets any more and that
        # the next call removes, never a removed key that `ensure` would make anew.
        publish(Path(tombstone), encode({"v": 1, "name": name}))
        self._cache.drop(name)
        with self._locked():  # or a rotation could put back the file that it has just read
            return overwrite_and_unlink(Path(file))

    def is_destroyed(self, name: str) -> bool:
        """Whether the key was ever destroyed."""
        return os.path.lexists(_files(self._base, name)[1])

    def names(self, folder: str) -> list[str]:
        """Names of the key files in `folder`, sorted; also those whose destruction broke off."""
        if folder not in FOLDERS:
            raise ValueError(f"no folder of keys is called {folder!r}")
        found = (entry.name for entry in (self.path / folder).iterdir())
        names = (f"{folder}/{name}" for name in found if not name.endswith(_TOMBSTONE))
        return sorted(name for name in names if _NAME.match(name))

    def destroyed(self, folder: str) -> list[str]:
        """Names in `folder` that were ever destroyed, sorted."""
        found = (self.path / folder).glob(f"*{_TOMBSTONE}")
        names = (f"{folder}/{path.name.removesuffix(_TOMBSTONE)}" for path in found)
        return sorted(name for name in names if _NAME.match(name))

    def put(self, name: str, secret: bytes) -> bool:
        """Keeps a key that was made before, as when a backup is restored; True if it was new.

        KeyDestroyed: what was destroyed never comes back. KeyConflict where another key of this
        name is there.
        """
        if self.is_destroyed(name):
            raise KeyDestroyed(name=name)
        made = self._make(name, secret)
        if not hmac.compare_digest(self.get(name), secret):
            raise KeyConflict(name=name)
        return made

    # -- rotation of the root ---------------------------------------------------------

    def everything(self) -> list[str]:
        """Names of all key files of all folders."""
        return [name for folder in FOLDERS for name in self.names(folder)]

    def check(self) -> tuple[int, list[str]]:
        """How many key files open, and the names of those that do not."""
        wrong = []
        names = self.everything()
        for name in names:
            try:
                self.get(name)
            except (KeyDestroyed, KeyMissing):
                continue  # destroyed meanwhile
            except (SealBroken, RootKeyUnusable):
                wrong.append(name)
        return len(names) - len(wrong), wrong

    def rewrap(self, name: str, *, recovery: PrivateKey | None = None) -> bool:
        """Wraps the key's file under the current root; True if it was under another one, or
        lacked its copy for the recovery key.

        Readers meet the old file or the new one, whole. SealBroken if the file is damaged. With
        the recovery key also a file whose root is lost is opened, by that copy.
        """
        path = Path(_files(self._base, name)[0])
        with self._locked(exclusive=True):
            if self.is_destroyed(name):
                overwrite_and_unlink(path)  # a destruction that broke off
                return False
            root = self._roots.current()
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                return False
            if self._is_as_it_would_be(root, name, raw):
                return False
            secret = self._open_for_rewrap(name, raw, recovery)
            replace(path, self._wrapped(root, name, secret))
        return True

    def recoverable(self, name: str) -> bool:
        """Whether the recovery key opens the key's file, or the root that has its own copy."""
        try:
            return self._is_covered(self._roots.current(), (self.path / name).read_bytes())
        except FileNotFoundError:
            return True

    def _is_as_it_would_be(self, root: RootKey, name: str, raw: bytes) -> bool:
        _, wrapped_under = self._open_fields(name, raw)
        return wrapped_under == root.id and self._is_covered(root, raw)

    def _is_covered(self, root: RootKey, raw: bytes) -> bool:
        public, copy = self._recovery_of(root), _recovery_copy(raw)
        return public is None or (copy is not None and copy[0] == public.id)

    def _recovery_of(self, root: RootKey) -> PublicKey | None:
        """What each file carries a copy for: where its root cannot be copied itself."""
        if not isinstance(root, KeptRoot) or not (self.path / PUBLIC_FILE).exists():
            return None
        return PublicKey.load(self.path / PUBLIC_FILE)

    def _open_for_rewrap(self, name: str, raw: bytes, recovery: PrivateKey | None) -> bytes:
        try:
            return self._open_file(name, raw)[0]
        except RootKeyUnusable:
            copy = _recovery_copy(raw)
            if recovery is None or copy is None or copy[0] != recovery.public.id:
                raise
            return open_key(name, copy[1], by=recovery)

    def wrapped_under(self, name: str) -> str | None:
        """Id of the root that the key's file needs; None where there is no file."""
        try:
            raw = (self.path / name).read_bytes()
            return str(_key_fields(raw, name)["root"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise SealBroken(reason=seal.Broken.KEY_FILE) from None

    def exclusive(self) -> AbstractContextManager[None]:
        """While held, nobody makes or destroys a key; reading goes on."""
        return self._locked(exclusive=True)

    @contextmanager
    def _locked(self, *, exclusive: bool = False) -> Iterator[None]:
        with locked(self.path / LOCK_FILE, exclusive=exclusive):
            yield

    def _make(self, name: str, secret: bytes | None = None) -> bool:
        path = Path(_files(self._base, name)[0])
        # Under the lock, so that no file is made under a root that a rotation has just searched
        # the directory for the last time to replace.
        with self._locked():
            content = self._wrapped(self._roots.current(), name, secret or os.urandom(seal.KEY))
            made = publish(path, content)
            # Destroyed by somebody while we were writing: they may have looked before our file
            # was there, but their tombstone was there before they looked.
            if self.is_destroyed(name):
                overwrite_and_unlink(path)
        return made

    def _wrapped(self, root: RootKey, name: str, secret: bytes) -> bytes:
        wrapped = root.wrap(seal.key_file_context(name), secret)
        fields = {"v": 1, "name": name, "root": root.id, "wrapped": _base64(wrapped)}
        public = self._recovery_of(root)
        if public is not None:
            copy = sealed_key(name, secret, to=public)
            fields["recovery"] = {"id": public.id, "sealed": _base64(copy)}
        return encode(fields)

    def _load(self, name: str, path: Path) -> bytes:
        while True:
            with path.open("rb") as file:
                seen = seen_of(os.fstat(file.fileno()))
                raw = file.read(64 * 1024)
            try:
                secret, _ = self._open_file(name, raw)
            except (SealBroken, RootKeyUnusable):
                # Not damaged and not another's if it was rewrapped or destroyed meanwhile.
                if seen_of(path.stat()) == seen:
                    raise
                continue
            self._cache.put(name, secret, seen)
            return secret

    def _open_file(self, name: str, raw: bytes) -> tuple[bytes, str]:
        """The key in a file's bytes, and the id of the root it was wrapped under."""
        wrapped, id = self._open_fields(name, raw)
        root = self._roots.find(id)
        if root is None:
            raise RootKeyUnusable(
                reason=f"key {name} needs root key {id!s:.64}, this is {self._roots.current().id}"
            )
        try:
            return root.unwrap(seal.key_file_context(name), wrapped), id
        except SealBroken:
            raise SealBroken(reason=seal.Broken.KEY_FILE) from None

    def _open_fields(self, name: str, raw: bytes) -> tuple[bytes, str]:
        try:
            fields = _key_fields(raw, name)
            return base64.b64decode(fields["wrapped"], validate=True), str(fields["root"])
        except (ValueError, KeyError, TypeError):
            raise SealBroken(reason=seal.Broken.KEY_FILE) from None


def open_keys(config: Config, *, restoring: bool = False, lost_root: bool = False) -> KeysDirectory:
    """The keys directory of these settings; at the first start, makes it and its root key.

    RestoreUnfinished where a restore of a backup broke off, for everybody but the restore.

    RootKeyUnusable where the root key is readable by others, is missing although keys are
    there, does not answer, or is not the one that they were made under: then nothing is written.
    With `lost_root` it is not tried, for the rotation that replaces a lost one.
    """
    path = config.keys_dir
    if not restoring and (path / RESTORING_FILE).exists():
        raise RestoreUnfinished(path=path)
    make_private(path)
    remove_leftovers(path)
    providers = Providers(config)
    _open_root(path, providers)
    keys = KeysDirectory(
        path, root=FileRoots(path, providers), cache_s=config.key_cache_s, providers=providers
    )
    if not lost_root:
        _try_root(keys)
    return keys


def _try_root(keys: KeysDirectory) -> None:
    """RootKeyUnusable if the root does not answer, or the first whole key is another's."""
    keys.root.check()
    for name in (name for folder in reversed(FOLDERS) for name in keys.names(folder)):
        try:
            keys.get(name)
        except (KeyDestroyed, KeyMissing, SealBroken):
            continue
        return


def _open_root(path: Path, providers: Providers) -> None:
    file = path / ROOT_FILE
    if not file.exists():
        # Keys without their root mean a root key that was lost or not mounted. A new one would
        # open none of them, and would hide that.
        folders = (*FOLDERS, "recovery")
        if any(entry.is_file() for folder in folders for entry in (path / folder).glob("*")):
            raise RootKeyUnusable(reason=f"{file} is missing but keys made under it are there")
        try:
            providers.create(file)
        except RootKeyUnusable:
            if not file.exists():
                raise
            # another process was first
    providers.load(file)


class _Cache:
    """Unwrapped keys for a few seconds: a timer forgets them also where nobody asks again."""

    def __init__(self, cache_s: float, monotonic: Callable[[], float]) -> None:
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Cached] = OrderedDict()
        self._timer: threading.Timer | None = None

    @contextmanager
    def _locked(self) -> Iterator[OrderedDict[str, _Cached]]:
        if self._pid != os.getpid():
            self._reset()  # after a fork: no keys, lock or timer of the parent
        with self._lock:
            yield self._entries

    def get(self, name: str, seen: tuple[int, ...]) -> bytes | None:
        if self._pid != os.getpid():
            return None
        entry = self._entries.get(name)
        if entry is None or entry.seen != seen or entry.until <= self._monotonic():
            return None
        return entry.secret

    def put(self, name: str, secret: bytes, seen: tuple[int, ...]) -> None:
        if self._cache_s <= 0:
            return
        with self._locked() as entries:
            entries[name] = _Cached(secret, seen, self._monotonic() + self._cache_s)
            entries.move_to_end(name)
            if self._timer is None:
                self._start_timer(self._cache_s)

    def drop(self, name: str) -> None:
        with self._locked() as entries:
            entries.pop(name, None)

    def _start_timer(self, wait_s: float) -> None:
        self._timer = threading.Timer(max(wait_s, 0.05), self._forget)
        self._timer.daemon = True
        self._timer.start()

    def _forget(self) -> None:
        with self._locked() as entries:
            now = self._monotonic()
            while entries and next(iter(entries.values())).until <= now:
                entries.popitem(last=False)
            self._timer = None
            if entries:
                self._start_timer(next(iter(entries.values())).until - now)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _recovery_copy(raw: bytes) -> tuple[str, bytes] | None:
    """Id of the recovery key for which a key's file carries a copy, and the copy."""
    try:
        copy = json.loads(raw).get("recovery")
        return copy and (str(copy["id"]), base64.b64decode(copy["sealed"], validate=True))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SealBroken(reason=seal.Broken.KEY_FILE) from None


def _key_fields(raw: bytes, name: str) -> dict[str, Any]:
    fields = json.loads(raw)
    if fields["v"] != 1 or fields["name"] != name:
        raise ValueError
    return dict(fields)


@lru_cache(maxsize=4096)
def _files(base: str, name: str) -> tuple[str, str]:
    """Paths of a key's file and of its tombstone. Text: these are used on every opening."""
    if not _NAME.match(name) or name.endswith(_TOMBSTONE):
        raise ValueError("not a name of a key")
    return f"{base}/{name}", f"{base}/{name}{_TOMBSTONE}"
