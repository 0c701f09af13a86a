"""What every search engine must do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from archive.keys import KeysDirectory
from archive.model import Direction, Document, Hit, Kind, Query
from archive.search import Index, open_index
from tests.search.conftest import open_keys
from tests.search.documents import (
    AGENTS,
    FIRST,
    LINES,
    METERING_POINT,
    SAID,
    contacts,
    document,
    expected,
    newest_first,
    says,
)

ALL = 100_000


@pytest.fixture(scope="module")
def said() -> list[Document]:
    return contacts(300)


@pytest.fixture(scope="module")
def filled(
    engine: str,
    said: list[Document],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Index]:
    """All contacts, put in batches, each of them twice: first without its words."""
    folder = tmp_path_factory.mktemp(engine)
    url = ""
    if engine == "postgres":
        url = str(request.getfixturevalue("server_url")).replace("/postgres?", "/contract_index?")
    index = open_index(folder / "index", open_keys(folder / "keys"), url=url)
    for at in range(0, len(said), 60):
        index.put([replace(d, text="", subject="vanhentunut") for d in said[at : at + 60]])
        index.put(said[at : at + 60])
    yield index
    index.close()


def ids(hits: list[Hit]) -> list[UUID]:
    return [hit.id for hit in hits]


def found(index: Index, query: Query) -> list[UUID]:
    return ids(index.find(query, limit=ALL))


# -- questions -------------------------------------------------------------------------

FILTERS = {
    "customer": Query(customer="100007"),
    "phone": Query(phone="+358401000003"),
    "email": Query(email="asiakas.3@esimerkki.fi"),
    "email in capitals": Query(email="ASIAKAS.3@ESIMERKKI.FI"),
    "metering point": Query(metering_point=METERING_POINT),
    "case": Query(case="2026-00002"),
    "kind": Query(kind=Kind.EMAIL),
    "line": Query(line="viat"),
    "line of several words": Query(line="muutto ja liittymät"),
    "direction": Query(direction=Direction.OUTBOUND),
    "agent": Query(agent="Mäkelä, Liisa"),
    "from": Query(from_=FIRST + timedelta(days=40)),
    "to": Query(to=FIRST + timedelta(days=40)),
    "from and to": Query(from_=FIRST + timedelta(days=29), to=FIRST + timedelta(days=31)),
    "one instant": Query(
        from_=FIRST + timedelta(days=9), to=FIRST + timedelta(days=9, microseconds=1)
    ),
    "nothing between": Query(from_=FIRST + timedelta(days=9), to=FIRST + timedelta(days=9)),
    "lines": Query(lines=frozenset({"viat", "laskutus"})),
    "no lines": Query(lines=frozenset()),
    "line outside lines": Query(line="viat", lines=frozenset({"laskutus"})),
    "everything": Query(),
    "unknown customer": Query(customer="999"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_finds_exactly_what_it_says(
    filled: Index, said: list[Document], name: str
) -> None:
    assert found(filled, FILTERS[name]) == expected(said, FILTERS[name])


@pytest.mark.parametrize("word", SAID)
def test_every_form_of_a_word_is_found_by_its_base_form(
    filled: Index, said: list[Document], word: str
) -> None:
    hits = set(found(filled, Query(q=word)))
    assert hits >= set(expected(said, Query(q=word), words=lambda d: says(d, word)))


def test_generated_questions_agree_with_brute_force(filled: Index, said: list[Document]) -> None:
    dice = random.Random(7)
    for _ in range(150):
        word = dice.choice(["lasku", "katko", "sopimus", "hinta", "häiriö", "invoice"])
        other = dice.choice(["sopimus", "hinta", "häiriö", "räkning"])
        typed, check = dice.choice(
            [
                (word, lambda d, w=word: says(d, w)),
                (f"{word} {other}", lambda d, w=word, o=other: says(d, w) and says(d, o)),
                (f"{word} -{other}", lambda d, w=word, o=other: says(d, w) and not says(d, o)),
                (f'"{other}"', lambda d, o=other: says(d, o)),
            ]
        )
        start = FIRST + timedelta(days=dice.randrange(90))
        query = Query(
            q=dice.choice([typed, None]),
            kind=dice.choice([None, None, Kind.CALL]),
            line=dice.choice([None, None, *LINES]),
            agent=dice.choice([None, None, None, *(a for a in AGENTS if a)]),
            from_=dice.choice([None, start]),
            to=dice.choice([None, start + timedelta(days=dice.randrange(50))]),
            lines=dice.choice([None, frozenset(dice.sample(LINES, 2))]),
        )
        wanted = expected(said, query, words=check)
        assert found(filled, query) == wanted, query
        assert filled.count(query) == len(wanted), query


def test_what_was_replaced_is_found_no_more(filled: Index) -> None:
    assert found(filled, Query(q="vanhentunut")) == []


def test_pages_cover_everything_once_in_order_even_within_one_instant(
    filled: Index, said: list[Document]
) -> None:
    for size in (1, 7, 100):
        seen: list[UUID] = []
        after: tuple[datetime, UUID] | None = None
        while hits := filled.find(Query(), limit=size, after=after):
            assert len(hits) <= size
            seen += ids(hits)
            after = (hits[-1].occurred_at, hits[-1].id)
        assert seen == newest_first(said)


def test_pages_by_relevance_cover_everything_once(filled: Index, said: list[Document]) -> None:
    query = Query(q="lasku", sort="relevance")
    seen: list[Hit] = []
    after: tuple[datetime, UUID] | None = None
    while hits := filled.find(query, limit=9, after=after):
        seen += hits
        after = (hits[-1].occurred_at, hits[-1].id)
    assert set(ids(seen)) == set(found(filled, Query(q="lasku")))
    assert len(seen) == len(set(ids(seen)))
    assert [hit.score for hit in seen] == sorted((hit.score for hit in seen), reverse=True)


def test_relevance_puts_what_says_the_word_more_often_first(index: Index) -> None:
    index.put(
        [
            document(1, text="kerran lasku"),
            document(2, text="lasku lasku lasku kolmesti"),
            document(3, text="lasku kahdesti lasku"),
        ]
    )
    hits = index.find(Query(q="lasku", sort="relevance"), limit=10)
    assert [hit.id.int for hit in hits] == [2, 3, 1]


def test_hits_tell_when_the_contact_was(filled: Index, said: list[Document]) -> None:
    times = {d.id: d.occurred_at for d in said}
    hits = filled.find(Query(), limit=ALL)
    assert all(hit.occurred_at == times[hit.id] for hit in hits)


def test_lengths_attachments_sources_and_ids_narrow_and_are_counted(index: Index) -> None:
    index.put(
        [
            document(1, duration_s=0.0),
            document(2, duration_s=29.9, source="other"),
            document(3, duration_s=300.0),
            document(4, duration_s=86_400.0),
            document(5, kind=Kind.EMAIL, attachments=True),
            document(6, kind=Kind.EMAIL, attachments=False),
            document(7),
        ]
    )

    def found(**fields: Any) -> list[int]:
        return sorted(hit.id.int for hit in index.find(Query(**fields), limit=9))

    assert index.facets(Query(), ["duration", "attachment"]) == {
        "duration": {"0-30": 2, "300-900": 1, "900-": 1},
        "attachment": {"yes": 1, "no": 1},
    }
    assert found(duration="0-30") == [1, 2]
    assert found(attachment=True) == [5]
    assert found(attachment=False) == [6]
    assert found(source="other") == [2]
    assert found(q="lähde:other") == [2]
    assert found(ids=frozenset({UUID(int=2), UUID(int=6), UUID(int=99)})) == [2, 6]
    assert found(ids=frozenset()) == []


def test_facets_count_the_values_of_what_was_found(filled: Index, said: list[Document]) -> None:
    query = Query(kind=Kind.CALL)
    facets = filled.facets(query, ["line", "agent", "month", "kind", "unknown"])
    chosen = [d for d in said if d.kind is Kind.CALL]
    assert facets["line"] == {
        line: count for line in LINES if (count := sum(d.line == line for d in chosen))
    }
    assert facets["agent"]["Mäkelä, Liisa"] == sum(d.agent == "Mäkelä, Liisa" for d in chosen)
    assert sum(facets["month"].values()) == len(chosen)
    assert facets["kind"] == {"call": len(chosen)}
    assert "unknown" not in facets


# -- words and numbers -----------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    ["lasku", "sähkölasku", "sahkolasku", "SÄHKÖLASKU", "sähkölaskusta", "sahkolaskusta"],
)
def test_an_electricity_bill_is_found_however_it_is_asked_for(index: Index, typed: str) -> None:
    index.put([document(1, text="Asiakas soitti sähkölaskusta.")])
    assert len(found(index, Query(q=typed))) == 1


def test_a_word_typed_with_dots_does_not_find_another_word_without_them(index: Index) -> None:
    index.put([document(1, text="saari meressä"), document(2, text="sääri kipeä")])
    assert [id.int for id in found(index, Query(q="sääri"))] == [2]
    assert {id.int for id in found(index, Query(q="saari"))} == {1, 2}


@pytest.mark.parametrize(
    "typed", ["yrjo hakkinen", "Häkkinen Yrjö", "HÄKKINEN", "häkkinen, yrjö", "nimi:hakkinen"]
)
def test_names_are_found_in_any_order_with_or_without_dots(index: Index, typed: str) -> None:
    index.put([document(1, names=("Yrjö Häkkinen",)), document(2, names=("Yrjö Virtanen",))])
    assert [id.int for id in found(index, Query(q=typed))] == [1]


@pytest.mark.parametrize(
    "typed",
    [
        "+358401234567",
        "+358 40 123 4567",
        "00358 40 1234567",
        "040 123 4567",
        "040-1234567",
        "(040) 1234567",
        "1234567",
        "123 4567",
        "4567",
    ],
)
def test_a_phone_number_is_found_in_any_notation_and_by_its_last_digits(
    index: Index, typed: str
) -> None:
    index.put([document(1, phones=("+358401234567",)), document(2, phones=("+358501111111", "x"))])
    assert [id.int for id in found(index, Query(phone=typed))] == [1]
    assert [id.int for id in found(index, Query(q=f"puh:{typed.replace(' ', '')}"))] == [1]


def test_a_whole_number_does_not_find_another_that_ends_alike(index: Index) -> None:
    index.put([document(1, phones=("+358401234567",)), document(2, phones=("+46401234567",))])
    assert [id.int for id in found(index, Query(phone="040 1234567"))] == [1]
    assert [id.int for id in found(index, Query(phone="+46 40 1234567"))] == [2]


def test_a_withheld_number_and_an_extension_stay_findable_as_written(index: Index) -> None:
    index.put([document(1, phones=("anonymous",)), document(2, phones=("7712",))])
    assert [id.int for id in found(index, Query(phone="Anonymous"))] == [1]
    assert [id.int for id in found(index, Query(phone="7712"))] == [2]


@pytest.mark.parametrize(
    "typed",
    [
        "0401234567",
        "+358 40 123 4567",
        "1234567",
        "A-1234",
        "a-1234",
        "matti.meikalainen@esimerkki.fi",
        "@esimerkki.fi",
        METERING_POINT,
        "6430 0000 0000 0000 16",
        "2026-00042",
        "asiakas:A-1234",
        "customer:a-1234",
        "sähköposti:matti.meikalainen@esimerkki.fi",
        "email:MATTI.MEIKALAINEN@ESIMERKKI.FI",
        f"käyttöpaikka:{METERING_POINT}",
        f"metering_point:{METERING_POINT}",
        "tapaus:2026-00042",
        "laji:puhelu",
        "kind:call",
        "suunta:saapuva",
        "direction:inbound",
        "linja:viat",
        "agentti:makela",
        'agent:"Liisa Mäkelä"',
        "sopim*",
    ],
)
def test_numbers_are_recognised_and_fields_have_names_in_two_languages(
    index: Index, typed: str
) -> None:
    index.put(
        [
            document(
                1,
                customer="A-1234",
                phones=("040 1234567",),
                emails=("Matti.Meikalainen@esimerkki.fi",),
                metering_point=METERING_POINT,
                case="2026-00042",
                agent="Mäkelä, Liisa",
                text="sopimuksen purku",
            ),
            document(2, kind=Kind.EMAIL, line="muu", direction=Direction.OUTBOUND),
        ]
    )
    assert [id.int for id in found(index, Query(q=typed))] == [1]


def test_customer_numbers_are_compared_without_white_space_and_case(index: Index) -> None:
    index.put([document(1, customer="Ab 12 34"), document(2, customer="ab12345")])
    assert [id.int for id in found(index, Query(customer=" AB1234"))] == [1]


def test_a_personal_identity_code_is_never_found(index: Index) -> None:
    index.put([document(1, text="hetu 131052-308T", subject="131052-308T", names=("131052-308T",))])
    for typed in ("131052-308T", "131052308T", "131052", "308t", "131052*"):
        assert found(index, Query(q=typed)) == []


@pytest.mark.parametrize(
    "junk",
    [
        "",
        " ",
        "-",
        '"',
        '"""',
        "*",
        "**",
        "a*",
        ":",
        "linja:",
        "-linja:",
        "foo:bar:baz",
        "(((",
        "AND OR NOT",
        "\ud800",
        "\x00",
        "ﷺ" * 50,
        "e\u0301" * 400,
        "💡 🔌",
        "a" * 5000,
        "x " * 3000,
        "[1 TO 2]",
        "~1 ^3 text:\\",
        "\u202e\u200b",
    ],
)
def test_no_question_is_an_error(filled: Index, junk: str) -> None:
    index = filled
    for query in (Query(q=junk), Query(q=junk, sort="relevance"), Query(phone=junk, email=junk)):
        assert len(index.find(query, limit=10)) <= 10
        index.count(query)
        index.explain(query)
    assert index.find(Query(customer=junk, case=junk, agent=junk, line=junk), limit=10) == []


