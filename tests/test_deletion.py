"""The bytes of what expired: at the pace that is set, and the disk's room given back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.config import Config, running_parts
from archive.db import transaction
from archive.embedded import Parts
from archive.embedded.volumes import _named_end
from archive.erasure import expiry
from archive.storage import Store, open_store
from archive.throttle import Throttle
from tests.clock import Clock
from tests.test_story import deliver

A_YEAR = timedelta(days=366)


@contextmanager
def told_that_the_store_is_its_own(config: Config, parts: Parts) -> Iterator[Store]:
    """The store as a process sees it that knows it to be the embedded one."""
    (config.home / "run").mkdir()
    facts = running_parts(parts.home) | {"store_url": config.store_url}
    (config.home / "run" / "parts.json").write_text(json.dumps(facts), encoding="utf-8")
    with closing(open_store(config)) as store:
        yield store


def stored_bytes(archive: Archive) -> int:
    return sum(each.bytes for each in archive.store.list("recordings/"))


def test_a_run_says_how_much_it_deleted_and_how_much_room_came_back(
    archive: Archive, config: Config, parts: Parts, clock: Clock
) -> None:
    for n in range(3):
        deliver(archive, str(n))
    worker.until_idle(archive)
    expected = stored_bytes(archive)
    clock.advance(A_YEAR)
    with told_that_the_store_is_its_own(config, parts) as store:
        archive.vault.store = store
        done = archive.expire()
        assert done["destroyed"] == 3
        assert done["bytes_deleted"] == expected > 3 * 8000
        assert done["bytes_reclaimed"] >= expected
        assert archive.last_expiry_bytes(SYSTEM) == (expected, done["bytes_reclaimed"])
        # Nothing was deleted since, so nothing comes back.
        assert archive.expire()["bytes_reclaimed"] == 0


def test_what_was_deleted_is_in_no_file_of_the_store_and_the_rest_is(
    config: Config, parts: Parts, archive: Archive
) -> None:
    folder = Path(running_parts(parts.home)["store_folder"])
    doomed, kept = os.urandom(4000), os.urandom(4000)
    with told_that_the_store_is_its_own(config, parts) as store:
        store.put_bytes("recordings/doomed", doomed)
        store.put_bytes("recordings/kept", kept)
        store.delete(["recordings/doomed"])
        assert store.reclaim() is not None
        volumes = [path.read_bytes() for path in folder.glob("*.dat")]
        assert not any(doomed[100:200] in volume for volume in volumes)
        assert any(kept[100:200] in volume for volume in volumes)
        assert store.get("recordings/kept", start=0, length=9999) == kept
        store.put_bytes("recordings/later", doomed)
        assert store.get("recordings/later", start=0, length=9999) == doomed
    # The next start finds every volume named whole by its index, and mends nothing.
    for data in folder.glob("*.dat"):
        assert _named_end(data.with_suffix(".idx")) == data.stat().st_size


def test_what_was_erased_during_the_day_is_given_back_by_the_night(
    archive: Archive, config: Config, parts: Parts
) -> None:
    receipt = deliver(archive, "private")
    expected = stored_bytes(archive)
    archive.erase(SYSTEM, receipt.id, reason="private")
    with told_that_the_store_is_its_own(config, parts) as store:
        archive.vault.store = store
        done = archive.expire()
    assert (done["destroyed"], done["bytes_deleted"]) == (1, expected)
    assert done["bytes_reclaimed"] >= expected


def test_another_store_sees_to_its_room_itself(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1")
    clock.advance(A_YEAR)
    assert archive.expire()["bytes_reclaimed"] is None


def test_a_store_that_does_not_give_back_does_not_stop_the_run(
    archive: Archive, config: Config, parts: Parts, clock: Clock
) -> None:
    deliver(archive, "1")
    clock.advance(A_YEAR)
    with told_that_the_store_is_its_own(config, parts):
        pass
    path = config.home / "run" / "parts.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"store_master": "127.0.0.1:9"}
    path.write_text(json.dumps(facts), encoding="utf-8")
    with closing(open_store(config)) as store:
        archive.vault.store = store
        done = archive.expire()
    assert (done["destroyed"], done["failed"], done["bytes_reclaimed"]) == (1, [], None)


def test_the_run_deletes_no_faster_than_the_setting_says(
    archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        deliver(archive, str(n))
    clock.advance(A_YEAR)
    waited: list[float] = []
    means = replace(
        archive._means,
        config=replace(archive.config, erase_per_s=2),
        wait=waited.append,
    )
    assert expiry.run(means)["destroyed"] == 5
    # Batches of 2, 2 and 1: a second each, half a second for the last.
    assert 1.0 < sum(waited) <= 2.5
    assert max(waited) <= 1.0


def test_a_throttle_waits_for_what_the_work_did_not_take() -> None:
    at, waited = [0.0], []
    throttle = Throttle(10, wait=waited.append, monotonic=lambda: at[0])
    assert throttle.most(500) == 10
    with throttle.batch(10):
        at[0] += 0.4
    with throttle.batch(10):
        at[0] += 3.0
    assert waited == [pytest.approx(0.6)]
    assert Throttle(0, wait=waited.append).most(500) == 500


def test_a_run_that_broke_off_goes_on_and_counts_all_its_bytes(
    archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        deliver(archive, str(n))
    expected = stored_bytes(archive)
    clock.advance(A_YEAR)
    monkeypatch.setattr(expiry, "BATCH", 2)
    real, calls = archive.vault.store.delete, []

    def breaking(keys: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return real(keys)

    monkeypatch.setattr(archive.vault.store, "delete", breaking)
    with pytest.raises(RuntimeError):
        archive.expire()
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from recording")).scalar() == 2
    done = archive.expire()
    assert (done["destroyed"], done["bytes_deleted"]) == (4, expected)
    assert stored_bytes(archive) == 0
