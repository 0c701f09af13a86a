"""Describing calls: what decoding finds, hands on, and does when things go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from archive.formats import ffmpeg
from archive.formats.call import DecodedCall, Limits, MemoryBudget, decode_call, has_header
from tests.media import mulaw, wav, wav_header

BUDGET = MemoryBudget(64 * 1024 * 1024)


class Heard:
    """A playback callback that keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def __call__(self, reader: BinaryIO) -> None:
        self.calls.append(reader.read())

    @property
    def ogg(self) -> bytes:
        assert len(self.calls) == 1
        return self.calls[0]


def decode(
    sound: bytes,
    heard: Heard | None = None,
    *,
    codec: str | None = None,
    piped: bool = False,
    limits: Limits | None = None,
    masked: Sequence[tuple[float, float]] = (),
    claimed: float | None = None,
) -> DecodedCall:
    return decode_call(
        [sound[start : start + 50_000] for start in range(0, len(sound), 50_000)],
        length=None if piped else len(sound),
        codec=codec,
        claimed_duration_s=claimed,
        limits=limits or Limits(wall_s=60),
        playback=heard or Heard(),
        memory_budget=BUDGET,
        masked=masked,
    )


def convert(sound: bytes, tmp_path: Path, name: str, *options: str) -> bytes:
    """`sound` in another format, made by the same ffmpeg."""
    made = tmp_path / name
    command = [ffmpeg.find_tool().path, "-v", "error", "-i", "-", *options, str(made)]
    subprocess.run(command, input=sound, check=True)
    return made.read_bytes()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_stereo_wav_is_described_drawn_and_made_playable() -> None:
    heard = Heard()
    found = decode(wav(2, hz=(440, 880)), heard)
    said = found.description
    assert (said.container, said.codec) == ("wav", "pcm_s16le")
    assert (said.sample_rate_hz, said.channels) == (8000, 2)
    assert said.duration_s == said.claimed_duration_s == 2.0
    assert said.decodes
    assert said.error_code is None
    assert heard.ogg.startswith(b"OggS")
    assert json.loads(found.peaks)["channels"] == 2


def test_the_playback_rendition_is_opus_as_long_as_what_was_counted() -> None:
    heard = Heard()
    decode(wav(3, hz=(440, 880)), heard)
    again = decode(heard.ogg).description
    assert again.codec == "opus"
    assert again.channels == 2
    assert again.duration_s == pytest.approx(3.0, abs=0.03)


def test_the_playback_rendition_carries_no_title_or_name(tmp_path: Path) -> None:
    heard = Heard()
    tagged = convert(
        wav(1), tmp_path, "a.mp3", "-metadata", "title=SALAINEN", "-metadata", "artist=SALAINEN"
    )
    assert b"SALAINEN" in tagged
    decode(tagged, heard)
    assert b"SALAINEN" not in heard.ogg


@pytest.mark.parametrize(
    ("name", "options", "container", "codec"),
    [
        ("a.mp3", ["-c:a", "libmp3lame"], "mp3", "mp3"),
        ("a.flac", [], "flac", "flac"),
        ("a.ogg", ["-c:a", "libopus"], "ogg", "opus"),
        ("a.m4a", ["-c:a", "aac"], "mov,mp4,m4a,3gp,3g2,mj2", "aac"),
        ("a.mka", ["-c:a", "pcm_alaw"], "matroska,webm", "pcm_alaw"),
        ("a.wav", ["-c:a", "pcm_mulaw"], "wav", "pcm_mulaw"),
        ("a.aiff", [], "aiff", "pcm_s16be"),
        ("a.wma", ["-c:a", "wmav2"], "asf", "wmav2"),
    ],
)
def test_the_usual_formats_are_told_by_what_they_are(
    tmp_path: Path, name: str, options: list[str], container: str, codec: str
) -> None:
    said = decode(convert(wav(2, rate=16000), tmp_path, name, *options)).description
    assert (said.container, said.codec, said.channels) == (container, codec, 2)
    assert said.duration_s == pytest.approx(2.0, abs=0.15)
    assert said.error_code is None


@pytest.mark.parametrize("codec", ["pcm_mulaw", "PCMU", "PCMU/8000/1", "ulaw"])
def test_headerless_mulaw_is_read_when_the_sender_says_so(codec: str) -> None:
    found = decode(mulaw(1.5), codec=codec)
    assert found.description.codec == "pcm_mulaw"
    assert found.description.duration_s == 1.5
    assert max(json.loads(found.peaks)["peaks"][0]) == pytest.approx(0.5, abs=0.03)


def test_headerless_sound_that_nobody_declares_is_marked_not_guessed() -> None:
    said = decode(mulaw(1)).description
    assert not said.decodes
    assert said.error_code == "unrecognised"


