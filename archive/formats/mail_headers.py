"""The header fields of an email, read so that nothing in them can raise: words, addresses, dates.

The standard `email` package splits the fields (policy compat32) and reads dates and parameters;
encoded words (RFC 2047) and addresses are read here, because real mail breaks the rules in ways
that it refuses or reads wrongly. Knows nothing of bodies.
"""

from __future__ import annotations

import binascii
import quopri
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime

from archive.formats.charsets import decode

MOST_ADDRESSES = 1000  # of a message; more are dropped and the message is marked
_FIELD_MAX = 64 * 1024  # bytes of one field that are read
_PARAMETERS_MAX = 8 * 1024
_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_ENCODED = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?(.*?)\?=", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ADDRESS_MAX = 500  # characters
_DATE_MAX = 200
_SURROGATE = re.compile(r"[\ud800-\udfff\x00]")


@dataclass(frozen=True, slots=True)
class Address:
    """`address` in lower case; `name` as shown, '' if none."""

    name: str
    address: str


def parse_fields(block: bytes) -> tuple[Message, bool]:
    """The fields of a header block, and whether lines had to be left out to read them.

    A line that is neither a field nor a continuation would end the header for `email`, and with
    it date and addresses below: it is dropped instead.
    """
    kept: list[bytearray] = []
    dropped = False
    # Files that were saved by an editor may begin with a byte order mark.
    for line in re.split(rb"\r\n|\n|\r", block.removeprefix(BOM_UTF8)):
        if line[:1] in (b" ", b"\t") and kept:
            kept[-1] += line  # unfolded here: `email` leaves line ends in parameters
        elif _NAME.match(line):
            kept.append(bytearray(re.sub(rb"^([!-9;-~]+)[ \t]+:", rb"\1:", line)))
        elif line.strip():
            dropped = True
    # As text and not as bytes: of 8-bit letters `email` would leave nothing but U+FFFD.
    lines = [decode(bytes(line[: _most(line)]), None)[0] for line in kept]
    return HeaderParser(policy=compat32).parsestr("\n".join(lines) + "\n\n"), dropped


def _most(line: bytearray) -> int:
    """How many bytes of a field are read: `email` needs quadratic time for parameters."""
    return _PARAMETERS_MAX if line[:8].lower() == b"content-" else _FIELD_MAX


def raw_values(message: Message, name: str) -> list[str]:
    """Every value of a field, in the order given."""
    wanted = name.lower()
    return [str(value).strip() for key, value in message.raw_items() if key.lower() == wanted]


def text(message: Message, name: str) -> str | None:
    """The first value of a field as a person reads it; None if the field is absent."""
    values = raw_values(message, name)
    return readable(values[0]) if values else None


def readable(raw: str) -> str:
    """Encoded words decoded, white space collapsed, control characters gone."""
    return " ".join(clean(_CONTROL.sub(" ", decode_words(raw))).split())


def clean(value: str) -> str:
    """Without NUL and lone surrogates, which JSON and PostgreSQL refuse."""
    return _SURROGATE.sub("", value)


def decode_words(raw: str) -> str:
    """RFC 2047, forgiving: neighbouring words of one charset are joined before decoding, so a
    letter that was cut in two is whole again; what cannot be decoded stays as it is written."""
    pieces: list[str] = []
    waiting: tuple[str, bytes] | None = None  # charset and bytes of the words so far
    place = 0
    for word in _ENCODED.finditer(raw):
        between = raw[place : word.start()]
        payload = _payload(word.group(2), word.group(3))
        charset = word.group(1).partition("*")[0].lower()  # RFC 2231: *language after it
        place = word.end()
        if waiting and (between.strip() or waiting[0] != charset or payload is None):
            pieces.append(decode(waiting[1], waiting[0])[0])
            waiting = None
            between = between if between.strip() or payload is None else ""
        elif waiting:
            between = ""
        pieces.append(between)
        if payload is None:
            pieces.append(word.group())
        else:
            waiting = (charset, (waiting[1] if waiting else b"") + payload)
    if waiting:
        pieces.append(decode(waiting[1], waiting[0])[0])
    pieces.append(raw[place:])
    return "".join(pieces)


def addresses(values: Sequence[str]) -> list[Address]:
    """The addresses in all values of a field, groups opened (RFC 5322, 3.4), in order.

    What has no @ is no address and is left out. At most MOST_ADDRESSES.
    """
    found: list[Address] = []
    for value in values:
        for item in _split(value):
            if len(found) >= MOST_ADDRESSES:
                return found
            address = _address(item)
            if address is not None:
                found.append(address)
    return found


def message_ids(values: Sequence[str]) -> list[str]:
    """Message identifiers without their angle brackets; a value without any counts as one."""
    found: list[str] = []
    for value in values:
        bracketed = re.findall(r"<\s*([^<>]+?)\s*>", value)
        found += bracketed or [word for word in [value.strip().strip("<>").strip()] if word]
    return [clean(_CONTROL.sub("", word))[:998] for word in found if word.strip()]


