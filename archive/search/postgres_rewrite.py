"""Contacts and words written into a generation's tables, and copied from one to the next.

Knows tables and digests; nothing of locks, and of keys only those it is given.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from psycopg import sql

from archive.errors import IndexDamaged, SealBroken
from archive.model import Document
from archive.search import phrases
from archive.search.instants import microseconds
from archive.search.postgres_months import Connection, Generation
from archive.search.postgres_words import (
    UNLISTED,
    Digests,
    Word,
    kind_of,
    open_portion,
    seal_portion,
)

_COUNTED = ("text", "subject")  # fields whose terms are counted, for relevance
_ROWS = 500  # copied at once
_PORTION = 20_000  # words at most that are sealed together
_MOST_TIMES = 32_000


def write_words(
    connection: Connection, generation: Generation, key: bytes, words: Iterable[Word]
) -> None:
    """Adds words to the generation's list."""
    by_kind: dict[str, list[Word]] = {}
    for word in words:
        by_kind.setdefault(kind_of(word[0]), []).append(word)
    statement = sql.SQL("insert into {} (kind, name, sealed) values (%s, %s, %s)").format(
        sql.Identifier(generation.words)
    )
    for kind, found in by_kind.items():
        for at in range(0, len(found), _PORTION):
            name = secrets.token_hex(12)
            sealed = seal_portion(
                key, generation.month, generation.generation, name, found[at : at + _PORTION]
            )
            connection.execute(statement, (kind, name, sealed))


def write_documents(
    connection: Connection,
    generation: Generation,
    digests: Digests,
    terms: Mapping[Document, Mapping[str, Sequence[str]]],
) -> None:
    """Puts contacts in the place of those of the same ids."""
    table = sql.Identifier(generation.documents)
    connection.execute(
        sql.SQL("delete from {} where id = any(%s)").format(table), ([d.id for d in terms],)
    )
    copy = sql.SQL("copy {} (id, at, terms, often, times) from stdin").format(table)
    with connection.cursor() as cursor, cursor.copy(copy) as writer:
        for document, fields in terms.items():
            said: set[int] = set()
            often: dict[int, int] = {}
            for field, found in fields.items():
                if field == "id":
                    continue
                for term, times in Counter(found).items():
                    digest = digests.of(field, term)
                    said.add(digest)
                    if times > 1 and field in _COUNTED:
                        often[digest] = min(times, _MOST_TIMES)
            writer.write_row(
                (
                    str(document.id),
                    str(microseconds(document.occurred_at)),
                    _array(sorted(said)),
                    _array(often),
                    _array(often.values()),
                )
            )


def copy_changed(
    connection: Connection, old: Generation, key: bytes, fresh: Generation, fresh_key: bytes
) -> bool:
    """Brings `fresh` to what `old` is now; whether documents went that had been copied before.

    Every digest is made anew under the other key, with the help of the list of words; the new
    list has the words of living documents alone. IndexDamaged where a word is not in the list.
    """
    names = {"old": sql.Identifier(old.documents), "fresh": sql.Identifier(fresh.documents)}
    gone = connection.execute(
        sql.SQL(
            "delete from {fresh} where (id, version) in"
            " (select id, version from {fresh} except select id, version from {old})"
        ).format(**names)
    ).rowcount
    ids = [
        row[0]
        for row in connection.execute(
            sql.SQL(
                "select id from (select id, version from {old} except"
                " select id, version from {fresh}) as missing"
            ).format(**names)
        )
    ]
    if not ids:
        return gone > 0
    known = _Dictionary(connection, old, key)
    there = {word for word, _ in _list(connection, fresh, fresh_key)}
    digests = Digests(fresh_key)
    for at in range(0, len(ids), _ROWS):
        _copy_rows(connection, old, fresh, ids[at : at + _ROWS], known, digests, there, fresh_key)
    return gone > 0


def _copy_rows(
    connection: Connection,
    old: Generation,
    fresh: Generation,
    ids: Sequence[UUID],
    known: _Dictionary,
    digests: Digests,
    there: set[Word],
    fresh_key: bytes,
) -> None:
    rows = connection.execute(
        sql.SQL("select id, at, version, terms, often, times from {} where id = any(%s)").format(
            sql.Identifier(old.documents)
        ),
        (list(ids),),
    ).fetchall()
    made: dict[int, int] = {}
    said: set[Word] = set()
    for digest in {digest for row in rows for digest in row[3]}:
        word = known.word(digest)
        if word is None:
            raise IndexDamaged(month=old.month, reason="words missing")
        made[digest] = digests.of(*word)
        if word[0] not in UNLISTED:
            said.add(word)
    with connection.transaction():
        write_words(connection, fresh, fresh_key, said - there)
        copy = sql.SQL("copy {} (id, at, version, terms, often, times) from stdin").format(
            sql.Identifier(fresh.documents)
        )
        with connection.cursor() as cursor, cursor.copy(copy) as writer:
            for id, at, version, terms, often, times in rows:
                fields = (
                    _array(sorted(made[d] for d in terms)),
                    _array(made[d] for d in often),
                    _array(times),
                )
                writer.write_row((str(id), str(at), str(version), *fields))
    there |= said


class _Dictionary:
    """The words of a month by their digests: those of its list, and every pair of words."""

    def __init__(self, connection: Connection, generation: Generation, key: bytes) -> None:
        self._digests = Digests(key)
        listed = _list(connection, generation, key)
        self._known = {self._digests.of(*word): word for word, _ in listed}
        self._pairs: dict[int, Word] = {}

    def word(self, digest: int) -> Word | None:
        """The word; None where the list lacks it."""
        found = self._known.get(digest)
        if found is None and not self._pairs:
            self._pairs = self._digests.every(phrases.FIELD, phrases.every_term())
        return found or self._pairs.get(digest)


def _list(connection: Connection, generation: Generation, key: bytes) -> Iterable[tuple[Word, str]]:
    rows = connection.execute(
        sql.SQL("select kind, name, sealed from {}").format(sql.Identifier(generation.words))
    ).fetchall()
    for kind, name, sealed in rows:
        try:
            words = open_portion(key, generation.month, generation.generation, name, bytes(sealed))
        except SealBroken as error:
            raise IndexDamaged(month=generation.month, reason=str(error.facts["reason"])) from None
        for word in words:
            yield word, kind


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
