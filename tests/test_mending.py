"""Whatever happens to a month of the index: the others are searched, and it comes back whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from archive import catalogue, mending, worker
from archive.archive import Archive
from archive.db import transaction
from archive.mending import Reconciler
from archive.search import whoosh_index, whoosh_month
from archive.worker import Worker
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.web.conftest import AINO, agent, person  # noqa: F401
from tests.web.visitor import Visitor


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bits of its segments are flipped": lambda month: [flip(p) for p in month.glob("*.seg")],
    "its segments are torn": lambda month: [tear(p) for p in month.glob("*.seg")],
    "its table of contents is torn": lambda month: [tear(p) for p in month.glob("*.toc")],
    "it is emptied": lambda month: [p.unlink() for p in month.iterdir()],
    "it is deleted": shutil.rmtree,
}


@pytest.fixture
def two_months(machine: Machine, clock: Clock) -> dict[str, list[str]]:
    """Month -> ids of three calls of Aino's, all of them findable."""
    made: dict[str, list[str]] = {}
    for number, days in enumerate((2, 2, 2, 40, 40, 40)):
        at = clock() - timedelta(days=days)
        given = metadata(
            clock, source_ref=str(number), customer_number=AINO, occurred_at=at.isoformat()
        )
        made.setdefault(at.strftime("%Y-%m"), []).append(post_call(machine, given).get_json()["id"])
    machine.work()
    return made


def search(machine: Machine) -> tuple[set[str], list[str]]:
    """What is found of Aino's, and which months the answer says are lacking."""
    answer = machine.post("/api/v1/recordings/search", {"customer": AINO, "total": True})
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["total"] == len(body["items"])
    return {item["id"] for item in body["items"]}, body.get("rebuilding", [])


