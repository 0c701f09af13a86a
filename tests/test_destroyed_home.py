"""`archive up` in a home of its own: backed up and rotated while it runs, destroyed, restored."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3

from archive.bench import multipart
from tests.running import Running, environment, free_port, running


class Reader(threading.Thread):
    """Reads every recording again and again until stopped; keeps what was not answered whole."""

    def __init__(self, archive: Running, token: str, contents: dict[str, bytes]) -> None:
        super().__init__()
        self._archive, self._token, self._contents = archive, token, contents
        self.stop = threading.Event()
        self.failures: list[object] = []
        self.reads = 0

    def run(self) -> None:
        while not self.stop.is_set():
            for id, content in self._contents.items():
                status, body = fetch(self._archive, self._token, id)
                self.reads += 1
                if (status, body) != (200, content):
                    self.failures.append((id, status))
                self.stop.wait(0.02)  # it shares the machine with what it reads from


def deliver(archive: Running, token: str, number: int) -> tuple[str, bytes]:
    audio = random.Random(number).randbytes(20_000 + number)
    body, content_type = multipart(number, audio)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    answer = urllib3.request("POST", f"{archive.url}/api/v1/calls", body=body, headers=headers)
    assert answer.status == 201, answer.data[:200]
    return str(answer.json()["id"]), audio


def fetch(archive: Running, token: str, id: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}", "X-Archive-Purpose": "verification"}
    answer = urllib3.request(
        "GET", f"{archive.url}/api/v1/recordings/{id}/content", headers=headers
    )
    return answer.status, answer.data


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archive.cli", *words],
        env=environment(home, free_port()),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.timeout(600)
def test_a_home_rotated_under_load_backed_up_and_destroyed_serves_everything_after_a_restore(
    tmp_path: Path,
) -> None:
    home, folder, offline = tmp_path / "home", tmp_path / "backups", tmp_path / "offline.key"
    with running(home) as archive:
        token = archive.token("ingest", "search", "open", source="bench")
        contents = dict(deliver(archive, token, number) for number in range(5))
        archive.archive("keys", "recovery-key", str(offline))
        archive.archive("keys", "backup", str(tmp_path / "keys"))
        reader = Reader(archive, token, contents)
        reader.start()
        archive.archive("keys", "rotate-root")
        late = [deliver(archive, token, 100 + number) for number in range(3)]
        time.sleep(1)
        reader.stop.set()
        reader.join(timeout=60)
        assert reader.failures == [] and reader.reads > 5
        contents |= dict(late)
        archive.archive("backup", str(folder))
        refused = command(home, "restore", str(folder), "--recovery-key", str(offline))
        assert refused.returncode == 41, refused.stderr  # an archive is running there
    shutil.rmtree(home)
    restored = command(home, "restore", str(folder), "--recovery-key", str(offline))
    assert restored.returncode == 0, restored.stderr[-2000:]
    assert "8 recordings restored" in restored.stdout
    with running(home) as archive:
        for id, content in contents.items():
            assert fetch(archive, token, id) == (200, content)
        known = command(home, "keys", "status")
        assert known.returncode == 0 and str(folder) in known.stdout
        assert archive.archive("audit", "verify")
