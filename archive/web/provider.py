"""Logging in at the organisation's identity provider, and proving there again who one is.

Absent (404) where the settings name no provider. What the browser keeps meanwhile is sealed, and
good for one answer; see archive/oidc/begun.py.
"""

from __future__ import annotations

import hmac
import logging
from typing import cast

from flask import (
    Blueprint,
    abort,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response

from archive.errors import BadCredentials, NotLetIn, ProviderAway, ProviderRefused
from archive.oidc import begun as starting
from archive.oidc.begun import Begun
from archive.oidc.protocol import LEEWAY, Flow, Known
from archive.web import carried, drawer, gate
from archive.web.desk import archive_

pages = Blueprint("provider", __name__)
log = logging.getLogger("archive.web.provider")


@pages.get("/login/provider")
@gate.public
def begin() -> Response:
    """To the provider. Never because another site's page leads here: that shows the form."""
    flow, wanted = _flow(), gate.local_path(request.args.get("next"))
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        return redirect(url_for("login.form", next=wanted), 303)
    if g.actor is not None:
        return redirect(wanted, 303)
    begun = starting.begin(archive_().now(), next=wanted)
    try:
        response = redirect(flow.address(begun), 303)
    except (ProviderAway, ProviderRefused) as error:
        return _problem(error, wanted)
    _keep(response, begun)
    return response


@pages.get("/login/provider/return")
@gate.public
def back() -> Response:
    """Back from the provider: a session, or a proof for the one that there is."""
    flow = _flow()
    kept = request.cookies.get(_cookie(), "")
    begun = starting.opened(kept, _key(), now=archive_().now())
    try:
        if begun is None:
            raise ProviderRefused(reason="state")
        known = flow.finish(begun, _given())
        response = _prove(begun, known) if begun.proof else _come_in(begun, known)
    except (ProviderAway, ProviderRefused, NotLetIn, BadCredentials) as error:
        response = _problem(error, begun.next if begun else "/")
    response.delete_cookie(
        _cookie(), path="/", secure=gate.is_secure(), httponly=True, samesite="Lax"
    )
    return response


@pages.post("/prove/provider")
def prove() -> Response:
    """To the provider, to log in there once more; what was typed waits, sealed."""
    flow = _flow()
    to = gate.local_path(request.form.get("proof_to"))
    form = carried.keep(archive_(), g.actor, to, gate.sent_fields())
    begun = starting.begin(archive_().now(), proof=g.actor.session.hex(), form=form)
    try:
        response = onward(flow.address(begun))
    except (ProviderAway, ProviderRefused):
        return gate.prove_page(to, gate.sent_fields(), "provider")
    _keep(response, begun)
    return response


def onward(address: str) -> Response:
    """A page that leads to an address outside: forms are not followed there by the policy."""
    return make_response(render_template("onward.html", address=address))


def log_out_there() -> str | None:
    """Where the session at the provider is ended too; None if nowhere, or it does not answer."""
    flow = cast("Flow | None", current_app.extensions["provider"])
    if flow is None or g.session is None or not g.session.by_provider:
        return None
    try:
        return flow.log_out_address()
    except (ProviderAway, ProviderRefused):
        return None


def _come_in(begun: Begun, known: Known) -> Response:
    token = gate.people().come_by_provider(
        known.issuer, known.subject, name=known.name, group=known.group, strong=known.strong,
        proved_at=known.proved_at,
    )  # fmt: skip
    return gate.welcome(token, begun.next)


def _prove(begun: Begun, known: Known) -> Response:
    """The session that asked is proved, if this is it and who it is was asked there just now."""
    if g.actor is None or not hmac.compare_digest(g.actor.session.hex(), begun.proof):
        raise ProviderRefused(reason="state")
    if known.proved_at is None or known.proved_at < begun.at - LEEWAY.total_seconds():
        raise ProviderRefused(reason="auth_time")
    gate.people().prove_by_provider(g.actor, known.issuer, known.subject, group=known.group)
    waiting = carried.find(archive_(), g.actor, begun.form)
    if waiting is None:
        return redirect(url_for("login.home"), 303)
    to, given = waiting
    return make_response(render_template("proved.html", to=to, given=given))


def _problem(error: Exception, wanted: str) -> Response:
    """The log-in page with what can be done; why exactly is for the log, as a code."""
    if isinstance(error, ProviderAway):
        problem, status = "provider-away", 503
    elif isinstance(error, NotLetIn):
        problem, status = "provider-rights", 403
    else:
        problem = "provider-state" if str(getattr(error, "facts", {}).get("reason")) == "state" \
            else "provider-answer"  # fmt: skip
        status = 401
    log.warning("log-in at the provider: %s", getattr(error, "message", type(error).__name__))
    if isinstance(error, ProviderRefused):
        gate.people().refuse_provider()
    page = make_response(render_template("login.html", next=wanted, problem=problem))
    page.status_code = status
    return page


def _given() -> dict[str, str]:
    """What the provider sent, each once. ProviderRefused where something is there twice."""
    if any(len(values) > 1 for values in request.args.to_dict(flat=False).values()):
        raise ProviderRefused(reason="twice")
    return request.args.to_dict()


def _flow() -> Flow:
    flow = cast("Flow | None", current_app.extensions["provider"])
    if flow is None:
        abort(404)
    return flow


def _key() -> bytes:
    return archive_().keys.ensure(drawer.KEY)


def _cookie() -> str:
    return "__Host-login" if gate.is_secure() else "login"


def _keep(response: Response, begun: Begun) -> None:
    response.set_cookie(
        _cookie(), starting.sealed(begun, _key()), max_age=int(starting.LIFE.total_seconds()),
        path="/", secure=gate.is_secure(), httponly=True, samesite="Lax",
    )  # fmt: skip
