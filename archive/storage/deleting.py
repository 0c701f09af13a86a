"""Deleting many objects of a bucket at once, every version of each.

A batch goes out in several requests side by side: a server works through one request object by
object. Knows the minio client; nothing of what was stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice

from minio import Minio
from minio.deleteobjects import DeleteObject

from archive.errors import DeletionRefused, StoreUnavailable

REQUESTS = 4  # at once
PIECE = 125  # objects a request
_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchObject"}
_LOCKED = {"AccessDenied", "ObjectLocked", "InvalidRequest"}


def delete(finder: Minio, eraser: Minio, bucket: str, keys: Sequence[str], *, bypass: bool) -> int:
    """Deletes every version of the keys; how many versions went.

    `bypass`: also what is retained in governance mode. DeletionRefused names the keys of which
    something stays; the others are gone then.
    """
    doomed = [DeleteObject(key) for key in keys]
    if is_versioned(finder, bucket):
        doomed = list(_versions(finder, bucket, keys))
    refused: list[tuple[str, str]] = []
    pieces = list(_pieces(doomed))

    def remove(piece: list[DeleteObject]) -> list[tuple[str, str]]:
        errors = eraser.remove_objects(
            bucket_name=bucket, delete_object_list=piece, bypass_governance_mode=bypass
        )
        return [(str(e.name), str(e.code)) for e in errors if e.code not in _GONE]

    if len(pieces) < 2:
        refused = [error for piece in pieces for error in remove(piece)]
    else:
        with ThreadPoolExecutor(REQUESTS) as requests:
            refused = list(chain.from_iterable(requests.map(remove, pieces)))
    if not refused:
        return len(doomed)
    if all(code in _LOCKED for _, code in refused):
        raise DeletionRefused(keys={key for key, _ in refused}, n=len(refused))
    raise StoreUnavailable(reason=refused[0][1], refused=len(refused))


def is_versioned(client: Minio, bucket: str) -> bool:
    """Asked each time: a cached answer could leave old versions of erased objects behind."""
    status = client.get_bucket_versioning(bucket_name=bucket).status
    return status in {"Enabled", "Suspended"}


def versions(client: Minio, bucket: str, key: str) -> list[tuple[str, bool]]:
    """Every version of the key, and whether it is a mark of deletion."""
    found = client.list_objects(bucket_name=bucket, prefix=key, include_version=True)
    return [
        (str(each.version_id), bool(each.is_delete_marker))
        for each in found
        if each.object_name == key
    ]


def _versions(client: Minio, bucket: str, keys: Sequence[str]) -> Iterator[DeleteObject]:
    def of(key: str) -> list[DeleteObject]:
        return [DeleteObject(key, version) for version, _ in versions(client, bucket, key)]

    if len(keys) == 1:
        return iter(of(keys[0]))
    with ThreadPoolExecutor(2 * REQUESTS) as requests:
        return chain.from_iterable(list(requests.map(of, keys)))


def _pieces(doomed: list[DeleteObject]) -> Iterator[list[DeleteObject]]:
    rest = iter(doomed)
    while piece := list(islice(rest, PIECE)):
        yield piece
