"""What came with a call and is kept as given, sealed, without anything being made of it again.

A rendition from the sender, as a transcript is: under the recording's data key, ending with it,
left alone by describing. Knows nothing of who asks or why, nor of what the bytes say.
"""

from __future__ import annotations

import io
from dataclasses import replace

from sqlalchemy import Engine

from archive import catalogue, seal
from archive.db import transaction
from archive.errors import NotFound
from archive.model import Kind, Recording, Rendition, StoredRendition
from archive.storage import Stored
from archive.vault import Vault, recording_stem

MEDIA_TYPES = {Rendition.SIPREC.value: "application/rs-metadata+xml"}


def keep(vault: Vault, engine: Engine, recording: Recording, name: str, raw: bytes) -> bool:
    """Keeps it in place of the one before; False where it is that one.

    NotFound where the recording is no call or is being erased; nothing is kept then.
    """
    with transaction(engine) as connection:
        # The row is locked while the small object is written, so that no two have one name. A
        # crash leaves an object that no row names: the next one writes over it.
        current = catalogue.get(connection, recording.id, lock=True)
        if current is None or current.erasing or current.kind is not Kind.CALL:
            raise NotFound()
        old = catalogue.get_rendition(connection, current.id, name)
        if old is not None and vault.read_all(current, old) == raw:
            return False
        made = write(
            vault, current, raw, name=name, media_type=MEDIA_TYPES[name],
            version=old.version + 1 if old else 1,
        )  # fmt: skip
        catalogue.put_rendition(connection, made)
    if old is not None:
        vault.store.delete([old.object_key])
    return True


def write(
    vault: Vault, recording: Recording, raw: bytes, *, name: str, media_type: str, version: int
) -> StoredRendition:
    """Seals a small rendition that came from the sender into the store; its row, not yet put."""
    written = vault.write(
        key=vault.data_key(recording),
        envelope=seal.Envelope(
            id=recording.id,
            cohort=recording.cohort,
            rendition=name,
            version=version,
            seq=recording.envelope_seq,
            wrapped_key=recording.wrapped_key,
            descriptor=None,
        ),
        object_key=f"{recording_stem(recording)}{name}.{version}",
        content=io.BytesIO(raw),
    )
    return StoredRendition(
        recording_id=recording.id,
        name=name,
        version=version,
        object_key=written.stored.key,
        object_version=written.stored.version,
        object_bytes=written.stored.bytes,
        header_bytes=written.header_bytes,
        bytes=written.plain_bytes,
        media_type=media_type,
    )


def restore(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    stored: Stored,
    *,
    header_bytes: int,
) -> None:
    """What lies in the store, for a row that lost it or has an older one.

    ObjectMissing, SealBroken; NotFound where the recording is being erased.
    """
    name, _, number = stored.key.rpartition(".")
    name = name.rpartition(".")[2]
    made = StoredRendition(
        recording_id=recording.id,
        name=name,
        version=int(number),
        object_key=stored.key,
        object_version=stored.version,
        object_bytes=stored.bytes,
        header_bytes=header_bytes,
        bytes=0,
        media_type=MEDIA_TYPES[name],
    )
    length = len(vault.read_all(recording, made))
    with transaction(engine) as connection:
        current = catalogue.get(connection, recording.id, lock=True)
        if current is None or current.erasing:
            raise NotFound()
        known = catalogue.get_rendition(connection, recording.id, name)
        if known is None or known.version < made.version:
            catalogue.put_rendition(connection, replace(made, bytes=length))
