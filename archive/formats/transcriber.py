"""The installation's own transcriber: an entry point that hears one call at a time in a child.

The child (transcriber_child.py) is confined like every reader of what strangers sent: no
network, no file written, limits of processor time and memory. Sound reaches it as 16 kHz mono
PCM in memory files, one for each channel of the playback rendition. Knows nothing of keys,
storage and people.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import BinaryIO, Protocol

from archive.errors import BadSetting
from archive.formats import ffmpeg, sandbox, transcript
from archive.model import Cue

GROUP = "archive.transcribers"
RATE_HZ = 16_000
BUILT_IN = (EntryPoint("faster-whisper", "archive.formats.whisper:FasterWhisper", GROUP),)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_MOST_CHANNELS = 2
_ANSWER_MAX = 8 * 1024 * 1024  # bytes
_BLOCK = 256 * 1024
_EVERY = 31  # samples, of which one is looked at when channels are compared
_ALIKE = 0.05  # share of the sound by which they may differ
_CUE_BYTES = 60  # of a line in a file beside its words
_CORES = 4  # that a transcriber may keep busy for the whole of its time


class Transcriber(Protocol):
    """What an entry point of `archive.transcribers` makes when called with the model's folder.

    It may have a static method `check(model: Path | None) -> str | None`: what is wrong with the
    model, asked before the worker starts.
    """

    def transcribe(
        self, sound: BinaryIO, *, sample_rate_hz: int
    ) -> Iterable[tuple[float, float, str]]:
        """Start and end in seconds and the words of each line. `sound`: 16-bit mono PCM."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A transcriber by its entry point's name, and what hearing one call may cost."""

    name: str
    model: Path | None
    wall_s: int
    memory_mb: int
    sound_bytes: int  # of decoded sound that is held in memory at a time


class HearingFailed(Exception):
    """A call could not be heard; `code` is stable and says nothing of it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def entry(name: str) -> EntryPoint | None:
    """The entry point of this name, installed packages before what comes with the archive."""
    found = [*entry_points(group=GROUP), *BUILT_IN]
    return next((each for each in found if each.name == name), None)


def require(chosen: Chosen) -> None:
    """Nothing if the transcriber is there and its model too; BadSetting says what is not."""
    found = entry(chosen.name)
    if found is None:
        names = sorted({each.name for each in (*entry_points(group=GROUP), *BUILT_IN)})
        reason = "no such transcriber is installed; there are: " + ", ".join(names)
        raise BadSetting(name="ARCHIVE_TRANSCRIBER", reason=reason)
    if chosen.model is not None and not chosen.model.exists():
        raise BadSetting(name="ARCHIVE_TRANSCRIBER_MODEL", reason="there is no such folder")
    try:
        check: Callable[[Path | None], str | None] = getattr(
            found.load(), "check", lambda model: None
        )
    except (ImportError, AttributeError):
        reason = f"{chosen.name} cannot be loaded: is its package installed?"
        raise BadSetting(name="ARCHIVE_TRANSCRIBER", reason=reason) from None
    wrong = check(chosen.model)
    if wrong is not None:
        raise BadSetting(name="ARCHIVE_TRANSCRIBER_MODEL", reason=wrong)


def hear(playback: Iterable[bytes], *, channels: int, chosen: Chosen) -> tuple[Cue, ...]:
    """What is said in a playback rendition, line by line, each channel a speaker ("1", "2").

    HearingFailed: no-sound · too-long · too-much · time-limit ·
    transcriber-failed.
    """
    with ExitStack() as stack:
        ogg = stack.enter_context(_memory("playback"))
        for block in playback:
            ogg.write(block)
        ogg.flush()
        sounds: list[BinaryIO] = []
        left, lasts = chosen.sound_bytes, 0.0
        for channel in range(min(channels, _MOST_CHANNELS)):
            sound = stack.enter_context(_memory(f"channel-{channel}"))
            size = _decode(ogg, sound, channel, most=left, wall_s=chosen.wall_s)
            left, lasts = left - size, max(lasts, size / (2 * RATE_HZ))
            if not sounds or not _alike(sounds[0], sound):  # the same sound twice is one speaker
                sounds.append(sound)
        lines = _ask(chosen, sounds)
    # What a model thinks to hear in the silence it fills its last window with is not said.
    cues = [
        Cue(start, min(end, lasts), said, str(number) if len(sounds) > 1 else "")
        for number, of_one in enumerate(lines, 1)
        for start, end, said in of_one
        if start < lasts
    ]
    ordered = sorted((c for c in cues if c.text), key=lambda cue: (cue.start_s, cue.end_s))
    if sum(len(cue.text.encode()) + _CUE_BYTES for cue in ordered) > transcript.MOST_BYTES:
        raise HearingFailed("too-much")  # no call says so much: a transcriber that repeats itself
    return tuple(ordered)


@contextmanager
def _memory(name: str) -> Iterator[BinaryIO]:
    with os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC), "w+b") as file:
        yield file


def _decode(ogg: BinaryIO, sound: BinaryIO, channel: int, *, most: int, wall_s: int) -> int:
    """Writes one channel's PCM; how many bytes."""
    tool = ffmpeg.find_tool()
    command = sandbox.command(
        ffmpeg.channel_arguments(tool, channel, rate_hz=RATE_HZ),
        cpu_s=wall_s, memory_mb=1024, readable=tool.readable,
    )  # fmt: skip
    ogg.seek(0)
    size = 0
    with _child(command, wall_s, stdin=ogg.fileno(), env={}) as (process, expired):
        assert process.stdout is not None
        while block := process.stdout.read(_BLOCK):
            size += len(block)
            if size > most:
                raise HearingFailed("too-long")
            sound.write(block)
    if expired.is_set():
        raise HearingFailed("time-limit")
    if not size:
        raise HearingFailed("no-sound")
    sound.flush()
    sound.seek(0)
    return size


