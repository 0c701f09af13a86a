"""What is this sound? Decodes a call once: facts, waveform and the rendition that browsers play.

ffmpeg runs behind walls (sandbox.py) on a memory file or a pipe; no sound touches a disk. Knows
nothing of keys, storage and people: bytes come from an iterable, the rendition goes to a callback.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from archive.errors import MediaUnusable
from archive.formats import ffmpeg, sandbox
from archive.formats.waveform import Waveform
from archive.model import CallDescription

_BLOCK = 256 * 1024
_SAID_MAX = 64 * 1024  # of what ffmpeg prints
_HEAD = 4096
_NO_LENGTH = 0x7FFF0000  # bytes; a WAV that claims as many claims nothing
_DIFFERS_S, _DIFFERS = 0.5, 0.03  # shorter than claimed by more than both: truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What decoding one call may cost."""

    wall_s: float = 900.0
    cpu_s: int = 900
    memory_mb: int = 1024  # address space of the decoder
    output_bytes: int = 16 * 1024**3  # decoded 16-bit sound; 16 GiB is 148 h of a stereo call
    memory_file_bytes: int = 512 * 1024 * 1024  # larger calls are piped


@dataclass(frozen=True, slots=True)
class DecodedCall:
    """The facts, and the waveform as JSON (`waveform.Waveform.json`; no points if none decoded)."""

    description: CallDescription
    peaks: bytes


