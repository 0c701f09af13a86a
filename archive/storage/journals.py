"""Brings to the disk what an embedded SeaweedFS only handed to the kernel.

With `fs.configure -fsync` its volumes are synced before a PUT is answered, but not the file
system of names (the *filer*): its LevelDB writes each change to a journal without fsync, so a
power cut could take the names of objects that were acknowledged. On the same machine that can
be mended from outside: fsync brings a file to the disk whoever wrote it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path


class Journals:
    """The journals of the filer in `folder` (of SeaweedFS: the one that holds `filerldb2`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "filerldb2"
        self._turn = threading.Condition()
        self._begun = 0  # rounds of syncing
        self._done = 0  # the newest round that succeeded
        self._running = False
        self._synced: dict[tuple[str, int], int] = {}  # (journal, inode) -> bytes on the disk

    def settle(self) -> None:
        """Returns when every change that the filer acknowledged before is on the disk.

        Threads that come while a round is under way share the next one. Raises OSError.
        """
        with self._turn:
            needed = self._begun + 1  # a round that began earlier may have missed our change
            while self._running and self._done < needed:
                self._turn.wait()
            if self._done >= needed:
                return
            self._running = True
            self._begun += 1
            mine = self._begun
        succeeded = False
        try:
            self._sync()
            succeeded = True
        finally:
            with self._turn:
                self._running = False
                if succeeded:
                    self._done = mine
                self._turn.notify_all()

    def _sync(self) -> None:
        """Syncs the journals that have grown.

        One that vanishes meanwhile was compacted: LevelDB syncs the table it went into before
        it removes it.
        """
        seen: dict[tuple[str, int], int] = {}
        for journal in self._journals():
            try:
                self._sync_one(journal, seen)
            except FileNotFoundError:
                continue
        self._synced = seen

    def _journals(self) -> Iterator[str]:
        """Paths of every journal there is now; plain strings, for this is asked at every write."""
        for folder in os.listdir(self._folder):
            path = f"{self._folder}/{folder}"
            try:
                yield from (f"{path}/{name}" for name in os.listdir(path) if name.endswith(".log"))
            except (NotADirectoryError, FileNotFoundError):
                continue

    def _sync_one(self, journal: str, seen: dict[tuple[str, int], int]) -> None:
        now = os.stat(journal)
        name = (journal, now.st_ino)
        # The size before the sync: what is appended during it counts as unsynced.
        if self._synced.get(name) != now.st_size:
            file = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        seen[name] = now.st_size
