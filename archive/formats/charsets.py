"""Bytes to text when the sender's word for the charset is wrong, unknown, absent or hostile.

Knows nothing of where the bytes came from. Never raises.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

# What senders write, as the codec that reads it. Encodings that are subsets in name only are read
# as the superset that is meant (WHATWG Encoding Standard, section 4.2).
_MEANT = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "x-euc-cn": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "windows-31j": "cp932",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "big5": "big5hkscs",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "utf8mb4": "utf-8",
    "utf8": "utf-8",
    "windows-874": "cp874",
    "x-user-defined": "cp1252",
}
# Codecs that are no charsets: they run for quadratic time, or are of no text at all.
_REFUSED = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})


def decode(data: bytes, declared: str | None) -> tuple[str, bool]:
    """(text, whether the declared charset was known and right).

    Tried in turn: the declared one, UTF-8, Windows-1252; what then remains undecodable becomes
    U+FFFD. No charset declared is right with ASCII or UTF-8.
    """
    codec = _codec(declared)
    if codec is not None:
        text = _strictly(data, codec)
        if text is not None and not (codec == "cp1252" and not data.isascii() and _is_utf8(data)):
            return text, True
    text = _strictly(data, "utf-8")
    if text is not None:
        return text, codec == "cp1252" or not declared
    many_bytes = codec is not None and not codec.startswith(("cp125", "iso8859", "koi8"))
    return data.decode(codec if codec and many_bytes else "cp1252", "replace"), False


def _is_utf8(data: bytes) -> bool:
    """Letters outside ASCII in well-formed UTF-8 are no accident, whatever was declared."""
    return _strictly(data, "utf-8") is not None


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None


@lru_cache(maxsize=256)
def _codec(declared: str | None) -> str | None:
    """The name of a Python text codec, None if there is none of that name."""
    name = re.sub(r"[\s\"'<>;]", "", declared or "").lower().removeprefix("charset=")[:40]
    if not name.isascii():
        return None
    try:
        found = codecs.lookup(_MEANT.get(name, name))
    except (LookupError, ValueError):
        match = re.fullmatch(r"(?:x-)?cp-?([0-9]{3,5})|windows([0-9]{4})", name)
        again = f"cp{match.group(1) or match.group(2)}" if match else name
        return _codec(again) if again != name else None
    if found.name in _REFUSED or not found._is_text_encoding:
        return None
    return found.name
