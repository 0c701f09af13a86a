"""Retention rules shorter than the year: for arrivals at once, for what is stored when applied."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import catalogue, retention, worker
from archive.archive import SYSTEM, Archive
from archive.db import transaction
from archive.erasure import certificates, ruling
from archive.errors import BadSetting, KeyDestroyed, NotFound, OlderThanRetention
from archive.keyring.recovery import PrivateKey
from archive.model import Query, Recording
from tests.clock import Clock
from tests.media import mail, wav
from tests.owner import as_owner
from tests.test_backup import Elsewhere, back_up, elsewhere, environment, folder, private
from tests.test_holds import CASE, HANDLER, case, hold
from tests.test_holds import read as read_held
from tests.test_proof import command
from tests.test_story import READER, deliver, read

__all__ = ["case", "elsewhere", "folder", "private"]

INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def under(archive: Archive, *rules: str) -> None:
    """The service is started anew with these rules."""
    archive.config = replace(archive.config, retention=rules)


def row(archive: Archive, id: UUID) -> Recording:
    with transaction(archive.engine) as connection:
        found = catalogue.get(connection, id)
    assert found is not None
    return found


def apply(archive: Archive) -> ruling.Applied:
    return archive.apply_rules(SYSTEM, progress=lambda n: None)


# -- pure ------------------------------------------------------------------------------


@given(contact=INSTANTS, days=st.integers(1, 365))
def test_no_rule_keeps_anything_beyond_its_year_nor_a_day_less_than_it_says(
    contact: datetime, days: int
) -> None:
    year = retention.expires_at(contact)
    until = retention.kept_until(contact, contact, days)
    assert until <= year == retention.kept_until(contact, contact, None)
    last = retention.local(contact).date() + timedelta(days=days)
    assert until == year or retention.cohort_of(until) == last
    assert until == year or retention.cohort_of(until + timedelta(seconds=1)) > last


@given(contact=INSTANTS, late=st.timedeltas(timedelta(0), timedelta(days=500)))
def test_a_corrected_contact_time_never_outlives_a_year_after_arrival(
    contact: datetime, late: timedelta
) -> None:
    for days in (None, 1, 90, 365):
        until = retention.kept_until(contact + late, contact, days)
        assert until <= retention.expires_at(contact)


@pytest.mark.parametrize(
    "words",
    ["viat=90", "line:viat", "line:=9", "kind:fax=9", "kind:call=0", "kind:call=366", "line:a=x",
     "line:viat=-1", "line:viat=90 line:viat=91"],
)  # fmt: skip
def test_a_rule_that_is_not_understood_stops_the_start(archive: Archive, words: str) -> None:
    with pytest.raises(BadSetting, match="ARCHIVE_RETENTION"):
        ruling.rules_of(replace(archive.config, retention=tuple(words.split())))


def test_a_lines_rule_goes_before_its_kinds() -> None:
    rules = retention.rules(["kind:call=180", "line:viat=90", "line:laskut@a.example=30"])
    assert rules.days(kind="call", line="viat") == 90
    assert rules.days(kind="call", line="muut") == 180
    assert rules.days(kind="email", line="laskut@a.example") == 30
    assert rules.days(kind="email", line="muut") is None


# -- arrivals --------------------------------------------------------------------------


def test_an_arrival_ends_by_its_rule_and_is_refused_when_that_is_over(
    archive: Archive, clock: Clock
) -> None:
    under(archive, "line:viat=30")
    short = deliver(archive, "1", days_ago=28)
    year = deliver(archive, "2", days_ago=28, line="muut")
    assert retention.cohort_of(short.expires_at) == clock().date() + timedelta(days=2)
    assert year.expires_at == retention.expires_at(clock() - timedelta(days=28))
    with pytest.raises(OlderThanRetention):
        deliver(archive, "3", days_ago=31)
    worker.until_idle(archive)
    clock.advance(timedelta(days=3))
    with pytest.raises(NotFound):
        read(archive, short)
    assert archive.expire()["destroyed"] == 1
    with pytest.raises(KeyDestroyed):
        archive.keys.get(f"cohort/{retention.cohort_of(short.expires_at)}")
    assert archive.prove_expired(SYSTEM, short.id).good
    assert read(archive, year) == wav(0.5)


# -- what is stored --------------------------------------------------------------------


def test_a_changed_rule_is_previewed_changes_nothing_until_applied_and_then_all_of_it(
    archive: Archive, clock: Clock, case: str
) -> None:
    over, soon = deliver(archive, "1", days_ago=100), deliver(archive, "2", days_ago=60)
    held = deliver(archive, "3", days_ago=100, case=CASE)
    other = deliver(archive, "4", days_ago=100, line="muut")
    email = archive.receive_email(
        SYSTEM, io.BytesIO(mail()), source="pbx", mailbox="a@example.com", direction="inbound"
    )
    hold(archive, held.id)
    worker.until_idle(archive)
    under(archive, "line:viat=90", "kind:email=10")
    found = archive.preview_rules(SYSTEM)
    assert (found.recordings, found.changes) == (5, 4)
    by_rule = {share.rule: share for share in found.rules}
    viat, mails = by_rule["line:viat"], by_rule["kind:email"]
    assert (viat.shorter, viat.longer, viat.over, viat.held) == (3, 0, 2, 1)
    assert viat.first == clock().date() + timedelta(days=30)
    assert (mails.shorter, mails.over) == (1, 0)
    assert (by_rule[""].shorter, by_rule[""].longer) == (0, 0)
    for receipt in (over, soon, other):
        assert read(archive, receipt) == wav(0.5)

    done = apply(archive)
    assert (done.shorter, done.longer, done.left) == (4, 0, [])
    assert archive.preview_rules(SYSTEM).changes == 0
    with pytest.raises(NotFound):  # at once, before any night
        read(archive, over)
    page = archive.find(READER, Query(customer="1234567"), total=True)
    assert {view.id for view in page.items} == {soon.id, other.id}
    assert page.total == 2
    assert row(archive, over.id).cohort == clock().date()
    assert read(archive, soon) == wav(0.5)
    assert archive.describe(READER, soon.id).descriptor.keep_days == 90
    assert read_held(archive, held.id, HANDLER) == wav(0.5)

    clock.advance(timedelta(days=1))
    assert archive.expire()["destroyed"] == 1
    assert archive.prove_expired(SYSTEM, over.id).good
    clock.advance(timedelta(days=30))
    assert archive.expire()["destroyed"] == 2  # `soon` and the email
    assert archive.prove_expired(SYSTEM, soon.id).good
    assert archive.prove_expired(SYSTEM, email.id).good
    assert read(archive, other) == wav(0.5)
    assert read_held(archive, held.id, HANDLER) == wav(0.5)
    assert certificates.verify_all(archive.vault, archive.engine)[1] == []


def test_a_rule_taken_back_gives_the_year_again_and_nothing_more_and_revives_nothing(
    archive: Archive, clock: Clock
) -> None:
    under(archive, "kind:call=30")
    gone, kept = deliver(archive, "1", days_ago=29), deliver(archive, "2", days_ago=1)
    clock.advance(timedelta(days=2, hours=12))
    under(archive)
    found = archive.preview_rules(SYSTEM)
    assert [(share.rule, share.longer) for share in found.rules] == [("", 1)]
    done = apply(archive)
    assert (done.shorter, done.longer) == (0, 1)
    assert row(archive, kept.id).expires_at == retention.expires_at(kept.occurred_at)
    with pytest.raises(NotFound):
        read(archive, gone)
    assert archive.expire()["destroyed"] == 1
    clock.advance(timedelta(days=60))
    archive.expire()
    assert read(archive, kept) == wav(0.5)
    clock.advance(timedelta(days=305))
    with pytest.raises(NotFound):
        read(archive, kept)


def test_a_correction_keeps_to_the_rule(archive: Archive, clock: Clock) -> None:
    under(archive, "kind:call=30")
    made = deliver(archive, "1", days_ago=10)
    contact = clock() - timedelta(days=20)
    archive.correct(READER, made.id, {"occurred_at": contact.isoformat()})
    assert row(archive, made.id).expires_at == retention.kept_until(contact, clock(), 30)


def test_a_rebuild_and_a_restore_keep_to_the_rule_whatever_the_settings_say_then(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    over, soon = deliver(archive, "1", days_ago=100), deliver(archive, "2", days_ago=60)
    worker.until_idle(archive)
    before = back_up(archive, folder)
    clock.advance(timedelta(hours=1))  # the newest key backup is the one made last
    under(archive, "line:viat=90")
    apply(archive)
    expected = row(archive, soon.id)
    as_owner(archive, "truncate recording, cohort cascade")
    assert command(archive, "rebuild-catalogue").exit_code == 0
    rebuilt = row(archive, soon.id)
    assert (rebuilt.expires_at, rebuilt.cohort) == (expected.expires_at, expected.cohort)
    with pytest.raises(NotFound):
        read(archive, over)
    back_up(archive, folder)
    with elsewhere.restored(folder, private, dump=before.folder) as (restored, outcome):
        assert outcome.whole
        again = row(restored, soon.id)
        assert (again.expires_at, again.cohort) == (expected.expires_at, expected.cohort)
        with pytest.raises(NotFound):
            read(restored, over)
        assert read(restored, soon) == wav(0.5)


KILLED = """
import os, signal, sys
from archive import catalogue, corrections
from archive.archive import SYSTEM
from archive.assembly import assemble
from archive.config import Config
moved, where, n = [], sys.argv[1], 0
real = catalogue.change
def change(connection, id, **columns):
    real(connection, id, **columns)
    moved.append(id)
    if len(moved) == 3 and where == "envelope":
        os.kill(os.getpid(), signal.SIGKILL)  # the envelope is written, the row is not committed
