"""Figures, measured side by side in one run and given as ratios: `archive bench`.

Each benchmark starts its own embedded parts in a temporary home, so the store is fresh and
nothing of an installation is touched. Both sides of a ratio take turns, round after round, on
the same machine; the median of the rounds' ratios counts.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import urllib3
from minio import Minio
from sqlalchemy import text
from urllib3.filepost import encode_multipart_formdata

from archive import catalogue, seal
from archive.archive import SYSTEM, Archive
from archive.assembly import Assembly, assemble
from archive.bench.finding import result as result_of_search
from archive.config import Config
from archive.db import migrate, transaction
from archive.embedded import Parts
from archive.errors import BadRequest, PartFailed
from archive.model import Purpose, Recording, Scope

MIB = 1024 * 1024
CONCURRENCY = 8
ENTRIES = 1_000_000  # of the audit log
RAW_BUCKET = "bench-raw"


@dataclass(frozen=True, slots=True)
class Figure:
    """One result. `better` says in which direction the value should go."""

    id: str
    what: str
    value: float
    goal: float
    better: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


class Rig:
    """Parts, one web service and a raw S3 client over the same store."""

    def __init__(self, assembly: Assembly, parts: Parts, *, port: int, token: str) -> None:
        self.assembly = assembly
        self.archive: Archive = assembly.archive
        self.port = port
        self.token = token
        address = urllib3.util.parse_url(parts.store_url)
        self.raw = Minio(
            endpoint=f"{address.host}:{address.port}",
            access_key=parts.access_key,
            secret_key=parts.secret_key,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(maxsize=64),
        )
        if not self.raw.bucket_exists(bucket_name=RAW_BUCKET):
            self.raw.make_bucket(bucket_name=RAW_BUCKET)
        self.pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=64, block=True)
        self._numbers = iter(range(1, 10**9))
        self._lock = threading.Lock()

    def number(self) -> int:
        """A number not given before."""
        with self._lock:
            return next(self._numbers)

    def headers(self, **more: str) -> dict[str, str]:
        """Headers of an authorised request."""
        return {"Authorization": f"Bearer {self.token}", **more}

    def put_raw(self, data: bytes) -> None:
        """One raw `put` by the public client."""
        self.raw.put_object(
            bucket_name=RAW_BUCKET,
            object_name=f"raw/{self.number()}",
            data=io.BytesIO(data),
            length=len(data),
            num_parallel_uploads=1,
        )

    def post_call(self, data: bytes) -> None:
        """One call over HTTP; raises if it is not stored."""
        body, content_type = multipart(self.number(), data)
        answer = self.pool.request(
            "POST",
            "/api/v1/calls",
            body=body,
            headers=self.headers(**{"Content-Type": content_type}),
        )
        if answer.status != 201:
            raise BadRequest(reason=f"a call was answered {answer.status}")

    def post_email(self, data: bytes) -> None:
        """One email over HTTP; raises if it is not stored."""
        answer = self.pool.request(
            "POST",
            "/api/v1/emails?source=bench&mailbox=asiakaspalvelu@example.com&direction=inbound",
            body=data,
            headers=self.headers(
                **{"Content-Type": "message/rfc822", "X-Archive-Source-Ref": str(self.number())}
            ),
        )
        if answer.status != 201:
            raise BadRequest(reason=f"an email was answered {answer.status}")


@contextmanager
def rig(*, web_workers: int = 2, web_threads: int = 16) -> Iterator[Rig]:
    """A fresh installation in a temporary folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        with Parts(folder / "home", say=_say) as parts:
            migrate(parts.database_url)
            port = _free_port()
            environment = _environment(folder / "home", port, web_workers, web_threads)
            assembly = assemble(Config.from_env(environment))
            try:
                token = assembly.people.create_token(
                    "bench",
                    scopes=[Scope.INGEST, Scope.OPEN, Scope.SEARCH],
                    source="bench",
                    lines=None,
                    purpose=[Purpose.VERIFICATION],
                )
                with _web(environment, port):
                    _until_idle(port)
                    yield Rig(assembly, parts, port=port, token=token)
            finally:
                assembly.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(home: Path, port: int, workers: int, threads: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_")}
    return kept | {
        "ARCHIVE_HOME": str(home),
        "ARCHIVE_PORT": str(port),
        "ARCHIVE_WEB_WORKERS": str(workers),
        "ARCHIVE_WEB_THREADS": str(threads),
        "ARCHIVE_WEB_RECEIVING": str(threads + 1),  # one source: nothing is kept free for another
    }


@contextmanager
def _web(environment: dict[str, str], port: int) -> Iterator[None]:
    child = subprocess.Popen(
        [sys.executable, "-m", "archive.cli", "web", "--die-with", str(os.getpid())],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield
    finally:
        child.terminate()
        child.wait(timeout=30)


def _wait_for(port: int) -> None:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False)
    for _ in range(300):
        try:
            if pool.request("GET", "/healthz").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise PartFailed(part="The web service", reason="it did not answer")


def _until_idle(port: int) -> None:
    """Dictionaries are loaded in the background after the start; that is not to be measured."""
    before = _cpu_s(port)
    for _ in range(60):
        time.sleep(1)
        now = _cpu_s(port)
        if now - before < 0.1:
            return
        before = now


def _cpu_s(port: int) -> float:
    """Processor seconds of this process and of the service so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = time.process_time()
    for pid in _service_pids(port):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        words = stat.rpartition(")")[2].split()
        used += (int(words[11]) + int(words[12])) / ticks
    return used


def _service_pids(port: int) -> list[int]:
    """Processes of the web service on that port: the one that listens, and its workers."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            of_port = f"ARCHIVE_PORT={port}".encode() in (folder / "environ").read_bytes().split(
                b"\0"
            )
            is_web = b"archive.cli\0web" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if of_port and is_web:
            found.append(int(folder.name))
    return sorted(found)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(what: str) -> None:
    click.echo(f"… {what}", err=True)


