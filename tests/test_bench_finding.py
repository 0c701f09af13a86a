"""The benchmark of searching measures what it says, on contacts that are always the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from archive.bench import bed as beds
from archive.bench import finding, invented
from archive.bench.finding import GOALS, KINDS, Measured
from archive.errors import BadRequest
from archive.model import Document, Query
from archive.search.whoosh_index import WhooshIndex


def test_the_contacts_are_the_same_every_time_and_spread_over_a_year() -> None:
    first, second = (list(islice(invented.contacts(2_000), 500)) for _ in range(2))
    assert first == second
    whole = list(invented.contacts(400))
    assert len({document.id for document in whole}) == 400
    assert len({document.occurred_at.strftime("%Y-%m") for document in whole}) == 13
    words = [len(document.text.split()) for document in whole]
    assert 115 <= sum(words) / len(words) <= 125
    emails = sum(document.kind.value == "email" for document in whole)
    assert 0.5 < emails / 400 < 0.7


def test_a_ratio_is_that_of_the_95th_percentiles() -> None:
    own, bare = tuple(float(n) for n in range(1, 101)), (10.0,) * 100
    assert Measured("pair", own, bare).ratio == 9.6


def test_both_sides_find_the_same_and_every_figure_comes_out() -> None:
    found = finding.result(300, "whoosh", lambda words: None, True, asked=8)
    assert [each.kind for each in found.questions] == list(KINDS)
    assert set(GOALS) < set(KINDS)
    assert found.worst == max(each.ratio for each in found.questions if each.kind in GOALS)
    assert found.bare_whoosh_per_s is not None
    assert all("unsealed" in each.others for each in found.questions)
    assert found.sealing is not None
    assert found.detail()["sealing_costs"] == round(found.sealing, 3)
    assert min(found.own_per_s, found.analysis_per_s, found.bare_whoosh_per_s) > 0


def test_a_kept_bed_that_was_cut_off_goes_on_and_is_then_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beds, "BATCH", 100)
    keep, put, batches = tmp_path / "kept", WhooshIndex.put, list[int]()

    def cut_off_in_the_third(index: WhooshIndex, documents: Iterable[Document]) -> None:
        batches.append(len(given := list(documents)))
        put(index, given)
        if len(batches) == 3:  # ours holds the batch, the bare side does not
            raise KeyboardInterrupt

    def run(count: int = 400) -> None:
        with beds.bed(count, "whoosh", say=lambda words: None, keep=keep) as on:
            assert on.index.count(Query()) == count
            assert finding.measure(on, "common word", asked=5).own

    monkeypatch.setattr(WhooshIndex, "put", cut_off_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert json.loads((keep / "share-0.json").read_bytes())["done"] == 200
    run()
    assert batches == [100] * 5
    run()
    assert batches == [100] * 5
    with pytest.raises(BadRequest, match="--keep"):
        run(500)


def test_several_writers_fill_a_bed_of_postgresql_and_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "kept"

    def told() -> dict[str, Any]:
        return finding.result(
            300, "postgres", lambda words: None, True, asked=5, keep=keep
        ).detail()

    first = told()
    assert (first["writers"], first["analysis_per_s"]) == (2, None)
    half = keep / "share-1.json"
    half.write_text(json.dumps(json.loads(half.read_bytes()) | {"done": 0}))
    finding.result.cache_clear()
    assert set(told()["questions"]) == set(KINDS)  # that both sides find the same is asserted there
    assert json.loads(half.read_bytes())["done"] == 150
