"""Senders that deliver as real ones do: each recording again and again until it is acknowledged.

One class for each way into the archive. What counts as acknowledged is what makes a sender throw
its own copy away: a 201 or 200, a 250, the message gone from the mail server, the file moved.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imapclient.exceptions import IMAPClientError

from archive.config import Config
from tests.chaos.installation import Process
from tests.dovecot import PASSWORD, USER, Dovecot
from tests.running import free_port

SERVICE = "palvelu@yhtio.example"
CUSTOMER = "maija@example.org"
BLOCK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One recording to deliver."""

    ref: str
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class Manner:
    """How the sender behaves: `slow` pauses between blocks, `torn` hangs up in the middle once."""

    slow_s: float = 0.0
    torn: random.Random | None = None


def call(ref: str, chance: random.Random) -> Item:
    """A WAV of noise; one in 25 so large that it is stored in parts."""
    size = chance.randrange(200, 60_000)
    if chance.random() < 0.04:
        size = chance.randrange(9_000_000, 12_000_000)
    sound = chance.randbytes(size)
    head = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\1\0\1\0"
    head += b"\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data" + size.to_bytes(4, "little")
    return Item(ref, head + sound)


def email(ref: str, chance: random.Random) -> Item:
    """A message with lines as SMTP wants them."""
    text = chance.randbytes(chance.randrange(100, 30_000)).hex()
    lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    head = f"From: {CUSTOMER}\r\nTo: {SERVICE}\r\nSubject: {ref}\r\n\r\n"
    return Item(ref, f"{head}{lines}\r\n".encode())


class Source:
    """A way in. `process` is the archive's part of it, already made and not yet started."""

    name = ""
    process: Process
    make: Callable[[str, random.Random], Item] = staticmethod(email)
    behaves = True  # whether it can be slow, or hang up

    def __init__(self) -> None:
        self.manner = Manner()
        self.failures: dict[str, int] = {}
        self._sending: list[threading.Thread] = []

    def start(self) -> None:
        """The archive's process runs."""
        self.process.start()

    def restart(self) -> None:
        """It runs again after it was killed."""
        self.process.start()

    def send(self, items: list[Item]) -> None:
        """Begins to deliver, by two senders at once."""
        self._sending = [
            threading.Thread(target=self._send_all, args=(items[n::2],), daemon=True)
            for n in range(2)
        ]
        for thread in self._sending:
            thread.start()

    def finish(self, limit_s: float) -> None:
        """Returns when everything was acknowledged; AssertionError after the limit."""
        end = time.monotonic() + limit_s
        for thread in self._sending:
            thread.join(max(0.0, end - time.monotonic()))
            assert not thread.is_alive(), f"{self.name}: not everything was acknowledged"

    def close(self) -> None:
        self.process.stop()

    def _send_all(self, items: list[Item]) -> None:
        for item in items:
            torn = self.manner.torn is not None
            while not self._attempt(item, torn=torn):
                torn = False
                time.sleep(0.05)

    def _attempt(self, item: Item, *, torn: bool) -> bool:
        try:
            answer = self.deliver(item, self._pieces(item.content, torn=torn))
        except (OSError, smtplib.SMTPException, http.client.HTTPException) as error:
            answer = type(error).__name__
        if answer == "":
            return True
        self.failures[answer] = self.failures.get(answer, 0) + 1
        return False

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        """One attempt; "" where it was acknowledged, else what came instead."""
        raise NotImplementedError

    def _pieces(self, content: bytes, *, torn: bool) -> Iterator[bytes]:
        end = len(content)
        if torn and self.manner.torn is not None:
            end = self.manner.torn.randrange(0, end)
        for at in range(0, end, BLOCK):
            yield content[at : min(at + BLOCK, end)]
            time.sleep(self.manner.slow_s)
        if torn:
            raise ConnectionAbortedError("on purpose")


