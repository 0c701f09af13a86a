"""Mailboxes read over IMAP from a real Dovecot: everything once, nothing changed there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text

from archive.archive import Archive
from archive.errors import BadSetting, StoreUnavailable
from archive.model import Direction
from archive.sources import imap_folder
from archive.sources.imap_accounts import Account, Folder, accounts
from archive.sources.imap_folder import FolderReader
from tests.dovecot import PASSWORD, USER, Dovecot, dovecot
from tests.machine import Machine
from tests.mail_server import BILLING, SERVICE, content, kept, mail, refused
from tests.test_receive_mail import certificate, report

__all__ = ["certificate"]

AT = datetime(2026, 11, 20, 9, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture(scope="module")
def shared() -> Iterator[Dovecot]:
    with dovecot() as server:
        yield server


@pytest.fixture
def server(shared: Dovecot) -> Iterator[Dovecot]:
    """The server with an empty INBOX and no other folder."""
    yield shared
    with shared.client() as client:
        for _, _, name in client.list_folders():
            if name != "INBOX":
                client.delete_folder(name)
        client.select_folder("INBOX")
        client.delete_messages(client.search())
        client.expunge()


@pytest.fixture
def account(server: Dovecot, tmp_path: Path) -> Account:
    return account_of(server, tmp_path)


def account_of(server: Dovecot, folder: Path) -> Account:
    (folder / "password").write_text(PASSWORD + "\n", "utf-8")
    return Account(
        source="imap",
        host="127.0.0.1",
        port=server.port,
        tls="none",
        ca_file=None,
        user=USER,
        password_file=folder / "password",
        mailbox=SERVICE,
        mailboxes=(),
        folders=(Folder("INBOX", Direction.INBOUND),),
        delete=False,
        poll_s=60,
    )


def put(server: Dovecot, raw: bytes, folder: str = "INBOX", at: datetime = AT) -> None:
    with server.client() as client:
        if not client.folder_exists(folder):
            client.create_folder(folder)
        client.append(folder, raw, msg_time=at)


def reader(archive: Archive, account: Account, name: str = "INBOX") -> FolderReader:
    folder = next((f for f in account.folders if f.name == name), Folder(name, Direction.OUTBOUND))
    return FolderReader(archive, account, folder)


def test_mail_is_kept_byte_for_byte_under_the_time_the_server_got_it(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    put(server, mail())
    assert reader(archive, account).once() == 1
    [one] = kept(archive)
    assert content(archive, one) == mail()
    assert one.occurred_at == AT.astimezone(UTC)
    assert (one.line, one.source, one.direction) == (SERVICE, "imap", Direction.INBOUND)


def test_nothing_is_changed_on_the_server_unless_told(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    put(server, mail())
    put(server, mail("toinen"))
    reader(archive, account).once()
    with server.client() as client:
        client.select_folder("INBOX", readonly=True)
        assert list(client.get_flags(client.search()).values()) == [(b"\\Recent",)] * 2
    with server.client() as client:  # what somebody else marked is not ours to take away
        client.select_folder("INBOX")
        client.delete_messages([client.search()[0]])
    put(server, mail("kolmas"))
    reader(archive, replace(account, delete=True)).once()
    with server.client() as client:
        client.select_folder("INBOX", readonly=True)
        assert len(client.search()) == 2
    assert len(kept(archive)) == 3


def test_it_goes_on_where_it_stopped_and_asks_for_nothing_twice(
    archive: Archive, server: Dovecot, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        put(server, mail(str(n)))
    asked: list[int] = []
    plain = FolderReader._one

    def one(self: FolderReader, client: object, uid: int) -> int:
        asked.append(uid)
        if len(asked) == 3:
            raise StoreUnavailable()
        return plain(self, client, uid)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderReader, "_one", one)
    with pytest.raises(StoreUnavailable):
        reader(archive, account).once()
    assert len(kept(archive)) == 2
    assert reader(archive, account).once() == 3
    assert reader(archive, account).once() == 0
    first = asked[0]
    assert asked == [first, first + 1, first + 2, first + 2, first + 3, first + 4]


def test_a_folder_that_is_numbered_anew_is_read_again_and_doubles_nothing(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    with server.client() as client:
        client.create_folder("Asiakkaat")
    for n in range(3):
        put(server, mail(str(n)), "Asiakkaat")
    assert reader(archive, account, "Asiakkaat").once() == 3
    with server.client() as client:
        client.delete_folder("Asiakkaat")
    time.sleep(1.1)  # Dovecot's numbering is a time in seconds
    for n in range(2, -1, -1):
        put(server, mail(str(n)), "Asiakkaat")
    put(server, mail("uusi"), "Asiakkaat")
    assert reader(archive, account, "Asiakkaat").once() == 1
    assert len(kept(archive)) == 4


def test_a_lost_place_loses_nothing_and_doubles_nothing(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    for n in range(3):
        put(server, mail(str(n)))
    reader(archive, account).once()
    with archive.engine.begin() as connection:
        connection.execute(text("delete from mail_folder"))
    assert reader(archive, account).once() == 0
    assert len(kept(archive)) == 3


def test_what_is_more_than_a_year_old_stays_there_and_is_counted(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    put(server, mail("vanha"), at=AT - timedelta(days=366))
    put(server, mail("uusi"))
    assert reader(archive, replace(account, delete=True)).once() == 1
    assert refused(archive) == {"older-than-retention": 1}
    with server.client() as client:
        client.select_folder("INBOX", readonly=True)
        assert len(client.search()) == 1


def test_of_a_journal_only_the_listed_mailboxes_are_kept(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    journal = replace(account, mailbox=None, mailboxes=(SERVICE, BILLING), delete=True)
    put(server, report(mail(), f"Sender: a@b.example\r\nTo: {SERVICE}\r\nBcc: {BILLING}\r\n"))
    put(server, mail(sender="matti@yhtio.example", to="liisa@yhtio.example"))
    assert reader(archive, journal).once() == 1
    assert [one.line for one in kept(archive)] == [BILLING, SERVICE]
    assert refused(archive) == {"no-archived-mailbox": 1}


def test_a_large_message_comes_in_pieces_and_whole(
    archive: Archive, server: Dovecot, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_folder, "PIECE", 65536)
    large = mail(body="Pitkä viesti.\r\n" * 30_000)
    even = b"Subject: tasan\r\n\r\n" + b"x" * (65536 * 2 - 18 - 2) + b"\r\n"
    assert len(even) == 65536 * 2
    for raw in (large, even):
        put(server, raw)
    assert reader(archive, account).once() == 2
    assert {content(archive, one) for one in kept(archive)} == {large, even}


@contextmanager
def watching(archive: Archive, account: Account) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=reader(archive, account).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def eventually(true: Callable[[], bool], limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_new_mail_is_told_by_the_server_at_once(
    archive: Archive, server: Dovecot, account: Account
) -> None:
    with watching(archive, replace(account, poll_s=600)):
        put(server, mail("ensimmäinen"))
        eventually(lambda: len(kept(archive)) == 1)
        put(server, mail("toinen"))
        eventually(lambda: len(kept(archive)) == 2, limit_s=8)


def test_a_server_or_store_that_was_away_is_waited_for(
    archive: Archive,
    account: Account,
    server: Dovecot,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imap_folder, "WAITS_S", (0.2,))
    with machine.store_away(), watching(archive, account):
        put(server, mail("ensimmäinen"))
        time.sleep(0.5)
        assert kept(archive) == []
    with watching(archive, account):
        eventually(lambda: len(kept(archive)) == 1)
        server.stop()
        time.sleep(0.3)
        server.start()
        put(server, mail("toinen"))
        eventually(lambda: len(kept(archive)) == 2)


def test_it_reads_through_starttls(
    archive: Archive, certificate: tuple[str, str], tmp_path: Path
) -> None:
    chain, key = certificate
    with dovecot(chain, key) as server:
        account = replace(account_of(server, tmp_path), tls="starttls", ca_file=chain)
        put(server, mail())
        assert reader(archive, account).once() == 1


GOOD = """
[[account]]
source = "imap-palvelu"
host = "localhost"
user = "palvelu@yhtio.example"
password_file = "{password}"
mailbox = "Palvelu@yhtio.example"
[[account.folder]]
name = "INBOX"
[[account.folder]]
name = "Lähetetyt"
direction = "outbound"
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("localhost", "imap.example.com", "EU_HOSTS"),
        ("mailbox =", "mailboks =", "there is no mailboks"),
        ("source =", "mailboxes = ['x@y.example']\nsource =", "either mailbox"),
        ("outbound", "sideways", "direction"),
        ("INBOX", "", "name is needed"),
        ("{password}", "/nowhere", "password_file not readable"),
        ("[[account.folder]]", "[[account.folders]]", "there is no folders"),
        ("source =", "source", "not TOML"),
        ("source =", "tls = 'maybe'\nsource =", "tls is"),
    ],
)
def test_an_account_that_cannot_be_used_stops_the_start_and_says_why(
    archive: Archive, tmp_path: Path, old: str, new: str, says: str
) -> None:
    (tmp_path / "password").write_text("x", "utf-8")
    file = tmp_path / "accounts.toml"
    config = replace(archive.config, imap_accounts=str(file))
    file.write_text(GOOD.replace("{password}", str(tmp_path / "password")), "utf-8")
    [one] = accounts(config)
    assert (one.mailbox, one.port, one.delete) == (SERVICE, 993, False)
    assert one.folders == (
        Folder("INBOX", Direction.INBOUND),
        Folder("Lähetetyt", Direction.OUTBOUND),
    )
    broken = GOOD.replace(old, new).replace("{password}", str(tmp_path / "password"))
    file.write_text(broken, "utf-8")
    with pytest.raises(BadSetting, match=says):
        accounts(config)
