"""Rotation of the root key: every key file wrapped anew, no recording touched.

The order is fixed, and each step leaves a state in which everything opens and from which the
next call goes on. At no moment is a key in use that has no recovery copy: of a root in a file
there is one, and under a root that nobody can copy each key's file carries its own.

    root.fresh   made, used by nobody
    root.next    in use beside root.key: new files are wrapped under it, both are read
    root.key     the root; root.old is its predecessor about to be destroyed
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive.errors import ArchiveError, BadSetting, RootKeyUnusable, RotationStopped
from archive.keyring.keybackup import KeyBackups
from archive.keyring.keyfiles import overwrite_and_unlink, sync_folder
from archive.keyring.recovery import PrivateKey
from archive.keyring.roots import NEXT_ROOT_FILE, ROOT_FILE

FRESH_FILE = "root.fresh"
OLD_FILE = "root.old"
STEPS = ("new root", "recovery copy", "in use", "rewrapped one", "rewrapped", "backed up",
         "old root named", "switched", "old root destroyed")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    root: str  # id of the root now
    rewrapped: int
    backups: tuple[Path, ...]


def is_unfinished(folder: Path) -> bool:
    """Whether a rotation was begun in this keys directory and has not come to its end."""
    return any((folder / name).exists() for name in (FRESH_FILE, NEXT_ROOT_FILE, OLD_FILE))


def rotate(
    backups: KeyBackups,
    *,
    recovery: PrivateKey | None = None,
    step: Callable[[str], None] = lambda name: None,
) -> Rotated:
    """Replaces the root key, or finishes a rotation that broke off. `step` hears of each of STEPS.

    The new root is made where the settings want it, which may be elsewhere than the old one.
    With the recovery key's private half the old root may be lost: a token that broke.

    RecoveryKeyMissing and BackupRunning before anything is done; RotationStopped says what to
    mend: then both roots stay, everything opens, and the next call goes on.
    """
    with backups.alone():
        backups.public()
        try:
            return _Rotation(backups, recovery, step).run()
        except RotationStopped:
            raise
        except ArchiveError as error:
            raise RotationStopped(reason=error.message.rstrip(".")) from None


class _Rotation:
    def __init__(
        self, backups: KeyBackups, recovery: PrivateKey | None, step: Callable[[str], None]
    ) -> None:
        self._backups = backups
        self._recovery = recovery
        self._keys = backups.keys
        self._step = step
        folder = backups.keys.path
        self._fresh, self._next = folder / FRESH_FILE, folder / NEXT_ROOT_FILE
        self._root, self._old = folder / ROOT_FILE, folder / OLD_FILE

    def run(self) -> Rotated:
        if self._old.exists() and not self._next.exists():
            self._destroy_old()  # all that was left to do
            if self._recovery is None or self._is_usable(self._root):
                return Rotated(self._keys.root.id, 0, ())
        if self._recovery is not None:
            self._give_up_lost()
        if not self._backups.destinations() and self._recovery is None:
            raise RotationStopped(
                reason="key backups go nowhere yet. Run: archive keys backup DEST"
            )
        if not self._next.exists():
            self._bring_in()
        rewrapped = self._rewrap()
        written = tuple(self._backups.write(folder).path for folder in self._backups.destinations())
        self._step("backed up")
        while not self._switch():
            rewrapped += self._rewrap()
        self._destroy_old()
        return Rotated(self._keys.root.id, rewrapped, written)

    def _give_up_lost(self) -> None:
        """A new root that was lost before it took the old one's place is not waited for.

        What was wrapped under it already is opened by its copies for the recovery key.
        """
        for path in (self._fresh, self._next):
            if path.exists() and not self._is_usable(path):
                with self._keys.exclusive():
                    overwrite_and_unlink(path)

    def _is_usable(self, path: Path) -> bool:
        try:
            self._keys.providers.load(path).check()
        except (RootKeyUnusable, BadSetting):
            return False
        return True

    def _bring_in(self) -> None:
        """A new root; its recovery copy written and read back; only then is it used."""
        if not self._fresh.exists():
            self._keys.providers.create(self._fresh)
        self._step("new root")
        self._backups.write_root_copy(self._keys.providers.load(self._fresh))
        self._step("recovery copy")
        # Nobody is making a key file meanwhile: whoever makes one afterwards does so under the
        # new root, so that what `_rewrap` has passed stays as it is.
        with self._keys.exclusive():
            self._fresh.rename(self._next)
            sync_folder(self._next.parent)
        self._step("in use")

    def _rewrap(self) -> int:
        done = 0
        for name in self._keys.everything():
            try:
                if self._keys.rewrap(name, recovery=self._recovery):
                    done += 1
                    self._step("rewrapped one")
            except ArchiveError as error:
                raise RotationStopped(reason=f"key {name}: {error.message.rstrip('.')}") from None
        self._step("rewrapped")
        return done

    def _switch(self) -> bool:
        """The new root in the old one's place; False if some file still needs the old one."""
        new = self._keys.root.id
        with self._keys.exclusive():
            if any(self._needs_another(name, new) for name in self._keys.everything()):
                return False
            if self._root.exists() and not self._old.exists():
                os.link(self._root, self._old)
            self._step("old root named")
            self._next.replace(self._root)  # one instant: readers find the one or the other
            sync_folder(self._root.parent)
        self._step("switched")
        return True

    def _needs_another(self, name: str, root: str) -> bool:
        return self._keys.wrapped_under(name) not in {root, None}

    def _destroy_old(self) -> None:
        if self._old.exists() and self._old.samefile(self._root):
            raise RotationStopped(reason=f"{self._old} is the root key in use; remove that name")
        self._keys.providers.destroy(self._old, lost=self._recovery is not None)
        self._backups.remove_root_copies(but=self._keys.root.id)
        self._step("old root destroyed")
