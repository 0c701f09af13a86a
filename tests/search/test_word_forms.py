"""The words of a utility's customers: which form must be found by which word, and by which not.

`word_forms.txt` says it; recall and precision are printed for each analyser (`pytest -s`, or at
the end of the output).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from archive.search.finnish import (
    Analyser,
    Lemmatiser,
    SimplemmaLemmatiser,
    VoikkoLemmatiser,
    installed_voikko,
)
from archive.search.spelling import clean, fold

TABLE = Path(__file__).with_name("word_forms.txt")


@dataclass(frozen=True)
class Line:
    base: str
    forms: tuple[str, ...]
    must: frozenset[str]  # base forms of other words that must find the forms
    either: frozenset[str]  # may find them
    never: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    right: int
    missed: list[tuple[str, str]]  # (form, word asked)
    wrong: list[tuple[str, str]]

    @property
    def recall(self) -> float:
        return self.right / (self.right + len(self.missed))

    @property
    def precision(self) -> float:
        return self.right / (self.right + len(self.wrong))


def table() -> list[Line]:
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        forms, others, never = line.split("|")
        base, _, rest = forms.partition(":")
        words = others.split()
        found.append(
            Line(
                base,
                tuple(rest.split()),
                frozenset(word for word in words if not word.endswith("*")),
                frozenset(word[:-1] for word in words if word.endswith("*")),
                tuple(word for word in never.split() if not word.endswith("*")),
            )
        )
    return found


def score(analyser: Analyser, lines: list[Line]) -> Score:
    bases = [line.base for line in lines]
    asked = {
        word: set(analyser.query_terms(word))
        for line in lines
        for word in [line.base, fold(clean(line.base)), *line.must, *line.never]
    }
    right, missed, wrong = 0, [], []
    for line in lines:
        must = {line.base, fold(clean(line.base)), *line.must}
        mustnt = {*line.never, *bases} - must - line.either
        for form in line.forms:
            terms = set(analyser.index_terms(form))
            for word in must:
                if terms & asked[word]:
                    right += 1
                else:
                    missed.append((form, word))
            wrong += [(form, word) for word in mustnt if terms & asked[word]]
    return Score(right, missed, wrong)


def voikko() -> Lemmatiser:
    found = installed_voikko()
    if found is None:
        pytest.skip("Voikko is not installed")
    return VoikkoLemmatiser(found, SimplemmaLemmatiser())


def test_the_table_has_more_than_300_forms_and_says_nothing_twice() -> None:
    forms = [form for line in table() for form in line.forms]
    assert len(forms) >= 300
    assert len(forms) == len(set(forms))


@pytest.mark.parametrize(
    ("make", "recall", "precision"),
    [(SimplemmaLemmatiser, 0.90, 0.93), (voikko, 0.97, 0.95)],
    ids=["simplemma", "voikko"],
)
def test_words_find_their_forms_and_no_others(
    make: type[Lemmatiser],
    recall: float,
    precision: float,
    record_property: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    analyser = Analyser(make())
    found = score(analyser, table())
    with capsys.disabled():
        print(
            f"\n{analyser.name}: recall {found.recall:.3f}, precision {found.precision:.3f} "
            f"({found.right} right, {len(found.missed)} missed, {len(found.wrong)} wrong)"
        )
    print("missed", found.missed)
    print("wrong", found.wrong)
    assert found.recall >= recall
    assert found.precision >= precision
