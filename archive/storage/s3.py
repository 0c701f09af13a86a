"""A store on any S3 server. Knows buckets, requests and signatures; never what the bytes mean.

The frequent requests (PUT of a small object, bounded GET, HEAD) are sent directly, signed by
minio's own signer, over kept connections of this process; everything else goes through the
minio client and its own pool.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode, urlsplit

import certifi
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import MinioException, S3Error
from minio.objectlockconfig import ObjectLockConfig
from minio.retention import Retention
from minio.signer import sign_v4_s3
from minio.time import to_amz_date
from minio.versioningconfig import VersioningConfig

from archive.errors import (
    DeletionRefused,
    DiskFull,
    NoObjectLock,
    ObjectMissing,
    StoreUnavailable,
)
from archive.storage import Readable, Stored, deleting, lock
from archive.storage.wire import Answer, Wire

PART_BYTES = 8 * 1024 * 1024  # up to here one PUT, above it parts of this size
PIECE_BYTES = 4 * 1024 * 1024  # of a stream
DELETE_BATCH = 1000
CONNECT_S, READ_S, POOL_S = 3.0, 60.0, 30.0
CONNECTIONS = 32  # at once, a process
UNSIGNED = "UNSIGNED-PAYLOAD"
PROBE = "readiness/lock"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_KEY = re.compile(r"[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*(/[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*)*")
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchObject"}
_FULL = {"InsufficientStorage", "XMinioStorageFull", "QuotaExceeded", "QuotaExceededException"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the bucket is: `endpoint` is host:port; `region` goes into every signature."""

    endpoint: str
    secure: bool
    bucket: str
    region: str
    access_key: str
    secret_key: str
    lock_days: int = 0  # of new objects (archive.storage.lock); 0: none is locked
    eraser_access_key: str = ""  # that may delete what is locked; empty: nobody may
    eraser_secret_key: str = ""

    @property
    def locks(self) -> bool:
        """Whether objects may be locked, or have been."""
        return bool(self.lock_days or self.eraser_access_key)


