"""What is asked in `archive bench search`: indexes filled with the same invented contacts.

A bed in a temporary folder is gone after its run. One that is kept is filled once: a run that
was cut off goes on where it stopped, the next one asks at once.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import multiprocessing.connection
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
from archive.errors import BadRequest, PartFailed
from archive.keyring.roots import FileRootKey
from archive.keys import KeysDirectory
from archive.model import Document
from archive.search import Index, open_index
from archive.search.finnish import Analyser, default_analyser
from archive.search.sealed_storage import write_durably
from archive.search.terms import document_terms

BATCH = 1_000
SAID = 10 * BATCH  # contacts from one word of progress to the next
LARGE = 1_000_000  # contacts; from here on a bed is kept unless told where
WRITERS = {"whoosh": 1, "postgres": 2}  # the first by the clock, beside Whoosh's own
_STATE, _SHARE = "bed.json", "share-{}.json"


@dataclass(slots=True)
class Share:
    """What one writer fills, how far it is and what it took; beside the bed as JSON."""

    first: int  # of the contacts, in their order
    last: int  # the first that is not its own
    done: int = 0
    own_seconds: float = 0.0  # of putting, analysis included
    analysis_seconds: float = 0.0
    bare_whoosh_seconds: float = 0.0

    @property
    def is_full(self) -> bool:
        """Whether nothing of it is left to be put."""
        return self.first + self.done >= self.last


@dataclass(slots=True)
class Filled:
    """What a bed holds; beside it as JSON."""

    contacts: int
    terms: int  # of the first contacts, as a checksum: another analyser needs another bed
    shares: int
    whole: bool = False  # put together as by night, with the bare sides' indexes


@dataclass(slots=True)
class Bed:
    """Everything that is measured, filled."""

    index: Index
    bare: BarePostgres
    analyser: Analyser
    shares: Sequence[Share]
    yardsticks: Sequence[Yardstick] = ()

    def a_second(self, what: str) -> float | None:
        """Contacts a second of `what` ("own", "analysis", "bare_whoosh"), all writers together.

        None where it was not measured.
        """
        seconds: list[float] = [getattr(share, f"{what}_seconds") for share in self.shares]
        if not all(seconds):
            return None
        return sum(s.done / taken for s, taken in zip(self.shares, seconds, strict=True))


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
    with ExitStack() as ends:
        parts = ends.enter_context(Parts(folder / "home", say=say))
        filled = _state(folder, Filled(count, _checksum(analyser), WRITERS[engine]))
        sites = _Sites(folder, parts.database_url, engine)
        ensure_database(sites.bare_url)
        beside = _yardsticks(folder, analyser, engine) if yardsticks else []
        for each in beside:
            ends.enter_context(closing(each))
        bare = ends.enter_context(closing(BarePostgres(sites.bare_url)))
        if engine == "postgres":
            _fill_together(sites, filled, say)
        index = ends.enter_context(closing(sites.index()))
        made = Bed(index, bare, analyser, _shares(folder, filled), beside)
        if engine == "whoosh":
            _fill_by_the_clock(made, folder, say)
        if not filled.whole:
            _finish(made, sites, say)
            filled.whole = True
            _save(folder / _STATE, filled)
        bare.ready()
        for each in beside:
            each.ready()
        yield made


@dataclass(frozen=True, slots=True)
class _Sites:
    """Where a bed's parts are; for its writers' processes too."""

    folder: Path
    database_url: str
    engine: str

    @property
    def bare_url(self) -> str:
        return self.database_url.replace("/archive?", "/bare?")

    @property
    def own_url(self) -> str:
        return self.database_url.replace("/archive?", "/own?") if self.engine == "postgres" else ""

    def index(self) -> Index:
        return open_index(self.folder / "index", _keys(self.folder / "keys"), url=self.own_url)


def _state(folder: Path, new: Filled) -> Filled:
    try:
        found = Filled(**json.loads((folder / _STATE).read_bytes()))
    except FileNotFoundError:
        _save(folder / _STATE, new)
        return new
    if (found.contacts, found.terms) != (new.contacts, new.terms):
        raise BadRequest(
            reason=f"{folder} was filled by another version or with another number of contacts;"
            " remove it, or name another one with --keep"
        )
    return found


def _share(folder: Path, filled: Filled, number: int) -> Share:
    try:
        return Share(**json.loads((folder / _SHARE.format(number)).read_bytes()))
    except FileNotFoundError:
        edges = [filled.contacts * n // filled.shares for n in (number, number + 1)]
        return Share(*edges)


def _shares(folder: Path, filled: Filled) -> list[Share]:
    return [_share(folder, filled, number) for number in range(filled.shares)]


def _save(path: Path, state: Share | Filled) -> None:
    write_durably(path, json.dumps(asdict(state)).encode())


def _checksum(analyser: Analyser) -> int:
    some = [document_terms(each, analyser) for each in itertools.islice(contacts(100), 3)]
    return crc32(json.dumps(some, sort_keys=True).encode())


def _keys(folder: Path) -> KeysDirectory:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "root.key"
    root = FileRootKey.load(path) if path.exists() else FileRootKey.create(path)
    return KeysDirectory(folder, root=root, cache_s=5)


def _yardsticks(folder: Path, analyser: Analyser, engine: str) -> list[Yardstick]:
    """Tantivy where it is installed, and Whoosh's index unsealed."""
    fast = tantivy_at(folder / "tantivy", analyser)
    made: list[Yardstick] = [fast] if fast is not None else []
    if engine == "postgres":
        return made
    return [*made, Unsealed(folder / "plain", _keys(folder / "plain-keys"), analyser)]


