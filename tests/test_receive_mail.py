"""Mail over SMTP: acknowledged when durable, kept as it came, from and for whom is listed."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archive import rebuild
from archive.archive import Archive, complete_descriptor
from archive.errors import BadSetting
from archive.model import Direction, Query
from archive.sources import smtp_server
from archive.worker import until_idle
from tests.machine import Machine
from tests.mail_server import (
    BILLING,
    CUSTOMER,
    JOURNAL,
    SERVICE,
    client,
    content,
    kept,
    mail,
    receiving,
    refused,
    send,
    settings_of,
)

HOSTILE = (
    b"No header here\r\n.. two dots\r\n...\r\nbare\nline\n.\nfeeds\r.\r\x00\xff\xfe\r\n"
    + b"x" * 200_000
    + b"\r\n\r\n\r\n.leading\r\n"
)


def test_a_message_is_kept_byte_for_byte_with_its_envelope_sealed(archive: Archive) -> None:
    with receiving(archive) as server:
        code, said = send(server, mail(), to=[SERVICE], sender="bounces+1@mta.example")
    assert code == 250
    [one] = kept(archive)
    assert str(one.id).encode() in said
    assert content(archive, one) == mail()
    assert (one.line, one.direction, one.source) == (SERVICE, Direction.INBOUND, "smtp")
    descriptor = archive.vault.descriptor(one)
    assert descriptor.envelope == {
        "protocol": "smtp",
        "mail_from": "bounces+1@mta.example",
        "rcpt_to": [SERVICE],
        "helo": "mta.example",
        "client": "127.0.0.1",
    }
    assert descriptor.occurred_at == archive.now()  # a Date: header never decides


@pytest.mark.parametrize("limit", [4096, smtp_server.smtp_data.BLOCK])
def test_every_byte_passes_whatever_the_lines_are_like(
    archive: Archive, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [HOSTILE, b"", b"\r\n", b"\r\n.\r\n", b"x\r\n" * 100_000]
    monkeypatch.setattr(smtp_server._Conversation, "line_length_limit", limit)
    with receiving(archive) as server, client(server) as smtp:
        for raw in messages:
            smtp.ehlo()
            smtp.mail(CUSTOMER)
            smtp.rcpt(SERVICE)
            assert smtp.docmd("DATA")[0] == 354
            stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
            smtp.send(stuffed + b".\r\n")  # smtplib's own quoting would mend bare line feeds
            assert smtp.getreply()[0] == 250
        assert smtp.noop()[0] == 250
    assert {content(archive, one) for one in kept(archive)} == set(messages)


def test_a_dot_between_bare_line_feeds_does_not_end_a_message(archive: Archive) -> None:
    smuggled = b"Subject: one\r\n\r\nx\n.\nMAIL FROM:<a@b.example>\r\nx\r.\r\n.\n\r\n"
    with receiving(archive) as server:
        assert send(server, mail(), to=[SERVICE])[0] == 250
        with client(server) as smtp:
            smtp.ehlo()
            smtp.mail(CUSTOMER)
            smtp.rcpt(SERVICE)
            smtp.docmd("DATA")
            smtp.send(smuggled.replace(b"\r\n.\n", b"\r\n..\n") + b".\r\n")
            assert smtp.getreply()[0] == 250
    assert {content(archive, one) for one in kept(archive)} == {mail(), smuggled}


def test_the_same_message_again_makes_no_duplicate_and_for_others_is_another(
    archive: Archive,
) -> None:
    with receiving(archive) as server:
        first = send(server, mail(), to=[SERVICE])
        again = send(server, mail(), to=[SERVICE])
        assert first == again
        send(server, mail(), to=[SERVICE], sender="other@example.org")
        assert len(kept(archive)) == 2


def test_a_rebuilt_catalogue_knows_a_message_that_is_delivered_again(archive: Archive) -> None:
    with receiving(archive) as server:
        first = send(server, mail(), to=[SERVICE, BILLING])
        with archive.engine.begin() as connection:
            connection.exec_driver_sql("delete from recording")
        rebuild.catalogue_from_envelopes(
            archive.vault,
            archive.engine,
            complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
            progress=lambda done: None,
            now=archive.now(),
        )
        assert send(server, mail(), to=[SERVICE, BILLING]) == first
    assert len(kept(archive)) == 2


def test_a_message_for_two_mailboxes_is_found_by_who_sees_only_one(archive: Archive) -> None:
    with receiving(archive) as server:
        assert send(server, mail(), to=[BILLING, "Palvelu+viat@YHTIO.example"])[0] == 250
    one, other = kept(archive)
    assert (one.line, other.line) == (BILLING, SERVICE)
    assert content(archive, one) == content(archive, other) == mail()
    with receiving(archive) as server:  # what came back from its sealed copy is known too
        send(server, mail(), to=[BILLING, "Palvelu+viat@YHTIO.example"])
    assert len(kept(archive)) == 2


def test_only_listed_mailboxes_are_taken_and_the_others_are_counted(archive: Archive) -> None:
    with receiving(archive) as server, client(server) as smtp:
        smtp.ehlo()
        smtp.mail(CUSTOMER)
        assert smtp.rcpt("matti.virtanen@yhtio.example")[0] == 550
        assert smtp.rcpt(f"{SERVICE}.evil.example")[0] == 550
        assert smtp.data.__self__.docmd("DATA")[0] == 503
    assert kept(archive) == []
    assert refused(archive) == {"mailbox-not-allowed": 2}


def test_a_client_that_is_not_listed_is_sent_away_and_counted(archive: Archive) -> None:
    with receiving(archive) as server:
        server.settings = replace(server.settings, clients=settings_clients("192.0.2.0/24"))
        with pytest.raises(smtplib.SMTPConnectError) as refusal:
            client(server)
        assert refusal.value.smtp_code == 554
    assert refused(archive) == {"client-not-allowed": 1}


def settings_clients(*networks: str) -> Any:
    from archive.sources.smtp_settings import _networks

    return _networks(networks)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smtp_clients": ()}, "ARCHIVE_SMTP_CLIENTS"),
        ({"smtp_clients": ("mta.example",)}, "ARCHIVE_SMTP_CLIENTS"),
        ({"smtp_clients": ("192.0.2.7",)}, "ARCHIVE_SMTP_TLS_CERT"),
        ({"smtp_mailboxes": ()}, "ARCHIVE_SMTP_MAILBOXES"),
        ({"smtp_mailboxes": ("*@yhtio.example",)}, "ARCHIVE_SMTP_MAILBOXES"),
        ({"smtp_journal": ("journal",)}, "ARCHIVE_SMTP_JOURNAL"),
        ({"smtp_tls_cert": "/nowhere"}, "ARCHIVE_SMTP_TLS_CERT"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_by_its_name(
    archive: Archive, wrong: dict[str, Any], named: str
) -> None:
    from archive.sources.smtp_settings import SmtpSettings

    good = replace(
        archive.config, smtp_port=25, smtp_clients=("127.0.0.1",), smtp_mailboxes=(SERVICE,)
    )
    SmtpSettings.of(good)
    with pytest.raises(BadSetting, match=named):
        SmtpSettings.of(replace(good, **wrong))


# -- journals --------------------------------------------------------------------------


def report(inner: bytes, lines: str) -> bytes:
    """A journal report as Exchange and Microsoft 365 write it."""
    head = (
        f"From: Microsoft Outlook <outlook@yhtio.example>\r\nTo: {JOURNAL}\r\n"
        "Subject: Sahkolasku\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="_j_"\r\n\r\n'
        '--_j_\r\nContent-Type: text/plain; charset="us-ascii"\r\n'
        f"Content-Transfer-Encoding: 7bit\r\n\r\n{lines}\r\n"
        "--_j_\r\nContent-Type: message/rfc822\r\n\r\n"
    )
    return head.encode() + inner + b"\r\n--_j_--\r\n"


def test_a_journal_report_is_kept_whole_and_found_by_the_message_in_it(
    archive: Archive, machine: Machine
) -> None:
    hidden = "piilossa@example.net"
    lines = (
        f"Sender: {CUSTOMER}\r\nSubject: Sahkolasku\r\nMessage-Id: <1@example.org>\r\n"
        f"To: {SERVICE}, Expanded: kaikki@yhtio.example\r\nBcc: {hidden}\r\n"
    )
    raw = report(mail(), lines)
    with receiving(archive) as server:
        assert send(server, raw, to=[JOURNAL], sender="outlook@yhtio.example")[0] == 250
    [one] = kept(archive)
    assert (one.line, one.direction) == (SERVICE, Direction.INBOUND)
    assert content(archive, one) == raw
    envelope = archive.vault.descriptor(one).envelope or {}
    assert envelope["journal"] == {
        "sender": CUSTOMER,
        "to": [SERVICE],
        "bcc": [hidden],
        "via": ["kaikki@yhtio.example"],
    }
    until_idle(archive)
    description = archive.vault.description(kept(archive)[0])
    assert description is not None and description.mail is not None
    assert description.mail.subject == "Sähkölasku"
    assert description.mail.from_ == (CUSTOMER,)
    assert description.mail.bcc == (hidden,)
    assert "Laskuni on väärin." in description.text
    for query in (Query(email=CUSTOMER), Query(email=hidden), Query(q="lasku")):
        assert [hit.id for hit in archive.index.find(query, limit=5)] == [one.id]


def test_a_journal_keeps_what_an_archived_mailbox_sent_and_drops_what_is_nobodys(
    archive: Archive,
) -> None:
    sent = report(mail(sender=SERVICE, to=CUSTOMER), f"Sender: {SERVICE}\r\nTo: {CUSTOMER}\r\n")
    among = report(mail(), f"Sender: {SERVICE}\r\nRecipient: {BILLING}\r\n")
    private = report(
        mail(sender="matti@yhtio.example", to="liisa@yhtio.example"),
        "Sender: matti@yhtio.example\r\nRecipient: liisa@yhtio.example\r\n",
    )
    with receiving(archive) as server:
        for raw in (sent, among, private):
            assert send(server, raw, to=[JOURNAL])[0] == 250
    assert {(one.line, one.direction) for one in kept(archive)} == {
        (BILLING, Direction.INTERNAL),
        (SERVICE, Direction.INTERNAL),
        (SERVICE, Direction.OUTBOUND),
    }
    assert refused(archive) == {"no-archived-mailbox": 1}


def test_a_header_that_calls_itself_a_report_hides_no_mail_from_the_archive(
    archive: Archive,
) -> None:
    forged = report(mail(), "Sender: a@b.example\r\nRecipient: c@d.example\r\n").replace(
        JOURNAL.encode(), SERVICE.encode()
    )
    with receiving(archive) as server:
        send(server, forged, to=[JOURNAL])
    assert [one.line for one in kept(archive)] == [SERVICE]


@pytest.mark.parametrize(
    ("raw", "to", "line", "direction"),
    [
        (mail(to="x@y.example", X_Original_To=SERVICE), JOURNAL, SERVICE, Direction.INBOUND),
        (mail(to="x@y.example", Delivered_To=BILLING), JOURNAL, BILLING, Direction.INBOUND),
        (mail(sender=SERVICE, to=CUSTOMER), JOURNAL, SERVICE, Direction.OUTBOUND),
        (
            mail(to="undisclosed@x.example"),
            "journal+laskutus=yhtio.example@archive.example",
            BILLING,
            Direction.INBOUND,
        ),
        (b"nothing that names anybody\r\n", JOURNAL, JOURNAL, Direction.INBOUND),
    ],
    ids=["X-Original-To", "Delivered-To", "sent", "named after a plus", "unknown"],
)
def test_a_copy_of_postfix_is_filed_where_it_belongs(
    archive: Archive, raw: bytes, to: str, line: str, direction: Direction
) -> None:
    with receiving(archive) as server:
        assert send(server, raw, to=[to])[0] == 250
    assert [(one.line, one.direction) for one in kept(archive)] == [(line, direction)]


# -- limits ----------------------------------------------------------------------------


def test_the_size_limit_is_announced_and_enforced(archive: Archive) -> None:
    big = b"Subject: x\r\n\r\n" + b"y" * 78 * 5000 + b"\r\n"
    with receiving(archive, smtp_max_bytes=300_000) as server:
        with client(server) as smtp:
            smtp.ehlo()
            assert smtp.esmtp_features["size"] == "300000"
            assert "auth" not in smtp.esmtp_features
            assert smtp.mail(CUSTOMER, ["SIZE=300001"])[0] == 552
        assert send(server, big, to=[SERVICE])[0] == 552
        assert send(server, big[:299_000], to=[SERVICE])[0] == 250
        with client(server) as smtp:  # who goes on and on is cut off
            smtp.ehlo()
            smtp.mail(CUSTOMER)
            smtp.rcpt(SERVICE)
            smtp.docmd("DATA")
            with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
                for _ in range(10_000):
                    smtp.send(b"z" * 10_000)
    assert len(kept(archive)) == 1
    assert refused(archive)["too-large"] == 2


def test_more_connections_or_messages_than_allowed_are_put_off(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_server, "SLOT_S", 0.2)
    with receiving(archive, smtp_connections=2, smtp_receiving=1) as server:
        with client(server) as slow, client(server) as other:
            with pytest.raises(smtplib.SMTPConnectError) as refusal:
                client(server)
            assert refusal.value.smtp_code == 421
            for smtp in (slow, other):
                smtp.ehlo()
                smtp.mail(CUSTOMER)
                smtp.rcpt(SERVICE)
            assert slow.docmd("DATA")[0] == 354
            assert other.docmd("DATA")[0] == 451
            slow.send(mail() + b".\r\n")
            assert slow.getreply()[0] == 250
        assert send(server, mail("toinen"), to=[SERVICE])[0] == 250  # the place is free again
    assert len(kept(archive)) == 2


def test_a_store_or_catalogue_that_is_away_puts_the_sender_off_and_later_all_is_well(
    archive: Archive, machine: Machine
) -> None:
    with receiving(archive) as server:
        with machine.store_away():
            assert send(server, mail(), to=[SERVICE])[0] == 451
            assert kept(archive) == []
        assert send(server, mail(), to=[SERVICE])[0] == 250
    assert len(kept(archive)) == 1


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing(archive: Archive) -> None:
    with receiving(archive, smtp_receiving=1) as server:
        for half in (b"Subject: half\r\n\r\n", b"x" * 9_000_000):
            smtp = client(server)
            smtp.ehlo()
            smtp.mail(CUSTOMER)
            smtp.rcpt(SERVICE)
            smtp.docmd("DATA")
            smtp.send(half)
            smtp.close()
        assert send(server, mail(), to=[SERVICE])[0] == 250
    assert len(kept(archive)) == 1
    assert len(list(archive.store.list("recordings/"))) == 1


def test_a_message_being_taken_is_acknowledged_when_the_server_is_stopped(
    archive: Archive,
) -> None:
    with receiving(archive) as server, client(server) as smtp:
        smtp.ehlo()
        smtp.mail(CUSTOMER)
        smtp.rcpt(SERVICE)
        smtp.docmd("DATA")
        smtp.send(mail())
        server.stop()
        time.sleep(0.3)
        smtp.send(b".\r\n")
        assert smtp.getreply()[0] == 250
    assert len(kept(archive)) == 1


def test_hostile_sessions_end_in_an_error_line_and_the_next_one_is_served(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    hello = b"EHLO x\r\nMAIL FROM:<" + CUSTOMER.encode() + b">\r\n"
    attempts = [
        b"\xff\xfe\x00\r\n" * 20,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        b"A" * 300_000,
        b"EHLO " + b"x" * 70_000 + b"\r\n",
        hello + b"RCPT TO:<" + b"a" * 5000 + b"@b.example>\r\n",
        hello + b"RCPT TO:<\xff\xfe@\x00>\r\n",
        hello + b"RCPT TO:" + b"<" * 3000 + b"\r\n",
        hello + b'RCPT TO:<"' + b'\\"' * 1000 + b"\r\n",
        b"AUTH PLAIN AGEAYg==\r\nSTARTTLS\r\nBDAT 5\r\nVRFY root\r\nEXPN all\r\n",
        b"DATA\r\nRSET\r\nMAIL FROM:<>\r\nQUIT x\r\n",
        b"EHLO x\r\n" * 50,
    ]
    with receiving(archive) as server:
        for attempt in attempts:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
                raw.sendall(attempt + b"QUIT\r\n")
                raw.shutdown(socket.SHUT_WR)
                answer = b""
                with_reset = False
                try:
                    while block := raw.recv(65536):
                        answer += block
                except ConnectionResetError:
                    with_reset = True
                assert answer.startswith(b"220 ") or with_reset
                assert not re.search(rb"(?m)^(354|250 2\.0\.0)", answer), attempt[:40]
        assert send(server, mail(), to=[SERVICE])[0] == 250
    assert len(kept(archive)) == 1
    assert "example.org" not in caplog.text


# -- TLS -------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*made, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(chain)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return str(chain), str(key)


def test_mail_comes_through_starttls_and_from_elsewhere_only_so(
    archive: Archive, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = certificate
    with receiving(archive, smtp_tls_cert=chain, smtp_tls_key=key) as server:
        monkeypatch.setattr(type(server.settings), "needs_tls", lambda self, peer: True)
        with client(server) as smtp:
            smtp.ehlo()
            assert "starttls" in smtp.esmtp_features
            assert smtp.mail(CUSTOMER)[0] == 530
            smtp.starttls(context=ssl.create_default_context(cafile=chain))
            smtp.ehlo()
            assert "auth" not in smtp.esmtp_features
            smtp.mail(CUSTOMER)
            smtp.rcpt(SERVICE)
            assert smtp.data(mail())[0] == 250
    [one] = kept(archive)
    assert (archive.vault.descriptor(one).envelope or {})["tls"].startswith("TLSv1.")


def test_many_senders_at_once_lose_nothing(archive: Archive) -> None:
    with receiving(archive, smtp_receiving=4) as server:

        def deliver(number: int) -> None:
            with client(server) as smtp:
                for n in range(10):
                    raw = mail(f"viesti {number}-{n}")
                    smtp.sendmail(CUSTOMER, [SERVICE], raw)

        senders = [threading.Thread(target=deliver, args=(n,)) for n in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
    assert len(kept(archive)) == 80


def test_settings_say_who_needs_tls(archive: Archive) -> None:
    settings = settings_of(archive)
    assert settings.may_deliver("::ffff:127.0.0.1")
    assert not settings.may_deliver("::1")
    assert not settings.needs_tls("127.0.0.1")
    assert settings.needs_tls("192.0.2.1")
