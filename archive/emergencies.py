"""Breaking the glass: one recording beyond one's rights, possible, loud, reviewed afterwards.

For people of the groups in ARCHIVE_BREAK_GLASS: a stated reason, a quarter of an hour, this
recording alone. Data protection is told at once, and asked until somebody else has reviewed it.
What is restricted, over or being erased stays shut.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from archive import alertchannels, alerts, audit, catalogue, permissions
from archive.answers import MailView, View
from archive.archive import Archive
from archive.casework import emergencies, notices
from archive.casework.emergencies import Emergency, Outcome
from archive.db import reading, transaction
from archive.errors import BadFields, FieldError, Forbidden, NotFound
from archive.formats.identifiers import find_hetu
from archive.model import Actor, Exceptional, Kind, Recording, Scope

SHORTEST, LONGEST = 20, 2000  # characters of a reason
ALERT, NOTICE = "break-glass", "break-glass"


class EmergencyDesk:
    """The verbs of emergency access, over an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    # -- whoever breaks the glass ----------------------------------------------------

    def begin(self, actor: Actor, id: UUID, *, reason: str) -> UUID:
        """An access to the recording, told to data protection before anything is opened.

        BadFields: a reason of fewer than 20 characters, or with a personal identity code. NotFound.
        """
        permissions.require(actor, Scope.BREAK_GLASS)
        said = " ".join(reason.split())
        if not SHORTEST <= len(said) <= LONGEST or find_hetu(said):
            expected = f"{SHORTEST} to {LONGEST} characters, no personal identity code"
            raise BadFields(errors=[FieldError("reason", expected)])
        archive, now = self._archive, self._archive.now()
        recording = self._lent(actor, id)
        channels = tuple(alertchannels.channels_of(archive.config, now=archive.now))
        with transaction(archive.engine) as connection:
            made = emergencies.begin(
                archive.vault, connection, actor, recording, reason=said, now=now
            )
            audit.append(
                connection, at=now, actor=actor, verb="break-glass", recording_id=id,
                purpose=Exceptional.EMERGENCY.value,
                detail={"emergency": str(made), **archive.of_whom([recording], by=actor)},
            )  # fmt: skip
            told = notices.reader(connection, "")
            notices.tell(
                connection, told, kind=NOTICE, key=f"{NOTICE}/{made}", now=now, recording=id
            )
            alerts.begin(connection, ALERT, str(made), now=now, channels=channels)
        return made

    def view(self, actor: Actor, emergency: UUID) -> tuple[View, MailView | None, datetime]:
        """The recording, of an email what it says, and until when. NotFound once it is over.

        A call's facts are noted as read, an email as opened, before anything is shown.
        """
        archive = self._archive
        recording, lent = self._current(actor, emergency)
        email = recording.kind is Kind.EMAIL
        with transaction(archive.engine) as connection:
            audit.append(
                connection, at=archive.now(), actor=actor, verb="open" if email else "read",
                recording_id=recording.id, purpose=Exceptional.EMERGENCY.value,
                detail=({"rendition": "page"} if email else {})
                | archive.of_whom([recording], by=actor),
            )  # fmt: skip
            until = emergencies.until_of(connection, emergency)
        view = archive._views(lent, [recording])[0]
        said = view.description.text if email and view.description else None
        return view, MailView(view=view, text=said, html=None) if said is not None else None, until

    def make_opening(self, actor: Actor, emergency: UUID) -> tuple[str, datetime]:
        """A token for a player's address; noted first. It ends with the access. NotFound."""
        recording, lent = self._current(actor, emergency)
        return self._archive.begin_opening(lent, recording, purpose=Exceptional.EMERGENCY)

    def peaks(self, actor: Actor, emergency: UUID) -> bytes | None:
        """The waveform of the call. NotFound."""
        recording, _lent = self._current(actor, emergency)
        return self._archive.waveform(recording)

    def _current(self, actor: Actor, emergency: UUID) -> tuple[Recording, Actor]:
        permissions.require(actor, Scope.BREAK_GLASS)
        with reading(self._archive.engine) as connection:
            id = emergencies.recording_of(connection, actor, emergency, now=self._archive.now())
        if id is None:
            raise NotFound()
        return self._lent(actor, id), permissions.lent(actor)

    def _lent(self, actor: Actor, id: UUID) -> Recording:
        return self._archive._visible(permissions.lent(actor), id)

    # -- whoever reviews it ----------------------------------------------------------

    def every(self, actor: Actor) -> list[Emergency]:
        """Each access, those to be reviewed first."""
        permissions.require_dpo(actor, "review emergency access")
        archive = self._archive
        with reading(archive.engine) as connection:
            rows = catalogue.get_many(connection, emergencies.ids(connection))
            return emergencies.every(archive.vault, connection, rows)

    def waiting(self, actor: Actor) -> int:
        """How many wait for data protection; 0 for everybody else."""
        if not permissions.is_dpo(actor):
            return 0
        with reading(self._archive.engine) as connection:
            return len(emergencies.unreviewed(connection))

    def review(self, actor: Actor, emergency: UUID, *, outcome: str, note: str) -> None:
        """Notes what data protection found. Forbidden for one's own; BadFields, NotFound."""
        permissions.require_dpo(actor, "review emergency access")
        said = " ".join(note.split())
        errors = []
        if outcome not in set(Outcome):
            errors.append(FieldError("outcome", "one of " + ", ".join(Outcome)))
        if not said or len(said) > LONGEST or find_hetu(said):
            expected = f"1 to {LONGEST} characters, no personal identity code"
            errors.append(FieldError("note", expected))
        if errors:
            raise BadFields(errors=errors)
        archive, now = self._archive, self._archive.now()
        channels = tuple(alertchannels.channels_of(archive.config, now=archive.now))
        with transaction(archive.engine) as connection:
            found = emergencies.one(connection, emergency)
            if found is None:
                raise NotFound()
            by, recording_id = found
            if by == actor.id:
                raise Forbidden(verb="review one's own emergency access")
            emergencies.review(
                archive.vault, connection, actor, emergency,
                recording=catalogue.get(connection, recording_id), outcome=Outcome(outcome),
                note=said, now=now,
            )  # fmt: skip
            audit.append(
                connection, at=now, actor=actor, verb="review-break-glass",
                recording_id=recording_id,
                detail={"emergency": str(emergency), "outcome": outcome},
            )  # fmt: skip
            alerts.end(connection, ALERT, str(emergency), now=now, channels=channels)
