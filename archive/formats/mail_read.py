"""An email's bytes to its parties, subject, date, words and attachments.

Whatever the bytes are, something is returned: what fails to parse is named by a stable code in
`parse_errors` and the rest is read. Knows nothing of processes, storage, keys and people.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from archive.formats import mail_headers as headers
from archive.formats import outlook, sniffing
from archive.formats.charsets import decode
from archive.formats.journal import JournalReport, read_report
from archive.formats.mail_text import html_to_text, safe_html, tidy, unflow
from archive.formats.mime import Part, leaves, parse_tree, split_header
from archive.model import Attachment, MailDescription

TEXT_MAX = 1_000_000  # characters
HTML_MAX = 2_000_000
NAME_MAX = 120
_DEEPEST_ATTACHED = 3  # mails attached to attached mails whose words are still read
_SUBJECT_MAX = 10_000
_HEADER_SENT_MAX = 1024 * 1024
# Characters that turn the direction of writing and so disguise an extension, and invisible ones.
_DISGUISE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_TAGS = re.compile(r"<[^<>]{0,10000}>?")
_NOT_TEXT = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\u2028\u2029]')
_EXTENSIONS = mimetypes.MimeTypes(filenames=())  # the built-in table: the system's is not read


class Depth(StrEnum):
    """How far into an email to read; the lesser ones are for what breaks its reader."""

    ALL = "all"
    PLAIN = "plain"  # no HTML is parsed: its tags are cut out
    HEADERS = "headers"  # neither body nor attachments


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """The description; `text` for reading and finding, at most TEXT_MAX characters; `html` as
    `safe_html` leaves it, at most HTML_MAX characters, None if there is none.
    """

    description: MailDescription
    text: str
    html: str | None


def parse_mail(raw: bytes, *, depth: Depth = Depth.ALL) -> ParsedMail:
    """Reads an email of any bytes; never raises. Several From, To and Cc are joined.

    Codes in `parse_errors`: empty · not an RFC 5322 message: Outlook .msg · no header · malformed
    header · unreadable date · too many addresses · multipart without boundary, without parts, not
    closed · nested too deeply · too many parts · unknown encoding · damaged text · damaged
    attachment · charset; and of `MailParser`: time limit · memory limit · parser failed.
    A .msg is made a message first (`outlook.convert`, with codes of its own).
    """
    if not raw.strip():
        return unread("empty")
    if outlook.is_outlook(raw):
        return unread("not an RFC 5322 message: Outlook .msg", container=outlook.CONTAINER)
    raw = _without_mbox_line(raw)
    if depth is Depth.HEADERS:
        raw = split_header(raw)[0][:_HEADER_SENT_MAX] + b"\r\n\r\n"
    top, problems, report = _message(raw)
    if not list(top.fields.raw_items()):
        problems.append("no header")
    body = _Body(problems)
    if depth is not Depth.HEADERS:
        body.take(top)
    if depth is Depth.PLAIN:
        body.rich = [_TAGS.sub(" ", html) for html in body.rich]
        body.plain, body.rich = body.plain + body.rich, []
    return ParsedMail(_description(top, body, report), body.reading(), body.html())


def unread(*codes: str, container: str | None = None) -> ParsedMail:
    """An email of which nothing is known but why."""
    return ParsedMail(
        MailDescription(
            message_id=None,
            subject=None,
            from_=(),
            to=(),
            cc=(),
            names=(),
            date=None,
            attachments=(),
            parse_errors=codes,
            container=container,
        ),
        "",
        None,
    )


def attachment(raw: bytes, index: int) -> tuple[str, str, bytes] | None:
    """(safe file name, media type, content) of an attachment; None if there is no such one.

    `index` as in the description. An attached email comes back as the exact bytes it had.
    """
    if index < 0 or outlook.is_outlook(raw):
        return None
    top, _, _ = _message(_without_mbox_line(raw))
    found = [part for part in leaves(top) if _is_attachment(part)]
    if index >= len(found):
        return None
    part = found[index]
    return _name(part, index), _media_type(part), part.content()[0]


def _message(raw: bytes) -> tuple[Part, list[str], JournalReport | None]:
    """The message as a tree, what was wrong with it, and the journal report it came in, if any.

    Of a report the message within is read: nobody looks for a mail by the server's wrapping.
    """
    top, problems = parse_tree(raw)
    found = read_report(top)
    if found is None or found[1] is None:
        return top, problems, found[0] if found else None
    inner, more = parse_tree(_without_mbox_line(found[1].content()[0]))
    return inner, list(dict.fromkeys(problems + more)), found[0]


def safe_name(raw: str) -> str:
    """A file name without folders, control or direction characters, at most NAME_MAX characters;
    '' where nothing is left."""
    last = re.split(r"[/\\]", headers.clean(raw))[-1]
    plain = _UNSAFE_IN_NAMES.sub("_", _DISGUISE.sub("", last))
    plain = " ".join(plain.split()).strip(". ")
    if len(plain) <= NAME_MAX:
        return plain
    stem, dot, extension = plain.rpartition(".")
    if not dot or len(extension) > 20:
        return plain[:NAME_MAX]
    return stem[: NAME_MAX - len(extension) - 1] + dot + extension


@dataclass(slots=True)
class _Body:
    """Gathers words and attachments of a tree of parts."""

    problems: list[str]
    plain: list[str] = field(default_factory=list)
    rich: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    def take(self, top: Part, depth: int = 0) -> None:
        for part in leaves(top):
            if not _is_attachment(part):
                self._take_text(part)
                continue
            content, whole = part.content()
            if not whole:
                self._problem("damaged attachment" if _encoded(part) else "unknown encoding")
            index = len(self.attachments)
            self.attachments.append(
                Attachment(
                    _name(part, index),
                    _media_type(part),
                    len(content),
                    index,
                    sniffing.content_type(content),
                )
            )
            if part.type == "message/rfc822" and depth < _DEEPEST_ATTACHED:
                self.attached.append(_words_of_attached(content, depth + 1))

    def reading(self) -> str:
        """The plain text; the HTML's words where there is no plain text, or next to none."""
        plain = tidy("\n".join(self.plain))
        if self.rich:
            rich = html_to_text("\n".join(self.rich)[:HTML_MAX])
            if len(plain.split()) * 5 < len(rich.split()):
                plain = rich
        words = "\n\n".join(filter(None, (plain, *self.attached)))
        return _NOT_TEXT.sub("", headers.clean(words))[:TEXT_MAX]

    def html(self) -> str | None:
        rich = headers.clean("\n".join(self.rich))[:HTML_MAX]
        return safe_html(rich)[:HTML_MAX] if rich else None

    def _take_text(self, part: Part) -> None:
        content, whole = part.content()
        if not whole:
            self._problem("damaged text" if _encoded(part) else "unknown encoding")
        text, as_declared = decode(content, part.parameter("charset"))
        if not as_declared:
            self._problem("charset")
        if part.type == "text/html":
            self.rich.append(text[:HTML_MAX])
            return
        if (part.parameter("format") or "").lower() == "flowed":
            delete_space = (part.parameter("delsp") or "").lower() == "yes"
            text = unflow(text[:TEXT_MAX], delete_space=delete_space)
        self.plain.append(text[:TEXT_MAX])

    def _problem(self, code: str) -> None:
        if code not in self.problems:
            self.problems.append(code)


