"""Files of secrets: written whole or not at all, durably; removed so that nothing is left of them.

Knows folders and files; not what is in them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

from archive.backups.bucketpath import BucketPath
from archive.errors import DiskFull, KeyMissing

NEW = ".new-"  # how the name of a file begins that is being written
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_ATTEMPTS = 20  # of writing one file while others open the directory and clean it


def publish(path: Path, content: bytes) -> bool:
    """Writes the file whole or not at all, durably; False if there is one of the name already."""
    for _ in range(_ATTEMPTS):
        if path.exists():
            return False
        temporary = path.with_name(f"{NEW}{os.urandom(8).hex()}")
        try:
            write_durably(temporary, content)
            # A link, not a rename: of two processes that make the same key, the second fails.
            # A crash here leaves a second name of the file, which the next open removes and
            # which `destroy` writes over together with the first.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except FileNotFoundError:
            continue  # a process that has just opened the directory took it for a leftover
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True
    raise KeyMissing(name=path.name)


def replace(path: Path, content: bytes) -> None:
    """Puts other content in the place of a file that exists; readers meet the one or the other."""
    for _ in range(_ATTEMPTS):
        temporary = path.with_name(f"{NEW}{os.urandom(8).hex()}")
        write_durably(temporary, content)
        with path.open("r+b", buffering=0) as old:
            try:
                temporary.replace(path)
            except FileNotFoundError:
                continue  # a process that has just opened the directory took it for a leftover
            sync_folder(path.parent)
            # A crash here leaves the old bytes in free blocks; nothing opens them once the old
            # root is destroyed.
            _overwrite(old)
        return
    raise KeyMissing(name=path.name)


def put(path: Path, content: bytes) -> None:
    """Writes a file in the place of any other of the name: whole or not at all, durably."""
    if isinstance(path, BucketPath):
        path.write_bytes(content)
        return
    temporary = path.with_name(f"{NEW}{os.urandom(8).hex()}")
    try:
        write_durably(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def locked(path: Path, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
    """Holds the lock file; the kernel lets go of it when the process ends. BlockingIOError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _give_to_owner(descriptor, path)
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, path: Path) -> None:
    if os.geteuid() == 0:  # root works in a folder of the service's user
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a new file, mode 0600, and brings it to the disk. FileExistsError, DiskFull.

    In a bucket: an object, in the place of any other of the key.
    """
    if isinstance(path, BucketPath):
        path.write_bytes(content)
        return
    try:
        with os.fdopen(os.open(path, _CREATE, 0o600), "wb") as file:
            _give_to_owner(file.fileno(), path)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull() from None
        raise


def overwrite_and_unlink(path: Path) -> bool:
    """Removes a file of secrets; True if it was there. In a bucket: every version of it."""
    if isinstance(path, BucketPath):
        there = path.exists()
        path.unlink()
        return there
    try:
        with path.open("r+b", buffering=0) as file:
            _overwrite(file)
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _overwrite(file: RawIOBase) -> None:
    size = os.fstat(file.fileno()).st_size
    for filler in (os.urandom(size), bytes(size)):
        file.seek(0)
        file.write(filler)
        os.fsync(file.fileno())


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that were killed had only begun to write; nothing of a bucket."""
    if isinstance(folder, BucketPath):
        return
    for leftover in folder.glob(f"{NEW}*"):
        leftover.unlink(missing_ok=True)


def make_private(folder: Path) -> None:
    """Makes the folder and every missing one above it, mode 0700; those that exist stay.

    A bucket needs none.
    """
    if isinstance(folder, BucketPath):
        return
    if folder.is_dir():
        return
    make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Brings names made, changed and removed in the folder to the disk."""
    if isinstance(folder, BucketPath):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Removes the folder with all that is in it."""
    if isinstance(folder, BucketPath):
        folder.remove_tree()
        return
    shutil.rmtree(folder)


def seen_of(found: os.stat_result) -> tuple[int, ...]:
    """What tells a file from the one that was there before, and from itself written over."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def encode(fields: dict[str, Any]) -> bytes:
    """Compact JSON, names sorted, a newline at the end."""
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"
