"""Evidence packages of complaint cases: asked for, followed, fetched, removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request

from archive.api.ranges import respond
from archive.api.reading import _json, _text
from archive.archive import Archive
from archive.errors import BadFields, FieldError, NotFound
from archive.evidence.packages import Package


def add_routes(api: Blueprint) -> None:
    """Routes under /cases/<number>/evidence."""
    all_, one = "/cases/<number>/evidence", "/cases/<number>/evidence/<uuid:id>"
    api.add_url_rule(all_, view_func=ask, methods=["POST"], endpoint="ask_evidence")
    api.add_url_rule(all_, view_func=list_, endpoint="list_evidence")
    api.add_url_rule(one, view_func=get, endpoint="get_evidence")
    api.add_url_rule(one, view_func=remove, methods=["DELETE"], endpoint="remove_evidence")
    api.add_url_rule(f"{one}/content", view_func=content, endpoint="evidence_content")


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def ask(number: str) -> Response:
    """Asks for a package; 202, the worker builds it."""
    asked = _json()
    masked = asked.get("masked_originals", False)
    if not isinstance(masked, bool):
        raise BadFields(errors=[FieldError("masked_originals", "true or false")])
    id = _archive().ask_evidence(
        g.actor,
        number,
        recordings=_ids(asked),
        language=_text(asked, "language") or "fi",
        masked_originals=masked,
    )
    response = jsonify(_shape(_package(number, id)))
    response.status_code = 202
    response.headers["Location"] = f"{request.path}/{id}"
    return response


def list_(number: str) -> Response:
    """The packages of a case, the newest first."""
    return jsonify({"items": [_shape(p) for p in _archive().evidence_of(g.actor, number)]})


def get(number: str, id: UUID) -> Response:
    """One package: how far it is, until when it is kept."""
    return jsonify(_shape(_package(number, id)))


def content(number: str, id: UUID) -> Response:
    """The ZIP, for a stated purpose; one audit entry a request."""
    _package(number, id)
    opened = _archive().open_evidence(g.actor, id, purpose=request.headers.get("X-Archive-Purpose"))
    return respond(opened, request, inline=False)


def remove(number: str, id: UUID) -> Response:
    """Ends a package before its days are over."""
    _package(number, id)
    _archive().end_evidence(g.actor, id)
    return Response(status=204)


def _package(number: str, id: UUID) -> Package:
    for package in _archive().evidence_of(g.actor, number):
        if package.id == id:
            return package
    raise NotFound()


def _ids(asked: dict[str, Any]) -> list[UUID] | None:
    given = asked.get("recordings")
    if given is None:
        return None
    try:
        if not isinstance(given, list):
            raise ValueError
        return [UUID(each) for each in given]
    except (ValueError, AttributeError, TypeError):
        raise BadFields(errors=[FieldError("recordings", "a list of recordings' ids")]) from None


def _shape(package: Package) -> dict[str, Any]:
    ready = package.state == "ready"
    return {
        "id": str(package.id),
        "case": package.case_number,
        "state": package.state,
        "percent": package.percent,
        "reason": package.reason,
        "recordings": [str(id) for id in package.recordings],
        "language": package.language,
        "asked_at": package.asked_at.isoformat(),
        "bytes": package.bytes,
        "with_pdf": package.with_pdf,
        "expires_at": package.expires_at.isoformat() if ready else None,
    }
