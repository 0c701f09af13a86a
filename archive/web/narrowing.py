"""A field that takes days as people say them: "viime tiistai", "eilen", "12.3.–15.3.".

Pure, over the search's own reader of days. Knows no recordings and no requests.
"""

from __future__ import annotations

from datetime import date

from archive.search.dates import days_in


def days(typed: str, today: date) -> tuple[date, date]:
    """First and last day that the whole text means, both included. ValueError if it means none."""
    said = " ".join(typed.split())
    found = days_in(said, today)
    if len(found) != 1 or said[: found[0].start].strip() or said[found[0].stop :].strip(" ."):
        raise ValueError("no day, or more than one")
    first, last = found[0].first or date(2000, 1, 1), found[0].last or today
    if first > last:
        raise ValueError("the end is before the beginning")
    return first, last
