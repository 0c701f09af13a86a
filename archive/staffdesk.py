"""Verbs of staff's own numbers: given by administrators or by their person, shown to nobody."""

from __future__ import annotations

from uuid import UUID

from archive import audit, permissions, subjects
from archive.accounts import staffnumbers
from archive.accounts.staffnumbers import Given
from archive.archive import Archive
from archive.db import reading, transaction
from archive.errors import Forbidden, NotFound
from archive.formats.identifiers import find_hetu
from archive.model import Actor, Scope


class StaffDesk:
    """The verbs, over an archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def numbers(self, actor: Actor, person: UUID) -> list[Given]:
        """The kinds of what was given of a person. One's own, or as administrator."""
        _require_staff(actor, person)
        with reading(self._archive.engine) as connection:
            return staffnumbers.of(connection, person)

    def give(self, actor: Actor, person: UUID, *, kind: str, number: str) -> None:
        """Makes it stand out who opens what this number or address is a party to. BadFields."""
        _require_staff(actor, person)
        usable = kind in staffnumbers.KINDS and not find_hetu(number)
        typed = subjects.typed(**{kind: number}) if usable else set()
        with transaction(self._archive.engine) as connection:
            self._archive.staff_numbers.give(connection, person, typed, actor.id)
            audit.append(
                connection, at=self._archive.now(), actor=actor, verb="give-own-number",
                detail={"person": str(person), "kind": kind},
            )  # fmt: skip

    def take(self, actor: Actor, person: UUID, id: UUID) -> None:
        """Takes one away, as administrator, never one's own. Forbidden, NotFound."""
        permissions.require(actor, Scope.ADMIN)
        if str(person) == actor.id:
            raise Forbidden(verb="take one's own number away")
        with transaction(self._archive.engine) as connection:
            kind = staffnumbers.take(connection, person, id)
            if kind is None:
                raise NotFound()
            audit.append(
                connection, at=self._archive.now(), actor=actor, verb="take-own-number",
                detail={"person": str(person), "kind": kind},
            )  # fmt: skip


def _require_staff(actor: Actor, person: UUID) -> None:
    if str(person) != actor.id:
        permissions.require(actor, Scope.ADMIN)
