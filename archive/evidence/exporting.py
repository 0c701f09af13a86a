"""Recordings handed out as a vCon, signed with the archive's key.

Reads and seals nothing itself; who may have it was asked before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from archive import catalogue
from archive.db import reading
from archive.evidence import conversation
from archive.evidence.conversation import Talk
from archive.formats import vcon
from archive.model import Kind, Recording, Rendition
from archive.vault import Description, Vault

MOST_INLINE = 128 * 1024 * 1024  # bytes of content in one vCon that is handed out


def signed(
    vault: Vault,
    engine: Engine,
    id: UUID,
    recordings: Sequence[Recording],
    *,
    subject: str | None,
    now: datetime,
    most: int = MOST_INLINE,
) -> bytes:
    """The signed vCon of these recordings; KeyDestroyed, KeyMissing, StoreUnavailable.

    Originals, or where they do not fit, or have stretches that are to be silent, playback copies.
    """
    talks = [_talk(vault, engine, recording) for recording in recordings]
    made = conversation.of(id, talks, subject=subject, now=now, most=most)
    return vcon.sign(made, vault.keys.ensure("installation/signing"))


def _talk(vault: Vault, engine: Engine, recording: Recording) -> Talk:
    key = vault.data_key(recording)
    descriptor = vault.descriptor(recording, key=key)
    with reading(engine) as connection:
        copy = catalogue.get_rendition(connection, recording.id, Rendition.PLAYBACK.value)
        mail = catalogue.get_rendition(connection, recording.id, Rendition.MESSAGE.value)
    is_mail = recording.kind is Kind.EMAIL
    name = descriptor.file_name or f"{recording.id}.{'eml' if is_mail else 'bin'}"
    description = vault.description(recording, key=key) or Description()
    media_type = conversation.media_type(recording, descriptor, description)
    contents = []
    if mail is not None:  # made of a .msg: what a reader of vCons can read
        contents.append(
            ("message/rfc822", f"{recording.id}.eml", mail.bytes,
             lambda: vault.stream(recording, mail))
        )  # fmt: skip
    elif not descriptor.masked:
        contents.append(
            (media_type, name, recording.bytes,
             lambda: vault.stream(recording))
        )  # fmt: skip
    if copy is not None:
        contents.append(
            ("audio/ogg", f"{recording.id}.ogg", copy.bytes, lambda: vault.stream(recording, copy))
        )
    return Talk(
        recording=recording,
        descriptor=descriptor,
        description=description,
        contents=tuple(contents),
    )
