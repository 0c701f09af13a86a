"""`archive receive-mail`: an SMTP server that acknowledges a message when it is durable.

Deny by default: only listed clients come in, only listed mailboxes are taken, and from other
machines only through STARTTLS. Bounded: so many connections, so many messages being stored, a
few blocks of each in memory; who comes on top is told 4xx and keeps the mail.

The protocol is aiosmtpd's; DATA is read here, because aiosmtpd would hold whole messages.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from archive.archive import Archive
from archive.errors import PartFailed, TooLarge
from archive.sources import smtp_data
from archive.sources.feed import Feed
from archive.sources.smtp_filing import LATER, NO_MAILBOX, TOO_LARGE, CutOffError, Filer, Given
from archive.sources.smtp_settings import SmtpSettings

IDLE_S = 300  # without a command or a block, as RFC 5321 (4.5.3.2) asks for
MESSAGE_S = 1800  # for the whole of one message
SLOT_S = 10  # how long a message waits for its turn to be taken
STOP_S = 60  # how long messages being stored are waited for at the end
MOST_RECIPIENTS = 1000  # of one message; RFC 5321 (4.5.3.1.8) asks for 100 at least
COMMANDS = 20_000  # of one kind in a connection
COMMAND_BYTES = 4096

STRANGER = "554 5.7.1 Not a client of this server"
FULL = "421 4.3.2 Too many connections, try again later"
STOPPING = "421 4.3.2 Shutting down, try again later"
BUSY = "451 4.3.2 Too many messages at once, try again later"
NEEDS_TLS = "530 5.7.0 Must issue a STARTTLS command first"
TOO_SLOW = "421 4.4.2 The message took too long"
TOO_MANY = "452 4.5.3 Too many recipients"

log = logging.getLogger("archive.smtp")
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)  # aiosmtpd logs addresses
logging.getLogger("mail.debug").setLevel(logging.CRITICAL + 1)


class MailServer:
    """One listening server over one archive. `run` is its life; `stop` may come from anywhere."""

    def __init__(self, archive: Archive, settings: SmtpSettings) -> None:
        self.settings = settings
        self.filer = Filer(archive, settings)
        self.open: set[_Conversation] = set()
        self.port = settings.port  # the one listened on, once it is
        self.stopping = False
        self.slots: asyncio.Semaphore
        self.threads = ThreadPoolExecutor(settings.receiving, thread_name_prefix="receive-mail")
        self.asides = ThreadPoolExecutor(2, thread_name_prefix="refuse-mail")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event
        self._asked = threading.Event()

    def run(self, ready: Callable[[int], None] = lambda port: None) -> None:
        """Serves until `stop`; `ready` is told the port. PartFailed where it cannot be had."""
        asyncio.run(self._run(ready))
        self.threads.shutdown()
        self.asides.shutdown()

    def stop(self) -> None:
        """Takes no more; what is being stored is finished and acknowledged."""
        self._asked.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)

    async def _run(self, ready: Callable[[int], None]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stop, self.slots = asyncio.Event(), asyncio.Semaphore(self.settings.receiving)
        if self._asked.is_set():
            return
        try:
            server = await loop.create_server(
                lambda: _Conversation(self, loop), self.settings.listen, self.port, backlog=128
            )
        except OSError as error:
            reason = f"{self.settings.listen}:{self.port}: {error.strerror}"
            raise PartFailed(part="The mail receiver", reason=reason) from None
        self.port = server.sockets[0].getsockname()[1]
        ready(self.port)
        await self._stop.wait()
        server.close()
        self.stopping = True
        await self._finish()
        for conversation in list(self.open):
            conversation.hang_up()

    async def _finish(self) -> None:
        """Waits until every message that is being taken has its reply, or for STOP_S."""
        end = time.monotonic() + STOP_S
        while any(one.taking for one in self.open) and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def aside(self, ask: Callable[[], Any]) -> Any:
        """Something short that waits for the database, away from the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.asides, ask)


class _Hooks:
    """What aiosmtpd asks at each command."""

    async def handle_EHLO(  # noqa: N802
        self, server: _Conversation, session: Session, envelope: Envelope, name: str,
        responses: list[str],
    ) -> list[str]:  # fmt: skip
        session.host_name = name
        kept = [line for line in responses if not line[4:].startswith(("AUTH", "HELP"))]
        return [*(f"{line[:3]}-{line[4:]}" for line in kept), "250 ENHANCEDSTATUSCODES"]

    async def handle_MAIL(  # noqa: N802
        self, server: _Conversation, session: Session, envelope: Envelope, address: str,
        options: list[str],
    ) -> str:  # fmt: skip
        if server.needs_tls:
            return NEEDS_TLS
        if server.mail.stopping:
            return STOPPING
        envelope.mail_from = address
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: _Conversation, session: Session, envelope: Envelope, address: str,
        options: list[str],
    ) -> str:  # fmt: skip
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return TOO_MANY
        filer = server.mail.filer
        if not filer.takes(_clean(address)):
            off = await server.mail.aside(lambda: filer.refuse("mailbox-not-allowed"))
            return off or NO_MAILBOX
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_VRFY(  # noqa: N802
        self, server: _Conversation, session: Session, envelope: Envelope, address: str
    ) -> str:
        return "252 2.5.0 Send some mail and see"

    async def handle_exception(self, error: Exception) -> str:
        log.error("unexpected %s in a session", type(error).__name__)
        return LATER


