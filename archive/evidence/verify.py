"""Checks an evidence package. Needs Python 3.8 or later and nothing else: no archive, no network.

    python3 verify.py PACKAGE.zip [--key PUBLIC-KEY.pem]
    python3 verify.py FOLDER            (what the package was unpacked into)

Every byte of the ZIP is held against what its signed manifest says: the files, and also what lies
between and behind them. Ends with 0 where everything holds, with 1 where anything does not; each
thing that does not is named. Without --key it says whose signature it found; compare that with
the fingerprint that the archive's keeper publishes.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import functools
import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO, List, Optional, Tuple  # noqa: UP035

MANIFEST = "manifest.json"
KIND = "contact-archive-evidence"
MOST_MANIFEST = 64 * 1024 * 1024
BLOCK = 1024 * 1024
LARGE = 0xFFFFFFFF
DOS_TIME, DOS_DAY = 0, 0x21  # 1 January 1980: the true times are in the manifest
UTF8 = 0x0800
UNSIGNED = ("signature", "public_key")


Checked = Tuple[Optional[dict], Optional[bytes], List[str]]  # type: ignore[type-arg]  # noqa: UP006, UP045
Point = Tuple[int, int, int, int]  # noqa: UP006


class Unusable(Exception):
    """The manifest cannot be read or trusted; its argument says why."""


# -- the ZIP, every byte of which follows from names, lengths and CRCs -----------------


def local_header(name: str, length: int, crc: int) -> bytes:
    """What lies in front of a file's content."""
    raw = name.encode("ascii")
    large = length >= LARGE
    extra = struct.pack("<HHQQ", 1, 16, length, length) if large else b""
    shown = LARGE if large else length
    fields = (0x04034B50, 45 if large else 20, UTF8, 0, DOS_TIME, DOS_DAY, crc)
    return struct.pack("<IHHHHHIIIHH", *fields, shown, shown, len(raw), len(extra)) + raw + extra


def central_entry(name: str, length: int, crc: int, offset: int) -> bytes:
    """A file's entry in the directory at the end."""
    raw = name.encode("ascii")
    parts = []
    if length >= LARGE:
        parts += [length, length]
    if offset >= LARGE:
        parts += [offset]
    extra = struct.pack(f"<HH{len(parts)}Q", 1, 8 * len(parts), *parts) if parts else b""
    version = 45 if parts else 20
    shown = min(length, LARGE)
    return (
        struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 3 << 8 | version, version, UTF8, 0, DOS_TIME,
            DOS_DAY, crc, shown, shown, len(raw), len(extra), 0, 0, 0, 0o100644 << 16,
            min(offset, LARGE),
        )
        + raw
        + extra
    )  # fmt: skip


def end_record(count: int, start: int, length: int) -> bytes:
    """What ends the ZIP: `count` files, a directory of `length` bytes from `start`."""
    end = b""
    if count >= 0xFFFF or start >= LARGE or length >= LARGE:
        end = struct.pack(
            "<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, length, start
        ) + struct.pack("<IIQI", 0x07064B50, 0, start + length, 1)
    few = min(count, 0xFFFF)
    fields = (few, few, min(length, LARGE), min(start, LARGE), 0)
    return end + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, *fields)


def canonical(body: dict[str, Any]) -> bytes:
    """The bytes that are signed: without signature and public key, keys sorted, no blanks."""
    return written({key: body[key] for key in body if key not in UNSIGNED})


def written(body: dict[str, Any]) -> bytes:
    """The one way in which a manifest is written."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


# -- the manifest ----------------------------------------------------------------------


def read_manifest(raw: bytes) -> tuple[dict[str, Any], int]:
    """The manifest and how many bytes it takes at the beginning of `raw`; Unusable."""
    try:
        body, end = json.JSONDecoder().raw_decode(raw.decode("ascii", "replace"))
    except (ValueError, RecursionError):
        raise Unusable("cannot be read as JSON") from None
    if not isinstance(body, dict) or body.get("kind") != KIND or body.get("version") != 1:
        raise Unusable("is not the manifest of an evidence package")
    if raw[:end] != written(body):
        raise Unusable("is not written as it was signed")
    return body, end


def check_signature(body: dict[str, Any], public: bytes | None = None) -> bytes:
    """The key (32 bytes) that signed it; Unusable where the signature does not hold."""
    key, signature = exact(body.get("public_key"), 32), exact(body.get("signature"), 64)
    if not ed25519_holds(key, signature, canonical(body)):
        raise Unusable("its signature does not hold")
    if public is not None and key != public:
        raise Unusable("is signed by another key than the given one")
    return key


def exact(value: Any, length: int) -> bytes:
    """Base64 of so many bytes, written in the one way it can be; Unusable."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Unusable("its signature or key is damaged") from None
    if len(raw) != length or base64.b64encode(raw).decode("ascii") != value:
        raise Unusable("its signature or key is damaged")
    return raw


