"""What the person should know, and where it is mailed to besides."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive.archive import Held
from archive.casework import outgoing
from archive.errors import BadFields
from archive.web import desk, gate

pages = Blueprint("notices", __name__)


@pages.get("/notices")
def listing() -> str:
    """Every notice of the last three months, those not yet seen at the top."""
    return _page()


@pages.post("/notices/seen")
def seen() -> Response:
    """Marks every notice as seen."""
    desk.archive_().see_notices(g.actor)
    return redirect(url_for("notices.listing"), 303)


@pages.post("/notices/address")
def address() -> Response | tuple[str, int]:
    """Where the person's notices are mailed to from now on; empty: nowhere."""
    given = request.form.get("email", "").strip()
    try:
        gate.people().mail_to(UUID(g.actor.id), given or None, by=g.actor)
    except BadFields:
        return _page(given=given, wrong=True), 422
    flash(_("Notices are mailed to you.") if given else _("Notices are no longer mailed to you."))
    return redirect(url_for("notices.listing"), 303)


def _page(*, given: str | None = None, wrong: bool = False) -> str:
    archive = desk.archive_()
    known = gate.people().mailed_to(UUID(g.actor.id)) or ""
    return render_template(
        "notices.html",
        found=archive.notices(g.actor),
        address=known if given is None else given,
        wrong=wrong,
        mails=outgoing.server_of(archive.config) is not None,
        holds={str(held.hold.id) for held in _my_holds()},
    )


def _my_holds() -> list[Held]:
    """The holds that the person can be led to."""
    return desk.archive_().list_holds(g.actor) if desk.works_with_holds() else []
