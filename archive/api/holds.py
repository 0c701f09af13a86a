"""Holds for complaint cases, and restrictions: placed, listed, released."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request

from archive.api import shape
from archive.api.reading import _created, _json, _text
from archive.archive import Archive
from archive.errors import BadFields, FieldError

_CHANGEABLE = frozenset({"review_on", "owner", "reason"})


def add_routes(api: Blueprint) -> None:
    """Routes of holds and of the restriction of a recording."""
    one = "/recordings/<uuid:id>"
    api.add_url_rule("/holds", view_func=list_holds)
    api.add_url_rule(f"{one}/holds", view_func=place, methods=["POST"])
    api.add_url_rule(f"{one}/holds/<uuid:hold>", view_func=release, methods=["DELETE"])
    api.add_url_rule(f"{one}/holds/<uuid:hold>", view_func=change, methods=["PATCH"])
    api.add_url_rule(f"{one}/restriction", view_func=restrict, methods=["POST"])
    api.add_url_rule(f"{one}/restriction", view_func=unrestrict, methods=["DELETE"])


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def list_holds() -> Response:
    """Holds by review date: all, of a case, or those whose review is due."""
    unknown = sorted(request.args.keys() - {"due", "case"})
    due = request.args.get("due", "false")
    errors = [FieldError(name, "one of due, case") for name in unknown]
    if due not in {"true", "false"}:
        errors.append(FieldError("due", "true or false"))
    if errors:
        raise BadFields(errors=errors)
    found = _archive().list_holds(g.actor, due=due == "true", case=request.args.get("case"))
    return jsonify({"items": [shape.hold(held) for held in found]})


def place(id: UUID) -> Response:
    """Holds a recording for an open case."""
    asked = _json()
    review_on = _day(asked)
    if review_on is None:
        raise BadFields(errors=[FieldError("review_on", "a day after today, YYYY-MM-DD")])
    held = _archive().hold(
        g.actor,
        id,
        case=_text(asked, "case") or "",
        reason=_text(asked, "reason") or "",
        review_on=review_on,
        basis=_text(asked, "legal_basis") or "",
    )
    return _created(shape.hold(held))


def release(id: UUID, hold: UUID) -> Response:
    """Releases a hold; 202 while a second person has to confirm it."""
    held = _archive().release(g.actor, id, hold)
    response = jsonify(shape.hold(held))
    response.status_code = 200 if held.hold.released_at else 202
    return response


def change(id: UUID, hold: UUID) -> Response:
    """Moves the review of a hold, or hands it over, for a reason."""
    asked = _json()
    unknown = [FieldError(name, "no such field") for name in sorted(asked.keys() - _CHANGEABLE)]
    review_on, owner = _day(asked), _text(asked, "owner")
    if not unknown and (review_on is None) == (owner is None):
        unknown = [FieldError("review_on", "this or owner, one of them at a time")]
    if unknown:
        raise BadFields(errors=unknown)
    reason = _text(asked, "reason") or ""
    if review_on is not None:
        held = _archive().extend_hold(g.actor, id, hold, review_on=review_on, reason=reason)
    else:
        held = _archive().hand_over_hold(g.actor, id, hold, owner=owner or "", reason=reason)
    return jsonify(shape.hold(held))


def restrict(id: UUID) -> Response:
    """Hides a recording from all but data protection (GDPR 18)."""
    asked = _json()
    held = _archive().restrict(
        g.actor, id, reason=_text(asked, "reason") or "", review_on=_day(asked)
    )
    return _created(shape.hold(held))


def unrestrict(id: UUID) -> Response:
    """Lifts the restriction."""
    lifted = _archive().unrestrict(g.actor, id)
    return jsonify({"items": [shape.hold(held) for held in lifted]})


def _day(asked: dict[str, Any]) -> date | None:
    given = _text(asked, "review_on")
    if not given:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise BadFields(errors=[FieldError("review_on", "a day, YYYY-MM-DD")]) from None
