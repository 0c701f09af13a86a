"""The transcriber `faster-whisper`, where its package and a local model are installed.

Nothing is ever downloaded: the model's folder is given, and the child has no network. Tested
with a model of invented weights: that it loads and answers, not how well it hears.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

_FILES = ("model.bin", "config.json", "tokenizer.json")  # of a model converted to CTranslate2


class FasterWhisper:
    """Hears with a Whisper model on the processor, in 8-bit numbers."""

    def __init__(self, model: Path | None) -> None:
        from faster_whisper import WhisperModel

        self._model: Any = WhisperModel(
            str(model), device="cpu", compute_type="int8", cpu_threads=2, local_files_only=True
        )

    @staticmethod
    def check(model: Path | None) -> str | None:
        """What is lacking: the package, the folder, or files in it."""
        if find_spec("faster_whisper") is None:
            return "the package faster-whisper is not installed (extra `transcribe`)"
        if model is None:
            return "faster-whisper needs the folder of a local model; none is downloaded"
        lacking = [name for name in _FILES if not (model / name).is_file()]
        return f"no faster-whisper model: it lacks {', '.join(lacking)}" if lacking else None

    def transcribe(
        self, sound: BinaryIO, *, sample_rate_hz: int
    ) -> Iterator[tuple[float, float, str]]:
        """See `transcriber.Transcriber`; stretches without speech are passed over."""
        import numpy

        samples = numpy.frombuffer(sound.read(), dtype="<i2").astype(numpy.float32) / 32768.0
        segments, _ = self._model.transcribe(samples, beam_size=5, vad_filter=True)
        for segment in segments:
            yield segment.start, segment.end, segment.text
