"""What belongs together: emails of one thread, calls of one chain, by keys that they share.

Emails are joined by Message-ID, In-Reply-To and References; where an email refers to nothing, by
its subject without "Re:" and the parties. Calls are joined by their source's call id. Pure.
"""

from __future__ import annotations

import hashlib
import re

from archive.model import Descriptor, MailDescription

_KEY_CHARS = 32
_MOST = 60  # keys of one recording
_REPLY = re.compile(
    r"^\s*(?:\[[^\]]{1,40}\]\s*)?(?:re|vs|sv|aw|fw|fwd|vl|ff|lähetetty|vastaus)\s*(?:\[\d+\])?\s*:\s*",
    re.IGNORECASE,
)


def keys(descriptor: Descriptor, mail: MailDescription | None) -> tuple[str, ...]:
    """All keys that the recording is found by; () where there are none."""
    found = [_key("call", descriptor.source, descriptor.call_id)] if descriptor.call_id else []
    if mail is not None:
        found += [_key("message", id) for id in _messages(mail)]
        found += _by_subject(mail)
    return tuple(dict.fromkeys(found))[:_MOST]


def asked(descriptor: Descriptor, mail: MailDescription | None) -> tuple[str, ...]:
    """The keys by which the others of the recording's thread or chain are looked for."""
    if mail is not None and (mail.references or mail.in_reply_to):
        return tuple(dict.fromkeys(_key("message", id) for id in _messages(mail)))[:_MOST]
    return keys(descriptor, mail)


def plain_subject(subject: str) -> str:
    """A subject without what replies and forwards put before it: "Vs: Re: Lasku" -> "lasku"."""
    before = None
    while before != subject:
        before, subject = subject, _REPLY.sub("", subject)
    return " ".join(subject.casefold().split())


def _messages(mail: MailDescription) -> list[str]:
    ids = [mail.message_id or "", mail.in_reply_to or "", *mail.references]
    return [id.strip() for id in ids if id.strip(" <>")]


def _by_subject(mail: MailDescription) -> list[str]:
    subject = plain_subject(mail.subject or "")
    parties = sorted({address.casefold() for address in (*mail.from_, *mail.to)})
    return [_key("subject", subject, *parties)] if subject and len(parties) > 1 else []


def _key(kind: str, *parts: str) -> str:
    """A digest: references are of any length and hold addresses."""
    text = "\0".join((kind, *parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:_KEY_CHARS]
