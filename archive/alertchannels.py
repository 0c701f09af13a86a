"""How alerts are told: a signed webhook, and mails. Only to hosts that the settings allow.

A webhook is a POST of JSON; `X-Archive-Signature` is `sha256=` and the HMAC-SHA-256 (hex), under
ARCHIVE_ALERT_SECRET, of `X-Archive-Timestamp`, a full stop and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit

import urllib3

from archive.alerts import Told
from archive.casework import outgoing
from archive.config import Config
from archive.errors import BadSetting
from archive.hosts import is_this_machine

TIMEOUT_S = 10.0
ANSWER_BYTES = 64 * 1024  # of an answer, which is thrown away
URL, SECRET, MAIL = "ARCHIVE_ALERT_URL", "ARCHIVE_ALERT_SECRET", "ARCHIVE_ALERT_MAIL"


def channels_of(
    config: Config, *, now: Callable[[], datetime]
) -> Mapping[str, Callable[[Told], str]]:
    """What the settings name, each with how it is told. BadSetting for what will not do.

    Each answers "" where it was heard, else a code without anything that the other side says.
    """
    found: dict[str, Callable[[Told], str]] = {}
    if config.alert_url:
        _check_url(config)
        found["webhook"] = lambda told: _post(config, told, now())
    if config.alert_mail:
        server = outgoing.server_of(config)
        if server is None:
            raise BadSetting(name=MAIL, reason="ARCHIVE_SMTP_URL is needed too")
        for address in config.alert_mail:
            if not outgoing.is_address(address):
                raise BadSetting(name=MAIL, reason="expected email addresses")
            found[f"mail:{address}"] = _mailer(server, address)
    return found


def _check_url(config: Config) -> None:
    split = urlsplit(config.alert_url)
    if split.scheme not in {"http", "https"} or not split.hostname or split.username is not None:
        raise BadSetting(name=URL, reason="expected https://host/path")
    if not is_this_machine(split.hostname):
        if split.hostname not in config.eu_hosts:
            raise BadSetting(name=URL, reason="its host is not in ARCHIVE_EU_HOSTS")
        if split.scheme != "https":
            raise BadSetting(name=URL, reason="expected https to another machine")
    if len(config.alert_secret) < 16:
        raise BadSetting(name=SECRET, reason="expected at least 16 characters")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Archive-Signature` holds."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.digest(secret.encode(), signed, hashlib.sha256).hex()


def _post(config: Config, told: Told, now: datetime) -> str:
    """Redirects are not followed: they would lead to hosts that nobody allowed."""
    body = json.dumps(_body(told)).encode()
    timestamp = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "X-Archive-Timestamp": timestamp,
        "X-Archive-Signature": signature(config.alert_secret, timestamp, body),
    }
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(TIMEOUT_S))
    try:
        answer = pool.request(
            "POST", config.alert_url, body=body, headers=headers, redirect=False,
            preload_content=False,
        )  # fmt: skip
        answer.read(ANSWER_BYTES)
        answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        return type(error).__name__
    finally:
        pool.clear()
    return "" if 200 <= answer.status < 300 else f"HTTP-{answer.status}"


def _body(told: Told) -> dict[str, str | None]:
    alert = told.alert
    return {
        "id": str(told.id),
        "alert": alert.name,
        "of": alert.of,
        "state": "over" if alert.ended_at else "began",
        "began_at": _instant(alert.began_at),
        "ended_at": _instant(alert.ended_at) if alert.ended_at else None,
        "meaning": alert.meaning,
    }


def _mailer(server: outgoing.Server, address: str) -> Callable[[Told], str]:
    def tell(told: Told) -> str:
        alert = told.alert
        state = "over" if alert.ended_at else "began"
        message = EmailMessage()
        message["From"], message["To"] = server.sender, address
        message["Subject"] = f"Contact archive: {alert.name} {alert.of}, {state}"
        message["Date"] = format_datetime(told.made_at)
        message["Message-ID"] = f"<{told.id}@{server.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        lines = [f"{alert.name}: {alert.meaning}", f"of: {alert.of}"]
        lines += [f"began: {_instant(alert.began_at)}"]
        lines += [f"over: {_instant(alert.ended_at)}"] if alert.ended_at else []
        message.set_content("\n".join([*lines, ""]))
        try:
            outgoing.deliver(server, address, message)
        except smtplib.SMTPResponseException as error:
            return f"{type(error).__name__}-{error.smtp_code}"
        except (smtplib.SMTPException, OSError) as error:
            return type(error).__name__
        return ""

    return tell


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
