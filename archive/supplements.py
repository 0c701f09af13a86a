"""Metadata that come without their recording: added to it, whichever of the two comes first.

What a sender said with the recording counts; here only what it lacks is added. Also which
recordings are legs of one call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from archive import catalogue, corrections, intake, keys, legs, retention, reviews, seal
from archive.db import transaction
from archive.errors import KeyDestroyed, KeyMissing, OlderThanRetention, SealBroken
from archive.legs import WAITS, Awaiting
from archive.model import Descriptor, Kind, Recording
from archive.vault import Vault

_TIMES_AGREE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of metadata: the recordings they were added to, or none as yet.

    `ignored` are fields that differ from what is stored there.
    """

    ids: tuple[UUID, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Means:
    """What supplementing works with."""

    vault: Vault
    engine: Engine
    rules: intake.Rules
    now: Callable[[], datetime]


def call_digest(vault: Vault, source: str, call_id: str) -> bytes:
    """By which legs of one call of a source are known as such."""
    key = vault.keys.ensure("installation/reference")
    return keys.reference_digest(key, source, "call\0" + call_id)


def give(
    means: Means,
    *,
    source: str,
    references: Sequence[str],
    changes: Mapping[str, Any],
    times: bool,
) -> Added:
    """Adds metadata to the recording of any of these references, or keeps them until it comes.

    `times`: whether they know the time of the contact better than the recording does, as a CDR
    does of a file. BadFields; nothing is kept then.
    """
    intake.correction(changes, rules=means.rules)
    names = _names(means.vault, source, references)
    waits = _sealed(means, source, names, {"changes": dict(changes), "times": times})
    # Kept first and looked for after: the recording, described at this moment, does it in the
    # other order, so that one of the two finds the other.
    with transaction(means.engine) as connection:
        former = legs.waiting(connection, names[:1])
        if former and (old := _opened(means.vault, former[0])) is not None:
            merged = {"changes": old["changes"] | dict(changes), "times": times}
            waits = _sealed(means, source, names, merged)
        legs.wait(connection, waits)
    ids, ignored = [], set[str]()
    for recording in _meant(means, names):
        done = settle(means, recording)
        if done is not None:
            ids.append(recording.id)
            ignored |= done
    return Added(tuple(ids), tuple(sorted(ignored)))


def settle(means: Means, recording: Recording) -> set[str] | None:
    """Adds what waits for a recording; which fields differed, or None where nothing waited.

    Also notes of which call it is a leg. Repeating it is harmless.
    """
    vault = means.vault
    try:
        descriptor = vault.descriptor(recording)
    except (KeyDestroyed, KeyMissing, SealBroken):
        return None
    note_call(means, recording, descriptor)
    with transaction(means.engine) as connection:
        found = legs.waiting(connection, _names_of(vault, recording, descriptor))
    if not found:
        return None
    ignored = set[str]()
    for one in found:
        told = _opened(vault, one)
        if told is not None:
            recording, differing = _add(means, recording, told)
            ignored |= differing
        # After the change: a crash in between adds again what is there by then.
        with transaction(means.engine) as connection:
            legs.came(connection, one.name)
    return ignored


def note_call(means: Means, recording: Recording, descriptor: Descriptor) -> None:
    """Notes of which call a recording is a leg, as its metadata say now."""
    if recording.kind is not Kind.CALL:
        return
    call = (
        call_digest(means.vault, recording.source, descriptor.call_id)
        if descriptor.call_id
        else None
    )
    with transaction(means.engine) as connection:
        legs.note(connection, recording.id, call)


def _add(means: Means, recording: Recording, told: Mapping[str, Any]) -> tuple[Recording, set[str]]:
    """The recording with what it lacked; names of fields that say something else there."""
    values, at = intake.correction(told["changes"], rules=means.rules)
    stored = means.vault.descriptor(recording)
    lacking: dict[str, Any] = {}
    ignored = set[str]()
    for name, value in values.items():
        had = getattr(stored, name)
        if not had:
            lacking[name] = value
        elif name == "masked":
            lacking[name] = tuple(sorted({*had, *value}))  # nothing is ever unmasked by this
        elif name == "extra" and isinstance(had, dict) and isinstance(value, dict):
            lacking[name] = value | had
        elif name == "call_id" and told["times"]:
            lacking[name] = value  # of a CDR: it knows the group, a file's name only the leg
        elif had != value:
            ignored.add(name)
    if at is not None and abs(at - recording.occurred_at) <= _TIMES_AGREE:
        at = None
    if at is not None and not told["times"]:
        ignored.add("occurred_at")
        at = None
    changed = {n: v for n, v in lacking.items() if v and v != getattr(stored, n)}
    if changed or at is not None:
        try:
            recording = corrections.apply(
                means.vault, means.engine, recording, changed, at, now=means.now()
            )
        except OlderThanRetention:  # by a time that cannot be
            recording = corrections.apply(
                means.vault, means.engine, recording, changed, None, now=means.now()
            )
        note_call(means, recording, means.vault.descriptor(recording))
        if reviews.holds_card(changed.values()):
            with transaction(means.engine) as connection:
                reviews.add(connection, recording.id, "card-number", now=means.now())
    return recording, ignored


def _meant(means: Means, names: Sequence[bytes]) -> list[Recording]:
    """Recordings by reference, else legs by call id."""
    with transaction(means.engine) as connection:
        for name in names:
            known = catalogue.by_reference(connection, name)
            if known is not None:
                return [known] if _takes(means, known) else []
        for name in names:
            if ids := legs.of_call(connection, name):
                found = catalogue.get_many(connection, ids).values()
                return [one for one in found if _takes(means, one)]
    return []


def _takes(means: Means, recording: Recording) -> bool:
    """Not what is over, being erased, or restricted to data protection."""
    over = recording.past_its_year(means.now()) or recording.erasing
    return not over and not recording.restricted


def _names(vault: Vault, source: str, references: Sequence[str]) -> list[bytes]:
    """Digests of what the recording may be known by: a reference, or as its call's id."""
    key = vault.keys.ensure("installation/reference")
    by_reference = [keys.reference_digest(key, source, name) for name in references]
    return by_reference + [call_digest(vault, source, name) for name in references]


def _names_of(vault: Vault, recording: Recording, descriptor: Descriptor) -> list[bytes]:
    names = [recording.reference]
    if descriptor.call_id:
        names.append(call_digest(vault, recording.source, descriptor.call_id))
    return names


def _sealed(means: Means, source: str, names: Sequence[bytes], told: Mapping[str, Any]) -> Awaiting:
    now, id = means.now(), uuid4()
    cohort = retention.cohort_of(now + WAITS)
    data_key, wrapped = means.vault.new_data_key(id, cohort)
    return Awaiting(
        name=names[0],
        others=tuple(names[1:]),
        id=id,
        source=source,
        arrived_at=now,
        cohort=cohort,
        wrapped_key=wrapped,
        sealed=seal.seal(data_key, _context(id), json.dumps(told).encode()),
    )


def _opened(vault: Vault, one: Awaiting) -> dict[str, Any] | None:
    """What was told; None once the key of its day is gone."""
    try:
        key = keys.unwrap_data_key(
            vault.keys.get(f"cohort/{one.cohort.isoformat()}"), one.id, one.cohort, one.wrapped_key
        )
    except (KeyDestroyed, KeyMissing):
        return None
    told: dict[str, Any] = json.loads(seal.unseal(key, _context(one.id), one.sealed))
    return told


def _context(id: UUID) -> bytes:
    return seal.context("awaiting", id.hex)
