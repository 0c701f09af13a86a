"""What the machine protects: found out, not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archive import checkup, surroundings
from archive.config import Config

ROOT = Path(__file__).parent.parent


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_walls_are_tried_in_a_child_and_this_process_stays_free() -> None:
    held = surroundings.probed()
    assert set(held) == {"files", "network"}
    assert Path("/etc/passwd").read_bytes()


@pytest.mark.parametrize(
    ("held", "marks"),
    [
        ({"files": True, "network": True}, ["ok"]),
        ({"files": False, "network": True}, ["note"]),
        ({"files": True, "network": False}, ["note"]),
        ({}, ["note", "note"]),
    ],
)
def test_each_wall_that_the_kernel_lacks_is_named(held: dict[str, bool], marks: list[str]) -> None:
    found = list(surroundings.walls(held))
    assert [mark for mark, *_ in found] == marks
    said = " ".join(what for _, what, _ in found)
    if not held.get("files"):
        assert "Landlock" in said
    if not held.get("network"):
        assert "namespaces" in said


def test_a_process_that_holds_keys_leaves_no_core_file(tmp_path: Path) -> None:
    code = (
        "import os,signal;from archive import surroundings as s;"
        "{}pid=os.fork()\n"
        "if pid==0: signal.signal(signal.SIGABRT, signal.SIG_DFL); os.kill(os.getpid(), 6)\n"
        "print([m for m,w,a in s.findings() if 'core' in w], os.WCOREDUMP(os.waitpid(pid,0)[1]))"
    )
    done = python(code.format("s.keep_out_of_core_files();"))
    assert done.stdout.strip() == "['ok'] False", done.stderr
    before = python("import resource;resource.setrlimit(4,(0,0));" + code.format(""))
    assert before.stdout.startswith("['BAD']"), before.stderr  # the limit alone is not enough


def test_swap_counts_as_safe_only_where_it_is_known_to_be(tmp_path: Path) -> None:
    def device(name: str, file: str, content: str) -> str:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        path.write_text(content)
        return f"/dev/{name}"

    def safe(name: str) -> bool:
        return surroundings._is_encrypted(name, blocks=tmp_path)

    assert safe(device("dm-77", "dm/uuid", "CRYPT-LUKS2-0-swap\n"))
    assert not safe(device("dm-78", "dm/uuid", "LVM-0-swap\n"))
    assert safe(device("zram77", "backing_dev", "none\n"))
    assert not safe(device("zram78", "backing_dev", "/dev/sda3\n"))
    assert not safe("/dev/sda77")
    assert not safe("/swapfile")


def test_the_swap_of_this_machine_is_looked_at() -> None:
    (found,) = [what for _, what, _ in surroundings.findings() if what.startswith("swap")]
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    assert (found == "swap is off, in memory or encrypted") or swaps
    assert os.path.exists("/proc/sys/kernel/core_pattern")  # noqa: PTH110


def test_doctor_says_which_addresses_elsewhere_are_talked_to_in_the_clear() -> None:
    here, there = "127.0.0.1", "db.example.org"
    cases = [
        ({"store_url": f"http://{here}:8333/a"}, []),
        ({"store_url": "http://s3.example.org/a"}, ["BAD"]),
        ({"store_url": "http://seaweedfs:8333/a"}, ["note"]),
        ({"store_url": "https://s3.example.org/a"}, ["ok"]),
        ({"backup_url": "http://[2001:db8::1]/a"}, ["BAD"]),
        ({"database_url": f"postgresql://u:p@{here}/a"}, []),
        ({"database_url": "postgresql:///a?host=/run/postgresql"}, []),
        ({"database_url": f"postgresql://u:p@{there}/a"}, ["BAD"]),
        ({"database_url": f"postgresql://u:p@{there}/a?sslmode=require"}, ["BAD"]),
        ({"database_url": f"postgresql://u:p@{there}/a?sslmode=verify-full"}, ["ok"]),
        ({"index_url": "postgresql:"}, []),
        ({"index_url": f"postgresql://u:p@{there}/i"}, ["BAD"]),
    ]
    for given, marks in cases:
        found = checkup.transport(Config(**given))
        assert [each.mark for each in found] == marks, given
        assert not any("u:p" in each.what + each.advice for each in found)
