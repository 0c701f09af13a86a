"""Searching and indexing beside bare engines: `archive bench P4 P6`, `archive bench search`.

Each kind of question is asked of our index and of a bare PostgreSQL table with the same terms,
turn by turn; the ratio of the 95th percentiles of the first page counts. Whoosh's bare writer
is fed the very terms that ours is.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from archive.bench.bed import LARGE, WRITERS, Bed, bed, kept_for
from archive.bench.invented import COMMON, END, PAIR
from archive.model import Query
from archive.search.finnish import Analyser
from archive.search.instants import microseconds

PAGE = 25
ASKED = 60  # questions of each kind and side
GOALS = ("identifier", "pair", "pair + 90 days", "common word")  # that P4 is the worst of


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


# -- measuring -------------------------------------------------------------------------


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
    analysis_per_s: float | None  # where it was measured
    bare_whoosh_per_s: float | None

    @property
    def writing_per_s(self) -> float | None:
        """Contacts put a second without analysis."""
        if self.analysis_per_s is None:
            return None
        return 1 / max(1 / self.own_per_s - 1 / self.analysis_per_s, 1e-9)

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
            "writers": WRITERS[self.engine],
            "put_per_s": round(self.own_per_s),
            "writing_per_s": _rounded(self.writing_per_s),
            "analysis_per_s": _rounded(self.analysis_per_s),
            "bare_whoosh_per_s": _rounded(self.bare_whoosh_per_s),
            "questions": {each.kind: each.detail() for each in self.questions},
        }


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


@lru_cache(maxsize=4)
def result(
    contacts_: int,
    engine: str,
    say: Callable[[str], None],
    yardsticks: bool = False,
    *,
    asked: int = ASKED,
    keep: Path | None = None,
) -> Result:
    """One run; the second time what it gave. `yardsticks`: tantivy, and our index unsealed.

    `keep`: the folder where the filled indexes stay; without one a million and more stay among
    the caches.
    """
    if keep is None and contacts_ >= LARGE:
        keep = kept_for(engine, contacts_)
    with bed(contacts_, engine, say=say, yardsticks=yardsticks, keep=keep) as on:
        own, analysis = on.a_second("own"), on.a_second("analysis")
        return Result(
            engine=engine,
            contacts=contacts_,
            questions=tuple(measure(on, kind, asked=asked) for kind in KINDS),
            own_per_s=own or 0.0,
            analysis_per_s=analysis,
            bare_whoosh_per_s=on.a_second("bare_whoosh"),
        )
