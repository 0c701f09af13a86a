"""Words of the trade that stand for each other, and what an administrator changes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.errors import BadSetting
from archive.search.finnish import Analyser, SimplemmaLemmatiser
from archive.search.languages import language_of
from archive.search.spelling import clean, words
from archive.search.synonyms import MOST_BYTES, Synonyms


def test_an_administrators_file_adds_to_the_list_and_takes_from_it(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# ours\nsähkö virta\n- lasku laskutus\n", encoding="utf-8")
    known = Synonyms(file)
    assert known.of("sähkö") == ("virta",)
    assert known.of("virta")[0] == "sähkö"
    assert known.of("sahko") == ("virta",)
    assert known.of("lasku") == ()
    assert known.of("häiriö") == Synonyms().of("häiriö") == ("vika",)


def test_a_change_of_the_file_counts_within_seconds_and_a_mistake_changes_nothing(
    tmp_path: Path,
) -> None:
    file, at = tmp_path / "words.txt", [0.0]
    file.write_text("sähkö virta\n", encoding="utf-8")
    known = Synonyms(file, monotonic=lambda: at[0])
    file.write_text("sähkö voima energia\n", encoding="utf-8")
    at[0] = 3.0
    assert known.of("sähkö") == ("voima", "energia")
    for mistake in (b"\xff\xfe\xfd", b"x" * (MOST_BYTES + 1)):
        file.write_bytes(mistake)
        at[0] += 3
        assert known.of("sähkö") == ("voima", "energia")
    file.unlink()
    at[0] += 3
    assert known.of("sähkö") == ("voima", "energia")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfd", b"x" * (MOST_BYTES + 1)])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSetting) as caught:
        Synonyms(file)
    assert "ARCHIVE_SYNONYMS_FILE" in caught.value.message


def test_a_word_is_searched_by_the_administrators_words_too(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("sähkö virta\n", encoding="utf-8")
    analyser = Analyser(SimplemmaLemmatiser(), synonyms=Synonyms(file))
    assert set(analyser.index_terms("virran")) & set(analyser.query_terms("sähköä"))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hej, jag har fått en räkning som inte är min. Vad ska jag göra? Tack", "sv"),
        ("Hello, I have not received the invoice for my contract. Please send it to me.", "en"),
        ("Hei, en ole saanut laskua. Voisitteko lähettää sen minulle? Kiitos", None),
        ("Hei, liitteenä invoice and the contract, kiitos että hoidatte sen", None),
        ("räkning 123", None),
        ("", None),
    ],
)
def test_the_language_is_guessed_where_it_is_sure(text: str, language: str | None) -> None:
    assert language_of(list(words(clean(text)))) == language


def test_a_swedish_text_is_found_by_swedish_base_forms() -> None:
    analyser = Analyser(SimplemmaLemmatiser())
    terms = analyser.index_terms(
        "Hej, jag har frågor om fakturorna och avtalen som ni skickade till oss med mejl."
    )
    for word in ("fråga", "faktura", "avtal", "fraga"):
        assert set(terms) & set(analyser.query_terms(word)), word
