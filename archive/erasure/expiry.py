"""The end of a recording: the nightly run, early erasure, and the certificate of both.

A day that is over loses its cohort key first: from that instant nothing opens its recordings,
whatever remains to be deleted. Every step can be repeated; the rows themselves are the list
of what is left to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from archive import audit, catalogue, mending, retention
from archive.casework import holdnight, holdrows
from archive.config import Config
from archive.db import alone, transaction
from archive.erasure import asking, housekeeping, journal, proofs
from archive.erasure.journal import Erasure
from archive.errors import (
    ClockSuspect,
    DeletionRefused,
    ExpiryRunning,
    IndexDamaged,
    NotFound,
    RecordingHeld,
    StoreUnavailable,
)
from archive.evidence import ending
from archive.model import Actor, Recording, StoredRendition
from archive.search import Index
from archive.throttle import Throttle
from archive.vault import Vault, cohort_name

RUN_LOCK = 7_401_003
BEGIN_LOCK = 7_401_005
BATCH = 1000  # recordings deleted at a time
CLOCK_TOLERANCE = timedelta(days=1)
ERASURE_REASONS = ("private", "art17", "mistake")


@dataclass(frozen=True, slots=True)
class Means:
    """What the run works with. `wait` is called with seconds before certifying destruction."""

    vault: Vault
    engine: Engine
    index: Index
    config: Config
    now: Callable[[], datetime]
    database_now: Callable[[Connection], datetime]
    wait: Callable[[float], None]


def run(means: Means, *, dry_run: bool = False) -> dict[str, Any]:
    """One expiry run; see `archive expire`.

    ExpiryRunning if another node is at it, ClockSuspect if the clock jumped: then nothing is
    erased.
    """
    now = means.now()
    with alone(means.engine, RUN_LOCK) as guard:
        if guard is None:
            raise ExpiryRunning()
        _check_clock(guard, now, means.database_now(guard))
        guard.commit()
        if dry_run:
            return _preview(guard, now)
        return _run(means, now)


def _run(means: Means, now: datetime) -> dict[str, Any]:
    run_id = _resume_or_begin(means.engine, now)
    holdnight.adopt(means.vault, means.engine, now=now)
    failed = holdnight.settle(means.vault, means.engine, now=now)
    # The keys of the days come before everything that grows with their recordings.
    closed = _close_days(means, now)
    ended = holdnight.end_over(means.vault, means.engine, now=now)
    if means.config.object_lock_days:
        failed += holdnight.lock_again(means.vault, means.engine)
    with suppress(StoreUnavailable):  # what is left of them fails below, and is named there
        finish_erasures(means)
    months = _forget_held(means, now)
    throttle = Throttle(means.config.erase_per_s, wait=means.wait)
    while batch := _due(means.engine, now, failed, most=throttle.most(BATCH)):
        with throttle.batch(len(batch)):
            months |= _destroy(means, batch, run_id, failed)
    _rewrite_index(means, months | set(means.index.to_rewrite()))
    if (closed or ended) and means.config.key_cache_s:
        means.wait(means.config.key_cache_s)  # no process holds a destroyed key any longer
    return _finish(means, run_id, now, failed) | _reclaim(means, run_id)


def _reclaim(means: Means, run_id: UUID) -> dict[str, int | None]:
    """What the run deleted, and what the store gave back of it, in bytes.

    Asked for in every run: what was erased during the day lies in the store's files until then.
    None where the store sees to that itself, or did not do it; the next run asks again.
    """
    try:
        reclaimed = means.vault.store.reclaim()
    except StoreUnavailable:
        reclaimed = None
    with transaction(means.engine) as connection:
        deleted = connection.execute(
            text("""update expiry_run set bytes_reclaimed = :reclaimed where run = :run
                returning bytes_deleted"""),
            {"reclaimed": reclaimed, "run": run_id},
        ).scalar_one()
    return {"bytes_deleted": deleted, "bytes_reclaimed": reclaimed}


def _resume_or_begin(engine: Engine, now: datetime) -> UUID:
    """The unfinished run of before, so that its certificate covers what it had destroyed."""
    with transaction(engine) as connection:
        return resume_or_begin(connection, now)


def resume_or_begin(connection: Connection, now: datetime) -> UUID:
    """The unfinished run, or a new one: whose certificate will cover what is destroyed now."""
    connection.execute(text("select pg_advisory_xact_lock(:k)"), {"k": BEGIN_LOCK})
    unfinished = connection.execute(
        text("select run from expiry_run where finished_at is null order by started_at")
    ).scalar()
    if unfinished is not None:
        return UUID(str(unfinished))
    run_id = uuid4()
    connection.execute(
        text("insert into expiry_run (run, started_at) values (:run, :now)"),
        {"run": run_id, "now": now},
    )
    return run_id


def _close_days(means: Means, now: datetime) -> list[date]:
    """Closes every day that is over and destroys its key; days whose key still lies around too."""
    today = retention.local(now).date()
    days = {
        date.fromisoformat(name.removeprefix("cohort/"))
        for name in means.vault.keys.names("cohort")
    }
    with transaction(means.engine) as connection:
        days |= set(
            connection.execute(
                text("select day from cohort where closed_at is null and day < :today"),
                {"today": today},
            ).scalars()
        )
    closed: list[date] = []
    for day in sorted(day for day in days if day < today):
        # Closed in the catalogue first: waits for commits under way in this cohort, and none
        # can begin afterwards. A crash before the key is destroyed is repaired by the next run.
        if _close(means.engine, day, now):
            means.vault.keys.destroy(cohort_name(day))
            closed.append(day)
    return closed


def _close(engine: Engine, day: date, now: datetime) -> bool:
    """Closes the day, unless a hold on it lacks its envelope: then its key must live on."""
    with transaction(engine) as connection:
        catalogue.ensure_cohort(connection, day)
        closed_at = connection.execute(
            text("select closed_at from cohort where day = :day for update"), {"day": day}
        ).scalar()
        if closed_at is not None:
            return True
        if not holdrows.may_close(connection, day):
            return False
        connection.execute(
            text("update cohort set closed_at = :now where day = :day"), {"now": now, "day": day}
        )
        return True


def _forget_held(means: Means, now: datetime) -> set[str]:
    """Takes what is held past its year out of the index; the months that lost documents."""
    with transaction(means.engine) as connection:
        months = holdrows.index_months(connection, now=now)
    touched = _unindex(means, months)
    with transaction(means.engine) as connection:
        holdrows.unindexed(connection, months)
    return touched


def _due(
    engine: Engine, now: datetime, failed: list[dict[str, str]], *, most: int
) -> list[Recording]:
    """A batch of what is past its year and held by nothing, marked; empty when there is none."""
    while True:
        with transaction(engine) as connection:
            ids = (
                connection.execute(
                    text("""select id from recording
                    where expires_at <= :now and not (id = any(:failed))
                      and not exists (select from hold where recording_id = recording.id)
                    order by expires_at limit :n"""),
                    {"now": now, "n": most, "failed": [UUID(f["id"]) for f in failed]},
                )
                .scalars()
                .all()
            )
            # Read again after the rows are locked: a hold may have come between. From here on
            # none can, and a crash leaves marked rows that the next run finds again.
            marked = holdrows.begin_erasing(connection, ids, now=now)
            if marked or not ids:
                return list(catalogue.get_many(connection, marked).values())


def _destroy(
    means: Means,
    batch: list[Recording],
    run_id: UUID,
    failed: list[dict[str, str]],
    *,
    reason: str = "year",
) -> set[str]:
    """Deletes objects, index documents and rows of a batch; the months that lost documents."""
    ids = [recording.id for recording in batch]
    # Copies first: evidence packages end with any recording that is in them.
    ending.end_with(means.vault, means.engine, ids, reason="recording-gone", now=means.now())
    with transaction(means.engine) as connection:
        renditions = catalogue.renditions(connection, ids)
        months = catalogue.index_months(connection, ids)
    objects = {recording.id: _objects(recording, renditions[recording.id]) for recording in batch}
    try:
        means.vault.store.delete(key for keys in objects.values() for key in keys)
    except DeletionRefused as error:
        refused = cast("set[str]", error.facts["keys"])
        locked = [r.id for r in batch if refused & set(objects[r.id])]
        failed += [{"id": str(id), "reason": "object store refuses to delete"} for id in locked]
        batch = [recording for recording in batch if recording.id not in locked]
        months = {id: month for id, month in months.items() if id not in locked}
    except StoreUnavailable:
        failed += [{"id": str(id), "reason": "object store away"} for id in ids]
        return set()
    touched = _unindex(means, months)
    # Objects go before the row: a crash between leaves a row that the next run finds again.
    with transaction(means.engine) as connection:
        _record_expired(connection, batch, run_id, reason=reason, now=means.now())
        _count_bytes(connection, run_id, batch, renditions)
        connection.execute(
            text("delete from recording where id = any(:ids)"), {"ids": [r.id for r in batch]}
        )
    return touched


def _count_bytes(
    connection: Connection,
    run_id: UUID,
    batch: list[Recording],
    renditions: dict[UUID, list[StoredRendition]],
) -> None:
    """Adds the sealed bytes of originals and renditions to what the run has deleted."""
    deleted = sum(
        recording.object_bytes + sum(part.object_bytes for part in renditions[recording.id])
        for recording in batch
    )
    connection.execute(
        text("update expiry_run set bytes_deleted = bytes_deleted + :n where run = :run"),
        {"n": deleted, "run": run_id},
    )


def _objects(recording: Recording, renditions: list[StoredRendition]) -> list[str]:
    envelope = [recording.envelope_key] if recording.envelope_key else []
    return [recording.object_key, *envelope, *(part.object_key for part in renditions)]


def _unindex(means: Means, months: dict[UUID, str]) -> set[str]:
    by_month: dict[str, list[UUID]] = {}
    for id, month in months.items():
        by_month.setdefault(month, []).append(id)
    for month, ids in by_month.items():
        try:
            means.index.remove(ids, month=month)
        except IndexDamaged:
            _make_anew(means, month)
    return set(by_month)


def _rewrite_index(means: Means, months: set[str]) -> None:
    """Months that lost documents are rewritten under fresh keys, and the old keys destroyed."""
    for month in sorted(months):
        try:
            means.index.rewrite(month)
        except IndexDamaged:
            _make_anew(means, month)


def _make_anew(means: Means, month: str) -> None:
    """A damaged month does not stop the run: it goes with its key, and the worker makes it anew."""
    mending.rebuild(means.engine, means.index, month, now=means.now())


def _record_expired(
    connection: Connection, batch: list[Recording], run_id: UUID, *, reason: str, now: datetime
) -> None:
    if not batch:
        return
    # Locked, so that the run cannot be certified between: an erasure that comes too late for
    # last night's certificate is in the next one.
    finished = connection.execute(
        text("select finished_at from expiry_run where run = :run for share"), {"run": run_id}
    ).scalar()
    if finished is not None:
        run_id = resume_or_begin(connection, now)
    connection.execute(
        text("""insert into expired (id, cohort, run, reason)
            select id, cohort, :run, :reason
            from unnest(cast(:ids as uuid[]), cast(:days as date[])) as gone (id, cohort)
            on conflict do nothing"""),
        {
            "ids": [r.id for r in batch],
            "days": [r.cohort for r in batch],
            "run": run_id,
            "reason": reason,
        },
    )


# -- the certificate -------------------------------------------------------------------


def _finish(
    means: Means, run_id: UUID, now: datetime, failed: list[dict[str, str]]
) -> dict[str, Any]:
    with transaction(means.engine) as connection:
        ids = (
            connection.execute(
                text("select id from expired where run = :run order by id"), {"run": run_id}
            )
            .scalars()
            .all()
        )
        days = (
            connection.execute(
                text(
                    "select day from cohort where closed_at is not null and day not in "
                    "(select jsonb_array_elements_text(certificate->'cohorts_closed')::date "
                    " from expiry_run where certificate is not null) order by day"
                )
            )
            .scalars()
            .all()
        )
        kept = holdrows.count_kept(connection, now=now)
        previous = connection.execute(
            text(
                "select certificate from expiry_run where certificate is not null "
                "order by finished_at desc limit 1"
            )
        ).scalar()
    certificate = proofs.sign(
        means.vault.keys.ensure("installation/signing"),
        {
            "version": 1,
            "run": str(run_id),
            "at": now.astimezone(UTC).isoformat(),
            "destroyed": len(ids),
            "held": kept.pop("held"),
            "held_by": kept,
            "failed": failed,
            "cohorts_closed": [day.isoformat() for day in days],
            "merkle_root": proofs.merkle_root([UUID(str(id)) for id in ids]).hex(),
            "previous": proofs.certificate_digest(previous) if previous else None,
        },
    )
    # The certificate is durable in the store before the run is called finished.
    _keep(means.vault, run_id, certificate, ids)
    with transaction(means.engine) as connection:
        housekeeping.tidy(connection, now=now)
        connection.execute(
            text("""update expiry_run set finished_at = :now, certificate = cast(:c as jsonb)
                where run = :run"""),
            {"now": now, "c": json.dumps(certificate), "run": run_id},
        )
        _pass_on(connection, run_id, ids, now)
        audit.append(
            connection,
            at=now,
            actor=holdnight.JOB,
            verb="expire",
            detail={
                "run": str(run_id),
                "destroyed": len(ids),
                "held": certificate["held"],
                "failed": len(failed),
                "certificate": proofs.certificate_digest(certificate),
            },
        )
    return {
        "run": str(run_id),
        "due": len(ids) + len(failed),
        "destroyed": len(ids),
        "held": certificate["held"],
        "failed": failed,
        "cohorts_closed": certificate["cohorts_closed"],
        "certificate": certificate,
    }


def _pass_on(connection: Connection, run_id: UUID, ids: Any, now: datetime) -> None:
    """What was erased while the certificate was made goes to the next run's."""
    late = text("select id from expired where run = :run and not (id = any(:ids))")
    found = connection.execute(late, {"run": run_id, "ids": list(ids)}).scalars().all()
    if found:
        connection.execute(
            text("update expired set run = :next where id = any(:late)"),
            {"next": resume_or_begin(connection, now), "late": list(found)},
        )


