"""What is personal, in and out of its seal: descriptors, descriptions, content of a recording.

Stands between the rows of the catalogue, the keys directory and the object store. Knows
nothing of who asks or why.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from archive import keys as keyring
from archive import seal
from archive.errors import ArchiveError, KeyDestroyed, KeyMissing, SealBroken, TooLarge
from archive.keys import KeysDirectory
from archive.model import (
    Attachment,
    CallDescription,
    Cue,
    Descriptor,
    Direction,
    Kind,
    MailDescription,
    Recording,
    Rendition,
    StoredRendition,
)
from archive.storage import Store, Stored

READER_CACHE_S = 5.0  # how long an authenticated reader is kept for further ranges


@dataclass(frozen=True, slots=True)
class Description:
    """What describing a recording found: one of call and mail, and an email's readable text.

    `transcript`: the lines that came with a call, all of them; see `transcripts.said`.
    """

    call: CallDescription | None = None
    mail: MailDescription | None = None
    text: str = ""
    html: str | None = None
    transcript: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedObject:
    """A content object just written: where it is, and what went into it."""

    stored: Stored
    header_bytes: int
    plain_bytes: int
    sha256: str


class Vault:
    """Seals what comes in and opens what is asked for, with one data key a recording."""

    def __init__(
        self,
        *,
        keys: KeysDirectory,
        store: Store,
        cache_s: float = READER_CACHE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self.store = store
        self._readers = _ReaderCache(cache_s=cache_s, monotonic=monotonic)

    # -- keys ------------------------------------------------------------------------

    def new_data_key(self, id: UUID, cohort: date) -> tuple[bytes, bytes]:
        """A fresh data key and the same wrapped under its cohort's key (CohortClosed if gone)."""
        data_key = keyring.new_data_key()
        return data_key, self.wrap(id, cohort, data_key)

    def wrap(self, id: UUID, cohort: date, data_key: bytes) -> bytes:
        """`data_key` wrapped for this recording and cohort."""
        cohort_key = self.keys.ensure(cohort_name(cohort))
        return keyring.wrap_data_key(cohort_key, id, cohort, data_key)

    def data_key(self, recording: Recording) -> bytes:
        """The data key; KeyDestroyed or KeyMissing when the cohort's and every hold's are gone.

        Missing also where a new key has the lost one's name: it does not open what that sealed.
        """
        try:
            return self._unwrap(
                cohort_name(recording.cohort), recording, recording.cohort, recording.wrapped_key
            )
        except (KeyDestroyed, KeyMissing):
            for held in recording.held:
                try:
                    return self._unwrap(held.key, recording, held.cohort, held.wrapped)
                except (KeyDestroyed, KeyMissing):
                    continue
            raise

    def _unwrap(self, name: str, recording: Recording, cohort: date, wrapped: bytes) -> bytes:
        key = self.keys.get(name)
        try:
            return keyring.unwrap_data_key(key, recording.id, cohort, wrapped)
        except SealBroken:
            raise KeyMissing(name=name) from None

    def _require_key(self, recording: Recording) -> None:
        """Nothing while the cohort's key or a hold's is there; else as `data_key`."""
        gone: ArchiveError | None = None
        for name in (cohort_name(recording.cohort), *(held.key for held in recording.held)):
            try:
                self.keys.get(name)
            except (KeyDestroyed, KeyMissing) as error:
                gone = gone or error
            else:
                return
        assert gone is not None
        raise gone

    # -- small sealed things ---------------------------------------------------------

    def seal_descriptor(self, key: bytes, id: UUID, seq: int, descriptor: Descriptor) -> bytes:
        """The descriptor as stored in row and envelope number `seq`."""
        return seal.seal(key, seal.descriptor_context(id, seq), encode_descriptor(descriptor))

    def descriptor(self, recording: Recording, *, key: bytes | None = None) -> Descriptor:
        """What is personal of the recording."""
        return decode_descriptor(
            seal.unseal(
                key or self.data_key(recording),
                seal.descriptor_context(recording.id, recording.envelope_seq),
                recording.descriptor,
            )
        )

    def seal_description(self, key: bytes, id: UUID, description: Description) -> bytes:
        """The description as stored in the row."""
        return seal.seal(key, seal.description_context(id), encode_description(description))

    def description(self, recording: Recording, *, key: bytes | None = None) -> Description | None:
        """What describing found, or None before that."""
        if recording.description is None:
            return None
        return decode_description(
            seal.unseal(
                key or self.data_key(recording),
                seal.description_context(recording.id),
                recording.description,
            )
        )

    # -- content ---------------------------------------------------------------------

    def write(
        self,
        *,
        key: bytes,
        envelope: seal.Envelope,
        object_key: str,
        content: seal.Readable,
        max_bytes: int | None = None,
    ) -> SealedObject:
        """Streams content into a sealed object; TooLarge past `max_bytes`, then nothing is left."""
        header = envelope.encode()

        def trailer(sha256: bytes, length: int) -> bytes:
            return seal.seal_trailer(
                key,
                id=envelope.id,
                rendition=envelope.rendition,
                version=envelope.version,
                sha256=sha256,
                length=length,
            )

        reader = seal.SealingReader(
            content,
            header=header,
            key=key,
            ctx=seal.content_context(envelope.id, envelope.rendition, envelope.version),
            trailer=trailer,
            max_bytes=max_bytes,
        )
        try:
            stored = self.store.put(object_key, reader)
        except TooLarge:
            self.store.delete([object_key])
            raise
        return SealedObject(stored, len(header), reader.plain_bytes, reader.sha256.hex())

    def reader(self, recording: Recording, rendition: StoredRendition | None) -> SealedReader:
        """A random-access reader of the original (None) or of a rendition."""
        part = rendition or recording
        name = rendition.name if rendition else Rendition.ORIGINAL.value
        version = rendition.version if rendition else 1
        self._require_key(recording)  # a destroyed key ends cached readers too
        cached = self._readers.get((part.object_key, recording.wrapped_key))
        if cached is not None:
            return cached
        store, object_key, object_version = self.store, part.object_key, part.object_version

        def fetch(start: int, length: int) -> bytes:
            return store.get(object_key, start=start, length=length, version=object_version)

        reader = seal.SealedReader(
            key=self.data_key(recording),
            ctx=seal.content_context(recording.id, name, version),
            fetch=fetch,
            stream_offset=part.header_bytes,
            stream_bytes=part.object_bytes - part.header_bytes - seal.TRAILER_BYTES,
        )
        self._readers.put((object_key, recording.wrapped_key), reader)
        return reader

    def read_all(self, recording: Recording, rendition: StoredRendition | None = None) -> bytes:
        """Whole content in memory; for what is known to be small."""
        return b"".join(self.stream(recording, rendition))

    def stream(
        self, recording: Recording, rendition: StoredRendition | None = None
    ) -> Iterator[bytes]:
        """Whole content, chunk by authenticated chunk."""
        reader = self.reader(recording, rendition)
        return reader.read(0, reader.length)


