"""Plaintext <-> sealed bytes: streams, ranges, small secrets, and the envelope before a stream.

One primitive does all of it: C2SP chunked encryption, instance Cobblestone-256 (HKDF-Expand with
SHA-512, AES-256-GCM), specified at https://c2sp.org/chunked-encryption and, with everything of
our own around it, in docs/format.md. Must not know where bytes are kept, where keys come from,
who asks, or what a recording means.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from uuid import UUID

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from archive.errors import SealBroken, TooLarge

CHUNK = 16 * 1024  # plaintext bytes of every chunk but the last, which is shorter
TAG = 16  # bytes that sealing adds to each chunk
SALT = 24
PREFIX = SALT + 32  # salt and commitment, before the first chunk
KEY = 32  # bytes of every key
_SEALED_CHUNK = CHUNK + TAG
_NONCE = 12
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"

MAGIC = b"CARC"
FORMAT_VERSION = 1
_PREAMBLE = MAGIC + bytes((FORMAT_VERSION, 0, 0, 0))
HEAD_BYTES = len(_PREAMBLE) + 4  # preamble and the length of the header, u32 big-endian
MAX_HEADER_BYTES = 4 * 1024 * 1024  # notes and a sender's extra fields are in it, sealed
_DOMAIN = b"contact-archive/1"
_DOMAIN_PREFIXED = struct.pack(">I", len(_DOMAIN)) + _DOMAIN

_READ = 256 * 1024  # plaintext bytes asked of a source at once
_SMALL = 8 * _SEALED_CHUNK  # streams up to this long are fetched whole
_FIRST_BATCH = 8  # chunks in a range's first fetch, so that its first byte leaves early


class Readable(Protocol):
    """A source of bytes. `read(n)` returns at least one byte until the end, b"" after it."""

    def read(self, n: int = -1, /) -> bytes: ...


class Broken(StrEnum):
    """The values of SealBroken's `reason`: what exactly is wrong, stable across versions."""

    COMMITMENT = "commitment"  # other key, or other place: recording, rendition, version, cohort
    TAG = "tag"  # some bytes are not those that were sealed
    TRUNCATED = "truncated"  # ends where no sealed stream can end
    NOT_AN_OBJECT = "not an object"  # does not begin with our magic
    UNKNOWN_VERSION = "unknown version"  # written by a later version of the format
    HEADER_TOO_LONG = "header too long"
    HEADER = "header"  # not the JSON that docs/format.md describes
    TRAILER = "trailer"  # opened, but is not digest and length
    WRONG_RECORDING = "wrong recording"  # whole, but not the object that should lie there
    WRONG_RENDITION = "wrong rendition"
    WRONG_VERSION = "wrong version"
    WRONG_COHORT = "wrong cohort"
    KEY_FILE = "key file"  # a key's file is damaged, or not that key's


# -- contexts: the place that a ciphertext is bound to ---------------------------------


def context(*fields: str | bytes | int) -> bytes:
    """The context of these fields: "contact-archive/1", then each, prefixed by its u32 BE length.

    Text is UTF-8 (lone surrogates as three bytes), numbers are decimal text. Two different
    sequences of fields never give the same bytes.
    """
    parts = [_DOMAIN_PREFIXED]
    for field in fields:
        parts += _length_prefixed(_field_bytes(field))
    return b"".join(parts)


def _field_bytes(field: str | bytes | int) -> bytes:
    if isinstance(field, bytes):
        return field
    if isinstance(field, int) and not isinstance(field, bool):
        return b"%d" % field
    if isinstance(field, str):
        return field.encode("utf-8", "surrogatepass")
    raise TypeError(f"a context is made of text, bytes and numbers, not {type(field).__name__}")


def _length_prefixed(raw: bytes) -> tuple[bytes, bytes]:
    return struct.pack(">I", len(raw)), raw


def content_context(id: UUID, rendition: str, version: int) -> bytes:
    """Where the content of one version of one rendition belongs ("original" is version 1)."""
    return context("content", str(id), rendition, version)


def trailer_context(id: UUID, rendition: str, version: int) -> bytes:
    """Where that content's digest and length belong."""
    return context("trailer", str(id), rendition, version)


