"""How soon a call is found after its 201, while deliveries keep coming over 8 connections.

One delivery in a while is followed: it is asked for by a customer number of its own, over HTTP as
people's searches are, until it is found. Which ones are followed depends on the clock alone, so
that those which wait longest are not looked at less.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from urllib3.filepost import encode_multipart_formdata

from archive.bench import CONCURRENCY, Figure, Rig, _environment, _metadata, rig
from archive.errors import BadRequest, PartFailed

GOAL_S = 5.0  # of any delivery, whatever waits in the queue
FOLLOW_EVERY_S = 0.5
GIVE_UP_S = 120.0
_ASK_EVERY_S = 0.05


@dataclass(slots=True)
class _Followed:
    """Deliveries that are asked for, since when, and how long the others took to be found."""

    pending: dict[str, float] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stored: int = 0
    next_at: float = 0.0

    def note(self, customer: str, at: float) -> None:
        """A delivery was acknowledged; follows it if it is time to follow one."""
        with self.lock:
            self.stored += 1
            if at >= self.next_at:
                self.next_at = at + FOLLOW_EVERY_S
                self.pending[customer] = at


def measure(rounds: int, *, lasts_s: float = 20.0) -> Figure:
    """The 95th percentile of the seconds from 201 until found; one round, whatever is asked."""
    del rounds
    followed = _Followed()
    with rig() as bench, _worker(bench):
        sound, numbers = _sound(), itertools.count(1_000_001)
        _found_at_last(bench, sound, str(next(numbers)))
        began = time.monotonic()
        with ThreadPoolExecutor(CONCURRENCY + 1) as threads:
            asking = threads.submit(_ask, bench, followed, began + lasts_s)
            senders = [
                threads.submit(_send, bench, sound, numbers, followed, began + lasts_s)
                for _ in range(CONCURRENCY)
            ]
            for each in senders:
                each.result()
            asking.result()
    took = sorted(followed.took_s)
    most = took[-1]
    p95 = took[math.ceil(0.95 * len(took)) - 1]
    return Figure(
        "freshness", "seconds from 201 until found while 8 connections deliver, 95th percentile",
        p95, GOAL_S, "lower",
        {
            "p50_s": round(statistics.median(took), 2), "p95_s": round(p95, 2),
            "max_s": round(most, 2), "followed": len(took), "delivered": followed.stored,
            "per_s": round(followed.stored / lasts_s, 1), "lasted_s": lasts_s,
        },
    )  # fmt: skip


def _send(
    bench: Rig, sound: bytes, numbers: Iterator[int], followed: _Followed, until: float
) -> None:
    while time.monotonic() < until:
        customer = str(next(numbers))
        _post(bench, sound, customer)
        followed.note(customer, time.monotonic())


def _ask(bench: Rig, followed: _Followed, until: float) -> None:
    """Asks for what is followed, in turn, until all of it was found."""
    while True:
        with followed.lock:
            pending = dict(followed.pending)
        for customer, since in pending.items():
            if _is_found(bench, customer):
                followed.took_s.append(time.monotonic() - since)
                with followed.lock:
                    del followed.pending[customer]
        now = time.monotonic()
        if now > until and not followed.pending and followed.took_s:
            return
        if now > until + GIVE_UP_S:
            raise PartFailed(part="The worker", reason="a delivery was not found in time")
        time.sleep(_ASK_EVERY_S)


def _post(bench: Rig, sound: bytes, customer: str) -> None:
    told = _metadata(customer) | {"customer_number": customer}
    body, content_type = encode_multipart_formdata(
        [
            ("metadata", ("metadata.json", json.dumps(told).encode(), "application/json")),
            ("audio", ("call.wav", sound, "audio/wav")),
        ]
    )
    answer = bench.pool.request(
        "POST", "/api/v1/calls", body=body, headers=bench.headers(**{"Content-Type": content_type})
    )
    if answer.status != 201:
        raise BadRequest(reason=f"a call was answered {answer.status}")


def _is_found(bench: Rig, customer: str) -> bool:
    answer = bench.pool.request(
        "POST",
        "/api/v1/recordings/search",
        body=json.dumps({"customer": customer}).encode(),
        headers=bench.headers(**{"Content-Type": "application/json"}),
    )
    if answer.status != 200:
        raise BadRequest(reason=f"a search was answered {answer.status}")
    return bool(answer.json()["items"])


def _found_at_last(bench: Rig, sound: bytes, customer: str) -> None:
    """Waits for the first one, with which worker and index are warm."""
    _post(bench, sound, customer)
    for _ in range(600):
        if _is_found(bench, customer):
            return
        time.sleep(0.1)
    raise PartFailed(part="The worker", reason="it indexes nothing")


def _sound() -> bytes:
    """A second of a tone, as a recorder writes it."""
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = (round(8000 * math.sin(n * 2 * math.pi * 440 / 8000)) for n in range(8000))
        out.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return made.getvalue()


@contextmanager
def _worker(bench: Rig) -> Iterator[None]:
    child = subprocess.Popen(
        [sys.executable, "-m", "archive.cli", "worker", "--die-with", str(os.getpid())],
        env=_environment(bench.assembly.config.home, bench.port, 1, 1),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        child.terminate()
        child.wait(timeout=90)