def _alike(one: BinaryIO, other: BinaryIO) -> bool:
    """Whether two channels hold the same sound, but for what its encoder changed."""
    with (
        mmap.mmap(one.fileno(), 0, access=mmap.ACCESS_READ) as first,
        mmap.mmap(other.fileno(), 0, access=mmap.ACCESS_READ) as second,
    ):
        pairs = list(zip(_looked_at(first), _looked_at(second), strict=False))
    apart = sum(abs(a - b) for a, b in pairs)
    return apart <= _ALIKE * sum(abs(a) + abs(b) for a, b in pairs)


def _looked_at(sound: mmap.mmap) -> Iterator[int]:
    """A sample in so many."""
    for at in range(0, len(sound) - 1, 2 * _EVERY):
        yield int.from_bytes(sound[at : at + 2], "little", signed=True)


def _ask(chosen: Chosen, sounds: Sequence[BinaryIO]) -> list[list[tuple[float, float, str]]]:
    descriptors = [sound.fileno() for sound in sounds]
    command = [
        sys.executable, "-P", "-m", "archive.formats.transcriber_child",
        chosen.name, str(chosen.model or ""), str(chosen.wall_s * _CORES), str(chosen.memory_mb),
        *map(str, descriptors),
    ]  # fmt: skip
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    env = OFFLINE | {"PYTHONPATH": paths, "LC_ALL": "C.UTF-8"}
    with _child(command, chosen.wall_s, env=env, inherit=descriptors) as (process, expired):
        assert process.stdout is not None
        answer = process.stdout.read(_ANSWER_MAX + 1)
    if expired.is_set():
        raise HearingFailed("time-limit")
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        found = [[_line(*line) for line in of_one] for of_one in json.loads(answer)["lines"]]
        if len(found) == len(sounds):
            return found
    raise HearingFailed("transcriber-failed")


def _line(start: float, end: float, said: str) -> tuple[float, float, str]:
    start, end = float(start), float(end)
    if not (0 <= start <= end and math.isfinite(end) and isinstance(said, str)):
        raise ValueError("a line needs its times and words")
    return start, end, " ".join(said.encode("utf-8", "replace").decode().split())


@contextmanager
def _child(
    command: Sequence[str],
    wall_s: int,
    *,
    env: dict[str, str],
    stdin: int = subprocess.DEVNULL,
    inherit: Sequence[int] = (),
) -> Iterator[tuple[subprocess.Popen[bytes], threading.Event]]:
    """A child that is killed after `wall_s`, or when it is left; what it complains of is thrown
    away, for it may quote what it heard."""
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=inherit,
        env=env,
        start_new_session=True,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        process.kill()

    watchdog = threading.Timer(wall_s, expire)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process, expired
    except BaseException:
        process.kill()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
        process.wait()
        watchdog.cancel()
        watchdog.join()
