"""The JSON interface, version 1: what scripts and senders rely on. Thin calls of the verbs."""

from __future__ import annotations

from flask import Blueprint

from archive.api import cases, delivery, evidence, expiry, holds, openapi, reading, vcons

VERSION = "v1"


def blueprint() -> Blueprint:
    """Every route under /api/v1."""
    api = Blueprint("api", __name__, url_prefix=f"/api/{VERSION}")
    for module in (delivery, reading, cases, evidence, vcons, holds, expiry, openapi):
        module.add_routes(api)
    return api
