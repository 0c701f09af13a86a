"""A mail receiver over a test's archive, on a port of its own, and mail to send to it."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

from sqlalchemy import text

from archive import catalogue
from archive.archive import Archive
from archive.db import transaction
from archive.model import Recording
from archive.sources.smtp_server import MailServer
from archive.sources.smtp_settings import SmtpSettings

SERVICE = "palvelu@yhtio.example"
BILLING = "laskutus@yhtio.example"
JOURNAL = "journal@archive.example"
CUSTOMER = "maija@example.org"


def settings_of(archive: Archive, **changes: Any) -> SmtpSettings:
    """Settings for clients on this machine and two mailboxes; the port is chosen at the start."""
    config = replace(
        archive.config,
        smtp_port=1,
        smtp_hostname="archive.example",
        smtp_clients=("127.0.0.0/8",),
        smtp_mailboxes=(SERVICE, BILLING),
        smtp_journal=(JOURNAL,),
        **changes,
    )
    return replace(SmtpSettings.of(config), port=0)


@contextmanager
def receiving(archive: Archive, **changes: Any) -> Iterator[MailServer]:
    """A running server; it is stopped as by SIGTERM."""
    server = MailServer(archive, settings_of(archive, **changes))
    up = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run(lambda port: up.set())
        except BaseException as error:
            failures.append(error)
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert up.wait(20)
    try:
        yield server
    finally:
        server.stop()
        thread.join(timeout=90)
    assert not failures and not thread.is_alive()


def client(server: MailServer, **more: Any) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", server.port, local_hostname="mta.example", timeout=60, **more)


def send(
    server: MailServer, raw: bytes, *, to: list[str], sender: str = CUSTOMER
) -> tuple[int, bytes]:
    """Delivers one message; the answer to its last dot."""
    with client(server) as smtp:
        smtp.ehlo()
        assert smtp.mail(sender)[0] == 250
        for each in to:
            assert smtp.rcpt(each)[0] == 250, each
        return smtp.data(raw)


def mail(subject: str = "Sähkölasku", body: str = "Laskuni on väärin.\r\n", **fields: str) -> bytes:
    message = EmailMessage()
    message["From"] = fields.pop("sender", f"Maija Meikäläinen <{CUSTOMER}>")
    message["To"] = fields.pop("to", f"Asiakaspalvelu <{SERVICE}>")
    message["Subject"] = subject
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def kept(archive: Archive) -> list[Recording]:
    """Every recording, in order of mailbox."""
    with transaction(archive.engine) as connection:
        ids = connection.execute(text("select id from recording order by line")).scalars().all()
        found = catalogue.get_many(connection, list(ids))
    return [found[id] for id in ids]


def content(archive: Archive, recording: Recording) -> bytes:
    """The original, out of its seal."""
    return archive.vault.read_all(recording)


def refused(archive: Archive) -> dict[str, int]:
    with transaction(archive.engine) as connection:
        rows = catalogue.refusals(connection, since=archive.now().date().replace(day=1))
    return {row["reason"]: row["n"] for row in rows}
