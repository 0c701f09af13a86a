"""Words to terms."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.search.finnish import Analyser, SimplemmaLemmatiser, VoikkoLemmatiser
from archive.search.spelling import TERM_CHARS, clean, fold, folded_words


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    """Without Voikko, so that every machine tests the same."""
    return Analyser(SimplemmaLemmatiser())


MATCHES = [
    ("sähkölaskusta", "lasku"),
    ("sähkölaskusta", "sähkölasku"),
    ("sähkölaskusta", "sahkolasku"),
    ("sähkölaskusta", "sähkö"),
    ("katkon", "katko"),
    ("katkoista", "katko"),
    ("sähkökatkossa", "sahkokatko"),
    ("sopimuksen", "sopimus"),
    ("sopimuksia", "sopimuksen"),
    ("hintoja", "hinta"),
    ("viat", "vika"),
    ("siirtomaksuista", "siirtomaksu"),
    ("siirtomaksuista", "maksu"),
    ("loppulaskuni", "lasku"),
    ("pörssisähkö", "sähkö"),
    ("liittymismaksun", "maksu"),
    ("jakeluverkkoyhtiölle", "verkkoyhtiö"),
    ("jakeluverkkoyhtiölle", "jakelu"),
    ("laskutus", "lasku"),
    ("lasku", "laskutus"),
    ("käyttöpaikan", "kayttopaikka"),
    ("e-laskun", "elasku"),
    ("e-laskun", "lasku"),
    ("EU:n", "EU"),
    ("räkningen", "räkning"),
    ("invoices", "invoice"),
    ("Mäkelän", "makela"),
    ("ＦＵＬＬＷＩＤＴＨ", "fullwidth"),
    ("straße", "STRASSE"),
]
DIFFERENT = [
    ("saari", "sääri"),
    ("talli", "tälli"),
    ("asiakas", "asia"),
    ("sopimus", "sopia"),
    ("katto", "katko"),
    ("laskuri", "lasku"),
]


@pytest.mark.parametrize(("said", "asked"), MATCHES)
def test_a_word_said_is_found_by_the_word_asked(analyser: Analyser, said: str, asked: str) -> None:
    assert set(analyser.index_terms(said)) & set(analyser.query_terms(asked))


@pytest.mark.parametrize(("said", "asked"), DIFFERENT)
def test_other_words_are_not_found(analyser: Analyser, said: str, asked: str) -> None:
    assert not set(analyser.index_terms(said)) & set(analyser.query_terms(asked))


def test_numbers_in_groups_and_addresses_are_terms_too(analyser: Analyser) -> None:
    terms = analyser.index_terms("Soita 040 123 4567 tai kirjoita Matti.M@esimerkki.fi")
    assert {"0401234567", "matti.m@esimerkki.fi", "matti"} <= set(terms)


def test_a_word_counts_as_often_as_it_is_said(analyser: Analyser) -> None:
    assert analyser.index_terms("lasku laskun LASKU").count("lasku") == 3


def test_folding_takes_every_mark_away() -> None:
    assert fold(clean("Häiriö Čapek Ångström Łódź Strøm")) == "hairio capek angstrom lodz strom"
    assert folded_words("Mäkelä-Ö, Yrjö") == ["makela-o", "yrjo"]


def test_the_analyser_has_a_name_with_its_versions(analyser: Analyser) -> None:
    assert analyser.name.startswith("simplemma-")


class RecordedVoikko:
    """What Voikko 4.3.1 with Debian's voikko-fi 2.5 answered to these words."""

    ANSWERS: ClassVar[dict[str, list[tuple[str, str]]]] = {
        "jakeluverkkoyhtiölle": [("jakeluverkkoyhtiö", "=pppppp=pppppp=pppppppp")],
        "jakeluverkkoyhtiö": [("jakeluverkkoyhtiö", "=pppppp=pppppp=ppppp")],
        "jakelu": [("jakelu", "=pppppp")],
        "verkko": [("verkko", "=pppppp")],
        "hinnoista": [("hinta", "=ppppppppp")],
        "liittymissopimus": [("liittymissopimus", "=ppppppppp=ppppppp")],
        "liittymis": [],
        "liittyminen": [("liittyä", "=ppppppppppp")],
        "invoices": [],
    }

    def getVersion(self) -> str:  # noqa: N802
        return "4.3.1"

    def analyze(self, word: str) -> list[dict[str, str]]:
        answers = self.ANSWERS[word]  # a word that was not recorded is a mistake of the test
        return [{"BASEFORM": base, "STRUCTURE": structure} for base, structure in answers]


def test_voikko_is_asked_first_and_its_compounds_are_taken_apart() -> None:
    voikko = VoikkoLemmatiser(RecordedVoikko(), SimplemmaLemmatiser())
    assert voikko.name.startswith("voikko-4.3.1+simplemma-")
    assert voikko.lemmas("hinnoista") == ("hinta",)
    assert voikko.parts("jakeluverkkoyhtiö") == ("jakelu", "verkko", "verkkoyhtiö", "yhtiö")
    assert voikko.parts("liittymissopimus") == ("liittyä", "sopimus")
    assert voikko.parts("hinnoista") == ()
    assert voikko.lemmas("invoices") == ("invoice",)
    terms = Analyser(voikko).index_terms("jakeluverkkoyhtiölle")
    assert {"jakeluverkkoyhtiö", "verkkoyhtiö", "yhtio"} <= set(terms)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_an_error_and_no_term_is_long(analyser: Analyser, text: str) -> None:
    for term in (*analyser.index_terms(text), *analyser.query_terms(text)):
        assert 0 < len(term) <= TERM_CHARS * 3
        term.encode()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aäeijklmnoöprstuvyAÄÖ", min_size=2, max_size=30))
def test_every_word_is_found_by_itself_and_by_its_folded_form(
    analyser: Analyser, word: str
) -> None:
    terms = set(analyser.index_terms(word))
    assert terms & set(analyser.query_terms(word))
    assert fold(clean(word)) in terms
