"""What a host's name or address says of where it is. Asks no name server."""

from __future__ import annotations

from ipaddress import ip_address


def is_this_machine(host: str) -> bool:
    """Whether what is sent there does not leave the machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
