"""Transcripts read and written: WebVTT, JSON, and what is neither."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.formats import transcript
from archive.model import Cue

VTT = """\ufeffWEBVTT - puhelu\r
Kind: captions\r
\r
NOTE 00:00:01.000 --> 00:00:09.000\r
a remark\r
\r
STYLE\r
::cue { color: red }\r
\r
second\r
00:02.500 --> 00:04.000 align:start\r
<v.loud Aino>Sähkö &amp; <i>lasku</i>\r
on &lt;väärin&gt;\r
\r
01:00:00.250 --> 01:00:01.000\r
Kiitos.\r
\r
00:00.000 --> 00:02.000\r
Hei!\r
"""


def test_webvtt_is_read_with_its_voices_and_escapes_in_order_of_time() -> None:
    assert transcript.parse(VTT.encode()) == (
        "text/vtt",
        (
            Cue(0.0, 2.0, "Hei!"),
            Cue(2.5, 4.0, "Sähkö & lasku on <väärin>", "Aino"),
            Cue(3600.25, 3601.0, "Kiitos."),
        ),
    )


def test_json_is_a_list_of_lines_or_what_whisper_writes() -> None:
    lines = [{"start": 1, "end": 2.5, "text": " Hei ", "speaker": "Aino", "tokens": [1]}]
    for given_ in (lines, {"text": "Hei", "language": "fi", "segments": lines}):
        kind, cues = transcript.parse(json.dumps(given_).encode())
        assert (kind, cues) == ("application/json", (Cue(1.0, 2.5, "Hei", "Aino"),))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hei",
        b"WEBVTTX\n\n00:00.000 --> 00:01.000\nhei",
        b"WEBVTT\n\n00:00 --> 00:01\nhei",
        b"WEBVTT\n\n00:02.000 --> 00:01.000\nhei",
        b"{",
        b"[1]",
        b"[" * 100_000,
        b'{"segments": 3}',
        b'[{"start": 0, "end": 1}]',
        b'[{"start": NaN, "end": 1, "text": "hei"}]',
        b'[{"start": 0, "end": 1e999, "text": "hei"}]',
        b'[{"start": true, "end": 1, "text": "hei"}]',
        b'[{"start": "0", "end": 1, "text": "hei"}]',
        b" " * (transcript.MOST_BYTES + 1),
        json.dumps([{"start": 0, "end": 1, "text": "x"}] * (transcript.MOST_CUES + 1)).encode(),
    ],
)
def test_what_is_no_transcript_is_refused_and_not_repeated(raw: bytes) -> None:
    with pytest.raises(transcript.TranscriptError) as refused:
        transcript.parse(raw)
    assert "hei" not in str(refused.value)


def test_a_line_that_reaches_into_a_silenced_stretch_is_cut_whole() -> None:
    cues = [Cue(n, n + 1.0, str(n)) for n in range(6)]
    assert [cue.text for cue in transcript.cut(cues, [(1.5, 3.2)])] == ["0", "4", "5"]
    assert [cue.text for cue in transcript.cut(cues, [(2.01, 2.5)])] == ["0", "3", "4", "5"]
    assert transcript.cut(cues, []) == tuple(cues)


_WORDS = st.text(max_size=30)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**5), _WORDS, _WORDS), max_size=5),
    st.sampled_from([transcript.VTT, transcript.JSON]),
)
def test_what_is_written_is_read_back(lines: list[tuple[int, int, str, str]], kind: str) -> None:
    told = [
        {"start": ms / 1000, "end": (ms + n) / 1000, "text": said, "speaker": who}
        for ms, n, said, who in lines
    ]
    _, cues = transcript.parse(json.dumps(told).encode())
    assert transcript.parse(transcript.write(kind, cues)) == (kind, cues)
