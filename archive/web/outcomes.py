"""What verifying a contact came to: recorded beside the contact, printed or copied, taken back."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive.casework.verifications import Outcome, reference_of
from archive.errors import BadFields
from archive.web import desk, words
from archive.web import kept as keeping

pages = Blueprint("outcomes", __name__)


@pages.post("/recordings/<uuid:id>/verification")
def record(id: UUID) -> AnyResponse:
    """Records that the contact was confirmed, or was not as it was told."""
    token = request.form.get("view", "")
    back = url_for("recording.page", id=id, view=token or None)
    return _recorded(id, request.form.get("outcome", ""), {}, back)


@pages.post("/verify/<token>/not-found")
def not_found(token: str) -> AnyResponse:
    """Records that the contact the customer told of is not there."""
    kept = desk.kept_or_404(token, "verify")
    back = url_for("verify.contacts", token=token)
    return _recorded(None, Outcome.NOT_FOUND, kept.asked, back)


def _recorded(id: UUID | None, outcome: str, asked: dict[str, str], back: str) -> AnyResponse:
    try:
        reference = desk.archive_().record_verification(
            g.actor, id, outcome=outcome, note=request.form.get("note", ""), asked=asked
        )
    except BadFields:
        flash(_("Not recorded: choose an outcome; the note holds no personal identity code."))
        return redirect(back, 303)
    return redirect(url_for("outcomes.one", reference=reference, view=_view()), 303)


@pages.get("/verifications/<reference>")
def one(reference: str) -> str:
    """The outcome as a sheet: to be printed, or its reference copied."""
    archive = desk.archive_()
    found, view = archive.verification(g.actor, reference_of(reference) or abort(404))
    return render_template(
        "verification.html",
        found=found,
        view=view,
        outcome=words.OUTCOMES[found.outcome.value],
        by=archive.names([found.by]).get(found.by, "–"),
        may_undo=found.may_be_undone(g.actor, archive.now()),
        token=_view(),
    )


@pages.post("/verifications/<reference>/undo")
def undo(reference: str) -> AnyResponse:
    """Takes the outcome back; its sheet then says so."""
    desk.archive_().undo_verification(g.actor, reference_of(reference) or abort(404))
    flash(_("The outcome was taken back."))
    return redirect(url_for("outcomes.one", reference=reference, view=_view()), 303)


def _view() -> str | None:
    """The list that the page was reached by, if it is this session's."""
    token = request.form.get("view") or request.args.get("view") or ""
    return token if keeping.find(desk.archive_(), g.actor, token) is not None else None
