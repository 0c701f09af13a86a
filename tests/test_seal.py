"""Sealed streams, ranges and envelopes: what opens, what does not, and which failure it is."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import runpy
import struct
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from archive import keys, seal
from archive.errors import SealBroken, TooLarge

VECTORS = Path(__file__).parent / "vectors"
KEY, CTX = bytes(range(32)), seal.context("test")
ID = UUID("0b0f6a3e-5d0c-4c3f-9a51-2f6d1e6f8a01")
COHORT = date(2027, 11, 24)
SEALED_CHUNK = seal.CHUNK + seal.TAG

boundaries = st.builds(
    lambda k, d: max(0, k * seal.CHUNK + d), st.integers(0, 9), st.sampled_from((-1, 0, 1))
)
lengths = st.one_of(boundaries, st.integers(0, 10 * seal.CHUNK))


def plaintext(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def broken(action: Callable[[], object]) -> str:
    with pytest.raises(SealBroken) as caught:
        action()
    return str(caught.value.facts["reason"])


def reader_of(sealed: bytes, *, key: bytes = KEY, ctx: bytes = CTX) -> seal.SealedReader:
    return seal.SealedReader(
        key=key,
        ctx=ctx,
        fetch=lambda start, length: sealed[start : start + length],
        stream_offset=0,
        stream_bytes=len(sealed),
    )


def read_all(sealed: bytes) -> bytes:
    reader = reader_of(sealed)
    return b"".join(reader.read(0, reader.length))


class Trickle:
    """A source that gives at most `most` bytes at once, as a socket does."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content, self._most = io.BytesIO(content), most

    def read(self, n: int = -1, /) -> bytes:
        return self._content.read(min(n, self._most) if n >= 0 else self._most)


def sealing(source: seal.Readable, *, max_bytes: int | None = None) -> seal.SealingReader:
    return seal.SealingReader(
        source,
        header=b"header",
        key=KEY,
        ctx=CTX,
        trailer=lambda sha256, length: b"<" + sha256 + b"%d>" % length,
        max_bytes=max_bytes,
    )


# -- vectors ---------------------------------------------------------------------------


def parse_vector(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii").splitlines()
    parts = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in parts}


def open_object(vector: dict[str, str]) -> tuple[bytes, bytes | None]:
    """(content, descriptor) as the archive reads an object of which it knows the place."""
    raw = base64.b64decode(vector["object"])
    envelope, head = seal.Envelope.parse(raw)
    id, cohort = UUID(vector["id"]), date.fromisoformat(vector["cohort"])
    rendition, version = vector["rendition"], int(vector["version"])
    envelope.require(id=id, rendition=rendition, version=version, cohort=cohort)
    cohort_key = bytes.fromhex(vector["cohort_key"])
    key = keys.unwrap_data_key(cohort_key, id, cohort, envelope.wrapped_key)
    descriptor = None
    if envelope.descriptor is not None:
        ctx = seal.descriptor_context(id, envelope.seq)
        descriptor = seal.unseal(key, ctx, envelope.descriptor)
    elif rendition in ("original", "envelope"):
        raise SealBroken(reason=seal.Broken.HEADER)
    if rendition == "envelope":
        assert len(raw) == head
        return b"", descriptor
    reader = seal.SealedReader(
        key=key,
        ctx=seal.content_context(id, rendition, version),
        fetch=lambda start, length: raw[start : start + length],
        stream_offset=head,
        stream_bytes=len(raw) - head - seal.TRAILER_BYTES,
    )
    content = b"".join(reader.read(0, reader.length))
    trailer = raw[-seal.TRAILER_BYTES :]
    known = seal.open_trailer(key, id=id, rendition=rendition, version=version, sealed=trailer)
    assert known == (hashlib.sha256(content).digest(), len(content))
    return content, descriptor


def check_object(vector: dict[str, str]) -> None:
    content, descriptor = open_object(vector)
    if vector["rendition"] != "envelope":
        assert hashlib.sha256(content).hexdigest() == vector["plain_sha256"]
        assert len(content) == int(vector["plain_length"])
    if vector["rendition"] != "playback":
        assert descriptor == bytes.fromhex(vector["descriptor"])


