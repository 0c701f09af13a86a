"""What a list of hits shows of each: the words asked for, in what its reader may read.

Subject and notes are metadata; of an email's text and a call's transcript only those get an excerpt
who may open that very one for the purpose stated, and each is an entry in the audit log. Knows no
requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from archive import audit, transcripts
from archive.answers import View
from archive.model import Actor
from archive.search.marking import Excerpt, Marker, excerpt

SAME_READING = timedelta(minutes=15)  # as an opening lasts: going through a list is one reading


def of(
    views: Iterable[View], find: Marker, *, may_read: Callable[[View], bool]
) -> tuple[dict[UUID, Excerpt], list[UUID]]:
    """Recording -> excerpt, where there is one; and the recordings of which the text was shown."""
    found: dict[UUID, Excerpt] = {}
    read: list[UUID] = []
    for view in views:
        notes = excerpt(view.descriptor.notes or "", find)
        said = _said(view)
        if not notes and said and may_read(view):
            notes = excerpt(said, find)
            read += [view.id] if notes else []
        if notes:
            found[view.id] = notes
    return found, read


def _said(view: View) -> str:
    """An email's text, or what was said in a call, without its silenced stretches."""
    if view.description is None or view.description.mail:
        return view.description.text if view.description else ""
    return "\n".join(cue.text for cue in transcripts.said(view.descriptor, view.description))


def subject(view: View, find: Marker) -> Excerpt:
    """The whole subject with what was asked for marked; () where nothing of it stands there."""
    mail = view.description.mail if view.description else None
    return excerpt(mail.subject or "", find, whole=True) if mail else ()


def note(
    connection: Connection,
    read: Sequence[UUID],
    *,
    at: datetime,
    actor: Actor,
    purpose: str | None,
    case: str | None,
) -> None:
    """An audit entry for each text that is shown in part; one within SAME_READING."""
    if not read:
        return
    noted = connection.execute(
        text("""select recording_id from audit_event where recording_id = any(:ids)
            and verb = 'excerpt' and actor_id = :actor and at > :since
            and purpose is not distinct from :purpose
            and case_number is not distinct from cast(:case as text)"""),
        {
            "ids": list(read),
            "actor": actor.id,
            "since": at - SAME_READING,
            "purpose": purpose,
            "case": case,
        },
    ).scalars()
    for id in sorted(set(read) - set(noted)):
        audit.append(
            connection,
            at=at,
            actor=actor,
            verb="excerpt",
            recording_id=id,
            purpose=purpose,
            case=case,
        )
