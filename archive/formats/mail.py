"""What does this email say? The one door to reading email; the rooms behind it are mail_*.py.

`MailParser` reads in a child process with limits, for bytes that nobody has seen yet; the plain
functions do the same in this process. Nothing that is wrong with an email raises.
"""

from __future__ import annotations

from archive.formats.mail_child import MailParser
from archive.formats.mail_read import ParsedMail, attachment, parse_mail
from archive.formats.mail_text import html_to_text, safe_html

__all__ = [
    "MailParser",
    "ParsedMail",
    "attachment",
    "html_to_text",
    "parse_mail",
    "safe_html",
]
