"""Questions to an index: what a person typed, read leniently, as a tree that every engine walks.

    sähkölasku "luvattu hyvitys" -perintä linja:viat puh:040 123 4567 hyvit*

Nothing typed is ever an error: what cannot be read as meant is read as words, and `notes` say
so in stable codes. Knows nothing of engines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from archive.formats.identifiers import CASE_NUMBER, mask_hetu, phone_digits
from archive.model import Query
from archive.search.finnish import Analyser
from archive.search.spelling import TERM_CHARS, clean, fold, folded_words, words
from archive.search.terms import compact, email_forms, exact, person_terms, phone_forms

MOST_CHARS = 1_000  # of a question; what stands behind is not read
MOST_WORDS = 40
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


Clause = Term | Prefix | AllOf | AnyOf | Not


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
    reading = _Reading(analyser)
    masked = mask_hetu(typed)
    for token in _tokens(masked, reading.notes):
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
    if query.lines is not None:
        found.append(_any(Term("line", t) for line in sorted(query.lines) for t in exact(line)))
    return found


def _customer(value: str) -> Clause:
    return Term("customer", compact(value))


def _metering_point(value: str) -> Clause:
    return Term("metering_point", compact(value))


def _case(value: str) -> Clause:
    return Term("case", compact(value))


def _line(value: str) -> Clause:
    return _any(Term("line", text) for text in exact(value))


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
    if 4 <= len(digits) <= 8 or (len(digits) > 8 and not whole):
        found.append(Prefix("phone_end", digits[::-1]))
    return _any(found)


def _email(value: str) -> Clause:
    """A whole address, or "@domain", whatever the case."""
    domain = value.strip()
    if domain.startswith("@"):
        return Term("email", compact(domain))
    return _any(Term("email", form) for form in email_forms(value)[:1])


def _kind(value: str) -> Clause:
    return _choice("kind", value, _KINDS)


def _direction(value: str) -> Clause:
    return _choice("direction", value, _DIRECTIONS)


def _choice(field: str, value: str, names: dict[str, str]) -> Clause:
    folded = fold(clean(value)).strip()
    return Term(field, names.get(folded, folded))


_KINDS = {"puhelu": "call", "puhelut": "call", "sahkoposti": "email", "sahkopostit": "email"}
_DIRECTIONS = {
    "saapuva": "inbound",
    "saapunut": "inbound",
    "sisaan": "inbound",
    "in": "inbound",
    "lahteva": "outbound",
    "lahtenyt": "outbound",
    "ulos": "outbound",
    "out": "outbound",
    "sisainen": "internal",
}


# -- what is typed ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    field: str | None = None
    negated: bool = False
    quoted: bool = False


_FIELD_NAMES = {
    "linja": "line",
    "line": "line",
    "palvelulinja": "line",
    "agentti": "agent",
    "agent": "agent",
    "asiakaspalvelija": "agent",
    "asiakas": "customer",
    "asiakasnumero": "customer",
    "customer": "customer",
    "puh": "phone",
    "puhelin": "phone",
    "puhelinnumero": "phone",
    "phone": "phone",
    "tel": "phone",
    "sahkoposti": "email",
    "email": "email",
    "kayttopaikka": "metering_point",
    "metering_point": "metering_point",
    "meteringpoint": "metering_point",
    "tapaus": "case",
    "reklamaatio": "case",
    "case": "case",
    "laji": "kind",
    "kind": "kind",
    "suunta": "direction",
    "direction": "direction",
    "nimi": "names",
    "name": "names",
    "aihe": "subject",
    "otsikko": "subject",
    "subject": "subject",
}
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
}
_TOKEN = re.compile(
    r"""(?P<minus>[-−–])?
        (?:(?P<field>[^\W\d][\w]*):(?=\S))?
        (?:["“”„»«](?P<quoted>[^"“”„»«]*)(?P<end>["“”„»«]|$)|(?P<plain>[^\s"“”„»«]+))""",
    re.VERBOSE,
)
_PHONE_GROUPS = re.compile(r"(?<![\w+.@-])(\+?\d[\d()/ \u00a0-]{5,24}\d)(?![\w@-])")


def _tokens(typed: str, notes: list[str]) -> Iterable[_Token]:
    known = typed.encode("utf-8", "ignore").decode().replace("\x00", " ")
    if len(known) > MOST_CHARS:
        notes.append("too-long")
    found = []
    for match in _TOKEN.finditer(_grouped_numbers(known[:MOST_CHARS])):
        field, text = match["field"], match["quoted"] or match["plain"] or ""
        name = _FIELD_NAMES.get(fold(clean(field))) if field else None
        if field and name is None:
            notes.append(f"unknown-field:{field}")
            text = f"{field} {text}"
        if match["quoted"] is not None and not match["end"]:
            notes.append("quote-not-closed")
        found.append(_Token(text, name, match["minus"] is not None, match["quoted"] is not None))
    if len(found) > MOST_WORDS:
        notes.append("too-many-words")
    return found[:MOST_WORDS]


def _grouped_numbers(typed: str) -> str:
    """Phone numbers and metering points typed in groups, as one word each."""

    def one(match: re.Match[str]) -> str:
        group = match.group(1)
        digits = phone_digits(group)
        if CASE_NUMBER.fullmatch(group.strip()):
            return group
        if len(digits) == 18 or (group.startswith(("+", "0")) and 7 <= len(digits) <= 15):
            return ("+" if group.startswith("+") else "") + digits
        return group

    return _PHONE_GROUPS.sub(one, typed)


class _Reading:
    """The tree while it grows, token by token."""

    def __init__(self, analyser: Analyser) -> None:
        self.clauses: list[Clause] = []
        self.scored: list[Term] = []
        self.notes: list[str] = []
        self._analyser = analyser

    def take(self, token: _Token) -> None:
        clause = self._clause(token)
        if clause is None:
            return
        if token.negated:
            self.clauses.append(Not(clause))
            return
        self.clauses.append(clause)
        self.scored += [term for term in _terms(clause) if term.field in ("text", "subject")]

    def refuse(self, note: str) -> None:
        """Nothing is to be found, whatever else was typed."""
        self.notes.append(note)
        self.clauses.append(AnyOf(()))

    def _clause(self, token: _Token) -> Clause | None:
        if token.field in _READERS:
            return _READERS[token.field](token.text)
        if token.field == "names":
            return _one(_all_terms("names", folded_words(token.text)))
        field = token.field or "text"
        if token.quoted:
            self.notes.append("phrase-as-words")
            return _one([self._word(field, word) for word in words(clean(token.text))])
        if field == "text" and (recognised := _identifier(token.text)) is not None:
            return AnyOf((recognised, *_when(self._words(field, token.text))))
        return _one(self._words(field, token.text))

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


def _identifier(typed: str) -> Clause | None:
    """A number or address recognised for what it is; None for an ordinary word."""
    value = typed.strip(".,;")
    digits = phone_digits(value)
    if "@" in value:
        return _email(value)
    if CASE_NUMBER.fullmatch(value):
        return _case(value)
    if value.isdigit() and len(value) == 18:
        return _metering_point(value)
    if re.fullmatch(r"(\+|0)[\d()/-]*", value) and len(digits) >= 7:
        return AnyOf((_phone(value), _customer(value)))
    if value.isdigit() and len(value) >= 7:
        return AnyOf((_customer(value), _phone(value)))
    if any(c.isdigit() for c in value) and re.fullmatch(r"[0-9A-Za-z-]{3,20}", value):
        return _customer(value)
    return None


# -- trees -----------------------------------------------------------------------------


def _terms(clause: Clause) -> list[Term]:
    if isinstance(clause, Term):
        return [clause]
    if isinstance(clause, AllOf | AnyOf):
        return [term for part in clause.parts for term in _terms(part)]
    return []


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
