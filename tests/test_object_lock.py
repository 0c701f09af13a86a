"""Object lock on the real SeaweedFS: who may delete what, and that a year still is a year."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from minio import Minio
from minio.error import S3Error

from archive import catalogue, checkup, worker
from archive.archive import SYSTEM, Archive
from archive.assembly import assemble
from archive.config import Config
from archive.db import migrate, transaction
from archive.embedded import Parts
from archive.erasure import certificates
from archive.errors import BadSetting, DeletionRefused, NoObjectLock, StoreUnavailable
from archive.model import Recording
from archive.storage import Store, deleting, open_store
from archive.storage.address import place_of
from archive.storage.s3 import PART_BYTES, Place, S3Store
from tests.clock import Clock
from tests.test_holds import CASE, DPO, HANDLER, hold
from tests.test_story import deliver

A_YEAR = timedelta(days=366)
_numbers = count(1)


@pytest.fixture(scope="module")
def locking() -> Iterator[Parts]:
    """Parts as `archive up` starts them where ARCHIVE_OBJECT_LOCK_DAYS is set."""
    home = Path(tempfile.mkdtemp(prefix="archive-locking-"))
    try:
        with Parts(home, say=lambda words: None, object_lock=True) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def place(locking: Parts) -> Place:
    """A bucket of this test's own, and the ordinary credential."""
    assert locking._seaweedfs is not None
    bucket = f"locked-{next(_numbers)}"
    url = locking.store_url.replace("/archive?", f"/{bucket}?")
    operator = replace(place_of(url, *locking._seaweedfs._operator()), lock_days=1)
    with closing(S3Store(operator)) as store:
        store.make_bucket()
    return place_of(url, locking.access_key, locking.secret_key)


@pytest.fixture
def config(home: Path, database_url: str, locking: Parts, place: Place) -> Config:
    return Config(
        home=home,
        keys_dir=home / "keys",
        database_url=database_url,
        store_url=locking.store_url.replace("/archive?", f"/{place.bucket}?"),
        store_access_key=locking.access_key,
        store_secret_key=locking.secret_key,
        store_eraser_access_key=locking.eraser[0],
        store_eraser_secret_key=locking.eraser[1],
        object_lock_days=30,
        key_cache_s=0,
    )


def client(place: Place, access_key: str, secret_key: str) -> Minio:
    return Minio(
        endpoint=place.endpoint, access_key=access_key, secret_key=secret_key, secure=False,
        region=place.region,
    )  # fmt: skip


@pytest.fixture
def ordinary(place: Place, locking: Parts) -> Minio:
    return client(place, locking.access_key, locking.secret_key)


@pytest.fixture
def eraser(place: Place, locking: Parts) -> Minio:
    return client(place, *locking.eraser)


def row(archive: Archive, id: object) -> Recording:
    with transaction(archive.engine) as connection:
        found = catalogue.get(connection, id)  # type: ignore[arg-type]
    assert found is not None
    return found


def every_version(minio: Minio, place: Place, prefix: str = "recordings/") -> list[str]:
    found = minio.list_objects(
        bucket_name=place.bucket, prefix=prefix, recursive=True, include_version=True
    )
    return [f"{each.object_name} {each.version_id}" for each in found]


@pytest.mark.parametrize("size", [20_000, PART_BYTES + 1])
def test_the_ordinary_credential_cannot_delete_and_the_eraser_can(
    store: Store, ordinary: Minio, eraser: Minio, place: Place, size: int
) -> None:
    key = "recordings/2027-11-24/a.original"
    stored = store.put(key, io.BytesIO(b"x" * size))
    assert stored.version is not None
    kept = ordinary.get_object_retention(bucket_name=place.bucket, object_name=key)
    assert kept is not None and kept.mode == "GOVERNANCE"
    assert kept.retain_until_date > datetime.now(UTC) + timedelta(days=29)
    for bypass in (False, True):
        with pytest.raises(DeletionRefused) as refused:
            deleting.delete(ordinary, ordinary, place.bucket, [key], bypass=bypass)
        assert refused.value.facts["keys"] == {key}
    # Hidden or written over it is there all the same, for whoever knows its version.
    ordinary.remove_object(bucket_name=place.bucket, object_name=key)
    ordinary.put_object(
        bucket_name=place.bucket, object_name=key, data=io.BytesIO(b"other"), length=5
    )
    assert store.get(key, start=0, length=5, version=stored.version) == b"xxxxx"
    with pytest.raises(S3Error):
        ordinary.remove_bucket(bucket_name=place.bucket)
    assert deleting.delete(ordinary, eraser, place.bucket, [key], bypass=True) >= 3
    assert every_version(ordinary, place) == []


