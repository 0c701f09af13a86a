"""The walls around a child process that reads what strangers sent. Standard library only.

Run as a script it confines itself and becomes the given command; a Python child may also call
`confine` itself. Knows nothing of media or email. Limits of processor time, memory and files
always hold. An empty network namespace and Landlock (Linux 5.13; TCP from 6.7) are best effort:
where the system refuses them, the decoder's own lists of protocols and formats still stand.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

PROBE = "--probe"  # as the only argument: put the walls up, and say which of them hold
EXIT_UNUSABLE = 126  # the command could not be started
OPEN_FILES = 64
_GRACE_S = 5

# include/uapi/linux/{prctl,sched,landlock}.h; the three numbers are the same on every machine
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FS_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights that version knows
_TCP_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def confine(*, cpu_s: int, memory_mb: int, readable: Sequence[str], parent: int | None) -> None:
    """Walls this process in, for good: it has no network, writes no file, runs no setuid program.

    `readable` are the files and folders that may still be opened, for reading only. Memory is
    address space. With `parent` it is killed when the thread that started it ends. No limit on
    the number of processes: that one counts all of a user's.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if parent is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(EXIT_UNUSABLE)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    _landlock(libc, readable)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_AS, memory_mb * 1024 * 1024)
    limit_cpu(cpu_s)


def limit_cpu(seconds: int) -> None:
    """SIGXCPU after so many seconds of processor time of this whole process."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def command(
    arguments: Sequence[str], *, cpu_s: int, memory_mb: int, readable: Sequence[str]
) -> list[str]:
    """The argument list that runs `arguments` behind the walls, for subprocess."""
    limits = [str(cpu_s), str(memory_mb), str(os.getpid()), os.pathsep.join(readable)]
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *limits, *arguments]


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _landlock(libc: ctypes.CDLL, readable: Sequence[str]) -> bool:
    """Forbids every file but `readable`, and TCP; False where the system cannot."""
    abi = _call(libc, _CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return False
    rights = (1 << _FS_RIGHTS_BY_ABI.get(abi, 16)) - 1
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", _TCP_BIND_AND_CONNECT)
    if abi >= 6:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = _call(libc, _CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    for path in readable:
        _allow(libc, ruleset, path)
    done = _call(libc, _RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _allow(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    rights = _EXECUTE | _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
    _call(libc, _ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, opened), 0)
    os.close(opened)


def _call(libc: ctypes.CDLL, number: int, *arguments: int | bytes | None) -> int:
    as_words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return int(libc.syscall(ctypes.c_long(number), *as_words))


def probe() -> dict[str, bool]:
    """Confines this process; which walls hold: `files`, `network`."""
    import socket  # here: a child that decodes pays for no module that it does not use

    confine(cpu_s=10, memory_mb=512, readable=[], parent=None)
    try:
        os.close(os.open("/etc/passwd", os.O_RDONLY))
        files = False
    except OSError:
        files = True
    # A fresh network namespace has a loopback device alone, and that one is down.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            any_socket.connect(("127.0.0.1", 9))
            network = False
        except OSError:
            network = True
    return {"files": files, "network": network}


def main(arguments: Sequence[str]) -> None:
    """Confines this process and becomes the command; exits with 126 where that cannot be."""
    if list(arguments) == [PROBE]:
        import json

        sys.stdout.write(json.dumps(probe()))
        return
    cpu_s, memory_mb, parent, readable, *rest = arguments
    paths = [path for path in readable.split(os.pathsep) if path]
    try:
        confine(cpu_s=int(cpu_s), memory_mb=int(memory_mb), readable=paths, parent=int(parent))
        # What takes SIGXCPU for a wish is killed a little later.
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s) + _GRACE_S))
        environment = {"AV_LOG_FORCE_NOCOLOR": "1", "LC_ALL": "C"}
        os.execve(rest[0], rest, environment)  # noqa: S606 - a list, and no shell, on purpose
    except OSError:
        os._exit(EXIT_UNUSABLE)


if __name__ == "__main__":
    main(sys.argv[1:])
