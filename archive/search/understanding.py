"""How a question was understood: its times as days, its words and numbers piece by piece.

The archive asks the index only with what is left when the times said in `q` have been taken
out of it; people are shown the pieces. Pure: the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from archive import retention
from archive.formats.identifiers import mask_hetu, normalise_phone
from archive.model import Query
from archive.search.dates import Said, days_in
from archive.search.query import chosen, recognised
from archive.search.spelling import clean, words
from archive.search.typed import EITHER, MOST_CHARS, Token, tokens

TIME = "time"
DATES_APART = "dates-apart"
_WORDS = {"text": "word", "names": "name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing of a question, typed at [start, stop) of it.

    `fields`: what it was taken for, likeliest first: a field of a query, or "word", "phrase",
    "beginning", "name", "subject", "time", "or". `value`: its normal form. Of a time `first` and
    `last` are the days, both included; None: open. `without`: what has it is left out.
    """

    fields: tuple[str, ...]
    value: str
    start: int
    stop: int
    without: bool = False
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """`query` is what the index is asked; `pieces` stand in the order in which they were typed."""

    query: Query
    pieces: tuple[Piece, ...] = ()
    notes: tuple[str, ...] = ()


def understand(query: Query, *, now: datetime) -> Understood:
    """The question with its times as limits. Never raises, whatever was typed."""
    if not query.q:
        return Understood(query)
    typed = query.q
    said = days_in(typed[:MOST_CHARS], retention.local(now).date())
    rest = _without(typed, said)
    pieces = [*map(_of_time, said), *map(_of_token, tokens(mask_hetu(rest))[0])]
    first, last, notes = _together(said)
    return Understood(
        replace(
            query,
            q=rest if rest.strip() else None,
            from_=_later(query.from_, _midnight(first)),
            to=_earlier(query.to, _midnight(last + timedelta(days=1)) if last else None),
        ),
        tuple(sorted(pieces, key=lambda piece: piece.start)),
        notes,
    )


def without(typed: str, pieces: Sequence[Piece], number: int) -> str:
    """What is left of a question without one of its pieces, and an "or" that joins nothing."""
    doomed = [pieces[number]]
    if number + 1 < len(pieces) and pieces[number + 1].fields == (EITHER,):
        doomed.append(pieces[number + 1])
    elif number > 0 and pieces[number - 1].fields == (EITHER,):
        doomed.append(pieces[number - 1])
    kept = "".join(
        c for at, c in enumerate(typed) if not any(p.start <= at < p.stop for p in doomed)
    )
    return " ".join(kept.split())


def _without(typed: str, said: Sequence[Said]) -> str:
    """Blanks where times stand, so that everything else keeps its place."""
    for each in said:
        typed = typed[: each.start] + " " * (each.stop - each.start) + typed[each.stop :]
    return typed


def _together(said: Sequence[Said]) -> tuple[date | None, date | None, tuple[str, ...]]:
    """The days that fulfil every time said; where there are none, from the first to the last."""
    firsts = [each.first for each in said if each.first is not None]
    lasts = [each.last for each in said if each.last is not None]
    first, last = max(firsts, default=None), min(lasts, default=None)
    if first is None or last is None or first <= last:
        return first, last, ()
    return min([*firsts, last]), max([*lasts, first]), (DATES_APART,)


def _of_time(said: Said) -> Piece:
    return Piece(
        fields=(TIME,),
        value="",
        start=said.start,
        stop=said.stop,
        first=said.first,
        last=said.last,
    )


def _of_token(token: Token) -> Piece:
    fields, value = _read(token)
    return Piece(
        fields=fields,
        value=value,
        start=token.start,
        stop=token.stop,
        without=token.negated,
    )


def _read(token: Token) -> tuple[tuple[str, ...], str]:
    """What it was taken for, and its normal form."""
    if token.operator is not None:
        return (token.operator,), ""
    if token.field == "phone":
        return ("phone",), normalise_phone(token.text)[0]
    if token.field in ("kind", "direction"):
        return (token.field,), chosen(token.field, token.text)
    if token.field is not None:
        return (_WORDS.get(token.field, token.field),), token.text
    if token.quoted:
        return ("phrase" if len(list(words(clean(token.text)))) > 1 else "word",), token.text
    if token.text.endswith("*"):
        return ("beginning",), token.text
    kinds = recognised(token.text)
    value = token.text.strip(".,;") or token.text
    if kinds[:1] == ("phone",):
        return kinds, normalise_phone(value)[0]
    return kinds or ("word",), value


def _midnight(day: date | None) -> datetime | None:
    """The beginning of a Helsinki day."""
    return retention.resolve_local(datetime.combine(day, time())) if day is not None else None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(each for each in (one, other) if each) if one or other else None


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(each for each in (one, other) if each) if one or other else None
