"""Verbs of receiving: recordings come in, from which sources, for which lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from archive import (
    alertchannels,
    alerts,
    audit,
    catalogue,
    companions,
    intake,
    permissions,
    reviews,
    seal,
    sourcebook,
    supplements,
    transcripts,
)
from archive.answers import Receipt, View
from archive.db import reading, transaction
from archive.errors import (
    BadFields,
    FieldError,
    NotFound,
    SourceMismatch,
)
from archive.formats import transcript
from archive.model import (
    Actor,
    Direction,
    Recording,
    Scope,
)
from archive.verbs.base import Common


class Receiving(Common):
    """The verbs."""

    def receive_call(
        self, actor: Actor, metadata: Mapping[str, Any], content: seal.Readable
    ) -> Receipt:
        """Stores a call. Returns when object and row are durable.

        BadFields, SourceMismatch, OlderThanRetention, ReferenceErased, ReferenceConflict,
        TooLarge, StoreUnavailable, CatalogueUnavailable, DiskFull; after any of them nothing
        of the recording is kept that a row would name.
        """
        permissions.require(actor, Scope.INGEST)
        checked = intake.call(metadata, arrived_at=self.now(), rules=self._rules)
        return self._reception.receive(actor, checked, content)

    def receive_email(
        self,
        actor: Actor,
        content: seal.Readable,
        *,
        source: str | None,
        mailbox: str | None,
        direction: str | None,
        source_ref: str | None = None,
        received_at: str | None = None,
        envelope: Any = None,
    ) -> Receipt:
        """Stores an email, byte for byte. Errors as for a call."""
        permissions.require(actor, Scope.INGEST)
        checked = intake.email(
            source=source,
            source_ref=source_ref,
            mailbox=mailbox,
            direction=direction,
            received_at=received_at,
            envelope=envelope,
            arrived_at=self.now(),
        )
        return self._reception.receive(actor, checked, content)

    def receive_email_also(
        self, actor: Actor, id: UUID, *, mailbox: str, direction: Direction
    ) -> Receipt:
        """Stores an email that was just received under a further mailbox as well.

        For senders that deliver one message for several: who sees one mailbox only finds it
        too. Read back from its sealed copy. Errors as for a call.
        """
        permissions.require(actor, Scope.INGEST)
        return self._reception.receive_also(actor, id, line=mailbox, direction=direction)

    def add_metadata(
        self,
        actor: Actor,
        *,
        source: str | None,
        references: Sequence[str],
        changes: Mapping[str, Any],
        times: bool = False,
    ) -> supplements.Added:
        """Metadata apart from their recording: added to it now, or when it comes within 30 days.

        It is found by one of the references, or as a leg of the call of that id. Only what it
        lacks is added. BadFields, SourceMismatch; nothing is kept then. See `supplements.give`.
        """
        permissions.require(actor, Scope.INGEST)
        named, *others = intake.references(source, references)
        if actor.source is not None and named != actor.source:
            raise SourceMismatch()
        done = supplements.give(
            self._supplements, source=named, references=others, changes=changes, times=times
        )
        for id in done.ids:
            with transaction(self.engine) as connection:
                self._note_change(connection, actor, "supplement", id, changes)
        return done

    def give_transcript(self, actor: Actor, id: UUID, content: bytes) -> View:
        """Keeps what was said in a call, by its source; another transcript is replaced.

        BadFields, and NotFound where the recording is no call of the actor's source; nothing is
        kept then.
        """
        recording = self._delivered(actor, id)
        try:
            given = transcripts.keep(self.vault, self.engine, recording, content, now=self.now())
        except transcript.TranscriptError as error:
            raise BadFields(errors=[FieldError("transcript", str(error))]) from None
        if given is not None:
            masked = self.vault.descriptor(recording).masked
            heard = [cue.text for cue in transcript.cut(given, masked)]
            with transaction(self.engine) as connection:
                if reviews.holds_card(heard):
                    reviews.add(connection, id, "card-number", now=self.now())
                self._note_change(connection, actor, "transcript", id, {"transcript": None})
        return self._views(actor, [recording])[0]

    def attach(self, actor: Actor, id: UUID, name: str, content: bytes) -> None:
        """Keeps what came with a call as given, by its source, as a rendition of that name.

        NotFound where the recording is no call of the actor's source; nothing is kept then.
        """
        recording = self._delivered(actor, id)
        media_type = companions.MEDIA_TYPES[name]
        if companions.keep(
            self.vault, self.engine, recording, content, name=name, media_type=media_type
        ):
            with transaction(self.engine) as connection:
                self._note_change(connection, actor, "attach", id, {name: None})

    def _delivered(self, actor: Actor, id: UUID) -> Recording:
        """A recording of the actor's source, to which it may add. Forbidden, NotFound."""
        permissions.require(actor, Scope.INGEST)
        recording = self._visible(actor, id)
        if actor.source is not None and recording.source != actor.source:
            raise NotFound()
        return recording

    def settle_metadata(self, recording: Recording) -> None:
        """Adds what came before a recording that has just been described."""
        with reading(self.engine) as connection:
            current = catalogue.get(connection, recording.id)
        if current is not None and not current.erasing:
            supplements.settle(self._supplements, current)

    def read_back(self, actor: Actor, id: UUID) -> str:
        """SHA-256 (hex) of a recording of the actor's own source as it opens from the store.

        For senders that throw their copy away: every byte is read and authenticated. NotFound
        for others' recordings; StoreUnavailable, SealBroken.
        """
        permissions.require(actor, Scope.INGEST)
        with reading(self.engine) as connection:
            recording = catalogue.get(connection, id)
        if recording is None or (actor.source is not None and recording.source != actor.source):
            raise NotFound()
        digest = hashlib.sha256()
        for piece in self.vault.stream(recording):
            digest.update(piece)
        return digest.hexdigest()

    def allow_line(self, actor: Actor, *, source: str, line: str) -> None:
        """Lists a line for a source, which from its first one on delivers for listed ones only.

        BadFields. In force in every process within 5 s.
        """
        permissions.require(actor, Scope.ADMIN)
        source, line = intake.source_line(source, line)
        with transaction(self.engine) as connection:
            sourcebook.allow(connection, source=source, line=line, by=actor.id, now=self.now())
            self._note_line(connection, actor, "allow-line", source, line)

    def disallow_line(self, actor: Actor, *, source: str, line: str) -> None:
        """Takes a line off a source's list; NotFound where it is not on it."""
        permissions.require(actor, Scope.ADMIN)
        with transaction(self.engine) as connection:
            if not sourcebook.disallow(connection, source=source, line=line):
                raise NotFound()
            self._note_line(connection, actor, "disallow-line", source, line)

    def unrestrict_source(self, actor: Actor, *, source: str) -> None:
        """Throws a source's list away: its token or settings alone say what it may deliver."""
        permissions.require(actor, Scope.ADMIN)
        with transaction(self.engine) as connection:
            if not sourcebook.unrestrict(connection, source=source):
                raise NotFound()
            self._note_line(connection, actor, "unrestrict-source", source, "")

    def _note_line(
        self, connection: Connection, actor: Actor, verb: str, source: str, line: str
    ) -> None:
        detail = {"source": source, "line": line}
        audit.append(connection, at=self.now(), actor=actor, verb=verb, detail=detail)

    def sources(
        self, actor: Actor, *, days: int = 7, known: Iterable[str] = ()
    ) -> list[sourcebook.Source]:
        """What each source delivered and was refused, so many days back; counts only."""
        permissions.require(actor, Scope.ADMIN)
        with reading(self.engine) as connection:
            return sourcebook.report(connection, now=self.now(), days=days, known=known)

    def reconcile(
        self, actor: Actor, *, source: str, announced: Sequence[sourcebook.Announced]
    ) -> sourcebook.Reconciled:
        """What a source says it sent against what is kept of it; a difference is an alert."""
        permissions.require(actor, Scope.ADMIN)
        with reading(self.engine) as connection:
            found = sourcebook.reconcile(
                connection,
                source=source,
                announced=announced,
                reference=lambda name: self.reference(source, name),
            )
        with transaction(self.engine) as connection:
            change = alerts.end if found.agrees else alerts.begin
            change(
                connection, "source-differs", source, now=self.now(),
                channels=tuple(alertchannels.channels_of(self.config, now=self.now)),
            )  # fmt: skip
        return found

    def note_refusal(self, actor: Actor, *, source: str, reason: str) -> None:
        """Counts what a source refused before it was received; `reason` is a word, no content."""
        permissions.require(actor, Scope.INGEST)
        self._reception.note_refusal(source, reason)

    def reference(self, source: str, source_ref: str) -> bytes:
        """The digest by which a reference is known."""
        return self._reception.reference(source, source_ref)
