"""Holds and restrictions: what outlives its year, for whom it is there, and how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from archive import permissions, rebuild, retention, worker
from archive.archive import SYSTEM, Archive, Held, complete_descriptor
from archive.db import transaction
from archive.erasure import certificates, sweeping
from archive.errors import (
    AlreadyHeld,
    BadFields,
    CaseRequired,
    Forbidden,
    KeyDestroyed,
    NotFound,
    RecordingHeld,
    SecondPersonNeeded,
)
from archive.model import Actor, Purpose, Query
from tests.clock import Clock
from tests.media import mail, wav
from tests.owner import as_owner
from tests.running import environment_of
from tests.test_story import deliver

CASE = "2026-00001"
COMPLAINT = {"purpose": "complaint", "case": CASE}


def person(group: str) -> Actor:
    """Somebody of the group, with its rights."""
    return Actor(
        id=str(uuid4()),
        name=group,
        kind="person",
        group=group,
        scopes=permissions.scopes_of(group),
        lines=permissions.allowed_lines(group, None),
        purposes=permissions.allowed_purposes(group),
        session=b"s",
    )


HANDLER, COLLEAGUE = person("complaints"), person("complaints")
DPO, AGENT = person("dpo"), person("customer-service")
MACHINE = replace(SYSTEM, kind="token", purposes=frozenset(Purpose))


@pytest.fixture
def case(archive: Archive) -> str:
    return archive.open_case(HANDLER, CASE)


def hold(archive: Archive, id: UUID, actor: Actor = HANDLER, case: str = CASE) -> Held:
    review = retention.local(archive.now()).date() + timedelta(days=90)
    return archive.hold(actor, id, case=case, reason="laskukiista", review_on=review)


def read(archive: Archive, id: UUID, actor: Actor = HANDLER, **asked: str) -> bytes:
    opened = archive.open(actor, id, **(asked or COMPLAINT))
    return b"".join(opened.read(0, opened.length))


def days(archive: Archive, n: float) -> None:
    clock = archive.now
    assert isinstance(clock, Clock)
    clock.advance(timedelta(days=n))


def recordings(archive: Archive) -> int:
    with transaction(archive.engine) as connection:
        return int(connection.execute(text("select count(*) from recording")).scalar_one())


def rebuilt(archive: Archive) -> rebuild.Outcome:
    return rebuild.catalogue_from_envelopes(
        archive.vault,
        archive.engine,
        complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
        progress=lambda n: None,
        now=archive.now(),
    )


# -- outliving the year ----------------------------------------------------------------


def test_a_held_recording_outlives_its_year(archive: Archive, case: str) -> None:
    kept, gone = deliver(archive, "1", days_ago=364), deliver(archive, "2", days_ago=364)
    worker.until_idle(archive)
    hold(archive, kept.id)
    days(archive, 3)
    done = archive.expire()
    assert (done["destroyed"], done["held"], done["failed"]) == (1, 1, [])
    assert done["certificate"]["held"] == 1
    assert done["certificate"]["held_by"] == {"complaint": 1, "restricted": 0, "released": 0}
    for day in done["cohorts_closed"]:
        with pytest.raises(KeyDestroyed):
            archive.keys.get(f"cohort/{day}")
    assert read(archive, kept.id) == wav(0.5)
    playback = archive.open(HANDLER, kept.id, rendition="playback", **COMPLAINT)
    assert b"".join(playback.read(0, 4)) == b"OggS"
    assert archive.peaks(HANDLER, kept.id, **COMPLAINT)
    view = archive.describe(HANDLER, kept.id, **COMPLAINT)
    assert view.descriptor.customer_number == "1234567"
    assert view.holds[0].terms is not None
    assert view.holds[0].terms.reason == "laskukiista"
    with pytest.raises(NotFound):
        read(archive, gone.id)
    assert archive.expire()["held"] == 1
    assert certificates.verify_all(archive.vault, archive.engine) == (2, [])


def test_a_held_email_outlives_its_year_with_its_text(archive: Archive, case: str) -> None:
    receipt = archive.receive_email(
        SYSTEM, io.BytesIO(mail()), source="pbx", mailbox="a@example.com", direction="inbound"
    )
    worker.until_idle(archive)
    hold(archive, receipt.id)
    days(archive, 368)
    archive.expire()
    assert read(archive, receipt.id) == mail()
    assert archive.email_view(HANDLER, receipt.id, **COMPLAINT).text


def test_a_hold_is_acknowledged_only_with_its_envelope_in_the_store(
    archive: Archive, case: str
) -> None:
    receipt = deliver(archive, "1")
    made = hold(archive, receipt.id)
    assert made.hold.durable_at is not None
    stored = archive.store.head(made.hold.object_key)
    assert stored is not None
    back = holds_from(archive, receipt.id)
    assert [(h.id, h.case, h.key) for h in back] == [
        (made.hold.id, CASE, f"hold/{CASE}.{receipt.id}")
    ]
    raw = archive.store.get(made.hold.object_key, start=0, length=stored.bytes)
    assert CASE.encode() not in raw
    assert b"laskukiista" not in raw


def holds_from(archive: Archive, id: UUID) -> list[object]:
    from archive.casework import holdterms

    found = []
    for stored in archive.store.list("recordings/"):
        if ".hold." in stored.key:
            back = holdterms.from_envelope(archive.vault, id, stored)
            assert back is not None
            found.append(back[0])
    return found


def test_a_hold_needs_an_open_case_a_reason_and_a_review_to_come(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1").id
    tomorrow = date(2026, 11, 25)
    with pytest.raises(CaseRequired):
        archive.hold(HANDLER, id, case="2026-00099", reason="x", review_on=tomorrow)
    with pytest.raises(BadFields):
        archive.hold(HANDLER, id, case=CASE, reason=" ", review_on=tomorrow)
    with pytest.raises(BadFields):
        archive.hold(HANDLER, id, case=CASE, reason="x", review_on=date(2026, 11, 24))
    with pytest.raises(Forbidden):
        archive.hold(AGENT, id, case=CASE, reason="x", review_on=tomorrow)
    hold(archive, id)
    with pytest.raises(AlreadyHeld):
        hold(archive, id)
    assert len(archive.list_holds(HANDLER)) == 1


def test_what_is_held_is_not_erased_on_demand(archive: Archive, case: str) -> None:
    id = deliver(archive, "1").id
    hold(archive, id)
    with pytest.raises(RecordingHeld):
        archive.erase(SYSTEM, id, reason="private")
    assert read(archive, id) == wav(0.5)


def test_a_hold_is_refused_once_erasure_has_begun(archive: Archive, case: str) -> None:
    from archive.casework import holdrows

    id = deliver(archive, "1", days_ago=364).id
    days(archive, 3)
    with transaction(archive.engine) as connection:
        assert holdrows.begin_erasing(connection, [id], now=archive.now()) == [id]
    days(archive, -3)  # whatever a clock says
    with pytest.raises(NotFound):
        hold(archive, id)
    with pytest.raises(NotFound):
        archive.describe(DPO, id)


def test_a_hold_on_a_closed_day_is_refused(archive: Archive, case: str) -> None:
    id = deliver(archive, "1").id
    with transaction(archive.engine) as connection:
        connection.execute(text("update cohort set closed_at = now()"))
    with pytest.raises(NotFound):
        hold(archive, id)
    assert archive.keys.names("hold") == []


def test_two_cases_hold_one_recording_and_one_release_leaves_the_other(
    archive: Archive, case: str
) -> None:
    other = archive.open_case(COLLEAGUE, "2026-00002")
    id = deliver(archive, "1", days_ago=364).id
    first = hold(archive, id)
    hold(archive, id, COLLEAGUE, other)
    days(archive, 3)
    archive.expire()
    archive.release(HANDLER, id, first.hold.id)
    days(archive, 8)
    archive.expire()
    with pytest.raises(NotFound):
        read(archive, id)
    assert read(archive, id, COLLEAGUE, purpose="complaint", case=other) == wav(0.5)


# -- for whom it is there --------------------------------------------------------------


def test_past_its_year_it_exists_for_its_case_and_the_dpo_alone(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    worker.until_idle(archive)
    hold(archive, id)
    other = archive.open_case(HANDLER, "2026-00002")
    days(archive, 1.5)  # its year is over, the nightly run has not been
    for _ in range(2):
        assert archive.describe(HANDLER, id, **COMPLAINT).id == id
        assert archive.describe(DPO, id).id == id
        assert read(archive, id, DPO, purpose="access-request") == wav(0.5)
        for actor in (HANDLER, AGENT, MACHINE, person("admin")):
            with pytest.raises((NotFound, Forbidden)):
                archive.describe(actor, id)
        for asked in (
            {"purpose": "complaint", "case": other},
            {"purpose": "verification", "case": CASE},
            {"purpose": "complaint"},
        ):
            with pytest.raises(NotFound):
                archive.open(MACHINE, id, **asked)
        with pytest.raises(NotFound):
            archive.describe(AGENT, id, **COMPLAINT)
        days(archive, 1)
        archive.expire()


def test_searches_and_counts_never_reveal_what_is_held_past_its_year(
    archive: Archive, case: str
) -> None:
    ids = [deliver(archive, str(n), days_ago=364).id for n in range(2)]
    live = deliver(archive, "live", days_ago=1).id
    worker.until_idle(archive)
    hold(archive, ids[0])
    days(archive, 1.5)
    for _ in range(3):
        for actor in (HANDLER, MACHINE, DPO):
            page = archive.find(
                actor, Query(customer="1234567"), total=True, facets=("line", "kind", "month")
            )
            assert [view.id for view in page.items] == [live]
            assert page.total == 1
            assert page.facets is not None
            assert [sum(counts.values()) for counts in page.facets.values()] == [1, 1, 1]
            assert [view.id for view in archive.browse(actor).items] == [live]
        for actor in (AGENT, person("admin")):
            past = [d for d in archive.expiry_calendar(actor) if d.day < archive.now().date()]
            assert sum(d.held for d in past) == 0
        days(archive, 1)
        archive.expire()
        worker.until_idle(archive)
    assert archive.index.count(Query(customer="1234567")) == 1
    assert sum(d.held for d in archive.expiry_calendar(DPO)) == 1
    assert sum(d.kept for d in archive.expiry_calendar(AGENT)) == 1


def test_agents_are_not_told_of_holds(archive: Archive, case: str) -> None:
    id = deliver(archive, "1").id
    hold(archive, id)
    assert archive.describe(AGENT, id).holds == ()
    assert len(archive.describe(HANDLER, id).holds) == 1
    with pytest.raises(Forbidden):
        archive.list_holds(AGENT)


def test_a_restricted_recording_answers_the_dpo_alone_and_does_not_expire(
    archive: Archive, case: str
) -> None:
    id, other = deliver(archive, "1", days_ago=364).id, deliver(archive, "2", days_ago=1).id
    worker.until_idle(archive)
    archive.add_to_case(HANDLER, CASE, id)
    with pytest.raises(Forbidden):
        archive.restrict(HANDLER, id, reason="rajoitus")
    archive.restrict(DPO, id, reason="rajoitus")
    for _ in range(2):
        for actor in (HANDLER, AGENT, MACHINE):
            with pytest.raises(NotFound):
                archive.describe(actor, id, **COMPLAINT)
        page = archive.find(MACHINE, Query(customer="1234567"), total=True)
        assert ([view.id for view in page.items], page.total) == ([other], 1)
        assert [view.id for view in archive.browse(MACHINE).items] == [other]
        assert read(archive, id, DPO, purpose="authority") == wav(0.5)
        worker.until_idle(archive)
        days(archive, 3)
        archive.expire()
    with pytest.raises(Forbidden):
        archive.unrestrict(HANDLER, id)
    archive.unrestrict(DPO, id)
    assert archive.describe(DPO, id).id == id
    days(archive, 7.5)
    assert archive.expire()["destroyed"] == 1
    with pytest.raises(NotFound):
        archive.describe(DPO, id)


def test_a_restriction_lifted_within_the_year_brings_the_recording_back(
    archive: Archive,
) -> None:
    id = deliver(archive, "1").id
    worker.until_idle(archive)
    archive.restrict(DPO, id, reason="rajoitus")
    archive.unrestrict(DPO, id)
    worker.until_idle(archive)
    assert [view.id for view in archive.find(AGENT, Query(customer="1234567")).items] == [id]


def test_a_restriction_that_comes_while_the_worker_indexes_is_not_lost(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = deliver(archive, "1").id
    put = archive.index.put

    def late(documents: object) -> None:
        monkeypatch.undo()
        archive.restrict(DPO, id, reason="rajoitus")
        put(documents)  # type: ignore[arg-type]

    monkeypatch.setattr(archive.index, "put", late)
    worker.until_idle(archive)
    assert archive.index.count(Query(customer="1234567")) == 0


# -- how it ends -----------------------------------------------------------------------


def test_a_released_recording_is_erased_after_the_days_of_grace(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    made = hold(archive, id)
    days(archive, 3)
    archive.expire()
    released = archive.release(HANDLER, id, made.hold.id)
    assert released.hold.ends_at == archive.now() + timedelta(days=7)
    days(archive, 6.9)
    assert archive.expire()["destroyed"] == 0
    assert read(archive, id) == wav(0.5)
    days(archive, 0.2)
    done = archive.expire()
    assert (done["destroyed"], done["held"]) == (1, 0)
    assert archive.keys.is_destroyed(made.hold.key)
    assert list(archive.store.list("recordings/")) == []
    with pytest.raises(NotFound):
        read(archive, id)


def test_a_release_within_the_year_changes_nothing_else(archive: Archive, case: str) -> None:
    id = deliver(archive, "1").id
    made = hold(archive, id)
    archive.release(HANDLER, id, made.hold.id)
    days(archive, 8)
    archive.expire()
    assert archive.keys.is_destroyed(made.hold.key)
    assert read(archive, id) == wav(0.5)
    again = hold(archive, id)
    assert again.hold.key == f"{made.hold.key}.2"
    days(archive, 364)
    archive.expire()
    assert read(archive, id) == wav(0.5)


def test_with_four_eyes_a_second_person_confirms_the_release(archive: Archive, case: str) -> None:
    archive.config = replace(archive.config, hold_release_four_eyes=True)
    id = deliver(archive, "1").id
    made = hold(archive, id)
    asked = archive.release(HANDLER, id, made.hold.id)
    assert (asked.hold.requested_by, asked.hold.released_at) == (HANDLER.id, None)
    with pytest.raises(SecondPersonNeeded):
        archive.release(HANDLER, id, made.hold.id)
    confirmed = archive.release(COLLEAGUE, id, made.hold.id)
    assert confirmed.hold.released_at is not None


def test_reviews_past_due_are_listed_and_never_release_anything(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=300).id
    hold(archive, id)
    assert archive.list_holds(HANDLER, due=True) == []
    days(archive, 400)
    archive.expire()
    (due,) = archive.list_holds(HANDLER, due=True)
    assert (due.hold.recording_id, due.hold.released_at) == (id, None)
    assert read(archive, id) == wav(0.5)


# -- coming back -----------------------------------------------------------------------


def test_a_rebuilt_catalogue_brings_holds_back_from_their_envelopes(
    archive: Archive, case: str
) -> None:
    kept, gone = deliver(archive, "1", days_ago=364), deliver(archive, "2", days_ago=364)
    worker.until_idle(archive)
    made = hold(archive, kept.id)
    other = deliver(archive, "3", days_ago=364)
    archive.restrict(DPO, other.id, reason="rajoitus")
    days(archive, 3)
    archive.expire()
    as_owner(archive, "truncate recording, cohort, complaint_case cascade")
    outcome = rebuilt(archive)
    assert (outcome.rebuilt, outcome.holds, outcome.damaged) == (2, 2, [])
    assert rebuilt(archive).holds == 0
    worker.until_idle(archive)
    assert read(archive, kept.id) == wav(0.5)
    assert archive.describe(HANDLER, kept.id, **COMPLAINT).description is not None
    (back,) = archive.list_holds(HANDLER)
    assert back.hold.id == made.hold.id
    assert back.terms == made.terms
    assert archive.describe(DPO, other.id).restricted
    for _ in range(2):
        days(archive, 1)
        assert archive.expire()["held"] == 2
    with pytest.raises(NotFound):
        archive.describe(DPO, gone.id)


class Copy:
    """Yesterday's catalogue: every table's rows, put back over today's."""

    TABLES = ("cohort", "recording", "complaint_case", "case_recording", "rendition", "hold")

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        as_owner(archive, *(f"create table copy_{t} as table {t}" for t in self.TABLES))

    def restore(self) -> None:
        as_owner(
            self._archive,
            "truncate cohort, recording, complaint_case, opening cascade",
            *(f"insert into {table} select * from copy_{table}" for table in self.TABLES),
        )


