"""The words asked for, in their context."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.model import Query
from archive.search.finnish import default_analyser
from archive.search.marking import EXCERPT_CHARS, Excerpt, excerpt, marker


def marked(typed: str, text: str, **more: bool) -> Excerpt:
    return excerpt(text, marker(Query(q=typed), default_analyser()), **more)


def hits(typed: str, text: str) -> list[str]:
    return [part.text for part in marked(typed, text, whole=True) if part.hit]


@pytest.mark.parametrize(
    ("typed", "text", "expected"),
    [
        ("lasku", "Sähkölaskussani on virhe, laskun summa", ["Sähkölaskussani", "laskun"]),
        ("sahkolasku", "SÄHKÖLASKUSTA", ["SÄHKÖLASKUSTA"]),
        ("sopim*", "sopimuksen sopimus sovimme", ["sopimuksen", "sopimus"]),
        ("virtnaen", "Terveisin Matti Virtanen", ["Virtanen"]),
        ("040 123 4567", "Soita 040 123 4567 tai +358401234567", ["040 123 4567"]),
        ('"väärä summa"', "summa on väärä", []),
        ('"väärä summa"', "Summa väärä, vääriä summia", ["vääriä summia"]),
        ('"sahko katkesi"', "SÄHKÖ, katkesi eilen", ["SÄHKÖ, katkesi"]),
        ('"väärä summa" lasku', "väärä summa laskussa", ["väärä summa", "laskussa"]),
        ("-virhe lasku", "virhe laskussa", ["laskussa"]),
        ("linja:viat lasku", "viat laskussa", ["laskussa"]),
        ("hyvitys TAI lasku", "lasku", ["lasku"]),
        ("maaliskuu", "ei mitään", []),
    ],
)  # fmt: skip
def test_every_form_of_what_was_asked_for_is_marked(
    typed: str, text: str, expected: list[str]
) -> None:
    assert hits(typed, text) == expected


def test_an_excerpt_is_short_and_around_what_was_asked_for() -> None:
    text = "alku " * 300 + "Laskussa on virhe. " + "loppu " * 300
    parts = marked("lasku virhe", text)
    shown = "".join(part.text for part in parts)
    assert len(shown) <= EXCERPT_CHARS + 2
    assert [part.text for part in parts if part.hit] == ["Laskussa", "virhe"]
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_an_excerpt_is_where_most_of_the_words_are() -> None:
    text = "lasku " + "x " * 400 + "lasku hyvitys sopimus"
    assert [p.text for p in marked("lasku hyvitys sopimus", text) if p.hit] == [
        "lasku", "hyvitys", "sopimus",
    ]  # fmt: skip


def test_an_identity_code_is_masked_in_an_excerpt() -> None:
    parts = marked("lasku", "lasku 131052-308T lasku")
    assert "131052" not in "".join(part.text for part in parts)


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text(alphabet="ab \n<>&\"'lasku.-:0123456789ä\u0130\ud800", max_size=400))
def test_no_text_and_no_question_makes_an_error_and_nothing_is_invented(
    typed: str, text: str
) -> None:
    for asked in (typed, "lasku a* b"):
        parts = marked(asked, text)
        shown = "".join(part.text for part in parts).strip("…").strip()
        assert shown.replace("*", "") in " ".join(text.split()).replace("*", "") or "*" in shown
