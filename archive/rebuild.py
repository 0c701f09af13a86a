"""The catalogue made anew from envelopes and keys alone, and the store held against it.

Reads of each object only its head and its trailer. What cannot be opened (its key destroyed)
is left out: that is what expiry means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from archive import catalogue, companions, keys, retention, seal, transcripts
from archive.casework import holdnight, holdterms
from archive.catalogue import Added
from archive.db import quick, transaction
from archive.errors import (
    ArchiveError,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    ObjectMissing,
    RootKeyAway,
    SealBroken,
)
from archive.model import Descriptor, Hold, Recording, State
from archive.storage import Stored
from archive.vault import Vault, decode_descriptor

HEAD_BYTES = 16 * 1024  # first read of an object; more only where the header is longer
PREFIX = "recordings/"


@dataclass(slots=True)
class Outcome:
    """What a rebuild found, in numbers of recordings."""

    rebuilt: int = 0
    present: int = 0
    unreadable: int = 0  # key destroyed or missing: expired
    holds: int = 0  # that had no row
    damaged: list[str] = field(default_factory=list)  # object keys


@dataclass(slots=True)
class Findings:
    """What a verification found, as object keys and recording ids."""

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


def catalogue_from_envelopes(
    vault: Vault,
    engine: Engine,
    *,
    complete: Callable[[Descriptor, str, int], Descriptor],
    progress: Callable[[int], None],
    now: datetime,
) -> Outcome:
    """Adds a row for every original in the store that has none and whose key still lives.

    Holds come back with them from their envelopes, also to rows that are there: a held
    recording lives on under its hold's key when that of its day is gone.
    """
    outcome = Outcome()
    for number, (id, objects) in enumerate(_by_recording(vault)):
        progress(number + 1)
        original = objects.get("original")
        if original is None:
            continue
        try:
            recording, held = recording_and_holds(vault, id, original, objects, complete)
        except (KeyDestroyed, KeyMissing):
            outcome.unreadable += 1
            continue
        except (SealBroken, ObjectMissing):
            outcome.damaged.append(original.key)
            continue
        with transaction(engine) as connection:
            catalogue.ensure_cohort(connection, recording.cohort)
        with quick(engine) as driver:
            added = catalogue.add(driver, recording, now=now, held=bool(held))
        # A crash here leaves a row without its hold: the next run finds the hold by its key.
        with transaction(engine) as connection:
            outcome.holds += holdnight.restore(connection, held, now=now)
        if added is Added.STORED or added is Added.KNOWN:
            _restore_given(vault, engine, id, objects, now=now)
        outcome.rebuilt += added is Added.STORED
        outcome.present += added is Added.KNOWN
    return outcome


def newer_envelopes(
    vault: Vault,
    engine: Engine,
    *,
    complete: Callable[[Descriptor, str, int], Descriptor],
    now: datetime,
) -> int:
    """Brings rows up to envelopes in the store that are newer than they; how many.

    For a catalogue that was restored: a correction made after its dump is not lost, and a
    recording whose contact time was corrected ends when it should.
    """
    changed = 0
    for id, objects in _by_recording(vault):
        _restore_given(vault, engine, id, objects, now=now)
        newest = max((int(n.rpartition(".")[2]) for n in objects if n.startswith("envelope.")),
                     default=1)  # fmt: skip
        with transaction(engine) as connection:
            row = catalogue.get(connection, id)
        original = objects.get("original")
        if row is None or original is None or newest <= row.envelope_seq:
            continue
        try:
            found, _ = recording_and_holds(vault, id, original, objects, complete)
        except (KeyDestroyed, KeyMissing, SealBroken, ObjectMissing):
            continue
        with transaction(engine) as connection:
            catalogue.ensure_cohort(connection, found.cohort)
            catalogue.change(
                connection,
                id,
                occurred_at=found.occurred_at,
                expires_at=found.expires_at,
                cohort=found.cohort,
                wrapped_key=found.wrapped_key,
                descriptor=found.descriptor,
                envelope_seq=found.envelope_seq,
                envelope_key=found.envelope_key,
                index_due=True,
                index_next_at=now,
            )
        changed += 1
    return changed


def _restore_given(
    vault: Vault, engine: Engine, id: UUID, objects: dict[str, Stored], *, now: datetime
) -> None:
    """The newest of what senders gave with a call, where the row has none as new.

    What does not open is passed over, and left for the sweep to judge.
    """
    for name in (transcripts.NAME, *companions.MEDIA_TYPES):
        numbers = [n for kind, _, n in (each.rpartition(".") for each in objects)
                   if kind == name and n.isdigit()]  # fmt: skip
        with transaction(engine) as connection:
            row = catalogue.get(connection, id) if numbers else None
        if row is None:
            continue
        newest = objects[f"{name}.{max(numbers, key=int)}"]
        try:
            _, header_bytes = read_envelope(vault, newest)
            if name == transcripts.NAME:
                transcripts.restore(vault, engine, row, newest, header_bytes=header_bytes, now=now)
            else:
                companions.restore(vault, engine, row, newest, header_bytes=header_bytes)
        except (KeyDestroyed, KeyMissing, SealBroken, ObjectMissing, NotFound, ValueError):
            continue


def _by_recording(vault: Vault) -> Iterator[tuple[UUID, dict[str, Stored]]]:
    """Objects grouped by recording: prefixes come in order, so one group is held at a time."""
    current: str | None = None
    group: dict[str, Stored] = {}
    for stored in vault.store.list(PREFIX):
        folder, _, name = stored.key.partition(".")
        if folder != current:
            if current is not None:
                yield from _named(current, group)
            current, group = folder, {}
        group[name] = stored
    if current is not None:
        yield from _named(current, group)


def _named(folder: str, group: dict[str, Stored]) -> Iterator[tuple[UUID, dict[str, Stored]]]:
    try:
        yield UUID(folder.rpartition("/")[2]), group
    except ValueError:
        return


def _holds(vault: Vault, id: UUID, objects: dict[str, Stored]) -> Iterator[tuple[Hold, bytes]]:
    """The holds whose keys live, each with the data key it keeps."""
    for name, stored in objects.items():
        if name.startswith("hold."):
            found = holdterms.from_envelope(vault, id, stored)
            if found is not None:
                yield found


def recording_and_holds(
    vault: Vault,
    id: UUID,
    original: Stored,
    objects: dict[str, Stored],
    complete: Callable[[Descriptor, str, int], Descriptor],
) -> tuple[Recording, list[Hold]]:
    """The row that the envelopes tell of, and its holds; a hold's key opens it where the day's is
    gone."""
    held = list(_holds(vault, id, objects))
    held_key = held[0][1] if held else None
    recording = _recording(vault, id, original, objects, complete, held_key)
    return recording, [hold for hold, _ in held]


def _recording(
    vault: Vault,
    id: UUID,
    original: Stored,
    objects: dict[str, Stored],
    complete: Callable[[Descriptor, str, int], Descriptor],
    held_key: bytes | None,
) -> Recording:
    envelope, header_bytes = read_envelope(vault, original)
    if envelope.id != id:
        raise SealBroken(reason="object of another recording")
    latest, latest_key = _latest_envelope(vault, envelope, objects)
    data_key = held_key or keys.unwrap_data_key(
        vault.keys.get(f"cohort/{latest.cohort.isoformat()}"),
        id,
        latest.cohort,
        latest.wrapped_key,
    )
    if latest.descriptor is None:
        raise SealBroken(reason="envelope without descriptor")
    sha256, length = _trailer(vault, data_key, envelope, original)
    sealed = seal.unseal(data_key, seal.descriptor_context(id, latest.seq), latest.descriptor)
    descriptor = complete(decode_descriptor(sealed), sha256.hex(), length)
    expires = retention.kept_until(
        descriptor.occurred_at, descriptor.received_at, descriptor.keep_days
    )
    return Recording(
        id=id,
        kind=descriptor.kind,
        state=State.RECEIVED,
        source=descriptor.source,
        line=descriptor.line,
        direction=descriptor.direction,
        occurred_at=descriptor.occurred_at,
        received_at=descriptor.received_at,
        expires_at=expires,
        cohort=latest.cohort,
        bytes=length,
        object_key=original.key,
        object_version=original.version,
        object_bytes=original.bytes,
        header_bytes=header_bytes,
        envelope_seq=latest.seq,
        envelope_key=latest_key,
        reference=keys.reference_digest(
            vault.keys.get("installation/reference"), descriptor.source, descriptor.source_ref
        ),
        wrapped_key=latest.wrapped_key,
        descriptor=vault.seal_descriptor(data_key, id, latest.seq, descriptor),
        description=None,
        index_due=True,
        attempts=0,
        error_code=None,
    )


def read_envelope(vault: Vault, stored: Stored) -> tuple[seal.Envelope, int]:
    """The envelope at an object's head, and the bytes before its stream."""
    head = vault.store.get(
        stored.key, start=0, length=min(HEAD_BYTES, stored.bytes), version=stored.version
    )
    needed = seal.header_length(head)
    if needed > len(head):
        head = vault.store.get(stored.key, start=0, length=needed, version=stored.version)
    return seal.Envelope.parse(head)


