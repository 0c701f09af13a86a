"""Names that are alike: written with one slip, without diacritics, with w for v.

A name's *neighbourhood* is the name and what is left of it when any one letter is taken out.
Two names are alike where their neighbourhoods meet: one letter more, fewer, wrong or swapped
with the next. So a slip costs the index as many terms as a name has letters, and a question no
more, with every engine. Pure; knows nothing of documents.
"""

from __future__ import annotations

from collections.abc import Iterable

from archive.search.spelling import folded_words

LEAST = 5  # letters of a name that may be written with a slip
LONGEST = 24  # letters; a longer name is compared by its beginning
MOST_NAMES = 40  # words of names in one contact


def neighbourhoods(names: Iterable[str]) -> list[str]:
    """The neighbourhoods of every word of these names, each term once."""
    words = [word for name in names for word in name_words(name)]
    distinct = list(dict.fromkeys(words))[:MOST_NAMES]
    return list(dict.fromkeys(term for word in distinct for term in neighbourhood(word)))


def neighbourhood(word: str) -> list[str]:
    """A folded word as it is compared, and without each of its letters; a short one alone."""
    plain = word.replace("w", "v")[:LONGEST]
    if len(plain) < LEAST:
        return [plain]
    return list(dict.fromkeys([plain, *(plain[:n] + plain[n + 1 :] for n in range(len(plain)))]))


def name_words(name: str) -> list[str]:
    """The words of a name, folded; a double name also by its parts."""
    found = []
    for word in folded_words(name):
        parts = [part for part in word.replace("’", "-").replace("'", "-").split("-") if part]
        found += [word, *parts] if len(parts) > 1 else [word]
    return found
