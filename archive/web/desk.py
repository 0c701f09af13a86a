"""The list beside the reading pane: pages of a kept search, and the way from one to the next.

Turns a search's fields into a Query and its answer into rows. What may be seen is decided by
the archive's verbs alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from flask import abort, current_app, g

from archive import permissions, retention
from archive.archive import Archive, View
from archive.formats.identifiers import normalise_phone, phone_digits
from archive.model import Direction, Kind, Query
from archive.search.marking import Excerpt
from archive.search.understanding import TIME, Piece
from archive.web import kept as keeping
from archive.web.kept import Kept

PAGE = 25
FIELDS = (
    "customer", "phone", "email", "metering_point", "case", "q", "kind", "direction", "line",
    "agent", "from", "to", "sort", "source", "duration", "attachment", "month", "held",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One hit and why it matched (keys of words.REASONS)."""

    view: View
    reasons: tuple[str, ...]
    subject: Excerpt = ()  # with what was asked for marked
    excerpt: Excerpt = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a kept search; `number` counts from 0."""

    token: str
    kept: Kept
    number: int
    rows: tuple[Row, ...]
    more: bool
    rebuilding: tuple[str, ...] = ()  # months of which some may be missing, YYYY-MM
    understood: tuple[Piece, ...] = ()  # how what was typed into `q` was read
    explained: tuple[str, ...] = ()  # what of it could not be read as meant, as codes

    @property
    def first(self) -> int:
        """Place of the first row in the whole list, from 1."""
        return self.number * PAGE + 1


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Addresses of the previous and next recording of the same list, and the place in it."""

    previous: str | None
    following: str | None
    place: int
    total: int | None


def archive_() -> Archive:
    """The archive of this application."""
    found: Archive = current_app.extensions["archive"]
    return found


def works_with_holds() -> bool:
    """Whether the person works with holds and cases: complaint handling and data protection."""
    return permissions.may_know_holds(g.actor)


def kept_or_404(token: str, desk: str) -> Kept:
    """The search of this address; 404 if it is not this session's."""
    found = keeping.find(archive_(), g.actor, token)
    if found is None or found.desk != desk:
        abort(404)
    return found


def turn(
    token: str, kept: Kept, number: int, *, count: bool = True, facets: Sequence[str] = ()
) -> Listing:
    """Page `number` of the search as it is now; 404 for one that was never reached.

    The whole is counted on its first page, with `facets` value by value, or with `count` False
    only if it never was.
    """
    if not 0 <= number < min(len(kept.cursors), keeping.MOST_PAGES):
        abort(404)
    archive, query = archive_(), to_query(kept.query)
    total = number == 0 and (count or kept.total is None)
    found = archive.find(
        g.actor,
        query,
        limit=PAGE,
        cursor=kept.cursors[number],
        total=total,
        facets=facets if total else (),
        excerpts=True,
        purpose=kept.purpose,
        case=kept.case,
    )
    if found.total is not None:
        kept.total = found.total
    if found.facets is not None:
        kept.facets = {name: dict(counts) for name, counts in found.facets.items()}
    said = any(piece.fields != (TIME,) for piece in found.understood)
    worded = query if said else replace(query, q=None)
    kept.turned(number, [str(view.id) for view in found.items], found.next)
    keeping.change(archive, g.actor, token, kept)
    return Listing(
        token=token,
        kept=kept,
        number=number,
        rows=tuple(
            Row(
                view,
                reasons(view, worded),
                found.subjects.get(view.id, ()),
                found.excerpts.get(view.id, ()),
            )
            for view in found.items
        ),
        more=found.next is not None,
        rebuilding=found.rebuilding,
        understood=found.understood,
        explained=found.explained,
    )


