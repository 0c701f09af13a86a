"""Which store the settings mean. Knows addresses and credentials, nothing of objects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from archive.config import Config, running_parts
from archive.errors import BadSetting, NotRunning
from archive.hosts import is_this_machine
from archive.storage.journals import Journals
from archive.storage.s3 import Place, S3Store
from archive.storage.vacuum import vacuum

MIN_FREE_SHARE = 0.011  # SeaweedFS stops writing below 1 % of free space,
MIN_FREE_BYTES = 256 * 1024 * 1024  # and begins no volume that would not fit
DEFAULT_REGION = "us-east-1"


def store_from(config: Config) -> S3Store:
    """See `archive.storage.open_store`."""
    parts = running_parts(config.home)
    if not config.store_url and not parts:
        raise NotRunning(home=config.home)
    is_embedded = config.store_url in {"", parts.get("store_url")}
    store = _embedded(parts, config) if is_embedded else _configured(config)
    store.make_bucket()
    if config.object_lock_days:
        store.require_lock()
    return store


def _configured(config: Config) -> S3Store:
    place = place_of(config.store_url, config.store_access_key, config.store_secret_key)
    host = urlsplit(config.store_url).hostname or ""
    if not is_this_machine(host) and host not in config.eu_hosts:
        raise BadSetting(name="ARCHIVE_STORE_URL", reason="its host is not in ARCHIVE_EU_HOSTS")
    return S3Store(_locking(place, config))


def backup_store(config: Config, url: str) -> S3Store:
    """The bucket that backups go to, by credentials of its own. BadSetting."""
    names = {
        "ARCHIVE_STORE_URL": "ARCHIVE_BACKUP_URL",
        "ARCHIVE_STORE_SECRET_KEY": "ARCHIVE_BACKUP_SECRET_KEY",
    }
    try:
        place = place_of(url, config.backup_access_key, config.backup_secret_key)
    except BadSetting as error:
        name = str(error.facts["name"])
        raise BadSetting(name=names.get(name, name), reason=error.facts["reason"]) from None
    host = urlsplit(url).hostname or ""
    if not is_this_machine(host) and host not in config.eu_hosts:
        raise BadSetting(name="ARCHIVE_BACKUP_URL", reason="its host is not in ARCHIVE_EU_HOSTS")
    if config.store_url and _same(config.store_url, url):
        raise BadSetting(
            name="ARCHIVE_BACKUP_URL", reason="it is the bucket that is to be backed up"
        )
    return S3Store(place)


def _same(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.netloc, a.path.strip("/")) == (b.netloc, b.path.strip("/"))


def _embedded(parts: dict[str, Any], config: Config) -> S3Store:
    """What the embedded server acknowledges is also brought to the disk, and its disk watched."""
    folder = Path(parts["store_folder"])
    place = place_of(parts["store_url"], parts["store_access_key"], parts["store_secret_key"])
    return S3Store(
        _locking(place, config),
        settle=Journals(folder).settle,
        is_full=lambda: _is_full(folder),
        vacuum=lambda: vacuum(parts["store_master"], folder),
    )


def _locking(place: Place, config: Config) -> Place:
    if bool(config.store_eraser_access_key) != bool(config.store_eraser_secret_key):
        raise BadSetting(
            name="ARCHIVE_STORE_ERASER_SECRET_KEY", reason="both of the eraser's keys are needed"
        )
    return replace(
        place,
        lock_days=config.object_lock_days,
        eraser_access_key=config.store_eraser_access_key,
        eraser_secret_key=config.store_eraser_secret_key,
    )


def place_of(url: str, access_key: str, secret_key: str) -> Place:
    """The parts of http(s)://host:port/bucket?region=…; raises BadSetting."""
    split = urlsplit(url)
    bucket = split.path.strip("/")
    if split.scheme not in {"http", "https"} or not split.hostname or not bucket or "/" in bucket:
        raise BadSetting(
            name="ARCHIVE_STORE_URL", reason="expected http(s)://host:port/bucket?region=…"
        )
    if split.username or split.password:
        raise BadSetting(
            name="ARCHIVE_STORE_URL", reason="credentials belong into ARCHIVE_STORE_ACCESS_KEY"
        )
    if not access_key or not secret_key:
        raise BadSetting(name="ARCHIVE_STORE_SECRET_KEY", reason="both keys are needed")
    return Place(
        endpoint=split.netloc,
        secure=split.scheme == "https",
        bucket=bucket,
        region=parse_qs(split.query).get("region", [DEFAULT_REGION])[0],
        access_key=access_key,
        secret_key=secret_key,
    )


def _is_full(folder: Path) -> bool:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return False
    return usage.free < max(MIN_FREE_BYTES, MIN_FREE_SHARE * usage.total)
