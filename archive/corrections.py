"""Changing what was said of a recording: a new envelope, and a new cohort where time moved.

The original object is never rewritten; a further, small envelope object carries the new
descriptor and the data key wrapped for the right cohort.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Engine

from archive import catalogue, retention, seal
from archive.db import transaction
from archive.errors import CohortClosed, NotFound, OlderThanRetention
from archive.evidence import ending
from archive.model import Descriptor, Recording
from archive.vault import Vault, envelope_key


def apply(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    values: Mapping[str, Any],
    occurred_at: datetime | None,
    *,
    now: datetime,
) -> Recording:
    """The recording after the change. The envelope is durable before the row says so.

    Where other stretches are to be silent, what was made of the sound is gone at once and made
    anew.
    """
    data_key = vault.data_key(recording)
    before = vault.descriptor(recording, key=data_key)
    descriptor = replace(before, **values)
    moved = _moved(recording, descriptor, occurred_at, now=now)
    cohort = retention.cohort_of(moved.expires_at)
    return _move(
        vault, engine, recording, moved, descriptor, data_key, cohort=cohort, reindex=True, now=now,
        renew=descriptor.masked != before.masked,
    )  # fmt: skip


def keep_for(
    vault: Vault, engine: Engine, recording: Recording, days: int | None, *, now: datetime
) -> Recording:
    """The recording under a rule of so many days (None: the year), moved to its new day.

    One that is over by the new rule goes to today's cohort, which is destroyed tonight. One that
    is over already stays as it is: no rule brings anything back.
    """
    if recording.past_its_year(now):
        return recording
    data_key = vault.data_key(recording)
    descriptor = replace(vault.descriptor(recording, key=data_key), keep_days=days)
    expires = retention.kept_until(recording.occurred_at, recording.received_at, days)
    moved = replace(recording, expires_at=expires)
    cohort = max(retention.cohort_of(expires), retention.local(now).date())
    return _move(
        vault, engine, recording, moved, descriptor, data_key, cohort=cohort, reindex=False, now=now
    )


def _move(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    moved: Recording,
    descriptor: Descriptor,
    data_key: bytes,
    *,
    cohort: date,
    reindex: bool,
    now: datetime,
    renew: bool = False,
) -> Recording:
    """A further envelope with the descriptor, wrapped for the cohort; then the row."""
    seq = recording.envelope_seq + 1
    if cohort != recording.cohort and vault.keys.is_destroyed(f"cohort/{cohort.isoformat()}"):
        raise CohortClosed(day=cohort)
    descriptor = replace(descriptor, occurred_at=moved.occurred_at)
    sealed = vault.seal_descriptor(data_key, recording.id, seq, descriptor)
    envelope = seal.Envelope(
        id=recording.id,
        cohort=cohort,
        rendition="envelope",
        version=seq,
        seq=seq,
        wrapped_key=vault.wrap(recording.id, cohort, data_key),
        descriptor=sealed,
    )
    stored = vault.store.put_bytes(envelope_key(recording, seq), envelope.encode())
    # A crash here leaves an envelope that no row names: the next correction writes over the same
    # sequence number, and a rebuild takes the highest one that opens.
    with transaction(engine) as connection:
        current = catalogue.get(connection, recording.id, lock=True)
        if current is None or current.erasing or current.envelope_seq != recording.envelope_seq:
            raise NotFound()
        catalogue.ensure_cohort(connection, cohort)
        catalogue.change(
            connection,
            recording.id,
            occurred_at=moved.occurred_at,
            expires_at=moved.expires_at,
            cohort=cohort,
            wrapped_key=envelope.wrapped_key,
            descriptor=sealed,
            envelope_seq=seq,
            envelope_key=stored.key,
            **({"index_due": True, "index_next_at": now} if reindex else {}),
        )
        # From here nobody is given what lets the silenced be heard; a crash leaves its objects
        # without a row, to be swept.
        gone = catalogue.describe_again(connection, recording.id, now=now) if renew else []
        if renew:
            ending.mark(connection, [recording.id], reason="silenced")
        changed = catalogue.get(connection, recording.id)
    if renew:
        ending.end_with(vault, engine, [recording.id], reason="silenced", now=now)
    if recording.envelope_key is not None:
        gone.append(recording.envelope_key)
    vault.store.delete(gone)
    assert changed is not None
    return changed


def _moved(
    recording: Recording,
    descriptor: Descriptor,
    occurred_at: datetime | None,
    *,
    now: datetime,
) -> Recording:
    """Times after a corrected contact time; life never ends later than arrival plus one year."""
    if occurred_at is None:
        return recording
    contact, _ = retention.contact_time(occurred_at, descriptor.received_at)
    expires = retention.kept_until(contact, descriptor.received_at, descriptor.keep_days)
    if expires <= now:
        raise OlderThanRetention()
    return replace(recording, occurred_at=contact, expires_at=expires)
