"""How things look in JSON, and how JSON becomes a query. No I/O, no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from archive import intake, retention
from archive.answers import CaseFile
from archive.archive import Held, Page, Receipt, View
from archive.casework.cases import Case, Note
from archive.casework.closing import Consequences
from archive.erasure.asking import ErasureRequest
from archive.erasure.journal import Erasure
from archive.errors import ArchiveError, BadFields, FieldError
from archive.model import CallDescription, Direction, Kind, MailDescription, Query
from archive.search.terms import DURATIONS
from archive.search.understanding import TIME, Piece
from archive.vault import Description

MOST_ITEMS = 200
SORTS = ("newest", "relevance")
FACETS = (
    "line", "kind", "direction", "agent", "month", "source", "duration", "attachment", "held",
)  # fmt: skip


def instant(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def problem(error: ArchiveError) -> dict[str, Any]:
    """RFC 9457 problem document."""
    name = "".join("-" + c.lower() if c.isupper() else c for c in type(error).__name__).lstrip("-")
    return {
        "type": f"urn:contact-archive:problem:{name}",
        "title": (type(error).__doc__ or "").strip().split(".")[0].split("{")[0].strip() or name,
        "status": error.status,
        "detail": error.message,
        "errors": [{"field": e.field, "expected": e.expected} for e in error.errors],
    }


def receipt(made: Receipt) -> dict[str, Any]:
    """The answer to a delivery."""
    body: dict[str, Any] = {
        "id": str(made.id),
        "state": made.state.value,
        "kind": made.kind.value,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "occurred_at": instant(made.occurred_at),
        "expires_at": instant(made.expires_at),
        "warnings": [{"field": field, "expected": expected} for field, expected in made.warnings],
    }
    if not made.created:
        body["ignored"] = list(made.ignored)
    return body


def recording(view: View) -> dict[str, Any]:
    """One recording's metadata."""
    d = view.descriptor
    body: dict[str, Any] = {
        "id": str(view.id),
        "kind": view.kind.value,
        "state": view.state.value,
        "source": view.source,
        "source_ref": d.source_ref,
        "line": view.line,
        "direction": view.direction.value,
        "agent": d.agent,
        "occurred_at": instant(view.occurred_at),
        "received_at": instant(view.received_at),
        "expires_at": instant(view.expires_at),
        "bytes": view.bytes,
        "sha256": d.sha256,
        "caller": d.caller,
        "callee": d.callee,
        "customer_number": d.customer_number,
        "metering_point": d.metering_point,
        "contract": d.contract,
        "case": d.case,
        "company": d.company,
        "call_id": d.call_id,
        "announcement": dict(d.announcement) if d.announcement else None,
        "masked": [list(interval) for interval in d.masked],
        "notes": d.notes,
        "extra": d.extra,
        "file_name": d.file_name,
        "media_type": d.media_type or None,
        "warnings": list(d.warnings),
        "given_occurred_at": d.given_occurred_at,
        "not_understood": dict(d.raw),
        "description": description(view.description),
        "renditions": list(view.renditions),
        "holds": [hold(held) for held in view.holds],
        "restricted": view.restricted,
        "related": [
            {
                "id": str(leg.id),
                "occurred_at": instant(leg.occurred_at),
                "direction": leg.direction.value,
            }
            for leg in view.related
        ],
        "error": view.error_code,
    }
    if view.kind is Kind.EMAIL:
        body["mailbox"] = view.line
        body["envelope"] = dict(d.envelope) if d.envelope else None
    return body


def hold(held: Held) -> dict[str, Any]:
    """A hold, or without a case a restriction."""
    row, terms = held.hold, held.terms
    return {
        "id": str(row.id),
        "recording": str(row.recording_id),
        "case": row.case,
        "owner": row.owner,
        "reason": terms.reason if terms else None,
        "legal_basis": terms.basis if terms else None,
        "review_on": row.review_on.isoformat() if row.review_on else None,
        "placed_at": instant(row.placed_at),
        "release_requested": row.requested_by is not None,
        "released_at": instant(row.released_at) if row.released_at else None,
        "ends_at": instant(row.ends_at) if row.ends_at else None,
        "changes": [
            {
                "at": instant(change.at),
                "by": change.by,
                "what": change.what,
                "was": change.was,
                "became": change.became,
                "reason": change.reason,
            }
            for change in (terms.changes if terms else ())
        ],
    }


