"""The embedded PostgreSQL and SeaweedFS: real parts from wheels, started by `archive up`.

Knows folders, processes and ports; nothing of recordings. Everything lives in one home (mode
0700) that one process owns at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from archive.embedded.postgres import Postgres
from archive.embedded.seaweedfs import SeaweedFS, write_private
from archive.errors import HomeInUse, PartFailed

SOCKET_PATH_MAX = 107  # bytes, of sockaddr_un
LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432.lock")


class Parts:
    """PostgreSQL and SeaweedFS over one home; a context manager.

    `say` is told, in a few words, what is being waited for. While the parts run,
    `home`/run/parts.json (0600) tells other commands of the same user where they are.
    With `object_lock` the bucket can lock objects, and only the eraser's credential deletes them.
    """

    def __init__(
        self, home: Path, *, say: Callable[[str], None], object_lock: bool = False
    ) -> None:
        self.home = home.resolve()
        self._object_lock = object_lock
        self._say = say
        self._lock: int | None = None
        self._sockets: Path | None = None
        self._postgres: Postgres | None = None
        self._seaweedfs: SeaweedFS | None = None
        self.database_url = ""
        self.store_url = ""
        self.access_key = ""
        self.secret_key = ""
        self.eraser: tuple[str, str] = "", ""  # access and secret key

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when both parts answer and what they acknowledge is durable.

        Raises HomeInUse, or PartFailed naming the log to look into; nothing runs then.
        """
        _own_folder(self.home)
        for name in ("run", "log"):
            _own_folder(self.home / name)
        self._lock = _lock(self.home)
        try:
            self._start_parts()
        except BaseException:
            self.stop()
            raise

    def _start_parts(self) -> None:
        _sweep_run(self.home)
        self._sockets = _socket_folder(self.home)
        self._postgres = Postgres(self.home, self._sockets, say=self._say)
        self._seaweedfs = SeaweedFS(
            self.home, self._sockets, say=self._say, object_lock=self._object_lock
        )
        self._seaweedfs.launch()  # takes longest: it comes up while PostgreSQL does
        self._postgres.launch()
        self.database_url = self._postgres.wait()
        self.store_url = self._seaweedfs.wait()
        self.access_key = self._seaweedfs.access_key
        self.secret_key = self._seaweedfs.secret_key
        self.eraser = self._seaweedfs.eraser
        self._announce()

    def _announce(self) -> None:
        """Last of all, so that whoever finds the file finds everything running."""
        assert self._seaweedfs is not None and self._postgres is not None
        write_private(
            self.home / "run" / "parts.json",
            {
                "pid": os.getpid(),
                "database_url": self._postgres.service_url,
                "database_owner_url": self.database_url,
                "store_url": self.store_url,
                "store_access_key": self.access_key,
                "store_secret_key": self.secret_key,
                "store_eraser_access_key": self.eraser[0],
                "store_eraser_secret_key": self.eraser[1],
                "store_master": self._seaweedfs.master,
                "store_folder": str(self._seaweedfs.folder),
                "sockets": str(self._sockets),
            },
        )

    def stop(self) -> None:
        """Stops in order, SeaweedFS then PostgreSQL, and gives the home free. Idempotent."""
        if self._lock is None:
            return
        (self.home / "run" / "parts.json").unlink(missing_ok=True)
        for part in (self._seaweedfs, self._postgres):
            if part is not None:
                part.stop()
        self._seaweedfs = self._postgres = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def _own_folder(folder: Path) -> None:
    """Makes `folder` for its owner alone; folders above it keep their mode."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise PartFailed(part="The home", reason=f"{folder} belongs to another user")
        folder.chmod(0o700)
    except OSError as error:
        raise PartFailed(part="The home", reason=f"{folder}: {error.strerror}") from None


def _lock(home: Path) -> int:
    """Takes the home; the kernel gives it free when the process ends, however it ends."""
    path = home / "run" / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise HomeInUse(home=home, pid=pid) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _sweep_run(home: Path) -> None:
    """Removes what a killed predecessor left; the lock says that it is gone."""
    left = home / "run" / "parts.json"
    try:
        sockets = Path(json.loads(left.read_text(encoding="utf-8"))["sockets"])
        if sockets.name.startswith("contact-archive-") and sockets.stat().st_uid == os.geteuid():
            shutil.rmtree(sockets, ignore_errors=True)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    left.unlink(missing_ok=True)


def _socket_folder(home: Path) -> Path:
    """A folder of mode 0700 with a path short enough for sockets: in the home where it can be."""
    inside = home / "run" / "sockets"
    if len(os.fsencode(inside)) + LONGEST_SOCKET_NAME <= SOCKET_PATH_MAX:
        shutil.rmtree(inside, ignore_errors=True)
        _own_folder(inside)
        return inside
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime if runtime and len(runtime) < 40 and Path(runtime).is_dir() else None
    return Path(tempfile.mkdtemp(prefix="contact-archive-", dir=base))