SealedReader = seal.SealedReader


class _ReaderCache:
    """Readers of the last seconds, so that the next range costs one fetch. Bounded."""

    MOST = 64

    def __init__(self, *, cache_s: float, monotonic: Callable[[], float]) -> None:
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, bytes], tuple[float, SealedReader]] = OrderedDict()

    def get(self, key: tuple[str, bytes]) -> SealedReader | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._monotonic() - entry[0] >= self._cache_s:
                self._entries.pop(key, None)
                return None
            return entry[1]

    def put(self, key: tuple[str, bytes], reader: SealedReader) -> None:
        with self._lock:
            self._entries[key] = (self._monotonic(), reader)
            while len(self._entries) > self.MOST:
                self._entries.popitem(last=False)


def cohort_name(cohort: date) -> str:
    """The name of a cohort's key."""
    return f"cohort/{cohort.isoformat()}"


def original_key(cohort: date, id: UUID) -> str:
    """Where an original lies. The cohort in it is a hint for people, never a reason to delete.

    No folder of its own for each recording: to a store with folders that is a second entry to
    write, half of what an email costs it.
    """
    return f"recordings/{cohort.isoformat()}/{id}.original"


def rendition_key(cohort: date, id: UUID, name: str, version: int) -> str:
    """Where one version of a rendition lies."""
    return f"recordings/{cohort.isoformat()}/{id}.{name}.{version}"