def _keep(vault: Vault, run_id: UUID, certificate: dict[str, Any], ids: Any) -> None:
    day = certificate["at"][:10]
    vault.store.put_bytes(
        f"certificates/{day}/{run_id}.ids", "".join(f"{id}\n" for id in ids).encode()
    )
    vault.store.put_bytes(
        f"certificates/{day}/{run_id}.json", json.dumps(certificate, sort_keys=True).encode()
    )


# -- early erasure ---------------------------------------------------------------------


def erase(
    means: Means, actor: Actor, recording: Recording, *, reason: str, four_eyes: bool = False
) -> Erasure:
    """Destroys one recording at once and remembers its reference until its year would be over.

    When it is gone from everything live and from the last backup. RecordingHeld while a hold or
    restriction keeps it; StoreUnavailable: nobody sees it any more, the rest follows by itself.
    With `four_eyes`: SecondPersonNeeded, BadRequest for another reason than asked.
    """
    now = means.now()
    run_id = _resume_or_begin(means.engine, now)  # the next night's certificate covers it
    with transaction(means.engine) as connection:
        current = catalogue.get(connection, recording.id, lock=True)
        if current is None or current.erasing:
            raise NotFound()
        if holdrows.of(connection, [recording.id]):
            raise RecordingHeld(id=recording.id)
        if four_eyes:
            asking.confirm(connection, actor, recording.id, reason=reason)
        connection.execute(
            text("""insert into erased_reference (reference, until) values (:r, :until)
                on conflict (reference) do update set until = excluded.until"""),
            {"r": recording.reference, "until": recording.expires_at},
        )
        erasure = journal.note(
            connection,
            means.vault,
            current,
            reason=reason,
            backup_days=means.config.backup_days,
            now=now,
        )
        # From here on nobody sees it; a crash leaves a marked row that `finish_erasures` finds.
        catalogue.change(connection, recording.id, expires_at=now, erasing_at=now)
        audit.append(
            connection,
            at=now,
            actor=actor,
            verb="erase",
            recording_id=recording.id,
            detail={"reason": reason},
        )
    _carry_through(means, [current], run_id, reason)
    return erasure


