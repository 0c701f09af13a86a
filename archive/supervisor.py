"""`archive up`: the parts, the web service and the worker together, in the foreground.

Starts them in order, starts again what dies, stops all on Ctrl-C or SIGTERM. Knows processes
and folders; nothing of recordings beyond delivering the demo's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from archive.alertchannels import channels_of
from archive.assembly import Assembly, assemble, utc_now
from archive.config import Config
from archive.db import migrate
from archive.embedded import Parts
from archive.errors import PartFailed
from archive.sources import imap_accounts
from archive.sources.smtp_settings import SmtpSettings

START_S = 60
RESTART_S = 1.0


class Supervisor:
    """Everything `archive up` runs."""

    def __init__(self, config: Config, *, say: Callable[[str], None]) -> None:
        self._config = config
        self._say = say
        self._stop = threading.Event()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, prepare: Callable[[Assembly], None], ready: Callable[[str], None]) -> None:
        """Runs until stopped. `prepare` is called once migrated, `ready` once the web answers."""
        if self._config.smtp_port:  # what they cannot start with stops the whole start
            SmtpSettings.of(self._config)
        if self._config.imap_accounts:
            imap_accounts.accounts(self._config)
        channels_of(self._config, now=utc_now)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        with Parts(
            self._config.home, say=self._say, object_lock=bool(self._config.object_lock_days)
        ) as parts:
            try:
                self._say("preparing the catalogue")
                migrate(parts.database_url)
                self._prepare(prepare)
                self._start("web")
                self._start("worker")
                if self._config.smtp_port:
                    self._start("receive-mail")
                if self._config.imap_accounts:
                    self._start("fetch-mail")
                url = self._wait_for_web()
                if not self._stop.is_set():
                    ready(url)
                self._watch()
            finally:
                self._end_children()

    def _prepare(self, prepare: Callable[[Assembly], None]) -> None:
        assembly = assemble(self._config)
        try:
            prepare(assembly)
        finally:
            assembly.close()

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _start(self, name: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_PORT")}
        environment["ARCHIVE_PORT"] = str(self._config.port)
        log = Path(self._config.home / "log" / f"{name}.log")
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._children[name] = subprocess.Popen(
                [sys.executable, "-m", "archive.cli", name, "--die-with", str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        finally:
            os.close(descriptor)

    def _wait_for_web(self) -> str:
        url = f"http://{self._config.listen}:{self._config.port}"
        self._say("waiting for the web service")
        end = time.monotonic() + START_S
        while time.monotonic() < end and not self._stop.is_set():
            if self._children["web"].poll() is not None:
                break
            if _answers(url + "/healthz"):
                return url
            self._stop.wait(0.1)
        if self._stop.is_set():
            return url
        raise PartFailed(
            part="The web service",
            reason=f"see {self._config.home}/log/web.log; is port {self._config.port} free?",
        )

    def _watch(self) -> None:
        """Starts again what died, until asked to stop."""
        while not self._stop.wait(RESTART_S):
            for name, child in list(self._children.items()):
                if child.poll() is not None and not self._stop.is_set():
                    self._say(f"{name} ended ({child.returncode}); starting it again")
                    self._start(name)

    def _end_children(self) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for name, child in self._children.items():
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._say(f"{name} does not stop; killing it")
                child.kill()
                child.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (our own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
