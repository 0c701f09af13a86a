"""One recording: its facts, its player or its email, and the purpose asked before either."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive.archive import Opened
from archive.errors import ArchiveError, CaseRequired, NotFound, PurposeRequired
from archive.formats import cards
from archive.formats.identifiers import mask_hetu
from archive.model import Purpose, Rendition
from archive.web import desk, gate, listening, pane
from archive.web import kept as keeping
from archive.web.kept import Kept

pages = Blueprint("recording", __name__)


@pages.get("/recordings/<uuid:id>")
def page(id: UUID) -> str:
    """The recording, beside the list it was chosen from."""
    token, kept = _kept()
    problem = request.args.get("problem")
    purpose, case = pane.settled(g.actor, kept)
    view = desk.archive_().describe(g.actor, id, purpose=purpose, case=case)
    listing = None
    if kept is not None and kept.desk != "single" and (place := kept.position(id)):
        listing = desk.turn(token, kept, place[0], count=False)
    return pane.show(
        view,
        kept=kept,
        token=token,
        listing=listing,
        formatted=request.args.get("show") == "formatted",
        problem=problem if problem in {"CaseRequired", "PurposeRequired"} else None,
        alone=request.args.get("legs") == "alone",
    )


@pages.get("/walk/<token>/<int:number>/<any(first, last):end>")
def walk(token: str, number: int, end: str) -> AnyResponse:
    """On to the first or last recording of another page of the same list."""
    kept = keeping.find(desk.archive_(), g.actor, token)
    if kept is None:
        abort(404)
    listing = desk.turn(token, kept, number)
    if not listing.rows:
        abort(404)
    row = listing.rows[0 if end == "first" else -1]
    return redirect(url_for("recording.page", id=row.view.id, view=token), 303)


# -- the purpose -----------------------------------------------------------------------


@pages.post("/recordings/<uuid:id>/purpose")
def state_purpose(id: UUID) -> AnyResponse:
    """Notes the purpose for this task, with the complaint case it needs; back to the page."""
    purpose = request.form.get("purpose", "")
    case = request.form.get("case", "").strip() or None
    token, kept = _kept_or_new(id)
    problem = None
    try:
        checked = _purpose(purpose)
        if checked is Purpose.COMPLAINT:
            case = _case(id, case, request.form.get("action", ""))
        kept.purpose, kept.case = checked.value, case
        keeping.change(desk.archive_(), g.actor, token, kept)
    except (CaseRequired, PurposeRequired) as error:
        problem = type(error).__name__
    return redirect(url_for("recording.page", id=id, view=token, problem=problem), 303)


def _purpose(given: str) -> Purpose:
    try:
        purpose = Purpose(given)
    except ValueError:
        raise PurposeRequired() from None
    if purpose not in g.actor.purposes:
        raise PurposeRequired()
    return purpose


def _case(id: UUID, given: str | None, action: str) -> str:
    """The case to work in: given, or just opened; the recording is added to it if asked."""
    archive = desk.archive_()
    if action == "new":
        given = archive.open_case(g.actor)
        flash(_("Complaint case %(number)s was opened.", number=given))
    if not given:
        raise CaseRequired()
    if action in {"new", "add"}:
        archive.add_to_case(g.actor, given, id)
    return given


# -- opening ---------------------------------------------------------------------------


@pages.post("/recordings/<uuid:id>/open")
def open_player(id: UUID) -> AnyResponse:
    """The address that the player plays from here on; without scripts, a page with it."""
    token, kept = _kept()
    purpose, case = pane.settled(g.actor, kept)
    try:
        made = desk.archive_().make_opening(
            g.actor, id, purpose=purpose, case=case, rendition=Rendition.PLAYBACK.value
        )
    except (CaseRequired, PurposeRequired) as error:
        asking = _ask_again(id, token, error)
        return _refused(asking) if listening.wants_json() else asking
    return listening.opened(made, back=url_for("recording.page", id=id, view=token or None))


def _ask_again(id: UUID, token: str, error: ArchiveError) -> AnyResponse:
    """Back to the recording's page, where the purpose or the case is asked for."""
    problem = type(error).__name__
    return redirect(url_for("recording.page", id=id, view=token or None, problem=problem), 303)


