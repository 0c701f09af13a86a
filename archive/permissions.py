"""One table: which group may do what, for which purposes, on which lines, companies, how far back.

Pure rules, deny by default. Knows nothing of sessions, passwords or pages, and never looks at
a recording: it answers from the actor and the question alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from archive.errors import Forbidden
from archive.model import Actor, Purpose, Query, Recording, Scope

_READING = frozenset({Scope.SEARCH, Scope.READ, Scope.OPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one group of people may do. `lines` and `companies` None: every one of the installation.

    `days_back` is how long ago a contact may be, None: its whole year. `needs_customer`: a search
    must name one customer (number, phone, email or metering point); nobody of the group browses.
    A person's own lines and companies, and the setting ARCHIVE_GROUP_DAYS, narrow this further.
    """

    name: str
    scopes: frozenset[Scope]
    purposes: frozenset[Purpose] = frozenset()
    lines: frozenset[str] | None = None
    companies: frozenset[str] | None = None
    days_back: int | None = None
    needs_customer: bool = False


_TABLE = (
    Group(
        # Verifies contacts; never browses without a customer in front of them.
        name="customer-service",
        scopes=_READING | {Scope.EXPIRY},
        purposes=frozenset({Purpose.VERIFICATION}),
        needs_customer=True,
    ),
    Group(
        # Works inside complaint cases: opens nothing outside one, so no other purpose.
        name="complaints",
        scopes=_READING | {Scope.CASES, Scope.EXPIRY, Scope.REVIEW},
        purposes=frozenset({Purpose.COMPLAINT}),
    ),
    Group(
        # Answers data subjects and authorities, and erases at their request (GDPR 15-18).
        name="dpo",
        scopes=_READING | {Scope.ERASE, Scope.EXPIRY, Scope.AUDIT, Scope.REVIEW, Scope.UNMASKED},
        purposes=frozenset({Purpose.ACCESS_REQUEST, Purpose.AUTHORITY}),
    ),
    Group(
        # Develops the service: hears drawn calls, never learns whose they are, searches nothing.
        name="quality-lead",
        scopes=frozenset({Scope.QUALITY}),
        purposes=frozenset({Purpose.QUALITY}),
    ),
    Group(
        # Reads the audit log and nothing else: who opened what, when and why.
        name="auditor",
        scopes=frozenset({Scope.AUDIT}),
    ),
    Group(
        # Runs the installation and never meets a recording: no search, no reading, no opening.
        name="admin",
        scopes=frozenset({Scope.ADMIN, Scope.EXPIRY}),
    ),
)
DPO = "dpo"
GROUPS: dict[str, Group] = {group.name: group for group in _TABLE}
_NOBODY = Group(name="", scopes=frozenset())

TOKEN_SCOPES = frozenset(Scope) - {  # these are for people
    Scope.ADMIN, Scope.AUDIT, Scope.QUALITY, Scope.BREAK_GLASS,
}  # fmt: skip
# Who may be named in ARCHIVE_BREAK_GLASS: data protection opens by its own right and reviews what
# others did; auditors judge it and never meet a recording.
EMERGENCY_GROUPS = frozenset({"customer-service", "complaints", "quality-lead", "admin"})


def lent(actor: Actor) -> Actor:
    """The actor as somebody who may meet any recording that is neither held back nor over.

    Only for one recording, after breaking the glass: see archive/emergencies.py.
    """
    return replace(
        actor,
        scopes=frozenset({Scope.READ, Scope.OPEN}),
        purposes=frozenset(),
        lines=None,
        companies=None,
        days_back=None,
    )


def groups() -> tuple[Group, ...]:
    """Every group, in the order of the table."""
    return _TABLE


def scopes_of(group: str | None) -> frozenset[Scope]:
    """What people of the group may do; nothing for an unknown one."""
    return GROUPS.get(group or "", _NOBODY).scopes


