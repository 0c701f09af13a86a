"""Every sentence of the pages is there in every language."""

from __future__ import annotations

from archive.web import check


def test_every_sentence_is_translated_and_every_template_compiles() -> None:
    assert list(check.problems()) == []


def test_a_missing_translation_is_named() -> None:
    wanted = check.sentences()
    wanted.add("A sentence that nobody translated, %(name)s")
    empty = check.Catalog(locale="fi")
    found = list(check.translation_problems("fi", wanted, empty))
    assert "fi: not translated: A sentence that nobody translated, %(name)s" in found


def test_a_translation_that_loses_its_placeholder_is_named() -> None:
    wanted, given = check.Catalog(), check.Catalog(locale="fi")
    wanted.add("Case %(number)s")
    given.add("Case %(number)s", "Tapaus %(numero)s")
    assert list(check.translation_problems("fi", wanted, given)) == [
        "fi: unknown placeholder: Case %(number)s"
    ]
