"""What a sender says it sent: a CSV with a header, as of a CDR. Pure.

A row is named by `source_ref`, `recordingfile` (its file name) or `uniqueid`, and timed by
`occurred_at` (RFC 3339) or `calldate` (local). A CDR's row without a recording announces none.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime

from archive import retention
from archive.errors import BadFields, FieldError
from archive.intake import moment
from archive.sourcebook import Announced
from archive.sources.pbx_names import reference

_NAMES = ("source_ref", "recordingfile", "uniqueid")
_TIMES = ("occurred_at", "calldate")
_SEQUENCE_DIGITS = 18


def read(lines: Iterable[str]) -> list[Announced]:
    """Every announced recording, in the order given; BadFields names the line that is not one."""
    rows = csv.DictReader(line.replace("\0", "") for line in lines)
    try:
        return _read(rows)
    except csv.Error as error:
        raise BadFields(
            errors=[FieldError(f"line {rows.line_num + 1}", f"CSV ({error})")]
        ) from None


def _read(rows: csv.DictReader[str]) -> list[Announced]:
    columns = {name.strip().lower() for name in rows.fieldnames or ()}
    for wanted in (_NAMES, _TIMES):
        if not columns & set(wanted):
            expected = f"a header with one of {', '.join(wanted)}"
            raise BadFields(errors=[FieldError("line 1", expected)])
    found = []
    for row in rows:
        values = {k.strip().lower(): v.strip() for k, v in row.items() if k and v}
        names = _references(values, columns)
        if names:
            found.append(
                Announced(names, _time(values, rows.line_num), _sequence(values, rows.line_num))
            )
    return found


def _references(values: Mapping[str, str], columns: set[str]) -> tuple[str, ...]:
    """Under which references it may have come; () of a row that announces no recording."""
    if "recordingfile" in columns and "recordingfile" not in values:
        return ()
    file = values.get("recordingfile", "").rpartition("/")[2]
    told = (values.get("source_ref"), reference(file) if file else None, values.get("uniqueid"))
    return tuple(name for name in told if name)


def _time(values: Mapping[str, str], line: int) -> datetime:
    try:
        if "occurred_at" in values:
            return moment(values["occurred_at"])
        naive = datetime.strptime(values.get("calldate", ""), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        return retention.resolve_local(naive)
    except ValueError:
        expected = "occurred_at as RFC 3339, or calldate as YYYY-MM-DD HH:MM:SS"
        raise BadFields(errors=[FieldError(f"line {line}", expected)]) from None


def _sequence(values: Mapping[str, str], line: int) -> int | None:
    given = values.get("sequence")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _SEQUENCE_DIGITS):
        expected = f"sequence as a number of at most {_SEQUENCE_DIGITS} digits"
        raise BadFields(errors=[FieldError(f"line {line}", expected)])
    return int(given)
