"""A customer's calls and emails in one line, with what verifying them came to, and the pauses.

Starts from what was asked at the field of verification; the customer number that the contacts
agree on, and what the reader adds, widen it. What may be seen is decided by the verbs alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from archive import permissions, retention
from archive.archive import View
from archive.casework.verifications import Verification
from archive.web import desk, verify
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("timeline", __name__)

MOST = 200  # contacts by each identifier
MOST_ADDED = 5
PAUSE = timedelta(days=45)
_IDENTIFIERS = ("customer", "phone", "email", "metering_point", "case")


@dataclass(frozen=True, slots=True)
class Moment:
    """One contact. `month` where one begins, `pause` how many days lie before the next one."""

    view: View
    month: date | None
    pause_days: int | None


@pages.get("/verify/<token>/timeline")
def line(token: str) -> str:
    """Everything of the customer, newest first."""
    verify.require()
    kept = desk.kept_or_404(token, "verify")
    views, more = _gather(kept)
    found = desk.archive_().verifications(g.actor, views)
    return render_template(
        "timeline.html",
        token=token,
        kept=kept,
        moments=_moments(views),
        more=more,
        verified=found,
        names=_names(found),
    )


@pages.post("/verify/<token>/timeline")
def add(token: str) -> Response:
    """A further number or address of the same customer; under an address of its own."""
    verify.require()
    kept = desk.kept_or_404(token, "verify")
    typed = request.form.get("contact", "").strip()[: verify.LONGEST]
    added = _added(kept)
    if verify.problem(typed) or len(added) >= MOST_ADDED:
        flash(_("Not added: type a whole number or address of the customer, five at most."))
        return redirect(url_for("timeline.line", token=token), 303)
    also = json.dumps([*added, verify.best(typed)])
    asked = kept.asked | {"also": ", ".join(filter(None, (kept.asked.get("also"), typed)))}
    widened = Kept(
        desk="verify", asked=asked, query=kept.query | {"also": also}, purpose=kept.purpose,
        case=kept.case,
    )  # fmt: skip
    made = keeping.keep(desk.archive_(), g.actor, widened)
    return redirect(url_for("timeline.line", token=made), 303)


def _gather(kept: Kept) -> tuple[list[View], bool]:
    """The contacts by everything that the customer is known by, each once; whether some lack."""
    asked = {n: v for n, v in kept.query.items() if n in _IDENTIFIERS}
    found, more = _find(asked)
    for name, value in _added(kept):
        others, lacking = _find({name: value})
        found, more = found | others, more or lacking
    numbers = {v.descriptor.customer_number for v in found.values()} - {None}
    if len(numbers) == 1 and "customer" not in asked:  # of several it is unknown whose this is
        others, lacking = _find({"customer": str(numbers.pop())})
        found, more = found | others, more or lacking
    return sorted(found.values(), key=lambda v: (v.occurred_at, v.id), reverse=True), more


def _find(fields: dict[str, str]) -> tuple[dict[UUID, View], bool]:
    query = desk.to_query(fields)
    permissions.require_customer(g.actor, query)
    page = desk.archive_().find(g.actor, query, limit=MOST)
    return {view.id: view for view in page.items}, page.next is not None


def _added(kept: Kept) -> list[tuple[str, str]]:
    return [(name, value) for name, value in json.loads(kept.query.get("also", "[]"))]


def _moments(views: Sequence[View]) -> list[Moment]:
    made: list[Moment] = []
    month: date | None = None
    for n, view in enumerate(views):
        begins = retention.local(view.occurred_at).date().replace(day=1)
        following = views[n + 1].occurred_at if n + 1 < len(views) else None
        pause = _pause(view.occurred_at, following)
        made.append(Moment(view, begins if begins != month else None, pause))
        month = begins
    return made


def _pause(at: datetime, before: datetime | None) -> int | None:
    if before is None or at - before < PAUSE:
        return None
    return (at - before).days


def _names(found: dict[UUID, tuple[Verification, ...]]) -> dict[str, str]:
    return desk.archive_().names({each.by for several in found.values() for each in several})
