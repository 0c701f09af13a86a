"""Letters and words before any dictionary: one form of each character, folding, where words end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

TERM_CHARS = 60  # longer words are cut: no word of a language, but a line of base64
_WORD = re.compile(r"[^\W_]+(?:[-'’:][^\W_]+)*")
_LETTERS_WITHOUT_PARTS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"}
)


def clean(text: str) -> str:
    """One form of each character, without case, NULs and lone surrogates."""
    known = text.encode("utf-8", "ignore").decode().replace("\x00", " ")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", known).casefold())


@lru_cache(maxsize=50_000)
def fold(word: str) -> str:
    """A clean word without diacritics: häiriö -> hairio, čapek -> capek."""
    apart = unicodedata.normalize("NFKD", word.translate(_LETTERS_WITHOUT_PARTS))
    return "".join(c for c in apart if not unicodedata.combining(c))


def folded_words(text: str) -> list[str]:
    """The words of a name or label, folded: "Mäkelä, Yrjö" -> ["makela", "yrjo"]."""
    return [fold(word)[:TERM_CHARS] for word in words(clean(text))]


def words(cleaned: str) -> Iterator[str]:
    """The words of clean text; parts joined by -, ' or : are one word here."""
    return (match.group() for match in _WORD.finditer(cleaned))