def test_junk_in_documents_is_taken_and_what_is_around_it_found(index: Index) -> None:
    junk = "\ud800\x00\u202e ﷺ " + "A" * 10_000 + " " + "+/=" * 5_000 + " \U0010ffff"
    index.put(
        [
            document(
                1,
                text=f"{junk} lasku {junk}",
                subject=junk,
                names=(junk,),
                emails=(junk, "@", ""),
                phones=(junk, ""),
                customer=junk,
                case=junk,
                metering_point=junk,
                agent=junk,
                line=junk,
                source=junk,
            )
        ]
    )
    assert len(found(index, Query(q="lasku"))) == 1


# -- phrases ---------------------------------------------------------------------------

TEXT = "Asiakas kertoi: sähkö katkesi eilen illalla.\nLuvatun hyvityksen summa oli 300 euroa."


def surely(index: Index, query: Query, documents: Sequence[Document]) -> list[UUID]:
    """What is found, and is what was asked for by its own words."""
    of = {document.id: document for document in documents}
    sure = index.verifier(query) or (lambda _: True)
    return [id for id in found(index, query) if sure(of[id])]


@pytest.mark.parametrize(
    ("typed", "finds"),
    [
        ('"sähkö katkesi eilen"', True),
        ('"SÄHKÖ KATKESI"', True),
        ('"sahko katkesi eilen"', True),  # typed without dots
        ('"katkesi eilen illalla luvatun"', True),  # over the end of a line
        ('"luvattu hyvitys"', True),  # in other forms
        ('"hyvityksen summa"', True),
        ('"oli 300 euroa"', True),
        ('teksti:"sähkö katkesi"', True),
        ('"katkesi sähkö"', False),  # the other way round
        ('"sähkö eilen"', False),  # apart
        ('"kertoi katkesi"', False),
        ('aihe:"sähkö katkesi"', False),
        ('-"sähkö katkesi"', False),
        ('-"katkesi sähkö"', True),
        ('"katkesi sähkö" TAI hyvitys', True),
        ('"sähkö eilen" TAI "katkesi sähkö"', False),
        ('linja:viat "sähkö katkesi" -"sähkö eilen"', True),
    ],
)
def test_a_phrase_finds_its_words_side_by_side_in_their_order(
    index: Index, typed: str, finds: bool
) -> None:
    said = [document(1, text=TEXT, subject="Vikailmoitus jakeluverkosta")]
    index.put(said)
    assert bool(surely(index, Query(q=typed), said)) is finds


