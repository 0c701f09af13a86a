"""Key backups: written to the operator's folders, opened there, counted, and rolled off.

Which ones exist stands in <keys>/backups.json, so that what can still be opened can be told.
Knows the keys directory and its backups; nothing of recordings or of the catalogue.

    <keys>/backups.json                destinations, and every key backup that was written
    <keys>/recovery.pub                the recovery key's public half
    <keys>/recovery/<root id>.sealed   the root key, sealed to the recovery key
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from archive import retention
from archive.backups.bucketpath import path_of
from archive.errors import (
    ArchiveError,
    BackupRunning,
    KeyBackupUnusable,
    KeyConflict,
    KeyDestroyed,
    KeyMissing,
    RecoveryKeyUnusable,
    RootKeyUnusable,
)
from archive.keyring.keyfiles import (
    locked,
    make_private,
    overwrite_and_unlink,
    put,
    remove_leftovers,
)
from archive.keyring.recovery import (
    PUBLIC_FILE,
    Contents,
    Header,
    KeyBackup,
    PrivateKey,
    PublicKey,
    sealed,
)
from archive.keyring.roots import ROOT_FILE, FileRootKey, RootKey
from archive.keys import KeysDirectory

REGISTER_FILE = "backups.json"
LOCK_FILE = "backups.lock"
RECOVERY_FOLDER = "recovery"
BACKED_UP = ("cohort", "hold", "case", "audit", "installation")  # never the index: it is made anew


@dataclass(frozen=True, slots=True)
class Written:
    """A key backup that exists, as far as this archive knows."""

    path: Path
    id: UUID
    made_at: datetime
    until: datetime
    names: tuple[str, ...]
    export: bool = False  # sealed to another installation's recovery key


@dataclass(frozen=True, slots=True)
class Standing:
    """A key backup, and what it means today."""

    written: Written
    reachable: bool
    overdue: bool
    still_opens: tuple[str, ...]  # names of keys in it that have been destroyed since


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of opening a key backup."""

    path: Path
    good: bool
    note: str


@dataclass(slots=True)
class Restored:
    """What a restore of keys did, in numbers of keys."""

    restored: int = 0
    present: int = 0
    destroyed: int = 0  # in the backup, but destroyed or over since: they stay dead
    conflicts: tuple[str, ...] = ()


