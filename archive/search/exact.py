"""What an index is not sure of, decided by the document itself: whether it holds a phrase.

Knows nothing of engines, recordings and rights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from archive.model import Document, Query
from archive.search.finnish import Analyser
from archive.search.phrases import spans
from archive.search.query import (
    AllOf,
    AnyOf,
    Clause,
    Not,
    OneOf,
    Phrase,
    Prefix,
    Term,
    WithoutPhrase,
    parse,
)
from archive.search.terms import Spoken, document_terms

Verifier = Callable[[Document], bool]


def verifier(query: Query, analyser: Analyser) -> Verifier | None:
    """Whether a document that was found is what `query.q` asks for; None: all that are found are.

    Of a document that is not found nothing is promised.
    """
    clause = parse(query.q, analyser).clause if query.q else AllOf(())
    parts = clause.parts if isinstance(clause, AllOf) else (clause,)
    unsure = [part for part in parts if _unsure(part)]
    if not unsure:
        return None

    def fulfils(document: Document) -> bool:
        read = _Read(document, analyser)
        return all(_fulfils(part, read) for part in unsure)

    return fulfils


class _Read:
    """A document, and what it says as far as that is asked for."""

    def __init__(self, document: Document, analyser: Analyser) -> None:
        self.document = document
        self.analyser = analyser

    @cached_property
    def spoken(self) -> Spoken:
        return Spoken.of(self.document)

    @cached_property
    def terms(self) -> Mapping[str, frozenset[str]]:
        made = document_terms(self.document, self.analyser)
        return {name: frozenset(terms) for name, terms in made.items()}


def _unsure(clause: Clause) -> bool:
    if isinstance(clause, Phrase | WithoutPhrase):
        return True
    if isinstance(clause, AllOf | AnyOf):
        return any(map(_unsure, clause.parts))
    return isinstance(clause, Not) and _unsure(clause.part)


def _fulfils(clause: Clause, read: _Read) -> bool:
    if isinstance(clause, Term):
        return clause.text in read.terms.get(clause.field, ())
    if isinstance(clause, Prefix):
        return any(term.startswith(clause.text) for term in read.terms.get(clause.field, ()))
    if isinstance(clause, Phrase):
        return _holds(clause, read)
    if isinstance(clause, WithoutPhrase):
        return not _holds(clause.phrase, read)
    if isinstance(clause, OneOf):
        return read.document.id in clause.ids
    if isinstance(clause, Not):
        return not _fulfils(clause.part, read)
    if isinstance(clause, AnyOf):
        return any(_fulfils(part, read) for part in clause.parts)
    return all(_fulfils(part, read) for part in clause.parts)


def _holds(phrase: Phrase, read: _Read) -> bool:
    subject = phrase.field == "subject"
    language = read.spoken.language_of_subject if subject else read.spoken.language
    pieces = read.spoken.words[:1] if subject else read.spoken.words
    return any(next(spans(phrase.words, piece, read.analyser, language), None) for piece in pieces)