def case(found: Case) -> dict[str, Any]:
    """A complaint case without what is in it."""
    about = found.about
    return {
        "number": found.number,
        "subject": about.subject if about else None,
        "customer": about.customer if about else None,
        "owner": found.owner,
        "due_on": found.due_on.isoformat() if found.due_on else None,
        "opened_at": instant(found.opened_at),
        "closed_at": instant(found.closed_at) if found.closed_at else None,
        "closing_requested": found.close_requested_by is not None,
        "recordings": found.recordings,
        "held": found.held,
    }


def case_file(file: CaseFile) -> dict[str, Any]:
    """A complaint case with its recordings, each with its notes, and what went."""
    return case(file.case) | {
        "items": [
            {"recording": recording(entry.view), "notes": [_note(n) for n in entry.notes]}
            for entry in file.entries
        ],
        "notes": [_note(note) for note in file.notes],
        "destroyed": [
            {
                "year_ended_on": gone.day.isoformat(),
                "certified_at": instant(gone.at) if gone.at else None,
                "reason": gone.reason,
            }
            for gone in file.gone
        ],
    }


def _note(note: Note) -> dict[str, Any]:
    return {
        "id": str(note.id),
        "kind": note.kind,
        "by": note.by,
        "at": instant(note.at),
        "text": note.text,
        "start_s": note.start_s,
        "end_s": note.end_s,
    }


def consequences(found: Consequences) -> dict[str, Any]:
    """What closing a case would do."""
    return {
        "digest": found.digest,
        "grace_ends_at": instant(found.grace_ends_at),
        "needs_second_person": found.four_eyes,
        "requested": found.requested_by is not None,
        "items": [
            {
                "hold": str(each.hold.id),
                "recording": str(each.recording.id),
                "expires_at": instant(each.recording.expires_at),
                "kept_by": each.kept_by,
                "destroyed_after": instant(each.gone_at) if each.gone_at else None,
            }
            for each in found.recordings
        ],
    }


def erasure(erased: Erasure) -> dict[str, Any]:
    """An early erasure: since when it is gone from everything live, by when from every backup."""
    return {
        "id": str(erased.id),
        "reason": erased.reason,
        "erased_at": instant(erased.at),
        "gone_from_backups_by": erased.backups_until.isoformat(),
    }


def erasure_request(asked: ErasureRequest) -> dict[str, Any]:
    """A wish to erase that another person has to confirm."""
    return {
        "id": str(asked.id),
        "reason": asked.reason,
        "requested_at": instant(asked.at),
        "needs_second_person": True,
    }


def description(found: Description | None) -> dict[str, Any] | None:
    """What describing found, or None before that."""
    if found is None:
        return None
    if found.call is not None:
        return _call(found.call)
    return _mail(found.mail) if found.mail is not None else None


def _call(call: CallDescription) -> dict[str, Any]:
    return {f.name: getattr(call, f.name) for f in fields(call)}


def _mail(mail: MailDescription) -> dict[str, Any]:
    return {
        "message_id": mail.message_id,
        "subject": mail.subject,
        "from": list(mail.from_),
        "to": list(mail.to),
        "cc": list(mail.cc),
        "bcc": list(mail.bcc),
        "date": instant(mail.date) if mail.date else None,
        "in_reply_to": mail.in_reply_to,
        "attachments": [
            {"name": a.name, "type": a.type, "bytes": a.bytes} for a in mail.attachments
        ],
        "parse_errors": list(mail.parse_errors),
    }


def page(found: Page) -> dict[str, Any]:
    """One page of results."""
    body: dict[str, Any] = {"items": [recording(v) for v in found.items], "next": found.next}
    for item, view in zip(body["items"], found.items, strict=True):
        for name, marked in (("excerpt", found.excerpts), ("subject_marked", found.subjects)):
            if view.id in marked:
                item[name] = [{"text": part.text, "hit": part.hit} for part in marked[view.id]]
    if found.total is not None:
        body["total"] = found.total
    if found.facets is not None:
        body["facets"] = {name: dict(counts) for name, counts in found.facets.items()}
    if found.rebuilding:
        body["rebuilding"] = list(found.rebuilding)
    if found.explained:
        body["explained"] = list(found.explained)
    if found.understood:
        body["understood"] = [_piece(piece) for piece in found.understood]
    return body


