"""Complaint cases: the list of one's own, one case as a timeline, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from uuid import UUID

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions, retention
from archive.answers import CaseEntry, CaseFile
from archive.casework.cases import Note, owners
from archive.errors import (
    AlreadyHeld,
    BadFields,
    BadRequest,
    CaseClosed,
    CaseRequired,
    ConsequencesChanged,
    HoldBeingPlaced,
    NotFound,
    SecondPersonNeeded,
)
from archive.formats.identifiers import CASE_NUMBER, find_hetu
from archive.model import Kind, Purpose, Scope
from archive.web import desk, gate
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("cases", __name__)
FINDING = ("customer", "phone", "email", "metering_point", "q", "from", "to")
MOST_FORM = 320
CLOCK = re.compile(r"(?:(\d{1,2})[:.])?(\d{1,3})[:.](\d{2})(?:,(\d))?|(\d{1,5})")


# -- the list --------------------------------------------------------------------------


@pages.get("/cases")
def listing() -> str:
    """Open cases of one's own, those past their day at the top; on request all, or closed ones."""
    return _list({}, {})


@pages.post("/cases")
def create() -> AnyResponse | tuple[str, int]:
    """Opens a case, under the year's next number or one that was given, and goes there."""
    permissions.require(g.actor, Scope.CASES)
    archive, form = desk.archive_(), request.form
    given = {name: form.get(name, "").strip() for name in ("number", "customer", "subject", "due")}
    problems = _problems(given)
    if given["number"] and not CASE_NUMBER.fullmatch(given["number"]):
        problems["number"] = "number"
    if problems:
        return _list(_kept_fields(given, problems), problems), 422
    if given["number"] and _exists(given["number"]):
        flash(_("There is a case of this number already; this is it."))
        return redirect(url_for("cases.one", number=given["number"]), 303)
    number = archive.open_case(
        g.actor,
        given["number"] or None,
        subject=given["subject"],
        customer=given["customer"],
        due_on=_due(given["due"]),
    )
    flash(_("Complaint case %(number)s was opened.", number=number))
    return redirect(url_for("cases.one", number=number), 303)


def _list(given: dict[str, str], problems: dict[str, str]) -> str:
    archive = desk.archive_()
    works = Scope.CASES in g.actor.scopes
    shown = request.args.get("show", "mine" if works else "all")
    shown = shown if shown in {"mine", "all", "closed"} else "mine"
    found = archive.list_cases(g.actor, mine=shown == "mine", closed=shown == "closed")
    return render_template(
        "cases.html",
        found=found,
        shown=shown,
        works=works,
        today=_today(),
        names=archive.names(owners(found)),
        given=given,
        problems=problems,
    )


def _today() -> date:
    return retention.local(desk.archive_().now()).date()


def _exists(number: str) -> bool:
    try:
        desk.archive_().case_file(g.actor, number)
    except NotFound:
        return False
    return True


def _problems(given: dict[str, str]) -> dict[str, str]:
    """What is wrong with a case's fields: field → "hetu", "long", "date"."""
    problems = {}
    for name, most in (("customer", 100), ("subject", 300)):
        if find_hetu(given[name]):
            problems[name] = "hetu"
        elif len(given[name]) > most or not given[name].isprintable():
            problems[name] = "long"
    try:
        _due(given["due"])
    except (ValueError, OverflowError):
        problems["due"] = "date"
    return problems


def _kept_fields(given: dict[str, str], problems: dict[str, str]) -> dict[str, str]:
    """What the form shows again; never a personal identity code."""
    return {name: "" if problems.get(name) == "hetu" else value for name, value in given.items()}


def _due(written: str) -> date | None:
    return desk.day(written) if written else None


# -- one case --------------------------------------------------------------------------


@pages.get("/cases/<number>")
def one(number: str) -> str:
    """The case as a timeline of calls, emails and notes."""
    return _case({})


