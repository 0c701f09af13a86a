"""P5 and the rate of deletion: what the end of a day costs, however many recordings it had.

P5 is about one instant: when a process that has nothing to do with the run can no longer open
the last recording of the day. The day's rows, wrapped keys and descriptors are real ones, made
by the archive's own sealing; of a large day only a thousand objects are stored, the last one
among them, because the instant comes before any object is deleted.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from sqlalchemy import text

from archive import catalogue, keys, retention, seal
from archive.archive import Archive
from archive.assembly import Assembly, assemble, utc_now
from archive.bench import RAW_BUCKET, Figure, _environment, _say
from archive.config import Config
from archive.db import migrate, quick, transaction
from archive.embedded import Parts
from archive.erasure import expiry
from archive.errors import ArchiveError, PartFailed
from archive.model import Descriptor, Direction, Kind, Recording, State
from archive.storage.address import place_of
from archive.vault import cohort_name, original_key
from archive.worker import index_batch

SMALL, LARGE = 1_000, 100_000
STORED = 1_000  # objects of a day that are really in the store
EMAIL = 20_000  # bytes
WRITERS = 8
STUCK_S = 120.0
POLL_S = 0.01  # between two attempts to open: the reader must not take the run's processor
CALM_S = 0.3  # before a race: what the killed run of the one before still had under way is over
RACES = 3  # of each day, a round
_CONTEXT = multiprocessing.get_context("spawn")
_COLUMNS = """id, kind, state, source, line, direction, occurred_at, received_at, expires_at,
    cohort, bytes, object_key, object_version, object_bytes, header_bytes, envelope_seq,
    envelope_key, reference, wrapped_key, descriptor, index_due, attempts"""


@dataclass(frozen=True, slots=True)
class _Site:
    """A fresh installation without a web service."""

    assembly: Assembly
    environment: dict[str, str]
    raw: Minio

    @property
    def archive(self) -> Archive:
        return self.assembly.archive


@contextmanager
def _site() -> Iterator[_Site]:
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        with Parts(folder / "home", say=_say) as parts:
            migrate(parts.database_url)
            environment = _environment(folder / "home", 1, 1, 1)
            place = place_of(parts.store_url, parts.access_key, parts.secret_key)
            raw = Minio(
                endpoint=place.endpoint, access_key=place.access_key,
                secret_key=place.secret_key, secure=False, region=place.region,
                http_client=urllib3.PoolManager(maxsize=64),
            )  # fmt: skip
            raw.make_bucket(bucket_name=RAW_BUCKET)
            assembly = assemble(Config.from_env(environment))
            try:
                yield _Site(assembly, environment, raw)
            finally:
                assembly.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- days of recordings ----------------------------------------------------------------


def _fill(site: _Site, day: date, count: int, *, stored: int) -> list[UUID]:
    """Makes `count` emails whose year ended on `day`; the last `stored` of them with objects.

    Ids by the time of their end.
    """
    archive = site.archive
    end = retention.resolve_local(datetime.combine(day, datetime.min.time())).astimezone(UTC)
    with transaction(archive.engine) as connection:
        catalogue.ensure_cohort(connection, day)
    ended = [end + timedelta(microseconds=1000 * n) for n in range(count)]
    body = random.Random(5).randbytes(EMAIL)
    first_stored = count - stored
    made: list[Recording] = [_recording(archive, day, at, None) for at in ended[:first_stored]]
    with ThreadPoolExecutor(WRITERS) as writers:
        made += writers.map(lambda at: _recording(archive, day, at, body), ended[first_stored:])
    _insert(archive, made)
    return [recording.id for recording in made]


def _recording(archive: Archive, day: date, end: datetime, body: bytes | None) -> Recording:
    """One sealed email; without `body` its object is not in the store."""
    id, vault = uuid4(), archive.vault
    descriptor = Descriptor(
        source="bench", source_ref=str(id), occurred_at=end - timedelta(days=365),
        received_at=end - timedelta(days=365), kind=Kind.EMAIL, line="asiakaspalvelu",
        direction=Direction.INBOUND, bytes=EMAIL,
    )  # fmt: skip
    data_key, wrapped = vault.new_data_key(id, day)
    sealed = vault.seal_descriptor(data_key, id, 1, descriptor)
    envelope = seal.Envelope(
        id=id, cohort=day, rendition="original", version=1, seq=1, wrapped_key=wrapped,
        descriptor=sealed,
    )  # fmt: skip
    header = len(envelope.encode())
    key, size = original_key(day, id), header + seal.sealed_length(EMAIL) + seal.TRAILER_BYTES
    version = None
    if body is not None:
        version = vault.write(
            key=data_key, envelope=envelope, object_key=key, content=BytesIO(body)
        ).stored.version
    return Recording(
        id=id, kind=Kind.EMAIL, state=State.DESCRIBED, source="bench", line=descriptor.line,
        direction=Direction.INBOUND, occurred_at=descriptor.occurred_at,
        received_at=descriptor.received_at, expires_at=end, cohort=day, bytes=EMAIL,
        object_key=key, object_version=version, object_bytes=size, header_bytes=header,
        envelope_seq=1, envelope_key=None,
        reference=keys.reference_digest(
            archive.keys.ensure("installation/reference"), "bench", str(id)
        ),
        wrapped_key=wrapped, descriptor=sealed, description=None, index_due=False, attempts=0,
        error_code=None,
    )  # fmt: skip


def _insert(archive: Archive, recordings: list[Recording]) -> None:
    names = [name.strip() for name in _COLUMNS.split(",")]
    with (
        quick(archive.engine) as driver,
        driver.cursor().copy(f"copy recording ({_COLUMNS}) from stdin") as rows,
    ):
        for recording in recordings:
            rows.write_row([getattr(recording, name) for name in names])
    with transaction(archive.engine) as connection:
        connection.execute(text("analyze recording"))


# -- P5 --------------------------------------------------------------------------------


def constant_expiry(rounds: int) -> Figure:
    """P5: from the start of the run until the last recording opens no more, by size of the day."""
    today = retention.local(utc_now()).date()
    # A small day on either side of the large one, raced to and fro: what a day's place among
    # the others costs, or its turn, falls on both alike.
    before, large, after = (today - timedelta(days=n) for n in (3, 2, 1))
    counts = {before: SMALL, large: LARGE, after: SMALL}
    taken: dict[date, list[float]] = {day: [] for day in counts}
    least = dict(counts)
    with _site() as site:
        last, key_files = {}, {}
        for day, count in counts.items():
            _say(f"making a day of {count} emails")
            last[day] = _fill(site, day, count, stored=STORED)[-1]
            key_files[day] = _key_file(site, day).read_bytes()
        for day in counts:  # all closed; each race opens one
            _close(site, day)
        _race(site, before, last[before], key_files[before])  # warm
        for number in range(RACES * rounds):
            for day in list(counts)[:: -1 if number % 2 else 1]:
                taken[day].append(_race(site, day, last[day], key_files[day]))
                least[day] = min(least[day], _rows(site, day))
    small = taken[before] + taken[after]
    beside = [statistics.mean(pair) for pair in zip(taken[before], taken[after], strict=True)]
    ratios = [each / other for each, other in zip(taken[large], beside, strict=True)]
    return Figure(
        "P5", "start of the run until a day of 100,000 opens no more ÷ a day of 1,000",
        statistics.median(taken[large]) / statistics.median(small), 1.1, "lower",
        {
            "ms_1000": round(1000 * statistics.median(small), 1),
            "ms_100000": round(1000 * statistics.median(taken[large]), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "rounds": RACES * rounds,
            "rows_at_least": [least[day] for day in counts],
            "objects_stored_of_each_day": STORED,
            "how": "rows and keys of every recording are real; one process runs the expiry and is "
            "killed once another one fails to open; then the day's key file is put back; a day "
            "of 1,000 before the large one and one after it are raced; medians of all "
            "races; ratios: of each race of the large day to the mean of the two beside it",
        },
    )  # fmt: skip


def _race(site: _Site, day: date, last: UUID, key_file: bytes) -> float:
    """Seconds from the run's start until another process cannot open the last recording."""
    _reopen(site, day, key_file)
    go, run_pipe = _CONTEXT.Pipe()
    seen, read_pipe = _CONTEXT.Pipe()
    runner = _CONTEXT.Process(target=_run, args=(site.environment, run_pipe), daemon=True)
    reader = _CONTEXT.Process(target=_read, args=(site.environment, last, read_pipe), daemon=True)
    try:
        for process in (runner, reader):
            process.start()
        _received(go)  # both are assembled,
        _received(seen)  # and the reader has opened the recording
        time.sleep(CALM_S)
        go.send("go")
        began = _received(go)
        return _received(seen) - began
    finally:
        for process in (runner, reader):
            process.kill()
            process.join()
        _await_unlocked(site)
        # The killed run may have left the key's file beside its tombstone, and the next run
        # would first have to finish that day.
        _close(site, day)


