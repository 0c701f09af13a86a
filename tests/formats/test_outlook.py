"""Outlook's .msg read as the message that it stands for, whatever its bytes are."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator

import pytest

from archive.formats import outlook, rtf
from archive.formats.mail import MailParser, ParsedMail, attachment, parse_mail
from tests import outlook_files as files
from tests.outlook_files import binary, compound, message, narrow, text

HEADER = (
    "Received: from a.example (a.example [192.0.2.1]) by b.example;\r\n"
    "\tFri, 20 Nov 2026 11:00:00 +0200\r\nFrom: =?utf-8?Q?Aino?= <aino@esimerkki.example>\r\n"
    "Message-ID: <1@a.example>\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/mixed;\r\n\tboundary="old"\r\nX-Kept: yes\r\n\r\n'
)


@pytest.fixture(scope="module")
def parser() -> Iterator[MailParser]:
    made = MailParser(wall_s=20)
    yield made
    made.close()


def read(raw: bytes) -> ParsedMail:
    made = outlook.convert(raw)
    assert made.message is not None
    assert made.problems == ()
    assert made == outlook.convert(raw), "the same bytes, the same message"
    return parse_mail(made.message)


def test_parties_subject_words_and_attachments_of_a_msg_are_found(parser: MailParser) -> None:
    inner = message(subject="Edellinen", body="Vanha viesti", within=True)
    people = files.recipients(
        (1, "Asiakaspalvelu", "palvelu@sahko.example"), (2, "", "kopio@sahko.example"),
        (3, "Salainen", "piilo@sahko.example"),
    )  # fmt: skip
    held = files.attached(("lasku, uusi \u202egnp.pdf", "application/pdf", b"%PDF" * 3000), inner)
    raw = compound(message(people, held))
    said = read(raw)
    mail = said.description
    assert mail.subject == "Lasku on väärin"
    assert mail.from_ == ("aino@esimerkki.example",)
    assert (mail.to, mail.cc) == (("palvelu@sahko.example",), ("kopio@sahko.example",))
    assert set(mail.names) == {"Aino Esimerkki", "Asiakaspalvelu"}
    assert mail.date == files.OCCURRED
    assert mail.parse_errors == ()
    assert said.text.startswith("Hei, laskuni on väärin.\nTerveisin Aino")
    assert "Vanha viesti" in said.text
    assert [a.name for a in mail.attachments] == ["lasku, uusi gnp.pdf", "Edellinen.eml"]
    made = parser.convert(raw)
    assert made == outlook.convert(raw), "the child says what the function says"
    assert made.message is not None
    assert b"piilo@sahko.example" in made.message
    assert attachment(made.message, 0) == (
        "lasku, uusi gnp.pdf", "application/pdf", b"%PDF" * 3000
    )  # fmt: skip
    within = attachment(made.message, 1)
    assert within is not None
    assert parse_mail(within[2]).text == "Vanha viesti"


def test_a_header_that_was_kept_counts_before_the_properties() -> None:
    raw = compound(message(text(0x007D, HEADER)))
    made = outlook.convert(raw)
    assert made.message is not None
    assert b"X-Kept: yes\r\n" in made.message
    assert b'boundary="old"' not in made.message, "the body is written anew"
    mail = parse_mail(made.message).description
    assert (mail.message_id, mail.names) == ("1@a.example", ("Aino",))
    assert mail.subject == "Lasku on väärin", "what it lacks is told by a property"


def test_words_of_a_property_are_never_syntax_of_a_header() -> None:
    raw = compound(message(subject="x\r\nBcc: kolmas@sahko.example\r\n\r\n<b>", body=None))
    made = outlook.convert(raw).message
    assert made is not None
    assert b"\r\nBcc" not in made
    assert parse_mail(made).description.subject == "x Bcc: kolmas@sahko.example <b>"
    evil = {**text(0x0042, 'A" <a@b.example>, "'), **text(0x5D02, "c@d.example>, <e@f.example")}
    made = outlook.convert(compound(message(evil))).message
    assert made is not None
    assert parse_mail(made).description.from_ == ("c@d.examplee@f.example",)


def test_what_an_exchange_server_calls_its_people_is_no_address() -> None:
    internal = {**text(0x5D02, ""), **text(0x0065, "/O=YHTIO/OU=FIRST/CN=RECIPIENTS/CN=AINO")}
    raw = compound(message(internal))
    assert read(raw).description.from_ == ()
    assert b"From: Aino Esimerkki <>\r\n" in (outlook.convert(raw).message or b"")


def test_letters_of_an_older_msg_are_those_of_its_code_page() -> None:
    raw = compound(
        message(
            narrow(0x0037, "Вопрос".encode("cp1251")), narrow(0x1000, "Привет".encode("cp1251")),
            numbers={0x3FFD: 1251}, body=None, subject="",
        )
    )  # fmt: skip
    tree = dict(message(numbers={0x3FFD: 1251}, body=None))
    del tree["__substg1.0_0037001F"]
    tree |= narrow(0x0037, "Вопрос".encode("cp1251")) | narrow(0x1000, "Привет".encode("cp1251"))
    assert read(compound(tree)).description.subject == "Вопрос"
    assert read(raw).text == "Привет"


RTF_HTML = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fcharset204 A;}}"
    rb"{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 T\'e4m\'e4 \u8364?{\*\htmltag84 <b>}\htmlrtf \b"
    rb"\htmlrtf0 on\{\}{\*\htmltag92 </b>}\htmlrtf }\par \htmlrtf0{\f1 \'cf\'f0\'e8}{\*\htmltag72"
    rb" </p>}{\pict 00}\u-10179?\u-8704?}"
)


def test_html_hidden_in_packed_rich_text_is_brought_to_light() -> None:
    raw = compound(message(binary(0x1009, files.packed_rtf(RTF_HTML)), body=None))
    said = read(raw)
    assert said.text.split() == ["Tämä", "€on{}При😀"]
    assert said.html is not None
    assert "<b>on{}</b>" in said.html


def test_rich_text_without_html_gives_its_words() -> None:
    plain = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 A;}}Hyv\'e4\par p\'e4iv\'e4\~nyt{\*\x piilo}}"
    assert rtf.read(plain) == (None, "Hyvä\npäivä\xa0nyt")
    html, words = rtf.read(rtf.unpack(files.packed_rtf(plain)))
    assert (html, words) == (None, "Hyvä\npäivä\xa0nyt"), "a repetition is one"
    for wrong in (b"", b"x" * 30, files.packed_rtf(plain)[:-3]):
        with pytest.raises(rtf.NotRtfError):
            rtf.unpack(wrong)
    assert rtf.read(b"{" * 100_000 + b"a" + b"}" * 100_000)[1] == ""
    assert rtf.read(b"}" * 1000 + rb"\u99999999 \'zz\x" + b"\\")[0] is None


def test_a_workbook_is_no_message_and_is_said_to_be_none() -> None:
    made = outlook.convert(compound({"Workbook": b"x" * 5000}))
    assert made == outlook.Converted(None, ("Outlook .msg: not a message",))


def test_an_object_of_another_program_is_named_as_left_out() -> None:
    held = {"__attach_version1.0_#00000000": {"__substg1.0_3701000D": {"CONTENTS": b"x"}}}
    made = outlook.convert(compound(message(held)))
    assert made.problems == ("Outlook .msg: parts left out",)
    assert made.message is not None


def test_messages_within_messages_are_bounded() -> None:
    tree = message(body="pohja", within=True)
    for _ in range(30):
        tree = message(files.attached(tree), within=True)
    made = outlook.convert(compound(message(files.attached(tree))))
    assert made.problems == ("Outlook .msg: parts left out",)
    assert made.message is not None
    assert made.message.count(b"message/rfc822") == 5


SAMPLE = compound(
    message(
        files.recipients((1, "A", "a@b.example")),
        files.attached(("a.bin", "application/octet-stream", b"y" * 9000), message(within=True)),
        binary(0x1009, files.packed_rtf(RTF_HTML)),
    )
)


def fat_at(raw: bytes) -> int:
    return 512 + 512 * struct.unpack_from("<I", raw, 76)[0]


def cyclic(raw: bytes) -> bytes:
    at = fat_at(raw)
    return raw[:at] + struct.pack("<I", 0) * 128 + raw[at + 512 :]


def huge(raw: bytes) -> bytes:
    """Every stream says that it has four billion bytes."""
    start = 512 + 512 * struct.unpack_from("<I", raw, 48)[0]
    made = bytearray(raw)
    for at in range(start + 128, len(raw) - 512, 128):
        if made[at + 66] == 2:
            made[at + 120 : at + 124] = b"\xff\xff\xff\xff"
    return bytes(made)


def itself(raw: bytes) -> bytes:
    """Every storage and stream has itself as its child and its neighbours."""
    start = 512 + 512 * struct.unpack_from("<I", raw, 48)[0]
    made = bytearray(raw)
    for n, at in enumerate(range(start, len(raw) - 512, 128)):
        made[at + 68 : at + 80] = struct.pack("<III", n, n, n)
    return bytes(made)


HOSTILE = {
    "cyclic": cyclic(SAMPLE),
    "huge": huge(SAMPLE),
    "itself": itself(SAMPLE),
    "torn": SAMPLE[:3000],
    "head": SAMPLE[:512],
    "sign": SAMPLE[:8],
    "ones": SAMPLE[:8] + b"\xff" * 5000,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_msg_is_marked_and_takes_no_time(parser: MailParser, hostile: bytes) -> None:
    started = time.monotonic()
    made = parser.convert(hostile)
    assert time.monotonic() - started < 10
    assert made.problems
    assert all(problem.startswith("Outlook .msg: ") for problem in made.problems)
    assert len(made.message or b"") < 1_000_000


def test_whatever_is_changed_in_a_msg_it_is_read_or_marked() -> None:
    chance = random.Random(19)
    for _ in range(100):
        raw = bytearray(SAMPLE)
        for _ in range(chance.randrange(1, 30)):
            at = chance.randrange(len(raw))
            raw[at : at + 4] = chance.choice(
                [
                    chance.randbytes(4),
                    b"\xff\xff\xff\xff",
                    bytes(4),
                    struct.pack("<I", chance.randrange(60)),
                ]
            )
        if chance.random() < 0.2:
            del raw[chance.randrange(len(raw)) :]
        raw[:8] = SAMPLE[:8]
        made = outlook.convert(bytes(raw))
        assert all(problem.startswith("Outlook .msg: ") for problem in made.problems)
        assert made.problems or made.message
        parse_mail(made.message or b"")