# -- P1, P2: intake --------------------------------------------------------------------


def intake_of_calls(rounds: int) -> Figure:
    """P1: calls of 1 MB over HTTP against raw puts of the same bytes."""
    return _intake(
        "P1", "call intake of 1 MB over HTTP ÷ raw S3 put", 0.80, MIB, 40, rounds, Rig.post_call
    )


def intake_of_emails(rounds: int) -> Figure:
    """P2: emails of 20 kB over HTTP against raw puts of the same bytes."""
    return _intake(
        "P2", "email intake of 20 kB over HTTP ÷ raw S3 put", 0.60, 20_000, 300, rounds,
        Rig.post_email,
    )  # fmt: skip


def _intake(
    id: str,
    what: str,
    goal: float,
    size: int,
    count: int,
    rounds: int,
    post: Callable[[Rig, bytes], None],
) -> Figure:
    payload = random.Random(1).randbytes(size)
    ratios, raw_rates, own_rates = [], [], []
    with rig() as bench:
        _rate(lambda: post(bench, payload), CONCURRENCY * 2)  # warm both sides
        _rate(lambda: bench.put_raw(payload), CONCURRENCY * 2)
        for _ in range(rounds):
            raw = _rate(lambda: bench.put_raw(payload), count)
            own = _rate(lambda: post(bench, payload), count)
            raw_rates.append(raw)
            own_rates.append(own)
            ratios.append(own / raw)
    return Figure(
        id, what, statistics.median(ratios), goal, "higher",
        {
            "per_s": round(statistics.median(own_rates), 1),
            "raw_per_s": round(statistics.median(raw_rates), 1),
            "ratios": [round(r, 3) for r in ratios],
            "connections": CONCURRENCY,
            "rounds": rounds,
        },
    )  # fmt: skip


def _rate(action: Callable[[], None], count: int, connections: int = CONCURRENCY) -> float:
    """Actions per second with so many at a time."""
    with ThreadPoolExecutor(connections) as workers:
        began = time.perf_counter()
        for done in [workers.submit(action) for _ in range(count)]:
            done.result()
        return count / (time.perf_counter() - began)


def multipart(number: int, data: bytes) -> tuple[bytes, str]:
    """The body of one call and its Content-Type."""
    metadata = {
        "source": "bench",
        "source_ref": str(number),
        "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "direction": "inbound",
        "line": "viat",
        "agent": "Testi Agentti",
        "caller": "+358401234567",
        "customer_number": "1234567",
    }
    return encode_multipart_formdata(
        [
            ("metadata", ("metadata.json", json.dumps(metadata).encode(), "application/json")),
            ("audio", ("call.wav", data, "audio/wav")),
        ]
    )