def _case(problems: dict[str, str], number: str | None = None) -> str:
    archive = desk.archive_()
    file = archive.case_file(g.actor, number or str((request.view_args or {})["number"]))
    open_ = file.case.closed_at is None
    works = Scope.CASES in g.actor.scopes and open_
    return render_template(
        "case.html",
        file=file,
        case=file.case,
        moments=_moments(file),
        works=works,
        may_make_evidence=permissions.may_make_evidence(g.actor),
        may_reopen=Scope.CASES in g.actor.scopes and not open_,
        in_grace=sum(_kept_in_grace(entry, file.case.number) for entry in file.entries),
        today=_today(),
        names=archive.names(_people(file)),
        keepers=archive.colleagues(g.actor),
        handlers=[one for one in archive.handlers(g.actor) if str(one.id) != file.case.owner],
        problems=problems,
    )


def _moments(file: CaseFile) -> list[CaseEntry | Note]:
    """Recordings and the case's own notes in one line, by when each happened."""
    both: list[CaseEntry | Note] = [*file.entries, *file.notes]
    return sorted(both, key=lambda m: m.at if isinstance(m, Note) else m.view.occurred_at)


def _kept_in_grace(entry: CaseEntry, number: str) -> bool:
    own = [held.hold for held in entry.view.holds if held.hold.case == number]
    return bool(own) and all(hold.released_at for hold in own)


def _people(file: CaseFile) -> set[str]:
    notes = [*file.notes, *(note for entry in file.entries for note in entry.notes)]
    held = [held for entry in file.entries for held in entry.view.holds]
    changes = [change for one in held if one.terms for change in one.terms.changes]
    return {
        *owners([file.case]),
        *(note.by for note in notes),
        *(one.hold.owner for one in held),
        *(change.by for change in changes),
        *(change.became for change in changes if change.became),
    }


@pages.post("/cases/<number>/about")
def change(number: str) -> AnyResponse | tuple[str, int]:
    """What the case is about, and its day."""
    given = {name: request.form.get(name, "").strip() for name in ("customer", "subject", "due")}
    problems = _problems(given)
    if problems:
        return _case(problems, number), 422
    desk.archive_().change_case(
        g.actor,
        number,
        subject=given["subject"],
        customer=given["customer"],
        due_on=_due(given["due"]),
    )
    flash(_("The case was changed."))
    return _back(number)


@pages.post("/cases/<number>/owner")
def hand_over(number: str) -> AnyResponse:
    """Makes a colleague the owner of the case and of its holds."""
    owner, reason = request.form.get("owner", ""), request.form.get("reason", "")
    try:
        moved = desk.archive_().hand_over_case(g.actor, number, owner=owner, reason=reason)
    except BadFields:
        flash(_("Not handed over: choose a colleague and give a reason."))
    else:
        flash(
            ngettext(
                "The case was handed over, with %(num)s hold.",
                "The case was handed over, with %(num)s holds.",
                moved,
            )
        )
    return _back(number)


@pages.post("/cases/<number>/notes")
def note(number: str) -> AnyResponse:
    """A note in the case, about a recording, or at a place of a call."""
    form = request.form
    try:
        id = UUID(form["recording"]) if form.get("recording") else None
        start, end = _seconds(form.get("start", "")), _seconds(form.get("end", ""))
        desk.archive_().note_in_case(
            g.actor, number, form.get("text", ""), id=id, start_s=start, end_s=end
        )
    except (BadFields, ValueError):
        flash(_("Not noted: write something, and give places like 4:03, the end after the start."))
        return _noted(number)
    flash(_("Noted."))
    return _noted(number, id, start)


def _noted(number: str, id: UUID | None = None, start: float | None = None) -> AnyResponse:
    """To the recording's page if the note was written there, at its place; else to the case."""
    wanted = gate.local_path(request.form.get("next"))
    if wanted == "/":
        return _back(number, id)
    return redirect(wanted if start is None else f"{wanted}#t={start:g}", 303)


@pages.post("/cases/<number>/notes/<uuid:note>/remove")
def remove_note(number: str, note: UUID) -> AnyResponse:
    """Removes a note of one's own."""
    desk.archive_().remove_note(g.actor, number, note)
    flash(_("The note was removed."))
    return _back(number)