def _batches(share: Share, count: int) -> Iterator[list[Document]]:
    """From where it stopped; a batch that was cut off is put once more, on every side."""
    if share.is_full:
        return
    made = itertools.islice(contacts(count), share.first + share.done, share.last)
    while batch := list(itertools.islice(made, BATCH)):
        yield batch


# -- one writer, by the clock ------------------------------------------------------------


def _fill_by_the_clock(on: Bed, folder: Path, say: Callable[[str], None]) -> None:
    (share,) = on.shares
    whoosh = BareWhoosh(folder / "bare")
    list(on.analyser.index_terms("sähkölaskusta"))  # the dictionaries are loaded
    for batch in _batches(share, share.last):
        terms = _put(on, share, batch)
        share.bare_whoosh_seconds += whoosh.put(terms)
        share.done += len(batch)
        _save(folder / _SHARE.format(0), share)
        if share.done % SAID == 0:
            a_second = share.done / share.own_seconds
            say(f"{share.done} of {share.last} contacts, {a_second:.0f} a second")


def _put(
    on: Bed, share: Share, batch: Sequence[Document]
) -> list[tuple[Document, dict[str, list[str]]]]:
    for document in batch:  # word forms that were never met are looked up before the clock runs
        document_terms(document, on.analyser)
    began = time.perf_counter()
    terms = [(document, document_terms(document, on.analyser)) for document in batch]
    analysed = time.perf_counter()
    on.index.put(batch)
    share.own_seconds += time.perf_counter() - analysed
    share.analysis_seconds += analysed - began
    on.bare.put(terms)
    for yardstick in on.yardsticks:
        yardstick.put(batch)
    return terms


# -- several writers ---------------------------------------------------------------------


def _fill_together(sites: _Sites, filled: Filled, say: Callable[[str], None]) -> None:
    """A process for each share that is not full. PartFailed where one ends before it is."""
    processes = multiprocessing.get_context("spawn")
    writers = [
        processes.Process(target=_fill_share, args=(sites, filled, number), daemon=True)
        for number, share in enumerate(_shares(sites.folder, filled))
        if not share.is_full
    ]
    for writer in writers:
        writer.start()
    said = -1
    while any(writer.is_alive() for writer in writers):
        multiprocessing.connection.wait([writer.sentinel for writer in writers], timeout=5)
        done = sum(share.done for share in _shares(sites.folder, filled))
        if done // SAID > said:
            said = done // SAID
            say(f"{done} of {filled.contacts} contacts")
        if any(writer.exitcode for writer in writers):
            break
    for writer in writers:
        writer.terminate()
    if not all(share.is_full for share in _shares(sites.folder, filled)):
        raise PartFailed(part="a writer of the benchmark", reason="it ended; see above")


def _fill_share(sites: _Sites, filled: Filled, number: int) -> None:
    share, analyser = _share(sites.folder, filled, number), default_analyser()
    with closing(sites.index()) as index, closing(BarePostgres(sites.bare_url)) as bare:
        for batch in _batches(share, filled.contacts):
            began = time.perf_counter()
            index.put(batch)
            share.own_seconds += time.perf_counter() - began
            bare.put([(document, document_terms(document, analyser)) for document in batch])
            share.done += len(batch)
            _save(sites.folder / _SHARE.format(number), share)


# -- when everything is in ---------------------------------------------------------------


def _finish(on: Bed, sites: _Sites, say: Callable[[str], None]) -> None:
    say("putting the index together as every night, making the bare ones'")
    for month in on.index.to_rewrite():
        on.index.rewrite(month)
    if sites.own_url:
        with psycopg.connect(sites.own_url, autocommit=True) as connection:
            connection.execute("vacuum analyze")  # as autovacuum does within a minute
    on.bare.finish()
    for yardstick in on.yardsticks:
        yardstick.finish(on.bare)
