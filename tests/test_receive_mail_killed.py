"""`archive receive-mail` killed at any moment: what was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive import rebuild
from archive.archive import Archive
from archive.config import Config
from tests.mail_server import CUSTOMER, SERVICE, content, kept, mail
from tests.running import free_port

KILLS = 4


class Receiver:
    """The command in a process of its own, which can be killed and started again."""

    def __init__(self, config: Config) -> None:
        self.port = free_port()
        own = {
            "HOME": config.home,
            "KEYS_DIR": config.keys_dir,
            "DATABASE_URL": config.database_url,
            "STORE_URL": config.store_url,
            "STORE_ACCESS_KEY": config.store_access_key,
            "STORE_SECRET_KEY": config.store_secret_key,
            "SMTP_PORT": self.port,
            "SMTP_CLIENTS": "127.0.0.1",
            "SMTP_MAILBOXES": SERVICE,
        }
        kept_ = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_")}
        self._environment = kept_ | {f"ARCHIVE_{name}": str(own[name]) for name in own}
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archive.cli", "receive-mail"],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the receiver does not start")

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="mta.example", timeout=20)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def receiver(config: Config) -> Iterator[Receiver]:
    made = Receiver(config)
    made.start()
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(60)


def test_a_message_whose_acknowledgement_was_lost_is_kept_once(archive: Archive) -> None:
    with receiver(archive.config) as server:
        smtp = server.connect()
        smtp.ehlo()
        smtp.mail(CUSTOMER)
        smtp.rcpt(SERVICE)
        smtp.docmd("DATA")
        smtp.send(mail() + b".\r\n")
        while not kept(archive):  # stored, and the sender has not heard of it
            time.sleep(0.001)
        server.kill()
        smtp.close()
        server.start()
        with server.connect() as again:
            again.sendmail(CUSTOMER, [SERVICE], mail())
    assert [content(archive, one) for one in kept(archive)] == [mail()]


def test_killed_at_random_moments_it_loses_and_doubles_nothing(archive: Archive) -> None:
    with receiver(archive.config) as server:
        senders = [Sender(server, range(n, 10_000, 3)) for n in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            time.sleep(random.Random().uniform(0.05, 1.0))
            server.kill()
            server.start()
        time.sleep(0.5)
        for sender in senders:
            sender.enough.set()
        for sender in senders:
            sender.join(60)
    acknowledged = [number for sender in senders for number in sender.acknowledged]
    found = Counter(content(archive, one) for one in kept(archive))
    assert len(acknowledged) > 3 * KILLS
    assert {found[message(number)] for number in acknowledged} == {1}
    assert set(found.values()) == {1}
    looked = rebuild.verify(
        archive.vault, archive.engine, now=archive.now(),
        sample=None, mend=False, progress=lambda done: None,
    )  # fmt: skip
    assert not looked.missing and not looked.damaged


def test_memory_does_not_grow_with_the_size_of_a_message(archive: Archive) -> None:
    megabyte = (b"y" * 98 + b"\r\n") * 10_000
    peaks = []
    with receiver(archive.config) as server:
        for megabytes in (20, 60):
            with server.connect() as smtp:
                smtp.ehlo()
                smtp.mail(CUSTOMER)
                smtp.rcpt(SERVICE)
                smtp.docmd("DATA")
                for _ in range(megabytes):
                    smtp.send(megabyte)
                smtp.send(b".\r\n")
                assert smtp.getreply()[0] == 250
            status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
            peaks += re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peaks[1]) - int(peaks[0]) < 16_000, peaks


def message(number: int) -> bytes:
    body = random.Random(number).randbytes(4000 + number % 50 * 1000).hex()
    lines = "\r\n".join(body[at : at + 76] for at in range(0, len(body), 76))
    return f"From: {CUSTOMER}\r\nSubject: viesti {number}\r\n\r\n{lines}\r\n".encode()


class Sender(threading.Thread):
    """Sends one message after the other, each until it is acknowledged, like a mail server."""

    def __init__(self, server: Receiver, numbers: range) -> None:
        super().__init__()
        self._server = server
        self._numbers = numbers
        self.acknowledged: list[int] = []
        self.enough = threading.Event()

    def run(self) -> None:
        for number in self._numbers:
            while not self._sent(number):
                time.sleep(0.05)
            self.acknowledged.append(number)
            if self.enough.is_set():
                return

    def _sent(self, number: int) -> bool:
        try:
            with self._server.connect() as smtp:
                smtp.sendmail(CUSTOMER, [SERVICE], message(number))
        except (OSError, smtplib.SMTPException):
            return False
        return True
