"""The accounts that `archive fetch-mail` reads, from the file ARCHIVE_IMAP_ACCOUNTS, checked once.

TOML: one `[[account]]` each, with one or more `[[account.folder]]`. docs/sources.md shows it.
"""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.config import PREFIX, Config
from archive.errors import BadSetting
from archive.hosts import is_this_machine
from archive.model import Direction

SETTING = PREFIX + "IMAP_ACCOUNTS"
_ACCOUNT = {
    "source", "host", "port", "tls", "ca_file", "user", "password_file", "mailbox", "mailboxes",
    "delete", "poll_s", "folder",
}  # fmt: skip
_FOLDER = {"name", "direction"}
_PORTS = {"implicit": 993, "starttls": 143, "none": 143}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, and which way the mail in it went (of a mailbox's own folder)."""

    name: str
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One login to one server. Either `mailbox` is what everything in it is filed under, or
    `mailboxes` are what may be archived of a journal's mail. `delete`: what is durable goes.
    """

    source: str
    host: str
    port: int
    tls: str  # "implicit", "starttls" or "none"
    ca_file: str | None
    user: str
    password_file: Path
    mailbox: str | None
    mailboxes: tuple[str, ...]
    folders: tuple[Folder, ...]
    delete: bool
    poll_s: float

    def password(self) -> str:
        """Read anew at every login, so that a changed one needs no restart."""
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise _bad(f"{self.source}: password_file not readable ({error.strerror})") from None

    def context(self) -> ssl.SSLContext:
        """Trusts the system's authorities, or those of `ca_file` alone."""
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError):
            raise _bad(f"{self.source}: ca_file cannot be read") from None


def accounts(config: Config) -> tuple[Account, ...]:
    """Every account; BadSetting says which one lacks what."""
    if not config.imap_accounts:
        raise _bad("expected the file that names the accounts")
    try:
        with Path(config.imap_accounts).open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise _bad(f"file not readable ({error.strerror})") from None
    except ValueError:
        raise _bad("the file is not TOML") from None
    _only(given, {"account"}, "the file")
    found = tuple(
        _account(one, number, config)
        for number, one in enumerate(_tables(given.get("account"), "account"), start=1)
    )
    if len({one.source for one in found}) < len(found):
        raise _bad("two accounts have the same source")
    return found


def _account(given: Mapping[str, Any], number: int, config: Config) -> Account:
    where = f"account {number}"
    _only(given, _ACCOUNT, where)
    host, tls = _text(given, "host", where), given.get("tls", "implicit")
    if tls not in _PORTS:
        raise _bad(f"{where}: tls is implicit, starttls or none")
    here = is_this_machine(host)
    if tls == "none" and not here:
        raise _bad(f"{where}: tls none is for a server on this machine")
    if not here and host not in config.eu_hosts:
        raise _bad(f"{where}: its host is not in {PREFIX}EU_HOSTS")
    mailbox, mailboxes = given.get("mailbox"), given.get("mailboxes", [])
    if (mailbox is None) == (not mailboxes):
        raise _bad(f"{where}: either mailbox, or mailboxes that may be archived of a journal")
    ca_file = given.get("ca_file")
    made = Account(
        source=_text(given, "source", where),
        host=host,
        port=_number(given, "port", _PORTS[tls], where),
        tls=tls,
        ca_file=str(ca_file) if ca_file else None,
        user=_text(given, "user", where),
        password_file=Path(_text(given, "password_file", where)),
        mailbox=_text(given, "mailbox", where).lower() if mailbox else None,
        mailboxes=tuple(_address(word, where) for word in mailboxes),
        folders=tuple(_folder(one, where) for one in _tables(given.get("folder"), where)),
        delete=given.get("delete", False) is True,
        poll_s=_number(given, "poll_s", 60, where),
    )
    made.password()
    made.context()
    return made


def _folder(given: Mapping[str, Any], where: str) -> Folder:
    _only(given, _FOLDER, f"{where}, folder")
    try:
        direction = Direction(given.get("direction", "inbound"))
    except ValueError:
        raise _bad(f"{where}: direction is inbound, outbound or internal") from None
    return Folder(_text(given, "name", where), direction)


def _tables(given: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(g, dict) for g in given):
        raise _bad(f"{where}: expected [[account]] with at least one [[account.folder]] each")
    return given


def _only(given: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in given.keys() - known:
        raise _bad(f"{where}: there is no {name}; known are {', '.join(sorted(known))}")


def _text(given: Mapping[str, Any], name: str, where: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _bad(f"{where}: {name} is needed")
    return value.strip()


def _number(given: Mapping[str, Any], name: str, default: int, where: str) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 65535:
        raise _bad(f"{where}: {name} is a number from 1 to 65535")
    return value


def _address(given: Any, where: str) -> str:
    if not isinstance(given, str) or "@" not in given.strip("@") or "*" in given:
        raise _bad(f"{where}: mailboxes are whole email addresses")
    return given.strip().lower()


def _bad(reason: str) -> BadSetting:
    return BadSetting(name=SETTING, reason=reason)
