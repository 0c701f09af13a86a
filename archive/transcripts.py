"""Transcripts that come with calls: a sealed rendition as given, its lines in the description.

The rendition keeps what the sender wrote; whatever is read out of it, shown or indexed, goes
through `said`, which leaves out the lines of silenced stretches as they are at that moment.
Knows nothing of who asks or why.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, Engine

from archive import catalogue, companions, transcriptions
from archive.db import transaction
from archive.errors import NotFound
from archive.formats import transcript
from archive.formats.transcript import cut
from archive.model import Cue, Descriptor, Recording, Rendition, StoredRendition
from archive.storage import Stored
from archive.transcriptions import Due
from archive.vault import Description, Vault

__all__ = ["NAME", "cut", "keep", "keep_made", "read", "restore", "said"]

NAME = Rendition.TRANSCRIPT.value


def said(descriptor: Descriptor, description: Description | None) -> tuple[Cue, ...]:
    """The lines of a call that anybody may be shown: none of a silenced stretch."""
    return cut(description.transcript, descriptor.masked) if description else ()


def read(vault: Vault, recording: Recording, part: StoredRendition | None) -> tuple[Cue, ...]:
    """The lines as given; () where there is no transcript. ObjectMissing, SealBroken."""
    return transcript.parse(vault.read_all(recording, part))[1] if part is not None else ()


def keep(
    vault: Vault, engine: Engine, recording: Recording, raw: bytes, *, now: datetime
) -> tuple[Cue, ...] | None:
    """Keeps a transcript in place of the one before; its lines, or None where it is that one.

    TranscriptError, and NotFound where the recording is no call or is being erased; nothing is
    kept then.
    """
    kind, cues = transcript.parse(raw)
    kept = companions.keep(
        vault, engine, recording, raw, name=NAME, media_type=kind, put=_naming(vault, cues, now)
    )
    return cues if kept else None


def keep_made(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    cues: tuple[Cue, ...],
    *,
    due: Due,
    now: datetime,
) -> bool:
    """Keeps the lines that the installation's own transcriber heard; whether it did.

    Not where a transcript came with the call, or where the call was described anew meanwhile:
    then it is due again. Where nothing was said none is kept, but one in place of an older one.
    """
    raw = transcript.write(transcript.VTT, cues[: transcript.MOST_CUES])
    with transaction(engine) as connection:
        current = catalogue.get(connection, recording.id, lock=True)
        part = catalogue.get_rendition(connection, recording.id, Rendition.PLAYBACK.value)
        if current is None or current.erasing or part is None:
            raise NotFound()
        if part.version != due.playback_version or transcriptions.is_given(connection, current.id):
            return False
        old = catalogue.get_rendition(connection, current.id, NAME)
        if not cues and old is None:
            transcriptions.end(connection, due)
            return False
        version = old.version + 1 if old else 1
        kind = transcript.VTT
        made = companions.write(vault, current, raw, name=NAME, media_type=kind, version=version)
        _naming(vault, transcript.parse(raw)[1], now)(connection, current, made)
        transcriptions.end(connection, due, made=version)
    if old is not None:
        vault.store.delete([old.object_key])
    return True


def _naming(vault: Vault, cues: tuple[Cue, ...], now: datetime) -> companions.Put:
    """Row and description of a locked recording say the transcript; it is indexed again."""

    def put(connection: Connection, current: Recording, made: StoredRendition) -> None:
        catalogue.put_rendition(connection, made)
        key = vault.data_key(current)
        described = vault.description(current, key=key)
        if described is not None:  # else describing will read it
            sealed = vault.seal_description(key, current.id, replace(described, transcript=cues))
            catalogue.change(
                connection, current.id, description=sealed, index_due=True, index_next_at=now
            )

    return put


def restore(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    stored: Stored,
    *,
    header_bytes: int,
    now: datetime,
) -> None:
    """A transcript that lies in the store, for a row that lost it or has an older one.

    Everything else of a call is made anew from its sound. ObjectMissing, SealBroken,
    TranscriptError; NotFound where the recording is being erased.
    """
    made, raw = companions.found(vault, recording, stored, header_bytes=header_bytes)
    kind, cues = transcript.parse(raw)
    made = replace(made, media_type=kind)
    companions.put_if_newer(engine, recording, made, put=_naming(vault, cues, now))
