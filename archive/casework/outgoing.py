"""Mails to the archive's own people, by SMTP, out of a queue that outlives crashes.

A mail carries ids, case numbers and days. The queue holds no address: it is looked up at the
moment of sending. Knows nothing of what the mails are about.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from archive.config import Config
from archive.db import transaction
from archive.errors import BadSetting
from archive.hosts import is_this_machine

TIMEOUT_S = 20
WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 20, 60, 120, 240))  # the last one repeats
GIVE_UP_AFTER = timedelta(days=5)
# As browsers take it (HTML, valid email address), with a dot in the domain.
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+", re.A | re.I)
SMTP_URL, MAIL_FROM = "ARCHIVE_SMTP_URL", "ARCHIVE_MAIL_FROM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where mails are handed over, and in whose name. `tls`: from the start, after it, or never."""

    host: str
    port: int
    tls: str  # "always", "starttls", "none": the last to this machine alone
    user: str
    password: str
    sender: str


def server_of(config: Config) -> Server | None:
    """The server that the settings name; None if none. BadSetting for one that will not do."""
    if not config.smtp_url:
        return None
    split = urlsplit(config.smtp_url)
    if split.scheme not in {"smtp", "smtps"} or not split.hostname or split.path not in {"", "/"}:
        raise BadSetting(name=SMTP_URL, reason="expected smtp(s)://user:password@host:port")
    here = is_this_machine(split.hostname)
    if not here and split.hostname not in config.eu_hosts:
        raise BadSetting(name=SMTP_URL, reason="its host is not in ARCHIVE_EU_HOSTS")
    if not is_address(config.mail_from):
        raise BadSetting(name=MAIL_FROM, reason="expected an email address")
    tls = "always" if split.scheme == "smtps" else "none" if here else "starttls"
    return Server(
        host=split.hostname,
        port=split.port or (465 if tls == "always" else 25 if here else 587),
        tls=tls,
        user=unquote(split.username or ""),
        password=unquote(split.password or ""),
        sender=config.mail_from,
    )


def is_address(written: str) -> bool:
    """Whether this is one plain email address: local part, @, a host with a dot."""
    return len(written) <= 254 and _ADDRESS.fullmatch(written) is not None


def queue(connection: Connection, person: UUID, subject: str, body: str, *, now: datetime) -> None:
    """Puts a mail into the queue; it leaves only if the transaction commits."""
    connection.execute(
        text("""insert into outgoing_mail (id, person_id, subject, body, made_at, next_attempt_at)
            values (:id, :person, :subject, :body, :now, :now)"""),
        {"id": uuid4(), "person": person, "subject": subject, "body": body, "now": now},
    )


def addresses(connection: Connection) -> set[UUID]:
    """Who can be mailed to: active, with an address."""
    rows = connection.execute(
        text("select id from person where email is not null and disabled_at is null")
    ).scalars()
    return {UUID(str(id)) for id in rows}


def send_due(
    engine: Engine,
    server: Server,
    *,
    now: Callable[[], datetime],
    hand_over: Callable[[Server, str, EmailMessage], None] | None = None,
    most: int = 50,
) -> tuple[int, list[str]]:
    """Sends what is due, one mail a transaction; how many left, and codes of what failed.

    A row is locked while its mail is on the way, so two workers never send the same. A crash
    between the server's yes and the commit sends it again, with the same Message-ID.
    """
    sent, failed = 0, []
    for _ in range(most):
        with transaction(engine) as connection:
            row = connection.execute(
                text("""select mail.id, subject, body, made_at, attempts, email
                    from outgoing_mail mail join person on person.id = person_id
                    where next_attempt_at <= :now order by next_attempt_at, mail.id
                    for update of mail skip locked limit 1"""),
                {"now": now()},
            ).first()
            if row is None:
                break
            code = "no-address"
            if row.email:
                message = _message(server, row.email, row.id, row.subject, row.body, row.made_at)
                code = _attempt(hand_over or deliver, server, row.email, message)
            if code in {"", "no-address"}:
                _done(connection, row.id)
                sent += not code
                continue
            failed.append(code)
            _again(connection, row.id, row.attempts, row.made_at, code, now())
    return sent, failed


def waiting(connection: Connection) -> tuple[int, str | None]:
    """How many mails wait, and the code of the last failure among them."""
    row = connection.execute(
        text("select count(*) as n, max(error_code) as code from outgoing_mail")
    ).one()
    return row.n, row.code


def deliver(server: Server, to: str, message: EmailMessage) -> None:
    """Hands one mail to the server; smtplib's errors and OSError where that fails."""
    secure = ssl.create_default_context()
    if server.tls == "always":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_S, context=secure
        )
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    with client:
        if server.tls == "starttls":
            client.starttls(context=secure)
        if server.user:
            client.login(server.user, server.password)
        client.send_message(message, from_addr=server.sender, to_addrs=[to])


def _attempt(
    hand_over: Callable[[Server, str, EmailMessage], None],
    server: Server,
    to: str,
    message: EmailMessage,
) -> str:
    """ "" if it was taken; else a code without anything that a server or address says."""
    try:
        hand_over(server, to, message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return f"recipient-{codes[0] if codes else 0}"
    except smtplib.SMTPResponseException as error:
        return f"{type(error).__name__}-{error.smtp_code}"
    except (smtplib.SMTPException, OSError) as error:
        return type(error).__name__
    return ""


def _message(
    server: Server, to: str, id: UUID, subject: str, body: str, made_at: datetime
) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = server.sender, to, subject
    message["Date"] = format_datetime(made_at)
    message["Message-ID"] = f"<{id}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message


def _done(connection: Connection, id: UUID) -> None:
    connection.execute(text("delete from outgoing_mail where id = :id"), {"id": id})


def _again(
    connection: Connection, id: UUID, attempts: int, made_at: datetime, code: str, now: datetime
) -> None:
    """Later, or never after five days: the notice itself stays on the page."""
    if now - made_at > GIVE_UP_AFTER:
        _done(connection, id)
        return
    connection.execute(
        text("""update outgoing_mail set attempts = attempts + 1, next_attempt_at = :next,
                error_code = :code where id = :id"""),
        {"id": id, "next": now + WAITS[min(attempts, len(WAITS) - 1)], "code": code},
    )