def allowed_purposes(group: str | None) -> frozenset[Purpose]:
    """For which purposes people of the group may open recordings."""
    return GROUPS.get(group or "", _NOBODY).purposes


def allowed_lines(group: str | None, own: Iterable[str] | None) -> frozenset[str] | None:
    """The lines a person sees: the group's, narrowed by the person's own. None: every line."""
    lines = GROUPS.get(group or "", _NOBODY).lines
    if own is None:
        return lines
    return frozenset(own) if lines is None else lines & frozenset(own)


def allowed_companies(group: str | None, own: Iterable[str] | None) -> frozenset[str] | None:
    """The companies a person sees: the group's, narrowed by the person's own. None: every one."""
    companies = GROUPS.get(group or "", _NOBODY).companies
    if own is None:
        return companies
    return frozenset(own) if companies is None else companies & frozenset(own)


def allowed_days(group: str | None, limits: Mapping[str, int]) -> int | None:
    """How many days back people of the group see: the table's, or fewer by the limits' word."""
    given = [GROUPS.get(group or "", _NOBODY).days_back, limits.get(group or "")]
    return min((days for days in given if days is not None), default=None)


def reaches(actor: Actor, recording: Recording, *, now: datetime) -> bool:
    """Whether the recording is on a line of the actor's and not from before what they see."""
    if actor.lines is not None and recording.line not in actor.lines:
        return False
    since = sees_since(actor, now=now)
    return since is None or recording.occurred_at >= since


def sees_since(actor: Actor, *, now: datetime) -> datetime | None:
    """The first instant whose contacts the actor sees; None: as long as they are kept."""
    return None if actor.days_back is None else now - timedelta(days=actor.days_back)


def sees_company(actor: Actor, company: str | None) -> bool:
    """Whether what this company has is the actor's to see; what names none, for the unlimited."""
    return actor.companies is None or (company is not None and company in actor.companies)


def token_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """The scopes a machine token gets by being given these: `open` includes `read`."""
    given = frozenset(scopes)
    return given | {Scope.READ} if Scope.OPEN in given else given


def may(actor: Actor, scope: Scope) -> bool:
    """Whether the actor holds the scope."""
    return scope in actor.scopes


def require(actor: Actor, scope: Scope) -> None:
    """Nothing if the actor holds the scope, else Forbidden naming it."""
    if not may(actor, scope):
        raise Forbidden(verb=scope.value)


def is_dpo(actor: Actor) -> bool:
    """Whether this is a person of data protection: sees what is held, and alone what is restricted.

    Never a machine: tokens have no group.
    """
    return actor.kind == "person" and actor.group == DPO


def may_hear_all(actor: Actor, *, masked: bool, original: bool) -> bool:
    """Whether the actor may have this part of a recording: of a `masked` one not its original.

    What the sender paused or silenced (card numbers and the like) is in the original alone, which
    takes a right above listening.
    """
    return not (masked and original) or may(actor, Scope.UNMASKED)


def require_dpo(actor: Actor, verb: str) -> None:
    """Nothing if the actor is of data protection, else Forbidden naming the verb."""
    if not is_dpo(actor):
        raise Forbidden(verb=verb)


def may_prove(actor: Actor) -> bool:
    """Whether the actor may ask for proof that a recording is gone.

    People of data protection and administration, and machines that were given the expiry page.
    """
    by_token = actor.kind == "token" and may(actor, Scope.EXPIRY)
    return is_dpo(actor) or may(actor, Scope.ADMIN) or by_token


def require_proof(actor: Actor) -> None:
    """Nothing if the actor may ask for proofs and see early erasures, else Forbidden."""
    if not may_prove(actor):
        raise Forbidden(verb="prove-expired")


def may_know_holds(actor: Actor) -> bool:
    """Whether the actor works with holds: complaint handling and data protection."""
    return may(actor, Scope.CASES) or is_dpo(actor)


