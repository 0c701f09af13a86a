"""Writes Outlook .msg files, as Outlook lays them out and as nobody should (MS-CFB, MS-OXMSG)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

Tree = Mapping[str, "bytes | Tree"]

SECTOR, MINI, CUTOFF = 512, 64, 4096
FREE, END, FAT_SECTOR, NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
OCCURRED = datetime(2026, 11, 20, 9, 15, 0, tzinfo=UTC)


def compound(tree: Tree) -> bytes:
    """A compound file of version 3 with these streams and storages."""
    entries: list[list[object]] = []  # name, kind, child, next sibling, start, content
    _add(entries, "Root Entry", tree, kind=5)
    mini, mini_fat, big, fat = bytearray(), [], bytearray(), []
    for entry in entries:
        content = entry[5]
        if not isinstance(content, bytes) or not content:
            continue
        small = len(content) < CUTOFF
        size, table, place = (MINI, mini_fat, mini) if small else (SECTOR, fat, big)
        entry[4] = len(table)
        place += content.ljust(-(-len(content) // size) * size, b"\0")
        count = len(place) // size - len(table)
        table += [*range(len(table) + 1, len(table) + count), END]
    first_mini = _chain(big, fat, bytes(mini)) if mini else END
    entries[0][4], entries[0][5] = first_mini, bytes(mini)
    first_mini_fat = _chain(big, fat, _numbers(mini_fat)) if mini_fat else END
    first_directory = _chain(big, fat, b"".join(map(_entry, entries)))
    sectors = 1
    while (len(fat) + sectors) > sectors * SECTOR // 4:
        sectors += 1
    at = len(fat)
    fat += [FAT_SECTOR] * sectors
    big += _numbers(fat)
    places = [*range(at, at + sectors)]
    head = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6)
    )
    head += bytes(6) + struct.pack("<III", 0, sectors, first_directory) + bytes(4)
    head += struct.pack("<II", CUTOFF, first_mini_fat)
    head += struct.pack("<III", -(-len(mini_fat) * 4 // SECTOR), END, 0)
    head += b"".join(struct.pack("<I", each) for each in (places + [FREE] * 109)[:109])
    return head + bytes(big)


def _add(entries: list[list[object]], name: str, inside: bytes | Tree, *, kind: int) -> int:
    at = len(entries)
    content = inside if isinstance(inside, bytes) else b""
    entry: list[object] = [name, kind, NONE, NONE, END, content]
    entries.append(entry)
    if not isinstance(inside, bytes):
        before = NONE
        for each, content in inside.items():
            made = _add(entries, each, content, kind=2 if isinstance(content, bytes) else 1)
            entries[made][3] = before
            before = made
        entry[2] = before
    return at


def _entry(entry: list[object]) -> bytes:
    name, kind, child, sibling, start, content = entry
    written = str(name).encode("utf-16-le") + b"\0\0"
    assert isinstance(content, bytes)
    head = written.ljust(64, b"\0") + struct.pack("<HBB", len(written), kind, 1)
    return (
        head
        + struct.pack("<III", NONE, sibling, child)
        + bytes(36)
        + struct.pack("<IQ", start, len(content))
    )


def _chain(big: bytearray, fat: list[int], content: bytes) -> int:
    start = len(fat)
    big += content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
    fat += [*range(start + 1, len(big) // SECTOR), END]
    return start


def _numbers(table: Sequence[int]) -> bytes:
    raw = b"".join(struct.pack("<I", each) for each in table)
    return raw.ljust(-(-len(raw) // SECTOR) * SECTOR, b"\xff")


# -- messages --------------------------------------------------------------------------


def text(id: int, value: str) -> dict[str, bytes]:
    """A Unicode property."""
    return {f"__substg1.0_{id:04X}001F": value.encode("utf-16-le")}


def narrow(id: int, value: bytes) -> dict[str, bytes]:
    """A text in the message's code page."""
    return {f"__substg1.0_{id:04X}001E": value}


def binary(id: int, value: bytes) -> dict[str, bytes]:
    """A binary property."""
    return {f"__substg1.0_{id:04X}0102": value}


def fixed(head: int, numbers: Mapping[int, int], times: Mapping[int, datetime]) -> dict[str, bytes]:
    """The stream of numbers and moments; `head`: 32 of a message, 24 of one within, else 8."""
    raw = bytes(head)
    for id, number in numbers.items():
        raw += struct.pack("<HHIQ", 0x03, id, 6, number)
    for id, at in times.items():
        ticks = int((at - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000
        raw += struct.pack("<HHIQ", 0x40, id, 6, ticks)
    return {"__properties_version1.0": raw}


def recipients(*people: tuple[int, str, str]) -> dict[str, Tree]:
    """Kind (1 to, 2 copy, 3 blind copy), name and address of each."""
    return {
        f"__recip_version1.0_#{n:08X}": {
            **text(0x3001, name), **text(0x39FE, address), **fixed(8, {0x0C15: kind}, {}),
        }
        for n, (kind, name, address) in enumerate(people)
    }  # fmt: skip


def attached(*files: tuple[str, str, bytes] | Tree) -> dict[str, Tree]:
    """Name, media type and content of each; or a message's tree."""
    return {
        f"__attach_version1.0_#{n:08X}": (
            {**text(0x3707, file[0]), **text(0x370E, file[1]), **binary(0x3701, file[2])}
            if isinstance(file, tuple)
            else {"__substg1.0_3701000D": file}
        )
        for n, file in enumerate(files)
    }


def message(
    *parts: Tree,
    subject: str = "Lasku on väärin",
    body: str | None = "Hei, laskuni on väärin.\r\nTerveisin Aino",
    numbers: Mapping[int, int] | None = None,
    delivered: datetime | None = OCCURRED,
    within: bool = False,
) -> Tree:
    """A message from Aino to the service, with what else is given."""
    made: dict[str, bytes | Tree] = {
        **text(0x001A, "IPM.Note"), **text(0x0037, subject),
        **text(0x0042, "Aino Esimerkki"), **text(0x5D02, "Aino@Esimerkki.example"),
        **fixed(24 if within else 32, numbers or {}, {0x0E06: delivered} if delivered else {}),
    }  # fmt: skip
    if body is not None:
        made |= text(0x1000, body)
    for part in parts:
        made |= part
    return made


def packed_rtf(rtf: bytes) -> bytes:
    """As PR_RTF_COMPRESSED, of literal bytes alone and a repetition of the first ten."""
    write = 207 + len(rtf)
    out = bytearray()
    pieces: list[tuple[bool, bytes]] = [(False, rtf[n : n + 1]) for n in range(len(rtf))]
    pieces.append((True, _reference(207, 10)))
    pieces.append((True, _reference((write + 10) % 4096, 2)))  # the end
    for at in range(0, len(pieces), 8):
        run = pieces[at : at + 8]
        out.append(sum(1 << bit for bit, (refers, _) in enumerate(run) if refers))
        out += b"".join(piece for _, piece in run)
    return struct.pack("<II4sI", len(out) + 12, len(rtf) + 10, b"LZFu", 0) + out


def _reference(offset: int, length: int) -> bytes:
    return bytes((offset >> 4, (offset & 15) << 4 | (length - 2)))
