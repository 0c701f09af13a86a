"""Which two one-channel recordings of a call are its two sides, to be played as two channels.

Nothing is stored of it: each stays a recording of its own, with its rights, holds and end. Pure;
knows no rights: it is given only what its reader may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archive.answers import View
from archive.model import CallDescription, Direction, Kind, Rendition

AGENT, CUSTOMER = "agent", "customer"
_LEAST_SHARED = 0.5  # of the shorter one's length: parts of a transferred call overlap by less
_OPPOSITE = {AGENT: CUSTOMER, CUSTOMER: AGENT}
_BOTH_WAYS = {Direction.INBOUND, Direction.OUTBOUND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """The other side of a call, on the timeline of the side that is looked at, in seconds.

    That one begins at 0; the other at `starts_s`, before it where that is negative. The longer
    one rules: from `first_s` to `last_s` at least one of the two is heard. `names` are of the
    upper and the lower channel: sides, or directions where nothing else tells them apart.
    """

    other: View
    starts_s: float
    lasts_s: float
    first_s: float
    last_s: float
    names: tuple[str, str]
    upper: bool  # whether the side that is looked at is the upper one

    @property
    def masked(self) -> tuple[tuple[float, float], ...]:
        """Silenced stretches of the other side."""
        stretches = self.other.descriptor.masked
        return tuple((self.starts_s + start, self.starts_s + end) for start, end in stretches)


def is_side(view: View) -> bool:
    """Whether the recording may be one side of a call: one channel that plays, and a call id."""
    call = _call(view)
    return (
        view.kind is Kind.CALL
        and view.readable
        and bool(view.descriptor.call_id)
        and view.descriptor.given_occurred_at is None  # when it began is known
        and call is not None
        and call.channels == 1
        and bool(call.duration_s)
        and Rendition.PLAYBACK.value in view.renditions
    )


def other_side(view: View, others: Iterable[View]) -> Together | None:
    """The one of the call's other legs that is its other side; None where none is.

    It is told to be of the other side, or was called in the other direction, and the two share
    at least half of the shorter one's time; of several the one that shares most.
    """
    if not is_side(view):
        return None
    found = [
        (shared, together)
        for other in others
        if other.id != view.id and is_side(other) and _same_call(view, other)
        for names in [_names(view, other)]
        if names is not None
        for shared, together in [_laid(view, other, names)]
        if shared > 0 and shared >= _LEAST_SHARED * min(_lasts(view), together.lasts_s)
    ]
    best = max(
        found, key=lambda one: (one[0], -abs(one[1].starts_s), one[1].other.id), default=None
    )
    return best[1] if best else None


def side_of(view: View) -> str | None:
    """Whose voice a one-channel recording holds, where its source said so."""
    extra = view.descriptor.extra
    if not isinstance(extra, Mapping):
        return None
    named = extra.get("channels")
    told = named[0] if isinstance(named, list) and len(named) == 1 else extra.get("side")
    return told if isinstance(told, str) and told in _OPPOSITE else None


def _same_call(one: View, other: View) -> bool:
    return (one.source, one.descriptor.call_id) == (other.source, other.descriptor.call_id)


def _names(view: View, other: View) -> tuple[str, str] | None:
    """Of the looked-at side and of the other; None where they are not the two sides of a call."""
    mine, theirs = side_of(view), side_of(other)
    crossed = {view.direction, other.direction} == _BOTH_WAYS
    if mine and theirs:
        return (mine, theirs) if mine != theirs else None
    if not crossed:
        return None
    if mine or theirs:
        mine = mine or _OPPOSITE[theirs or ""]
        return mine, _OPPOSITE[mine]
    return view.direction.value, other.direction.value


def _laid(view: View, other: View, names: tuple[str, str]) -> tuple[float, Together]:
    """How many seconds the two share, and how they lie."""
    starts = (other.occurred_at - view.occurred_at).total_seconds()
    mine, theirs = _lasts(view), _lasts(other)
    # The agent above; where only directions are known, who was called out to.
    upper = names[0] in {AGENT, Direction.OUTBOUND.value}
    return min(mine, starts + theirs) - max(0.0, starts), Together(
        other=other,
        starts_s=starts,
        lasts_s=theirs,
        first_s=min(0.0, starts),
        last_s=max(mine, starts + theirs),
        names=names if upper else (names[1], names[0]),
        upper=upper,
    )


def _call(view: View) -> CallDescription | None:
    return view.description.call if view.description else None


def _lasts(view: View) -> float:
    call = _call(view)
    return float(call.duration_s or 0.0) if call else 0.0
