"""Days that a list is narrowed by, as people say them: the field beside it holds nothing else.

What a search field understands of days among other words is in `archive/search/dates.py`.
"""

from __future__ import annotations

from datetime import date, timedelta

from archive.search.dates import days_in

_SHORT = dict(
    zip(
        ("ma", "ti", "ke", "to", "pe", "la", "su"),
        ("maanantai", "tiistai", "keskiviikko", "torstai", "perjantai", "lauantai", "sunnuntai"),
        strict=True,
    )
)
_LONGEST = timedelta(days=366)  # nothing is kept for longer


def days(typed: str, today: date) -> tuple[date, date]:
    """First and last day that the text means, both included. ValueError if it means none.

    A day without a year is the last such day. One side alone ("12.3. alkaen") reaches to today,
    or as far back as anything is kept.
    """
    text = " ".join(typed.split())
    text = _SHORT.get(text.casefold(), text)
    said = days_in(text, today)
    if len(said) != 1 or (said[0].start, said[0].stop) != (0, len(text)):
        raise ValueError("no day")
    first = said[0].first or today - _LONGEST
    return first, said[0].last or max(first, today)