def test_without_the_erasers_credential_the_store_says_what_stays(
    config: Config, store: Store
) -> None:
    store.put_bytes("recordings/d/a", b"locked")
    store.put_bytes("elsewhere/b", b"not locked")
    bare = replace(config, store_eraser_access_key="", store_eraser_secret_key="")
    with closing(open_store(bare)) as lesser:
        with pytest.raises(DeletionRefused) as refused:
            lesser.delete(["recordings/d/a", "elsewhere/b"])
        assert refused.value.facts["keys"] == {"recordings/d/a"}
        assert isinstance(refused.value, StoreUnavailable)
        assert lesser.head("recordings/d/a") is not None
        assert lesser.head("elsewhere/b") is None
    assert store.delete(["recordings/d/a"]) == 1


def test_certificates_and_journals_are_write_once_for_everybody(
    archive: Archive, ordinary: Minio, eraser: Minio, place: Place, clock: Clock, locking: Parts
) -> None:
    deliver(archive, "1")
    clock.advance(A_YEAR)
    assert archive.expire()["destroyed"] == 1
    names = [each.key for each in archive.store.list("certificates/")]
    assert len(names) == 2
    assert locking._seaweedfs is not None
    operator = client(place, *locking._seaweedfs._operator())
    for who in (ordinary, eraser, operator):
        with pytest.raises(DeletionRefused):
            deleting.delete(ordinary, who, place.bucket, names, bypass=True)
    assert certificates.verify_all(archive.vault, archive.engine) == (1, [])


def test_expiry_deletes_every_version_of_what_is_locked(
    archive: Archive, ordinary: Minio, place: Place, clock: Clock
) -> None:
    receipts = [deliver(archive, str(n)) for n in range(3)]
    worker.until_idle(archive)
    again = row(archive, receipts[0].id)
    archive.store.put_bytes(again.object_key, b"a version that somebody wrote over it")
    assert len(every_version(ordinary, place)) > 9
    clock.advance(A_YEAR)
    done = archive.expire()
    assert (done["destroyed"], done["failed"]) == (3, [])
    assert every_version(ordinary, place) == []


def test_early_erasure_deletes_what_is_locked(
    archive: Archive, ordinary: Minio, place: Place
) -> None:
    receipt = deliver(archive, "private")
    archive.erase(SYSTEM, receipt.id, reason="private")
    assert every_version(ordinary, place) == []


