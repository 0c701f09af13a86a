"""Where recordings come from: what each source may deliver, what it delivered, who is silent."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions
from archive.errors import BadFields, NotFound
from archive.model import Scope
from archive.web import desk, gate

pages = Blueprint("sources", __name__)
DAYS = 7


@pages.get("/admin/sources")
def overview() -> str:
    """Every source with its last days."""
    permissions.require(g.actor, Scope.ADMIN)
    return _page()


@pages.post("/admin/sources/lines")
def allow() -> Response | tuple[str, int]:
    """One more line that a source may deliver for."""
    permissions.require(g.actor, Scope.ADMIN)
    source, line = request.form.get("source", ""), request.form.get("line", "")
    try:
        desk.archive_().allow_line(g.actor, source=source, line=line)
    except BadFields as error:
        return _page(problems={e.field for e in error.errors}), 422
    flash(_("The source may deliver for this line; unlisted lines are refused."))
    return redirect(url_for("sources.overview"), 303)


@pages.post("/admin/sources/lines/remove")
def disallow() -> Response:
    """A line that a source may no longer deliver for."""
    permissions.require(g.actor, Scope.ADMIN)
    source, line = request.form.get("source", ""), request.form.get("line", "")
    try:
        desk.archive_().disallow_line(g.actor, source=source, line=line)
    except NotFound:
        pass  # somebody else was faster
    else:
        flash(_("The source may no longer deliver for this line."))
    return redirect(url_for("sources.overview"), 303)


def _page(*, problems: set[str] | None = None) -> str:
    tokens = gate.people().tokens()
    known = {t.source for t in tokens if t.source and t.revoked_at is None}
    return render_template(
        "sources.html",
        sources=desk.archive_().sources(g.actor, days=DAYS, known=known),
        problems=problems or set(),
        form=request.form,
    )
