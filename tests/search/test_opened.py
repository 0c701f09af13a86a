"""Months that are held open: within the memory given, and of use although a year does not fit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from archive.model import Query
from archive.search import whoosh_opened
from archive.search.finnish import Analyser
from archive.search.whoosh_index import WhooshIndex
from archive.search.whoosh_month import OpenMonth
from tests.search.conftest import NoLemmas, open_keys
from tests.search.documents import document

MONTHS = 12
QUESTIONS = 40


def filled(folder: Path) -> WhooshIndex:
    index = opened(folder)
    index.put(
        [
            document(
                number,
                occurred_at=datetime(2026, 1 + number % MONTHS, 3, tzinfo=UTC),
                text="lasku " + " ".join(f"sana{number}x{n}" for n in range(60)),
            )
            for number in range(20 * MONTHS)
        ]
    )
    return index


def opened(folder: Path, *, memory_bytes: int = 1 << 30) -> WhooshIndex:
    keys = open_keys(folder / "keys")
    return WhooshIndex(
        folder / "index", keys, analyser=Analyser(NoLemmas()), memory_bytes=memory_bytes
    )


@pytest.fixture()
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The months that were read from disk, as often as they were."""
    found: list[str] = []
    real = OpenMonth.read

    def read(place, key, *, reuse):  # type: ignore[no-untyped-def]
        made = real(place, key, reuse=reuse)
        if made is not reuse:
            found.append(place.month)
        return made

    monkeypatch.setattr(whoosh_opened.OpenMonth, "read", read)
    return found


def test_a_year_a_little_too_large_is_not_opened_anew_by_every_question(
    tmp_path: Path, reads: list[str]
) -> None:
    whole = filled(tmp_path)
    assert whole.count(Query(q="lasku")) == 20 * MONTHS
    year = whole.opened().memory_bytes
    assert whole.opened().months == MONTHS
    index = opened(tmp_path, memory_bytes=year * 9 // 10)
    reads.clear()
    for _ in range(QUESTIONS):
        assert index.count(Query(q="lasku")) == 20 * MONTHS
        assert index.opened().memory_bytes <= year * 9 // 10
    assert len(reads) < MONTHS * QUESTIONS / 2  # longest unused first: all of them, every time


def test_a_year_that_fits_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    filled(tmp_path).close()
    index = opened(tmp_path)
    reads.clear()
    for _ in range(3):
        assert index.count(Query(q="lasku")) == 20 * MONTHS
    assert sorted(reads) == [f"2026-{month:02}" for month in range(1, MONTHS + 1)]