corrections.catalogue.change = change
archive = assemble(Config.from_env(os.environ)).archive
def progress(done):
    if where == "row" and done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
archive.apply_rules(SYSTEM, progress=progress)
"""


@pytest.mark.parametrize("where", ["envelope", "row"])
def test_applying_that_was_killed_goes_on_where_it_was(archive: Archive, where: str) -> None:
    from archive.assembly import utc_now

    def contact(n: int) -> str:
        return (utc_now() - timedelta(days=n + 1)).isoformat()

    made = [deliver(archive, str(n), occurred_at=contact(n)) for n in range(5)]
    rules = {"ARCHIVE_RETENTION": "kind:call=90"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, where],
        env=environment(archive.config) | rules,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    under(archive, "kind:call=90")
    left = archive.preview_rules(SYSTEM).changes
    assert left == (3 if where == "envelope" else 2)
    assert apply(archive).shorter == left
    for receipt in made:
        assert read(archive, receipt) == wav(0.5)
        expires = retention.kept_until(receipt.occurred_at, archive.now(), 90)
        assert row(archive, receipt.id).expires_at == expires


def test_the_commands_preview_ask_and_apply(archive: Archive) -> None:
    from archive.assembly import utc_now

    contact = (utc_now() - timedelta(days=1)).isoformat()
    deliver(archive, "1", occurred_at=contact)

    def run(*words: str, **more: Any) -> Any:
        return command(archive, "retention", *words, **more)

    assert run("preview").exit_code == 0
    rules = {"ARCHIVE_RETENTION": "line:viat=90"}
    said = run("preview", **rules)
    assert said.exit_code == 1 and "line:viat (90 days): 1 earlier" in said.output
    assert run("apply", **rules).exit_code == 1  # nobody answered
    assert run("preview", **rules).exit_code == 1
    done = run("apply", "--yes", **rules)
    assert done.exit_code == 0 and "1 end earlier, 0 later" in done.output
    assert run("preview", **rules).exit_code == 0
