"""Fetching from hosts that an administrator listed, and from nowhere else.

https alone, to the address that was checked, without redirects, within limits of size and time.
Knows nothing of what is fetched but its SHA-512.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from archive.errors import BadSetting, FetchRefused

CONNECT_S = 5
WHOLE_S = 300.0
SETTING = "ARCHIVE_VCON_HOSTS"


@dataclass(frozen=True, slots=True)
class Host:
    """One listed host. Without a network only addresses of the public Internet will do."""

    name: str
    port: int
    network: IPv4Network | IPv6Network | None

    def takes(self, address: str) -> bool:
        """Whether the host may be at this address."""
        found = ip_address(address.partition("%")[0])
        return found in self.network if self.network is not None else found.is_global


def hosts_of(listed: Sequence[str]) -> tuple[Host, ...]:
    """`host`, `host:port`, `host=network` or `host:port=network`; BadSetting."""
    found = []
    for one in listed:
        name, _, network = one.partition("=")
        name, _, port = name.partition(":")
        try:
            found.append(
                Host(name.lower(), int(port or 443), ip_network(network) if network else None)
            )
        except ValueError:
            raise BadSetting(name=SETTING, reason="expected host[:port][=network]") from None
    return tuple(found)


@contextmanager
def fetched(
    url: str, hosts: Sequence[Host], *, sha512: bytes, most: int, whole_s: float = WHOLE_S
) -> Iterator[Checked]:
    """The content at an address of a listed host, to be read; FetchRefused.

    What is read raises FetchRefused at its end where its SHA-512 is another one, and on the way
    where it is longer than `most` bytes or takes longer than `whole_s` seconds.
    """
    host, path = _host_of(url, hosts)
    connection = _Pinned(host)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "identity"})
        with connection.getresponse() as answer:
            if answer.status != 200:
                raise FetchRefused(reason=f"the host answers {answer.status}")
            yield Checked(answer, sha512=sha512, most=most, until=time.monotonic() + whole_s)
    except (OSError, http.client.HTTPException):
        raise FetchRefused(reason="the host does not answer as it should") from None
    finally:
        connection.close()


def _host_of(url: str, hosts: Sequence[Host]) -> tuple[Host, str]:
    try:
        split = urlsplit(url)
        port = split.port or 443
    except ValueError:
        raise FetchRefused(reason="not an address") from None
    if split.scheme != "https" or split.username is not None or split.password is not None:
        raise FetchRefused(reason="not https, or with a user in it")
    for host in hosts:
        if (split.hostname or "").lower() == host.name and port == host.port:
            path = (split.path or "/") + (f"?{split.query}" if split.query else "")
            if not path.isascii() or not path.isprintable() or " " in path:
                raise FetchRefused(reason="not an address")
            return host, path
    raise FetchRefused(reason=f"its host is not in {SETTING}")


class _Pinned(http.client.HTTPSConnection):
    """Connects to the address that was checked, whatever a second look-up would say."""

    def __init__(self, host: Host) -> None:
        self._secure = ssl.create_default_context()
        super().__init__(host.name, host.port, timeout=CONNECT_S, context=self._secure)
        self._listed = host

    def connect(self) -> None:
        """Every address of the name has to be one that the host may be at."""
        found = socket.getaddrinfo(self._listed.name, self._listed.port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        if not addresses or not all(self._listed.takes(address) for address in addresses):
            raise FetchRefused(reason="its host is at an address where it may not be")
        plain = socket.create_connection((addresses[0], self._listed.port), timeout=CONNECT_S)
        self.sock = self._secure.wrap_socket(plain, server_hostname=self._listed.name)


class Checked:
    """Reads an answer: at least one byte until the end; see `fetched`."""

    def __init__(
        self, answer: http.client.HTTPResponse, *, sha512: bytes, most: int, until: float
    ) -> None:
        self._answer, self._wanted, self._left, self._until = answer, sha512, most, until
        self._hash = hashlib.sha512()

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes. FetchRefused."""
        block = self._answer.read(64 * 1024 if n < 0 else min(n, 64 * 1024))
        self._left -= len(block)
        if self._left < 0:
            raise FetchRefused(reason="too large")
        if time.monotonic() > self._until:
            raise FetchRefused(reason="too slow")
        self._hash.update(block)
        if not block and not hmac.compare_digest(self._hash.digest(), self._wanted):
            raise FetchRefused(reason="the content is not what the vCon says (SHA-512)")
        return block