def test_a_phrase_does_not_reach_from_the_subject_into_the_text(index: Index) -> None:
    said = [document(1, subject="väärä lasku", text="tuli taas", names=("Matti Virtanen",))]
    index.put(said)
    for typed, finds in {
        '"väärä lasku"': True,
        'aihe:"väärien laskujen"': True,
        '"lasku tuli"': False,
        '"matti virtanen"': True,
        '"taas matti"': False,
    }.items():
        assert bool(surely(index, Query(q=typed), said)) is finds, typed


def test_words_of_a_phrase_that_stand_apart_are_found_by_chance_and_told_by_the_text(
    index: Index,
) -> None:
    said = [
        document(1, text="lasku on väärä"),
        document(2, text="lasku on nyt ja vika on väärä"),  # both pairs, not the phrase
    ]
    index.put(said)
    query = Query(q='"lasku on väärä"')
    assert [id.int for id in found(index, query)] == [2, 1]
    assert [id.int for id in surely(index, query, said)] == [1]


def test_swedish_and_english_phrases_are_found_as_they_are_written(index: Index) -> None:
    said = [
        document(1, text="Hej, jag har inte fått min räkning och det är inte bra, tack"),
        document(2, text="Hello, the power was out and we have not had any invoices for that"),
    ]
    index.put(said)
    assert [id.int for id in surely(index, Query(q='"fått min räkning"'), said)] == [1]
    assert [id.int for id in surely(index, Query(q='"power was out"'), said)] == [2]
    assert [id.int for id in surely(index, Query(q='"any invoice"'), said)] == [2]