@pytest.mark.parametrize("rebuilt_first", [True, False])
def test_a_hold_placed_today_lives_when_yesterdays_catalogue_is_restored_after_the_expiry(
    archive: Archive, case: str, rebuilt_first: bool
) -> None:
    id, gone = deliver(archive, "1", days_ago=364).id, deliver(archive, "2", days_ago=364).id
    worker.until_idle(archive)
    yesterday = Copy(archive)
    hold(archive, id)
    days(archive, 3)
    archive.expire()
    yesterday.restore()
    if rebuilt_first:
        assert rebuilt(archive).holds == 1
    archive.expire()
    assert read(archive, id) == wav(0.5)
    assert len(archive.list_holds(HANDLER)) == 1
    with pytest.raises(NotFound):
        archive.describe(DPO, gone)
    assert recordings(archive) == 1


def test_a_hold_placed_today_lives_when_yesterdays_catalogue_is_restored_before_the_expiry(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    yesterday = Copy(archive)
    hold(archive, id)
    yesterday.restore()
    days(archive, 3)
    archive.expire()
    assert read(archive, id) == wav(0.5)


def test_a_released_hold_comes_back_released(archive: Archive, case: str) -> None:
    id = deliver(archive, "1", days_ago=364).id
    made = hold(archive, id)
    yesterday = Copy(archive)
    days(archive, 3)
    archive.expire()
    archive.release(HANDLER, id, made.hold.id)
    with transaction(archive.engine) as connection:
        connection.execute(text("delete from hold"))
    assert rebuilt(archive).holds == 1
    days(archive, 8)
    assert archive.expire()["destroyed"] == 1
    yesterday.restore()
    archive.expire()
    with pytest.raises(NotFound):
        archive.describe(DPO, id)


def test_a_correction_to_another_day_survives_a_rebuild(archive: Archive) -> None:
    id = deliver(archive, "1", days_ago=10).id
    earlier = archive.now() - timedelta(days=200)
    archive.correct(SYSTEM, id, {"occurred_at": earlier.isoformat()})
    as_owner(archive, "truncate recording, cohort cascade")
    rebuilt(archive)
    assert archive.describe(MACHINE, id).occurred_at == earlier


def test_a_sweep_leaves_the_envelopes_of_holds(archive: Archive, case: str) -> None:
    id = deliver(archive, "1").id
    hold(archive, id)
    found = rebuild.verify(
        archive.vault,
        archive.engine,
        sample=None,
        mend=False,
        progress=lambda n: None,
        now=archive.now(),
    )
    assert (found.missing, found.damaged) == ([], [])
    assert sweeping.look(archive.vault, archive.engine, now=archive.now()).unreferenced == {}


# -- the command -----------------------------------------------------------------------


def test_the_command_lists_holds_and_fails_where_a_review_is_due(
    archive: Archive, case: str
) -> None:
    environment = environment_of(archive.config)
    id = deliver(archive, "1").id
    hold(archive, id)

    def listed(*words: str, days_to_review: int) -> tuple[int, str]:
        review = datetime.now(UTC).date() + timedelta(days=days_to_review)
        with transaction(archive.engine) as connection:
            connection.execute(text("update hold set review_on = :on"), {"on": review})
        done = subprocess.run(
            [sys.executable, "-m", "archive.cli", "hold", "list", *words],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    code, said = listed(days_to_review=30)
    assert code == 0
    assert said.split()[1:3] == [CASE, str(id)]
    assert listed("--due", "--json", days_to_review=30) == (0, "[]\n")
    code, said = listed("--due", "--json", days_to_review=-1)
    assert (code, json.loads(said)[0]["recording"]) == (1, str(id))