def check_stream(vector: dict[str, str]) -> None:
    key, ctx = bytes.fromhex(vector["key"]), bytes.fromhex(vector["context"])
    sealed = base64.b64decode(vector["sealed"])
    reader = reader_of(sealed, key=key, ctx=ctx)
    ways: list[Callable[[], bytes]] = [
        lambda: seal.unseal(key, ctx, sealed),
        lambda: b"".join(reader.read(0, reader.length)),
    ]
    if vector["expect"] != "success":
        assert {broken(way) for way in ways} == {REASONS.get(vector["expect"], vector["expect"])}
        return
    for way in ways:
        assert hashlib.sha256(way()).hexdigest() == vector["plain_sha256"]
        assert len(way()) == int(vector["plain_length"])


def check_contexts(vector: dict[str, str]) -> None:
    id, day = UUID(vector["id"]), date.fromisoformat(vector["cohort"])
    assert {
        "content": seal.content_context(id, "playback", 2),
        "trailer": seal.trailer_context(id, "playback", 2),
        "descriptor": seal.descriptor_context(id, 3),
        "description": seal.description_context(id),
        "data-key": seal.data_key_context(id, day),
        "index-file": seal.index_file_context("2026-11", 4, "MAIN_1.toc"),
        "key-file": seal.key_file_context(f"cohort/{day}"),
    } == {name: bytes.fromhex(vector[name]) for name in list(vector)[5:]}


REASONS = {"commitment failure": "commitment", "tag failure": "tag"}


@pytest.mark.parametrize("path", sorted((VECTORS / "seal").glob("*.txt")), ids=lambda p: p.stem)
def test_a_vector_opens_or_fails_as_it_says(path: Path) -> None:
    vector = parse_vector(path)
    if vector["kind"] == "stream":
        check_stream(vector)
    elif vector["kind"] == "contexts":
        check_contexts(vector)
    elif vector["expect"] == "success":
        check_object(vector)
    else:
        expected = REASONS.get(vector["expect"], vector["expect"])
        assert broken(lambda: open_object(vector)) == expected


def test_the_vectors_are_what_an_implementation_from_the_specification_makes() -> None:
    made = runpy.run_path(str(VECTORS / "make_seal.py"))["vectors"]()
    found = {p.name: p.read_text(encoding="ascii") for p in (VECTORS / "seal").glob("*.txt")}
    assert found == made
    assert len(found) > 50


def test_every_way_of_failing_has_a_vector() -> None:
    expected = {parse_vector(path)["expect"] for path in (VECTORS / "seal").glob("*.txt")}
    shown = {REASONS.get(name, name) for name in expected} - {"success"}
    # The rest cannot be shown by an object: a key's file, and a trailer sealed by ourselves.
    assert shown == {str(reason) for reason in seal.Broken} - {"key file", "trailer"}


def test_the_reader_in_the_documentation_opens_objects_and_refuses_misplaced_ones() -> None:
    page = (VECTORS.parent.parent / "docs" / "format.md").read_text(encoding="utf-8")
    reader: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], reader)
    opened = 0
    for path in sorted((VECTORS / "seal").glob("object-*.txt")):
        vector = parse_vector(path)
        cohort_key, raw = bytes.fromhex(vector["cohort_key"]), base64.b64decode(vector["object"])
        place = [vector[name] for name in ("id", "cohort", "rendition", "version")]
        if vector["rendition"] == "envelope" or path.stem == "object-seq-rewritten":
            continue  # no content; only the descriptor would tell
        if vector["expect"] == "success":
            content = reader["open_object"](raw, cohort_key, *place)
            assert hashlib.sha256(content).hexdigest() == vector["plain_sha256"]
            opened += 1
        else:
            with pytest.raises((ValueError, InvalidTag, struct.error, IndexError)):
                reader["open_object"](raw, cohort_key, *place)
    assert opened == 3


def test_every_reason_is_in_the_documentation() -> None:
    page = (VECTORS.parent.parent / "docs" / "format.md").read_text(encoding="utf-8")
    table = page.split("## What a failure is called")[1].split("##")[0]
    named = {word.strip() for word in table.replace("|", "·").split("·")}
    assert {str(reason) for reason in seal.Broken} <= named


