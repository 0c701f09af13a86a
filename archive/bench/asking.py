"""Questions to a large audit log: who opened this, what did they open, who met this customer.

A million entries unless told otherwise (ARCHIVE's own table and indexes, filled by the database
itself), each question for the newest hundred; the measure beside it is one look-up of as many
rows by their primary key.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import audit
from archive.bench import ENTRIES, Figure, _say
from archive.db import migrate, open_engine
from archive.embedded import Parts

PORTION = 250_000  # put at once
PEOPLE, RECORDINGS, CUSTOMERS = 50, 100_000, 50_000
ASKED = 30  # times a question and round
PAGE = 100

_FILL = """
insert into audit_event (at, actor_id, actor_kind, verb, recording_id, purpose, detail)
select now() - (cast(:n as bigint) - i) * interval '30 seconds',
    'person-' || (i * 7919 % cast(:people as bigint)),
    'person',
    (array['search', 'read', 'open'])[1 + i % 3],
    case when i % 3 > 0 then
        cast(lpad(to_hex(i * 104729 % cast(:recordings as bigint)), 32, '0') as uuid) end,
    case when i % 3 = 2 then 'verification' end,
    jsonb_build_object('subjects', jsonb_build_array(
        md5('customer-' || (i * 15485863 % cast(:customers as bigint))),
        md5('phone-' || (i * 32452843 % cast(:customers as bigint)))
    ))
from generate_series(cast(:first as bigint), cast(:last as bigint)) i"""


def asking(rounds: int, *, entries: int = ENTRIES) -> Figure:
    """The slowest kind of question ÷ one look-up of as many rows by their key."""
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        with Parts(folder / "home", say=_say) as parts:
            migrate(parts.database_url)
            engine = open_engine(parts.database_url, pool_size=2)
            try:
                _fill(engine, entries)
                return _measure(engine, rounds, entries)
            finally:
                engine.dispose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(engine: Engine, entries: int) -> None:
    _say("filling the audit log")
    values = {"n": entries, "people": PEOPLE, "recordings": RECORDINGS, "customers": CUSTOMERS}
    for first in range(1, entries + 1, PORTION):
        last = min(first + PORTION - 1, entries)
        with engine.begin() as connection:
            connection.execute(text(_FILL), values | {"first": first, "last": last})
        if last < entries:
            _say(f"{last} of {entries} entries")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze audit_event"))


def _measure(engine: Engine, rounds: int, entries: int) -> Figure:
    kinds: dict[str, Callable[[Connection, int], audit.Asked]] = {
        "recording": lambda _c, n: audit.Asked(recording_id=UUID(int=n * 104729 % RECORDINGS)),
        "actor": lambda _c, n: audit.Asked(actor_id=f"person-{n % PEOPLE}"),
        "customer": lambda c, n: audit.Asked(subjects=_of_customer(c, n % CUSTOMERS)),
        "purpose": lambda _c, n: audit.Asked(purpose="verification"),
    }
    ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    with engine.connect() as connection:
        for number in range(rounds):
            for kind, make in kinds.items():
                questions = [make(connection, number * ASKED + n) for n in range(ASKED)]
                asked, looked = [], []
                for question in questions:
                    began = time.perf_counter()
                    found = audit.entries(connection, question, limit=PAGE)
                    asked.append(time.perf_counter() - began)
                    ids = [entry.id for entry in found]
                    began = time.perf_counter()
                    _look_up(connection, ids)
                    looked.append(time.perf_counter() - began)
                ratios[kind].append(statistics.median(asked) / statistics.median(looked))
                taken[kind].append(statistics.median(asked) * 1000)
    medians = {kind: statistics.median(values) for kind, values in ratios.items()}
    return Figure(
        "audit", "slowest question to the audit log ÷ one look-up of its rows by key",
        max(medians.values()), 3.0, "lower",
        {
            "entries": entries,
            "ratios": {kind: round(value, 2) for kind, value in medians.items()},
            "ms": {kind: round(statistics.median(values), 2) for kind, values in taken.items()},
            "rounds": rounds,
        },
    )  # fmt: skip


def _of_customer(connection: Connection, number: int) -> tuple[str, ...]:
    """As the archive asks: digests of 36 months, of which here one is the customer's."""
    row = connection.execute(
        text("select md5('customer-' || :n) as one, md5('phone-' || :n) as other"),
        {"n": str(number)},
    ).one()
    return (row.one, row.other, *(f"{number:08}{month:024}" for month in range(70)))


def _look_up(connection: Connection, ids: list[int]) -> None:
    connection.execute(
        text("""select id, at, actor_id, actor_kind, verb, recording_id, purpose, case_number,
                detail from audit_event where id = any(:ids) order by id desc"""),
        {"ids": ids},
    ).mappings().all()
