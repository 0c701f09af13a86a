"""Where a text says what was asked for, and the piece of it that is worth showing.

Made from the text itself at the moment of showing; the index keeps none. Knows nothing of
engines, recordings and rights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archive.formats import cards
from archive.formats.identifiers import mask_hetu
from archive.model import Query
from archive.search.alike import neighbourhood
from archive.search.finnish import Analyser
from archive.search.languages import language_of
from archive.search.phrases import spans
from archive.search.query import AllOf, AnyOf, Clause, Phrase, Prefix, Term, question
from archive.search.spelling import clean, fold, words

READ_CHARS = 20_000  # of a text; what stands behind is not looked through
EXCERPT_CHARS = 180
_SAID = frozenset({"text", "subject", "names", "alike"})  # fields that a text can say
MOST_MARKS = 60  # of one text
_WORD = re.compile(r"[^\W_]+(?:[-'’:][^\W_]+)*")
_NUMBER = re.compile(r"\+?\d(?:[\d ()\u00a0-]{4,28})\d")

Places = list[tuple[int, int]]  # (start, stop), in order and apart
Marker = Callable[[str], Places]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an excerpt; `hit` where it is what was asked for."""

    text: str
    hit: bool = False


Excerpt = tuple[Part, ...]


def marker(query: Query, analyser: Analyser) -> Marker:
    """Finds in texts the words that `query.q` asks for, in any of their forms."""
    clause = question(Query(q=query.q), analyser).clause if query.q else AllOf(())
    wanted, together = _wanted(clause), _phrases(clause)
    terms = {term.text for term in wanted if isinstance(term, Term) and term.field != "alike"}
    alike = {term.text for term in wanted if isinstance(term, Term) and term.field == "alike"}
    beginnings = tuple(term.text for term in wanted if isinstance(term, Prefix))
    known: dict[str, bool] = {}

    def says(word: str) -> bool:
        found = analyser.index_terms(word)
        return (
            not terms.isdisjoint(found)
            or (bool(beginnings) and any(term.startswith(beginnings) for term in found))
            or (bool(alike) and not alike.isdisjoint(neighbourhood(fold(clean(word)))))
        )

    def places(text: str) -> Places:
        found: Places = []
        for phrase in together:
            found += _standing(phrase, text, analyser)
        if not wanted:
            return _apart(found)
        for match in _WORD.finditer(text, 0, READ_CHARS):
            word = match.group()
            if word not in known:
                known[word] = says(word)
            if known[word]:
                found.append(match.span())
            if len(found) >= MOST_MARKS:
                break
        for match in _NUMBER.finditer(text, 0, READ_CHARS):
            if re.sub(r"\D", "", match.group()) in terms:
                found.append(match.span())
        return _apart(found)

    return places


def _standing(phrase: Phrase, text: str, analyser: Analyser) -> Places:
    """Where a phrase stands, from its first word to its last."""
    matches = list(_WORD.finditer(text, 0, READ_CHARS))
    # A word of the text is one clean word, as the index read it: what cleaning would cut in two
    # is marked by its first.
    said = [next(iter(words(clean(match.group()))), "") for match in matches]
    runs = spans(phrase.words, said, analyser, language_of(said))
    places = [(matches[first].start(), matches[stop - 1].end()) for first, stop in runs]
    return places[:MOST_MARKS]


def excerpt(text: str, find: Marker, *, chars: int = EXCERPT_CHARS, whole: bool = False) -> Excerpt:
    """The piece of a text with most of what was asked for; () where nothing of it stands there.

    Personal identity codes are masked before anything is cut. `whole`: all of the text.
    """
    shown = cards.mask(mask_hetu(" ".join(text[: 2 * READ_CHARS].split())))
    places = find(shown)
    if not places:
        return ()
    start, stop = (0, len(shown)) if whole else _window(shown, places, chars)
    parts = [Part("…")] if start > 0 else []
    at = start
    for first, last in places:
        if first < start or last > stop:
            continue
        parts += [Part(shown[at:first]), Part(shown[first:last], hit=True)]
        at = last
    parts += [Part(shown[at:stop]), Part("…" if stop < len(shown) else "")]
    return tuple(part for part in parts if part.text)


def _window(text: str, places: Sequence[tuple[int, int]], chars: int) -> tuple[int, int]:
    """From a little before a word that was asked for, where the most different ones follow."""
    best, most = places[0], 0
    for first, last in places:
        near = {clean(text[a:b]) for a, b in places if first <= a and b <= first + chars * 3 // 4}
        if len(near) > most:
            best, most = (first, last), len(near)
    start = max(0, best[0] - chars // 4)
    if start > 0:
        start = text.find(" ", start, best[0]) + 1 or best[0]
    stop = min(len(text), max(start + chars, best[1]))
    if stop < len(text):
        stop = max(text.rfind(" ", best[1], stop), best[1])
    return start, stop


def _phrases(clause: Clause) -> list[Phrase]:
    if isinstance(clause, Phrase):
        return [clause]
    if isinstance(clause, AllOf | AnyOf):
        return [found for part in clause.parts for found in _phrases(part)]
    return []


def _wanted(clause: Clause) -> list[Term | Prefix]:
    if isinstance(clause, Phrase):
        return []
    if isinstance(clause, Term | Prefix):
        return [clause] if clause.field in _SAID else []
    if isinstance(clause, AllOf | AnyOf):
        return [found for part in clause.parts for found in _wanted(part)]
    return []


def _apart(found: Places) -> Places:
    apart: Places = []
    for first, last in sorted(found):
        if apart and first < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart
