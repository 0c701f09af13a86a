"""Reading one folder of a mail server into the archive, from where it was left to its end.

Nothing is changed on the server, not even what is marked as read, unless the account says
`delete`; then a message goes once it is durable here. Where the server numbers its messages anew
(UIDVALIDITY) the folder is read from its beginning, and what was kept before is known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from archive import mailfolders
from archive.archive import Archive
from archive.db import transaction
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
from archive.mailfolders import Place
from archive.sources import actors
from archive.sources.imap_accounts import Account, Folder
from archive.sources.mailboxes import Ahead, Filing, Mailboxes, look

PIECE = 4 * 1024 * 1024  # bytes of a message that are asked for at once
CONNECT_S, READ_S = 20, 120
WAITS_S = (5, 15, 60, 300)  # after the first, second, … failure
IDLE_SLICE_S = 1.0

log = logging.getLogger("archive.imap")


class FolderReader:
    """One folder of one account. `run` keeps it read until `stop` is set."""

    def __init__(self, archive: Archive, account: Account, folder: Folder) -> None:
        self._archive = archive
        self._account = account
        self._folder = folder
        self._mailboxes = Mailboxes(account.mailboxes)
        self._last = 0  # number of the newest message that is done with
        lines = [account.mailbox] if account.mailbox else account.mailboxes
        self._actor = actors.of_source(account.source, lines)

    def run(self, stop: threading.Event) -> None:
        """Reads what is there and then what comes, by IDLE or by asking every `poll_s`.

        A server, store or catalogue that is away is waited for.
        """
        failures = 0
        while not stop.is_set():
            try:
                with self._login() as client:
                    while not stop.is_set():
                        self.read(client, stop)
                        failures = 0
                        self._wait(client, stop)
            except (IMAPClientError, OSError, ArchiveError) as error:
                # The kind alone: a server's words may quote what it was sent.
                log.warning("%s: %s; trying again", self._account.source, type(error).__name__)
            except Exception as error:
                log.error("%s: unexpected %s", self._account.source, type(error).__name__)
            stop.wait(WAITS_S[min(failures, len(WAITS_S) - 1)])
            failures += 1

    def once(self) -> int:
        """Reads what is there now; how many messages were new to the archive."""
        with self._login() as client:
            return self.read(client, threading.Event())

    def read(self, client: IMAPClient, stop: threading.Event) -> int:
        """Everything in the folder that was not read before; how many of it were new."""
        numbering, newest = self._select(client)
        with transaction(self._archive.engine) as connection:
            before = mailfolders.place(
                connection, source=self._account.source, folder=self._folder.name
            )
        last = before.last_uid if before and before.uidvalidity == numbering else 0
        made = 0
        # A range up to `*` always holds the last message, also one below its beginning.
        for uid in sorted(u for u in client.search(["UID", f"{last + 1}:*"]) if u > last):
            if stop.is_set():
                break
            made += self._one(client, uid)
            # After the message, so that a crash in between reads it again and finds it known.
            self._note(Place(numbering, uid))
            last = uid
        else:
            # What was there when the folder was chosen is done with, or was deleted meanwhile.
            self._last = max(last, newest)
            self._note(Place(numbering, self._last))
        return made

    def _select(self, client: IMAPClient) -> tuple[int, int]:
        """Chooses the folder anew: its numbering, and the number of its newest message."""
        chosen = client.select_folder(self._folder.name, readonly=not self._account.delete)
        return int(chosen[b"UIDVALIDITY"]), int(chosen.get(b"UIDNEXT", 1)) - 1

    # -- one message -------------------------------------------------------------------

    def _one(self, client: IMAPClient, uid: int) -> int:
        """1 for a message new to the archive, else 0. Raises where it must be tried again."""
        facts = client.fetch([uid], ["INTERNALDATE", "RFC822.SIZE"]).get(uid)
        if facts is None:
            return 0  # somebody else deleted it
        if facts[b"RFC822.SIZE"] > self._archive.config.max_bytes:
            self._refuse("too-large")
            return 0
        content = Ahead(_Message(client, uid))
        try:
            filings = self._filings(content)
            made = self._receive(content, filings, facts[b"INTERNALDATE"]) if filings else 0
        except (StoreUnavailable, CatalogueUnavailable, DiskFull):
            raise
        except (OlderThanRetention, ReferenceErased, CohortClosed):
            return 0  # counted where it was found out; stays on the server
        except TooLarge:
            self._refuse("too-large")
            return 0
        if filings and self._account.delete:
            self._delete(client, uid)
        if not filings:
            self._refuse("no-archived-mailbox")
        return made

    def _filings(self, content: Ahead) -> list[Filing]:
        if self._account.mailbox:
            return [Filing(self._account.mailbox, self._folder.direction)]
        parties = look(content)
        return self._mailboxes.filings(senders=parties.senders, receivers=parties.receivers)

    def _receive(self, content: Ahead, filings: Iterable[Filing], at: datetime) -> int:
        first, *others = filings
        receipt = self._archive.receive_email(
            self._actor,
            content,
            source=self._account.source,
            mailbox=first.mailbox,
            direction=first.direction.value,
            received_at=at.astimezone(UTC).isoformat(),
        )
        for filing in others:
            self._archive.receive_email_also(
                self._actor, receipt.id, mailbox=filing.mailbox, direction=filing.direction
            )
        return int(receipt.created)

    def _delete(self, client: IMAPClient, uid: int) -> None:
        """Only this message: a plain EXPUNGE would take what others have marked too."""
        client.delete_messages([uid], silent=True)
        if client.has_capability("UIDPLUS"):
            client.uid_expunge([uid])

    def _refuse(self, reason: str) -> None:
        self._archive.note_refusal(self._actor, source=self._account.source, reason=reason)

    def _note(self, place: Place) -> None:
        with transaction(self._archive.engine) as connection:
            mailfolders.note(
                connection,
                source=self._account.source,
                folder=self._folder.name,
                place=place,
                now=self._archive.now(),
            )

    # -- the server --------------------------------------------------------------------

    def _login(self) -> IMAPClient:
        account = self._account
        client = IMAPClient(
            account.host,
            port=account.port,
            ssl=account.tls == "implicit",
            ssl_context=account.context() if account.tls == "implicit" else None,
            timeout=SocketTimeout(connect=CONNECT_S, read=READ_S),
        )
        try:
            if account.tls == "starttls":
                client.starttls(account.context())
            client.normalise_times = False  # aware times, as the server wrote them
            _log_in(client, account.user, account.password())
        except BaseException:
            with suppress(Exception):
                client.shutdown()
            raise
        return client

    def _wait(self, client: IMAPClient, stop: threading.Event) -> None:
        """Until something may have come: told by the server, or after `poll_s` in any case."""
        left = self._account.poll_s
        if not client.has_capability("IDLE"):
            stop.wait(left)
            return
        # A message that came after the last search may have been told of with its answer, which
        # nobody heard. What comes after this is told once IDLE has begun.
        if self._select(client)[1] > self._last:
            return
        client.idle()
        try:
            while left > 0 and not stop.is_set():
                if any(
                    len(told) > 1 and told[1] == b"EXISTS"
                    for told in client.idle_check(timeout=min(IDLE_SLICE_S, left))
                ):
                    return
                left -= IDLE_SLICE_S
        finally:
            client.idle_done()


def _log_in(client: IMAPClient, user: str, password: str) -> None:
    """By LOGIN, which takes ASCII alone, or else by SASL PLAIN in UTF-8 (RFC 4616)."""
    if (user + password).isascii():
        client.login(user, password)
    else:
        secret = f"\0{user}\0{password}".encode()
        client.sasl_login("PLAIN", lambda challenge: secret)


class _Message:
    """A message on the server, asked for in pieces and never marked as read."""

    def __init__(self, client: IMAPClient, uid: int) -> None:
        self._client = client
        self._uid = uid
        self._at = 0
        self._ended = False

    def read(self, n: int = -1, /) -> bytes:
        """The next piece, whatever `n`; b"" at the end."""
        if self._ended:
            return b""
        asked = f"BODY.PEEK[]<{self._at}.{PIECE}>"
        answer: dict[bytes, Any] = self._client.fetch([self._uid], [asked]).get(self._uid, {})
        pieces = [value for name, value in answer.items() if name.startswith(b"BODY[]")]
        if not pieces:
            raise IMAPClientError("the message went away while it was read")
        piece = pieces[0] or b""  # NIL behind the end
        self._at += len(piece)
        self._ended = len(piece) < PIECE
        return bytes(piece)
