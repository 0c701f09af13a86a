"""When a contact was, as the engines order and divide by it: microseconds, months, spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from archive.model import Query

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[int, bytes]  # microseconds since 1970 UTC, id: what hits are sorted by


def microseconds(moment: datetime) -> int:
    """Since 1970 UTC; exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The other way; aware, UTC."""
    return _EPOCH + timedelta(microseconds=us)


def month_of(occurred_at: datetime) -> str:
    """ "YYYY-MM" in UTC."""
    return occurred_at.astimezone(UTC).strftime("%Y-%m")


def span(query: Query, cursor: Key | None) -> tuple[Key | None, Key | None]:
    """The keys asked for: from the first, inclusive, to the last, exclusive."""
    first = (microseconds(query.from_), b"") if query.from_ is not None else None
    stops = [cursor] if cursor is not None else []
    if query.to is not None:
        stops.append((microseconds(query.to), b""))
    return first, min(stops, default=None)