class MemoryBudget:
    """Bounds the sum of the memory files that this process holds at a time."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._free = total_bytes
        self._changed = threading.Condition()

    def take(self, wanted: int, *, wait_s: float) -> bool:
        """Reserves `wanted` bytes, waiting for others to give back; False where it cannot be."""
        if wanted > self.total_bytes:
            return False
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= wanted, timeout=wait_s):
                return False
            self._free -= wanted
            return True

    def give_back(self, taken: int) -> None:
        with self._changed:
            self._free += taken
            self._changed.notify_all()


def decode_call(
    source: Iterable[bytes],
    *,
    length: int | None,
    codec: str | None,
    claimed_duration_s: float | None,
    limits: Limits,
    playback: Callable[[BinaryIO], None],
    memory_budget: MemoryBudget,
    masked: Sequence[tuple[float, float]] = (),
) -> DecodedCall:
    """Decodes `source` once, as far as it goes; whatever the bytes are, it describes them.

    `length` is the number of bytes, None if unknown. `codec` says how to read sound without a
    header (`ffmpeg.raw_format`) and is ignored where there is one. `claimed_duration_s`, the
    sender's word, goes before the header's in the description. `playback` is called in another
    thread with a reader of the Ogg Opus rendition, once, if anything came out of the encoder;
    its reader's `read(n)` fills. Intervals of `masked` (seconds) are silent in rendition and
    waveform. Of several sound tracks the first is taken; pictures are ignored.

    Codes in `error_code`, without sound: empty · unrecognised · format-refused · no-audio ·
    codec-unknown · codec-refused · unsupported · incomplete · needs-seek · no-samples · damaged;
    with some: truncated · damaged; either way: time-limit · cpu-limit · output-limit ·
    memory-limit · killed.

    What `source` or `playback` raises is raised here, after the decoder has been ended.
    MediaUnusable where no decoder can be run at all. With `description.decodes` false whatever
    playback has stored is worthless.
    """
    tool = ffmpeg.find_tool()
    blocks = iter(source)
    head = _first(blocks)
    if not head:
        return DecodedCall(_described(ffmpeg.report(""), Waveform(), None, "empty"), b"{}")
    raw = None if has_header(head) else ffmpeg.raw_format(codec)
    blocks = chain((head,), blocks)
    held = length if length is not None and tool.seeks else None
    in_memory = (
        held is not None
        and held <= limits.memory_file_bytes
        and memory_budget.take(held, wait_s=limits.wall_s)
    )
    try:
        run = _Run(tool, limits, playback)
        if in_memory:
            run.decode_file(blocks, raw, masked)
        else:
            run.decode_pipe(blocks, raw, masked)
    finally:
        if in_memory and held is not None:
            memory_budget.give_back(held)
    report = ffmpeg.report(run.said, streamed=_is_streamed_wav(head))
    description = _described(
        report, run.waveform, claimed_duration_s, run.ended_by, piped=not in_memory
    )
    return DecodedCall(description, run.waveform.json())


def has_header(head: bytes) -> bool:
    """Whether these first bytes are those of a known container, so that its own word counts."""
    if head[:4] in _MAGIC or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return True
    return head.startswith(_LONG_MAGIC) or _is_mpeg_audio(head)


class _Run:
    """One ffmpeg with its pipes and threads; after `decode_…` the fields say what happened."""

    def __init__(
        self, tool: ffmpeg.Tool, limits: Limits, playback: Callable[[BinaryIO], None]
    ) -> None:
        self._tool = tool
        self._limits = limits
        self._playback = playback
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self.ended_by: str | None = None  # a limit's code
        self.said = ""
        self.waveform = Waveform()

    def decode_file(
        self,
        blocks: Iterator[bytes],
        raw: ffmpeg.RawFormat | None,
        masked: Sequence[tuple[float, float]],
    ) -> None:
        """Decodes from a memory file, in which the decoder can seek."""
        file = os.memfd_create("call", os.MFD_CLOEXEC)
        try:
            with open(file, "wb", closefd=False) as writer:
                for block in blocks:
                    writer.write(block)
            os.lseek(file, 0, os.SEEK_SET)
            self._decode(file, None, raw, masked)
        finally:
            os.close(file)

    def decode_pipe(
        self,
        blocks: Iterator[bytes],
        raw: ffmpeg.RawFormat | None,
        masked: Sequence[tuple[float, float]],
    ) -> None:
        """Decodes as the bytes come; what needs to seek (an index at the end) cannot."""
        self._decode(None, blocks, raw, masked)

    def _decode(
        self,
        file: int | None,
        blocks: Iterator[bytes] | None,
        raw: ffmpeg.RawFormat | None,
        masked: Sequence[tuple[float, float]],
    ) -> None:
        pcm, pcm_in = os.pipe()
        opus, opus_in = os.pipe()
        try:
            self._start(
                ffmpeg.arguments(
                    self._tool,
                    input_fd=file,
                    pcm_fd=pcm_in,
                    playback_fd=opus_in,
                    raw=raw,
                    masked=masked,
                ),
                inherit=[fd for fd in (file, pcm_in, opus_in) if fd is not None],
                stdin=subprocess.DEVNULL if blocks is None else subprocess.PIPE,
            )
        except BaseException as failure:
            os.close(pcm)
            os.close(opus)
            if isinstance(failure, OSError):
                raise MediaUnusable(code="decoder-not-startable") from None
            raise
        finally:  # our copies of the writing ends, or the readers would never see an end
            os.close(pcm_in)
            os.close(opus_in)
        self._attend(pcm, opus, blocks)

    def _start(self, arguments: list[str], *, inherit: list[int], stdin: int) -> None:
        command = sandbox.command(
            arguments,
            cpu_s=self._limits.cpu_s,
            memory_mb=self._limits.memory_mb,
            readable=self._tool.readable,
        )
        self._process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=inherit,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def _attend(self, pcm: int, opus: int, blocks: Iterator[bytes] | None) -> None:
        """Serves all pipes until the decoder has ended, then raises what a callback raised."""
        assert self._process is not None
        threads = [
            threading.Thread(target=self._guard, args=(self._play, opus), daemon=True),
            threading.Thread(target=self._guard, args=(self._listen,), daemon=True),
        ]
        if blocks is not None:
            feeder = threading.Thread(target=self._guard, args=(self._feed, blocks), daemon=True)
            threads.append(feeder)
        watchdog = threading.Timer(self._limits.wall_s, self._end, args=("time-limit",))
        watchdog.daemon = True
        for thread in (*threads, watchdog):
            thread.start()
        try:
            self._guard(self._count, pcm)
        finally:
            code = self._process.wait()
            for thread in threads:
                thread.join()
            watchdog.cancel()
            watchdog.join()
        if self._failure is not None:
            raise self._failure
        if code == sandbox.EXIT_UNUSABLE:
            raise MediaUnusable(code="decoder-not-startable")
        if self.ended_by is None and (code == -signal.SIGXCPU or ffmpeg.ran_out_of_time(self.said)):
            self.ended_by = "cpu-limit"
        elif self.ended_by is None and code < 0:
            self.ended_by = "killed"

    def _guard(self, work: Callable[..., None], *arguments: object) -> None:
        """Runs `work`; what it raises ends the decoder and is kept for the caller."""
        try:
            work(*arguments)
        except BaseException as failure:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or failure
        self._end(None)

    def _end(self, code: str | None) -> None:
        assert self._process is not None
        with self._lock:
            if self.ended_by is None and self._process.poll() is None:
                self.ended_by = code
        self._process.kill()

    def _count(self, pcm: int) -> None:
        with open(pcm, "rb", buffering=0) as reader:
            while block := reader.read(_BLOCK):
                if self.waveform.data_bytes + len(block) > self._limits.output_bytes:
                    self._end("output-limit")
                    return
                self.waveform.feed(block)

    def _play(self, opus: int) -> None:
        with open(opus, "rb", buffering=0) as pipe:
            reader = io.BufferedReader(pipe, _BLOCK)
            try:
                if reader.peek(1):
                    self._playback(reader)
            except BaseException as failure:
                self._fail(failure)  # ends the decoder, so that there is an end to drain to
            # The rest is taken though nobody wants it, or the decoder would wait for ever.
            with suppress(ValueError, OSError):
                while pipe.read(_BLOCK):
                    pass

    def _listen(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        said = b""
        with self._process.stderr as errors:
            while block := errors.read1(_BLOCK):  # type: ignore[attr-defined]
                said += block[: _SAID_MAX - len(said)]
        self.said = said.decode("utf-8", "replace")

    def _feed(self, blocks: Iterator[bytes]) -> None:
        assert self._process is not None and self._process.stdin is not None
        # A broken pipe: the decoder has ended before its input.
        with suppress(BrokenPipeError), self._process.stdin as writer:
            for block in blocks:
                writer.write(block)


def _first(blocks: Iterator[bytes]) -> bytes:
    """The first bytes, enough to tell what they are."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _HEAD:
            break
    return head


