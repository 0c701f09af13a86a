"""Questions put to the PostgreSQL index: one statement over the tables of all months concerned.

Knows nothing of writing and of rights.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors as pg
from psycopg import sql
from sqlalchemy import Engine

from archive.db import ensure_database, open_engine, quick
from archive.errors import (
    CatalogueUnavailable,
    IndexDamaged,
    KeyDestroyed,
    KeyMissing,
    SealBroken,
)
from archive.model import Hit, Query
from archive.search import FACETS, KeyProvider
from archive.search import postgres_months as register
from archive.search.exact import Verifier, verifier
from archive.search.finnish import Analyser
from archive.search.instants import Key, microseconds, moment, month_of, span
from archive.search.marking import Marker, marker
from archive.search.postgres_clauses import Condition, condition, rare
from archive.search.postgres_months import Connection, Generation
from archive.search.postgres_words import (
    BEGINNINGS,
    LABELS,
    Digests,
    Word,
    Words,
    open_portion,
)
from archive.search.query import Question, Term, question

_ATTEMPTS = 20  # of a statement while writers exchange tables
_PAUSE_S = 0.02
_SATURATION = 1.2  # of a term's weight by its number in a document (BM25's k1)
_FACET_NAMES = {"agent_label": "agent"}
_DAMAGE = ("XX", "58")  # classes of SQLSTATE: corrupted data, input or output error


@dataclass(frozen=True, slots=True)
class _Part:
    """A month's share of a statement."""

    generation: Generation
    where: str
    values: tuple[Any, ...]  # of `where`
    digests: Digests


@dataclass(frozen=True, slots=True)
class _Way:
    """How the months' statements become one, and where it is asked."""

    engine: Engine
    few: bool  # contacts can match: all of them are looked up
    limit: int | None  # of the newest
    edge: tuple[float, int, UUID] | None


Statement = tuple[str, tuple[Any, ...]]
One = Callable[[_Part], Statement]


