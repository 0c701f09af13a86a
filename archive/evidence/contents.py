"""What goes into an evidence package: the case's story, its recordings, and where each file lies.

Gathers and measures; writes nothing, and asks nobody's rights: which recordings are in was
decided when the package was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from archive import catalogue
from archive.casework import cases, staff
from archive.casework.cases import Case, Note
from archive.db import reading
from archive.evidence import custody
from archive.evidence.packages import Package
from archive.evidence.ziplayout import Part
from archive.model import Descriptor, Kind, Recording, Rendition, StoredRendition
from archive.vault import Description, Vault

_EXTENSION = re.compile(r"[a-z0-9]{1,5}")
_BY_CONTAINER = {"wav": "wav", "ogg": "ogg", "mp3": "mp3", "flac": "flac", "gsm": "gsm"}
RUNNABLE = frozenset(
    ["exe", "com", "bat", "cmd", "ps1", "js", "vbs", "html", "htm", "svg", "hta", "lnk", "scr",
     "jar", "msi", "sh", "py"]
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One recording of a package. `number` is "001"; the files' names are those in the ZIP."""

    number: str
    recording: Recording
    descriptor: Descriptor
    description: Description
    notes: tuple[Note, ...]
    original: Part | None  # None: left out, because parts of it are to be silent
    playback: Part | None
    peaks: tuple[tuple[float, ...], ...]  # a level from 0 to 1 for each stretch, each channel
    playback_rendition: StoredRendition | None

    @property
    def duration_s(self) -> float | None:
        """Seconds of a call that decodes."""
        return self.description.call.duration_s if self.description.call else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that the documents of a package tell."""

    package: Package
    case: Case
    items: tuple[Item, ...]
    notes: tuple[Note, ...]  # of the case itself
    custody: tuple[custody.Entry, ...]
    names: dict[str, str]  # people's, by actor id
    made_at: datetime

    @property
    def moments(self) -> list[Item | Note]:
        """Recordings and the case's own notes in one line, by when each happened."""
        both: list[Item | Note] = [*self.items, *self.notes]
        return sorted(both, key=lambda m: m.at if isinstance(m, Note) else m.recording.occurred_at)

    @property
    def numbers(self) -> dict[UUID, str]:
        """The recordings' numbers in the package."""
        return {item.recording.id: item.number for item in self.items}


def gather(
    vault: Vault,
    engine: Engine,
    package: Package,
    recordings: Sequence[Recording],
    *,
    step: Callable[[int], None],
    now: datetime,
) -> Story:
    """Reads what the documents need, and every original and playback copy once to measure it.

    KeyDestroyed, KeyMissing, SealBroken, StoreUnavailable, ObjectMissing.
    """
    number = package.case_number
    with reading(engine) as connection:
        case = cases.one(vault, connection, number)
        renditions = catalogue.renditions(connection, [r.id for r in recordings])
        notes = cases.notes(vault, connection, number, {r.id: r for r in recordings})
        entries = custody.log(connection, number, [r.id for r in recordings])
        people = {note.by for note in notes} | {str(case.owner), package.asked_by}
        names = staff.names(connection, people)
    items = tuple(
        _item(vault, f"{n:03}", recording, renditions[recording.id], notes, package, step)
        for n, recording in enumerate(recordings, 1)
    )
    return Story(
        package=package,
        case=case,
        items=items,
        notes=tuple(note for note in notes if note.recording_id is None),
        custody=tuple(entries),
        names=names,
        made_at=now,
    )


def size_of(recordings: Iterable[Recording]) -> int:
    """About how many bytes `gather` reads."""
    return sum(recording.bytes for recording in recordings)


def _item(
    vault: Vault,
    number: str,
    recording: Recording,
    renditions: Sequence[StoredRendition],
    notes: Sequence[Note],
    package: Package,
    step: Callable[[int], None],
) -> Item:
    key = vault.data_key(recording)
    descriptor = vault.descriptor(recording, key=key)
    description = vault.description(recording, key=key) or Description()
    by_name = {each.name: each for each in renditions}
    playback = by_name.get(Rendition.PLAYBACK.value)
    peaks = by_name.get(Rendition.PEAKS.value)
    original = None
    if package.masked_originals or not descriptor.masked:
        extension = _extension(recording, descriptor, description)
        original = Part.measured(
            f"originals/{number}-{recording.kind.value}.{extension}",
            lambda: vault.stream(recording),
            step,
        )
    return Item(
        number=number,
        recording=recording,
        descriptor=descriptor,
        description=description,
        notes=tuple(note for note in notes if note.recording_id == recording.id),
        original=original,
        playback=Part.measured(
            f"playback/{number}.ogg", lambda: vault.stream(recording, playback)
        ) if playback else None,
        peaks=_peaks(vault.read_all(recording, peaks)) if peaks else (),
        playback_rendition=playback,
    )  # fmt: skip


def _extension(recording: Recording, descriptor: Descriptor, description: Description) -> str:
    """The sender's, where it is plain and nothing that a double click would run."""
    if recording.kind is Kind.EMAIL:
        outlook = description.mail is not None and description.mail.container == "outlook"
        return "msg" if outlook else "eml"
    given = (descriptor.file_name or "").rpartition(".")[2].lower()
    if _EXTENSION.fullmatch(given) and given not in RUNNABLE:
        return given
    container = (description.call.container if description.call else None) or ""
    return next((e for name, e in _BY_CONTAINER.items() if name in container.split(",")), "bin")


def _peaks(raw: bytes) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(p) for p in channel) for channel in json.loads(raw)["peaks"])
