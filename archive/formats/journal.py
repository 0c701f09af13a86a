"""Journal reports of Exchange and Microsoft 365: who really got a message, and the message itself.

A report is an email of its own: `X-MS-Journal-Report`, multipart/mixed, first a text of lines
`Sender:`, `Recipient:`, `To:`, `Cc:`, `Bcc:`, then the message as message/rfc822. Also reads,
of any message, the fields in which mail servers note for whom a copy was made. Never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from archive.formats import mail_headers as headers
from archive.formats.charsets import decode
from archive.formats.mime import Part, leaves

MARK = "x-ms-journal-report"
# Written by the server that delivers: Postfix, Exim, sendmail. Then what the sender wrote.
_DELIVERED = ("x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "apparently-to")
_WRITTEN = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_LINE = re.compile(r"(?m)^[ \t]*([A-Za-z-]{2,20}):[ \t]*([^\r\n]*)")
_VIA = re.compile(r"(?i),\s*(?:expanded|forwarded)(?:-from)?:\s*")
_MOST_LINES = 20_000


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What a report's text says; addresses in lower case.

    `recipients` are those of a report that does not tell To, Cc and Bcc apart; `via` are the
    groups and forwarding mailboxes that somebody got the message through.
    """

    sender: str | None = None
    on_behalf_of: str | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    via: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """All who got the message, each once."""
        return tuple(dict.fromkeys(self.to + self.cc + self.bcc + self.recipients + self.via))


def read_report(top: Part) -> tuple[JournalReport, Part | None] | None:
    """The report that this message is, and the part that is the message; None if it is none.

    Of a message that was cut off behind its text the report is still read.
    """
    if MARK not in top.fields or not top.type.startswith("multipart/"):
        return None
    parts = leaves(top)
    if not parts or parts[0].type != "text/plain":
        return None
    report = parse_report(decode(parts[0].content()[0], parts[0].parameter("charset"))[0])
    if report.sender is None and not report.everybody:
        return None
    inner = next((part for part in parts[1:] if part.type == "message/rfc822"), None)
    return report, inner


def parse_report(text: str) -> JournalReport:
    """The lines of a report's text; what is not understood is left out."""
    found: dict[str, list[str]] = {}
    for number, (name, value) in enumerate(_LINE.findall(text)):
        if number >= _MOST_LINES:
            break
        direct, *via = _VIA.split(value)
        found.setdefault(name.lower(), []).extend(_addresses(direct))
        found.setdefault("via", []).extend(a for each in via for a in _addresses(each))
    return JournalReport(
        sender=next(iter(found.get("sender", ())), None),
        on_behalf_of=next(iter(found.get("on-behalf-of", ())), None),
        **{
            name: tuple(dict.fromkeys(found.get(given, ())))
            for name, given in (
                ("to", "to"), ("cc", "cc"), ("bcc", "bcc"), ("recipients", "recipient"),
                ("via", "via"),
            )
        },
    )  # fmt: skip


def delivered_to(fields: Message) -> tuple[str, ...]:
    """For whom servers say that this copy was made, then whom the sender wrote to; each once."""
    values = [v for name in _DELIVERED + _WRITTEN for v in headers.raw_values(fields, name)]
    return tuple(dict.fromkeys(a.address for a in headers.addresses(values)))


def written_by(fields: Message) -> tuple[str, ...]:
    """Whom the message calls its author or sender; each once."""
    values = [v for name in ("from", "sender") for v in headers.raw_values(fields, name)]
    return tuple(dict.fromkeys(a.address for a in headers.addresses(values)))


def _addresses(value: str) -> list[str]:
    bare = re.sub(r"(?i)^\s*<?smtp:", "", value.strip())
    return [a.address for a in headers.addresses([bare])]
