"""Nothing that was said is readable on disk: while it is written, afterwards, after kill -9.

A marker goes in by every way there is, also by requests that fail. Every file under the home
(index, database, log, bucket) and a dump of the database are searched for it.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3
from urllib3.filepost import encode_multipart_formdata

from archive.bench import multipart
from archive.embedded.postgres import binaries_for
from tests.media import mail
from tests.running import Running, environment, free_port, running

MARKER = "Tunnusmerkkipitkospuu"
MAILBOX = "palvelu@yhtio.example"
FORMS = (
    MARKER.encode(), MARKER.lower().encode(), MARKER.encode("utf-16-le"), MARKER[4:].encode(),
)  # fmt: skip
TEMPORARY = Path(os.environ.get("TMPDIR", "/tmp"))


class Watcher(threading.Thread):
    """Searches every file of the home again and again while things are written.

    A file that is as it was is not read again: reading all of them takes from who is watched.
    """

    def __init__(self, *folders: Path) -> None:
        super().__init__()
        self._folders = folders
        self._ended = threading.Event()
        self.found: set[str] = set()
        self.rounds = 0
        self._known: dict[Path, tuple[int, int]] = {}

    def run(self) -> None:
        while not self._ended.is_set():
            for folder in self._folders:
                self.found |= leaks(folder, self._known)
            self.rounds += 1
            self._ended.wait(0.05)

    def end(self) -> None:
        self._ended.set()
        self.join()


def leaks(folder: Path, known: dict[Path, tuple[int, int]] | None = None) -> set[str]:
    """Files below `folder` that hold the marker in any form, by name or content.

    With `known`, when files were changed last and their size, only those that are not as then.
    """
    found = set()
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if any(form in os.fsencode(path) for form in FORMS):
                found.add(str(path))
            try:
                status = path.stat()
                state = (status.st_mtime_ns, status.st_size)
                if known is not None and known.get(path) == state:
                    continue
                content = path.read_bytes()
            except OSError:
                continue
            if known is not None:
                known[path] = state
            if any(form in content for form in FORMS):
                found.add(str(path))
    return found


class Mouth:
    """Says the marker to the service in every way."""

    def __init__(self, archive: Running, ingest: str, reader: str, smtp_port: int) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", archive.port, timeout=30)
        self._ingest = {"Authorization": f"Bearer {ingest}"}
        self._reader = {"Authorization": f"Bearer {reader}"}
        self._smtp = smtp_port
        self.statuses: list[int] = []

    def say(self, method: str, path: str, body: bytes, **headers: str) -> Any:
        for patience in reversed(range(10)):
            try:
                answer = self._pool.request(
                    method, path, body=body, headers=self._ingest | headers, retries=False
                )
                break
            except (urllib3.exceptions.ProtocolError, urllib3.exceptions.NewConnectionError):
                # A process whose parent was killed may still have taken the connection, or the
                # next one is not there yet: a sender comes again.
                if not patience:
                    raise
                time.sleep(0.5)
        self.statuses.append(answer.status)
        return answer

    def call(self, metadata: dict[str, Any], audio: bytes, name: str = "a.wav") -> Any:
        body, content_type = encode_multipart_formdata(
            [("metadata", json.dumps(metadata).encode()), ("audio", (name, audio, "audio/wav"))]
        )
        return self.say("POST", "/api/v1/calls", body, **{"Content-Type": content_type})

    def everything(self, number: int) -> None:
        good = json.loads(multipart(number, b"")[0].split(b"\r\n\r\n")[1].split(b"\r\n--")[0])
        good |= {"notes": f"{MARKER} soitti", "agent": MARKER, "extra": {MARKER: [MARKER]}}
        good |= {"caller": MARKER, "contract": MARKER, "call_id": f"{MARKER}-{number}"}
        self.call(good, b"\0" * 500 + MARKER.encode() * 40, name=f"{MARKER}.wav")
        self.call(good, b"other bytes " + MARKER.encode())  # 409
        self.call(good | {"source_ref": f"x{number}", "case": MARKER, "masked": MARKER}, b"")
        self.call(good | {"source_ref": f"y{number}", "occurred_at": MARKER}, b"")  # 422
        self.call(good | {"source_ref": f"z{number}", "line": MARKER + "\0"}, b"")  # 422
        self.call(good | {"source": MARKER}, b"")  # 403
        self.call(good | {"direction": MARKER, "line": None}, b"")  # 422
        self.say(
            "POST",
            "/api/v1/calls",
            MARKER.encode() * 9,
            **{"Content-Type": "multipart/form-data; boundary=x"},
        )
        letter = mail(subject=f"{MARKER} {number}", text=f"Hei {MARKER}, lasku on väärin.")
        query = "/api/v1/emails?source=bench&mailbox=a@example.com&direction=inbound"
        self.say("POST", query, letter, **{"X-Archive-Envelope": json.dumps({"rcpt": MARKER})})
        self.say("POST", query, letter)  # known
        self.say("POST", query, b"Subject: " + b"\xff" + MARKER.encode() + b"\n\n" + os.urandom(50))
        self.say(
            "POST",
            query + f"&source_ref=r{number}",
            letter + b"1",
            **{"X-Archive-Received-At": MARKER},
        )
        for asked in ({"q": MARKER}, {"customer": MARKER}, {"agent": MARKER, "limit": MARKER}):
            self._pool.request(
                "POST", "/api/v1/recordings/search", body=json.dumps(asked), headers=self._reader
            )
        self._pool.request("POST", "/login", fields={"name": MARKER, "password": MARKER})
        self.mail(letter)

    def mail(self, letter: bytes) -> None:
        """Over SMTP: kept, refused, cut off and not understood."""
        try:
            with smtplib.SMTP("127.0.0.1", self._smtp, local_hostname=MARKER, timeout=30) as smtp:
                smtp.ehlo()
                smtp.mail(f"{MARKER}@example.org")
                smtp.rcpt(f"{MARKER}@yhtio.example")
                smtp.rcpt(MAILBOX)
                self.statuses.append(smtp.data(letter)[0])
                smtp.docmd(MARKER, MARKER)
                smtp.mail(f"{MARKER}@example.org")
                smtp.rcpt(MAILBOX)
                smtp.docmd("DATA")
                smtp.send(letter)  # and no end
                smtp.close()
        except (OSError, smtplib.SMTPException):
            pass  # the receiver is being started again


@pytest.mark.timeout(400)
def test_nothing_said_is_readable_on_disk(tmp_path: Path) -> None:
    home = tmp_path / "home"
    smtp_port = free_port()
    with running(
        home,
        ARCHIVE_SMTP_PORT=str(smtp_port),
        ARCHIVE_SMTP_CLIENTS="127.0.0.1",
        ARCHIVE_SMTP_MAILBOXES=MAILBOX,
    ) as archive:
        ingest = archive.token("ingest", source="bench")
        reader = archive.token("search", "open")
        mouth = Mouth(archive, ingest, reader, smtp_port)
        watcher = Watcher(home)
        watcher.start()
        second = subprocess.Popen(
            [sys.executable, "-m", "archive.cli", "worker"],
            env=environment(home, archive.port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for number in range(12):
                mouth.everything(number)
            _until_found(archive, reader)
            for victim in ("worker", "web", "postgres", "weed"):
                mouth.everything(100 + VICTIM_NUMBERS[victim])
                for pid in archive.pids(victim)[:1]:
                    os.kill(pid, signal.SIGKILL)
                archive.wait_ready()
            mouth.everything(200)
            time.sleep(3)
        finally:
            second.terminate()
            second.wait(timeout=30)
            watcher.end()
        assert {201, 200, 250, 403, 409, 422} <= set(mouth.statuses)
        assert watcher.rounds > 3
        assert watcher.found == set()
        assert leaks(home) == set()
        assert MARKER.encode() not in _dump(home)
        assert not any(MARKER in line for line in archive.lines)
    assert leaks(home) == set()


@pytest.mark.timeout(300)
def test_nothing_said_is_readable_on_disk_where_postgresql_searches(tmp_path: Path) -> None:
    """The digests and sealed words of the other engine, its log and its data directory."""
    home = tmp_path / "home"
    with running(home, ARCHIVE_INDEX_URL="postgresql:") as archive:
        ingest = archive.token("ingest", source="bench")
        reader = archive.token("search", "open")
        mouth = Mouth(archive, ingest, reader, smtp_port=1)
        watcher = Watcher(home)
        watcher.start()
        try:
            for number in range(2):
                mouth.everything(number)
            _until_found(archive, reader)
            mouth.everything(100)
            for pid in archive.pids("postgres")[:1]:
                os.kill(pid, signal.SIGKILL)
            archive.wait_ready()
            mouth.everything(200)
            _until_found(archive, reader)
        finally:
            watcher.end()
        assert watcher.found == set()
        assert leaks(home) == set()
        assert not (home / "index").exists(), "nothing of the other engine"
        index = _dump(home, database="archive_index")
        assert index.count(b"INSERT INTO") > 3, "the terms are really in there"
        assert not any(form in index for form in FORMS)
        assert not any(MARKER in line for line in archive.lines)
    assert leaks(home) == set()


VICTIM_NUMBERS = {"worker": 1, "web": 2, "postgres": 3, "weed": 4}


def _until_found(archive: Running, reader: str) -> None:
    """The marker is really in there: it is found by search."""
    pool = urllib3.HTTPConnectionPool("127.0.0.1", archive.port, timeout=30)
    headers = {"Authorization": f"Bearer {reader}"}
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answer = pool.request(
            "POST", "/api/v1/recordings/search", body=json.dumps({"q": MARKER}), headers=headers
        )
        if answer.status == 200 and answer.json()["items"]:
            return
        time.sleep(0.3)
    raise AssertionError("the marker was never found by search")


def _dump(home: Path, database: str = "archive") -> bytes:
    parts = json.loads((home / "run" / "parts.json").read_text(encoding="utf-8"))
    url = parts["database_url"].replace("/archive?", f"/{database}?")
    done = subprocess.run(
        [str(binaries_for(home) / "pg_dump"), "--inserts", "--dbname", url],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"recording" in done.stdout or b"index_month" in done.stdout
    return done.stdout
