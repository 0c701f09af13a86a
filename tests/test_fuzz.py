"""Damaged and hostile input on the ways in: every answer is an answer, and nothing hangs.

Bounded: so many examples of each. What was found once stands in tests/regressions/fuzz, one input
a file, and is tried first.
"""

from __future__ import annotations

import io
import random
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.archive import Archive
from archive.formats.multipart import MultipartError, MultipartReader
from tests import mutations
from tests.mail_server import CUSTOMER, SERVICE, content, kept, mail, receiving, send
from tests.mutations import READERS

FOUND = Path(__file__).parent / "regressions" / "fuzz"
BOUNDARY = b"rajaviiva"
BODY = (
    b'--rajaviiva\r\nContent-Disposition: form-data; name="metadata"\r\n'
    b'Content-Type: application/json\r\n\r\n{"a": 1}\r\n'
    b'--rajaviiva\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
    b"sound\r\n--rajaviiva--\r\n"
)
TOKENS = (b"--rajaviiva", b"\r\n", b"--", b"Content-Disposition: form-data", b'name="', b";", b"\0")
SESSION = (
    b"EHLO mta.example", b"HELO", b"MAIL FROM:<a@b.example>", b"MAIL FROM:<>", b"RCPT TO:<x@y>",
    b"RCPT TO:<" + SERVICE.encode() + b">", b"DATA", b".", b"RSET", b"NOOP", b"VRFY x",
    b"AUTH PLAIN", b"STARTTLS", b"BDAT 3", b"HELP", b"EHLO [" + b"x" * 5000, b"\xff\xfe", b"EXPN",
    b"MAIL FROM:<a@b> SIZE=x", b"From: a@b\r\n\r\nx", b"..", b"QUIT now",
)  # fmt: skip
bounded = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_what_was_found_once_does_no_harm_any_more() -> None:
    found = sorted(FOUND.iterdir())
    assert found
    for path in found:
        _KINDS[path.name.partition("-")[0]](path.read_bytes())


def _multipart(raw: bytes) -> None:
    reader = MultipartReader(io.BytesIO(raw), BOUNDARY)
    try:
        for _ in range(50):
            part = reader.next_part()
            if part is None:
                return
            while part.read(1000):
                pass
    except MultipartError:
        return
    raise AssertionError("parts without end")


_KINDS: Mapping[str, Callable[[bytes], None]] = {**READERS, "multipart": _multipart}


@bounded
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=40)), max_size=30))
def test_bodies_of_parts_end_or_are_refused(pieces: list[bytes]) -> None:
    _multipart(b"".join(pieces))


@bounded
@given(st.integers(0, len(BODY)), st.binary(max_size=20), st.integers(0, 40))
def test_a_damaged_body_ends_or_is_refused(at: int, noise: bytes, gone: int) -> None:
    _multipart(BODY[:at] + noise + BODY[at + gone :])


@bounded
@given(st.binary(max_size=400))
def test_any_bytes_are_a_cdr_or_none(raw: bytes) -> None:
    READERS["cdr"](raw)
    READERS["cdr"](b"<cdr>" + raw + b"</cdr>")


def test_a_run_over_damaged_files_keeps_what_brings_a_reader_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weak(raw: bytes) -> None:
        if b"\xff" in raw:
            raise ValueError

    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "one.eml").write_bytes(mail())
    monkeypatch.setattr(mutations, "READERS", dict.fromkeys(READERS, weak))
    monkeypatch.setattr(mutations, "FOUND", tmp_path)
    findings = mutations.run(tmp_path, seed=1, seconds=1.0)
    assert findings and all("ValueError at test_fuzz.py" in said for said in findings)
    kept_files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert kept_files and all(b"\xff" in path.read_bytes() for path in kept_files)


def test_no_smtp_session_brings_the_server_down_or_loses_another_s_mail(archive: Archive) -> None:
    chance = random.Random(4)
    with receiving(archive) as server:
        end = time.monotonic() + 4
        for n in range(120):
            if time.monotonic() > end:
                break
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.recv(1000)
                for _ in range(chance.randrange(1, 12)):
                    line = chance.choice(SESSION)
                    if chance.random() < 0.2:
                        line = chance.randbytes(chance.randrange(0, 300))
                    try:
                        connection.sendall(line + (b"\r\n" if chance.random() < 0.9 else b""))
                    except OSError:
                        break
                if n % 3 == 0:  # some wait for an answer, most just go
                    connection.settimeout(0.05)
                    try:
                        while connection.recv(4096):
                            pass
                    except OSError:
                        pass
        code, _ = send(server, mail(), to=[SERVICE], sender=CUSTOMER)
        assert code == 250
    assert mail() in [content(archive, one) for one in kept(archive)]
