"""What does this email say? The one door to reading email; the rooms behind it are mail_*.py,
and outlook*.py for Outlook's .msg.

`MailParser` reads in a child process with limits, for bytes that nobody has seen yet; the plain
functions do the same in this process. Nothing that is wrong with an email raises.
"""

from __future__ import annotations

from archive.formats.mail_child import MailParser
from archive.formats.mail_read import ParsedMail, attachment, parse_mail, unread
from archive.formats.mail_text import html_to_text, safe_html
from archive.formats.outlook import Converted, is_outlook

__all__ = [
    "Converted",
    "MailParser",
    "ParsedMail",
    "attachment",
    "html_to_text",
    "is_outlook",
    "parse_mail",
    "safe_html",
    "unread",
]