def _described(
    report: ffmpeg.Report,
    waveform: Waveform,
    claimed_duration_s: float | None,
    ended_by: str | None,
    *,
    piped: bool = False,
) -> CallDescription:
    decodes = waveform.frames > 0
    claimed = claimed_duration_s if claimed_duration_s is not None else report.claimed_duration_s
    return CallDescription(
        container=report.container,
        codec=report.codec,
        sample_rate_hz=waveform.sample_rate_hz or report.sample_rate_hz,
        channels=waveform.channels or report.channels,
        duration_s=round(waveform.duration_s or 0.0, 6) if decodes else None,
        claimed_duration_s=claimed,
        decodes=decodes,
        error_code=ended_by or _error_code(report, waveform, decodes=decodes, piped=piped),
    )


def _error_code(
    report: ffmpeg.Report, waveform: Waveform, *, decodes: bool, piped: bool
) -> str | None:
    """Why there is no sound or less than there should be; None where all is well."""
    if not decodes:
        if report.failure == "incomplete" and piped:
            return "needs-seek"
        return report.failure or ("damaged" if report.damaged else "no-samples")
    missing = (report.claimed_duration_s or 0.0) - (waveform.duration_s or 0.0)
    if missing > max(_DIFFERS_S, _DIFFERS * (report.claimed_duration_s or 0.0)):
        return "truncated"
    return "damaged" if report.damaged else None


def _is_streamed_wav(head: bytes) -> bool:
    """A recorder that cannot go back writes 0xFFFFFFFF, 0x7FFFFFFF or near it for the length."""
    place = head.find(b"data", 12)
    if head[:4] != b"RIFF" or place < 0 or len(head) < place + 8:
        return False
    return int.from_bytes(head[place + 4 : place + 8], "little") >= _NO_LENGTH


_MAGIC = frozenset(
    {b"RIFF", b"RIFX", b"RF64", b"OggS", b"fLaC", b"FORM", b".snd", b"caff", b"wvpk", b"MAC ",
     b"TTA1", b"MPCK", b"riff", b"\x1aE\xdf\xa3", b"0&\xb2u", b"FLV\x01", b"NIST",
     b"\x00\x00\x01\xba"}
)  # fmt: skip
_LONG_MAGIC = (b"ID3", b"#!AMR", b"#!SILK", b"#EXTM3U", b"ADIF", b"MP+", b"Creative Voice File")
_BITRATES = {  # kbit/s by (version 1?, layer); ISO 11172-3 and 13818-3
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _is_mpeg_audio(head: bytes) -> bool:
    """Two MPEG audio frames in a row: one alone may be µ-law silence, which begins FF too."""
    length = _mpeg_frame_length(head)
    return length > 0 and _mpeg_frame_length(head[length:]) > 0 and head[1] == head[length + 1]


def _mpeg_frame_length(head: bytes) -> int:
    """Bytes of the MPEG layer 2 or 3 frame that starts here; 0 if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    bits, rate = head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or layer not in (2, 3) or bits in (0, 15) or rate == 3:
        return 0
    one = version == 3
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits = _BITRATES[one, layer][bits - 1]
    samples = 144 if one or layer == 2 else 72
    return samples * kilobits * 1000 // hertz + ((head[2] >> 1) & 1)
