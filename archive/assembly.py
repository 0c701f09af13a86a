"""The archive put together from its settings: engine, store, keys, index, people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine

from archive.accounts import commitment
from archive.archive import Archive
from archive.auth import People
from archive.backups import bucketpath, destinations
from archive.config import Config, running_parts
from archive.db import open_engine
from archive.errors import BadSetting, NotRunning
from archive.keys import open_keys
from archive.search import open_index
from archive.storage import open_store


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything one process works with."""

    config: Config
    engine: Engine
    archive: Archive
    people: People

    def close(self) -> None:
        """Gives back files, connections and memory."""
        self.archive.index.close()
        self.archive.store.close()
        bucketpath.close()
        self.engine.dispose()


def with_parts(config: Config) -> Config:
    """The settings completed by what a running `archive up` in the same home offers."""
    parts = running_parts(config.home)
    if not config.database_url and not parts:
        raise NotRunning(home=config.home)
    return replace(
        config,
        database_url=config.database_url or str(parts.get("database_url", "")),
        database_owner_url=config.database_owner_url
        or ("" if config.database_url else str(parts.get("database_owner_url", ""))),
        store_url=config.store_url or str(parts.get("store_url", "")),
        store_access_key=config.store_access_key or str(parts.get("store_access_key", "")),
        store_secret_key=config.store_secret_key or str(parts.get("store_secret_key", "")),
        store_eraser_access_key=config.store_eraser_access_key
        or str(parts.get("store_eraser_access_key", "")),
        store_eraser_secret_key=config.store_eraser_secret_key
        or str(parts.get("store_eraser_secret_key", "")),
    )


def url_of_index(config: Config) -> str:
    """The database of the search index; "" for Whoosh. BadSetting where it is the catalogue's."""
    url = config.index_url
    if url and not url.startswith("postgresql:"):
        raise BadSetting(name="ARCHIVE_INDEX_URL", reason="expected postgresql: or postgresql://…")
    if url == "postgresql:":
        parts = urlsplit(config.database_url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}_index?{parts.query}"
    if url and urlsplit(url)[1:3] == urlsplit(config.database_url)[1:3]:
        # Everything in the catalogue's database is dumped into every backup.
        raise BadSetting(name="ARCHIVE_INDEX_URL", reason="expected a database of its own")
    return url


def assemble(config: Config, *, pool_size: int = 10, restoring: bool = False) -> Assembly:
    """The archive of these settings. NotRunning where neither settings nor home name its parts."""
    config = with_parts(config)
    destinations.introduce(config)
    engine = open_engine(config.database_url, pool_size=pool_size)
    index_url = url_of_index(config)
    keys = open_keys(config, restoring=restoring)
    archive = Archive(
        config=config,
        engine=engine,
        store=open_store(config),
        keys=keys,
        index=open_index(
            config.home / "index",
            keys,
            memory_mb=config.index_memory_mb,
            synonyms=Path(config.synonyms_file) if config.synonyms_file else None,
            url=index_url,
        ),
        now=utc_now,
    )
    people = People(
        engine,
        now=utc_now,
        pepper=lambda: keys.ensure("installation/pages"),
        group_days=config.group_days,
        factor_groups=config.second_factor_groups,
        commitment=commitment.VERSION,
        break_glass=config.break_glass,
    )

    def pepper() -> bytes:
        return keys.ensure("installation/pages")

    return Assembly(config, engine, archive, people)


def utc_now() -> datetime:
    """The clock of the service, aware, UTC."""
    return datetime.now(UTC)
