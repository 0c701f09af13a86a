"""Searching and indexing beside bare engines: `archive bench P4 P6`, `archive bench search`.

Invented contacts of about 125 words, three in five of them emails, spread over a year. Each kind
of question is asked of our index and of a bare PostgreSQL table with the same terms, turn by
turn; the ratio of the 95th percentiles of the first page counts. Whoosh's bare writer is fed
the very terms that ours is.
"""

from __future__ import annotations

import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from whoosh.system import pack_uint

from archive.bench.yardsticks import Unsealed, Yardstick, tantivy_at
from archive.db import ensure_database
from archive.embedded import Parts
from archive.keyring.roots import FileRootKey
from archive.keys import KeysDirectory
from archive.model import Direction, Document, Kind, Query
from archive.search import Index, open_index
from archive.search.finnish import Analyser, default_analyser
from archive.search.instants import microseconds, month_of
from archive.search.terms import document_terms
from archive.search.whoosh_month import Terms, schema_of
from archive.search.whoosh_names import FileIndex, FileStorage, Frequency, SegmentWriter

END = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 365
WORDS = 125  # a contact
BATCH = 1_000
PAGE = 25
ASKED = 60  # questions of each kind and side
GOALS = ("identifier", "pair", "pair + 90 days", "common word")  # that P4 is the worst of

