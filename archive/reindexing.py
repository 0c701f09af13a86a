"""The whole index, or a month of it, made anew on demand: `archive reindex`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from sqlalchemy import text

from archive import catalogue, mending
from archive.archive import Archive
from archive.db import reading
from archive.errors import BadFields, FieldError

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def begin(archive: Archive, month: str | None) -> int:
    """Throws away the month, or every one, and makes its recordings due; how many those are.

    BadFields where `month` is none.
    """
    if month is not None and not _MONTH.fullmatch(month):
        raise BadFields(errors=[FieldError("month", "a month YYYY-MM")])
    with reading(archive.engine) as connection:
        of_recordings = connection.execute(
            text(
                "select distinct to_char(occurred_at at time zone 'UTC', 'YYYY-MM') from recording"
            )
        ).scalars()
        months = {*of_recordings, *archive.index.check(), *archive.index.months()}
    for each in [month] if month is not None else sorted(months):
        mending.rebuild(archive.engine, archive.index, each, now=archive.now())
    return waiting(archive)


def progress(
    archive: Archive, due: int, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[int]:
    """How many of `due` are in the index again, until all are; once a second."""
    while left := waiting(archive):
        yield max(0, due - left)
        sleep(1)
    yield due


def waiting(archive: Archive) -> int:
    """Recordings that wait for the index."""
    with reading(archive.engine) as connection:
        return catalogue.queue_lengths(connection)["index"]