# -- contexts and lengths --------------------------------------------------------------


@given(st.lists(st.text()), st.lists(st.text()))
def test_two_places_never_have_the_same_context(one: list[str], other: list[str]) -> None:
    assert (seal.context(*one) == seal.context(*other)) == (one == other)


def test_a_context_takes_text_that_no_encoding_likes() -> None:
    assert seal.context("\ud800").endswith(b"\x00\x00\x00\x03\xed\xa0\x80")


def test_a_context_of_anything_else_is_a_mistake_in_the_program() -> None:
    for odd in (None, True, 1.5):
        with pytest.raises(TypeError):
            seal.context(odd)  # type: ignore[arg-type]


@given(lengths)
def test_a_length_is_known_from_the_sealed_length(length: int) -> None:
    assert seal.plain_length(seal.sealed_length(length)) == length


@given(lengths)
def test_the_sealed_length_is_known_in_advance(length: int) -> None:
    assert len(seal.seal(KEY, CTX, bytes(length))) == seal.sealed_length(length)


@given(st.integers(-100, 4 * SEALED_CHUNK))
def test_an_impossible_length_is_refused(sealed: int) -> None:
    try:
        length = seal.plain_length(sealed)
    except SealBroken as error:
        assert error.facts["reason"] == "truncated"
        assert sealed < 72 or (sealed - 56) % SEALED_CHUNK < 16
    else:
        assert seal.sealed_length(length) == sealed


def test_the_same_plaintext_is_never_sealed_to_the_same_bytes() -> None:
    assert seal.seal(KEY, CTX, b"x") != seal.seal(KEY, CTX, b"x")


# -- sealing while reading -------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(lengths, st.sampled_from((1000, 16384, 16385, 10**6)), st.integers(1, 40_000))
def test_what_is_sealed_while_reading_opens_whole(length: int, most: int, asked: int) -> None:
    content = plaintext(length)
    reader = sealing(Trickle(content, most))
    out = b""
    while piece := reader.read(asked):
        out += piece
        assert len(piece) == asked or len(out) >= 6 + seal.sealed_length(length)
    stream = out[6 : 6 + seal.sealed_length(length)]
    digest = hashlib.sha256(content).digest()
    assert out == b"header" + stream + b"<" + digest + b"%d>" % length
    opening = Cobblestone256Decryptor(KEY, CTX)
    assert opening.update(stream) + opening.finalize() == content
    assert (reader.sha256, reader.plain_bytes) == (digest, length)
    assert reader.read(1) == reader.read() == b""


def test_reading_without_a_size_reads_everything() -> None:
    assert len(sealing(io.BytesIO(b"x" * 70_000)).read()) == len(b"header") + (
        seal.sealed_length(70_000) + 32 + len("<70000>")
    )


def test_reading_nothing_gives_nothing_and_loses_nothing() -> None:
    reader = sealing(io.BytesIO(b"x"))
    assert reader.read(0) == b""
    assert reader.read(6) == b"header"


def test_a_recording_past_the_limit_is_refused_while_it_streams() -> None:
    source = io.BytesIO(bytes(10_000_000))
    reader = sealing(source, max_bytes=1_000_000)
    with pytest.raises(TooLarge) as caught:
        while reader.read(100_000):
            pass
    assert caught.value.facts == {"limit_bytes": 1_000_000}
    assert source.tell() < 2_000_000


def test_a_recording_of_exactly_the_limit_is_sealed() -> None:
    assert sealing(io.BytesIO(bytes(1000)), max_bytes=1000).read()


def test_the_digest_is_not_given_before_the_end() -> None:
    reader = sealing(io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="when everything has been read"):
        _ = reader.sha256


