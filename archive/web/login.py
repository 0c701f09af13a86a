"""Logging in and out, one-time logins, the own password, the language."""

from __future__ import annotations

from flask import (
    Blueprint,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions
from archive.auth import LACKS_CODE
from archive.errors import BadCredentials, BadFields, TooManyAttempts
from archive.model import Actor, Scope
from archive.web import gate, provider

pages = Blueprint("login", __name__)
LANGUAGES = ("fi", "en")


@pages.get("/login")
@gate.public
def form() -> str | Response:
    """The log-in form."""
    wanted = gate.local_path(request.args.get("next"))
    if g.actor is not None:
        return redirect(wanted, 303)
    return render_template("login.html", next=wanted, problem=None)


@pages.post("/login")
@gate.public
def log_in() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """User name and password; on to the page that was asked for."""
    wanted = gate.local_path(request.form.get("next"))
    name = request.form.get("name", "").strip()
    try:
        token, _actor = gate.people().login(
            name, request.form.get("password", ""), request.remote_addr or ""
        )
    except BadCredentials:
        return render_template("login.html", next=wanted, problem="credentials", name=name), 401
    except TooManyAttempts as error:
        wait_s = int(str(error.facts["wait_s"]))
        page = render_template("login.html", next=wanted, problem="wait", wait_s=wait_s, name=name)
        return page, 429, {"Retry-After": str(wait_s)}
    return gate.welcome(token, wanted)


@pages.get("/once/<token>")
@gate.public
def once(token: str) -> Response | tuple[str, int]:
    """A one-time login. What browsers fetch ahead of a click does not use it up."""
    if request.method != "GET" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        abort(405)
    try:
        return gate.welcome(gate.people().use_one_time(token), "/")
    except BadCredentials:
        return render_template("login.html", next="/", problem="once"), 401


@pages.get("/login/code")
@gate.public
def code() -> str | Response:
    """The form for the code of the second factor, between password and everything else."""
    if g.session is None or g.session.lacks != LACKS_CODE:
        return redirect(url_for("login.form"), 303)
    return render_template("code.html", problem=None)


@pages.post("/login/code")
@gate.public
def give_code() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """A code of the app's, or a recovery code."""
    try:
        token = gate.people().give_code(
            g.session_token, request.form.get("code", ""), request.remote_addr or ""
        )
    except BadCredentials:
        return render_template("code.html", problem="code"), 401
    except TooManyAttempts as error:
        wait_s = int(str(error.facts["wait_s"]))
        page = render_template("code.html", problem="wait", wait_s=wait_s)
        return page, 429, {"Retry-After": str(wait_s)}
    response = redirect(url_for("login.home"), 303)
    gate.give_cookie(response, token)
    return response


@pages.post("/logout")
def log_out() -> Response:
    """Ends the session and all that was kept for it; the provider's too, where it offers that."""
    there = provider.log_out_there()
    gate.people().logout(g.session_token)
    g.actor = g.session = None
    response = provider.onward(there) if there else redirect(url_for("login.form"), 303)
    gate.take_cookie(response)
    return response


@pages.get("/password")
def password() -> str:
    """The form for one's own password."""
    return _password_page(None)


@pages.post("/password")
def choose_password() -> Response | tuple[str, int]:
    """A new password of one's own."""
    try:
        gate.people().choose_password(
            g.actor,
            request.form.get("old", ""),
            request.form.get("new", ""),
            address=request.remote_addr or "",
        )
    except BadCredentials:
        return _password_page("credentials"), 401
    except BadFields:
        return _password_page("rules"), 422
    flash(_("The password was changed. Your other sessions were ended."))
    return redirect(url_for("login.home"), 303)


def _password_page(problem: str | None) -> str:
    has_one = gate.people().has_password(g.actor.id)
    return render_template("password.html", has_one=has_one, problem=problem)


@pages.post("/language")
@gate.public
def language() -> Response:
    """Another language, from here on."""
    wanted = request.form.get("language", "")
    if wanted not in LANGUAGES:
        abort(400)
    if g.session_token:
        gate.people().choose_language(g.session_token, wanted)
    response = redirect(gate.local_path(request.form.get("next")), 303)
    response.set_cookie(
        "language", wanted, max_age=31536000, path="/", httponly=True, samesite="Lax",
        secure=bool(current_app.extensions["archive"].config.secure_cookies),
    )  # fmt: skip
    return response


@pages.get("/")
def home() -> Response:
    """To the first page that the person has."""
    return redirect(home_of(g.actor), 303)


def home_of(actor: Actor) -> str:
    """Where the person's work begins."""
    if permissions.may_verify(actor):
        return url_for("verify.form")
    if Scope.SEARCH in actor.scopes:
        return url_for("search.form")
    if Scope.QUALITY in actor.scopes:
        return url_for("quality.overview")
    if Scope.ADMIN in actor.scopes:
        return url_for("admin.overview")
    return url_for("expiry.calendar" if Scope.EXPIRY in actor.scopes else "auditing.log")
