"""The worker: carries rows forward, one step at a time, and runs the nightly work.

The row's own state is the queue, so a worker killed anywhere leaves nothing undone for ever.
Knows no HTTP and no people.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as day_time

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from archive import (
    alertchannels,
    alerts,
    audit,
    catalogue,
    mending,
    openings,
    retention,
    reviews,
    transcribing,
    transcriptions,
)
from archive.alarms import Alarm, Alarms
from archive.anchors import Anchors
from archive.archive import SYSTEM, Archive
from archive.backups import backup, destinations
from archive.casework import reminders
from archive.db import alone, transaction
from archive.describing import Describer
from archive.documents import document
from archive.erasure import sweeping
from archive.erasure.expiry import last_finished
from archive.errors import (
    ArchiveError,
    BackupRunning,
    CatalogueUnavailable,
    DiskFull,
    ExpiryRunning,
    IndexDamaged,
    KeyDestroyed,
    KeyMissing,
    RestoreUnfinished,
    RootKeyAway,
    SealBroken,
    StoreUnavailable,
    SweepTooLarge,
)
from archive.formats import transcriber
from archive.keyring.keybackup import KeyBackups
from archive.keyring.rootwatch import RootWatch
from archive.mending import Reconciler
from archive.model import Recording
from archive.search.engines import forget_other_engine

WORKER_LOCK = 7_401  # pg advisory lock class; the second half is the worker's number
INDEXER_LOCK = 7_401_004
TRANSCRIBER_LOCK = 7_401_020
GIVE_UP_AFTER = 5
INDEX_BATCH = 250
IDLE_S = 0.5
NIGHTLY = day_time(0, 10)  # Helsinki
BACKUP = day_time(2, 10)  # Helsinki; after the night's run, so that what it erased goes at once

# What comes back by itself: waited for, and never counted as a failure of a recording.
AWAY = (CatalogueUnavailable, StoreUnavailable, RootKeyAway, DiskFull)

log = logging.getLogger("archive.worker")


class Worker:
    """Threads over one archive: indexing, describing, chaining the audit log, the night."""

    def __init__(
        self,
        archive: Archive,
        *,
        describers: int = 2,
        hear: Callable[[Alarm], None] = lambda alarm: None,
    ) -> None:
        """`hear` is told of each alarm that begins to ring, in the thread that noticed."""
        self._archive = archive
        self._hear = hear
        config = archive.config
        self._root = RootWatch(
            KeyBackups(archive.keys, now=archive.now, keep_days=config.backup_days),
            Alarms(archive.keys.path, self._ring),
            days=config.root_rotation_days,
            now=archive.now,
        )
        # A wrong setting stops the start.
        self._transcriber = transcribing.chosen(config)
        if self._transcriber is not None:
            transcriber.require(self._transcriber)
        self._channels = alertchannels.channels_of(config, now=archive.now)
        self._lookout = alerts.Lookout(
            archive.engine, Alarms(archive.keys.path), tuple(self._channels), now=archive.now
        )
        self._calls_noted = False
        self._describers = describers
        self._stop = threading.Event()
        self._number = random.SystemRandom().randrange(1, 2**31)
        self._threads: list[threading.Thread] = []
        self._reconciler = Reconciler(archive.engine, archive.index, now=archive.now)
        self._anchors = Anchors(archive.vault, archive.engine, now=archive.now)

    def run(self) -> None:
        """Works until `stop`; comes back by itself when database or store were away."""
        config = self._archive.config
        forget_other_engine(
            config.home / "index", self._archive.keys, postgres=bool(config.index_url)
        )
        self._start("alive", self._stay_alive)
        self._start("index", lambda: self._loop(self.index_once))
        for n in range(self._describers):
            self._start(f"describe-{n}", self._describe_loop)
        self._start("chain", lambda: self._loop(self._chain_once, idle_s=1.0))
        self._start("heads", lambda: self._loop(self._anchors.step, idle_s=60.0))
        self._start("night", lambda: self._loop(self._night_once, idle_s=30.0))
        self._start("notices", lambda: self._loop(self._notices_once, idle_s=30.0))
        self._start("evidence", lambda: self._loop(self._evidence_once, idle_s=1.0))
        if self._transcriber is not None:
            self._start("transcribe", lambda: self._loop(self._transcribe_once, idle_s=5.0))
        self._start("alerts", lambda: self._loop(self._alerts_once, idle_s=60.0))
        self._start("root", lambda: self._loop(self._root_once, idle_s=60.0))
        if self._archive.config.backup_dir or self._archive.config.backup_url:
            self._start("backup", lambda: self._loop(self._backup_once, idle_s=60.0))
        while not self._stop.wait(0.5):
            pass
        for thread in self._threads:
            thread.join(timeout=30)

    def stop(self) -> None:
        """Ends every loop after the step it is at."""
        self._stop.set()

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _loop(self, step: Callable[[], bool], *, idle_s: float = IDLE_S) -> None:
        while not self._stop.is_set():
            try:
                busy = step()
            except AWAY as error:
                log.warning("%s; trying again", type(error).__name__)
                self._stop.wait(2)
                continue
            except Exception as error:  # a bug must not end the thread: log its place, go on
                log.error("unexpected %s in %s", type(error).__name__, _place(error))
                self._stop.wait(2)
                continue
            if not busy:
                self._stop.wait(idle_s)

    # -- being known to be alive -----------------------------------------------------

    def _stay_alive(self) -> None:
        """Holds this worker's advisory lock; its end is how others know that it died."""
        while not self._stop.is_set():
            try:
                with self._archive.engine.connect() as connection:
                    connection.execute(
                        text("select pg_advisory_lock(:c, :n)"),
                        {"c": WORKER_LOCK, "n": self._number},
                    )
                    connection.commit()
                    while not self._stop.wait(5):
                        connection.execute(text("select 1"))
                        connection.commit()
                        self._free_the_dead(connection)
            except SQLAlchemyError:
                self._archive.engine.dispose(close=False)
                self._stop.wait(2)

    def _free_the_dead(self, connection: Connection) -> None:
        freed = catalogue.release_dead_claims(
            connection, lock_class=WORKER_LOCK, now=self._archive.now(), but=self._number
        )
        connection.commit()
        if freed:
            log.warning("%d recordings of a dead worker taken over", freed)

    # -- describe --------------------------------------------------------------------

    def _describe_loop(self) -> None:
        describer = Describer(self._archive)
        try:
            self._loop(lambda: self._describe(describer))
        finally:
            describer.close()

    def _describe(self, describer: Describer) -> bool:
        with transaction(self._archive.engine) as connection:
            recording = catalogue.claim_to_describe(
                connection, now=self._archive.now(), worker=self._number
            )
        if recording is None:
            return False
        describe_claimed(self._archive, describer, recording)
        return True

    # -- index -----------------------------------------------------------------------

    def index_once(self) -> bool:
        """Indexes one batch of what is due; whether there was any. One process at a time."""
        with alone(self._archive.engine, INDEXER_LOCK) as guard:
            if guard is None:
                return False
            for month in [*self._archive.mend_index(), *self._reconciler.step()]:
                log.warning("index of %s damaged or incomplete: rebuilding", month)
            return index_batch(self._archive)

    # -- transcribe ------------------------------------------------------------------

    def _transcribe_once(self) -> bool:
        """Hears one call; whether there was any. One process at a time, of all workers."""
        if self._transcriber is None:
            return False
        with alone(self._archive.engine, TRANSCRIBER_LOCK) as guard:
            if guard is None:
                return False
            if not self._calls_noted:  # those from before the transcriber was chosen
                with transaction(self._archive.engine) as connection:
                    transcriptions.note_due(connection, now=self._archive.now())
                self._calls_noted = True
            return transcribing.step(self._archive, self._transcriber)

    # -- the audit log and the night -------------------------------------------------

    def _chain_once(self) -> bool:
        archive = self._archive
        with transaction(archive.engine) as connection:
            for over in openings.close_over(connection, now=archive.now()):
                audit.append(
                    connection,
                    at=archive.now(),
                    actor=SYSTEM,
                    verb="opening-ended",
                    recording_id=over["recording_id"],
                    purpose=over["purpose"],
                    case=over["case_number"],
                    detail={
                        "bytes": over["bytes_served"],
                        "rendition": over["rendition"],
                        "by": over["actor_id"],
                    },
                )
        with transaction(archive.engine) as connection:
            return audit.chain(connection) > 0

    def _night_once(self) -> bool:
        archive = self._archive
        now = archive.now()
        archive.rewrite_index()  # what was erased during the day
        with transaction(archive.engine) as connection:
            last = last_finished(connection)
            openings.forget(connection, before=now - timedelta(days=1))
        archive.settle_holds()
        archive.forget_cases()
        archive.forget_subjects()
        archive.tidy_evidence()
        if last is not None and last >= last_nightly(now):
            return False
        try:
            done = archive.expire()
            log.info("expiry run %s: %d destroyed", done["run"], done["destroyed"])
            sweep(archive)
        except ExpiryRunning:
            pass
        except ArchiveError as error:
            log.error("expiry did not run: %s", error.message)
            self._stop.wait(60)
        return False

    # -- notices ---------------------------------------------------------------------

    def _notices_once(self) -> bool:
        archive = self._archive
        _, failed = reminders.work(archive.engine, archive.config, now=archive.now)
        for code in failed:
            log.warning("a mail was not taken (%s); trying again", code)
        return False

    # -- evidence packages -----------------------------------------------------------

    def _evidence_once(self) -> bool:
        """Builds a package that was asked for; whether there was one."""
        return self._archive.build_evidence(worker=self._number, lock_class=WORKER_LOCK)

    def _alerts_once(self) -> bool:
        archive = self._archive
        self._lookout.look()
        _, failed = alerts.send_due(archive.engine, self._channels, now=archive.now)
        for code in failed:
            log.warning("an alert was not heard (%s); trying again", code)
        return False

    # -- the root key ----------------------------------------------------------------

    def _root_once(self) -> bool:
        done = self._root.look()
        if done is not None:
            log.info("root key %s is in use, %d keys wrapped anew", done.root, done.rewrapped)
        return False

    def _ring(self, alarm: Alarm) -> None:
        log.error("alarm %s: %s", alarm.name, alarm.reason)
        self._hear(alarm)

    # -- backups ---------------------------------------------------------------------

    def _backup_once(self) -> bool:
        try:
            made = back_up_if_due(self._archive)
        except BackupRunning:
            return False
        except ArchiveError as error:
            log.error("no backup was made: %s", error.message)
            self._stop.wait(600)
            return False
        if made is not None:
            log.info("backup %s made", made.folder.name)
        return False