def require_holds(actor: Actor) -> None:
    """Nothing if the actor works with holds, else Forbidden."""
    if not may_know_holds(actor):
        raise Forbidden(verb="hold")


def may_hand_out(actor: Actor) -> bool:
    """Whether the actor finds emails and opens what it finds."""
    return {Scope.SEARCH, Scope.OPEN} <= actor.scopes


def may_make_evidence(actor: Actor) -> bool:
    """Whether the actor makes and saves evidence packages: opens recordings for complaint cases."""
    return {Scope.CASES, Scope.OPEN} <= actor.scopes and Purpose.COMPLAINT in actor.purposes


def require_evidence(actor: Actor) -> None:
    """Nothing if the actor makes and saves evidence packages, else Forbidden."""
    if not may_make_evidence(actor):
        raise Forbidden(verb="evidence")


def may_export(actor: Actor) -> bool:
    """Whether the actor may take a list of hits out: complaint handling and data protection."""
    return may(actor, Scope.SEARCH) and may_know_holds(actor)


def require_export(actor: Actor) -> None:
    """Nothing if the actor may take lists out, else Forbidden."""
    if not may_export(actor):
        raise Forbidden(verb="export hits")


def may_verify(actor: Actor) -> bool:
    """Whether verifying contacts is part of the actor's work."""
    return may(actor, Scope.SEARCH) and Purpose.VERIFICATION in actor.purposes


def may_handle_complaints(actor: Actor) -> bool:
    """Whether the actor searches within complaint cases."""
    return may(actor, Scope.CASES) and may(actor, Scope.SEARCH)


def require_purpose(actor: Actor, purpose: Purpose) -> None:
    """Nothing if the actor may open for this purpose, else Forbidden naming it."""
    if purpose not in actor.purposes:
        raise Forbidden(verb=f"open for {purpose.value}")


def needs_customer(actor: Actor) -> bool:
    """Whether the actor's searches must name one customer."""
    return actor.kind == "person" and GROUPS.get(actor.group or "", _NOBODY).needs_customer


def require_customer(actor: Actor, query: Query) -> None:
    """Nothing unless the actor's group must name a customer and the query names none: Forbidden.

    A fragment ("0", "4*") is not a customer: it would be browsing under another name.
    """
    if needs_customer(actor) and not names_customer(query):
        raise Forbidden(verb="search without a customer")


def names_customer(query: Query) -> bool:
    """Whether the query holds a whole customer number, phone, email, metering point or name.

    A whole name is nothing but words asked for as names, two at least: `nimi:aino nimi:virtanen`.
    """
    return (
        _whole(query.customer, r"[^\s*?\"']{3,}")
        or _whole(query.phone, r"[+\d\s()/-]+", least_digits=5)
        or _whole(query.email, r"[^\s*?@]+@[^\s*?@]+\.[^\s*?@]+")
        or _whole(query.metering_point, r"[\d\s]+", least_digits=18)
        or _whole(query.q, r"nimi:[^\W\d_][\w'’-]+(\s+nimi:[^\W\d_][\w'’-]+){1,5}")
    )


def _whole(value: str | None, pattern: str, *, least_digits: int = 0) -> bool:
    if value is None or re.fullmatch(pattern, value.strip()) is None:
        return False
    return sum(character.isdigit() for character in value) >= least_digits


def _scope(scope: Scope) -> Callable[[Actor], bool]:
    return lambda actor: may(actor, scope)


# What a door asks for: every scope, and what is more than one. archive/doors.py names them.
RIGHTS: dict[str, Callable[[Actor], bool]] = {
    **{scope.value: _scope(scope) for scope in Scope},
    "be somebody": lambda actor: True,
    "verify contacts": may_verify,
    "export hits": may_export,
    "handle complaints": may_handle_complaints,
    "work with holds": may_know_holds,
    "data protection": is_dpo,
    "prove expiry": may_prove,
    "hand out emails": may_hand_out,
    "make evidence packages": may_make_evidence,
}
