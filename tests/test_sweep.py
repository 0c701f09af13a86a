"""What is swept, and above all what is not: what is in doubt lives."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from archive import catalogue, rebuild, worker
from archive.archive import SYSTEM, Archive, complete_descriptor
from archive.backups import dumping
from archive.db import migrate, open_engine, transaction
from archive.erasure import sweeping
from archive.erasure.sweeping import Fate, Findings
from archive.errors import RestoreUnfinished, SweepTooLarge
from archive.keys import RESTORING_FILE
from archive.storage.s3 import PART_BYTES, S3Store
from archive.vault import cohort_name
from tests.clock import Clock
from tests.media import wav
from tests.test_holds import CASE, HANDLER, hold
from tests.test_holds import read as read_held
from tests.test_story import deliver, read

A_YEAR = timedelta(days=366)
HOUR = timedelta(hours=1)


def later(hours: float = 49) -> datetime:
    """So long after now by the store's clock, which is the machine's."""
    return datetime.now(UTC) + hours * HOUR


def sweep(archive: Archive, **more: Any) -> Findings:
    return sweeping.sweep(archive.vault, archive.engine, **({"now": later()} | more))


def lose_row(archive: Archive, *ids: UUID) -> list[str]:
    """As a crash before the commit, or an older catalogue; the objects that have no row now."""
    with transaction(archive.engine) as connection:
        connection.execute(text("delete from recording where id = any(:ids)"), {"ids": list(ids)})
    return [o.key for o in archive.store.list("recordings/") if any(str(i) in o.key for i in ids)]


def keys(archive: Archive) -> set[str]:
    return {each.key for each in archive.store.list("recordings/")}


def rebuild_rows(archive: Archive) -> rebuild.Outcome:
    return rebuild.catalogue_from_envelopes(
        archive.vault,
        archive.engine,
        complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
        progress=lambda n: None,
        now=archive.now(),
    )


def cohort(archive: Archive, id: UUID) -> str:
    with transaction(archive.engine) as connection:
        found = catalogue.get(connection, id)
    assert found is not None
    return cohort_name(found.cohort)


def test_an_archive_in_order_has_nothing_to_sweep(archive: Archive) -> None:
    archive.open_case(HANDLER, CASE)
    for n in range(2):
        deliver(archive, str(n))
    hold(archive, deliver(archive, "held").id)
    worker.until_idle(archive)
    before = keys(archive)
    found = sweep(archive)
    assert (found.unreferenced, found.swept, found.total) == ({}, [], len(before))


def test_what_broke_off_before_its_row_goes_once_its_sender_came_again(archive: Archive) -> None:
    receipt = deliver(archive, "1")
    (orphan,) = lose_row(archive, receipt.id)
    assert sweep(archive).unreferenced == {orphan: Fate.LIVES}  # perhaps the row is lost
    again = deliver(archive, "1")
    assert sweep(archive, now=later(47)).unreferenced == {orphan: Fate.YOUNG}
    assert sweep(archive).swept == [orphan]
    assert read(archive, again) == wav(0.5)


def test_what_was_erased_and_left_an_object_goes(archive: Archive) -> None:
    receipt = deliver(archive, "private")
    (key,) = keys(archive)
    sealed = b"".join(archive.store.stream(key))
    archive.erase(SYSTEM, receipt.id, reason="private")
    archive.store.put_bytes(key, sealed)
    assert sweep(archive).swept == [key]


def test_what_no_key_opens_any_more_goes_and_what_lacks_its_key_file_stays(
    archive: Archive,
) -> None:
    ended, lacking = deliver(archive, "1"), deliver(archive, "2", days_ago=3)
    ended_day, lacking_day = cohort(archive, ended.id), cohort(archive, lacking.id)
    (gone,) = lose_row(archive, ended.id)
    (stays,) = lose_row(archive, lacking.id)
    archive.keys.destroy(ended_day)
    (archive.keys.path / lacking_day).unlink()  # lost with a disk, and in a key backup
    found = sweep(archive)
    assert found.unreferenced == {gone: Fate.GO, stays: Fate.UNSURE}
    assert keys(archive) == {stays}


def test_a_held_object_under_an_expired_prefix_is_not_swept_with_or_without_its_rows(
    archive: Archive, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    kept = deliver(archive, "kept")
    hold(archive, kept.id)
    content = read_held(archive, kept.id)
    clock.advance(A_YEAR)
    archive.expire()
    before = keys(archive)
    assert len(before) == 2
    assert sweep(archive).unreferenced == {}
    lose_row(archive, kept.id)  # and with it the hold's, as in an older catalogue
    found = sweep(archive)
    assert set(found.of(Fate.LIVES)) == before
    assert rebuild_rows(archive).rebuilt == 1
    assert read_held(archive, kept.id) == content


def test_a_hold_that_ended_lets_its_objects_go(archive: Archive, clock: Clock) -> None:
    archive.open_case(HANDLER, CASE)
    receipt = deliver(archive, "1")
    held = hold(archive, receipt.id)
    clock.advance(A_YEAR)
    archive.expire()
    left = set(lose_row(archive, receipt.id))
    archive.keys.destroy(held.hold.key)
    found = sweep(archive, however_many=True)
    assert set(found.swept) == left
    assert keys(archive) == set()


def test_yesterdays_catalogue_restored_costs_nothing_that_came_since(
    archive: Archive, new_database: Callable[..., str], tmp_path: Any
) -> None:
    old = [deliver(archive, f"old-{n}") for n in range(2)]
    dumping.dump(archive.config.database_url, tmp_path / "dump")
    new = [deliver(archive, f"new-{n}") for n in range(3)]
    worker.until_idle(archive)
    before = keys(archive)
    database = new_database()
    dumping.load(database, tmp_path / "dump")
    migrate(database)
    engine = open_engine(database)
    try:
        found = sweeping.sweep(archive.vault, engine, now=later())
        assert (found.swept, keys(archive)) == ([], before)
        originals = {key for key in before if key.endswith(".original")}
        assert set(found.of(Fate.LIVES)) >= {
            key for key in originals if any(str(r.id) in key for r in new)
        }
        done = rebuild.catalogue_from_envelopes(
            archive.vault,
            engine,
            complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
            progress=lambda n: None,
            now=archive.now(),
        )
        assert (done.rebuilt, done.present) == (len(new), len(old))
    finally:
        engine.dispose()


def test_an_upload_under_way_is_left_alone(archive: Archive) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        left = 3 * PART_BYTES

        def read(self, n: int = -1, /) -> bytes:
            if self.left <= PART_BYTES and not go_on.is_set():
                reached.set()
                go_on.wait(30)
            given = min(n, self.left)
            self.left -= given
            return b"x" * given

    receipts = []
    sending = threading.Thread(
        target=lambda: receipts.append(
            archive.receive_call(
                SYSTEM,
                {
                    "source": "pbx", "source_ref": "long", "direction": "inbound", "line": "viat",
                    "occurred_at": (archive.now() - HOUR).isoformat(),
                },
                Slow(),
            )
        )
    )  # fmt: skip
    sending.start()
    assert reached.wait(30)
    assert sweep(archive, now=later(1)).uploads == 0
    # An object whose row is still to come looks like this one does:
    (young,) = lose_row(archive, deliver(archive, "stored, not yet committed").id)
    assert sweep(archive, now=later(1)).unreferenced == {young: Fate.YOUNG}
    go_on.set()
    sending.join(60)
    assert len(read(archive, receipts[0])) == 3 * PART_BYTES
    assert young in keys(archive)


def test_an_upload_in_parts_left_two_days_ago_is_given_up(archive: Archive) -> None:
    assert isinstance(archive.store, S3Store)
    minio, bucket = archive.store._minio, archive.store._place.bucket
    minio._create_multipart_upload(
        bucket_name=bucket, object_name=f"recordings/2027-11-24/{uuid4()}.original", headers={}
    )
    assert sweep(archive, now=later(47)).uploads == 0
    assert sweep(archive).uploads == 1
    assert list(archive.store._uploads()) == []
    assert sweep(archive).uploads == 0


def test_nothing_is_swept_while_a_restore_is_unfinished(archive: Archive) -> None:
    receipt = deliver(archive, "1")
    (orphan,) = lose_row(archive, receipt.id)
    deliver(archive, "1")
    marker = archive.keys.path / RESTORING_FILE
    marker.write_bytes(b"{}")
    with pytest.raises(RestoreUnfinished):
        sweep(archive)
    marker.unlink()

    def begin_restore(step: str) -> None:
        marker.write_bytes(b"{}")

    with pytest.raises(RestoreUnfinished):
        sweep(archive, step=begin_restore)
    assert orphan in keys(archive)
    marker.unlink()
    assert sweep(archive).swept == [orphan]


def test_a_sweep_of_more_than_one_in_a_hundred_stops_and_asks(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    doomed = [deliver(archive, str(n)) for n in range(3)]
    orphans = set(lose_row(archive, *(receipt.id for receipt in doomed)))
    for n in range(3):
        deliver(archive, str(n))
    with pytest.raises(SweepTooLarge, match="3 of 6") as stopped:
        sweep(archive)
    assert "--however-many" in stopped.value.message
    assert orphans <= keys(archive)
    assert set(sweep(archive, however_many=True).swept) == orphans
    assert len(keys(archive)) == 3


def test_a_row_that_appears_while_we_sweep_saves_its_object(archive: Archive) -> None:
    receipt = deliver(archive, "1")
    (orphan,) = lose_row(archive, receipt.id)
    again = deliver(archive, "1")

    def adopted(step: str) -> None:
        with transaction(archive.engine) as connection:
            connection.execute(
                text("update recording set envelope_key = :key where id = :id"),
                {"key": orphan, "id": again.id},
            )

    assert sweep(archive, step=adopted).swept == []
    assert orphan in keys(archive)


def test_what_another_replaced_goes_and_a_newer_envelope_than_the_row_lives(
    archive: Archive,
) -> None:
    receipt = deliver(archive, "1")
    worker.until_idle(archive)
    archive.correct(SYSTEM, receipt.id, {"notes": "korjattu"})
    stem = next(key for key in keys(archive) if ".envelope.2" in key).partition(".")[0]
    for name in ("playback.99", "envelope.1", "envelope.9", "strange"):
        archive.store.put_bytes(f"{stem}.{name}", os.urandom(50))
    found = sweep(archive, however_many=True)
    assert found.unreferenced == {
        f"{stem}.playback.99": Fate.GO,
        f"{stem}.envelope.1": Fate.GO,
        f"{stem}.envelope.9": Fate.LIVES,
        f"{stem}.strange": Fate.UNSURE,
    }
    assert sorted(found.swept) == [f"{stem}.envelope.1", f"{stem}.playback.99"]


def test_what_is_damaged_or_not_ours_stays(archive: Archive) -> None:
    receipt = deliver(archive, "1")
    (key,) = lose_row(archive, receipt.id)
    archive.store.put_bytes(key, os.urandom(5000))
    archive.store.put_bytes("recordings/notes/readme.txt", b"whose?")
    found = sweep(archive)
    assert found.unreferenced == {
        key: Fate.UNSURE,
        "recordings/notes/readme.txt": Fate.UNSURE,
    }
    assert found.swept == []


def test_the_worker_sweeps_after_the_nights_run(
    archive: Archive, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lost = deliver(archive, "1")
    (orphan,) = lose_row(archive, lost.id)
    deliver(archive, "1")
    clock.set(later())
    worker.sweep(archive)
    assert orphan not in keys(archive)
    (other,) = lose_row(archive, deliver(archive, "2").id)
    clock.set(later(200))
    worker.sweep(archive)
    assert "lost their row" in caplog.text
    assert other in keys(archive)