def finish_erasures(means: Means) -> int:
    """Carries through the early erasures that a crash or an absent store broke off; how many."""
    with transaction(means.engine) as connection:
        marked = connection.execute(
            text("""select recording.id, erasure.reason from recording
                join erasure using (id) where erasing_at is not null""")
        ).all()
        rows = catalogue.get_many(connection, [row.id for row in marked])
    # Also where nothing is marked: the entry of an erasure whose run had no store.
    journal.publish(means.vault, means.engine, means.config, now=means.now())
    if not marked:
        return 0
    run_id = _resume_or_begin(means.engine, means.now())
    for id, reason in marked:
        if id in rows:  # nobody else has finished it between
            _carry_through(means, [rows[id]], run_id, reason)
    return len(marked)


def _carry_through(means: Means, batch: list[Recording], run_id: UUID, reason: str) -> None:
    # The journal first: once the bytes are gone, no older backup may bring them back.
    journal.publish(means.vault, means.engine, means.config, now=means.now())
    failed: list[dict[str, str]] = []
    months = _destroy(means, batch, run_id, failed, reason=reason)
    # The index no longer finds it; the worker rewrites the month's files when nothing waits.
    with transaction(means.engine) as connection:
        for month in months:
            catalogue.note_month(connection, "rewrite", month)
    if failed:
        raise StoreUnavailable()


