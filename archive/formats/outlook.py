"""An Outlook .msg as the RFC 5322 message that it stands for.

The header that came over the network where the .msg kept it, else one of its properties; the
body as plain text and HTML; attachments and attached messages as parts. The same bytes give the
same message. Runs in the mail parser's child alone; knows nothing of storage, keys and people.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from archive.formats import outlook_properties as ole
from archive.formats import rtf
from archive.formats.mail_headers import parse_fields, raw_values
from archive.formats.outlook_properties import Attached, Compound, NotOutlookError, Storage

MEDIA_TYPE = "application/vnd.ms-outlook"
CONTAINER = "outlook"  # of a description
_DEEPEST = 5  # messages in messages
_HEADER_MAX = 1024 * 1024  # characters of the header that are taken over
_TEXT_MAX = 16 * 1024 * 1024
_LINE = 998  # characters (RFC 5322)
_KINDS = {1: "To", 2: "Cc", 3: "Bcc"}
_OWN = re.compile(r"(?:content-[a-z-]+|mime-version)\s*:", re.IGNORECASE)  # of our own writing
_FIELD = re.compile(r"[!-9;-~]+[ \t]*:")
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,100}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Converted:
    """`message` None where the bytes could not be read; `problems` are stable codes.

    `received_at` is when a server took the message, as far as the .msg knows.
    """

    message: bytes | None
    problems: tuple[str, ...] = ()
    received_at: datetime | None = None


def is_outlook(raw: bytes) -> bool:
    """Whether these are, by their first bytes, the file that an Outlook .msg is."""
    return raw.startswith(ole.SIGN)


def convert(raw: bytes) -> Converted:
    """The message in a .msg of any bytes; what is wrong with it does not raise.

    Codes: Outlook .msg: damaged · not a message · parts left out.
    """
    try:
        compound = Compound(raw)
        top = compound.message()
        writer = _Writer(hashlib.sha256(raw).hexdigest()[:32])
        message = b"".join(writer.message(top))
    except NotOutlookError as reason:
        return Converted(None, (str(reason),))
    problems = (["Outlook .msg: damaged"] if compound.damaged else []) + writer.problems
    return Converted(message, tuple(dict.fromkeys(problems)), top.time(ole.DELIVERED))


@dataclass(slots=True)
class _Writer:
    """Writes messages. `mark` is what no sender can foresee, for the boundaries."""

    mark: str
    problems: list[str] = field(default_factory=list)
    _boundaries: int = 0

    def message(self, storage: Storage) -> list[bytes]:
        """Header and body of a message."""
        attached = [piece for one in storage.attachments() if (piece := self._attached(one))]
        body = self._body(storage)
        if attached:
            body = self._multipart("mixed", [body, *attached])
        return [_header(storage), b"MIME-Version: 1.0\r\n", *body]

    def _body(self, storage: Storage) -> list[bytes]:
        plain, html = self._words(storage)
        parts = [_text("plain", plain)] if plain or not html else []
        parts += [_text("html", html)] if html else []
        return parts[0] if len(parts) == 1 else self._multipart("alternative", parts)

    def _words(self, storage: Storage) -> tuple[str, str]:
        plain = storage.text(ole.BODY)
        raw = storage.binary(ole.HTML)
        html = storage.decoded(raw) if raw else storage.text(ole.HTML)
        packed = storage.binary(ole.RTF) if not html.strip("\0") else None
        if packed:
            try:
                found, words = rtf.read(rtf.unpack(packed))
            except rtf.NotRtfError:
                self.problems.append("Outlook .msg: damaged")
            else:
                html, plain = found or "", plain or words
        return plain[:_TEXT_MAX], html[:_TEXT_MAX]

    def _attached(self, one: Attached) -> list[bytes]:
        """The part; [] of what is no bytes and no message, as objects of other programs are."""
        storage = one.storage
        name = storage.text(ole.LONG_NAME) or storage.text(ole.SHORT_NAME) or storage.text(ole.NAME)
        if one.message is not None and one.message.depth <= _DEEPEST:
            # The words of its header are 8-bit: its own encoding must be none (RFC 2046, 5.2.1).
            return [_ATTACHED, *self.message(one.message)]
        if one.content is None:
            self.problems.append("Outlook .msg: parts left out")
            return []
        told = storage.text(ole.MIME_TYPE).strip()
        kind = told if _TYPE.fullmatch(told) else "application/octet-stream"
        if kind.lower().startswith(("multipart/", "message/")):
            kind = "application/octet-stream"
        head = f"Content-Type: {kind}\r\nContent-Disposition: attachment"
        head += f'; filename="{_word(name)}"' if name else ""
        id = re.sub(r"[^!-~]|[<>]", "", storage.text(ole.CONTENT_ID))[:200]
        head += f"\r\nContent-ID: <{id}>" if id else ""
        return [head.encode("ascii"), _BASE64, _encoded(one.content)]

    def _multipart(self, kind: str, parts: list[list[bytes]]) -> list[bytes]:
        self._boundaries += 1
        boundary = f"=_{self.mark}-{self._boundaries}".encode("ascii")
        found = [b"Content-Type: multipart/", kind.encode("ascii")]
        found += [b'; boundary="', boundary, b'"\r\n\r\n']
        for part in parts:
            found += [b"--", boundary, b"\r\n", *part, b"\r\n"]
        return [*found, b"--", boundary, b"--\r\n"]


_ATTACHED = (
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"Content-Disposition: attachment\r\n\r\n"
)
_BASE64 = b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def _text(kind: str, words: str) -> list[bytes]:
    head = f"Content-Type: text/{kind}; charset=utf-8".encode("ascii")
    return [head, _BASE64, _encoded(words.encode("utf-8", "replace"))]


def _encoded(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


# -- the header ------------------------------------------------------------------------


def _header(storage: Storage) -> bytes:
    """The kept header's fields as they are, and of the properties what it lacks."""
    kept = _kept(storage.text(ole.HEADERS)[:_HEADER_MAX])
    fields, _ = parse_fields(kept)
    lacking = [
        f"{name}: {value}\r\n"
        for name, value in _told(storage)
        if value and not raw_values(fields, name)
    ]
    return kept + "".join(lacking).encode("utf-8", "replace")


