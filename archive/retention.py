"""The rules of keeping: when a contact's year ends, and which local time is meant.

Pure functions of instants and dates. Knows nothing of holds, keys, rows or clocks: "now" is
always an argument. Sources: privacy notice, section 6 (one year); Act 150/1930 and Regulation
(EEC, Euratom) 1182/71 (a month without the day ends on its last one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

HELSINKI = ZoneInfo("Europe/Helsinki")
EARLIEST_CONTACT = datetime(2000, 1, 1, tzinfo=HELSINKI).astimezone(UTC)
LONGEST_DAYS = 365  # of a rule; what has none ends with its year
_LEAST = timedelta(microseconds=1)


def local(instant: datetime) -> datetime:
    """The same instant on the clocks of Helsinki. ValueError if naive."""
    return _aware(instant).astimezone(HELSINKI)


def resolve_local(naive: datetime) -> datetime:
    """The instant, aware and in UTC, that a Helsinki wall clock shows as `naive`.

    A time that does not exist (spring) or exists twice (autumn) is the earlier of the two
    instants that the offsets before and after the change give: nothing is kept an hour longer
    for the clock's sake. ValueError if `naive` has a time zone, or lies at an end of the calendar.
    """
    if naive.tzinfo is not None:
        raise ValueError("a wall-clock time carries no time zone")
    both = (naive.replace(tzinfo=HELSINKI, fold=fold) for fold in (0, 1))
    try:
        return min(one.astimezone(UTC) for one in both)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def expires_at(contact: datetime) -> datetime:
    """The instant, aware and in UTC, from which a recording is no longer kept.

    One calendar year after the contact, the same time on the clocks of Helsinki; 29 February
    ends on 28 February (Act 150/1930). Raises ValueError if `contact` is naive.

    The calendar is not monotone: within a 28/29 February and around a change of clocks, a later
    contact can end up to a day or an hour before an earlier one. Its *date* never does.
    """
    wall = local(contact).replace(tzinfo=None, fold=0)
    return resolve_local(datetime.combine(_year_later(wall.date()), wall.time()))


def _year_later(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return date(day.year + 1, 2, 28)


def kept_until(occurred_at: datetime, arrival: datetime, days: int | None) -> datetime:
    """The instant, aware and in UTC, from which a recording under a rule is no longer kept.

    `days` None: a year after the contact. Else to the end of the day (Helsinki) that many days
    after the contact, and never longer than the year; nor, for a contact time that was corrected,
    than a year after arrival.
    """
    year = cap_expiry(expires_at(occurred_at), arrival)
    if days is None:
        return year
    last = local(occurred_at).date() + timedelta(days=days + 1)
    return min(year, resolve_local(datetime.combine(last, time())) - _LEAST)


@dataclass(frozen=True, slots=True)
class Rules:
    """Periods shorter than the year, in days: of a line or mailbox, and of a kind ("call")."""

    lines: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)

    def days(self, *, kind: str, line: str) -> int | None:
        """The line's period, else the kind's, else None: a year."""
        return self.lines.get(line, self.kinds.get(kind))

    def periods(self) -> set[int | None]:
        """Every period that there is, the year (None) among them."""
        return {None, *self.lines.values(), *self.kinds.values()}


def rules(words: Iterable[str]) -> Rules:
    """Rules written as "line:NAME=DAYS" and "kind:call=DAYS". ValueError says what is wrong."""
    found: dict[str, dict[str, int]] = {"line": {}, "kind": {}}
    for word in words:
        what, _, rest = word.partition(":")
        name, _, days = rest.rpartition("=")
        if what not in found or not name or not days.isascii() or not days.isdigit():
            raise ValueError("expected line:NAME=DAYS or kind:call=DAYS")
        if what == "kind" and name not in {"call", "email"}:
            raise ValueError("expected kind:call or kind:email")
        if not 1 <= int(days) <= LONGEST_DAYS:
            raise ValueError(f"expected 1 to {LONGEST_DAYS} days; a year is the longest")
        if found[what].setdefault(name, int(days)) != int(days):
            raise ValueError(f"two periods for the same {what}")
    return Rules(lines=found["line"], kinds=found["kind"])


def cohort_of(expires_at: datetime) -> date:
    """The day, in Helsinki, after which the key of everything that expires then is destroyed."""
    return local(expires_at).date()


def cohort_over(day: date, now: datetime) -> bool:
    """Whether the whole of `day` has passed in Helsinki."""
    return local(now).date() > day


def contact_time(
    given: datetime | None, arrival: datetime, trusted: bool = True
) -> tuple[datetime, bool]:
    """(when the contact took place, whether that is `given`), aware and in UTC.

    Arrival counts where the given time is absent, after it, before 2000 (Helsinki), or from a
    clock that is not trusted. ValueError if a time that is used is naive.
    """
    arrived = _aware(arrival)
    if given is None or not trusted or not EARLIEST_CONTACT <= _aware(given) <= arrived:
        return arrived.astimezone(UTC), False
    return given.astimezone(UTC), True


def too_old(contact: datetime, now: datetime) -> bool:
    """Whether the contact's year is over at `now`: refused on arrival, invisible afterwards."""
    return expires_at(contact) <= _aware(now)


def cap_expiry(expires: datetime, arrival: datetime) -> datetime:
    """The earlier of `expires` and a year after arrival: no correction lengthens a life."""
    return min(_aware(expires).astimezone(UTC), expires_at(arrival))


def live_since(now: datetime) -> datetime:
    """The earliest contact time, aware and in UTC, that can still be within its year at `now`.

    No contact before it is live; some after it may be over (on 29 February, and for an hour
    around a change of clocks), so it narrows a search and decides nothing.
    """
    wall = local(now).replace(tzinfo=None, fold=0)
    try:
        before = wall.replace(year=wall.year - 1)
    except ValueError:  # 29 February: what was of 28 February ended yesterday
        return resolve_local(datetime.combine(date(wall.year - 1, 3, 1), time()))
    return resolve_local(before) + _LEAST


def _aware(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise ValueError("an instant needs a time zone")
    return instant