def test_mulaw_silence_is_not_taken_for_mpeg() -> None:
    silence = b"\xff\xfb\x90" + b"\xff" * 16_000
    assert not has_header(silence)
    assert decode(silence, codec="pcm_mulaw").description.duration_s == pytest.approx(2.0, abs=0.01)


def test_a_header_is_believed_before_a_declared_codec() -> None:
    said = decode(wav(1), codec="pcm_mulaw").description
    assert (said.container, said.codec) == ("wav", "pcm_s16le")


def test_mpeg_without_tags_is_told_from_headerless_sound(tmp_path: Path) -> None:
    sound = convert(wav(1), tmp_path, "a.mp3", "-id3v2_version", "0", "-write_xing", "0")
    assert sound[0] == 0xFF
    assert has_header(sound)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 6, 8])
def test_more_than_two_channels_are_all_drawn_and_played_in_two(channels: int) -> None:
    heard = Heard()
    found = decode(wav(1, channels=channels), heard)
    assert found.description.channels == channels
    assert json.loads(found.peaks)["channels"] == channels
    assert decode(heard.ogg).description.channels == min(channels, 2)


@pytest.mark.parametrize(
    ("sound", "code"),
    [
        (b"", "empty"),
        (b"x", "unrecognised"),
        (b"<html>Service unavailable</html>", "unrecognised"),
        (wav(1)[:20], "unrecognised"),
        (wav_header(16_000), "no-samples"),
        (os.urandom(100_000), None),
    ],
)
def test_what_does_not_decode_is_marked_and_has_no_playback(sound: bytes, code: str | None) -> None:
    found = decode(sound)
    assert not found.description.decodes
    assert found.description.duration_s is None
    assert code is None or found.description.error_code == code


def test_a_recording_cut_short_is_decoded_as_far_as_it_goes() -> None:
    said = decode(wav(10)[:80_044]).description
    assert said.decodes
    assert said.duration_s == pytest.approx(2.5, abs=0.01)


