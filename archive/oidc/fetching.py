"""Asking the identity provider: JSON from allowed hosts, small, soon, without redirects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3

from archive.errors import ProviderAway, ProviderRefused
from archive.hosts import is_this_machine
from archive.oidc.settings import Provider

CONNECT_S, READ_S = 5.0, 10.0
MOST_BYTES = 256 * 1024  # of an answer


def get(provider: Provider, url: str) -> dict[str, Any]:
    """The JSON object at an address. ProviderAway, ProviderRefused."""
    status, found = _ask(provider, "GET", url, {"Accept": "application/json"}, None)
    if status != 200:
        raise ProviderAway(reason=f"it answers {status}")
    return found


def post(
    provider: Provider, url: str, headers: Mapping[str, str], body: str
) -> tuple[int, dict[str, Any]]:
    """Sends a form; the status and the JSON object that comes back. ProviderAway."""
    return _ask(provider, "POST", url, headers, body)


def is_allowed(provider: Provider, url: str) -> bool:
    """Whether the archive may call this address: a listed host by TLS, or all on this machine."""
    try:
        split = urlsplit(url)
        host = split.hostname or ""
    except ValueError:
        return False
    if host not in provider.hosts or split.username is not None:
        return False
    # A provider elsewhere never leads to what listens on this machine alone.
    if is_this_machine(host):
        return provider.here and split.scheme in {"http", "https"}
    return split.scheme == "https"


def _ask(
    provider: Provider, method: str, url: str, headers: Mapping[str, str], body: str | None
) -> tuple[int, dict[str, Any]]:
    if not is_allowed(provider, url):
        raise ProviderRefused(reason="it names an address that is not in ARCHIVE_EU_HOSTS")
    pool = urllib3.PoolManager(
        retries=False, timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    )
    try:
        answer = pool.request(
            method, url, headers=dict(headers), body=body, redirect=False, preload_content=False
        )
        read = answer.read(MOST_BYTES + 1)
        answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise ProviderAway(reason=type(error).__name__) from None
    finally:
        pool.clear()
    if answer.status >= 500:
        raise ProviderAway(reason=f"it answers {answer.status}")
    try:
        found = json.loads(read) if len(read) <= MOST_BYTES else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderRefused(reason="its answer is no JSON object")
    return answer.status, found