def test_a_source_that_breaks_off_passes_its_error_on() -> None:
    class Broken:
        def read(self, n: int = -1, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        sealing(Broken()).read()


def test_sealing_a_large_recording_needs_little_memory() -> None:
    class Zeros:
        left, block = 64, bytes(1024 * 1024)

        def read(self, n: int = -1, /) -> bytes:
            self.left -= 1
            return self.block if self.left >= 0 else b""

    reader = sealing(Zeros())
    tracemalloc.start()
    try:
        while reader.read(1024 * 1024):
            pass
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert reader.plain_bytes == 64 * 1024 * 1024


# -- ranges ----------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(lengths, boundaries, boundaries, st.sampled_from((1, 2, 64)))
def test_every_range_is_what_was_sealed(length: int, one: int, other: int, batch: int) -> None:
    content = plaintext(length)
    start, stop = sorted((one, other))
    reader = reader_of(seal.seal(KEY, CTX, content))
    assert reader.length == length
    assert b"".join(reader.read(start, stop, batch_chunks=batch)) == content[start:stop]


def test_a_range_is_fetched_in_bounded_pieces_and_the_length_once() -> None:
    content = plaintext(200 * seal.CHUNK + 5)
    sealed = seal.seal(KEY, CTX, content)
    asked: list[tuple[int, int]] = []

    def fetch(start: int, length: int) -> bytes:
        asked.append((start, length))
        return (b"#" * 100 + sealed)[start : start + length]

    reader = seal.SealedReader(
        key=KEY, ctx=CTX, fetch=fetch, stream_offset=100, stream_bytes=len(sealed)
    )
    assert reader.length == len(content)
    assert asked == [(100, 56), (100 + 56 + 200 * SEALED_CHUNK, 5 + 16)]
    asked.clear()
    assert b"".join(reader.read(50 * seal.CHUNK, 50 * seal.CHUNK + 10)) == content[819200:819210]
    assert asked == [(100 + 56 + 50 * SEALED_CHUNK, SEALED_CHUNK)]
    asked.clear()
    assert b"".join(reader.read(0, len(content))) == content
    assert max(length for _, length in asked) == 64 * SEALED_CHUNK
    assert len(asked) == 4
    asked.clear()
    assert b"".join(reader.read(len(content) - 3, 10**9)) == content[-3:]
    assert asked == []


def test_several_threads_may_read_from_one_reader() -> None:
    content = plaintext(40 * seal.CHUNK)
    reader = reader_of(seal.seal(KEY, CTX, content))

    def read(start: int) -> bool:
        return b"".join(reader.read(start, start + 300_000)) == content[start : start + 300_000]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(0, 300_000, 3_001)))


def test_a_small_stream_costs_one_fetch() -> None:
    content, asked = plaintext(20_000), 0
    sealed = seal.seal(KEY, CTX, content)

    def fetch(start: int, length: int) -> bytes:
        nonlocal asked
        asked += 1
        return sealed[start : start + length]

    reader = seal.SealedReader(
        key=KEY, ctx=CTX, fetch=fetch, stream_offset=0, stream_bytes=len(sealed)
    )
    assert b"".join(reader.read(0, reader.length)) == content
    assert b"".join(reader.read(17_000, 19_000)) == content[17_000:19_000]
    assert asked == 1


def test_an_impossible_range_is_a_mistake_in_the_program() -> None:
    reader = reader_of(seal.seal(KEY, CTX, b"x"))
    for start, stop in ((-1, 1), (2, 1)):
        with pytest.raises(ValueError, match="expected 0 <= start"):
            reader.read(start, stop)


def test_no_byte_of_a_changed_chunk_leaves() -> None:
    sealed = bytearray(seal.seal(KEY, CTX, plaintext(40 * seal.CHUNK)))
    sealed[56 + 20 * SEALED_CHUNK + 77] ^= 1
    reader = reader_of(bytes(sealed))
    got: list[bytes] = []
    with pytest.raises(SealBroken):
        got.extend(reader.read(0, reader.length, batch_chunks=4))
    assert b"".join(got) == plaintext(40 * seal.CHUNK)[: 20 * seal.CHUNK]
    assert b"".join(reader.read(0, 100)) == plaintext(40 * seal.CHUNK)[:100]


