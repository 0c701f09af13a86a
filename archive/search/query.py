"""Questions to an index: what a person typed, read leniently, as a tree that every engine walks.

    sähkölasku "luvattu hyvitys" -perintä linja:viat puh:040 123 4567 hyvit*

Nothing typed is ever an error: what cannot be read as meant is read as words, and `notes` say
so in stable codes. Knows nothing of engines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from archive.formats.identifiers import CASE_NUMBER, mask_hetu, phone_digits
from archive.model import Query
from archive.search.alike import LEAST, neighbourhood
from archive.search.finnish import Analyser
from archive.search.phrases import FIELD as PAIRS
from archive.search.phrases import asked_together
from archive.search.spelling import TERM_CHARS, clean, fold, folded_words, words
from archive.search.terms import (
    attachment_class,
    compact,
    email_forms,
    exact,
    person_terms,
    phone_forms,
)
from archive.search.typed import Token, tokens

LEAST_LAST_DIGITS = 4  # of a phone number, to be found by them
LEAST_PREFIX = 2  # letters before *


@dataclass(frozen=True, slots=True)
class Term:
    """Documents with this term in this field."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """Documents with a term that begins so in this field."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Documents that match every part; all documents where there is none."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Documents that match some part; none where there is none."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Documents that do not match."""

    part: Clause


@dataclass(frozen=True, slots=True)
class OneOf:
    """The documents of these ids."""

    ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Phrase(AllOf):
    """Documents that hold the words one behind the other in this field.

    To an index: all of the parts, which some document may fulfil that does not hold the phrase.
    """

    field: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WithoutPhrase(AllOf):
    """Documents that do not hold the phrase. To an index, which is not sure: all documents."""

    phrase: Phrase


Clause = Term | Prefix | AllOf | AnyOf | Not | OneOf


@dataclass(frozen=True, slots=True)
class Question:
    """`clause` narrows; `scored` are the terms that relevance counts; `notes` how it was read."""

    clause: Clause
    scored: tuple[Term, ...]
    notes: tuple[str, ...]


def question(query: Query, analyser: Analyser) -> Question:
    """The whole of `query` but its dates, as one tree. Never raises."""
    parsed = parse(query.q or "", analyser)
    clauses = [parsed.clause, *_filters(query)]
    return Question(AllOf(tuple(clauses)), parsed.scored, parsed.notes)


def parse(typed: str, analyser: Analyser) -> Question:
    """What a person typed into one field. Never raises."""
    masked = mask_hetu(typed)
    found, notes = tokens(masked)
    reading = _Reading(analyser, notes)
    for token in found:
        reading.take(token)
    if masked != typed:
        reading.refuse("identity-code-not-searched")
    elif typed.strip() and not reading.clauses:
        reading.refuse("nothing-to-search")
    return Question(AllOf(tuple(reading.clauses)), tuple(reading.scored), tuple(reading.notes))


# -- filters ---------------------------------------------------------------------------


def _filters(query: Query) -> list[Clause]:
    found: list[Clause] = []
    readers: list[tuple[str | None, Callable[[str], Clause]]] = [
        (query.customer, _customer),
        (query.phone, _phone),
        (query.email, _email),
        (query.metering_point, _metering_point),
        (query.case, _case),
        (query.line, _line),
        (query.agent, _agent),
    ]
    found += [read(value) for value, read in readers if value is not None]
    if query.kind is not None:
        found.append(Term("kind", query.kind.value))
    if query.direction is not None:
        found.append(Term("direction", query.direction.value))
    if query.source is not None:
        found.append(_source(query.source))
    if query.duration is not None:
        found.append(Term("duration", query.duration))
    if query.attachment is not None:
        found += [Term("attachment", text) for text in attachment_class(query.attachment)]
    if query.ids is not None:
        found.append(OneOf(query.ids))
    if query.lines is not None:
        found.append(_any(Term("line", t) for line in sorted(query.lines) for t in exact(line)))
    if query.companies is not None:
        labels = (t for company in sorted(query.companies) for t in exact(company))
        found.append(_any(Term("company", text) for text in labels))
    return found


def _customer(value: str) -> Clause:
    return Term("customer", compact(value))


