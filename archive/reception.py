"""Taking in: from checked metadata and a stream to a durable object and a committed row.

Idempotent by source and source reference. Knows nothing of how the bytes came here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine

from archive import catalogue, intake, keys, retention, seal
from archive.answers import Receipt
from archive.catalogue import Added
from archive.db import quick, reading, transaction
from archive.errors import (
    CatalogueUnavailable,
    CohortClosed,
    Forbidden,
    KeyDestroyed,
    KeyMissing,
    OlderThanRetention,
    ReferenceConflict,
    ReferenceErased,
    SourceMismatch,
)
from archive.model import Actor, Descriptor, Kind, Recording, Rendition, State
from archive.vault import SealedObject, Vault, original_key

DRAIN_BYTES = 1024 * 1024  # read at a time where only the digest matters


class Reception:
    """Stores what arrives. Thread-safe; one a process."""

    def __init__(
        self,
        *,
        vault: Vault,
        engine: Engine,
        max_bytes: Callable[[], int],
        now: Callable[[], datetime],
        rules: Callable[[], retention.Rules] = retention.Rules,
    ) -> None:
        self._vault = vault
        self._engine = engine
        self._max_bytes = max_bytes
        self._now = now
        self._rules = rules
        self._cohorts_made: set[date] = set()
        self._repeating: set[str] = set()  # sources whose last email was known already
        self._in_doubt = True  # whether the catalogue was away when it was last spoken to

    def receive(self, actor: Actor, checked: intake.Intake, content: seal.Readable) -> Receipt:
        """Stores what was checked, or says what it already is; see `Archive.receive_call`."""
        descriptor = self._under_its_rule(checked.descriptor)
        self._may_deliver(actor, descriptor)
        warnings = tuple((w.field, w.expected) for w in checked.warnings)
        if _kept_until(descriptor) <= self._now():
            self._refused(descriptor.source, "older-than-retention")
            raise OlderThanRetention()
        known = self._known(descriptor) if self._asks_first(descriptor) else None
        if known is not None:
            return self._again(known, descriptor, _digest(content), warnings)
        self._repeating.discard(descriptor.source)
        return self._store(descriptor, content, warnings)

    def _asks_first(self, descriptor: Descriptor) -> bool:
        """Whether to ask the catalogue for the reference before anything is stored.

        The commit asks again in any case, and what turns out to be known is deleted. So emails,
        which are small and nearly always new, are asked for only while their source repeats
        itself, as when a folder is read again, and while the catalogue may be away: else every
        attempt of every sender would leave an object to be swept.
        """
        if self._in_doubt:
            return True
        if not descriptor.source_ref:
            return False
        return descriptor.kind is Kind.CALL or descriptor.source in self._repeating

    def _under_its_rule(self, descriptor: Descriptor) -> Descriptor:
        """With the period of today's rules: it is kept under that one until it is changed."""
        days = self._rules().days(kind=descriptor.kind.value, line=descriptor.line)
        return replace(descriptor, keep_days=days) if days is not None else descriptor

    def _may_deliver(self, actor: Actor, descriptor: Descriptor) -> None:
        if actor.source is not None and descriptor.source != actor.source:
            raise SourceMismatch()
        if actor.lines is not None and descriptor.line not in actor.lines:
            self._refused(descriptor.source, "line-not-allowed")
            raise Forbidden(verb="ingest on this line")

    def _known(self, descriptor: Descriptor) -> Recording | None:
        """The recording of this reference; whether one was erased is asked at the commit."""
        reference = self.reference(descriptor.source, descriptor.source_ref)
        with quick(self._engine) as connection:
            known = catalogue.is_known(connection, reference)
        self._in_doubt = False
        if not known:
            return None
        with reading(self._engine) as connection_:
            return catalogue.by_reference(connection_, reference)

    def _store(
        self,
        descriptor: Descriptor,
        content: seal.Readable,
        warnings: tuple[tuple[str, str], ...],
    ) -> Receipt:
        id = uuid4()
        expires_at = _kept_until(descriptor)
        cohort = retention.cohort_of(expires_at)
        try:
            data_key, wrapped = self._vault.new_data_key(id, cohort)
        except KeyDestroyed:
            raise CohortClosed(day=cohort) from None
        envelope = seal.Envelope(
            id=id,
            cohort=cohort,
            rendition=Rendition.ORIGINAL.value,
            version=1,
            seq=1,
            wrapped_key=wrapped,
            descriptor=self._vault.seal_descriptor(data_key, id, 1, descriptor),
        )
        written = self._vault.write(
            key=data_key,
            envelope=envelope,
            object_key=original_key(cohort, id),
            content=content,
            max_bytes=self._max_bytes(),
        )
        # The object is written before the row, so a crash between them leaves an unreferenced
        # object for `verify` to sweep, never a row without an object.
        final = complete_descriptor(descriptor, sha256=written.sha256, length=written.plain_bytes)
        recording = self._row(id, final, envelope, written, data_key, expires_at)
        return self._commit(recording, final, warnings)

    def _row(
        self,
        id: UUID,
        descriptor: Descriptor,
        envelope: seal.Envelope,
        written: SealedObject,
        data_key: bytes,
        expires_at: datetime,
    ) -> Recording:
        return Recording(
            id=id,
            kind=descriptor.kind,
            state=State.RECEIVED,
            source=descriptor.source,
            line=descriptor.line,
            direction=descriptor.direction,
            occurred_at=descriptor.occurred_at,
            received_at=descriptor.received_at,
            expires_at=expires_at,
            cohort=envelope.cohort,
            bytes=written.plain_bytes,
            object_key=written.stored.key,
            object_version=written.stored.version,
            object_bytes=written.stored.bytes,
            header_bytes=written.header_bytes,
            envelope_seq=1,
            envelope_key=None,
            reference=self.reference(descriptor.source, descriptor.source_ref),
            wrapped_key=envelope.wrapped_key,
            descriptor=self._vault.seal_descriptor(data_key, id, 1, descriptor),
            description=None,
            index_due=True,
            attempts=0,
            error_code=None,
        )

    def _commit(
        self,
        recording: Recording,
        descriptor: Descriptor,
        warnings: tuple[tuple[str, str], ...],
    ) -> Receipt:
        # If the database is lost here it may or may not have committed: the object stays (as an
        # unreferenced one at worst), and the sender's next attempt meets the row or makes one.
        outcome = self._add(recording)
        if outcome is Added.STORED:
            return _receipt(recording, descriptor, created=True, warnings=warnings)
        self._vault.store.delete([recording.object_key])
        if outcome is Added.KNOWN:
            known = self._known(descriptor)
            if known is not None:
                self._repeating.add(descriptor.source)
                digest = (descriptor.sha256, descriptor.bytes)
                return self._again(known, descriptor, digest, warnings)
        if outcome is Added.ERASED:
            self._refused(descriptor.source, "reference-erased")
            raise ReferenceErased()
        self._refused(descriptor.source, "older-than-retention")
        raise CohortClosed(day=recording.cohort)

    def _add(self, recording: Recording) -> Added:
        if recording.cohort not in self._cohorts_made:
            with reading(self._engine) as connection:
                catalogue.ensure_cohort(connection, recording.cohort)
            self._cohorts_made.add(recording.cohort)
        try:
            with quick(self._engine) as driver:
                return catalogue.add(driver, recording, now=self._now())
        except CatalogueUnavailable:
            self._in_doubt = True
            raise

    def _again(
        self,
        known: Recording,
        descriptor: Descriptor,
        digest: tuple[str, int],
        warnings: tuple[tuple[str, str], ...],
    ) -> Receipt:
        """The same reference came again: the same bytes are fine, other bytes a conflict."""
        if known.expires_at <= self._now():
            self._refused(descriptor.source, "older-than-retention")
            raise OlderThanRetention()
        try:
            stored = self._vault.descriptor(known)
        except (KeyDestroyed, KeyMissing):
            self._refused(descriptor.source, "unreadable")
            raise ReferenceConflict() from None
        if digest[0] != stored.sha256:
            self._refused(descriptor.source, "reference-conflict")
            raise ReferenceConflict()
        return _receipt(
            known,
            stored,
            created=False,
            warnings=warnings,
            ignored=_differing(descriptor, stored),
        )

    def reference(self, source: str, source_ref: str) -> bytes:
        """The digest by which a reference is known; its key is the same for ever."""
        key = self._vault.keys.ensure("installation/reference")
        return keys.reference_digest(key, source, source_ref)

    def _refused(self, source: str, reason: str) -> None:
        with transaction(self._engine) as connection:
            catalogue.count_refusal(connection, source=source, reason=reason, now=self._now())