def test_a_store_that_gives_less_than_it_holds_is_noticed() -> None:
    sealed = seal.seal(KEY, CTX, plaintext(20 * seal.CHUNK))
    reader = seal.SealedReader(
        key=KEY,
        ctx=CTX,
        fetch=lambda start, length: sealed[start : start + length - 1],
        stream_offset=0,
        stream_bytes=len(sealed),
    )
    assert broken(lambda: reader.length) == "truncated"


# -- cut, longer, mixed up -------------------------------------------------------------


def ways(sealed: bytes) -> set[str]:
    """Why each of the two readers refuses."""
    return {
        broken(lambda: seal.unseal(KEY, CTX, sealed)),
        broken(lambda: read_all(sealed)),
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(-2, 20))
def test_a_stream_cut_around_any_chunk_boundary_is_refused(chunk: int, beyond: int) -> None:
    sealed = seal.seal(KEY, CTX, plaintext(5 * seal.CHUNK + 100))
    cut = 56 + chunk * SEALED_CHUNK + beyond
    assert ways(sealed[:cut]) == {"truncated" if chunk == 0 and beyond < 16 else _cut(beyond)}


def _cut(beyond: int) -> str:
    return "truncated" if 0 <= beyond < 16 else "tag"


@settings(max_examples=60, deadline=None)
@given(lengths, st.binary(min_size=1, max_size=200))
def test_a_stream_with_anything_after_its_end_is_refused(length: int, more: bytes) -> None:
    assert ways(seal.seal(KEY, CTX, plaintext(length)) + more) <= {"tag", "truncated"}


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(5)).filter(lambda order: order != list(range(5))))
def test_chunks_in_another_order_are_refused(order: list[int]) -> None:
    sealed = seal.seal(KEY, CTX, plaintext(5 * seal.CHUNK + 100))
    chunks = [sealed[56 + k * SEALED_CHUNK : 56 + (k + 1) * SEALED_CHUNK] for k in range(6)]
    mixed = sealed[:56] + b"".join(chunks[k] for k in order) + chunks[5]
    assert ways(mixed) == {"tag"}


@pytest.mark.parametrize("kept", [(0, 0, 1, 2), (0, 2), (1, 2), (0, 1, 1, 2)])
def test_a_chunk_left_out_or_doubled_is_refused(kept: tuple[int, ...]) -> None:
    sealed = seal.seal(KEY, CTX, plaintext(2 * seal.CHUNK + 100))
    chunks = [sealed[56 + k * SEALED_CHUNK : 56 + (k + 1) * SEALED_CHUNK] for k in range(3)]
    assert ways(sealed[:56] + b"".join(chunks[k] for k in kept)) == {"tag"}


def test_chunks_of_two_streams_under_one_key_do_not_mix() -> None:
    one, other = (seal.seal(KEY, CTX, plaintext(2 * seal.CHUNK)) for _ in range(2))
    assert ways(one[:56] + other[56:]) == {"tag"}
    middle = 56 + SEALED_CHUNK
    assert ways(one[:middle] + other[middle:]) == {"tag"}


PLACES = [(ID, "original", 1), (uuid4(), "original", 1), (ID, "playback", 1), (ID, "original", 2)]


@pytest.mark.parametrize("place", PLACES[1:], ids=["recording", "rendition", "version"])
@pytest.mark.parametrize("of", [seal.content_context, seal.trailer_context])
def test_what_belongs_elsewhere_does_not_open(
    of: Callable[..., bytes], place: tuple[Any, ...]
) -> None:
    sealed = seal.seal(KEY, of(*PLACES[0]), b"x")
    assert broken(lambda: seal.unseal(KEY, of(*place), sealed)) == "commitment"


def test_content_is_not_taken_for_a_trailer_nor_a_descriptor_for_another() -> None:
    contexts = [
        seal.content_context(ID, "original", 1),
        seal.trailer_context(ID, "original", 1),
        seal.descriptor_context(ID, 1),
        seal.descriptor_context(ID, 2),
        seal.description_context(ID),
        seal.data_key_context(ID, COHORT),
        seal.data_key_context(ID, COHORT.replace(day=25)),
        seal.index_file_context("2026-11", 1, "x"),
        seal.index_file_context("2026-11", 2, "x"),
        seal.key_file_context("cohort/2027-11-24"),
    ]
    for one in contexts:
        sealed = seal.seal(KEY, one, b"x")
        assert [c for c in contexts if _opens(c, sealed)] == [one]