# -- P3: seeking -----------------------------------------------------------------------


def random_seek(rounds: int) -> Figure:
    """P3: the first 16 KiB of a random seek in an hour-long call against a raw range read.

    The value is that of the archive's reader (key looked up, every chunk authenticated); the
    same over HTTP, with the checks of permission and expiry of each request, is in the detail.
    """
    hour = random.Random(2).randbytes(3600 * 16_000)  # two channels of 8 kHz, one byte each
    window, seeks = 16 * 1024, 100
    ratios, http_ratios, own_ms, raw_ms, http_ms = [], [], [], [], []
    with rig(web_workers=1) as bench:
        receipt = bench.archive.receive_call(SYSTEM, _metadata("hour"), io.BytesIO(hour))
        bench.raw.put_object(
            bucket_name=RAW_BUCKET, object_name="hour", data=io.BytesIO(hour), length=len(hour)
        )
        url = _opening(bench, receipt.id)
        with bench.assembly.engine.connect() as connection:
            recording = catalogue.get(connection, receipt.id)
        assert recording is not None
        for number in range(rounds):
            offsets = random.Random(number).sample(range(len(hour) - window), seeks)
            raw = _median_ms(lambda at: _first_raw(bench, at, window), offsets)
            own = _median_ms(lambda at: _first_own(bench, recording, at, window), offsets)
            http = _median_ms(lambda at: _first_http(bench, url, at, window), offsets)
            raw_ms.append(raw)
            own_ms.append(own)
            http_ms.append(http)
            ratios.append(own / raw)
            http_ratios.append(http / raw)
    return Figure(
        "P3", "first 16 KiB of a random seek in an hour-long call ÷ raw S3 range read",
        statistics.median(ratios), 1.3, "lower",
        {
            "own_ms": round(statistics.median(own_ms), 2),
            "raw_ms": round(statistics.median(raw_ms), 2),
            "http_ms": round(statistics.median(http_ms), 2),
            "http_ratio": round(statistics.median(http_ratios), 2),
            "rounds": rounds,
        },
    )  # fmt: skip


def _opening(bench: Rig, id: UUID) -> str:
    answer = bench.pool.request(
        "POST",
        f"/api/v1/recordings/{id}/openings",
        body=json.dumps({"purpose": "verification", "rendition": "original"}),
        headers=bench.headers(**{"Content-Type": "application/json"}),
    )
    return str(answer.json()["url"])


def _median_ms(action: Callable[[int], None], offsets: list[int]) -> float:
    taken = []
    for at in offsets:
        began = time.perf_counter()
        action(at)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _first_raw(bench: Rig, at: int, window: int) -> None:
    response = bench.raw.get_object(
        bucket_name=RAW_BUCKET, object_name="hour", offset=at, length=window
    )
    try:
        response.read()
    finally:
        response.close()
        response.release_conn()


def _first_own(bench: Rig, recording: Recording, at: int, window: int) -> None:
    for _ in bench.archive.vault.reader(recording, None).read(at, at + window):
        pass


def _first_http(bench: Rig, url: str, at: int, window: int) -> None:
    answer = bench.pool.request(
        "GET", url, headers=bench.headers(Range=f"bytes={at}-{at + window - 1}")
    )
    if answer.status != 206 or len(answer.data) != window:
        raise BadRequest(reason=f"a range was answered {answer.status}")


# -- P8: memory ------------------------------------------------------------------------


def memory_of_a_large_call(rounds: int) -> Figure:
    """P8: peak memory of the receiving process over its idle, for a call of 2 GB."""
    size = 2 * 1024 * MIB
    with rig(web_workers=1) as bench:
        for _ in range(8):
            bench.post_call(b"x" * 100_000)
        pid = _worker_pid(bench.port)
        time.sleep(1)
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        idle = _status_mib(pid, "VmRSS")
        began = time.perf_counter()
        _post_large(bench, size)
        seconds = time.perf_counter() - began
        peak = _status_mib(pid, "VmHWM")
    return Figure(
        "P8", "peak memory over idle while receiving 2 GB, MiB", peak - idle, 64, "lower",
        {"idle_mib": round(idle, 1), "peak_mib": round(peak, 1), "seconds": round(seconds, 1),
         "mb_per_s": round(size / 1e6 / seconds, 1)},
    )  # fmt: skip


