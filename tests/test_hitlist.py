"""The list of hits as a file: no formula, no identity code, nothing a spreadsheet trips over."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.hitlist import COLUMNS, lines, safe


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("+358401234567", "'+358401234567"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'=1+1"),
        ("＝1", "'＝1"),
        ("kaksi\r\nriviä;", "kaksi riviä;"),
        ("131052-308T", "***********"),
        (None, ""),
        (12, "12"),
        ("\ud800x", "?x"),
    ],
)
def test_a_cell_is_text_and_nothing_else(cell: object, shown: str) -> None:
    assert safe(cell) == shown


@given(st.text())
def test_no_cell_begins_as_a_formula_or_has_a_second_line(cell: str) -> None:
    shown = safe(cell)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert len(shown.splitlines()) <= 1


def test_the_table_begins_with_a_mark_and_its_headings() -> None:
    (heading,) = lines([])
    assert heading.encode().startswith(b"\xef\xbb\xbf")
    (row,) = csv.reader(io.StringIO(heading.removeprefix("\ufeff")), delimiter=";")
    assert tuple(row) == COLUMNS
