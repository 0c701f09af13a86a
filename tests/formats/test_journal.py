"""Journal reports: who got a message, read from what Exchange wrote of it."""

from __future__ import annotations

from archive.formats.journal import parse_report
from archive.formats.mail import attachment, parse_mail

INNER = (
    b"From: Maija <maija@example.org>\r\nTo: palvelu@yhtio.example\r\nSubject: Lasku\r\n"
    b'Content-Type: multipart/mixed; boundary="i"\r\n\r\n'
    b"--i\r\nContent-Type: text/plain\r\n\r\nHei\r\n"
    b"--i\r\nContent-Type: application/pdf; name=lasku.pdf\r\n"
    b"Content-Disposition: attachment\r\n\r\n%PDF\r\n--i--\r\n"
)
REPORT = (
    b"X-MS-Journal-Report: \r\nContent-Type: multipart/mixed; boundary=o\r\nSubject: Lasku\r\n\r\n"
    b"--o\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"U2VuZGVyOiBtYWlqYUBleGFtcGxlLm9yZw0KUmVjaXBpZW50OiBwaWlsb0BleGFtcGxlLm5ldA0K\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"\r\n--o--\r\n"
)


def test_every_kind_of_line_is_read_and_what_is_not_understood_left_out() -> None:
    report = parse_report(
        "Sender: <SMTP:Maija@Example.org>\r\nOn-Behalf-Of: pomo@example.org\n"
        "Subject: To: nobody@example.org\r\nMessage-Id: <1@x>\r\n"
        "To: a@x.example, Expanded: ryhma@x.example\nCc: b@x.example\n"
        "Bcc: c@x.example, Forwarded: d@x.example\nRecipient: e@x.example\nRecipient: e@x.example\n"
        "To: nonsense\n\x00\n"
    )
    assert (report.sender, report.on_behalf_of) == ("maija@example.org", "pomo@example.org")
    assert (report.to, report.cc, report.bcc) == (
        ("a@x.example",),
        ("b@x.example",),
        ("c@x.example",),
    )
    assert report.recipients == ("e@x.example",)
    assert report.via == ("ryhma@x.example", "d@x.example")
    assert "nobody@example.org" not in report.everybody


def test_the_message_within_is_described_and_its_attachments_are_its_own() -> None:
    parsed = parse_mail(REPORT)
    assert parsed.description.from_ == ("maija@example.org",)
    assert parsed.description.bcc == ("piilo@example.net",)
    assert [a.name for a in parsed.description.attachments] == ["lasku.pdf"]
    assert parsed.text == "Hei"
    assert attachment(REPORT, 0) == ("lasku.pdf", "application/pdf", b"%PDF")


def test_a_mail_that_only_has_the_mark_is_an_ordinary_mail() -> None:
    for raw in (
        b"X-MS-Journal-Report:\r\nSubject: x\r\n\r\nSender: a@b.example\r\n",
        REPORT.replace(b"X-MS-Journal-Report", b"X-Other"),
    ):
        parsed = parse_mail(raw)
        assert parsed.description.from_ == () and parsed.description.bcc == ()


def test_a_report_without_its_message_still_says_who_got_it() -> None:
    cut = REPORT[: REPORT.index(b"--o\r\nContent-Type: message")]
    assert parse_mail(cut).description.bcc == ("piilo@example.net",)
