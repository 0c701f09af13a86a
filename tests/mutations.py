"""Files of the corpus, damaged at random, given to whatever reads files: no crash, no hang.

Each input is made anew from a seed and its number, so what a run finds can be made again. It is
read in a child process, whose silence is noticed; what brings a reader down is kept in
tests/regressions/fuzz, where `make test` tries it for ever after.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from archive.errors import BadFields
from archive.formats import call, mail_read, sniffing, vcon_read
from archive.sources import announced, cdr, pbx_names
from tests.cdr_samples import A_LEG, freeswitch_json, freeswitch_xml

FOUND = Path(__file__).parent / "regressions" / "fuzz"
SECONDS = 12.0
SLOW_S = 5.0  # of the processor, for one file
SILENT_S = 60.0
MOST_BYTES = 60_000
MEMORY_MB = 3000
AUDIO_EVERY = 60  # a decoder is started for each, which costs what a thousand others do
TOKENS: Mapping[str, tuple[bytes, ...]] = {
    "mail": (
        b"=?utf-8?B?", b"=?iso-8859-1?Q?=FF", b"?=", b"--", b"\r\n\r\n", b"boundary=", b"\n\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n", b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Type: message/rfc822\r\n", b"<" * 500, b"(" * 500, b",;:" * 100, b"charset=utf-7",
        b"filename*0*=", b"begin 644 x\n", b"<!--", b"&#x110000;", b"\xff\xfe", b"Date: ",
    ),
    "audio": (b"RIFF", b"data", b"fmt ", b"OggS", b"ID3", b"ftyp", b"\xff" * 4, b"\0" * 64),
    "cdr": (b'"', b",", b"\r", b"<cdr>", b"</", b"&#0;", b"<![CDATA[", b"<!DOCTYPE x [", b"%00"),
    "vcon": (b"{", b"[" * 200, b"null", b"1e999", b'"dialog"', b'"parties"', b"-1", b'"\\ud800"'),
    "announced": (b'"', b",", b"\r", "²".encode(), b"source_ref,occurred_at\n", b"\n9999-99-99"),
}  # fmt: skip


# -- the readers, each with what it may say of a bad file --------------------------------


def _mail(raw: bytes) -> None:
    parsed = mail_read.parse_mail(raw)
    mail_read.parse_mail(raw, depth=mail_read.Depth.HEADERS)
    for index in range(len(parsed.description.attachments)):
        mail_read.attachment(raw, index)
    sniffing.content_type(raw)


def _audio(raw: bytes) -> None:
    def take(file: IO[bytes]) -> None:
        while file.read(65536):
            pass

    limits = call.Limits(wall_s=10, cpu_s=5, output_bytes=100_000_000)
    call.decode_call(
        [raw],
        length=len(raw),
        codec="pcm_mulaw",
        claimed_duration_s=None,
        limits=limits,
        playback=take,
        memory_budget=call.MemoryBudget(100_000_000),
    )


def _cdr(raw: bytes) -> None:
    with suppress(cdr.NotACdrError):
        cdr.freeswitch(raw)
    list(cdr.asterisk(raw.decode("utf-8", "replace").splitlines(True)))
    cdr.is_cdr(raw)
    cdr.is_csv(raw)
    pbx_names.told(raw[:200].decode("utf-8", "replace"))


def _vcon(raw: bytes) -> None:
    vcon_read.looks_like("a.json", raw[:4096])
    with suppress(vcon_read.NotReadableError):
        vcon_read.read(raw)


def _announced(raw: bytes) -> None:
    with suppress(BadFields):
        announced.read(raw.decode("utf-8", "replace").splitlines(True))


READERS: Mapping[str, Callable[[bytes], None]] = {
    "mail": _mail,
    "audio": _audio,
    "cdr": _cdr,
    "vcon": _vcon,
    "announced": _announced,
}


# -- what they are given -----------------------------------------------------------------


def gather(corpus: Path) -> dict[str, list[bytes]]:
    """The files of the corpus by the reader that they are for, with samples of ours beside."""
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    tables = [path.read_bytes() for path in _files(corpus / "metadata", ".csv")]
    told = [b"source_ref,occurred_at,sequence\n17,2026-11-23T11:00:00+02:00,3\n"]
    return {
        "mail": [path.read_bytes() for path in _files(corpus / "email")],
        "audio": [path.read_bytes() for path in _files(corpus / "audio")],
        "cdr": [freeswitch_xml(A_LEG, at), freeswitch_json(A_LEG, at), *tables],
        "vcon": [path.read_bytes() for path in _files(corpus / "metadata", ".json", ".vcon")],
        "announced": told + tables,
    }


def _files(folder: Path, *endings: str) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.stat().st_size <= MOST_BYTES
        and (not endings or path.suffix in endings)
    )


def case(files: Mapping[str, Sequence[bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """The reader and the input of this number."""
    chance = random.Random(f"{seed}:{number}")
    others = [kind for kind in files if kind != "audio" and files[kind]]
    audio = number % AUDIO_EVERY == 0 and files.get("audio")
    kind = "audio" if audio or not others else chance.choice(others)
    raw = bytearray(chance.choice(files[kind]))
    for _ in range(chance.randrange(1, 6)):
        chance.choice(_MUTATIONS)(raw, chance, kind, files[kind])
    return kind, bytes(raw[: 2 * MOST_BYTES])


def _flip(raw: bytearray, chance: random.Random, _kind: str, _files: Sequence[bytes]) -> None:
    for _ in range(chance.randrange(1, 9)):
        if raw:
            raw[_place(raw, chance) - 1] = chance.randrange(256)


def _cut(raw: bytearray, chance: random.Random, _kind: str, _files: Sequence[bytes]) -> None:
    at = _place(raw, chance)
    del raw[at : at + chance.choice((1, 2, 80, 2000, 10**6))]


def _repeat(raw: bytearray, chance: random.Random, _kind: str, _files: Sequence[bytes]) -> None:
    at = _place(raw, chance)
    raw[at:at] = raw[at : at + chance.randrange(1, 200)] * chance.choice((1, 2, 50))


def _insert(raw: bytearray, chance: random.Random, kind: str, _files: Sequence[bytes]) -> None:
    at = _place(raw, chance)
    raw[at:at] = chance.choice(TOKENS[kind])


def _splice(raw: bytearray, chance: random.Random, _kind: str, files: Sequence[bytes]) -> None:
    other = chance.choice(files)
    at = chance.randrange(len(other) + 1)
    raw[_place(raw, chance) :] = other[at:]


def _lines(raw: bytearray, chance: random.Random, _kind: str, _files: Sequence[bytes]) -> None:
    lines = bytes(raw).splitlines(True)
    if len(lines) > 1:
        one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one], lines[two] = lines[two], lines[one]
        raw[:] = b"".join(lines)


def _number(raw: bytearray, chance: random.Random, _kind: str, _files: Sequence[bytes]) -> None:
    """A number or moment that no program writes in place of one that is there."""
    there = list(_DIGITS.finditer(raw[:MOST_BYTES]))
    if there:
        start, end = chance.choice(there).span()
        raw[start:end] = chance.choice(_NUMBERS)


_DIGITS = re.compile(rb"\d[\d:. -]*\d|\d")
_NUMBERS = (
    b"0", b"-1", b"9" * 20, b"9" * 5000, "²".encode(), b"1e999", b"NaN", b"0001-01-01 00:00:00",
    b"9999-12-31 23:59:59", b"2026-99-99 11:00:00", b"",
)  # fmt: skip
_MUTATIONS = (_flip, _cut, _repeat, _insert, _splice, _lines, _number)


def _place(raw: bytearray, chance: random.Random) -> int:
    """More often near the beginning, where heads are."""
    most = len(raw) if chance.random() < 0.5 else min(len(raw), 600)
    return chance.randrange(most + 1)


# -- the run -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What happened with the input of this number."""

    number: int
    kind: str
    what: str


