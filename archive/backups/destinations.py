"""Where backups go: a folder, or a second bucket with credentials of its own.

Knows settings and addresses; nothing of what a backup is made of.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from archive.backups import bucketpath
from archive.backups.bucketpath import path_of
from archive.config import Config
from archive.errors import BadSetting
from archive.storage.address import backup_store


def at(config: Config, written: str) -> Path:
    """The folder, or the bucket http(s)://host:port/bucket?region=…, that somebody named.

    A bucket is made where there is none. BadSetting, StoreUnavailable.
    """
    if "://" not in written:
        return Path(written).absolute()
    if not written.startswith(("http://", "https://")):
        raise BadSetting(
            name="ARCHIVE_BACKUP_URL", reason="expected http(s)://host:port/bucket?region=…"
        )
    split = urlsplit(written)
    if split.path.strip("/").count("/"):  # a path in the bucket, as of one dump
        root = f"{split.scheme}://{split.netloc}/{split.path.strip('/').partition('/')[0]}"
        at(config, f"{root}?{split.query}")
        return path_of(_plain(written))
    store = backup_store(config, written)
    try:
        store.make_bucket()
    finally:
        store.close()  # connects again when it is used
    return bucketpath.give(_plain(written), store)


def configured(config: Config) -> list[Path]:
    """Every destination that the settings name."""
    named = [config.backup_dir] if config.backup_dir else []
    return [at(config, each) for each in [*named, *_bucket(config)]]


def named(config: Config) -> list[Path]:
    """As `configured`, without asking whether any of them is there."""
    folders = [Path(config.backup_dir).absolute()] if config.backup_dir else []
    return [*folders, *(path_of(_plain(url)) for url in _bucket(config))]


def introduce(config: Config) -> None:
    """Lets paths of the configured bucket be reached; asks nothing of it yet."""
    for url in _bucket(config):
        bucketpath.give(_plain(url), backup_store(config, url))


def _plain(url: str) -> str:
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}{split.path}"


def _bucket(config: Config) -> list[str]:
    return [config.backup_url] if config.backup_url else []