# Words whose forms are sprinkled over the contacts: base form, its forms, share of contacts.
TRADE: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("lasku", ("lasku", "laskun", "laskusta", "laskua", "laskut"), 0.30),
    ("sähkölasku", ("sähkölasku", "sähkölaskusta", "sähkölaskun"), 0.25),
    ("sopimus", ("sopimus", "sopimuksen", "sopimusta", "sopimuksia"), 0.35),
    ("häiriö", ("häiriö", "häiriön", "häiriöitä", "häiriöstä"), 0.12),
    ("katko", ("sähkökatko", "katkon", "sähkökatkosta", "katkosta"), 0.15),
    ("muutto", ("muutto", "muuton", "muuttoa"), 0.10),
    ("hyvitys", ("hyvitys", "hyvityksen", "hyvitystä"), 0.08),
    ("mittari", ("mittari", "mittarin", "mittarista"), 0.12),
    ("hinta", ("hinta", "hinnan", "hintaa", "hinnoista"), 0.20),
)
PAIR = ("sopimus", "hinta")
COMMON = "lasku"
_SYLLABLES = [a + b for a in "hjklmnprstv" for b in ("a", "e", "i", "o", "u", "y", "ä", "aa", "ii")]
_ENDINGS = ("", "n", "a", "ssa", "sta", "lla", "t", "ja")


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of one kind of question, on both sides."""

    kind: str
    own: tuple[float, ...]
    bare: tuple[float, ...]
    others: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # yardsticks

    @property
    def ratio(self) -> float:
        """95th percentile ÷ 95th percentile."""
        return p95(self.own) / p95(self.bare)

    def detail(self) -> dict[str, float]:
        """For people to read."""
        beside = {
            f"{name}_p{part}_ms": round(of(values), 2)
            for name, values in self.others.items()
            for part, of in ((50, statistics.median), (95, p95))
        }
        return beside | {
            "ratio": round(self.ratio, 2),
            "own_p50_ms": round(statistics.median(self.own), 2),
            "own_p95_ms": round(p95(self.own), 2),
            "bare_p50_ms": round(statistics.median(self.bare), 2),
            "bare_p95_ms": round(p95(self.bare), 2),
        }


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


# -- contacts --------------------------------------------------------------------------


def vocabulary(size: int = 30_000) -> list[str]:
    """Invented words with Finnish sounds and endings; the first are the most used."""
    dice = random.Random(17)
    stems = ("".join(dice.choices(_SYLLABLES, k=dice.randint(2, 4))) for _ in itertools.count())
    found = dict.fromkeys(stem + dice.choice(_ENDINGS) for stem in itertools.islice(stems, size))
    return list(found)


def contacts(count: int) -> Iterator[Document]:
    """Newest last; always the same ones."""
    dice = random.Random(23)
    words = vocabulary()
    shares = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(words))))
    step = timedelta(days=DAYS) / count
    for number in range(count):
        said = dice.choices(words, cum_weights=shares, k=WORDS - 8)
        said += [dice.choice(forms) for _, forms, share in TRADE if dice.random() < share]
        dice.shuffle(said)
        at = END - timedelta(days=DAYS) + step * number
        yield contact(dice, number, at, " ".join(said))


def contact(dice: random.Random, number: int, at: datetime, text: str) -> Document:
    """One of them."""
    email = dice.random() < 0.6
    customer = dice.randrange(100_000)
    return Document(
        id=UUID(int=dice.getrandbits(128)),
        occurred_at=at,
        kind=Kind.EMAIL if email else Kind.CALL,
        line=dice.choice(("viat", "laskutus", "sopimukset", "muutot")),
        direction=dice.choice((Direction.INBOUND, Direction.OUTBOUND)),
        source="mail" if email else "pbx",
        agent=f"Asiakaspalvelija {dice.randrange(40)}",
        customer=str(1_000_000 + customer),
        phones=() if email else (f"+35840{1_000_000 + customer}",),
        emails=(f"asiakas.{customer}@esimerkki.example",) if email else (),
        metering_point=f"6430000000{customer:08}",
        case=None,
        names=(),
        subject=text[:40] if email else "",
        text=text,
    )


# -- questions -------------------------------------------------------------------------

Asking = tuple[Query, str, list[Any]]  # ours; the bare table's condition and its values


def questions(kind: str, dice: random.Random, analyser: Analyser) -> Asking:
    """A question of a kind, for both sides."""
    customer = dice.randrange(100_000)
    if kind == "identifier":
        value = str(1_000_000 + customer)
        return Query(customer=value), "customer = %s", [value]
    if kind == "phone end":
        value = str(1_000_000 + customer)
        return Query(phone=value), "phone_end like %s", [value[::-1] + "%"]
    if kind == "prefix":
        return Query(q="sopim*"), "words @@ %s::tsquery", ["sopim:*"]
    words = (COMMON,) if kind == "common word" else PAIR
    condition = " & ".join(
        "(" + " | ".join(f"'{term}'" for term in analyser.query_terms(word)) + ")" for word in words
    )
    asked, values = "words @@ %s::tsquery", list[Any]([condition])
    if kind != "pair + 90 days":
        return Query(q=" ".join(words)), asked, values
    end = END - timedelta(days=dice.randrange(60, 200))
    start = end - timedelta(days=90)
    values += [microseconds(start), microseconds(end)]
    query = Query(q=" ".join(words), from_=start, to=end)
    return query, asked + " and at >= %s and at < %s", values


KINDS = ("identifier", "phone end", "pair", "pair + 90 days", "common word", "prefix")


# -- the bare sides --------------------------------------------------------------------


class BarePostgres:
    """One table with full text of the same terms, as anybody would make it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            """create table bare (id uuid primary key, at bigint not null, customer text,
                phone_end text, metering_point text, words tsvector not null)"""
        )

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        """Adds contacts with their terms."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                "insert into bare values (%s, %s, %s, %s, %s, array_to_tsvector(%s::text[]))",
                [
                    (
                        document.id,
                        microseconds(document.occurred_at),
                        document.customer,
                        next(iter(terms.get("phone_end", ())), None),
                        document.metering_point,
                        list(dict.fromkeys(terms["text"])),
                    )
                    for document, terms in documents
                ],
            )

    def finish(self) -> None:
        """Its indexes, made at the end as is quickest."""
        for statement in (
            "create index on bare (at desc, id desc)",
            "create index on bare (customer)",
            "create index on bare (phone_end text_pattern_ops)",
            "create index on bare (metering_point)",
            "create index on bare using gin (words)",
            "vacuum analyze bare",
            "set max_parallel_workers_per_gather = 0",
        ):
            self._connection.execute(statement)

    def first_page(self, condition: str, values: list[Any]) -> int:
        """How many hits the first page has."""
        statement = sql.SQL("select id, at from bare where {} order by at desc, id desc limit {}")
        made = statement.format(sql.SQL(condition), PAGE)
        return len(self._connection.execute(made, values).fetchall())

    def close(self) -> None:
        """Ends its session."""
        self._connection.close()


class _GivenTerms(Terms):
    """A field whose terms Whoosh's own writer asks for, as often as they come."""

    def index(self, value: Any, **_: Any) -> Any:
        counted = isinstance(self.format, Frequency)
        for term, times in Counter(value).items():
            once = times if counted else 1
            yield term.encode(), once, float(once), pack_uint(times) if counted else b""


