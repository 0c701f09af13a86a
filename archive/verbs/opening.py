"""Verbs of opening: content for a stated purpose, each noted before the first byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from archive import (
    audit,
    catalogue,
    legs,
    openings,
    pairing,
    permissions,
    transcriptions,
    transcripts,
)
from archive.answers import MailView, Opened, View
from archive.casework import emergencies
from archive.db import quick, reading, transaction
from archive.errors import (
    CaseRequired,
    Forbidden,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    PurposeRequired,
)
from archive.formats import mail, transcript
from archive.model import (
    Actor,
    Cue,
    Exceptional,
    Kind,
    Purpose,
    Recording,
    Rendition,
    Scope,
    StoredRendition,
)
from archive.vault import Description
from archive.verbs.base import Common

OPENING_LIFE = timedelta(minutes=15)

_EXTENSIONS = {"audio/ogg": "ogg", "message/rfc822": "eml", "application/json": "json",
               "text/plain": "txt", "text/vtt": "vtt",
               "application/vnd.ms-outlook": "msg",
               "application/rs-metadata+xml": "xml"}  # fmt: skip


class Opening(Common):
    """The verbs."""

    def open(
        self,
        actor: Actor,
        id: UUID,
        *,
        purpose: str | None,
        case: str | None = None,
        rendition: str = Rendition.ORIGINAL.value,
    ) -> Opened:
        """Content or a rendition, for a stated purpose; the audit entry is committed first."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        self._require_hearing(actor, recording, rendition)
        part = self._part(recording, rendition)
        opened = self._opened(recording, part, rendition)
        with quick(self.engine) as connection:
            self._note_opening(
                connection, actor, recording, checked, case, {"rendition": rendition}
            )
        return opened

    def make_opening(
        self,
        actor: Actor,
        id: UUID,
        *,
        purpose: str | None,
        case: str | None = None,
        rendition: str = Rendition.PLAYBACK.value,
    ) -> tuple[str, datetime]:
        """A token for a player's address, and until when it holds; see `use_opening`."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        self._require_hearing(actor, recording, rendition)
        self._part(recording, rendition)
        return self.begin_opening(actor, recording, purpose=checked, case=case, rendition=rendition)

    def begin_opening(
        self,
        actor: Actor,
        recording: Recording,
        *,
        purpose: Purpose | Exceptional,
        case: str | None = None,
        rendition: str = Rendition.PLAYBACK.value,
    ) -> tuple[str, datetime]:
        """Token and audit entry, where the caller found that the actor may open the recording."""
        with transaction(self.engine) as connection:
            made = openings.make(
                connection,
                now=self.now(),
                life=OPENING_LIFE,
                actor=actor,
                recording_id=recording.id,
                rendition=rendition,
                purpose=purpose.value,
                case=case,
            )
            detail = {"rendition": rendition, "opening": True}
            self._note_opening(connection, actor, recording, purpose, case, detail)
        return made

    def _require_hearing(self, actor: Actor, recording: Recording, rendition: str) -> None:
        """Forbidden for the original of what is silenced in parts, without the right to it."""
        original = rendition == Rendition.ORIGINAL.value
        if (
            not original
            or recording.kind is not Kind.CALL
            or permissions.may(actor, Scope.UNMASKED)
        ):
            return
        try:
            masked = bool(self.vault.descriptor(recording).masked)
        except (KeyDestroyed, KeyMissing):
            raise NotFound() from None
        if not permissions.may_hear_all(actor, masked=masked, original=original):
            raise Forbidden(verb="open the original of a recording with silenced stretches")

    def use_opening(self, actor: Actor, token: str) -> Opened:
        """What an opening gives, for the session it was made in; NotFound in every other case.

        Use extends it; `expires_at` of the recording is checked each time.
        """
        with reading(self.engine) as connection:
            opening = openings.use(
                connection, token, session=actor.session, now=self.now(), life=OPENING_LIFE
            )
        if opening is None:
            raise NotFound()
        if opening.purpose == Exceptional.EMERGENCY.value:
            actor = self._lent(actor, opening.recording_id)
        recording = self._visible(
            actor, opening.recording_id, purpose=opening.purpose, case=opening.case
        )
        self._require_hearing(actor, recording, opening.rendition)
        opened = self._opened(
            recording, self._part(recording, opening.rendition), opening.rendition
        )

        def counted(start: int, stop: int) -> Iterator[bytes]:
            served = 0
            try:
                for block in opened.read(start, stop):
                    served += len(block)
                    yield block
            finally:
                with transaction(self.engine) as connection:
                    openings.served(connection, token, served)

        return replace(opened, read=counted)

    def _lent(self, actor: Actor, id: UUID) -> Actor:
        """The actor with what breaking the glass lends them, while that lasts; NotFound."""
        with reading(self.engine) as connection:
            if not emergencies.is_open(connection, actor, id, now=self.now()):
                raise NotFound()
        return permissions.lent(actor)

    def email_view(
        self, actor: Actor, id: UUID, *, purpose: str | None, case: str | None = None
    ) -> MailView:
        """An email to be read on a page; one audit entry, committed before anything is shown."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        with transaction(self.engine) as connection:
            self._note_opening(connection, actor, recording, checked, case, {"rendition": "page"})
        view = self._views(actor, [recording])[0]
        description = view.description or Description()
        html = mail.safe_html(description.html) if description.html else None
        return MailView(view=view, text=description.text, html=html)

    def hearing(self, view: View) -> str | None:
        """How far the installation's own transcriber is with a call that the actor sees: "due",
        "failed", "done"; None where there is none, or the call came with its transcript."""
        with reading(self.engine) as connection:
            state = transcriptions.state(connection, view.id)
        return state if state == "done" or self.config.transcriber else None

    def transcript(
        self, actor: Actor, id: UUID, *, purpose: str | None, case: str | None = None
    ) -> tuple[Cue, ...]:
        """What was said in a call, without its silenced stretches; noted in the log beforehand.

        () where no transcript came with it; nothing is noted then.
        """
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        view = self._views(actor, [recording])[0]
        cues = transcripts.said(view.descriptor, view.description)
        if cues:
            detail = {"rendition": Rendition.TRANSCRIPT.value}
            with transaction(self.engine) as connection:
                self._note_opening(connection, actor, recording, checked, case, detail)
        return cues

    def other_side(
        self, actor: Actor, view: View, *, purpose: str | None, case: str | None = None
    ) -> pairing.Together | None:
        """The other side of a call that was recorded as two, where the actor may open that too.

        For a page that shows `view` already; each side is opened, and noted, by itself.
        """
        permissions.require(actor, Scope.OPEN)
        if not pairing.is_side(view):
            return None
        with reading(self.engine) as connection:
            others = catalogue.get_many(connection, legs.beside(connection, view.id))
        found = [
            one
            for one in others.values()
            if self._sees(actor, one, purpose=purpose, case=case)
            and self._opens(actor, one, purpose, case)
        ]
        return pairing.other_side(view, self._views(actor, found))

    def _opens(
        self, actor: Actor, recording: Recording, purpose: str | None, case: str | None
    ) -> bool:
        try:
            self._purpose(actor, recording, purpose, case)
        except (CaseRequired, Forbidden, KeyDestroyed, KeyMissing, PurposeRequired):
            return False
        return True

    def peaks(
        self, actor: Actor, id: UUID, *, purpose: str | None = None, case: str | None = None
    ) -> bytes | None:
        """The waveform of a call as wavesurfer wants it (JSON); None where there is none.

        Shows loudness and nothing that was said, so it needs no purpose of its own.
        """
        permissions.require(actor, Scope.READ)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        return self.waveform(recording)

    def waveform(self, recording: Recording) -> bytes | None:
        """The same, of what the caller found the actor may see."""
        with reading(self.engine) as connection:
            part = catalogue.get_rendition(connection, recording.id, Rendition.PEAKS.value)
        return self.vault.read_all(recording, part) if part else None

    def attachment(
        self, actor: Actor, id: UUID, index: int, *, purpose: str | None, case: str | None = None
    ) -> tuple[str, str, bytes]:
        """Name, type and content of one attachment of an email; audited like an opening."""
        as_mail = self._as_mail(id)
        opened = self.open(actor, id, purpose=purpose, case=case, rendition=as_mail)
        found = mail.attachment(b"".join(opened.read(0, opened.length)), index)
        if found is None:
            raise NotFound()
        return found

    def _as_mail(self, id: UUID) -> str:
        """The rendition of an email that is an RFC 5322 message: its original, but of a .msg."""
        with reading(self.engine) as connection:
            made = catalogue.get_rendition(connection, id, Rendition.MESSAGE.value)
        return (Rendition.MESSAGE if made else Rendition.ORIGINAL).value

    def _purpose(
        self, actor: Actor, recording: Recording, purpose: str | None, case: str | None
    ) -> Purpose:
        checked = stated(actor, purpose)
        if checked is Purpose.COMPLAINT and not self._case_covers(recording, case):
            raise CaseRequired()
        return checked

    def _note_opening(
        self,
        connection: Connection | psycopg.Connection[Any],
        actor: Actor,
        recording: Recording,
        purpose: Purpose | Exceptional,
        case: str | None,
        detail: Mapping[str, Any],
    ) -> None:
        """The audit entry of an opening; to be committed before its first byte leaves."""
        audit.append(
            connection,
            at=self.now(),
            actor=actor,
            verb="open",
            recording_id=recording.id,
            purpose=purpose.value,
            case=case,
            detail={**detail, **self.of_whom([recording], by=actor)},
        )

    def _case_covers(self, recording: Recording, case: str | None) -> bool:
        """Whether the recording belongs to the case: by metadata, by a hold, or by being added."""
        if not case:
            return False
        with reading(self.engine) as connection:
            if catalogue.is_closed_case(connection, case):
                return False
        if any(held.case == case for held in recording.held):
            return True
        if self.vault.descriptor(recording).case == case:
            return True
        with reading(self.engine) as connection:
            return catalogue.is_in_case(connection, number=case, id=recording.id)

    def _part(self, recording: Recording, rendition: str) -> StoredRendition | None:
        if rendition in {Rendition.ORIGINAL.value, Rendition.TEXT.value}:
            return None
        with reading(self.engine) as connection:
            part = catalogue.get_rendition(connection, recording.id, rendition)
        if part is None:
            raise NotFound()
        return part

    def _opened(self, recording: Recording, part: StoredRendition | None, rendition: str) -> Opened:
        try:
            if rendition == Rendition.TEXT.value:
                return self._opened_text(recording)
            if part is not None and rendition == Rendition.TRANSCRIPT.value:
                return self._opened_transcript(recording, part)
            reader = self.vault.reader(recording, part)
            length = reader.length
        except (KeyDestroyed, KeyMissing):
            raise NotFound() from None
        etag = hashlib.sha256(
            f"{recording.id}/{rendition}/{part.version if part else 1}".encode()
        ).hexdigest()[:32]
        media_type = part.media_type if part else self._media_type(recording)
        return Opened(
            length=length,
            media_type=media_type,
            etag=etag,
            read=lambda start, stop: reader.read(start, stop),
            file_name=_file_name(recording, rendition, media_type),
        )

    def _opened_text(self, recording: Recording) -> Opened:
        description = self.vault.description(recording)
        if description is None or description.mail is None:
            raise NotFound()
        text = description.text.encode("utf-8", "replace")
        return Opened(
            length=len(text),
            media_type="text/plain; charset=utf-8",
            etag=hashlib.sha256(f"{recording.id}/text".encode()).hexdigest()[:32],
            read=lambda start, stop: iter([text[start:stop]]),
            file_name=_file_name(recording, "text", "text/plain"),
        )

    def _opened_transcript(self, recording: Recording, part: StoredRendition) -> Opened:
        """As given, or where stretches are silent, written anew without their lines."""
        content = self.vault.read_all(recording, part)
        masked = self.vault.descriptor(recording).masked
        if masked:
            kind, cues = transcript.parse(content)
            content = transcript.write(kind, transcript.cut(cues, masked))
        told = f"{recording.id}/{part.name}/{part.version}/{masked}"
        return Opened(
            length=len(content),
            media_type=part.media_type,
            etag=hashlib.sha256(told.encode()).hexdigest()[:32],
            read=lambda start, stop: iter([content[start:stop]]),
            file_name=_file_name(recording, part.name, part.media_type),
        )

    def _media_type(self, recording: Recording) -> str:
        if recording.kind is Kind.EMAIL:
            description = self.vault.description(recording)
            outlook = description and description.mail and description.mail.container == "outlook"
            return "application/vnd.ms-outlook" if outlook else "message/rfc822"
        given = self.vault.descriptor(recording).media_type
        return given if given.startswith("audio/") else "application/octet-stream"


def _file_name(recording: Recording, rendition: str, media_type: str) -> str:
    extension = _EXTENSIONS.get(media_type.split(";")[0], "bin")
    return f"{recording.id}-{rendition}.{extension}"


def stated(actor: Actor, purpose: str | None) -> Purpose:
    """The purpose that was stated, one of the actor's. PurposeRequired, Forbidden."""
    try:
        checked = Purpose(purpose or "")
    except ValueError:
        raise PurposeRequired() from None
    permissions.require_purpose(actor, checked)
    return checked
