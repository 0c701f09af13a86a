"""Mends SeaweedFS volumes after a power cut, before the server starts.

SeaweedFS syncs a volume's data (.dat) before it acknowledges, but not the volume's index
(.idx): after a power cut an acknowledged object could lie in the data and not be found, and
what was being written when the light went out could make the volume read-only. The formats are
those of SeaweedFS's `weed/storage` with 5-byte offsets (large-disk builds), needle version 3.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

VERSION = 3  # first byte of a volume
SUPERBLOCK = 8  # bytes
INDEX_ENTRY = struct.Struct(">8xIBi")  # id, offset/8 as u32 and its high byte, size
ENTRY = INDEX_ENTRY.size
LAST_ENTRIES = 4096
HEADER = struct.Struct(">IQi")  # of a needle: cookie, id, size
CHECKSUM_AND_TIME = 12  # bytes after a needle's content, then 1-8 bytes up to a multiple of 8
TORN_MAX = 64 * 1024 * 1024  # bytes; more than this was not torn by one power cut


def mend_volumes(folder: Path, *, index: Callable[[Path], None]) -> list[str]:
    """Makes every volume's index name all its data again; returns the names of those mended.

    Cuts off what follows the last whole needle: it was never acknowledged. `index` rebuilds
    the .idx of a .dat (`weed fix`). Nothing runs on `folder` meanwhile.
    """
    mended = []
    for data in sorted(folder.glob("*.dat")):
        named = _named_end(data.with_suffix(".idx"))
        if named == data.stat().st_size:
            continue
        _cut_torn_end(data, named)
        index(data)
        # the sorted copy that SeaweedFS keeps of a read-only volume's index
        data.with_suffix(".sdx").unlink(missing_ok=True)
        mended.append(data.stem)
    return mended


def _named_end(index: Path) -> int:
    """Where the data ends that the index names, in bytes."""
    try:
        size = index.stat().st_size
    except FileNotFoundError:
        return SUPERBLOCK
    whole = size - size % ENTRY
    with index.open("rb") as file:
        file.seek(max(0, whole - LAST_ENTRIES * ENTRY))
        entries = file.read(whole - file.tell())
    ends = [_entry_end(entries[at : at + ENTRY]) for at in range(0, len(entries), ENTRY)]
    return max(ends, default=SUPERBLOCK)


def _entry_end(entry: bytes) -> int:
    low, high, size = INDEX_ENTRY.unpack(entry)
    start: int = 8 * (high << 32 | low)
    return start + _needle_bytes(max(size, 0))  # below zero: deleted, an empty needle says so


def _needle_bytes(size: int) -> int:
    plain = HEADER.size + size + CHECKSUM_AND_TIME
    return plain + 8 - plain % 8


def _cut_torn_end(data: Path, named: int) -> None:
    size = data.stat().st_size
    with data.open("r+b") as file:
        if file.read(1) != bytes([VERSION]) or named > size:
            return
        whole = _whole_end(file.fileno(), start=named, size=size)
        if whole < size and size - whole <= TORN_MAX:
            file.truncate(whole)
            os.fsync(file.fileno())


def _whole_end(file: int, *, start: int, size: int) -> int:
    """Where the last needle ends that is there as a whole."""
    at = start
    while at + HEADER.size <= size:
        _, needle, content = HEADER.unpack(os.pread(file, HEADER.size, at))
        if needle == 0 or content < 0 or at + _needle_bytes(content) > size:
            break
        at += _needle_bytes(content)
    return at
