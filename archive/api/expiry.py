"""Proof that a recording is gone, and what was erased before its year was over."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify

from archive.api import shape
from archive.archive import Archive


def add_routes(api: Blueprint) -> None:
    """Routes under /expiry."""
    api.add_url_rule("/expiry/proofs/<uuid:id>", view_func=prove)
    api.add_url_rule("/expiry/erasures", view_func=erasures)


def _archive() -> Archive:
    archive: Archive = current_app.extensions["archive"]
    return archive


def prove(id: UUID) -> Response:
    """The proof of one recording; 404: never held, or not proven."""
    return jsonify(_archive().prove_expired(g.actor, id).as_json())


def erasures() -> Response:
    """Early erasures of the last 400 days, newest first."""
    return jsonify({"items": [shape.erasure(each) for each in _archive().erasures(g.actor)]})
