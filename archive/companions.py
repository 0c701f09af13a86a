"""What came with a call and is kept as given, sealed, without anything being made of it again.

A rendition from the sender, as a transcript is: under the recording's data key, ending with it,
left alone by describing. Knows nothing of who asks or why, nor of what the bytes say.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, Engine

from archive import catalogue, seal
from archive.db import transaction
from archive.errors import NotFound
from archive.model import Kind, Recording, Rendition, StoredRendition
from archive.storage import Stored
from archive.vault import Vault, recording_stem

MEDIA_TYPES = {Rendition.SIPREC.value: "application/rs-metadata+xml"}

Put = Callable[[Connection, Recording, StoredRendition], None]


def _put(connection: Connection, current: Recording, made: StoredRendition) -> None:
    catalogue.put_rendition(connection, made)


def keep(
    vault: Vault,
    engine: Engine,
    recording: Recording,
    raw: bytes,
    *,
    name: str,
    media_type: str,
    put: Put = _put,
) -> bool:
    """Keeps it in place of the one before; False where it is that one.

    `put` writes the row, under the recording's lock. NotFound where the recording is no call or
    is being erased; nothing is kept then.
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
            vault, current, raw, name=name, media_type=media_type,
            version=old.version + 1 if old else 1,
        )  # fmt: skip
        put(connection, current, made)
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
    made, _ = found(vault, recording, stored, header_bytes=header_bytes)
    made = replace(made, media_type=MEDIA_TYPES[made.name])
    put_if_newer(engine, recording, made)


def found(
    vault: Vault, recording: Recording, stored: Stored, *, header_bytes: int
) -> tuple[StoredRendition, bytes]:
    """The row of what lies in the store, of no media type yet, and what it says.

    ObjectMissing, SealBroken.
    """
    name, _, number = stored.key.rpartition(".")
    made = StoredRendition(
        recording_id=recording.id,
        name=name.rpartition(".")[2],
        version=int(number),
        object_key=stored.key,
        object_version=stored.version,
        object_bytes=stored.bytes,
        header_bytes=header_bytes,
        bytes=0,
        media_type="",
    )
    raw = vault.read_all(recording, made)
    return replace(made, bytes=len(raw)), raw


def put_if_newer(
    engine: Engine, recording: Recording, made: StoredRendition, *, put: Put = _put
) -> None:
    """Writes the row, unless there is one as new. NotFound where the recording is being erased."""
    with transaction(engine) as connection:
        current = catalogue.get(connection, recording.id, lock=True)
        if current is None or current.erasing:
            raise NotFound()
        known = catalogue.get_rendition(connection, recording.id, made.name)
        if known is None or known.version < made.version:
            put(connection, current, made)
