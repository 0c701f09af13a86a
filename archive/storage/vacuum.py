"""Has an embedded SeaweedFS give back the room of what was deleted. Knows volumes, no objects.

A deleted object stays in its volume's file until the volume is written anew. The nightly run
does not leave that to SeaweedFS's own rounds: what was erased early, while its day's key lives
on, is gone from the disk only then.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import urllib3

from archive.errors import StoreUnavailable

ANY_GARBAGE = "0.000000001"  # share of a volume above which it is written anew
LIMIT_S = 3600.0
VOLUME_FILES = ("*.dat", "*.idx")
# SeaweedFS takes an object's bytes out of its volume up to a second or so after its name.
QUIET_S, QUIET_LIMIT_S = 2.5, 60.0


def vacuum(master: str, folder: Path) -> int:
    """Writes volumes with deleted objects anew; how many bytes the disk got back.

    `master` is host:port of SeaweedFS's master. Returns when the fresh volumes are on the
    disk. StoreUnavailable.
    """
    _await_deletions(folder)
    before = _bytes(folder)
    with urllib3.PoolManager(timeout=urllib3.Timeout(connect=3.0, read=LIMIT_S)) as pool:
        try:
            answer = pool.request(
                "GET", f"http://{master}/vol/vacuum?garbageThreshold={ANY_GARBAGE}", retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(reason=type(error).__name__) from None
    if answer.status != 200:
        raise StoreUnavailable(reason=f"vacuum {answer.status}")
    _sync(folder)
    return max(0, before - _bytes(folder))


def _await_deletions(folder: Path) -> None:
    """Returns when no volume's index has grown for a while: each deletion adds an entry there.

    Where recordings come in all the time it goes on after a minute; the next run gets the rest.
    """
    end = time.monotonic() + QUIET_LIMIT_S
    seen, since = -1, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < QUIET_S:
        now = _bytes(folder, "*.idx")
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.1)


def _volumes(folder: Path) -> list[Path]:
    return [path for end in VOLUME_FILES for path in folder.glob(end)]


def _bytes(folder: Path, *ends: str) -> int:
    total = 0
    for path in (path for end in ends or VOLUME_FILES for path in folder.glob(end)):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _sync(folder: Path) -> None:
    """Brings the fresh files and their names to the disk: SeaweedFS only renames them."""
    for path in [*_volumes(folder), folder]:
        with suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
