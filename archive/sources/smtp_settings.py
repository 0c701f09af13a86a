"""What `archive receive-mail` was told, checked once: who may deliver, for which mailboxes, how."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from archive.config import PREFIX, Config
from archive.errors import BadSetting
from archive.sources.mailboxes import Mailboxes

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """Usable settings. `tls` None: STARTTLS is not offered."""

    listen: str
    port: int
    hostname: str
    source: str
    clients: tuple[IPv4Network | IPv6Network, ...]
    mailboxes: Mailboxes
    journal: Mailboxes
    lines: frozenset[str]  # everything that a recording may be filed under
    max_bytes: int
    connections: int
    receiving: int
    tls: ssl.SSLContext | None
    require_tls: bool

    @classmethod
    def of(cls, config: Config) -> SmtpSettings:
        """Those of the installation; BadSetting names the first one that cannot be used."""
        if not config.smtp_port or config.smtp_port > 65535:
            raise _bad("smtp_port", "expected the port to listen on, 1 to 65535")
        mailboxes = _addresses("smtp_mailboxes", config.smtp_mailboxes)
        if not mailboxes:
            raise _bad("smtp_mailboxes", "expected the mailboxes that may be archived")
        journal = _addresses("smtp_journal", config.smtp_journal)
        made = cls(
            listen=config.smtp_listen,
            port=config.smtp_port,
            hostname=config.smtp_hostname or socket.gethostname(),
            source=config.smtp_source,
            clients=_networks(config.smtp_clients),
            mailboxes=Mailboxes(mailboxes),
            journal=Mailboxes(journal),
            lines=frozenset(mailboxes + journal),
            max_bytes=min(config.smtp_max_bytes, config.max_bytes),
            connections=config.smtp_connections,
            receiving=config.smtp_receiving,
            tls=_tls(config),
            require_tls=config.smtp_require_tls,
        )
        made._check_tls()
        return made

    def may_deliver(self, peer: str) -> bool:
        """Whether a client of this address is on the list."""
        address = _address(peer)
        return address is not None and any(address in network for network in self.clients)

    def needs_tls(self, peer: str) -> bool:
        """Whether a client of this address must use STARTTLS: all but those on this machine."""
        address = _address(peer)
        return self.require_tls and not (address is not None and address.is_loopback)

    def _check_tls(self) -> None:
        """A server that everybody is told to encrypt to, and nobody can, would refuse all mail."""
        if self.tls is None and any(self.needs_tls(str(n.network_address)) for n in self.clients):
            raise _bad(
                "smtp_tls_cert",
                "expected a certificate, because mail servers on other machines may deliver; "
                f"or {PREFIX}SMTP_REQUIRE_TLS=0",
            )


def _address(peer: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _networks(given: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        found = tuple(ipaddress.ip_network(word) for word in given)
    except ValueError:
        raise _bad("smtp_clients", "expected addresses and networks like 192.0.2.0/24") from None
    if not found:
        raise _bad("smtp_clients", "expected the mail servers that may deliver; nobody else may")
    return found


def _addresses(name: str, given: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.lower() for word in given))
    for word in found:
        local, at, domain = word.partition("@")
        if not (local and at and domain) or "@" in domain or "*" in word:
            raise _bad(name, "expected whole email addresses, a@b.example c@b.example")
    return found


def _tls(config: Config) -> ssl.SSLContext | None:
    if not config.smtp_tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.smtp_tls_cert, config.smtp_tls_key or None)
    except (OSError, ssl.SSLError):
        raise _bad("smtp_tls_cert", "certificate or key cannot be read, or do not match") from None
    return context


def _bad(name: str, reason: str) -> BadSetting:
    return BadSetting(name=PREFIX + name.upper(), reason=reason)