def _post_large(bench: Rig, size: int) -> None:
    whole, content_type = multipart(bench.number(), b"@@BODY@@")
    before, after = whole.split(b"@@BODY@@")
    block = random.Random(3).randbytes(MIB)

    def body() -> Iterator[bytes]:
        yield before
        for _ in range(size // MIB):
            yield block
        yield after

    length = len(before) + size + len(after)
    answer = bench.pool.urlopen(
        "POST",
        "/api/v1/calls",
        body=body(),
        headers=bench.headers(**{"Content-Type": content_type, "Content-Length": str(length)}),
        retries=False,
        timeout=900,
    )
    if answer.status != 201:
        raise BadRequest(reason=f"the large call was answered {answer.status}")


def _worker_pid(port: int) -> int:
    """The single web worker: the child of the process that listens."""
    pids = _service_pids(port)
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        if int(stat.rpartition(")")[2].split()[1]) in pids:
            return pid
    raise PartFailed(part="The web service", reason="its worker process was not found")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise PartFailed(part="The measurement", reason=f"no {name}")


# -- P9: size --------------------------------------------------------------------------


def stored_size(rounds: int) -> Figure:
    """P9: stored to plaintext bytes over a mix of calls and emails, originals only."""
    with rig(web_workers=1) as bench:
        for number in range(40):
            call = random.Random(number).randbytes(MIB)
            bench.archive.receive_call(SYSTEM, _metadata(f"c{number}"), io.BytesIO(call))
            bench.archive.receive_email(
                SYSTEM,
                io.BytesIO(random.Random(-number - 1).randbytes(20_000)),
                source="bench",
                mailbox="asiakaspalvelu@example.com",
                direction="inbound",
            )
        with transaction(bench.assembly.engine) as connection:
            row = connection.execute(
                text("""select sum(object_bytes)::float / sum(bytes) as all_of_them,
                    sum(object_bytes) filter (where kind = 'email')::float
                        / sum(bytes) filter (where kind = 'email') as emails,
                    avg(header_bytes) as header from recording""")
            ).one()
    return Figure(
        "P9", "stored ÷ plaintext bytes, 40 calls of 1 MB and 40 emails of 20 kB",
        row.all_of_them, 1.005, "lower",
        {"emails_alone": round(row.emails, 4), "header_bytes": round(row.header),
         "trailer_bytes": seal.TRAILER_BYTES},
    )  # fmt: skip


def _metadata(reference: str) -> dict[str, Any]:
    return {
        "source": "bench",
        "source_ref": reference,
        "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "direction": "inbound",
        "line": "viat",
        "agent": "Testi Agentti",
        "caller": "+358401234567",
        "customer_number": "1234567",
    }


# -- P4, P6: searching and indexing ----------------------------------------------------

CONTACTS = 100_000


def searching(rounds: int, *, contacts: int = CONTACTS) -> Figure:
    """P4: the first page of the worst kind of question against bare PostgreSQL."""
    found = result_of_search(contacts, "whoosh", _say)
    return Figure(
        "P4", "p95 of the first page, worst kind of question ÷ bare PostgreSQL", found.worst, 5.0,
        "lower", found.detail(),
    )  # fmt: skip


def indexing(rounds: int, *, contacts: int = CONTACTS) -> Figure:
    """P6: contacts put a second against a bare Whoosh writer fed the same terms."""
    found = result_of_search(contacts, "whoosh", _say)
    bare = found.bare_whoosh_per_s or 1.0
    return Figure(
        "P6", "contacts put a second, analysis included ÷ bare Whoosh writer fed the same terms",
        found.own_per_s / bare, 0.9, "higher",
        {"put_per_s": round(found.own_per_s), "bare_per_s": round(bare),
         "writing_alone": round((found.writing_per_s or 0.0) / bare, 3),
         "analysis_per_s": round(found.analysis_per_s or 0.0), "contacts": contacts},
    )  # fmt: skip


def search(
    contacts: int, engines: Sequence[str], *, as_json: bool, keep: Path | None = None
) -> None:
    """Every kind of question on each engine, printed. `keep`: see `archive.bench.finding`."""
    for engine in engines:
        folder = keep / f"{engine}-{contacts}" if keep is not None else None
        found = result_of_search(contacts, engine, _say, True, keep=folder).detail()
        if as_json:
            click.echo(json.dumps({"id": f"search-{engine}", **found}))
            continue
        questions = found.pop("questions")
        click.echo(f"{engine}  {found}")
        for kind, figures in questions.items():
            click.echo(f"      {kind:15}  {figures}")


def constant_expiry(rounds: int) -> Figure:
    """P5; see `archive.bench.erasure`."""
    from archive.bench import erasure

    return erasure.constant_expiry(rounds)


def deletion(rounds: int) -> Figure:
    """The rate of deletion; see `archive.bench.erasure`."""
    from archive.bench import erasure

    return erasure.deletion(rounds)


def permission_and_audit(rounds: int) -> Figure:
    """P10; see `archive.bench.opening`."""
    from archive.bench import opening

    return opening.opening(rounds)


def asking_the_log(rounds: int, *, entries: int = ENTRIES) -> Figure:
    """Questions to a large audit log; see `archive.bench.asking`."""
    from archive.bench import asking

    return asking.asking(rounds, entries=entries)


def pages(contacts: int, *, as_json: bool) -> None:
    """How long people wait at the desks; see `archive.bench.paging`."""
    from archive.bench import paging

    _print(paging.measure(contacts), as_json=as_json)


def intake_by_connections(rounds: int) -> Figure:
    """P1 and P2 at 1, 8 and 32 connections; see `archive.bench.intake`."""
    from archive.bench import intake

    return intake.by_connections(rounds)


def mail_over_smtp(rounds: int) -> Figure:
    """Messages a second; see `archive.bench.intake`."""
    from archive.bench import intake

    return intake.smtp(rounds)


def memory_of_mails(rounds: int) -> Figure:
    """The receiver's memory over 20,000 messages; see `archive.bench.intake`."""
    from archive.bench import intake

    return intake.mail_memory(rounds)


def freshness_under_load(rounds: int) -> Figure:
    """From 201 until found while deliveries keep coming; see `archive.bench.freshness`."""
    from archive.bench import freshness

    return freshness.measure(rounds)


BENCHMARKS: dict[str, Callable[[int], Figure]] = {
    "P1": intake_of_calls,
    "P2": intake_of_emails,
    "P3": random_seek,
    "P4": searching,
    "P6": indexing,
    "P5": constant_expiry,
    "P8": memory_of_a_large_call,
    "P9": stored_size,
    "P10": permission_and_audit,
    "audit": asking_the_log,
    "deletion": deletion,
    "intake": intake_by_connections,
    "smtp": mail_over_smtp,
    "mail-memory": memory_of_mails,
    "freshness": freshness_under_load,
}

ON_REQUEST = frozenset({"intake", "smtp", "mail-memory", "freshness"})  # minutes each


def run(ids: tuple[str, ...], *, as_json: bool, rounds: int, entries: int = ENTRIES) -> None:
    """Measures and prints; BadRequest for an id that there is none of. `entries`: of `audit`."""
    unknown = [id for id in ids if id not in BENCHMARKS]
    if unknown:
        raise BadRequest(reason=f"no such benchmark; there are {', '.join(BENCHMARKS)}")
    for id in ids or tuple(id for id in BENCHMARKS if id not in ON_REQUEST):
        measure = partial(asking_the_log, entries=entries) if id == "audit" else BENCHMARKS[id]
        _print(measure(rounds), as_json=as_json)


def _print(figure: Figure, *, as_json: bool) -> None:
    if as_json:
        told = {
            "id": figure.id,
            "what": figure.what,
            "value": round(figure.value, 4),
            "goal": figure.goal,
            "better": figure.better,
            "detail": figure.detail,
        }
        click.echo(json.dumps(told))
        return
    mark = "reached" if figure.reached else "NOT reached"
    click.echo(f"{figure.id}  {figure.value:8.3f}  goal {figure.goal} ({mark})  {figure.what}")
    click.echo(f"      {figure.detail}")
