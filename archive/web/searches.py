"""Searches that their person keeps, and the list of hits as a file."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import hitlist, permissions
from archive.errors import CaseRequired, PurposeRequired, TooManySearches
from archive.formats.identifiers import find_hetu
from archive.model import Purpose, Scope
from archive.web import desk, saved, search, words

pages = Blueprint("searches", __name__)


@pages.get("/searches")
def listing() -> str:
    """The person's own kept searches."""
    permissions.require(g.actor, Scope.SEARCH)
    return render_template("searches.html", found=saved.listed(desk.archive_(), g.actor))


@pages.post("/search/<token>/save")
def save(token: str) -> AnyResponse:
    """Keeps a search under a name; back to its hits."""
    permissions.require(g.actor, Scope.SEARCH)
    kept = desk.kept_or_404(token, "search")
    name = request.form.get("name", "").strip()
    if not name or find_hetu(name):
        flash(_("Give the search a name without personal identity codes."))
        return redirect(url_for("search.results", token=token), 303)
    try:
        saved.save(desk.archive_(), g.actor, name=name, asked=kept.asked)
    except TooManySearches:
        flash(_("You have %(n)s saved searches: delete one first.", n=saved.MOST))
        return redirect(url_for("searches.listing"), 303)
    flash(_("The search was saved."))
    return redirect(url_for("search.results", token=token), 303)


@pages.get("/searches/<uuid:id>")
def run(id: UUID) -> AnyResponse | tuple[str, int]:
    """The search again, as of now and with the rights of now."""
    permissions.require(g.actor, Scope.SEARCH)
    found = saved.take(desk.archive_(), g.actor, id)
    return search.go({name: v for name, v in found.asked.items() if name in desk.FIELDS})


@pages.post("/searches/<uuid:id>/delete")
def delete(id: UUID) -> AnyResponse:
    """Forgets one."""
    permissions.require(g.actor, Scope.SEARCH)
    saved.forget(desk.archive_(), g.actor, id)
    flash(_("The search was deleted."))
    return redirect(url_for("searches.listing"), 303)


@pages.post("/search/<token>/csv")
def as_csv(token: str) -> AnyResponse:
    """The hits as a file for a spreadsheet, for a stated purpose."""
    permissions.require_export(g.actor)
    kept = desk.kept_or_404(token, "search")
    purpose = request.form.get("purpose", "") or _only_purpose()
    case = request.form.get("case", "").strip() or None
    try:
        views = desk.archive_().export_hits(
            g.actor, desk.to_query(kept.query), purpose=purpose, case=case
        )
    except (CaseRequired, PurposeRequired) as error:
        flash(str(words.of_error(error)[1]))
        return redirect(url_for("search.results", token=token), 303)
    headings = [str(words.COLUMNS[name]) for name in hitlist.COLUMNS]
    response = Response(hitlist.lines(views, headings), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="hits.csv"'
    return response


def _only_purpose() -> str | None:
    found: list[Purpose] = sorted(g.actor.purposes)
    return found[0].value if len(found) == 1 else None