def _opens(ctx: bytes, sealed: bytes) -> bool:
    try:
        return seal.unseal(KEY, ctx, sealed) == b"x"
    except SealBroken:
        return False


# -- envelopes and trailers ------------------------------------------------------------


def envelope(**changes: Any) -> seal.Envelope:
    made = seal.Envelope(
        id=ID,
        cohort=COHORT,
        rendition="original",
        version=1,
        seq=1,
        wrapped_key=keys.wrap_data_key(bytes(32), ID, COHORT, KEY),
        descriptor=seal.seal(KEY, seal.descriptor_context(ID, 1), b"{}"),
    )
    return replace(made, **changes)


@given(
    st.uuids(),
    st.dates(),
    st.sampled_from(("original", "playback", "envelope")),
    st.integers(1, 2**31 - 1),
    st.integers(1, 2**31 - 1),
    st.binary(max_size=300),
    st.none() | st.binary(max_size=1000),
    st.binary(max_size=20),
)
def test_an_envelope_is_read_as_it_was_written(
    id: UUID,
    cohort: date,
    rendition: str,
    version: int,
    seq: int,
    wrapped_key: bytes,
    descriptor: bytes | None,
    after: bytes,
) -> None:
    written = envelope(
        id=id,
        cohort=cohort,
        rendition=rendition,
        version=version,
        seq=seq,
        wrapped_key=wrapped_key,
        descriptor=descriptor,
    )
    encoded = written.encode()
    assert seal.Envelope.parse(encoded + after) == (written, len(encoded))
    assert seal.header_length(encoded[:12]) == len(encoded)


def test_an_envelope_too_long_to_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="an envelope of more than"):
        envelope(descriptor=bytes(seal.MAX_HEADER_BYTES)).encode()


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_read_or_refused(raw: bytes) -> None:
    for head in (raw, b"CARC\x01\0\0\0" + raw, b"CARC\x01\0\0\0\0\0\0" + raw[:100]):
        with pytest.raises(SealBroken):
            seal.Envelope.parse(head)


def test_an_envelope_says_what_differs_from_its_place() -> None:
    own = envelope()
    own.require(id=ID, rendition="original", version=1, cohort=COHORT)
    own.require(id=ID, rendition="original", version=1)
    place: dict[str, Any] = {"id": ID, "rendition": "original", "version": 1, "cohort": COHORT}
    for name, value, reason in (
        ("id", uuid4(), "wrong recording"),
        ("rendition", "text", "wrong rendition"),
        ("version", 2, "wrong version"),
        ("cohort", date(2027, 11, 25), "wrong cohort"),
    ):
        changed = {**place, name: value}
        assert broken(lambda changed=changed: own.require(**changed)) == reason  # type: ignore[misc]


def test_a_trailer_tells_digest_and_length() -> None:
    place: dict[str, Any] = {"id": ID, "rendition": "text", "version": 7}
    sealed = seal.seal_trailer(KEY, **place, sha256=b"d" * 32, length=2**40)
    assert len(sealed) == seal.TRAILER_BYTES == 112
    assert seal.open_trailer(KEY, **place, sealed=sealed) == (b"d" * 32, 2**40)


def test_a_trailer_of_another_size_is_refused() -> None:
    sealed = seal.seal(KEY, seal.trailer_context(ID, "text", 7), b"short")
    place: dict[str, Any] = {"id": ID, "rendition": "text", "version": 7}
    assert broken(lambda: seal.open_trailer(KEY, **place, sealed=sealed)) == "trailer"


def test_an_object_with_any_byte_changed_does_not_open() -> None:
    vector = parse_vector(VECTORS / "seal" / "object-original.txt")
    raw = base64.b64decode(vector["object"])
    chosen = random.Random(1)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << chosen.randrange(8)
        vector["object"] = base64.b64encode(bytes(changed)).decode()
        broken(lambda: open_object(vector))
