"""Terms of documents on their way into a segment: where each stands, a few bytes a place.

Whoosh's own pool keeps and sorts one object for every word of every document. Here a term has
one array, and only the terms are sorted. Lives in memory alone. Knows nothing of months and keys.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archive.search.whoosh_names import SegmentWriter

_MOST_TIMES = 2**24  # of a word in one document: a weight has 24 bits
_ONCE = array("f", [1.0])


class Postings:
    """Field -> term -> documents, in ascending order; how often too where the field counts that.

    `counted`: the fields that do. Documents must be added in ascending order.
    """

    def __init__(self, counted: Iterable[str]) -> None:
        self._counted = frozenset(counted)
        self._fields: dict[str, dict[str, array[int]]] = {}

    def add(self, doc: int, terms: Mapping[str, Iterable[str]]) -> None:
        """A document's terms, repeated as often as they come."""
        for field, found in terms.items():
            table = self._fields.setdefault(field, {})
            for term, times in Counter(found).items():
                entry = table.get(term)
                if entry is None:
                    table[term] = entry = array("I")
                entry.append(doc)
                if field in self._counted:
                    entry.append(min(times, _MOST_TIMES))

    def add_matcher(self, field: str, term: str, matcher: Any, places: Sequence[int]) -> None:
        """What a segment has of a term; `places[document]` is its number here, -1 if it is gone."""
        entry = array("I")
        counted = field in self._counted
        while matcher.is_active():
            if (doc := places[matcher.id()]) >= 0:
                entry.append(doc)
                if counted:
                    entry.append(int(matcher.weight()))
            matcher.next()
        if entry:
            self._fields.setdefault(field, {}).setdefault(term, array("I")).extend(entry)

    def write(self, schema: Any, writer: Any) -> None:
        """Everything to Whoosh's writer of a segment's fields."""
        for field in sorted(self._fields):
            writer.start_field(field, schema[field])
            for term, entry in sorted(self._fields.pop(field).items()):
                writer.start_term(term.encode())
                if field in self._counted:
                    _add_all(writer, entry[::2], array("f", entry[1::2]))
                else:
                    _add_all(writer, entry, None)
                writer.finish_term()
            writer.finish_field()


def _add_all(writer: Any, docs: array[int], times: array[float] | None) -> None:
    """What `writer.add` does for one document after the other, a block at a time.

    Whoosh has no public way to do so; five of its calls for each word are most of a commit.
    """
    blocks = writer._postwriter
    size = blocks._blocklimit
    for start in range(0, len(docs), size):
        if start:
            blocks._write_block()
        blocks._ids = docs[start : start + size]
        weights = _ONCE * len(blocks._ids) if times is None else times[start : start + size]
        blocks._weights = weights
        blocks._maxweight = max(weights)


class TermsWriter(SegmentWriter):  # type: ignore[misc]  # whoosh is half annotated
    """Whoosh's writer of a segment with documents whose terms are given ready made."""

    def __init__(self, index: Any, *, counted: Iterable[str]) -> None:
        super().__init__(index, _lk=False)
        self._postings = Postings(counted)

    def add_terms(self, columns: Mapping[str, Any], terms: Mapping[str, Iterable[str]]) -> None:
        """A document with its terms by field."""
        self._postings.add(self.docnum, terms)
        self.add_document(**columns)

    def add_postings_to_pool(self, reader: Any, startdoc: int, docmap: Any) -> None:
        """Of a segment that is merged into this one: a term at a time."""
        count = reader.doc_count_all()
        places: Sequence[int] = range(startdoc, startdoc + count)
        if docmap is not None:
            places = [docmap.get(doc, -1) for doc in range(count)]
        codec, file = reader.codec(), reader._terms._postfile
        for (field, term), about in reader:  # asking for each term would look it up again
            matcher = codec.postings_reader(file, about, self.schema[field].format)
            self._postings.add_matcher(field, bytes(term).decode(), matcher, places)

    def _flush_segment(self) -> None:
        self.perdocwriter.close()
        self._postings.write(self.schema, self.fieldwriter)
        self.fieldwriter.close()