def _metering_point(value: str) -> Clause:
    return Term("metering_point", compact(value))


def _case(value: str) -> Clause:
    return Term("case", compact(value))


def _line(value: str) -> Clause:
    return _any(Term("line", text) for text in exact(value))


def _source(value: str) -> Clause:
    return _any(Term("source", text) for text in exact(value))


def _agent(value: str) -> Clause:
    whole = person_terms(value)[:1]
    return _any(
        [*(Term("agent", t) for t in whole), *_when(_all_terms("agent", folded_words(value)))]
    )


def _phone(value: str) -> Clause:
    """A whole number in any notation, or the last digits of one (at least four).

    What is surely whole does not match as an end: another customer's number may end so too.
    """
    forms = phone_forms(value)
    digits = phone_digits(value)
    whole = value.strip().startswith(("+", "0")) and any(form.startswith("+") for form in forms)
    found: list[Clause] = [Term("phone", form) for form in forms]
    if LEAST_LAST_DIGITS <= len(digits) <= 8 or (len(digits) > 8 and not whole):
        found.append(Prefix("phone_end", digits[::-1]))
    return _any(found)


def _email(value: str) -> Clause:
    """A whole address, or "@domain", whatever the case."""
    domain = value.strip()
    if domain.startswith("@"):
        return Term("email", compact(domain))
    return _any(Term("email", form) for form in email_forms(value)[:1])


def _kind(value: str) -> Clause:
    return _choice("kind", value)


def _direction(value: str) -> Clause:
    return _choice("direction", value)


def _choice(field: str, value: str) -> Clause:
    return Term(field, chosen(field, value))


def chosen(field: str, value: str) -> str:
    """What a word for a kind or a direction stands for; the word itself where it is none."""
    folded = fold(clean(value)).strip()
    return (_KINDS if field == "kind" else _DIRECTIONS).get(folded, folded)


_KINDS = {
    "puhelu": "call",
    "puhelut": "call",
    "calls": "call",
    "sahkoposti": "email",
    "sahkopostit": "email",
    "emails": "email",
}
_DIRECTIONS = {
    "saapuva": "inbound",
    "saapunut": "inbound",
    "sisaan": "inbound",
    "incoming": "inbound",
    "in": "inbound",
    "lahteva": "outbound",
    "lahtenyt": "outbound",
    "ulos": "outbound",
    "outgoing": "outbound",
    "out": "outbound",
    "sisainen": "internal",
}


# -- what is typed ---------------------------------------------------------------------


_READERS: dict[str, Callable[[str], Clause]] = {
    "line": _line,
    "agent": _agent,
    "customer": _customer,
    "phone": _phone,
    "email": _email,
    "metering_point": _metering_point,
    "case": _case,
    "kind": _kind,
    "direction": _direction,
    "source": _source,
}


