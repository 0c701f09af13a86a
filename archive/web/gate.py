"""The gate before every route: who is asking, may they come in, and what leaves with the answer.

Denies by default: without a session (pages) or a token (API) only what is marked `public` is
reached, and with one only doors whose right the actor has (archive/doors.py). Sets `g.actor`,
`g.session` and `g.session_token`. The archive's verbs ask again, and about each recording.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import (
    Flask,
    Response,
    current_app,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wrappers import Response as AnyResponse

from archive import doors
from archive.auth import LACKS_CODE, LACKS_COMMITMENT, LACKS_FACTOR, LONGEST, People
from archive.errors import Forbidden, NotFound, NotLoggedIn, StaleForm

View = TypeVar("View", bound=Callable[..., Any])

MOST_FORM_BYTES = 64 * 1024  # of a page's form
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LEADS_TO = {  # what comes before all else, if it lacks
    LACKS_CODE: "login.code",
    LACKS_COMMITMENT: "account.commitment",
    LACKS_FACTOR: "account.factor",
}
BEFORE_ALL = frozenset({
    "static", "login.log_out", "login.language", "login.password", "login.choose_password",
    "provider.begin", "provider.back",
    "login.form", "login.log_in", "login.once", "login.code", "login.give_code",
    "account.commitment", "account.agree", "account.factor", "account.begin_factor",
    "account.confirm_factor", "healthz", "readyz", "metrics",
})  # fmt: skip
EITHER = frozenset({"opening"})  # endpoints for a session or a token: players
LOCAL = re.compile(r"/(?![/\\])[\w/.-]*(\?[\w=&%.~-]*)?", re.ASCII)
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; font-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# What an email brings is shown under this alone: no script, no request, no form, no navigation.
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


def public(view: View) -> View:
    """Marks a view that strangers may reach."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def install(app: Flask) -> None:
    """Puts the gate before and behind every route of the application."""
    app.before_request(_admit)
    app.after_request(_protect)


def people() -> People:
    """The people of this application."""
    found: People = current_app.extensions["people"]
    return found


def is_public(app: Flask, endpoint: str | None) -> bool:
    """Whether strangers may reach the endpoint."""
    if endpoint is None:
        return False
    return endpoint == "static" or hasattr(app.view_functions[endpoint], "is_public")


# -- coming in -------------------------------------------------------------------------


def _admit() -> AnyResponse | None:
    g.actor = g.session = None
    g.session_token = ""
    endpoint = request.endpoint
    if endpoint == "static":
        return None
    if request.blueprint == "api" or (endpoint in EITHER and "Authorization" in request.headers):
        _admit_token()
        _check_right(endpoint)
        return None
    _read_session()
    lacking = g.session.lacks if g.session is not None else ""
    if endpoint is None:
        return None  # 404 or 405 follows, for everybody alike
    if request.method not in SAFE:
        _check_form(endpoint)
    if g.actor is None and not is_public(current_app, endpoint):
        return _to_login(endpoint)
    if lacking and g.actor is not None and endpoint not in BEFORE_ALL:
        return _to(LEADS_TO[lacking], endpoint)
    _check_right(endpoint)
    return _to_prove(endpoint)


def _check_right(endpoint: str | None) -> None:
    """Before anything of the request is looked at: whoever lacks the right learns nothing else.

    A route without a line in the table is shut to everybody.
    """
    door = doors.DOORS.get(endpoint or "")
    if g.actor is None or (door and (door.right == doors.PUBLIC or door.admits(g.actor))):
        return
    if door is None:
        raise Forbidden(verb="use what no right is written down for")
    if door.refusal == NotFound.status:
        raise NotFound()
    raise Forbidden(verb=door.right)


def _admit_token() -> None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        g.actor = people().actor_of_token(token.strip())
    if g.actor is None and not is_public(current_app, request.endpoint):
        raise NotLoggedIn()


def _read_session() -> None:
    token = request.cookies.get(cookie_name(), "")
    found = people().session(token) if token else None
    if found is not None:
        g.session, g.session_token = found, token
        if found.lacks != LACKS_CODE:  # until then nobody is logged in
            g.actor = found.actor
        people().sweep()