def listed(body: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    """(name, length, crc32, sha256) of each file after the manifest, in their order; Unusable."""
    try:
        return [
            (str(one["name"]), int(one["bytes"]), int(one["crc32"]), str(one["sha256"]))
            for one in body["files"]
        ]
    except (KeyError, TypeError, ValueError):
        raise Unusable("its list of files is damaged") from None


# -- checking --------------------------------------------------------------------------


def check(path: Path | str, public: bytes | None = None) -> Checked:
    """(manifest or None, key or None, what is wrong) of a package or an unpacked folder."""
    path = Path(path)
    if path.is_dir():
        return check_folder(path, public)
    with path.open("rb") as file:
        return check_zip(file, public)


def check_zip(file: BinaryIO, public: bytes | None = None) -> Checked:
    """The same of an open ZIP file."""
    skipped = len(local_header(MANIFEST, 0, 0))
    head = file.read(skipped)
    raw = file.read(MOST_MANIFEST)
    try:
        body, end = read_manifest(raw)
        key = check_signature(body, public)
        files = listed(body)
    except Unusable as error:
        return None, None, [f"{MANIFEST}: {error}"]
    raw = raw[:end]
    wrong = []
    crc = zlib.crc32(raw)
    if head != local_header(MANIFEST, end, crc):
        wrong.append(f"{MANIFEST}: the header in front of it is changed")
    directory = central_entry(MANIFEST, end, crc, 0)
    entries = [(MANIFEST, directory)]
    offset = skipped + end
    file.seek(offset)
    for name, length, its_crc, digest in files:
        header = local_header(name, length, its_crc)
        if file.read(len(header)) != header:
            wrong.append(f"{name}: the header in front of it is changed")
        if not same_content(file, length, digest):
            wrong.append(f"{name}: is changed")
        entry = central_entry(name, length, its_crc, offset)
        entries.append((name, entry))
        offset += len(header) + length
    size = 0
    for name, entry in entries:
        if file.read(len(entry)) != entry:
            wrong.append(f"{name}: its entry in the directory at the end is changed")
        size += len(entry)
    end_of_zip = end_record(len(entries), offset, size)
    if file.read(len(end_of_zip)) != end_of_zip:
        wrong.append("the end of the ZIP is changed")
    more = sum(len(block) for block in iter(lambda: file.read(BLOCK), b""))
    if more:
        wrong.append(f"{more} bytes follow the end of the ZIP")
    return body, key, wrong


def same_content(file: BinaryIO, length: int, digest: str) -> bool:
    """Whether the next `length` bytes have this SHA-256 (hex)."""
    found = hashlib.sha256()
    while length:
        block = file.read(min(BLOCK, length))
        if not block:
            return False
        found.update(block)
        length -= len(block)
    return found.hexdigest() == digest


def check_folder(folder: Path, public: bytes | None = None) -> Checked:
    """The same of an unpacked folder: every listed file, and that there is no other."""
    try:
        raw = (folder / MANIFEST).read_bytes()
        body, end = read_manifest(raw)
        if end != len(raw):
            raise Unusable("has more behind its end")
        key = check_signature(body, public)
        files = listed(body)
    except OSError:
        return None, None, [f"{MANIFEST}: is missing"]
    except Unusable as error:
        return None, None, [f"{MANIFEST}: {error}"]
    wrong = []
    for name, length, _, digest in files:
        path = folder / name
        if ".." in name.split("/") or not path.is_file():
            wrong.append(f"{name}: is missing")
            continue
        with path.open("rb") as file:
            if path.stat().st_size != length or not same_content(file, length, digest):
                wrong.append(f"{name}: is changed")
    known = {MANIFEST} | {name for name, _, _, _ in files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in known:
            wrong.append(f"{name}: does not belong to the package")
    return body, key, wrong


def fingerprint(key: bytes) -> str:
    """How a public key is read out: SHA-256, in groups."""
    digest = hashlib.sha256(key).hexdigest()
    return " ".join(digest[at : at + 8] for at in range(0, 64, 8))


def public_from(pem: bytes) -> bytes:
    """The 32 bytes of an Ed25519 key in a PEM file (SubjectPublicKeyInfo); Unusable."""
    lines = [line.strip() for line in pem.decode("ascii", "replace").splitlines()]
    try:
        raw = base64.b64decode("".join(line for line in lines if "-----" not in line))
    except binascii.Error:
        raw = b""
    prefix = bytes.fromhex("302a300506032b6570032100")
    if len(raw) != 44 or not raw.startswith(prefix):
        raise Unusable("the key file holds no Ed25519 public key")
    return raw[len(prefix) :]


# -- Ed25519 (RFC 8032, section 5.1.7), for a Python without any package ---------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


@functools.lru_cache(maxsize=8)
def ed25519_holds(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature (64 bytes) of the message is that of the key (32 bytes)."""
    point, r_point = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if point is None or r_point is None or s >= ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    h = int.from_bytes(hashed, "little") % ORDER
    return same_point(multiply(s, BASE), add(r_point, multiply(h, point)))


def decompress(raw: bytes) -> Point | None:
    """The point in 32 bytes, or None."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def add(one: Point, other: Point) -> Point:
    """The sum of two points in extended coordinates."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number: int, point: Point) -> Point:
    """The point so many times."""
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def same_point(one: Point, other: Point) -> bool:
    """Whether two points are the same one."""
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (
        one[1] * other[2] - other[1] * one[2]
    ) % P == 0


BASE: Any = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 where everything holds."""
    parser = argparse.ArgumentParser(description="Checks an evidence package.")
    parser.add_argument("package", help="the ZIP file, or the folder it was unpacked into")
    parser.add_argument("--key", help="PEM file of the archive's public key")
    given = parser.parse_args(arguments)
    try:
        public = public_from(Path(given.key).read_bytes()) if given.key else None
        body, key, wrong = check(given.package, public)
    except (OSError, Unusable) as error:
        parser.exit(2, f"verify: {error}\n")
    for problem in wrong:
        sys.stdout.write(f"BAD  {problem}\n")
    if body is None or key is None or wrong:
        sys.stdout.write("The package does not hold.\n")
        return 1
    count = len(body["files"]) + 1
    sys.stdout.write(f"case {body.get('case')}, made {body.get('made_at')}: {count} files\n")
    sys.stdout.write("every byte is as it was signed\n")
    sys.stdout.write(f"signed by the key {fingerprint(key)}\n")
    if public is None:
        sys.stdout.write("compare this with what the archive's keeper publishes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
