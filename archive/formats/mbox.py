"""Emails as an mbox (RFC 4155; quoted as mboxrd), one after the other as a stream.

Pure: bytes and times in, bytes out. Who may have them is asked elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

MEDIA_TYPE = "application/mbox"
_FROM = re.compile(rb"(?m)^(?=>*From )")


def written(emails: Iterable[tuple[datetime, bytes]]) -> Iterator[bytes]:
    """The mbox of (time of contact, the email as it is), each as a piece.

    The time stands in the `From ` line as the given one's clock shows it. Lines that begin with
    `From ` or `>From ` get one more `>`, which mboxrd readers take away again.
    """
    for at, raw in emails:
        end = b"" if raw.endswith(b"\n") else b"\n"
        yield f"From MAILER-DAEMON {at:%a %b %d %H:%M:%S %Y}\n".encode("ascii")
        yield _FROM.sub(b">", raw) + end + b"\n"