def _refused(asking: AnyResponse) -> Response:
    """For the player's script: the page that asks."""
    response = jsonify({"page": asking.location})
    response.status_code = 403
    return response


@pages.get("/recordings/<uuid:id>/peaks")
def peaks(id: UUID) -> Response:
    """The waveform."""
    _token, kept = _kept()
    purpose, case = pane.settled(g.actor, kept)
    found = desk.archive_().peaks(g.actor, id, purpose=purpose, case=case)
    return listening.waveform(found)


@pages.get("/recordings/<uuid:id>/email-frame")
def email_frame(id: UUID) -> Response:
    """The email as its sender formed it, made harmless, for a sandboxed frame."""
    _token, kept = _kept()
    purpose, case = pane.settled(g.actor, kept)
    try:
        mail = desk.archive_().email_view(g.actor, id, purpose=purpose, case=case)
        html = cards.mask(mask_hetu(mail.html or ""))
    except ArchiveError:
        html = ""
    response = Response(render_template("email_frame.html", html=html))
    response.headers["Content-Security-Policy"] = gate.FRAME_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@pages.get("/recordings/<uuid:id>/source")
def source(id: UUID) -> AnyResponse | str:
    """Headers and body of an email as they arrived, for the purpose stated for this task."""
    token, kept = _kept()
    try:
        if kept is None or not kept.purpose:
            raise PurposeRequired()
        said, whole = desk.archive_().source_text(g.actor, id, purpose=kept.purpose, case=kept.case)
    except (CaseRequired, PurposeRequired) as error:
        return _ask_again(id, token, error)
    headers, _gap, body = said.replace("\r\n", "\n").replace("\x00", "\ufffd").partition("\n\n")
    return render_template(
        "source.html", id=id, token=token, headers=headers, body=body, whole=whole
    )


@pages.get("/recordings/<uuid:id>/attachments/<int:index>")
def attachment(id: UUID, index: int) -> AnyResponse:
    """One attachment, to be saved and never shown in the browser."""
    token, kept = _kept()
    try:
        if kept is None or not kept.purpose:
            raise PurposeRequired()
        name, _type, content = desk.archive_().attachment(
            g.actor, id, index, purpose=kept.purpose, case=kept.case
        )
    except (CaseRequired, PurposeRequired) as error:
        return _ask_again(id, token, error)
    return _download(content, name)


@pages.post("/recordings/<uuid:id>/original")
def original(id: UUID) -> AnyResponse:
    """The original file, byte for byte, for those who work on a complaint."""
    token, kept = _kept()
    try:
        if kept is None or kept.purpose != Purpose.COMPLAINT.value:
            raise PurposeRequired()
        opened = desk.archive_().open(g.actor, id, purpose=kept.purpose, case=kept.case)
    except (CaseRequired, PurposeRequired) as error:
        return _ask_again(id, token, error)
    response = _download(_whole(opened), opened.file_name)
    response.content_length = opened.length
    return response


def _whole(opened: Opened) -> Iterator[bytes]:
    return opened.read(0, opened.length)


def _download(content: bytes | Iterator[bytes], name: str) -> Response:
    response = Response(content, mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


# -- the task --------------------------------------------------------------------------


def _kept() -> tuple[str, Kept | None]:
    """The list that the page was reached by, if any."""
    token = request.form.get("view") or request.args.get("view") or ""
    kept = keeping.find(desk.archive_(), g.actor, token)
    return (token, kept) if kept is not None else ("", None)


def _kept_or_new(id: UUID) -> tuple[str, Kept]:
    """The same, or a task of this recording alone. NotFound if it is not visible."""
    token, kept = _kept()
    if kept is not None:
        return token, kept
    archive = desk.archive_()
    if archive.describe(g.actor, id) is None:
        raise NotFound()
    alone = Kept(desk="single", asked={}, query={}, pages=[[str(id)]])
    return keeping.keep(archive, g.actor, alone), alone
