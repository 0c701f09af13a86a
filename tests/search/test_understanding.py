"""How questions are understood, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archive.model import Query
from archive.search.finnish import default_analyser
from archive.search.query import question
from archive.search.typed import FIELD_NAMES
from archive.search.understanding import Piece, understand, without

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PARTS = [
    *FIELD_NAMES, ":", "=", '"', "”", "-", "(", ")", "*", " ", "\0", "\ud800", "\ue000", "lasku",
    "viime viikolla", "12.3.", "–", "15.3.2025", "29.2.", "ennen", "since", "99 vuotta sitten",
    "viikolla 53", "040 123 4567", "2026-00012", "643000000000000016", "a@b.fi", "131052-308T",
    "TAI", "OR", "NOT", "İ", "ß", "maaliskuusta", "toukokuuhun", "999", "1/1/2000", "31.12.9999",
]  # fmt: skip


def pieces(typed: str) -> tuple[Piece, ...]:
    return understand(Query(q=typed), now=NOW).pieces


def taken(typed: str) -> list[tuple[str, str]]:
    return [(" or ".join(piece.fields), piece.value) for piece in pieces(typed)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("lasku hyvit*", [("word", "lasku"), ("beginning", "hyvit*")]),
        ('"luvattu hyvitys"', [("phrase", "luvattu hyvitys")]),
        ('"hyvitys"', [("word", "hyvitys")]),
        ("040 123 4567", [("phone or customer", "+358401234567")]),
        ("puh:040-1234567", [("phone", "+358401234567")]),
        ("puh: 040 123 4567", [("phone", "+358401234567")]),
        ("tel=+358401234567", [("phone", "+358401234567")]),
        ("123 4567", [("customer or phone", "1234567")]),
        ("4567", [("customer or phone", "4567")]),
        ("A-12", [("customer", "A-12")]),
        ("6430 0000 0000 0000 16", [("metering_point", "643000000000000016")]),
        ("2026-00042", [("case", "2026-00042")]),
        ("Matti@Esimerkki.fi", [("email", "Matti@Esimerkki.fi")]),
        ("suunta:saapuva laji:puhelu", [("direction", "inbound"), ("kind", "call")]),
        ("direction:incoming", [("direction", "inbound")]),
        ("nimi:Virtanen", [("name", "Virtanen")]),
        ("linja:viat mailbox:info", [("line", "viat"), ("line", "info")]),
        ("lasku TAI hyvitys", [("word", "lasku"), ("or", ""), ("word", "hyvitys")]),
        ("(lasku AND hyvitys)", [("word", "lasku"), ("word", "hyvitys")]),
        ("EI TOIMI", [("word", "EI"), ("word", "TOIMI")]),
        ("a = b", [("word", "a"), ("word", "b")]),
    ],
)
def test_every_piece_is_taken_for_what_it_is(typed: str, expected: list[tuple[str, str]]) -> None:
    assert taken(typed) == expected


def test_a_time_becomes_a_limit_and_leaves_the_words() -> None:
    understood = understand(Query(q="lasku viime viikolla"), now=NOW)
    assert (understood.query.q or "").split() == ["lasku"]
    assert understood.query.from_ == datetime(2026, 11, 15, 22, tzinfo=UTC)  # midnight in Helsinki
    assert understood.query.to == datetime(2026, 11, 22, 22, tzinfo=UTC)


def test_times_narrow_each_other_and_the_fields() -> None:
    since = datetime(2026, 11, 18, tzinfo=UTC)
    narrowed = understand(Query(q="marraskuussa ennen 20.11.", from_=since), now=NOW).query
    assert (narrowed.from_, narrowed.to) == (since, datetime(2026, 11, 19, 22, tzinfo=UTC))


def test_times_without_a_common_day_take_in_everything_between_them() -> None:
    understood = understand(Query(q="12.3. 15.3."), now=NOW)
    assert understood.notes == ("dates-apart",)
    assert understood.query.from_ == datetime(2026, 3, 11, 22, tzinfo=UTC)
    assert understood.query.to == datetime(2026, 3, 15, 22, tzinfo=UTC)


def test_today_is_a_day_of_helsinki() -> None:
    late = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)  # half past midnight
    (piece,) = understand(Query(q="tänään"), now=late).pieces
    assert str(piece.first) == "2026-11-24"


def test_what_is_left_out_says_so() -> None:
    assert [piece.without for piece in pieces("-perintä NOT katko lasku")] == [True, True, False]


@pytest.mark.parametrize(
    ("typed", "number", "left"),
    [
        ("lasku viime viikolla linja:viat", 1, "lasku linja:viat"),
        ("lasku TAI hyvitys katko", 0, "hyvitys katko"),
        ("lasku TAI hyvitys katko", 2, "lasku katko"),
        ("puh: 040 123 4567 lasku", 0, "lasku"),
        ("NOT katko lasku", 0, "lasku"),
        ("eilen", 0, ""),
    ],
)
def test_a_piece_is_taken_out_of_what_was_typed(typed: str, number: int, left: str) -> None:
    assert without(typed, pieces(typed), number) == left


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join)))
@example("x " * 2000)
def test_no_text_makes_an_error_and_every_piece_stands_in_it(typed: str) -> None:
    understood = understand(Query(q=typed), now=NOW)
    question(understood.query, default_analyser())
    ends = 0
    for number, piece in enumerate(understood.pieces):
        assert ends <= piece.start < piece.stop <= len(typed)
        ends = piece.stop
        without(typed, understood.pieces, number)


@settings(max_examples=50, deadline=None)
@given(st.text(), st.integers(-9_000, 60_000))
def test_no_day_makes_an_error(typed: str, days: int) -> None:
    asked = Query(q=f"{typed} vuosi sitten 29.2. joulukuussa ennen 1.1.")
    understand(asked, now=NOW + timedelta(days=days))
