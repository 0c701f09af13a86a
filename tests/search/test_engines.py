"""The engines agree with each other and with brute force, whatever is asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from archive.model import Direction, Document, Kind, Query
from archive.search import Index, open_index
from tests.search.conftest import open_keys
from tests.search.documents import (
    AGENTS,
    FIRST,
    LINES,
    METERING_POINT,
    NAMES,
    STILL,
    contacts,
    expected,
    holds,
    says,
)

QUESTIONS = 1_000
ALL = 100_000
Check = Callable[[Document], bool]


@pytest.fixture(scope="module")
def said() -> list[Document]:
    return contacts(400, seed=3)


@pytest.fixture(scope="module")
def engines(
    said: list[Document], tmp_path_factory: pytest.TempPathFactory, server_url: str
) -> Iterator[list[Index]]:
    """The same contacts in each engine."""
    folder = tmp_path_factory.mktemp("engines")
    url = server_url.replace("/postgres?", "/engines_index?")
    made = [
        open_index(folder / "index", open_keys(folder / "keys"), url=each) for each in ("", url)
    ]
    for index in made:
        index.put(said)
    yield made
    for index in made:
        index.close()


def _words(dice: random.Random) -> tuple[str | None, Check]:
    """A question of words and the contacts that must be found by it."""
    words = ["lasku", "katko", "sopimus", "hinta", "häiriö", "invoice", "räkning", "sähkölasku"]
    one, other = dice.sample(words, 2)
    choices: list[tuple[str | None, Check]] = [
        (None, lambda d: True),
        (one, lambda d: says(d, one)),
        (f"{one} {other}", lambda d: says(d, one) and says(d, other)),
        (f"{one} -{other}", lambda d: says(d, one) and not says(d, other)),
        (f'"{one}"', lambda d: says(d, one)),
        (f"-{one} -{other}", lambda d: not says(d, one) and not says(d, other)),
        dice.choice(_phrases(dice, one)),
    ]
    return dice.choice(choices)


def _phrases(dice: random.Random, word: str) -> list[tuple[str | None, Check]]:
    """Two or three of the words that bend in no way, side by side or apart from each other."""
    still = dice.choices(STILL, k=dice.choice([2, 2, 2, 3]))
    typed = f'"{" ".join(still)}"'
    return [
        (typed, lambda d: holds(d, still)),
        (typed.upper(), lambda d: holds(d, still)),
        (f"-{typed}", lambda d: not holds(d, still)),
        (f"{typed} {word}", lambda d: holds(d, still) and says(d, word)),
        (f"{word} TAI {typed}", lambda d: holds(d, still) or says(d, word)),
    ]


def _identifier(dice: random.Random) -> tuple[dict[str, Any], str | None, Check]:
    """Filters, or the same typed into the one field, and what must be found by them."""
    number = dice.randrange(40)
    phone, customer = f"+35840{1_000_000 + number}", str(100_000 + number)
    name = dice.choice(NAMES[:3])
    choices: list[tuple[dict[str, Any], str | None, Check]] = [
        ({"phone": phone}, None, lambda d: phone in d.phones),
        ({"customer": customer}, None, lambda d: d.customer == customer),
        ({}, f"asiakas:{customer}", lambda d: d.customer == customer),
        ({}, f"puh:{phone[-6:]}", lambda d: any(p.endswith(phone[-6:]) for p in d.phones)),
        ({}, f"-puh:{phone[-5:]}", lambda d: not any(p.endswith(phone[-5:]) for p in d.phones)),
        ({"metering_point": METERING_POINT}, None, lambda d: d.metering_point == METERING_POINT),
        ({"case": f"2026-{number % 5:05}"}, None, lambda d: d.case == f"2026-{number % 5:05}"),
        ({}, f'nimi:"{name}"', lambda d: name in d.names),
        ({}, "linja:viat", lambda d: d.line == "viat"),
    ]
    return dice.choice(choices)


def _question(dice: random.Random) -> tuple[Query, Check]:
    typed, check = _words(dice)
    filters: dict[str, Any] = {}
    narrow: Check = lambda d: True  # noqa: E731
    if dice.random() < 0.4:
        filters, more, narrow = _identifier(dice)
        typed = " ".join(part for part in (typed, more) if part) or None
    start = FIRST + timedelta(days=dice.randrange(90))
    query = Query(
        q=typed,
        kind=dice.choice([None, None, None, *Kind]),
        direction=dice.choice([None, None, None, *Direction]),
        line=dice.choice([None, None, None, *LINES]),
        agent=dice.choice([None, None, None, *(a for a in AGENTS if a)]),
        from_=dice.choice([None, start]),
        to=dice.choice([None, None, start + timedelta(days=dice.randrange(60))]),
        lines=dice.choice([None, None, frozenset(dice.sample(LINES, 3))]),
        **filters,
    )
    return query, lambda d: check(d) and narrow(d)


def test_a_thousand_questions_find_the_same_in_every_engine_and_by_brute_force(
    engines: list[Index], said: list[Document]
) -> None:
    dice = random.Random(11)
    hits, by_id = 0, {d.id: d for d in said}
    for number in range(QUESTIONS):
        query, check = _question(dice)
        wanted = expected((d for d in said if check(d)), Query(**_without_words(query)))
        hits += len(wanted)
        known: dict[UUID, bool] = {}
        for index in engines:
            found = [hit.id for hit in index.find(query, limit=ALL)]
            sure = index.verifier(query)
            if sure is not None:
                known |= {id: sure(by_id[id]) for id in found if id not in known}
                found = [id for id in found if known[id]]
            assert found == wanted, (number, index.name, query)
            if number % 10 == 0 and sure is None:
                assert index.count(query) == len(wanted), (number, index.name, query)
                first = [hit.id for hit in index.find(query, limit=7)]
                assert first == wanted[:7], (number, index.name, query)
    assert hits > 10 * QUESTIONS, "the questions were to find something"


def _without_words(query: Query) -> dict[str, Any]:
    """The filters alone: what was typed is checked by itself."""
    names = ("customer", "phone", "email", "metering_point", "case", "kind", "line", "agent")
    more = ("direction", "from_", "to", "lines")
    return {name: getattr(query, name) for name in (*names, *more)}


PREFIXES = ["sop*", "sähkö*", "sahko*", "sopimuksen*", "aihe:las*", "la*", "zzz*", "-sop*", "kiit*"]


@pytest.mark.parametrize("typed", PREFIXES)
def test_beginnings_of_words_find_the_same_in_every_engine(
    engines: list[Index], typed: str
) -> None:
    found = [[hit.id for hit in index.find(Query(q=typed), limit=ALL)] for index in engines]
    assert found[0] == found[1]
    assert bool(found[0]) == (typed != "zzz*")


@pytest.mark.parametrize("typed", ["lasku", "lasku sopimus", "sähkölasku -katko", '"hinta"'])
def test_relevance_orders_the_same_in_every_engine_page_by_page(
    engines: list[Index], typed: str
) -> None:
    pages = []
    for index in engines:
        query = Query(q=typed, sort="relevance")
        seen, after = [], None
        while hits := index.find(query, limit=20, after=after):
            seen += [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]
            after = (hits[-1].occurred_at, hits[-1].id)
        pages.append(seen)
    assert pages[0] == pages[1]
    assert pages[0]


def test_facets_are_the_same_in_every_engine(engines: list[Index]) -> None:
    fields = ["line", "kind", "direction", "agent", "source", "month"]
    for query in (Query(), Query(q="lasku"), Query(kind=Kind.CALL, q="-katko"), Query(q="zzz")):
        first, second = (index.facets(query, fields) for index in engines)
        assert first == second
