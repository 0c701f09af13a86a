"""The hits of a search as a table for a spreadsheet: metadata alone, nothing that was said.

UTF-8 with a byte order mark and semicolons, as spreadsheets of this country read it. A cell that
a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection). Pure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from archive import retention
from archive.answers import View
from archive.formats import cards
from archive.formats.identifiers import mask_hetu

MOST_ROWS = 5_000
COLUMNS = (
    "id", "occurred_at", "kind", "direction", "line", "agent", "customer_number", "caller",
    "callee", "from", "to", "subject", "length_s", "attachments", "metering_point", "case",
    "company", "source", "expires_at",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_BOM = "\ufeff"


def lines(views: Iterable[View], headings: Sequence[str] = COLUMNS) -> Iterator[str]:
    """The table line by line, headings first; times on the clocks of Helsinki."""
    yield _BOM + _line(headings)
    for view in views:
        yield _line(_cells(view))


def safe(cell: object) -> str:
    """A cell's text in one line, without identity codes, that no spreadsheet runs."""
    text = cards.mask(mask_hetu("" if cell is None else str(cell))).replace("\0", " ")
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(view: View) -> list[object]:
    d = view.descriptor
    call = view.description.call if view.description else None
    mail = view.description.mail if view.description else None
    return [
        view.id,
        retention.local(view.occurred_at).strftime("%Y-%m-%d %H:%M:%S"),
        view.kind.value,
        view.direction.value,
        view.line,
        d.agent,
        d.customer_number,
        d.caller,
        d.callee,
        ", ".join(mail.from_) if mail else None,
        ", ".join(mail.to) if mail else None,
        mail.subject if mail else None,
        round(call.duration_s) if call and call.duration_s is not None else None,
        len(mail.attachments) if mail else None,
        d.metering_point,
        d.case,
        d.company,
        view.source,
        retention.local(view.expires_at).strftime("%Y-%m-%d %H:%M:%S"),
    ]


def _line(cells: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(
        [safe(cell) for cell in cells]
    )
    return out.getvalue()
