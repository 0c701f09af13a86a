"""What a player is given, whichever desk it stands on: an opening's address, and a waveform."""

from __future__ import annotations

from datetime import datetime

from flask import Response, abort, jsonify, render_template, request, url_for


def wants_json() -> bool:
    """Whether the player's script asks, and not a form."""
    return request.headers.get("Accept") == "application/json"


def opened(made: tuple[str, datetime], *, back: str) -> Response:
    """The address that the player plays from here on; without scripts, a page with it."""
    token, until = made
    address = url_for("opening", token=token)
    if wants_json():
        response = jsonify({"url": address, "expires_at": until.isoformat()})
        response.status_code = 201
        return response
    return Response(render_template("listen.html", address=address, back=back))


def waveform(peaks: bytes | None) -> Response:
    """A waveform as the player draws it; 404 where there is none."""
    if peaks is None:
        abort(404)
    return Response(peaks, mimetype="application/json")