def _piece(piece: Piece) -> dict[str, Any]:
    """One thing of `q` and what it was taken for; of a time its days, both included."""
    body: dict[str, Any] = {"as": list(piece.fields), "start": piece.start, "stop": piece.stop}
    if piece.fields == (TIME,):
        body["from"] = piece.first.isoformat() if piece.first else None
        body["to"] = piece.last.isoformat() if piece.last else None
    else:
        body |= {"value": piece.value, "without": piece.without}
    return body


def query(given: Mapping[str, Any], allowed: frozenset[str]) -> tuple[Query, dict[str, Any]]:
    """The query and the options limit, cursor, total, facets; BadFields names what is wrong."""
    reader = _Given(given, allowed)
    found = Query(
        q=reader.text("q", 2000),
        customer=reader.text("customer"),
        phone=reader.text("phone"),
        email=reader.text("email"),
        metering_point=reader.text("metering_point"),
        case=reader.text("case"),
        kind=reader.one_of("kind", Kind),
        line=reader.text("line"),
        agent=reader.text("agent"),
        direction=reader.one_of("direction", Direction),
        from_=reader.edge("from", end=False),
        to=reader.edge("to", end=True),
        sort=reader.choice("sort", SORTS) or "newest",
        source=reader.text("source"),
        duration=reader.choice("duration", tuple(DURATIONS)),
        attachment=reader.boolean("attachment") if "attachment" in given else None,
        held=reader.boolean("held"),
    )
    options = {
        "limit": reader.number("limit", 1, MOST_ITEMS) or 25,
        "cursor": reader.text("cursor", 2000),
        "total": reader.boolean("total"),
        "facets": reader.names("facets", FACETS),
        "excerpts": reader.boolean("excerpts"),
    }
    reader.finish()
    return found, options


class _Given:
    """Fields of a search, each checked."""

    def __init__(self, given: Mapping[str, Any], allowed: frozenset[str]) -> None:
        self._given = given
        self.errors = [
            FieldError(name, "a parameter of this search: " + ", ".join(sorted(allowed)))
            for name in sorted(given.keys() - allowed)
        ]

    def _wrong(self, name: str, expected: str) -> None:
        self.errors.append(FieldError(name, expected))

    def text(self, name: str, most: int = 320) -> str | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or len(value) > most or "\x00" in value:
            self._wrong(name, f"text of at most {most} characters")
            return None
        return value.encode("utf-8", "ignore").decode()

    def one_of(self, name: str, kinds: type[Any]) -> Any:
        value = self.choice(name, tuple(k.value for k in kinds))
        return kinds(value) if value else None

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        if value not in choices:
            self._wrong(name, "one of " + ", ".join(choices))
            return None
        return str(value)

    def edge(self, name: str, *, end: bool) -> datetime | None:
        """An instant, or a Helsinki day: its beginning, or for `to` its end."""
        value = self._given.get(name)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, str) and len(value) == 10:
                day = date.fromisoformat(value) + timedelta(days=1 if end else 0)
                return retention.resolve_local(datetime.combine(day, time()))
            return intake.moment(value)
        except (ValueError, OverflowError):
            self._wrong(name, "a date YYYY-MM-DD, or RFC 3339 date and time with offset")
            return None

    def number(self, name: str, least: int, most: int) -> int | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        try:
            number = int(value)
            if isinstance(value, bool) or not least <= number <= most:
                raise ValueError
        except (ValueError, TypeError):
            self._wrong(name, f"a number from {least} to {most}")
            return None
        return number

    def boolean(self, name: str) -> bool:
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            self._wrong(name, "true or false")
            return False
        return value

    def names(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        value = self._given.get(name) or []
        if not isinstance(value, list) or any(item not in known for item in value):
            self._wrong(name, "a list of " + ", ".join(known))
            return ()
        return tuple(value)

    def finish(self) -> None:
        if self.errors:
            raise BadFields(errors=self.errors)
