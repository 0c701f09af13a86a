"""What `archive keys status` says: the root, the recovery key, and what backups could open.

Reads the keys directory and its register of backups; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from archive.errors import RecoveryKeyMissing
from archive.keyring import rootwatch, rotation
from archive.keyring.keybackup import KeyBackups, Standing

_SHOWN = 6  # names of a backup that are listed in words


def report(backups: KeyBackups, *, days: int, now: datetime) -> dict[str, Any]:
    """The facts. `good` is False where a key backup has outlived its days, a rotation broke off,
    or nothing could be restored."""
    try:
        recovery: str | None = backups.public().id
    except RecoveryKeyMissing:
        recovery = None
    standing = [_one(each) for each in backups.standing()]
    own = [each for each in standing if not each["export"]]
    unfinished = rotation.is_unfinished(backups.keys.path)
    overdue = any(each["overdue"] for each in standing)
    alarms = rootwatch.standing(backups.keys, days=days, now=now)
    return {
        "root": backups.keys.root.id,
        "root_kept": backups.keys.root.provider,
        "root_age_days": backups.keys.root_age(now).days,
        "alarms": [asdict(alarm) | {"since": alarm.since.isoformat()} for alarm in alarms],
        "recovery_key": recovery,
        "rotation_unfinished": unfinished,
        "keys": len(backups.keys.everything()),
        "destinations": [str(path) for path in backups.destinations()],
        "backups": standing,
        "good": bool(recovery and own and not unfinished and not overdue and not alarms),
    }


def _one(standing: Standing) -> dict[str, Any]:
    return {
        "path": str(standing.written.path),
        "made_at": standing.written.made_at.isoformat(),
        "until": standing.written.until.isoformat(),
        "reachable": standing.reachable,
        "overdue": standing.overdue,
        "keys": len(standing.written.names),
        "still_opens": list(standing.still_opens),
        "export": standing.written.export,
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The facts in words."""
    yield (
        f"root key {found['root']} ({found['root_kept']}, {found['root_age_days']} days old), "
        f"{found['keys']} keys under it"
    )
    for alarm in found["alarms"]:
        yield f"ALARM {alarm['name']} since {alarm['since'][:10]}: {alarm['reason']}"
    if found["rotation_unfinished"]:
        yield "NOT FINISHED: a rotation of the root key. Run: archive keys rotate-root"
    if found["recovery_key"]:
        yield f"recovery key {found['recovery_key']}"
    else:
        yield "NO RECOVERY KEY. Run: archive keys recovery-key FILE"
    if all(one["export"] for one in found["backups"]):
        yield "NO KEY BACKUP. Run: archive keys backup DEST"
    for one in found["backups"]:
        yield from _words(one)


def _words(one: dict[str, Any]) -> Iterator[str]:
    state = "" if one["reachable"] else " (not reachable from here)"
    yield f"{one['path']}{state}{', an export' if one['export'] else ''}"
    yield f"    made {one['made_at'][:16]}, {one['keys']} keys, until {one['until'][:10]}"
    if one["overdue"]:
        yield "    OVERDUE: destroy it by hand, its days are over and it cannot be reached"
    names = one["still_opens"]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"    could still open what has been destroyed: {', '.join(names[:_SHOWN])}{more}"
    else:
        yield "    could open nothing that has been destroyed"