def test_a_header_that_claims_more_than_there_is_is_noticed(tmp_path: Path) -> None:
    whole = convert(wav(8), tmp_path, "a.flac")
    said = decode(whole[: len(whole) // 2]).description
    assert said.decodes
    assert said.error_code in ("truncated", "damaged")


def test_a_wav_that_was_streamed_without_a_length_is_not_called_damaged() -> None:
    said = decode(wav_header(0xFFFFFFFF - 36) + wav(2)[44:]).description
    assert said.duration_s == 2.0
    assert said.error_code is None


def test_the_senders_word_on_duration_goes_before_the_headers() -> None:
    assert decode(wav(1), claimed=61.5).description.claimed_duration_s == 61.5


def test_a_cover_picture_is_ignored_and_not_decoded(tmp_path: Path) -> None:
    picture = convert(wav(1), tmp_path, "p.png", "-lavfi", "showwavespic=s=16x16", "-frames:v", "1")
    assert picture.startswith(b"\x89PNG")
    options = ["-i", str(tmp_path / "p.png"), "-map", "0:a", "-map", "1:v", "-c:v", "copy"]
    said = decode(convert(wav(1), tmp_path, "a.mp3", *options)).description
    assert said.decodes
    assert said.error_code is None


def test_masked_passages_are_silent_in_waveform_and_playback() -> None:
    heard = Heard()
    found = decode(wav(4, channels=1), heard, masked=[(1.0, 2.0), (1.5, 3.0)])
    for peaks in (json.loads(found.peaks), json.loads(decode(heard.ogg).peaks)):
        levels = peaks["peaks"][0]
        at = len(levels) / peaks["duration"]
        assert max(levels[int(1.02 * at) + 1 : int(2.98 * at) - 1]) < 0.02
        assert min(levels[int(0.1 * at) : int(0.9 * at)]) > 0.3
        assert min(levels[int(3.1 * at) : int(3.9 * at)]) > 0.3


def test_not_one_sample_of_a_masked_passage_is_heard() -> None:
    """Every point of the waveform that lies within the interval is exactly zero."""
    found = decode(wav(2, channels=1), masked=[(0.503, 0.897)])
    levels = json.loads(found.peaks)["peaks"][0]
    assert set(levels[50:90]) == {0.0}
    assert found.description.duration_s == 2.0


def test_thousands_of_masked_passages_are_all_masked() -> None:
    masked = [(index * 0.01, index * 0.01 + 0.004) for index in range(3000)]
    assert set(json.loads(decode(wav(2), masked=masked).peaks)["peaks"][0]) == {0.0}


# -- pipes, limits and callbacks ---------------------------------------------------------


def test_a_call_larger_than_the_budget_is_decoded_from_a_pipe() -> None:
    heard = Heard()
    sound = wav(2)
    found = decode_call(
        [sound],
        length=len(sound),
        codec=None,
        claimed_duration_s=None,
        limits=Limits(wall_s=60, memory_file_bytes=1000),
        playback=heard,
        memory_budget=BUDGET,
    )
    assert found.description.duration_s == 2.0
    assert heard.ogg


def test_what_must_seek_and_cannot_is_marked_so(tmp_path: Path) -> None:
    sound = convert(wav(2), tmp_path, "a.m4a")
    filler = b"\0\0\0\x08free" * 10
    assert decode(sound + filler).description.decodes
    said = decode(sound[: len(sound) - 3000], piped=True).description
    assert not said.decodes
    assert said.error_code == "needs-seek"


def test_the_memory_budget_is_given_back() -> None:
    budget = MemoryBudget(100)
    assert budget.take(60, wait_s=0)
    assert not budget.take(60, wait_s=0)
    assert not budget.take(101, wait_s=9)
    budget.give_back(60)
    assert budget.take(100, wait_s=0)


def test_waiting_for_the_budget_ends_when_another_gives_back() -> None:
    budget = MemoryBudget(100)
    assert budget.take(100, wait_s=0)
    threading.Timer(0.05, budget.give_back, args=(100,)).start()
    assert budget.take(50, wait_s=10)


def test_a_playback_that_raises_ends_the_decoder_and_is_told() -> None:
    class Away(Exception):
        pass

    def playback(reader: BinaryIO) -> None:
        reader.read(10)
        raise Away

    before = open_files()
    started = time.monotonic()
    with pytest.raises(Away):
        decode_call(
            endless(),
            length=None,
            codec=None,
            claimed_duration_s=None,
            limits=Limits(wall_s=60),
            playback=playback,
            memory_budget=BUDGET,
        )
    assert time.monotonic() - started < 20
    assert open_files() == before


def test_a_playback_that_reads_nothing_does_not_hang_the_decoding() -> None:
    sound = wav(20)
    found = decode_call(
        [sound],
        length=len(sound),
        codec=None,
        claimed_duration_s=None,
        limits=Limits(wall_s=60),
        playback=lambda reader: None,
        memory_budget=BUDGET,
    )
    assert found.description.duration_s == 20.0


@pytest.mark.parametrize("piped", [False, True])
def test_a_source_that_breaks_off_is_told_and_leaves_nothing_behind(piped: bool) -> None:
    class Broken(Exception):
        pass

    def source() -> Iterator[bytes]:
        yield wav(5)
        raise Broken

    before, free = open_files(), BUDGET._free
    with pytest.raises(Broken):
        decode_call(
            source(),
            length=None if piped else 100_000,
            codec=None,
            claimed_duration_s=None,
            limits=Limits(wall_s=60),
            playback=Heard(),
            memory_budget=BUDGET,
        )
    assert open_files() == before
    assert BUDGET._free == free


def endless() -> Iterator[bytes]:
    yield wav_header(0xFFFFFFFF - 36)
    second = wav(1)[44:]
    while True:
        yield second


def test_decoding_ends_at_the_wall_clock_and_keeps_what_there_is() -> None:
    started = time.monotonic()

    def slowly() -> Iterator[bytes]:
        for block in endless():
            yield block
            time.sleep(0.05)

    said = decode_call(
        slowly(),
        length=None,
        codec=None,
        claimed_duration_s=None,
        limits=Limits(wall_s=1.5),
        playback=Heard(),
        memory_budget=BUDGET,
    ).description
    assert time.monotonic() - started < 15
    assert said.error_code == "time-limit"
    assert said.decodes


def test_a_small_file_that_decodes_to_hours_stops_at_the_output_limit(tmp_path: Path) -> None:
    bomb = convert(wav(0.1, channels=1), tmp_path, "a.flac", "-af", "apad=whole_dur=3600")
    assert len(bomb) < 1_000_000
    said = decode(bomb, limits=Limits(wall_s=60, output_bytes=2_000_000)).description
    assert said.error_code == "output-limit"
    assert said.decodes
    assert said.duration_s is not None
    assert said.duration_s <= 125


def test_processor_time_is_limited(tmp_path: Path) -> None:
    long = convert(wav(0.1, channels=1), tmp_path, "a.flac", "-af", "apad=whole_dur=7200")
    said = decode(long, limits=Limits(wall_s=120, cpu_s=1)).description
    assert said.error_code == "cpu-limit"


def test_a_decoder_without_memory_fails_and_says_so() -> None:
    said = decode(wav(1), limits=Limits(wall_s=60, memory_mb=40)).description
    assert not said.decodes


def test_no_thread_or_file_is_left_after_many_calls() -> None:
    decode(wav(0.2))
    before, threads = open_files(), threading.active_count()
    for sound in (wav(0.2), b"x", b"", mulaw(0.1)):
        decode(sound)
    assert open_files() == before
    assert threading.active_count() == threads


def test_a_report_of_strange_words_is_read_without_raising() -> None:
    said = "[info] Input #0, " + "a" * 5000 + "\n[info]   Stream #0:0: Audio: \x00, 1e9 Hz, ∞"
    found = ffmpeg.report(said)
    assert found.container is None
    assert found.codec is None