def _received(pipe: Any) -> float:
    if not pipe.poll(STUCK_S):
        raise PartFailed(part="The measurement", reason=f"nothing happened within {STUCK_S:g} s")
    return float(pipe.recv())


def _run(environment: dict[str, str], pipe: Pipe) -> None:
    """The process of the run. Times are of the machine's monotonic clock."""
    os.environ.update(environment)
    archive = assemble(Config.from_env(environment)).archive
    # As a worker that has been running for long: connected, everything imported. Else most of what
    # is measured is the first connection of a fresh process.
    archive.expire(dry_run=True)
    pipe.send(0)
    pipe.recv()
    pipe.send(time.monotonic())
    with suppress(ArchiveError):
        archive.expire()


def _read(environment: dict[str, str], id: UUID, pipe: Pipe) -> None:
    """The independent process: opens the recording again and again until it cannot."""
    assembly = assemble(Config.from_env(environment))
    with transaction(assembly.engine) as connection:
        recording = catalogue.get(connection, id)
    if recording is None:
        return
    told = False
    while True:
        try:
            if len(assembly.archive.vault.read_all(recording)) != EMAIL:
                return
        except ArchiveError:
            pipe.send(time.monotonic())
            return
        if not told:
            pipe.send(0)
            told = True
        time.sleep(POLL_S)


