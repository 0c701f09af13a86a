"""So many deliveries at once and no more, shared out fairly between sources. Knows only names.

A few that come on top wait a moment for a place to be free; the next one is sent away at once to
come again, instead of waiting with a thread and a connection of its own: so memory stays bounded,
and people who search are not kept waiting.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from archive.errors import Saturated

PATIENCE_S = 1.0  # the longest that one waits for a place
REMEMBERED_S = 10.0  # a source that asked within this counts as one that wants places


class Places:
    """The places of one process. Thread-safe.

    Of a single source all but one may be taken, so that another one's first delivery finds a place
    at once; of several, each may have an equal share, and at least one. At most `waiting` wait.
    """

    def __init__(
        self, most: int, *, waiting: int = 0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = max(1, most)
        self._may_wait = waiting
        self._waiting = 0
        self._monotonic = monotonic
        self._freed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._asked: dict[str, float] = {}

    @contextmanager
    def one(self, source: str) -> Iterator[None]:
        """A place for one delivery of the source; Saturated where there is none for it."""
        with self._freed:
            self._asked[source] = self._monotonic()
            if not self._is_free(source) and not self._wait(source):
                raise Saturated()
            self._taken[source] += 1
        try:
            yield
        finally:
            with self._freed:
                self._taken[source] -= 1
                if not self._taken[source]:
                    del self._taken[source]
                self._freed.notify_all()

    def _is_free(self, source: str) -> bool:
        return self._taken.total() < self._most and self._taken[source] < self._share()

    def _wait(self, source: str) -> bool:
        """Whether a place became free within the time that one may wait."""
        if self._waiting >= self._may_wait:
            return False
        self._waiting += 1
        try:
            return self._freed.wait_for(lambda: self._is_free(source), PATIENCE_S)
        finally:
            self._waiting -= 1

    def _share(self) -> int:
        """How many places a source may have now."""
        since = self._monotonic() - REMEMBERED_S
        for name in [n for n, at in self._asked.items() if at < since and n not in self._taken]:
            del self._asked[name]
        wanting = len(self._asked)
        if wanting == 1:
            return max(1, self._most - 1)
        return max(1, self._most // wanting)
