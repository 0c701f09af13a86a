"""Words of a month in the PostgreSQL index: their keyed digests, and the sealed list of them.

A term is 64 bits of an HMAC under the month's key, so tables, log and replicas hold nothing
readable. The list of words, in sealed portions, is what beginnings of words are looked up in
and what lets a month be written anew under another key. Knows nothing of SQL.
"""

from __future__ import annotations

import hmac
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from archive import seal
from archive.search import phrases
from archive.search.terms import FIELDS

LABELS = (  # that facets count
    "kind", "line", "direction", "source", "agent_label", "duration", "attachment",
)  # fmt: skip
UNLISTED = ("id", phrases.FIELD)  # of the latter all terms there can be are known
BEGINNINGS = ("text", "subject", "phone_end")  # that are searched by how a word begins
_TERMS = seal.context("index-terms")
_PREFIXES = {name: seal.context("index-term", name) for name in FIELDS}
_WORD_BYTES = 150  # of memory that a word takes, about

Word = tuple[str, str]  # field, term


def kind_of(field: str) -> str:
    """Which list a field's words stand in: "l" labels, "b" beginnings, "o" others."""
    if field in LABELS:
        return "l"
    return "b" if field in BEGINNINGS else "o"


class Digests:
    """The digests of one month's words, for one batch or one question: it holds a key."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, _TERMS, "sha256")
        self._known: dict[Word, int] = {}

    def of(self, field: str, term: str) -> int:
        """A word's digest, as PostgreSQL's bigint."""
        word = (field, term)
        found = self._known.get(word)
        if found is None:
            found = self._known[word] = self._made(field, term)
        return found

    def every(self, field: str, terms: Iterable[str]) -> dict[int, Word]:
        """Digest -> word of so many terms that they are not kept here."""
        return {self._made(field, term): (field, term) for term in terms}

    def _made(self, field: str, term: str) -> int:
        message = _PREFIXES[field] + term.encode("utf-8", "surrogatepass")
        return int.from_bytes(hmac.digest(self._key, message, "sha256")[:8], "big", signed=True)


class Words:
    """What is known of one month's list. Not safe between threads: whoever uses it holds a lock."""

    def __init__(self) -> None:
        self.read_to: dict[str, int] = {}  # kind -> the last portion read
        self._fields: dict[str, set[str]] = {}
        self._sorted: dict[str, list[str]] = {}

    def add(self, words: Iterable[Word]) -> None:
        """Words that stand in the list."""
        for field, term in words:
            self._fields.setdefault(field, set()).add(term)
            self._sorted.pop(field, None)

    def new(self, words: Iterable[Word]) -> list[Word]:
        """Those that are not known to stand in the list yet."""
        nothing: set[str] = set()
        return [(f, term) for f, term in words if term not in self._fields.get(f, nothing)]

    def of(self, field: str) -> set[str]:
        """All words of a field."""
        return self._fields.get(field, set())

    def beginning(self, field: str, prefix: str) -> list[str]:
        """The words of a field that begin so."""
        ordered = self._sorted.get(field)
        if ordered is None:
            ordered = self._sorted[field] = sorted(self.of(field))
        first = bisect_left(ordered, prefix)
        last = bisect_left(ordered, prefix + "\U0010ffff")
        return ordered[first:last]

    @property
    def memory_bytes(self) -> int:
        """What it takes, about."""
        return _WORD_BYTES * sum(map(len, self._fields.values()))


def seal_portion(
    key: bytes, month: str, generation: int, name: str, words: Sequence[Word]
) -> bytes:
    """A portion of the list, bound to its place."""
    by_field: dict[str, list[str]] = {}
    for field, term in words:
        by_field.setdefault(field, []).append(term)
    plain = json.dumps(by_field, separators=(",", ":")).encode()
    return seal.seal(key, seal.index_file_context(month, generation, name), plain)


def open_portion(key: bytes, month: str, generation: int, name: str, sealed: bytes) -> list[Word]:
    """The words of a portion. SealBroken."""
    plain = seal.unseal(key, seal.index_file_context(month, generation, name), sealed)
    by_field: Mapping[str, list[str]] = json.loads(plain)
    return [(field, term) for field, terms in by_field.items() for term in terms]
