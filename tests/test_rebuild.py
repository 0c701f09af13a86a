"""The whole catalogue database is lost while the service runs, and comes back."""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3

from archive.bench import multipart
from tests.running import Running, running


@pytest.mark.timeout(300)
def test_a_dropped_catalogue_is_rebuilt_and_everything_is_served_and_found(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "home") as archive:
        token = archive.token("ingest", source="bench")
        sent = {}
        for number in range(20):
            audio = random.Random(number).randbytes(40_000)
            body, content_type = multipart(number, audio)
            answer = _request(archive, "POST", "/api/v1/calls", token, body, content_type)
            sent[answer.json()["id"]] = hashlib.sha256(audio).hexdigest()
        _drop(archive)
        out = archive.archive("rebuild-catalogue")
        assert out.startswith("20 rebuilt, 0 there already, 0 expired")
        reader = archive.token("search", "open")
        for id, sha256 in sent.items():
            answer = _request(archive, "GET", f"/api/v1/recordings/{id}/content", reader)
            assert hashlib.sha256(answer.data).hexdigest() == sha256
        assert _found(archive, reader, len(sent)) == set(sent)


def _drop(archive: Running) -> None:
    parts = json.loads((archive.home / "run" / "parts.json").read_text(encoding="utf-8"))
    url = parts["database_owner_url"].replace("/archive?", "/postgres?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop database archive with (force)")


def _found(archive: Running, token: str, wanted: int) -> set[str]:
    end = time.monotonic() + 60
    found: set[str] = set()
    while time.monotonic() < end and len(found) < wanted:
        asked = json.dumps({"customer": "1234567", "limit": 200}).encode()
        answer = _request(
            archive, "POST", "/api/v1/recordings/search", token, asked, "application/json"
        )
        if answer.status == 200:
            found = {item["id"] for item in answer.json()["items"]}
        time.sleep(0.3)
    return found


def _request(
    archive: Running,
    method: str,
    path: str,
    token: str,
    body: bytes | None = None,
    content_type: str | None = None,
) -> Any:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", archive.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "X-Archive-Purpose": "verification"}
    if content_type:
        headers["Content-Type"] = content_type
    return pool.request(method, path, body=body, headers=headers)
