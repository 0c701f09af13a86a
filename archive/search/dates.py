"""Days as people say them, in Finnish and English, dotted or not: viime viikolla, 12.3.-15.3.

    viime tiistaina · viikko sitten · maaliskuussa · 12.3.–15.3. · ennen 12.3. · pvm:eilen
    last Tuesday · 2 weeks ago · in March · from 12 March to 15 March · since yesterday

Pure: the day it is said on is an argument. A day without a year is the last one that was; what
is no day is left to be read as words, and nothing typed is ever an error. Knows nothing of
questions and indexes.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from archive.search.spelling import fold

_DAY = timedelta(days=1)
_AHEAD = timedelta(days=60)  # that the end of a span may lie in the future
_EARLIEST, _LATEST = date(1900, 1, 1), date(2200, 12, 31)  # beyond, no contact was meant
Days = tuple[date, date]  # the first and the last, both included


@dataclass(frozen=True, slots=True)
class Said:
    """Days said at [start, stop) of what was typed; None: open on that side."""

    start: int
    stop: int
    first: date | None
    last: date | None


def days_in(typed: str, today: date) -> list[Said]:
    """Every time that is said, in order and apart; nothing inside quotes."""
    spoken = _QUOTED.sub(lambda m: "\0" * len(m.group()), flat(typed))
    found: list[Said] = []
    for match in _WORD_START.finditer(spoken):
        if found and match.start() < found[-1].stop:
            continue
        said = _said_at(spoken, match.start(), today)
        if said is not None and found and _OR.fullmatch(spoken, found[-1].stop, said.start):
            found[-1] = _either(found[-1], said)
        elif said is not None:
            found.append(said)
    return found


def flat(typed: str) -> str:
    """Lower case without diacritics, every character in its place."""
    return "".join(_flat_character(character) for character in typed)


def _flat_character(character: str) -> str:
    plain = fold(character.lower()[:1])
    return plain if len(plain) == 1 else character


def _either(one: Said, other: Said) -> Said:
    """Two times with "or" between them: from the first day of both to the last."""
    open_first = one.first is None or other.first is None
    open_last = one.last is None or other.last is None
    return Said(
        one.start,
        other.stop,
        None if open_first else min(d for d in (one.first, other.first) if d),
        None if open_last else max(d for d in (one.last, other.last) if d),
    )


# -- around a day ----------------------------------------------------------------------

_QUOTED = re.compile(r"""["“”„»«][^"“”„»«]*(?:["“”„»«]|$)""")
_WORD_START = re.compile(r"(?<![\w@.:=+/–-])\w")
_END = re.compile(r"(?![\w@/:]|-\w)")
_BEFORE_STROKE = re.compile(r"(?![\w@/:])")
_FIELD = re.compile(
    r"(?:pvm|paiva|paivamaara|aika|ajalta|date|day|when|time)\s?[:=]\s?|(?:ajalla|valilla)\s+"
)
_BEFORE = re.compile(r"(?:ennen|before)(?:\s?[:=]\s?|\s+)")
_AFTER = re.compile(r"(?:after|jalkeen[:=])\s*")
_SINCE = re.compile(r"(?:since|from|between|starting)(?:\s?[:=]\s?|\s+)|(?:alkaen|mista)\s?[:=]\s?")
_UNTIL = re.compile(r"(?:until|till|up to)(?:\s?[:=]\s?|\s+)|(?:to|asti|mihin)\s?[:=]\s?")
_THEN_SINCE = re.compile(r"\s+(?:alkaen|lahtien|onwards)\b")
_THEN_AFTER = re.compile(r"\s+jalkeen\b")
_THEN_UNTIL = re.compile(r"\s+(?:asti|saakka|mennessa)\b")
_TO = re.compile(r"\s?(?:-|–|—|\.\.+|…)\s?|\s+(?:to|until|till|and|ja|through)\s+")
_TO_ENDING = re.compile(r"\s+(?=\w+(?:kuuhun|taihin|koon)\b)")
_BETWEEN = re.compile(r"\s+valil\w+|\s+valis\w+")
_CLOCK = re.compile(r"\s+(?:klo|kello|at)\s+\d{1,2}(?:[.:]\d\d)?(?![\w.])")
_OR = re.compile(r"\s+(?:tai|or)\s+")
_OPEN = re.compile(r"\s?[-–—](?=\s|$)")


def _said_at(spoken: str, start: int, today: date) -> Said | None:
    """The time said from `start` on, with what stands before and behind it."""
    for before, side in (
        (_BEFORE, "before"), (_AFTER, "after"), (_SINCE, "since"), (_UNTIL, "until"),
        (_FIELD, "on"),
    ):  # fmt: skip
        lead = before.match(spoken, start)
        if lead is not None:
            said = _span_at(spoken, lead.end(), today)
            return _turned(said, side, start) if said is not None else None
    said = _span_at(spoken, start, today)
    if said is None:
        return None
    for behind, side in (
        (_THEN_SINCE, "since"), (_THEN_AFTER, "after"), (_THEN_UNTIL, "until"), (_OPEN, "since"),
    ):  # fmt: skip
        tail = behind.match(spoken, said.stop)
        if tail is not None:
            return _turned(Said(start, tail.end(), said.first, said.last), side, start)
    return said


def _turned(said: Said, side: str, start: int) -> Said:
    """Only one side of the days; of two days that were said, both stay."""
    first, last = said.first, said.last
    both = side in ("since", "until", "on") and isinstance(said, _Range)
    if first is not None and side == "before":
        last = first - _DAY if first > date.min else first
        first = None
    elif last is not None and side == "after":
        first = last + _DAY if last < date.max else last
        last = None
    elif not both and side == "since":
        last = None
    elif not both and side == "until":
        first = None
    return Said(start, said.stop, first, last)


@dataclass(frozen=True, slots=True)
class _Range(Said):
    """Days of which both ends were said."""


def _span_at(spoken: str, start: int, today: date) -> Said | None:
    """One time, or two with a stroke or a word between them."""
    short = _SHORT_RANGE.match(spoken, start)
    if short is not None and _END.match(spoken, short.end()):
        days = _short_range(short, today)
        if days is not None:
            return _Range(start, short.end(), *days)
    return _long_range(spoken, start, today) or _single(spoken, start, today)


def _single(spoken: str, start: int, today: date) -> Said | None:
    """One time; the hour that is said with it (klo 16.05) narrows nothing."""
    one = _point_at(spoken, start, today)
    if one is None:
        return None
    hour = _CLOCK.match(spoken, one[0])
    return Said(start, hour.end() if hour else one[0], *one[1])


def _long_range(spoken: str, start: int, today: date) -> Said | None:
    one = _point_at(spoken, start, today, end=_BEFORE_STROKE)
    if one is None:
        return None
    stroke = _TO.match(spoken, one[0]) or _elative(spoken, start, one[0])
    other = _point_at(spoken, stroke.end(), today, not_before=one[1][0]) if stroke else None
    if stroke is None or other is None:
        return None
    if re.search(r"\d{4}$", spoken[stroke.end() : other[0]]):  # whose year the first takes over
        one = _point_at(spoken, start, other[1][1], end=_BEFORE_STROKE) or one
    first, last = one[1][0], other[1][1]
    if last - today > _AHEAD:  # 15.3.-12.3. of one year, the wrong way round
        alone = _point_at(spoken, stroke.end(), today)
        if alone is not None and alone[1][0] <= first:
            first, last = alone[1][0], one[1][1]
    if last < first:
        return None
    tail = _BETWEEN.match(spoken, other[0]) or _THEN_UNTIL.match(spoken, other[0])
    return _Range(start, tail.end() if tail else other[0], first, last)


def _elative(spoken: str, start: int, stop: int) -> re.Match[str] | None:
    """maaliskuusta toukokuuhun: the endings are what joins the two."""
    return _TO_ENDING.match(spoken, stop) if spoken[start:stop].endswith("sta") else None


def _point_at(
    spoken: str,
    start: int,
    today: date,
    not_before: date | None = None,
    end: re.Pattern[str] = _END,
) -> tuple[int, Days] | None:
    """Where it ends, and which days; the first of the forms below that fits whole."""
    for pattern, read in _FORMS:
        match = pattern.match(spoken, start)
        if match is None or end.match(spoken, match.end()) is None:
            continue
        try:
            days = read(match, today, not_before)
        except (ValueError, OverflowError):
            continue
        if days is not None and days[0] >= _EARLIEST and days[1] <= _LATEST:
            return match.end(), days
    return None


# -- the forms -------------------------------------------------------------------------

_MONTHS_FI = (
    "tammi", "helmi", "maalis", "huhti", "touko", "kesa", "heina", "elo", "syys", "loka",
    "marras", "joulu",
)  # fmt: skip
_MONTHS_EN = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_WEEKDAYS_FI = (
    "maanantai", "tiistai", "keskiviikko", "torstai", "perjantai", "lauantai", "sunnuntai",
)  # fmt: skip
_WEEKDAYS_EN = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {
    "yksi": 1, "kaksi": 2, "kolme": 3, "nelja": 4, "viisi": 5, "kuusi": 6, "seitseman": 7,
    "kahdeksan": 8, "yhdeksan": 9, "kymmenen": 10, "pari": 2, "muutama": 3, "kahden": 2,
    "kolmen": 3, "neljan": 4, "viiden": 5, "kuuden": 6, "parin": 2, "muutaman": 3,
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3,
}  # fmt: skip
_COUNT = "|".join(["[0-9]{1,3}", *sorted(_NUMBERS, key=len, reverse=True)])
_UNITS = {"p": 1, "d": 1, "v": 7, "w": 7, "k": 30, "m": 30}
_AROUND = {1: 0, 7: 1, 30: 7, 365: 15}  # days that "about so long ago" may be off, by the unit
_UNIT = (
    r"paivaa?|paivan|vrk|viikkoa?|viikon|kuukautta|kuukausi|kuukauden|kk|vuotta|vuosi|vuoden"
    r"|days?|weeks?|months?|years?"
)
_FI = "|".join(_MONTHS_FI)
_EN = "|".join([*_MONTHS_EN, "sept", *(name[:3] for name in _MONTHS_EN)])
_WEEK_FI = r"viik(?:olla|olta|on|ko)"
_SHORT_RANGE = re.compile(
    r"(\d{1,2})\.?\s?[-–—]\s?(\d{1,2})\.\s?(?:(\d{1,2})\.|(" + _FI + r")kuu(?:ta|n|ssa)?)"
    r"\s?((?:19|20)\d\d(?!\d|-\d{5}))?"
)

Read = Callable[["re.Match[str]", date, "date | None"], "Days | None"]


def _shift(days: int) -> Read:
    return lambda match, today, _: _one(today - timedelta(days=days))


def _week(back: int) -> Read:
    def read(match: re.Match[str], today: date, _: date | None) -> Days:
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return monday, monday + timedelta(days=6)

    return read


def _month(back: int) -> Read:
    def read(match: re.Match[str], today: date, _: date | None) -> Days:
        months = today.year * 12 + today.month - 1 - back
        return _whole_month(months // 12, months % 12 + 1)

    return read


def _year(back: int) -> Read:
    return lambda match, today, _: (date(today.year - back, 1, 1), date(today.year - back, 12, 31))


def _said_year(match: re.Match[str], today: date, _: date | None) -> Days:
    return date(int(match[1]), 1, 1), date(int(match[1]), 12, 31)


def _week_number(match: re.Match[str], today: date, _: date | None) -> Days:
    number, year = int(match[1]), today.isocalendar().year
    monday = date.fromisocalendar(year, number, 1)
    if monday > today:
        monday = date.fromisocalendar(year - 1, number, 1)
    return monday, monday + timedelta(days=6)


def _weekday(names: Sequence[str]) -> Read:
    def read(match: re.Match[str], today: date, not_before: date | None) -> Days:
        wanted = names.index(match["day"])
        if match["week"]:  # of last week
            monday = today - timedelta(days=today.weekday() + 7)
            return _one(monday + timedelta(days=wanted))
        if not_before is not None and not match["last"]:
            return _one(not_before + timedelta(days=(wanted - not_before.weekday()) % 7))
        back = (today.weekday() - wanted) % 7
        return _one(today - timedelta(days=7 if match["last"] and not back else back))

    return read


def _ago(match: re.Match[str], today: date, _: date | None) -> Days:
    days = _unit_days(match["unit"])
    day = today - timedelta(days=days * _number(match["count"]))
    around = timedelta(days=_AROUND[days])
    return day - around, min(day + around, today)


def _lately(match: re.Match[str], today: date, _: date | None) -> Days:
    return today - timedelta(days=_unit_days(match["unit"]) * _number(match["count"])), today


def _unit_days(unit: str) -> int:
    if unit.startswith(("vuo", "year")):
        return 365
    if unit.startswith("vrk"):
        return 1
    return _UNITS[unit[0]]


def _number(word: str | None) -> int:
    if word is None:
        return 1
    return _NUMBERS[word] if word in _NUMBERS else int(word)


def _numeric(match: re.Match[str], today: date, not_before: date | None) -> Days | None:
    year = next((group for group in match.groups()[2:] if group), None)
    return _dated(int(match[1]), int(match[2]), year, today, not_before)


def _iso(match: re.Match[str], today: date, _: date | None) -> Days:
    return _one(date(int(match[1]), int(match[2]), int(match[3])))


def _month_of_year(match: re.Match[str], today: date, _: date | None) -> Days:
    return _whole_month(int(match[2]), int(match[1]))


def _named(names: Sequence[str]) -> Read:
    """A month by its name, of the year said, else the last one that has begun."""

    def read(match: re.Match[str], today: date, not_before: date | None) -> Days:
        month = _place(names, match["month"])
        if match["year"]:
            return _whole_month(int(match["year"]), month)
        if not_before is not None:
            return _whole_month(not_before.year + (month < not_before.month), month)
        return _whole_month(today.year - (month > today.month), month)

    return read


def _two_months(match: re.Match[str], today: date, not_before: date | None) -> Days:
    """heinä-elokuussa."""
    first, last = _place(_MONTHS_FI, match["first"]), _place(_MONTHS_FI, match["month"])
    year = int(match["year"] or today.year - (first > today.month))
    return date(year, first, 1), _whole_month(year + (last < first), last)[1]


def _named_day(names: Sequence[str]) -> Read:
    def read(match: re.Match[str], today: date, not_before: date | None) -> Days | None:
        month = _place(names, match["month"])
        return _dated(int(match["day"]), month, match["year"], today, not_before)

    return read


def _short_range(match: re.Match[str], today: date) -> Days | None:
    """12.-15.3.: two days of one month."""
    try:
        month = int(match[3]) if match[3] else _place(_MONTHS_FI, match[4])
        first = _dated(int(match[1]), month, match[5], today, None)
        last = first and date(first[0].year, month, int(match[2]))
    except ValueError:
        return None
    return (first[0], last) if first and last and first[0] <= last else None


def _dated(day: int, month: int, year: str | None, today: date, after: date | None) -> Days | None:
    """The day of the year said; without one the last that was, behind `after` the next."""
    if year:
        return _one(date(int(year) + (2000 if len(year) == 2 else 0), month, day))
    years = range(after.year, after.year + 9) if after else range(today.year, today.year - 9, -1)
    for each in years:
        try:
            found = date(each, month, day)
        except ValueError:
            continue  # 29 February
        if found >= after if after else found <= today:
            return _one(found)
    return None


def _one(day: date) -> Days:
    return day, day


def _whole_month(year: int, month: int) -> Days:
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def _place(names: Sequence[str], name: str) -> int:
    return next(n for n, whole in enumerate(names, 1) if whole.startswith(name[:5]))


def _forms(*forms: tuple[str, Read]) -> list[tuple[re.Pattern[str], Read]]:
    return [(re.compile(pattern), read) for pattern, read in forms]


_YEAR = r"(?:,?\s(?P<year>(?:19|20)\d\d)(?!\d|-\d{5}))?"
_NTH = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_FORMS = _forms(
    (r"tanaan|today", _shift(0)),
    (r"eilen|eilinen|eilisen|yesterday", _shift(1)),
    (r"toissapaiva(?:na)?|(?:the )?day before yesterday", _shift(2)),
    (
        rf"(?P<week>viime {_WEEK_FI} )?(?P<last>viime )?(?P<day>{'|'.join(_WEEKDAYS_FI)})"
        r"(?:na|lta|n|sta|hin|on)?",
        _weekday(_WEEKDAYS_FI),
    ),
    (
        rf"(?:on )?(?P<last>last |past )?(?P<day>{'|'.join(_WEEKDAYS_EN)})(?P<week> last week)?",
        _weekday(_WEEKDAYS_EN),
    ),
    (rf"viime {_WEEK_FI}|last week|(?:the )?previous week", _week(1)),
    (rf"(?:talla|tama|taman) {_WEEK_FI}|this week", _week(0)),
    (rf"toissa ?{_WEEK_FI}|(?:the )?week before last", _week(2)),
    (r"(?:viikolla|viikko|vk|week) ?([0-9]{1,2})", _week_number),
    (r"viime kuu(?:ssa|n|lta)?|last month", _month(1)),
    (r"(?:tassa|tama|taman) kuu(?:ssa|n)?|this month", _month(0)),
    (r"viime vuo(?:nna|si|den)|last year", _year(1)),
    (r"(?:tana vuonna|tama vuosi|this year)", _year(0)),
    (r"(?:vuonna|vuosi|in|year) ((?:19|20)\d\d)", _said_year),
    (rf"(?:about |noin )?(?:(?P<count>{_COUNT}) )?(?P<unit>{_UNIT}) (?:sitten|ago)", _ago),
    (
        rf"(?:viime(?:ist?en|iset|isin|isten)?|kuluneen|the last|last|the past|past)"
        rf" (?P<count>{_COUNT}) (?P<unit>{_UNIT})(?: aikana| ajalta)?",
        _lately,
    ),
    (rf"(?:viimeisen|kuluneen) (?P<count>\0)?(?P<unit>{_UNIT})(?: aikana| ajalta)?", _lately),
    (r"(\d{4})-(\d\d)-(\d\d)", _iso),
    (
        r"(?:(?:ma|ti|ke|to|pe|la|su)\.? )?(\d{1,2})\.\s?(\d{1,2})\."
        r"(?:\s?((?:19|20)\d\d)(?!\d|-\d{5})|(\d\d)\b)?",
        _numeric,
    ),
    (r"(\d{1,2})/(\d{1,2})/((?:19|20)\d\d)", _numeric),
    (r"(\d{1,2})/((?:19|20)\d\d)", _month_of_year),
    (rf"(?P<day>\d{{1,2}})\. (?P<month>{_FI})kuu(?:ta|n|ssa)?{_YEAR}", _named_day(_MONTHS_FI)),
    (rf"(?:viime )?(?P<month>{_FI})kuu(?:ssa|n|lta|ta|sta|hun)?{_YEAR}", _named(_MONTHS_FI)),
    (rf"(?P<first>{_FI})(?:kuu)?[-–](?P<month>{_FI})kuu(?:ssa|n|lta|ta)?{_YEAR}", _two_months),
    (rf"(?:on )?(?:the )?{_NTH} (?:of )?(?P<month>{_EN}){_YEAR}", _named_day(_MONTHS_EN)),
    (rf"(?P<month>{_EN}) (?P<year>(?:19|20)\d\d)(?!\d|-\d{5})", _named(_MONTHS_EN)),
    (rf"(?P<month>{_EN}) {_NTH}{_YEAR}", _named_day(_MONTHS_EN)),
    (rf"(?:in|during|last|this) (?P<month>{_EN}){_YEAR}", _named(_MONTHS_EN)),
)