def folder_of(archive: Archive, month: str) -> Path:
    return next((archive.config.home / "index").glob(f"{month}.*"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_other_months_are_searched_and_the_damaged_one_comes_back_when(
    archive: Archive, machine: Machine, two_months: dict[str, list[str]], damage: str
) -> None:
    new, old = sorted(two_months, reverse=True)
    everything = {id for ids in two_months.values() for id in ids}
    archive.index.close()
    DAMAGES[damage](folder_of(archive, old))
    found, lacking = search(machine)
    assert found == set(two_months[new])
    if "deleted" not in damage and "emptied" not in damage:
        assert lacking == [old]
    carer = Worker(archive)
    carer._reconciler = Reconciler(
        archive.engine, archive.index, now=archive.now, every_s=0, share=1
    )
    for _ in range(10):
        carer.index_once()
    assert search(machine) == (everything, [])
    assert archive.index.check() == {}


def test_months_of_an_older_index_are_made_anew_one_after_the_other(
    archive: Archive,
    machine: Machine,
    two_months: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (whoosh_index, whoosh_month):
        monkeypatch.setattr(module, "analyser_mark", lambda name: f"{name}+newer")
    everything = {id for ids in two_months.values() for id in ids}
    assert sorted(archive.index.stale()) == sorted(two_months)
    reconciler = Reconciler(archive.engine, archive.index, now=archive.now, every_s=0, share=1)
    begun = []
    for _ in range(3):
        begun += reconciler.step()
        assert reconciler.step() == [], "while one month is being made anew, no other is begun"
        machine.work()
        with transaction(archive.engine) as connection:
            mending.end_rebuilds(connection, now=archive.now())
    assert begun == sorted(two_months, reverse=True)
    assert archive.index.stale() == []
    assert search(machine) == (everything, [])


def test_an_answer_says_what_is_lacking_until_the_month_is_whole_again(
    archive: Archive, machine: Machine, two_months: dict[str, list[str]], clock: Clock
) -> None:
    new, old = sorted(two_months, reverse=True)
    archive.rebuild_month(old)
    assert search(machine) == (set(two_months[new]), [old])
    recent = {"customer": AINO, "from": (clock() - timedelta(days=5)).date().isoformat()}
    assert "rebuilding" not in machine.post("/api/v1/recordings/search", recent).get_json()
    with transaction(archive.engine) as connection:
        first = UUID(two_months[old][0])
        catalogue.index_failed(
            connection, [first], next_at=clock() + timedelta(10), give_up_after=9
        )
    while worker.index_batch(archive):
        pass
    assert search(machine)[1] == [old], "one recording of the month is not in the index yet"
    clock.advance(timedelta(days=11))
    while worker.index_batch(archive):
        pass
    assert search(machine) == ({id for ids in two_months.values() for id in ids}, [])


def test_a_person_reads_which_month_may_lack_contacts(
    archive: Archive,
    agent: Visitor,  # noqa: F811
    two_months: dict[str, list[str]],
) -> None:
    new, old = sorted(two_months, reverse=True)
    agent.verify(AINO)
    assert "hakemistoa korjataan" not in agent.page.lower()
    archive.index.close()
    DAMAGES["its segments are torn"](folder_of(archive, old))
    agent.verify(AINO)
    assert "lokakuu 2026" in agent.page
    assert two_months[new][0] in agent.page
    DAMAGES["its segments are torn"](folder_of(archive, new))
    archive.index.close()
    agent.verify(AINO)
    assert "Kontakteja ei löytynyt" in agent.page
    assert "lokakuu 2026, marraskuu 2026" in agent.page


def test_what_the_index_lost_or_holds_too_much_is_noticed_by_counting(
    archive: Archive, machine: Machine, two_months: dict[str, list[str]], clock: Clock
) -> None:
    new, old = sorted(two_months, reverse=True)
    carer = Reconciler(archive.engine, archive.index, now=archive.now, every_s=0, share=1)
    assert [carer.step() for _ in range(3)] == [[], [], []]
    archive.index.remove([UUID(two_months[old][1])], month=old)
    assert carer.step() == [], "it may be just being removed"
    assert carer.step() == [old]
    while worker.index_batch(archive):
        pass
    assert search(machine) == ({id for ids in two_months.values() for id in ids}, [])
    with transaction(archive.engine) as connection:
        row = catalogue.get(connection, UUID(two_months[new][0]))
        assert row is not None
        connection.exec_driver_sql(f"delete from rendition where recording_id = '{row.id}'")
        connection.exec_driver_sql(f"delete from recording where id = '{row.id}'")
    assert carer.step() == []
    assert carer.step() == [new]
    while worker.index_batch(archive):
        pass
    assert archive.index.size(new) == 2
    assert [carer.step() for _ in range(3)] == [[], [], []]


def test_counting_and_reading_rest_in_between(archive: Archive) -> None:
    at = [0.0]
    carer = Reconciler(
        archive.engine, archive.index, now=archive.now, every_s=10, monotonic=lambda: at[0]
    )
    carer.step()
    archive.index.put([])
    due = carer._due
    at[0] = 9.9
    carer.step()
    assert carer._due == due == 10
    at[0] = 10.1
    carer.step()
    assert carer._due == pytest.approx(20.1)


def test_a_rebuild_that_breaks_off_after_any_step_is_taken_up_again(
    archive: Archive, machine: Machine, two_months: dict[str, list[str]]
) -> None:
    _new, old = sorted(two_months, reverse=True)
    dropped = archive.index.drop

    def crash(month: str) -> None:
        dropped(month)
        raise KeyboardInterrupt

    archive.index.drop = crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        archive.rebuild_month(old)
    archive.index.drop = dropped  # type: ignore[method-assign]
    assert search(machine)[1] == [old]
    assert archive.mend_index() == [old]
    while worker.index_batch(archive):
        pass
    assert search(machine) == ({id for ids in two_months.values() for id in ids}, [])


def test_an_arrival_is_indexed_before_the_thousands_of_a_month_made_anew(
    archive: Archive, machine: Machine, clock: Clock
) -> None:
    for number in range(250):
        post_call(machine, metadata(clock, source_ref=str(number), customer_number="900000"))
    clock.advance(timedelta(seconds=2))
    newest = post_call(machine, metadata(clock, source_ref="x", customer_number=AINO)).get_json()[
        "id"
    ]
    clock.advance(timedelta(seconds=1))
    worker.index_batch(archive)
    assert search(machine)[0] == {newest}
    while worker.index_batch(archive):
        pass
    assert archive.index.size(clock().strftime("%Y-%m")) == 251


def test_the_memory_of_opened_months_is_told_to_the_metrics(
    archive: Archive, machine: Machine, two_months: dict[str, list[str]]
) -> None:
    search(machine)
    page = machine.get("/metrics").get_data(as_text=True)
    assert "archive_index_months 2.0" in page
    told = next(
        line for line in page.splitlines() if line.startswith("archive_index_memory_bytes ")
    )
    assert float(told.split()[1]) > 1000


def test_months_that_are_lacking_are_told_to_those_who_search_them(archive: Archive) -> None:
    mending.note_damage(archive.engine, ["2026-03", "2026-07"])

    def lacking(first: str | None, to: str | None) -> list[str]:
        with transaction(archive.engine) as connection:
            return mending.lacking(
                connection,
                from_=datetime.fromisoformat(first) if first else None,
                to=datetime.fromisoformat(to) if to else None,
            )

    assert lacking(None, None) == ["2026-03", "2026-07"]
    assert lacking("2026-04-01T00:00+03:00", None) == ["2026-03", "2026-07"]  # months are UTC
    assert lacking("2026-04-02T00:00+03:00", "2026-06-30T00:00+03:00") == []


def test_what_the_index_knows_nothing_of_comes_before_what_is_indexed_again(
    archive: Archive, machine: Machine, clock: Clock
) -> None:
    known = [post_call(machine, metadata(clock, source_ref=f"known-{n}")) for n in range(6)]
    machine.work()
    clock.advance(timedelta(seconds=1))
    arrived = post_call(machine, metadata(clock, source_ref="arrived")).get_json()["id"]
    clock.advance(timedelta(seconds=1))
    with transaction(archive.engine) as connection:
        for answer in known:  # as if each had just been described
            id = UUID(answer.get_json()["id"])
            catalogue.change(connection, id, index_due=True, index_next_at=clock())
    with transaction(archive.engine) as connection:
        first = catalogue.to_index(connection, now=clock(), limit=2)
        every = catalogue.to_index(connection, now=clock(), limit=9)
    assert str(first[0].id) == arrived and len(first) == 2  # it waits longest
    assert len(every) == 7
    with transaction(archive.engine) as connection:
        for answer in known[:3]:  # and some for longer than it
            id = UUID(answer.get_json()["id"])
            early = clock() - timedelta(seconds=9)
            catalogue.change(connection, id, index_due=True, index_next_at=early)
        latest = catalogue.to_index(connection, now=clock(), limit=4)
    assert len(latest) == 4 and str(latest[2].id) == arrived