def neighbours(listing: Listing, id: UUID) -> Neighbours | None:
    """Where previous and next lead from here; None if the recording is not on the page."""
    ids = [row.view.id for row in listing.rows]
    if id not in ids:
        return None
    place = ids.index(id)
    previous = following = None
    if place > 0:
        previous = f"/recordings/{ids[place - 1]}?view={listing.token}"
    elif listing.number > 0:
        previous = f"/walk/{listing.token}/{listing.number - 1}/last"
    if place + 1 < len(ids):
        following = f"/recordings/{ids[place + 1]}?view={listing.token}"
    elif listing.more:
        following = f"/walk/{listing.token}/{listing.number + 1}/first"
    return Neighbours(previous, following, listing.first + place, listing.kept.total)


def to_query(fields: dict[str, str]) -> Query:
    """The question of a form whose fields were checked before."""
    kind, direction = fields.get("kind"), fields.get("direction")
    attachment = fields.get("attachment")
    first, end = month_edges(fields.get("month"))
    return Query(
        q=fields.get("q"),
        customer=fields.get("customer"),
        phone=fields.get("phone"),
        email=fields.get("email"),
        metering_point=fields.get("metering_point"),
        case=fields.get("case"),
        kind=Kind(kind) if kind else None,
        line=fields.get("line"),
        agent=fields.get("agent"),
        direction=Direction(direction) if direction else None,
        from_=max(filter(None, (edge(fields.get("from"), end=False), first)), default=None),
        to=min(filter(None, (edge(fields.get("to"), end=True), end)), default=None),
        sort=fields.get("sort", "newest"),
        source=fields.get("source"),
        duration=fields.get("duration"),
        attachment=attachment == "yes" if attachment else None,
        held=fields.get("held") == "yes",
    )


def month_edges(written: str | None) -> tuple[datetime | None, datetime | None]:
    """Beginning and end of a month "2026-11" of the index, which are of UTC. ValueError."""
    if not written:
        return None, None
    first = datetime.strptime(written, "%Y-%m").replace(tzinfo=UTC)
    return first, (first + timedelta(days=31)).replace(day=1)


def day(written: str) -> date:
    """A Helsinki day ("2026-11-24", "24.11.2026"). ValueError."""
    finnish = re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", written.strip())
    if finnish:
        return date(int(finnish[3]), int(finnish[2]), int(finnish[1]))
    return date.fromisoformat(written.strip())


def edge(written: str | None, *, end: bool) -> datetime | None:
    """The beginning of a Helsinki day as `day` reads it, or its end. ValueError."""
    if not written:
        return None
    on = day(written) + timedelta(days=int(end))
    return retention.resolve_local(datetime.combine(on, time()))


# -- why it matched --------------------------------------------------------------------


def reasons(view: View, query: Query) -> tuple[str, ...]:
    """By which identifiers the recording matched (keys of words.REASONS)."""
    descriptor = view.descriptor
    found = []
    if query.customer and _same(query.customer, descriptor.customer_number):
        found.append("customer")
    if query.phone:
        found += [
            name
            for name, number in (("caller", descriptor.caller), ("callee", descriptor.callee))
            if _same_phone(query.phone, number)
        ]
    if query.email:
        found += _email_reasons(view, query.email)
    if query.metering_point and _same(query.metering_point, descriptor.metering_point):
        found.append("metering_point")
    if query.case and _same(query.case, descriptor.case):
        found.append("case")
    if query.q:
        found.append("text")
    return tuple(found)


def _email_reasons(view: View, address: str) -> list[str]:
    mail = view.description.mail if view.description else None
    if mail is None:
        return []
    wanted = address.strip().casefold()
    senders = {a.casefold() for a in mail.from_}
    others = {a.casefold() for a in (*mail.to, *mail.cc, *mail.bcc)}
    return [
        *(["sender"] if wanted in senders else []),
        *(["recipient"] if wanted in others else []),
    ]


def _same(asked: str, stored: str | None) -> bool:
    return stored is not None and _bare(asked) == _bare(stored)


def _bare(value: str) -> str:
    return "".join(value.split()).casefold()


def _same_phone(asked: str, stored: str | None) -> bool:
    if not stored:
        return False
    wanted, has = (phone_digits(normalise_phone(number)[0]) for number in (asked, stored))
    return bool(wanted) and has.endswith(wanted[-9:])
