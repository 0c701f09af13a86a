"""Alarms: what somebody must look at, kept where every process of every node finds it.

In <keys>/alarms.json, because it must also be told when the catalogue is away. Knows nothing of
what rings; messages carry no personal data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archive.keyring.keyfiles import encode, locked, put

FILE = "alarms.json"
LOCK_FILE = "alarms.lock"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong, since when, and what was said of it last."""

    name: str  # stays the same from version to version: monitoring watches for it
    reason: str
    since: datetime


class Alarms:
    """The alarms of one keys directory. `hear` is told of each that begins to ring."""

    def __init__(self, folder: Path, hear: Callable[[Alarm], None] = lambda alarm: None) -> None:
        self._file = folder / FILE
        self._lock = folder / LOCK_FILE
        self._hear = hear

    def ring(self, name: str, reason: str, *, now: datetime) -> Alarm:
        """Rings, or goes on ringing for what may be another reason."""
        with locked(self._lock, exclusive=True):
            standing = {alarm.name: alarm for alarm in self.standing()}
            before = standing.get(name)
            alarm = Alarm(name, reason, before.since if before else now)
            if alarm != before:
                standing[name] = alarm
                self._write(standing)
        if before is None:
            self._hear(alarm)
        return alarm

    def clear(self, name: str) -> bool:
        """Ends it; whether it was ringing."""
        if all(alarm.name != name for alarm in self.standing()):
            return False
        with locked(self._lock, exclusive=True):
            self._write({alarm.name: alarm for alarm in self.standing() if alarm.name != name})
        return True

    def standing(self) -> tuple[Alarm, ...]:
        """Those that ring, by name. A file that cannot be read is an alarm itself."""
        try:
            fields = json.loads(self._file.read_bytes())
            return tuple(
                Alarm(name, str(one["reason"]), datetime.fromisoformat(one["since"]))
                for name, one in sorted(fields["alarms"].items())
            )
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError, AttributeError):
            since = datetime.fromtimestamp(self._file.stat().st_mtime).astimezone()
            return (Alarm("alarms-unreadable", f"{self._file} is damaged; remove it", since),)

    def _write(self, standing: dict[str, Alarm]) -> None:
        alarms = {
            alarm.name: {"reason": alarm.reason, "since": alarm.since.isoformat()}
            for alarm in standing.values()
        }
        put(self._file, encode({"v": 1, "alarms": alarms}))
