"""Files of exchanges that tell of calls, and hold no sound: delivered as metadata.

A CDR of FreeSWITCH is a file for each leg; Asterisk's CSV grows, and of it only what is new is read
while the process lives. Knows paths; what a CDR says is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archive.archive import Archive
from archive.errors import BadFields
from archive.intake import CORRECTABLE
from archive.model import Actor
from archive.sources import cdr
from archive.sources.cdr import Told

SUFFIXES = frozenset({".xml", ".json", ".csv"})
_HEAD = 4096


class CdrFiles:
    """Delivers what CDR files tell, for one source."""

    def __init__(self, archive: Archive, actor: Actor, source: str) -> None:
        self._archive = archive
        self._actor = actor
        self._source = source
        self._read: dict[Path, int] = {}  # bytes of each growing file that are done with

    def deliver(self, path: Path) -> int:
        """Everything new in a file; of how many legs it told. NotACdrError, OSError.

        Raises what `Archive.add_metadata` does where it must be tried again.
        """
        n = 0
        for told in self._told(path):
            self._give(told)
            n += 1
        return n

    def _told(self, path: Path) -> Iterator[Told]:
        if not grows(path):
            yield cdr.freeswitch(path.read_bytes())
            return
        with path.open("rb") as file:
            header = file.readline() if b"uniqueid" in file.peek(_HEAD)[:_HEAD] else b""
            start = self._read.get(path, 0)
            if start > path.stat().st_size:
                start = 0  # begun anew, as a log that was rotated
            file.seek(max(start, len(header)))
            rest = file.read()
        whole = rest[: rest.rfind(b"\n") + 1]  # what follows is still being written
        lines = [line.decode("utf-8", "replace") for line in (header + whole).splitlines(True)]
        yield from cdr.asterisk(lines)
        self._read[path] = max(start, len(header)) + len(whole)

    def _give(self, told: Told) -> None:
        """What cannot be understood of it is kept under `extra`, as it came."""
        usable = (*CORRECTABLE, "occurred_at")
        changes = {name: value for name, value in told.fields.items() if name in usable}
        try:
            self._add(told, changes)
        except BadFields as error:
            bad = {wrong.field: changes.pop(wrong.field) for wrong in error.errors}
            changes["extra"] = {**changes.get("extra", {}), "not_understood": bad}
            self._add(told, changes)

    def _add(self, told: Told, changes: dict[str, object]) -> None:
        self._archive.add_metadata(
            self._actor, source=self._source, references=told.references, changes=changes,
            times=True,
        )  # fmt: skip


def grows(path: Path) -> bool:
    """Whether more is written to the file with each call."""
    return path.suffix.lower() == ".csv"


def is_cdr(path: Path) -> bool:
    """Whether it is a CDR of a known kind, by its content."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return cdr.is_csv(head) if grows(path) else cdr.is_cdr(head)
