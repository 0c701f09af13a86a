"""What a catalogue of before does not know: replayed from certificates and the erasure journal.

For a catalogue that was restored from a dump or made anew from envelopes, and for objects that
came back with a backup. Can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import Engine

from archive.backups import backup
from archive.db import transaction
from archive.erasure import certificates, expiry, journal
from archive.storage import Store
from archive.vault import Vault

_BATCH = 200


def replay(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Removes rows and objects of what was destroyed since; how many rows there were."""
    ended, gone = 0, set[UUID]()
    for certificate, ids in certificates.stored(vault):
        with transaction(engine) as connection:
            ended += certificates.replay_run(connection, certificate, ids)
        gone.update(ids)
    for erasure in journal.stored(vault):
        with transaction(engine) as connection:
            run = expiry.resume_or_begin(connection, now)
            ended += journal.replay(connection, vault, erasure, run=run, now=now)
        gone.add(erasure.id)
    _delete_objects(vault.store, gone)
    return ended


def _delete_objects(store: Store, gone: set[UUID]) -> None:
    """Objects that came back with a backup, or that a crash left behind."""
    for batch in _batches(store, backup.RECORDINGS):
        store.delete([key for key in batch if backup.id_of(key) in gone])


def _batches(store: Store, prefix: str) -> Iterator[list[str]]:
    keys = iter([each.key for each in store.list(prefix)])
    while batch := list(islice(keys, _BATCH)):
        yield batch
