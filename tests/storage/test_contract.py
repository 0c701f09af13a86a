"""What every store promises (archive/storage/__init__.py), held against the real SeaweedFS.

The suite runs over each kind of bucket; a further store joins by one more branch of `bucket`.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from archive.embedded import Parts
from archive.errors import DiskFull, ObjectMissing, StoreUnavailable
from archive.storage.address import place_of
from archive.storage.s3 import PART_BYTES, PIECE_BYTES, Place, S3Store

KEY = "recordings/2027-11-24/3f0b7a52-0d0e-4b7e-9a38-6f2c6a1c9f10/original-1"


@pytest.fixture(scope="module")
def server(parts: Parts) -> Place:
    return place_of(parts.store_url, parts.access_key, parts.secret_key)


@pytest.fixture(scope="module")
def admin(server: Place) -> Minio:
    """A plain client, to look at the server past the store."""
    return Minio(
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        secure=False,
        region=server.region,
    )


@pytest.fixture(scope="module", params=["plain", "versioned"])
def place(server: Place, admin: Minio, request: pytest.FixtureRequest) -> Place:
    made = replace(server, bucket=f"contract-{request.param}")
    with closing(S3Store(made)) as store:
        store.make_bucket()
    if request.param == "versioned":
        admin.set_bucket_versioning(bucket_name=made.bucket, config=VersioningConfig(ENABLED))
    return made


@pytest.fixture
def store(place: Place, admin: Minio) -> Iterator[S3Store]:
    with closing(S3Store(place)) as opened:
        yield opened
        opened.delete({each.key for each in opened.list("")})


@pytest.fixture
def versioned(place: Place) -> bool:
    return place.bucket.endswith("versioned")


class Trickle:
    """A body that gives at most `most` bytes a time, as a socket does."""

    def __init__(self, data: bytes, most: int) -> None:
        self._inner: BinaryIO = io.BytesIO(data)
        self._most = most

    def read(self, n: int = -1, /) -> bytes:
        return self._inner.read(min(n, self._most))


class Breaking:
    """A body that fails after `good` bytes."""

    def __init__(self, good: int, error: BaseException) -> None:
        self._left = good
        self._error = error

    def read(self, n: int = -1, /) -> bytes:
        if self._left == 0:
            raise self._error
        given = min(n, self._left)
        self._left -= given
        return bytes(given)


# -- what goes in comes out ------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [0, 1, 20_000, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 20 * 1024 * 1024]
)
def test_an_object_comes_back_byte_for_byte(store: S3Store, size: int, versioned: bool) -> None:
    data = os.urandom(size)
    stored = store.put(KEY, io.BytesIO(data))
    assert (stored.key, stored.bytes) == (KEY, size)
    assert (stored.version is not None) == versioned
    pieces = list(store.stream(KEY))
    assert b"".join(pieces) == data
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    found = store.head(KEY)
    assert found is not None and found.bytes == size


def test_put_bytes_and_put_store_the_same(store: S3Store) -> None:
    store.put_bytes("a/1", b"same")
    store.put("a/2", io.BytesIO(b"same"))
    assert store.get("a/1", start=0, length=9) == store.get("a/2", start=0, length=9) == b"same"


@pytest.mark.parametrize(("size", "most"), [(50_000, 999), (PART_BYTES + 70_000, 65_521)])
def test_a_body_that_reads_short_is_stored_whole(store: S3Store, size: int, most: int) -> None:
    data = os.urandom(size)
    assert store.put(KEY, Trickle(data, most)).bytes == size
    digest = hashlib.sha256(b"".join(store.stream(KEY))).digest()
    assert digest == hashlib.sha256(data).digest()


def test_short_reads_make_no_small_parts(store: S3Store, place: Place, admin: Minio) -> None:
    store.put(KEY, Trickle(bytes(20 * 1024 * 1024), 65_521))
    etag = admin.stat_object(bucket_name=place.bucket, object_name=KEY).etag
    assert etag is not None and etag.endswith("-3")


def test_a_range_is_what_was_asked_for(store: S3Store) -> None:
    data = os.urandom(100_000)
    store.put_bytes(KEY, data)
    for start, length in [(0, 1), (16_384, 16_400), (99_999, 1), (0, 100_000), (50_000, 0)]:
        assert store.get(KEY, start=start, length=length) == data[start : start + length]


def test_a_range_past_the_end_is_short_or_empty(store: S3Store) -> None:
    store.put_bytes(KEY, b"0123456789")
    assert store.get(KEY, start=8, length=100) == b"89"
    assert store.get(KEY, start=10, length=1) == b""
    assert store.get(KEY, start=1000, length=5) == b""
    store.put_bytes("empty", b"")
    assert store.get("empty", start=0, length=10) == b""


def test_a_range_across_parts_is_seamless(store: S3Store) -> None:
    data = os.urandom(2 * PART_BYTES + 100)
    store.put(KEY, io.BytesIO(data))
    start = PART_BYTES - 7
    assert store.get(KEY, start=start, length=14) == data[start : start + 14]


@pytest.mark.parametrize(("start", "length"), [(0, 5), (PIECE_BYTES - 1, 2), (3, PIECE_BYTES)])
def test_a_stream_can_begin_and_end_anywhere(store: S3Store, start: int, length: int) -> None:
    data = os.urandom(PIECE_BYTES + 10)
    store.put_bytes(KEY, data)
    streamed = b"".join(store.stream(KEY, start=start, length=length))
    assert streamed == data[start : start + length]


def test_a_negative_range_is_a_mistake(store: S3Store) -> None:
    with pytest.raises(ValueError):
        store.get(KEY, start=-1, length=5)


def test_a_version_is_read_by_its_id(store: S3Store, versioned: bool) -> None:
    first = store.put_bytes(KEY, b"first")
    second = store.put_bytes(KEY, b"second")
    assert store.get(KEY, start=0, length=9) == b"second"
    if versioned:
        assert first.version and first.version != second.version
        assert store.get(KEY, start=0, length=9, version=first.version) == b"first"
        assert b"".join(store.stream(KEY, version=first.version)) == b"first"


def test_what_is_not_there_is_said_to_be_missing(store: S3Store) -> None:
    assert store.head("no/such") is None
    with pytest.raises(ObjectMissing):
        store.get("no/such", start=0, length=1)
    with pytest.raises(ObjectMissing):
        list(store.stream("no/such"))


# -- nothing half-kept -----------------------------------------------------------------


@pytest.mark.parametrize("good", [0, 1000, PART_BYTES + 1, 2 * PART_BYTES + 5])
@pytest.mark.parametrize(
    "error", [ValueError("cut"), OSError("gone"), KeyboardInterrupt(), GeneratorExit()]
)
def test_a_body_that_fails_leaves_nothing(
    store: S3Store, place: Place, admin: Minio, good: int, error: BaseException
) -> None:
    with pytest.raises(type(error)) as raised:
        store.put(KEY, Breaking(good, error))
    assert raised.value is error
    assert store.head(KEY) is None
    assert list(store.list("")) == []
    unfinished = admin._list_multipart_uploads(place.bucket)
    assert unfinished.uploads == []


# -- keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a/./b",
        ".uploads/a",
        "a b",
        "a?b",
        "a#b",
        "a%2Fb",
        "a\nb",
        "a\x00b",
        "ä",
        "a\\b",
        "a" * 513,
    ],
)
def test_a_key_that_a_server_might_read_otherwise_is_refused(store: S3Store, key: str) -> None:
    with pytest.raises(ValueError):
        store.put_bytes(key, b"x")
    with pytest.raises(ValueError):
        store.get(key, start=0, length=1)
    with pytest.raises(ValueError):
        store.head(key)
    with pytest.raises(ValueError):
        store.delete([key])


def test_a_key_may_use_what_is_harmless(store: S3Store) -> None:
    key = "Az09/_-+=/2027-11-24/a.b..c=1"
    store.put_bytes(key, b"x")
    assert store.get(key, start=0, length=1) == b"x"
    assert [each.key for each in store.list("Az09/")] == [key]


# -- listing and deleting --------------------------------------------------------------


def test_a_list_names_what_begins_with_the_prefix_in_order(store: S3Store) -> None:
    for key in ("b/2", "b/1/x", "a/1", "b/10", "bb/1"):
        store.put_bytes(key, key.encode())
    listed = list(store.list("b/"))
    assert [each.key for each in listed] == sorted(["b/1/x", "b/10", "b/2"])
    assert [each.bytes for each in listed] == [len(each.key) for each in listed]
    assert [each.key for each in store.list("")] == sorted(["a/1", "b/1/x", "b/10", "b/2", "bb/1"])
    assert list(store.list("none/")) == []


def test_deleting_takes_every_version(
    store: S3Store, place: Place, admin: Minio, versioned: bool
) -> None:
    for content in (b"1", b"22", b"333"):
        store.put_bytes(KEY, content)
    store.put_bytes(KEY + "0", b"a neighbour whose key begins alike")
    assert store.delete([KEY]) == (3 if versioned else 1)
    assert store.head(KEY) is None
    left = admin.list_objects(
        bucket_name=place.bucket, prefix="", recursive=True, include_version=True
    )
    assert [each.object_name for each in left] == [KEY + "0"]


def test_every_version_and_every_folder_is_told_of_also_where_all_is_deleted(
    store: S3Store, place: Place, admin: Minio, versioned: bool
) -> None:
    for key in ("days/2027-01-01/a.original", "days/2027-01-01/a.original", "days/2027-01-02/b"):
        store.put_bytes(key, b"x")
    assert sorted(store.folders("days/")) == ["days/2027-01-01/", "days/2027-01-02/"]
    found = [each.key for each in store.versions("days/2027-01-01/a.")]
    assert found == ["days/2027-01-01/a.original"] * (2 if versioned else 1)
    admin.remove_object(bucket_name=place.bucket, object_name="days/2027-01-01/a.original")
    assert list(store.list("days/2027-01-01/")) == []
    assert len(list(store.versions("days/2027-01-01/a."))) == (3 if versioned else 0)
    if versioned:
        assert "days/2027-01-01/" in store.folders("days/")
    store.delete(["days/2027-01-01/a.original", "days/2027-01-02/b"])
    assert list(store.versions("days/")) == []


def test_deleting_again_is_no_error(store: S3Store) -> None:
    store.put_bytes(KEY, b"x")
    store.delete([KEY])
    store.delete([KEY])
    store.delete(["never/was"])
    assert store.delete([]) == 0


def test_thousands_are_deleted_in_batches(store: S3Store, versioned: bool) -> None:
    count = 300 if versioned else 2_000
    keys = [f"many/{number:05d}" for number in range(count)]
    threads = [
        threading.Thread(target=lambda part: [store.put_bytes(k, b"x") for k in part], args=(part,))
        for part in (keys[0::4], keys[1::4], keys[2::4], keys[3::4])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.key for each in store.list("many/")] == keys
    assert store.delete(key for key in keys) == count
    assert list(store.list("many/")) == []


# -- the store away --------------------------------------------------------------------


def _calls(store: S3Store) -> dict[str, object]:
    return {
        "put": lambda: store.put(KEY, io.BytesIO(b"x")),
        "put of parts": lambda: store.put(KEY, io.BytesIO(bytes(PART_BYTES + 1))),
        "get": lambda: store.get(KEY, start=0, length=1),
        "stream": lambda: list(store.stream(KEY)),
        "head": lambda: store.head(KEY),
        "list": lambda: list(store.list("")),
        "versions": lambda: list(store.versions("")),
        "folders": lambda: list(store.folders("a/")),
        "delete": lambda: store.delete([KEY]),
        "check": store.check,
    }


@pytest.mark.parametrize("call", list(_calls(S3Store.__new__(S3Store))))
def test_a_store_that_is_away_is_said_to_be_at_once(server: Place, call: str) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        away = replace(server, endpoint=f"127.0.0.1:{taken.getsockname()[1]}")
        with closing(S3Store(away)) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                _calls(store)[call]()  # type: ignore[operator]
            assert time.monotonic() - began < 3.5


def test_a_store_that_never_answers_is_given_up(
    server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.storage.s3.READ_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = replace(server, endpoint=f"127.0.0.1:{silent.getsockname()[1]}")
        with closing(S3Store(mute)) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.put_bytes(KEY, b"x")
            assert time.monotonic() - began < 1.5  # once, not again


def test_wrong_credentials_are_no_missing_object(place: Place) -> None:
    with closing(S3Store(replace(place, secret_key="wrong" * 8))) as store:
        with pytest.raises(StoreUnavailable):
            store.get(KEY, start=0, length=1)
        with pytest.raises(StoreUnavailable):
            store.check()


def test_a_bucket_that_is_not_there_is_no_missing_object(server: Place) -> None:
    with closing(S3Store(replace(server, bucket="never-made"))) as store:
        with pytest.raises(StoreUnavailable):
            store.check()
        with pytest.raises(StoreUnavailable):
            store.get(KEY, start=0, length=1)
        with pytest.raises(StoreUnavailable):
            store.put_bytes(KEY, b"x")


def test_a_full_disk_is_told_from_a_failure(server: Place) -> None:
    nowhere = replace(server, bucket="never-made")
    with closing(S3Store(nowhere, is_full=lambda: True)) as store, pytest.raises(DiskFull):
        store.put_bytes(KEY, b"x")


def test_what_cannot_be_settled_is_not_acknowledged(place: Place) -> None:
    def fail() -> None:
        raise OSError("input/output error")

    with closing(S3Store(place, settle=fail)) as store:
        with pytest.raises(StoreUnavailable):
            store.put_bytes(KEY, b"x")
        with pytest.raises(StoreUnavailable):
            store.put(KEY, io.BytesIO(bytes(PART_BYTES + 1)))
    with closing(S3Store(place)) as store:
        store.delete([KEY])


# -- processes and threads -------------------------------------------------------------


def test_no_thread_is_left_behind(store: S3Store) -> None:
    before = threading.active_count()
    store.put(KEY, io.BytesIO(bytes(2 * PART_BYTES)))
    with pytest.raises(ValueError):
        store.put(KEY, Breaking(2 * PART_BYTES, ValueError()))
    assert threading.active_count() == before


def test_many_threads_share_one_store(store: S3Store) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(10):
                data = os.urandom(1000)
                store.put_bytes(f"threads/{name}-{number}", data)
                assert store.get(f"threads/{name}-{number}", start=0, length=2000) == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(store.list("threads/"))) == 400


def test_a_forked_process_makes_its_own_connections(store: S3Store) -> None:
    store.put_bytes(KEY, b"before the fork")
    child = os.fork()
    if child == 0:
        fine = store.get(KEY, start=0, length=100) == b"before the fork"
        os._exit(0 if fine else 1)
    for _ in range(20):
        assert store.get(KEY, start=0, length=100) == b"before the fork"
    assert os.waitpid(child, 0)[1] == 0


def test_making_the_bucket_again_changes_nothing(store: S3Store) -> None:
    store.put_bytes(KEY, b"x")
    store.make_bucket()
    store.check()
    assert store.head(KEY) is not None
