"""Hearing calls: the installation's own transcriber, one call at a time, after everything else.

What is heard is the playback rendition, in which silenced stretches are silent; what is made of
it is kept like a transcript that came with the call, which goes before it. Nothing that happens
here delays a delivery or costs a recording.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from archive import catalogue, reviews, transcriptions, transcripts
from archive.archive import Archive
from archive.config import Config
from archive.db import reading, transaction
from archive.errors import KeyDestroyed, KeyMissing, NotFound, ObjectMissing, SealBroken
from archive.formats import transcriber
from archive.formats.transcriber import Chosen, HearingFailed
from archive.model import Cue, Recording, Rendition
from archive.transcriptions import Due

_WAIT_S = 60  # before a call is heard again, times four for each attempt
_GONE = (KeyDestroyed, KeyMissing, NotFound, ObjectMissing, SealBroken)

log = logging.getLogger("archive.transcribing")


def chosen(config: Config) -> Chosen | None:
    """The transcriber that the settings name; None where they name none: then nothing is heard."""
    if not config.transcriber:
        return None
    return Chosen(
        name=config.transcriber,
        model=config.transcriber_model,
        wall_s=config.transcriber_seconds,
        memory_mb=config.transcriber_memory_mb,
        sound_bytes=config.memory_files_mb * 1024 * 1024,
    )


def step(archive: Archive, by: Chosen) -> bool:
    """Hears the newest call that waits, if nothing waits to be described; whether it did.

    The caller sees to it that only one does this at a time. What is away (store, catalogue, root
    key) is raised and does not count against the call.
    """
    now = archive.now()
    with transaction(archive.engine) as connection:
        if catalogue.queue_lengths(connection)["describe"]:
            return False
        due = transcriptions.take(connection, now=now)
    if due is None:
        return False
    try:
        _hear(archive, due, by)
    except HearingFailed as error:
        _failed(archive, due, error.code)
    except _GONE as error:
        _end(archive, due, type(error).__name__)
    except Exception:
        at = archive.now() + timedelta(seconds=5)
        with transaction(archive.engine) as connection:
            transcriptions.later(connection, due, at=at, code=None, counts=False)
        raise
    return True


def _hear(archive: Archive, due: Due, by: Chosen) -> None:
    vault = archive.vault
    with reading(archive.engine) as connection:
        recording = catalogue.get(connection, due.id)
        part = catalogue.get_rendition(connection, due.id, Rendition.PLAYBACK.value)
        given = transcriptions.is_given(connection, due.id)
    if recording is None or part is None or given:
        _end(archive, due, None)
        return
    description = vault.description(recording)
    channels = description.call.channels if description and description.call else None
    cues = transcriber.hear(vault.stream(recording, part), channels=channels or 1, chosen=by)
    _keep(archive, recording, due, cues)


def _keep(archive: Archive, recording: Recording, due: Due, cues: tuple[Cue, ...]) -> None:
    """The lines as the call's transcript, unless it came with one, or sounds different by now."""
    made = transcripts.keep_made(
        archive.vault, archive.engine, recording, cues, due=due, now=archive.now()
    )
    if not made:
        return
    with transaction(archive.engine) as connection:
        masked = archive.vault.descriptor(recording).masked
        if reviews.holds_card([cue.text for cue in transcripts.cut(cues, masked)]):
            reviews.add(connection, recording.id, "card-number", now=archive.now())


def _failed(archive: Archive, due: Due, code: str) -> None:
    if due.attempts >= transcriptions.MOST_ATTEMPTS:
        log.warning("call %s could not be heard: %s", due.id, code)
        _end(archive, due, code)
        return
    at = archive.now() + timedelta(seconds=_WAIT_S * 4**due.attempts)
    with transaction(archive.engine) as connection:
        transcriptions.later(connection, due, at=at, code=code, counts=True)


def _end(archive: Archive, due: Due, code: str | None) -> None:
    with transaction(archive.engine) as connection:
        transcriptions.end(connection, due, code=code)
