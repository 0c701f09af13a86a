"""Verbs of complaint cases, of corrections, and of what verifying a contact came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from archive import (
    audit,
    catalogue,
    corrections,
    intake,
    permissions,
    retention,
    reviews,
    supplements,
)
from archive.answers import CaseEntry, CaseFile, View
from archive.casework import cases, closing, holdrows, staff, verifications
from archive.casework.cases import About, Case, Note
from archive.casework.closing import Closed, Consequences
from archive.casework.staff import Colleague
from archive.casework.verifications import Outcome, Verification
from archive.db import reading, transaction
from archive.errors import (
    AlreadyHeld,
    BadFields,
    BadRequest,
    CaseRequired,
    FieldError,
    Forbidden,
    NotFound,
)
from archive.model import (
    Actor,
    Purpose,
    Recording,
    Scope,
)
from archive.reviews import Lacking, Progress, Review
from archive.verbs.holding import Holding


class Casework(Holding):
    """The verbs."""

    def correct(self, actor: Actor, id: UUID, changes: Mapping[str, Any]) -> View:
        """Changes metadata; a corrected contact time moves the recording to its right cohort.

        A correction never lengthens life beyond arrival plus one year. BadFields names each
        field that cannot be changed or is not understood; then nothing changes.
        """
        permissions.require(actor, Scope.INGEST)
        recording = self._visible(actor, id)
        if actor.source is not None and recording.source != actor.source:
            raise NotFound()
        return self._correct(actor, recording, changes)

    def mend(self, actor: Actor, id: UUID, changes: Mapping[str, Any]) -> View:
        """The same for people who look after what was not understood."""
        permissions.require(actor, Scope.REVIEW)
        return self._correct(actor, self._visible(actor, id), changes)

    def _correct(self, actor: Actor, recording: Recording, changes: Mapping[str, Any]) -> View:
        id = recording.id
        values, occurred_at = intake.correction(changes, rules=self._rules)
        changed = corrections.apply(
            self.vault, self.engine, recording, values, occurred_at, now=self.now()
        )
        if "call_id" in values:
            supplements.note_call(self._supplements, changed, self.vault.descriptor(changed))
        with transaction(self.engine) as connection:
            if reviews.holds_card(values.values()):
                reviews.add(connection, id, "card-number", now=self.now())
            self._note_change(connection, actor, "correct", id, changes)
        return self._views(actor, [changed])[0]

    def to_review(
        self, actor: Actor, *, reason: str | None = None, limit: int = 25, offset: int = 0
    ) -> list[tuple[View, Review]]:
        """What somebody should look at, the oldest first, on the actor's lines."""
        permissions.require(actor, Scope.REVIEW)
        with reading(self.engine) as connection:
            found = reviews.waiting(
                connection, now=self.now(), lines=actor.lines, reason=reason, limit=limit,
                offset=offset,
            )  # fmt: skip
            rows = catalogue.get_many(connection, [one.id for one in found])
        seen = [one for one in found if one.id in rows and self._sees(actor, rows[one.id])]
        views = self._views(actor, [rows[one.id] for one in seen])
        return list(zip(views, seen, strict=True))

    def review_progress(self, actor: Actor) -> tuple[Progress, list[Lacking]]:
        """How much waits and was settled, and metadata whose recordings did not come."""
        permissions.require(actor, Scope.REVIEW)
        with reading(self.engine) as connection:
            done = reviews.progress(connection, now=self.now(), lines=actor.lines)
            return done, reviews.lacking(connection, now=self.now())

    def settle_review(self, actor: Actor, id: UUID) -> None:
        """Sends a recording on as it is now: nobody need look at it any more."""
        permissions.require(actor, Scope.REVIEW)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            if reviews.settle(connection, id, by=actor.id, now=self.now()):
                audit.append(
                    connection, at=self.now(), actor=actor, verb="settle-review", recording_id=id
                )

    def describe_again(self, actor: Actor, id: UUID) -> None:
        """Has a recording described anew, as with a newer decoder."""
        permissions.require(actor, Scope.REVIEW)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            gone = catalogue.describe_again(connection, id, now=self.now())
            audit.append(
                connection, at=self.now(), actor=actor, verb="describe-again", recording_id=id
            )
        self.store.delete(gone)

    def record_verification(
        self,
        actor: Actor,
        id: UUID | None,
        *,
        outcome: str,
        note: str = "",
        asked: Mapping[str, str] | None = None,
    ) -> str:
        """Records what verifying a contact came to; its reference.

        Of a recording, or with `id` None of a contact that was not found, with what was `asked`.
        NotFound, BadFields.
        """
        permissions.require(actor, Scope.READ)
        permissions.require_purpose(actor, Purpose.VERIFICATION)
        checked, said = intake.verification(outcome, note)
        if (id is None) != (checked == Outcome.NOT_FOUND):
            raise BadFields(errors=[FieldError("outcome", "not-found where there is no recording")])
        recording = self._visible(actor, id) if id is not None else None
        with transaction(self.engine) as connection:
            reference = verifications.record(
                self.vault, connection, actor, outcome=Outcome(checked), note=said,
                recording=recording, asked=asked or {}, now=self.now(),
            )  # fmt: skip
            audit.append(
                connection, at=self.now(), actor=actor, verb="record-verification",
                recording_id=id, purpose=Purpose.VERIFICATION.value,
                detail={"outcome": checked, "reference": reference},
            )  # fmt: skip
        return reference

    def verification(self, actor: Actor, reference: str) -> tuple[Verification, View | None]:
        """An outcome by its reference, with the recording it is about. NotFound.

        Only for those who see that recording; of a contact that was not found, for those who
        verify contacts.
        """
        permissions.require(actor, Scope.READ)
        with reading(self.engine) as connection:
            id = verifications.recording_of(connection, reference)
        if id is None:
            permissions.require_purpose(actor, Purpose.VERIFICATION)
        recording = self._visible(actor, id) if id is not None else None
        with transaction(self.engine) as connection:
            found = verifications.one(self.vault, connection, reference, recording)
            audit.append(
                connection, at=self.now(), actor=actor, verb="read", recording_id=id,
                detail={"reference": reference},
            )  # fmt: skip
        return found, self._views(actor, [recording])[0] if recording is not None else None

    def verifications(
        self, actor: Actor, views: Sequence[View]
    ) -> dict[UUID, tuple[Verification, ...]]:
        """What verifying these recordings came to so far, for a page that shows them already."""
        permissions.require(actor, Scope.READ)
        with reading(self.engine) as connection:
            rows = catalogue.get_many(connection, [view.id for view in views if view.readable])
            return verifications.of(self.vault, connection, rows)

    def undo_verification(self, actor: Actor, reference: str) -> UUID | None:
        """Takes back what the actor recorded today; the recording it was about. TooLateToUndo."""
        permissions.require_purpose(actor, Purpose.VERIFICATION)
        found, view = self.verification(actor, reference)
        with transaction(self.engine) as connection:
            verifications.undo(connection, actor, found, now=self.now())
            audit.append(
                connection, at=self.now(), actor=actor, verb="undo-verification",
                recording_id=found.recording_id, purpose=Purpose.VERIFICATION.value,
                detail={"reference": reference},
            )  # fmt: skip
        return view.id if view is not None else None

    def open_case(
        self,
        actor: Actor,
        number: str | None = None,
        *,
        subject: str = "",
        customer: str = "",
        due_on: date | None = None,
    ) -> str:
        """Opens a complaint case under the given number, or the year's next one.

        A case of that number that is there already stays as it is. BadFields, BadRequest.
        """
        permissions.require(actor, Scope.CASES)
        if number is not None and not intake.CASE_NUMBER.fullmatch(number):
            raise BadRequest(reason="a case number is YYYY-NNNNN")
        about = About(*intake.case_about(subject, customer))
        with transaction(self.engine) as connection:
            year = retention.local(self.now()).year
            chosen = number or catalogue.next_case_number(connection, year)
            cases.begin(
                self.vault, connection, actor,
                number=chosen, about=about, due_on=due_on, now=self.now(),
            )  # fmt: skip
        return chosen

    def change_case(
        self, actor: Actor, number: str, *, subject: str, customer: str, due_on: date | None
    ) -> None:
        """What an open case is about, and its day. NotFound, CaseClosed, BadFields."""
        permissions.require(actor, Scope.CASES)
        about = About(*intake.case_about(subject, customer))
        with transaction(self.engine) as connection:
            cases.change(
                self.vault, connection, actor,
                number=number, about=about, due_on=due_on, now=self.now(),
            )  # fmt: skip

    def list_cases(self, actor: Actor, *, mine: bool = True, closed: bool = False) -> list[Case]:
        """Cases, the actor's own or all; open ones with the day that comes first at the top."""
        permissions.require_holds(actor)
        owner = actor.id if mine else None
        with reading(self.engine) as connection:
            return cases.several(self.vault, connection, owner=owner, closed=closed)

    def case_file(self, actor: Actor, number: str) -> CaseFile:
        """A case with its recordings in the order of contact, notes, and what went of it."""
        permissions.require_holds(actor)
        with transaction(self.engine) as connection:
            found = cases.one(self.vault, connection, number)
            rows = catalogue.get_many(connection, cases.recording_ids(connection, number))
            seen = {
                id: row
                for id, row in rows.items()
                if self._sees(actor, row, purpose=Purpose.COMPLAINT.value, case=number)
            }
            notes = cases.notes(self.vault, connection, number, seen)
            gone = cases.gone(connection, number)
            audit.append(
                connection, at=self.now(), actor=actor, verb="read-case", case=number,
                detail=self.of_whom(seen.values()),
            )  # fmt: skip
        views = self._views(actor, sorted(seen.values(), key=lambda r: (r.occurred_at, r.id)))
        return CaseFile(
            case=found,
            entries=tuple(
                CaseEntry(view, tuple(n for n in notes if n.recording_id == view.id))
                for view in views
            ),
            notes=tuple(note for note in notes if note.recording_id is None),
            gone=tuple(gone),
        )

    def take_out_of_case(self, actor: Actor, number: str, id: UUID) -> None:
        """Takes a recording that the case does not hold out of it, with its notes there."""
        permissions.require(actor, Scope.CASES)
        self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with transaction(self.engine) as connection:
            if not cases.take_out(connection, actor, number=number, id=id, now=self.now()):
                raise NotFound()

    def note_in_case(
        self,
        actor: Actor,
        number: str,
        said: str,
        *,
        id: UUID | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> UUID:
        """Notes something in an open case, about one of its recordings, or at a place of a call.

        NotFound, CaseClosed, BadFields.
        """
        permissions.require(actor, Scope.CASES)
        text_, start, end = intake.case_note(said, start_s, end_s, in_recording=id is not None)
        recording = None
        if id is not None:
            recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            if id is not None and id not in cases.recording_ids(connection, number):
                raise CaseRequired()
            kind = "note" if start is None else "mark"
            made = cases.add_note(
                self.vault, connection, number=number, kind=kind, by=actor, said=text_,
                now=self.now(), recording=recording, start_s=start, end_s=end,
            )  # fmt: skip
            audit.append(
                connection, at=self.now(), actor=actor, verb="note-in-case", recording_id=id,
                case=number, detail={"kind": kind},
            )  # fmt: skip
        return made

    def case_notes(self, actor: Actor, number: str, id: UUID) -> tuple[Note, ...] | None:
        """Notes and marks that were made of a recording in an open case; None if it is not in it.

        For a page that shows the recording already, and has noted that it did.
        """
        permissions.require_holds(actor)
        recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with reading(self.engine) as connection:
            if not catalogue.is_open_case(connection, number):
                return None
            if id not in cases.recording_ids(connection, number):
                return None
            found = cases.notes(self.vault, connection, number, {id: recording})
        return tuple(note for note in found if note.recording_id == id)

    def remove_note(self, actor: Actor, number: str, note: UUID) -> None:
        """Removes a note or mark that the actor made. NotFound, CaseClosed."""
        permissions.require(actor, Scope.CASES)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            if not cases.remove_note(connection, number=number, id=note, by=actor):
                raise NotFound()
            audit.append(connection, at=self.now(), actor=actor, verb="remove-note", case=number)

    def hand_over_case(self, actor: Actor, number: str, *, owner: str, reason: str) -> int:
        """Makes a colleague the case's owner, and of its holds; how many holds. BadFields."""
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        with reading(self.engine) as connection:
            known = [one for one in staff.handlers(connection) if one.name == owner]
        if not known:
            raise BadFields(
                errors=[FieldError("owner", "the name of a colleague who handles complaints")]
            )
        return cases.hand_over(
            self.vault, self.engine, actor,
            number=number, owner=known[0].id, reason=said, now=self.now(),
        )  # fmt: skip

    def handlers(self, actor: Actor) -> list[Colleague]:
        """Those to whom a case can be handed over."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            return staff.handlers(connection)

    def closing_of(self, actor: Actor, number: str) -> Consequences:
        """What closing the case would do now: which holds end, and what goes when.

        Of recordings that the actor may not see, nothing. NotFound, CaseClosed.
        """
        permissions.require(actor, Scope.CASES)
        with reading(self.engine) as connection:
            found = closing.consequences(
                connection, number, four_eyes=self.config.hold_release_four_eyes,
                grace=self._grace, now=self.now(),
            )  # fmt: skip
        shown = tuple(c for c in found.recordings if self._may_let_go(actor, c.recording, number))
        return replace(found, recordings=shown)

    def close_case(self, actor: Actor, number: str, *, seen: str, reason: str) -> Closed:
        """Closes a case as shown (`seen`: the digest); its holds end after the days of grace.

        Asked for by one and done by another person where holds are released so. Forbidden where
        it holds what the actor's lines do not show; else as `closing.close`.
        """
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        with reading(self.engine) as connection:
            held = [hold.recording_id for hold in holdrows.in_force(connection, number)]
            rows = catalogue.get_many(connection, held)
        if not all(self._meets(actor, recording) for recording in rows.values()):
            raise Forbidden(verb="close a case that holds recordings of other lines or companies")
        return closing.close(
            self.vault, self.engine, actor, number,
            seen=seen, reason=said, four_eyes=self.config.hold_release_four_eyes,
            grace=self._grace, now=self.now(),
        )  # fmt: skip

    def refuse_closing(self, actor: Actor, number: str) -> None:
        """Takes back that somebody asked for closing the case."""
        permissions.require(actor, Scope.CASES)
        closing.take_back_request(self.engine, actor, number, now=self.now())

    def reopen_case(
        self, actor: Actor, number: str, *, reason: str, review_on: date | None = None
    ) -> int:
        """Opens a closed case again; with `review_on`, holds again what its holds still keep.

        How many are held again. NotFound, BadFields.
        """
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        if review_on is not None:
            intake.require_review(review_on, today=retention.local(self.now()).date())
        in_grace = closing.reopen(
            self.vault, self.engine, actor, number, reason=said, now=self.now()
        )
        held = 0
        for id in in_grace:
            if review_on is None:
                break
            try:
                self.hold(actor, id, case=number, reason=said, review_on=review_on)
            except (NotFound, AlreadyHeld):
                continue  # erased, restricted or held meanwhile
            held += 1
        return held
