"""Search by every field; each search under an opaque address of its own."""

from __future__ import annotations

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from archive import permissions
from archive.formats.identifiers import find_hetu
from archive.model import Direction, Kind, Scope
from archive.search import understanding
from archive.search.terms import DURATIONS
from archive.web import desk, pane
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("search", __name__)
LONGEST = 320
FACETS = ("kind", "line", "direction", "agent", "month", "duration", "attachment", "source", "held")
SORTS = ("newest", "relevance")


@pages.get("/search")
def form() -> str:
    """The empty form."""
    permissions.require(g.actor, Scope.SEARCH)
    return _form({}, {})


@pages.post("/search")
def ask() -> Response | tuple[str, int]:
    """Keeps the question under an opaque address and goes there."""
    permissions.require(g.actor, Scope.SEARCH)
    asked = {
        name: value
        for name in desk.FIELDS
        if (value := request.form.get(name, "").strip()[:LONGEST])
    }
    return go(asked)


def go(asked: dict[str, str]) -> Response | tuple[str, int]:
    """To a search of its own, or back to the form with what is wrong with it."""
    problems = _problems(asked)
    if problems:
        # A personal identity code is not even kept in the form.
        shown = {n: v for n, v in asked.items() if problems.get(n) != "hetu"}
        return _form(shown, problems), 422
    kept = Kept(desk="search", asked=asked, query=asked)
    token = keeping.keep(desk.archive_(), g.actor, kept)
    return redirect(url_for("search.results", token=token), 303)


@pages.get("/search/<token>")
def results(token: str) -> str:
    """What was found, newest first, the first hit beside the list.

    What it can be narrowed by is counted from the moment on at which somebody asks for it: that
    takes longer than finding the first page.
    """
    kept = desk.kept_or_404(token, "search")
    counted = FACETS if "narrow" in request.args or kept.facets else ()
    listing = desk.turn(token, kept, request.args.get("page", 1, int) - 1, facets=counted)
    if not listing.rows:
        return render_template("search_nothing.html", listing=listing)
    first = desk.archive_().describe(g.actor, listing.rows[0].view.id)
    return pane.show(first, kept=kept, token=token, listing=listing)


@pages.get("/search/<token>/edit")
def edit(token: str) -> str:
    """The form as it was filled in."""
    permissions.require(g.actor, Scope.SEARCH)
    return _form(desk.kept_or_404(token, "search").asked, {})


@pages.post("/search/<token>/without")
def without(token: str) -> Response | tuple[str, int]:
    """The same search without one field of it, or one piece of what was typed."""
    permissions.require(g.actor, Scope.SEARCH)
    asked = dict(desk.kept_or_404(token, "search").asked)
    name = request.form.get("name", "")
    piece = request.form.get("piece", -1, int)
    if name != "q":
        asked.pop(name, None)
    else:
        query = desk.to_query(asked)
        pieces = understanding.understand(query, now=desk.archive_().now()).pieces
        if not 0 <= piece < len(pieces):
            abort(404)
        asked["q"] = understanding.without(asked["q"], pieces, piece)
    return go({name: value for name, value in asked.items() if value})


@pages.post("/search/<token>/narrow")
def narrow(token: str) -> Response | tuple[str, int]:
    """The same search narrowed to one value of a facet."""
    permissions.require(g.actor, Scope.SEARCH)
    asked = dict(desk.kept_or_404(token, "search").asked)
    name, value = request.form.get("name", ""), request.form.get("value", "").strip()[:LONGEST]
    if name not in FACETS or not value:
        abort(404)
    return go(asked | {name: value})


def _form(asked: dict[str, str], problems: dict[str, str]) -> str:
    return render_template(
        "search.html",
        asked=asked,
        problems=problems,
        needs_customer=permissions.needs_customer(g.actor),
    )


def _problems(asked: dict[str, str]) -> dict[str, str]:
    """What is wrong with the form: field → "hetu", "date", "choice", "order", "customer"."""
    problems = {name: "hetu" for name, value in asked.items() if find_hetu(value)}
    for name, choices in (
        ("kind", tuple(Kind)), ("direction", tuple(Direction)), ("sort", SORTS),
        ("duration", tuple(DURATIONS)), ("attachment", ("yes", "no")), ("held", ("yes",)),
    ):  # fmt: skip
        if name in asked and asked[name] not in choices:
            problems[name] = "choice"
    if "held" in asked:
        permissions.require_holds(g.actor)
    edges = {}
    try:
        desk.month_edges(asked.get("month"))
    except ValueError:
        problems["month"] = "date"
    for name in ("from", "to"):
        try:
            edges[name] = desk.edge(asked.get(name), end=name == "to")
        except (ValueError, OverflowError):
            problems[name] = "date"
    if not problems:
        start, end = edges["from"], edges["to"]
        if start is not None and end is not None and start >= end:
            problems["to"] = "order"
        elif permissions.needs_customer(g.actor) and not permissions.names_customer(
            desk.to_query(asked)
        ):
            problems["customer"] = "customer"
    return problems