def test_a_phrase_is_found_in_a_month_that_was_written_anew(index: Index) -> None:
    said = [document(1, text=TEXT), document(2)]
    index.put(said)
    index.remove([UUID(int=2)], month="2026-09")
    index.rewrite("2026-09")
    assert [id.int for id in surely(index, Query(q='"sähkö katkesi"'), said)] == [1]


def test_companies_narrow(index: Index) -> None:
    index.put([document(1, company="Verkko Oy"), document(2, company="Lämpö Oy"), document(3)])
    for companies, wanted in ({"Verkko Oy"}, [1]), ({"Verkko Oy", "Lämpö Oy"}, [2, 1]), (set(), []):
        query = Query(companies=frozenset(companies))
        assert [id.int for id in found(index, query)] == wanted
        assert index.count(query) == len(wanted)
        assert index.facets(query, ["kind"]) == {"kind": {"call": len(wanted)} if wanted else {}}


# -- life ------------------------------------------------------------------------------


def test_an_index_that_never_was_written_is_empty(index: Index) -> None:
    assert found(index, Query()) == []
    assert index.count(Query()) == 0
    assert index.months() == []
    assert index.check() == {}
    assert index.facets(Query(), ["line"]) == {"line": {}}
    index.remove([UUID(int=1)], month="2026-09")
    index.rewrite("2026-09")
    index.drop("2026-09")
    index.put([])


