"""Complaint cases: opened, and given recordings."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, g

from archive.api.reading import _created, _json, _text
from archive.archive import Archive
from archive.errors import BadFields, FieldError


def add_routes(api: Blueprint) -> None:
    """Routes under /cases."""
    api.add_url_rule("/cases", view_func=open_case, methods=["POST"])
    api.add_url_rule("/cases/<number>/recordings", view_func=add_to_case, methods=["POST"])


def open_case() -> Response:
    """Opens a case under the given number, or the next one of the year."""
    archive: Archive = current_app.extensions["archive"]
    return _created({"number": archive.open_case(g.actor, _text(_json(), "number"))})


def add_to_case(number: str) -> Response:
    """Adds a recording to a case."""
    archive: Archive = current_app.extensions["archive"]
    try:
        id = UUID(_text(_json(), "id") or "")
    except ValueError:
        raise BadFields(errors=[FieldError("id", "a recording's id")]) from None
    archive.add_to_case(g.actor, number, id)
    return Response(status=204)
