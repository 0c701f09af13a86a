"""One's own account: second factor, sessions, the commitment, and proving again who one is."""

from __future__ import annotations

from uuid import UUID

import segno
from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from markupsafe import Markup
from werkzeug.wrappers import Response

from archive.accounts import second
from archive.errors import BadCredentials, TooManyAttempts
from archive.web import gate

pages = Blueprint("account", __name__)


@pages.get("/account")
def overview() -> str:
    """Second factor, sessions, password, what was accepted."""
    people, own = gate.people(), UUID(g.actor.id)
    has, left = people.factor_of(own)
    return render_template(
        "account.html",
        has_factor=has,
        codes_left=left,
        sessions=people.sessions_of(own, this=g.actor.session),
        agreed=people.agreed(own),
        by_provider=g.session.by_provider,
    )


# -- the second factor -----------------------------------------------------------------


@pages.post("/account/second-factor")
def begin_factor() -> Response:
    """A new secret for the app, shown on the next page."""
    gate.people().begin_factor(g.actor)
    return redirect(url_for("account.factor"), 303)


@pages.get("/account/second-factor")
def factor() -> str | Response:
    """The square that the app reads, and the field for its first code."""
    if g.session.has_factor:
        return redirect(url_for("account.overview"), 303)
    return _factor_page(None)


@pages.post("/account/second-factor/first-code")
def confirm_factor() -> str | tuple[str, int]:
    """The first code; then the recovery codes, shown this once."""
    try:
        codes = gate.people().confirm_factor(
            g.actor, request.form.get("code", ""), request.remote_addr or ""
        )
    except BadCredentials:
        return _factor_page("code"), 422
    except TooManyAttempts:
        return _factor_page("wait"), 429
    return render_template("recovery_codes.html", codes=codes)


@pages.post("/account/second-factor/recovery-codes")
def renew_codes() -> str:
    """New recovery codes instead of the old ones."""
    return render_template("recovery_codes.html", codes=gate.people().renew_recovery(g.actor))


@pages.post("/account/second-factor/remove")
def remove_factor() -> Response:
    """Takes the second factor away."""
    gate.people().remove_factor(UUID(g.actor.id), by=g.actor)
    flash(_("The second factor was removed. Your other sessions were ended."))
    return redirect(url_for("account.overview"), 303)


def _factor_page(problem: str | None) -> str:
    secret = gate.people().waiting_factor(g.actor)
    return render_template(
        "second_factor.html",
        square=_square(second.address(secret, g.actor.name)) if secret else None,
        written=second.written(secret) if secret else None,
        problem=problem,
    )


def _square(address: str) -> Markup:
    """The address as a QR code: SVG without a style of its own, for the page's policy."""
    drawn = segno.make(address, error="m", micro=False)
    return Markup(drawn.svg_inline(scale=5, border=4, dark="#000", light="#fff"))  # noqa: S704


# -- sessions --------------------------------------------------------------------------


@pages.post("/account/sessions/<uuid:session>/end")
def end_session(session: UUID) -> Response:
    """Ends one of one's sessions."""
    gate.people().end_session(UUID(g.actor.id), session, by=g.actor)
    flash(_("The session was ended."))
    return redirect(url_for("account.overview"), 303)


@pages.post("/account/sessions/end-others")
def end_others() -> Response:
    """Ends every session of one's but this one."""
    gate.people().end_sessions(UUID(g.actor.id), by=g.actor)
    flash(_("Your other sessions were ended."))
    return redirect(url_for("account.overview"), 303)


# -- the commitment --------------------------------------------------------------------


@pages.get("/commitment")
def commitment() -> str:
    """The confidentiality commitment, to be accepted before anything is shown."""
    people = gate.people()
    agreed = people.agreed(UUID(g.actor.id))
    return render_template("commitment.html", version=people.commitment, agreed=agreed)


@pages.post("/commitment")
def agree() -> Response:
    """Accepts it."""
    gate.people().agree(g.actor, request.form.get("version", ""))
    return redirect(url_for("login.home"), 303)


# -- proving again ---------------------------------------------------------------------


@pages.post("/prove")
def prove() -> Response | tuple[str, int, dict[str, str]]:
    """Password or code once more; then what was sent before is sent to where it was to go."""
    to = gate.local_path(request.form.get("proof_to"))
    given = gate.sent_fields()
    try:
        gate.people().prove(g.actor, request.form.get("proof", ""), request.remote_addr or "")
    except BadCredentials:
        return gate.prove_page(to, given, "credentials")
    except TooManyAttempts:
        return gate.prove_page(to, given, "wait")
    # 307: the browser sends the same form again, now to the page that asked.
    return redirect(to, 307)
