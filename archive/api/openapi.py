"""The interface described by itself: OpenAPI 3.1, made from one table of operations."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from archive import __version__
from archive.api import shape
from archive.model import Direction, Kind, Purpose, State
from archive.search.terms import DURATIONS
from archive.web.gate import public

JSON = "application/json"
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_DAY = {"type": "string", "format": "date"}


def add_routes(api: Blueprint) -> None:
    """GET /openapi.json."""
    api.add_url_rule("/openapi.json", view_func=openapi)


@public
def openapi() -> Response:
    """This description."""
    return jsonify(document())


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Contact archive",
            "version": __version__,
            "description": "Call and email recordings: sealed on arrival, opened for a stated "
            "purpose, unreadable after a year. Times are RFC 3339 with offset.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Any]:
    base, _case = "/api/v1", [_path("number")]
    recording = f"{base}/recordings/{{id}}"
    return {
        f"{base}/calls": {"post": _post_call()},
        f"{base}/calls/metadata": {"post": _post_metadata()},
        f"{base}/emails": {"post": _post_email()},
        f"{base}/recordings": {"get": _list()},
        f"{base}/recordings/search": {"post": _search()},
        recording: {"get": _describe()},
        f"{recording}/content": {"get": _content("The original, byte for byte", [_ID])},
        f"{recording}/renditions/{{name}}": {"get": _content("A rendition", [_ID, _path("name")])},
        f"{recording}/openings": {"post": _openings()},
        f"{recording}/metadata": {"patch": _correct()},
        f"{recording}/transcript": {"put": _transcript()},
        f"{recording}/erasure": {"post": _erase(), "delete": _withdraw_erasure()},
        f"{recording}/holds": {"post": _hold()},
        f"{recording}/holds/{{hold}}": {"patch": _change_hold(), "delete": _release()},
        f"{recording}/restriction": {"post": _restrict(), "delete": _unrestrict()},
        f"{base}/holds": {"get": _holds()},
        f"{base}/expiry/proofs/{{id}}": {"get": _proof()},
        f"{base}/expiry/erasures": {"get": _erasures()},
        f"{base}/cases": {"post": _open_case(), "get": _list_cases()},
        f"{base}/cases/{{number}}": {
            "get": _operation(
                "A case with its recordings and notes", 200, "CaseFile", _case, (404,)
            )
        },
        f"{base}/cases/{{number}}/recordings": {"post": _add_to_case()},
        f"{base}/cases/{{number}}/notes": {"post": _add_note()},
        f"{base}/cases/{{number}}/owner": {"put": _hand_over_case()},
        f"{base}/cases/{{number}}/closing": {
            "get": _operation(
                "What closing the case would do", 200, "Consequences", _case, (404, 409)
            ),
            "post": _close_case(),
        },
        f"{base}/cases/{{number}}/reopening": {"post": _reopen_case()},
        f"{base}/cases/{{number}}/evidence": {"post": _ask_evidence(), "get": _list_evidence()},
        f"{base}/cases/{{number}}/evidence/{{id}}": {
            "get": _operation("One package: how far it is", 200, "Evidence", [*_case, _ID], (404,)),
            "delete": _operation("Remove a package", 204, None, [*_case, _ID], (404,)),
        },
        f"{base}/cases/{{number}}/evidence/{{id}}/content": {
            "get": _content("The ZIP of a package that is ready", [*_case, _ID])
        },
        f"{base}/recordings/mbox": {"post": _mbox_of_search()},
        f"{base}/cases/{{number}}/mbox": {
            "get": _mbox("The emails of a case as an mbox", _case, (400, 404, 409, 422))
        },
        f"{base}/vcons": {"post": _post_vcon()},
        f"{recording}/vcon": {"get": _vcon("A recording as a signed vCon", [_ID])},
        f"{base}/cases/{{number}}/vcon": {"get": _vcon("A case as one signed vCon", _case)},
        f"{base}/openapi.json": {
            "get": _operation("This description", 200, None, [], ()) | {"security": []}
        },
        "/openings/{token}": {"get": _content("What a player asks for", [_path("token")], False)},
    }


def _operation(
    summary: str,
    status: int,
    schema: str | None,
    parameters: list[dict[str, Any]],
    problems: tuple[int, ...],
) -> dict[str, Any]:
    content = (
        {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
        if schema
        else {}
    )
    responses: dict[str, Any] = {str(status): {"description": summary} | content}
    for code in sorted({401, 403, 503, *problems}):
        responses[str(code)] = {
            "description": "problem document (RFC 9457)",
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    return {"summary": summary, "parameters": parameters, "responses": responses}


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _post_call() -> dict[str, Any]:
    operation = _operation(
        "Deliver a call", 201, "Receipt", [], (400, 409, 410, 413, 422, 429, 507)
    )
    operation["responses"]["200"] = operation["responses"]["201"] | {
        "description": "known already: same source, reference and bytes"
    }
    schema = {
        "type": "object",
        "required": ["metadata", "audio"],
        "properties": {
            "metadata": {"$ref": "#/components/schemas/CallMetadata"},
            "audio": {"type": "string", "contentMediaType": "application/octet-stream"},
            "siprec": {
                "type": "string",
                "contentMediaType": "application/rs-metadata+xml",
                "description": "SIPREC metadata (RFC 7865), before the sound or after it: "
                "counts where `metadata` lack something",
            },
            "transcript": {
                "type": "string",
                "description": "WebVTT, or JSON with start, end (s), text and speaker of each line",
            },
        },
    }
    return operation | {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


def _post_metadata() -> dict[str, Any]:
    operation = _operation(
        "Metadata of a call apart from its sound: added now (200) or when it comes (202)",
        200, "Added", [], (400, 413, 422),
    )  # fmt: skip
    operation["responses"]["202"] = operation["responses"]["200"] | {
        "description": "kept for 30 days, until the recording comes"
    }
    schema = {
        "type": "object",
        "description": "source, source_ref, and what can be changed of a recording",
        "required": ["source", "source_ref"],
        "properties": {"source": _TEXT, "source_ref": _TEXT},
    }
    return operation | _json_body(schema)


def _post_email() -> dict[str, Any]:
    parameters = [
        _query("source", required=True),
        _query("mailbox", required=True),
        _query("direction", required=True, schema=_enum(Direction)),
        _query("source_ref", description="unsuitable for references that name people"),
        _header("X-Archive-Source-Ref", "absent: made from mailbox and body"),
        _header("X-Archive-Received-At", "absent: now"),
        _header("X-Archive-Envelope", "JSON: the SMTP envelope"),
    ]
    operation = _operation(
        "Deliver an email", 201, "Receipt", parameters, (400, 409, 410, 413, 422, 429, 507)
    )
    operation["responses"]["200"] = operation["responses"]["201"] | {
        "description": "known already: same source, reference and bytes"
    }
    return operation | {
        "requestBody": {"required": True, "content": {"message/rfc822": {"schema": _TEXT}}}
    }


def _list() -> dict[str, Any]:
    parameters = [
        _query("kind", schema=_enum(Kind)),
        _query("line"),
        _query("from"),
        _query("to"),
        _query("sort"),
        _query("limit", schema={"type": "integer", "minimum": 1, "maximum": 200}),
        _query("cursor"),
    ]
    return _operation("Browse by kind, line and time", 200, "Page", parameters, (400, 422))


def _search() -> dict[str, Any]:
    words = ("q", "customer", "phone", "email", "metering_point", "case", "line", "agent", "cursor")
    properties: dict[str, Any] = dict.fromkeys(words, _TEXT) | {
        "kind": _enum(Kind),
        "direction": _enum(Direction),
        "from": _TEXT,
        "to": _TEXT,
        "sort": {"enum": ["newest", "relevance"]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
        "facets": {"type": "array", "items": {"enum": list(shape.FACETS)}},
        "total": {"type": "boolean"},
        "source": _TEXT,
        "duration": {"enum": list(DURATIONS), "description": "length of a call, seconds"},
        "attachment": {"type": "boolean", "description": "of emails"},
        "held": {
            "type": "boolean",
            "description": "held for a case; for those who work with holds",
        },
        "excerpts": {
            "type": "boolean",
            "description": "each item also with `subject_marked` and `excerpt`, lists of "
            "{text, hit}; of an email's text only with a purpose (and case) in the headers for "
            "which it may be opened, and noted in the audit log",
        },
    }
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return _operation("Search", 200, "Page", [], (400, 422)) | _json_body(schema)


def _content(
    summary: str, parameters: list[dict[str, Any]], purpose: bool = True
) -> dict[str, Any]:
    headers = [_header("Range", "one range of bytes"), _header("If-Range", "an ETag")]
    if purpose:
        headers += [
            _header("X-Archive-Purpose", "why it is opened", schema=_enum(Purpose)),
            _header("X-Archive-Case", "needed for purpose complaint"),
        ]
    operation = _operation(summary, 200, None, parameters + headers, (400, 404))
    operation["responses"]["206"] = {"description": "one range"}
    operation["responses"]["416"] = {"description": "unsatisfiable range"}
    return operation


def _openings() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["purpose"],
        "properties": {"purpose": _enum(Purpose), "case": _TEXT, "rendition": _TEXT},
    }
    return _operation("An address for a player", 201, "Opening", [_ID], (400, 404, 422)) | (
        _json_body(schema)
    )


def _correct() -> dict[str, Any]:
    return _operation("Change metadata", 200, "Recording", [_ID], (404, 410, 422)) | _json_body(
        {"type": "object"}
    )


def _transcript() -> dict[str, Any]:
    operation = _operation(
        "What was said in a call, in place of what was given before",
        200, "Recording", [_ID], (400, 404, 413, 422),
    )  # fmt: skip
    content = {
        "text/vtt": {"schema": _TEXT},
        JSON: {"schema": {"type": ["array", "object"], "description": "lines, or {segments: …}"}},
    }
    return operation | {"requestBody": {"required": True, "content": content}}


def _erase() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["reason"],
        "properties": {"reason": {"enum": ["private", "art17", "mistake"]}},
    }
    operation = _operation("Erase at once", 200, "Erasure", [_ID], (400, 404, 409, 422))
    operation["responses"]["202"] = {
        "description": "asked for; another person has to confirm it (ARCHIVE_ERASE_FOUR_EYES)",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/ErasureRequest"}}},
    }
    return operation | _json_body(schema)


def _withdraw_erasure() -> dict[str, Any]:
    return _operation("Take back the wish to erase", 204, None, [_ID], (404,))


def _proof() -> dict[str, Any]:
    return _operation(
        "Proof that a recording is gone; 404: never held, or not proven",
        200,
        "Proof",
        [_ID],
        (404,),
    )


def _erasures() -> dict[str, Any]:
    return _operation("Early erasures of the last 400 days", 200, "Erasures", [], ())


def _describe() -> dict[str, Any]:
    for_its_case = [
        _header("X-Archive-Purpose", "complaint, for what is held past its year", _enum(Purpose)),
        _header("X-Archive-Case", "the case that holds it"),
    ]
    return _operation("One recording's metadata", 200, "Recording", [_ID, *for_its_case], (404,))


def _hold() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["case", "reason", "review_on"],
        "properties": {
            "case": _TEXT,
            "reason": _TEXT,
            "review_on": {"type": "string", "format": "date"},
            "legal_basis": _TEXT,
        },
    }
    return _operation(
        "Hold a recording for an open case", 201, "Hold", [_ID], (404, 409, 422)
    ) | _json_body(schema)


def _release() -> dict[str, Any]:
    operation = _operation("Release a hold", 200, "Hold", [_ID, _path("hold")], (404, 409))
    operation["responses"]["202"] = operation["responses"]["200"] | {
        "description": "asked for; a second person has to do the same"
    }
    return operation


def _change_hold() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["reason"],
        "properties": {
            "review_on": {"type": "string", "format": "date"},
            "owner": _TEXT | {"description": "a user's name; this or review_on"},
            "reason": _TEXT,
        },
    }
    return _operation(
        "Move the review of a hold, or hand it over",
        200, "Hold", [_ID, _path("hold")], (404, 409, 422),
    ) | _json_body(schema)  # fmt: skip


def _restrict() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["reason"],
        "properties": {"reason": _TEXT, "review_on": {"type": "string", "format": "date"}},
    }
    return _operation(
        "Restrict a recording (GDPR 18; data protection only)", 201, "Hold", [_ID], (404, 409, 422)
    ) | _json_body(schema)


def _unrestrict() -> dict[str, Any]:
    return _operation("Lift the restriction", 200, "Holds", [_ID], (404,))


def _holds() -> dict[str, Any]:
    parameters = [
        _query("due", schema={"type": "boolean"}, description="only where a review is due"),
        _query("case"),
    ]
    return _operation("Holds by review date", 200, "Holds", parameters, (422,))


def _open_case() -> dict[str, Any]:
    properties = {"number": _TEXT, "subject": _TEXT, "customer": _TEXT, "due_on": _DAY}
    schema = {"type": "object", "properties": properties}
    return _operation("Open a complaint case", 201, "Case", [], (400, 422)) | _json_body(schema)


def _list_cases() -> dict[str, Any]:
    closed = _query("closed", schema={"type": "boolean"}, description="closed ones instead")
    return _operation("Open complaint cases by their day", 200, "Cases", [closed], (422,))


def _add_note() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["text"],
        "properties": {
            "text": _TEXT,
            "id": {"type": "string", "format": "uuid", "description": "a recording of the case"},
            "start_s": {"type": "number", "description": "place in a call: then it is a mark"},
            "end_s": {"type": "number"},
        },
    }
    return _operation(
        "Note something in a case", 201, "Made", [_path("number")], (404, 409, 422)
    ) | _json_body(schema)


def _hand_over_case() -> dict[str, Any]:
    properties = {"owner": _TEXT | {"description": "a user's name"}, "reason": _TEXT}
    schema = {"type": "object", "required": ["owner", "reason"], "properties": properties}
    return _operation(
        "Hand a case over, with its holds", 200, "Case", [_path("number")], (404, 409, 422)
    ) | _json_body(schema)


def _close_case() -> dict[str, Any]:
    properties = {"digest": _TEXT | {"description": "of what was shown"}, "reason": _TEXT}
    schema = {"type": "object", "required": ["digest", "reason"], "properties": properties}
    operation = _operation(
        "Close a case as shown", 200, "Closed", [_path("number")], (404, 409, 422)
    ) | _json_body(schema)
    operation["responses"]["202"] = operation["responses"]["200"] | {
        "description": "asked for; a second person has to do the same"
    }
    return operation


def _reopen_case() -> dict[str, Any]:
    properties = {"reason": _TEXT, "review_on": _DAY | {"description": "hold again until then"}}
    schema = {"type": "object", "required": ["reason"], "properties": properties}
    return _operation(
        "Reopen a closed case", 200, "Case", [_path("number")], (404, 422)
    ) | _json_body(schema)


def _mbox_of_search() -> dict[str, Any]:
    summary = "The emails that a search finds as an mbox, at most 500"
    return _mbox(summary, [], (400, 404, 422)) | _json_body(
        {"type": "object", "description": "as of the search, without kind, limit and cursor"}
    )


def _mbox(
    summary: str, parameters: list[dict[str, Any]], problems: tuple[int, ...]
) -> dict[str, Any]:
    headers = [
        _header("X-Archive-Purpose", "why they are opened", schema=_enum(Purpose)),
        _header("X-Archive-Case", "needed for purpose complaint"),
    ]
    operation = _operation(summary, 200, None, parameters + headers, problems)
    operation["responses"]["200"]["content"] = {"application/mbox": {"schema": {"type": "string"}}}
    return operation


def _post_vcon() -> dict[str, Any]:
    parameters = [
        _query("source", required=True),
        _query("line", required=True, description="service line or mailbox of its dialogs"),
        _query("direction", schema=_enum(Direction), description="where the vCon does not say"),
    ]
    operation = _operation(
        "Take in a vCon; each dialog becomes a recording", 201, "VconTaken", parameters,
        (400, 409, 410, 413, 422, 429, 507),
    )  # fmt: skip
    operation["responses"]["200"] = operation["responses"]["201"] | {
        "description": "nothing new: known already, or nothing to take over"
    }
    return operation | {
        "requestBody": {
            "required": True,
            "content": {"application/vcon+json": {"schema": {"type": "object"}}},
        }
    }


def _vcon(summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    headers = [
        _header("X-Archive-Purpose", "why it is opened", schema=_enum(Purpose)),
        _header("X-Archive-Case", "needed for purpose complaint"),
    ]
    operation = _operation(summary, 200, None, parameters + headers, (400, 404))
    operation["responses"]["200"]["content"] = {
        "application/vcon+json": {"schema": {"type": "object"}}
    }
    return operation


def _ask_evidence() -> dict[str, Any]:
    ids = {"type": "array", "items": {"type": "string", "format": "uuid"}}
    schema = {
        "type": "object",
        "properties": {
            "recordings": ids | {"description": "without it: what is the customer's own"},
            "language": {"type": "string", "enum": ["fi", "en"]},
            "masked_originals": {"type": "boolean", "description": "also where parts are silent"},
        },
    }
    return _operation(
        "Ask for an evidence package; the worker builds it", 202, "Evidence",
        [_path("number")], (404, 409, 422),
    ) | _json_body(schema)  # fmt: skip


def _list_evidence() -> dict[str, Any]:
    return _operation("Evidence packages of a case", 200, "Packages", [_path("number")], (404,))


def _add_to_case() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "format": "uuid"}},
    }
    return _operation(
        "Add a recording to a case", 204, None, [_path("number")], (404, 422)
    ) | _json_body(schema)


def _schemas() -> dict[str, Any]:
    text_or_null = {"type": ["string", "null"]}
    warning = {"type": "object", "properties": {"field": _TEXT, "expected": _TEXT}}
    metadata: dict[str, Any] = {
        "source": _TEXT,
        "source_ref": _TEXT,
        "occurred_at": _TIME,
        "direction": _enum(Direction),
        "line": _TEXT,
    }
    optional = [
        "agent",
        "caller",
        "callee",
        "customer_number",
        "metering_point",
        "contract",
        "case",
        "company",
        "codec",
        "call_id",
        "notes",
    ]
    return {
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "errors": {"type": "array", "items": warning},
            }
        ),
        "CallMetadata": _object(
            metadata
            | dict.fromkeys(optional, _TEXT)
            | {
                "duration_s": {"type": "number", "description": "seconds"},
                "announcement": _object({"version": _TEXT, "played": {"type": "boolean"}}),
                "masked": {"type": "array", "description": "[from, to] in seconds"},
                "clock_trusted": {"type": "boolean"},
                "extra": {},
            }
        )
        | {"required": list(metadata)},
        "Added": _object(
            {
                "state": {"enum": ["added", "awaiting"]},
                "ids": {"type": "array", "items": _TEXT},
                "ignored": {"type": "array", "items": _TEXT},
            }
        ),
        "Receipt": _object(
            {
                "id": _TEXT,
                "state": _enum(State),
                "kind": _enum(Kind),
                "bytes": {"type": "integer"},
                "sha256": _TEXT,
                "occurred_at": _TIME,
                "expires_at": _TIME,
                "warnings": {"type": "array", "items": warning},
                "ignored": {"type": "array", "items": _TEXT},
            }
        ),
        "VconTaken": _object(
            {
                "uuid": _TEXT,
                "signature": {"type": "string", "enum": ["none", "holds", "unchecked"]},
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Receipt"}},
                "refused": {"type": "array", "items": {"type": "object"}},
                "not_taken": {"type": "array", "items": _TEXT},
            }
        ),
        "Evidence": _object(
            {
                "id": _TEXT,
                "case": _TEXT,
                "state": {"type": "string", "enum": ["waiting", "building", "ready", "failed"]},
                "percent": {"type": "integer"},
                "reason": text_or_null,
                "recordings": {"type": "array", "items": _TEXT},
                "language": _TEXT,
                "asked_at": _TIME,
                "bytes": {"type": ["integer", "null"]},
                "with_pdf": {"type": ["boolean", "null"]},
                "expires_at": {"type": ["string", "null"], "format": "date-time"},
            }
        ),
        "Packages": _object(
            {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Evidence"}}}
        ),
        "Recording": _object(
            {
                "id": _TEXT,
                "kind": _enum(Kind),
                "state": _enum(State),
                "source": _TEXT,
                "line": _TEXT,
                "direction": _enum(Direction),
                "agent": text_or_null,
                "occurred_at": _TIME,
                "received_at": _TIME,
                "expires_at": _TIME,
                "bytes": {"type": "integer"},
                "description": {"type": ["object", "null"]},
                "renditions": {"type": "array", "items": _TEXT},
                "holds": {"type": "array", "items": {"$ref": "#/components/schemas/Hold"}},
                "restricted": {"type": "boolean"},
                "related": {
                    "type": "array",
                    "description": "other legs of its call",
                    "items": {"type": "object"},
                },
            }
        ),
        "Page": _object(
            {
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Recording"}},
                "next": text_or_null,
                "total": {"type": "integer"},
                "facets": {"type": "object"},
                "explained": {
                    "type": "array",
                    "items": _TEXT,
                    "description": "how `q` was read where that is not plain, as codes: "
                    "counted-at-most, quote-not-closed, prefix-too-short, too-long, "
                    "too-many-words, identity-code-not-searched, nothing-to-search, "
                    "unknown-field:WORD, dates-apart",
                },
                "understood": {
                    "type": "array",
                    "items": _object(
                        {
                            "as": {"type": "array", "items": _TEXT},
                            "start": {"type": "integer"},
                            "stop": {"type": "integer"},
                            "value": _TEXT,
                            "without": {"type": "boolean"},
                            "from": text_or_null,
                            "to": text_or_null,
                        }
                    ),
                    "description": "how `q` was understood, piece by piece: what stands at "
                    "[start, stop) of it was taken for a field of this search, or for word, "
                    "phrase, beginning, name, subject, time or the word or; of several the "
                    "likeliest is first. A time has its days, both included, null: open",
                },
                "rebuilding": {
                    "type": "array",
                    "items": _TEXT,
                    "description": "months (YYYY-MM) of which not everything is found now: their "
                    "index is being made anew; absent when there is none",
                },
            }
        ),
        "Opening": _object({"url": _TEXT, "expires_at": _TIME}),
        "Case": _object(
            {
                "number": _TEXT,
                "subject": text_or_null,
                "customer": text_or_null,
                "owner": text_or_null,
                "due_on": text_or_null,
                "opened_at": _TIME,
                "closed_at": text_or_null,
                "closing_requested": {"type": "boolean"},
                "recordings": {"type": "integer"},
                "held": {"type": "integer"},
            }
        ),
        "Cases": _object(
            {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Case"}}}
        ),
        "CaseFile": _object(
            {
                "number": _TEXT,
                "items": {"type": "array", "items": {"type": "object"}},
                "notes": {"type": "array", "items": {"type": "object"}},
                "destroyed": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "Consequences": _object(
            {
                "digest": _TEXT,
                "grace_ends_at": _TIME,
                "needs_second_person": {"type": "boolean"},
                "requested": {"type": "boolean"},
                "items": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "Closed": _object(
            {"closed": {"type": "boolean"}, "released": {"type": "array", "items": _TEXT}}
        ),
        "Made": _object({"id": _TEXT}),
        "Hold": _object(
            {
                "id": _TEXT,
                "recording": _TEXT,
                "case": text_or_null | {"description": "null: a restriction"},
                "owner": _TEXT,
                "reason": text_or_null,
                "legal_basis": text_or_null,
                "review_on": text_or_null,
                "placed_at": _TIME,
                "release_requested": {"type": "boolean"},
                "released_at": text_or_null,
                "ends_at": text_or_null | {"description": "until when it keeps the recording"},
                "changes": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "Holds": _object(
            {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Hold"}}}
        ),
        "Erasure": _object(
            {
                "id": _TEXT,
                "reason": {"enum": ["private", "art17", "mistake"]},
                "erased_at": _TIME | {"description": "gone from everything live"},
                "gone_from_backups_by": {"type": "string", "format": "date"},
            }
        ),
        "ErasureRequest": _object(
            {
                "id": _TEXT,
                "reason": {"enum": ["private", "art17", "mistake"]},
                "requested_at": _TIME,
                "needs_second_person": {"const": True},
            }
        ),
        "Erasures": _object(
            {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Erasure"}}}
        ),
        "Proof": _object(
            {
                "proven": {"type": "boolean"},
                "id": _TEXT,
                "reason": _TEXT,
                "gone_at": _TIME,
                "backups_until": {"type": "string", "format": "date"},
                "certificate": {"type": ["object", "null"]},
                "index": {"type": ["integer", "null"], "description": "place in the id list"},
                "size": {"type": ["integer", "null"]},
                "path": {"type": "array", "items": _TEXT},
                "checks": {"type": "array", "items": {"type": "object"}},
            }
        ),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _enum(kinds: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [kind.value for kind in kinds]}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _query(
    name: str, *, required: bool = False, schema: Any = None, description: str = ""
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": schema or _TEXT,
        "description": description,
    }


def _header(name: str, description: str, schema: Any = None) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema or _TEXT}
