"""Multipart bodies as real clients write them, in pieces of every size."""

from __future__ import annotations

import io
import random

import pytest
from urllib3.filepost import encode_multipart_formdata

from archive.formats.multipart import MultipartError, MultipartReader, boundary_of


class Slow:
    """A source that returns short."""

    def __init__(self, body: bytes, step: int, seed: int = 1) -> None:
        self._file, self._step, self._random = io.BytesIO(body), step, random.Random(seed)

    def read(self, n: int = -1, /) -> bytes:
        return self._file.read(self._random.randint(1, self._step))


def _body(audio: bytes) -> tuple[bytes, bytes]:
    body, content_type = encode_multipart_formdata(
        [
            ("metadata", ("m.json", b'{"a":1}', "application/json")),
            ("audio", ("a b.wav", audio, "audio/wav")),
            ("x", b""),
        ]
    )
    return body, boundary_of(content_type)


@pytest.mark.parametrize("size", [0, 1, 2, 100, 65_535, 300_000])
@pytest.mark.parametrize("step", [3, 1000, 70_000])
def test_parts_come_out_as_they_went_in_however_the_bytes_arrive(size: int, step: int) -> None:
    if size > 1000 and step == 3:
        size = 3000
    audio = random.Random(size).randbytes(size)
    body, boundary = _body(audio)
    reader, got = MultipartReader(Slow(body, step), boundary), []
    while part := reader.next_part():
        got.append((part.name, part.file_name, part.media_type, part.read()))
    assert got == [
        ("metadata", "m.json", "application/json", b'{"a":1}'),
        ("audio", "a b.wav", "audio/wav", audio),
        ("x", None, "", b""),
    ]


def test_a_body_that_looks_like_a_delimiter_is_kept() -> None:
    body, boundary = _body(b"\r\n--\r\n\r\n--" * 50)
    reader = MultipartReader(io.BytesIO(body), boundary)
    reader.next_part()
    part = reader.next_part()
    assert part is not None
    assert part.read() == b"\r\n--\r\n\r\n--" * 50


def test_a_part_not_read_is_skipped() -> None:
    body, boundary = _body(b"x" * 100_000)
    reader = MultipartReader(io.BytesIO(body), boundary)
    assert [part.name for part in iter(reader.next_part, None)] == ["metadata", "audio", "x"]


@pytest.mark.parametrize("cut", [0, 10, 60, 200, 300])
def test_a_body_cut_short_is_an_error_and_never_a_short_part(cut: int) -> None:
    body, boundary = _body(b"y" * 100)
    reader = MultipartReader(io.BytesIO(body[:cut]), boundary)
    with pytest.raises(MultipartError):
        while part := reader.next_part():
            part.read()


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/mixed; boundary=a"]
)
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MultipartError):
        boundary_of(content_type)


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(MultipartError):
        MultipartReader(io.BytesIO(b"--b\r\nX: " + b"a" * 100_000), b"b").next_part()
