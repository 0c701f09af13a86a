"""A month is written anew while others go on searching, adding and removing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from archive.model import Query
from archive.search.finnish import Analyser
from archive.search.whoosh_index import WhooshIndex
from tests.search.conftest import NoLemmas, open_keys
from tests.search.documents import document
from tests.search.test_sealed import MARKER, _opened_with_todays_keys, marked

MONTH = "2026-09"


class Pausing(WhooshIndex):
    """Stops after it has copied a month, until it is told to go on."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.copied, self.go_on = threading.Event(), threading.Event()

    def _copy(self, *given: Any) -> None:
        super()._copy(*given)
        self.copied.set()
        assert self.go_on.wait(60)


def opened(folder: Path, kind: type[WhooshIndex] = WhooshIndex) -> Any:
    keys = open_keys(folder / "keys")
    return kind(folder / "index", keys, analyser=Analyser(NoLemmas()), lock_wait_s=0.5)


@pytest.fixture()
def index(tmp_path: Path) -> WhooshIndex:
    """Another process's view of the same index; it waits half a second for a lock at most."""
    found: WhooshIndex = opened(tmp_path)
    found.put([document(number, text="lasku") for number in range(1, 31)])
    found.put(marked(5, first=101))
    return found


@pytest.fixture()
def meanwhile(tmp_path: Path) -> Callable[[], Any]:
    @contextmanager
    def rewriting() -> Iterator[None]:
        pausing: Pausing = opened(tmp_path, Pausing)
        failed: list[BaseException] = []

        def rewrite() -> None:
            try:
                pausing.rewrite(MONTH)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=rewrite)
        thread.start()
        assert pausing.copied.wait(60)
        try:
            yield
        finally:
            pausing.go_on.set()
            thread.join()
        assert failed == []

    return rewriting


def found(index: WhooshIndex, word: str) -> set[int]:
    return {hit.id.int for hit in index.find(Query(q=word), limit=1000)}


def test_what_is_put_while_a_month_is_rewritten_waits_for_nothing_and_is_kept(
    index: WhooshIndex, tmp_path: Path, meanwhile: Callable[[], Any]
) -> None:
    with meanwhile():
        for number in range(201, 212):
            index.put([document(number, text="katko")])
            assert number in found(index, "katko")
        index.put([document(3, text="katko")])  # said something else before
        index.put([document(201, text="sopimus")])
    for each in (index, opened(tmp_path)):
        assert found(each, "katko") == {3, *range(202, 212)}
        assert found(each, "sopimus") == {201}
        assert found(each, "lasku") == {n for n in range(1, 31) if n != 3}
        assert each.count(Query()) == 30 + 5 + 11
        assert each.check() == {}
    assert len(list((tmp_path / "index").glob(f"{MONTH}.*"))) == 1


def test_what_is_removed_while_a_month_is_rewritten_is_found_no_more_and_goes_with_the_next(
    index: WhooshIndex, tmp_path: Path, meanwhile: Callable[[], Any]
) -> None:
    with meanwhile():
        index.remove([UUID(int=n) for n in range(101, 106)], month=MONTH)
        assert found(index, MARKER) == set()
    assert found(index, MARKER) == set()
    assert index.count(Query()) == 30
    assert index.to_rewrite() == [MONTH]
    index.rewrite(MONTH)
    assert index.to_rewrite() == []
    assert MARKER.encode() not in _opened_with_todays_keys(tmp_path)
    assert index.count(Query()) == 30


def test_a_month_that_is_dropped_while_it_is_rewritten_stays_dropped(
    index: WhooshIndex, tmp_path: Path, meanwhile: Callable[[], Any]
) -> None:
    with meanwhile():
        index.drop(MONTH)
        index.put([document(7, text="lasku")])
    assert found(index, "lasku") == {7}
    assert index.count(Query()) == 1
    assert len(open_keys(tmp_path / "keys").names("index")) == 1


def test_a_month_of_which_everything_is_removed_while_it_is_rewritten_ends(
    index: WhooshIndex, tmp_path: Path, meanwhile: Callable[[], Any]
) -> None:
    with meanwhile():
        index.remove([UUID(int=n) for n in [*range(1, 31), *range(101, 106)]], month=MONTH)
    assert index.months() == []
    assert open_keys(tmp_path / "keys").names("index") == []


def test_other_months_are_written_as_ever_while_one_is_rewritten(
    index: WhooshIndex, meanwhile: Callable[[], Any]
) -> None:
    later = document(900).occurred_at.replace(month=11)
    with meanwhile():
        for number in range(900, 940):
            index.put([document(number, occurred_at=later, text="häiriö")])
    assert len(found(index, "häiriö")) == 40
    assert index.size("2026-11") == 40
    assert index.size(MONTH) == 35
