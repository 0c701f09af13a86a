"""Holds against everything at once: every order with the expiry run, and kill -9 at every step.

A step is what outlives a crash: a commit, an object, a key made or destroyed. The tests count
them and stop or kill there, so a step that is added later is covered without being named.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from archive import retention, worker
from archive.archive import Archive
from archive.config import Config
from archive.db import open_engine, transaction
from archive.errors import ArchiveError, ExpiryRunning, NotFound
from archive.keys import open_keys
from archive.search import open_index
from archive.storage import open_store
from tests.clock import Clock
from tests.media import wav
from tests.test_holds import CASE, COMPLAINT, HANDLER, hold, read
from tests.test_story import deliver

STUCK_S = 0.4  # a thread that takes longer to its next step waits for a lock


@contextmanager
def watched(archive: Archive, step: Callable[[], None]) -> Iterator[None]:
    """Calls `step` before each object written or deleted, key made or gone, commit of a change,
    and the first lock or change of a transaction. What only reads is no step."""
    undo: list[Callable[[], None]] = []

    def wrap(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def stepping(*args: Any, **named: Any) -> Any:
            step()
            return real(*args, **named)

        setattr(owner, name, stepping)
        undo.append(lambda: delattr(owner, name))

    def executing(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        first = not connection.info.get("changes")
        if first and re.match(r"\s*(insert|update|delete)|.* for (update|share)", statement):
            connection.info["changes"] = True
            step()

    def committing(connection: Any) -> None:
        if connection.info.pop("changes", False):
            step()

    def rolling_back(connection: Any) -> None:
        connection.info.pop("changes", None)

    for owner, names in (
        (archive.store, ("put_bytes", "delete")),
        (archive.keys, ("_make", "destroy")),
        (archive.index, ("remove", "rewrite")),
    ):
        for name in names:
            wrap(owner, name)
    listeners: tuple[tuple[str, Callable[..., None]], ...] = (
        ("before_cursor_execute", executing),
        ("commit", committing),
        ("rollback", rolling_back),
    )
    for name, listener in listeners:
        event.listen(archive.engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(archive.engine, name, listener)
        for one in undo:
            one()


def assembled(config: Config, clock: Clock) -> Archive:
    """An archive of its own over the same database, bucket and keys, as another process has."""
    keys = open_keys(config)
    return Archive(
        config=config,
        engine=open_engine(config.database_url, pool_size=3),
        store=open_store(config),
        keys=keys,
        index=open_index(config.home / "index", keys),
        now=clock,
        database_now=lambda connection: clock.witness,
        wait=lambda seconds: None,
    )


def close(archive: Archive) -> None:
    archive.index.close()
    archive.store.close()
    archive.engine.dispose()


def a_year_ago(archive: Archive) -> str:
    """A contact time whose year ends in two minutes."""
    ends = retention.local(archive.now() + timedelta(minutes=2)).replace(tzinfo=None)
    return retention.resolve_local(ends.replace(year=ends.year - 1)).isoformat()


# -- every order with the expiry run ---------------------------------------------------


class Runner:
    """Does something in a thread of its own, step by step as it is told."""

    def __init__(self, archive: Archive, act: Callable[[], Any]) -> None:
        self._archive = archive
        self._act = act
        self._go, self._there = threading.Semaphore(0), threading.Semaphore(0)
        self._free = False
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._stop()
        try:
            with watched(self._archive, self._stop):
                self.result = self._act()
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()
            self._there.release()

    def _stop(self) -> None:
        if threading.current_thread() is self._thread and not self._free:
            self._there.release()
            self._go.acquire()

    def steps(self, number: int) -> int:
        """Lets it go so many steps on; how many it made before it was done or stuck."""
        for made in range(number):
            if self.done.is_set():
                return made
            self._there.acquire()
            self._go.release()
            if not self._there.acquire(timeout=STUCK_S):
                return made
            self._there.release()
        return number

    def finish(self) -> None:
        """Lets it go to its end; False if it waits for a lock meanwhile."""
        self._free = True
        for _ in range(1000):
            self._go.release()
        self.done.wait(STUCK_S)

    def join(self) -> None:
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()


def alive_or_gone(archive: Archive, id: UUID, error: BaseException | None) -> str:
    """ "alive" or "gone"; fails if a hold was acknowledged and its recording is dead, or if
    one was refused and something of the recording is left."""
    if error is None:
        assert read(archive, id) == wav(0.5)
        return "alive"
    if not isinstance(error, NotFound):
        raise error
    try:
        read(archive, id)
    except NotFound:
        assert [s.key for s in archive.store.list("recordings/") if str(id) in s.key] == []
        return "gone"
    raise AssertionError("refused, and not gone")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", ["hold", "run"])
@pytest.mark.parametrize("later", [timedelta(hours=1), timedelta(days=1)])
def test_a_hold_placed_while_the_run_works_is_kept_or_refused_in_every_order(
    archive: Archive, config: Config, clock: Clock, later: timedelta, first: str
) -> None:
    """The first goes to each of its steps, then the other to each of its own, then both on.

    Whoever waits for a lock of the other waits. By the placer's clock the year is not over, by
    the run's it is: an hour later, in the day whose key lives on, or when that day is over too.
    """
    archive.open_case(HANDLER, CASE)
    placers, runs = Clock(), Clock()
    placing, running = assembled(config, placers), assembled(config, runs)
    outcomes: set[str] = set()
    orders = 0

    def in_order(its_steps: int, others_steps: int) -> tuple[bool, bool]:
        """Whether each of the two had as many steps."""
        placers.set(clock())
        id = deliver(archive, f"{its_steps}/{others_steps}", occurred_at=a_year_ago(archive)).id
        runs.set(clock() + later)
        placed = Runner(placing, lambda: hold(placing, id))
        ran = Runner(running, running.expire)
        one, other = (placed, ran) if first == "hold" else (ran, placed)
        had = (one.steps(its_steps) == its_steps, other.steps(others_steps) == others_steps)
        one.finish()
        other.finish()
        placed.join()
        ran.join()
        if ran.error is not None:
            raise ran.error
        clock.advance(timedelta(days=1))
        archive.expire()  # what the first run left, another night does
        outcomes.add(alive_or_gone(archive, id, placed.error))
        return had

    try:
        for its_steps in itertools.count():
            for others_steps in itertools.count(1):
                it_had, other_had = in_order(its_steps, others_steps)
                orders += 1
                if not (it_had and other_had):
                    break
            if not it_had:
                break
    finally:
        close(placing)
        close(running)
    assert outcomes == {"alive", "gone"}
    assert orders > 60


# -- kill -9 at every step -------------------------------------------------------------

ACTS: dict[str, Callable[..., Any]] = {
    "hold": lambda archive, id: hold(archive, id),
    "release": lambda archive, id, hold_id: archive.release(HANDLER, id, hold_id),
    "expire": lambda archive: archive.expire(),
    "close": lambda archive, number: archive.close_case(
        HANDLER, number, seen=archive.closing_of(HANDLER, number).digest, reason="x"
    ),
}


CLEAN = multiprocessing.get_context("forkserver")  # forks from a process without threads
CLEAN.set_forkserver_preload([__name__])


def acknowledged(config: Config, at: datetime, act: str, *arguments: Any, most: int) -> bool:
    """Does it in a process that is killed after `most` steps; whether it came to its end."""
    child = CLEAN.Process(target=_mortal, args=(config, at, act, arguments, most))
    child.start()
    child.join(timeout=60)
    assert child.exitcode in {0, -signal.SIGKILL}
    return child.exitcode == 0


def _mortal(config: Config, at: datetime, act: str, arguments: tuple[Any, ...], most: int) -> None:
    archive, made = assembled(config, Clock(at)), 0

    def step() -> None:
        nonlocal made
        made += 1
        if made > most:
            os.kill(os.getpid(), signal.SIGKILL)

    with watched(archive, step):
        ACTS[act](archive, *arguments)
        step()  # done, and not told
    os._exit(0)


def run_again(archive: Archive) -> None:
    """The next run; the database may take a moment to see that the one before was killed."""
    end = time.monotonic() + 20
    while True:
        try:
            archive.expire()
        except ExpiryRunning:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def leftovers(archive: Archive, id: UUID) -> list[str]:
    """Keys and objects of holds that no row names."""
    with transaction(archive.engine) as connection:
        rows = connection.execute(text("select key, object_key from hold")).all()
    named = {value for row in rows for value in row}
    objects = [s.key for s in archive.store.list("recordings/") if ".hold." in s.key]
    return sorted({*archive.keys.names("hold"), *objects} - named)


@pytest.mark.timeout(900)
def test_a_hold_killed_at_any_step_is_there_after_the_next_run_or_never_was(
    archive: Archive, config: Config, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    most, ends = 0, []
    while True:
        id = deliver(archive, str(most), days_ago=364.9).id
        done = acknowledged(config, clock(), "hold", id, most=most)
        clock.advance(timedelta(days=2))
        archive.expire()
        held = archive.list_holds(HANDLER)
        alive = any(one.hold.recording_id == id for one in held)
        assert alive or not done, most
        if alive:
            assert read(archive, id) == wav(0.5)
        else:
            with pytest.raises(NotFound):
                archive.describe(HANDLER, id, **COMPLAINT)
        assert leftovers(archive, id) == []
        ends.append(alive)
        if done:
            break
        most += 1
    assert ends[0] is False
    assert ends == sorted(ends), "once begun it is carried through, never lost again"
    assert most >= 7


@pytest.mark.timeout(900)
def test_a_release_and_its_end_killed_at_any_step_come_to_the_same(
    archive: Archive, config: Config, clock: Clock
) -> None:
    archive.open_case(HANDLER, CASE)
    for act in ("release", "expire"):
        most = 0
        while True:
            id = deliver(archive, f"{act}{most}", days_ago=364.9).id
            if act == "expire":
                worker.index_batch(archive)
            made = hold(archive, id)
            clock.advance(timedelta(days=2))
            archive.expire()
            if act == "expire":
                archive.release(HANDLER, id, made.hold.id)
                clock.advance(timedelta(days=8))
                done = acknowledged(config, clock(), "expire", most=most)
            else:
                done = acknowledged(config, clock(), "release", id, made.hold.id, most=most)
                assert read(archive, id) == wav(0.5)
                archive.release(HANDLER, id, made.hold.id)
                clock.advance(timedelta(days=8))
            run_again(archive)
            with pytest.raises(NotFound):
                archive.describe(HANDLER, id, **COMPLAINT)
            assert archive.keys.is_destroyed(made.hold.key)
            assert list(archive.store.list("recordings/")) == []
            assert archive.index.to_rewrite() == []
            if done:
                break
            most += 1
        assert most >= 4


def test_a_hold_that_the_store_refuses_leaves_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archive.errors import StoreUnavailable

    archive.open_case(HANDLER, CASE)
    id = deliver(archive, "1").id

    def refuse(*args: Any) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(archive.store, "put_bytes", refuse)
    with pytest.raises(ArchiveError):
        hold(archive, id)
    monkeypatch.undo()
    assert archive.list_holds(HANDLER) == []
    assert leftovers(archive, id) == []
    assert hold(archive, id).hold.key.endswith(".2")
