"""What a quality lead does: draws calls by chance, hears them, scores them, sees how it went.

Verbs as the archive's own, each with its permission and its audit entry; what leaves here names
neither a customer nor an agent. Knows nothing of pages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from uuid import UUID

from archive import audit, catalogue, intake, permissions, retention
from archive.answers import View
from archive.archive import Archive
from archive.casework import quality
from archive.casework.quality import Sample, Score, Scorecard
from archive.db import reading, transaction
from archive.errors import BadFields, FieldError, NotFound
from archive.model import Actor, Purpose, Recording, Scope
from archive.vault import Description

LEAST_SCORES = 3  # of a month that is told: fewer would speak of single calls


@dataclass(frozen=True, slots=True)
class Drawn:
    """One call of a sample as a quality lead may see it, and what they scored it."""

    place: int
    view: View
    score: Score | None


@dataclass(frozen=True, slots=True)
class Month:
    """How a line did in a month of contact: the mean of its scores, 1 to 5, and how many."""

    month: date
    mean: float
    scores: int


class QualityDesk:
    """The verbs of a quality lead over an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def lines(self, actor: Actor) -> list[str]:
        """The lines of which the actor may draw calls."""
        permissions.require(actor, Scope.QUALITY)
        with reading(self._archive.engine) as connection:
            found = quality.lines(connection, now=self._archive.now())
        return [line for line in found if actor.lines is None or line in actor.lines]

    # -- scorecards ------------------------------------------------------------------

    def scorecards(self, actor: Actor) -> list[Scorecard]:
        """Those in use."""
        permissions.require(actor, Scope.QUALITY)
        with reading(self._archive.engine) as connection:
            return quality.scorecards(connection)

    def put_scorecard(
        self, actor: Actor, *, name: str, criteria: str, instead_of: UUID | None = None
    ) -> UUID:
        """A new scorecard, or a changed one: what was scored by the former stays. BadFields."""
        permissions.require(actor, Scope.QUALITY)
        checked, lines = intake.scorecard(name, criteria)
        now = self._archive.now()
        with transaction(self._archive.engine) as connection:
            id = quality.put_scorecard(
                connection, actor, name=checked, criteria=lines, instead_of=instead_of, now=now
            )
            audit.append(
                connection, at=now, actor=actor, verb="put-scorecard", detail={"id": str(id)}
            )
        return id

    # -- samples ---------------------------------------------------------------------

    def draw(self, actor: Actor, *, line: str, days: tuple[date, date], size: int) -> UUID:
        """Draws calls of a line and some days, by chance and evenly over its agents; the sample.

        BadFields, also where there is nothing to draw.
        """
        permissions.require(actor, Scope.QUALITY)
        if line not in self.lines(actor):
            raise BadFields(errors=[FieldError("line", "a line with calls")])
        if not 1 <= size <= quality.MOST_CALLS:
            raise BadFields(errors=[FieldError("size", f"1 to {quality.MOST_CALLS}")])
        archive = self._archive
        span = _midnight(days[0]), _midnight(days[1] + timedelta(days=1))
        now = archive.now()
        with transaction(archive.engine) as connection:
            id = quality.draw(
                archive.vault, connection, actor, line=line, days=days, span=span, size=size,
                sees=lambda recording: archive._sees(actor, recording), now=now,
            )  # fmt: skip
            if id is None:
                raise BadFields(errors=[FieldError("line", "calls of these days not scored yet")])
            audit.append(
                connection, at=now, actor=actor, verb="draw-sample", purpose=Purpose.QUALITY.value,
                detail={"line": line, "sample": str(id)},
            )  # fmt: skip
        return id

    def samples(self, actor: Actor) -> list[Sample]:
        """The actor's own, newest first."""
        permissions.require(actor, Scope.QUALITY)
        with reading(self._archive.engine) as connection:
            return quality.samples(connection, actor)

    def sample(self, actor: Actor, id: UUID) -> tuple[Sample, list[Drawn]]:
        """A sample with its calls, without who is in them. NotFound."""
        permissions.require(actor, Scope.QUALITY)
        archive = self._archive
        with reading(archive.engine) as connection:
            found = quality.sample(connection, actor, id)
            places = quality.picks(connection, id)
            rows = {
                id: row
                for id, row in catalogue.get_many(connection, list(places.values())).items()
                if archive._sees(actor, row)
            }
            scores = quality.scores(archive.vault, connection, rows, by=actor.id)
        views = {view.id: view for view in archive._views(actor, list(rows.values()))}
        drawn = [
            Drawn(place, self._hidden(views[id]), next(iter(scores.get(id, ())), None))
            for place, id in places.items()
            if id in views and views[id].readable
        ]
        return found, drawn

    def _hidden(self, view: View) -> View:
        said = view.description
        return replace(
            view,
            source="",
            descriptor=quality.hidden(self._archive.vault, view.descriptor),
            description=Description(call=said.call if said else None),
            holds=(),
        )

    # -- one call --------------------------------------------------------------------

    def call(self, actor: Actor, sample: UUID, place: int) -> tuple[Sample, Drawn, int]:
        """One call of a sample, and how many there are; noted as read. NotFound."""
        found, drawn = self.sample(actor, sample)
        one = next((each for each in drawn if each.place == place), None)
        if one is None:
            raise NotFound()
        with transaction(self._archive.engine) as connection:
            audit.append(
                connection, at=self._archive.now(), actor=actor, verb="read",
                recording_id=one.view.id, purpose=Purpose.QUALITY.value,
            )  # fmt: skip
        return found, one, len(drawn)

    def peaks(self, actor: Actor, sample: UUID, place: int) -> bytes | None:
        """The waveform of a call of a sample. NotFound."""
        return self._archive.waveform(self._recording(actor, sample, place))

    def make_opening(self, actor: Actor, sample: UUID, place: int) -> tuple[str, datetime]:
        """A token for a player's address; the audit entry is committed first. NotFound."""
        permissions.require_purpose(actor, Purpose.QUALITY)
        recording = self._recording(actor, sample, place)
        return self._archive.begin_opening(actor, recording, purpose=Purpose.QUALITY)

    def score(
        self, actor: Actor, sample: UUID, place: int, *, card: UUID, points: Sequence[str],
        note: str,
    ) -> None:  # fmt: skip
        """Scores a call of a sample; again: instead of what the actor scored before. BadFields."""
        recording = self._recording(actor, sample, place)
        now = self._archive.now()
        with transaction(self._archive.engine) as connection:
            by_card = quality.scorecard(connection, card)
            checked, said = intake.points(points, note, criteria=len(by_card.criteria))
            quality.put_score(
                self._archive.vault, connection, actor, recording,
                card=by_card, points=checked, note=said, now=now,
            )  # fmt: skip
            audit.append(
                connection, at=now, actor=actor, verb="score-call", recording_id=recording.id,
                purpose=Purpose.QUALITY.value, detail={"scorecard": str(card)},
            )  # fmt: skip

    def _recording(self, actor: Actor, sample: UUID, place: int) -> Recording:
        permissions.require(actor, Scope.QUALITY)
        with reading(self._archive.engine) as connection:
            quality.sample(connection, actor, sample)
            id = quality.picks(connection, sample).get(place)
        if id is None:
            raise NotFound()
        return self._archive._visible(actor, id)

    # -- results ---------------------------------------------------------------------

    def results(self, actor: Actor, card: UUID, *, line: str | None = None) -> list[Month]:
        """How a line, or all the actor sees, did by month; no month of too few scores."""
        permissions.require(actor, Scope.QUALITY)
        archive = self._archive
        with reading(archive.engine) as connection:
            rows = {
                id: row
                for id, row in catalogue.get_many(
                    connection, quality.scored_ids(connection, card)
                ).items()
                if archive._sees(actor, row) and line in (None, row.line)
            }
            scores = quality.scores(archive.vault, connection, rows, by=None)
        means: dict[date, list[float]] = defaultdict(list)
        for id, found in scores.items():
            month = retention.local(rows[id].occurred_at).date().replace(day=1)
            means[month] += [s.mean for s in found if s.scorecard == card and s.mean is not None]
        return [
            Month(month, sum(given) / len(given), len(given))
            for month, given in sorted(means.items())
            if len(given) >= LEAST_SCORES
        ]


def _midnight(day: date) -> datetime:
    return retention.resolve_local(datetime.combine(day, time()))