def _latest_envelope(
    vault: Vault, first: seal.Envelope, objects: dict[str, Stored]
) -> tuple[seal.Envelope, str | None]:
    """The envelope of the highest sequence number among the recording's objects."""
    later = sorted(
        (name for name in objects if name.startswith("envelope.")),
        key=lambda name: int(name.rpartition(".")[2]),
    )
    if not later:
        return first, None
    stored = objects[later[-1]]
    envelope, _ = read_envelope(vault, stored)
    if envelope.id != first.id:
        raise SealBroken(reason="envelope of another recording")
    return envelope, stored.key


def _trailer(
    vault: Vault, data_key: bytes, envelope: seal.Envelope, original: Stored
) -> tuple[bytes, int]:
    sealed = vault.store.get(
        original.key,
        start=original.bytes - seal.TRAILER_BYTES,
        length=seal.TRAILER_BYTES,
        version=original.version,
    )
    return seal.open_trailer(
        data_key,
        id=envelope.id,
        rendition=envelope.rendition,
        version=envelope.version,
        sealed=sealed,
    )


# -- verification ----------------------------------------------------------------------


def verify(
    vault: Vault,
    engine: Engine,
    *,
    sample: int | None,
    mend: bool,
    progress: Callable[[int], None],
    now: datetime,
) -> Findings:
    """Reads back and authenticates every recording (or `sample` of them).

    `mend` describes again what lost a rendition.
    """
    findings = Findings()
    for rows in catalogue.pages(engine):
        for recording in rows:
            if recording.past_its_year(now) and not recording.held:
                continue
            if sample is not None and findings.checked >= sample:
                break
            findings.checked += 1
            progress(findings.checked)
            _check(vault, engine, recording, findings, mend=mend, now=now)
    return findings


def _check(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    findings: Findings,
    *,
    mend: bool,
    now: datetime,
) -> None:
    with transaction(engine) as connection:
        parts = catalogue.renditions(connection, [recording.id])[recording.id]
    for part in [None, *parts]:
        key = part.object_key if part else recording.object_key
        try:
            for _ in vault.stream(recording, part):
                pass
        except ObjectMissing:
            findings.missing.append(key)
        except RootKeyAway:
            raise  # what cannot be opened now is not damaged
        except ArchiveError:
            findings.damaged.append(key)
        else:
            continue
        if part is not None and mend:
            with transaction(engine) as connection:
                catalogue.change(
                    connection,
                    recording.id,
                    state=State.RECEIVED,
                    next_attempt_at=now,
                    attempts=0,
                )
            findings.mended.append(key)
