"""Keeps one embedded part alive for as long as its owner lives, and not a moment longer.

Run as a script by `archive.embedded` (`python -I -S guard.py …`), one process a part; it knows
processes, signals and pipes, and nothing of the archive: it imports the standard library only.

The owner holds the other end of the guard's standard input:

- `k`  keep: the part is ready; from now on start it again whenever it dies by itself, or says
  (`--stuck`) that it will write no more before that
- `q`, or the end of the pipe, or the owner's death: stop the part, then leave

The guard ignores the signals that a terminal or a service manager sends to a whole group, so
that the owner decides the order of stopping. Should the guard itself be killed, the kernel
sends the part a signal (PR_SET_PDEATHSIG). So no part outlives `kill -9` of anyone.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

TICK_S = 0.2
PAUSE_MIN_S, PAUSE_MAX_S = 0.5, 30.0  # between two starts of a part that keeps dying
LOG_MAX_BYTES = 16 * 1024 * 1024
LOG_READ_BYTES = 1024 * 1024  # of what is new in it, the end
ROOM_BYTES = 1024 * 1024  # that must fit on the disk before a part is started anew for it
ROOM_EVERY_S = 2.0  # is looked for
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534
REFUSED = 125  # exit code: the kernel does not grant the user namespace

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    """Guards the command after `--`; returns its exit code, 0 after an ordered stop."""
    options = _parse(arguments)
    if os.getppid() != options.owner:
        return 0
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if options.namespace and not enter_namespace():
        return REFUSED
    return Guard(options, log).run()


def enter_namespace() -> bool:
    """Enters a user namespace in which this user is *nobody*; False where that is refused.

    For programs that refuse to run as root: files keep their owner, no system user is made,
    and the process has no capability outside.
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWUSER) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")
    except OSError:
        return False
    return True


class Guard:
    """The loop around one part."""

    def __init__(self, options: argparse.Namespace, log: int) -> None:
        self._options = options
        self._log = log
        self._keep = False
        self._pause_s = PAUSE_MIN_S
        self._stop_signal = signal.Signals[options.stop_signal]
        self._stuck = re.compile(options.stuck.encode()) if options.stuck else None
        self._read_to = 0  # of the log
        self._is_stuck = False
        self._look_at = 0.0

    def run(self) -> int:
        part = self._start()
        started = time.monotonic()
        while not self._told_to_stop():
            self._bound_log()
            if self._keep and self._must_begin_anew():
                self._note("writes no more, though there is room: stopping it")
                self._stop(part)
            code = part.poll()
            if code is None:
                continue
            if not self._keep:
                return code if code >= 0 else 128 - code
            if time.monotonic() - started > PAUSE_MAX_S:
                self._pause_s = PAUSE_MIN_S
            self._note(f"ended with {code}, starting again in {self._pause_s:g} s")
            if self._wait_before_restart():
                return 0
            part, started = self._start(), time.monotonic()
        return self._stop(part)

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_stuck, self._read_to = False, os.fstat(self._log).st_size
        return subprocess.Popen(
            self._options.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=self._become,  # this process has one thread
        )

    def _become(self) -> None:
        """In the part's process, before exec."""
        for restored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(restored, signal.SIG_DFL)
        if self._options.user is not None:
            uid, gid = (int(number) for number in self._options.user.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # After the change of user: changing credentials clears it.
        number = signal.Signals[self._options.death_signal]
        _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        os.umask(0o077)

    def _told_to_stop(self, wait_s: float = TICK_S) -> bool:
        """Waits up to `wait_s` for a word of the owner."""
        readable, _, _ = select.select([0], [], [], wait_s)
        if readable:
            word = os.read(0, 1)
            if word != b"k":
                return True
            self._keep = True
        return os.getppid() != int(self._options.owner)

    def _wait_before_restart(self) -> bool:
        until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
        while time.monotonic() < until:
            if self._told_to_stop():
                return True
        return False

    def _stop(self, part: subprocess.Popen[bytes]) -> int:
        """The part's own signal first, SIGKILL after `stop_s`."""
        for number in (self._stop_signal, signal.SIGKILL):
            part.send_signal(number)
            try:
                part.wait(self._options.stop_s)
            except subprocess.TimeoutExpired:
                self._note(f"did not stop within {self._options.stop_s:g} s")
            else:
                break
        return 0

    def _must_begin_anew(self) -> bool:
        """Whether the part has said that it is stuck, and the disk takes something again."""
        if self._stuck is None:
            return False
        size = os.fstat(self._log).st_size
        if size != self._read_to:
            first = max(0 if size < self._read_to else self._read_to, size - LOG_READ_BYTES)
            with Path(self._options.log).open("rb") as log:
                log.seek(first)
                self._is_stuck |= self._stuck.search(log.read(size - first)) is not None
            self._read_to = size
        if not self._is_stuck or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + ROOM_EVERY_S
        return _has_room()

    def _bound_log(self) -> None:
        if os.fstat(self._log).st_size > LOG_MAX_BYTES:
            os.ftruncate(self._log, 0)
            self._note("log was full and begins anew")

    def _note(self, words: str) -> None:
        with suppress(OSError):  # a full disk must not end the guard
            os.write(self._log, f"guard: {self._options.name}: {words}\n".encode())


def _has_room() -> bool:
    """Whether the part's folder, which is this process's, takes ROOM_BYTES."""
    room = Path(f".room-{os.getpid()}")
    try:
        with room.open("wb") as file:
            file.write(bytes(ROOM_BYTES))
            os.fsync(file.fileno())
        return True
    except OSError:
        return False
    finally:
        room.unlink(missing_ok=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True, help="process id of the owner")
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--stop-signal", default="SIGTERM")
    parser.add_argument("--death-signal", default="SIGTERM", help="if the guard is killed")
    parser.add_argument("--stop-s", type=float, default=20.0)
    parser.add_argument("--stuck", help="pattern of what the log says when only that helps")
    parser.add_argument("--user", help="uid:gid to run the part as")
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
