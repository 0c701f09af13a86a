"""What was not understood, or holds what it should not: one page to look after it."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions
from archive.errors import BadFields, FieldError
from archive.model import Scope
from archive.reviews import REASONS
from archive.web import desk

pages = Blueprint("reviews", __name__)
PAGE = 25
_STRETCH = re.compile(r"(?:(\d{1,4}):)?(\d{1,5})\s*[-–]\s*(?:(\d{1,4}):)?(\d{1,5})")
# What can be added, in the order of the form.
FIELDS = ("occurred_at", "agent", "customer_number", "caller", "callee", "metering_point", "notes")


@pages.get("/reviews")
def listing() -> str:
    """What waits, the oldest first."""
    return _page()


@pages.post("/reviews/<uuid:id>/mend")
def mend(id: UUID) -> AnyResponse | tuple[str, int]:
    """Adds metadata, and sends the recording on."""
    permissions.require(g.actor, Scope.REVIEW)
    given = {name: request.form.get(name, "").strip() for name in FIELDS}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value}
    try:
        if silence := request.form.get("silence", "").strip():
            changes["masked"] = _with_silence(id, silence)
        if not changes:
            raise BadFields(errors=[])
        desk.archive_().mend(g.actor, id, changes)
    except BadFields as error:
        return _page(wrong=id, problems={e.field for e in error.errors}), 422
    desk.archive_().settle_review(g.actor, id)
    flash(_("The data was added and the recording sent on."))
    return _back()


@pages.post("/reviews/<uuid:id>/settle")
def settle(id: UUID) -> AnyResponse:
    """Sends the recording on as it is."""
    desk.archive_().settle_review(g.actor, id)
    flash(_("The recording was sent on as it is."))
    return _back()


@pages.post("/reviews/<uuid:id>/again")
def again(id: UUID) -> AnyResponse:
    """Has the recording read once more."""
    desk.archive_().describe_again(g.actor, id)
    flash(_("The recording is read again. In a moment it is seen here whether that helped."))
    return _back()


def _with_silence(id: UUID, written: str) -> list[list[float]]:
    """The stretches that are silent already, and one more: "1:03-1:20", "63-80". BadFields."""
    found = _STRETCH.fullmatch(written)
    if found is None:
        raise BadFields(errors=[FieldError("silence", "from and to, as 1:03-1:20")])
    start, end = (float(found[n] or 0) * 60 + float(found[n + 1]) for n in (1, 3))
    if end <= start:
        raise BadFields(errors=[FieldError("silence", "an end after the start")])
    before = desk.archive_().describe(g.actor, id).descriptor.masked
    return [*(list(one) for one in before), [start, end]]


def _back() -> AnyResponse:
    return redirect(url_for("reviews.listing", reason=_shown()), 303)


def _shown() -> str | None:
    reason = request.values.get("reason", "")
    return reason if reason in REASONS else None


def _page(*, wrong: UUID | None = None, problems: set[str] | None = None) -> str:
    number = request.args.get("page", "0")
    page = int(number) if number.isdigit() and len(number) < 6 else 0
    reason = _shown()
    archive = desk.archive_()
    found = archive.to_review(g.actor, reason=reason, limit=PAGE + 1, offset=page * PAGE)
    progress, lacking = archive.review_progress(g.actor)
    return render_template(
        "reviews.html",
        found=found[:PAGE],
        more=len(found) > PAGE,
        page=page,
        reason=reason,
        progress=progress,
        lacking=lacking,
        waiting=ngettext("%(num)s recording waits", "%(num)s recordings wait", progress.recordings),
        wrong=wrong,
        problems=problems or set(),
        form=request.form,
    )
