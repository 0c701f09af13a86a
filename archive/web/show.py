"""How times, lengths, sizes and numbers are written for people, in Finnish and in English.

Pure functions over a language code, registered as template filters. Nothing here knows of
requests or recordings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import phonenumbers
from babel.dates import format_date
from babel.numbers import format_decimal
from flask import Flask
from flask_babel import get_locale
from markupsafe import Markup

from archive import retention
from archive.formats import cards
from archive.formats.identifiers import mask_hetu
from archive.formats.sniffing import disguised
from archive.search.understanding import Piece
from archive.web import words

WEEKDAYS = {
    "fi": ("ma", "ti", "ke", "to", "pe", "la", "su"),
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
}


def moment(at: datetime, *, language: str) -> str:
    """An instant in Helsinki: "ti 24.11.2026 klo 16.05", "Tue 24 Nov 2026 at 16:05"."""
    local = retention.local(at)
    if language == "fi":
        return f"{day(local.date(), language=language)} klo {clock(at, language=language)}"
    return f"{day(local.date(), language=language)} at {clock(at, language=language)}"


def clock(at: datetime, *, language: str) -> str:
    """The time of day in Helsinki: 16.05 or 16:05."""
    local = retention.local(at)
    separator = "." if language == "fi" else ":"
    return f"{local.hour:02d}{separator}{local.minute:02d}"


def day(on: date, *, language: str) -> str:
    """A day with its weekday: "ti 24.11.2026", "Tue 24 Nov 2026"."""
    weekday = WEEKDAYS.get(language, WEEKDAYS["en"])[on.weekday()]
    if language == "fi":
        return f"{weekday} {on.day}.{on.month}.{on.year}"
    return f"{weekday} {format_date(on, 'd MMM y', locale='en_GB')}"


def days_said(said: Piece, *, language: str) -> str:
    """The days that a time was read as: one, from–to, or open on one side."""
    first = day(said.first, language=language) if said.first else ""
    last = day(said.last, language=language) if said.last else ""
    return first if first == last else f"{first}–{last}"


def taken_for(field: str, *, language: str) -> str:
    """What a piece of a search was taken for, in the reader's words."""
    return str(words.TAKEN_FOR.get(field, field))


def facet_value(field: str, value: str, *, language: str) -> str:
    """A value that searches are narrowed by, in the reader's words."""
    if field == "month":
        return month(value, language=language)
    known = words.FACET_VALUES.get(field, {}).get(value)
    return str(known) if known is not None else value


def month_name(on: date, *, language: str) -> str:
    """A month with its year: "marraskuu 2026", "November 2026"."""
    return format_date(on, "LLLL y", locale="en_GB" if language == "en" else language)


def month_short(on: date, *, language: str) -> str:
    """The same, short: "marras 2026", "Nov 2026"."""
    return format_date(on, "LLL y", locale="en_GB" if language == "en" else language)


def weekdays() -> list[tuple[str, str]]:
    """Short and full names of the days of a week, from Monday, in the request's language."""
    spoken = language()
    monday = date(2026, 11, 23)
    locale = "en_GB" if spoken == "en" else spoken
    full = [format_date(monday + timedelta(days=n), "cccc", locale=locale) for n in range(7)]
    return list(zip(WEEKDAYS.get(spoken, WEEKDAYS["en"]), full, strict=True))


def iso_day(written: str) -> date:
    """A day as it is kept: 2027-11-24."""
    return date.fromisoformat(written)


def count(n: int, *, language: str) -> str:
    """A number of things: "12 345", "12,345"."""
    return format_decimal(n, locale=language)


def mean(value: float, *, language: str) -> str:
    """A mean with one decimal: "3,7", "3.7"."""
    return format_decimal(value, format="0.0", locale=language)


def month(name: str, *, language: str) -> str:
    """A month "2026-11": "marraskuu 2026", "November 2026"."""
    return format_date(date.fromisoformat(f"{name}-01"), "LLLL y", locale=language)


def local_day(at: datetime) -> date:
    """The day in Helsinki."""
    return retention.local(at).date()


def duration(seconds: float | None) -> str:
    """A length for the eye: "4:03", "1:04:03"."""
    if seconds is None:
        return "–"
    minutes, s = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


def size(length: int, *, language: str) -> str:
    """A number of bytes: "12 kt", "1,4 Mt"; "12 kB", "1.4 MB"."""
    units = ("t", "kt", "Mt", "Gt") if language == "fi" else ("B", "kB", "MB", "GB")
    value, place = float(length), 0
    while value >= 999.5 and place < len(units) - 1:
        value, place = value / 1000, place + 1
    pattern = "0.#" if place and value < 10 else "0"
    return (
        f"{format_decimal(value, format=pattern, locale=language)}\N{NO-BREAK SPACE}{units[place]}"
    )


def number(value: str | None) -> Markup:
    """A number grouped for reading by spacing alone, so that it is copied without blanks."""
    if not value:
        return Markup("–")
    groups = _groups(value)
    if len(groups) == 1:
        return Markup("{}").format(mask_hetu(value))
    return Markup('<span class="num">{}</span>').format(
        Markup("").join(Markup("<span>{}</span>").format(group) for group in groups)
    )


def _groups(value: str) -> list[str]:
    if value.startswith("+"):
        try:
            parsed = phonenumbers.parse(value)
        except phonenumbers.NumberParseException:
            return [value]
        shape = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        groups = re.split(r"[ -]", shape)
        return groups if "".join(groups) == value else [value]
    if re.fullmatch(r"\d{7,}", value):
        return re.findall(r"\d{1,3}(?=(?:\d{3})*$)", value)
    return [value]


def masked(text: Any) -> str:
    """The text with every personal identity code and card number masked."""
    return cards.mask(mask_hetu("" if text is None else str(text)))


def envelope(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the envelope and the journal say, a name and a text each; what is empty is left out."""
    told = {n: v for n, v in given.items() if n not in {"journal", "protocol", "helo"}}
    journal = given.get("journal")
    told |= journal if isinstance(journal, Mapping) else {}
    return [(str(name), text) for name, value in told.items() if (text := _listed(value))]


def _listed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return "" if value in (None, False) else str(value)


def install(app: Flask) -> None:
    """Registers the filters; those that depend on it get the request's language."""
    spoken: dict[str, Callable[..., Any]] = {
        "moment": moment,
        "days_said": days_said,
        "taken_for": taken_for,
        "facet_value": facet_value,
        "clock": clock,
        "day": day,
        "month": month,
        "size": size,
        "month_name": month_name,
        "month_short": month_short,
        "count": count,
        "mean": mean,
    }
    # Not a filter: one of a constant is worked out once for all requests.
    app.jinja_env.globals["weekdays"] = weekdays
    for name, show in spoken.items():
        app.jinja_env.filters[name] = partial(_in_language, show)
    for name, plain in {
        "duration": duration,
        "number": number,
        "masked": masked,
        "local_day": local_day,
        "iso_day": iso_day,
        "envelope": envelope,
        "disguised": lambda found, told: disguised(told, found),
    }.items():
        app.jinja_env.filters[name] = plain


def language() -> str:
    """The request's language, fi or en."""
    locale = get_locale()
    return locale.language if locale is not None else "fi"


def _in_language(show: Callable[..., Any], value: Any, *more: Any) -> Any:
    return "–" if value is None else show(value, *more, language=language())
