"""Root keys in the transit engine of OpenBao or Vault: AES-256-GCM keys, used over HTTPS.

    wrapped = the engine's own text "vault:v1:…", the context as associated data

Every request may fail; which failure is whose is told here. Knows nothing of the keys directory.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from archive.config import Config
from archive.errors import BadSetting, RootKeyAway, RootKeyUnusable
from archive.hosts import is_this_machine
from archive.keyring.keepers.kept import NotOpened

try:
    import hvac
    import requests
    from hvac import exceptions as said
except ImportError:
    raise RootKeyUnusable(reason="hvac is not installed. Run: pip install 'hvac>=2.4'") from None

T = TypeVar("T")
TIMEOUT_S = (2.0, 5.0)  # to connect, to answer
_AGAIN_S = 1.0  # for so long after a failure nobody else waits for the same one
_PREFIX = "contact-archive-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An engine and what opens it."""

    url: str
    token: str = field(repr=False)
    mount: str
    namespace: str | None
    ca: str | None


def place_of(config: Config) -> Place:
    """The engine of the settings. BadSetting where secrets would leave in the clear, or the EU."""
    split = urlsplit(config.vault_url)
    host = split.hostname or ""
    if split.scheme not in {"http", "https"} or not host or split.username or split.query:
        raise BadSetting(name="ARCHIVE_VAULT_URL", reason="expected https://host:port")
    if not is_this_machine(host):
        if split.scheme != "https":
            raise BadSetting(name="ARCHIVE_VAULT_URL", reason="expected https: keys are sent to it")
        if host not in config.eu_hosts:
            raise BadSetting(name="ARCHIVE_VAULT_URL", reason="its host is not in ARCHIVE_EU_HOSTS")
    return Place(
        url=config.vault_url.rstrip("/"),
        token=config.vault_token,
        mount=config.vault_mount.strip("/"),
        namespace=config.vault_namespace or None,
        ca=config.vault_ca or None,
    )


class TransitKeeper:
    """One transit engine. Root keys have random names in it, each of one version."""

    name = "transit"

    def __init__(self, place: Place, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._client: tuple[int, Any] | None = None
        self._failed: tuple[float, str] | None = None
        self._trying = threading.Lock()

    def make(self) -> dict[str, str]:
        """See Keeper: a key that cannot be exported or backed up in plain text."""
        where = {"mount": self._place.mount, "key": f"{_PREFIX}{os.urandom(8).hex()}"}
        self._ask(
            lambda transit: transit.create_key(
                where["key"],
                key_type="aes256-gcm96",
                exportable=False,
                allow_plaintext_backup=False,
                mount_point=where["mount"],
            ),
        )
        return where

    def encrypt(self, where: Mapping[str, str], ctx: bytes, secret: bytes) -> bytes:
        """See Keeper."""
        answer = self._ask(
            lambda transit: transit.encrypt_data(
                where["key"],
                plaintext=_base64(secret),
                associated_data=_base64(ctx),
                mount_point=where["mount"],
            ),
        )
        return str(answer["data"]["ciphertext"]).encode("ascii")

    def decrypt(self, where: Mapping[str, str], ctx: bytes, wrapped: bytes) -> bytes:
        """See Keeper."""
        try:
            answer = self._ask(
                lambda transit: transit.decrypt_data(
                    where["key"],
                    ciphertext=wrapped.decode("ascii", "replace"),
                    associated_data=_base64(ctx),
                    mount_point=where["mount"],
                )
            )
        except _Refused:
            raise NotOpened from None
        return base64.b64decode(answer["data"]["plaintext"], validate=True)

    def destroy(self, where: Mapping[str, str]) -> None:
        """See Keeper."""
        key, mount = where["key"], where["mount"]
        if not self._has(where):
            return
        self._ask(
            lambda transit: transit.update_key_configuration(
                key, deletion_allowed=True, mount_point=mount
            ),
        )
        self._ask(lambda transit: transit.delete_key(key, mount_point=mount))
        if self._has(where):
            raise RootKeyUnusable(reason=f"{self.describe()} did not delete the key {key}")

    def describe(self) -> str:
        """See Keeper."""
        return f"transit engine {self._place.mount} at {self._place.url}"

    def product(self) -> str:
        """See Keeper. Both say how they are sealed; OpenBao names a commit, Vault a build."""
        found = self._call(lambda client: client.seal_status)
        is_bao = "commit_date" in found and "build_date" not in found
        return f"{'OpenBao' if is_bao else 'another'} {found.get('version', '')}".strip()

    def renew(self) -> None:
        """Prolongs the token where it runs out. RootKeyUnusable as for any other verb."""

        def prolong(client: Any) -> None:
            found = client.auth.token.lookup_self()["data"]
            if found.get("renewable") and found.get("ttl"):
                client.auth.token.renew_self()

        self._call(prolong)

    def runs_out_s(self) -> int | None:
        """Seconds until the token ends for good; None where it does not, or can be renewed."""
        found = self._call(lambda client: client.auth.token.lookup_self()["data"])
        return None if found.get("renewable") or not found.get("ttl") else int(found["ttl"])

    def _has(self, where: Mapping[str, str]) -> bool:
        def read(client: Any) -> bool:
            try:
                client.secrets.transit.read_key(where["key"], mount_point=where["mount"])
            except said.InvalidPath:
                return False
            return True

        return self._call(read)

    def _ask(self, verb: Callable[[Any], Any]) -> Any:
        return self._call(lambda client: verb(client.secrets.transit))

    def _call(self, action: Callable[[Any], T]) -> T:
        """The engine's answer. No message of the client is passed on: it may quote requests."""
        failed = self._failed
        if failed is None:
            return self._answered(action)
        # While it is away one at a time finds out whether it still is; nobody else waits for that.
        if self._monotonic() < failed[0] or not self._trying.acquire(blocking=False):
            raise RootKeyAway(reason=failed[1])
        try:
            return self._answered(action)
        finally:
            self._trying.release()

    def _answered(self, action: Callable[[Any], T]) -> T:
        try:
            answer = action(self._opened())
        except said.InvalidRequest:
            raise _Refused(where=self.describe()) from None
        except said.InvalidPath:
            raise RootKeyUnusable(reason=f"{self.describe()} is not there") from None
        except (said.Forbidden, said.Unauthorized):
            raise self._away("refuses the token (ARCHIVE_VAULT_TOKEN)") from None
        except said.VaultDown:
            raise self._away("is sealed or in standby") from None
        except requests.exceptions.SSLError:
            raise self._away("shows a certificate that is not trusted (ARCHIVE_VAULT_CA)") from None
        except (said.VaultError, requests.exceptions.RequestException, OSError) as error:
            raise self._away(f"does not answer ({type(error).__name__})") from None
        self._failed = None
        return answer

    def _away(self, how: str) -> RootKeyAway:
        reason = f"{self.describe()} {how}"
        self._failed = (self._monotonic() + _AGAIN_S, reason)
        return RootKeyAway(reason=reason)

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                place = self._place
                session = requests.Session()
                session.trust_env = False  # no proxy, no .netrc: keys go to this address alone
                session.verify = place.ca or True
                made = hvac.Client(
                    url=place.url,
                    token=place.token,
                    namespace=place.namespace,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    verify=place.ca or True,
                    session=session,
                )
                self._client = (os.getpid(), made)
            return self._client[1]


class _Refused(RootKeyUnusable):
    """The root key cannot be used: {where} refuses what it was asked for."""


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
