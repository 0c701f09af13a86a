"""Whatever is killed in the middle: what was acknowledged is served whole, and found."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import urllib3

from archive.bench import multipart
from tests.running import Running, running

RECORDINGS = 300
VICTIMS = ("web", "worker", "postgres", "weed")


class Sender(threading.Thread):
    """Delivers one recording after the other, each until it is acknowledged."""

    def __init__(self, archive: Running, token: str, numbers: range) -> None:
        super().__init__()
        self._token = token
        self._numbers = numbers
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", archive.port, maxsize=2, retries=False, timeout=20
        )
        self.acknowledged: dict[str, str] = {}
        self.answers: dict[int, int] = {}

    def run(self) -> None:
        for number in self._numbers:
            self._deliver(number, random.Random(number).randbytes(30_000 + number * 100))

    def _deliver(self, number: int, audio: bytes) -> None:
        body, content_type = multipart(number, audio)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                answer = self._pool.request("POST", "/api/v1/calls", body=body, headers=headers)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.3)
                continue
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
            if answer.status in {200, 201}:
                receipt = answer.json()
                assert receipt["sha256"] == hashlib.sha256(audio).hexdigest()
                self.acknowledged[receipt["id"]] = receipt["sha256"]
                return
            assert answer.status in {429, 503, 507}, answer.data[:300]
            time.sleep(0.3)
        raise AssertionError(f"recording {number} was never acknowledged")


@pytest.mark.timeout(600)
def test_every_acknowledged_recording_survives_kill_9_of_each_part(tmp_path: Path) -> None:
    with running(tmp_path / "home") as archive:
        token = archive.token("ingest", "search", "open", source="bench")
        share = RECORDINGS // 3
        senders = [Sender(archive, token, range(n * share, (n + 1) * share)) for n in range(3)]
        for sender in senders:
            sender.start()
        for victim in VICTIMS:
            time.sleep(1.0)
            pids = archive.pids(victim)
            assert pids, f"no process of {victim}"
            for pid in pids[:1] if victim == "postgres" else pids:
                os.kill(pid, signal.SIGKILL)
            archive.wait_ready()
        for sender in senders:
            sender.join(timeout=300)
        acknowledged = {id: sha for sender in senders for id, sha in sender.acknowledged.items()}
        assert len(acknowledged) == RECORDINGS
        archive.wait_ready()
        _assert_served_whole(archive, token, acknowledged)
        _assert_found(archive, token, set(acknowledged))


def _assert_served_whole(archive: Running, token: str, acknowledged: dict[str, str]) -> None:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", archive.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "X-Archive-Purpose": "verification"}
    for id, sha256 in acknowledged.items():
        answer = pool.request("GET", f"/api/v1/recordings/{id}/content", headers=headers)
        assert answer.status == 200
        assert hashlib.sha256(answer.data).hexdigest() == sha256


def _assert_found(archive: Running, token: str, ids: set[str]) -> None:
    """By the customer number that all of them carry, page by page, within a minute."""
    pool = urllib3.HTTPConnectionPool("127.0.0.1", archive.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    end = time.monotonic() + 60
    found: set[str] = set()
    while time.monotonic() < end and not ids <= found:
        found, cursor = set(), None
        while True:
            asked = {"customer": "1234567", "limit": 200} | ({"cursor": cursor} if cursor else {})
            answer = pool.request(
                "POST", "/api/v1/recordings/search", body=json.dumps(asked), headers=headers
            )
            assert answer.status == 200
            page = answer.json()
            found |= {item["id"] for item in page["items"]}
            cursor = page["next"]
            if cursor is None:
                break
        time.sleep(0.5)
    assert ids <= found
