"""The audit log's chain and signed heads, against somebody who owns the database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from archive import anchors, audit
from archive.anchors import Anchors, Checked
from archive.archive import SYSTEM, Archive
from archive.db import transaction
from tests.clock import Clock
from tests.owner import as_owner
from tests.running import environment_of


@pytest.fixture
def heads(archive: Archive) -> Anchors:
    return Anchors(archive.vault, archive.engine, now=archive.now)


@pytest.fixture(autouse=True)
def _append_only_again(archive: Archive) -> Iterator[None]:
    yield
    as_owner(archive, "alter table audit_event enable trigger all")


def entries(archive: Archive, n: int) -> None:
    with transaction(archive.engine) as connection:
        for _ in range(n):
            audit.append(connection, at=archive.now(), actor=SYSTEM, verb="tested")
    with transaction(archive.engine) as connection:
        audit.chain(connection)


def tamper(archive: Archive, *statements: str) -> None:
    as_owner(archive, "alter table audit_event disable trigger all", *statements)


def chain_anew(archive: Archive, first: int) -> None:
    """What an owner who knows this program would do after a change."""
    tamper(
        archive, f"update audit_event set chain_no = null, hash = null where chain_no >= {first}"
    )
    with transaction(archive.engine) as connection:
        while audit.chain(connection):
            pass


def checked(archive: Archive) -> Checked:
    return anchors.verify(archive.vault, archive.engine)


def test_a_log_that_nobody_touched_holds(archive: Archive, heads: Anchors) -> None:
    entries(archive, 3)
    assert heads.step()
    found = checked(archive)
    assert (found.heads, found.wrong, found.notes) == (1, [], [])
    assert found.entries >= 3


def test_a_changed_entry_is_named(archive: Archive, heads: Anchors) -> None:
    entries(archive, 5)
    heads.step()
    tamper(archive, "update audit_event set actor_id = 'somebody-else' where chain_no = 3")
    assert checked(archive).wrong == ["entry 3: entry altered or out of order"]


def test_a_deleted_entry_is_named(archive: Archive, heads: Anchors) -> None:
    entries(archive, 5)
    heads.step()
    tamper(archive, "delete from audit_event where chain_no = 2")
    assert checked(archive).wrong == ["entry 2: entry missing"]


def test_two_entries_in_each_others_place_are_named(archive: Archive, heads: Anchors) -> None:
    entries(archive, 5)
    heads.step()
    tamper(
        archive,
        "update audit_event set chain_no = -1 where chain_no = 2",
        "update audit_event set chain_no = 2 where chain_no = 3",
        "update audit_event set chain_no = 3 where chain_no = -1",
    )
    assert "entry 2: entry altered or out of order" in checked(archive).wrong


def test_an_end_that_was_cut_off_is_named(archive: Archive, heads: Anchors, clock: Clock) -> None:
    entries(archive, 5)
    heads.step()
    with transaction(archive.engine) as connection:
        last, _ = audit.head(connection)
    tamper(archive, f"delete from audit_event where chain_no > {last - 2}")
    (wrong,) = checked(archive).wrong
    assert wrong.startswith(f"entries {last - 1} to {last} missing at the end")


def test_a_log_chained_anew_is_found_between_two_heads(
    archive: Archive, heads: Anchors, clock: Clock
) -> None:
    entries(archive, 3)
    heads.step()
    with transaction(archive.engine) as connection:
        safe, _ = audit.head(connection)
    clock.advance(timedelta(hours=2))
    entries(archive, 3)
    heads.step()
    tamper(archive, f"update audit_event set verb = 'x' where chain_no = {safe + 2}")
    chain_anew(archive, safe + 2)
    (wrong,) = checked(archive).wrong
    assert wrong.startswith(f"entries {safe + 1} to {safe + 3}: altered and chained anew")


def test_an_emptied_log_is_found(archive: Archive, heads: Anchors) -> None:
    entries(archive, 3)
    heads.step()
    tamper(archive, "truncate audit_event")
    assert "missing at the end" in checked(archive).wrong[0]


def test_a_forged_or_altered_head_is_found(archive: Archive, heads: Anchors) -> None:
    entries(archive, 3)
    heads.step()
    (stored,) = archive.store.list(anchors.PREFIX)
    head = json.loads(b"".join(archive.store.stream(stored.key)))
    head["chain_no"] -= 1
    archive.store.delete([stored.key])
    archive.store.put_bytes(stored.key, json.dumps(head).encode())
    assert f"{stored.key}: signature does not hold" in checked(archive).wrong


def test_a_head_that_is_no_json_is_named(archive: Archive, heads: Anchors) -> None:
    archive.store.put_bytes(f"{anchors.PREFIX}2026-11-24/x.json", b"[")
    (wrong,) = checked(archive).wrong
    assert wrong.endswith("not readable as a head of the audit log")


def test_a_head_that_was_taken_out_is_missed_by_the_next(
    archive: Archive, heads: Anchors, clock: Clock
) -> None:
    for _ in range(3):
        entries(archive, 1)
        heads.step()
        clock.advance(timedelta(hours=2))
    keys = sorted(stored.key for stored in archive.store.list(anchors.PREFIX))
    archive.store.delete([keys[1]])
    (wrong,) = checked(archive).wrong
    assert wrong == f"{keys[2]}: the head before it is missing or altered"


def test_another_key_does_not_vouch_for_the_log(archive: Archive, heads: Anchors) -> None:
    entries(archive, 1)
    heads.step()
    found = anchors.verify(archive.vault, archive.engine, public=bytes(range(32)))
    assert any("signature" in wrong for wrong in found.wrong)


def test_heads_are_written_hourly_while_entries_come_and_daily_in_silence(
    archive: Archive, heads: Anchors, clock: Clock
) -> None:
    entries(archive, 1)
    assert heads.step()
    entries(archive, 1)
    assert not heads.step()
    clock.advance(timedelta(hours=1))
    assert heads.step()
    clock.advance(timedelta(hours=2))
    assert not heads.step()
    clock.advance(timedelta(hours=23))
    assert heads.step()
    assert not Anchors(archive.vault, archive.engine, now=archive.now).step()  # a worker anew


def test_what_a_restore_lost_is_told_and_is_no_tampering(
    archive: Archive, heads: Anchors, clock: Clock
) -> None:
    entries(archive, 6)
    heads.step()
    with transaction(archive.engine) as connection:
        last, _ = audit.head(connection)
    tamper(archive, f"delete from audit_event where chain_no > {last - 2}")  # an older dump
    clock.advance(timedelta(minutes=1))
    Anchors(archive.vault, archive.engine, now=archive.now).restart()
    clock.advance(timedelta(hours=2))
    entries(archive, 4)
    heads_after = Anchors(archive.vault, archive.engine, now=archive.now)
    assert heads_after.step()
    found = checked(archive)
    assert found.wrong == []
    (note,) = found.notes
    assert f"restored up to entry {last - 2}; entries {last - 1} to {last}" in note
    tamper(archive, f"update audit_event set verb = 'x' where chain_no = {last}")
    chain_anew(archive, last)
    assert checked(archive).wrong != []


def test_a_restart_without_a_loss_writes_nothing(archive: Archive, heads: Anchors) -> None:
    entries(archive, 2)
    heads.step()
    heads.restart()
    assert len(list(archive.store.list(anchors.PREFIX))) == 1


def test_the_commands_check_the_log_and_tell_who_met_a_recording(
    archive: Archive, heads: Anchors
) -> None:
    environment = environment_of(archive.config)

    def said(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "archive.cli", "audit", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    recording = uuid4()
    with transaction(archive.engine) as connection:
        audit.append(
            connection, at=archive.now(), actor=SYSTEM, verb="open", recording_id=recording
        )
    entries(archive, 2)
    heads.step()
    code, output = said("list", "--recording", str(recording), "--json")
    assert code == 0
    (entry,) = (json.loads(line) for line in output.splitlines())
    assert (entry["who"], entry["verb"], entry["recording"]) == ("system", "open", str(recording))
    assert said("list", "--user", "nobody")[0] == 1
    assert said("verify")[0] == 0
    tamper(archive, "update audit_event set verb = 'x' where chain_no = 1")
    code, output = said("verify")
    assert code == 1
    assert "entry 1" in output
