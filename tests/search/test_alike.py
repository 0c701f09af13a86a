"""Names found in any order, without diacritics, with one slip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from archive.model import Query
from archive.search import Index
from archive.search.alike import LONGEST, MOST_NAMES, neighbourhood, neighbourhoods
from archive.search.finnish import Analyser, default_analyser
from tests.search.documents import document


def table() -> list[tuple[str, str, bool]]:
    lines = (Path(__file__).parent / "name_slips.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [(said, asked, expected == "found") for said, asked, expected in rows]


SAID = list(dict.fromkeys(said for said, _, _ in table()))


def put_names(index: Index) -> None:
    index.put([document(n, names=(said,)) for n, said in enumerate(SAID, 1)])


def finds(index: Index, typed: str, said: str) -> bool:
    hits = index.find(Query(q=typed), limit=len(SAID))
    return SAID.index(said) + 1 in {hit.id.int for hit in hits}


def named(typed: str) -> str:
    return " ".join(f"nimi:{word}" for word in typed.split())


def test_the_table_of_slips_holds_with_every_engine(
    index: Index, record_property: Callable[[str, object], None]
) -> None:
    put_names(index)
    found = {(said, asked): finds(index, named(asked), said) for said, asked, _ in table()}
    wrong = [(s, a) for s, a, expected in table() if found[s, a] is not expected]
    hits = [expected for said, asked, expected in table() if found[said, asked]]
    wanted = [row for row in table() if row[2]]
    recall, precision = sum(hits) / len(wanted), sum(hits) / len(hits)
    record_property("names", f"recall {recall:.3f}, precision {precision:.3f}")
    print(f"names: {len(table())} rows, recall {recall:.3f}, precision {precision:.3f}")
    assert wrong == []


@pytest.mark.parametrize("typed", ["Virtnaen", "wirtanen", "matti virtnaen", "Virtane matti"])
def test_a_name_needs_no_field(index: Index, typed: str) -> None:
    put_names(index)
    assert finds(index, typed, "Matti Virtanen")
    assert not finds(index, typed, "Korhonen Eeva")


def test_the_agent_of_a_call_is_found_with_a_slip(index: Index) -> None:
    index.put([document(1, agent="Laine, Mikko"), document(2, agent="asp-17")])
    assert [hit.id.int for hit in index.find(Query(q="nimi:Liane"), limit=5)] == [1]


def test_a_word_of_the_dictionary_is_no_misspelt_name(index: Index) -> None:
    index.put([document(1, names=("Laskku Oy",)), document(2, text="lasku")])
    assert [hit.id.int for hit in index.find(Query(q="lasku"), limit=5)] == [2]


def test_a_name_is_left_out_only_as_it_is_written(index: Index) -> None:
    index.put([document(1, names=("Virtanen",)), document(2, names=("Virtala",))])
    assert {hit.id.int for hit in index.find(Query(q="-virtnaen"), limit=5)} == {1, 2}


def test_a_contact_puts_a_bounded_number_of_terms_into_the_index() -> None:
    def names(number: int) -> Iterable[str]:
        return (f"{'a' * 5}{n:05}{'b' * 80}" for n in range(number))

    assert len(neighbourhood("x" * 500)) <= LONGEST + 1
    assert len(neighbourhoods(names(500))) <= MOST_NAMES * (LONGEST + 1)
    # Three parties of two words each, as an email has: about as many terms as twenty words give.
    usual = neighbourhoods(["Matti Virtanen", "Asiakaspalvelu Elenia", "Eeva Korhonen"])
    assert len(usual) < 60


def test_every_single_slip_is_found_whatever_the_name() -> None:
    for name in ("virtanen", "laine", "hamalainen"):
        near = set(neighbourhood(name))
        slips = [name[:n] + name[n + 1 :] for n in range(len(name))]
        slips += [name[:n] + "x" + name[n:] for n in range(len(name) + 1)]
        slips += [name[:n] + "x" + name[n + 1 :] for n in range(len(name))]
        slips += [name[:n] + name[n : n + 2][::-1] + name[n + 2 :] for n in range(len(name) - 1)]
        assert [slip for slip in slips if not near & set(neighbourhood(slip))] == []


def test_the_analyser_knows_words_but_not_slips() -> None:
    analyser: Analyser = default_analyser()
    assert analyser.knows("lasku")
    assert analyser.knows("sähkö")
    assert not analyser.knows("virtnaen")
