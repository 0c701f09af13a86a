"""Rounds of breaking things while recordings come in, and what must hold after each.

After every round: what was delivered is there, each once and byte for byte, and nothing else; and
once the archive has been mended as the operator mends it, no object is left that no row names.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from archive import catalogue, rebuild
from archive.assembly import Assembly, utc_now
from archive.config import Config
from archive.db import transaction
from archive.erasure import sweeping
from archive.model import Scope
from tests.chaos import sources
from tests.chaos.installation import Faults, gated
from tests.chaos.sources import Manner, Source
from tests.dovecot import dovecot

KILL, STORE, DATABASE, DISK, SLOW, TORN = (
    "kill -9", "store gone", "database gone", "disk full", "slow client", "torn connection",
)  # fmt: skip
FAULTS = (KILL, STORE, DATABASE, DISK, SLOW, TORN)
SOURCES = ("http-call", "http-email", "smtp", "imap", "watched", "ingest")
ITEMS = 10  # of a round
LATER = sweeping.AGE + timedelta(hours=1)  # from then on a sweep takes what nobody names
FINISH_S = 120


@dataclass(frozen=True, slots=True)
class Round:
    """What is broken while what delivers."""

    number: int
    source: str
    fault: str


@dataclass(slots=True)
class Tally:
    """What was done, and how the senders met it."""

    runs: Counter[tuple[str, str]] = field(default_factory=Counter)  # by source and fault
    recordings: int = 0
    orphans: int = 0  # objects that crashes left, all of them swept
    refused: Counter[str] = field(default_factory=Counter)  # attempts by what came instead


def plan(kills: int, others: int) -> list[Round]:
    """`kills` rounds of kill -9 and `others` of every other fault, over every source in turn."""
    made = [(SOURCES[n % len(SOURCES)], KILL) for n in range(kills)]
    for n in range(others):
        for fault in FAULTS[1:]:
            known = [s for s in SOURCES if fault not in (SLOW, TORN) or _CLASSES[s].behaves]
            made += [(known[n % len(known)], fault)]
    return [Round(n, source, fault) for n, (source, fault) in enumerate(made)]


_CLASSES: dict[str, type[Source]] = {
    each.name: each
    for each in (
        sources.HttpCall, sources.HttpEmail, sources.Smtp, sources.Imap, sources.Watched,
        sources.Ingest,
    )
}  # fmt: skip


class Chaos:
    """The rounds over one archive. `assembly` reaches the parts past the gates."""

    def __init__(self, assembly: Assembly, faults: Faults, ways: dict[str, Source], seed: int):
        self._assembly = assembly
        self._faults = faults
        self._ways = ways
        self._seed = seed
        self._seen = set(self._ids())
        self._running: Source | None = None
        self.tally = Tally()

    def run(self, rounds: Sequence[Round], said: Callable[[Round, float], None]) -> None:
        """Every round, with its check; AssertionError names the round that failed."""
        for each in rounds:
            began = time.monotonic()
            try:
                self._round(each)
            except AssertionError as error:
                raise AssertionError(f"seed {self._seed}, {each}: {error}") from error
            said(each, time.monotonic() - began)

    def _round(self, one: Round) -> None:
        chance = random.Random(f"{self._seed}/{one.number}")
        source = self._ready(one.source)
        items = [source.make(f"{self._seed}-{one.number}-{n}", chance) for n in range(ITEMS)]
        source.failures.clear()
        source.manner = Manner(
            slow_s=0.05 if one.fault == SLOW else 0.0,
            torn=chance if one.fault == TORN else None,
        )
        source.send(items)
        self._break(one, source, chance)
        source.finish(FINISH_S)
        self.tally.refused.update(source.failures)
        self._check(Counter(item.digest for item in items))
        self._mend()
        self.tally.runs[one.source, one.fault] += 1
        self.tally.recordings += len(items)

    def _ready(self, name: str) -> Source:
        """One process at a time, so that the machine is the round's."""
        source = self._ways[name]
        if self._running is not source:
            if self._running is not None:
                self._running.close()
            source.start()
            self._running = source
        elif not source.process.runs:
            source.start()
        return source

    def _break(self, one: Round, source: Source, chance: random.Random) -> None:
        """In the midst of it: when so many rows are there, and a random moment later."""
        if one.fault in (SLOW, TORN):
            return
        self._await_rows(chance.randrange(ITEMS if one.fault == KILL else ITEMS // 2))
        time.sleep(chance.uniform(0.0, 0.03))
        lasts_s = chance.uniform(0.2, 1.5)
        if one.fault == KILL:
            source.process.kill()
            source.restart()
        elif one.fault in (STORE, DATABASE):
            gate = self._faults.store if one.fault == STORE else self._faults.database
            gate.cut()
            time.sleep(lasts_s)
            gate.mend()
        elif one.fault == DISK:
            self._faults.fill_disk()
            time.sleep(lasts_s)
            self._faults.free_disk()

    def _await_rows(self, new: int) -> None:
        end = time.monotonic() + 60  # a command takes long to begin on a busy machine
        with self._assembly.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            count = text("select count(*) from recording")
            while connection.execute(count).scalar_one() < len(self._seen) + new:
                assert time.monotonic() < end, "nothing arrives"
                time.sleep(0.002)

    # -- what must hold ----------------------------------------------------------------

    def _check(self, delivered: Counter[str]) -> None:
        """The new rows are what was delivered: each once, byte for byte, and nothing else."""
        fresh = [id for id in self._ids() if id not in self._seen]
        self._seen.update(fresh)
        with transaction(self._assembly.engine) as connection:
            rows = catalogue.get_many(connection, fresh)
        vault = self._assembly.archive.vault
        found = Counter(hashlib.sha256(vault.read_all(rows[id])).hexdigest() for id in fresh)
        lost, more = delivered - found, found - delivered
        assert not lost, f"{sum(lost.values())} acknowledged and not there"
        assert not more, f"{sum(more.values())} there twice, or never delivered"

    def _mend(self) -> None:
        """What `archive verify --mend` does two days later leaves nothing without a row."""
        archive, now = self._assembly.archive, utc_now() + LATER
        swept = sweeping.sweep(archive.vault, archive.engine, now=now, however_many=True)
        self.tally.orphans += len(swept.swept)
        left = sweeping.look(archive.vault, archive.engine, now=now)
        assert not left.unreferenced, f"objects without a row: {left.unreferenced}"

    def verify(self) -> int:
        """Reads back everything once more; how many recordings."""
        found = rebuild.verify(
            self._assembly.archive.vault,
            self._assembly.engine,
            sample=None,
            mend=True,
            progress=lambda done: None,
            now=utc_now() + LATER,
        )
        assert not (found.missing or found.damaged), (found.missing, found.damaged)
        assert found.checked == len(self._seen)
        return found.checked

    def _ids(self) -> list[UUID]:
        with transaction(self._assembly.engine) as connection:
            return list(connection.execute(text("select id from recording")).scalars())


@contextmanager
def chaos(
    assembly: Assembly, folder: Path, *, seed: int, names: Sequence[str] = SOURCES
) -> Iterator[Chaos]:
    """Rounds over this archive; every process is ended afterwards."""
    config = assembly.config
    with gated(config, folder / "gate") as (behind, faults), dovecot() as server:
        token = assembly.people.create_token("chaos", scopes=[Scope.INGEST], source="chaos")
        ways: dict[str, Source] = {}
        makers: dict[str, Callable[[Config, Path], Source]] = {
            "http-call": lambda c, f: sources.HttpCall(c, token, f),
            "http-email": lambda c, f: sources.HttpEmail(c, token, f),
            "smtp": sources.Smtp,
            "imap": lambda c, f: sources.Imap(c, server, f),
            "watched": sources.Watched,
            "ingest": sources.Ingest,
        }
        for name in names:
            own = folder / name
            own.mkdir()
            ways[name] = makers[name](behind, own)
        try:
            yield Chaos(assembly, faults, ways, seed)
        finally:
            for source in ways.values():
                source.process.kill()
