"""What was said in a call, line by line: WebVTT and JSON read and written. Pure.

WebVTT: W3C Candidate Recommendation of 4 April 2019, its cues, voices and escapes; placing and
styling are passed over. JSON: a list of `{start, end, text, speaker?}` in seconds, or an object
with such a list as `segments`, as the Whisper family writes. Knows nothing of sound or people.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from archive.model import Cue

MOST_BYTES = 2 * 1024 * 1024
MOST_CUES = 20_000
CUE_CHARS = 10_000
VTT, JSON = "text/vtt", "application/json"
_MARGIN_S = 0.02  # as wide as the sound is silenced beyond what was told
_LONGEST_S = 7 * 24 * 3600.0

_TIMES = re.compile(
    r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})[ \t]+-->[ \t]+"
    r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})(?:[ \t]|$)"
)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")
_TAG = re.compile(r"<[^>]*>")


class TranscriptError(ValueError):
    """Not a transcript; the message says what was expected and repeats nothing of it."""


def parse(raw: bytes) -> tuple[str, tuple[Cue, ...]]:
    """Media type and lines by their start; TranscriptError. Told apart by the content alone."""
    if len(raw) > MOST_BYTES:
        raise TranscriptError(f"at most {MOST_BYTES} bytes")
    text = raw.decode("utf-8-sig", "replace").replace("\x00", "\ufffd")
    if re.match(r"WEBVTT(?:[ \t\r\n]|$)", text):
        kind, cues = VTT, list(_of_vtt(text))
    elif text.lstrip()[:1] in {"[", "{"}:
        kind, cues = JSON, list(_of_json(text))
    else:
        raise TranscriptError("WebVTT, or JSON with start, end and text of each line")
    if len(cues) > MOST_CUES:
        raise TranscriptError(f"at most {MOST_CUES} lines")
    return kind, tuple(sorted((c for c in cues if c.text), key=lambda c: (c.start_s, c.end_s)))


def is_json(raw: bytes) -> bool:
    """Whether bytes are JSON in the form of a transcript: a list, or an object with segments."""
    start = raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if len(raw) > MOST_BYTES or start not in (b"[", b"{"):
        return False
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    lines = found.get("segments") if isinstance(found, dict) else found
    return isinstance(lines, list) and all(isinstance(line, dict) for line in lines)


def cut(cues: Iterable[Cue], masked: Sequence[tuple[float, float]]) -> tuple[Cue, ...]:
    """Without every line that reaches into a silenced stretch (seconds): rather too much."""
    return tuple(cue for cue in cues if not any(_within(cue, *stretch) for stretch in masked))


def write(kind: str, cues: Iterable[Cue]) -> bytes:
    """The lines in one of the two forms; `parse` gives them back."""
    if kind == VTT:
        return "\n\n".join(["WEBVTT", *map(_vtt_cue, cues)]).encode() + b"\n"
    return json.dumps({"segments": [_json_cue(cue) for cue in cues]}, ensure_ascii=False).encode()


def _within(cue: Cue, start: float, end: float) -> bool:
    return cue.start_s < end + _MARGIN_S and cue.end_s > start - _MARGIN_S


# -- WebVTT ----------------------------------------------------------------------------


def _of_vtt(text: str) -> Iterator[Cue]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    for block in re.split(r"\n{2,}", lines)[1:]:
        head, *rest = block.strip("\n").split("\n")
        if re.match(r"NOTE(?:[ \t]|$)", head):
            continue
        if "-->" not in head:  # an identifier stands before the times; styles have none
            if not rest or "-->" not in rest[0]:
                continue
            head, *rest = rest
        yield _cue_of_vtt(head.strip(), rest)


def _cue_of_vtt(times: str, said: Sequence[str]) -> Cue:
    found = _TIMES.match(times)
    if found is None:
        raise TranscriptError("times of WebVTT: 00:01.000 --> 00:02.500")
    groups = found.groups()
    payload = " ".join(said)
    voice = _VOICE.search(payload)
    return _cue(
        _seconds(groups[:4]),
        _seconds(groups[4:]),
        html.unescape(_TAG.sub("", payload)),
        html.unescape(voice[1]) if voice else "",
    )


def _seconds(parts: Sequence[str | None]) -> float:
    h, m, s, ms = (int(part or 0) for part in parts)
    return (h * 3_600_000 + m * 60_000 + s * 1000 + ms) / 1000


def _vtt_cue(cue: Cue) -> str:
    voice = f"<v {html.escape(cue.speaker, quote=False)}>" if cue.speaker else ""
    said = html.escape(cue.text, quote=False)
    return f"{_clock(cue.start_s)} --> {_clock(cue.end_s)}\n{voice}{said}"


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


# -- JSON ------------------------------------------------------------------------------


def _of_json(text: str) -> Iterator[Cue]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise TranscriptError("JSON that can be read") from None
    lines = given.get("segments") if isinstance(given, dict) else given
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise TranscriptError("a list of lines, or an object with segments")
    for line in lines:
        speaker = line.get("speaker")
        yield _cue(
            _number(line, "start"),
            _number(line, "end"),
            _words(line),
            speaker if isinstance(speaker, str) else "",
        )


def _words(line: Mapping[str, Any]) -> str:
    text = line.get("text")
    if not isinstance(text, str):
        raise TranscriptError("text of each line")
    return text


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TranscriptError(f"{name} of each line in seconds")
    if not 0 <= value <= _LONGEST_S:  # also what is no number at all
        raise TranscriptError(f"{name} of each line in seconds")
    return float(value)


def _json_cue(cue: Cue) -> dict[str, Any]:
    body: dict[str, Any] = {"start": cue.start_s, "end": cue.end_s, "text": cue.text}
    return body | ({"speaker": cue.speaker} if cue.speaker else {})


def _cue(start_s: float, end_s: float, text: str, speaker: str) -> Cue:
    if not (math.isfinite(start_s) and start_s <= end_s):
        raise TranscriptError("lines that end after they begin")
    return Cue(start_s, end_s, _clean(text)[:CUE_CHARS], _clean(speaker)[:200])


def _clean(text: str) -> str:
    """One line, without what UTF-8 cannot hold."""
    return " ".join(text.encode("utf-8", "replace").decode().replace("\x00", " ").split())
