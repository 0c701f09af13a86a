"""Holds and backups together: a catalogue of before the hold never costs the held recording."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from archive import retention, worker
from archive.archive import Archive
from archive.backups import restoring
from archive.errors import KeyDestroyed, NotFound
from archive.keyring.recovery import PrivateKey
from archive.vault import cohort_name
from tests.clock import Clock
from tests.media import wav
from tests.test_backup import Elsewhere, back_up, elsewhere, folder, private
from tests.test_holds import CASE, HANDLER, case, hold, read
from tests.test_story import deliver

__all__ = ["case", "elsewhere", "folder", "private"]


def test_a_hold_placed_after_the_dump_outlives_the_restore_of_that_dump(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    case: str,
) -> None:
    kept = deliver(archive, "1", days_ago=364, case=CASE)
    gone = deliver(archive, "2", days_ago=364)
    worker.until_idle(archive)
    back_up(archive, folder)  # yesterday's dump: neither hold nor case is in it
    hold(archive, kept.id)
    clock.advance(timedelta(days=3))
    assert archive.expire()["held"] == 1
    with pytest.raises(KeyDestroyed):
        archive.keys.get(cohort_name(retention.cohort_of(kept.expires_at)))
    lost = replace(
        archive.config, database_url=elsewhere.config.database_url, database_owner_url=""
    )
    there = Elsewhere(lost, clock)
    with there.archive(restoring=True) as empty:
        outcome = restoring.restore_catalogue(empty, folder)
    assert outcome.damaged == []
    with there.archive() as restored:
        restored.expire()
        assert read(restored, kept.id, HANDLER) == wav(0.5)
        with pytest.raises(NotFound):
            read(restored, gone.id, HANDLER)


def test_a_held_recording_past_its_year_is_restored_into_an_empty_installation(
    archive: Archive,
    clock: Clock,
    private: PrivateKey,
    folder: Path,
    elsewhere: Elsewhere,
    case: str,
) -> None:
    kept = deliver(archive, "1", days_ago=364, case=CASE)
    worker.until_idle(archive)
    hold(archive, kept.id)
    clock.advance(timedelta(days=3))
    archive.expire()
    back_up(archive, folder)
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole
        assert read(restored, kept.id, HANDLER) == wav(0.5)
