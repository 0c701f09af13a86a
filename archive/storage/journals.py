"""Brings to the disk what an embedded SeaweedFS only handed to the kernel.

With `fs.configure -fsync` its volumes are synced before a PUT is answered, but not the file
system of names (the *filer*): its LevelDB writes each change to a journal without fsync, so a
power cut could take the names of objects that were acknowledged. On the same machine that can
be mended from outside: fsync brings a file to the disk whoever wrote it.
"""

from __future__ import annotations

import os
from pathlib import Path


class Journals:
    """The journals of the filer in `folder` (of SeaweedFS: the one that holds `filerldb2`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "filerldb2"

    def settle(self) -> None:
        """Returns when every change that the filer has made so far is on the disk.

        A journal that vanishes meanwhile was compacted: LevelDB syncs the table it went into
        before it removes it.
        """
        for journal in self._folder.glob("*/*.log"):
            try:
                file = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                os.fsync(file)
            finally:
                os.close(file)
