"""Words to terms, the same for every engine: lemma, surface, compound parts, folded copies.

*sähkölaskusta* becomes sähkölasku, sähkölaskusta, sähkö, lasku and, for those who type without
dots, sahkolasku, sahkolaskusta, sahko. A question is reduced to the lemma and the word as typed:
one with ä or ö stays exact, one without finds both. Knows nothing of indexes and documents.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from archive.search.languages import language_of
from archive.search.spelling import TERM_CHARS, clean, fold, words
from archive.search.synonyms import Synonyms, lines_of, packaged

_VERSION = 2  # of the rules in this file; a change makes the months of an index stale
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\d(?:[\d ().\u00a0-]{4,28})\d")
_READINGS = 2  # base forms of a word of which the parts are looked for
_NAMES = frozenset({"etunimi", "sukunimi", "paikannimi", "nimi"})  # Voikko's classes
_SHORT_FIRST_PARTS = frozenset({"yö", "it"})  # of compounds; others have three letters


class Lemmatiser(Protocol):
    """A dictionary of word forms. `name` changes whenever its answers may."""

    name: str

    def lemmas(self, word: str, language: str | None = None) -> tuple[str, ...]:
        """The base forms of a clean word, likeliest first; () where it is not known.

        `language`: of the text it stands in ("sv", "en"), where that is not Finnish.
        """
        ...

    def parts(self, word: str) -> tuple[str, ...]:
        """The base forms of a compound's parts; () where it is none."""
        ...

    def knows(self, word: str) -> bool:
        """Whether a dictionary has the clean word, and not as a person's name."""
        ...

    def load(self) -> None:
        """Reads the dictionaries; may take seconds the first time, nothing later."""
        ...


