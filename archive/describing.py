"""Describing a recording: what it really is, its waveform, its playback, its text.

Reads the sealed original, never writes it. Nothing that happens here can lose or change it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection

from archive import catalogue, reviews, seal, transcriptions, transcripts
from archive.archive import Archive
from archive.db import transaction
from archive.errors import ObjectMissing, SealBroken
from archive.formats import call, mail
from archive.model import Kind, Recording, Rendition, State, StoredRendition
from archive.vault import Description, SealedObject, rendition_key

MAIL_BYTES = 64 * 1024 * 1024  # an email larger than this is kept, and not parsed
_TEXT_CHARS = 1_000_000


class Describer:
    """Describes one recording after the other; owns the mail parser's child process."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._vault = archive.vault
        self._limits = call.Limits(
            wall_s=archive.config.describe_seconds,
            memory_file_bytes=archive.config.memory_files_mb * 1024 * 1024,
        )
        self._budget = call.MemoryBudget(archive.config.memory_files_mb * 1024 * 1024)
        self._mail = mail.MailParser(wall_s=archive.config.mail_seconds)

    def close(self) -> None:
        """Ends the parser's child process."""
        self._mail.close()

    def describe(self, recording: Recording) -> None:
        """Describes a claimed recording and moves it to `described`."""
        key = self._vault.data_key(recording)
        if recording.kind is Kind.CALL:
            description, renditions = self._call(recording, key)
        else:
            description, renditions = self._email(recording, key)
        self._commit(recording, key, description, renditions)
        self._archive.settle_metadata(recording)

    # -- calls -----------------------------------------------------------------------

    def _call(self, recording: Recording, key: bytes) -> tuple[Description, list[StoredRendition]]:
        descriptor = self._vault.descriptor(recording, key=key)
        written: list[SealedObject] = []

        def playback(reader: seal.Readable) -> None:
            written.append(self._write(recording, key, Rendition.PLAYBACK, reader))

        decoded = call.decode_call(
            self._vault.stream(recording),
            length=recording.bytes,
            codec=descriptor.codec,
            claimed_duration_s=descriptor.claimed_duration_s,
            masked=descriptor.masked,
            limits=self._limits,
            playback=playback,
            memory_budget=self._budget,
        )
        if not decoded.description.decodes:
            self._vault.store.delete([w.stored.key for w in written])
            return Description(call=decoded.description), []
        peaks = self._write(recording, key, Rendition.PEAKS, io.BytesIO(decoded.peaks))
        renditions = [self._row(recording, Rendition.PEAKS, peaks, "application/json")]
        renditions += [self._row(recording, Rendition.PLAYBACK, w, "audio/ogg") for w in written]
        return Description(call=decoded.description), renditions

    def _with_transcript(
        self, connection: Connection, recording: Recording, description: Description
    ) -> Description:
        """The description with the lines of the transcript that came with the call, if any."""
        given = catalogue.get_rendition(connection, recording.id, transcripts.NAME)
        try:
            lines = transcripts.read(self._vault, recording, given)
        except (ObjectMissing, SealBroken):  # `archive verify` names it; the sound is there
            return description
        return replace(description, transcript=lines)

    def _write(
        self, recording: Recording, key: bytes, rendition: Rendition, content: seal.Readable
    ) -> SealedObject:
        version = _version(recording)
        envelope = seal.Envelope(
            id=recording.id,
            cohort=recording.cohort,
            rendition=rendition.value,
            version=version,
            seq=recording.envelope_seq,
            wrapped_key=recording.wrapped_key,
            descriptor=None,
        )
        return self._vault.write(
            key=key,
            envelope=envelope,
            object_key=rendition_key(recording.cohort, recording.id, rendition.value, version),
            content=content,
        )

    def _row(
        self, recording: Recording, rendition: Rendition, written: SealedObject, media_type: str
    ) -> StoredRendition:
        return StoredRendition(
            recording_id=recording.id,
            name=rendition.value,
            version=_version(recording),
            object_key=written.stored.key,
            object_version=written.stored.version,
            object_bytes=written.stored.bytes,
            header_bytes=written.header_bytes,
            bytes=written.plain_bytes,
            media_type=media_type,
        )

    # -- emails ----------------------------------------------------------------------

    def _email(self, recording: Recording, key: bytes) -> tuple[Description, list[StoredRendition]]:
        if recording.bytes > MAIL_BYTES:
            raw = b"".join(_upto(self._vault.stream(recording), MAIL_BYTES))
        else:
            raw = self._vault.read_all(recording)
        if not mail.is_outlook(raw):
            return _said(self._mail.parse(raw)), []
        parsed, message = self._outlook(raw)
        if message is None:
            return _said(parsed), []
        written = self._write(recording, key, Rendition.MESSAGE, io.BytesIO(message))
        return _said(parsed), [self._row(recording, Rendition.MESSAGE, written, "message/rfc822")]

    def _outlook(self, raw: bytes) -> tuple[mail.ParsedMail, bytes | None]:
        """What a .msg says, and the message made of it, which is what attachments count in."""
        made = self._mail.convert(raw)
        parsed = self._mail.parse(made.message) if made.message else mail.unread()
        errors = (*made.problems, *parsed.description.parse_errors)
        said = replace(parsed.description, parse_errors=errors, container="outlook")
        return replace(parsed, description=said), made.message

    # -- the end ---------------------------------------------------------------------

    def _commit(
        self,
        recording: Recording,
        key: bytes,
        description: Description,
        renditions: list[StoredRendition],
    ) -> None:
        # Rendition objects are durable before the row names them; a crash here leaves objects
        # that no row names, and the recording is described again under another version.
        stale: list[str] = []
        with transaction(self._archive.engine) as connection:
            current = catalogue.get(connection, recording.id, lock=True)
            if current is not None and current.erasing:
                current = None  # the run has read what there is to delete
            if current is not None and current.envelope_seq != recording.envelope_seq:
                # Its metadata were changed meanwhile: what is silent may be, too. Again, by them.
                stale = catalogue.describe_again(connection, recording.id, now=self._archive.now())
                current = None
            replaced: list[StoredRendition | None] = []
            if current is not None:
                descriptor = self._vault.descriptor(current, key=key)
                # A transcript that came meanwhile counts: who kept it found no description yet.
                description = self._with_transcript(connection, recording, description)
                found = reviews.reasons(descriptor, description)
                reviews.note(connection, recording.id, found, now=self._archive.now())
                replaced = [catalogue.put_rendition(connection, r) for r in renditions]
                catalogue.change(
                    connection,
                    recording.id,
                    state=State.DESCRIBED,
                    description=self._vault.seal_description(key, recording.id, description),
                    claimed_by=None,
                    error_code=description.call.error_code if description.call else None,
                    index_due=True,
                    index_next_at=self._archive.now(),
                )
                if self._archive.config.transcriber:
                    transcriptions.note_due(connection, id=recording.id, now=self._archive.now())
        gone = renditions if current is None else [r for r in replaced if r is not None]
        kept = {r.object_key for r in renditions} if current is not None else set()
        self._vault.store.delete(
            [*stale, *(r.object_key for r in gone if r.object_key not in kept)]
        )


def _said(parsed: mail.ParsedMail) -> Description:
    return Description(mail=parsed.description, text=parsed.text[:_TEXT_CHARS], html=parsed.html)


def _version(recording: Recording) -> int:
    """A rendition's version: grows with each attempt and each correction, so keys never repeat."""
    return recording.envelope_seq * 1000 + recording.attempts


def _upto(blocks: Iterator[bytes], most: int) -> Iterator[bytes]:
    taken = 0
    for block in blocks:
        yield block[: most - taken]
        taken += len(block)
        if taken >= most:
            return
