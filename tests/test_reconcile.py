"""What a recorder announced against what is kept: a day's planted errors, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive.archive import SYSTEM, Archive
from archive.errors import BadFields
from archive.sources import announced, folder, pbx_names
from archive.worker import until_idle
from tests.mail_server import refused
from tests.media import wav
from tests.test_watch import Watched

DAY = datetime(2026, 11, 23, 6, tzinfo=UTC)  # 8 o'clock in Helsinki


def at(number: int) -> datetime:
    return DAY + timedelta(minutes=10 * number)


def name(number: int) -> str:
    """A file name as FreePBX writes it."""
    local = at(number) + timedelta(hours=2)
    stamp = f"{local:%Y%m%d-%H%M%S}"
    return f"external-201-+358401234{number:03d}-{stamp}-{at(number).timestamp():.0f}.{number}.wav"


def cdr(numbers: list[int], **changed: str) -> list[str]:
    """A CDR of calls by number; `changed` are other local times."""
    rows = ["calldate,clid,disposition,recordingfile,uniqueid,sequence"]
    for number in numbers:
        time = changed.get(f"n{number}", f"{at(number) + timedelta(hours=2):%Y-%m-%d %H:%M:%S}")
        rows.append(f"{time},x,ANSWERED,2026/11/23/{name(number)},{number}.{number},{number}")
    rows.append("2026-11-23 09:00:00,x,NO ANSWER,,99.99,")
    return rows


def test_the_report_names_exactly_the_errors_that_were_planted(
    archive: Archive, tmp_path: Path
) -> None:
    watched = Watched(archive, tmp_path)
    archive.allow_line(SYSTEM, source="pbx", line="viat")
    for number in range(24):
        if number in {3, 17}:  # 1: missing audio. 2: neither announced nor there, a gap
            continue
        audio = {5: b"", 6: b"noise" * 200}.get(number, wav(seconds=0.05))  # 3, 4
        watched.put(name(number), audio)
    watched.put(name(7) + ".json", b'{"line": "oma"}')  # 5: of a line that is not allowed
    watched.look()
    assert len(watched.look(10).refused) == 1
    watched.put(name(8), wav(seconds=0.05) + b"more")  # 6: the same name, other bytes
    watched.put(name(9), wav(seconds=0.05))  # 7: again
    watched.look()
    watched.look(3600)
    until_idle(archive)

    told = [n for n in range(24) if n not in {11, 17}]  # 8: not announced
    lines = cdr([*told, 12], n13="2026-11-23 23:00:00")  # 9: announced twice. 10: wrong clock
    found = archive.reconcile(SYSTEM, source="pbx", announced=announced.read(lines))
    id_of = {n: _id(archive, n) for n in (5, 6, 11, 13)}
    assert found.missing == (f"file:{name(3)}", f"file:{name(7)}")
    assert found.gaps == ((11, 11), (17, 17))
    assert found.empty == (id_of[5],)
    assert found.undecodable == (id_of[6],)
    assert found.unannounced == (id_of[11],)
    assert found.repeated == (f"file:{name(12)}",)
    assert found.clock == (id_of[13],)
    assert (found.announced, found.received) == (22, 20)
    [pbx] = archive.sources(SYSTEM)
    assert sum(day.again for day in pbx.days) == 1
    assert refused(archive) == {"line-not-allowed": 1, "reference-conflict": 1}


def _id(archive: Archive, number: int) -> str:
    digest = archive.reference("pbx", f"file:{name(number)}")
    with archive.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "select id from recording where reference = %s", (digest,)
        ).scalar_one()
    return str(found)


def test_a_day_without_errors_agrees(archive: Archive, tmp_path: Path) -> None:
    watched = Watched(archive, tmp_path)
    for number in range(3):
        watched.put(name(number), wav(seconds=0.05))
    watched.look()
    watched.look(10)
    until_idle(archive)
    lines = cdr([0, 1, 2])
    assert archive.reconcile(SYSTEM, source="pbx", announced=announced.read(lines)).agrees
    assert not archive.reconcile(SYSTEM, source="other", announced=announced.read(lines)).agrees


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["a,b", "1,2"], "line 1"),
        (["uniqueid", "1.1"], "line 1"),
        (["uniqueid,calldate", "1.1,yesterday"], "line 2"),
        (["uniqueid,occurred_at", "1.1,2026-11-23T10:00:00"], "line 2"),
        (["uniqueid,calldate,sequence", "1.1,2026-11-23 10:00:00,x"], "line 2"),
        ([], "line 1"),
    ],
)
def test_a_list_that_is_not_understood_is_refused_by_its_line(lines: list[str], where: str) -> None:
    with pytest.raises(BadFields) as wrong:
        announced.read(lines)
    assert [e.field for e in wrong.value.errors] == [where]


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        (
            "out-0401234567-201-20261123-100000-1795420800.12.wav",
            ("outbound", "201", "0401234567", "201", "2026-11-23T08:00:00+00:00"),
        ),
        (
            "external-201-+358401234567-20261123-100000-pbx1-1795420800.12.WAV",
            ("inbound", "+358401234567", "201", "201", "2026-11-23T08:00:00+00:00"),
        ),
        (
            "internal-201-202-20261123-100000-1795420800.12.gsm",
            ("internal", "202", "201", "201", "2026-11-23T08:00:00+00:00"),
        ),
        (  # an epoch of another day is not believed
            "q-700-anonymous-20261123-100000-1000000000.1.mp3",
            ("inbound", "anonymous", "700", "700", "2026-11-23T10:00:00+02:00"),
        ),
    ],
)
def test_the_names_of_freepbx_tell_who_called_whom_and_when(
    file: str, fields: tuple[str, ...]
) -> None:
    told = pbx_names.told(file)
    at_ = datetime.fromisoformat(told["occurred_at"])
    assert (told["direction"], told["caller"], told["callee"], told["agent"]) == fields[:4]
    assert at_ == datetime.fromisoformat(fields[4])
    assert told["source_ref"] == f"file:{file}"


def test_other_names_tell_what_they_can(tmp_path: Path) -> None:
    assert pbx_names.told("20261123_100000_ABCD.wav") == {
        "occurred_at": "2026-11-23T08:00:00+00:00"
    }
    for plain in ("call.wav", "out-1-2-99999999-999999-1.1.wav", "a-b-c.wav", "", "."):
        assert pbx_names.told(plain) == {}
    given = folder.Options(received_at=DAY)
    path = tmp_path / name(1)
    path.write_bytes(wav(seconds=0.05))
    [item] = folder.items(path, given, now=DAY)
    assert item.metadata["occurred_at"] == DAY.isoformat()  # the operator's word counts more
