"""An archive to be broken: real parts behind gates, and its processes, each of which can be killed.

What is asserted about it is read past the gates.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from archive.config import Config
from tests.chaos.gate import Gate
from tests.running import environment_of

START_S = 90


@dataclass(frozen=True, slots=True)
class Faults:
    """What can be done to the parts from outside."""

    store: Gate
    database: Gate
    weed: Callable[[], list[int]]

    def fill_disk(self) -> None:
        """No file of the object store can grow any more: its writes fail as on a full disk."""
        self._limit("1:")

    def free_disk(self) -> None:
        """They can again."""
        self._limit("unlimited:")

    def _limit(self, fsize: str) -> None:
        for pid in self.weed():
            subprocess.run(["prlimit", f"--fsize={fsize}", "--pid", str(pid)], check=True)


@contextmanager
def gated(config: Config, folder: Path) -> Iterator[tuple[Config, Faults]]:
    """The same archive with its store and database behind gates."""
    url = make_url(config.database_url)
    host = Path(str(url.query.get("host", url.host)))
    name = f".s.PGSQL.{url.port or url.query.get('port', 5432)}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Gate(to=host / name, at=folder / name)
    store_port = int(config.store_url.rpartition(":")[2].partition("/")[0])
    store = Gate(to=store_port)
    through = url.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
    behind = Config(
        home=config.home,
        keys_dir=config.keys_dir,
        database_url=through,
        store_url=config.store_url.replace(f":{store_port}/", f":{store.port}/"),
        store_access_key=config.store_access_key,
        store_secret_key=config.store_secret_key,
    )
    try:
        yield behind, Faults(store, database, lambda: _weed_on(store_port))
    finally:
        store.close()
        database.close()


def _weed_on(port: int) -> list[int]:
    """Processes of the object store that serves S3 on this port."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_it = any(word.endswith(f"s3.port={port}".encode()) for word in words)
            if folder.name.isdigit() and words[0].endswith(b"/weed") and is_it:
                found.append(int(folder.name))
    return found


class Process:
    """One command of the archive, which can be killed and started again."""

    def __init__(
        self,
        config: Config,
        words: list[str],
        *,
        settings: Mapping[str, str] = {},
        is_up: Callable[[], bool] = lambda: True,
        log: Path,
    ) -> None:
        self._words = words
        own = {f"ARCHIVE_{name}": value for name, value in settings.items()}
        self._environment = environment_of(config) | own
        self._environment["ARCHIVE_KEYS_DIR"] = str(config.keys_dir)
        self._is_up = is_up
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Until it answers."""
        self.launch()
        end = time.monotonic() + START_S
        while not self._is_up():
            assert self._process is not None
            if time.monotonic() > end or self._process.poll() is not None:
                said = self._log.read_text("utf-8", "replace")[-2000:]
                raise AssertionError(f"archive {self._words[0]} does not start: {said}")
            time.sleep(0.03)

    def launch(self) -> None:
        """Only starts it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "archive.cli", *self._words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9` of the process and its children, at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Asks it to end, and waits."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self, limit_s: float) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(limit_s)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None