def sweep(archive: Archive) -> None:
    """The nightly sweep; one that would take too much asks in the log and deletes nothing."""
    try:
        found = sweeping.sweep(archive.vault, archive.engine, now=archive.now())
    except (SweepTooLarge, RestoreUnfinished) as error:
        log.error("nothing was swept: %s", error.message)
        return
    if found.swept or found.uploads:
        log.info("swept %d objects, %d uploads", len(found.swept), found.uploads)
    if lost := found.of(sweeping.Fate.LIVES):
        log.error("%d objects have lost their row: run rebuild-catalogue", len(lost))


def back_up_if_due(archive: Archive) -> backup.Made | None:
    """The daily backup to each destination that lacks today's; the last one made.

    See `backup.run`. One destination that fails does not keep the next from its backup.
    """
    made, failure = None, None
    for folder in destinations.configured(archive.config):
        newest = backup.newest(folder) if folder.is_dir() else None
        if newest is not None and newest.made_at >= last_nightly(archive.now(), at=BACKUP):
            continue
        means = backup.Means(
            archive.config, archive.engine, archive.store, archive.keys, now=archive.now
        )
        try:
            made = backup.run(means, folder)
        except ArchiveError as error:
            failure = error
    if failure is not None:
        raise failure
    return made


def last_nightly(now: datetime, *, at: day_time = NIGHTLY) -> datetime:
    """The latest moment, not after `now`, at which what runs daily at `at` is due."""
    day = retention.local(now).date()
    due = retention.resolve_local(datetime.combine(day, at))
    if due > now:
        due = retention.resolve_local(datetime.combine(day - timedelta(days=1), at))
    return due.astimezone(UTC)


