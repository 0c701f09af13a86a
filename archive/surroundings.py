"""The machine around the archive: what its kernel and settings protect, for `archive doctor`.

Knows the kernel's files and nothing of the archive's.
"""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from archive.formats import sandbox

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
Found = tuple[str, str, str]  # mark, what, advice


def keep_out_of_core_files() -> None:
    """This process, and what it forks, leaves no memory behind when it crashes.

    A limit of zero does not hold where the kernel pipes core files to a program; that a process
    is not dumpable does. Debuggers of the same user are kept out by it, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def findings() -> Iterator[Found]:
    """Every finding about this machine."""
    yield from walls(probed())
    yield _swap()
    yield _core_files()


def probed() -> dict[str, bool]:
    """What the walls around decoders hold here: found out by a child that puts them up."""
    script = str(Path(sandbox.__file__).resolve())
    done = subprocess.run(
        [sys.executable, "-I", "-S", script, sandbox.PROBE],
        capture_output=True,
        timeout=30,
        check=False,
    )
    try:
        return {str(name): bool(held) for name, held in json.loads(done.stdout).items()}
    except ValueError:
        return {}


def walls(held: dict[str, bool]) -> Iterator[Found]:
    """What those mean."""
    missing = {
        "files": "Landlock (Linux 5.13, in the list of CONFIG_LSM)",
        "network": "user and network namespaces for unprivileged processes",
    }
    lacking = [what for name, what in missing.items() if not held.get(name)]
    if not lacking:
        yield "ok", "decoders are walled in: no file, no network (Landlock, namespaces)", ""
    for what in lacking:
        yield (
            "note",
            f"decoders are confined by limits and protocol lists alone: the kernel lacks {what}",
            "Use a kernel that has it, or switch it on; see docs/threats.md.",
        )


def _swap() -> Found:
    plain = [name for name in _swaps() if not _is_encrypted(name)]
    if not plain:
        return "ok", "swap is off, in memory or encrypted", ""
    return (
        "note",
        f"swap is on and not known to be encrypted ({', '.join(plain)})",
        "Switch it off or encrypt it: unwrapped keys live in memory.",
    )


def _swaps() -> list[str]:
    try:
        lines = Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    except OSError:
        return []
    return [line.split()[0] for line in lines if line.split()]


def _is_encrypted(name: str, *, blocks: Path = Path("/sys/class/block")) -> bool:
    device = Path(name).resolve().name
    if device.startswith("zram"):
        return _text(blocks / device / "backing_dev").strip() in {"", "none"}
    return _text(blocks / device / "dm" / "uuid").startswith("CRYPT-")


def _core_files() -> Found:
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0 and not _is_dumpable():
        return "ok", "core files are off: web and worker cannot be dumped", ""
    where = _text(Path("/proc/sys/kernel/core_pattern")).strip()
    return (
        "BAD",
        f"a crash would write memory to a core file ({where})",
        "Report this: web and worker switch core files off by themselves.",
    )


def _is_dumpable() -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
