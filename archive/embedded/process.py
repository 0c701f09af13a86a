"""One guarded process of the embedded parts. Knows the guard's words, not what it guards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from archive.errors import PartFailed

GUARD = Path(__file__).with_name("guard.py")
GUARD_EXTRA_S = 10.0  # for the guard to insist


class Guarded:
    """A command under its own guard (see guard.py), in a session of its own.

    `log` is appended to. Stopped by `stop_signal`, killed `stop_s` later; `death_signal` is
    what the kernel sends should the guard be killed. What matches `stuck` in the log says that
    the part must be started anew once the disk has room. `user` is "uid:gid"; `namespace` runs
    it as *nobody* of a user namespace, with this user's files.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        environment: Mapping[str, str],
        stop_signal: str = "SIGTERM",
        stop_s: float = 20.0,
        death_signal: str | None = None,
        stuck: str | None = None,
        user: str | None = None,
        namespace: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_s = stop_s
        options = ["--owner", str(os.getpid()), "--name", name, "--log", str(log)]
        options += ["--stop-signal", stop_signal, "--stop-s", str(stop_s)]
        options += ["--death-signal", death_signal or stop_signal]
        options += ["--stuck", stuck] if stuck else []
        options += ["--user", user] if user else []
        options += ["--namespace"] if namespace else []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), *options, "--", *command],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,  # a Ctrl-C in the terminal must not reach it
        )

    def wait_until(
        self, ready: Callable[[], bool], *, limit_s: float, say: Callable[[str], None]
    ) -> None:
        """Returns when `ready()`; PartFailed when the process ends first or the time is over."""
        started = told = time.monotonic()
        while not ready():
            code = self._guard.poll()
            if code is not None:
                raise PartFailed(part=self.name, reason=f"it ended with {code}, see {self.log}")
            now = time.monotonic()
            if now - started > limit_s:
                raise PartFailed(
                    part=self.name, reason=f"no answer within {limit_s:g} s, see {self.log}"
                )
            if now - told >= 5:
                told = now
                say(f"still waiting for {self.name} ({now - started:.0f} s)")
            time.sleep(0.05)

    def keep(self) -> None:
        """From now on it is started again whenever it dies by itself."""
        self._tell(b"k")

    def finish(self, limit_s: float) -> int:
        """The exit code of a command that ends by itself; PartFailed after `limit_s`."""
        try:
            return self._guard.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise PartFailed(part=self.name, reason=f"not done within {limit_s:g} s") from None
        finally:
            self.stop()

    def stop(self) -> None:
        """Returns when the process is gone. Idempotent."""
        self._tell(b"q")
        try:
            self._guard.wait(2 * self._stop_s + GUARD_EXTRA_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def _tell(self, word: bytes) -> None:
        pipe = self._guard.stdin
        if pipe is None or pipe.closed:
            return
        with suppress(BrokenPipeError):  # the guard has left already
            pipe.write(word)


def end_former(folder: Path, *signals: signal.Signals, each_s: float = 10.0) -> None:
    """Ends what a killed predecessor left running in `folder`: each signal in turn.

    Returns when no process works there any longer; PartFailed naming one that will not go.
    """
    for number in signals:
        left = _working_in(folder)
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        end = time.monotonic() + each_s
        while left and time.monotonic() < end:
            time.sleep(0.05)
            left = _working_in(folder)
        if not left:
            return
    raise PartFailed(part="The former archive", reason=f"process {left[0]} does not end")


def _working_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def fresh_log(path: Path) -> Path:
    """`path`, empty; what it held of the run before becomes <path>.1."""
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))
    path.touch(mode=0o600)
    return path
