"""Nothing of what a contact says can be read on disk; and what damage and crashes do."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from archive.errors import IndexBusy, IndexDamaged
from archive.keys import KeysDirectory
from archive.model import Document, Query
from archive.search import Index, open_index
from archive.search.finnish import Analyser
from archive.search.whoosh_index import WhooshIndex
from archive.search.whoosh_month import places
from tests.search.conftest import NoLemmas, open_keys
from tests.search.documents import FIRST, contacts, document


@pytest.fixture(scope="module")
def engine() -> str:
    """Files are of one engine alone."""
    return "whoosh"


MARKER = "xqzmarkkeri"
MARKERS = (MARKER.encode(), MARKER.upper().encode(), MARKER[::-1].encode(), b"3581029384")
_SPAWN = multiprocessing.get_context("spawn")  # a fork would take half of our threads along


def marked(count: int, *, first: int = 1) -> list[Document]:
    """Contacts that say the marker in every field, each with many words of its own."""
    return [
        document(
            number,
            text=f"{MARKER} " + " ".join(f"{MARKER}{number}x{i}" for i in range(40)),
            subject=MARKER,
            names=(MARKER,),
            agent=MARKER,
            line=MARKER,
            source=MARKER,
            customer=MARKER,
            case=MARKER,
            metering_point=MARKER,
            phones=("+358102938475", MARKER),
            emails=(f"{MARKER}@{MARKER}.fi",),
        )
        for number in range(first, first + count)
    ]


def readable(*folders: Path) -> list[str]:
    """Files in which the marker can be read, whatever is being written at this moment."""
    found = []
    for path in files(*folders):
        try:
            content = path.read_bytes() + path.name.encode()
        except FileNotFoundError:
            continue
        if any(marker in content for marker in MARKERS):
            found.append(path.name)
    return found


def files(*folders: Path) -> list[Path]:
    """All files at this moment, also while folders come and go."""
    found = (walked for folder in folders for walked in os.walk(folder))
    return [Path(parent, name) for parent, _, names in found for name in names]


class Written:
    """Every file that this process opens for writing while `on`, as the interpreter tells it."""

    def __init__(self) -> None:
        self.on = False
        self.paths: set[str] = set()
        sys.addaudithook(self._hear)  # can never be removed, hence the switch

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on or event != "open":
            return
        path, _, flags = arguments
        named = isinstance(path, str | bytes | os.PathLike)  # else it was opened before, by name
        if named and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            self.paths.add(os.fsdecode(path))  # type: ignore[arg-type]


WRITTEN = Written()


@contextmanager
def watched(*folders: Path) -> Iterator[list[str]]:
    """Looks into all files all the time; yields what was found readable."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.extend(readable(*folders))
            over.wait(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.fixture()
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own, for whoever asks the system for one."""
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def opened(folder: Path) -> WhooshIndex:
    return WhooshIndex(
        folder / "index",
        open_keys(folder / "keys"),
        analyser=Analyser(NoLemmas()),
        lock_wait_s=20,
    )


# -- the marker ------------------------------------------------------------------------


def test_no_word_is_readable_on_disk(tmp_path: Path, temporary: Path) -> None:
    index = opened(tmp_path)
    with watched(tmp_path) as seen:
        for at in range(0, 120, 40):
            index.put(marked(40, first=at + 1))
        index.remove([UUID(int=n) for n in range(1, 20)], month="2026-09")
        index.rewrite("2026-09")
    assert seen == []
    assert readable(tmp_path) == []
    assert list(temporary.rglob("*")) == []
    assert index.count(Query(q=MARKER)) == 101
    assert index.check() == {}


def test_files_are_written_in_the_folder_of_a_month_alone_and_under_known_names(
    tmp_path: Path, temporary: Path
) -> None:
    index = opened(tmp_path)
    index.put(marked(1))  # keys are made
    WRITTEN.paths.clear()
    WRITTEN.on = True
    try:
        index.put(marked(50))
        index.remove([UUID(int=1)], month="2026-09")
        index.rewrite("2026-09")
    finally:
        WRITTEN.on = False
    known = re.compile(
        r"(re)?write\.lock|2026-09\.[0-9]+(\.new)?/"
        r"(removed|about\.part|_MAIN_[0-9]+\.toc\.part|MAIN_[0-9a-z]+\.seg\.part)"
    )
    folder = str(tmp_path / "index") + "/"
    ours = {path.removeprefix(folder) for path in WRITTEN.paths if path.startswith(folder)}
    others = {path for path in WRITTEN.paths if not path.startswith(folder)}
    assert any(path.endswith(".seg.part") for path in ours)
    assert [path for path in ours if not known.fullmatch(path)] == []
    assert [path for path in others if not path.startswith(str(tmp_path / "keys"))] == []


def _put_for_ever(folder: Path) -> None:
    index = opened(folder)
    number = 1
    while True:
        index.put(marked(20, first=number))
        (folder / "acknowledged").write_text(str(number + 19))
        number += 20


def test_after_kill_9_nothing_is_readable_and_everything_acknowledged_is_found(
    tmp_path: Path, temporary: Path
) -> None:
    acknowledged = tmp_path / "acknowledged"
    for round_number in range(4):
        child = _SPAWN.Process(target=_put_for_ever, args=(tmp_path,))
        child.start()
        before = acknowledged.read_text() if acknowledged.exists() else ""
        end = time.monotonic() + 60
        while time.monotonic() < end and (
            not acknowledged.exists() or acknowledged.read_text() in ("", before)
        ):
            time.sleep(0.01)
        time.sleep(0.13 * round_number)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        whole = int(acknowledged.read_text() or 0)
        assert readable(tmp_path) == []
        index = opened(tmp_path)
        assert index.check() == {}
        found = {hit.id.int for hit in index.find(Query(q=MARKER), limit=100_000)}
        assert found >= set(range(1, whole + 1))
        index.put([document(1_000_000 + round_number, text="sen jälkeen")])
        assert not list((tmp_path / "index").rglob("*.part"))
        index.close()
    assert list(temporary.rglob("*")) == []


def _generations(folder: Path) -> set[str]:
    return {path.name for path in (folder / "index").glob("2026-09.*")}


def _rewrite_for_ever(folder: Path) -> None:
    index = opened(folder)
    while True:
        index.rewrite("2026-09")


def test_a_rewrite_that_is_killed_loses_nothing_and_leaves_one_generation(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.put(marked(40))
    for wait_s in (0.01, 0.05, 0.1, 0.17):
        child = _SPAWN.Process(target=_rewrite_for_ever, args=(tmp_path,))
        child.start()
        before = _generations(tmp_path)
        while _generations(tmp_path) == before:
            time.sleep(0.005)
        time.sleep(wait_s)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        fresh = opened(tmp_path)
        assert fresh.count(Query(q=MARKER)) == 40
        fresh.put([document(99)])
        assert len(list((tmp_path / "index").glob("2026-09.*"))) == 1
        assert len(open_keys(tmp_path / "keys").names("index")) == 1
        assert fresh.count(Query(q=MARKER)) == 40


def test_files_of_one_month_do_not_open_in_another_or_under_another_name(
    index: Index, tmp_path: Path
) -> None:
    index.put([document(1), document(2, occurred_at=FIRST + timedelta(days=40))])
    first, second = sorted((tmp_path / "index").glob("20*"))
    for toc in first.glob("*.toc"):
        (second / toc.name).write_bytes(toc.read_bytes())
    index.close()
    assert index.check() == {"2026-10": "commitment"}
    assert [hit.id.int for hit in index.find(Query(to=FIRST + timedelta(days=9)), limit=9)] == [1]


def test_lock_and_notes_hold_nothing(index: Index, tmp_path: Path) -> None:
    index.put(marked(2))
    index.remove([UUID(int=1)], month="2026-09")
    for name in ("write.lock", "removed"):
        files = list((tmp_path / "index").rglob(name))
        assert [file.stat().st_size for file in files] == [0]


def _opened_with_todays_keys(folder: Path) -> bytes:
    """All that anybody who holds every key of today can read of the index."""
    keys = open_keys(folder / "keys")
    found = b""
    for where in places(folder / "index"):
        storage = where.storage(keys.get(where.key_name))
        found += b"".join(storage.read(name) for name in storage.list())
    return found


def test_after_rewriting_todays_keys_open_no_word_of_what_was_removed(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.put([document(number, text="lasku") for number in range(1, 60)])
    index.put(marked(3, first=101))
    index.put([document(number, text="sopimus") for number in range(201, 220)])
    assert MARKER.encode() in _opened_with_todays_keys(tmp_path)
    index.remove([UUID(int=number) for number in (101, 102, 103)], month="2026-09")
    for number in range(300, 340):  # meanwhile segments are merged
        index.put([document(number, text="häiriö")])
    index.rewrite("2026-09")
    assert MARKER.encode() not in _opened_with_todays_keys(tmp_path)
    assert "häiriö".encode() in _opened_with_todays_keys(tmp_path)
    assert index.count(Query()) == 59 + 19 + 40


# -- damage ----------------------------------------------------------------------------


def _damages() -> dict[str, Callable[[Path], object]]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return {
        "flipped bit": flip,
        "torn": lambda path: path.write_bytes(path.read_bytes()[:-20]),
        "emptied": lambda path: path.write_bytes(b""),
        "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
        "removed": lambda path: path.unlink(),
    }


@pytest.mark.parametrize("damage", _damages())
@pytest.mark.parametrize("kind", ["*.toc", "*.seg", "about"])
def test_a_damaged_file_is_named_by_its_month_while_the_others_are_searched(
    make: Callable[[], Index], tmp_path: Path, kind: str, damage: str
) -> None:
    index = make()
    edge = FIRST + timedelta(days=35)
    index.put([document(n, text="lasku") for n in range(1, 4)])
    index.put([document(9, occurred_at=edge, text="lasku")])
    for path in (tmp_path / "index").glob(f"2026-09.*/{kind}"):
        _damages()[damage](path)
    reader = make()
    assert [hit.id.int for hit in reader.find(Query(q="lasku", from_=edge), limit=9)] == [9]
    if kind == "about" and damage == "removed":
        assert reader.stale() == ["2026-09"]
        return
    if not (kind == "*.toc" and damage == "removed"):  # then it was never committed
        assert list(reader.check()) == ["2026-09"]
    if kind != "about" and damage != "removed":
        with pytest.raises(IndexDamaged) as caught:
            reader.find(Query(q="lasku"), limit=9)
        assert caught.value.facts["month"] == "2026-09"
        with pytest.raises(IndexDamaged):
            make().put([document(1, text="katko")])
    reader.drop("2026-09")
    reader.put([document(n, text="lasku") for n in range(1, 4)])
    assert [hit.id.int for hit in make().find(Query(q="lasku"), limit=9)] == [9, 3, 2, 1]
    assert reader.check() == {}


def test_a_key_that_is_not_there_is_damage_and_is_mended_by_dropping(
    make: Callable[[], Index], tmp_path: Path, keys: KeysDirectory
) -> None:
    index = make()
    index.put([document(1)])
    (tmp_path / "keys" / keys.names("index")[0]).unlink()
    assert list(index.check()) == ["2026-09"]
    with pytest.raises(IndexDamaged):
        index.find(Query(), limit=1)
    with pytest.raises(IndexDamaged):
        index.put([document(2)])
    index.drop("2026-09")
    index.put([document(2)])
    assert index.count(Query()) == 1


@pytest.mark.parametrize("damage", _damages())
def test_rewriting_a_month_of_which_a_segment_is_damaged_says_so(
    tmp_path: Path, damage: str
) -> None:
    index = opened(tmp_path)
    index.put([document(1), document(2)])
    index.remove([UUID(int=1)], month="2026-09")
    for path in (tmp_path / "index").rglob("*.seg"):
        _damages()[damage](path)
    with pytest.raises(IndexDamaged) as caught:
        index.rewrite("2026-09")
    assert caught.value.facts["month"] == "2026-09"
    index.drop("2026-09")
    index.put([document(2)])
    assert index.count(Query()) == 1


# -- several at once -------------------------------------------------------------------


def test_readers_see_every_acknowledged_contact_while_others_write_and_rewrite(
    tmp_path: Path,
) -> None:
    index, reader = opened(tmp_path), opened(tmp_path)
    index.put([document(1, text="lasku")])
    done, failures, last = threading.Event(), [], 1

    def read() -> None:
        mine = opened(tmp_path)
        while not done.is_set():
            known = last
            for one in (mine, reader):
                found = one.count(Query(q="lasku"))
                if found < known:
                    failures.append((found, known))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 41):
            index.put([document(number, text="lasku")])
            last = number
            if number % 8 == 0:
                index.rewrite("2026-09")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def _put_many(folder: Path, first: int) -> None:
    index = opened(folder)
    for number in range(first, first + 10):
        index.put([document(number, text="lasku")])


def test_two_writing_processes_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    open_keys(tmp_path / "keys")
    children = [_SPAWN.Process(target=_put_many, args=(tmp_path, n)) for n in (1, 101)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert opened(tmp_path).count(Query(q="lasku")) == 20


def test_a_writer_that_waits_too_long_is_told_so(tmp_path: Path, keys: KeysDirectory) -> None:
    index = WhooshIndex(tmp_path / "index", keys, analyser=Analyser(NoLemmas()), lock_wait_s=0.1)
    index.put([document(1)])
    with (
        index._lock(),
        pytest.raises(IndexBusy),
        WhooshIndex(
            tmp_path / "index", keys, analyser=Analyser(NoLemmas()), lock_wait_s=0.1
        )._lock(),
    ):
        pass


def test_segments_stay_few_and_deleted_contacts_are_merged_away(tmp_path: Path) -> None:
    index = opened(tmp_path)
    for one in contacts(60):
        index.put([document(0, id=one.id, text=one.text)])
        index.put([document(0, id=one.id, text=one.text, subject="toisen kerran")])
    assert len(list((tmp_path / "index").rglob("*.seg"))) <= 12
    assert index.count(Query()) == 60


def test_a_month_in_many_pieces_is_worth_rewriting_and_then_is_in_few(tmp_path: Path) -> None:
    index = opened(tmp_path)
    for first in range(1, 14 * 401, 401):
        index.put([document(number) for number in range(first, first + 401)])
    assert index.to_rewrite() == ["2026-09"]
    index.rewrite("2026-09")
    assert len(list((tmp_path / "index").rglob("*.seg"))) == 2
    assert index.to_rewrite() == []
    assert index.count(Query()) == 14 * 401
    assert index.check() == {}


def test_rewriting_takes_over_segments_that_lost_nothing_under_the_new_key(tmp_path: Path) -> None:
    index, reader = opened(tmp_path), opened(tmp_path)
    index.put([document(number, text="lasku") for number in range(1, 401)])
    index.put(marked(30, first=1001))
    before = {path.name: path.read_bytes() for path in (tmp_path / "index").rglob("*.seg")}
    index.remove([UUID(int=1005)], month="2026-09")
    index.rewrite("2026-09")
    after = {path.name: path.read_bytes() for path in (tmp_path / "index").rglob("*.seg")}
    assert len(set(before) & set(after)) == 1
    assert not set(before.values()) & set(after.values())
    assert reader.count(Query(q="lasku")) == 400
    assert reader.count(Query(q=MARKER)) == 29
    assert index.check() == {}


def test_the_index_opens_for_whoever_has_the_keys(tmp_path: Path, keys: KeysDirectory) -> None:
    open_index(tmp_path / "index", keys).put([document(1)])
    again = open_index(tmp_path / "index", open_keys(tmp_path / "keys"))
    assert again.count(Query()) == 1
    stranger = open_index(tmp_path / "index", open_keys(tmp_path / "other-keys"))
    with pytest.raises(IndexDamaged):
        stranger.count(Query())


def test_a_month_that_is_rewritten_again_and_again_is_never_missing_or_damaged(
    tmp_path: Path,
) -> None:
    index = opened(tmp_path)
    index.put([document(number, text="lasku") for number in (1, 2, 3)])
    done, wrong = threading.Event(), []

    def read() -> None:
        mine = opened(tmp_path)
        while not done.is_set():
            try:
                found = mine.count(Query(q="lasku"))
            except IndexDamaged as error:
                wrong.append(str(error))
            else:
                wrong.extend([found] if found != 3 else [])

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            index.rewrite("2026-09")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
