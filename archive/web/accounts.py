"""One user, as an administrator sees and changes them: rights, sessions. No recording is met here.

Nobody alters their own rights: the people refuse that, whatever page asks.
"""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions
from archive.auth import Person
from archive.errors import BadFields, NotFound
from archive.model import Scope
from archive.staffdesk import StaffDesk
from archive.web import gate
from archive.web.desk import archive_

pages = Blueprint("accounts", __name__)


@pages.get("/admin/people/<uuid:id>")
def one(id: UUID) -> str:
    """The user's group, lines and companies."""
    permissions.require(g.actor, Scope.ADMIN)
    return _page(id, set())


@pages.post("/admin/people/<uuid:id>/rights")
def change_rights(id: UUID) -> Response | tuple[str, int]:
    """Other rights for the user, who has to log in anew."""
    permissions.require(g.actor, Scope.ADMIN)
    try:
        gate.people().change_rights(
            id,
            group=request.form.get("group", ""),
            lines=names("lines"),
            companies=names("companies"),
            by=g.actor,
        )
    except BadFields as error:
        return _page(id, {wrong.field for wrong in error.errors}), 422
    flash(_("The rights were changed. The user has to log in again."))
    return redirect(url_for("accounts.one", id=id), 303)


@pages.post("/admin/people/<uuid:id>/second-factor/reset")
def reset_factor(id: UUID) -> Response:
    """Takes the second factor away from somebody who lost it."""
    permissions.require(g.actor, Scope.ADMIN)
    gate.people().remove_factor(id, by=g.actor)
    flash(_("The second factor was removed, and the user's sessions ended."))
    return redirect(url_for("accounts.one", id=id), 303)


@pages.post("/admin/people/<uuid:id>/sessions/end")
def end_sessions(id: UUID) -> Response:
    """Ends every session of the user's."""
    permissions.require(g.actor, Scope.ADMIN)
    gate.people().end_sessions(id, by=g.actor)
    flash(_("The user's sessions were ended."))
    return redirect(url_for("accounts.one", id=id), 303)


@pages.post("/admin/people/<uuid:id>/numbers")
def give_number(id: UUID) -> Response | tuple[str, int]:
    """A number or address of the user's own."""
    permissions.require(g.actor, Scope.ADMIN)
    _person(id)
    form = request.form
    try:
        StaffDesk(archive_()).give(
            g.actor, id, kind=form.get("kind", ""), number=form.get("number", "")
        )
    except BadFields:
        return _page(id, {"number"}), 422
    flash(_("The number was saved, as a digest that tells it to nobody."))
    return redirect(url_for("accounts.one", id=id), 303)


@pages.post("/admin/people/<uuid:id>/numbers/<uuid:own>/take")
def take_number(id: UUID, own: UUID) -> Response:
    """Takes one away."""
    StaffDesk(archive_()).take(g.actor, id, own)
    return redirect(url_for("accounts.one", id=id), 303)


def names(field: str) -> list[str] | None:
    """The names in a field, separated by commas; None where it is empty."""
    given = [name.strip() for name in request.form.get(field, "").split(",")]
    return [name for name in given if name] or None


def _page(id: UUID, problems: set[str]) -> str:
    people = gate.people()
    return render_template(
        "person.html",
        person=_person(id),
        has_factor=people.factor_of(id)[0],
        sessions=people.sessions_of(id, this=g.actor.session),
        agreed=people.agreed(id),
        numbers=StaffDesk(archive_()).numbers(g.actor, id),
        wrong="number" in problems,
        groups=permissions.groups(),
        problems=problems,
        own=str(id) == g.actor.id,
    )


def _person(id: UUID) -> Person:
    found = [p for p in gate.people().people() if p.id == id and p.disabled_at is None]
    if not found:
        raise NotFound()
    return found[0]
