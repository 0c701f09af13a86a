"""The PostgreSQL engine: nothing readable in its data directory, and what damage and crashes do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from archive.db import ensure_database
from archive.errors import IndexDamaged
from archive.keys import KeysDirectory
from archive.model import Query
from archive.search import Index
from archive.search import postgres_months as register
from archive.search.engines import forget_other_engine
from archive.search.finnish import Analyser
from archive.search.postgres_index import PostgresIndex
from archive.search.postgres_words import Digests, open_portion
from archive.search.terms import FIELDS, document_terms
from tests.search.conftest import NoLemmas, open_keys
from tests.search.documents import FIRST, document
from tests.search.test_sealed import MARKER, MARKERS, marked

MONTH = "2026-09"
_SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def engine() -> str:
    return "postgres"


@pytest.fixture()
def index(index_url: str, keys: KeysDirectory) -> Any:
    made = opened(index_url, keys)
    yield made
    made.close()


def opened(url: str, keys: KeysDirectory, kind: type[PostgresIndex] = PostgresIndex) -> Any:
    return kind(url, keys, analyser=Analyser(NoLemmas()))


def found(index: Index, word: str) -> set[int]:
    return {hit.id.int for hit in index.find(Query(q=word), limit=100_000)}


# -- nothing readable ------------------------------------------------------------------


def raw_data(url: str, *, since: float) -> bytes:
    """What was written since to PostgreSQL's data directory, write-ahead log included."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("checkpoint")
        folder = Path(str(connection.execute("show data_directory").fetchone()[0]))  # type: ignore[index]
    content = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.stat().st_mtime >= since:
                content.append(path.read_bytes())
        except FileNotFoundError:
            continue
    return b"".join(content)


def marker_digests(keys: KeysDirectory) -> list[bytes]:
    """The marker's terms under each of today's index keys, as PostgreSQL writes them to disk."""
    terms = document_terms(marked(1)[0], Analyser(NoLemmas()))
    return [
        Digests(keys.get(name)).of(field, term).to_bytes(8, "little", signed=True)
        for name in keys.names("index")
        for field, found in terms.items()
        if field in FIELDS and field not in ("id", "kind", "direction")
        for term in found
    ]


def opened_words(index: PostgresIndex, url: str, keys: KeysDirectory) -> str:
    """Every word that today's keys open in the database."""
    words = []
    with psycopg.connect(url, autocommit=True) as connection:
        for each in register.listed(connection, "current", "new", "gone"):
            rows = connection.execute(f"select name, sealed from {each.words}").fetchall()
            for name, sealed in rows:
                portion = open_portion(
                    keys.get(each.key_name), each.month, each.generation, name, bytes(sealed)
                )
                words += [term for _, term in portion]
    return " ".join(words)


def test_no_word_is_readable_in_the_data_directory_and_after_rewriting_not_with_todays_keys(
    index: PostgresIndex, index_url: str, keys: KeysDirectory
) -> None:
    began = time.time() - 2
    index.put([document(number, text="lasku") for number in range(1, 40)])
    index.put(marked(20, first=101))
    assert index.count(Query(q=MARKER)) == 20
    before = marker_digests(keys)
    raw = raw_data(index_url, since=began)
    assert not any(marker in raw for marker in MARKERS)
    assert sum(digest in raw for digest in before) > 10, (
        "the test must know a digest when it sees one"
    )
    assert MARKER in opened_words(index, index_url, keys)
    index.remove([UUID(int=number) for number in range(101, 121)], month=MONTH)
    assert index.to_rewrite() == [MONTH]
    index.rewrite(MONTH)
    raw = raw_data(index_url, since=began)
    assert not any(marker in raw for marker in MARKERS)
    assert not any(digest in raw for digest in marker_digests(keys))
    assert MARKER not in opened_words(index, index_url, keys)
    assert "lasku" in opened_words(index, index_url, keys)
    assert not set(marker_digests(keys)) & set(before)
    assert len(keys.names("index")) == 1
    assert found(index, "lasku") == set(range(1, 40))


# -- several at once -------------------------------------------------------------------


