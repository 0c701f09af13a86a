"""Which identity provider the settings name, and what its word counts for here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from archive import permissions
from archive.config import Config
from archive.errors import BadSetting
from archive.hosts import is_this_machine

PREFIX = "ARCHIVE_OIDC_"
RETURN_PATH = "/login/provider/return"  # what is registered at the provider, below the public URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One identity provider, and this archive as a client of it.

    `groups` are claim values with the archive's group each stands for: the first that fits decides.
    `hosts` are those that may be called beside the issuer's own; `here`: the issuer is on this
    machine, so that it may be called without TLS.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    return_url: str
    after_url: str
    groups_claim: str
    groups: tuple[tuple[str, str], ...]
    name_claim: str
    scopes: tuple[str, ...]
    second_factor: frozenset[str]
    hosts: frozenset[str]
    here: bool

    def group_of(self, values: Collection[str]) -> str | None:
        """The archive's group of somebody with these claim values; None: nobody here."""
        return next((group for value, group in self.groups if value in values), None)

    def counts_as_second(self, acr: str, amr: Iterable[str]) -> bool:
        """Whether how somebody logged in there is a second factor by the settings' word."""
        return acr in self.second_factor or not self.second_factor.isdisjoint(amr)


def provider_of(config: Config) -> Provider | None:
    """The provider that the settings name; None: the feature is absent. BadSetting."""
    if not config.oidc_issuer:
        for name in ("oidc_client_id", "oidc_client_secret", "oidc_groups"):
            if getattr(config, name):
                raise _bad("ISSUER", f"ARCHIVE_{name.upper()} needs it")
        return None
    split = urlsplit(config.oidc_issuer)
    if split.scheme not in {"http", "https"} or not split.hostname or split.username is not None:
        raise _bad("ISSUER", "expected https://host/path")
    if split.query or split.fragment:
        raise _bad("ISSUER", "expected an address without ? and #")
    here = is_this_machine(split.hostname)
    if not here and split.scheme != "https":
        raise _bad("ISSUER", "expected https to another machine")
    if not here and split.hostname not in config.eu_hosts:
        raise _bad("ISSUER", "its host is not in ARCHIVE_EU_HOSTS")
    if not config.oidc_client_id:
        raise _bad("CLIENT_ID", "expected the client's id at the provider")
    if len(config.oidc_client_secret) < 16:
        raise _bad("CLIENT_SECRET", "expected at least 16 characters")
    public = urlsplit(config.public_url)
    if public.scheme not in {"http", "https"} or not public.hostname or public.path.strip("/"):
        raise BadSetting(name="ARCHIVE_PUBLIC_URL", reason="expected https://host for the log-in")
    base = f"{public.scheme}://{public.netloc}"
    return Provider(
        issuer=config.oidc_issuer,
        client_id=config.oidc_client_id,
        client_secret=config.oidc_client_secret,
        return_url=base + RETURN_PATH,
        after_url=base + "/login",
        groups_claim=config.oidc_groups_claim,
        groups=_groups(config.oidc_groups),
        name_claim=config.oidc_name_claim,
        scopes=tuple(dict.fromkeys(("openid", *config.oidc_scopes))),
        second_factor=frozenset(config.oidc_second_factor),
        hosts=frozenset({split.hostname, *config.eu_hosts}),
        here=here,
    )


def _groups(written: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for word in written:
        value, _, group = word.rpartition("=")
        if not value:
            raise _bad("GROUPS", "expected CLAIM-VALUE=GROUP …")
        if group not in permissions.GROUPS:
            raise _bad("GROUPS", f"there is no group {group}")
        found.append((value, group))
    if not found:
        raise _bad("GROUPS", "expected at least one CLAIM-VALUE=GROUP, else nobody comes in")
    return tuple(found)


def _bad(name: str, reason: str) -> BadSetting:
    return BadSetting(name=PREFIX + name, reason=reason)