class S3Store:
    """See `archive.storage.Store` for the promises of each method.

    `settle` is called after every write or deletion and before it is acknowledged: what a
    server on this machine has acknowledged but not yet brought to the disk. `is_full` says
    whether a failed write failed for want of space, where the server cannot say so itself.
    `vacuum` gives back the room of what was deleted, where the server is ours to be told.
    """

    def __init__(
        self,
        place: Place,
        *,
        settle: Callable[[], None] = lambda: None,
        is_full: Callable[[], bool] = lambda: False,
        vacuum: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._place = place
        self._settle = settle
        self._is_full = is_full
        self._vacuum = vacuum
        self._credentials = Credentials(place.access_key, place.secret_key)
        self._lock = threading.Lock()
        self._connected: _Connected | None = None

    # -- writing -----------------------------------------------------------------------

    def put(self, key: str, body: Readable) -> Stored:
        first = _filled(body, PART_BYTES + 1)
        if len(first) <= PART_BYTES:
            return self.put_bytes(key, first)
        return self._put_parts(key, _Rest(first, body))

    def put_bytes(self, key: str, data: bytes) -> Stored:
        locked = lock.headers(self._rule(key), data)
        with self._errors(key):
            answer = self._request("PUT", key, body=data, headers=locked)
            self._settle()
        return Stored(key, answer.headers.get("x-amz-version-id"), len(data))

    def _put_parts(self, key: str, body: _Rest) -> Stored:
        """A failure of `body` aborts the upload: no object, no parts that stay behind."""
        rule = self._rule(key)
        try:
            with self._errors(key):
                result = self._minio.put_object(
                    bucket_name=self._place.bucket,
                    object_name=_usable(key),
                    data=cast("BinaryIO", body),
                    length=-1,
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                    retention=Retention(rule.mode, rule.until) if rule else None,
                )
                self._settle()
        except Exception:
            if body.failure is not None:
                raise body.failure from None
            raise
        return Stored(key, result.version_id, body.bytes)

    def _rule(self, key: str) -> lock.Rule | None:
        return lock.rule_for(key, days=self._place.lock_days, now=datetime.now(UTC))

    # -- reading -----------------------------------------------------------------------

    def get(self, key: str, *, start: int, length: int, version: str | None = None) -> bytes:
        if start < 0 or length < 0:
            raise ValueError("start and length are not negative")
        if length == 0:
            return b""
        with self._errors(key):
            answer = self._request(
                "GET",
                key,
                query={"versionId": version} if version else {},
                headers={"Range": f"bytes={start}-{start + length - 1}"},
                also=(416,),
            )
        # 416: the range begins at or past the end of the object, or the object is empty
        return b"" if answer.status == 416 else answer.data

    def stream(
        self, key: str, *, start: int = 0, length: int | None = None, version: str | None = None
    ) -> Iterator[bytes]:
        position, end = start, None if length is None else start + length
        while end is None or position < end:
            asked = PIECE_BYTES if end is None else min(PIECE_BYTES, end - position)
            piece = self.get(key, start=position, length=asked, version=version)
            if piece:
                yield piece
            if len(piece) < asked:
                return
            position += len(piece)

    def head(self, key: str) -> Stored | None:
        try:
            with self._errors(key):
                answer = self._request("HEAD", key)
        except ObjectMissing:
            return None
        return Stored(
            key, answer.headers.get("x-amz-version-id"), int(answer.headers["content-length"])
        )

    def modified(self, key: str) -> datetime | None:
        try:
            with self._errors(key):
                answer = self._request("HEAD", key)
        except ObjectMissing:
            return None
        return parsedate_to_datetime(answer.headers["last-modified"])

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._errors(prefix):
            found = self._minio.list_objects(
                bucket_name=self._place.bucket, prefix=prefix, recursive=True
            )
            for each in found:
                if not each.is_dir:
                    yield Stored(str(each.object_name), each.version_id, int(each.size or 0))

    def versions(self, prefix: str) -> Iterator[Stored]:
        with self._errors(prefix):
            found = self._minio.list_objects(
                bucket_name=self._place.bucket,
                prefix=prefix,
                recursive=True,
                include_version=self._is_versioned(),
            )
            for each in found:
                if not each.is_dir:
                    yield Stored(str(each.object_name), each.version_id, int(each.size or 0))

    def folders(self, prefix: str) -> Iterator[str]:
        with self._errors(prefix):
            found = self._minio.list_objects(
                bucket_name=self._place.bucket,
                prefix=prefix,
                include_version=self._is_versioned(),
            )
            for each in found:
                if each.is_dir:
                    yield str(each.object_name)

    def _is_versioned(self) -> bool:
        return deleting.is_versioned(self._minio, self._place.bucket)

    # -- deleting ----------------------------------------------------------------------

    def delete(self, keys: Iterable[str]) -> int:
        wanted = iter(keys)
        deleted = 0
        refused: set[str] = set()
        while batch := [_usable(key) for key in islice(wanted, DELETE_BATCH)]:
            with self._errors(batch[0]):
                try:
                    deleted += self._delete_batch(batch)
                except DeletionRefused as error:
                    refused |= cast("set[str]", error.facts["keys"])
                self._settle()
        if refused:
            raise DeletionRefused(keys=refused, n=len(refused))
        return deleted

    def _delete_batch(self, batch: Sequence[str]) -> int:
        to, bypass = self._connect(), bool(self._place.eraser_access_key)
        return deleting.delete(to.minio, to.eraser, self._place.bucket, batch, bypass=bypass)

    def hold(self, key: str, *, held: bool) -> None:
        if not self._place.locks:
            return
        client, bucket = self._minio, self._place.bucket
        act = client.enable_object_legal_hold if held else client.disable_object_legal_hold
        with self._errors(key):
            for version, is_mark in deleting.versions(client, bucket, _usable(key)):
                if not is_mark:
                    act(bucket_name=bucket, object_name=key, version_id=version)
            self._settle()

    def abort_uploads(self, *, before: datetime) -> int:
        client, bucket = self._minio, self._place.bucket
        aborted = 0
        with self._errors(""):
            for upload in self._uploads():
                begun = upload.initiated_time
                if begun is None or begun >= before:
                    continue
                try:
                    client._abort_multipart_upload(
                        bucket_name=bucket,
                        object_name=upload.object_name,
                        upload_id=upload.upload_id,
                    )
                except S3Error as error:
                    if error.code != "NoSuchUpload":
                        raise
                aborted += 1
            if aborted:
                self._settle()
        return aborted

    def _uploads(self) -> Iterator[Any]:
        """Uploads in parts that were begun and neither finished nor given up."""
        key_marker = id_marker = None
        while True:
            page = self._minio._list_multipart_uploads(
                bucket_name=self._place.bucket, key_marker=key_marker, upload_id_marker=id_marker
            )
            yield from list(page.uploads)
            key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker
            if not page.is_truncated or not key_marker:
                return

    def reclaim(self) -> int | None:
        return self._vacuum()

    # -- being there -------------------------------------------------------------------

    def check(self) -> None:
        with self._errors(""):
            if not self._minio.bucket_exists(bucket_name=self._place.bucket):
                raise StoreUnavailable(reason="NoSuchBucket")

    def make_bucket(self) -> None:
        """Makes the bucket where it is missing; two processes may do so at once."""
        with self._errors(""):
            if self._minio.bucket_exists(bucket_name=self._place.bucket):
                return
            try:
                self._minio.make_bucket(
                    bucket_name=self._place.bucket,
                    location=self._place.region,
                    object_lock=bool(self._place.lock_days),
                )
            except S3Error as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    def require_lock(self) -> None:
        """Returns if the bucket has versioning and object lock; raises NoObjectLock."""
        bucket = self._place.bucket
        with self._errors(""):
            try:
                self._minio.get_object_lock_config(bucket_name=bucket)
                status = self._minio.get_bucket_versioning(bucket_name=bucket).status
            except S3Error as error:
                raise NoObjectLock(bucket=bucket, reason=error.code) from None
        if status != "Enabled":
            raise NoObjectLock(bucket=bucket, reason="versioning is off")

    def probe_lock(self) -> Sequence[str]:
        """What of the promise of object lock does not hold here, tried on an object of its own.

        "bypassed": the ordinary credential deletes what is locked; "kept": the eraser's does not.
        """
        ordinary, eraser = self._minio, self._connect().eraser
        bucket, found = self._place.bucket, []
        rule = lock.Rule(lock.GOVERNANCE, datetime.now(UTC) + timedelta(hours=1))
        with self._errors(PROBE):
            self._request("PUT", PROBE, body=b"probe", headers=lock.headers(rule, b"probe"))
            try:
                deleting.delete(ordinary, ordinary, bucket, [PROBE], bypass=True)
                found.append("bypassed")
            except DeletionRefused:
                pass
            try:
                deleting.delete(ordinary, eraser, bucket, [PROBE], bypass=True)
            except DeletionRefused:
                found.append("kept")
            self._settle()
        return found

    def make_lockable(self) -> None:
        """Gives the bucket versioning and object lock; what is in it stays as it is."""
        bucket = self._place.bucket
        with self._errors(""):
            self._minio.set_bucket_versioning(
                bucket_name=bucket, config=VersioningConfig("Enabled")
            )
            self._minio.set_object_lock_config(
                bucket_name=bucket, config=ObjectLockConfig(None, None, None)
            )

    def close(self) -> None:
        with self._lock:
            connected, self._connected = self._connected, None
        if connected is not None and connected.pid == os.getpid():
            connected.wire.close()
            connected.pool.clear()

    # -- requests ----------------------------------------------------------------------

    @property
    def _minio(self) -> Minio:
        return self._connect().minio

    def _connect(self) -> _Connected:
        """The connections of this process: sockets inherited over a fork would be shared."""
        connected = self._connected
        if connected is not None and connected.pid == os.getpid():
            return connected
        with self._lock:
            if self._connected is None or self._connected.pid != os.getpid():
                self._connected = _connect(self._place)
            return self._connected

    def _request(
        self,
        method: str,
        key: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        also: tuple[int, ...] = (),
    ) -> Answer:
        """One signed request; the answer is read whole and its connection given back."""
        place = self._place
        scheme = "https" if place.secure else "http"
        path = quote(f"/{place.bucket}/{_usable(key)}", safe="/~")
        url = urlsplit(f"{scheme}://{place.endpoint}{path}?{urlencode(query or {}, safe='~')}")
        target = f"{url.path}?{url.query}" if url.query else url.path
        signed = self._signed(method, url, headers or {}, body)
        answer = self._connect().wire.request(method, target, signed, body)
        if answer.status not in {200, 204, 206, *also}:
            raise _Refused(answer.status, answer.data)
        return answer

    def _signed(
        self, method: str, url: Any, headers: dict[str, str], body: bytes | None
    ) -> dict[str, str]:
        now = datetime.now(UTC)
        digest = EMPTY_SHA256 if body is None else self._digest(body)
        complete = {
            **headers,
            "Host": url.netloc,
            "x-amz-content-sha256": digest,
            "x-amz-date": to_amz_date(now),
        }
        if body is not None:
            complete["Content-Type"] = "application/octet-stream"
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._place.region,
            headers=cast("Any", complete),
            credentials=self._credentials,
            content_sha256=digest,
            date=now,
        )
        return cast("dict[str, str]", signed)

    def _digest(self, body: bytes) -> str:
        """What the signature says of a body: its digest, unless the way cannot alter it.

        TLS and this machine's own loopback deliver what was sent; and every object is
        authenticated when it is opened.
        """
        if self._place.secure or self._place.endpoint.startswith(("127.", "localhost:", "[::1]")):
            return UNSIGNED
        return hashlib.sha256(body).hexdigest()

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turns what the server or the network did into the archive's exceptions."""
        try:
            yield
        except (_Refused, S3Error) as error:
            if error.code in _MISSING:
                raise ObjectMissing(key=key) from None
            if error.code in _FULL or self._is_full():
                raise DiskFull() from None
            raise StoreUnavailable(reason=error.code) from None
        except (urllib3.exceptions.HTTPError, MinioException, OSError) as error:
            if self._is_full():
                raise DiskFull() from None
            raise StoreUnavailable(reason=type(error).__name__) from None


