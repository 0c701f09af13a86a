"""A question's tree as a condition of SQL, the same for every month but for the digests in it.

Knows columns and operators; nothing of tables, keys and connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archive.search.query import AllOf, AnyOf, Clause, Not, OneOf, Prefix, Term

Digest = Callable[[str, str], int]
Beginning = Callable[[str, str], Iterable[str]]  # field, prefix -> words that begin so

# Fields of which a term is said by few contacts: their index is asked, whatever statistics say.
RARE = frozenset({"id", "customer", "phone", "phone_end", "email", "metering_point", "case"})


@dataclass(frozen=True, slots=True)
class Said:
    """A place for the digests of terms, and of words that begin so."""

    parts: tuple[Term | Prefix, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL and what stands in its places, in order: `Said`, or a value as it is."""

    sql: str
    places: tuple[Any, ...] = ()

    @property
    def asks_beginnings(self) -> bool:
        """Whether it depends on which words a month has."""
        return any(
            isinstance(part, Prefix)
            for place in self.places
            if isinstance(place, Said)
            for part in place.parts
        )

    def values(self, digest: Digest, beginning: Beginning) -> tuple[Any, ...]:
        """The values for one month."""
        return tuple(
            array(_digests(place.parts, digest, beginning)) if isinstance(place, Said) else place
            for place in self.places
        )


ALWAYS, NEVER = Condition("true"), Condition("false")


def condition(clause: Clause) -> Condition:
    """What rows must fulfil."""
    if isinstance(clause, Term):
        return _containing((clause,))
    if isinstance(clause, Prefix):
        return _overlapping((clause,))
    if isinstance(clause, OneOf):
        return Condition("id = any(%s::uuid[])", (list(clause.ids),))
    if isinstance(clause, Not):
        inner = condition(clause.part)
        return Condition(f"not ({inner.sql})", inner.places)
    if isinstance(clause, AllOf):
        return _all_of(clause.parts)
    return _any_of(clause.parts)


def rare(clause: Clause) -> bool:
    """Whether few contacts can match, whatever they say."""
    if isinstance(clause, Term | Prefix):
        return clause.field in RARE
    if isinstance(clause, OneOf):
        return True
    if isinstance(clause, AnyOf):
        return bool(clause.parts) and all(rare(part) for part in clause.parts)
    return isinstance(clause, AllOf) and any(rare(part) for part in clause.parts)


def array(digests: Iterable[int]) -> str:
    """Digests as PostgreSQL writes an array: a list is adapted item by item, which takes longer."""
    return f"{{{','.join(map(str, digests))}}}"


def _all_of(parts: Sequence[Clause]) -> Condition:
    """One containment for all single terms; the rest beside it."""
    terms = tuple(part for part in parts if isinstance(part, Term))
    found = [_containing(terms)] if terms else []
    found += [condition(part) for part in parts if not isinstance(part, Term)]
    found = [each for each in found if each != ALWAYS]
    return _joined(found, " and ") if found else ALWAYS


def _any_of(parts: Sequence[Clause]) -> Condition:
    """One overlap for all terms and beginnings; the rest beside it."""
    plain = tuple(part for part in parts if isinstance(part, Term | Prefix))
    found = [_overlapping(plain)] if plain else []
    found += [condition(part) for part in parts if not isinstance(part, Term | Prefix)]
    return _joined(found, " or ") if found else NEVER


def _containing(parts: tuple[Term, ...]) -> Condition:
    return Condition("terms @> %s::bigint[]", (Said(parts),))


def _overlapping(parts: tuple[Term | Prefix, ...]) -> Condition:
    return Condition("terms && %s::bigint[]", (Said(parts),))


def _digests(parts: Iterable[Term | Prefix], digest: Digest, beginning: Beginning) -> list[int]:
    found: list[int] = []
    for part in parts:
        if isinstance(part, Term):
            found.append(digest(part.field, part.text))
        else:
            found += [digest(part.field, word) for word in beginning(part.field, part.text)]
    return found


def _joined(found: Sequence[Condition], word: str) -> Condition:
    if len(found) == 1:
        return found[0]
    sql = word.join(f"({each.sql})" for each in found)
    return Condition(sql, tuple(place for each in found for place in each.places))