def test_a_held_object_is_beyond_the_eraser_until_it_is_released_and_its_days_are_over(
    archive: Archive, ordinary: Minio, eraser: Minio, place: Place, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    kept, other = deliver(archive, "kept"), deliver(archive, "other")
    held = hold(archive, kept.id)
    clock.advance(A_YEAR)
    assert archive.expire()["destroyed"] == 1
    keys = [row(archive, kept.id).object_key, held.hold.object_key]
    assert {line.split()[0] for line in every_version(ordinary, place)} == set(keys)
    assert str(other.id) not in str(every_version(ordinary, place))
    for key in keys:
        with pytest.raises(DeletionRefused):
            deleting.delete(ordinary, eraser, place.bucket, [key], bypass=True)
        with pytest.raises(S3Error):
            eraser.disable_object_legal_hold(bucket_name=place.bucket, object_name=key)
    archive.release(HANDLER, kept.id, held.hold.id)
    with pytest.raises(DeletionRefused):  # within its days of grace
        deleting.delete(ordinary, eraser, place.bucket, keys[:1], bypass=True)
    clock.advance(timedelta(days=8))
    done = archive.expire()
    assert (done["destroyed"], done["failed"]) == (1, [])
    assert every_version(ordinary, place) == []


def test_the_original_stays_locked_while_any_hold_or_restriction_is_on_it(
    archive: Archive, ordinary: Minio, place: Place, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    receipt = deliver(archive, "1")
    key = row(archive, receipt.id).object_key
    held = hold(archive, receipt.id)
    archive.restrict(DPO, receipt.id, reason="riitautettu")

    def is_held() -> bool:
        return bool(ordinary.is_object_legal_hold_enabled(place.bucket, key))

    archive.release(DPO, receipt.id, held.hold.id)
    clock.advance(timedelta(days=8))
    archive.expire()
    assert is_held()
    archive.unrestrict(DPO, receipt.id)
    clock.advance(timedelta(days=8))
    archive.expire()
    assert not is_held()


def test_holds_from_before_locking_are_locked_by_the_next_run(
    archive: Archive, config: Config, ordinary: Minio, place: Place
) -> None:
    archive.open_case(HANDLER, CASE)
    receipt = deliver(archive, "1")
    key = row(archive, receipt.id).object_key
    hold(archive, receipt.id)
    ordinary.disable_object_legal_hold(bucket_name=place.bucket, object_name=key)
    archive.expire()
    assert ordinary.is_object_legal_hold_enabled(bucket_name=place.bucket, object_name=key)


def test_what_a_lock_keeps_fails_alone_and_is_said_in_the_certificate(
    archive: Archive, ordinary: Minio, place: Place, clock: Clock
) -> None:
    stuck, other = deliver(archive, "stuck"), deliver(archive, "other")
    key = row(archive, stuck.id).object_key
    ordinary.enable_object_legal_hold(bucket_name=place.bucket, object_name=key)  # not by us
    clock.advance(A_YEAR)
    done = archive.expire()
    assert done["destroyed"] == 1
    assert done["failed"] == [{"id": str(stuck.id), "reason": "object store refuses to delete"}]
    assert str(other.id) not in str(every_version(ordinary, place))
    ordinary.disable_object_legal_hold(bucket_name=place.bucket, object_name=key)
    assert archive.expire()["destroyed"] == 1
    assert every_version(ordinary, place) == []


def test_a_bucket_without_lock_is_refused_at_the_start(config: Config, parts: Parts) -> None:
    elsewhere = replace(
        config,
        store_url=parts.store_url.replace("/archive?", "/tests?"),
        store_access_key=parts.access_key,
        store_secret_key=parts.secret_key,
    )
    with closing(open_store(replace(elsewhere, object_lock_days=0))):
        pass
    with pytest.raises(NoObjectLock, match="ARCHIVE_OBJECT_LOCK_DAYS"):
        open_store(elsewhere)


def test_half_an_erasers_credential_is_refused(config: Config) -> None:
    with pytest.raises(BadSetting, match="ERASER"):
        open_store(replace(config, store_eraser_secret_key=""))


def test_the_doctor_tries_both_credentials(
    config: Config, store: Store, place: Place, locking: Parts
) -> None:
    assert store.probe_lock() == []
    with closing(S3Store(place)) as without:  # nobody is the eraser
        assert without.probe_lock() == ["kept"]
    assert store.delete(["readiness/lock"]) >= 1
    assert locking._seaweedfs is not None
    access, secret = locking._seaweedfs._operator()
    with closing(S3Store(replace(place, access_key=access, secret_key=secret))) as careless:
        assert careless.probe_lock() == ["bypassed"]


def test_a_running_archive_tells_its_commands_of_the_erasers_credential(
    locking: Parts, home: Path
) -> None:
    migrate(locking.database_url)
    config = Config(home=locking.home, keys_dir=home / "keys", object_lock_days=30)
    assembly = assemble(config)
    try:
        findings = {finding.what: finding.mark for finding in checkup.look(assembly)}
    finally:
        assembly.close()
    assert findings["object lock holds, and the eraser's credential lifts it"] == "ok"


def test_a_large_object_that_breaks_off_leaves_nothing_that_is_locked(
    store: Store, ordinary: Minio, place: Place
) -> None:
    class Breaking(io.RawIOBase):
        left = 3

        def read(self, n: int = -1, /) -> bytes:
            self.left -= 1
            if not self.left:
                raise ConnectionResetError
            return b"x" * n

    with pytest.raises(ConnectionResetError):
        store.put("recordings/d/cut", Breaking())
    assert every_version(ordinary, place) == []