class PostgresReader:
    """The reading half of the engine (see `postgres_index`). Safe between threads."""

    def __init__(
        self,
        url: str,
        keys: KeyProvider,
        *,
        analyser: Analyser,
        memory_bytes: int = 1024 * 1024 * 1024,
        pool_size: int = 8,
    ) -> None:
        self._url = url
        self._keys = keys
        self._analyser = analyser
        self._memory_bytes = memory_bytes
        self._engine = open_engine(_with(url, "force_custom_plan"), pool_size=pool_size)
        # Of a rare word neither frequency nor number of contacts changes the best plan.
        self._rare = open_engine(
            _with(url, "force_generic_plan", enable_seqscan="off"), pool_size=pool_size
        )
        self._lock = threading.RLock()
        self._ready = False
        self._listed: tuple[int, list[Generation]] | None = None
        self._words: OrderedDict[Generation, Words] = OrderedDict()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # a thread that a child does not have may have held it

    # -- reading ---------------------------------------------------------------------

    def find(
        self,
        query: Query,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None = None,
        lacking: set[str] | None = None,
    ) -> list[Hit]:
        """See the port."""
        asked = question(query, self._analyser)
        cursor = (microseconds(after[0]), after[1].bytes) if after is not None else None
        if query.sort == "relevance":
            return self._by_relevance(asked, query, limit, cursor, lacking)

        few = rare(asked.clause)

        def one(part: _Part) -> Statement:
            if few:  # all are looked up and put in order
                return _of(part, "select at, id from {} where {}"), part.values
            statement = "(select at, id from {} where {} order by at desc, id desc limit %s)"
            return _of(part, statement), (*part.values, limit)

        rows = self._ask(asked, *span(query, cursor), one, lacking, limit=limit)
        return [Hit(id, moment(us), 0.0) for us, id in sorted(rows, reverse=True)[:limit]]

    def _by_relevance(
        self,
        asked: Question,
        query: Query,
        limit: int,
        cursor: Key | None,
        lacking: set[str] | None,
    ) -> list[Hit]:
        """All that match, scored: the more often and the rarer the words, the higher."""
        first, stop = span(query, None)
        weights = self._weights(asked, first, stop, lacking)
        before = self._edge(asked, query, cursor, weights, lacking) if cursor is not None else None
        if cursor is not None and before is None:
            return []  # it has been removed since: there is no place to go on from
        edge = "(score, at, id) < (select score, at, id from edge)" if before else "true"

        def one(part: _Part) -> Statement:
            score, values = _score(weights, part.digests)
            statement = (
                f"(select * from (select {score} as score, at, id from {{}} where {{}}) as m"
                f" where {edge} order by score desc, at desc, id desc limit %s)"
            )
            return _of(part, statement), (*values, *part.values, limit)

        rows = self._ask(asked, first, stop, one, lacking, edge=before)
        best = sorted(rows, reverse=True)[:limit]
        return [Hit(id, moment(us), float(score)) for score, us, id in best]

    def _edge(
        self,
        asked: Question,
        query: Query,
        cursor: Key,
        weights: dict[Term, float],
        lacking: set[str] | None,
    ) -> tuple[float, int, UUID] | None:
        """The hit that a page begins after, with its score as it is now."""

        def one(part: _Part) -> Statement:
            score, values = _score(weights, part.digests)
            statement = f"(select {score}, at, id from {{}} where ({{}}) and at = %s and id = %s)"
            place = (cursor[0], UUID(bytes=cursor[1]))
            return _of(part, statement), (*values, *part.values, *place)

        rows = self._ask(asked, *span(query, None), one, lacking)
        return next(((float(score), int(at), id) for score, at, id in rows), None)

    def _weights(
        self, asked: Question, first: Key | None, stop: Key | None, lacking: set[str] | None
    ) -> dict[Term, float]:
        """Term -> how much it says: the logarithm of its rarity over all months (BM25's idf)."""
        terms = list(dict.fromkeys(asked.scored))
        if not terms:
            return {}
        counts = ", ".join(["count(*) filter (where terms @> %s::bigint[])"] * len(terms))

        def one(part: _Part) -> Statement:
            values = tuple([part.digests.of(term.field, term.text)] for term in terms)
            return f"(select count(*), {counts} from {_table(part)})", values

        sums = [0] * (len(terms) + 1)
        for row in self._ask(asked, first, stop, one, lacking):
            sums = [total + int(n) for total, n in zip(sums, row, strict=True)]
        total, *known = sums
        return {
            term: math.log(1 + (total - n + 0.5) / (n + 0.5))
            for term, n in zip(terms, known, strict=True)
            if n
        }

    def count(self, query: Query, *, lacking: set[str] | None = None) -> int:
        """See the port."""

        def one(part: _Part) -> Statement:
            return _of(part, "(select count(*) from {} where {})"), part.values

        asked = question(query, self._analyser)
        return sum(int(row[0]) for row in self._ask(asked, *span(query, None), one, lacking))

    def facets(
        self, query: Query, fields: Sequence[str], *, lacking: set[str] | None = None
    ) -> dict[str, dict[str, int]]:
        """See the port."""
        asked = question(query, self._analyser)
        counts: dict[str, Counter[str]] = {f: Counter() for f in fields if f in FACETS}
        for field, value, n in self._ask(asked, *span(query, None), self._labelled, lacking):
            if field in counts:
                counts[field][value] += int(n)
        return {f: dict((+values).most_common()) for f, values in counts.items()}

    def _labelled(self, part: _Part) -> Statement:
        """How often each label of a month comes, as rows of field, value, number."""
        with self._lock:
            words = self._read_words(part.generation, ("l",))
            labels = [(field, term) for field in LABELS for term in sorted(words.of(field))]
        statement = """(with m as materialized (select terms from {} where {}),
            said as (select digest, count(*) as n from m, unnest(terms) as digest
                where digest = any(%s::bigint[]) group by digest)
            select field, value, said.n
            from unnest(%s::text[], %s::text[], %s::bigint[]) as l (field, value, digest)
                join said using (digest)
            union all select 'month', %s, (select count(*) from m))"""
        digests = [part.digests.of(field, term) for field, term in labels]
        fields = [_FACET_NAMES.get(field, field) for field, _ in labels]
        values = (digests, fields, [term for _, term in labels], digests, part.generation.month)
        return _of(part, statement), (*part.values, *values)

    def explain(self, query: Query) -> list[str]:
        """See the port."""
        return list(question(query, self._analyser).notes)

    def marker(self, query: Query) -> Marker:
        """See the port."""
        return marker(query, self._analyser)

    def verifier(self, query: Query) -> Verifier | None:
        """See the port."""
        return verifier(query, self._analyser)

    # -- statements ------------------------------------------------------------------

    def _ask(
        self,
        asked: Question,
        first: Key | None,
        stop: Key | None,
        one: One,
        lacking: set[str] | None,
        *,
        limit: int | None = None,
        edge: tuple[float, int, UUID] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows of `one`'s statement for each month between the keys, newest month first.

        One statement for all of them; where a month is damaged, one for each of the others.
        """
        self._prepare()
        few, where = rare(asked.clause), condition(asked.clause)
        way = _Way(self._rare if few else self._engine, few, limit, edge)

        def parts(months: Sequence[Generation]) -> list[tuple[str, Statement]]:
            return self._parts(months, where, first, stop, one, lacking)

        for attempt in range(_ATTEMPTS):
            months = [g for g in self._generations() if _between(g.month, first, stop)]
            try:
                found = self._once(way, months, parts, lacking, again=attempt > 0)
            except KeyDestroyed:
                found = None
            if found is not None:
                return found
            self._listed = None  # a writer has exchanged, made or dropped tables
            time.sleep(_PAUSE_S)
        raise CatalogueUnavailable()

    def _once(
        self,
        way: _Way,
        months: Sequence[Generation],
        parts: Callable[[Sequence[Generation]], list[tuple[str, Statement]]],
        lacking: set[str] | None,
        *,
        again: bool,
    ) -> list[tuple[Any, ...]] | None:
        """None where the register is no longer as this process knows it."""
        try:
            if way.limit is None or way.few or len(months) < 2:
                return self._rows(way, parts(months))
            # Of what many contacts say the newest month mostly fills the page by itself.
            newest = self._rows(way, parts(months[:1]))
            if newest is None or len(newest) >= way.limit:
                return newest
            others = self._rows(way, parts(months[1:]))
            return None if others is None else newest + others
        except psycopg.Error as error:
            if isinstance(error, pg.UndefinedTable) and not again:
                return None
            if damaged(error):
                return self._singly(way, parts(months), lacking)
            raise

    def _rows(
        self, way: _Way, parts: Sequence[tuple[str, Statement]]
    ) -> list[tuple[Any, ...]] | None:
        """None where the register is no longer as this process knows it."""
        listed = self._listed
        with quick(way.engine) as connection:
            if not parts:
                return [] if listed and register.epoch(connection) == listed[0] else None
            # Newest month first: with a limit PostgreSQL looks at no more months than it needs.
            union = " union all ".join([statement for _, (statement, _) in parts])
            values = [value for _, (_, given) in parts for value in given]
            head = ""
            if way.edge is not None:
                head = "edge as (select %s::float8 as score, %s::bigint as at, %s::uuid as id), "
                values = [*way.edge, *values]
            if way.limit is not None:
                # A sum has no index: then PostgreSQL cannot walk whole months in order of time.
                order = "order by at + 0 desc, id desc" if way.few else ""
                union = f"select * from ({union}) as months {order} limit %s"
                values.append(way.limit)
            whole = (
                f"with {head}epoch as (select epoch from index_epoch)"
                " select (select epoch from epoch), found.* from (select 1) as one"
                f" left join ({union}) as found on true"
            )
            rows = connection.execute(whole.encode(), values, prepare=True).fetchall()
        if not listed or rows[0][0] != listed[0]:
            return None
        return [row[1:] for row in rows if row[-1] is not None]

    def _singly(
        self, way: _Way, parts: Sequence[tuple[str, Statement]], lacking: set[str] | None
    ) -> list[tuple[Any, ...]] | None:
        found: list[tuple[Any, ...]] = []
        unread: list[str] = []
        for part in parts:
            try:
                rows = self._rows(way, [part])
            except psycopg.Error as error:
                if not damaged(error):
                    raise
                unread.append(part[0])
                continue
            if rows is None:
                return None
            found += rows
        known = self._listed
        with self._connection() as connection:
            if known is None or register.epoch(connection) != known[0]:
                return None  # tables were exchanged, nothing is damaged
        for month in unread:
            _lacks(month, "data corrupted or missing", lacking)
        return found

    def _parts(
        self,
        months: Sequence[Generation],
        where: Condition,
        first: Key | None,
        stop: Key | None,
        one: One,
        lacking: set[str] | None,
    ) -> list[tuple[str, Statement]]:
        """Month and statement of each that can be read. KeyDestroyed where the register may have
        changed since it was read."""
        found = []
        newest = self._newest_portions(months) if where.asks_beginnings else {}
        for generation in months:
            try:
                part = self._part(generation, where, first, stop, newest.get(generation))
                found.append((generation.month, one(part)))
            except KeyDestroyed:
                if not self._registered(generation):
                    raise
                # A month whose key was destroyed reads as empty.
            except IndexDamaged as error:
                _lacks(generation.month, str(error.facts["reason"]), lacking)
        return found

    def _part(
        self,
        generation: Generation,
        where: Condition,
        first: Key | None,
        stop: Key | None,
        portion: int | None,
    ) -> _Part:
        """`portion`: the newest of what words begin with, if known. KeyDestroyed, IndexDamaged."""

        def beginning(field: str, prefix: str) -> list[str]:
            if field not in BEGINNINGS:
                return []
            with self._lock:
                words = self._words_of(generation)
                if portion is None or words.read_to.get("b", 0) < portion:
                    words = self._read_words(generation, ("b",))
                return words.beginning(field, prefix)

        digests = Digests(self._key(generation))
        text, values = where.sql, where.values(digests.of, beginning)
        # Only at the edges: within a month all are between.
        if first is not None and month_of(moment(first[0])) == generation.month:
            text, values = f"({text}) and at >= %s", (*values, first[0])
        if stop is not None and month_of(moment(stop[0])) == generation.month:
            text = f"({text}) and (at, id) < (%s, %s)"
            values = (*values, stop[0], UUID(bytes=stop[1] or bytes(16)))
        return _Part(generation, text, values, digests)

    # -- words -----------------------------------------------------------------------

    def _words_of(self, generation: Generation) -> Words:
        words = self._words.setdefault(generation, Words())
        self._words.move_to_end(generation)
        return words

    def _newest_portions(self, months: Sequence[Generation]) -> dict[Generation, int]:
        """Of the words' beginnings, by one statement; {} where it fails: then each is read."""
        if not months:
            return {}
        statement = " union all ".join(
            f"select {number}, max(portion) from {_quoted(month.words)} where kind = 'b'"
            for number, month in enumerate(months)
        )
        try:
            with self._connection() as connection:
                rows = connection.execute(statement.encode(), prepare=True).fetchall()
        except psycopg.Error:
            return {}
        return {months[number]: portion or 0 for number, portion in rows}

    def _read_words(self, generation: Generation, kinds: Sequence[str]) -> Words:
        """The month's words of these kinds, as they are in the table now."""
        words = self._words_of(generation)
        with self._connection() as connection:
            for kind, portion, found in self._portions(
                connection, generation, kinds, words.read_to
            ):
                words.add(found)
                words.read_to[kind] = portion
        self._forget_unused()
        return words

    def _portions(
        self,
        connection: Connection,
        generation: Generation,
        kinds: Sequence[str],
        read_to: dict[str, int],
    ) -> Iterator[tuple[str, int, list[Word]]]:
        key = self._key(generation)
        statement = sql.SQL(
            "select portion, name, sealed from {} where kind = %s and portion > %s order by portion"
        ).format(sql.Identifier(generation.words))
        for kind in kinds:
            try:
                rows = connection.execute(statement, (kind, read_to.get(kind, 0)))
            except pg.UndefinedTable:
                if self._registered(generation):
                    raise IndexDamaged(month=generation.month, reason="table missing") from None
                raise KeyDestroyed(name=generation.key_name) from None  # just rewritten or dropped
            for portion, name, sealed in rows.fetchall():
                try:
                    words = open_portion(
                        key, generation.month, generation.generation, name, bytes(sealed)
                    )
                except SealBroken as error:
                    raise IndexDamaged(
                        month=generation.month, reason=str(error.facts["reason"])
                    ) from None
                yield kind, portion, words

    def _forget_unused(self) -> None:
        taken = sum(words.memory_bytes for words in self._words.values())
        while taken > self._memory_bytes and len(self._words) > 1:
            _, words = self._words.popitem(last=False)
            taken -= words.memory_bytes

    # -- keys and connections ----------------------------------------------------------

    def _key(self, generation: Generation) -> bytes:
        """The key of a generation. KeyDestroyed, IndexDamaged."""
        try:
            return self._keys.get(generation.key_name)
        except KeyDestroyed:
            with self._lock:
                self._words.pop(generation, None)
            raise
        except KeyMissing:
            raise IndexDamaged(month=generation.month, reason="key missing") from None
        except SealBroken as error:
            raise IndexDamaged(month=generation.month, reason=str(error.facts["reason"])) from None

    def _dead(self, generation: Generation) -> bool:
        try:
            self._keys.get(generation.key_name)
        except KeyDestroyed:
            return True
        except (KeyMissing, SealBroken):
            return False
        return False

    def _generations(self) -> list[Generation]:
        """The current ones as last known, newest month first; `_rows` notices a change."""
        listed = self._listed
        if listed is None:
            with self._connection() as connection, connection.transaction():
                connection.execute("set transaction isolation level repeatable read")
                listed = (register.epoch(connection), register.listed(connection, "current"))
            self._listed = listed
        return listed[1]

    def _registered(self, generation: Generation) -> bool:
        with self._connection() as connection:
            return generation in register.listed(connection, "current")

    def _count_rows(self, connection: Connection, generation: Generation) -> int:
        row = connection.execute(
            sql.SQL("select count(*) from {}").format(sql.Identifier(generation.documents))
        ).fetchone()
        return int(row[0]) if row else 0

    def _prepare(self) -> None:
        """Makes database and register where they are not."""
        if self._ready:
            return
        with self._lock:
            ensure_database(self._url)
            with self._connection() as connection:
                register.make_schema(connection)
            self._ready = True

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with quick(self._engine) as connection:
            yield connection


def _with(url: str, plans: str, **more: str) -> str:
    """The address with PostgreSQL's choice of plans set for every session."""
    chosen = {"plan_cache_mode": plans, "max_parallel_workers_per_gather": "0", "jit": "off"}
    options = "%20".join(f"-c%20{name}%3D{value}" for name, value in (chosen | more).items())
    return f"{url}{'&' if '?' in url else '?'}options={options}"


def _between(month: str, first: Key | None, stop: Key | None) -> bool:
    if first is not None and month < month_of(moment(first[0])):
        return False
    return stop is None or month <= month_of(moment(stop[0]))


def damaged(error: psycopg.Error) -> bool:
    return isinstance(error, pg.UndefinedTable) or (error.sqlstate or "")[:2] in _DAMAGE


def _lacks(month: str, reason: str, lacking: set[str] | None) -> None:
    if lacking is None:
        raise IndexDamaged(month=month, reason=reason)
    lacking.add(month)


def _of(part: _Part, statement: str) -> str:
    """The statement with the month's table and condition in its two places."""
    return statement.format(_table(part), part.where)


def _table(part: _Part) -> str:
    return _quoted(part.generation.documents)


@lru_cache(maxsize=1000)
def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _score(weights: dict[Term, float], digests: Digests) -> tuple[str, tuple[Any, ...]]:
    """The sum of the terms' weights, each saturating with how often it is said."""
    parts, values = [], []
    for term, weight in weights.items():
        digest = digests.of(term.field, term.text)
        times = "coalesce(times[array_position(often, %s::bigint)], 1)"
        parts.append(
            f"case when terms @> %s::bigint[] then %s::float8 * {times} / ({times} + {_SATURATION})"
            " else 0 end"
        )
        values += [[digest], weight, digest, digest]
    if not parts:
        return "0::float8", ()
    return f"round(({' + '.join(parts)})::numeric, 6)::float8", tuple(values)
