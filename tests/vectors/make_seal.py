"""Makes tests/vectors/seal/*.txt: `python tests/vectors/make_seal.py`.

Written from docs/format.md and the C2SP specification with HKDF and AES-GCM alone, and knows
nothing of archive/seal.py: that the two agree is what the vectors are for. Keys, salts and
plaintexts are derived from fixed names, so that the same files come out every time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

FOLDER = Path(__file__).parent / "seal"
CHUNK = 16384
SEALED_CHUNK = CHUNK + 16

ID = "0b0f6a3e-5d0c-4c3f-9a51-2f6d1e6f8a01"
OTHER_ID = "7c1d2e90-11aa-4b6e-8f2e-90a1b2c3d4e5"
COHORT = "2027-11-24"
OTHER_COHORT = "2027-11-25"

Lines = list[tuple[str, str]]


def fixed(name: str, length: int = 32) -> bytes:
    """Bytes that depend on the name only: SHA-256 of name and counter, repeated."""
    blocks = (
        hashlib.sha256(f"contact-archive vector/{name}/{i}".encode()).digest()
        for i in range(length // 32 + 1)
    )
    return b"".join(blocks)[:length]


def context(*fields: str) -> bytes:
    raw = [field.encode() for field in ("contact-archive/1", *fields)]
    return b"".join(struct.pack(">I", len(field)) + field for field in raw)


def seal(key: bytes, ctx: bytes, plaintext: bytes, *, salt: bytes) -> bytes:
    info = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\0" + salt + ctx
    okm = HKDFExpand(SHA512(), 32 + 12 + 32, info).derive(key)
    aead, base, commitment = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:]
    sealed = salt + commitment
    for number in range(len(plaintext) // CHUNK + 1):
        nonce = (base ^ number).to_bytes(12, "big")
        sealed += aead.encrypt(nonce, plaintext[number * CHUNK : (number + 1) * CHUNK], None)
    return sealed


# -- streams ---------------------------------------------------------------------------

STREAM_KEY = fixed("stream key")
STREAM_CONTEXT = context("content", ID, "original", "1")


def stream(length: int) -> bytes:
    return seal(
        STREAM_KEY,
        STREAM_CONTEXT,
        fixed("plaintext", length),
        salt=fixed(f"salt of {length}", 24),
    )


def stream_lines(
    sealed: bytes, comment: str, expect: str, *, length: int | None = None, **other: bytes
) -> Lines:
    lines = [
        ("comment", comment),
        ("kind", "stream"),
        ("expect", expect),
        ("key", other.get("key", STREAM_KEY).hex()),
        ("context", other.get("ctx", STREAM_CONTEXT).hex()),
    ]
    if length is not None:
        digest = hashlib.sha256(fixed("plaintext", length)).hexdigest()
        lines += [("plain_length", str(length)), ("plain_sha256", digest)]
    return [*lines, ("sealed", base64.b64encode(sealed).decode())]


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


def streams() -> dict[str, Lines]:
    whole = {
        "empty": (0, "one chunk, empty"),
        "one-byte": (1, "one chunk of one byte"),
        "a-chunk-less-one": (CHUNK - 1, "the longest last chunk"),
        "a-chunk": (CHUNK, "a full chunk is never the last: an empty one follows"),
        "a-chunk-and-one": (CHUNK + 1, "two chunks"),
    }
    made = {
        f"stream-{name}": stream_lines(stream(length), comment, "success", length=length)
        for name, (length, comment) in whole.items()
    }
    return made | broken_streams()


def broken_streams() -> dict[str, Lines]:
    short, two = stream(100), stream(CHUNK + 1)
    three = stream(2 * CHUNK + 5)
    first, second = (three[56 + k * SEALED_CHUNK : 56 + (k + 1) * SEALED_CHUNK] for k in (0, 1))
    reordered = three[:56] + second + first + three[56 + 2 * SEALED_CHUNK :]
    other_context = context("content", ID, "original", "2")
    cases: dict[str, tuple[bytes, str, str]] = {
        "salt-changed": (flipped(short, 0), "a bit of the salt", "commitment failure"),
        "commitment-changed": (flipped(short, 24), "a bit of it", "commitment failure"),
        "ciphertext-changed": (flipped(short, 60), "a bit of the text", "tag failure"),
        "tag-changed": (flipped(short, len(short) - 1), "a bit of the tag", "tag failure"),
        "first-chunk-changed": (flipped(two, 100), "the last chunk is whole", "tag failure"),
        "chunks-reordered": (reordered, "first and second change places", "tag failure"),
        "last-byte-missing": (short[:-1], "the tag then covers other bytes", "tag failure"),
        "extended": (short + b"\0" * 20, "20 bytes after the end", "tag failure"),
        "last-chunk-missing": (two[: 56 + SEALED_CHUNK], "ends with a full chunk", "truncated"),
        "ends-within-a-tag": (two[: 56 + SEALED_CHUNK + 9], "9 bytes of a chunk", "truncated"),
        "only-the-prefix": (short[:56], "no chunk at all", "truncated"),
        "ends-within-the-prefix": (short[:40], "commitment cut", "truncated"),
        "nothing": (b"", "no byte", "truncated"),
    }
    made = {
        f"stream-{name}": stream_lines(sealed, comment, expect)
        for name, (sealed, comment, expect) in cases.items()
    }
    made["stream-wrong-key"] = stream_lines(
        short, "another key", "commitment failure", key=fixed("another key")
    )
    made["stream-wrong-context"] = stream_lines(
        short, "another version's context", "commitment failure", ctx=other_context
    )
    return made


# -- objects ---------------------------------------------------------------------------

COHORT_KEY, DATA_KEY = fixed("cohort key"), fixed("data key")
CONTENT = fixed("content", 300)
DESCRIPTOR = b'{"source":"vectors"}'


def header_fields(
    id: str = ID,
    cohort: str = COHORT,
    rendition: str = "original",
    version: int = 1,
    seq: int = 1,
) -> dict[str, object]:
    wrapped = seal(
        COHORT_KEY, context("data-key", id, cohort), DATA_KEY, salt=fixed(f"wrap {id}", 24)
    )
    fields: dict[str, object] = {
        "v": 1,
        "id": id,
        "cohort": cohort,
        "rendition": rendition,
        "version": version,
        "seq": seq,
        "wrapped_key": base64.b64encode(wrapped).decode(),
    }
    if rendition in ("original", "envelope"):
        ctx = context("descriptor", id, str(seq))
        sealed = seal(DATA_KEY, ctx, DESCRIPTOR, salt=fixed(f"descriptor {id} {seq}", 24))
        fields["descriptor"] = base64.b64encode(sealed).decode()
    return fields


def framed(header: bytes, *, preamble: bytes = b"CARC\x01\0\0\0") -> bytes:
    return preamble + struct.pack(">I", len(header)) + header


def encoded(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def body(id: str = ID, rendition: str = "original", version: int = 1) -> bytes:
    place = (id, rendition, str(version))
    digest = hashlib.sha256(CONTENT).digest() + struct.pack(">Q", len(CONTENT))
    return seal(
        DATA_KEY, context("content", *place), CONTENT, salt=fixed(f"content {place}", 24)
    ) + seal(DATA_KEY, context("trailer", *place), digest, salt=fixed(f"trailer {place}", 24))


def object_lines(
    raw: bytes,
    comment: str,
    expect: str,
    *,
    id: str = ID,
    cohort: str = COHORT,
    rendition: str = "original",
    version: int = 1,
) -> Lines:
    return [
        ("comment", comment),
        ("kind", "object"),
        ("expect", expect),
        ("cohort_key", COHORT_KEY.hex()),
        ("id", id),
        ("cohort", cohort),
        ("rendition", rendition),
        ("version", str(version)),
        ("plain_length", str(len(CONTENT))),
        ("plain_sha256", hashlib.sha256(CONTENT).hexdigest()),
        ("descriptor", DESCRIPTOR.hex()),
        ("object", base64.b64encode(raw).decode()),
    ]


def objects() -> dict[str, Lines]:
    head, original = framed(encoded(header_fields())), body()
    whole = head + original
    playback_fields = header_fields(rendition="playback", version=2)
    playback = framed(encoded(playback_fields)) + body(rendition="playback", version=2)
    later = framed(encoded(header_fields() | {"z": {"later": ["versions", 2, None]}})) + original
    envelope = framed(encoded(header_fields(rendition="envelope", version=3, seq=3)))
    made = {
        "object-original": object_lines(whole, "an original", "success"),
        "object-rendition": object_lines(
            playback, "no descriptor", "success", rendition="playback", version=2
        ),
        "object-envelope": object_lines(
            envelope, "no stream, no trailer", "success", rendition="envelope", version=3
        ),
        "object-unknown-field": object_lines(later, "is passed over", "success"),
    }
    return made | misplaced_objects(whole) | broken_objects(whole, len(head)) | broken_headers()


def misplaced_objects(whole: bytes) -> dict[str, Lines]:
    own = header_fields()
    as_other = framed(encoded(own | {"id": OTHER_ID}))
    as_later = framed(encoded(own | {"cohort": OTHER_COHORT}))
    as_second = framed(encoded(own | {"version": 2}))
    as_text = framed(encoded(own | {"rendition": "text"}))
    as_seq = framed(encoded(own | {"seq": 2}))
    swapped = framed(encoded(own)) + body(OTHER_ID)
    return {
        "object-of-another-recording": object_lines(
            whole, "stored under another's name", "wrong recording", id=OTHER_ID
        ),
        "object-id-rewritten": object_lines(
            as_other + body(), "and its header made to match", "commitment failure", id=OTHER_ID
        ),
        "object-content-swapped": object_lines(
            swapped, "content of another recording, same data key", "commitment failure"
        ),
        "object-of-another-cohort": object_lines(
            whole, "the row says another day", "wrong cohort", cohort=OTHER_COHORT
        ),
        "object-cohort-rewritten": object_lines(
            as_later + body(), "a day more to live", "commitment failure", cohort=OTHER_COHORT
        ),
        "object-of-another-version": object_lines(
            whole, "an older version put back", "wrong version", version=2
        ),
        "object-version-rewritten": object_lines(
            as_second + body(), "and its header made to match", "commitment failure", version=2
        ),
        "object-of-another-rendition": object_lines(
            whole, "the original in place of the text", "wrong rendition", rendition="text"
        ),
        "object-rendition-rewritten": object_lines(
            as_text + body(), "header made to match", "commitment failure", rendition="text"
        ),
        "object-seq-rewritten": object_lines(
            as_seq + body(), "an old descriptor made new", "commitment failure"
        ),
    }


def broken_objects(whole: bytes, head: int) -> dict[str, Lines]:
    too_long = b"CARC\x01\0\0\0" + struct.pack(">I", 4 * 1024 * 1024 + 1) + b"{}"
    cases: dict[str, tuple[bytes, str, str]] = {
        "not-ours": (b"RIFF" + whole[4:], "another magic", "not an object"),
        "nothing": (b"", "no byte", "not an object"),
        "of-a-later-version": (whole[:4] + b"\2" + whole[5:], "version 2", "unknown version"),
        "reserved-byte-set": (whole[:7] + b"\1" + whole[8:], "not zero", "unknown version"),
        "header-too-long": (too_long, "4 MiB and one byte", "header too long"),
        "ends-within-the-preamble": (whole[:10], "no header length", "truncated"),
        "ends-within-the-header": (whole[: head - 1], "header cut", "truncated"),
        "ends-after-the-header": (whole[:head], "an original needs a stream", "truncated"),
        "trailer-missing": (whole[:-112], "the content's end is taken for it", "tag failure"),
        "trailer-changed": (flipped(whole, len(whole) - 1), "a bit of its tag", "tag failure"),
        "content-changed": (flipped(whole, head + 60), "a bit of it", "tag failure"),
        "content-shortened": (whole[:-113] + whole[-112:], "a byte out", "tag failure"),
    }
    return {
        f"object-{name}": object_lines(raw, comment, expect)
        for name, (raw, comment, expect) in cases.items()
    }


def broken_headers() -> dict[str, Lines]:
    own = header_fields()
    plain = encoded(own)
    without_key = {name: value for name, value in own.items() if name != "wrapped_key"}
    not_canonical = str(own["wrapped_key"]).replace("=", "")
    cases = {
        "not-json": b'{"v":1',
        "a-list": b"[1]",
        "not-utf-8": plain.replace(b"original", b"origin\xff\xff"),
        "nested-too-deeply": b"[" * 50_000,
        "field-missing": encoded(without_key),
        "field-twice": plain[:-1] + b',"id":"' + OTHER_ID.encode() + b'"}',
        "version-not-a-number": encoded(own | {"version": True}),
        "version-zero": encoded(own | {"version": 0}),
        "id-not-text": encoded(own | {"id": 5}),
        "id-in-capitals": encoded(own | {"id": ID.upper()}),
        "cohort-in-another-form": encoded(own | {"cohort": "20271124"}),
        "rendition-like-a-path": encoded(own | {"rendition": "../original"}),
        "base64-not-padded": encoded(own | {"wrapped_key": not_canonical}),
        "other-version-inside": encoded(own | {"v": 2}),
    }
    return {
        f"header-{name}": object_lines(framed(header) + body(), name.replace("-", " "), "header")
        for name, header in cases.items()
    }


# -- contexts --------------------------------------------------------------------------


def contexts() -> dict[str, Lines]:
    place = (ID, "playback", "2")
    made = {
        "content": context("content", *place),
        "trailer": context("trailer", *place),
        "descriptor": context("descriptor", ID, "3"),
        "description": context("description", ID),
        "data-key": context("data-key", ID, COHORT),
        "index-file": context("index-file", "2026-11", "4", "MAIN_1.toc"),
        "key-file": context("key-file", f"cohort/{COHORT}"),
    }
    lines: Lines = [
        ("comment", "the contexts of docs/format.md for fixed places"),
        ("kind", "contexts"),
        ("expect", "success"),
        ("id", ID),
        ("cohort", COHORT),
    ]
    return {"contexts": [*lines, *((name, raw.hex()) for name, raw in made.items())]}


def vectors() -> dict[str, str]:
    """File name -> text of every vector."""
    made = streams() | objects() | contexts()
    return {
        f"{name}.txt": "".join(f"{key}: {value}\n" for key, value in lines)
        for name, lines in made.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, text in vectors().items():
        (FOLDER / name).write_text(text, encoding="ascii")
