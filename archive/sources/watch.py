"""`archive watch DIR`: takes in what appears in a folder, once it is finished.

A file is finished when neither its size nor its time has changed for a while. It stays where it is
unless told otherwise; then it goes only after what was stored has been read back and is the same.
Names of files may hold numbers of people, so none is ever logged.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from archive import intake
from archive.archive import Archive, Receipt
from archive.errors import ArchiveError, BadFields, BadSetting, SourceMismatch, TooLarge
from archive.formats.mail import MailParser
from archive.model import Kind
from archive.sources import actors, cdr, cdr_files, folder, sidecars
from archive.sources.cdr_files import CdrFiles

POLL_S = 2.0
# A file without a byte, and metadata without a recording, are waited for so long: the other half
# may come late, and some recorders fill a file at the end.
EMPTY_S = 3600
ORPHAN = "metadata without a recording"
AWAY_S = 15  # between attempts while store or catalogue are away
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp")
_COUNTED: dict[type[Exception], str] = {
    folder.NotARecordingError: "not-a-recording",
    SourceMismatch: "other-source",
    BadFields: "bad-fields",
    TooLarge: "too-large",
}
_CHANGEABLE = frozenset({*intake.CORRECTABLE, "occurred_at"})

log = logging.getLogger("archive.watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What to watch. Times in seconds; `sidecar_s` is how long a call waits for its metadata.

    `delete` or `done`: what becomes of a file that is safe; `refused`: of one that was refused.
    """

    path: Path
    options: folder.Options
    settle_s: float = 10.0
    sidecar_s: float = 0.0
    delete: bool = False
    done: Path | None = None
    refused: Path | None = None

    def check(self) -> None:
        """BadSetting where files could not be put where they are to go."""
        if self.delete and self.done is not None:
            raise BadSetting(name="--delete", reason="a file cannot be both deleted and moved")
        for name, place in (("--done", self.done), ("--refused", self.refused)):
            if place is None:
                continue
            if not place.is_dir() or place.stat().st_dev != self.path.stat().st_dev:
                raise BadSetting(name=name, reason="expected a folder on the same file system")
            if place.resolve().is_relative_to(self.path.resolve()):
                raise BadSetting(name=name, reason="expected a folder outside the one watched")


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file and what lies beside it were when they were looked at."""

    size: int
    changed_ns: tuple[int, ...]

    @classmethod
    def at(cls, path: Path) -> _Look | None:
        try:
            found = path.stat()
            beside = [each.stat().st_mtime_ns for each in sidecars.beside(path)]
        except OSError:
            return None
        return cls(found.st_size, (found.st_mtime_ns, *beside))


class Watcher:
    """Watches one folder. One thread."""

    def __init__(
        self,
        archive: Archive,
        watching: Watching,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        watching.check()
        self._archive = archive
        self._actor = actors.of_source(watching.options.source)
        self._watching = watching
        self._monotonic = monotonic
        self._told = CdrFiles(archive, self._actor, watching.options.source)
        self._parser = MailParser(wall_s=archive.config.mail_seconds)
        self._seen: dict[Path, tuple[_Look, float]] = {}  # since when it is as it is
        self._over: dict[Path, _Look] = {}  # taken in or refused as it is

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; the file that is being taken in is finished."""
        with closing(self):
            self._run(stop)

    def close(self) -> None:
        """Ends the child that reads the times of .msg files; it starts again when one comes."""
        self._parser.close()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.look(stop)
            except ArchiveError as error:
                log.warning("%s; trying again", type(error).__name__)
                stop.wait(AWAY_S)
                continue
            except OSError as error:
                log.warning("folder not readable (%s); trying again", error.strerror)
            stop.wait(POLL_S)

    def look(self, stop: threading.Event | None = None) -> folder.Summary:
        """Takes in every file that is finished and was not yet. Raises where all must wait."""
        summary = folder.Summary()
        present = [path for path in folder.files([self._watching.path]) if _is_candidate(path)]
        for gone in self._seen.keys() - set(present):
            self._seen.pop(gone)
            self._over.pop(gone, None)
        for path in present:
            if stop is not None and stop.is_set():
                break
            look = self._finished(path)
            if look is None or self._over.get(path) == look:
                continue
            if cdr_files.is_cdr(path):
                self._tell(path, look, summary)
            elif _is_metadata(path):
                self._refuse(path, look, summary, folder.NotARecordingError(ORPHAN))
            else:
                self._take(path, look, summary)
        return summary

    def _finished(self, path: Path) -> _Look | None:
        """How the file is, if it is finished."""
        look, now = _Look.at(path), self._monotonic()
        if look is None:
            return None
        before, since = self._seen.get(path, (None, now))
        if before != look:
            self._seen[path] = (look, since := now)
        wait = self._watching.settle_s
        if not look.size or (_is_metadata(path) and not cdr_files.is_cdr(path)):
            wait = max(wait, EMPTY_S)
        if self._watching.sidecar_s and not sidecars.has_metadata(path) and _is_call(path):
            wait = max(wait, self._watching.sidecar_s)
        return look if now - since >= wait else None

    def _take(self, path: Path, look: _Look, summary: folder.Summary) -> None:
        try:
            receipts = [
                self._deliver(item)
                for item in folder.items(
                    path, self._watching.options, now=self._archive.now(), parser=self._parser
                )
            ]
        except (ArchiveError, folder.NotARecordingError) as error:
            if isinstance(error, ArchiveError) and error.status >= 500:
                raise
            self._refuse(path, look, summary, error)
            return
        except OSError:
            return  # gone or not readable now; looked at again
        left = [told for receipt in receipts for told in folder.not_kept(receipt)]
        if left:
            log.warning("%d files beside a recording were not understood", len(left))
            summary.left += [(str(path), told) for told in left]
        summary.new += sum(receipt.created for receipt in receipts)
        summary.known += sum(not receipt.created for receipt in receipts)
        if _Look.at(path) != look:
            log.warning("a file changed while it was read; it is taken again when it is finished")
            return
        for receipt in receipts:
            log.info("kept %s (%s)", receipt.id, "new" if receipt.created else "known")
        if (self._watching.delete or self._watching.done) and self._is_safe(path, receipts):
            self._away(path, self._watching.done)
        # Last, so that one which could not be read back now, the store being away, is tried again.
        self._over[path] = look

    def _tell(self, path: Path, look: _Look, summary: folder.Summary) -> None:
        """Metadata without their recording beside them: it may lie, or come, elsewhere."""
        try:
            summary.told += self._told.deliver(path)
        except cdr.NotACdrError:
            self._refuse(path, look, summary, folder.NotARecordingError(ORPHAN))
            return
        except OSError:
            return  # gone or not readable now; looked at again
        keeps = self._watching.delete or self._watching.done
        if keeps and not cdr_files.grows(path):  # Asterisk writes on to its own
            self._away(path, self._watching.done)
        self._over[path] = look

    def _deliver(self, item: folder.Item) -> Receipt:
        """Delivers one recording; metadata that came after it are added to what is there."""
        receipt = folder.deliver(self._archive, self._actor, item)
        late = {n: item.metadata[n] for n in receipt.ignored if n in _CHANGEABLE & item.beside}
        if late:
            self._archive.correct(self._actor, receipt.id, late)
        return receipt

    def _refuse(self, path: Path, look: _Look, summary: folder.Summary, error: Exception) -> None:
        reason = error.message if isinstance(error, ArchiveError) else str(error)
        summary.refused.append((str(path), reason))
        log.warning("a file was refused: %s", type(error).__name__)
        counted = _COUNTED.get(type(error))  # the others were counted where they arose
        if counted is not None:
            counted = "metadata-without-recording" if str(error) == ORPHAN else counted
            source = self._watching.options.source
            self._archive.note_refusal(self._actor, source=source, reason=counted)
        self._over[path] = look
        if self._watching.refused is not None:
            self._away(path, self._watching.refused)

    # -- what becomes of the file ------------------------------------------------------

    def _is_safe(self, path: Path, receipts: list[Receipt]) -> bool:
        """Whether what was stored reads back, and is what the file holds."""
        stored = [self._archive.read_back(self._actor, receipt.id) for receipt in receipts]
        if len(receipts) == 1:
            return stored[0] == _digest(path)
        return bool(receipts) and stored == [receipt.sha256 for receipt in receipts]

    def _away(self, path: Path, to: Path | None) -> None:
        """Deletes the file and its sidecar, or moves them under `to` with their folders."""
        for one in (*sidecars.beside(path), path):  # the recording last: it stands for both
            if to is None:
                one.unlink(missing_ok=True)
                continue
            place = to / one.relative_to(self._watching.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            while place.exists():  # never over another file
                place = place.with_name("again-" + place.name)
            one.rename(place)


def _is_candidate(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.lower().endswith(_UNFINISHED)


def _is_metadata(path: Path) -> bool:
    """Whether the file tells of a recording that is not there (else it would not be listed)."""
    return path.suffix.lower() in sidecars.SUFFIXES


def _is_call(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return folder.kind_of(path, file.read(folder.HEAD_BYTES)) is Kind.CALL
    except (OSError, folder.NotARecordingError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