# -- what goes when --------------------------------------------------------------------


def _preview(connection: Connection, now: datetime) -> dict[str, Any]:
    kept = holdrows.count_kept(connection, now=now)
    due = connection.execute(
        text("select count(*) from recording where expires_at <= :now"), {"now": now}
    ).scalar_one()
    days = connection.execute(
        text("select day from cohort where closed_at is null and day < :today order by day"),
        {"today": retention.local(now).date()},
    ).scalars()
    return {
        "run": None,
        "due": due - kept["held"],
        "destroyed": 0,
        "held": kept["held"],
        "failed": [],
        "cohorts_closed": [day.isoformat() for day in days],
        "certificate": None,
        "bytes_deleted": 0,
        "bytes_reclaimed": None,
        "coming": _coming(connection, now),
    }


def _coming(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """What goes in each coming night by its day, tonight's first; `held` of each day stays."""
    rows = connection.execute(
        text("""select day, count(*) filter (where not kept) as due,
                count(*) filter (where kept) as held
            from (select cohort as day,
                    exists (select from hold where recording_id = recording.id) as kept
                from recording where expires_at > :now) as live
            group by day order by day"""),
        {"now": now},
    )
    return [{"day": row.day.isoformat(), "due": row.due, "held": row.held} for row in rows]


def last_bytes(engine: Engine) -> tuple[int, int | None] | None:
    """Bytes that the last finished run deleted, and those that the store gave back of them."""
    with transaction(engine) as connection:
        row = connection.execute(
            text("""select bytes_deleted, bytes_reclaimed from expiry_run
                where certificate is not null order by finished_at desc limit 1""")
        ).first()
    return (row.bytes_deleted, row.bytes_reclaimed) if row else None


def last_finished(connection: Connection) -> datetime | None:
    """When a run last came to its end."""
    found: datetime | None = connection.execute(
        text("select max(finished_at) from expiry_run where certificate is not null")
    ).scalar()
    return found


def database_now(connection: Connection) -> datetime:
    """The database's clock."""
    found: datetime = connection.execute(text("select now()")).scalar_one()
    return found


def _check_clock(connection: Connection, now: datetime, witness: datetime) -> None:
    """The database's clock and the last run bear witness against a clock that jumped."""
    if abs(now - witness) > CLOCK_TOLERANCE:
        raise ClockSuspect(reason="more than a day from the database's clock")
    last = connection.execute(text("select max(started_at) from expiry_run")).scalar()
    if last is not None and now < last - timedelta(minutes=5):
        raise ClockSuspect(reason="earlier than the last run")
