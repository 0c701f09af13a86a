"""Holds and restrictions: placed and released beside a recording, and listed by review date."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import retention
from archive.archive import Held
from archive.errors import AlreadyHeld, BadFields, CaseRequired, HoldReleased, SecondPersonNeeded
from archive.model import Purpose
from archive.web import desk, gate
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("holds", __name__)


@pages.get("/holds")
def listing() -> str:
    """Holds that the person works with, the review that comes first at the top."""
    archive = desk.archive_()
    today = retention.local(archive.now()).date()
    found = archive.list_holds(g.actor)
    sorts = {
        "all": found,
        "mine": [held for held in found if held.hold.owner == g.actor.id],
        "due": [held for held in found if is_due(held, today)],
    }
    shown = request.args.get("show", "all")
    return render_template(
        "holds.html",
        found=sorts.get(shown, found),
        shown=shown if shown in sorts else "all",
        counts={name: len(some) for name, some in sorts.items()},
        due=sorts["due"],
        keepers=archive.colleagues(g.actor),
        dpos=archive.colleagues(g.actor, restriction=True),
    )


def is_due(held: Held, today: date) -> bool:
    """Whether the hold's review is due today or past."""
    hold = held.hold
    return hold.released_at is None and hold.review_on is not None and hold.review_on <= today


@pages.post("/holds/<uuid:hold>/show")
def show(hold: UUID) -> AnyResponse:
    """The held recording, within its case."""
    found = [held.hold for held in desk.archive_().list_holds(g.actor) if held.hold.id == hold]
    if not found:
        abort(404)
    id, case = found[0].recording_id, found[0].case
    task = Kept(desk="single", asked={}, query={}, pages=[[str(id)]])
    if case is not None and Purpose.COMPLAINT in g.actor.purposes:
        task.purpose, task.case = Purpose.COMPLAINT.value, case
    token = keeping.keep(desk.archive_(), g.actor, task)
    return redirect(url_for("recording.page", id=id, view=token), 303)


@pages.post("/recordings/<uuid:id>/holds")
def place(id: UUID) -> AnyResponse:
    """Holds the recording for the case of this task."""
    try:
        review_on = desk.day(request.form.get("review_on", ""))
        desk.archive_().hold(
            g.actor,
            id,
            case=request.form.get("case", "").strip(),
            reason=request.form.get("reason", ""),
            review_on=review_on,
        )
    except (BadFields, ValueError):
        flash(_("Not held: give a reason and a review date that is still to come."))
    except CaseRequired:
        flash(_("Not held: the complaint case is not open."))
    except AlreadyHeld:
        flash(_("The recording is held already."))
    else:
        flash(_("The recording is held. It is kept until the hold is released."))
    return _back(id)


@pages.post("/recordings/<uuid:id>/holds/<uuid:hold>/release")
def release(id: UUID, hold: UUID) -> AnyResponse:
    """Releases the hold, or asks for it where a second person has to confirm."""
    try:
        reason = request.form.get("reason", "")
        held = desk.archive_().release(g.actor, id, hold, reason=reason)
    except SecondPersonNeeded:
        flash(_("You asked for the release yourself. Another person has to confirm it."))
    else:
        if held.hold.released_at is None:
            flash(_("The release was asked for. Another person has to confirm it."))
        else:
            flash(_("The hold was released. What is past its year is kept a few days more."))
    return redirect(url_for("holds.listing"), 303)


@pages.post("/recordings/<uuid:id>/holds/<uuid:hold>/review")
def extend(id: UUID, hold: UUID) -> AnyResponse:
    """Moves the review of a hold."""
    try:
        review_on = desk.day(request.form.get("review_on", ""))
        reason = request.form.get("reason", "")
        desk.archive_().extend_hold(g.actor, id, hold, review_on=review_on, reason=reason)
    except (BadFields, ValueError):
        flash(_("The review was not moved: give a reason and a day that is still to come."))
    except HoldReleased:
        flash(_("The hold has been released already."))
    else:
        flash(_("The review was moved."))
    return _next()


@pages.post("/recordings/<uuid:id>/holds/<uuid:hold>/owner")
def hand_over(id: UUID, hold: UUID) -> AnyResponse:
    """Makes a colleague the owner of a hold."""
    owner, reason = request.form.get("owner", ""), request.form.get("reason", "")
    try:
        desk.archive_().hand_over_hold(g.actor, id, hold, owner=owner, reason=reason)
    except BadFields as error:
        if any(wrong.field == "owner" for wrong in error.errors):
            flash(_("Not handed over: choose a colleague who sees the service line."))
        else:
            flash(_("Not handed over: give a reason."))
    except HoldReleased:
        flash(_("The hold has been released already."))
    else:
        flash(_("The hold was handed over. Its new owner is told."))
    return _next()


@pages.post("/recordings/<uuid:id>/restriction")
def restrict(id: UUID) -> AnyResponse:
    """Hides the recording from all but data protection."""
    try:
        desk.archive_().restrict(g.actor, id, reason=request.form.get("reason", ""))
    except BadFields:
        flash(_("Not restricted: give a reason."))
    except AlreadyHeld:
        flash(_("The recording is restricted already."))
    else:
        flash(_("The recording is restricted: only data protection sees it, and it is kept."))
    return _back(id)


@pages.post("/recordings/<uuid:id>/restriction/lift")
def lift(id: UUID) -> AnyResponse:
    """Lifts the restriction."""
    desk.archive_().unrestrict(g.actor, id)
    flash(_("The restriction was lifted."))
    return redirect(url_for("holds.listing"), 303)


def _back(id: UUID) -> AnyResponse:
    return redirect(url_for("recording.page", id=id, view=request.form.get("view") or None), 303)


def _next() -> AnyResponse:
    """Back to the page that the form stood on."""
    wanted = gate.local_path(request.form.get("next"))
    return redirect(url_for("holds.listing") if wanted == "/" else wanted, 303)
