"""A question's tree walked over the sets of documents of one Whoosh segment.

Knows nothing of months, files and keys.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from archive.search.instants import Key
from archive.search.query import AllOf, AnyOf, Clause, Not, OneOf, Prefix, Question, Term
from archive.search.whoosh_month import Leaf

_SATURATION = 1.2  # of a term's weight by its number in a document (BM25's k1)


def newest(
    leaf: Leaf,
    gone: frozenset[int],
    clause: Clause,
    first: Key | None,
    stop: Key | None,
    limit: int,
) -> list[Key]:
    """The newest of a segment that match, at most `limit`, newest first."""
    lowest, end = leaf.span(first, stop)
    found = _found(leaf, clause)
    if found is None:
        living = (p for p in range(end - 1, lowest - 1, -1) if leaf.docs[p] not in gone)
        at = [p for p, _ in zip(living, range(limit), strict=False)]
    else:
        placed = map(leaf.places.__getitem__, found - gone)
        at = heapq.nlargest(limit, (p for p in placed if lowest <= p < end))
    return [leaf.keys[p] for p in at]


def matching(
    leaf: Leaf, gone: frozenset[int], clause: Clause, first: Key | None, stop: Key | None
) -> set[int]:
    """All living documents of a segment that match, within the span of time."""
    lowest, end = leaf.span(first, stop)
    found = _found(leaf, clause)
    if found is None:
        return set(leaf.docs[lowest:end]) - gone
    return {doc for doc in found - gone if lowest <= leaf.places[doc] < end}


def _found(leaf: Leaf, clause: Clause) -> set[int] | None:
    """The documents that match, deleted ones too; None for all of them."""
    if isinstance(clause, Term):
        return leaf.matching(clause.field, clause.text)
    if isinstance(clause, Prefix):
        return leaf.starting(clause.field, clause.text)
    if isinstance(clause, OneOf):
        return leaf.of_ids({id.bytes for id in clause.ids})
    if isinstance(clause, Not):
        without = _found(leaf, clause.part)
        return set() if without is None else set(range(leaf.count)) - without
    if isinstance(clause, AnyOf):
        found: set[int] = set()
        for part in clause.parts:
            some = _found(leaf, part)
            if some is None:
                return None
            found |= some
        return found
    return _all_of(leaf, clause.parts)


def _all_of(leaf: Leaf, parts: Sequence[Clause]) -> set[int] | None:
    """The rarest part first, so that most questions end at once."""
    found: set[int] | None = None
    for part in sorted(parts, key=lambda part: _size(leaf, part)):
        if found is not None and not found:
            return found
        if isinstance(part, Not) and found is not None:
            without = _found(leaf, part.part)
            found = set() if without is None else found - without
            continue
        some = _found(leaf, part)
        if some is not None:
            found = some if found is None else found & some
    return found


def _size(leaf: Leaf, clause: Clause) -> int:
    """About how many documents match; what excludes comes last."""
    if isinstance(clause, Term):
        return leaf.frequency(clause.field, clause.text)
    if isinstance(clause, OneOf):
        return min(len(clause.ids), leaf.count)
    if isinstance(clause, Not):
        return 2 * leaf.count + 1
    if isinstance(clause, AnyOf):
        return sum(_size(leaf, part) for part in clause.parts)
    if isinstance(clause, AllOf) and clause.parts:
        return min(_size(leaf, part) for part in clause.parts)
    return leaf.count


def weights(asked: Question, leaves: Iterable[Leaf]) -> dict[Term, float]:
    """Term -> how much it says: the logarithm of its rarity over all months (BM25's idf)."""
    terms = list(dict.fromkeys(asked.scored))
    known: Counter[Term] = Counter()
    total = 0
    for leaf in leaves:
        total += leaf.count
        known.update({term: leaf.frequency(term.field, term.text) for term in terms})
    return {t: math.log(1 + (total - n + 0.5) / (n + 0.5)) for t, n in known.items() if n}


def scores(leaf: Leaf, found: set[int], weights: dict[Term, float]) -> dict[Key, float]:
    """Key -> score of the documents found: the sum of their terms' weights, saturating."""
    sums = dict.fromkeys(found, 0.0)
    for term, weight in weights.items():
        for doc, times in leaf.times(term.field, term.text).items():
            if doc in sums:
                sums[doc] += weight * times / (times + _SATURATION)
    return {leaf.keys[leaf.places[doc]]: round(score, 6) for doc, score in sums.items()}