def describe_claimed(archive: Archive, describer: Describer, recording: Recording) -> None:
    """Describes a claimed recording and gives it back, forward or to try again later."""
    try:
        describer.describe(recording)
    except AWAY:
        _later(archive, recording, wait_s=5, counts=False)
        raise
    except (KeyDestroyed, KeyMissing, SealBroken) as error:
        _failed(archive, recording, type(error).__name__)
    except Exception as error:  # whatever a file does to a parser, the next one must go on
        log.error("describe: %s in %s", type(error).__name__, _place(error))
        if recording.attempts >= GIVE_UP_AFTER:
            _failed(archive, recording, type(error).__name__)
        else:
            _later(archive, recording, wait_s=5 * 4**recording.attempts, counts=True)


def _later(archive: Archive, recording: Recording, *, wait_s: float, counts: bool) -> None:
    with transaction(archive.engine) as connection:
        catalogue.change(
            connection,
            recording.id,
            claimed_by=None,
            attempts=recording.attempts if counts else recording.attempts - 1,
            next_attempt_at=archive.now() + timedelta(seconds=wait_s),
        )


def _failed(archive: Archive, recording: Recording, code: str) -> None:
    with transaction(archive.engine) as connection:
        catalogue.change(
            connection,
            recording.id,
            claimed_by=None,
            state="describe-failed",
            error_code=code,
            index_due=True,
            index_next_at=archive.now(),
        )
        reviews.add(connection, recording.id, "failed", now=archive.now())