class Pausing(PostgresIndex):
    """Stops between the copy and the exchange of tables, until it is told to go on."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.copied, self.go_on = threading.Event(), threading.Event()

    def _copy(self, *given: Any) -> None:
        super()._copy(*given)
        self.copied.set()
        assert self.go_on.wait(60)


def test_what_is_put_and_removed_while_a_month_is_rewritten_waits_for_nothing_and_counts(
    index: PostgresIndex, index_url: str, keys: KeysDirectory
) -> None:
    index.put([document(number, text="lasku") for number in range(1, 31)])
    index.put(marked(5, first=101))
    pausing = opened(index_url, keys, Pausing)
    thread = threading.Thread(target=lambda: pausing.rewrite(MONTH))
    thread.start()
    assert pausing.copied.wait(60)
    try:
        for number in range(201, 212):
            index.put([document(number, text="katko")])
        index.put([document(3, text="katko")])
        index.remove([UUID(int=n) for n in range(101, 106)], month=MONTH)
        assert found(index, "katko") == {3, *range(201, 212)}
    finally:
        pausing.go_on.set()
        thread.join()
    pausing.close()
    assert found(index, "katko") == {3, *range(201, 212)}
    assert found(index, "lasku") == {n for n in range(1, 31) if n != 3}
    assert found(index, MARKER) == set()
    assert index.check() == {}
    if index.to_rewrite():  # words of what was removed may have been copied before
        index.rewrite(MONTH)
    assert MARKER not in opened_words(index, index_url, keys)


def test_a_month_dropped_while_it_is_rewritten_stays_dropped(
    index: PostgresIndex, index_url: str, keys: KeysDirectory
) -> None:
    index.put([document(1, text="lasku"), document(2, text="lasku")])
    pausing = opened(index_url, keys, Pausing)
    thread = threading.Thread(target=lambda: pausing.rewrite(MONTH))
    thread.start()
    assert pausing.copied.wait(60)
    index.drop(MONTH)
    index.put([document(7, text="lasku")])
    pausing.go_on.set()
    thread.join()
    pausing.close()
    assert found(index, "lasku") == {7}
    assert len(keys.names("index")) == 1


def _put_many(url: str, folder: Path, first: int) -> None:
    index = opened(url, open_keys(folder))
    for number in range(first, first + 40, 4):
        index.put([document(n, text="lasku") for n in (*range(number, number + 4), 500)])


def test_several_writers_lose_nothing_although_they_put_the_same_contact(
    index: PostgresIndex, index_url: str, tmp_path: Path
) -> None:
    children = [
        _SPAWN.Process(target=_put_many, args=(index_url, tmp_path / "keys", n)) for n in (1, 101)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert len(found(index, "lasku")) == 81
    assert index.check() == {}


def _rewrite_for_ever(url: str, folder: Path) -> None:
    index = opened(url, open_keys(folder))
    while True:
        index.rewrite(MONTH)


def test_a_rewrite_that_is_killed_loses_nothing_and_leaves_one_generation(
    index: PostgresIndex, index_url: str, tmp_path: Path, keys: KeysDirectory
) -> None:
    index.put([document(number, text="lasku") for number in range(1, 61)])
    for wait_s in (0.02, 0.15):
        before = set(keys.names("index"))
        child = _SPAWN.Process(target=_rewrite_for_ever, args=(index_url, tmp_path / "keys"))
        child.start()
        end = time.monotonic() + 60
        while set(keys.names("index")) == before and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(wait_s)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        assert len(found(index, "lasku")) == 60
    with psycopg.connect(index_url, autocommit=True) as connection:
        end = time.monotonic() + 30
        while not register.nobody_rewrites(connection) and time.monotonic() < end:
            time.sleep(0.02)  # PostgreSQL notices that the session is gone
    index.put([document(99)])
    assert len(keys.names("index")) == 1
    with psycopg.connect(index_url) as connection:
        tables = connection.execute(
            "select count(*) from pg_tables where tablename like 'document_%'"
        ).fetchone()
    assert tables == (1,)


def test_readers_never_miss_a_contact_while_a_month_is_rewritten_again_and_again(
    index: PostgresIndex, index_url: str, keys: KeysDirectory
) -> None:
    index.put([document(number, text="lasku") for number in range(1, 11)])
    done, wrong = threading.Event(), []

    def read() -> None:
        mine = opened(index_url, keys)
        while not done.is_set():
            if (seen := mine.count(Query(q="lasku"))) != 10:
                wrong.append(seen)
        mine.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            index.rewrite(MONTH)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


# -- damage ----------------------------------------------------------------------------


def _generation(url: str) -> register.Generation:
    with psycopg.connect(url, autocommit=True) as connection:
        return next(g for g in register.listed(connection, "current") if g.month == MONTH)


DAMAGES: dict[str, Callable[[register.Generation], str]] = {
    "table of contacts missing": lambda g: f"drop table {g.documents}",
    "table of words missing": lambda g: f"drop table {g.words}",
    "words altered": lambda g: f"update {g.words} set sealed = sealed || 'x'",
    "words exchanged": lambda g: f"update {g.words} set name = 'another'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_month_is_named_while_the_others_are_searched(
    index: PostgresIndex, index_url: str, keys: KeysDirectory, damage: str
) -> None:
    later = FIRST + timedelta(days=35)
    index.put([document(1, text="lasku"), document(2, occurred_at=later, text="lasku")])
    with psycopg.connect(index_url, autocommit=True) as connection:
        connection.execute(DAMAGES[damage](_generation(index_url)))
    fresh = opened(index_url, keys)
    assert list(fresh.check()) == [MONTH]
    asked = Query(q="lask*") if "words" in damage else Query(q="lasku")
    with pytest.raises(IndexDamaged):
        fresh.find(asked, limit=9)
    lacking: set[str] = set()
    assert [hit.id.int for hit in fresh.find(asked, limit=9, lacking=lacking)] == [2]
    assert lacking == {MONTH}
    if "words" in damage:
        with pytest.raises(IndexDamaged):
            fresh.rewrite(MONTH)
    fresh.drop(MONTH)
    fresh.put([document(1, text="lasku")])
    assert found(fresh, "lask*") == {1, 2}
    assert fresh.check() == {}
    fresh.close()


def test_a_key_that_is_not_there_is_damage_and_is_mended_by_dropping(
    index: PostgresIndex, keys: KeysDirectory, tmp_path: Path
) -> None:
    index.put([document(1)])
    (tmp_path / "keys" / keys.names("index")[0]).unlink()
    assert list(index.check()) == [MONTH]
    with pytest.raises(IndexDamaged):
        index.find(Query(), limit=1)
    with pytest.raises(IndexDamaged):
        index.put([document(2)])
    index.drop(MONTH)
    index.put([document(2)])
    assert index.count(Query()) == 1


# -- changing the engine ---------------------------------------------------------------


def test_the_engine_that_is_not_in_use_keeps_no_key(
    index: PostgresIndex, keys: KeysDirectory, tmp_path: Path
) -> None:
    from archive.search import open_index

    whoosh = open_index(tmp_path / "index", keys)
    whoosh.put([document(1, text="lasku")])
    index.put([document(1, text="lasku")])
    assert len(keys.names("index")) == 2
    assert forget_other_engine(tmp_path / "index", keys, postgres=True) == 1
    assert not (tmp_path / "index").exists()
    assert whoosh.count(Query()) == 0
    assert found(index, "lasku") == {1}
    assert forget_other_engine(tmp_path / "index", keys, postgres=False) == 1
    assert keys.names("index") == []
    assert found(index, "lasku") == set()


def test_processes_that_begin_at_once_make_the_database_once(server_url: str) -> None:
    """Two `create database` at a time fail on each other, whatever they make."""
    names = ("first", "second")
    urls = [server_url.replace("/postgres?", f"/{name}?") for name in names]
    with ThreadPoolExecutor(8) as crowd:
        made = list(crowd.map(ensure_database, urls * 4))
    assert sorted(made) == [False] * 6 + [True] * 2
    with psycopg.connect(server_url, autocommit=True) as connection:
        for name in names:
            connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))
