"""The search engine over PostgreSQL: a database of its own that holds digests and sealed words.

Any number of processes read and write; months are put, written anew and dropped here, read in
`postgres_reader`. Knows nothing of rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg
from psycopg import errors as pg
from psycopg import sql

from archive.errors import (
    IndexDamaged,
)
from archive.model import Document
from archive.search import Opened
from archive.search import postgres_months as register
from archive.search.instants import month_of
from archive.search.postgres_months import Connection, Generation
from archive.search.postgres_reader import PostgresReader, damaged
from archive.search.postgres_rewrite import copy_changed, write_documents, write_words
from archive.search.postgres_words import (
    UNLISTED,
    Digests,
)
from archive.search.terms import VERSION, document_terms

_ATTEMPTS = 20  # of a statement while writers exchange tables
_PAUSE_S = 0.02
_SATURATION = 1.2  # of a term's weight by its number in a document (BM25's k1)
_FACET_NAMES = {"agent_label": "agent"}
_DAMAGE = ("XX", "58")  # classes of SQLSTATE: corrupted data, input or output error


class PostgresIndex(PostgresReader):
    """An Index (see the port)."""

    name = "postgres"

    # -- writing ---------------------------------------------------------------------

    def put(self, documents: Sequence[Document]) -> None:
        """See the port: adds or replaces by id, one transaction for each month of the batch."""
        by_month: dict[str, dict[UUID, Document]] = {}
        for document in documents:
            by_month.setdefault(month_of(document.occurred_at), {})[document.id] = document
        for month in sorted(by_month):
            # Analysed before the month is locked: other writers need not wait for that.
            terms = {
                document: document_terms(document, self._analyser)
                for document in by_month[month].values()
            }
            with _damage_named(month), self._writing() as connection:
                self._put_month(connection, month, terms)

    def _put_month(
        self,
        connection: Connection,
        month: str,
        terms: dict[Document, dict[str, list[str]]],
    ) -> None:
        with connection.transaction():
            generation = self._locked_or_new(connection, month)
            key = self._key(generation)
            said = {
                (field, term)
                for fields in terms.values()
                for field, found in fields.items()
                if field not in UNLISTED
                for term in found
            }
            with self._lock:
                new = self._words_of(generation).new(said)
            write_words(connection, generation, key, new)
            write_documents(connection, generation, Digests(key), terms)
            mark = f"{self._analyser.name}+fields-{VERSION}"
            register.note(connection, generation, analysers=[mark])
        with self._lock:  # only now: a transaction that failed has written no word
            self._words_of(generation).add(new)
            self._forget_unused()

    def remove(self, ids: Iterable[UUID], *, month: str) -> None:
        """See the port."""
        doomed = list(ids)
        with _damage_named(month), self._writing() as connection, connection.transaction():
            generation = register.locked(connection, month)
            if not doomed or generation is None:
                return
            gone = connection.execute(
                sql.SQL("delete from {} where id = any(%s)").format(
                    sql.Identifier(generation.documents)
                ),
                (doomed,),
            ).rowcount
            if gone:
                register.note(connection, generation, removed=True)

    def rewrite(self, month: str) -> None:
        """See the port. Copied while others put; what they put follows under the month's lock."""
        with (
            _damage_named(month),
            self._writing() as connection,
            register.rewriting(connection),
        ):
            with connection.transaction():
                old = register.locked(connection, month)
                if old is None:
                    return
                key = self._key(old)
                # Registered before its key is made: a crash leaves no key that nobody knows of.
                fresh = self._unused(connection, month)
                register.add(connection, fresh, "new")
            fresh_key = self._keys.ensure(fresh.key_name)
            self._copy(connection, old, key, fresh, fresh_key)
            with connection.transaction():
                if register.locked(connection, month) != old:
                    register.set_state(connection, fresh, "gone")  # the month was dropped
                    living = 0
                else:
                    lost = copy_changed(connection, old, key, fresh, fresh_key)
                    living = self._count_rows(connection, fresh)
                    self._take_over(connection, old, fresh, living=living, lost=lost)
            if living:
                connection.execute(sql.SQL("analyze {}").format(sql.Identifier(fresh.documents)))

    def _copy(
        self,
        connection: Connection,
        old: Generation,
        key: bytes,
        fresh: Generation,
        fresh_key: bytes,
    ) -> None:
        """Twice: what is put while the first copy is made is little."""
        for _ in range(2):
            copy_changed(connection, old, key, fresh, fresh_key)

    def _take_over(
        self, connection: Connection, old: Generation, fresh: Generation, *, living: int, lost: bool
    ) -> None:
        connection.execute(
            """update index_month as fresh set analysers = old.analysers
                from index_month as old
                where fresh.month = %s and fresh.generation = %s
                  and old.month = %s and old.generation = %s""",
            (fresh.month, fresh.generation, old.month, old.generation),
        )
        # A crash after this commit leaves a generation that is gone: the next writer destroys
        # its key and drops its tables.
        register.set_state(connection, old, "gone")
        register.set_state(connection, fresh, "current" if living else "gone")
        register.note(connection, fresh, removed=lost)

    def drop(self, month: str) -> None:
        """See the port."""
        with self._writing() as connection, connection.transaction():
            generation = register.locked(connection, month)
            if generation is not None:
                register.set_state(connection, generation, "gone")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A connection to write with; afterwards what is gone is destroyed."""
        self._prepare()
        with self._connection() as connection:
            self._tidy(connection)
            yield connection
            self._tidy(connection)

    def _tidy(self, connection: Connection) -> None:
        """Destroys the keys of generations that are gone, then their tables."""
        found = register.states(connection)
        # Whoever rewrites holds a lock; what is unfinished without it is a leftover.
        leftover = "new" in found.values() and register.nobody_rewrites(connection)
        for generation, state in found.items():
            if state == "new" and not leftover:
                continue
            if state != "current" or self._dead(generation):
                self._discard(connection, generation)

    def _discard(self, connection: Connection, generation: Generation) -> None:
        """The key goes first: a crash after it leaves rows that say nothing to anybody."""
        self._keys.destroy(generation.key_name)
        with self._lock:
            self._words.pop(generation, None)
        with connection.transaction():
            register.forget(connection, generation)

    def _locked_or_new(self, connection: Connection, month: str) -> Generation:
        found = register.locked(connection, month)
        if found is not None:
            return found
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"index {month}",))
        found = register.locked(connection, month)
        if found is None:
            found = self._unused(connection, month)
            # The other way round: readers take a month without its key for a damaged one. A
            # crash leaves a key without a month, which the next one to make the month takes.
            self._keys.ensure(found.key_name)
            register.add(connection, found, "current")
        return found

    def _unused(self, connection: Connection, month: str) -> Generation:
        """A generation that never was."""
        number = register.last_generation(connection, month) + 1
        while self._dead(Generation(month, number)):
            number += 1
        return Generation(month, number)

    # -- months ----------------------------------------------------------------------

    def months(self) -> list[str]:
        """See the port."""
        self._prepare()
        self._listed = None
        return [each.month for each in self._generations() if not self._dead(each)]

    def size(self, month: str) -> int:
        """See the port."""
        self._prepare()
        with self._connection() as connection:
            found = [g for g in register.listed(connection, "current") if g.month == month]
            if not found or self._dead(found[0]):
                return 0
            try:
                return self._count_rows(connection, found[0])
            except pg.UndefinedTable:
                raise IndexDamaged(month=month, reason="table missing") from None

    def check(self, month: str | None = None) -> dict[str, str]:
        """See the port. Reads every row and opens every portion of words."""
        self._prepare()
        found: dict[str, str] = {}
        with self._connection() as connection:
            months = register.listed(connection, "current")
        for generation in months:
            if month not in (None, generation.month) or self._dead(generation):
                continue
            try:
                self._read_all(generation)
            except IndexDamaged as error:
                found[generation.month] = str(error.facts["reason"])
        return found

    def _read_all(self, generation: Generation) -> None:
        try:
            with self._connection() as connection:
                connection.execute(
                    sql.SQL("select sum(cardinality(terms) + cardinality(often)) from {}").format(
                        sql.Identifier(generation.documents)
                    )
                )
                for _ in self._portions(connection, generation, ("l", "b", "o"), {}):
                    pass
        except pg.UndefinedTable:
            if self._registered(generation):
                raise IndexDamaged(month=generation.month, reason="table missing") from None
        except psycopg.Error as error:
            if not damaged(error):
                raise
            raise IndexDamaged(month=generation.month, reason="data corrupted") from None

    def stale(self) -> list[str]:
        """See the port."""
        self._prepare()
        mark = f"{self._analyser.name}+fields-{VERSION}"
        with self._connection() as connection:
            rows = connection.execute(
                "select month from index_month where state = 'current' and analysers <> %s"
                " order by month desc",
                ([mark],),
            )
            return [str(row[0]) for row in rows]

    def to_rewrite(self) -> list[str]:
        """See the port."""
        self._prepare()
        with self._connection() as connection:
            rows = connection.execute(
                "select month from index_month where state = 'current' and removed order by month"
            )
            return [str(row[0]) for row in rows]

    def opened(self) -> Opened:
        """See the port."""
        held = list(self._words.values())
        return Opened(len(held), sum(words.memory_bytes for words in held))

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._words.clear()
            self._listed = None
        self._engine.dispose()
        self._rare.dispose()


@contextmanager
def _damage_named(month: str) -> Iterator[None]:
    """What a damaged or missing table leads to becomes IndexDamaged."""
    try:
        yield
    except psycopg.Error as error:
        if not damaged(error):
            raise
        raise IndexDamaged(month=month, reason="data corrupted or missing") from None
