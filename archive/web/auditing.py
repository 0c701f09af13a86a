"""The audit log for auditors and data protection: who opened what, when, for which purpose.

Names of people are put to their ids here, for the eye; the log itself has none.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions, subjects
from archive.audit import Asked, Entry
from archive.formats.identifiers import find_hetu
from archive.model import Scope
from archive.web import desk, gate, verify

pages = Blueprint("auditing", __name__)

PAGE = 100


@pages.get("/audit")
def log() -> str:
    """The newest entries."""
    return _page(_read(Asked()), {})


@pages.post("/audit")
def narrowed() -> str:
    """Entries of one recording, person, action, case or time; by POST: no name in an address."""
    permissions.require(g.actor, Scope.AUDIT)  # before names of people are looked up
    problems: dict[str, str] = {}
    asked = Asked(
        recording_id=_recording(problems),
        actor_id=_actor(problems),
        verb=_given("verb"),
        purpose=_given("purpose"),
        case_number=_given("case"),
        from_=_day("from", problems),
        to=_day("to", problems, end=True),
    )
    if customer := _given("customer"):
        return _page(_met(customer, asked, problems), problems)
    return _page([] if problems else _read(asked), problems)


@pages.get("/audit/unusual")
def unusual() -> str:
    """What stands out, and was not looked at so far."""
    found = desk.archive_().unusual(g.actor)
    return render_template("unusual.html", found=found, called=_names())


@pages.post("/audit/unusual/reviewed")
def reviewed() -> Response:
    """Somebody looked at it."""
    desk.archive_().review_unusual(g.actor, request.form.get("key", ""))
    flash(_("Noted that you looked at it."))
    return redirect(url_for("auditing.unusual"), 303)


def _met(typed: str, asked: Asked, problems: dict[str, str]) -> list[Entry]:
    """Entries about anything of the customer known by what was typed, read in every way."""
    whose = set[subjects.Identifier]()
    if not find_hetu(typed):
        for name, value in verify.candidates(typed):
            if name != "case":
                whose |= subjects.typed(**{name: value})
    if not whose:
        problems["customer"] = _("Type a whole customer number, phone, email or metering point.")
    if problems:
        return []
    return desk.archive_().who_met(g.actor, whose, asked, before=_before(), limit=PAGE + 1)


def _read(asked: Asked) -> list[Entry]:
    return desk.archive_().read_audit(g.actor, asked, before=_before(), limit=PAGE + 1)


def _before() -> int | None:
    before = request.form.get("before", "")
    return int(before) if before.isdecimal() and len(before) < 18 else None


def _page(found: list[Entry], problems: dict[str, str]) -> str:
    return render_template(
        "audit.html",
        entries=found[:PAGE],
        more=len(found) > PAGE,
        called=_names(),
        form=request.form,
        problems=problems,
    )


def _names() -> dict[str, str]:
    """Names of people and machines by the id that the log knows them by."""
    people = gate.people()
    named = {str(each.id): each.name for each in people.people()}
    return named | {str(each.id): each.name for each in people.tokens()}


def _given(name: str) -> str | None:
    return request.form.get(name, "").strip() or None


def _recording(problems: dict[str, str]) -> UUID | None:
    given = _given("recording")
    try:
        return UUID(given) if given else None
    except ValueError:
        problems["recording"] = _("This is not a recording's id.")
        return None


def _actor(problems: dict[str, str]) -> str | None:
    given = _given("who")
    if given is None:
        return None
    ids = [id for id, name in _names().items() if given.casefold() in {name.casefold(), id}]
    if not ids:
        problems["who"] = _("Nobody has this name.")
        return None
    return ids[0]


def _day(name: str, problems: dict[str, str], *, end: bool = False) -> datetime | None:
    try:
        return desk.edge(_given(name), end=end)
    except (ValueError, OverflowError):
        problems[name] = _("Expected a date, for example 24.11.2026.")
        return None
