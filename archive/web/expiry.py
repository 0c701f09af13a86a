"""What went last night, what goes next, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from flask import Blueprint, g, render_template

from archive import retention
from archive.catalogue import DueDay
from archive.web import desk

pages = Blueprint("expiry", __name__)
DAYS_BACK, DAYS_AHEAD = 14, 30
CHART_HEIGHT = 120  # px, of the highest bar


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of the chart. Lengths in px; `state` is "gone", "today", "coming" or "late"."""

    day: date
    count: int
    height: int
    state: str


@pages.get("/expiry")
def calendar() -> str:
    """The days around today, the last run, and what is late."""
    today = retention.local(desk.archive_().now()).date()
    days = desk.archive_().expiry_calendar(g.actor)
    closed = [day.closed_at for day in days if day.closed_at is not None]
    return render_template(
        "expiry.html",
        today=today,
        bars=bars(days, today),
        last_night=by_day(days).get(today - timedelta(days=1)),
        late=[day for day in days if day.day < today and day.kept],
        last_bytes=desk.archive_().last_expiry_bytes(g.actor),
        last_closed=max(closed, default=None),
        gone=[d for d in reversed(days) if d.day < today and d.destroyed][:DAYS_BACK],
        coming=[d for d in days if d.day >= today and d.kept][:DAYS_AHEAD],
        kept=sum(day.kept for day in days),
        held=sum(day.held for day in days),
    )


def bars(days: list[DueDay], today: date) -> list[Bar]:
    """Two weeks back and a month ahead, days without recordings too."""
    known, span = by_day(days), range(-DAYS_BACK, DAYS_AHEAD + 1)
    shown = [today + timedelta(days=n) for n in span]
    counts = [_count(known.get(day), today) for day in shown]
    highest = max([*counts, 1])
    return [
        Bar(
            day,
            count,
            max(3, round(CHART_HEIGHT * count / highest)) if count else 0,
            _state(known.get(day), day, today),
        )
        for day, count in zip(shown, counts, strict=True)
    ]


def by_day(days: list[DueDay]) -> dict[date, DueDay]:
    """The days by their date."""
    return {day.day: day for day in days}


def _count(day: DueDay | None, today: date) -> int:
    if day is None:
        return 0
    return day.kept + day.destroyed if day.day < today else day.kept


def _state(due: DueDay | None, day: date, today: date) -> str:
    if day < today:
        return "late" if due is not None and due.kept else "gone"
    return "today" if day == today else "coming"
