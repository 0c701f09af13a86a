"""What ties recordings together: digests of Message-IDs and call ids, as words of the index.

They stand beside the addresses of a document, so they are found exactly, are sealed or keyed with
the month like every other word, and go when its month is written anew. The catalogue holds none of
Message-IDs: a digest there would outlive, in its dumps, the night that destroys the recording. Of
call ids it holds one (`legs`), keyed as references are, for metadata that look for their legs.
"""

from __future__ import annotations

import hashlib

from archive.model import Descriptor, MailDescription

MOST_REFERENCES = 12  # of an email's References: the first, which all have, and the last ones


def of_mail(mail: MailDescription) -> list[str]:
    """The email's own id and those it answers, the beginning of the conversation first."""
    told = [*mail.references[:1], *mail.references[-(MOST_REFERENCES - 1) :]]
    ids = [*told, *([mail.in_reply_to] if mail.in_reply_to else [])]
    ids += [mail.message_id] if mail.message_id else []
    return [_tie("mail", id) for id in dict.fromkeys(ids)]


def of_call(call: Descriptor) -> list[str]:
    """The source's id of the call, which parts of a transferred call share."""
    return [_tie("call", call.source, call.call_id)] if call.call_id else []


def _tie(*values: str) -> str:
    body = b"".join(
        len(value).to_bytes(4, "big") + value
        for value in (v.encode("utf-8", "replace") for v in values)
    )
    return "tie" + hashlib.sha256(body).hexdigest()[:24]
