"""A small run of `make chaos`: each way in broken once, each fault once."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.archive import Archive
from archive.assembly import Assembly
from archive.auth import People
from tests.chaos.rounds import DATABASE, DISK, KILL, STORE, TORN, Round, chaos, plan

ROUNDS = [
    Round(0, "http-call", KILL),
    Round(1, "http-call", DISK),
    Round(2, "http-call", STORE),
    Round(3, "http-call", TORN),
    Round(4, "imap", KILL),
    Round(5, "ingest", KILL),
]


@pytest.mark.timeout(600)
def test_whatever_is_broken_during_intake_nothing_acknowledged_is_lost_doubled_or_left_over(
    archive: Archive, people: People, tmp_path: Path
) -> None:
    assembly = Assembly(archive.config, archive.engine, archive, people)
    names = list(dict.fromkeys(one.source for one in ROUNDS))
    with chaos(assembly, tmp_path, seed=1, names=names) as broken:
        broken.run(ROUNDS, lambda one, seconds: None)
        assert broken.verify() == broken.tally.recordings
    assert sum(broken.tally.runs.values()) == len(ROUNDS)
    assert broken.tally.refused["507"] + broken.tally.refused["503"] > 0  # what was full was felt


def test_the_whole_run_breaks_every_source_in_every_way() -> None:
    rounds = plan(204, 10)
    kills = [one.source for one in rounds if one.fault == KILL]
    assert len(kills) >= 200
    assert {kills.count(source) for source in kills} == {34}
    for fault in (STORE, DATABASE, DISK):
        assert len({one.source for one in rounds if one.fault == fault}) == 6
    assert {one.source for one in rounds if one.fault == TORN} == {
        "http-call", "http-email", "smtp", "watched",
    }  # fmt: skip
