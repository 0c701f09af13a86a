"""What goes when, as a calendar: a year of small months, one month in full, each day's account."""

from __future__ import annotations

import calendar as months
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from flask import Blueprint, Response, abort, g, render_template

from archive import permissions, retention
from archive.archive import ExpiryDay
from archive.errors import NotFound
from archive.web import desk

pages = Blueprint("expiry", __name__)
MONTHS_BACK, MONTHS_SHOWN = 2, 15  # of the year beside the month; the last is a year ahead
ROWS = 8  # of the lists of days beneath
LEVELS = 4  # of how full a day is, in the small months


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One day of a month. `marks` are (kind, how many); kinds as in `_marks`.

    `level` says how full it is beside the fullest day shown: 0 for nothing, at most LEVELS.
    """

    day: date
    when: str  # "past", "today" or "coming"
    marks: tuple[tuple[str, int], ...]
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month as weeks of seven cells from Monday; None where another month's day would stand.

    `totals` adds up the marks of its days.
    """

    first: date
    weeks: tuple[tuple[Cell | None, ...], ...]
    totals: Mapping[str, int]

    @property
    def name(self) -> str:
        """As it stands in the address: 2027-11."""
        return f"{self.first:%Y-%m}"


@pages.get("/expiry")
def calendar() -> str:
    """This month in full, and the year around it."""
    return _page(_today().replace(day=1))


@pages.get("/expiry/month/<month>")
def month(month: str) -> str:
    """Another month in full."""
    return _page(_first_of(month))


@pages.get("/expiry/day/<day>")
def one_day(day: str) -> str:
    """One day: how many, by which run, and its certificate."""
    on = _day_of(day)
    account = desk.archive_().expiry_day(g.actor, on)
    return render_template(
        "expiry_day.html",
        account=account,
        cell=_cell(account.figures, on, _today(), fullest=1),
        today=_today(),
        previous=on - timedelta(days=1),
        following=on + timedelta(days=1),
        tells_holds=permissions.may_know_holds(g.actor),
        tells_all=permissions.is_dpo(g.actor),
    )


@pages.get("/expiry/day/<day>/certificates/<uuid:run>")
def certificate(day: str, run: UUID) -> Response:
    """The signed certificate of a run, to be kept; it counts what is held and restricted."""
    if not permissions.is_dpo(g.actor):
        raise NotFound()
    account = desk.archive_().expiry_day(g.actor, _day_of(day))
    for found in account.runs:
        if found.run == run and found.certificate is not None:
            body = json.dumps(found.certificate, sort_keys=True)
            response = Response(body, mimetype="application/json")
            response.headers["Content-Disposition"] = f"attachment; filename={run}.json"
            return response
    raise NotFound()


def _page(first: date) -> str:
    archive, today = desk.archive_(), _today()
    days = {day.day: day for day in archive.expiry_calendar(g.actor)}
    shown = _shown(first, today)
    around = [each for month in shown for each in _days_of(month)]
    fullest = max((_size(days[day]) for day in around if day in days), default=0)
    year = [_month(each, days, today, fullest) for each in shown]
    past = [day for day in days.values() if day.day < today]
    return render_template(
        "expiry.html",
        today=today,
        month=next(each for each in year if each.first == first),
        year=year,
        previous=(first - timedelta(days=1)).replace(day=1),
        following=_next(first),
        tonight=days.get(today, ExpiryDay(day=today)),
        last_night=days.get(today - timedelta(days=1)),
        last_bytes=archive.last_expiry_bytes(g.actor),
        last_closed=max((d.closed_at for d in past if d.closed_at), default=None),
        late=[day for day in past if day.kept],
        gone=[day for day in reversed(past) if day.destroyed and not day.kept][:ROWS],
        coming=[day for day in days.values() if day.day >= today and day.kept][:ROWS],
        kept=sum(day.kept for day in days.values()),
        held=sum(day.held for day in past),
        restricted=sum(day.restricted for day in days.values()),
        tells_holds=permissions.may_know_holds(g.actor),
        tells_all=permissions.is_dpo(g.actor),
    )


def _today() -> date:
    return retention.local(desk.archive_().now()).date()


# -- months ----------------------------------------------------------------------------


def _first_of(month: str) -> date:
    """The first day of a month written 2027-11; 404 for anything else."""
    return _day_of(f"{month}-01")


def _day_of(written: str) -> date:
    """A day written 2027-11-24, within a century of which calendars can be made; else 404."""
    try:
        day = date.fromisoformat(written)
    except ValueError:
        abort(404)
    if written != day.isoformat() or not 2000 <= day.year <= 2100:
        abort(404)
    return day


def _next(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _shown(first: date, today: date) -> list[date]:
    """The months of the small year: around today, or from the chosen one where it is elsewhere."""
    start = today.replace(day=1)
    for _ in range(MONTHS_BACK):
        start = (start - timedelta(days=1)).replace(day=1)
    if not start <= first < start + timedelta(days=MONTHS_SHOWN * 30):
        start = first
    shown = [start]
    while len(shown) < MONTHS_SHOWN:
        shown.append(_next(shown[-1]))
    return shown


def _days_of(first: date) -> Iterable[date]:
    return (first.replace(day=n + 1) for n in range((_next(first) - first).days))


def _month(first: date, days: Mapping[date, ExpiryDay], today: date, fullest: int) -> Month:
    totals: dict[str, int] = {}
    weeks = []
    for week in months.Calendar().monthdatescalendar(first.year, first.month):
        cells = [
            _cell(days.get(day, ExpiryDay(day=day)), day, today, fullest=fullest)
            if day.month == first.month
            else None
            for day in week
        ]
        weeks.append(tuple(cells))
        for kind, n in (mark for cell in cells if cell is not None for mark in cell.marks):
            totals[kind] = totals.get(kind, 0) + n
    return Month(first=first, weeks=tuple(weeks), totals=totals)


def _cell(figures: ExpiryDay, day: date, today: date, *, fullest: int) -> Cell:
    size = _size(figures)
    return Cell(
        day=day,
        when="past" if day < today else "today" if day == today else "coming",
        marks=_marks(figures, today),
        level=max(1, round(LEVELS * min(size, fullest) / fullest)) if size and fullest else 0,
    )


def _size(figures: ExpiryDay) -> int:
    return figures.kept + figures.destroyed


def _marks(figures: ExpiryDay, today: date) -> tuple[tuple[str, int], ...]:
    """What there is to say of a day, the gravest first: what failed, goes, went, is kept."""
    over = figures.day < today
    found = (
        ("failed", figures.kept if over else 0),
        ("due", 0 if over else figures.kept),
        ("expired", figures.destroyed),
        ("held", figures.held),
        ("restricted", figures.restricted),
    )
    return tuple((kind, n) for kind, n in found if n)
