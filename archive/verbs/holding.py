"""Verbs of holds and restrictions: what outlives its year, and who is told of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from uuid import UUID

from archive import (
    catalogue,
    intake,
    mending,
    permissions,
    retention,
)
from archive.casework import holdchanges, holdnight, holdrows, holds, holdterms, notices, staff
from archive.casework.holdterms import Held
from archive.casework.notices import Notice
from archive.casework.staff import Colleague
from archive.db import reading, transaction
from archive.erasure import expiry
from archive.errors import (
    BadFields,
    FieldError,
    IndexDamaged,
    NotFound,
)
from archive.model import (
    Actor,
    Purpose,
    Recording,
)
from archive.verbs.base import Common


class Holding(Common):
    """The verbs."""

    @property
    def _grace(self) -> timedelta:
        return timedelta(days=self.config.hold_grace_days)

    def _may_let_go(self, actor: Actor, recording: Recording, case: str) -> bool:
        return self._sees(actor, recording, purpose=Purpose.COMPLAINT.value, case=case)

    def hold(
        self, actor: Actor, id: UUID, *, case: str, reason: str, review_on: date, basis: str = ""
    ) -> Held:
        """Holds a recording for an open complaint case; adds it to the case.

        It then outlives its year until the hold ends. Returns when nothing can lose it; NotFound
        once its erasure has begun. CaseRequired, AlreadyHeld, BadFields.
        """
        permissions.require_holds(actor)
        terms = intake.hold_terms(reason, basis or holdterms.BASIS)
        intake.require_review(review_on, today=retention.local(self.now()).date())
        recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=case)
        return self._place(actor, recording, case, terms, review_on)

    def restrict(
        self, actor: Actor, id: UUID, *, reason: str, review_on: date | None = None
    ) -> Held:
        """Hides a recording from all but the DPO, and keeps it until that is lifted (GDPR 18)."""
        permissions.require_dpo(actor, "restrict")
        terms = intake.hold_terms(reason, "GDPR 18")
        recording = self._visible(actor, id)
        made = self._place(actor, recording, None, terms, review_on)
        with reading(self.engine) as connection:
            months = catalogue.index_months(connection, [id])
        # The row is due for the index too: where this breaks off, the worker takes it out.
        for month in months.values():
            try:
                self.index.remove([id], month=month)
            except IndexDamaged:
                mending.note_damage(self.engine, [month])  # the month is made anew, without it
        return made

    def _place(
        self,
        actor: Actor,
        recording: Recording,
        case: str | None,
        terms: tuple[str, str],
        review_on: date | None,
    ) -> Held:
        said = holdterms.Terms(*terms)
        hold = holds.place(
            self.vault,
            self.engine,
            actor,
            recording,
            case=case,
            terms=said,
            review_on=review_on,
            now=self.now(),
        )
        return Held(hold, said)

    def release(self, actor: Actor, id: UUID, hold_id: UUID, *, reason: str = "") -> Held:
        """Releases a hold, or asks for it where a second person must confirm.

        `released_at` says which. What is past its year is erased after the grace period.
        """
        permissions.require_holds(actor)
        return self._release(
            actor, id, hold_id, four_eyes=self.config.hold_release_four_eyes, reason=reason
        )

    def extend_hold(
        self, actor: Actor, id: UUID, hold_id: UUID, *, review_on: date, reason: str
    ) -> Held:
        """Moves the review of a hold to another day to come, for a reason."""
        intake.require_review(review_on, today=retention.local(self.now()).date())
        said = intake.reason(reason)
        recording = self._hold_to_change(actor, id, hold_id)
        changed = holdchanges.extend(
            self.vault, self.engine, actor, hold_id,
            review_on=review_on, reason=said, now=self.now(),
        )  # fmt: skip
        return Held(changed, holdterms.terms_of(self.vault, recording, changed))

    def hand_over_hold(
        self, actor: Actor, id: UUID, hold_id: UUID, *, owner: str, reason: str
    ) -> Held:
        """Makes another person the hold's owner, for a reason; they are told.

        BadFields unless `owner` is the name of somebody who works with holds and sees the line.
        """
        said = intake.reason(reason)
        recording = self._hold_to_change(actor, id, hold_id)
        with reading(self.engine) as connection:
            hold = holdrows.one(connection, hold_id)
            known = staff.keepers(connection, restriction=hold is None or hold.case is None)
        found = [one for one in known if one.name == owner and one.sees(recording.line)]
        if not found:
            raise BadFields(
                errors=[FieldError("owner", "the name of a colleague who works with holds")]
            )
        changed = holdchanges.hand_over(
            self.vault, self.engine, actor, hold_id,
            owner=found[0].id, reason=said, now=self.now(),
        )  # fmt: skip
        return Held(changed, holdterms.terms_of(self.vault, recording, changed), found[0].name)

    def _hold_to_change(self, actor: Actor, id: UUID, hold_id: UUID) -> Recording:
        """The recording of a hold that the actor works with; of a restriction, the DPO alone."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            hold = holdrows.one(connection, hold_id)
        if hold is None or hold.recording_id != id:
            raise NotFound()
        if hold.case is None:
            permissions.require_dpo(actor, "restrict")
        return self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=hold.case)

    def colleagues(self, actor: Actor, *, restriction: bool = False) -> list[Colleague]:
        """Those to whom a hold can be handed over."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            return staff.keepers(connection, restriction=restriction)

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Names of people behind ids of actors, for pages that tell who did something."""
        with reading(self.engine) as connection:
            return staff.names(connection, ids)

    def unrestrict(self, actor: Actor, id: UUID) -> list[Held]:
        """Lifts the restriction; what is past its year is erased after the grace period."""
        permissions.require_dpo(actor, "restrict")
        with reading(self.engine) as connection:
            found = [
                hold
                for hold in holdrows.of(connection, [id])
                if hold.case is None and hold.released_at is None and hold.durable_at is not None
            ]
        if not found:
            raise NotFound()
        return [self._release(actor, id, hold.id, four_eyes=False) for hold in found]

    def _release(
        self, actor: Actor, id: UUID, hold_id: UUID, *, four_eyes: bool, reason: str = ""
    ) -> Held:
        said = intake.reason(reason) if reason.strip() else ""
        recording = self._hold_to_change(actor, id, hold_id)
        released = holds.release(
            self.vault,
            self.engine,
            actor,
            hold_id,
            four_eyes=four_eyes,
            grace=self._grace,
            now=self.now(),
            reason=said,
        )
        return Held(released, holdterms.terms_of(self.vault, recording, released))

    def list_holds(self, actor: Actor, *, due: bool = False, case: str | None = None) -> list[Held]:
        """Holds by review date: all, of a case, or those whose review is due today or past.

        Of holds whose recording the actor may not see, nothing. Restrictions are for the DPO.
        """
        permissions.require_holds(actor)
        today = retention.local(self.now()).date()
        with reading(self.engine) as connection:
            found = holdrows.durable(connection, due_on=today if due else None, case=case)
            rows = catalogue.get_many(connection, [hold.recording_id for hold, _ in found])
        return [
            Held(hold, holdterms.terms_of(self.vault, rows[hold.recording_id], hold), owner)
            for hold, owner in found
            if self._sees(
                actor, rows[hold.recording_id], purpose=Purpose.COMPLAINT.value, case=hold.case
            )
        ]

    def notices(self, actor: Actor) -> list[Notice]:
        """What the person should know, unseen first. Machines are told nothing."""
        if actor.kind != "person":
            return []
        with reading(self.engine) as connection:
            return notices.of(connection, UUID(actor.id))

    def unseen_notices(self, actor: Actor) -> int:
        """How many notices the person has not seen."""
        if actor.kind != "person":
            return 0
        with reading(self.engine) as connection:
            return notices.unseen(connection, UUID(actor.id))

    def see_notices(self, actor: Actor) -> int:
        """Marks the person's notices as seen; how many were not."""
        if actor.kind != "person":
            return 0
        with transaction(self.engine) as connection:
            return notices.see(connection, UUID(actor.id), now=self.now())

    def settle_holds(self) -> None:
        """Carries through holds that a crash left half placed, and erasures that broke off."""
        holdnight.settle(self.vault, self.engine, now=self.now())
        expiry.finish_erasures(self._means)
