"""So many things a second and no more. Knows what they cost in time, not what they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Throttle:
    """Slows batches down to `per_s` things a second; 0: as fast as they go."""

    def __init__(
        self,
        per_s: int,
        *,
        wait: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._wait = wait
        self._monotonic = monotonic

    def most(self, batch: int) -> int:
        """How many to take at once: no more than a second's worth."""
        return min(batch, self._per_s) if self._per_s else batch

    @contextmanager
    def batch(self, n: int) -> Iterator[None]:
        """Around the work on `n` things; returns when they have taken their time."""
        began = self._monotonic()
        yield
        if self._per_s:
            left = n / self._per_s - (self._monotonic() - began)
            if left > 0:
                self._wait(left)