def _seconds(written: str) -> float | None:
    """A place in a call: "4:03", "1:04:03", "4.03", "63". ValueError."""
    if not written.strip():
        return None
    found = CLOCK.fullmatch(written.strip())
    if found is None:
        raise ValueError(written)
    hours, minutes, seconds, tenths, bare = found.groups()
    if bare is not None:
        return float(bare)
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(tenths or 0) / 10


# -- its recordings --------------------------------------------------------------------


@pages.post("/cases/<number>/recordings/<uuid:id>/show")
def show(number: str, id: UUID) -> AnyResponse:
    """The recording within the case, at a place of it if one is given."""
    permissions.require_holds(g.actor)
    task = Kept(desk="single", asked={}, query={}, pages=[[str(id)]])
    if Purpose.COMPLAINT in g.actor.purposes:
        task.purpose, task.case = Purpose.COMPLAINT.value, number
    token = keeping.keep(desk.archive_(), g.actor, task)
    place = request.form.get("at", "")
    anchor = f"t={place}" if re.fullmatch(r"\d{1,5}(\.\d)?", place) else None
    return redirect(url_for("recording.page", id=id, view=token, _anchor=anchor), 303)


@pages.post("/cases/<number>/recordings/<uuid:id>/hold")
def hold(number: str, id: UUID) -> AnyResponse:
    """Holds the recording for the case."""
    try:
        review_on = desk.day(request.form.get("review_on", ""))
        reason = request.form.get("reason", "")
        desk.archive_().hold(g.actor, id, case=number, reason=reason, review_on=review_on)
    except (BadFields, ValueError):
        flash(_("Not held: give a reason and a review date that is still to come."))
    except CaseRequired:
        flash(_("Not held: the complaint case is not open."))
    except AlreadyHeld:
        flash(_("The recording is held already."))
    else:
        flash(_("The recording is held. It is kept until the hold is released."))
    return _back(number, id)


@pages.post("/cases/<number>/recordings/<uuid:id>/remove")
def take_out(number: str, id: UUID) -> AnyResponse:
    """Takes the recording out of the case, with what was noted about it there."""
    desk.archive_().take_out_of_case(g.actor, number, id)
    flash(_("The recording was taken out of the case."))
    return _back(number)


@pages.get("/cases/<number>/find")
def find_form(number: str) -> str:
    """The form by which recordings are found for the case."""
    return _find(number, None, {})


@pages.post("/cases/<number>/find")
def find(number: str) -> AnyResponse | tuple[str, int]:
    """Keeps the question under an opaque address and goes there."""
    permissions.require(g.actor, Scope.CASES)
    asked = {
        name: value for name in FINDING if (value := request.form.get(name, "").strip()[:MOST_FORM])
    }
    problems = {name: "hetu" for name, value in asked.items() if find_hetu(value)}
    for name in ("from", "to"):
        try:
            desk.edge(asked.get(name), end=name == "to")
        except (ValueError, OverflowError):
            problems[name] = "date"
    if not asked:
        problems["customer"] = "empty"
    if problems:
        return _find(number, None, problems, _kept_fields(asked, problems)), 422
    task = Kept(desk="case", asked=asked, query=asked, case=number)
    token = keeping.keep(desk.archive_(), g.actor, task)
    return redirect(url_for("cases.found", number=number, token=token), 303)


@pages.get("/cases/<number>/find/<token>")
def found(number: str, token: str) -> str:
    """What was found, to be chosen from."""
    kept = desk.kept_or_404(token, "case")
    if kept.case != number:
        abort(404)
    page = request.args.get("page", 1, int) - 1
    return _find(number, desk.turn(token, kept, page), {}, kept.asked)


@pages.post("/cases/<number>/recordings")
def add(number: str) -> AnyResponse:
    """Adds the chosen recordings to the case."""
    archive, added = desk.archive_(), 0
    for id in _ids(request.form.getlist("id")):
        try:
            archive.add_to_case(g.actor, number, id)
        except NotFound:
            continue  # gone since it was shown
        except CaseRequired:
            raise CaseClosed() from None
        added += 1
    flash(
        ngettext(
            "%(num)s recording was added to the case.",
            "%(num)s recordings were added to the case.",
            added,
        )
    )
    return _back(number)


