"""Days as people say them: "viime tiistai", "eilen", "12.3.–15.3.", "last week".

Pure functions over a text and today's date in Helsinki. Knows no recordings and no requests.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

_WEEKDAYS = {
    stem: number
    for number, stems in enumerate(
        ("ma maanantai monday mon", "ti tiistai tuesday tue", "ke keskiviik wednesday wed",
         "to torstai thursday thu", "pe perjantai friday fri", "la lauantai saturday sat",
         "su sunnuntai sunday sun")
    )
    for stem in stems.split()
}  # fmt: skip
_LAST = re.compile(r"(viime|viimeksi|last|past|edellinen|edellisenä)\s+(.+)")
_DAYS_AGO = re.compile(r"(\d{1,3})\s*(?:päivää|pv|days?)\s*(?:sitten|ago)")
_WRITTEN = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})?")
_DASH = re.compile(r"\s*(?:–|—|\s-\s|\.\.\.?)\s*")


def days(typed: str, today: date) -> tuple[date, date]:
    """First and last day that the text means, both included. ValueError if it means none.

    A day without a year is the last such day; nothing lies in the future but today.
    """
    said = " ".join(typed.casefold().split())
    if (span := _span(said, today)) is not None:
        return span
    parts = [part for part in _DASH.split(said) if part]
    if len(parts) == 2:
        return _of_two(parts[0], parts[1], today)
    on = _day(said, today)
    return on, on


def _span(said: str, today: date) -> tuple[date, date] | None:
    """A week or a month."""
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    if said in {"tällä viikolla", "this week"}:
        return monday, today
    if said in {"viime viikolla", "viime viikko", "last week"}:
        return monday - timedelta(days=7), monday - timedelta(days=1)
    if said in {"tässä kuussa", "this month"}:
        return first, today
    if said in {"viime kuussa", "viime kuu", "last month"}:
        end = first - timedelta(days=1)
        return end.replace(day=1), end
    return None


def _of_two(start: str, end: str, today: date) -> tuple[date, date]:
    last = _day(end, today)
    if re.fullmatch(r"\d{1,2}\.?", start):  # "12.–15.3."
        start = f"{start.rstrip('.')}.{last.month}.{last.year}"
    first = _day(start, last)
    if first > last:
        raise ValueError("the end is before the beginning")
    return first, last


def _day(said: str, today: date) -> date:
    named = {
        "tänään": 0,
        "today": 0,
        "eilen": 1,
        "yesterday": 1,
        "toissapäivänä": 2,
        "eilispäivä": 1,
    }
    if said in named:
        return today - timedelta(days=named[said])
    if ago := _DAYS_AGO.fullmatch(said):
        return today - timedelta(days=int(ago[1]))
    if written := _WRITTEN.fullmatch(said):
        return _written(int(written[1]), int(written[2]), written[3], today)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
        return date.fromisoformat(said)
    last = _LAST.fullmatch(said)
    weekday = _weekday(last[2] if last else said)
    if weekday is None:
        raise ValueError("no day")
    back = (today.weekday() - weekday) % 7
    return today - timedelta(days=back or (7 if last else 0))


def _written(day: int, month: int, year: str | None, today: date) -> date:
    if year:
        return date(int(year), month, day)
    try:
        on = date(today.year, month, day)
    except ValueError:  # 29 February of a year that has none
        return date(today.year - 1, month, day)
    return on if on <= today else date(today.year - 1, month, day)


def _weekday(said: str) -> int | None:
    """0 for Monday, of any form: tiistai, tiistaina, tiistain, ti, Tuesday."""
    if said in _WEEKDAYS:
        return _WEEKDAYS[said]
    found = {
        number for stem, number in _WEEKDAYS.items() if len(stem) > 3 and said.startswith(stem)
    }
    return found.pop() if len(found) == 1 else None