class _Reading:
    """The tree while it grows, token by token."""

    def __init__(self, analyser: Analyser, notes: list[str]) -> None:
        self.clauses: list[Clause] = []
        self.scored: list[Term] = []
        self.notes = notes
        self._analyser = analyser
        self._either = False

    def take(self, token: Token) -> None:
        if token.operator is not None:
            self._either = True
            return
        clause = self._clause(token)
        if clause is None:
            return
        if not token.negated:
            self.scored += [term for term in _terms(clause) if term.field in ("text", "subject")]
        self._add(_without(clause) if token.negated else clause)

    def _add(self, clause: Clause) -> None:
        if self._either and self.clauses:
            clause = AnyOf((self.clauses.pop(), clause))
        self._either = False
        self.clauses.append(clause)

    def refuse(self, note: str) -> None:
        """Nothing is to be found, whatever else was typed."""
        self.notes.append(note)
        self.clauses.append(AnyOf(()))

    def _clause(self, token: Token) -> Clause | None:
        if token.field in _READERS:
            return _READERS[token.field](token.text)
        if token.field == "names":
            return _one([_alike(word) for word in folded_words(token.text)])
        field = token.field or "text"
        if token.quoted:
            return self._phrase(field, tuple(words(clean(token.text))))
        kinds = recognised(token.text) if field == "text" else ()
        if kinds:
            ways = [_READERS[kind](token.text.strip(".,;")) for kind in kinds]
            return _any([*ways, *_when(self._words(field, token.text))])
        if field == "text" and not token.negated and self._may_be_name(token.text):
            return _any([*self._words(field, token.text), _alike(fold(clean(token.text)))])
        return _one(self._words(field, token.text))

    def _phrase(self, field: str, said: tuple[str, ...]) -> Clause | None:
        """The words, and the pairs that follow each other; one word alone is that word."""
        parts = [self._word(field, word) for word in said]
        if len(said) < 2:
            return _one(parts)
        pairs = asked_together(field, said, self._analyser)
        together = [_any(Term(PAIRS, text) for text in each) for each in pairs]
        return Phrase((*parts, *together), field, said)

    def _may_be_name(self, typed: str) -> bool:
        """Whether it is one word of letters that no dictionary has: perhaps a name, misspelt."""
        word = clean(typed)
        return len(word) >= LEAST and word.isalpha() and not self._analyser.knows(word)

    def _words(self, field: str, typed: str) -> list[Clause]:
        if typed.endswith("*"):
            return self._prefix(field, typed.rstrip("*"))
        return [self._word(field, word) for word in words(clean(typed))]

    def _prefix(self, field: str, typed: str) -> list[Clause]:
        found = list(words(clean(typed)))
        if not found:
            self.notes.append("prefix-too-short")
            return []
        *before, last = found
        stem = re.sub(r"[-'’:]", "", last)[:TERM_CHARS]
        clauses = [self._word(field, word) for word in before]
        if len(stem) < LEAST_PREFIX:
            self.notes.append("prefix-too-short")
            return [*clauses, self._word(field, last)]
        return [*clauses, Prefix(field, stem)]

    def _word(self, field: str, word: str) -> Clause:
        """The word, its lemma or a synonym; a joined word (e-lasku) also by all its parts."""
        ways: list[Clause] = [Term(field, term) for term in self._analyser.query_terms(word)]
        pieces = [p for p in re.split(r"[-'’]", word.split(":", 1)[0]) if len(p) > 1]
        if "-" in word and pieces:
            ways += _when([_any(self._ways(field, piece)) for piece in pieces])
        return _any(ways)

    def _ways(self, field: str, word: str) -> list[Clause]:
        return [Term(field, term) for term in self._analyser.query_terms(word)]


def recognised(typed: str) -> tuple[str, ...]:
    """The fields that a number or address may be meant for, likeliest first; () for a word."""
    value = typed.strip(".,;")
    digits = phone_digits(value)
    if "@" in value:
        return ("email",)
    if CASE_NUMBER.fullmatch(value):
        return ("case",)
    if value.isdigit() and len(value) == 18:
        return ("metering_point",)
    if re.fullmatch(r"(\+|0)[\d()/-]*", value) and len(digits) >= 7:
        return ("phone", "customer")
    if value.isdigit() and len(value) >= LEAST_LAST_DIGITS:
        return ("customer", "phone")
    if any(c.isdigit() for c in value) and re.fullmatch(r"[0-9A-Za-z-]{3,20}", value):
        return ("customer",)
    return ()


def _alike(word: str) -> Clause:
    """A person's name, perhaps with one slip."""
    return _any([Term("names", word), *_all_terms("alike", neighbourhood(word))])


# -- trees -----------------------------------------------------------------------------


def _terms(clause: Clause) -> list[Term]:
    if isinstance(clause, Term):
        return [clause]
    if isinstance(clause, AllOf | AnyOf):
        return [term for part in clause.parts for term in _terms(part)]
    return []


def _without(clause: Clause) -> Clause:
    return WithoutPhrase((), clause) if isinstance(clause, Phrase) else Not(clause)


def _all_terms(field: str, texts: Sequence[str]) -> list[Clause]:
    return [Term(field, text) for text in texts]


def _when(parts: Sequence[Clause]) -> list[Clause]:
    """[all of the parts], or nothing where there are none: AllOf(()) would match everything."""
    return [clause] if (clause := _one(parts)) is not None else []


def _one(parts: Sequence[Clause]) -> Clause | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _any(parts: Iterable[Clause]) -> Clause:
    found = tuple(dict.fromkeys(parts))
    return found[0] if len(found) == 1 else AnyOf(found)
