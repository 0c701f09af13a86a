"""Deliveries: calls and emails coming in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for

from archive import permissions
from archive.api import shape
from archive.api.body import TURNED_AWAY_BYTES, Body
from archive.archive import Archive, Receipt
from archive.errors import (
    ArchiveError,
    BadFields,
    BadRequest,
    FieldError,
    Saturated,
    WrongPartOrder,
)
from archive.formats import outlook, transcript
from archive.formats.multipart import MultipartError, MultipartReader, Part, boundary_of
from archive.model import Scope
from archive.places import Places
from archive.sources import attached

METADATA_BYTES = 1024 * 1024
OVERHEAD_BYTES = 2 * 1024 * 1024  # a multipart body may be this much larger than its recording


def add_routes(api: Blueprint) -> None:
    """POST /calls, /emails and /calls/metadata; PUT a transcript."""
    api.add_url_rule("/calls/metadata", view_func=post_metadata, methods=["POST"])
    api.add_url_rule("/calls", view_func=post_call, methods=["POST"])
    api.add_url_rule("/emails", view_func=post_email, methods=["POST"])
    api.add_url_rule("/recordings/<uuid:id>/transcript", view_func=put_transcript, methods=["PUT"])


def post_call() -> Response:
    """A call: multipart/form-data, part `metadata` (JSON), then `audio`.

    Part `siprec` may stand before or after the sound, `transcript` after it.
    """
    return _delivered(_receive_call)


def post_metadata() -> Response:
    """Metadata of a call apart from its sound, before it or after."""
    archive: Archive = current_app.extensions["archive"]
    permissions.require(g.actor, Scope.INGEST)
    body = Body(request, max_bytes=METADATA_BYTES)
    given = _metadata(b"".join(iter(lambda: body.read(64 * 1024), b"")))
    added = archive.add_metadata(
        g.actor,
        source=given.pop("source", None),
        references=[given.pop("source_ref", None)],
        changes=given,
    )
    response = jsonify(
        {
            "state": "added" if added.ids else "awaiting",
            "ids": [str(id) for id in added.ids],
            "ignored": list(added.ignored),
        }
    )
    response.status_code = 200 if added.ids else 202
    return response


def put_transcript(id: UUID) -> Response:
    """What was said in a call: WebVTT or JSON, in place of what was given before."""
    archive: Archive = current_app.extensions["archive"]
    permissions.require(g.actor, Scope.INGEST)
    body = Body(request, max_bytes=transcript.MOST_BYTES)
    raw = b"".join(iter(lambda: body.read(64 * 1024), b""))
    return jsonify(shape.recording(archive.give_transcript(g.actor, id, raw)))


def post_email() -> Response:
    """An email: body message/rfc822, facts about it in query and headers."""
    return _delivered(_receive_email)


def _delivered(receive: Callable[[Archive, Body], Receipt]) -> Response:
    archive: Archive = current_app.extensions["archive"]
    permissions.require(g.actor, Scope.INGEST)
    body = Body(request, max_bytes=archive.config.max_bytes + OVERHEAD_BYTES)
    places: Places = current_app.extensions["places"]
    try:
        with places.one(g.actor.source or g.actor.id):
            made = receive(archive, body)
    except Saturated:
        body.drain(TURNED_AWAY_BYTES)
        raise
    except MultipartError as error:
        raise BadRequest(reason=f"multipart: {error}") from None
    except ArchiveError:
        body.drain()
        raise
    body.drain()
    response = jsonify(shape.receipt(made))
    response.status_code = 201 if made.created else 200
    response.headers["Location"] = url_for("api.get_recording", id=made.id)
    return response


def _receive_call(archive: Archive, body: Body) -> Receipt:
    try:
        boundary = boundary_of(request.content_type or "")
    except MultipartError as error:
        raise BadFields(errors=[FieldError("body", str(error))]) from None
    reader = MultipartReader(body, boundary)
    part = reader.next_part()
    if part is None or part.name != "metadata":
        raise WrongPartOrder(errors=[FieldError("metadata", "the first part, JSON")])
    metadata = _metadata(part.read(METADATA_BYTES + 1) + part.read(METADATA_BYTES + 1))
    audio, wrong, given = reader.next_part(), None, b""
    if audio is not None and audio.name == attached.SIPREC:
        given = _small(audio)
        metadata, wrong = attached.filled(metadata, given)
        audio = reader.next_part()
    if audio is None or audio.name != "audio":
        raise BadFields(errors=[FieldError("audio", "the second part, the recording itself")])
    if audio.file_name:
        metadata.setdefault("file_name", audio.file_name)
    if audio.media_type:
        metadata.setdefault("media_type", audio.media_type)
    try:
        made = archive.receive_call(g.actor, metadata, audio)
    except BadFields as error:
        raise BadFields(errors=[*error.errors, *([wrong] if wrong else [])]) from None
    if given:
        made = attached.attach(
            archive, g.actor, made, attached.SIPREC, given, metadata, merged=True
        )  # fmt: skip
    return _with_the_rest(archive, reader, made, metadata)


def _with_the_rest(
    archive: Archive, reader: MultipartReader, made: Receipt, metadata: dict[str, Any]
) -> Receipt:
    """The receipt; of what follows the sound and is not understood, with a warning."""
    left = set(attached.MOST_BYTES)
    while (part := reader.next_part()) is not None and part.name in left:
        left.remove(part.name)
        made = attached.attach(archive, g.actor, made, part.name, _small(part), metadata)
    return made


def _small(part: Part) -> bytes:
    """A part that is held in memory; one byte more than it may have tells that it is too large."""
    raw, most = b"", attached.MOST_BYTES[part.name]
    while len(raw) <= most and (block := part.read(256 * 1024)):
        raw += block
    return raw


def _metadata(raw: bytes) -> dict[str, Any]:
    if len(raw) > METADATA_BYTES:
        raise BadFields(errors=[FieldError("metadata", f"at most {METADATA_BYTES} bytes")])
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise BadFields(errors=[FieldError("metadata", "a JSON object")])
    return parsed


def _receive_email(archive: Archive, body: Body) -> Receipt:
    if request.mimetype == outlook.MEDIA_TYPE:
        expected = "message/rfc822; files of Outlook (.msg) go in by archive ingest or watch"
        raise BadFields(errors=[FieldError("Content-Type", expected)])
    envelope: Any = request.headers.get("X-Archive-Envelope")
    if envelope is not None:
        try:
            envelope = json.loads(envelope)
        except (ValueError, RecursionError):
            envelope = str(envelope)  # kept raw and named in the warnings
    return archive.receive_email(
        g.actor,
        body,
        source=request.args.get("source"),
        mailbox=request.args.get("mailbox"),
        direction=request.args.get("direction"),
        source_ref=request.headers.get("X-Archive-Source-Ref") or request.args.get("source_ref"),
        received_at=request.headers.get("X-Archive-Received-At"),
        envelope=envelope,
    )
