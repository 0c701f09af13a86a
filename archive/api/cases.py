"""Complaint cases: opened, listed, filled, handed over, noted in, closed and reopened."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request

from archive.api import shape
from archive.api.reading import _created, _json, _text
from archive.archive import Archive
from archive.errors import BadFields, FieldError


def add_routes(api: Blueprint) -> None:
    """Routes under /cases."""
    one = "/cases/<number>"
    api.add_url_rule("/cases", view_func=open_case, methods=["POST"])
    api.add_url_rule("/cases", view_func=list_cases)
    api.add_url_rule(one, view_func=get_case)
    api.add_url_rule(f"{one}/recordings", view_func=add_to_case, methods=["POST"])
    api.add_url_rule(f"{one}/notes", view_func=add_note, methods=["POST"])
    api.add_url_rule(f"{one}/owner", view_func=hand_over, methods=["PUT"])
    api.add_url_rule(f"{one}/closing", view_func=closing)
    api.add_url_rule(f"{one}/closing", view_func=close, methods=["POST"], endpoint="close_case")
    api.add_url_rule(f"{one}/reopening", view_func=reopen, methods=["POST"])


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def open_case() -> Response:
    """Opens a case under the given number, or the next one of the year."""
    asked = _json()
    number = _archive().open_case(
        g.actor,
        _text(asked, "number"),
        subject=_text(asked, "subject") or "",
        customer=_text(asked, "customer") or "",
        due_on=_day(asked, "due_on"),
    )
    return _created({"number": number})


def list_cases() -> Response:
    """Open cases, or closed ones."""
    closed = request.args.get("closed", "false")
    errors = [FieldError(name, "closed alone") for name in sorted(request.args.keys() - {"closed"})]
    if closed not in {"true", "false"}:
        errors.append(FieldError("closed", "true or false"))
    if errors:
        raise BadFields(errors=errors)
    found = _archive().list_cases(g.actor, mine=False, closed=closed == "true")
    return jsonify({"items": [shape.case(case) for case in found]})


def get_case(number: str) -> Response:
    """A case with its recordings and notes."""
    return jsonify(shape.case_file(_archive().case_file(g.actor, number)))


def add_to_case(number: str) -> Response:
    """Adds a recording to a case."""
    asked = _json()
    id = _id(asked)
    if id is None:
        raise BadFields(errors=[FieldError("id", "a recording's id")])
    _archive().add_to_case(g.actor, number, id)
    return Response(status=204)


def add_note(number: str) -> Response:
    """Notes something in a case, about a recording of it, or at a place of a call."""
    asked = _json()
    made = _archive().note_in_case(
        g.actor,
        number,
        _text(asked, "text") or "",
        id=_id(asked),
        start_s=_seconds(asked, "start_s"),
        end_s=_seconds(asked, "end_s"),
    )
    return _created({"id": str(made)})


def hand_over(number: str) -> Response:
    """Makes another person the owner of a case and of its holds."""
    asked = _json()
    moved = _archive().hand_over_case(
        g.actor, number, owner=_text(asked, "owner") or "", reason=_text(asked, "reason") or ""
    )
    return jsonify({"number": number, "holds": moved})


def closing(number: str) -> Response:
    """What closing the case would do, and the digest by which it is then ordered."""
    return jsonify(shape.consequences(_archive().closing_of(g.actor, number)))


def close(number: str) -> Response:
    """Closes a case as shown; 202 while a second person has to confirm it."""
    asked = _json()
    done = _archive().close_case(
        g.actor, number, seen=_text(asked, "digest") or "", reason=_text(asked, "reason") or ""
    )
    response = jsonify({"closed": done.done, "released": [str(hold.id) for hold in done.released]})
    response.status_code = 200 if done.done else 202
    return response


def reopen(number: str) -> Response:
    """Opens a closed case again; with `review_on`, holds again what it still keeps."""
    asked = _json()
    held = _archive().reopen_case(
        g.actor, number, reason=_text(asked, "reason") or "", review_on=_day(asked, "review_on")
    )
    return jsonify({"number": number, "held": held})


def _id(asked: dict[str, Any]) -> UUID | None:
    given = _text(asked, "id")
    if given is None:
        return None
    try:
        return UUID(given)
    except ValueError:
        raise BadFields(errors=[FieldError("id", "a recording's id")]) from None


def _day(asked: dict[str, Any], name: str) -> date | None:
    given = _text(asked, name)
    if not given:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise BadFields(errors=[FieldError(name, "a day, YYYY-MM-DD")]) from None


def _seconds(asked: dict[str, Any], name: str) -> float | None:
    given = asked.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise BadFields(errors=[FieldError(name, "seconds")])
    return float(given)
