"""The Flask application: a gate that denies by default, errors as answers, no shared handles.

Everything it serves with (archive, people) is handed in.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from contextlib import suppress
from uuid import UUID

from flask import Flask, Response, current_app, g, jsonify, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from archive import api, catalogue, transcriptions, web
from archive.alarms import Alarm
from archive.api import reading, shape
from archive.archive import Archive
from archive.auth import People
from archive.db import is_ready, transaction
from archive.errors import (
    ArchiveError,
    CatalogueUnavailable,
    Forbidden,
    RootKeyUnusable,
    StoreUnavailable,
)
from archive.keyring import rootwatch
from archive.oidc.protocol import Flow
from archive.oidc.settings import provider_of
from archive.places import Places
from archive.web import gate

log = logging.getLogger("archive.app")


def create_app(archive: Archive, people: People) -> Flask:
    """The application over one archive."""
    app = Flask("archive.web", static_folder="static", template_folder=None)
    app.config["MAX_FORM_MEMORY_SIZE"] = 1024 * 1024
    app.extensions["archive"] = archive
    config = archive.config
    receiving = config.web_receiving or config.web_threads * 3 // 4
    app.extensions["places"] = Places(receiving, waiting=(config.web_threads - receiving) // 2)
    app.extensions["people"] = people
    provider = provider_of(config)
    app.extensions["provider"] = Flow(provider, now=archive.now) if provider else None
    proxies = archive.config.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )
    web.install(app)
    app.register_blueprint(api.blueprint())
    app.add_url_rule("/openings/<token>", "opening", reading.use_opening)
    _add_health(app, archive)
    _add_errors(app)
    return app


# -- errors ----------------------------------------------------------------------------


def _add_errors(app: Flask) -> None:
    app.register_error_handler(ArchiveError, _archive_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _archive_error(error: ArchiveError) -> Response:
    if isinstance(error, Forbidden) and g.get("actor") is not None:
        _note_refused()
    if error.status >= 500:
        log.error("%s on %s", type(error).__name__, _route())
    return _answer(error, error.status)


def _note_refused() -> None:
    """A refusal is an entry of the log; where the log is away, the refusal stands all the same."""
    archive: Archive = current_app.extensions["archive"]
    id = (request.view_args or {}).get("id")
    with suppress(CatalogueUnavailable):
        archive.note_refused(g.actor, request.endpoint or "", id if isinstance(id, UUID) else None)


def _http_error(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:
        return error.get_response()  # type: ignore[return-value]
    problem = _PlainError(error.name)
    problem.status = error.code or 500
    return _answer(problem, problem.status)


def _unexpected(error: Exception) -> Response:
    # The type and the place, never the message: it may carry what a sender wrote.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
    log.error("unexpected %s at %s on %s", type(error).__name__, where, _route())
    return _answer(_PlainError("Internal error"), 500)


class _PlainError(ArchiveError):
    """{title}"""

    def __init__(self, title: str) -> None:
        super().__init__(title=title)


def _answer(error: ArchiveError, status: int) -> Response:
    if _wants_json():
        response = jsonify(shape.problem(error))
        response.mimetype = "application/problem+json"
    else:
        response = web.error_page(error)
    response.status_code = status
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _wants_json() -> bool:
    return request.path.startswith(("/api/", "/openings/", "/healthz", "/readyz", "/metrics"))


def _route() -> str:
    return str(request.url_rule) if request.url_rule else "(no route)"


# -- health and metrics ----------------------------------------------------------------


def _add_health(app: Flask, archive: Archive) -> None:
    registry = CollectorRegistry()
    requests = Counter(
        "archive_requests", "Requests by route and status", ["route", "status"], registry=registry
    )
    seconds = Histogram(
        "archive_request_seconds", "Seconds to answer", ["route"], registry=registry
    )
    alarms = Gauge("archive_alarm", "1: it rings", ["name"], registry=registry)
    root_age = Gauge("archive_root_age_days", "Age of the root key", registry=registry)
    waiting = Gauge("archive_waiting", "Recordings waiting, by step", ["step"], registry=registry)
    heard = Gauge(
        "archive_transcriptions", "Calls for the transcriber, by state", ["state"],
        registry=registry,
    )  # fmt: skip
    months = Gauge("archive_index_months", "Index months held open", registry=registry)
    memory = Gauge("archive_index_memory_bytes", "Memory of open index months", registry=registry)

    @app.before_request
    def _begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def _count(response: Response) -> Response:
        requests.labels(_route(), str(response.status_code)).inc()
        if "began" in g:
            seconds.labels(_route()).observe(time.perf_counter() - g.began)
        return response

    @gate.public
    def healthz() -> Response:
        """Alive."""
        return jsonify({"status": "ok"})

    @gate.public
    def readyz() -> Response:
        """Ready, part by part."""
        parts = _parts(archive)
        # Without a worker deliveries and openings still work, so it does not decide.
        ready = parts["catalogue"] == parts["store"] == "ok" and parts["root"] != "away"
        response = jsonify({"ready": ready, "parts": parts})
        if not ready:
            response.status_code = 503
            response.headers["Retry-After"] = "5"
        return response

    @gate.public
    def metrics() -> Response:
        """Prometheus, to allowed addresses."""
        if not _allowed(request.remote_addr, archive.config.metrics_allow):
            return Response(status=404)
        opened = archive.index.opened()
        months.set(opened.months)
        memory.set(opened.memory_bytes)
        try:
            with transaction(archive.engine) as connection:
                for step, n in catalogue.queue_lengths(connection).items():
                    waiting.labels(step).set(n)
                if archive.config.transcriber:
                    for state, n in transcriptions.counts(connection).items():
                        heard.labels(state).set(n)
        except CatalogueUnavailable:
            pass
        alarms.clear()
        for name in (rootwatch.AWAY, rootwatch.ROTATION):
            alarms.labels(name).set(0)
        for alarm in _alarms(archive):
            alarms.labels(alarm.name).set(1)
        with suppress(RootKeyUnusable):
            root_age.set(archive.keys.root_age(archive.now()).days)
        return Response(generate_latest(registry), mimetype="text/plain")

    for path, view in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_url_rule(path, view_func=view)


def _parts(archive: Archive) -> dict[str, str]:
    parts: dict[str, str] = {}
    parts["catalogue"] = "ok" if is_ready(archive.engine) else "away"
    try:
        archive.store.check()
        parts["store"] = "ok"
    except StoreUnavailable:
        parts["store"] = "away"
    parts["worker"] = _worker(archive)
    parts["root"] = rootwatch.state(archive.keys)
    parts["alarms"] = ", ".join(alarm.name for alarm in _alarms(archive)) or "none"
    return parts


def _alarms(archive: Archive) -> tuple[Alarm, ...]:
    days = archive.config.root_rotation_days
    return rootwatch.standing(archive.keys, days=days, now=archive.now())


def _worker(archive: Archive) -> str:
    """Whether a worker holds its advisory lock."""
    from archive.worker import WORKER_LOCK

    try:
        with archive.engine.connect() as connection:
            alive = connection.execute(
                text(
                    "select count(*) from pg_locks where locktype = 'advisory' "
                    "and classid = :c and granted"
                ),
                {"c": WORKER_LOCK},
            ).scalar_one()
    except SQLAlchemyError:
        return "unknown"
    return "ok" if alive else "away"


def _allowed(address: str | None, allowed: tuple[str, ...]) -> bool:
    try:
        given = ipaddress.ip_address(address or "")
        return any(given in ipaddress.ip_network(item, strict=False) for item in allowed)
    except ValueError:
        return False
