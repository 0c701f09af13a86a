"""Developing the service: samples of calls, one call to hear and score, scorecards, results.

Nothing here names a customer or an agent: the verbs give nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Sequence
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
)
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from archive import permissions, retention
from archive.archive import View
from archive.casework.quality import Scorecard
from archive.errors import BadFields
from archive.intake import POINTS
from archive.model import Purpose, Scope
from archive.qualitydesk import Month, QualityDesk
from archive.web import desk, listening, narrowing, pane

pages = Blueprint("quality", __name__, url_prefix="/quality")

SIZES = (5, 10, 20, 50)
WIDE, HIGH, LEFT, BELOW = 720, 200, 34, 26  # of the chart


@dataclass(frozen=True, slots=True)
class HeardPane:
    """What the player's template asks of a pane, where nothing else is shown."""

    view: View
    channels: tuple[str, ...]
    token: str = ""
    purpose: str = Purpose.QUALITY.value
    case: None = None
    noted: tuple[()] = ()
    together: None = None  # each call is drawn, and scored, by itself
    alone: bool = False

    @property
    def silenced(self) -> tuple[str, ...]:
        """Stretches that nobody hears."""
        return pane.silenced(self.view)


@dataclass(frozen=True, slots=True)
class Point:
    """A month in the chart, in its units."""

    x: float
    y: float
    month: Month


@pages.get("")
def overview() -> str:
    """Samples to draw and to go on with, and how the lines did."""
    return _overview({})


def _overview(problems: dict[str, str]) -> str:
    permissions.require(g.actor, Scope.QUALITY)
    verbs = _verbs()
    cards = verbs.scorecards(g.actor)
    lines = verbs.lines(g.actor)
    line = request.args.get("line") if request.args.get("line") in lines else None
    card = next((c for c in cards if str(c.id) == request.args.get("card")), None) or (
        cards[0] if cards else None
    )
    found = verbs.results(g.actor, card.id, line=line) if card else []
    return render_template(
        "quality.html",
        lines=lines,
        cards=cards,
        card=card,
        line=line,
        samples=verbs.samples(g.actor),
        sizes=SIZES,
        found=found,
        chart=_chart(found),
        size=(WIDE, HIGH),
        problems=problems,
        form=request.form,
    )


def _chart(found: Sequence[Month]) -> list[Point]:
    """Where each month stands; 1 at the bottom, 5 at the top."""
    if not found:
        return []
    step = (WIDE - LEFT - 20) / max(1, len(found) - 1)
    high = HIGH - BELOW - 12
    return [
        Point(round(LEFT + 10 + n * step, 1), round(12 + high * (5 - month.mean) / 4, 1), month)
        for n, month in enumerate(found)
    ]


# -- samples ---------------------------------------------------------------------------


@pages.post("/samples")
def draw() -> AnyResponse | tuple[str, int]:
    """Draws calls of a line and some days."""
    permissions.require(g.actor, Scope.QUALITY)
    form, today = request.form, retention.local(desk.archive_().now()).date()
    try:
        days = narrowing.days(form.get("when", ""), today)
    except (ValueError, OverflowError):
        return _overview({"when": "days"}), 422
    size = form.get("size", "")
    try:
        made = _verbs().draw(
            g.actor,
            line=form.get("line", ""),
            days=days,
            size=int(size) if size.isdecimal() and len(size) < 4 else 0,
        )
    except BadFields as error:
        return _overview({error.errors[0].field: "none"}), 422
    return redirect(url_for("quality.sample", id=made), 303)


@pages.get("/samples/<uuid:id>")
def sample(id: UUID) -> str:
    """The calls of a sample: when, how long, a code for the agent."""
    found, drawn = _verbs().sample(g.actor, id)
    return render_template("quality_sample.html", sample=found, drawn=drawn)


@pages.get("/samples/<uuid:id>/<int:place>")
def call(id: UUID, place: int) -> str:
    """One call: to be heard, and scored."""
    return _call(id, place)


def _call(id: UUID, place: int, *, wrong: bool = False) -> str:
    verbs = _verbs()
    found, one, count = verbs.call(g.actor, id, place)
    extra = one.view.descriptor.extra
    cards = verbs.scorecards(g.actor)
    return render_template(
        "quality_call.html",
        sample=found,
        one=one,
        view=one.view,
        count=count,
        pane=HeardPane(one.view, tuple(extra["channels"]) if extra else ()),
        cards=cards,
        card=_chosen(cards, one.score.scorecard if one.score else None),
        points=POINTS,
        wrong=wrong,
    )


def _chosen(cards: Sequence[Scorecard], scored: UUID | None) -> Scorecard | None:
    """The card that is asked for, else that of the score, else the first."""
    wanted = request.args.get("card") or str(scored)
    return next((card for card in cards if str(card.id) == wanted), cards[0] if cards else None)


@pages.post("/samples/<uuid:id>/<int:place>/open")
def open_player(id: UUID, place: int) -> AnyResponse:
    """The address that the player plays from here on."""
    made = _verbs().make_opening(g.actor, id, place)
    return listening.opened(made, back=url_for("quality.call", id=id, place=place))


@pages.get("/samples/<uuid:id>/<int:place>/peaks")
def peaks(id: UUID, place: int) -> Response:
    """The waveform."""
    return listening.waveform(_verbs().peaks(g.actor, id, place))


@pages.post("/samples/<uuid:id>/<int:place>/score")
def score(id: UUID, place: int) -> AnyResponse | tuple[str, int]:
    """Keeps the points, and on to the next call that has none."""
    form, verbs = request.form, _verbs()
    try:
        card = UUID(form.get("card", ""))
        given = [form.get(f"p{n}", "") for n in range(int(form.get("criteria", "0")[:2] or 0))]
        verbs.score(g.actor, id, place, card=card, points=given, note=form.get("note", ""))
    except (BadFields, ValueError):
        return _call(id, place, wrong=True), 422
    _sample, drawn = verbs.sample(g.actor, id)
    ahead = [one.place for one in drawn if one.score is None]
    following = next((p for p in ahead if p > place), ahead[0] if ahead else None)
    flash(_("The call was scored."))
    if following is None:
        return redirect(url_for("quality.sample", id=id), 303)
    return redirect(url_for("quality.call", id=id, place=following), 303)


# -- scorecards ------------------------------------------------------------------------


@pages.post("/scorecards")
def put_scorecard() -> AnyResponse | tuple[str, int]:
    """A new scorecard, or one instead of another."""
    former = request.form.get("instead_of", "")
    try:
        _verbs().put_scorecard(
            g.actor,
            name=request.form.get("name", ""),
            criteria=request.form.get("criteria", ""),
            instead_of=UUID(former) if former else None,
        )
    except (BadFields, ValueError):
        return _overview({"scorecard": "wrong"}), 422
    flash(_("The scorecard was saved."))
    return redirect(url_for("quality.overview"), 303)


def _verbs() -> QualityDesk:
    return QualityDesk(desk.archive_())
