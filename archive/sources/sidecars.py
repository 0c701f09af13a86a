"""Files that lie beside a recording and tell of it: which they are, and what each says.

`call.wav.json` or `call.json` with the fields of the interface, CDRs of FreeSWITCH, SIPREC
metadata, transcripts. Told apart by what is in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive.formats import transcript
from archive.sources import attached, cdr, siprec

SUFFIXES = frozenset({".json", ".xml", ".vtt"})
_HEAD = 64 * 1024
# Beside `call.wav`, the one that counts first: the fields of the interface in JSON, or what
# FreeSWITCH writes of the leg (`a_`: with prefix-a-leg).
_BESIDE = (
    "{name}.json", "{stem}.json", "{name}.xml", "{stem}.xml", "{stem}.cdr.xml", "a_{stem}.cdr.xml",
    "{stem}.cdr.json", "a_{stem}.cdr.json", "{name}.siprec.xml", "{stem}.siprec.xml",
    "{name}.vtt", "{stem}.vtt", "{name}.transcript.json", "{stem}.transcript.json",
)  # fmt: skip
_SAID = (".vtt", ".transcript.json")
_TELLS = re.compile(
    r"(?:a_)?(?P<stem>.+?)(?:\.(?:cdr|siprec|transcript))?\.(?:json|xml|vtt)", re.IGNORECASE
)


class NotARecordingError(Exception):
    """The file is neither audio nor an email."""


@dataclass(slots=True)
class Beside:
    """What is told of a recording: `fields` in so many words; `lacking` counts where these and
    its name say nothing; `attached` is kept with it as given, by the rendition's name."""

    fields: dict[str, Any] = field(default_factory=dict)
    lacking: dict[str, Any] = field(default_factory=dict)
    attached: dict[str, bytes] = field(default_factory=dict)

    def over(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Metadata known otherwise, with what is told here over them."""
        made = metadata | self.lacking | self.fields
        extras = self.lacking.get("extra"), self.fields.get("extra")
        if all(isinstance(extra, dict) for extra in extras):
            made["extra"] = self.lacking["extra"] | self.fields["extra"]
        return made


def is_sidecar(path: Path, among: Collection[Path], extensions: Collection[str]) -> bool:
    """Whether the file tells of another one `among` them, a recording by its extension."""
    found = _TELLS.fullmatch(path.name)
    if found is None:
        return False
    stems = {path.stem, found["stem"]}
    names = {*stems, *(stem + extension for stem in stems for extension in extensions)}
    return any(path.with_name(name) in among for name in names - {path.name})  # call.wav.json


def beside(path: Path) -> list[Path]:
    """The files beside a file that tell of it, the one that counts first."""
    names = (path.with_name(n.format(name=path.name, stem=path.stem)) for n in _BESIDE)
    return [each for each in dict.fromkeys(names) if each != path and each.is_file()]


def has_metadata(path: Path) -> bool:
    """Whether metadata lie beside a file: more than what was said in it."""
    return any(not each.name.lower().endswith(_SAID) for each in beside(path))


def read(path: Path) -> Beside:
    """What the files beside a recording say; NotARecordingError where one cannot be read."""
    told = Beside()
    for each in beside(path):
        size = each.stat().st_size
        if size > cdr.MOST_BYTES:
            continue
        raw = each.read_bytes()
        kind = _kind(each, raw)
        if kind is None and not told.fields:
            told.fields = _fields(each, raw)
        elif kind is not None and kind not in told.attached:
            told.attached[kind] = raw
            if kind == attached.SIPREC:
                told.lacking = attached.filled({}, raw)[0]
    return told


def orphan(name: str, head: bytes) -> str | None:
    """Why a file that is no recording is none, where it tells of one that is not there."""
    suffix = Path(name).suffix.lower()
    if suffix == ".vtt":
        return "a transcript without its recording"
    if suffix == ".xml" and siprec.looks_like(head[:_HEAD]):
        return "SIPREC metadata without their recording"
    return None


def _kind(path: Path, raw: bytes) -> str | None:
    """The rendition that it is kept as; None of metadata."""
    suffix = path.suffix.lower()
    named = path.name.lower().rpartition(".")[0]
    if suffix == ".xml":
        is_siprec = siprec.looks_like(raw[:_HEAD]) or named.endswith(".siprec")
        return attached.SIPREC if is_siprec else None
    if suffix == ".vtt" or named.endswith(".transcript"):
        return attached.TRANSCRIPT
    return attached.TRANSCRIPT if transcript.is_json(raw) else None


def _fields(path: Path, raw: bytes) -> dict[str, Any]:
    """The fields of the interface in a sidecar."""
    try:
        if path.suffix.lower() == ".xml" or cdr.is_cdr(raw[:_HEAD]):
            return dict(cdr.freeswitch(raw).fields)
        found = json.loads(raw)
    except cdr.NotACdrError as reason:
        raise NotARecordingError(f"its sidecar {path.name} is no CDR ({reason})") from None
    except (ValueError, RecursionError):
        raise NotARecordingError(f"its sidecar {path.name} is not JSON") from None
    return found if isinstance(found, dict) else {}
