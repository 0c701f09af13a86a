"""Finding and opening recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for

from archive.api import shape
from archive.api.ranges import respond
from archive.archive import Archive
from archive.erasure.asking import ErasureRequest
from archive.errors import BadFields, FieldError
from archive.formats import mbox

_SEARCH = frozenset(
    [
        "q",
        "customer",
        "phone",
        "email",
        "metering_point",
        "case",
        "kind",
        "line",
        "agent",
        "direction",
        "from",
        "to",
        "sort",
        "limit",
        "cursor",
        "facets",
        "total",
        "source",
        "duration",
        "attachment",
        "held",
        "excerpts",
    ]
)
_BROWSE = frozenset(["kind", "line", "from", "to", "sort", "limit", "cursor"])


def add_routes(api: Blueprint) -> None:
    """Routes under /recordings."""
    api.add_url_rule("/recordings", view_func=list_recordings)
    api.add_url_rule("/recordings/search", view_func=search, methods=["POST"])
    api.add_url_rule("/recordings/mbox", view_func=mbox_of_search, methods=["POST"])
    api.add_url_rule("/cases/<number>/mbox", view_func=mbox_of_case)
    api.add_url_rule("/recordings/<uuid:id>", view_func=get_recording)
    api.add_url_rule("/recordings/<uuid:id>/content", view_func=content)
    api.add_url_rule("/recordings/<uuid:id>/renditions/<name>", view_func=rendition)
    api.add_url_rule("/recordings/<uuid:id>/openings", view_func=make_opening, methods=["POST"])
    api.add_url_rule("/recordings/<uuid:id>/metadata", view_func=correct, methods=["PATCH"])
    api.add_url_rule("/recordings/<uuid:id>/erasure", view_func=erase, methods=["POST"])
    api.add_url_rule("/recordings/<uuid:id>/erasure", view_func=withdraw, methods=["DELETE"])


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def list_recordings() -> Response:
    """Recordings newest first, by kind, line and time only."""
    query, options = shape.query(request.args.to_dict(), _BROWSE)
    found = _archive().browse(
        g.actor,
        kind=query.kind,
        line=query.line,
        from_=query.from_,
        to=query.to,
        limit=options["limit"],
        cursor=options["cursor"],
    )
    return jsonify(shape.page(found))


def search() -> Response:
    """Recordings by words, parties, numbers, time."""
    query, options = shape.query(_json(), _SEARCH)
    found = _archive().find(
        g.actor,
        query,
        purpose=request.headers.get("X-Archive-Purpose"),
        case=request.headers.get("X-Archive-Case"),
        **options,
    )
    return jsonify(shape.page(found))


def mbox_of_search() -> Response:
    """The emails that a search finds, as an mbox, for a stated purpose."""
    query, _ = shape.query(_json(), _SEARCH - {"kind", "limit", "cursor", "facets", "total"})
    purpose, case = _stated()
    return _mbox(_archive().find_mbox(g.actor, query, purpose=purpose, case=case), "search")


def mbox_of_case(number: str) -> Response:
    """The emails of a case as an mbox, for its complaint."""
    purpose, _ = _stated()
    content = _archive().case_mbox(g.actor, number, purpose=purpose)
    return _mbox(content, f"case-{number}")


def _stated() -> tuple[str | None, str | None]:
    return request.headers.get("X-Archive-Purpose"), request.headers.get("X-Archive-Case")


def _mbox(content: Iterator[bytes], name: str) -> Response:
    response = Response(content, mimetype=mbox.MEDIA_TYPE)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.mbox"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def get_recording(id: UUID) -> Response:
    """One recording's metadata; past its year a held one shows for its case alone."""
    view = _archive().describe(
        g.actor,
        id,
        purpose=request.headers.get("X-Archive-Purpose"),
        case=request.headers.get("X-Archive-Case"),
    )
    return jsonify(shape.recording(view))


def content(id: UUID) -> Response:
    """The original, byte for byte."""
    return _open(id, "original")


def rendition(id: UUID, name: str) -> Response:
    """A rendition of the recording."""
    return _open(id, name)


def _open(id: UUID, name: str) -> Response:
    opened = _archive().open(
        g.actor,
        id,
        purpose=request.headers.get("X-Archive-Purpose"),
        case=request.headers.get("X-Archive-Case"),
        rendition=name,
    )
    return respond(opened, request, inline=False)


def make_opening(id: UUID) -> Response:
    """An address for a player, bound to this session."""
    asked = _json()
    token, until = _archive().make_opening(
        g.actor,
        id,
        purpose=_text(asked, "purpose"),
        case=_text(asked, "case"),
        rendition=_text(asked, "rendition") or "playback",
    )
    body = {"url": url_for("opening", token=token), "expires_at": shape.instant(until)}
    return _created(body)


def use_opening(token: str) -> Response:
    """What a player asks for, range by range."""
    return respond(_archive().use_opening(g.actor, token), request, inline=True)


def correct(id: UUID) -> Response:
    """Changes metadata."""
    return jsonify(shape.recording(_archive().correct(g.actor, id, _json())))


def erase(id: UUID) -> Response:
    """Erases at once what should not have been kept; says when it is gone from where.

    With four eyes 202 for the one who asks for it.
    """
    done = _archive().request_erasure(g.actor, id, reason=_text(_json(), "reason") or "")
    if isinstance(done, ErasureRequest):
        answer = jsonify(shape.erasure_request(done))
        answer.status_code = 202
        return answer
    return jsonify(shape.erasure(done))


def withdraw(id: UUID) -> Response:
    """Takes back the wish to erase."""
    _archive().withdraw_erasure(g.actor, id)
    return Response(status=204)


def _json() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data(cache=False) or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadFields(errors=[FieldError("body", "a JSON object")])
    return body


def _text(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise BadFields(errors=[FieldError(name, "text")])
    return value


def _created(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.status_code = 201
    return response