class Analyser:
    """Terms of texts and of words asked for. Safe to use from several threads."""

    def __init__(
        self,
        lemmatiser: Lemmatiser,
        *,
        synonyms: Synonyms | None = None,
        cached_words: int = 50_000,
    ) -> None:
        self._lemmatiser = lemmatiser
        trade = lines_of(packaged("lemmas.txt"))
        self._trade = _trade_forms(trade)
        self._synonyms = synonyms or Synonyms()
        known = zlib.crc32("\n".join(trade).encode())
        self.name = f"{lemmatiser.name}+terms-{_VERSION}.{known:08x}"
        # Terms, forms and parts each ask for a new word's base forms: a dictionary is asked once.
        self._lemmas = lru_cache(maxsize=cached_words // 8)(self._lemmas_of)
        self._terms = lru_cache(maxsize=cached_words)(self._terms_of)
        self.forms = lru_cache(maxsize=cached_words)(self._forms_of)
        self._known = lru_cache(maxsize=cached_words // 8)(lemmatiser.knows)

    def warm(self) -> threading.Thread:
        """Loads the dictionaries in the background."""
        thread = threading.Thread(target=self._lemmatiser.load, name="dictionaries", daemon=True)
        thread.start()
        return thread

    def index_terms(self, text: str) -> list[str]:
        """The terms of a text, as often as they come, in no promised order."""
        cleaned = clean(text)
        found: list[str] = []
        said = list(words(cleaned))
        spoken = language_of(said)
        for word in said:
            found.extend(self._terms(word, spoken))
        found.extend(match.group()[:TERM_CHARS] for match in _EMAIL.finditer(cleaned))
        found.extend(_joined_numbers(cleaned))
        return found

    def query_terms(self, word: str) -> tuple[str, ...]:
        """Any of these answers a word asked for: itself, its lemma, the trade's synonyms."""
        cleaned = clean(word)
        lemmas = [*self._lemmas(_joined(cleaned)), *self._hyphenated(cleaned)]
        near = [other for lemma in lemmas for other in self._synonyms.of(lemma)]
        return _distinct([_joined(cleaned), *lemmas, *near])

    def bases(self, word: str) -> tuple[str, ...]:
        """The base forms of a clean word asked for, likeliest first; itself where none is known."""
        joined = _joined(word)
        return _distinct([*self._lemmas(joined), *self._hyphenated(word)]) or (joined,)

    def knows(self, word: str) -> bool:
        """Whether a clean word is an ordinary one, not a name and not misspelt."""
        return word in self._trade or self._known(word)

    def _terms_of(self, word: str, language: str | None) -> tuple[str, ...]:
        joined = _joined(word)
        exact = [joined, *self._lemmas(joined, language), *self._parts(joined, language)]
        exact += self._hyphenated(word)
        for piece in _pieces(word) if joined != word else ():
            exact += [piece, *self._lemmas(piece, language), *self._parts(piece, language)]
        return _distinct([*exact, *map(fold, exact)])

    def _forms_of(self, word: str, language: str | None = None) -> tuple[str, str]:
        """A clean word as one word, and its likeliest base form in a text of the language."""
        joined = _joined(word)
        found = self._lemmas(joined, language) or tuple(self._hyphenated(word))
        return joined, found[0][:TERM_CHARS] if found else joined

    def _hyphenated(self, word: str) -> list[str]:
        """e-laskun -> elasku: what is joined by hyphens bends at its end."""
        *before, last = word.split(":", 1)[0].split("-")
        return ["".join(before) + lemma for lemma in self._lemmas(last)] if before else []

    def _lemmas_of(self, word: str, language: str | None = None) -> tuple[str, ...]:
        if word in self._trade:
            return self._trade[word]
        if len(word) > TERM_CHARS or not word.isalpha():
            return ()
        return self._lemmatiser.lemmas(word, language)

    def _parts(self, word: str, language: str | None) -> list[str]:
        if len(word) > TERM_CHARS or not word.isalpha() or language is not None:
            return []
        lemmas = self._lemmas(word, None)[:_READINGS] or (word,)
        return [part for lemma in lemmas for part in self._lemmatiser.parts(lemma)]


class SimplemmaLemmatiser:
    """Word forms of Finnish, Swedish and English from simplemma's dictionaries, 80 MB in memory.

    A word is looked up in each language; only what none knows is taken apart as Finnish.
    """

    _LANGUAGES = ("fi", "sv", "en")
    _LEAST_LEFT, _LEAST_RIGHT = 3, 4  # letters of a compound's parts

    def __init__(self) -> None:
        import simplemma

        self.name = f"simplemma-{simplemma.__version__}"
        self._lock = threading.Lock()
        self._loaded: _Dictionaries | None = None
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # a thread that a child does not have may have held it

    def load(self) -> None:
        self._dictionaries()

    def lemmas(self, word: str, language: str | None = None) -> tuple[str, ...]:
        dictionaries = self._dictionaries()
        of_text = dictionaries.get(language, word) if language in self._LANGUAGES else None
        if of_text is not None:
            return (clean(of_text),)
        known = [dictionaries.get(language, word) for language in self._LANGUAGES]
        found = [lemma for lemma in known if lemma]
        if not found:
            guessed = self._compound_lemma(word) or dictionaries.guess(word)
            found = [guessed] if guessed else []
        return _distinct([clean(lemma) for lemma in found])

    def parts(self, word: str) -> tuple[str, ...]:
        return _distinct(self._split(word))

    def knows(self, word: str) -> bool:
        dictionaries = self._dictionaries()
        return any(dictionaries.get(language, word) for language in self._LANGUAGES)

    def _compound_lemma(self, word: str) -> str | None:
        """A compound that no dictionary has: its last part's lemma behind what stands before."""
        for left, right in self._cuts(word):
            lemma = self._dictionaries().get("fi", right)
            if lemma is not None and self._first_part(left) is not None:
                return left + clean(lemma)
        return None

    def _split(self, word: str, depth: int = 3) -> list[str]:
        """A lemma's parts and their parts, cut where the right one is a lemma; [] if it is one."""
        for left, right in self._cuts(word) if depth else ():
            if self._dictionaries().get("fi", right) == right:
                first = self._first_part(left)
                if first is not None:
                    # The lemma of a part may be as long as the whole: hence the depth.
                    inner = self._split(first, depth - 1)
                    across = [inner[-1] + right] if inner else []  # jakelu|verkko|yhtiö
                    return [first, *inner, *across, right, *self._split(right, depth - 1)]
        return []

    def _cuts(self, word: str) -> Iterator[tuple[str, str]]:
        for cut in range(2, len(word) - self._LEAST_RIGHT + 1):
            if cut >= self._LEAST_LEFT or word[:cut] in _SHORT_FIRST_PARTS:
                yield word[:cut], word[cut:]

    def _first_part(self, left: str) -> str | None:
        """The lemma of a compound's first part: a known form, or -s- for -nen (liittymis-)."""
        found = self._dictionaries().get("fi", left)
        if found is None and left.endswith("s"):
            found = self._dictionaries().get("fi", left[:-1] + "nen")
        return clean(found) if found is not None else None

    def _dictionaries(self) -> _Dictionaries:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = _Dictionaries(self._LANGUAGES)
        return self._loaded


class _Dictionaries:
    def __init__(self, languages: tuple[str, ...]) -> None:
        from simplemma.strategies import LOW_MEMORY_DICTIONARY_FACTORY, DefaultStrategy

        self._maps = {
            code: LOW_MEMORY_DICTIONARY_FACTORY.get_dictionary(code) for code in languages
        }
        self._strategy = DefaultStrategy(low_memory=True)

    def get(self, language: str | None, word: str) -> str | None:
        found = self._maps[language].get(word) if language is not None else None
        return str(found) if found is not None else None

    def guess(self, word: str) -> str | None:
        found = self._strategy.get_lemma(word, "fi")
        return str(found) if found is not None else None


class VoikkoLemmatiser:
    """Finnish by libvoikko where library and dictionary are installed; Swedish and English by
    simplemma. Voikko is asked under a lock: it is not safe between threads."""

    def __init__(self, voikko: Any, others: Lemmatiser) -> None:
        self._voikko = voikko
        self.name = f"voikko-{voikko.getVersion()}+{others.name}"
        self._others = others
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()  # a thread that a child does not have may have held it

    def load(self) -> None:
        self._others.load()

    def lemmas(self, word: str, language: str | None = None) -> tuple[str, ...]:
        if language is not None:
            return self._others.lemmas(word, language)
        return self._bases(word) or self._others.lemmas(word)

    def parts(self, word: str) -> tuple[str, ...]:
        """Of a base form, cut where Voikko's STRUCTURE ("=ppppp=ppppp") has a word begin."""
        for analysis in self._analyses(word):
            structure = str(analysis.get("STRUCTURE", "")).replace("-", "")
            cuts = [at - nth for nth, at in enumerate(_places(structure, "="))]
            if len(cuts) > 1:
                pieces = [word[start:stop] for start, stop in pairwise([*cuts, len(word)])]
                first = [base for piece in pieces[:-1] for base in self._first_part(piece)]
                across = ["".join(pieces[n:]) for n in range(1, len(pieces))]
                return _distinct([*first, *across])
        return ()

    def knows(self, word: str) -> bool:
        classes = [str(analysis.get("CLASS", "")) for analysis in self._analyses(word)]
        if classes:
            return any(each not in _NAMES for each in classes)
        return self._others.knows(word)

    def _first_part(self, piece: str) -> tuple[str, ...]:
        """käytön- is käyttö, sähkö- is itself; liittymis- is whatever liittyminen is to Voikko."""
        longer = self._bases(piece[:-1] + "nen") if piece.endswith("s") else ()
        return self._bases(piece) or longer or (piece,)

    def _bases(self, word: str) -> tuple[str, ...]:
        forms = [clean(str(a["BASEFORM"])) for a in self._analyses(word) if a.get("BASEFORM")]
        return _distinct([form.replace("-", "") for form in forms])

    def _analyses(self, word: str) -> list[dict[str, object]]:
        with self._lock:
            return list(self._voikko.analyze(word))


def default_analyser(synonyms: Path | None = None) -> Analyser:
    """The best analyser of this machine: Voikko where it is installed, else simplemma alone.

    One for each `synonyms`, the administrator's file; its words are looked up once for all who
    use it. BadSetting where the file cannot be read.
    """
    return _analyser_with(synonyms)


@lru_cache(maxsize=4)
def _analyser_with(synonyms: Path | None) -> Analyser:
    return Analyser(_default_lemmatiser(), synonyms=Synonyms(synonyms))


@lru_cache(maxsize=1)
def _default_lemmatiser() -> Lemmatiser:
    simple = SimplemmaLemmatiser()
    voikko = installed_voikko()
    return VoikkoLemmatiser(voikko, simple) if voikko is not None else simple


def installed_voikko() -> Any:
    """Voikko's handle; None where library, dictionary or binding is not installed."""
    try:
        import libvoikko

        return libvoikko.Voikko("fi")
    except Exception:  # no binding, no library or no dictionary: each raises something else
        return None


def _joined(word: str) -> str:
    """e-lasku -> elasku; EU:n stays by its first part, so that cases of acronyms meet."""
    head = word.split(":", 1)[0]
    return re.sub(r"[-'’]", "", head)[:TERM_CHARS]


def _pieces(word: str) -> list[str]:
    return [piece for piece in re.split(r"[-'’:]", word) if len(piece) > 1]


def _joined_numbers(cleaned: str) -> Iterator[str]:
    """Numbers written in groups, also as one: 040 123 4567 -> 0401234567."""
    for match in _NUMBER.finditer(cleaned):
        digits = re.sub(r"\D", "", match.group())
        if digits != match.group() and 5 <= len(digits) <= 20:
            yield digits


def _places(text: str, mark: str) -> list[int]:
    return [at for at, character in enumerate(text) if character == mark]


def _distinct(found: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(term[:TERM_CHARS] for term in found if term))


def _trade_forms(lines: list[str]) -> dict[str, tuple[str, ...]]:
    """Lines "lemma: form form …" -> form to lemmas; the lemma is a form of itself."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        base, _, rest = clean(line).partition(":")
        lemma = base.strip()
        for form in (lemma, *rest.split()):
            found[form] = _distinct([*found.get(form, ()), lemma])
            found[fold(form)] = _distinct([*found.get(fold(form), ()), fold(lemma)])
    return found