def date(raw: str) -> datetime | None:
    """The moment in UTC; None where it cannot be read. Without a zone it counts as UTC."""
    cleaned = re.sub(r"\([^()]*\)", " ", clean(decode_words(raw)))
    dotted = re.sub(r"([0-9])\.([0-9]{2})\.([0-9]{2})", r"\1:\2:\3", cleaned)
    for read, given in (
        (parsedate_to_datetime, cleaned),
        (parsedate_to_datetime, dotted),
        (datetime.fromisoformat, cleaned),
    ):
        try:
            found = read(" ".join(given.split())[:_DATE_MAX])
            aware = found if found.tzinfo else found.replace(tzinfo=UTC)
            return aware.astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
            continue
    return None


def _payload(encoding: str, encoded: str) -> bytes | None:
    """The bytes of one encoded word; None if they are not in that encoding at all."""
    given = encoded.encode("utf-8", "ignore")
    if encoding in "qQ":
        return quopri.decodestring(given.replace(b" ", b"_"), header=True)
    given = re.sub(rb"[^A-Za-z0-9+/]", b"", given)
    given = given[:-1] if len(given) % 4 == 1 else given
    try:
        return binascii.a2b_base64(given + b"=" * (-len(given) % 4))
    except binascii.Error:
        return None


def _split(value: str) -> Iterator[str]:
    """The items of an address list: commas, semicolons and group names outside quotes divide."""
    value = _ENCODED.sub(_shielded, value)
    item: list[str] = []
    quoted, angle, depth, skip = False, False, 0, False
    for character in value:
        if skip:
            skip = False
        elif character == "\\" and (quoted or depth):
            skip = True
        elif character == '"' and not depth:
            quoted = not quoted
        elif quoted:
            pass
        elif character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif depth:
            pass
        elif character in "<>":
            angle = character == "<"
        elif character in ",;" or (character == ":" and not angle and not {"@", "["} & set(item)):
            if character != ":":
                yield "".join(item)
            item = []
            angle = False
            continue
        item.append(character)
    if quoted and "," in "".join(item) and '"' in item:  # an opening quote without its end
        rest = "".join(item)
        yield from rest.replace('"', "").split(",")
    else:
        yield "".join(item)


def _shielded(word: re.Match[str]) -> str:
    """An encoded word with the characters that divide lists written as =XX."""
    if word.group(2) in "bB":
        return word.group()
    payload = re.sub(r'[,;:<>()@"\\\\]', lambda m: f"={ord(m.group()):02X}", word.group(3))
    return f"=?{word.group(1)}?Q?{payload}?="


def _address(item: str) -> Address | None:
    """One `name <address>`, `address (name)` or bare address; None where there is no address."""
    outside, comment = _without_comments(item)
    hidden = _QUOTED.sub(lambda match: "_" * len(match.group()), outside)
    start = hidden.rfind("<")
    if start >= 0:
        stop = hidden.find(">", start)
        name, found = outside[:start], outside[start + 1 : stop if stop >= 0 else None]
    else:
        name, found = comment, outside
        words = [word for word in hidden.split() if "@" in word]
        if words and re.search(r"[^\s.@]\s+[^\s.@]", hidden):  # words before a bare address
            found = words[-1].removeprefix("[mailto:")
            name = name or outside[: hidden.rindex(words[-1])]
    address = _bare(found)
    if "@" not in address[1:-1] or len(address) > _ADDRESS_MAX:
        return None
    shown = readable(re.sub(r"\\(.)", r"\1", name.strip().strip('"')))
    return Address(shown.strip("\"' ")[:_ADDRESS_MAX], address)


def _bare(found: str) -> str:
    """An address without route, quotes and the blanks that old mail has around its dots."""
    address = re.sub(r"^\s*@[^:]*:", "", found)
    address = re.sub(r"\s*([.@])\s*", r"\1", readable(address))
    address = re.sub(r'^"(.*)"(?=@[^@]*$)', r"\1", address).strip("<> '").lower()
    return address.removesuffix("]").removeprefix("mailto:") if "[" not in address else address


def _without_comments(item: str) -> tuple[str, str]:
    """The text outside (comments), which nest, and the last comment's words."""
    kept: list[str] = []
    comment: list[str] = []
    depth, quoted, skip = 0, False, False
    for character in item:
        if skip:
            skip = False
        elif character == "\\":
            skip = True
        elif character == '"' and not depth:
            quoted = not quoted
        elif character == "(" and not quoted:
            depth += 1
            comment = [] if depth == 1 else comment
            continue
        elif character == ")" and depth:
            depth -= 1
            continue
        (comment if depth else kept).append(character)
    return "".join(kept), "".join(comment)