class BareWhoosh:
    """Whoosh's own writer over plain files, one index a month, fed the same terms."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema = schema_of(_GivenTerms)
        self.seconds = 0.0

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        """One commit for each month of the batch, as ours."""
        began = time.perf_counter()
        by_month: dict[str, list[tuple[Document, dict[str, list[str]]]]] = {}
        for each in documents:
            by_month.setdefault(month_of(each[0].occurred_at), []).append(each)
        for month, found in by_month.items():
            folder = self._folder / month
            new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            storage = FileStorage(str(folder))
            if new:
                FileIndex.create(storage, self._schema, "MAIN")
            writer = SegmentWriter(FileIndex(storage, indexname="MAIN"))
            for document, terms in found:
                key = {"occurred": microseconds(document.occurred_at), "key": document.id.bytes}
                writer.add_document(**key, **terms)
            writer.commit()
        self.seconds += time.perf_counter() - began


# -- measuring -------------------------------------------------------------------------


@dataclass(slots=True)
class Bed:
    """Everything that is measured, filled."""

    index: Index
    bare: BarePostgres
    analyser: Analyser
    contacts: int
    own_seconds: float  # of putting, analysis included
    analysis_seconds: float
    bare_whoosh_seconds: float
    yardsticks: Sequence[Yardstick] = ()


@contextmanager
def bed(
    contacts_: int, engine: str, *, say: Callable[[str], None], yardsticks: bool = False
) -> Iterator[Bed]:
    """A fresh PostgreSQL, our index and the bare ones with the same contacts; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        with Parts(folder / "home", say=say) as parts:
            (folder / "keys").mkdir(mode=0o700)
            root = FileRootKey.create(folder / "keys" / "root.key")
            keys = KeysDirectory(folder / "keys", root=root, cache_s=5)
            urls = [parts.database_url.replace("/archive?", f"/{n}?") for n in ("bare", "own")]
            ensure_database(urls[0])
            url = urls[1] if engine == "postgres" else ""
            index, bare = open_index(folder / "index", keys, url=url), BarePostgres(urls[0])
            beside = _yardsticks(folder, sealed=engine == "postgres") if yardsticks else []
            try:
                yield _filled(index, bare, folder / "bare", contacts_, url, say, beside)
            finally:
                for each in beside:
                    each.close()
                bare.close()
                index.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _yardsticks(folder: Path, *, sealed: bool) -> list[Yardstick]:
    """Tantivy where it is installed, and our index unsealed (`sealed`: not that)."""
    analyser = default_analyser()
    fast = tantivy_at(folder / "tantivy", analyser)
    made: list[Yardstick] = [fast] if fast is not None else []
    if sealed:
        return made
    (folder / "plain-keys").mkdir(mode=0o700)
    root = FileRootKey.create(folder / "plain-keys" / "root.key")
    keys = KeysDirectory(folder / "plain-keys", root=root, cache_s=5)
    return [*made, Unsealed(folder / "plain", keys, analyser)]


def _filled(
    index: Index,
    bare: BarePostgres,
    folder: Path,
    count: int,
    own_url: str,
    say: Callable[[str], None],
    yardsticks: Sequence[Yardstick],
) -> Bed:
    analyser = default_analyser()
    list(analyser.index_terms("sähkölaskusta"))  # the dictionaries are loaded
    bare_whoosh = BareWhoosh(folder)
    own, analysis, done = 0.0, 0.0, 0
    made = contacts(count)
    while batch := list(itertools.islice(made, BATCH)):
        for document in batch:  # word forms that were never met are looked up before the clock runs
            document_terms(document, analyser)
        began = time.perf_counter()
        terms = [(document, document_terms(document, analyser)) for document in batch]
        analysed = time.perf_counter()
        index.put(batch)
        own += time.perf_counter() - analysed
        analysis += analysed - began
        bare.put(terms)
        for yardstick in yardsticks:
            yardstick.put(terms)
        if not own_url:
            bare_whoosh.put(terms)
        done += len(batch)
        if done % (10 * BATCH) == 0:
            say(f"{done} of {count} contacts, {done / own:.0f} a second")
    for month in index.to_rewrite():
        index.rewrite(month)  # as every night
    if own_url:
        with psycopg.connect(own_url, autocommit=True) as connection:
            connection.execute("vacuum analyze")  # as autovacuum does within a minute
    bare.finish()
    for yardstick in yardsticks:
        yardstick.finish()
    return Bed(index, bare, analyser, count, own, analysis, bare_whoosh.seconds, yardsticks)


