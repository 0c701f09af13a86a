"""People and machine tokens. An administrator meets no recording here or anywhere."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions
from archive.alarms import Alarm
from archive.errors import BadFields, NameTaken
from archive.keyring import rootwatch
from archive.model import Purpose, Scope
from archive.web import accounts, gate
from archive.web.desk import archive_

pages = Blueprint("admin", __name__)


@pages.get("/admin")
def overview() -> str:
    """Everybody and every token."""
    permissions.require(g.actor, Scope.ADMIN)
    return _page()


@pages.post("/admin/people")
def create_person() -> tuple[str, int]:
    """A new user, who comes in by a one-time login shown this once."""
    permissions.require(g.actor, Scope.ADMIN)
    name, people = request.form.get("name", "").strip(), gate.people()
    try:
        people.create(
            name,
            request.form.get("group", ""),
            None,
            accounts.names("lines"),
            companies=accounts.names("companies"),
            by=g.actor,
        )
    except NameTaken:
        return _page(problems={"person.name": "taken"}), 409
    except BadFields as error:
        return _page(problems={f"person.{e.field}": "wrong" for e in error.errors}), 422
    return _page(link=_once(people.one_time_link(name)), made=name), 201


@pages.post("/admin/people/<uuid:id>/link")
def new_link(id: UUID) -> tuple[str, int]:
    """A fresh one-time login for somebody who cannot get in."""
    permissions.require(g.actor, Scope.ADMIN)
    people = gate.people()
    name = next((p.name for p in people.people() if p.id == id), "")
    return _page(link=_once(people.one_time_link(name)), made=name), 201


@pages.post("/admin/people/<uuid:id>/disable")
def disable_person(id: UUID) -> Response:
    """Locks somebody out at once."""
    permissions.require(g.actor, Scope.ADMIN)
    if str(id) != g.actor.id:
        gate.people().disable(id, by=g.actor)
        flash(_("The user was disabled and every session of theirs ended."))
    return redirect(url_for("admin.overview"), 303)


@pages.post("/admin/tokens")
def create_token() -> tuple[str, int]:
    """A new machine token, shown this once."""
    permissions.require(g.actor, Scope.ADMIN)
    form = request.form
    try:
        token = gate.people().create_token(
            form.get("name", "").strip(),
            scopes=form.getlist("scope"),
            source=form.get("source", "").strip() or None,
            lines=accounts.names("lines"),
            purpose=form.getlist("purpose") or [Purpose.VERIFICATION],
            by=g.actor,
        )
    except BadFields as error:
        return _page(problems={f"token.{e.field}": "wrong" for e in error.errors}), 422
    return _page(token=token, made=form["name"]), 201


@pages.post("/admin/tokens/<uuid:id>/revoke")
def revoke_token(id: UUID) -> Response:
    """Ends a token."""
    permissions.require(g.actor, Scope.ADMIN)
    gate.people().revoke_token(id, by=g.actor)
    flash(_("The token was revoked."))
    return redirect(url_for("admin.overview"), 303)


def _page(
    *,
    problems: dict[str, str] | None = None,
    link: str | None = None,
    token: str | None = None,
    made: str | None = None,
) -> str:
    return render_template(
        "admin.html",
        alarms=_alarms(),
        people=gate.people().people(),
        tokens=gate.people().tokens(),
        groups=permissions.groups(),
        scopes=sorted(permissions.TOKEN_SCOPES),
        purposes=sorted(Purpose),
        problems=problems or {},
        form=request.form,
        link=link,
        token=token,
        made=made,
    )


def _alarms() -> tuple[Alarm, ...]:
    archive = archive_()
    days = archive.config.root_rotation_days
    return rootwatch.standing(archive.keys, days=days, now=archive.now())


def _once(token: str) -> str:
    return url_for("login.once", token=token, _external=True)