def descriptor_context(id: UUID, seq: int) -> bytes:
    """Where the descriptor in envelope number `seq` belongs."""
    return context("descriptor", str(id), seq)


def description_context(id: UUID) -> bytes:
    """Where what describing found belongs."""
    return context("description", str(id))


def hold_terms_context(id: UUID, hold: UUID) -> bytes:
    """Where what a hold says belongs: its recording, and the hold."""
    return context("hold", str(id), str(hold))


def data_key_context(id: UUID, cohort: date) -> bytes:
    """Where a wrapped data key belongs: its recording, and the day it is destroyed after."""
    return context("data-key", str(id), cohort.isoformat())


def index_file_context(month: str, generation: int, file_name: str) -> bytes:
    """Where one file of the search index belongs; `month` is "YYYY-MM"."""
    return context("index-file", month, generation, file_name)


def key_file_context(name: str) -> bytes:
    """Where a wrapped key of the keys directory belongs."""
    return context("key-file", name)


# -- whole messages --------------------------------------------------------------------


def sealed_length(plain: int) -> int:
    """Bytes of the sealed stream of `plain` bytes."""
    return PREFIX + plain + TAG * (plain // CHUNK + 1)


def plain_length(sealed: int) -> int:
    """The inverse of `sealed_length`; SealBroken(truncated) for a length no stream can have.

    Unauthenticated arithmetic: believe it only after the last chunk has opened.
    """
    full, tail = divmod(sealed - PREFIX, _SEALED_CHUNK)
    if sealed < PREFIX or tail < TAG:
        raise SealBroken(reason=Broken.TRUNCATED)
    return full * CHUNK + tail - TAG


def seal(key: bytes, ctx: bytes, plaintext: bytes) -> bytes:
    """`plaintext` sealed under the 32-byte `key`, openable only in the same context."""
    sealing = Cobblestone256Encryptor(key, ctx)
    return sealing.update(plaintext) + sealing.finalize()


def unseal(key: bytes, ctx: bytes, sealed: bytes) -> bytes:
    """The plaintext. SealBroken with reason commitment, truncated or tag: then nothing leaves."""
    opening = Cobblestone256Decryptor(key, ctx)
    try:
        return opening.update(sealed) + opening.finalize()
    except InvalidTag:
        raise SealBroken(reason=_why(key, ctx, sealed[:PREFIX], len(sealed))) from None


def _why(key: bytes, ctx: bytes, prefix: bytes, total: int) -> Broken:
    """What is wrong with a stream of `total` bytes that did not open."""
    if len(prefix) < PREFIX:
        return Broken.TRUNCATED
    if not _Derived.of(key, ctx, prefix).committed:
        return Broken.COMMITMENT
    if (total - PREFIX) % _SEALED_CHUNK < TAG:
        return Broken.TRUNCATED
    return Broken.TAG


@dataclass(frozen=True, slots=True)
class _Derived:
    """What the key, the salt and the context of one stream give."""

    cipher: AESGCM
    base_nonce: int
    committed: bool  # whether the stream's commitment is the one derived

    @classmethod
    def of(cls, key: bytes, ctx: bytes, prefix: bytes) -> _Derived:
        salt, commitment = prefix[:SALT], prefix[SALT:PREFIX]
        okm = HKDFExpand(SHA512(), KEY + _NONCE + 32, _INFO + salt + ctx).derive(key)
        return cls(
            AESGCM(okm[:KEY]),
            int.from_bytes(okm[KEY : KEY + _NONCE], "big"),
            hmac.compare_digest(okm[KEY + _NONCE :], commitment),
        )

    def open_chunk(self, number: int, sealed: bytes | memoryview) -> bytes:
        nonce = (self.base_nonce ^ number).to_bytes(_NONCE, "big")
        try:
            return self.cipher.decrypt(nonce, sealed, None)
        except InvalidTag:
            raise SealBroken(reason=Broken.TAG) from None


# -- sealing while reading -------------------------------------------------------------


class SealingReader:
    """Reads as header, sealed content, trailer, while the plaintext is read from a source.

    `trailer` is called once, at the end, with SHA-256 and length of the plaintext. Holds no
    more than one read's worth in memory. Not for several threads.
    """

    def __init__(
        self,
        source: Readable,
        *,
        header: bytes,
        key: bytes,
        ctx: bytes,
        trailer: Callable[[bytes, int], bytes],
        max_bytes: int | None = None,
    ) -> None:
        self._source = source
        self._trailer = trailer
        self._max_bytes = max_bytes
        self._sealing = Cobblestone256Encryptor(key, ctx)
        self._hash = hashlib.sha256()
        self._waiting: bytes | memoryview = header
        self._ended = False
        self.plain_bytes = 0  # so far; of the whole after the end

    @property
    def sha256(self) -> bytes:
        """Digest of the whole plaintext; ValueError before the end has been read."""
        if not self._ended:
            raise ValueError("the digest is known when everything has been read")
        return self._hash.digest()

    def read(self, n: int = -1, /) -> bytes:
        """Exactly `n` bytes until the end, then what is left, then b""; all of it for -1.

        Raises TooLarge as soon as the plaintext passes `max_bytes`, and what the source raises.
        """
        parts: list[bytes | memoryview] = []
        missing = n if n >= 0 else sys.maxsize
        while missing > 0:
            part = self._waiting or self._next()
            if not part:
                break
            if len(part) > missing:
                part, self._waiting = part[:missing], memoryview(part)[missing:]
            else:
                self._waiting = b""
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _next(self) -> bytes:
        """More sealed bytes; b"" only after the trailer."""
        while not self._ended:
            plain = self._source.read(_READ)
            if not plain:
                self._ended = True
                end = self._sealing.finalize()
                return end + self._trailer(self._hash.digest(), self.plain_bytes)
            self.plain_bytes += len(plain)
            if self._max_bytes is not None and self.plain_bytes > self._max_bytes:
                raise TooLarge(limit_bytes=self._max_bytes)
            self._hash.update(plain)
            if sealed := self._sealing.update(plain):
                return sealed
        return b""


# -- ranges ----------------------------------------------------------------------------


class SealedReader:
    """Random access to one sealed stream inside an object.

    `fetch(start, length)` returns bytes of the object; the stream lies at `stream_offset` and is
    `stream_bytes` long, which nobody vouches for: commitment and last chunk are checked before
    anything else. May be kept and used by several threads.
    """

    def __init__(
        self,
        *,
        key: bytes,
        ctx: bytes,
        fetch: Callable[[int, int], bytes],
        stream_offset: int,
        stream_bytes: int,
    ) -> None:
        self._key = key
        self._ctx = ctx
        self._fetch = fetch
        self._offset = stream_offset
        self._bytes = stream_bytes
        self._opened: _Opened | None = None

    @property
    def length(self) -> int:
        """Plaintext bytes, authenticated. SealBroken with reason commitment, truncated or tag."""
        return self._open().length

    def read(self, start: int, stop: int, *, batch_chunks: int = 64) -> Iterator[bytes]:
        """The plaintext of [start, stop) in pieces; `stop` past the end means the end.

        Fetches at most `batch_chunks` chunks at once (16,400 bytes each); every chunk is
        authenticated before a byte of it leaves. Raises SealBroken, and what `fetch` raises.
        """
        if start < 0 or stop < start or batch_chunks < 1:
            raise ValueError("expected 0 <= start <= stop and at least one chunk a fetch")
        opened = self._open()
        stop = min(stop, opened.length)
        return self._pieces(opened, start, stop, batch_chunks)

    def _pieces(self, opened: _Opened, start: int, stop: int, batch: int) -> Iterator[bytes]:
        size = min(batch, _FIRST_BATCH)
        while start < stop:
            first = start // CHUNK
            last = min((stop - 1) // CHUNK, first + size - 1)
            plain = self._chunks(opened, first, last)
            end = min(stop, (last + 1) * CHUNK)
            yield plain[start - first * CHUNK : end - first * CHUNK]
            start, size = end, batch

    def _chunks(self, opened: _Opened, first: int, last: int) -> bytes:
        """Plaintext of the chunks first..last, both inclusive."""
        parts, fetched_last = [], last
        if last == opened.last_number:
            fetched_last = last - 1
        if fetched_last >= first:
            sealed = memoryview(opened.whole or b"")
            at = PREFIX + first * _SEALED_CHUNK
            if not sealed:
                length = (fetched_last - first + 1) * _SEALED_CHUNK
                sealed, at = memoryview(self._range(at, length)), 0
            for number in range(first, fetched_last + 1):
                parts.append(opened.derived.open_chunk(number, sealed[at : at + _SEALED_CHUNK]))
                at += _SEALED_CHUNK
        if last == opened.last_number:
            parts.append(opened.last_chunk)
        return b"".join(parts)

    def _open(self) -> _Opened:
        # Two threads may both do this the first time; they come to the same.
        if self._opened is None:
            self._opened = self._authenticate()
        return self._opened

    def _authenticate(self) -> _Opened:
        length = plain_length(self._bytes)
        whole = self._range(0, self._bytes) if self._bytes <= _SMALL else None
        prefix = whole[:PREFIX] if whole else self._range(0, PREFIX)
        derived = _Derived.of(self._key, self._ctx, prefix)
        if not derived.committed:
            raise SealBroken(reason=Broken.COMMITMENT)
        number = length // CHUNK
        at = PREFIX + number * _SEALED_CHUNK
        tail = whole[at:] if whole else self._range(at, self._bytes - at)
        return _Opened(derived, length, number, derived.open_chunk(number, tail), whole)

    def _range(self, start: int, length: int) -> bytes:
        got = self._fetch(self._offset + start, length)
        if len(got) != length:
            raise SealBroken(reason=Broken.TRUNCATED)
        return got


@dataclass(frozen=True, slots=True)
class _Opened:
    """An authenticated stream: its keys, its length, its last chunk in the clear."""

    derived: _Derived
    length: int
    last_number: int
    last_chunk: bytes  # plaintext, shorter than CHUNK
    whole: bytes | None  # the sealed stream, where it is small


# -- the envelope before a stream, and the trailer after it ------------------------------

TRAILER_BYTES = sealed_length(32 + 8)
_RENDITION = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_MAX_NUMBER = 2**31 - 1
_T = TypeVar("_T", UUID, date)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an object says of itself before its sealed stream. None of it is personal.

    Not authenticated by itself: id and cohort are when the data key unwraps, `rendition` and
    `version` when the content opens, `seq` when the descriptor does. An envelope object (hold,
    re-key, correction) has rendition "envelope", version = seq, and no stream.
    """

    id: UUID
    cohort: date  # Helsinki date of the expiry
    rendition: str
    version: int  # from 1
    seq: int  # from 1, of the envelopes of this recording
    wrapped_key: bytes
    descriptor: bytes | None  # sealed; None in renditions
    hold: UUID | None = None  # which hold, in an envelope object of rendition "hold"
    terms: bytes | None = None  # sealed; what the hold says

    def encode(self) -> bytes:
        """Magic, header length, header. ValueError where that passes MAX_HEADER_BYTES."""
        fields: dict[str, Any] = {
            "v": FORMAT_VERSION,
            "id": str(self.id),
            "cohort": self.cohort.isoformat(),
            "rendition": self.rendition,
            "version": self.version,
            "seq": self.seq,
            "wrapped_key": base64.b64encode(self.wrapped_key).decode("ascii"),
        }
        if self.descriptor is not None:
            fields["descriptor"] = base64.b64encode(self.descriptor).decode("ascii")
        if self.hold is not None and self.terms is not None:
            fields["hold"] = str(self.hold)
            fields["terms"] = base64.b64encode(self.terms).decode("ascii")
        header = json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
        if len(header) > MAX_HEADER_BYTES:
            raise ValueError(f"an envelope of more than {MAX_HEADER_BYTES} bytes")
        return _PREAMBLE + struct.pack(">I", len(header)) + header

    @classmethod
    def parse(cls, head: bytes) -> tuple[Envelope, int]:
        """The envelope at the beginning of `head`, and the bytes before the stream.

        `head` may go on after it. SealBroken with reason "not an object", "unknown version",
        "header too long", "truncated" or "header". Fields of the header that are not known here
        are passed over.
        """
        end = header_length(head)
        if len(head) < end:
            raise SealBroken(reason=Broken.TRUNCATED)
        try:
            return cls._from_fields(_json_object(head[HEAD_BYTES:end])), end
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SealBroken(reason=Broken.HEADER) from None

    def require(
        self, *, id: UUID, rendition: str, version: int, cohort: date | None = None
    ) -> None:
        """Returns if this is the object that belongs there; SealBroken names what differs.

        Gives a plain word for what would end in "commitment" anyway; proves nothing.
        """
        if self.id != id:
            raise SealBroken(reason=Broken.WRONG_RECORDING)
        if self.rendition != rendition:
            raise SealBroken(reason=Broken.WRONG_RENDITION)
        if self.version != version:
            raise SealBroken(reason=Broken.WRONG_VERSION)
        if cohort is not None and self.cohort != cohort:
            raise SealBroken(reason=Broken.WRONG_COHORT)

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> Envelope:
        if _number(fields["v"]) != FORMAT_VERSION:
            raise ValueError
        sealed, terms = fields.get("descriptor"), fields.get("terms")
        return cls(
            id=_exactly(UUID(fields["id"]), fields["id"]),
            cohort=_exactly(date.fromisoformat(fields["cohort"]), fields["cohort"]),
            rendition=_rendition(fields["rendition"]),
            version=_number(fields["version"]),
            seq=_number(fields["seq"]),
            wrapped_key=_base64(fields["wrapped_key"]),
            descriptor=None if sealed is None else _base64(sealed),
            hold=None if terms is None else _exactly(UUID(fields["hold"]), fields["hold"]),
            terms=None if terms is None else _base64(terms),
        )


def header_length(head: bytes) -> int:
    """Bytes before the sealed stream of an object that begins with `head` (12 bytes or more).

    SealBroken with reason "not an object", "unknown version", "header too long", "truncated".
    """
    if head[: len(MAGIC)] != MAGIC[: len(head)] or not head:
        raise SealBroken(reason=Broken.NOT_AN_OBJECT)
    if len(head) < HEAD_BYTES:
        raise SealBroken(reason=Broken.TRUNCATED)
    if head[: len(_PREAMBLE)] != _PREAMBLE:
        raise SealBroken(reason=Broken.UNKNOWN_VERSION)
    (length,) = struct.unpack(">I", head[len(_PREAMBLE) : HEAD_BYTES])
    if length > MAX_HEADER_BYTES:
        raise SealBroken(reason=Broken.HEADER_TOO_LONG)
    return HEAD_BYTES + int(length)


def seal_trailer(
    key: bytes, *, id: UUID, rendition: str, version: int, sha256: bytes, length: int
) -> bytes:
    """The TRAILER_BYTES after a content stream: SHA-256 and length (u64 BE) of the plaintext."""
    return seal(key, trailer_context(id, rendition, version), sha256 + struct.pack(">Q", length))


def open_trailer(
    key: bytes, *, id: UUID, rendition: str, version: int, sealed: bytes
) -> tuple[bytes, int]:
    """(SHA-256, length in bytes) of the plaintext as they were when it was sealed. SealBroken."""
    plain = unseal(key, trailer_context(id, rendition, version), sealed)
    if len(plain) != 32 + 8:
        raise SealBroken(reason=Broken.TRAILER)
    return plain[:32], int.from_bytes(plain[32:], "big")


def _json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without repeated names, which readers would take differently."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError
        return found

    loaded = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    if not isinstance(loaded, dict):
        raise TypeError
    return loaded


def _number(value: object) -> int:
    if type(value) is not int or not 1 <= value <= _MAX_NUMBER:
        raise ValueError
    return value


def _rendition(value: str) -> str:
    if not _RENDITION.match(value):
        raise ValueError
    return value


def _base64(value: str) -> bytes:
    """Bytes of canonical base64; binascii.Error is a ValueError."""
    raw = base64.b64decode(value.encode("ascii"), validate=True)
    if base64.b64encode(raw).decode("ascii") != value:
        raise ValueError
    return raw


def _exactly(parsed: _T, written: object) -> _T:
    if str(parsed) != written:
        raise ValueError
    return parsed
