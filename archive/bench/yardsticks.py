"""What searching is measured by besides bare PostgreSQL: tantivy, and our own index unsealed.

Both lie in the clear, so they hold invented contacts alone and nothing but a benchmark makes
them. Tantivy is there where somebody installed it (`pip install tantivy`); nothing else uses it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from archive.model import Document, Query
from archive.search import KeyProvider
from archive.search import whoosh_month as months
from archive.search.finnish import Analyser
from archive.search.instants import microseconds
from archive.search.sealed_storage import SealedStorage, write_durably
from archive.search.whoosh_index import WhooshIndex

PAGE = 25
_FIELDS = ("text", "customer", "phone_end")
_WRITER_BYTES = 64 * 1024 * 1024


class Yardstick(Protocol):
    """An index that is asked the same questions."""

    name: str

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        """Adds contacts with their terms."""
        ...

    def finish(self) -> None:
        """Everything is in; questions follow."""
        ...

    def first_page(self, query: Query) -> int:
        """How many hits the first page has, newest first."""
        ...

    def close(self) -> None:
        """Gives back what is open."""
        ...


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
        folder.mkdir(parents=True)
        self._index = module.Index(self._schema, path=str(folder))
        self._writer = self._index.writer(_WRITER_BYTES, 1)

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        for document, terms in documents:
            made = self._tantivy.Document()
            made.add_integer("at", microseconds(document.occurred_at))
            for field in _FIELDS:
                for term in dict.fromkeys(terms.get(field, ())):
                    made.add_text(field, term)
            self._writer.add_document(made)

    def finish(self) -> None:
        self._writer.commit()
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

    def put(self, documents: Sequence[tuple[Document, dict[str, list[str]]]]) -> None:
        with _in_the_clear():
            self._index.put([document for document, _ in documents])

    def finish(self) -> None:
        with _in_the_clear():
            for month in self._index.to_rewrite():
                self._index.rewrite(month)

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
