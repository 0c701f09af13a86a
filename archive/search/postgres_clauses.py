"""A question's tree as a condition of SQL over one month's digests.

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
class Condition:
    """SQL with its values, in order."""

    sql: str
    values: tuple[Any, ...] = ()


ALWAYS, NEVER = Condition("true"), Condition("false")


def condition(clause: Clause, digest: Digest, beginning: Beginning) -> Condition:
    """What rows of the month must fulfil."""
    if isinstance(clause, Term):
        return Condition("terms @> %s::bigint[]", ([digest(clause.field, clause.text)],))
    if isinstance(clause, Prefix):
        return _some(_digests([clause], digest, beginning))
    if isinstance(clause, OneOf):
        return Condition("id = any(%s::uuid[])", (list(clause.ids),))
    if isinstance(clause, Not):
        inner = condition(clause.part, digest, beginning)
        return Condition(f"not ({inner.sql})", inner.values)
    if isinstance(clause, AllOf):
        return _all_of(clause.parts, digest, beginning)
    return _any_of(clause.parts, digest, beginning)


def rare(clause: Clause) -> bool:
    """Whether few contacts can match, whatever they say."""
    if isinstance(clause, Term | Prefix):
        return clause.field in RARE
    if isinstance(clause, OneOf):
        return True
    if isinstance(clause, AnyOf):
        return bool(clause.parts) and all(rare(part) for part in clause.parts)
    return isinstance(clause, AllOf) and any(rare(part) for part in clause.parts)


def _all_of(parts: Sequence[Clause], digest: Digest, beginning: Beginning) -> Condition:
    """One containment for all single terms; the rest beside it."""
    terms = [digest(part.field, part.text) for part in parts if isinstance(part, Term)]
    found = [Condition("terms @> %s::bigint[]", (terms,))] if terms else []
    rest = (part for part in parts if not isinstance(part, Term))
    found += [condition(part, digest, beginning) for part in rest]
    found = [each for each in found if each != ALWAYS]
    return _joined(found, " and ") if found else ALWAYS


def _any_of(parts: Sequence[Clause], digest: Digest, beginning: Beginning) -> Condition:
    """One overlap for all terms and beginnings; the rest beside it."""
    plain = [part for part in parts if isinstance(part, Term | Prefix)]
    digests = _digests(plain, digest, beginning)
    found = [_some(digests)] if digests else []
    rest = (part for part in parts if not isinstance(part, Term | Prefix))
    found += [condition(part, digest, beginning) for part in rest]
    return _joined(found, " or ") if found else NEVER


def _digests(parts: Iterable[Term | Prefix], digest: Digest, beginning: Beginning) -> list[int]:
    found: list[int] = []
    for part in parts:
        if isinstance(part, Term):
            found.append(digest(part.field, part.text))
        else:
            found += [digest(part.field, word) for word in beginning(part.field, part.text)]
    return found


def _some(digests: list[int]) -> Condition:
    return Condition("terms && %s::bigint[]", (digests,)) if digests else NEVER


def _joined(found: Sequence[Condition], word: str) -> Condition:
    if len(found) == 1:
        return found[0]
    sql = word.join(f"({each.sql})" for each in found)
    return Condition(sql, tuple(value for each in found for value in each.values))
