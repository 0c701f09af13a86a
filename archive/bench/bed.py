"""What is asked in `archive bench search`: indexes filled with the same invented contacts.

A bed in a temporary folder is gone after its run. One that is kept is filled once: a run that
was cut off goes on where it stopped, the next one asks at once.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

import psycopg

from archive.bench.invented import contacts
from archive.bench.yardsticks import BarePostgres, BareWhoosh, Unsealed, Yardstick, tantivy_at
from archive.db import ensure_database
from archive.embedded import Parts
from archive.errors import BadRequest
from archive.keyring.roots import FileRootKey
from archive.keys import KeysDirectory
from archive.model import Document
from archive.search import Index, open_index
from archive.search.finnish import Analyser, default_analyser
from archive.search.sealed_storage import write_durably
from archive.search.terms import document_terms

BATCH = 1_000
LARGE = 1_000_000  # contacts; from here on a bed is kept unless told where
_STATE = "filled.json"


@dataclass(slots=True)
class Filled:
    """How far a bed is filled, and what its filling took; beside it as JSON after each batch."""

    contacts: int
    terms: int  # of the first contacts, as a checksum: another analyser needs another bed
    done: int = 0
    own_seconds: float = 0.0  # of putting, analysis included
    analysis_seconds: float = 0.0
    bare_whoosh_seconds: float = 0.0
    whole: bool = False  # put together as by night, with the bare sides' indexes


@dataclass(slots=True)
class Bed:
    """Everything that is measured, filled."""

    index: Index
    bare: BarePostgres
    analyser: Analyser
    filled: Filled
    yardsticks: Sequence[Yardstick] = ()


def kept_for(engine: str, contacts_: int) -> Path:
    """Where the bed of so many contacts is kept if nothing else is said: among the caches."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "contact-archive" / f"bench-{engine}-{contacts_}"


@contextmanager
def bed(
    contacts_: int,
    engine: str,
    *,
    say: Callable[[str], None],
    yardsticks: bool = False,
    keep: Path | None = None,
) -> Iterator[Bed]:
    """A PostgreSQL of its own, our index and the bare ones with the same contacts.

    In folder `keep`, or gone afterwards. BadRequest where the folder holds another bed.
    """
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
        try:
            with _laid(folder, contacts_, engine, say, yardsticks) as made:
                yield made
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    say(f"the contacts stay in {keep}; remove it when they are no longer needed")
    with _laid(keep, contacts_, engine, say, yardsticks) as made:
        yield made


@contextmanager
def _laid(
    folder: Path, count: int, engine: str, say: Callable[[str], None], yardsticks: bool
) -> Iterator[Bed]:
    analyser = default_analyser()
    sealed = engine == "postgres"
    with ExitStack() as ends:
        parts = ends.enter_context(Parts(folder / "home", say=say))
        filled = _state(folder, Filled(count, _checksum(analyser)))
        urls = [parts.database_url.replace("/archive?", f"/{n}?") for n in ("bare", "own")]
        ensure_database(urls[0])
        keys = _keys(folder / "keys")
        index = open_index(folder / "index", keys, url=urls[1] if sealed else "")
        ends.enter_context(closing(index))
        bare = ends.enter_context(closing(BarePostgres(urls[0])))
        beside = _yardsticks(folder, analyser, sealed=sealed) if yardsticks else []
        for each in beside:
            ends.enter_context(closing(each))
        made = Bed(index, bare, analyser, filled, beside)
        if filled.done < count:
            _fill(made, folder, None if sealed else BareWhoosh(folder / "bare"), say)
        if not filled.whole:
            _finish(made, urls[1] if sealed else None, say)
            filled.whole = True
            _save(folder, filled)
        bare.ready()
        for each in beside:
            each.ready()
        yield made


def _state(folder: Path, new: Filled) -> Filled:
    try:
        found = Filled(**json.loads((folder / _STATE).read_bytes()))
    except FileNotFoundError:
        return new
    if (found.contacts, found.terms) != (new.contacts, new.terms):
        raise BadRequest(
            reason=f"{folder} was filled by another version or with another number of contacts;"
            " remove it, or name another one with --keep"
        )
    return found


def _save(folder: Path, filled: Filled) -> None:
    write_durably(folder / _STATE, json.dumps(asdict(filled)).encode())


def _checksum(analyser: Analyser) -> int:
    some = [document_terms(each, analyser) for each in itertools.islice(contacts(100), 3)]
    return crc32(json.dumps(some, sort_keys=True).encode())


def _keys(folder: Path) -> KeysDirectory:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "root.key"
    root = FileRootKey.load(path) if path.exists() else FileRootKey.create(path)
    return KeysDirectory(folder, root=root, cache_s=5)


def _yardsticks(folder: Path, analyser: Analyser, *, sealed: bool) -> list[Yardstick]:
    """Tantivy where it is installed, and our index unsealed (`sealed`: not that)."""
    fast = tantivy_at(folder / "tantivy", analyser)
    made: list[Yardstick] = [fast] if fast is not None else []
    if sealed:
        return made
    return [*made, Unsealed(folder / "plain", _keys(folder / "plain-keys"), analyser)]


def _fill(on: Bed, folder: Path, whoosh: BareWhoosh | None, say: Callable[[str], None]) -> None:
    """From where it stopped; a batch that was cut off is put once more, on every side."""
    filled = on.filled
    list(on.analyser.index_terms("sähkölaskusta"))  # the dictionaries are loaded
    made = itertools.islice(contacts(filled.contacts), filled.done, None)
    while batch := list(itertools.islice(made, BATCH)):
        terms = _put(on, batch)
        if whoosh is not None:
            filled.bare_whoosh_seconds += whoosh.put(terms)
        filled.done += len(batch)
        _save(folder, filled)
        if filled.done % (10 * BATCH) == 0:
            a_second = filled.done / filled.own_seconds
            say(f"{filled.done} of {filled.contacts} contacts, {a_second:.0f} a second")


def _put(on: Bed, batch: Sequence[Document]) -> list[tuple[Document, dict[str, list[str]]]]:
    for document in batch:  # word forms that were never met are looked up before the clock runs
        document_terms(document, on.analyser)
    began = time.perf_counter()
    terms = [(document, document_terms(document, on.analyser)) for document in batch]
    analysed = time.perf_counter()
    on.index.put(batch)
    on.filled.own_seconds += time.perf_counter() - analysed
    on.filled.analysis_seconds += analysed - began
    on.bare.put(terms)
    for yardstick in on.yardsticks:
        yardstick.put(terms)
    return terms


def _finish(on: Bed, own_url: str | None, say: Callable[[str], None]) -> None:
    say("putting the index together as every night, making the bare ones'")
    for month in on.index.to_rewrite():
        on.index.rewrite(month)
    if own_url is not None:
        with psycopg.connect(own_url, autocommit=True) as connection:
            connection.execute("vacuum analyze")  # as autovacuum does within a minute
    on.bare.finish()
    for yardstick in on.yardsticks:
        yardstick.finish()