def _key_file(site: _Site, day: date) -> Path:
    return site.archive.keys.path / cohort_name(day)


def _close(site: _Site, day: date) -> None:
    with transaction(site.archive.engine) as connection:
        connection.execute(
            text("update cohort set closed_at = now() where day = :day"), {"day": day}
        )
    site.archive.keys.destroy(cohort_name(day))


def _reopen(site: _Site, day: date, key_file: bytes) -> None:
    """As before the run: the key is there, the day is open, nothing is marked."""
    path = _key_file(site, day)
    path.with_name(path.name + ".destroyed").unlink(missing_ok=True)
    path.write_bytes(key_file)
    path.chmod(0o600)
    with transaction(site.archive.engine) as connection:
        connection.execute(text("update cohort set closed_at = null where day = :d"), {"d": day})
        connection.execute(
            text("update recording set erasing_at = null where erasing_at is not null")
        )


def _rows(site: _Site, day: date) -> int:
    with transaction(site.archive.engine) as connection:
        found: int = connection.execute(
            text("select count(*) from recording where cohort = :day"), {"day": day}
        ).scalar_one()
    return found


def _await_unlocked(site: _Site) -> None:
    """Until the database has noticed that the killed run is gone."""
    for _ in range(1000):
        with transaction(site.archive.engine) as connection:
            held = connection.execute(
                text("select count(*) from pg_locks where locktype = 'advisory' and objid = :k"),
                {"k": expiry.RUN_LOCK},
            ).scalar_one()
        if not held:
            return
        time.sleep(0.02)


# -- the rate of deletion --------------------------------------------------------------


def deletion(rounds: int) -> Figure:
    """`deletion`: emails a second that a run makes vanish, against bare batch deletion."""
    count = 2_000
    today = retention.local(utc_now()).date()
    own_rates, raw_rates, ratios = [], [], []
    with _site() as site:
        archive = site.archive
        for number in range(rounds + 1):  # the first only warms
            day = today - timedelta(days=number + 1)
            _say(f"round {number}: {count} emails, indexed, and as many raw objects")
            _fill(site, day, count, stored=count)
            _index(archive)
            names = _fill_raw(site, count)
            raw_rates.append(count / _delete_raw(site, names))
            own_rates.append(count / _expire(archive, day))
            ratios.append(own_rates[-1] / raw_rates[-1])
    own_rates, raw_rates, ratios = own_rates[1:], raw_rates[1:], ratios[1:]
    return Figure(
        "deletion", "recordings that a run deletes a second ÷ bare S3 batch deletion",
        statistics.median(ratios), 0.8, "higher",
        {
            "per_s": round(statistics.median(own_rates)),
            "raw_per_s": round(statistics.median(raw_rates)),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "recordings": count,
            "bytes": EMAIL,
            "rounds": rounds,
            "how": "own: from the start of the run until object, index entry and row of every one "
            "are gone; raw: one remove_objects of the public client over as many objects",
        },
    )  # fmt: skip


def _index(archive: Archive) -> None:
    """Brings every recording of the day into the search index, as they would be."""
    with transaction(archive.engine) as connection:
        catalogue.reindex(connection, month=None, now=archive.now())
        # Past its year nothing is indexed any more: for a moment their year is not over.
        connection.execute(text("update recording set expires_at = expires_at + interval '1 year'"))
    while index_batch(archive):
        pass
    with transaction(archive.engine) as connection:
        connection.execute(text("update recording set expires_at = expires_at - interval '1 year'"))


def _fill_raw(site: _Site, count: int) -> list[str]:
    body = random.Random(6).randbytes(EMAIL)
    names = [f"bare/{n}" for n in range(count)]

    def put(name: str) -> None:
        site.raw.put_object(
            bucket_name=RAW_BUCKET, object_name=name, data=BytesIO(body), length=EMAIL
        )

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(put, names))
    return names


def _delete_raw(site: _Site, names: list[str]) -> float:
    began = time.perf_counter()
    failed = list(
        site.raw.remove_objects(
            bucket_name=RAW_BUCKET, delete_object_list=[DeleteObject(name) for name in names]
        )
    )
    if failed:
        raise PartFailed(part="The measurement", reason=f"{len(failed)} raw objects stay")
    return time.perf_counter() - began


def _expire(archive: Archive, day: date) -> float:
    """Seconds from the start of the run until nothing of the day is left, seen from outside."""
    with ThreadPoolExecutor(1) as runs:
        began = time.perf_counter()
        running = runs.submit(archive.expire)
        while True:
            with transaction(archive.engine) as connection:
                left = connection.execute(
                    text("select from recording where cohort = :day limit 1"), {"day": day}
                ).first()
            if left is None:
                break
            time.sleep(0.01)
        taken = time.perf_counter() - began
        done = running.result()
    if done["failed"]:
        raise PartFailed(part="The measurement", reason=f"{len(done['failed'])} were not deleted")
    return taken
