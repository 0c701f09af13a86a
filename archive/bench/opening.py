"""P10: what permission and audit add to opening a recording, at 32 openings at once.

Two applications over the same parts answer the same requests from one process, whole requests
from routing to the last byte. One is the archive; the other is told to open without asking who
may, for what, and without writing it down. It lives in this module and in memory alone.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import UUID

from flask import Flask

from archive import catalogue
from archive.answers import Opened
from archive.app import create_app
from archive.archive import SYSTEM, Archive
from archive.bench import Figure, Rig, _metadata, rig
from archive.db import reading
from archive.errors import NotFound
from archive.model import Actor, Rendition

AT_ONCE = 32
OPENINGS = 256  # a side and round
CALL_BYTES = 180 * 8_000 * 2  # three minutes, two channels of G.711


class _Unasked(Archive):
    """Opens whatever there is, for anybody, and tells nobody."""

    def open(
        self,
        actor: Actor,
        id: UUID,
        *,
        purpose: str | None,
        case: str | None = None,
        rendition: str = Rendition.ORIGINAL.value,
    ) -> Opened:
        with reading(self.engine) as connection:
            recording = catalogue.get(connection, id)
        if recording is None:
            raise NotFound()
        return self._opened(recording, self._part(recording, rendition), rendition)


def opening(rounds: int) -> Figure:
    """P10: seconds for as many openings with permission and audit ÷ without."""
    ratios: list[float] = []
    asked_ms: list[float] = []
    unasked_ms: list[float] = []
    with rig(web_workers=1) as bench:
        ids = [
            bench.archive.receive_call(
                SYSTEM, _metadata(f"call-{n}"), BytesIO(bytes([n]) * CALL_BYTES)
            ).id
            for n in range(8)
        ]
        asked = create_app(bench.archive, bench.assembly.people)
        unasked = create_app(_unasked(bench.archive), bench.assembly.people)
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            for app in (asked, unasked):
                _open_all(crowd, app, bench, ids)  # warm
            for number in range(rounds):
                sides = [(asked, asked_ms), (unasked, unasked_ms)]
                for app, times in sides if number % 2 else sides[::-1]:
                    times.append(_open_all(crowd, app, bench, ids) * 1000)
                ratios.append(asked_ms[-1] / unasked_ms[-1])
    return Figure(
        "P10", f"opening at {AT_ONCE} at once, with permission and audit ÷ without",
        statistics.median(ratios), 1.10, "lower",
        {
            "with_ms": round(statistics.median(asked_ms), 2),
            "without_ms": round(statistics.median(unasked_ms), 2),
            "bytes": CALL_BYTES,
            "rounds": rounds,
        },
    )  # fmt: skip


def _unasked(archive: Archive) -> Archive:
    return _Unasked(
        config=archive.config,
        engine=archive.engine,
        store=archive.store,
        keys=archive.keys,
        index=archive.index,
        now=archive.now,
    )


def _open_all(crowd: ThreadPoolExecutor, app: Flask, bench: Rig, ids: list[UUID]) -> float:
    """Seconds an opening, of so many at once."""
    headers = bench.headers(**{"X-Archive-Purpose": "verification"})

    def one(number: int) -> int:
        path = f"/api/v1/recordings/{ids[number % len(ids)]}/content"
        answer = app.test_client().get(path, headers=headers)
        got = sum(len(block) for block in answer.iter_encoded())
        answer.close()
        return got

    began = time.perf_counter()
    whole = sum(crowd.map(one, range(OPENINGS)))
    taken = time.perf_counter() - began
    if whole != OPENINGS * CALL_BYTES:
        raise NotFound()
    return taken / OPENINGS