def measure(on: Bed, kind: str, *, asked: int = ASKED) -> Measured:
    """Both sides in turn, with questions that change where the kind has several."""
    dice = random.Random(kind)
    made = [questions(kind, dice, on.analyser) for _ in range(asked + 5)]
    own, bare = [], []
    others: dict[str, list[float]] = {yardstick.name: [] for yardstick in on.yardsticks}
    for number, (query, condition, values) in enumerate(made):
        began = time.perf_counter()
        found = len(on.index.find(query, limit=PAGE))
        between = time.perf_counter()
        known = on.bare.first_page(condition, values)
        ended = time.perf_counter()
        if found != known:
            raise AssertionError(f"{kind}: {found} hits against {known}")
        if number >= 5:  # the first ones open files and make plans
            own.append((between - began) * 1000)
            bare.append((ended - between) * 1000)
        for yardstick in on.yardsticks:
            began = time.perf_counter()
            told = yardstick.first_page(query)
            took = (time.perf_counter() - began) * 1000
            if told != found:
                raise AssertionError(f"{kind}: {found} hits against {told} of {yardstick.name}")
            if number >= 5:
                others[yardstick.name].append(took)
    return Measured(kind, tuple(own), tuple(bare), {n: tuple(v) for n, v in others.items()})


@dataclass(frozen=True, slots=True)
class Result:
    """What one run over one engine gave."""

    engine: str
    contacts: int
    questions: tuple[Measured, ...]
    own_per_s: float  # contacts put a second, analysis included
    writing_per_s: float  # without it
    analysis_per_s: float
    bare_whoosh_per_s: float | None

    @property
    def worst(self) -> float:
        """What P4 is: the worst ratio of the kinds that have a goal."""
        return max(each.ratio for each in self.questions if each.kind in GOALS)

    @property
    def sealing(self) -> float | None:
        """p95 sealed ÷ p95 unsealed - 1, the worst of GOALS; None where it was not measured."""
        found = [
            p95(each.own) / p95(each.others["unsealed"])
            for each in self.questions
            if "unsealed" in each.others and each.kind in GOALS
        ]
        return max(found) - 1 if found else None

    def detail(self) -> dict[str, Any]:
        """For people to read."""
        cost = {} if self.sealing is None else {"sealing_costs": round(self.sealing, 3)}
        return cost | {
            "engine": self.engine,
            "contacts": self.contacts,
            "put_per_s": round(self.own_per_s),
            "writing_per_s": round(self.writing_per_s),
            "analysis_per_s": round(self.analysis_per_s),
            "bare_whoosh_per_s": round(self.bare_whoosh_per_s) if self.bare_whoosh_per_s else None,
            "questions": {each.kind: each.detail() for each in self.questions},
        }


@lru_cache(maxsize=4)
def result(
    contacts_: int,
    engine: str,
    say: Callable[[str], None],
    yardsticks: bool = False,
    *,
    asked: int = ASKED,
) -> Result:
    """One run; the second time what it gave. `yardsticks`: tantivy, and our index unsealed."""
    with bed(contacts_, engine, say=say, yardsticks=yardsticks) as on:
        bare = contacts_ / on.bare_whoosh_seconds if on.bare_whoosh_seconds else None
        return Result(
            engine=engine,
            contacts=contacts_,
            questions=tuple(measure(on, kind, asked=asked) for kind in KINDS),
            own_per_s=contacts_ / on.own_seconds,
            writing_per_s=contacts_ / max(on.own_seconds - on.analysis_seconds, 1e-9),
            analysis_per_s=contacts_ / on.analysis_seconds,
            bare_whoosh_per_s=bare,
        )
