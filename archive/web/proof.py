"""Erasing before the year is over, and the proof that a recording is gone.

For those who may ask for it: data protection and administration. The verbs decide.
"""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions
from archive.erasure.asking import ErasureRequest
from archive.errors import BadRequest, NotProven, RecordingHeld, StoreUnavailable
from archive.web import desk, words

pages = Blueprint("proof", __name__)


@pages.get("/expiry/proof")
def form() -> str:
    """Asks for a recording's id; below, what was erased before its year was over."""
    return _page()


@pages.post("/expiry/proof")
def prove() -> str:
    """The proof, place by place, or that there is none."""
    given = request.form.get("id", "").strip()
    try:
        id = UUID(given)
    except ValueError:
        return _page(given=given, problem=_("This is not a recording's id."))
    try:
        proof = desk.archive_().prove_expired(g.actor, id)
    except NotProven:
        return _page(given=given, unproven=True)
    return _page(given=given, proof=proof)


def _page(
    *, given: str = "", problem: str | None = None, unproven: bool = False, proof: object = None
) -> str:
    return render_template(
        "proof.html",
        given=given,
        problem=problem,
        unproven=unproven,
        proof=proof,
        erasures=desk.archive_().erasures(g.actor),
        waiting=desk.archive_().erasure_requests(g.actor),
    )


@pages.post("/recordings/<uuid:id>/erasure")
def erase(id: UUID) -> str:
    """Erases at once; tells since when it is gone from where."""
    if request.form.get("sure") != "1":
        return _not_erased(_("Confirm that the recording is to be erased for good."))
    try:
        done = desk.archive_().request_erasure(g.actor, id, reason=request.form.get("reason", ""))
    except BadRequest:
        return _not_erased(_("Choose a reason."))
    except RecordingHeld:
        return _not_erased(_("It is held for a complaint case or restricted. Release it first."))
    except StoreUnavailable:
        return _not_erased(
            _("Nobody sees it any longer, and what is left of it is erased within minutes.")
        )
    if isinstance(done, ErasureRequest):
        return render_template("erased.html", erased=None, asked=done, problem=None)
    return render_template("erased.html", erased=done, asked=None, problem=None)


@pages.post("/recordings/<uuid:id>/erasure/withdrawal")
def withdraw(id: UUID) -> AnyResponse:
    """Takes back the wish to erase; the recording's page again."""
    desk.archive_().withdraw_erasure(g.actor, id)
    return redirect(url_for("recording.page", id=id), 303)


def _not_erased(problem: str) -> str:
    return render_template("erased.html", erased=None, asked=None, problem=problem)


@pages.before_request
def _allowed() -> None:
    if request.endpoint not in ("proof.erase", "proof.withdraw") and not permissions.may_prove(
        g.actor
    ):
        abort(403)


@pages.app_context_processor
def _for_templates() -> dict[str, object]:
    actor = g.get("actor")
    return {
        "may_prove": actor is not None and permissions.may_prove(actor),
        "reasons_to_erase": words.ERASURES,
    }
