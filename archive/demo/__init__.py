"""Sample calls and emails, so that a first start has something to show.

Everybody in them is invented; the voices are synthetic. `tests/samples/make_samples.py` makes
the audio from calls.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from importlib.resources import files
from typing import Any

from archive import retention
from archive.model import Kind

SOURCE = "demo"


@dataclass(frozen=True, slots=True)
class Sample:
    """One delivery: metadata as the intake takes them (keywords for an email), and the bytes."""

    kind: Kind
    metadata: dict[str, Any]
    content: bytes


def samples(now: datetime) -> Iterator[Sample]:
    """All samples, at times of the last weeks before `now` (aware)."""
    for call in _read("calls.json"):
        yield _call(call, now)
    for email in _read("emails.json"):
        yield _email(email, now)


def _call(call: dict[str, Any], now: datetime) -> Sample:
    told = {
        name: value
        for name, value in call.items()
        if name not in {"file", "turns", "voice", "days_ago", "time"}
    }
    metadata = told | {
        "source": SOURCE,
        "source_ref": call["call_id"],
        "occurred_at": _moment(call, now).isoformat(),
        "file_name": call["file"],
        "extra": {"channels": ["agent", "customer"]},
        "media_type": "audio/wav" if call["file"].endswith(".wav") else "audio/ogg",
    }
    content = (files(__package__) / "media" / call["file"]).read_bytes()
    return Sample(Kind.CALL, metadata, content)


def _email(email: dict[str, Any], now: datetime) -> Sample:
    moment = _moment(email, now)
    message = EmailMessage()
    for header, name in (("From", "from"), ("To", "to"), ("Subject", "subject")):
        message[header] = email[name]
    message["Date"] = format_datetime(moment)
    message["Message-ID"] = email["message_id"]
    if "reply_to" in email:
        message["In-Reply-To"] = message["References"] = email["reply_to"]
    if "html" in email:
        message.set_content(email["html"], subtype="html")
    else:
        message.set_content(email["text"])
    if "attachment" in email:
        name, media_type, content = email["attachment"]
        main, _, sub = media_type.partition("/")
        message.add_attachment(content.encode(), maintype=main, subtype=sub, filename=name)
    metadata = {
        "source": SOURCE,
        "source_ref": email["ref"],
        "mailbox": email["line"],
        "direction": email["direction"],
        "received_at": moment.isoformat(),
    }
    return Sample(Kind.EMAIL, metadata, message.as_bytes())


def _moment(sample: dict[str, Any], now: datetime) -> datetime:
    day = retention.local(now).date() - timedelta(days=sample["days_ago"])
    return retention.resolve_local(datetime.combine(day, time.fromisoformat(sample["time"])))


def _read(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((files(__package__) / name).read_text("utf-8"))
    return found
