"""What goes when: told beforehand, and not at all by a clock that cannot be right."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from archive import checkup, retention
from archive.archive import Archive
from archive.assembly import Assembly, utc_now
from archive.auth import People
from archive.errors import ClockSuspect
from tests.clock import Clock
from tests.test_holds import CASE, HANDLER, hold
from tests.test_story import deliver


def test_a_clock_a_day_off_the_databases_in_either_direction_stops_the_run(
    archive: Archive, clock: Clock
) -> None:
    deliver(archive, "1", days_ago=364)
    right = clock() + timedelta(days=2)
    for off in (timedelta(hours=25), timedelta(hours=-25)):
        clock.set(right)
        clock.jump(off)
        with pytest.raises(ClockSuspect, match="database"):
            archive.expire()
    assert len(list(archive.store.list("recordings/"))) == 1
    assert archive.keys.destroyed("cohort") == []
    clock.set(right)
    clock.jump(timedelta(hours=1))
    assert archive.expire()["destroyed"] == 1


def test_a_clock_set_back_behind_the_last_run_stops_the_run_and_rings_until_it_is_right(
    archive: Archive, people: People, clock: Clock
) -> None:
    deliver(archive, "1", days_ago=364)
    clock.set(utc_now() + timedelta(days=2))
    archive.expire()
    clock.advance(timedelta(hours=-3))  # host and database alike, so only the last run tells
    with pytest.raises(ClockSuspect, match="last run"):
        archive.expire()
    assembly = Assembly(archive.config, archive.engine, archive, people)
    rings = [finding.what for finding in checkup.look(assembly) if finding.bad]
    assert any("earlier than the last expiry run" in what for what in rings)
    clock.advance(timedelta(hours=4))
    assert archive.expire()["failed"] == []


def test_a_dry_run_tells_what_goes_tonight_and_each_coming_night(
    archive: Archive, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    for number, days_ago in enumerate((365.2, 364, 363, 363)):
        deliver(archive, str(number), days_ago=min(days_ago, 364.9))
    held = deliver(archive, "held", days_ago=363, case=CASE)
    hold(archive, held.id)
    clock.advance(timedelta(hours=3))
    told = archive.expire(dry_run=True)
    first = clock().date()
    assert told["due"] == 1
    assert told["coming"] == [
        {"day": (first + timedelta(days=1)).isoformat(), "due": 1, "held": 0},
        {"day": (first + timedelta(days=2)).isoformat(), "due": 2, "held": 1},
    ]
    for night in told["coming"]:
        day = retention.resolve_local(datetime.fromisoformat(night["day"]))
        clock.set(day + timedelta(days=1, minutes=10))
        assert archive.expire()["destroyed"] == night["due"] + (night is told["coming"][0])