def _kept(header: str) -> bytes:
    """A header's lines without those that tell how a body is written that is written anew."""
    lines: list[str] = []
    taken = False
    for line in re.split(r"\r\n|\n|\r", header):
        if line[:1] in (" ", "\t"):
            if taken and line.strip():
                lines.append(line)
            continue
        taken = bool(_FIELD.match(line)) and not _OWN.match(line)
        lines += [line] if taken else []
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")


def _told(storage: Storage) -> list[tuple[str, str]]:
    """Fields by the message's properties; '' for what they do not say."""
    people: dict[str, list[str]] = {name: [] for name in _KINDS.values()}
    for one in storage.recipients():
        name = _KINDS.get(one.number(ole.RECIPIENT_TYPE) & 0xF, "To")
        people[name].append(_mailbox(one, ole.RECIPIENT))
    submitted = storage.time(ole.SUBMITTED) or storage.time(ole.DELIVERED)
    sender = _mailbox(storage, ole.ON_BEHALF) or _mailbox(storage, ole.SENDER)
    found = [("From", sender)]
    found += [(name, ",\r\n ".join(filter(None, each))) for name, each in people.items()]
    found += [
        ("Subject", _word(storage.text(ole.SUBJECT))),
        ("Date", format_datetime(submitted.replace(microsecond=0)) if submitted else ""),
        ("Message-ID", _id(storage.text(ole.MESSAGE_ID))),
        ("In-Reply-To", _id(storage.text(ole.IN_REPLY_TO))),
        ("References", _id(storage.text(ole.REFERENCES))),
    ]
    return found


def _mailbox(storage: Storage, properties: tuple[int, int, int]) -> str:
    """Name and address of a party. What an Exchange server calls itself is no address."""
    name, smtp, address = (storage.text(each).strip() for each in properties)
    found = next((a for a in (smtp, address) if "@" in a), "")
    found = re.sub(r"[^!-~\u0080-\U0010ffff]|[<>,;]", "", found)
    if name.strip("'\"").casefold() == found.casefold():
        name = ""
    if found:
        return f"{_word(name)} <{found}>" if name else found
    return f"{_word(name)} <>" if name else ""


def _id(value: str) -> str:
    return " ".join(re.sub(r"[^!-~]", " ", value).split())[:_LINE]


def _word(text: str) -> str:
    """Words for a field: as encoded words (RFC 2047), so that no letter of them is syntax."""
    plain = " ".join(re.sub(r"[\x00-\x1f\x7f\u2028\u2029]", " ", text).split())
    if re.fullmatch(r"[A-Za-z0-9 ._-]{0,60}", plain):
        return plain
    pieces: list[str] = []
    for letter in plain[:10_000]:
        if pieces and len((pieces[-1] + letter).encode("utf-8", "replace")) <= 42:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    encoded = (base64.b64encode(p.encode("utf-8", "replace")).decode("ascii") for p in pieces)
    return "\r\n ".join(f"=?utf-8?B?{piece}?=" for piece in encoded)
