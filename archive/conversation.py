"""Which emails are one conversation and which calls one chain, seen from one of them.

Candidates come from the index by ties, addresses and days; what they say of themselves decides.
Knows no rights: the caller's search gives only what its reader may see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from archive import ties
from archive.answers import View
from archive.model import Direction, Kind, MailDescription, Query

Find = Callable[[Query], Sequence[View]]

MOST = 100  # of one conversation
_ROUNDS = 3  # answers to answers, where their beginnings differ
_ASKED = 12  # questions to the index at most
SAME_SUBJECT = timedelta(days=60)  # how far apart emails lie that only their subject joins
SAME_CALL = timedelta(days=1)  # call ids come again
_PREFIX = re.compile(
    r"\s*(?:\[[^\]]{1,30}\]\s*)?(?:re|vs|vst|sv|aw|antw|fw|fwd|vl|vb|wg|tr|rv)"
    r"\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[:\uff1a]\s*",
    re.IGNORECASE,
)


def bare_subject(subject: str | None) -> tuple[str, bool]:
    """The subject without Re, Vs, VL, Fwd, Sv, Aw …, and whether it had any."""
    left, had = subject or "", False
    while found := _PREFIX.match(left):
        left, had = left[found.end() :], True
    return " ".join(left.split()).casefold(), had


def of(seed: View, find: Find) -> tuple[View, ...]:
    """The conversation or chain that the recording is of, itself included, oldest first."""
    joined = _chain(seed, find) if seed.kind is Kind.CALL else _thread(seed, find)
    return tuple(sorted(joined, key=lambda view: (view.occurred_at, view.id)))


# -- calls -----------------------------------------------------------------------------


def _chain(seed: View, find: Find) -> list[View]:
    call_id = seed.descriptor.call_id
    near = Query(
        kind=Kind.CALL, from_=seed.occurred_at - 2 * SAME_CALL, to=seed.occurred_at + 2 * SAME_CALL
    )
    others = [
        view
        for tie in ties.of_call(seed.descriptor)
        for view in find(replace(near, email=tie))
        if view.id != seed.id and (view.source, view.descriptor.call_id) == (seed.source, call_id)
    ]
    return _grown(seed, others, lambda a, b: abs(a.occurred_at - b.occurred_at) <= SAME_CALL)


# -- emails ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What joins an email to others: ids, the bare subject, whether it answers, the parties that
    are not the service itself."""

    at: datetime
    ties: list[str]
    own: str | None
    others: frozenset[str]
    subject: str
    answer: bool
    outside: frozenset[str]


def _thread(seed: View, find: Find) -> list[View]:
    first = _read(seed)
    if first is None:
        return [seed]
    said = {seed.id: first}
    found: dict[UUID, View] = {}
    asked: set[str] = set()
    joined = [seed]

    def near(a: View, b: View) -> bool:
        return _joined(said[a.id], said[b.id])

    for turn in range(_ROUNDS):
        for name, query in _questions([said[view.id] for view in joined], whole=turn == 0):
            if name in asked or len(asked) >= _ASKED:
                continue
            asked.add(name)
            for view in find(query):
                read = _read(view)
                if read is not None and view.id not in said:
                    said[view.id], found[view.id] = read, view
        before, joined = len(joined), _grown(seed, list(found.values()), near)
        if len(joined) == before:
            break
    return joined


def _questions(joined: Sequence[_Read], *, whole: bool) -> Iterator[tuple[str, Query]]:
    """What to ask the index, each with its name: by the beginnings of what is joined (`whole`:
    also by what the email answers, and by itself), then by each party around their days."""
    for said in joined:
        for tie in [*said.ties[:1], *(said.ties[-2:] if whole else ())]:
            yield tie, Query(email=tie, kind=Kind.EMAIL)
    days = [said.at for said in joined]
    span = Query(kind=Kind.EMAIL, from_=min(days) - SAME_SUBJECT, to=max(days) + SAME_SUBJECT)
    for said in joined:
        for address in sorted(said.outside)[:2] if said.subject else ():
            yield address, replace(span, email=address)


def _joined(one: _Read, other: _Read) -> bool:
    """By their ids, if they have a party or the subject in common (ids are not unique in the wild);
    else by subject and party, where the later one answers without saying what."""
    related = bool(one.outside & other.outside)
    tied = (
        (one.own is not None and one.own in other.others)
        or (other.own is not None and other.own in one.others)
        or bool(one.others & other.others)
        or (one.own is not None and one.own == other.own)
    )
    if tied:
        return related or (bool(one.subject) and one.subject == other.subject)
    return (
        related
        and one.subject != ""
        and one.subject == other.subject
        and any(
            later.answer and not later.others and later.at >= earlier.at
            for later, earlier in ((one, other), (other, one))
        )
        and abs(one.at - other.at) <= SAME_SUBJECT
    )


def _read(view: View) -> _Read | None:
    mail = view.description.mail if view.description else None
    if mail is None:
        return None
    subject, answer = bare_subject(mail.subject)
    others = {*mail.references, *([mail.in_reply_to] if mail.in_reply_to else [])}
    return _Read(
        at=view.occurred_at,
        ties=ties.of_mail(mail),
        own=mail.message_id,
        others=frozenset(others),
        subject=subject,
        answer=answer,
        outside=_outside(view, mail),
    )


def _outside(view: View, mail: MailDescription) -> frozenset[str]:
    """The parties that are not the service itself: not of the mailbox's domain."""
    sent = [*mail.to, *mail.cc, *mail.bcc]
    everybody = frozenset(a.casefold() for a in (*mail.from_, *sent))
    if "@" in view.line:
        domain = view.line.rpartition("@")[2].casefold()
        return frozenset(a for a in everybody if a.rpartition("@")[2] != domain)
    side = {Direction.INBOUND: [*mail.from_], Direction.OUTBOUND: sent}.get(view.direction)
    return frozenset(a.casefold() for a in side) if side is not None else everybody


def _grown(seed: View, others: list[View], joined: Callable[[View, View], bool]) -> list[View]:
    """The seed and all that is joined to it, directly or through others; at most MOST."""
    inside, left = [seed], list(others)
    for member in inside:  # grows while it is walked
        near = [view for view in left if joined(member, view)]
        left = [view for view in left if view not in near]
        inside += near
        if len(inside) >= MOST:
            break
    return inside[:MOST]
