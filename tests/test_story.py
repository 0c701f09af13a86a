"""The whole life of recordings, in the order it happens, and what the law makes of it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from archive import audit, rebuild, worker
from archive.archive import SYSTEM, Archive, Receipt, complete_descriptor
from archive.db import transaction
from archive.erasure import certificates
from archive.errors import (
    ClockSuspect,
    CohortClosed,
    IndexDamaged,
    KeyDestroyed,
    NotFound,
    OlderThanRetention,
    ReferenceConflict,
)
from archive.model import Actor, Purpose, Query
from tests.clock import Clock
from tests.media import mail, wav
from tests.owner import as_owner

READER = replace(SYSTEM, purposes=frozenset(Purpose))


def deliver(archive: Archive, reference: str, *, days_ago: float = 1, **more: Any) -> Receipt:
    metadata = {
        "source": "pbx",
        "source_ref": reference,
        "occurred_at": (archive.now() - timedelta(days=days_ago)).isoformat(),
        "direction": "inbound",
        "line": "viat",
        "customer_number": "1234567",
    } | more
    return archive.receive_call(SYSTEM, metadata, io.BytesIO(wav(0.5)))


def read(archive: Archive, receipt: Receipt, actor: Actor = READER) -> bytes:
    opened = archive.open(actor, receipt.id, purpose="verification")
    return b"".join(opened.read(0, opened.length))


def test_a_call_is_received_described_found_opened_and_expires(
    archive: Archive, clock: Clock
) -> None:
    receipt = deliver(archive, "1")
    worker.until_idle(archive)
    found = archive.find(READER, Query(customer="1234567"))
    assert [view.id for view in found.items] == [receipt.id]
    assert read(archive, receipt) == wav(0.5)
    clock.advance(timedelta(days=364, hours=1))
    with pytest.raises(NotFound):
        read(archive, receipt)
    clock.advance(timedelta(days=1))
    done = archive.expire()
    assert done["destroyed"] == 1
    assert done["failed"] == []
    assert list(archive.store.list("recordings/")) == []
    for day in done["cohorts_closed"]:
        with pytest.raises(KeyDestroyed):
            archive.keys.get(f"cohort/{day}")
    assert archive.index.find(Query(customer="1234567"), limit=5) == []
    assert certificates.verify_all(archive.vault, archive.engine) == (1, [])


def test_a_day_that_is_over_takes_nothing_more(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1", days_ago=364)
    clock.advance(timedelta(days=3))
    archive.expire()
    clock.advance(timedelta(days=-2, hours=-12))
    with pytest.raises((CohortClosed, OlderThanRetention)):
        deliver(archive, "2", days_ago=364.4)
    assert list(archive.store.list("recordings/")) == []


def test_a_cohort_key_removed_by_hand_ends_exactly_that_days_recordings(
    archive: Archive,
) -> None:
    lost, kept = deliver(archive, "1", days_ago=10), deliver(archive, "2", days_ago=20)
    worker.until_idle(archive)
    day = _helsinki_day(lost)
    (archive.keys.path / "cohort" / day).unlink()
    _assert_unreadable_alone(archive, lost, kept)
    later = deliver(archive, "3", days_ago=10)  # the day gets another key of the same name
    worker.until_idle(archive)
    _assert_unreadable_alone(archive, lost, kept, later)
    with pytest.raises(ReferenceConflict):
        deliver(archive, "1", days_ago=10)


def _assert_unreadable_alone(archive: Archive, lost: Receipt, *kept: Receipt) -> None:
    with pytest.raises(NotFound):
        read(archive, lost)
    assert all(read(archive, receipt) == wav(0.5) for receipt in kept)
    found = {v.id: v.readable for v in archive.find(READER, Query(customer="1234567")).items}
    assert found == {lost.id: False} | {receipt.id: True for receipt in kept}


def _helsinki_day(receipt: Receipt) -> str:
    from archive import retention

    return retention.cohort_of(receipt.expires_at).isoformat()


def test_the_catalogue_is_rebuilt_from_envelopes_and_keys_alone(
    archive: Archive, clock: Clock
) -> None:
    receipts = [deliver(archive, str(n), days_ago=n + 1) for n in range(5)]
    email = archive.receive_email(
        SYSTEM, io.BytesIO(mail()), source="pbx", mailbox="a@example.com", direction="inbound"
    )
    worker.until_idle(archive)
    moved = archive.correct(READER, receipts[0].id, {"agent": "Aino", "customer_number": "777"})
    as_owner(archive, "truncate recording, cohort cascade")
    outcome = rebuild.catalogue_from_envelopes(
        archive.vault,
        archive.engine,
        complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
        progress=lambda n: None,
        now=clock(),
    )
    assert (outcome.rebuilt, outcome.damaged) == (6, [])
    worker.until_idle(archive)
    for receipt in receipts:
        assert read(archive, receipt) == wav(0.5)
    assert archive.describe(READER, moved.id).descriptor.agent == "Aino"
    assert archive.describe(READER, email.id).descriptor.source_ref
    assert len(archive.find(READER, Query(customer="1234567")).items) == 4
    assert len(archive.find(READER, Query(customer="777")).items) == 1
    again = deliver(archive, "3", days_ago=4)
    assert (again.created, again.id) == (False, receipts[3].id)


def test_an_expired_recording_does_not_come_back_with_a_rebuilt_catalogue(
    archive: Archive, clock: Clock
) -> None:
    deliver(archive, "1", days_ago=364)
    copies = {
        s.key: b"".join(archive.store.stream(s.key)) for s in archive.store.list("recordings/")
    }
    clock.advance(timedelta(days=3))
    archive.expire()
    for key, content in copies.items():
        archive.store.put_bytes(key, content)
    outcome = rebuild.catalogue_from_envelopes(
        archive.vault,
        archive.engine,
        complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
        progress=lambda n: None,
        now=clock(),
    )
    assert (outcome.rebuilt, outcome.unreadable) == (0, 1)


def test_missed_nights_are_made_up(archive: Archive, clock: Clock) -> None:
    for days_ago in (350, 355, 360):
        deliver(archive, str(days_ago), days_ago=days_ago)
    clock.advance(timedelta(days=30))
    done = archive.expire()
    assert done["destroyed"] == 3
    assert len(done["cohorts_closed"]) == 3
    assert archive.expire()["destroyed"] == 0
    assert certificates.verify_all(archive.vault, archive.engine) == (2, [])


def test_a_dry_run_says_what_is_due_and_destroys_nothing(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1", days_ago=364)
    clock.advance(timedelta(days=2))
    assert archive.expire(dry_run=True)["due"] == 1
    assert len(list(archive.store.list("recordings/"))) == 1


def test_a_clock_that_jumped_erases_nothing(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1", days_ago=364)
    clock.jump(timedelta(days=40))
    with pytest.raises(ClockSuspect):
        archive.expire()
    assert len(list(archive.store.list("recordings/"))) == 1


def test_a_damaged_index_does_not_keep_what_is_due(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1", days_ago=364)
    kept = deliver(archive, "2", days_ago=355)
    worker.until_idle(archive)
    _damage_index(archive)
    clock.advance(timedelta(days=2))
    assert archive.expire()["destroyed"] == 1
    _find_and_mend(archive)
    found = archive.find(READER, Query(customer="1234567")).items
    assert [view.id for view in found] == [kept.id]


def test_an_erased_recordings_words_leave_the_index_with_their_key(archive: Archive) -> None:
    receipt = deliver(archive, "1", notes="ainutlaatuinen")
    kept = deliver(archive, "2", notes="tavallinen")
    worker.until_idle(archive)
    before = archive.keys.names("index")
    archive.erase(READER, receipt.id, reason="private")
    assert archive.find(READER, Query(q="ainutlaatuinen", customer="1234567")).items == []
    (month,) = archive.rewrite_index()
    assert archive.rewrite_index() == []
    assert all(archive.keys.is_destroyed(name) for name in before if month in name)
    found = archive.find(READER, Query(q="tavallinen", customer="1234567")).items
    assert [view.id for view in found] == [kept.id]


def test_an_altered_certificate_is_found(archive: Archive, clock: Clock) -> None:
    deliver(archive, "1", days_ago=364)
    clock.advance(timedelta(days=2))
    archive.expire()
    (key,) = [s.key for s in archive.store.list("certificates/") if s.key.endswith(".json")]
    raw = b"".join(archive.store.stream(key))
    archive.store.put_bytes(key, raw.replace(b'"destroyed": 1', b'"destroyed": 0'))
    _, wrong = certificates.verify_all(archive.vault, archive.engine)
    assert any("signature" in problem for problem in wrong)


def test_the_audit_log_cannot_be_changed_and_its_chain_holds(archive: Archive) -> None:
    receipt = deliver(archive, "1")
    read(archive, receipt)
    with transaction(archive.engine) as connection:
        assert audit.chain(connection) > 0
    with transaction(archive.engine) as connection:
        count, breaks = audit.verify(connection)
    assert count > 0
    assert breaks == []
    change = "update audit_event set verb = 'x' where chain_no = 1"
    with pytest.raises(Exception, match="append-only"):  # not even its owner, just like that
        as_owner(archive, change)
    as_owner(archive, "alter table audit_event disable trigger all", change)
    with transaction(archive.engine) as connection:
        assert audit.verify(connection)[1][0].chain_no == 1


def test_a_poisonous_recording_never_blocks_the_next(
    archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archive import describing

    bad, good = deliver(archive, "bad"), deliver(archive, "good")
    real = describing.Describer.describe

    def poisoned(self: describing.Describer, recording: Any) -> None:
        if recording.id == bad.id:
            raise MemoryError("poison")
        real(self, recording)

    monkeypatch.setattr(describing.Describer, "describe", poisoned)
    for _ in range(worker.GIVE_UP_AFTER + 1):
        worker.until_idle(archive)
        clock.advance(timedelta(hours=2))
    assert archive.describe(READER, good.id).state.value == "indexed"
    view = archive.describe(READER, bad.id)
    assert view.state.value == "describe-failed"
    assert {v.id for v in archive.find(READER, Query(customer="1234567")).items} == {
        bad.id,
        good.id,
    }


def test_a_damaged_index_month_comes_back_by_itself(archive: Archive) -> None:
    receipts = [deliver(archive, str(n), days_ago=n * 20 + 1) for n in range(3)]
    worker.until_idle(archive)
    _damage_index(archive)
    _find_and_mend(archive)
    found = {v.id for v in archive.find(READER, Query(customer="1234567")).items}
    assert found == {r.id for r in receipts}


def _find_and_mend(archive: Archive) -> None:
    """A search meets the damage and notes it; the worker's next step makes the month anew."""
    for _ in range(4):  # months at the most
        with contextlib.suppress(IndexDamaged):
            archive.find(READER, Query(customer="1234567"))
        archive.mend_index()
    worker.until_idle(archive)


def _damage_index(archive: Archive) -> None:
    """Every file of every month but the locks becomes zeroes; what is open is closed."""
    archive.index.close()
    damaged = 0
    for path in (archive.config.home / "index").rglob("*"):
        if path.is_file() and path.stat().st_size > 0:
            path.write_bytes(b"\0" * path.stat().st_size)
            damaged += 1
    assert damaged
