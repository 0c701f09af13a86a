"""What goes into a segment a term at a time comes out of it: blocks, counts, merges, deletions."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from archive.search.whoosh_month import COUNTED, Leaf, MonthWriter, Place, place, segments

KEY = bytes(range(32))
MANY = 700  # documents: several of Whoosh's blocks of one term


def terms_of(number: int) -> dict[str, list[str]]:
    dice = random.Random(number)
    words = dice.choices(["lasku", "häiriö", "sähkökatko", f"vain{number}", "𐐷", "a" * 60], k=9)
    return {"text": words, "phrase": sorted(set(words)), "id": [f"{number:032x}"]}


def key_of(number: int) -> tuple[int, bytes]:
    return 1_000 + number, number.to_bytes(16, "big")


def put(where: Place, numbers: range) -> None:
    writer = MonthWriter(where, KEY)
    for number in numbers:
        writer.add(key_of(number), terms_of(number))
    writer.commit(merge=False)


def leaves(where: Place) -> list[Leaf]:
    storage = where.storage(KEY)
    return [Leaf(storage, segment) for segment in segments(where, storage)]


def said(where: Place) -> dict[tuple[str, str], dict[int, float]]:
    """(field, term) -> number of the document -> how often."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for leaf in leaves(where):
        numbers = {doc: int.from_bytes(leaf.keys[leaf.places[doc]][1]) for doc in leaf.docs}
        for field in ("text", "phrase", "id"):
            for term in leaf.terms(field):
                times = leaf.times(field, term)
                assert times.keys() == leaf.matching(field, term)
                assert len(times) == leaf.frequency(field, term)
                of = found.setdefault((field, term), {})
                of.update({numbers[doc]: often for doc, often in times.items()})
    return found


def meant(numbers: range | set[int]) -> dict[tuple[str, str], dict[int, float]]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    for number in numbers:
        for field, terms in terms_of(number).items():
            for term, times in Counter(terms).items():
                often = float(times) if field in COUNTED else 1.0
                found.setdefault((field, term), {})[number] = often
    return found


@pytest.fixture()
def where(tmp_path: Path) -> Place:
    return place(tmp_path, "2026-11", 1)


def test_every_term_of_every_document_is_kept_with_its_count(where: Place) -> None:
    put(where, range(MANY))
    assert len(leaves(where)) == 1
    assert said(where) == meant(range(MANY))


def test_merged_segments_say_what_they_said_without_what_was_deleted(
    where: Place, tmp_path: Path
) -> None:
    put(where, range(300))
    put(where, range(300, MANY))
    doomed = {segment.segment_id(): {0, 7, 131} for segment in segments(where, where.storage(KEY))}
    writer = MonthWriter(where, KEY)
    writer.delete(doomed)
    writer.commit(merge=False)
    fresh = place(tmp_path, "2026-11", 2)
    merged = MonthWriter(fresh, KEY)
    merged.merge(where.storage(KEY), segments(where, where.storage(KEY)))
    merged.commit(merge=False)
    gone = {0, 7, 131, 300, 307, 431}
    assert len(leaves(fresh)) == 1
    assert said(fresh) == meant(set(range(MANY)) - gone)
    words_of_the_gone_alone = {("text", f"vain{number}") for number in gone}
    assert not words_of_the_gone_alone & said(fresh).keys()


def test_documents_are_merged_behind_those_of_the_same_commit(where: Place) -> None:
    put(where, range(40))
    put(where, range(40, 80))
    put(where, range(80, 120))
    writer = MonthWriter(where, KEY)
    for number in range(120, 160):
        writer.add(key_of(number), terms_of(number))
    writer.commit()
    assert len(leaves(where)) == 1
    assert said(where) == meant(range(160))


def test_what_is_cancelled_leaves_nothing(where: Place) -> None:
    put(where, range(3))
    writer = MonthWriter(where, KEY)
    writer.add(key_of(9), terms_of(9))
    writer.cancel()
    assert said(where) == meant(range(3))