class _Http(Source):
    def __init__(self, config: Config, token: str, folder: Path) -> None:
        super().__init__()
        self._port, self._token = free_port(), token
        self.process = Process(
            config,
            ["web"],
            settings={"PORT": str(self._port), "WEB_WORKERS": "1"},
            is_up=lambda: _answers(self._port, "/healthz"),
            log=folder / "web.log",
        )

    def _post(self, path: str, head: dict[str, str], body: Iterator[bytes], length: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            sent = head | {"Authorization": f"Bearer {self._token}", "Content-Length": str(length)}
            connection.request("POST", path, body=body, headers=sent)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status in {200, 201}:
            self.acknowledged = json.loads(said)["sha256"]
            return ""
        assert answer.status in {429, 503, 507}, (answer.status, said[:300])
        return str(answer.status)


class HttpCall(_Http):
    """A call recorder that posts."""

    name = "http-call"
    make = staticmethod(call)

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        metadata = {
            "source": "chaos", "source_ref": item.ref, "direction": "inbound", "line": "viat",
            "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        }  # fmt: skip
        edge = b"--rajaviiva\r\nContent-Disposition: form-data; name="
        head = edge + b'"metadata"\r\nContent-Type: application/json\r\n\r\n'
        head += json.dumps(metadata).encode() + b"\r\n" + edge
        head += b'"audio"; filename="call.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        tail = b"\r\n--rajaviiva--\r\n"

        def body() -> Iterator[bytes]:
            yield head
            yield from pieces
            yield tail

        length = len(head) + len(item.content) + len(tail)
        kind = {"Content-Type": "multipart/form-data; boundary=rajaviiva"}
        return self._post("/api/v1/calls", kind, body(), length)


class HttpEmail(_Http):
    """A program that posts emails."""

    name = "http-email"

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        head = {"Content-Type": "message/rfc822", "X-Archive-Source-Ref": item.ref}
        path = f"/api/v1/emails?source=chaos&mailbox={SERVICE}&direction=inbound"
        return self._post(path, head, pieces, len(item.content))


class Smtp(Source):
    """A mail server that sends copies."""

    name = "smtp"

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__()
        self._port = free_port()
        self.process = Process(
            config,
            ["receive-mail"],
            settings={
                "SMTP_PORT": str(self._port),
                "SMTP_CLIENTS": "127.0.0.1",
                "SMTP_MAILBOXES": SERVICE,
            },
            is_up=lambda: _listens(self._port),
            log=folder / "smtp.log",
        )

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        with smtplib.SMTP(
            "127.0.0.1", self._port, local_hostname="mta.example", timeout=60
        ) as smtp:
            smtp.ehlo()
            smtp.mail(CUSTOMER)
            code, _ = smtp.rcpt(SERVICE)
            if code == 250:
                code, _ = smtp.docmd("DATA")
            if code != 354:
                return str(code)
            try:
                for piece in pieces:
                    smtp.send(piece)
            except ConnectionAbortedError:
                smtp.close()  # without QUIT
                raise
            smtp.send(b".\r\n")
            code, _ = smtp.getreply()
            assert code == 250 or 400 <= code < 500, code
            return "" if code == 250 else str(code)


class Imap(Source):
    """A mailbox on a real Dovecot, from which messages go once they are durable."""

    name = "imap"
    behaves = False

    def __init__(self, config: Config, server: Dovecot, folder: Path) -> None:
        super().__init__()
        self._server = server
        (folder / "password").write_text(PASSWORD + "\n", "utf-8")
        (folder / "imap.toml").write_text(
            f"""[[account]]
source = "chaos-imap"
host = "127.0.0.1"
port = {server.port}
tls = "none"
user = "{USER}"
password_file = "{folder / "password"}"
mailbox = "{SERVICE}"
delete = true
poll_s = 1

[[account.folder]]
name = "INBOX"
""",
            "utf-8",
        )
        self.process = Process(
            config,
            ["fetch-mail"],
            settings={"IMAP_ACCOUNTS": str(folder / "imap.toml")},
            log=folder / "imap.log",
        )

    def restart(self) -> None:
        self.process.launch()

    def send(self, items: list[Item]) -> None:
        with self._server.client() as client:
            for item in items:
                client.append("INBOX", item.content, msg_time=datetime.now(UTC))

    def finish(self, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while self._left():
            assert time.monotonic() < end, "imap: messages are still on the server"
            time.sleep(0.1)

    def _left(self) -> int:
        with suppress(OSError, IMAPClientError), self._server.client() as client:
            return int(client.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"])
        return 1


class Watched(Source):
    """A recorder that writes files; they are moved away once they are safe."""

    name = "watched"
    make = staticmethod(call)

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__()
        self._inbox, self._done = folder / "in", folder / "done"
        for each in (self._inbox, self._done):
            each.mkdir()
        words = ["watch", str(self._inbox), "--line", "viat", "--settle", "0.5"]
        self.process = Process(
            config, [*words, "--done", str(self._done)], log=folder / "watch.log"
        )

    def restart(self) -> None:
        self.process.launch()

    def finish(self, limit_s: float) -> None:
        super().finish(limit_s)
        end = time.monotonic() + limit_s
        while any(self._inbox.iterdir()):
            assert time.monotonic() < end, "watched: files are still there"
            time.sleep(0.1)
        for each in self._done.iterdir():
            each.unlink()

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        """Written in place, as recorders do, with its pauses; a torn one is begun again."""
        path = self._inbox / f"{item.ref}.wav"
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()
        return ""


class Ingest(Source):
    """An operator who runs `archive ingest` over a folder, again if it was killed."""

    name = "ingest"
    make = staticmethod(call)
    behaves = False

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__()
        self._folder = folder / "files"
        self._folder.mkdir()
        self.process = Process(
            config, ["ingest", str(self._folder), "--line", "viat"], log=folder / "ingest.log"
        )

    def start(self) -> None:
        """It is started for each batch."""

    def restart(self) -> None:
        self.process.launch()

    def send(self, items: list[Item]) -> None:
        for item in items:
            (self._folder / f"{item.ref}.wav").write_bytes(item.content)
        self.process.launch()

    def finish(self, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while (code := self.process.wait(limit_s)) != 0:
            assert time.monotonic() < end, f"ingest ends with {code}"
            self.failures[f"exit {code}"] = self.failures.get(f"exit {code}", 0) + 1
            time.sleep(0.2)
            self.process.launch()
        for each in self._folder.iterdir():
            each.unlink()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False
