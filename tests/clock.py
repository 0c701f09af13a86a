"""A clock that tests set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the time it was set to. `witness` is the database's clock beside it."""

    def __init__(self, at: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)) -> None:
        self._at = at
        self.witness = at

    def __call__(self) -> datetime:
        return self._at

    def set(self, at: datetime) -> None:
        self._at = self.witness = at

    def advance(self, by: timedelta) -> None:
        self.set(self._at + by)

    def jump(self, by: timedelta) -> None:
        """This clock jumps; the database's does not."""
        self._at += by
