"""Complaint cases: what they say and to whom, notes and marks, handing over, and how they end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from archive import worker
from archive.archive import Archive
from archive.auth import People
from archive.casework import closing
from archive.config import Config
from archive.db import transaction
from archive.errors import (
    BadFields,
    CaseClosed,
    CaseRequired,
    ConsequencesChanged,
    Forbidden,
    HoldBeingPlaced,
    NotFound,
    SecondPersonNeeded,
)
from archive.model import Actor
from tests.clock import Clock
from tests.media import wav
from tests.owner import as_owner
from tests.test_hold_changes import staff, told
from tests.test_holds import AGENT, CASE, COLLEAGUE, DPO, HANDLER, case, days, hold, read
from tests.test_holds_steps import (
    Runner,
    acknowledged,
    assembled,
    close,
    leftovers,
    run_again,
)
from tests.test_story import deliver

__all__ = ["case", "staff"]


def shut(archive: Archive, actor: Actor = HANDLER, case: str = CASE) -> closing.Closed:
    """Looks what closing would do, and does it."""
    seen = archive.closing_of(actor, case).digest
    return archive.close_case(actor, case, seen=seen, reason="ratkaistu")


def unreleased(archive: Archive) -> int:
    with transaction(archive.engine) as connection:
        return int(
            connection.execute(
                text("select count(*) from hold where released_at is null")
            ).scalar_one()
        )


# -- what a case says ------------------------------------------------------------------


def test_what_a_case_is_about_is_readable_by_its_key_alone(archive: Archive) -> None:
    number = archive.open_case(
        HANDLER, subject="lasku väärin", customer="100234567", due_on=date(2026, 12, 24)
    )
    archive.note_in_case(HANDLER, number, "soitettu takaisin")
    (found,) = archive.list_cases(HANDLER)
    assert found.about is not None
    assert (found.about.subject, found.about.customer) == ("lasku väärin", "100234567")
    with transaction(archive.engine) as connection:
        for table in ("complaint_case", "case_note", "audit_event"):
            rows = str(connection.execute(text(f"select cast(t as text) from {table} t")).all())
            for secret in ("lasku", "100234567", "soitettu", b"takaisin".hex()):
                assert secret not in rows
    archive.keys.destroy(f"case/{number}")
    file = archive.case_file(HANDLER, number)
    assert file.case.about is None
    assert [note.text for note in file.notes] == [None]


def test_a_note_about_a_recording_goes_with_it_and_is_there_while_it_is_held(
    archive: Archive, case: str
) -> None:
    kept, gone = (deliver(archive, str(n), days_ago=364).id for n in range(2))
    for id in (kept, gone):
        archive.add_to_case(HANDLER, CASE, id)
        archive.note_in_case(HANDLER, CASE, "lupaus", id=id, start_s=2.0, end_s=4.5)
    hold(archive, kept)
    days(archive, 3)
    archive.expire()
    file = archive.case_file(HANDLER, CASE)
    (entry,) = file.entries
    assert entry.view.id == kept
    assert [(n.kind, n.text, n.start_s, n.end_s) for n in entry.notes] == [
        ("mark", "lupaus", 2.0, 4.5)
    ]
    assert [(each.reason, each.at) for each in file.gone] == [("year", archive.now())]
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from case_note")).scalar_one() == 1


def test_notes_are_made_within_an_open_case_about_its_own_recordings(
    archive: Archive, case: str
) -> None:
    inside, outside = deliver(archive, "1").id, deliver(archive, "2").id
    archive.add_to_case(HANDLER, CASE, inside)
    with pytest.raises(CaseRequired):
        archive.note_in_case(HANDLER, CASE, "x", id=outside)
    for said, start, end, id in (
        ("", None, None, None), ("x" * 4001, None, None, None), ("x\0", None, None, None),
        ("x", 1.0, None, None), ("x", None, 1.0, inside), ("x", 3.0, 2.0, inside),
        ("x", -1.0, None, inside), ("x", float("nan"), None, inside),
    ):  # fmt: skip
        with pytest.raises(BadFields):
            archive.note_in_case(HANDLER, CASE, said, id=id, start_s=start, end_s=end)
    for actor in (AGENT, DPO):
        with pytest.raises(Forbidden):
            archive.note_in_case(actor, CASE, "x")
    made = archive.note_in_case(HANDLER, CASE, "oma")
    with pytest.raises(NotFound):
        archive.remove_note(COLLEAGUE, CASE, made)
    archive.remove_note(HANDLER, CASE, made)
    shut(archive)
    with pytest.raises(CaseClosed):
        archive.note_in_case(HANDLER, CASE, "x", id=inside)


def test_a_case_is_for_those_who_work_with_complaints_alone(archive: Archive, case: str) -> None:
    id, restricted = deliver(archive, "1").id, deliver(archive, "2").id
    for each in (id, restricted):
        archive.add_to_case(HANDLER, CASE, each)
    archive.restrict(DPO, restricted, reason="pyyntö")
    assert [e.view.id for e in archive.case_file(HANDLER, CASE).entries] == [id]
    assert {e.view.id for e in archive.case_file(DPO, CASE).entries} == {id, restricted}
    other_line = replace(HANDLER, lines=frozenset({"muu"}))
    assert archive.case_file(other_line, CASE).entries == ()
    for verb in (archive.case_file, archive.closing_of):
        with pytest.raises(Forbidden):
            verb(AGENT, CASE)
    with pytest.raises(NotFound):
        archive.case_file(HANDLER, "2026-00099")
    with pytest.raises(Forbidden):
        archive.list_cases(AGENT)


def test_ones_own_cases_come_by_their_day(archive: Archive) -> None:
    numbers = {
        name: archive.open_case(owner, due_on=due)
        for name, owner, due in (
            ("later", HANDLER, date(2027, 1, 1)), ("none", HANDLER, None),
            ("late", HANDLER, date(2026, 11, 1)), ("other", COLLEAGUE, date(2026, 11, 1)),
        )
    }  # fmt: skip
    mine = [found.number for found in archive.list_cases(HANDLER)]
    assert mine == [numbers["late"], numbers["later"], numbers["none"]]
    assert len(archive.list_cases(HANDLER, mine=False)) == 4
    today = date(2026, 11, 24)
    assert [f.number for f in archive.list_cases(HANDLER) if f.overdue(today)] == [numbers["late"]]
    shut(archive, case=numbers["late"])
    assert [f.number for f in archive.list_cases(HANDLER, mine=False, closed=True)] == [
        numbers["late"]
    ]


def test_no_personal_identity_code_becomes_part_of_a_case(archive: Archive) -> None:
    for fields in ({"subject": "Aino 131052-308T"}, {"customer": "131052-308T"}):
        with pytest.raises(BadFields):
            archive.open_case(HANDLER, **fields)  # type: ignore[arg-type]
    assert archive.list_cases(HANDLER) == []


def test_a_case_is_handed_over_with_the_holds_of_its_owner(
    archive: Archive, staff: Callable[..., Actor], people: People
) -> None:
    owner, new = staff("complaints", "vanha"), staff("complaints", "uusi")
    archive.open_case(owner, CASE, due_on=date(2026, 12, 24))
    own, others = (deliver(archive, str(n), days_ago=364).id for n in range(2))
    hold(archive, own, owner)
    hold(archive, others, COLLEAGUE)
    people.create("agentti", "customer-service", None)
    for name in ("agentti", "ei-kukaan"):
        with pytest.raises(BadFields):
            archive.hand_over_case(owner, CASE, owner=name, reason="loma")
    assert archive.hand_over_case(owner, CASE, owner="uusi", reason="loma") == 1
    assert told(archive, new) == [("case-handed-over", False)]
    assert [found.number for found in archive.list_cases(new)] == [CASE]
    assert {h.hold.recording_id: h.hold.owner for h in archive.list_holds(new)} == {
        own: new.id, others: COLLEAGUE.id,
    }  # fmt: skip
    assert [note.kind for note in archive.case_file(new, CASE).notes] == ["handing-over"]


def test_a_recording_is_taken_out_unless_it_is_held(archive: Archive, case: str) -> None:
    id, held = deliver(archive, "1").id, deliver(archive, "2").id
    archive.add_to_case(HANDLER, CASE, id)
    archive.note_in_case(HANDLER, CASE, "x", id=id)
    hold(archive, held)
    archive.take_out_of_case(HANDLER, CASE, id)
    for each in (id, held):
        with pytest.raises(NotFound):
            archive.take_out_of_case(HANDLER, CASE, each)
    assert [e.view.id for e in archive.case_file(HANDLER, CASE).entries] == [held]


def test_a_case_closed_long_ago_is_forgotten(archive: Archive) -> None:
    number = archive.open_case(HANDLER, subject="lasku", customer="1")
    archive.note_in_case(HANDLER, number, "x")
    shut(archive, case=number)
    days(archive, 1000)
    assert archive.forget_cases() == []
    days(archive, 96)
    assert archive.forget_cases() == [number]
    assert archive.forget_cases() == []
    assert archive.keys.is_destroyed(f"case/{number}")
    file = archive.case_file(HANDLER, number)
    assert (file.case.about, file.notes) == (None, ())


# -- closing ---------------------------------------------------------------------------


def test_what_closing_does_is_what_was_shown_before(archive: Archive, case: str) -> None:
    over, live, elsewhere = (
        deliver(archive, str(n), days_ago=ago).id for n, ago in enumerate((364, 10, 364))
    )
    archive.open_case(COLLEAGUE, "2026-00002")
    for id in (over, live, elsewhere):
        hold(archive, id)
    hold(archive, elsewhere, COLLEAGUE, "2026-00002")
    days(archive, 3)
    archive.expire()
    shown = archive.closing_of(HANDLER, CASE)
    ends = archive.now() + timedelta(days=7)
    lives_until = archive.describe(HANDLER, live).expires_at
    assert {c.recording.id: (c.kept_by, c.gone_at) for c in shown.recordings} == {
        over: (None, ends), live: (None, lives_until), elsewhere: ("case", None),
    }  # fmt: skip
    done = archive.close_case(HANDLER, CASE, seen=shown.digest, reason="hyvitetty")
    assert done.done and len(done.released) == 3
    assert {h.ends_at for h in done.released} == {ends}
    with pytest.raises(CaseRequired):
        read(archive, live)
    days(archive, 6.9)
    assert archive.expire()["destroyed"] == 0
    days(archive, 0.2)
    assert archive.expire()["destroyed"] == 1
    assert archive.describe(HANDLER, live).id == live
    other = {"purpose": "complaint", "case": "2026-00002"}
    assert read(archive, elsewhere, COLLEAGUE, **other) == wav(0.5)
    with pytest.raises(NotFound):
        archive.describe(DPO, over)
    days(archive, 360)
    archive.expire()
    with pytest.raises(NotFound):
        archive.describe(DPO, live)


def test_what_has_changed_since_it_was_shown_is_not_done(archive: Archive, case: str) -> None:
    first, second = deliver(archive, "1").id, deliver(archive, "2").id
    hold(archive, first)
    seen = archive.closing_of(HANDLER, CASE).digest
    hold(archive, second)
    with pytest.raises(ConsequencesChanged):
        archive.close_case(HANDLER, CASE, seen=seen, reason="x")
    assert unreleased(archive) == 2
    with pytest.raises(BadFields):
        archive.close_case(HANDLER, CASE, seen=seen, reason=" ")
    shut(archive)
    with pytest.raises(CaseClosed):
        shut(archive)
    with pytest.raises(CaseRequired):
        hold(archive, first)


def test_a_restriction_beside_the_hold_stays_secret_and_keeps_the_recording(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    hold(archive, id)
    seen = archive.closing_of(HANDLER, CASE)
    archive.restrict(DPO, id, reason="pyyntö")
    shown = archive.closing_of(HANDLER, CASE)
    assert shown.recordings == () and shown.digest == seen.digest
    archive.close_case(HANDLER, CASE, seen=seen.digest, reason="x")
    days(archive, 20)
    archive.expire()
    assert archive.describe(DPO, id).restricted


def test_whoever_does_not_see_every_line_that_is_held_does_not_close(
    archive: Archive, case: str
) -> None:
    hold(archive, deliver(archive, "1").id)
    with pytest.raises(Forbidden):
        shut(archive, replace(COLLEAGUE, lines=frozenset({"muu"})))
    assert unreleased(archive) == 1


def test_with_four_eyes_one_asks_for_the_closing_and_another_does_it(
    archive: Archive, case: str
) -> None:
    archive.config = replace(archive.config, hold_release_four_eyes=True)
    archive.open_case(HANDLER, "2026-00002")
    assert shut(archive, case="2026-00002").done, "nothing is held: one is enough"
    hold(archive, deliver(archive, "1").id)
    assert not shut(archive).done
    with pytest.raises(SecondPersonNeeded):
        shut(archive)
    assert unreleased(archive) == 1
    archive.refuse_closing(COLLEAGUE, CASE)
    assert not shut(archive, COLLEAGUE).done, "refused: it begins anew"
    assert shut(archive, HANDLER).done
    assert unreleased(archive) == 0


def test_a_case_is_not_closed_while_a_hold_is_being_placed(archive: Archive, case: str) -> None:
    made = hold(archive, deliver(archive, "1").id)
    with transaction(archive.engine) as connection:
        connection.execute(text("update hold set durable_at = null, wrapped = null"))
    with pytest.raises(HoldBeingPlaced):
        shut(archive)
    archive.settle_holds()
    assert [h.id for h in shut(archive).released] == [made.hold.id]


def test_a_reopened_case_holds_again_what_is_still_kept(archive: Archive, case: str) -> None:
    kept, live = deliver(archive, "1", days_ago=364).id, deliver(archive, "2").id
    hold(archive, kept)
    archive.add_to_case(HANDLER, CASE, live)
    days(archive, 3)
    archive.expire()
    shut(archive)
    days(archive, 5)
    with pytest.raises(BadFields):
        archive.reopen_case(HANDLER, CASE, reason="")
    later = archive.now().date() + timedelta(days=30)
    assert archive.reopen_case(HANDLER, CASE, reason="uusi tieto", review_on=later) == 1
    days(archive, 5)
    archive.expire()
    assert read(archive, kept) == wav(0.5) and read(archive, live) == wav(0.5)
    kinds = [note.kind for note in archive.case_file(HANDLER, CASE).notes]
    assert kinds == ["closing", "reopening"]


def test_a_case_reopened_after_the_days_of_grace_finds_nothing_to_hold(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    hold(archive, id)
    days(archive, 3)
    shut(archive)
    days(archive, 8)
    archive.expire()
    later = archive.now().date() + timedelta(days=30)
    assert archive.reopen_case(HANDLER, CASE, reason="x", review_on=later) == 0
    file = archive.case_file(HANDLER, CASE)
    assert file.entries == () and len(file.gone) == 1


def test_the_owner_is_told_once_of_a_closing_until_when_it_keeps(
    archive: Archive, staff: Callable[..., Actor]
) -> None:
    owner = staff("complaints")
    archive.open_case(owner, CASE)
    for n in range(3):
        hold(archive, deliver(archive, str(n)).id, owner)
    shut(archive, COLLEAGUE)
    (notice,) = archive.notices(owner)
    assert (notice.kind, notice.case) == ("case-closed", CASE)
    assert notice.until == archive.now() + timedelta(days=7)


# -- every order, and kill -9 ----------------------------------------------------------


@pytest.mark.timeout(900)
def test_closing_and_placing_a_hold_in_every_order_leave_no_hold_in_a_closed_case(
    archive: Archive, config: Config, clock: Clock
) -> None:
    placing, shutting = assembled(config, clock), assembled(config, clock)
    outcomes: set[tuple[bool, bool]] = set()

    def in_order(its_steps: int, others_steps: int) -> tuple[bool, bool]:
        number = archive.open_case(HANDLER)
        id = deliver(archive, f"{its_steps}/{others_steps}").id
        seen = archive.closing_of(HANDLER, number).digest
        placed = Runner(placing, lambda: hold(placing, id, case=number))
        closed = Runner(
            shutting, lambda: shutting.close_case(HANDLER, number, seen=seen, reason="x")
        )
        had = (placed.steps(its_steps) == its_steps, closed.steps(others_steps) == others_steps)
        placed.finish()
        closed.finish()
        placed.join()
        closed.join()
        for runner, may in (
            (placed, CaseRequired), (closed, (ConsequencesChanged, HoldBeingPlaced)),
        ):  # fmt: skip
            assert runner.error is None or isinstance(runner.error, may), runner.error
        holding, is_closed = placed.error is None, closed.error is None
        assert not (holding and is_closed)
        with transaction(archive.engine) as connection:
            in_force = connection.execute(
                text("select count(*) from hold where case_number = :n and released_at is null"),
                {"n": number},
            ).scalar_one()
        assert in_force == holding
        assert leftovers(archive, id) == []
        outcomes.add((holding, is_closed))
        return had

    try:
        for its_steps in itertools.count():
            for others_steps in itertools.count(1):
                it_had, other_had = in_order(its_steps, others_steps)
                if not (it_had and other_had):
                    break
            if not it_had:
                break
    finally:
        close(placing)
        close(shutting)
    assert outcomes == {(True, False), (False, True)}


@pytest.mark.timeout(900)
def test_closing_while_the_run_works_erases_nothing_before_the_days_of_grace_in_every_order(
    archive: Archive, config: Config, clock: Clock
) -> None:
    """Two holds, past their year: one of the case alone, one that another case has too."""
    shutting, running = assembled(config, clock), assembled(config, clock)
    archive.open_case(COLLEAGUE, "2025-00001")
    orders = 0

    def in_order(its_steps: int, others_steps: int) -> tuple[bool, bool]:
        number = archive.open_case(HANDLER)
        alone, both = (
            deliver(archive, f"{n}/{its_steps}/{others_steps}", days_ago=364.9).id for n in "ab"
        )
        for id in (alone, both):
            hold(archive, id, case=number)
        hold(archive, both, COLLEAGUE, "2025-00001")
        clock.advance(timedelta(days=2))
        closed = Runner(shutting, lambda: shut(shutting, case=number))
        ran = Runner(running, running.expire)
        had = (closed.steps(its_steps) == its_steps, ran.steps(others_steps) == others_steps)
        closed.finish()
        ran.finish()
        closed.join()
        ran.join()
        for runner in (closed, ran):
            if runner.error is not None:
                raise runner.error
        other = {"purpose": "complaint", "case": "2025-00001"}
        archive.reopen_case(HANDLER, number, reason="katsotaan")
        assert read(archive, alone, purpose="complaint", case=number) == wav(0.5)
        clock.advance(timedelta(days=8))
        archive.expire()
        with pytest.raises(NotFound):
            archive.describe(DPO, alone)
        assert read(archive, both, COLLEAGUE, **other) == wav(0.5)
        return had

    try:
        for its_steps in itertools.count():
            for others_steps in (1, 4):
                it_had, _ = in_order(its_steps, others_steps)
                orders += 1
            if not it_had:
                break
    finally:
        close(shutting)
        close(running)
    assert orders >= 10


@pytest.mark.timeout(900)
def test_a_closing_killed_at_any_step_is_whole_or_never_was(
    archive: Archive, config: Config, clock: Clock
) -> None:
    most, ends = 0, []
    while True:
        number = archive.open_case(HANDLER)
        ids = [deliver(archive, f"{most}/{n}", days_ago=364.9).id for n in range(2)]
        for id in ids:
            hold(archive, id, case=number)
        clock.advance(timedelta(days=2))
        archive.expire()
        done = acknowledged(config, clock(), "close", number, most=most)
        file = archive.case_file(HANDLER, number)
        shut_ = file.case.closed_at is not None
        assert shut_ or not done
        assert file.case.held == (0 if shut_ else 2)
        if not shut_:
            shut(archive, case=number)
        clock.advance(timedelta(days=8))
        run_again(archive)
        for id in ids:
            with pytest.raises(NotFound):
                archive.describe(DPO, id)
            assert leftovers(archive, id) == []
        ends.append(shut_)
        if done:
            break
        most += 1
    assert ends == sorted(ends)
    assert most >= 4


def test_a_rebuilt_catalogue_knows_that_a_closed_cases_holds_were_released(
    archive: Archive, case: str
) -> None:
    from tests.test_holds import rebuilt

    id = deliver(archive, "1", days_ago=364).id
    worker.until_idle(archive)
    hold(archive, id)
    days(archive, 3)
    archive.expire()
    shut(archive)
    as_owner(archive, "truncate recording, cohort, complaint_case cascade")
    assert rebuilt(archive).holds == 1
    days(archive, 8)
    assert archive.expire()["destroyed"] == 1


def test_nobody_learns_of_a_case_that_is_none(archive: Archive, case: str) -> None:
    for act in (
        lambda: archive.closing_of(HANDLER, "2026-00099"),
        lambda: archive.reopen_case(HANDLER, "2026-00099", reason="x"),
        lambda: hold(archive, uuid4()),
        lambda: archive.take_out_of_case(HANDLER, CASE, uuid4()),
    ):
        with pytest.raises(NotFound):
            act()