def envelope_key(recording: Recording, seq: int) -> str:
    """Where a later envelope lies: beside the original, also after a move to another day."""
    return f"{recording_stem(recording)}envelope.{seq}"


def hold_object_key(recording: Recording, hold: UUID | str) -> str:
    """Where the envelope of a hold lies: beside the original, also after a move to another day."""
    return f"{recording_stem(recording)}hold.{hold}"


def recording_stem(recording: Recording) -> str:
    """How the names begin of all that a rebuild of the catalogue reads of a recording."""
    return recording.object_key.partition(".")[0] + "."


def encode_descriptor(descriptor: Descriptor) -> bytes:
    """Compact JSON, deflated; what is empty is left out."""
    values = {
        name: value
        for name in descriptor.__slots__
        if (value := getattr(descriptor, name)) not in _EMPTY
    }
    for name in ("occurred_at", "received_at"):
        values[name] = getattr(descriptor, name).astimezone(UTC).isoformat()
    return zlib.compress(_json(values), 6)


def decode_descriptor(encoded: bytes) -> Descriptor:
    """The inverse of `encode_descriptor`; fields of later versions are ignored."""
    known = {f.name for f in fields(Descriptor)}
    values: dict[str, Any] = {
        name: value for name, value in json.loads(_inflate(encoded)).items() if name in known
    }
    for name in ("occurred_at", "received_at"):
        values[name] = datetime.fromisoformat(values[name])
    values.setdefault("source_ref", "")  # of an email whose reference is made from its content
    values["kind"] = Kind(values["kind"])
    values["direction"] = Direction(values["direction"])
    values["masked"] = tuple((float(a), float(b)) for a, b in values.get("masked", ()))
    values["warnings"] = tuple(values.get("warnings", ()))
    return Descriptor(**values)


def encode_description(description: Description) -> bytes:
    """Compact JSON, deflated."""
    values = asdict(description)
    if description.mail and description.mail.date:
        values["mail"]["date"] = description.mail.date.isoformat()
    return zlib.compress(_json(values), 6)


def decode_description(encoded: bytes) -> Description:
    """The inverse of `encode_description`."""
    values = json.loads(_inflate(encoded))
    call, mail = values.get("call"), values.get("mail")
    return Description(
        call=CallDescription(**call) if call else None,
        mail=_mail(mail) if mail else None,
        text=values.get("text") or "",
        html=values.get("html"),
        transcript=tuple(Cue(**cue) for cue in values.get("transcript", ())),
    )


def _mail(values: Mapping[str, Any]) -> MailDescription:
    changed = dict(values)
    for name in ("from_", "to", "cc", "bcc", "names", "parse_errors", "references"):
        changed[name] = tuple(changed.get(name, ()))
    changed["attachments"] = tuple(Attachment(**a) for a in changed["attachments"])
    if changed["date"]:
        changed["date"] = datetime.fromisoformat(changed["date"])
    return MailDescription(**changed)


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


def _inflate(encoded: bytes) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(encoded, 64 * 1024 * 1024)
    if not inflater.eof:
        raise ValueError("a descriptor of more than 64 MiB")
    return plain


_EMPTY: tuple[Any, ...] = (None, "", (), {}, [])
