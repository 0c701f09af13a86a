"""Emails that try to hang, crash or fill their reader, and the child process that reads them."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.formats import mail_child
from archive.formats.mail import MailParser, attachment, parse_mail, safe_html
from tests.media import mail


@pytest.fixture(scope="module")
def parser() -> Iterator[MailParser]:
    made = MailParser(wall_s=20)
    yield made
    made.close()


def nested(depth: int) -> bytes:
    """Multiparts in multiparts, each with a boundary of its own."""
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    )
    return b"From: a@b.example\r\nSubject: deep\r\n" + opened + b"\r\npohja\r\n"


def test_the_child_says_what_the_function_says(parser: MailParser) -> None:
    raw = mail(html="<p>hei</p>", attachments=[("a.pdf", "application/pdf", b"%PDF")])
    assert parser.parse(raw) == parse_mail(raw)


@pytest.mark.parametrize("raw", [b"", b"\xff" * 1000, b"Date: 9999", b"x\x00y"])
def test_strange_bytes_come_back_the_same_way_too(parser: MailParser, raw: bytes) -> None:
    assert parser.parse(raw) == parse_mail(raw)


def test_1500_levels_of_parts_are_bounded_and_marked(parser: MailParser) -> None:
    said = parser.parse(nested(1500)).description
    assert "nested too deeply" in said.parse_errors
    assert said.from_ == ("a@b.example",)


def test_100000_parts_are_bounded_and_marked(parser: MailParser) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 100_000
    assert "too many parts" in parser.parse(raw).description.parse_errors


def test_emails_within_emails_are_bounded(parser: MailParser) -> None:
    raw = b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"Subject: x\r\n\r\npohja"
    assert len(parser.parse(raw).description.attachments) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"To: " + b"a@b.example, " * 200_000 + b"\r\n\r\n",
        b"To: " + b"(" * 1_000_000 + b"\r\n\r\n",
        b"To: " + b'"' * 1_000_000 + b"<\r\n\r\n",
        b"To: " + b"<" * 300_000 + b"@" * 300_000 + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?Q?a?= " * 100_000 + b"\r\n\r\n",
        b"Subject: " + b"=?" * 500_000 + b"\r\n\r\n",
        b"Subject: " + b" \r\n " * 200_000 + b"\r\n\r\n",
        b"References: " + b"<a@b> " * 200_000 + b"\r\n\r\n",
        b"Date: " + b"(" * 500_000 + b"\r\n\r\n",
        b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\r\n\r\nx",
        b"Content-Type: text/plain" + b'; name*0="a"' * 50_000 + b"\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=" + b"a" * 500_000 + b"\r\n\r\nx",
        b"A: b\r\n" * 500_000 + b"\r\nx",
        b"a" * 5_000_000,
        b"\r\n" * 3_000_000,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 400_000,
        b"Content-Type: text/html\r\n\r\n" + b"<a href=x " * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<table><tr><td>" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"&" * 2_000_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!--" * 500_000,
        b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"> > x \r\n" * 300_000,
        b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+AAA" * 500_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 2_000_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"= A" * 500_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 2_000_000,
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n" + b"M\r\n" * 500_000,
    ],
    ids=lambda raw: repr(raw[:60]),
)
def test_no_email_of_a_few_megabytes_takes_long(parser: MailParser, raw: bytes) -> None:
    started = time.monotonic()
    said = parser.parse(raw).description
    assert time.monotonic() - started < 15
    assert "time limit" not in said.parse_errors
    assert "parser failed" not in said.parse_errors


def test_a_large_ordinary_email_is_read_within_the_limits(parser: MailParser) -> None:
    content = os.urandom(20_000_000)
    raw = mail(attachments=[("video.bin", "application/octet-stream", content)])
    parsed = parser.parse(raw)
    assert parsed.description.attachments[0].bytes == len(content)
    assert parsed.description.parse_errors == ()


def test_an_email_that_takes_too_long_is_known_by_its_header() -> None:
    """A reader that hangs (stopped here by a signal) is ended; the email is read in part."""
    parser = MailParser(wall_s=1.5)
    try:
        parser.parse(b"warm")
        stop(parser, signal.SIGSTOP)
        parsed = parser.parse(mail())
        assert "time limit" in parsed.description.parse_errors
        assert parsed.description.from_ == ("aino@esimerkki.example",)
        assert parser.parse(mail()) == parse_mail(mail())
    finally:
        parser.close()


def stop(parser: MailParser, number: signal.Signals) -> None:
    child = parser._child
    assert child is not None
    child.send_signal(number)
    if number == signal.SIGSTOP:  # it is sent at once and comes into force a little later
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)


def test_a_child_that_dies_is_replaced_and_the_next_email_is_read() -> None:
    parser = MailParser(wall_s=20)
    try:
        parser.parse(b"warm")
        stop(parser, signal.SIGKILL)
        assert parser.parse(mail()) == parse_mail(mail())
    finally:
        parser.close()


def test_an_email_that_needs_more_memory_than_allowed_is_marked_and_kept() -> None:
    parser = MailParser(wall_s=20, memory_mb=200)
    try:
        raw = mail(text="x" * 150_000_000)
        said = parser.parse(raw).description
        assert set(said.parse_errors) & {"memory limit", "parser failed"}
        assert said.from_ == ("aino@esimerkki.example",)
        assert parser.parse(mail()) == parse_mail(mail())
    finally:
        parser.close()


def test_the_child_is_renewed_after_so_many_emails() -> None:
    parser = MailParser(mails_per_child=2)
    try:
        pids = set()
        for _ in range(5):
            parser.parse(mail())
            assert parser._child is not None
            pids.add(parser._child.pid)
        assert len(pids) == 3
    finally:
        parser.close()


def test_threads_can_share_a_parser(parser: MailParser) -> None:
    found: list[str | None] = []

    def parse(number: int) -> None:
        found.append(parser.parse(mail(subject=f"nro {number}")).description.subject)

    threads = [threading.Thread(target=parse, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == sorted(f"nro {number}" for number in range(8))


def test_the_child_ends_when_its_parent_is_killed() -> None:
    script = (
        "import os, time\n"
        "from archive.formats.mail import MailParser\n"
        "p = MailParser(); p.parse(b'x')\n"
        "print(p._child.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_child_can_neither_read_files_nor_call_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    script = (
        "import os, sys, sysconfig\n"
        "from archive.formats import sandbox\n"
        "sandbox.confine(cpu_s=5, memory_mb=500, parent=None,\n"
        "    readable=[sysconfig.get_path('stdlib')])\n"
        "try: open(sys.argv[1]); print('read it')\n"
        "except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(secret)], capture_output=True, check=True, timeout=30
    )
    assert done.stdout == b"refused\n"
    assert "confine" in mail_child.main.__code__.co_names


def test_a_closed_parser_can_be_used_again() -> None:
    parser = MailParser()
    parser.parse(mail())
    parser.close()
    assert parser.parse(mail()) == parse_mail(mail())
    parser.close()


def test_html_that_multiplies_when_parsed_does_not_take_the_words_with_it() -> None:
    """Each paragraph opens all formatting that is still open again: 2 MB become 100 million."""
    parser = MailParser(wall_s=20)
    try:
        fonts = "".join(f"<font color={number}>" for number in range(240))
        raw = mail(text=None, html="<p>" + fonts + "<p>sana" * 280_000)
        parsed = parser.parse(raw)
        assert parsed.description.from_ == ("aino@esimerkki.example",)
        assert "sana sana" in " ".join(parsed.text[:100_000].split())
        assert parser.parse(mail()) == parse_mail(mail())
    finally:
        parser.close()


@pytest.mark.parametrize("html", ["<div>" * 200_000, "<b>" * 200_000, "<svg>" * 50_000])
def test_html_nested_without_end_does_not_crash_the_page(html: str) -> None:
    assert isinstance(safe_html(html), str)


def test_attachments_of_a_hostile_email_are_found_without_recursion() -> None:
    assert attachment(nested(1500), 0) is None
    inner = base64.b64encode(b"x" * 100)
    raw = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inner
    assert attachment(raw, 0) is not None
