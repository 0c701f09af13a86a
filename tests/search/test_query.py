"""What people type, read leniently."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.model import Query
from archive.search.finnish import default_analyser
from archive.search.query import (
    AllOf,
    AnyOf,
    Clause,
    Not,
    Phrase,
    Prefix,
    Term,
    WithoutPhrase,
    parse,
    question,
)


def read(typed: str) -> tuple[Clause, ...]:
    clause = parse(typed, default_analyser()).clause
    assert isinstance(clause, AllOf)
    return clause.parts


def leaves(clause: Clause) -> set[Clause]:
    if isinstance(clause, AllOf | AnyOf):
        return {leaf for part in clause.parts for leaf in leaves(part)}
    return leaves(clause.part) if isinstance(clause, Not) else {clause}


def notes(typed: str) -> tuple[str, ...]:
    return parse(typed, default_analyser()).notes


def test_words_are_all_wanted() -> None:
    assert len(read("lasku hinta vika")) == 3


def test_minus_excludes_a_word_or_a_field() -> None:
    for typed in ("-lasku", "-linja:viat", '-"lasku"', '-linja:"muutto ja liittymät"'):
        (only,) = read(typed)
        assert isinstance(only, Not)


def test_words_in_quotes_are_a_phrase_and_one_word_in_quotes_is_that_word() -> None:
    (phrase,) = read('aihe:"väärä lasku taas"')
    assert isinstance(phrase, Phrase)
    assert (phrase.field, phrase.words) == ("subject", ("väärä", "lasku", "taas"))
    assert len({leaf for leaf in leaves(phrase) if getattr(leaf, "field", "") == "phrase"}) >= 2
    assert read('"lasku"') == read("lasku")


def test_a_phrase_that_is_left_out_is_left_to_the_texts_themselves() -> None:
    (only,) = read('-"väärä lasku"')
    assert isinstance(only, WithoutPhrase)
    assert only.parts == ()


def test_a_minus_inside_a_word_is_no_exclusion() -> None:
    (only,) = read("e-lasku")
    assert not isinstance(only, Not)
    assert {Term("text", "elasku"), Term("text", "lasku")} <= leaves(only)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("linja:viat", Term("line", "viat")),
        ("LINJA:viat", Term("line", "viat")),
        ('linja:"muutto ja liittymät"', Term("line", "muutto ja liittymät")),
        ("agentti:Mäkelä", Term("agent", "makela")),
        ("asiakas:100200", Term("customer", "100200")),
        ("käyttöpaikka:643000000000000016", Term("metering_point", "643000000000000016")),
        ("kayttopaikka:643000000000000016", Term("metering_point", "643000000000000016")),
        ("tapaus:2026-00001", Term("case", "2026-00001")),
        ("laji:sähköposti", Term("kind", "email")),
        ("suunta:lähtevä", Term("direction", "outbound")),
        ("aihe:lasku", Term("subject", "lasku")),
        ("nimi:Öberg", Term("names", "oberg")),
        ("puh:0401234567", Term("phone", "+358401234567")),
        ("puh:+358401234567", Term("phone", "+358401234567")),
        ("sähköposti:A@B.fi", Term("email", "a@b.fi")),
    ],
)
def test_fields_have_names_in_both_languages(typed: str, wanted: Term) -> None:
    assert wanted in leaves(AllOf(read(typed)))


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("643000000000000016", Term("metering_point", "643000000000000016")),
        ("6430 0000 0000 0000 16", Term("metering_point", "643000000000000016")),
        ("+358 40 123 4567", Term("phone", "+358401234567")),
        ("puh:040 123 4567", Term("phone", "+358401234567")),
        ("soitti 040 123 4567 eilen", Term("phone", "+358401234567")),
        ("1234567", Prefix("phone_end", "7654321")),
        ("100200", Term("customer", "100200")),
        ("Matti@Esimerkki.fi", Term("email", "matti@esimerkki.fi")),
        ("2026-00042", Term("case", "2026-00042")),
        ("sopim*", Prefix("text", "sopim")),
    ],
)
def test_numbers_and_addresses_are_recognised(typed: str, wanted: Clause) -> None:
    assert wanted in leaves(AllOf(read(typed)))


def test_a_recognised_number_is_looked_for_in_the_text_too() -> None:
    assert Term("text", "100200") in leaves(AllOf(read("100200")))


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("foo:lasku", "unknown-field:foo"),
        ('"väärä lasku', "quote-not-closed"),
        ("a*", "prefix-too-short"),
        ("*", "nothing-to-search"),
        ("-", "nothing-to-search"),
        ("131052-308T", "identity-code-not-searched"),
        ("x " * 600, "too-long"),
        ("x " * 60, "too-many-words"),
    ],
)
def test_what_is_not_read_as_meant_is_told(typed: str, note: str) -> None:
    assert note in notes(typed)


def test_a_plain_question_needs_no_explaining() -> None:
    assert notes("sähkölasku 040 1234567 linja:viat -perintä") == ()


def test_what_says_nothing_finds_nothing_and_nothing_typed_finds_all() -> None:
    assert read("!!!") == (AnyOf(()),)
    assert read("   ") == ()


def test_a_personal_identity_code_gets_into_no_part_of_the_question() -> None:
    assert "308" not in str(parse("lasku 131052-308T", default_analyser()))


def test_no_lines_means_nothing_and_lines_narrow() -> None:
    asked = question(Query(lines=frozenset()), default_analyser()).clause
    assert isinstance(asked, AllOf)
    assert AnyOf(()) in asked.parts


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='abö 019-+:"*()@._“”\u00a0linja:puh', max_size=60))
def test_nothing_typed_is_an_error(typed: str) -> None:
    asked = parse(typed, default_analyser())
    assert all(leaf.text for leaf in leaves(asked.clause) if isinstance(leaf, Term | Prefix))
