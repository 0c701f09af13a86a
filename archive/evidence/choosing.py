"""Which recordings of a case go into a package: the customer's own, unless others are chosen.

Pure: what the case shows in, what is offered out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from archive.answers import CaseEntry, CaseFile, View
from archive.errors import BadFields, FieldError, NotFound


@dataclass(frozen=True, slots=True)
class Choice:
    """A recording of the case. `own` False: its customer number is not that of the case."""

    entry: CaseEntry
    own: bool

    @property
    def view(self) -> View:
        """The recording."""
        return self.entry.view


def choices(file: CaseFile, *, customer_pattern: str) -> tuple[Choice, ...]:
    """What the case shows that can be read, each with whether it is the customer's own.

    Where the case or the recording names no customer number, nothing speaks against it.
    """
    customer = _number(file.case.about.customer if file.case.about else "", customer_pattern)
    return tuple(
        Choice(entry, customer is None or _of(entry.view) in {None, customer})
        for entry in file.entries
        if entry.view.readable and not entry.view.restricted
    )


def chosen(found: Sequence[Choice], asked: Iterable[UUID] | None) -> list[UUID]:
    """The recordings of a package: those asked for, else the customer's own.

    NotFound where one is not of the case; BadFields where none is left.
    """
    ids = {choice.view.id for choice in found}
    if asked is None:
        taken = {choice.view.id for choice in found if choice.own}
    else:
        taken = set(asked)
        if not taken <= ids:
            raise NotFound()
    if not taken:
        raise BadFields(errors=[FieldError("recordings", "at least one recording of the case")])
    return [choice.view.id for choice in found if choice.view.id in taken]


def _of(view: View) -> str | None:
    given = view.descriptor.customer_number
    return re.sub(r"\s", "", given).casefold() if given else None


def _number(customer: str, pattern: str) -> str | None:
    """The case's customer as a number; None where what was written is a name or nothing."""
    plain = re.sub(r"\s", "", customer)
    is_number = any(c.isdigit() for c in plain) and re.fullmatch(pattern, plain)
    return plain.casefold() if is_number else None
