"""The pages put into an application: gate, templates, languages, blueprints, errors.

Nothing here decides who may see what; the gate says who is asking, the verbs say the rest.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from pathlib import Path

from flask import Flask, Response, current_app, g, render_template, request, url_for
from flask_babel import Babel
from jinja2 import FileSystemLoader, StrictUndefined

from archive import permissions
from archive.errors import ArchiveError
from archive.model import Scope
from archive.web import (
    account,
    accounts,
    admin,
    assets,
    auditing,
    cases,
    desk,
    emergency,
    evidence,
    expiry,
    gate,
    holds,
    login,
    notices,
    outcomes,
    proof,
    provider,
    quality,
    recording,
    reviews,
    rules,
    search,
    searches,
    show,
    sources,
    timeline,
    verify,
    words,
)

BLUEPRINTS = (
    login.pages,
    provider.pages,
    verify.pages,
    outcomes.pages,
    timeline.pages,
    quality.pages,
    search.pages,
    searches.pages,
    recording.pages,
    cases.pages,
    evidence.pages,
    holds.pages,
    reviews.pages,
    notices.pages,
    expiry.pages,
    auditing.pages,
    emergency.pages,
    proof.pages,
    admin.pages,
    accounts.pages,
    account.pages,
    rules.pages,
    sources.pages,
)


def install(app: Flask) -> None:
    """Puts the gate, the pages, their templates and languages into the application."""
    assets.compile_translations()
    gate.install(app)
    app.jinja_loader = FileSystemLoader(assets.templates())
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    Babel(
        app,
        default_locale=app.extensions["archive"].config.default_language,
        default_timezone="Europe/Helsinki",
        default_translation_directories=str(assets.TRANSLATIONS),
        locale_selector=_language,
    )
    key = app.extensions["archive"].keys.ensure("installation/pages")
    app.secret_key = hmac.new(key, b"notice", hashlib.sha256).digest()
    app.config.update(
        SESSION_COOKIE_NAME="notice",  # carries a page's notice to the next page, nothing else
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=app.extensions["archive"].config.secure_cookies,
    )
    show.install(app)
    app.context_processor(_everywhere)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)


def error_page(error: ArchiveError) -> Response:
    """What a person sees of an error: what happened, and what can be done now."""
    title, advice = words.of_error(error)
    return Response(render_template("error.html", title=title, advice=advice, status=error.status))


def _language() -> str:
    session = g.get("session")
    chosen = (session.language if session else None) or request.cookies.get("language")
    if chosen in login.LANGUAGES:
        return str(chosen)
    return str(current_app.extensions["archive"].config.default_language)


def _everywhere() -> dict[str, object]:
    """What every template may use."""
    actor = g.get("actor")
    session = g.get("session")
    return {
        "actor": actor,
        "csrf": session.csrf if session else "",
        "language": show.language(),
        "menu": _menu() if actor is not None else (),
        "tells": actor is not None and desk.works_with_holds(),
        "unseen": _unseen(),
        "emergencies": _emergencies(),
        "asset": asset,
        "here": gate.local_path(request.full_path.rstrip("?")),
        "words": words,
        "style_nonce": gate.style_nonce,
        "offers_provider": current_app.extensions["provider"] is not None,
    }


def _unseen() -> int:
    """How many notices the person has not seen; on an error's page, where that fails, none."""
    if g.get("actor") is None or not desk.works_with_holds():
        return 0
    try:
        return desk.archive_().unseen_notices(g.actor)
    except ArchiveError:
        return 0


def _emergencies() -> int:
    """How many emergency accesses wait for the person's review; where that fails, none."""
    if g.get("actor") is None:
        return 0
    try:
        return emergency.waiting()
    except ArchiveError:
        return 0


def _menu() -> tuple[tuple[str, str], ...]:
    """(endpoint, address) of the pages the person has."""
    scopes = g.actor.scopes
    entries = (
        ("verify.form", permissions.may_verify(g.actor)),
        ("search.form", Scope.SEARCH in scopes),
        ("cases.listing", desk.works_with_holds()),
        ("holds.listing", desk.works_with_holds()),
        ("quality.overview", Scope.QUALITY in scopes),
        ("reviews.listing", Scope.REVIEW in scopes),
        ("expiry.calendar", Scope.EXPIRY in scopes),
        ("auditing.log", Scope.AUDIT in scopes),
        ("admin.overview", Scope.ADMIN in scopes),
        ("emergency.form", Scope.BREAK_GLASS in scopes),
    )
    return tuple((name, url_for(name)) for name, has in entries if has)


def asset(name: str) -> str:
    """The address of a static file, which changes with its content."""
    return url_for("static", filename=name, v=_version(name))


@cache
def _version(name: str) -> str:
    path = Path(__file__).parent / "static" / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "0"
