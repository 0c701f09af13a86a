"""vCons: taken in, and handed out of a recording or a case."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request

from archive import permissions
from archive.api import shape
from archive.api.body import TURNED_AWAY_BYTES, Body
from archive.archive import Archive
from archive.errors import BadFields, FieldError, Saturated
from archive.formats import vcon, vcon_read
from archive.model import Scope
from archive.places import Places
from archive.sources import vcons


def add_routes(api: Blueprint) -> None:
    """Routes of vCons."""
    api.add_url_rule("/vcons", view_func=post_vcon, methods=["POST"])
    api.add_url_rule("/recordings/<uuid:id>/vcon", view_func=recording_vcon)
    api.add_url_rule("/cases/<number>/vcon", view_func=case_vcon)


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def post_vcon() -> Response:
    """Takes in a vCon; what became of each dialog."""
    archive = _archive()
    permissions.require(g.actor, Scope.INGEST)
    body = Body(request, max_bytes=vcon_read.MOST_BYTES)
    places: Places = current_app.extensions["places"]
    try:
        with places.one(g.actor.source or g.actor.id):
            taken = _take(archive, body)
    except Saturated:
        body.drain(TURNED_AWAY_BYTES)
        raise
    response = jsonify(_shape(taken))
    made = any(receipt.created for receipt in taken.receipts.values())
    response.status_code = 201 if made else 200
    return response


def _take(archive: Archive, body: Body) -> vcons.Taken:
    """Reads a vCon, which is held in memory whole, and delivers its dialogs: one place for all."""
    raw = b"".join(iter(lambda: body.read(1024 * 1024), b""))
    asked = {name: request.args.get(name) for name in ("source", "line", "direction")}
    errors = [FieldError(name, "text") for name in ("source", "line") if not asked[name]]
    if asked["direction"] not in {None, "inbound", "outbound", "internal"}:
        errors.append(FieldError("direction", "one of inbound, outbound, internal"))
    if errors:
        raise BadFields(errors=errors)
    options = vcons.Options(
        source=str(asked["source"]),
        line=str(asked["line"]),
        direction=asked["direction"] or "inbound",
    )
    taken = vcons.take(archive, g.actor, raw, options)
    if not taken.receipts and taken.refused:
        raise next(iter(taken.refused.values()))
    return taken


def recording_vcon(id: UUID) -> Response:
    """A recording as a signed vCon, for a stated purpose."""
    content = _archive().vcon_of(
        g.actor,
        id,
        purpose=request.headers.get("X-Archive-Purpose"),
        case=request.headers.get("X-Archive-Case"),
    )
    return _answer(content, str(id))


def case_vcon(number: str) -> Response:
    """The calls and emails of a case as one signed vCon, for its complaint."""
    content = _archive().case_vcon(
        g.actor, number, purpose=request.headers.get("X-Archive-Purpose")
    )
    return _answer(content, f"case-{number}")


def _answer(content: bytes, name: str) -> Response:
    response = Response(content, mimetype=vcon.MEDIA_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.vcon.json"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def _shape(taken: vcons.Taken) -> dict[str, Any]:
    return {
        "uuid": taken.uuid,
        "signature": taken.signature,
        "items": [
            shape.receipt(receipt) | {"dialog": index, "created": receipt.created}
            for index, receipt in taken.receipts.items()
        ],
        "refused": [
            {"dialog": index, "detail": error.message} for index, error in taken.refused.items()
        ],
        "not_taken": taken.left,
    }