class _Refused(Exception):
    """The server answered with an error. `code` is S3's word for it, else HTTP's number."""

    def __init__(self, status: int, body: bytes) -> None:
        found = re.search(rb"<Code>([A-Za-z]{1,60})</Code>", body or b"")
        self.code = found[1].decode() if found else str(status)
        if status == 404 and not found:  # the answer to HEAD has no body
            self.code = "NoSuchKey"
        if status == 507:
            self.code = "InsufficientStorage"
        super().__init__(self.code)


class _Rest:
    """A body of which the first bytes were read already. Remembers why reading failed.

    minio aborts an upload on an Exception only; so whatever the body raises, also the end of
    a generator or of the process, becomes one for as long as minio is on the way.
    """

    def __init__(self, first: bytes, body: Readable) -> None:
        self._first: memoryview | None = memoryview(first)
        self._body = body
        self.bytes = 0
        self.failure: BaseException | None = None

    def read(self, n: int) -> bytes:
        data = self._from_first(n)
        if len(data) < n:
            try:
                data += _filled(self._body, n - len(data))
            except BaseException as error:
                self.failure = error
                raise OSError("the body could not be read") from None
        self.bytes += len(data)
        return data

    def _from_first(self, n: int) -> bytes:
        if self._first is None:
            return b""
        data, rest = bytes(self._first[:n]), self._first[n:]
        self._first = rest if len(rest) else None
        return data


