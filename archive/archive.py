"""The archive: one object whose methods are what it does with recordings.

Pages, API, commands and sources are thin callers of these verbs, so none of them can forget
a permission or an audit entry. Knows nothing of HTTP, sessions or the command line.
"""

from __future__ import annotations

from archive.answers import MailView, Opened, Page, Receipt, View
from archive.casework.holdterms import Held
from archive.erasure.expirydays import DayAccount, ExpiryDay
from archive.reception import complete_descriptor
from archive.verbs.actors import OPERATOR, SYSTEM
from archive.verbs.ending import Ending
from archive.verbs.handing import HandingOut
from archive.verbs.receiving import Receiving

__all__ = [
    "OPERATOR",
    "SYSTEM",
    "Archive",
    "DayAccount",
    "ExpiryDay",
    "Held",
    "MailView",
    "Opened",
    "Page",
    "Receipt",
    "View",
    "complete_descriptor",
]


class Archive(Receiving, HandingOut, Ending):
    """The verbs. Thread-safe; one a process."""
