"""Intake at 1, 8 and 32 connections, and mail over SMTP against a bare aiosmtpd.

The bare server holds each message and puts it into the same store, by the public client in a
thread, before it says 250: what anybody would write who wants no more than that. Its store's
objects are not sealed, and nothing is written into a database.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import smtplib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from minio import Minio

from archive.bench import MIB, RAW_BUCKET, Figure, Rig, _environment, _free_port, _rate, rig
from archive.errors import BadRequest, PartFailed

CONNECTIONS = (1, 8, 32)
MAILBOX, SENDER = "palvelu@bench.example", "maija@example.org"
MAIL_BYTES = 20_000
SETTLED = 20  # the part of the messages, one in so many, after which memory is looked at first


def by_connections(rounds: int, *, counts: dict[int, int] | None = None) -> Figure:
    """Calls of 1 MB and emails of 20 kB by connections; the lowest of the ratios to raw puts."""
    found: dict[str, Any] = {}
    kinds: tuple[tuple[str, int, int, Callable[[Rig, bytes], None]], ...] = (
        ("calls", MIB, 40, Rig.post_call),
        ("emails", MAIL_BYTES, 300, Rig.post_email),
    )
    with rig(web_threads=32) as bench:
        for kind, size, usual, post in kinds:
            payload = random.Random(1).randbytes(size)
            for connections in CONNECTIONS:
                count = (counts or {}).get(connections, usual if connections > 1 else usual // 2)
                own, raw = _pair(bench, payload, post, connections, count, rounds)
                found[f"{kind} {connections}"] = {
                    "per_s": round(own, 1), "raw_per_s": round(raw, 1), "ratio": round(own / raw, 3)
                }  # fmt: skip
    lowest = min(each["ratio"] for each in found.values())
    return Figure(
        "intake", "intake over HTTP ÷ raw S3 put at 1, 8 and 32 connections, the lowest", lowest,
        0.4, "higher", found,
    )  # fmt: skip


def _pair(
    bench: Rig,
    payload: bytes,
    post: Callable[[Rig, bytes], None],
    connections: int,
    count: int,
    rounds: int,
) -> tuple[float, float]:
    """Medians of what is posted and what is put raw a second, in turn."""
    _rate(lambda: post(bench, payload), connections * 2, connections)
    _rate(lambda: bench.put_raw(payload), connections * 2, connections)
    own, raw = [], []
    for _ in range(rounds):
        raw.append(_rate(lambda: bench.put_raw(payload), count, connections))
        own.append(_rate(lambda: post(bench, payload), count, connections))
    return statistics.median(own), statistics.median(raw)


# -- SMTP ------------------------------------------------------------------------------


def smtp(rounds: int, *, count: int = 300, connections: int = 8) -> Figure:
    """Messages a second over kept connections against the bare server's."""
    ratios, own_rates, bare_rates = [], [], []
    with rig() as bench, _receiver(bench) as (port, _), _bare(bench) as bare_port:
        _send(port, connections * 2, connections)
        _send(bare_port, connections * 2, connections)
        for _ in range(rounds):
            bare = _send(bare_port, count, connections)
            own = _send(port, count, connections)
            bare_rates.append(bare)
            own_rates.append(own)
            ratios.append(own / bare)
    return Figure(
        "smtp", "messages a second over SMTP ÷ bare aiosmtpd that puts them into the same store",
        statistics.median(ratios), 0.6, "higher",
        {
            "per_s": round(statistics.median(own_rates), 1),
            "bare_per_s": round(statistics.median(bare_rates), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "connections": connections, "bytes": MAIL_BYTES, "messages": count,
        },
    )  # fmt: skip


def mail_memory(rounds: int, *, messages: int = 20_000) -> Figure:
    """By how much the receiver's memory grows from a twentieth of the messages to all of them.

    Also told after each quarter of the rest.
    """
    with rig() as bench, _receiver(bench) as (port, pid):
        settled = max(1, messages // SETTLED)
        _send(port, settled, 8)
        seen, rates = [_resident_mib(pid)], []
        for quarter in range(4):  # on the way too: what levels off is no leak
            rates.append(_send(port, (messages - settled + quarter) // 4, 8))
            seen.append(_resident_mib(pid))
    return Figure(
        "mail-memory", f"growth of the mail receiver over {messages} messages, MiB",
        seen[-1] - seen[0], 16.0, "lower",
        {
            "before_mib": round(seen[0], 1), "after_mib": round(seen[-1], 1),
            "by_quarter_mib": [round(mib, 1) for mib in seen[1:]],
            "per_s": round(statistics.median(rates), 1),
        },
    )  # fmt: skip


@contextmanager
def _receiver(bench: Rig) -> Iterator[tuple[int, int]]:
    """`archive receive-mail` over the rig's archive: its port and process."""
    port = _free_port()
    settings = {"SMTP_PORT": str(port), "SMTP_CLIENTS": "127.0.0.1", "SMTP_MAILBOXES": MAILBOX}
    environment = _environment(bench.assembly.config.home, bench.port, 1, 1)
    child = subprocess.Popen(
        [sys.executable, "-m", "archive.cli", "receive-mail", "--die-with", str(os.getpid())],
        env=environment | {f"ARCHIVE_{name}": value for name, value in settings.items()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(900):
            try:
                smtplib.SMTP("127.0.0.1", port, timeout=5).quit()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise PartFailed(part="The mail receiver", reason="it did not answer")
        yield port, child.pid
    finally:
        child.terminate()
        child.wait(timeout=90)


class _Putter:
    """What the bare server does with a message."""

    def __init__(self, raw: Minio) -> None:
        self._raw = raw
        self._numbers = iter(range(10**9))

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        name, content = f"mail/{next(self._numbers)}", bytes(envelope.content)
        await asyncio.to_thread(
            self._raw.put_object,
            bucket_name=RAW_BUCKET, object_name=name, data=io.BytesIO(content),
            length=len(content), num_parallel_uploads=1,
        )  # fmt: skip
        return "250 OK"


@contextmanager
def _bare(bench: Rig) -> Iterator[int]:
    port = _free_port()
    controller = Controller(_Putter(bench.raw), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def _send(port: int, count: int, connections: int) -> float:
    """Sends so many different messages over kept connections; how many a second."""
    numbers, lock = iter(range(count)), threading.Lock()
    seed = random.SystemRandom().randrange(2**32)

    def sender() -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="bench.example", timeout=120) as client:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                _deliver(client, _message(seed, number))

    with ThreadPoolExecutor(connections) as workers:
        began = time.perf_counter()
        for done in [workers.submit(sender) for _ in range(connections)]:
            done.result()
        return count / (time.perf_counter() - began)


def _deliver(client: smtplib.SMTP, message: bytes) -> None:
    if client.sendmail(SENDER, [MAILBOX], message):
        raise BadRequest(reason="a message was refused")


def _message(seed: int, number: int) -> bytes:
    head = f"From: {SENDER}\r\nTo: {MAILBOX}\r\nSubject: {seed}-{number}\r\n\r\n"
    line = b"x" * 76 + b"\r\n"
    return head.encode() + line * ((MAIL_BYTES - len(head)) // len(line))


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