def _description(top: Part, body: _Body, report: JournalReport | None) -> MailDescription:
    fields = top.fields
    parties = {
        name: headers.addresses(headers.raw_values(fields, name))
        for name in ("from", "to", "cc", "reply-to", "sender")
    }
    problems = list(body.problems)
    given_date = headers.text(fields, "date")
    when = headers.date(given_date) if given_date else None
    if given_date and when is None:
        problems.append("unreadable date")
    if any(len(found) >= headers.MOST_ADDRESSES for found in parties.values()):
        problems.append("too many addresses")
    ids = headers.message_ids(headers.raw_values(fields, "message-id")[:1])
    replied = headers.message_ids(headers.raw_values(fields, "in-reply-to")[:1])
    subject = headers.text(fields, "subject")
    return MailDescription(
        message_id=ids[0] if ids else None,
        subject=subject[:_SUBJECT_MAX] if subject is not None else None,
        from_=_addresses(parties["from"]),
        to=_addresses(parties["to"]),
        cc=_addresses(parties["cc"]),
        names=tuple(dict.fromkeys(a.name for found in parties.values() for a in found if a.name)),
        date=when,
        attachments=tuple(body.attachments),
        parse_errors=tuple(dict.fromkeys(problems)),
        in_reply_to=replied[0] if replied else None,
        references=tuple(headers.message_ids(headers.raw_values(fields, "references"))[-100:]),
        bcc=_unseen(report, parties),
    )


def _unseen(
    report: JournalReport | None, parties: Mapping[str, Sequence[headers.Address]]
) -> tuple[str, ...]:
    """Who got the message by a journal report without standing in it."""
    if report is None:
        return ()
    shown = {one.address for name in ("to", "cc") for one in parties[name]}
    got = (*report.bcc, *report.recipients, *report.to, *report.cc)
    return tuple(dict.fromkeys(a for a in got if a not in shown))[: headers.MOST_ADDRESSES]


def _addresses(found: Sequence[headers.Address]) -> tuple[str, ...]:
    return tuple(one.address for one in found)  # as written, a repeated one too


def _without_mbox_line(raw: bytes) -> bytes:
    """Without the `From ` line that mbox files put before a message."""
    return re.sub(rb"\A(?:[\r\n]*)>?From [^\r\n]*(?:\r\n|\n|\r)", b"", raw)


def _is_attachment(part: Part) -> bool:
    """All that is not the message's own text. A multipart that could not be split is text."""
    if part.type.startswith("multipart/"):
        return False
    if part.type not in ("text/plain", "text/html"):
        return True
    return _disposition(part) == "attachment"


def _disposition(part: Part) -> str:
    return str(part.fields.get("content-disposition", "")).partition(";")[0].strip().lower()


def _encoded(part: Part) -> bool:
    encoding = str(part.fields.get("content-transfer-encoding", "")).lower()
    return "base64" in encoding or "uu" in encoding


def _media_type(part: Part) -> str:
    return (
        part.type
        if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,100}", part.type, re.ASCII)
        else ("application/octet-stream")
    )


def _name(part: Part, index: int) -> str:
    given = part.parameter("filename", "content-disposition") or part.parameter("name")
    name = safe_name(headers.readable(given)) if given else ""
    if name:
        return name
    if part.type == "message/rfc822":
        inner, _ = parse_tree(split_header(part.content()[0])[0] + b"\r\n\r\n")
        subject = safe_name((headers.text(inner.fields, "subject") or "")[: NAME_MAX - 4])
        return f"{subject or f'liite-{index + 1}'}.eml"
    return f"liite-{index + 1}{_EXTENSIONS.guess_extension(part.type) or '.bin'}"


def _words_of_attached(content: bytes, depth: int) -> str:
    """Subject, parties and text of an attached email, so that it can be found by them."""
    top, problems = parse_tree(_without_mbox_line(content))
    body = _Body(problems)
    body.take(top, depth)
    lines = [headers.text(top.fields, name) for name in ("subject", "from", "to", "date")]
    return "\n".join([*filter(None, lines), "", body.reading()])
