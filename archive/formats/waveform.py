"""Counting and drawing decoded sound: from a WAV stream to length, level and waveform points.

Knows nothing of decoders, files or calls: bytes of 16-bit PCM go in, numbers come out.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array

MOST_POINTS = 2000  # of a channel; reaching it halves them
MOST_CHANNELS = 8  # drawn; further ones are counted only
_FIRST_POINT_S = 0.01  # what one point stands for until the first halving
_HEADER_MAX = 64 * 1024


class Waveform:
    """Takes a WAV of 16-bit PCM piece by piece, of any length, in memory that does not grow.

    `sample_rate_hz` and `channels` are None until the header has passed.
    """

    def __init__(self) -> None:
        self.sample_rate_hz: int | None = None
        self.channels: int | None = None
        self.data_bytes = 0
        self._pending = bytearray()  # the header so far, then the frames of an unfinished point
        self._point_frames = 1
        self._points: list[list[int]] = []

    @property
    def frames(self) -> int:
        return self.data_bytes // (2 * self.channels) if self.channels else 0

    @property
    def duration_s(self) -> float | None:
        """Seconds of sound counted; None where no header was seen."""
        return self.frames / self.sample_rate_hz if self.sample_rate_hz else None

    def feed(self, data: bytes) -> None:
        """The next bytes; raises ValueError where they are no WAV of 16-bit PCM."""
        self._pending += data
        if self.channels is None:
            if not self._read_header():
                return
        else:
            self.data_bytes += len(data)
        self._draw()

    def json(self) -> bytes:
        """The waveform as wavesurfer takes it: a list of levels from 0 to 1 for each channel.

        {"version": 1, "channels": n, "sample_rate_hz": r, "duration": seconds, "peaks": [[…], …]},
        1000 to 2000 levels a channel, fewer where the sound is shorter than 10 s; each is the
        largest deviation from silence in its stretch, to three decimals.
        """
        columns = [list(column) for column in self._points]
        if self.channels and len(self._pending) >= 2 * self.channels:
            self._append(self._samples(len(self._pending) // (2 * self.channels)), columns)
        return json.dumps(
            {
                "version": 1,
                "channels": len(columns),
                "sample_rate_hz": self.sample_rate_hz,
                "duration": round(self.duration_s or 0.0, 3),
                "peaks": [[round(level / 32768, 3) for level in column] for column in columns],
            },
            separators=(",", ":"),
        ).encode()

    def _read_header(self) -> bool:
        """Finds `fmt ` and the start of `data`; False while the header is not yet whole."""
        head = self._pending
        if len(head) >= 12 and (head[:4] != b"RIFF" or head[8:12] != b"WAVE"):
            raise ValueError("not a WAV stream")
        place, form = 12, None
        while len(head) >= place + 8:
            name, size = bytes(head[place : place + 4]), *struct.unpack_from("<I", head, place + 4)
            if name == b"data":
                self._start(form, place + 8)
                return True
            if name == b"fmt " and len(head) >= place + 24:
                form = struct.unpack_from("<HHIIHH", head, place + 8)
            place += 8 + size + size % 2
        if len(head) > _HEADER_MAX:
            raise ValueError("no sound within the first 64 KiB")
        return False

    def _start(self, form: tuple[int, ...] | None, sound_from: int) -> None:
        if form is None or form[5] != 16 or not form[1] or not form[2]:
            raise ValueError("not 16-bit PCM")
        self.channels, self.sample_rate_hz = form[1], form[2]
        del self._pending[:sound_from]
        self.data_bytes = len(self._pending)
        self._point_frames = max(1, int(form[2] * _FIRST_POINT_S))
        self._points = [[] for _ in range(min(form[1], MOST_CHANNELS))]

    def _draw(self) -> None:
        """Turns whole points' worth of frames into points, and halves the points when too many."""
        assert self.channels is not None
        while len(self._pending) >= (size := self._point_frames * self.channels * 2):
            room = MOST_POINTS - len(self._points[0])
            count = min(room, len(self._pending) // size)
            samples = self._samples(count * self._point_frames)
            step = self._point_frames * self.channels
            for start in range(0, count * step, step):
                self._append(samples[start : start + step], self._points)
            del self._pending[: count * size]
            if count == room:
                self._points = [
                    [max(pair) for pair in zip(column[::2], column[1::2], strict=True)]
                    for column in self._points
                ]
                self._point_frames *= 2

    def _append(self, samples: array[int], columns: list[list[int]]) -> None:
        for channel, column in enumerate(columns):
            own = samples[channel :: self.channels]
            column.append(max(max(own), -min(own)))

    def _samples(self, frames: int) -> array[int]:
        assert self.channels is not None
        samples = array("h", bytes(self._pending[: frames * self.channels * 2]))
        if sys.byteorder == "big":
            samples.byteswap()
        return samples