def run(corpus: Path, *, seed: int | None = None, seconds: float = SECONDS) -> list[str]:
    """Reads damaged files for so long; each finding as a sentence, its input kept as a file."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    files = gather(corpus)
    counted, findings, number, began = Counter[str](), list[Finding](), 0, time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0 and len(findings) < 20:
        number, ended = _child_of(files, seed, number, left, counted)
        if ended and (ended.kind, ended.what) not in {(f.kind, f.what) for f in findings}:
            findings.append(ended)
    told = ", ".join(f"{counted[kind]} {kind}" for kind in READERS)
    print(f"damaged files, seed {seed}: {told}; {len(findings)} findings")
    return [_kept(files, seed, finding) for finding in findings]


def _child_of(
    files: Mapping[str, Sequence[bytes]],
    seed: int,
    number: int,
    seconds: float,
    counted: Counter[str],
) -> tuple[int, Finding | None]:
    """One child, until its time is over or something is found; the next number."""
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe(duplex=False)
    child = context.Process(target=_read, args=(files, seed, number, seconds, its))
    child.start()
    its.close()
    kind, finding = "", None
    try:
        while finding is None:
            if not ours.poll(SILENT_S):
                finding = Finding(number, kind, f"silent for {SILENT_S:.0f} s")
                break
            said: tuple[int, str, str] = ours.recv()
            if said[2] == "begun":
                number, kind = said[0], said[1]
                counted[kind] += 1
            elif said[2]:
                finding = Finding(*said)
            else:
                return said[0], None
    except EOFError:
        finding = Finding(number, kind, "the process ended")
    finally:
        child.kill()
        child.join()
        ours.close()
    return number + 1, finding


def _read(
    files: Mapping[str, Sequence[bytes]], seed: int, number: int, seconds: float, to: Connection
) -> None:
    """In the child: tells what it begins, and what went wrong; "" when the time is over."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB * 1024 * 1024,) * 2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind, raw = case(files, seed, number)
        to.send((number, kind, "begun"))
        began = time.process_time()
        try:
            READERS[kind](raw)
        except BaseException as error:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"  # type: ignore[union-attr]
            to.send((number, kind, f"{type(error).__name__} at {where}"))
            return
        if (took := time.process_time() - began) > SLOW_S:
            to.send((number, kind, f"{took:.1f} s for {len(raw)} bytes"))
            return
        number += 1
    to.send((number, "", ""))


def _kept(files: Mapping[str, Sequence[bytes]], seed: int, finding: Finding) -> str:
    kind, raw = case(files, seed, finding.number)
    path = FOUND / f"{kind}-{hashlib.sha256(raw).hexdigest()[:12]}"
    path.write_bytes(raw)
    return f"{kind} {seed}:{finding.number}: {finding.what}; kept as {path.name}"


if __name__ == "__main__":
    corpus, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print("\n".join(run(corpus, seed=seed, seconds=seconds)))
