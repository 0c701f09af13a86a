"""Which of the archived mailboxes an email belongs to. Knows no settings and no sockets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archive.formats import journal
from archive.formats.identifiers import email_key
from archive.formats.journal import JournalReport
from archive.formats.mime import parse_tree, split_header
from archive.model import Direction
from archive.seal import Readable

HEAD_BYTES = 256 * 1024  # of a message that are read to see whose it is
REPORT_BYTES = 2 * 1024 * 1024  # the same of a journal report, whose text names everybody


@dataclass(frozen=True, slots=True)
class Filing:
    """Under which mailbox a message is kept, and which way it went."""

    mailbox: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Parties:
    """Who wrote a message and who got it, as far as its head says; `report` of a journal report."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    report: JournalReport | None = None


class Mailboxes:
    """The list of mailboxes that may be archived. What is not on it is not."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._by_key = {_key(address): address.lower() for address in allowed}

    def __contains__(self, address: str) -> bool:
        return _key(address) in self._by_key

    def filings(self, *, senders: Iterable[str], receivers: Iterable[str]) -> list[Filing]:
        """One for each archived mailbox among those who wrote and got a message, each once.

        From an archived mailbox to another the message is internal to both.
        """
        wrote, got = self.among(senders), self.among(receivers)
        return [
            Filing(
                mailbox,
                Direction.INTERNAL
                if wrote and got
                else Direction.INBOUND
                if got
                else Direction.OUTBOUND,
            )
            for mailbox in dict.fromkeys(got + wrote)
        ]

    def among(self, addresses: Iterable[str]) -> list[str]:
        """The mailboxes of the list that these addresses mean, each once."""
        found = (self._by_key.get(_key(address)) for address in addresses)
        return list(dict.fromkeys(mailbox for mailbox in found if mailbox is not None))


class Ahead:
    """A stream whose beginning was looked at and is read again."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._head = b""

    def peek(self, most: int, *, until: bytes = b"") -> bytes:
        """The first bytes: as far as `until` where that comes, else `most` or the end."""
        while len(self._head) < most and not (until and until in self._head):
            block = self._source.read(most)
            if not block:
                break
            self._head += block
        return self._head

    def read(self, n: int = -1, /) -> bytes:
        """Like the source's, from the beginning."""
        if self._head:
            taken, self._head = (self._head, b"") if n < 0 else (self._head[:n], self._head[n:])
            return taken
        return self._source.read(n)


def look(content: Ahead) -> Parties:
    """The parties of a message of which no more is read than that needs."""
    head = content.peek(HEAD_BYTES, until=b"\r\n\r\n")
    if journal.MARK.encode() in head[:HEAD_BYTES].lower():
        head = content.peek(REPORT_BYTES)
    return parties_of(head)


def parties_of(head: bytes) -> Parties:
    """The parties named in the first bytes of a message: its header, or a journal report's text.

    A report that names nobody archived does not hide what the header around it names: anybody
    can write such a header.
    """
    if journal.MARK.encode() not in split_header(head)[0].lower():
        top, _ = parse_tree(split_header(head)[0] + b"\r\n\r\n")
        return Parties(journal.written_by(top.fields), journal.delivered_to(top.fields))
    top, _ = parse_tree(head)
    found = journal.read_report(top)
    report = found[0] if found else None
    senders = journal.written_by(top.fields)
    receivers = journal.delivered_to(top.fields)
    if report is not None:
        told = (report.sender, report.on_behalf_of)
        senders = tuple(dict.fromkeys((*filter(None, told), *senders)))
        receivers = tuple(dict.fromkeys(report.everybody + receivers))
    return Parties(senders, receivers, report)


def _key(address: str) -> str:
    """How addresses are compared: by case-less address without what follows a plus sign."""
    local, at, domain = email_key(address).rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"