def test_putting_again_replaces(index: Index) -> None:
    index.put([document(1, text="lasku"), document(2, text="katko")])
    index.put([document(1, text="sopimus")])
    index.put([document(1, text="häiriö"), document(1, text="hinta")])
    assert found(index, Query(q="lasku")) == found(index, Query(q="sopimus")) == []
    assert [id.int for id in found(index, Query(q="hinta"))] == [1]
    assert index.count(Query()) == 2


def test_a_contact_is_found_at_once_by_others_who_have_the_index_open(
    make: Callable[[], Index],
) -> None:
    writer, reader = make(), make()
    for number in range(1, 12):
        writer.put([document(number, text="lasku")])
        assert len(found(reader, Query(q="lasku"))) == number


def test_what_is_removed_is_found_no_more_and_the_rest_is(index: Index) -> None:
    index.put([document(n, text="lasku") for n in range(1, 6)])
    index.remove([UUID(int=2), UUID(int=4), UUID(int=99)], month="2026-09")
    assert [id.int for id in found(index, Query(q="lasku"))] == [5, 3, 1]
    assert index.count(Query()) == 3
    assert index.to_rewrite() == ["2026-09"]


def test_rewriting_keeps_what_lives_under_another_key(
    make: Callable[[], Index], keys: KeysDirectory
) -> None:
    index, other = make(), make()
    index.put([document(n, text="lasku", agent="Ö") for n in range(1, 30)])
    index.remove([UUID(int=n) for n in range(1, 30, 2)], month="2026-09")
    before = found(other, Query(q="lasku"))
    names = keys.names("index")
    index.rewrite("2026-09")
    assert found(index, Query(q="lasku")) == found(other, Query(q="lasku")) == before
    assert other.facets(Query(), ["agent"]) == {"agent": {"Ö": len(before)}}
    assert index.to_rewrite() == []
    assert not set(names) & set(keys.names("index"))
    index.put([document(99, text="lasku")])
    assert len(found(other, Query(q="lasku"))) == len(before) + 1


