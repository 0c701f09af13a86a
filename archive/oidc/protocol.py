"""The authorization code flow: where somebody is sent, and who it is that comes back.

Everything that comes back is checked: state, issuer, the code with its PKCE verifier, and of the
id token signature, algorithm, issuer, audience, authorized party, times and nonce.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from archive.errors import ProviderRefused
from archive.oidc import fetching
from archive.oidc.begun import Begun
from archive.oidc.settings import Provider

ALGORITHMS = (  # asymmetric ones alone: never "none", never a secret both sides know
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
)  # fmt: skip
KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
KEPT = timedelta(hours=1)  # how long the provider's description and keys are remembered
AGAIN = timedelta(minutes=1)  # how soon its keys are asked for again for one that is not known
LEEWAY = timedelta(seconds=30)  # clocks differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Who the provider says it is. `strong`: by what the settings call a second factor."""

    issuer: str
    subject: str
    name: str
    group: str | None
    strong: bool
    proved_at: float | None  # when who it is was proved there, seconds since 1970


@dataclass(frozen=True, slots=True)
class _Remembered:
    at: datetime
    described: dict[str, Any]
    keys: KeySet


class Flow:
    """The log-ins at one provider. Thread-safe; remembers the provider's description and keys."""

    def __init__(self, provider: Provider, *, now: Callable[[], datetime]) -> None:
        self.provider = provider
        self._now = now
        self._lock = threading.Lock()
        self._remembered: _Remembered | None = None

    def address(self, begun: Begun) -> str:
        """Where the browser is sent. ProviderAway, ProviderRefused."""
        described = self._known().described
        anew = {"prompt": "login", "max_age": "0"} if begun.proof else {}
        address: str = prepare_grant_uri(
            self._page(described, "authorization_endpoint"),
            self.provider.client_id,
            "code",
            redirect_uri=self.provider.return_url,
            scope=" ".join(self.provider.scopes),
            state=begun.state,
            nonce=begun.nonce,
            code_challenge=create_s256_code_challenge(begun.verifier),
            code_challenge_method="S256",
            **anew,
        )
        return address

    def log_out_address(self) -> str | None:
        """Where the browser is sent to end the session there too; None if it offers none.

        No id token is kept, so the provider may ask the person before it does.
        """
        described = self._known().described
        if not described.get("end_session_endpoint"):
            return None
        address: str = add_params_to_uri(
            self._page(described, "end_session_endpoint"),
            [
                ("client_id", self.provider.client_id),
                ("post_logout_redirect_uri", self.provider.after_url),
            ],
        )
        return address

    def finish(self, begun: Begun, given: Mapping[str, str]) -> Known:
        """Who came back with these values in the address. ProviderRefused, ProviderAway."""
        if not hmac.compare_digest(given.get("state", "").encode(), begun.state.encode()):
            raise ProviderRefused(reason="state")
        described = self._known().described
        told = given.get("iss")
        if told is None and described.get("authorization_response_iss_parameter_supported") is True:
            raise ProviderRefused(reason="iss")
        if told is not None and told != self.provider.issuer:
            raise ProviderRefused(reason="iss")
        if "error" in given or not given.get("code"):
            raise ProviderRefused(reason="no code")
        token = self._token(described, given["code"], begun)
        return self._said(token, begun)

    def check(self) -> None:
        """Asks for description and keys. ProviderAway, ProviderRefused."""
        self._fetch()

    def _page(self, described: dict[str, Any], name: str) -> str:
        """An address that the browser is sent to: by TLS, or where the provider is here."""
        url = described.get(name)
        schemes = {"http", "https"} if self.provider.here else {"https"}
        if not isinstance(url, str) or urlsplit(url).scheme not in schemes:
            raise ProviderRefused(reason=f"its description lacks {name}")
        return url

    # -- the code for the token --------------------------------------------------------

    def _token(self, described: dict[str, Any], code: str, begun: Begun) -> dict[str, Any]:
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self.provider.return_url,
            code=code,
            code_verifier=begun.verifier,
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
        }
        url, headers, body = self._client(described).prepare(
            "POST", str(described.get("token_endpoint")), headers, body
        )
        status, token = fetching.post(self.provider, url, headers, body)
        if status != 200 or not isinstance(token.get("id_token"), str):
            raise ProviderRefused(reason="code")
        return token

    def _client(self, described: dict[str, Any]) -> Any:
        """How the archive proves that it is the client: in the body, else by Basic."""
        offered = described.get("token_endpoint_auth_methods_supported") or []
        id, secret = self.provider.client_id, self.provider.client_secret
        if "client_secret_post" in offered:
            return ClientAuth(id, secret, "client_secret_post")
        return ClientAuth(quote(id, safe=""), quote(secret, safe=""), "client_secret_basic")

    # -- what the token says -----------------------------------------------------------

    def _said(self, token: dict[str, Any], begun: Begun) -> Known:
        try:
            decoded = self._decoded(token["id_token"])
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self.provider.issuer},
                    "aud": {"essential": True, "value": self.provider.client_id},
                },
                params={
                    "nonce": begun.nonce,
                    "client_id": self.provider.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(self._now().timestamp()), leeway=int(LEEWAY.total_seconds()))
        except (JoseError, ValueError, TypeError) as error:
            raise ProviderRefused(reason=f"id token: {type(error).__name__}") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise ProviderRefused(reason="id token: sub")
        return self._person(claims, subject)

    def _decoded(self, written: str) -> jwt.Token:
        """The token with its signature checked; keys are asked for anew for one not known."""
        remembered = self._known()
        try:
            return jwt.decode(written, remembered.keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            if self._now() - remembered.at < AGAIN:
                raise
        return jwt.decode(written, self._fetch().keys, algorithms=list(ALGORITHMS))

    def _person(self, claims: Mapping[str, Any], subject: str) -> Known:
        proved_at = claims.get("auth_time")
        acr, name = claims.get("acr"), claims.get(self.provider.name_claim)
        return Known(
            issuer=self.provider.issuer,
            subject=subject,
            name=name if isinstance(name, str) else "",
            group=self.provider.group_of(_words(claims.get(self.provider.groups_claim))),
            strong=self.provider.counts_as_second(
                acr if isinstance(acr, str) else "", _words(claims.get("amr"))
            ),
            proved_at=float(proved_at) if isinstance(proved_at, int | float) else None,
        )

    # -- the provider's description and keys -------------------------------------------

    def _known(self) -> _Remembered:
        with self._lock:
            remembered = self._remembered
        if remembered is not None and self._now() - remembered.at < KEPT:
            return remembered
        return self._fetch()

    def _fetch(self) -> _Remembered:
        issuer = self.provider.issuer
        described = fetching.get(
            self.provider, issuer.rstrip("/") + "/.well-known/openid-configuration"
        )
        if described.get("issuer") != issuer:
            raise ProviderRefused(reason="its description names another issuer")
        found = fetching.get(self.provider, str(described.get("jwks_uri"))).get("keys")
        usable = [
            key
            for key in (found if isinstance(found, list) else [])
            if isinstance(key, dict) and key.get("kty") in KEY_TYPES and key.get("use") != "enc"
        ]
        try:
            keys = KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, TypeError):
            raise ProviderRefused(reason="its keys cannot be read") from None
        if not usable:
            raise ProviderRefused(reason="it has no keys")
        remembered = _Remembered(self._now(), described, keys)
        with self._lock:
            self._remembered = remembered
        return remembered


def _words(value: object) -> frozenset[str]:
    """The values of a claim: a list, or one word."""
    if isinstance(value, str):
        return frozenset({value})
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()
