"""The watch over the root key: is it there, is it old, has its rotation come to an end.

The worker looks every minute and replaces a root key that has reached its age. Where that
cannot be done, or a step fails, both roots stay and an alarm rings until it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from archive.alarms import Alarm, Alarms
from archive.errors import (
    ArchiveError,
    BackupRunning,
    RecoveryKeyMissing,
    RootKeyUnusable,
    RotationStopped,
)
from archive.keyring import rotation
from archive.keyring.keepers import KeptRoot
from archive.keyring.keepers.providers import VERIFIED
from archive.keyring.keybackup import KeyBackups
from archive.keys import KeysDirectory

AWAY, ROTATION = "root-away", "root-rotation"  # names of alarms
AGAIN = timedelta(hours=1)  # after a rotation that stopped
GRACE = timedelta(days=1)  # that a worker has, before its absence is an alarm


class RootWatch:
    """What a worker knows of the root key from one look to the next."""

    def __init__(
        self, backups: KeyBackups, alarms: Alarms, *, days: int, now: Callable[[], datetime]
    ) -> None:
        self._backups = backups
        self._keys = backups.keys
        self._alarms = alarms
        self._days = days
        self._now = now
        self._not_before: datetime | None = None

    def look(self) -> rotation.Rotated | None:
        """Rings and clears alarms, and rotates what is due; the rotation, if there was one."""
        if not self._is_there():
            return None
        unfinished = rotation.is_unfinished(self._keys.path)
        if not unfinished and not is_due(self._keys, days=self._days, now=self._now()):
            self._alarms.clear(ROTATION)
            return None
        if self._days == 0:  # a person's alone to do and to finish
            self._ring(ROTATION, "a rotation broke off. Run: archive keys rotate-root")
            return None
        if self._not_before is not None and self._now() < self._not_before:
            return None
        return self._rotate()

    def _is_there(self) -> bool:
        try:
            self._keys.providers.keep_alive()
            self._keys.root.check()
        except RootKeyUnusable as error:
            self._ring(AWAY, error.message)
            return False
        self._alarms.clear(AWAY)
        return True

    def _rotate(self) -> rotation.Rotated | None:
        try:
            done = rotation.rotate(self._backups)
        except BackupRunning:
            return None  # also where a person is rotating just now
        except (RecoveryKeyMissing, RotationStopped) as error:
            # Not at once again: each attempt may leave key backups at destinations that work.
            self._not_before = self._now() + AGAIN
            self._ring(ROTATION, error.message)
            return None
        self._not_before = None
        self._alarms.clear(ROTATION)
        return done

    def _ring(self, name: str, reason: str) -> None:
        self._alarms.ring(name, reason, now=self._now())


def is_due(keys: KeysDirectory, *, days: int, now: datetime) -> bool:
    """Whether the root key has reached the age at which it is replaced."""
    return days > 0 and keys.root_age(now) >= timedelta(days=days)


def standing(keys: KeysDirectory, *, days: int, now: datetime) -> tuple[Alarm, ...]:
    """Every alarm that rings; also that of a root key which no worker replaced."""
    found = Alarms(keys.path).standing()
    if any(alarm.name == ROTATION for alarm in found):
        return found
    try:
        age = keys.root_age(now)
    except RootKeyUnusable:
        return found
    if days == 0 or age < timedelta(days=days) + GRACE:
        return found
    reason = f"the root key is {age.days} days old and no worker has replaced it"
    return (*found, Alarm(ROTATION, reason, now - age + timedelta(days=days)))


def state(keys: KeysDirectory) -> str:
    """One of: ok, away (it may come back by itself), unusable."""
    try:
        keys.root.check()
    except RootKeyUnusable as error:
        return "away" if error.retry_after_s is not None else "unusable"
    return "ok"


def findings(keys: KeysDirectory, *, days: int, now: datetime) -> Iterator[tuple[str, str, str]]:
    """For `archive doctor`: mark, what was found, what to do."""
    try:
        root, age = keys.root, keys.root_age(now)
        root.check()
    except ArchiveError as error:
        yield "BAD", error.message, "See docs/operations.md, Where the root key is kept."
        return
    old = f"{age.days} days old, replaced at {days}" if days else f"{age.days} days old"
    if isinstance(root, KeptRoot):
        yield from _kept(root, old)
    else:
        yield "ok", f"root key: in a file, {old}", ""
    if root.provider != keys.providers.wanted:
        yield (
            "note",
            f"the root key is not kept where ARCHIVE_ROOT_PROVIDER says ({keys.providers.wanted})",
            "Run `archive keys rotate-root`.",
        )
    uncovered = [name for name in keys.everything() if not keys.recoverable(name)]
    if uncovered:
        yield (
            "BAD",
            f"{len(uncovered)} keys have no copy for the recovery key",
            "Run `archive keys backup DEST`.",
        )
    for alarm in standing(keys, days=days, now=now):
        yield "BAD", f"alarm {alarm.name} since {alarm.since:%Y-%m-%d}: {alarm.reason}", ""


def _kept(root: KeptRoot, old: str) -> Iterator[tuple[str, str, str]]:
    where, tested = root.describe(), VERIFIED[root.provider]
    product = root.product()
    if tested in product:
        yield "ok", f"root key: {root.provider}, {where}, {old}; verified with {product}", ""
    else:
        yield (
            "note",
            f"root key: {root.provider}, {where}, {old}; UNVERIFIED: {product}, not {tested}",
            "Rehearse a rotation and a restore before you rely on it.",
        )
    ends_s = root.runs_out_s()
    if ends_s is not None:
        yield (
            "BAD" if ends_s < 7 * 86400 else "note",
            f"the token for {where} ends in {ends_s // 86400} days and cannot be renewed",
            "Give it a periodic token.",
        )
