"""What recorders say in the names of their files. Pure.

FreePBX: `<type>-<dest>-<from>-<YYYYMMDD>-<HHMMSS>-<uniqueid>.<ext>`, uniqueid `[system-]epoch.seq`
(module callrecording). Oreka: `<YYYYMMDD>_<HHMMSS>_<port>.<ext>`. FusionPBX: `<uuid>.<ext>`, the
leg's own id, as downloaded `<date>.<time>.<number>.<uuid>.<ext>`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from archive import retention
from archive.model import Direction

_FREEPBX = re.compile(
    r"(?P<type>[a-z]+)-(?P<dest>[^/]*)-(?P<from>[^-]*)-(?P<at>\d{8}-\d{6})-(?P<uid>[^/]*\d+\.\d+)"
)
_OREKA = re.compile(r"(?P<at>\d{8}_\d{6})_[A-Za-z0-9]{4}")
_UUID = re.compile(r"(?:.*[.])?(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_EPOCH = re.compile(r"(\d{9,11})\.\d+$")
_EXTENSION_DIGITS = 4  # so short a number is one of the house
_AGREE = timedelta(hours=25)  # name and epoch, whatever zone the recorder's clock is in


def told(name: str) -> dict[str, Any]:
    """The fields of the interface that a file name tells; {} of a name of another kind.

    `source_ref` is the name itself, by which a CDR's `recordingfile` announces the recording.
    """
    stem = name.rpartition(".")[0]
    if found := _FREEPBX.fullmatch(stem):
        return _freepbx(name, found)
    if found := _UUID.fullmatch(stem):
        return {"source_ref": found["uuid"], "call_id": found["uuid"]}
    if (found := _OREKA.fullmatch(stem)) and (at := _local(found["at"].replace("_", "-"))):
        return {"occurred_at": at.isoformat()}
    return {}


def reference(name: str) -> str:
    """The reference of a recording that is known by its file's name."""
    return f"file:{name}"


def started(stamp: str, uid: str) -> datetime | None:
    """When a call began by a CDR's local time (YYYY-MM-DD HH:MM:SS) and the epoch in its id."""
    return _started(stamp.replace("-", "").replace(":", "").replace(" ", "-"), uid)


def is_extension(number: str) -> bool:
    """Whether a number is one of the house."""
    return number.isdigit() and len(number) <= _EXTENSION_DIGITS


def _freepbx(name: str, found: re.Match[str]) -> dict[str, Any]:
    at = _started(found["at"], found["uid"])
    if at is None:
        return {}
    outbound = found["type"] == "out"
    inside, outside = found["from" if outbound else "dest"], found["dest" if outbound else "from"]
    direction = Direction.OUTBOUND if outbound else Direction.INBOUND
    if found["type"] == "internal" or is_extension(outside):
        direction = Direction.INTERNAL
    fields = {
        "source_ref": reference(name),
        "occurred_at": at.isoformat(),
        "direction": direction.value,
        "caller": found["from"],
        "callee": found["dest"],
        "call_id": found["uid"],
        "agent": inside if is_extension(inside) else "",
    }
    return {key: value for key, value in fields.items() if value}


def _started(local: str, uid: str) -> datetime | None:
    """The moment by the epoch in the uniqueid where it agrees with the name, else by the name."""
    by_name = _local(local)
    epoch = _EPOCH.search(uid)
    if by_name is None or epoch is None:
        return by_name
    by_epoch = datetime.fromtimestamp(int(epoch[1]), UTC)
    return by_epoch if abs(by_epoch - by_name) <= _AGREE else by_name


def _local(stamp: str) -> datetime | None:
    try:
        return retention.resolve_local(datetime.strptime(stamp, "%Y%m%d-%H%M%S"))  # noqa: DTZ007
    except ValueError:
        return None
