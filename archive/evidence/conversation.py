"""Recordings as a vCon: parties, dialogs with what content fits, what the archive knows.

Knows recordings and their descriptions; the format itself is in `formats.vcon`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from archive import transcripts
from archive.formats import transcript, vcon
from archive.model import Descriptor, Kind, MailDescription, Recording
from archive.vault import Description

MOST_INLINE = 32 * 1024 * 1024  # bytes of content in one vCon


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """One recording, and its content, what is wanted first: (type, name, length, read)."""

    recording: Recording
    descriptor: Descriptor
    description: Description
    contents: tuple[tuple[str, str, int, Callable[[], Iterable[bytes]]], ...]


def of(
    id: UUID, talks: Iterable[Talk], *, subject: str | None, now: datetime, most: int = MOST_INLINE
) -> dict[str, Any]:
    """One vCon of these recordings, in their order.

    What does not fit into `most` bytes together stands as an "incomplete" dialog with its
    digest in the attachment. What was said in a call stands as an analysis, without the lines of
    silenced stretches.
    """
    parties = vcon.Parties()
    dialogs: list[dict[str, Any]] = []
    attachments: list[dict[str, Any]] = []
    analyses: list[dict[str, Any]] = []
    for talk in talks:
        content, used = _fitting(talk, most)
        most -= used
        made = _call(talk, parties, content) if _is_call(talk) else _email(talk, parties, content)
        attachments.append(
            vcon.attachment(
                "contact-archive", _known(talk), start=talk.recording.occurred_at,
                dialog=len(dialogs),
            )
        )  # fmt: skip
        if lines := transcripts.said(talk.descriptor, talk.description):
            written = transcript.write(transcript.VTT, lines).decode()
            analyses.append(
                vcon.transcript(
                    written,
                    media_type=transcript.VTT,
                    dialog=len(dialogs),
                    vendor="contact-archive",
                )
            )
        dialogs.append(made)
    return vcon.container(
        id,
        created_at=now,
        subject=subject,
        parties=parties,
        dialogs=dialogs,
        attachments=attachments,
        analyses=analyses,
    )


_BY_CONTAINER = {
    "wav": "audio/x-wav", "ogg": "audio/ogg", "mp3": "audio/mpeg", "flac": "audio/flac",
}  # fmt: skip


def media_type(recording: Recording, descriptor: Descriptor, description: Description) -> str:
    """Of an original: as it was delivered, else what describing it found."""
    if recording.kind is Kind.EMAIL:
        outlook = description.mail is not None and description.mail.container == "outlook"
        return "application/vnd.ms-outlook" if outlook else "message/rfc822"
    if descriptor.media_type.startswith("audio/"):
        return descriptor.media_type
    containers = (description.call.container or "" if description.call else "").split(",")
    found = (kind for name, kind in _BY_CONTAINER.items() if name in containers)
    return next(found, "application/octet-stream")


def _is_call(talk: Talk) -> bool:
    return talk.recording.kind is Kind.CALL


def _fitting(talk: Talk, most: int) -> tuple[vcon.Content | None, int]:
    for media_type, name, length, read in talk.contents:
        if length <= most:
            body = b"".join(read())
            return vcon.Content(media_type=media_type, file_name=name, body=body), length
    if not talk.contents:
        return None, 0
    media_type, name, _, _ = talk.contents[0]
    return vcon.Content(media_type=media_type, file_name=name, body=None), 0


def _call(talk: Talk, parties: vcon.Parties, content: vcon.Content | None) -> dict[str, Any]:
    told = talk.descriptor
    caller = parties.index(**vcon.party_of_call(told.caller))
    callee = parties.index(**vcon.party_of_call(told.callee))
    agent = parties.index(name=told.agent, role="agent")
    found = talk.description.call
    return vcon.dialog(
        "recording",
        start=talk.recording.occurred_at,
        parties=[caller, callee, agent],
        originator=caller,
        content=content,
        duration_s=found.duration_s if found else told.claimed_duration_s,
    )


def _email(talk: Talk, parties: vcon.Parties, content: vcon.Content | None) -> dict[str, Any]:
    mail = talk.description.mail
    found = list(_addresses(mail, parties)) if mail else []
    return vcon.dialog(
        "text",
        start=talk.recording.occurred_at,
        parties=found,
        originator=found[0] if found else None,
        content=content,
        message_id=mail.message_id if mail else None,
    )


def _addresses(mail: MailDescription, parties: vcon.Parties) -> Iterator[int | None]:
    for address in dict.fromkeys((*mail.from_, *mail.to, *mail.cc)):
        yield parties.index(mailto=address)


def _known(talk: Talk) -> dict[str, Any]:
    told = talk.descriptor
    known = {
        "id": str(talk.recording.id),
        "direction": talk.recording.direction.value,
        "line": talk.recording.line,
        "source": talk.recording.source,
        "received_at": talk.recording.received_at.isoformat(),
        "sha256": told.sha256,
        "bytes": talk.recording.bytes,
        "customer_number": told.customer_number,
        "metering_point": told.metering_point,
        "call_id": told.call_id,
        "masked": [list(pair) for pair in told.masked],
    }
    return {name: value for name, value in known.items() if value not in (None, "", [])}
