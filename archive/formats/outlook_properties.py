"""What stands in an Outlook .msg: its properties, recipients and attachments (MS-OXMSG, MS-CFB).

Every stream is read once, and no more of them than the file is long, however often its tables
name the same bytes. Runs in the mail parser's child alone. Knows nothing of RFC 5322.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import olefile

from archive.formats.charsets import decode

SIGN = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MOST_ENTRIES = 100_000  # streams and storages of a file
MOST_RECIPIENTS = 2000
MOST_ATTACHMENTS = 500
_STORAGE, _STREAM = 1, 2
_UNICODE, _STRING, _BINARY, _OBJECT, _TIME, _LONG = 0x1F, 0x1E, 0x102, 0x0D, 0x40, 0x03
_FIXED = "__properties_version1.0"
_OF_MESSAGE, _OF_INNER, _OF_OTHERS = 32, 24, 8  # bytes before the fixed properties
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_CODE_PAGES = {65001: "utf-8", 20127: "us-ascii", 28605: "iso-8859-15", 50220: "iso-2022-jp",
               51949: "euc-kr", 54936: "gb18030", 20866: "koi8-r", 21866: "koi8-u"}  # fmt: skip
# Property ids, as MS-OXPROPS names them.
MESSAGE_CLASS, SUBJECT, HEADERS, BODY, HTML, RTF = 0x1A, 0x37, 0x7D, 0x1000, 0x1013, 0x1009
MESSAGE_ID, REFERENCES, IN_REPLY_TO = 0x1035, 0x1039, 0x1042
DELIVERED, SUBMITTED = 0x0E06, 0x0039
SENDER = (0x0C1A, 0x5D01, 0x0C1F)  # name, SMTP address, address
ON_BEHALF = (0x0042, 0x5D02, 0x0065)
RECIPIENT = (0x3001, 0x39FE, 0x3003)
RECIPIENT_TYPE = 0x0C15
DATA, LONG_NAME, SHORT_NAME, NAME, MIME_TYPE, CONTENT_ID = (
    0x3701, 0x3707, 0x3704, 0x3001, 0x370E, 0x3712
)  # fmt: skip
_CODE_PAGE_OF_TEXT, _CODE_PAGE_OF_MESSAGE = 0x3FDE, 0x3FFD


class NotOutlookError(Exception):
    """The bytes are no .msg that can be read; the message is a stable code."""


class Compound:
    """A compound file in memory."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._file = olefile.OleFileIO(io.BytesIO(raw))
        except (OSError, ValueError, IndexError, TypeError, struct.error, RecursionError):
            raise NotOutlookError("Outlook .msg: damaged") from None
        if len(self._file.direntries) > MOST_ENTRIES:
            raise NotOutlookError("Outlook .msg: damaged")
        self._left = len(raw)
        self.damaged = bool(self._file.parsing_issues)

    def message(self) -> Storage:
        """The message itself. NotOutlookError where the file holds something else."""
        top = Storage(self, self._file.root, header=_OF_MESSAGE, depth=0)
        if not top.is_message():
            raise NotOutlookError("Outlook .msg: not a message")
        return top

    def content(self, entry: Any) -> bytes:
        """A stream's bytes; b"" where it is damaged, and once the file's length is spent."""
        if entry.size > self._left:
            self.damaged = True
            return b""
        self._left -= entry.size
        try:
            # Not by its path: that would look through all of the folder's names again.
            content: bytes = self._file._open(entry.isectStart, entry.size).read()
        except (OSError, ValueError, IndexError, TypeError, struct.error):
            content = b""
        self.damaged = self.damaged or len(content) != entry.size
        return content


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment: its properties, and its bytes or the message that it is."""

    storage: Storage
    content: bytes | None
    message: Storage | None


class Storage:
    """A message, a recipient or an attachment: its properties by their ids."""

    def __init__(
        self, compound: Compound, entry: Any, *, header: int, depth: int, code_page: int = 0
    ) -> None:
        self.depth = depth  # messages around this one
        self._compound = compound
        self._entries = {kid.name: kid for kid in entry.kids}
        self._fixed = self._read_fixed(header)
        self._code_page = (
            self.number(_CODE_PAGE_OF_MESSAGE)
            or code_page
            or self.number(_CODE_PAGE_OF_TEXT)
            or 1252
        )

    def is_message(self) -> bool:
        """Whether it holds a message's properties, be they damaged."""
        return any(name.startswith("__substg1.0_001A") for name in self._entries) or any(
            name == _FIXED or name.startswith("__recip_version") for name in self._entries
        )

    def text(self, id: int) -> str:
        """A text property without NULs; '' where it is not there."""
        found = self._entries.get(_name(id, _UNICODE))
        if found is not None and found.entry_type == _STREAM:
            return self._compound.content(found).decode("utf-16-le", "replace").replace("\0", "")
        found = self._entries.get(_name(id, _STRING))
        if found is not None and found.entry_type == _STREAM:
            return self.decoded(self._compound.content(found), self._code_page).replace("\0", "")
        return ""

    def decoded(self, raw: bytes, code_page: int | None = None) -> str:
        """Bytes as text by a code page; without one by that of the message's HTML."""
        page = code_page or self.number(_CODE_PAGE_OF_TEXT) or self._code_page
        return decode(raw, _CODE_PAGES.get(page, f"cp{page}"))[0]

    def binary(self, id: int) -> bytes | None:
        """A binary property; None where it is not there."""
        found = self._entries.get(_name(id, _BINARY))
        if found is None or found.entry_type != _STREAM:
            return None
        return self._compound.content(found)

    def number(self, id: int) -> int:
        """A number; 0 where it is not there."""
        raw = self._fixed.get((id, _LONG), b"")
        return int.from_bytes(raw[:4], "little")

    def time(self, id: int) -> datetime | None:
        """A moment in UTC; None where it is not there, or in no calendar."""
        ticks = int.from_bytes(self._fixed.get((id, _TIME), b""), "little")
        try:
            return _EPOCH + timedelta(microseconds=ticks // 10) if ticks else None
        except OverflowError:
            return None

    def recipients(self) -> list[Storage]:
        """In the order of their numbers, at most MOST_RECIPIENTS."""
        return [self._within(kid) for kid in self._storages("__recip_version")[:MOST_RECIPIENTS]]

    def attachments(self) -> list[Attached]:
        """In the order of their numbers, at most MOST_ATTACHMENTS."""
        found = []
        for kid in self._storages("__attach_version")[:MOST_ATTACHMENTS]:
            storage = self._within(kid)
            content, inner = storage.binary(DATA), storage._entries.get(_name(DATA, _OBJECT))
            message = None
            if content is None and inner is not None and inner.entry_type == _STORAGE:
                held = Storage(self._compound, inner, header=_OF_INNER, depth=self.depth + 1)
                message = held if held.is_message() else None
            found.append(Attached(storage, content, message))
        return found

    def _within(self, entry: Any) -> Storage:
        return Storage(
            self._compound, entry, header=_OF_OTHERS, depth=self.depth, code_page=self._code_page
        )

    def _storages(self, beginning: str) -> list[Any]:
        kids = self._entries.values()
        found = [k for k in kids if k.name.startswith(beginning) and k.entry_type == _STORAGE]
        return sorted(found, key=lambda kid: re.sub(r".*#", "", kid.name).zfill(8))

    def _read_fixed(self, header: int) -> dict[tuple[int, int], bytes]:
        entry = self._entries.get(_FIXED)
        if entry is None or entry.entry_type != _STREAM:
            return {}
        raw = self._compound.content(entry)
        entries = (raw[at : at + 16] for at in range(header, len(raw) - 15, 16))
        return {(id, kind): each[8:] for each in entries for kind, id in [_tag(each)]}


def _tag(entry: bytes) -> tuple[int, int]:
    kind, id = struct.unpack_from("<HH", entry)
    return kind, id


def _name(id: int, kind: int) -> str:
    return f"__substg1.0_{id:04X}{kind:04X}"