def test_rewriting_a_month_of_which_nothing_lives_ends_it(
    index: Index, keys: KeysDirectory
) -> None:
    index.put([document(1)])
    index.remove([UUID(int=1)], month="2026-09")
    index.rewrite("2026-09")
    assert index.months() == []
    assert keys.names("index") == []
    index.put([document(2)])
    assert index.count(Query()) == 1


def test_a_dropped_month_is_gone_and_can_be_filled_again(
    make: Callable[[], Index], keys: KeysDirectory
) -> None:
    index, other = make(), make()
    later = FIRST + timedelta(days=40)
    index.put([document(1), document(2, occurred_at=later)])
    assert other.months() == ["2026-10", "2026-09"]
    index.drop("2026-09")
    assert other.months() == ["2026-10"]
    assert [id.int for id in found(other, Query())] == [2]
    assert len(keys.names("index")) == 1
    index.put([document(1)])
    assert [id.int for id in found(other, Query())] == [2, 1]


def test_a_month_whose_key_was_destroyed_reads_as_empty(
    make: Callable[[], Index], keys: KeysDirectory
) -> None:
    index, other = make(), make()
    index.put([document(1), document(2, occurred_at=FIRST + timedelta(days=40))])
    assert len(found(other, Query())) == 2
    keys.destroy(next(name for name in keys.names("index") if "2026-09" in name))
    assert [id.int for id in found(other, Query())] == [2]
    assert other.months() == ["2026-10"]
    index.put([document(3)])
    assert [id.int for id in found(other, Query())] == [2, 3]


def test_a_contact_belongs_to_its_month_in_utc(index: Index) -> None:
    edge = datetime(2026, 10, 1, tzinfo=UTC)
    moments = [edge - timedelta(microseconds=1), edge, edge + timedelta(microseconds=1)]
    index.put([document(n, occurred_at=at) for n, at in enumerate(moments, 1)])
    assert index.months() == ["2026-10", "2026-09"]
    assert [id.int for id in found(index, Query(to=edge))] == [1]
    assert [id.int for id in found(index, Query(from_=edge))] == [3, 2]
    assert [id.int for id in found(index, Query(from_=moments[2]))] == [3]
    in_helsinki = datetime.fromisoformat("2026-10-01T03:00:00+03:00")
    assert [id.int for id in found(index, Query(from_=in_helsinki))] == [3, 2]


def test_closing_gives_back_memory_and_the_index_opens_itself_again(index: Index) -> None:
    index.put([document(1)])
    index.close()
    assert index.count(Query()) == 1
    index.close()
    index.close()


def test_more_months_than_memory_holds_are_searched_all_the_same(
    make: Callable[..., Index],
) -> None:
    index = make(memory_mb=0)
    index.put([document(n, occurred_at=FIRST + timedelta(days=31 * n)) for n in range(6)])
    assert len(index.months()) == 6
    for sort in ("newest", "relevance"):
        assert len(index.find(Query(sort=sort), limit=10)) == 6
    assert sum(index.facets(Query(), ["month"])["month"].values()) == 6


def test_nothing_is_stale_that_went_through_todays_analyser(index: Index) -> None:
    index.put([document(1)])
    assert index.stale() == []
