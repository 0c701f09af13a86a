"""Reading emails: what a good one says, and what can still be read of a bad one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.formats.mail import ParsedMail, attachment, parse_mail
from archive.formats.mail_headers import addresses, decode_words
from archive.formats.mail_read import NAME_MAX, safe_name
from tests.media import mail


def of(head: str, body: str = "hei") -> ParsedMail:
    return parse_mail(f"{head}\r\n\r\n{body}".encode("utf-8", "surrogateescape"))


# -- a good email ------------------------------------------------------------------------


def test_a_plain_email_is_described() -> None:
    said = parse_mail(mail(cc="Reetta R <reetta@esimerkki.example>")).description
    assert said.message_id == "1@esimerkki.example"
    assert said.subject == "Sähkökatko Mäntytiellä"
    assert said.from_ == ("aino@esimerkki.example",)
    assert said.to == ("asiakaspalvelu@sahko.example",)
    assert said.cc == ("reetta@esimerkki.example",)
    assert said.names == ("Aino Esimerkki", "Reetta R")
    assert said.date == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert said.attachments == ()
    assert said.parse_errors == ()


def test_the_text_is_read_with_its_letters() -> None:
    assert parse_mail(mail()).text.startswith("Hei,\n\nsähköt katkesivat eilen.")


def test_a_reply_names_what_it_answers() -> None:
    answered = [("In-Reply-To", "<1@a.example>"), ("References", "<0@a.example> <1@a.example>")]
    said = parse_mail(mail(headers=answered)).description
    assert said.in_reply_to == "1@a.example"
    assert said.references == ("0@a.example", "1@a.example")


def test_a_date_is_told_in_utc() -> None:
    assert of("Date: Mon, 2 Mar 2026 00:15:00 +0200").description.date == datetime(
        2026, 3, 1, 22, 15, tzinfo=UTC
    )


def test_attachments_are_listed_and_given_back() -> None:
    pdf = b"%PDF-1.4 \x00\xff"
    raw = mail(attachments=[("lasku.pdf", "application/pdf", pdf), ("b.csv", "text/csv", b"a;b")])
    listed = parse_mail(raw).description.attachments
    assert [(a.name, a.type, a.bytes, a.index) for a in listed] == [
        ("lasku.pdf", "application/pdf", len(pdf), 0),
        ("b.csv", "text/csv", 3, 1),
    ]
    assert attachment(raw, 0) == ("lasku.pdf", "application/pdf", pdf)
    assert attachment(raw, 1) == ("b.csv", "text/csv", b"a;b")
    assert attachment(raw, 2) is None
    assert attachment(raw, -1) is None


def test_plain_text_goes_before_html_and_both_are_kept() -> None:
    parsed = parse_mail(mail(text="tekstinä tämä kaikki", html="<p>muotoiltuna <b>tämä</b></p>"))
    assert parsed.text == "tekstinä tämä kaikki"
    assert parsed.html is not None
    assert "<b>tämä</b>" in parsed.html


def test_an_email_of_html_alone_is_read_as_text() -> None:
    html = "<style>p{}</style><p>Hei,</p><p>sähkö&shy;katko<br>jatkuu</p><script>x()</script>"
    text = parse_mail(mail(text=None, html=html)).text
    assert text.replace("\xad", "") == "Hei,\n\nsähkökatko\njatkuu"


def test_a_plain_part_that_only_points_at_the_html_is_not_taken_for_the_text() -> None:
    html = "<p>" + "sähkökatko kesti kolme tuntia " * 10 + "</p>"
    assert "kolme tuntia" in parse_mail(mail(text="Avaa selaimessa.", html=html)).text


def test_flowed_paragraphs_are_joined() -> None:
    head = "Content-Type: text/plain; format=flowed"
    assert of(head, "yksi \r\nkaksi\r\n> lainaus \r\n> jatkuu\r\n-- \r\nAino").text == (
        "yksi kaksi\n> lainaus jatkuu\n--\nAino"
    )


def test_an_attached_email_counts_once_is_found_by_its_words_and_comes_back_unchanged() -> None:
    inner = mail(subject="Alkuperäinen valitus", text="mittari on rikki\n").replace(
        b"Subject:", b"X-Odd :  folded\r\n   twice\r\nSubject:"
    )
    raw = (
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\n\r\nliitteen mukana\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n"
        + inner
        + b"\r\n--x--\r\n"
    )
    parsed = parse_mail(raw)
    assert [(a.name, a.type) for a in parsed.description.attachments] == [
        ("Alkuperäinen valitus.eml", "message/rfc822")
    ]
    assert "liitteen mukana" in parsed.text
    assert "mittari on rikki" in parsed.text
    found = attachment(raw, 0)
    assert found is not None
    assert found[2] == inner


def test_the_envelope_line_of_an_mbox_is_skipped() -> None:
    raw = b"From aino@b.example Mon Mar  2 10:15:00 2026\r\n" + mail()
    assert parse_mail(raw).description == parse_mail(mail()).description


def test_a_byte_order_mark_hides_no_field() -> None:
    found = parse_mail(b"\xef\xbb\xbf" + mail()).description
    assert found == parse_mail(mail()).description
    assert found.parse_errors == ()


def test_uuencoded_attachments_of_old_mailers_are_read() -> None:
    body = "begin 644 a.txt\r\n" + "%:&5L;&\\*\r\n" + "`\r\nend\r\n"
    head = (
        "Content-Type: application/octet-stream; name=a.txt\r\n"
        "Content-Transfer-Encoding: x-uuencode"
    )
    raw = f"{head}\r\n\r\n{body}".encode()
    found = attachment(raw, 0)
    assert found is not None
    assert found[2].startswith(b"hello")


# -- header fields -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("=?utf-8?Q?S=C3=A4hk=C3=B6?=", "Sähkö"),
        ("=?utf-8?Q?S=C3?= =?utf-8?Q?=A4?=", "Sä"),
        ("=?UTF-8?B?U8OkaGvDtg==?= =?iso-8859-1?Q?_=E4?=", "Sähkö ä"),
        ("=?utf-8?Q?avoin kirje?= nyt", "avoin kirje nyt"),
        ("=?utf-8?B?U8OkaGvDtg?=", "Sähkö"),
        ("=?x-tuntematon?Q?S=C3=A4hk=C3=B6?=", "Sähkö"),
        ("=?utf-8?Q?kesken", "=?utf-8?Q?kesken"),
        ("=?utf-8*fi?Q?=C3=A4?=", "ä"),
        ("Sähkö raakana", "Sähkö raakana"),
        ("=?iso-8859-15?Q?=A4?=", "€"),
        ("=?gb2312?B?xOO6ww==?=", "你好"),
    ],
)
def test_subjects_are_read_however_they_are_encoded(written: str, read: str) -> None:
    assert of(f"Subject: {written}").description.subject == read


def test_raw_latin_letters_in_a_subject_are_read() -> None:
    raw = b"Subject: S\xe4hk\xf6katko\r\n\r\n"
    assert parse_mail(raw).description.subject == "Sähkökatko"


def test_of_two_subjects_the_first_counts_and_of_two_recipients_both() -> None:
    said = of("Subject: yksi\r\nSubject: kaksi\r\nTo: a@b.example\r\nTo: c@d.example").description
    assert said.subject == "yksi"
    assert said.to == ("a@b.example", "c@d.example")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"Esimerkki, Aino" <Aino@B.Example>', [("Esimerkki, Aino", "aino@b.example")]),
        ("aino@b.example (Aino E)", [("Aino E", "aino@b.example")]),
        ("Ryhmä: a@b.example, C <c@d.example>;", [("", "a@b.example"), ("C", "c@d.example")]),
        ("undisclosed-recipients:;", []),
        ("a@b.example; c@d.example", [("", "a@b.example"), ("", "c@d.example")]),
        ("=?utf-8?Q?M=C3=A4ki,_Aino?= <a@b.example>", [("Mäki, Aino", "a@b.example")]),
        ("'a@b.example' <a@b.example>", [("a@b.example", "a@b.example")]),
        ('"unclosed, a@b.example', [("", "a@b.example")]),
        ("<@relay.example:a@b.example>", [("", "a@b.example")]),
        ("Aino [mailto:a@b.example]", [("Aino", "a@b.example")]),
        ("nobody", []),
        ("", []),
        ("<>", []),
    ],
)
def test_addresses_are_found_however_they_are_written(
    written: str, read: list[tuple[str, str]]
) -> None:
    assert [(one.name, one.address) for one in addresses([written])] == read


def test_an_address_with_foreign_letters_is_kept() -> None:
    said = of("From: Jörg <jörg@mäki.example>").description
    assert said.from_ == ("jörg@mäki.example",)


def test_a_line_of_rubbish_among_the_fields_does_not_hide_what_follows() -> None:
    said = of("From: a@b.example\r\nrubbish\r\nSubject: luettavissa").description
    assert said.subject == "luettavissa"
    assert "malformed header" in said.parse_errors


# -- names of files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\a.exe", "a.exe"),
        ("a\x00b\r\n.txt", "ab__.txt"),
        ("lasku\u202efdp.exe", "laskufdp.exe"),
        ("...", ""),
        ("  lasku .pdf ", "lasku .pdf"),
        ("a" * 300 + ".pdf", "a" * (NAME_MAX - 4) + ".pdf"),
        ("sähkölasku 3/2026.pdf", "2026.pdf"),
    ],
)
def test_attachment_names_are_made_safe(written: str, safe: str) -> None:
    assert safe_name(written) == safe


@pytest.mark.parametrize(
    "parameter",
    [
        "filename*=UTF-8''s%C3%A4hk%C3%B6.pdf",
        "filename*0*=UTF-8''s%C3%A4h; filename*1*=k%C3%B6.pdf",
        'filename="=?utf-8?Q?s=C3=A4hk=C3=B6.pdf?="',
        'filename="sähkö.pdf"',
        "filename*=iso-8859-1''s%E4hk%F6.pdf",
    ],
)
def test_names_with_letters_are_read_in_every_form(parameter: str) -> None:
    head = f"Content-Type: application/pdf\r\nContent-Disposition: attachment; {parameter}"
    assert of(head).description.attachments[0].name == "sähkö.pdf"


def test_an_attachment_without_name_gets_one() -> None:
    assert of("Content-Type: application/pdf").description.attachments[0].name == "liite-1.pdf"


@given(st.text(max_size=300))
def test_any_name_is_made_safe(written: str) -> None:
    safe = safe_name(written)
    assert len(safe) <= NAME_MAX
    assert not set(safe) & set('/\\\x00\r\n\t<>"|?*:')
    assert safe not in (".", "..")
    assert safe_name(safe) == safe


# -- bytes and charsets ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "content", "text", "marked"),
    [
        ("utf-8", "sähkö".encode(), "sähkö", False),
        ("iso-8859-1", "sähkö".encode("latin-1"), "sähkö", False),
        ("us-ascii", "sähkö".encode("latin-1"), "sähkö", False),
        ("utf-8", "sähkö".encode("latin-1"), "s\ufffdhk\ufffd", True),
        ("iso-8859-1", "sähkö".encode(), "sähkö", False),
        ("x-gbk", "你好".encode("gbk"), "你好", False),
        ("olematon", "sähkö".encode(), "sähkö", True),
        ("", "sähkö".encode("latin-1"), "sähkö", True),
        ("idna", b"xn--a", "xn--a", True),
        ("unicode_escape", b"\\x41", "\\x41", True),
        ("charset=utf-8", "sähkö".encode(), "sähkö", False),
    ],
)
def test_text_is_read_though_its_charset_lies(
    charset: str, content: bytes, text: str, marked: bool
) -> None:
    raw = f'Content-Type: text/plain; charset="{charset}"\r\n\r\n'.encode() + content
    parsed = parse_mail(raw)
    assert parsed.text == text
    assert ("charset" in parsed.description.parse_errors) == marked


def test_broken_base64_gives_what_can_be_read_and_is_marked() -> None:
    good = base64.b64encode("sähkökatko jatkuu".encode()).decode()
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64"
    parsed = of(head, good[:-3] + "!!")
    assert parsed.text.startswith("sähkökatko")
    assert "damaged text" in parsed.description.parse_errors


def test_nuls_and_lone_surrogates_are_nowhere_in_the_result() -> None:
    raw = (
        b"Subject: a\x00b =?utf-7?Q?+2D0-?=\r\nFrom: \x00 <a\x00@b.example>\r\n"
        b"Content-Type: text/html; charset=utf-7\r\n\r\n<p>+2D0-\x00x</p>"
    )
    parsed = parse_mail(raw)
    for text in (repr(parsed), parsed.text, parsed.html or ""):
        text.encode("utf-8")
        assert "\x00" not in text


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty"),
        (b" \r\n\r\n ", "empty"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            "not an RFC 5322 message: Outlook .msg",
        ),
        (b"just words, no fields", "no header"),
        (b"Date: gestern\r\n\r\n", "unreadable date"),
        (b"Content-Type: multipart/mixed\r\n\r\nx", "multipart without boundary"),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\nx", "multipart without parts"),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx", "multipart not closed"),
        (b"Content-Transfer-Encoding: rot13\r\n\r\nx", "unknown encoding"),
    ],
)
def test_what_is_wrong_is_named_by_a_stable_code(raw: bytes, code: str) -> None:
    assert code in parse_mail(raw).description.parse_errors


def test_the_text_of_a_multipart_that_cannot_be_split_is_still_found() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=a\r\n\r\nei rajaa, mutta sanoja"
    assert "mutta sanoja" in parse_mail(raw).text


def test_codes_never_quote_the_email() -> None:
    said = b"Subject: SECRET\r\nDate: SECRET\r\nSECRET\r\nContent-Type: SECRET/x; charset=SECRET"
    raw = said + b"\r\n\r\nx"
    assert "SECRET" not in " ".join(parse_mail(raw).description.parse_errors)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_without_raising(raw: bytes) -> None:
    repr(parse_mail(raw)).encode("utf-8")
    attachment(raw, 0)


_PIECES = st.sampled_from(
    [
        b"From: ", b"To: ", b"Subject: ", b"Date: ", b"Content-Type: ", b"multipart/mixed", b"; ",
        b"boundary=", b'"', b"x", b"--x", b"--x--", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00",
        b"=?utf-8?Q?", b"=?utf-8?B?", b"?=", b"=C3", b"\xe4", b"<a@b>", b"(", b")", b",", b":",
        b"message/rfc822", b";", b"text/html; charset=", b"utf-7", b"base64", b"../", b"=",
        b"filename*0*=utf-8''%", b"Content-Transfer-Encoding: ", b"format=flowed", b"> ",
        b"Content-Disposition: attachment; filename=", b"quoted-printable", b"x-uuencode",
        b"begin 644 a\n", b"-0000", b"9" * 30,
    ]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(_PIECES, max_size=60).map(b"".join))
def test_any_scramble_of_what_emails_are_made_of_is_read(raw: bytes) -> None:
    parsed = parse_mail(raw)
    repr(parsed).encode("utf-8")
    for listed in parsed.description.attachments:
        found = attachment(raw, listed.index)
        assert found is not None
        assert (found[0], found[1], len(found[2])) == (listed.name, listed.type, listed.bytes)


@given(st.text(max_size=200))
def test_decoding_words_never_raises(written: str) -> None:
    decode_words(written)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.sampled_from(["a/b", "image/png", "text/calendar"]))
def test_an_attachment_comes_back_byte_for_byte(content: bytes, media_type: str) -> None:
    found = attachment(mail(attachments=[("a.bin", media_type, content)]), 0)
    assert found == ("a.bin", media_type, content)
