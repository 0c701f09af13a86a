"""Which language a text is in, by the little words that every text of it is full of.

Only what is surely Swedish or English is called so: everything else is read as Finnish, with
the other dictionaries behind.
"""

from __future__ import annotations

from collections.abc import Sequence


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LITTLE_WORDS = {
    "fi": _set(
        "ja on ei että se oli mutta kun niin myös joka tai jos ovat voi hän minä me te he tämä "
        "sen olen olemme ole en emme eli sekä kuin mitä teille meille minulle jo vain vielä nyt "
        "koska hei terveisin kiitos asia asiaa"
    ),
    "sv": _set(
        "och att det är jag har inte som en på med för av till den vi ni om ett men från eller "
        "vad när kan ska skulle hade mig er oss min mitt hej hälsningar tack också efter"
    ),
    "en": _set(
        "the and to of is that it for you was with are be have this not from but we my your i "
        "has had an on at please thank thanks regards would will been our me"
    ),
}
_READ = 400  # words of a text
_LEAST = 3  # little words before a text is called by another language's name


def language_of(words: Sequence[str]) -> str | None:
    """ "sv" or "en" for clean words that surely are; None for Finnish and what is not sure."""
    read = words[:_READ]
    counts = {name: sum(word in little for word in read) for name, little in _LITTLE_WORDS.items()}
    best = max(counts, key=counts.__getitem__)
    others = max(count for name, count in counts.items() if name != best)
    if best == "fi" or counts[best] < _LEAST or counts[best] < 2 * others:
        return None
    return best