class KeyBackups:
    """The key backups of one keys directory."""

    def __init__(self, keys: KeysDirectory, *, now: Callable[[], datetime], keep_days: int) -> None:
        self.keys = keys
        self._now = now
        self._keep = timedelta(days=keep_days)
        self._register = keys.path / REGISTER_FILE

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Held by whoever backs up or rotates. BackupRunning where somebody else does."""
        try:
            with locked(self.keys.path / LOCK_FILE, exclusive=True, wait=False):
                yield
        except BlockingIOError:
            raise BackupRunning() from None

    # -- the recovery key ------------------------------------------------------------

    def make_recovery_key(self, path: Path, *, replace_old: bool = False) -> PublicKey:
        """Writes the private half to `path` once, keeps the public half. RecoveryKeyUnusable."""
        with self.alone():
            path = path.absolute()
            public_file = self.keys.path / PUBLIC_FILE
            if path.is_relative_to(self.keys.path):
                raise RecoveryKeyUnusable(reason="the private half must not lie with the keys")
            if public_file.exists() and not replace_old:
                raise RecoveryKeyUnusable(reason="there is one already; see --replace")
            if not path.parent.is_dir():
                raise RecoveryKeyUnusable(reason=f"there is no folder {path.parent}")
            private = PrivateKey.generate()
            # The private half first: a crash leaves a file that opens nothing, never backups
            # that nothing opens.
            private.write(path)
            if PrivateKey.load(path).public.id != private.public.id:
                raise RecoveryKeyUnusable(reason=f"{path} does not read back")
            _put(public_file, private.public.encode())
            copy = self.write_root_copy(self.keys.root)
            if copy is not None:
                KeyBackup.read(copy).open(private)
            return private.public

    def public(self) -> PublicKey:
        """What backups are sealed to. RecoveryKeyMissing."""
        return PublicKey.load(self.keys.path / PUBLIC_FILE)

    def write_root_copy(self, root: RootKey) -> Path | None:
        """The root key sealed to the recovery key, written and read back; its file.

        A copy that is whole already stays. A root that nobody can copy has none: instead each
        key's file carries the key sealed to the recovery key, and what lacks that gets it here.
        """
        public = self.public()
        if not isinstance(root, FileRootKey):
            root.check()
            if root.id == self.keys.root.id:
                for name in self.keys.everything():
                    self.keys.rewrap(name)
            return None
        path = self.keys.path / RECOVERY_FOLDER / f"{root.id}.sealed"
        make_private(path.parent)
        remove_leftovers(path.parent)
        contents = Contents({root.id: root.for_recovery()})
        if not _holds(path, contents, root, public):
            header = self._header("root", public, root.id, contents, until=None)
            _put(path, sealed(header, contents, to=public, root=root))
        if not _holds(path, contents, root, public):
            raise KeyBackupUnusable(path=path, reason="it does not read back")
        return path

    def remove_root_copies(self, *, but: str) -> None:
        """Destroys the recovery copies of every root except the one of this id."""
        for path in (self.keys.path / RECOVERY_FOLDER).glob("*.sealed"):
            if path.name != f"{but}.sealed":
                overwrite_and_unlink(path)

    # -- writing ---------------------------------------------------------------------

    def back_up(self, folder: Path) -> Written:
        """Writes a key backup into the folder, which is remembered as a destination.

        Returns when it is durable there and has been read back and opened. RecoveryKeyMissing,
        KeyBackupUnusable, BackupRunning.
        """
        with self.alone():
            self.write_root_copy(self.keys.root)
            made = self.write(folder.absolute())
            self.roll_off()
            return made

    def write(self, folder: Path) -> Written:
        """As `back_up`, for a caller that holds `alone`."""
        register = self._read()
        self._prepare(folder, known=folder in register.destinations)
        # What is signed after this backup must hold where it is restored: a journal entry of an
        # erasure that nothing else there knows of.
        self.keys.ensure("installation/signing")
        contents, root, public = self._contents(), self.keys.root, self.public()
        until = self._now() + self._keep
        header = self._header("keys", public, root.id, contents, until=until)
        name = f"keys-{header.made_at:%Y%m%dT%H%M%SZ}-{str(header.id)[:8]}.sealed"
        entry = Written(folder / name, header.id, header.made_at, until, header.names)
        # In the register first: a crash leaves the name of a backup that is not there, never a
        # backup that nobody knows of and that would outlive its days.
        self._write_register(register.with_(entry))
        _put(entry.path, sealed(header, contents, to=public, root=root))
        if not _holds(entry.path, contents, root, public):
            raise KeyBackupUnusable(path=entry.path, reason="it does not read back")
        return entry

    def write_export(self, folder: Path, public: PublicKey) -> Written:
        """The keys sealed to another installation's recovery key, in the place of any before.

        For a caller that holds `alone`. It is listed and ends like a key backup, and its folder is
        no destination of those.
        """
        self.keys.ensure("installation/signing")
        for before in folder.glob("keys-*.sealed"):
            overwrite_and_unlink(before)
        contents, root, until = self._contents(), self.keys.root, self._now() + self._keep
        header = self._header("keys", public, root.id, contents, until=until)
        name = f"keys-{header.made_at:%Y%m%dT%H%M%SZ}-{str(header.id)[:8]}.sealed"
        entry = Written(folder / name, header.id, header.made_at, until, header.names, export=True)
        register = self._read()  # first, as of a key backup
        self._write_register(replace(register, backups=(*register.backups, entry)))
        _put(entry.path, sealed(header, contents, to=public, root=root))
        if not _holds(entry.path, contents, root, public):
            raise KeyBackupUnusable(path=entry.path, reason="it does not read back")
        return entry

    def note_export(self, path: Path) -> None:
        """Lists the keys of an export that was imported here, so that they end with their days."""
        with self.alone():
            header, register = KeyBackup.read(path).header, self._read()
            if header.until is None or any(entry.path == path for entry in register.backups):
                return
            entry = Written(
                path, header.id, header.made_at, header.until, header.names, export=True
            )
            self._write_register(replace(register, backups=(*register.backups, entry)))

    def _prepare(self, folder: Path, *, known: bool) -> None:
        if folder.is_relative_to(self.keys.path):
            raise KeyBackupUnusable(path=folder, reason="it lies with the keys")
        # A folder that was there before and is not now is a volume that is not mounted.
        if known and not folder.is_dir():
            raise KeyBackupUnusable(path=folder, reason="the folder is not there; is it mounted?")
        if not folder.is_dir() and not folder.parent.is_dir():
            raise KeyBackupUnusable(path=folder, reason=f"there is no folder {folder.parent}")
        make_private(folder)

    def _header(
        self, kind: str, public: PublicKey, root: str, contents: Contents, *, until: datetime | None
    ) -> Header:
        return Header(
            id=uuid4(),
            kind=kind,
            made_at=self._now(),
            until=until,
            recovery=public.id,
            root=root,
            names=tuple(sorted(contents.keys)),
        )

    def _contents(self) -> Contents:
        """Every key that may be backed up: not those of days that are over."""
        today = retention.local(self._now()).date()
        found: dict[str, bytes] = {}
        for name in (name for folder in BACKED_UP for name in self.keys.names(folder)):
            if is_over(name, today=today):
                continue
            try:
                found[name] = self.keys.get(name)
            except (KeyDestroyed, KeyMissing):
                continue  # destroyed while we read
        destroyed = (name for folder in BACKED_UP for name in self.keys.destroyed(folder))
        return Contents(found, tuple(destroyed))

    # -- what exists -----------------------------------------------------------------

    def destinations(self) -> tuple[Path, ...]:
        """Every folder that key backups go to."""
        return self._read().destinations

    def forget(self, folder: Path) -> None:
        """No key backups go to the folder any more; those that are there stay listed."""
        with self.alone():
            register = self._read()
            kept = tuple(d for d in register.destinations if d != folder.absolute())
            self._write_register(replace(register, destinations=kept))

    def standing(self) -> list[Standing]:
        """Every key backup that exists as far as is known, and what it could still open."""
        now = self._now()
        return [
            Standing(
                written=entry,
                reachable=_reachable(entry.path),
                overdue=entry.until <= now,
                still_opens=tuple(name for name in entry.names if self.keys.is_destroyed(name)),
            )
            for entry in self._read().backups
            if _reachable(entry.path) or not entry.path.parent.is_dir()
        ]

    def roll_off(self, *, ahead: timedelta = timedelta()) -> int:
        """Destroys key backups whose days are over `ahead` of now and can be reached; how many."""
        register, removed = self._read(), 0
        for folder in register.destinations:
            remove_leftovers(folder)  # of a run that was killed while it wrote one
        kept = []
        for entry in register.backups:
            if entry.until <= self._now() + ahead:
                removed += overwrite_and_unlink(entry.path) if _reachable(entry.path) else 0
            if _reachable(entry.path) or not entry.path.parent.is_dir():
                kept.append(entry)  # also where its volume is not mounted: it exists somewhere
        self._write_register(replace(register, backups=tuple(kept)))
        return removed

    def adopt(self, folder: Path) -> None:
        """Remembers the folder, and the key backups that are in it, as after a restore."""
        with self.alone():
            register = self._read()
            for path in sorted(folder.absolute().glob("keys-*.sealed")):
                header = KeyBackup.read(path).header
                known = any(entry.path == path for entry in register.backups)
                if not known and header.until is not None:
                    entry = Written(path, header.id, header.made_at, header.until, header.names)
                    register = register.with_(entry)
            self._write_register(register)

    def verify(self, private: PrivateKey | None = None) -> Iterator[Verified]:
        """Each key backup and each root's copy: opened, and held against the keys here.

        By the root that made it; by the recovery key where that is given.
        """
        copies = sorted((self.keys.path / RECOVERY_FOLDER).glob("*.sealed"))
        for path in [*copies, *(entry.path for entry in self._read().backups)]:
            try:
                yield self._verified(path, private)
            except ArchiveError as error:
                yield Verified(path, False, error.message)

    def _verified(self, path: Path, private: PrivateKey | None) -> Verified:
        backup = KeyBackup.read(path)
        if private is not None:
            contents = backup.open(private)
        elif backup.header.root == self.keys.root.id:
            contents = backup.open_by_root(self.keys.root)
        else:
            note = "made under an earlier root: --recovery-key is needed to open it"
            return Verified(path, True, note)
        if backup.header.kind == "root":
            return Verified(path, True, "opens")
        wrong = [n for n, key in contents.keys.items() if not self._same(n, key)]
        note = f"{len(wrong)} keys differ from those here: {wrong[0]}, …" if wrong else "opens"
        return Verified(path, not wrong, note)

    def _same(self, name: str, key: bytes) -> bool:
        try:
            return self.keys.get(name) == key
        except KeyDestroyed:
            return True  # destroyed since

    # -- the register ----------------------------------------------------------------

    def _read(self) -> _Register:
        try:
            return _Register.parse(self._register.read_bytes())
        except FileNotFoundError:
            return _Register()
        except (ValueError, KeyError, TypeError):
            raise KeyBackupUnusable(path=self._register, reason="it is damaged") from None

    def _write_register(self, register: _Register) -> None:
        _put(self._register, register.encode())


@dataclass(frozen=True, slots=True)
class _Register:
    destinations: tuple[Path, ...] = ()
    backups: tuple[Written, ...] = ()

    def with_(self, entry: Written) -> _Register:
        folder = entry.path.parent
        known = folder in self.destinations
        destinations = self.destinations if known else (*self.destinations, folder)
        return _Register(destinations, (*self.backups, entry))

    def encode(self) -> bytes:
        fields = {
            "v": 1,
            "destinations": [str(path) for path in self.destinations],
            "backups": [
                {
                    "path": str(entry.path),
                    "id": str(entry.id),
                    "made_at": entry.made_at.isoformat(),
                    "until": entry.until.isoformat(),
                    "names": list(entry.names),
                    **({"export": True} if entry.export else {}),
                }
                for entry in self.backups
            ],
        }
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> _Register:
        fields = json.loads(raw)
        return cls(
            tuple(path_of(path) for path in fields["destinations"]),
            tuple(
                Written(
                    path_of(entry["path"]),
                    UUID(entry["id"]),
                    datetime.fromisoformat(entry["made_at"]),
                    datetime.fromisoformat(entry["until"]),
                    tuple(entry["names"]),
                    bool(entry.get("export")),
                )
                for entry in fields["backups"]
            ),
        )


def restore(
    keys: KeysDirectory, contents: Contents, *, today: date, private: PrivateKey
) -> Restored:
    """Puts the keys of a backup back; can be repeated.

    What was destroyed stays destroyed, here or in the backup, and so does every day that is
    over. A key of the same name that is another one stays as it is, and is named.
    """
    outcome, conflicts = Restored(), []
    public = keys.path / PUBLIC_FILE
    if not public.exists():  # first: what is put back may carry a copy for it
        _put(public, private.public.encode())
    for name in contents.destroyed:
        keys.destroy(name)  # the tombstone: the name is never used again
    for name, key in contents.keys.items():
        if is_over(name, today=today):
            keys.destroy(name)
        try:
            new = keys.put(name, key)
        except KeyDestroyed:
            outcome.destroyed += 1
        except KeyConflict:
            conflicts.append(name)
        else:
            outcome.restored += new
            outcome.present += not new
    outcome.conflicts = tuple(conflicts)
    return outcome


def _reachable(path: Path) -> bool:
    return path.parent.is_dir() and path.exists()


def restore_root(folder: Path, contents: Contents, *, made_at: datetime) -> str:
    """Puts a root key back from its recovery copy; its id. RootKeyUnusable where one is there.

    `made_at` is the copy's time: the root is no younger.
    """
    ((id, secret),) = contents.keys.items()
    root = FileRootKey(secret, made_at)
    if root.id != id:
        raise RootKeyUnusable(reason="its recovery copy holds another key")
    if not root.write(folder / ROOT_FILE):
        raise RootKeyUnusable(reason=f"{folder / ROOT_FILE} is there and is not written over")
    return id


def newest(folder: Path) -> KeyBackup:
    """The key backup in the folder that was made last and can be read. KeyBackupUnusable."""
    found = []
    for path in folder.glob("keys-*.sealed"):
        try:
            found.append(KeyBackup.read(path))
        except KeyBackupUnusable:
            continue
    if not found:
        raise KeyBackupUnusable(path=folder, reason="there is none that can be read")
    return max(found, key=lambda backup: backup.header.made_at)


def is_over(name: str, *, today: date) -> bool:
    """Whether this is the key of a day whose recordings have all ended, destroyed or not yet."""
    folder, _, day = name.partition("/")
    return folder == "cohort" and day < today.isoformat()


def _holds(path: Path, contents: Contents, root: RootKey, public: PublicKey) -> bool:
    """Whether the file is a backup of exactly this, sealed to this recovery key; read from disk."""
    try:
        backup = KeyBackup.read(path)
        return backup.header.recovery == public.id and backup.open_by_root(root) == contents
    except KeyBackupUnusable:
        return False


def _put(path: Path, content: bytes) -> None:
    """As `keyfiles.put`; KeyBackupUnusable names the file where that fails."""
    try:
        put(path, content)
    except OSError as error:
        raise KeyBackupUnusable(path=path, reason=str(error.strerror)) from None