class _Retry(urllib3.Retry):
    """Once more when a kept connection turns out to be dead; never after waiting in vain."""

    def increment(self, *args: Any, **facts: Any) -> _Retry:
        error = facts.get("error")
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            raise error
        return super().increment(*args, **facts)


@dataclass(frozen=True, slots=True)
class _Connected:
    """What one process speaks to the server through."""

    pid: int
    wire: Wire
    pool: urllib3.PoolManager
    minio: Minio
    eraser: Minio  # of the eraser's credential, where there is one


def _connect(place: Place) -> _Connected:
    authorities = os.environ.get("SSL_CERT_FILE") or certifi.where()
    wire = Wire(
        place.endpoint,
        tls=ssl.create_default_context(cafile=authorities) if place.secure else None,
        connections=CONNECTIONS,
        connect_s=CONNECT_S,
        read_s=READ_S,
        wait_s=POOL_S,
    )
    pool = urllib3.PoolManager(
        num_pools=2,
        maxsize=CONNECTIONS,
        block=True,
        timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        retries=_Retry(
            total=1, connect=0, read=1, redirect=0, status=0, other=0, allowed_methods=None
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=authorities,
    )

    def client(access_key: str, secret_key: str) -> Minio:
        return Minio(
            endpoint=place.endpoint,
            access_key=access_key,
            secret_key=secret_key,
            secure=place.secure,
            region=place.region,
            http_client=pool,
        )

    ordinary = client(place.access_key, place.secret_key)
    eraser = ordinary
    if place.eraser_access_key:
        eraser = client(place.eraser_access_key, place.eraser_secret_key)
    return _Connected(os.getpid(), wire, pool, ordinary, eraser)


def _filled(body: Readable, n: int) -> bytes:
    """Exactly `n` bytes of `body`, fewer only at its end, however short its reads are."""
    data = body.read(n)
    if len(data) == n or not data:
        return data
    pieces, missing = [data], n - len(data)
    while missing and (data := body.read(missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def _usable(key: str) -> str:
    """`key`, if every S3 server and file system takes it as it is; ValueError otherwise."""
    if len(key) > 512 or not _KEY.fullmatch(key):
        raise ValueError("not a key of an object")
    return key
