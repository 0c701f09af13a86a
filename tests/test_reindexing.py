"""The whole index made anew on demand, with either engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from archive import reindexing, worker
from archive.archive import Archive
from archive.assembly import url_of_index
from archive.config import Config
from archive.errors import BadFields, BadSetting
from archive.search import open_index
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.test_mending import search, two_months  # noqa: F401
from tests.web.conftest import AINO


@pytest.fixture
def on_postgres(archive: Archive, empty_database_url: str) -> Iterator[Archive]:
    """The same archive, its index in PostgreSQL."""
    whoosh = archive.index
    archive.index = open_index(archive.config.home / "index", archive.keys, url=empty_database_url)
    object.__setattr__(archive._means, "index", archive.index)
    yield archive
    archive.index.close()
    archive.index = whoosh


def test_everything_is_searched_again_after_reindexing_and_the_progress_is_told(
    archive: Archive,
    machine: Machine,
    two_months: dict[str, list[str]],  # noqa: F811
) -> None:
    everything = {id for ids in two_months.values() for id in ids}
    assert reindexing.begin(archive, None) == 6
    assert search(machine) == (set(), sorted(two_months))
    told = []
    for done in reindexing.progress(archive, 6, sleep=lambda s: None):
        told.append(done)
        worker.index_batch(archive)
    assert told == [0, 6]
    worker.index_batch(archive)
    assert search(machine) == (everything, [])


def test_one_month_is_reindexed_while_the_other_stays(
    archive: Archive,
    machine: Machine,
    two_months: dict[str, list[str]],  # noqa: F811
) -> None:
    new, old = sorted(two_months, reverse=True)
    assert reindexing.begin(archive, old) == 3
    assert search(machine) == (set(two_months[new]), [old])


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "2026-1", "x", "2026-11'"])
def test_what_is_no_month_is_refused(archive: Archive, month: str) -> None:
    with pytest.raises(BadFields):
        reindexing.begin(archive, month)


def test_the_whole_way_with_the_index_in_postgresql(
    on_postgres: Archive, machine: Machine, clock: Clock
) -> None:
    id = post_call(machine, metadata(clock, customer_number=AINO)).get_json()["id"]
    machine.work()
    assert search(machine) == ({id}, [])
    page = machine.post("/api/v1/recordings/search", {"facets": ["line", "month"], "total": True})
    assert page.get_json()["facets"] == {"line": {"viat": 1}, "month": {"2026-11": 1}}
    clock.set(clock().replace(year=2027, day=26))
    machine.archive.expire()
    assert on_postgres.index.months() == []
    assert on_postgres.keys.names("index") == []


def test_the_index_is_never_in_the_catalogues_database(config: Config) -> None:
    beside = url_of_index(replace(config, index_url="postgresql:"))
    assert beside != config.database_url
    assert "_index?" in beside
    assert url_of_index(replace(config, index_url="")) == ""
    for wrong in (config.database_url, "mysql://x/y", "postgres"):
        with pytest.raises(BadSetting):
            url_of_index(replace(config, index_url=wrong))
