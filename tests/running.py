"""`archive up` as a user runs it: a process of its own, in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from archive.config import Config

READY_S = 120


@dataclass
class Running:
    """A running archive and how to reach it."""

    home: Path
    port: int
    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def archive(self, *words: str, fine: tuple[int, ...] = (0,), stdin: str | None = None) -> str:
        """Runs one command against the same home; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "archive.cli", *words],
            env=environment(self.home, self.port),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in fine, (words[:2], done.returncode, done.stderr[-2000:])
        return done.stdout

    def token(self, *scopes: str, source: str | None = None, purpose: str = "verification") -> str:
        words = [word for scope in scopes for word in ("--scope", scope)]
        words += ["--source", source] if source else []
        out = self.archive("token", "create", "test", *words, "--purpose", purpose)
        return out.split()[-1]

    def pids(self, what: str) -> list[int]:
        """Processes of this home: web, worker, postgres or weed (the servers themselves)."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                own = str(self.home).encode() in (folder / "environ").read_bytes() or any(
                    str(self.home).encode() in word for word in words
                )
            except OSError:
                continue
            if own and _is(what, words):
                found.append(int(folder.name))
        return sorted(found)

    def wait_ready(self, limit_s: float = READY_S) -> None:
        """Until the web service answers that every part is there."""
        pool = urllib3.HTTPConnectionPool("127.0.0.1", self.port, retries=False, timeout=5)
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            try:
                answer = pool.request("GET", "/readyz")
                if answer.status == 200 and answer.json()["parts"]["worker"] == "ok":
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError("not ready: " + "\n".join(self.lines[-20:]))


def _is(what: str, words: list[bytes]) -> bool:
    if what in {"web", "worker"}:
        return b"archive.cli" in words and what.encode() in words
    return Path(words[0].decode("utf-8", "replace")).name == what


def environment(home: Path, port: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_")}
    return kept | {"ARCHIVE_HOME": str(home), "ARCHIVE_PORT": str(port)}


def environment_of(config: Config) -> dict[str, str]:
    """What a process needs to work on the archive of these settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_")}
    return kept | {
        "ARCHIVE_HOME": str(config.home),
        "ARCHIVE_DATABASE_URL": config.database_url,
        "ARCHIVE_DATABASE_OWNER_URL": config.database_owner_url,
        "ARCHIVE_STORE_URL": config.store_url,
        "ARCHIVE_STORE_ACCESS_KEY": config.store_access_key,
        "ARCHIVE_STORE_SECRET_KEY": config.store_secret_key,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path, *words: str, **settings: str) -> Iterator[Running]:
    """`archive up` in `home` with further settings, from its `Ready:` to its clean end."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "archive.cli", "up", *words],
        env=environment(home, port) | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    started = Running(home, port, process, [])
    listener = threading.Thread(target=_listen, args=(started,), daemon=True)
    listener.start()
    try:
        _await_ready(started)
        yield started
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
            listener.join(timeout=10)


def _listen(started: Running) -> None:
    """Keeps what the process says."""
    assert started.process.stdout is not None
    with started.process.stdout as stream:
        for line in stream:
            started.lines.append(line.rstrip())


def _await_ready(started: Running) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end and started.process.poll() is None:
        if any(line.startswith("Ready:") for line in list(started.lines)):
            return
        time.sleep(0.1)
    raise AssertionError("archive up did not get ready:\n" + "\n".join(started.lines))