def index_batch(archive: Archive) -> bool:
    """Puts one batch of due recordings into the index; whether there was any."""
    with transaction(archive.engine) as connection:
        due = catalogue.to_index(connection, now=archive.now(), limit=INDEX_BATCH)
        former = catalogue.index_months(connection, [r.id for r in due])
        mending.end_rebuilds(connection, now=archive.now())
    if not due:
        return False
    documents, unreadable = {}, []
    for recording in due:
        if not _belongs(archive, recording):
            continue
        try:
            documents[recording.id] = document(archive.vault, recording)
        except (KeyDestroyed, KeyMissing, SealBroken):
            unreadable.append(recording.id)
    try:
        for recording in due:
            old = former.get(recording.id)
            stays = _belongs(archive, recording) and old == month_of(recording)
            if old is not None and not stays:
                archive.index.remove([recording.id], month=old)
        archive.index.put(list(documents.values()))
    except IndexDamaged as error:
        log.warning("index of %s damaged: rebuilding", error.facts["month"])
        archive.rebuild_month(str(error.facts["month"]))
        return True
    except RootKeyAway:
        raise
    except Exception as error:
        log.error("index: %s in %s", type(error).__name__, _place(error))
        _index_later(archive, [r.id for r in due if r.id not in unreadable])
        return True
    with transaction(archive.engine) as connection:
        done = [one for one in due if one.id not in unreadable]
        catalogue.indexed(
            connection, [(one, month_of(one) if one.id in documents else None) for one in done]
        )
        if unreadable:
            catalogue.index_failed(connection, unreadable, next_at=archive.now(), give_up_after=1)
    return True


def _belongs(archive: Archive, recording: Recording) -> bool:
    """Whether the index may know the recording: neither restricted nor held past its year."""
    return not recording.restricted and not recording.past_its_year(archive.now())


def _index_later(archive: Archive, ids: list[object]) -> None:
    with transaction(archive.engine) as connection:
        catalogue.index_failed(
            connection,
            ids,  # type: ignore[arg-type]
            next_at=archive.now() + timedelta(seconds=10),
            give_up_after=GIVE_UP_AFTER,
        )


def month_of(recording: Recording) -> str:
    """The index month of a contact, UTC."""
    return recording.occurred_at.astimezone(UTC).strftime("%Y-%m")


def until_idle(archive: Archive, *, most_s: float = 300) -> None:
    """Carries everything forward in this thread until nothing waits; for tests and the demo."""
    describer, by = Describer(archive), transcribing.chosen(archive.config)
    end = time.monotonic() + most_s
    try:
        while time.monotonic() < end:
            with transaction(archive.engine) as connection:
                recording = catalogue.claim_to_describe(connection, now=archive.now(), worker=0)
            if recording is not None:
                describe_claimed(archive, describer, recording)
                continue
            if not index_batch(archive) and not (by and transcribing.step(archive, by)):
                return
    finally:
        describer.close()


def _place(error: BaseException) -> str:
    """File and line where it happened: never the message, which may carry content."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
