"""One year, as the law counts it: leap days, changes of clocks, midnight, late and odd clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archive import retention
from archive.retention import HELSINKI

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
walls = st.datetimes(
    datetime.fromisoformat("2000-01-02"), datetime.fromisoformat("2090-01-01"), timezones=st.none()
)
instants = walls.map(lambda wall: wall.replace(tzinfo=UTC))


def helsinki(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=HELSINKI, fold=fold)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("contact", "expires"),
    [
        ("2026-11-24T10:00", "2027-11-24T10:00"),
        ("2026-11-24T23:59:59.999999", "2027-11-24T23:59:59.999999"),
        ("2026-12-31T23:30", "2027-12-31T23:30"),
        ("2027-01-01T00:00", "2028-01-01T00:00"),
        ("2028-02-29T12:00", "2029-02-28T12:00"),  # Act 150/1930: the month lacks the day
        ("2028-02-29T00:00", "2029-02-28T00:00"),
        ("2028-02-28T12:00", "2029-02-28T12:00"),
        ("2027-02-28T12:00", "2028-02-28T12:00"),  # not the 29th: the month has the day
        ("2027-03-01T12:00", "2028-03-01T12:00"),
        ("2028-03-01T12:00", "2029-03-01T12:00"),
        ("2028-02-28T23:59", "2029-02-28T23:59"),
    ],
)
def test_a_year_ends_on_the_same_day_and_time_in_helsinki(contact: str, expires: str) -> None:
    assert retention.expires_at(helsinki(contact)) == helsinki(expires)


def test_a_leap_year_of_keeping_is_a_day_longer_than_another() -> None:
    for contact, days in (("2026-11-24T10:00", 365), ("2027-11-24T10:00", 366)):
        start = helsinki(contact).astimezone(UTC)
        assert retention.expires_at(start) - start == timedelta(days=days)


def test_the_year_is_counted_on_helsinki_clocks_whatever_zone_the_time_came_in() -> None:
    contact = utc("2028-02-28T22:30:00")  # already the 29th in Helsinki
    assert retention.expires_at(contact) == helsinki("2029-02-28T00:30")
    elsewhere = contact.astimezone(timezone(timedelta(hours=-9)))
    assert retention.expires_at(elsewhere) == retention.expires_at(contact)
    assert retention.expires_at(elsewhere).tzinfo is UTC


def test_a_year_that_ends_in_a_missing_hour_ends_at_the_earlier_instant() -> None:
    # Clocks go from 03:00 to 04:00 on 28 March 2027.
    contact = helsinki("2026-03-28T03:30")
    assert retention.expires_at(contact) == utc("2027-03-28T00:30:00")
    assert retention.local(retention.expires_at(contact)).hour == 2


def test_a_year_that_ends_in_a_doubled_hour_ends_at_the_earlier_instant() -> None:
    # Clocks go from 04:00 back to 03:00 on 31 October 2027.
    contact = helsinki("2026-10-31T03:30")
    assert retention.expires_at(contact) == utc("2027-10-31T00:30:00")


def test_a_contact_in_either_of_the_doubled_hours_ends_at_the_same_time() -> None:
    # 25 October 2026: 03:30 twice; a year later it is an ordinary time.
    first, second = helsinki("2026-10-25T03:30"), helsinki("2026-10-25T03:30", fold=1)
    assert second.astimezone(UTC) - first.astimezone(UTC) == HOUR
    assert retention.expires_at(first) == retention.expires_at(second)
    assert retention.expires_at(first) == helsinki("2027-10-25T03:30")


def test_a_year_across_a_change_of_clocks_keeps_the_time_on_the_clock() -> None:
    contact = helsinki("2029-03-27T12:00")  # summer time; a year later it is winter time
    assert retention.expires_at(contact) == helsinki("2030-03-27T12:00")
    assert retention.expires_at(contact) - contact.astimezone(UTC) == 365 * DAY + HOUR
    contact = helsinki("2026-03-28T12:00")  # winter time; a year later it is summer time
    assert retention.expires_at(contact) == helsinki("2027-03-28T12:00")
    assert retention.expires_at(contact) - contact.astimezone(UTC) == 365 * DAY - HOUR


@pytest.mark.parametrize(
    ("wall", "instant"),
    [
        ("2026-07-01T12:00", "2026-07-01T09:00"),
        ("2026-12-01T12:00", "2026-12-01T10:00"),
        ("2026-03-29T02:59:59", "2026-03-29T00:59:59"),
        ("2026-03-29T03:00", "2026-03-29T00:00"),  # does not exist: the earlier instant
        ("2026-03-29T03:30", "2026-03-29T00:30"),
        ("2026-03-29T03:59:59", "2026-03-29T00:59:59"),
        ("2026-03-29T04:00", "2026-03-29T01:00"),
        ("2026-10-25T02:59", "2026-10-24T23:59"),
        ("2026-10-25T03:00", "2026-10-25T00:00"),  # twice: the earlier instant
        ("2026-10-25T03:59:59", "2026-10-25T00:59:59"),
        ("2026-10-25T04:00", "2026-10-25T02:00"),
    ],
)
def test_a_time_on_the_wall_is_the_earlier_instant(wall: str, instant: str) -> None:
    assert retention.resolve_local(datetime.fromisoformat(wall)) == utc(instant)
    later = datetime.fromisoformat(wall).replace(fold=1)
    assert retention.resolve_local(later) == utc(instant)


@given(walls)
def test_no_reading_of_a_wall_clock_gives_an_earlier_instant(wall: datetime) -> None:
    found = retention.resolve_local(wall)
    assert found.tzinfo is UTC
    for fold in (0, 1):
        assert found <= wall.replace(tzinfo=HELSINKI, fold=fold).astimezone(UTC)


@settings(max_examples=300)
@given(instants)
@example(utc("2028-02-28T22:00:00"))
@example(utc("2028-02-29T21:59:59"))
def test_the_cohort_is_the_contacts_date_in_helsinki_a_year_later(contact: datetime) -> None:
    day = retention.local(contact).date()
    if (day.month, day.day) == (2, 29):
        day = day.replace(day=28)
    assert retention.cohort_of(retention.expires_at(contact)) == day.replace(year=day.year + 1)


def test_every_day_of_eight_years_ends_a_year_later() -> None:
    day = date(2026, 1, 1)
    while day < date(2034, 1, 1):
        for hour in (0, 3, 23):
            contact = datetime(day.year, day.month, day.day, hour, 30, tzinfo=HELSINKI)
            cohort = retention.cohort_of(retention.expires_at(contact))
            assert (cohort.year, cohort.month) == (day.year + 1, day.month)
            assert cohort.day == (28 if (day.month, day.day) == (2, 29) else day.day)
        day += DAY


@settings(max_examples=300)
@given(instants, st.timedeltas(timedelta(0), timedelta(days=3)))
@example(utc("2026-03-28T00:50:00"), timedelta(minutes=20))  # into the missing hour
@example(utc("2028-02-28T12:00:00"), timedelta(hours=20))  # into 29 February
def test_a_later_contact_never_ends_on_an_earlier_day(contact: datetime, by: timedelta) -> None:
    one, other = retention.expires_at(contact), retention.expires_at(contact + by)
    assert retention.cohort_of(one) <= retention.cohort_of(other)
    if by >= DAY + HOUR:
        assert one <= other


@settings(max_examples=300)
@given(instants)
def test_nothing_is_kept_longer_than_a_year_and_a_day(contact: datetime) -> None:
    kept = retention.expires_at(contact) - contact
    assert 365 * DAY - 2 * HOUR <= kept <= 366 * DAY + HOUR


def test_the_day_of_a_cohort_is_the_day_in_helsinki() -> None:
    assert retention.cohort_of(utc("2027-11-24T21:59:59")) == date(2027, 11, 24)
    assert retention.cohort_of(utc("2027-11-24T22:00:00")) == date(2027, 11, 25)
    assert retention.cohort_of(utc("2027-06-30T21:00:00")) == date(2027, 7, 1)


def test_a_cohort_is_over_when_its_day_is_over_in_helsinki() -> None:
    day = date(2027, 11, 24)
    assert not retention.cohort_over(day, helsinki("2027-11-24T00:00"))
    assert not retention.cohort_over(day, helsinki("2027-11-24T23:59:59.999999"))
    assert retention.cohort_over(day, helsinki("2027-11-25T00:00"))


@given(instants, instants)
def test_a_cohort_that_is_over_holds_nothing_that_is_live(contact: datetime, now: datetime) -> None:
    if retention.cohort_over(retention.cohort_of(retention.expires_at(contact)), now):
        assert retention.too_old(contact, now)


def test_from_the_very_instant_a_recording_is_too_old() -> None:
    contact = helsinki("2026-11-24T10:00")
    assert not retention.too_old(contact, helsinki("2027-11-24T10:00") - MICROSECOND)
    assert retention.too_old(contact, helsinki("2027-11-24T10:00"))


ARRIVAL = utc("2027-06-01T12:00:00")


def test_the_given_contact_time_counts_in_utc() -> None:
    given_time = ARRIVAL.astimezone(HELSINKI) - HOUR
    used, used_given = retention.contact_time(given_time, ARRIVAL)
    assert (used, used_given, used.tzinfo) == (ARRIVAL - HOUR, True, UTC)


@pytest.mark.parametrize(
    "given_time",
    [
        None,
        ARRIVAL + MICROSECOND,
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        helsinki("2000-01-01T00:00") - MICROSECOND,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_an_impossible_contact_time_counts_as_arrival(given_time: datetime | None) -> None:
    assert retention.contact_time(given_time, ARRIVAL) == (ARRIVAL, False)


def test_an_untrusted_clock_counts_as_arrival() -> None:
    assert retention.contact_time(ARRIVAL - HOUR, ARRIVAL, trusted=False) == (ARRIVAL, False)


def test_the_edges_of_belief_are_believed() -> None:
    for edge in (ARRIVAL, helsinki("2000-01-01T00:00")):
        assert retention.contact_time(edge, ARRIVAL) == (edge, True)


def test_a_correction_never_lengthens_a_life_beyond_a_year_after_arrival() -> None:
    limit = retention.expires_at(ARRIVAL)
    assert retention.cap_expiry(limit + DAY, ARRIVAL) == limit
    assert retention.cap_expiry(limit - DAY, ARRIVAL) == limit - DAY
    assert retention.cap_expiry(retention.local(limit), ARRIVAL).tzinfo is UTC


@settings(max_examples=400)
@given(instants, st.timedeltas(timedelta(days=-367), timedelta(days=-364)))
@example(helsinki("2028-02-29T10:00").astimezone(UTC), timedelta(days=-366))
@example(helsinki("2029-02-28T10:00").astimezone(UTC), timedelta(days=-365))
@example(utc("2027-03-28T00:30:00"), timedelta(days=-365))
def test_no_live_contact_lies_before_the_edge_of_search(now: datetime, ago: timedelta) -> None:
    contact, edge = now + ago, retention.live_since(now)
    assert edge.tzinfo is UTC
    if not retention.too_old(contact, now):
        assert contact >= edge
    if contact < edge:
        assert retention.too_old(contact, now)


def test_ordinarily_the_edge_of_search_is_exact() -> None:
    now = helsinki("2027-11-24T10:00")
    edge = retention.live_since(now)
    assert not retention.too_old(edge, now)
    assert retention.too_old(edge - MICROSECOND, now)


def test_on_a_leap_day_the_edge_of_search_is_the_first_of_march() -> None:
    now = helsinki("2028-02-29T10:00")
    edge = retention.live_since(now)
    assert edge == helsinki("2027-03-01T00:00")
    assert not retention.too_old(edge, now)
    assert retention.too_old(edge - MICROSECOND, now)


@settings(max_examples=300)
@given(instants)
def test_around_every_change_of_clocks_the_edge_hides_nothing_live(now: datetime) -> None:
    edge = retention.live_since(now)
    for minutes in range(1, 180, 10):
        assert retention.too_old(edge - timedelta(minutes=minutes), now)


def test_a_time_without_a_zone_is_refused_everywhere() -> None:
    naive = datetime.fromisoformat("2027-01-01")
    for refuse in (
        lambda: retention.expires_at(naive),
        lambda: retention.local(naive),
        lambda: retention.cohort_of(naive),
        lambda: retention.contact_time(naive, ARRIVAL),
        lambda: retention.contact_time(None, naive),
        lambda: retention.too_old(ARRIVAL, naive),
        lambda: retention.cap_expiry(naive, ARRIVAL),
        lambda: retention.resolve_local(ARRIVAL),
    ):
        with pytest.raises(ValueError, match="time zone"):
            refuse()