_HOOKS = _Hooks()


class _Conversation(SMTP):
    """One connection."""

    line_length_limit = smtp_data.BLOCK
    command_size_limit = COMMAND_BYTES

    def __init__(self, mail: MailServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _HOOKS,
            data_size_limit=mail.settings.max_bytes,
            enable_SMTPUTF8=True,
            hostname=mail.settings.hostname,
            ident="ESMTP",
            tls_context=mail.settings.tls,
            timeout=IDLE_S,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            command_call_limit=COMMANDS,
            loop=loop,
        )
        # aiosmtpd keeps these for all connections together and lets them grow with each EHLO
        self.command_size_limits = collections.defaultdict(lambda: COMMAND_BYTES)
        self.mail = mail
        self.taking = False

    # -- coming and going --------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            refusal = await self._at_the_door()
            if refusal is None:
                await super()._handle_client()
            else:
                await self.push(refusal)
                self.hang_up()
        except ConnectionError:
            pass  # gone
        finally:
            self.mail.open.discard(self)

    async def _at_the_door(self) -> str | None:
        """None to come in, else the line with which a client is sent away."""
        if not self.mail.settings.may_deliver(self.peer):
            await self.mail.aside(lambda: self.mail.filer.refuse("client-not-allowed"))
            return STRANGER
        if self.mail.stopping:
            return STOPPING
        if len(self.mail.open) >= self.mail.settings.connections:
            return FULL
        self.mail.open.add(self)
        return None

    def hang_up(self) -> None:
        """Ends the connection."""
        if self.transport is not None:
            self.transport.close()

    @property
    def peer(self) -> str:
        """The client's address."""
        given = self.session.peer if self.session is not None else None
        return str(given[0]) if isinstance(given, tuple) else ""

    @property
    def needs_tls(self) -> bool:
        """Whether the client has yet to say STARTTLS."""
        return self._tls_protocol is None and self.mail.settings.needs_tls(self.peer)

    # -- a message -----------------------------------------------------------------------

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Takes a message: nothing is promised before it is durable."""
        assert self.envelope is not None
        if await self.check_helo_needed():
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
        elif arg:
            await self.push("501 5.5.4 Syntax: DATA")
        elif self.mail.stopping:
            await self.push(STOPPING)
        elif not await self._turn():
            await self.push(BUSY)
        else:
            self.taking = True
            try:
                await self._take()
            finally:
                self.taking = False
        self.envelope = self._create_envelope()

    async def _turn(self) -> bool:
        """Waits a little for one of the places where a message is stored."""
        try:
            await asyncio.wait_for(self.mail.slots.acquire(), SLOT_S)
        except TimeoutError:
            return False
        return True

    async def _take(self) -> None:
        """Reads the message into a thread that stores it; says what became of it."""
        feed, given = Feed(self.loop), self._given()
        filing = self.loop.run_in_executor(
            self.mail.threads, lambda: self.mail.filer.file(given, feed)
        )

        def over(_: object) -> None:
            feed.abandon()
            self.mail.slots.release()  # also where the sender went away before the reply

        filing.add_done_callback(over)
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._read_into(feed)
        except BaseException:  # cut off, or cancelled because the connection is gone
            feed.fail(CutOffError())
            raise
        await self.push(await asyncio.shield(filing))

    async def _read_into(self, feed: Feed) -> None:
        end, left = time.monotonic() + MESSAGE_S, self.mail.settings.max_bytes
        async for block in smtp_data.blocks(self._reader):
            self._reset_timeout()
            if left >= 0:
                left -= len(block)
                if left < 0:
                    feed.fail(TooLarge(limit_bytes=self.mail.settings.max_bytes))
                else:
                    await feed.put(block)
            elif (left := left - len(block)) < -self.mail.settings.max_bytes:
                await self._hang_up_saying(TOO_LARGE)  # it was told the limit at EHLO
            if time.monotonic() > end:
                await self._hang_up_saying(TOO_SLOW)
        self._reset_timeout()
        if left >= 0:
            feed.end()

    async def _hang_up_saying(self, reply: str) -> None:
        await self.push(reply)
        self.hang_up()
        raise ConnectionResetError

    def _given(self) -> Given:
        assert self.envelope is not None and self.session is not None
        tls = self.session.ssl
        version = tls["ssl_object"].version() if isinstance(tls, dict) and tls else None
        sender = _clean(self.envelope.mail_from or "")
        return Given(
            mail_from="" if sender == "<>" else sender,
            rcpt_to=tuple(_clean(address) for address in self.envelope.rcpt_tos),
            helo=_clean(self.session.host_name or ""),
            client=self.peer,
            tls=version,
        )


def _clean(given: str) -> str:
    """Text without lone surrogates and control characters, which JSON and PostgreSQL refuse."""
    text = given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c for c in text if c.isprintable())[:1000]
