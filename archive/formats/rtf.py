"""Outlook's rich text: unpacked (MS-OXRTFCP), and read as the HTML or the words it stands for.

Reads what mail needs and no more: text, paragraphs, letters of any code page, and the HTML that
Outlook hides in RTF (MS-OXRTFEX). Linear in its input, no recursion; knows nothing of mail.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from archive.formats.charsets import decode

MOST_BYTES = 8 * 1024 * 1024  # of unpacked RTF; what goes beyond is cut
_DEEPEST = 2000  # groups in groups; what lies deeper is left out
_PACKED, _PLAIN = b"LZFu", b"MELA"
_WINDOW = 4096
_BEGINNING = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])"
    rb"|[\r\n]+|([^\\{}\r\n]+)"
)
_SIGNS = {
    "par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": "\t",
    "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "bullet": "•", "emspace": "\u2003", "enspace": "\u2002",
}  # fmt: skip
_UNSEEN = frozenset(
    ["fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "listtable",
     "listoverridetable", "rsidtbl", "generator", "themedata", "datastore", "xmlnstbl"]
)  # fmt: skip
_CODE_PAGES = {
    0: 1252, 128: 932, 129: 949, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258, 177: 1255,
    178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250,
}  # fmt: skip


class NotRtfError(Exception):
    """The bytes are no compressed RTF, or end before it does."""


def unpack(packed: bytes) -> bytes:
    """The RTF in a PR_RTF_COMPRESSED, at most MOST_BYTES. NotRtfError."""
    if len(packed) < 16:
        raise NotRtfError
    told, kind = struct.unpack_from("<I", packed, 4)[0], packed[8:12]
    most = min(told, MOST_BYTES)
    if kind == _PLAIN:
        return packed[16 : 16 + most]
    if kind != _PACKED:
        raise NotRtfError
    window = bytearray(_BEGINNING.ljust(_WINDOW, b"\0"))
    write, at = len(_BEGINNING), 16
    out = bytearray()
    while at < len(packed) and len(out) < most:
        control, at = packed[at], at + 1
        for bit in range(8):
            if control >> bit & 1:
                pair = packed[at : at + 2]
                at += 2
                if len(pair) < 2:
                    raise NotRtfError
                offset, length = pair[0] << 4 | pair[1] >> 4, (pair[1] & 15) + 2
                if offset == write:  # how it says that it ends
                    return bytes(out[:most])
                for step in range(length):
                    window[write] = byte = window[(offset + step) % _WINDOW]
                    write = (write + 1) % _WINDOW
                    out.append(byte)
            elif at < len(packed):
                window[write] = byte = packed[at]
                write, at = (write + 1) % _WINDOW, at + 1
                out.append(byte)
    return bytes(out[:most])


@dataclass(frozen=True, slots=True)
class _Group:
    """What counts in a group; its inner ones begin with the same."""

    shown: bool = True
    markup: bool = False  # a \htmltag: its text is HTML as it is written
    page: int = 1252
    skip: int = 1  # letters that follow a \u for readers without Unicode
    fonts: bool = False


def read(raw: bytes) -> tuple[str | None, str]:
    """(HTML, None where the RTF hides none; the words) of RTF. Never raises.

    With HTML the words are '': they are the HTML's.
    """
    reader = _Reader(hides_html=rb"\fromhtml1" in raw[:4096])
    for token in _TOKEN.finditer(raw):
        reader.take(token)
    reader.flush()
    text = _whole("".join(reader.text))
    return (text, "") if reader.hides_html else (None, text)


class _Reader:
    """Takes one token after the other."""

    def __init__(self, *, hides_html: bool) -> None:
        self.hides_html = hides_html
        self.text: list[str] = []
        self._stack: list[_Group] = []
        self._too_deep = 0
        self._now = _Group()
        self._page = 1252  # of the document
        self._fonts: dict[int, int] = {}
        self._font = 0  # of which the table speaks
        self._bytes = bytearray()  # letters that wait for the rest of theirs
        self._skip = 0
        self._starred = False

    def take(self, token: re.Match[bytes]) -> None:
        word, number, code, sign, brace, plain = token.groups()
        if brace is not None:
            self._brace(brace)
        elif code is not None:
            self._letters(bytes([int(code, 16)]))
        elif plain is not None:
            self._letters(plain)
        elif sign is not None:
            self._sign(sign)
        elif word is not None:
            self._word(word.decode("ascii"), int(number) if number else None)

    def flush(self) -> None:
        """Letters that wait become text."""
        if self._bytes:
            self.text.append(decode(bytes(self._bytes), f"cp{self._now.page}")[0])
            self._bytes.clear()

    def _brace(self, brace: bytes) -> None:
        self.flush()
        self._skip, self._starred = 0, False
        if brace == b"{":
            if len(self._stack) >= _DEEPEST:
                self._too_deep += 1
            else:
                self._stack.append(self._now)
        elif self._too_deep:
            self._too_deep -= 1
        elif self._stack:
            self._now = self._stack.pop()

    def _letters(self, given: bytes) -> None:
        if self._skip:
            taken = min(self._skip, len(given))
            self._skip -= taken
            given = given[taken:]
        if self._now.shown and not self._too_deep:
            self._bytes += given

    def _add(self, text: str) -> None:
        self.flush()
        if self._now.shown and not self._too_deep:
            self.text.append(text)

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign in b"\\{}":
            self._letters(sign)
        elif sign == b"~":
            self._add("\xa0")
        elif sign == b"_":
            self._add("-")
        elif sign in b"\r\n":
            self._add("\n")

    def _word(self, word: str, number: int | None) -> None:
        starred, self._starred = self._starred, False
        if word == "u" and number is not None:
            self._add(chr(number & 0xFFFF))
            self._skip = self._now.skip
            return
        if word in _SIGNS:
            self._add(_SIGNS[word])
            return
        now = self._now
        if word == "htmltag" and starred and self.hides_html:
            self._become(replace(now, shown=True, markup=True))
        elif word == "htmlrtf":  # between them stands what HTML's readers do not want
            self._become(replace(now, shown=number == 0))
        elif word == "fonttbl":
            self._become(replace(now, shown=False, fonts=True))
        elif starred or word in _UNSEEN:
            self._become(replace(now, shown=False))
        elif word == "uc" and number is not None:
            self._become(replace(now, skip=max(0, min(number, 10))))
        elif number is not None:
            self._page_of(word, number)

    def _page_of(self, word: str, number: int) -> None:
        """Which letters the bytes that follow are."""
        if word == "ansicpg" and 0 < number < 100_000:
            self._page = number
            self._become(replace(self._now, page=number))
        elif word == "f" and self._now.fonts:
            self._font = number
        elif word == "f" and not self._now.markup:
            self._become(replace(self._now, page=self._fonts.get(number, self._page)))
        elif word == "fcharset" and number in _CODE_PAGES and len(self._fonts) < 10_000:
            self._fonts[self._font] = _CODE_PAGES[number] if number else self._page

    def _become(self, group: _Group) -> None:
        if group.page != self._now.page or group.shown != self._now.shown:
            self.flush()
        self._now = group


def _whole(text: str) -> str:
    """Letters that were written as the two halves of a pair; a half alone becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
