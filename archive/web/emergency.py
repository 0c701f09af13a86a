"""Breaking the glass, and reviewing it afterwards. Thin callers of archive/emergencies.py."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    redirect,
    render_template,
    request,
    url_for,
)  # fmt: skip
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions
from archive.answers import View
from archive.casework.emergencies import Outcome
from archive.emergencies import EmergencyDesk
from archive.errors import BadFields, NotFound
from archive.model import Exceptional, Scope
from archive.web import desk, gate, listening, pane

pages = Blueprint("emergency", __name__)


@dataclass(frozen=True, slots=True)
class LentPane:
    """What the player's template asks of a pane."""

    view: View
    token: str = ""
    purpose: str = Exceptional.EMERGENCY.value
    channels: tuple[str, ...] = ()
    case: None = None
    noted: tuple[()] = ()
    together: None = None
    alone: bool = False

    @property
    def silenced(self) -> tuple[str, ...]:
        """Stretches that nobody hears."""
        return pane.silenced(self.view)


@pages.get("/emergency")
def form() -> str:
    """Which recording, and why."""
    permissions.require(g.actor, Scope.BREAK_GLASS)
    return _form({})


@pages.post("/emergency")
def begin() -> AnyResponse | tuple[str, int]:
    """Breaks the glass; data protection knows of it from here on."""
    problems: dict[str, str] = {}
    try:
        id = UUID(request.form.get("id", "").strip())
        made = _verbs().begin(g.actor, id, reason=request.form.get("reason", ""))
        return redirect(url_for("emergency.view", id=made), 303)
    except ValueError:
        problems["id"] = _("This is not a recording's id.")
    except NotFound:
        problems["id"] = _("There is no such recording, or it may not be opened by anybody here.")
    except BadFields:
        problems["reason"] = _("Tell in at least 20 characters why; no personal identity codes.")
    return _form(problems), 422


@pages.get("/emergency/<uuid:id>")
def view(id: UUID) -> str:
    """The recording, for a quarter of an hour."""
    found, mail, until = _verbs().view(g.actor, id)
    return render_template(
        "emergency_recording.html", id=id, view=found, mail=mail, until=until, pane=LentPane(found)
    )


@pages.post("/emergency/<uuid:id>/open")
def open_player(id: UUID) -> AnyResponse:
    """The address that the player plays from here on."""
    made = _verbs().make_opening(g.actor, id)
    return listening.opened(made, back=url_for("emergency.view", id=id))


@pages.get("/emergency/<uuid:id>/peaks")
def peaks(id: UUID) -> Response:
    """The waveform."""
    return listening.waveform(_verbs().peaks(g.actor, id))


@pages.get("/emergency/reviews")
def listing() -> str:
    """Each emergency access, those to be reviewed first."""
    return _listing(None)


@pages.post("/emergency/<uuid:id>/review")
def review(id: UUID) -> AnyResponse | tuple[str, int]:
    """Notes what was found of it."""
    try:
        _verbs().review(
            g.actor,
            id,
            outcome=request.form.get("outcome", ""),
            note=request.form.get("note", ""),
        )
    except BadFields:
        return _listing(id), 422
    flash(_("The review was saved."))
    return redirect(url_for("emergency.listing"), 303)


def waiting() -> int:
    """How many wait for the person's review; for the head of every page."""
    return _verbs().waiting(g.actor)


def _form(problems: dict[str, str]) -> str:
    return render_template("emergency.html", problems=problems, form=request.form)


def _listing(wrong: UUID | None) -> str:
    people = gate.people().people()
    return render_template(
        "emergency_reviews.html",
        found=_verbs().every(g.actor),
        called={str(each.id): each.name for each in people},
        outcomes=tuple(Outcome),
        wrong=wrong,
    )


def _verbs() -> EmergencyDesk:
    return EmergencyDesk(desk.archive_())
