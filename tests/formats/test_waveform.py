"""Counting and drawing sound."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.formats.waveform import MOST_POINTS, Waveform
from tests.media import wav, wav_header


def drawn(sound: bytes, piece: int = 4096) -> dict[str, object]:
    waveform = Waveform()
    for start in range(0, len(sound), piece):
        waveform.feed(sound[start : start + piece])
    found = json.loads(waveform.json())
    assert isinstance(found, dict)
    return found


def test_each_channel_is_drawn_by_itself() -> None:
    found = drawn(wav(2, hz=(440, 0), level=0.5))
    peaks = found["peaks"]
    assert isinstance(peaks, list)
    assert found["channels"] == 2
    assert max(peaks[0]) == pytest.approx(0.5, abs=0.002)
    assert set(peaks[1]) == {0.0}


def test_length_is_counted_in_samples_not_taken_from_the_header() -> None:
    lying = wav_header(10_000_000) + wav(1.5)[44:]
    waveform = Waveform()
    waveform.feed(lying)
    assert waveform.duration_s == 1.5
    assert waveform.frames == 12_000


@pytest.mark.parametrize("seconds", [0.001, 1, 19.99, 20, 20.01, 61])
def test_the_number_of_points_stays_bounded_whatever_the_length(seconds: float) -> None:
    found = drawn(wav(seconds, channels=1, hz=100))
    peaks = found["peaks"]
    assert isinstance(peaks, list)
    assert 1 <= len(peaks[0]) <= MOST_POINTS
    assert seconds < 20 or len(peaks[0]) >= MOST_POINTS // 2 - 1
    assert found["duration"] == pytest.approx(seconds, abs=0.001)


def test_a_loud_moment_in_a_long_silence_is_seen_at_its_place() -> None:
    silence = wav(30, channels=1, hz=0)[44:]
    sound = wav_header(0, channels=1) + silence + wav(0.01, channels=1)[44:] + silence
    peaks = drawn(sound)["peaks"]
    assert isinstance(peaks, list)
    loudest = max(range(len(peaks[0])), key=peaks[0].__getitem__)
    assert peaks[0][loudest] > 0.4
    assert loudest / len(peaks[0]) == pytest.approx(0.5, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 700), st.integers(1, 9), st.floats(0.0005, 0.4))
def test_how_the_bytes_are_cut_changes_nothing(piece: int, channels: int, seconds: float) -> None:
    sound = wav(seconds, channels=channels, hz=300)
    assert drawn(sound, piece) == drawn(sound, len(sound))


def test_at_most_eight_channels_are_drawn_and_all_are_counted() -> None:
    found = drawn(wav(0.2, channels=12))
    assert found["channels"] == 8
    assert found["duration"] == 0.2


@pytest.mark.parametrize("bytes_", [b"no wav at all, just words", b"RIFF\0\0\0\0WAVEdata\0\0\0\0"])
def test_what_is_no_wav_is_refused(bytes_: bytes) -> None:
    with pytest.raises(ValueError, match="not"):
        Waveform().feed(bytes_)


def test_nothing_at_all_has_an_empty_waveform() -> None:
    assert json.loads(Waveform().json())["peaks"] == []