def _kept_until(descriptor: Descriptor) -> datetime:
    return retention.kept_until(
        descriptor.occurred_at, descriptor.received_at, descriptor.keep_days
    )


def complete_descriptor(descriptor: Descriptor, *, sha256: str, length: int) -> Descriptor:
    """The descriptor with digest and length; an email without reference gets one from them.

    The reference is the SHA-256 (hex) over mailbox and content digest, so that a rebuilt
    catalogue finds the same one from the object's trailer.
    """
    reference = descriptor.source_ref or _email_reference(descriptor.line, sha256)
    return replace(descriptor, sha256=sha256, bytes=length, source_ref=reference)


def _email_reference(mailbox: str, sha256: str) -> str:
    return hashlib.sha256(mailbox.encode() + b"\0" + bytes.fromhex(sha256)).hexdigest()


def _digest(content: seal.Readable) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    while block := content.read(DRAIN_BYTES):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def _receipt(
    recording: Recording,
    descriptor: Descriptor,
    *,
    created: bool,
    warnings: tuple[tuple[str, str], ...],
    ignored: tuple[str, ...] = (),
) -> Receipt:
    return Receipt(
        created=created,
        id=recording.id,
        state=recording.state,
        kind=recording.kind,
        bytes=recording.bytes,
        sha256=descriptor.sha256,
        occurred_at=recording.occurred_at,
        expires_at=recording.expires_at,
        warnings=warnings,
        ignored=ignored,
    )


_COMPARED = (
    "occurred_at", "line", "direction", "agent", "caller", "callee", "customer_number",
    "metering_point", "contract", "case", "company", "claimed_duration_s", "codec", "call_id",
    "announcement", "masked", "notes", "extra",
)  # fmt: skip
_PUBLIC_NAMES = {"claimed_duration_s": "duration_s"}


def _differing(given: Descriptor, stored: Descriptor) -> tuple[str, ...]:
    """Fields that came again with another value; a time taken from arrival does not count."""
    return tuple(
        _PUBLIC_NAMES.get(name, name)
        for name in _COMPARED
        if getattr(given, name) != getattr(stored, name)
        and not (name == "occurred_at" and given.occurred_at == given.received_at)
    )
