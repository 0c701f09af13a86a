"""Which pages there are, by the table of doors: whoever looks at every page is held against it."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter
from werkzeug.routing.exceptions import RequestRedirect

from archive import doors
from archive.web.pages import BLUEPRINTS

NO_PAGES = {
    "static": "a file",
    "healthz": "for machines",
    "readyz": "for machines",
    "metrics": "for machines",
    "login.home": "leads on to the first page of one's own",
    "login.once": "leads on, logged in",
    "recording.walk": "leads on to the next recording",
    "searches.run": "leads on to the hits of a kept search",
    "provider.begin": "leads on to the organisation's own log-in",
    "provider.back": "leads on, logged in",
    "recording.peaks": "the figures of a waveform",
    "quality.peaks": "the figures of a waveform",
    "emergency.peaks": "the figures of a waveform",
    "recording.email_frame": "what a sender wrote, in a frame of its own page",
    "recording.attachment": "a file to be saved",
    "expiry.certificate": "a file to be saved",
}


@cache
def _map() -> MapAdapter:
    app = Flask("pages")
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app.url_map.bind("localhost")


@cache
def pages() -> frozenset[str]:
    """Endpoints of every page, as the doors name them."""
    reached = {rule.endpoint for rule in _map().map.iter_rules() if "GET" in (rule.methods or ())}
    return frozenset(d.endpoint for d in doors.PAGES if d.endpoint in reached) - NO_PAGES.keys()


def endpoint(url: str) -> str | None:
    """Which page the address is one of; None for one that is not there."""
    try:
        found: str = _map().match(urlsplit(url).path, method="GET")[0]
    except (HTTPException, RequestRedirect):
        return None
    return found
