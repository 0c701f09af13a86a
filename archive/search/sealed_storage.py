"""Whoosh's files, sealed: what it writes goes through memory to sealed bytes, never in the clear.

A folder of one month holds segments (`*.seg`), tables of contents (`*.toc`) and one `about`.
Everything else that Whoosh calls a file lives and dies in memory. Knows nothing of documents and
terms.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from whoosh.filedb.filestore import Storage
from whoosh.filedb.structfile import BufferFile, StructFile

from archive import seal
from archive.search.whoosh_names import RamStorage

_KEPT = (".seg", ".toc", "about")
_PART = ".part"


class WholeFile(BufferFile):
    """The plaintext of a file; its parts are copies."""

    def give_back(self) -> None:
        """Lets go of the bytes: only what was copied out can be read from now on."""
        self._buf = b""
        self.file = io.BytesIO()


class SealedStorage(Storage):
    """One folder of one month and generation, as Whoosh wants to see it.

    Files are bound to month, generation and name: one copied over another does not open.
    `open_file` raises FileNotFoundError, or SealBroken for bytes that are not as they were written.
    """

    supports_mmap = False  # whoosh would map the sealed bytes

    def __init__(self, folder: Path, key: bytes, *, month: str, generation: int) -> None:
        self.folder = str(folder)
        self._path = folder
        self._key = key
        self._month = month
        self._generation = generation
        self._loose: dict[str, bytes] = {}  # files that are not kept, in memory only

    # -- files -----------------------------------------------------------------------

    def create_file(self, name: str, **_: Any) -> StructFile:
        def finished(file: Any) -> None:
            self.write(name, file.file.getvalue())

        return StructFile(io.BytesIO(), name=name, onclose=finished)

    def write(self, name: str, content: bytes) -> None:
        """Keeps `content` under `name`; durable on return where it is a file of an index."""
        if not name.endswith(_KEPT):
            self._loose[name] = content
            return
        sealed = seal.seal(self._key, self._context(name), content)
        write_durably(self._path / name, sealed)

    def read(self, name: str) -> bytes:
        """The plaintext of a file."""
        if name in self._loose:
            return self._loose[name]
        return seal.unseal(self._key, self._context(name), (self._path / name).read_bytes())

    def open_file(self, name: str, **_: Any) -> WholeFile:
        return WholeFile(self.read(name), name=name)

    def file_length(self, name: str) -> int:
        """Plaintext bytes: a compound segment's table is made of these."""
        if name in self._loose:
            return len(self._loose[name])
        return seal.plain_length((self._path / name).stat().st_size)

    def list(self) -> list[str]:
        return [name for name in names(self._path) if name.endswith(_KEPT)] + list(self._loose)

    def file_exists(self, name: str) -> bool:
        return name in self._loose or (self._path / name).exists()

    def file_modified(self, name: str) -> float:
        return 0.0

    def delete_file(self, name: str) -> None:
        if self._loose.pop(name, None) is None:
            (self._path / name).unlink()

    def rename_file(self, old: str, new: str, safe: bool = False) -> None:
        """A table of contents is made under another name: it is sealed under its final one."""
        if safe and self.file_exists(new):
            raise NameError(f"file {new!r} exists")
        self.write(new, self._loose.pop(old))

    # -- what whoosh needs besides ----------------------------------------------------

    def lock(self, name: str) -> Any:
        raise NotImplementedError("the index has one lock of its own")

    def temp_storage(self, name: str | None = None) -> Any:
        return RamStorage()

    def close(self) -> None:
        """Nothing: Whoosh closes a storage with every reader of it, also while a writer works."""

    def forget(self) -> None:
        """Forgets what is not kept: whoever writes calls it at the end."""
        self._loose.clear()

    def _context(self, name: str) -> bytes:
        return seal.index_file_context(self._month, self._generation, name)


def names(folder: Path) -> list[str]:
    """Of what lies in `folder`; [] where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except FileNotFoundError:
        return []


def write_durably(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a power cut: temporary name, fsync, rename, fsync."""
    part = path.with_name(path.name + _PART)
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes names that appeared in or went from `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes what a writer that was killed left: its unfinished files."""
    for name in names(folder):
        if name.endswith(_PART):
            (folder / name).unlink(missing_ok=True)
