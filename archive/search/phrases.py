"""Words that stand beside each other: what an index keeps of that, and where a text holds them.

An index has no places of words. It has, of every two words that follow each other, one of
BUCKETS numbers: of the words as they are written and of their base forms, both folded. So a
phrase is found by its pairs; what is found by chance, or holds the pairs apart, is told by the
text itself (`spans`). A number says nothing of its words, so a list of them need not be kept.
Knows nothing of indexes and documents.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, product

from archive.search.finnish import Analyser
from archive.search.spelling import fold

FIELD = "phrase"
BUCKETS = 1 << 13  # more cost an index more (a dictionary of terms), fewer find more by chance
_READINGS = 3  # base forms of a word asked for
_NAMES = tuple(f"{number:04x}" for number in range(BUCKETS))


def said_together(
    field: str, said: Iterable[Sequence[str]], analyser: Analyser, language: str | None
) -> set[str]:
    """The terms of all pairs in pieces of text; a pair lies within one piece.

    `said`: the clean words of each piece; `language`: of the text, as its terms were made.
    """
    found: set[str] = set()
    for piece in said:
        forms = [analyser.forms(word, language) for word in piece]
        halves = [(_half(field, fold(one)), _half(field, fold(base))) for one, base in forms]
        for (one, base), (other, other_base) in pairwise(halves):
            found.add(_pair(one, other))
            found.add(_pair(base, other_base))
    return found


def asked_together(field: str, words: Sequence[str], analyser: Analyser) -> Iterator[list[str]]:
    """For each pair of a phrase asked for the terms of which one must be there."""
    forms = [(fold(analyser.forms(word)[0]), _bases(word, analyser)) for word in words]
    for (one, bases), (other, other_bases) in pairwise(forms):
        pairs = [(one, other), *product(map(fold, bases), map(fold, other_bases))]
        yield list(dict.fromkeys(_term(field, *pair) for pair in pairs))


def spans(
    words: Sequence[str], said: Sequence[str], analyser: Analyser, language: str | None
) -> Iterator[tuple[int, int]]:
    """Where the words stand one behind the other: [first, stop) of `said`, clean words too.

    All as they are written, or all in some form of theirs. What is asked for without dots finds
    what has them; not the other way round.
    """
    asked = [(analyser.forms(word)[0], frozenset(_bases(word, analyser))) for word in words]
    first = asked[0][1] | {asked[0][0]}
    for at in range(len(said) - len(words) + 1):
        head = analyser.forms(said[at], language)
        if first.isdisjoint((*head, *map(fold, head))):
            continue
        forms = [analyser.forms(word, language) for word in said[at : at + len(words)]]
        pairs = list(zip(asked, forms, strict=True))
        if all(typed in (one, fold(one)) for (typed, _), (one, _) in pairs) or all(
            base in bases or fold(base) in bases for (_, bases), (_, base) in pairs
        ):
            yield at, at + len(words)


def every_term() -> Iterator[str]:
    """All terms that there can be."""
    return iter(_NAMES)


def _bases(word: str, analyser: Analyser) -> tuple[str, ...]:
    return analyser.bases(word)[:_READINGS]


def _term(field: str, one: str, other: str) -> str:
    return _pair(_half(field, one), _half(field, other))


@lru_cache(maxsize=50_000)
def _half(field: str, word: str) -> tuple[int, bytes]:
    """A folded word as the first of a pair, and as the second."""
    written = word.encode("utf-8", "replace")
    return zlib.crc32(b"%s\n%s\n" % (field.encode(), written)), written


def _pair(one: tuple[int, bytes], other: tuple[int, bytes]) -> str:
    return _NAMES[zlib.crc32(other[1], one[0]) % BUCKETS]
