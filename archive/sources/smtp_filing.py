"""What becomes of one message that came over SMTP: filed, refused or put off, as one reply.

Runs in a thread of its own and reads the message as it comes. Knows nothing of sockets.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from archive.archive import Archive
from archive.errors import (
    ArchiveError,
    CatalogueUnavailable,
    CohortClosed,
    DiskFull,
    OlderThanRetention,
    ReferenceErased,
    StoreUnavailable,
    TooLarge,
)
from archive.model import Direction
from archive.sources import actors
from archive.sources.feed import Feed
from archive.sources.mailboxes import Ahead, Filing, Mailboxes, Parties, look
from archive.sources.smtp_settings import SmtpSettings

_DRAIN = 1024 * 1024

KEPT = "250 2.0.0 Kept"
NOT_KEPT = "250 2.0.0 Nobody's archived mailbox; not kept"
ENDED = "250 2.0.0 Erased before; not kept again"
LATER = "451 4.3.0 Not kept, try again later"
NO_SPACE = "452 4.3.1 Not kept, no space left"
TOO_LARGE = "552 5.3.4 Message too large"
NO_MAILBOX = "550 5.7.1 This mailbox is not archived"

log = logging.getLogger("archive.smtp")


class CutOffError(Exception):
    """The sender went away in the middle of a message."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the session knows of a message besides its bytes. Addresses are clean text."""

    mail_from: str  # "" of a bounce
    rcpt_to: tuple[str, ...]
    helo: str
    client: str
    tls: str | None  # "TLSv1.3", …


class Filer:
    """Files messages of one source. Thread-safe."""

    def __init__(self, archive: Archive, settings: SmtpSettings) -> None:
        self._archive = archive
        self._settings = settings
        self._actor = actors.of_source(settings.source, settings.lines)

    def takes(self, address: str) -> bool:
        """Whether a message may be sent to this address at all."""
        return address in self._settings.mailboxes or address in self._settings.journal

    def refuse(self, reason: str) -> str | None:
        """Counts a refusal; a reply that puts the sender off where it cannot even be counted."""
        try:
            self._archive.note_refusal(self._actor, source=self._settings.source, reason=reason)
        except ArchiveError as error:
            return _reply(error)
        return None

    def file(self, given: Given, content: Feed) -> str:
        """Keeps the message under each mailbox that it belongs to. 250 only when that is durable.

        Whatever happens the reply says it; nothing is raised.
        """
        try:
            return self._file(given, Ahead(content))
        except CutOffError:
            return LATER  # nobody hears it
        except ArchiveError as error:
            if isinstance(error, TooLarge):
                self.refuse("too-large")
            return _reply(error)
        except Exception as error:  # a bug must not lose the mail: the sender keeps it
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
            log.error("unexpected %s at %s", type(error).__name__, where)
            return LATER

    def _file(self, given: Given, content: Ahead) -> str:
        parties = look(content)
        filings = self._filings(given, parties)
        if not filings:
            while content.read(_DRAIN):
                pass
            return self.refuse("no-archived-mailbox") or NOT_KEPT
        # A crash between these leaves the message under some of its mailboxes and without a
        # reply: the sender sends it again, what is there is known, what lacks is added.
        first = self._archive.receive_email(
            self._actor,
            content,
            source=self._settings.source,
            mailbox=filings[0].mailbox,
            direction=filings[0].direction.value,
            envelope=_envelope(given, parties),
        )
        for filing in filings[1:]:
            self._archive.receive_email_also(
                self._actor, first.id, mailbox=filing.mailbox, direction=filing.direction
            )
        log.info("kept %s (%s)", first.id, "new" if first.created else "known")
        return f"{KEPT} {first.id}"

    def _filings(self, given: Given, parties: Parties) -> list[Filing]:
        """The mailboxes it was sent to; of what came to a journal address, those it names."""
        journal_, mailboxes = self._settings.journal, self._settings.mailboxes
        senders = [given.mail_from, *parties.senders]
        copies = [address for address in given.rcpt_to if address in journal_]
        if not copies:
            # Sent to the mailboxes themselves: whom else its header names files nothing there.
            found = mailboxes.filings(senders=senders, receivers=given.rcpt_to)
            return [one for one in found if one.mailbox in mailboxes.among(given.rcpt_to)]
        named = [
            box for box in map(_named_mailbox, copies) if box and box not in Mailboxes(senders)
        ]
        receivers = [*given.rcpt_to, *named, *parties.receivers]
        found = mailboxes.filings(senders=senders, receivers=receivers)
        if not found and not parties.senders and not parties.receivers:
            # Nobody knows whose it is: kept for somebody to look at, under the journal address.
            return [Filing(box, Direction.INBOUND) for box in journal_.among(copies)]
        return found


def _named_mailbox(address: str) -> str | None:
    """`journal+palvelu=yhtio.example@archive.example` is a copy for palvelu@yhtio.example."""
    local, equals, domain = address.rpartition("@")[0].partition("+")[2].rpartition("=")
    return f"{local}@{domain}" if equals and local and domain else None


def _envelope(given: Given, parties: Parties) -> dict[str, Any]:
    """As it is sealed with the recording; what is empty is left out."""
    report = parties.report
    told = (
        {
            "sender": report.sender,
            "on_behalf_of": report.on_behalf_of,
            "to": list(report.to),
            "cc": list(report.cc),
            "bcc": list(report.bcc),
            "recipients": list(report.recipients),
            "via": list(report.via),
        }
        if report
        else {}
    )
    found: dict[str, Any] = {
        "protocol": "smtp",
        "mail_from": given.mail_from,
        "rcpt_to": list(given.rcpt_to),
        "helo": given.helo,
        "client": given.client,
        "tls": given.tls,
        "journal": {name: value for name, value in told.items() if value},
    }
    return {name: value for name, value in found.items() if value or name == "mail_from"}


def _reply(error: ArchiveError) -> str:
    """What a mail server is told. Only what it can do nothing about is refused for good."""
    if isinstance(error, TooLarge):
        return TOO_LARGE
    if isinstance(error, OlderThanRetention | ReferenceErased | CohortClosed):
        return ENDED
    if isinstance(error, DiskFull):
        return NO_SPACE
    if isinstance(error, StoreUnavailable | CatalogueUnavailable):
        return LATER
    log.error("%s", type(error).__name__)
    return LATER