def _ids(written: Iterable[str]) -> list[UUID]:
    try:
        return [UUID(each) for each in written][: desk.PAGE]
    except ValueError:
        raise BadRequest(reason="not a recording's id") from None


def _find(
    number: str,
    listing: desk.Listing | None,
    problems: dict[str, str],
    asked: dict[str, str] | None = None,
) -> str:
    permissions.require(g.actor, Scope.CASES)
    file = desk.archive_().case_file(g.actor, number)
    customer = file.case.about.customer if file.case.about else ""
    if asked is None:
        asked = {"customer": customer} if customer else {}
    return render_template(
        "case_find.html",
        case=file.case,
        listing=listing,
        asked=asked,
        problems=problems,
        there={entry.view.id for entry in file.entries},
    )


# -- its end ---------------------------------------------------------------------------


@pages.get("/cases/<number>/closing")
def closing(number: str) -> str:
    """What closing the case would do, before it is done."""
    return _closing(number)


@pages.post("/cases/<number>/closing")
def close(number: str) -> AnyResponse | tuple[str, int]:
    """Closes the case as shown, or asks for it where two people have to want it."""
    form = request.form
    try:
        done = desk.archive_().close_case(
            g.actor, number, seen=form.get("seen", ""), reason=form.get("reason", "")
        )
    except BadFields:
        return _closing(number, "reason"), 422
    except ConsequencesChanged:
        return _closing(number, "changed"), 409
    except HoldBeingPlaced:
        return _closing(number, "placing"), 409
    except SecondPersonNeeded:
        flash(_("You asked for the closing yourself. Another person has to confirm it."))
        return _back(number)
    if done.done:
        flash(
            ngettext(
                "The case was closed; %(num)s hold was released.",
                "The case was closed; %(num)s holds were released.",
                len(done.released),
            )
        )
    else:
        flash(_("The closing was asked for. Another person has to confirm it."))
    return _back(number)


@pages.post("/cases/<number>/closing/refuse")
def refuse(number: str) -> AnyResponse:
    """Takes back that somebody asked for closing the case."""
    desk.archive_().refuse_closing(g.actor, number)
    flash(_("The case stays open."))
    return _back(number)


@pages.post("/cases/<number>/reopen")
def reopen(number: str) -> AnyResponse:
    """Opens a closed case again, and holds again what is still in its days of grace if asked."""
    form = request.form
    try:
        review_on = desk.day(form.get("review_on", "")) if form.get("again") else None
        held = desk.archive_().reopen_case(
            g.actor, number, reason=form.get("reason", ""), review_on=review_on
        )
    except (BadFields, ValueError):
        flash(_("Not reopened: give a reason, and to hold again a review date still to come."))
        return _back(number)
    flash(
        ngettext(
            "The case is open again; %(num)s recording is held again.",
            "The case is open again; %(num)s recordings are held again.",
            held,
        )
    )
    return _back(number)


def _closing(number: str, problem: str | None = None) -> str:
    archive = desk.archive_()
    found = archive.closing_of(g.actor, number)
    file = archive.case_file(g.actor, number)
    views = {entry.view.id: entry.view for entry in file.entries}
    return render_template(
        "case_closing.html",
        case=file.case,
        found=found,
        views=views,
        problem=problem,
        asked_by=archive.names([found.requested_by]).get(found.requested_by)
        if found.requested_by
        else None,
        own_request=found.requested_by == g.actor.id,
        grace_days=archive.config.hold_grace_days,
        now=archive.now(),
        calls=sum(view.kind is Kind.CALL for view in views.values()),
    )


def _back(number: str, id: UUID | None = None) -> AnyResponse:
    """To the case, at a recording of it if one is named."""
    return redirect(url_for("cases.one", number=number, _anchor=f"r-{id}" if id else None), 303)
