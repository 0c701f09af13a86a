"""Verbs of the end: early erasure, the nightly run, its proof, and the rules of retention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from archive import (
    audit,
    catalogue,
    mending,
    permissions,
)
from archive.db import reading, transaction
from archive.erasure import asking, expiry, expirydays, journal, proving, ruling
from archive.erasure.asking import ErasureRequest
from archive.erasure.expirydays import DayAccount, ExpiryDay
from archive.erasure.journal import Erasure
from archive.erasure.proving import Proof
from archive.erasure.ruling import Preview
from archive.errors import (
    BadRequest,
    IndexDamaged,
    NotFound,
)
from archive.model import (
    Actor,
    Recording,
    Scope,
)
from archive.verbs.base import Common


class Ending(Common):
    """The verbs."""

    def erase(self, actor: Actor, id: UUID, *, reason: str) -> Erasure:
        """Erases at once what should not have been kept; its reference is remembered as erased.

        Says since when it is gone from everything live, and by when from the last backup. With
        four eyes, SecondPersonNeeded unless another one has asked for it.
        """
        recording = self._erasable(actor, id, reason)
        return expiry.erase(
            self._means, actor, recording, reason=reason, four_eyes=self.config.erase_four_eyes
        )

    def request_erasure(self, actor: Actor, id: UUID, *, reason: str) -> Erasure | ErasureRequest:
        """Erases; with four eyes the first one only asks for it, and the second one erases."""
        if self.config.erase_four_eyes:
            self._erasable(actor, id, reason)
            with transaction(self.engine) as connection:
                if catalogue.get(connection, id, lock=True) is None:
                    raise NotFound()
                if not asking.is_asked_by_another(connection, actor, id):
                    return asking.ask(connection, actor, id, reason=reason, now=self.now())
        return self.erase(actor, id, reason=reason)

    def withdraw_erasure(self, actor: Actor, id: UUID) -> None:
        """Takes back the wish to erase a recording. NotFound where nobody asked for it."""
        permissions.require(actor, Scope.ERASE)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            if not asking.withdraw(connection, actor, id, now=self.now()):
                raise NotFound()

    def erasure_request(self, actor: Actor, id: UUID) -> ErasureRequest | None:
        """Who asked for erasing this recording, for those who may erase; else None."""
        if Scope.ERASE not in actor.scopes:
            return None
        with reading(self.engine) as connection:
            return asking.of(connection, id)

    def erasure_requests(self, actor: Actor) -> Sequence[ErasureRequest]:
        """What waits for a second person, oldest first."""
        permissions.require_proof(actor)
        with reading(self.engine) as connection:
            return asking.waiting(connection)

    def _erasable(self, actor: Actor, id: UUID, reason: str) -> Recording:
        permissions.require(actor, Scope.ERASE)
        if reason not in expiry.ERASURE_REASONS:
            raise BadRequest(reason="the reason is one of " + ", ".join(expiry.ERASURE_REASONS))
        return self._visible(actor, id)

    def expire(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Destroys what is a year old; the certificate of the run. Resumable, one at a time."""
        return expiry.run(self._means, dry_run=dry_run)

    def prove_expired(self, actor: Actor, id: UUID) -> Proof:
        """That a recording is gone, place by place. NotProven: never held, or not proven."""
        permissions.require_proof(actor)
        with transaction(self.engine) as connection:
            audit.append(
                connection, at=self.now(), actor=actor, verb="prove-expired", recording_id=id
            )
        return proving.prove(
            self.vault,
            self.engine,
            self.index,
            id,
            backups=journal.reachable_backups(self.config, self.keys),
            backup_days=self.config.backup_days,
        )

    def erasures(self, actor: Actor, *, days: int = 400) -> list[Erasure]:
        """Early erasures of so many days, newest first."""
        permissions.require_proof(actor)
        with reading(self.engine) as connection:
            return journal.listed(connection, since=self.now() - timedelta(days=days))

    def preview_rules(self, actor: Actor) -> Preview:
        """What applying today's rules to what is stored would change: how many, and from when."""
        permissions.require(actor, Scope.ADMIN)
        return ruling.preview(self.engine, ruling.rules_of(self.config), now=self.now())

    def apply_rules(self, actor: Actor, *, progress: Callable[[int], None]) -> ruling.Applied:
        """Brings what is stored under today's rules; resumable.

        Nothing is kept longer than its year, and what is over stays over. What is over by its
        new rule leaves the index too. CatalogueUnavailable, StoreUnavailable.
        """
        permissions.require(actor, Scope.ADMIN)
        done = ruling.apply(
            self.vault,
            self.engine,
            actor,
            ruling.rules_of(self.config),
            now=self.now,
            progress=progress,
        )
        with reading(self.engine) as connection:
            months = catalogue.index_months(connection, done.over)
        for month in sorted(set(months.values())):
            try:
                self.index.remove([id for id in months if months[id] == month], month=month)
            except IndexDamaged as error:
                mending.note_damage(self.engine, [str(error.facts["month"])])
        return done

    def expiry_calendar(
        self,
        actor: Actor,
        *,
        since: date = expirydays.EARLIEST,
        until: date = expirydays.LATEST,
    ) -> list[ExpiryDay]:
        """What went and what goes, by day; held and restricted for those who may know of them."""
        permissions.require(actor, Scope.EXPIRY)
        return expirydays.days(
            self.engine, now=self.now(), knows=_knows(actor), since=since, until=until
        )

    def expiry_day(self, actor: Actor, day: date) -> DayAccount:
        """One day: its figures, the runs that took from it, and what could not be destroyed."""
        permissions.require(actor, Scope.EXPIRY)
        return expirydays.account(self.engine, day, now=self.now(), knows=_knows(actor))

    def last_expiry_bytes(self, actor: Actor) -> tuple[int, int | None] | None:
        """Bytes that the last run deleted, and those the store gave back of them."""
        permissions.require(actor, Scope.EXPIRY)
        return expiry.last_bytes(self.engine)


def _knows(actor: Actor) -> expirydays.Knows:
    return expirydays.Knows(
        holds=permissions.may_know_holds(actor), restrictions=permissions.is_dpo(actor)
    )
