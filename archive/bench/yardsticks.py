"""What searching is measured by: bare PostgreSQL, Whoosh, tantivy, and our own index unsealed.

All lie in the clear, so they hold invented contacts alone and nothing but a benchmark makes
them. Tantivy is there where somebody installed it (`pip install tantivy`); nothing else uses it.
"""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from whoosh.system import pack_uint

from archive.model import Document, Query
from archive.search import KeyProvider
from archive.search import whoosh_month as months
from archive.search.finnish import Analyser
from archive.search.instants import microseconds, month_of
from archive.search.sealed_storage import SealedStorage, write_durably
from archive.search.whoosh_index import WhooshIndex
from archive.search.whoosh_month import Terms, schema_of
from archive.search.whoosh_names import FileIndex, FileStorage, Frequency, SegmentWriter

PAGE = 25
_FIELDS = ("text", "customer", "phone_end")
_WRITER_BYTES = 64 * 1024 * 1024


class Yardstick(Protocol):
    """An index that is asked the same questions."""

    name: str

    def put(self, documents: Sequence[Document]) -> None:
        """Adds contacts."""
        ...

    def finish(self, bare: BarePostgres) -> None:
        """Everything is in, and in `bare` too."""
        ...

    def ready(self) -> None:
        """Questions follow; in a bed that was kept, without anything put before."""
        ...

    def first_page(self, query: Query) -> int:
        """How many hits the first page has, newest first."""
        ...

    def close(self) -> None:
        """Gives back what is open."""
        ...


# -- bare engines ------------------------------------------------------------------------


class BarePostgres:
    """One table with full text of the same terms, as anybody would make it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            """create table if not exists bare (id uuid primary key, at bigint not null,
                customer text, phone_end text, metering_point text, words tsvector not null)"""
        )

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        """Adds contacts with their terms."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                """insert into bare values (%s, %s, %s, %s, %s, array_to_tsvector(%s::text[]))
                    on conflict do nothing""",
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
            "create index if not exists bare_at on bare (at desc, id desc)",
            "create index if not exists bare_customer on bare (customer)",
            "create index if not exists bare_phone_end on bare (phone_end text_pattern_ops)",
            "create index if not exists bare_metering_point on bare (metering_point)",
            "create index if not exists bare_words on bare using gin (words)",
            "vacuum analyze bare",
        ):
            self._connection.execute(statement)

    def ready(self) -> None:
        """Questions follow."""
        self._connection.execute("set max_parallel_workers_per_gather = 0")

    def rows(self) -> Iterator[tuple[int, list[str], list[str], list[str]]]:
        """Of each contact its instant and its terms: words, customer number, end of the phone."""
        with self._connection.transaction(), self._connection.cursor("every") as cursor:
            cursor.execute(
                """select at, tsvector_to_array(words), array_remove(array[customer], null),
                    array_remove(array[phone_end], null) from bare"""
            )
            yield from cursor

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

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> float:
        """One commit for each month of the batch, as ours; the seconds it took."""
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
        return time.perf_counter() - began


# -- tantivy ---------------------------------------------------------------------------


def tantivy_at(folder: Path, analyser: Analyser) -> Yardstick | None:
    """An empty index of tantivy's in the folder; None where it is not installed."""
    try:
        module: Any = importlib.import_module("tantivy")
    except ImportError:
        return None
    return _Tantivy(module, folder, analyser)


class _Tantivy:
    name = "tantivy"

    def __init__(self, module: Any, folder: Path, analyser: Analyser) -> None:
        self._tantivy = module
        self._analyser = analyser
        builder = module.SchemaBuilder()
        for field in _FIELDS:
            builder.add_text_field(field, tokenizer_name="raw", index_option="basic")
        builder.add_integer_field("at", indexed=True, fast=True)
        self._schema = builder.build()
        folder.mkdir(parents=True, exist_ok=True)
        self._index = module.Index(self._schema, path=str(folder))  # what is there is kept
        self._writer = self._index.writer(_WRITER_BYTES, 1)

    def put(self, documents: Sequence[Document]) -> None:
        return None

    def finish(self, bare: BarePostgres) -> None:
        self._writer.delete_all_documents()
        for at, *values in bare.rows():
            made = self._tantivy.Document()
            made.add_integer("at", at)
            for field, terms in zip(_FIELDS, values, strict=True):
                for term in terms:
                    made.add_text(field, term)
            self._writer.add_document(made)
        self._writer.commit()

    def ready(self) -> None:
        self._writer.wait_merging_threads()
        self._index.reload()
        self._searcher = self._index.searcher()

    def first_page(self, query: Query) -> int:
        found = self._searcher.search(
            self._query(query), limit=PAGE, count=False, order_by_field="at"
        )
        return len(found.hits)

    def close(self) -> None:
        return None

    def _query(self, query: Query) -> Any:
        of, must = self._tantivy.Query, self._tantivy.Occur.Must
        parts = []
        if query.customer:
            parts.append(of.term_query(self._schema, "customer", query.customer))
        if query.phone:
            parts.append(of.regex_query(self._schema, "phone_end", query.phone[::-1] + ".*"))
        for word in (query.q or "").split():
            if word.endswith("*"):
                parts.append(of.regex_query(self._schema, "text", word[:-1] + ".*"))
            else:
                terms = list(self._analyser.query_terms(word))
                parts.append(of.term_set_query(self._schema, "text", terms))
        if query.from_ is not None and query.to is not None:
            edges = (microseconds(query.from_), microseconds(query.to))
            kind = self._tantivy.FieldType.Integer
            parts.append(of.range_query(self._schema, "at", kind, *edges, include_upper=False))
        return of.boolean_query([(must, part) for part in parts])


# -- our own index without its seal ----------------------------------------------------


class PlainStorage(SealedStorage):
    """The same files in the same way, in the clear."""

    def write(self, name: str, content: bytes) -> None:
        if name.endswith((".seg", ".toc", "about")):
            write_durably(self._path / name, content)
        else:
            self._loose[name] = content

    def read(self, name: str) -> bytes:
        return self._loose[name] if name in self._loose else (self._path / name).read_bytes()

    def file_length(self, name: str) -> int:
        return len(self.read(name)) if name in self._loose else (self._path / name).stat().st_size


class Unsealed:
    """Our Whoosh index with PlainStorage: what it takes less, sealing costs."""

    name = "unsealed"

    def __init__(self, folder: Path, keys: KeyProvider, analyser: Analyser) -> None:
        self._index = WhooshIndex(folder, keys, analyser=analyser)

    def put(self, documents: Sequence[Document]) -> None:
        with _in_the_clear():
            self._index.put(documents)

    def finish(self, bare: BarePostgres) -> None:
        with _in_the_clear():
            for month in self._index.to_rewrite():
                self._index.rewrite(month)

    def ready(self) -> None:
        return None

    def first_page(self, query: Query) -> int:
        with _in_the_clear():
            return len(self._index.find(query, limit=PAGE))

    def close(self) -> None:
        self._index.close()


@contextmanager
def _in_the_clear() -> Iterator[None]:
    """Months are opened with PlainStorage meanwhile; for one thread alone."""
    module: Any = months
    kept = module.SealedStorage
    module.SealedStorage = PlainStorage
    try:
        yield
    finally:
        module.SealedStorage = kept