def _to_login(endpoint: str) -> AnyResponse:
    """To the log-in page and afterwards back, if it was a page that was asked for."""
    if endpoint in EITHER or "text/html" not in request.headers.get("Accept", "text/html"):
        raise NotLoggedIn()
    if g.session is not None:
        return redirect(url_for(LEADS_TO[LACKS_CODE]), 303)
    wanted = local_path(request.full_path.rstrip("?")) if request.method == "GET" else "/"
    return redirect(url_for("login.form", next=None if wanted == "/" else wanted), 303)


def _to(page: str, endpoint: str) -> AnyResponse:
    """To the page that comes before all others."""
    if endpoint in EITHER:
        raise NotLoggedIn()
    return redirect(url_for(page), 303)


def _to_prove(endpoint: str) -> AnyResponse | None:
    """Before something grave: the form again with a field for password or code, if it is time."""
    door = doors.DOORS.get(endpoint)
    if door is None or not door.grave or g.session is None or people().is_proved(g.session):
        return None
    return prove_page(local_path(request.path), sent_fields(), None)


def sent_fields() -> list[tuple[str, str]]:
    """The fields of the form that are not about who sends it."""
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in {"csrf", "proof", "proof_to"}
    ]


def prove_page(to: str, given: list[tuple[str, str]], problem: str | None) -> AnyResponse:
    """Asks for password, code or the provider's word, and carries what was sent.

    See `account.prove` and `provider.prove`.
    """
    page = render_template(
        "prove.html",
        to=to,
        given=given,
        problem=problem,
        at_provider=g.session.by_provider and current_app.extensions["provider"] is not None,
        has_factor=g.session.has_factor,
    )
    return Response(page, status=403)


def _check_form(endpoint: str) -> None:
    """A form must be small, come from our own page and carry its session's token."""
    request.max_content_length = MOST_FORM_BYTES
    if request.mimetype not in {"application/x-www-form-urlencoded", ""}:
        raise UnsupportedMediaType()
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise StaleForm()
    if g.session is None or endpoint == "login.log_in":
        return
    given = request.form.get("csrf", "")
    if not hmac.compare_digest(given.encode(), g.session.csrf.encode()):
        raise StaleForm()


def local_path(wanted: str | None) -> str:
    """The path if it is one of this service, else "/": nobody is sent elsewhere."""
    return wanted if wanted and LOCAL.fullmatch(wanted) else "/"


# -- the cookie ------------------------------------------------------------------------


def cookie_name() -> str:
    """The session's cookie; bound to this host and TLS where there is TLS."""
    return "__Host-archive" if is_secure() else "archive"


def welcome(token: str, wanted: str) -> AnyResponse:
    """The new session's cookie, and on to the page that was asked for."""
    # Whoever was logged in with this browser before is so no longer.
    if g.session_token:
        people().logout(g.session_token)
    response = redirect(wanted, 303)
    give_cookie(response, token)
    return response


def give_cookie(response: AnyResponse, token: str) -> None:
    """Hands the session to the browser: for this host, out of reach of scripts."""
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=is_secure(),
        httponly=True,
        samesite="Lax",
    )


def take_cookie(response: AnyResponse) -> None:
    """Takes the session back from the browser."""
    response.delete_cookie(
        cookie_name(), path="/", secure=is_secure(), httponly=True, samesite="Lax"
    )


def is_secure() -> bool:
    """Whether the service stands behind TLS."""
    return bool(current_app.extensions["archive"].config.secure_cookies)


# -- going out -------------------------------------------------------------------------


def style_nonce() -> str:
    """A word under which this one answer may carry a style element (the waveform's)."""
    if "style_nonce" not in g:
        g.style_nonce = secrets.token_urlsafe(16)
    nonce: str = g.style_nonce
    return nonce


def _protect(response: Response) -> Response:
    nonce = f" 'nonce-{g.style_nonce}'" if "style_nonce" in g else ""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", PAGE_POLICY.format(nonce=nonce))
    headers.setdefault("X-Frame-Options", "DENY")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
    if is_secure():
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint != "static":
        headers["Cache-Control"] = "no-store"
    elif "v" in request.args:  # the address changes with the content
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        headers["Cache-Control"] = "no-cache"
    return response
