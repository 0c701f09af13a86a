"""Verifying a contact: one field that knows what was typed, and the customer's contacts.

These are narrowed by days as the customer says them, line and agent.
"""

from __future__ import annotations

import re

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from archive import permissions, retention
from archive.casework.verifications import reference_of
from archive.formats.identifiers import CASE_NUMBER, find_hetu, normalise_metering_point
from archive.model import Purpose, Scope
from archive.web import desk, narrowing, pane
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("verify", __name__)
LONGEST = 320
NARROWING = ("when", "line", "agent")
_NARROWED = ("from", "to", "line", "agent")
NAME = re.compile(r"[^\W\d_][\w'’-]+(?:(?:\s|,\s)\s*[^\W\d_][\w'’-]+){1,5}")
PHONE = re.compile(r"(\+|00?)[\d\s()/-]{6,}")


@pages.get("/verify")
def form() -> str:
    """The field alone."""
    require()
    return render_template("verify.html", problem=None, listing=None)


@pages.post("/verify")
def look_up() -> Response | tuple[str, int]:
    """Keeps the question under an opaque address and goes there."""
    require()
    typed = request.form.get("contact", "").strip()[:LONGEST]
    if reference := reference_of(typed):
        return redirect(url_for("outcomes.one", reference=reference), 303)
    wrong = problem(typed)
    if wrong:
        shown = typed if wrong == "short" else ""  # a personal identity code is not even shown
        return render_template("verify.html", problem=wrong, listing=None, typed=shown), 422
    name, value = best(typed)
    kept = Kept(desk="verify", asked={"contact": typed}, query={name: value})
    token = keeping.keep(desk.archive_(), g.actor, kept)
    return redirect(url_for("verify.contacts", token=token), 303)


@pages.get("/verify/<token>")
def contacts(token: str) -> str:
    """The customer's contacts, newest first, the newest one beside the list."""
    require()
    kept = desk.kept_or_404(token, "verify")
    listing = desk.turn(token, kept, request.args.get("page", 1, int) - 1)
    if not listing.rows:
        return render_template("verify.html", problem=None, listing=listing)
    newest = desk.archive_().describe(g.actor, listing.rows[0].view.id)
    return pane.show(newest, kept=kept, token=token, listing=listing)


@pages.post("/verify/<token>/narrow")
def narrow(token: str) -> Response:
    """The same customer's contacts of some days, a line or an agent; under an address of its own.

    Empty fields take the narrowing away. What is not understood changes nothing and is said.
    """
    require()
    kept = desk.kept_or_404(token, "verify")
    given = {name: request.form.get(name, "").strip()[:LONGEST] for name in NARROWING}
    if find_hetu(" ".join(given.values())):
        return redirect(url_for("verify.contacts", token=token, wrong="hetu"), 303)
    query = {name: value for name, value in kept.query.items() if name not in _NARROWED}
    query |= {name: given[name] for name in ("line", "agent") if given[name]}
    if given["when"]:
        today = retention.local(desk.archive_().now()).date()
        try:
            first, last = narrowing.days(given["when"], today)
        except (ValueError, OverflowError):
            return redirect(url_for("verify.contacts", token=token, wrong="when"), 303)
        query |= {"from": first.isoformat(), "to": last.isoformat()}
    asked = {"contact": kept.asked["contact"]} | {n: v for n, v in given.items() if v}
    narrowed = Kept(desk="verify", asked=asked, query=query, purpose=kept.purpose, case=kept.case)
    made = keeping.keep(desk.archive_(), g.actor, narrowed)
    return redirect(url_for("verify.contacts", token=made), 303)


def require() -> None:
    """Nothing if the reader verifies contacts, else Forbidden."""
    permissions.require(g.actor, Scope.SEARCH)
    permissions.require_purpose(g.actor, Purpose.VERIFICATION)


def candidates(typed: str) -> list[tuple[str, str]]:
    """What the text may be, likeliest first: (field of a query, value)."""
    bare = "".join(typed.split())
    if "@" in bare:
        return [("email", bare)]
    if CASE_NUMBER.fullmatch(bare):
        return [("case", bare), ("customer", bare)]
    if re.fullmatch(r"\d{18}", bare) and normalise_metering_point(bare):
        return [("metering_point", bare)]
    if typed.startswith("+"):
        return [("phone", typed)]
    if PHONE.fullmatch(typed):
        return [("phone", typed), ("customer", bare)]
    if re.fullmatch(r"[\d\s-]{7,}", typed):
        return [("customer", bare), ("phone", typed)]
    if NAME.fullmatch(typed):
        words = typed.replace(",", " ").split()
        return [("q", " ".join(f"nimi:{word}" for word in words)), ("customer", bare)]
    return [("customer", bare)]


def best(typed: str) -> tuple[str, str]:
    """The first reading under which there is anything, else the likeliest that is allowed."""
    allowed = _allowed(typed)
    for name, value in allowed if len(allowed) > 1 else ():
        if desk.archive_().find(g.actor, desk.to_query({name: value}), limit=1).items:
            return name, value
    return allowed[0]


def _allowed(typed: str) -> list[tuple[str, str]]:
    """The readings that name a customer, where the reader's group must name one."""
    found = candidates(typed)
    if not permissions.needs_customer(g.actor):
        return found
    return [f for f in found if permissions.names_customer(desk.to_query(dict([f])))]


def problem(typed: str) -> str | None:
    """Why the text is not searched by: "empty", "hetu", "short"."""
    if not typed:
        return "empty"
    if find_hetu(typed):
        return "hetu"
    return None if _allowed(typed) else "short"
