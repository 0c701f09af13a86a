"""An email's bytes as a tree of parts, every part the exact bytes that came.

Split here and not by `email`, whose parser recurses for each level and cannot give an attached
message back unchanged. Depth and number of parts are bounded, time is linear in the bytes times
the depth. Knows nothing of what parts mean; never raises.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from email.message import Message

from archive.formats.charsets import decode
from archive.formats.mail_headers import parse_fields

MOST_PARTS = 1000
DEEPEST = 50
_HEADER_MAX = 1024 * 1024  # bytes of one header block that are read
_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_BLANK = re.compile(_LINE_END + _LINE_END)


@dataclass(slots=True)
class Part:
    """One part: its fields, its body as bytes, and the parts within it, if it is a multipart."""

    fields: Message
    body: bytes
    depth: int
    default_type: str = "text/plain"
    children: list[Part] = field(default_factory=list)

    @property
    def type(self) -> str:
        """Media type in lower case, `text/plain` where none or nonsense is given."""
        if "content-type" not in self.fields:
            return self.default_type
        try:
            return str(self.fields.get_content_type())
        except Exception:  # `email` on hostile parameters
            return "text/plain"

    def parameter(self, name: str, header: str = "content-type") -> str | None:
        """A parameter of a field, RFC 2231 forms joined; None if absent or unreadable."""
        try:
            found = self.fields.get_param(name, header=header)
        except Exception:  # `email` on hostile parameters
            return None
        if isinstance(found, tuple):
            charset, _, value = found
            return _rfc2231(charset, value)
        return str(found) if found is not None else None

    def content(self) -> tuple[bytes, bool]:
        """The body with its transfer encoding undone, and whether that went without errors."""
        encoding = str(self.fields.get("content-transfer-encoding", "")).strip().lower()
        encoding = encoding.partition(";")[0].strip()
        if encoding == "base64":
            return _base64(self.body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.body), True
        if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
            return _uudecode(self.body)
        return self.body, encoding in ("", "7bit", "8bit", "binary")


def parse_tree(raw: bytes) -> tuple[Part, list[str]]:
    """The top part with all below it, and stable codes for what was wrong with the structure."""
    problems: list[str] = []
    top = _part(raw, 0, "text/plain", problems)
    waiting, count = [top], 1
    while waiting:
        part = waiting.pop()
        pieces = _pieces(part, problems)
        default = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
        for piece in pieces:
            if count >= MOST_PARTS:
                problems.append("too many parts")
                break
            count += 1
            part.children.append(_part(piece, part.depth + 1, default, problems))
        if part.children:
            part.body = b""  # or a deep tree would hold its bytes once for every level
        waiting += reversed(part.children)
    return top, list(dict.fromkeys(problems))


def leaves(top: Part) -> list[Part]:
    """All parts that hold content, in the order they stand in."""
    found: list[Part] = []
    waiting = [top]
    while waiting:
        part = waiting.pop()
        if part.children:
            waiting += reversed(part.children)
        else:
            found.append(part)
    return found


def _part(raw: bytes, depth: int, default: str, problems: list[str]) -> Part:
    head, body = split_header(raw)
    fields, dropped = parse_fields(head[:_HEADER_MAX])
    if dropped or len(head) > _HEADER_MAX:
        problems.append("malformed header")
    return Part(fields, body, depth, default)


def split_header(raw: bytes) -> tuple[bytes, bytes]:
    """The header block and the body after the first blank line.

    Bytes that do not begin with a field are all body. Without a blank line all is header.
    """
    if raw[:1] in (b"\r", b"\n"):
        return b"", re.sub(rb"\A(?:\r\n|\n|\r)", b"", raw)
    found = _BLANK.search(raw)
    head, body = (raw[: found.start()], raw[found.end() :]) if found else (raw, b"")
    if not re.search(rb"(?:\A|[\r\n])[!-9;-~]+[ \t]*:", head[:_HEADER_MAX]):
        return b"", raw
    return head, body


def _pieces(part: Part, problems: list[str]) -> list[bytes]:
    """What lies between a multipart's boundary lines, less the line end before each (RFC 2046)."""
    if not part.type.startswith("multipart/"):
        return []
    boundary = (part.parameter("boundary") or "").strip()
    if part.depth >= DEEPEST:
        problems.append("nested too deeply")
        return []
    if not boundary:
        problems.append("multipart without boundary")
        return []
    line = re.compile(
        rb"(?:\A|\r\n|\n|\r)--"
        + re.escape(boundary.encode("utf-8", "surrogateescape"))
        + rb"(--)?[ \t]*(?=\r|\n|\Z)"
    )
    pieces: list[bytes] = []
    start: int | None = None
    closed = False
    for found in line.finditer(part.body):
        if start is not None:
            pieces.append(part.body[start : found.start()])
        start = None if found.group(1) else _after_line(part.body, found.end())
        closed = found.group(1) is not None
        if closed or len(pieces) > MOST_PARTS:
            break
    if start is not None and not closed:
        pieces.append(part.body[start:])
    if not closed:
        problems.append("multipart not closed" if pieces else "multipart without parts")
    return pieces


def _after_line(body: bytes, place: int) -> int:
    if body[place : place + 2] == b"\r\n":
        return place + 2
    return min(place + 1, len(body))


def _base64(body: bytes) -> tuple[bytes, bool]:
    """Also of several pieces one after the other, each with its own padding."""
    kept = re.sub(rb"[^A-Za-z0-9+/=]", b"", body)
    good = len(kept) == len(re.sub(rb"\s", b"", body))
    decoded: list[bytes] = []
    for piece in re.split(rb"=+", kept):
        short = len(piece) % 4 == 1  # six bits are no byte
        good = good and not short
        whole = piece[:-1] if short else piece
        decoded.append(binascii.a2b_base64(whole + b"=" * (-len(whole) % 4)))
    return b"".join(decoded), good


def _uudecode(body: bytes) -> tuple[bytes, bool]:
    decoded = bytearray()
    started = False
    for line in re.split(rb"\r\n|\n|\r", body):
        if not started:
            started = line.startswith(b"begin ")
        elif line.strip() == b"end":
            return bytes(decoded), True
        else:
            try:
                decoded += binascii.a2b_uu(line)
            except binascii.Error:  # some encoders write too few pad characters
                counted = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
                try:
                    decoded += binascii.a2b_uu(line[:counted])
                except binascii.Error:
                    return bytes(decoded), False
    return (bytes(decoded), False) if started else (body, False)


def _rfc2231(charset: str | None, value: str) -> str:
    try:
        return decode(value.encode("latin-1"), charset or "utf-8")[0]
    except UnicodeEncodeError:  # letters that should have been written as %XX
        return value
