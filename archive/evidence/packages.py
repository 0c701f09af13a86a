"""Evidence packages as rows: asked for, built by a worker, ready for some days, ended.

A package is sealed under a key that opens only with the package's own key file and the data key
of every recording in it: whichever of these is destroyed ends it. Knows rows, keys and objects;
not what is in a package, nor who may ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, Engine, text

from archive import audit, catalogue, retention, seal
from archive.db import reading, transaction
from archive.evidence import ending
from archive.evidence.ziplayout import Part, PiecesReader, stream, total_bytes
from archive.model import Actor, Recording
from archive.vault import Vault

RENDITION = "evidence"
GIVE_UP_AFTER = 5
UNFINISHED = timedelta(days=2)  # as long a package may wait to be built
TELL_EVERY_BYTES = 8 * 1024 * 1024
_COLUMNS = """id, case_number, state, language, asked_by, asked_at, masked_originals, attempts,
    done_bytes, all_bytes, object_key, object_version, object_bytes, header_bytes, bytes, version,
    wrapped_key, with_pdf, reason, ready_at, expires_at,
    array(select recording_id from evidence_recording where evidence_id = evidence.id
        order by recording_id) as recordings"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One row. `reason` says why it failed, or ends; `bytes` is the ZIP's length once ready."""

    id: UUID
    case_number: str
    state: str
    language: str
    asked_by: str
    asked_at: datetime
    masked_originals: bool
    attempts: int
    done_bytes: int
    all_bytes: int
    object_key: str | None
    object_version: str | None
    object_bytes: int | None
    header_bytes: int | None
    bytes: int | None
    version: int | None
    wrapped_key: type_bytes | None
    with_pdf: bool | None
    reason: str | None
    ready_at: datetime | None
    expires_at: datetime
    recordings: tuple[UUID, ...]

    @property
    def percent(self) -> int:
        """How far building has come."""
        if self.state == "ready":
            return 100
        return min(99, self.done_bytes * 100 // self.all_bytes) if self.all_bytes else 0

    @property
    def file_name(self) -> str:
        """What the ZIP is called where it is saved."""
        return f"evidence-{self.case_number}-{self.asked_at:%Y%m%d}.zip"


type_bytes = bytes  # `bytes` is a field's name above


@dataclass(frozen=True, slots=True)
class Gone(Exception):
    """A recording of the package is not there any more, or may not be shown."""

    id: UUID


# -- asking and reading ----------------------------------------------------------------


def ask(
    connection: Connection,
    actor: Actor,
    *,
    number: str,
    recordings: Iterable[UUID],
    language: str,
    masked_originals: bool,
    now: datetime,
) -> UUID:
    """Asks for a package of these recordings of an open case."""
    id, chosen = uuid4(), sorted(recordings)
    connection.execute(
        text("""insert into evidence (id, case_number, state, language, asked_by, asked_at,
                masked_originals, next_attempt_at, expires_at)
            values (:id, :n, 'waiting', :language, :by, :now, :masked, :now, :until)"""),
        {
            "id": id, "n": number, "language": language, "by": actor.id, "now": now,
            "masked": masked_originals, "until": now + UNFINISHED,
        },
    )  # fmt: skip
    connection.execute(
        text("""insert into evidence_recording (evidence_id, recording_id)
            select :id, unnest(cast(:ids as uuid[]))"""),
        {"id": id, "ids": chosen},
    )
    audit.append(
        connection, at=now, actor=actor, verb="ask-evidence", case=number,
        detail={"package": str(id), "recordings": len(chosen)},
    )  # fmt: skip
    for recording in chosen:
        audit.append(
            connection, at=now, actor=actor, verb="put-in-evidence", recording_id=recording,
            purpose="complaint", case=number, detail={"package": str(id)},
        )  # fmt: skip
    return id


def of_case(connection: Connection, number: str) -> list[Package]:
    """The packages of a case, the newest at the top; none that are ending."""
    return _packages(connection, "case_number = :n and state <> 'ending'", {"n": number})


def several(connection: Connection) -> list[Package]:
    """Every package, the newest at the top."""
    return _packages(connection, "true", {})


def one(connection: Connection, id: UUID) -> Package | None:
    """The package, unless it is ending."""
    found = _packages(connection, "id = :id and state <> 'ending'", {"id": id})
    return found[0] if found else None


def _packages(
    connection: Connection, condition: str, values: Mapping[str, object]
) -> list[Package]:
    rows = connection.execute(
        text(f"select {_COLUMNS} from evidence where {condition} order by asked_at desc, id"),  # noqa: S608
        dict(values),
    ).mappings()
    return [
        Package(**{**row, "recordings": tuple(row["recordings"]),
                   "wrapped_key": _raw(row["wrapped_key"])})
        for row in rows
    ]  # fmt: skip


def _raw(value: object) -> bytes | None:
    return bytes(value) if value is not None else None  # type: ignore[call-overload]


# -- who may be in one -----------------------------------------------------------------


def may_stay(recording: Recording, number: str, now: datetime) -> bool:
    """Whether a recording may be in a package of the case now: as the case itself may see it."""
    if recording.erasing or recording.restricted:
        return False
    held = any(hold.case == number for hold in recording.held)
    return held or not recording.past_its_year(now)


def recordings_of(connection: Connection, package: Package, now: datetime) -> list[Recording]:
    """What is in the package, by time of contact. Gone names the first that may not stay."""
    rows = catalogue.get_many(connection, package.recordings)
    for id in package.recordings:
        if id not in rows or not may_stay(rows[id], package.case_number, now):
            raise Gone(id)
    return sorted(rows.values(), key=lambda r: (r.occurred_at, r.id))


# -- building --------------------------------------------------------------------------


def claim(connection: Connection, *, worker: int, lock_class: int, now: datetime) -> Package | None:
    """The next package to build, claimed: one that waits, or whose builder is dead.

    Its object is named in the row before anything is written there.
    """
    row = connection.execute(
        text("""select id, claimed_by from evidence
            where state in ('waiting', 'building') and next_attempt_at <= :now
            and (claimed_by is null or not exists (select from pg_locks
                where locktype = 'advisory' and classid = :class and objid = claimed_by
                and objsubid = 2 and granted and database = (
                    select oid from pg_database where datname = current_database())))
            order by asked_at, id for update skip locked limit 1"""),
        {"now": now, "class": lock_class},
    ).first()
    if row is None:
        return None
    connection.execute(
        text("""update evidence set state = 'building', claimed_by = :worker,
                attempts = attempts + 1, done_bytes = 0, all_bytes = 0,
                version = attempts + 1, object_key = :prefix || id || '.' || (attempts + 1)
            where id = :id"""),
        {"id": row.id, "worker": worker, "prefix": ending.PREFIX},
    )
    return one(connection, row.id)


def write(
    vault: Vault,
    engine: Engine,
    package: Package,
    recordings: Sequence[Recording],
    parts: Sequence[Part],
    *,
    worker: int,
    days: int,
    with_pdf: bool,
    now: Callable[[], datetime],
) -> bool:
    """Writes the ZIP of these parts, sealed, and makes the package ready.

    False where it was ended meanwhile: then nothing is left of it.
    """
    assert package.object_key is not None and package.version is not None
    content_key = os.urandom(seal.KEY)
    wrapped = seal.seal(
        _wrapping_key(vault, package.id, recordings, make=True), _context(package.id), content_key
    )
    until = now() + timedelta(days=days)
    envelope = seal.Envelope(
        id=package.id,
        cohort=retention.local(until).date(),
        rendition=RENDITION,
        version=package.version,
        seq=1,
        wrapped_key=wrapped,
        descriptor=None,
    )
    told = Progress(engine, package.id, whole=total_bytes(parts) * 2, done=total_bytes(parts))

    def counted() -> Iterable[bytes]:
        for piece in stream(parts):
            told(len(piece))
            yield piece

    written = vault.write(
        key=content_key,
        envelope=envelope,
        object_key=package.object_key,
        content=PiecesReader(iter(counted())),
    )
    with transaction(engine) as connection:
        done = connection.execute(
            text("""update evidence set state = 'ready', claimed_by = null, ready_at = :now,
                    expires_at = :until, object_version = :version, object_bytes = :object_bytes,
                    header_bytes = :header, bytes = :bytes, wrapped_key = :wrapped,
                    with_pdf = :pdf, done_bytes = all_bytes
                where id = :id and state = 'building' and claimed_by = :worker
                    and attempts = :attempts"""),
            {
                "now": now(), "until": until, "version": written.stored.version,
                "object_bytes": written.stored.bytes, "header": written.header_bytes,
                "bytes": written.plain_bytes, "wrapped": wrapped, "pdf": with_pdf,
                "id": package.id, "worker": worker, "attempts": package.attempts,
            },
        ).rowcount  # fmt: skip
        if done:
            audit.append(
                connection, at=now(), actor=ending.JOB, verb="make-evidence",
                case=package.case_number, detail={"package": str(package.id)},
            )  # fmt: skip
    if not done:
        vault.store.delete([package.object_key])
    return bool(done)


class Progress:
    """Tells the row how far the work has come, now and then."""

    def __init__(self, engine: Engine, id: UUID, *, whole: int, done: int = 0) -> None:
        self._engine, self._id, self._whole = engine, id, max(whole, 1)
        self._done, self._told = done, -TELL_EVERY_BYTES

    def __call__(self, n: int) -> None:
        """So many bytes more are done."""
        self._done += n
        if self._done - self._told < TELL_EVERY_BYTES:
            return
        self._told = self._done
        with transaction(self._engine) as connection:
            connection.execute(
                text("update evidence set done_bytes = :done, all_bytes = :whole where id = :id"),
                {"id": self._id, "done": min(self._done, self._whole), "whole": self._whole},
            )


def later(engine: Engine, package: Package, *, wait_s: float, counts: bool, now: datetime) -> None:
    """Gives a claimed package back, to be built again; for good after too many failures."""
    failed = counts and package.attempts >= GIVE_UP_AFTER
    with transaction(engine) as connection:
        connection.execute(
            text("""update evidence set claimed_by = null, state = :state, reason = :reason,
                    attempts = attempts - :back, next_attempt_at = :next
                where id = :id and state = 'building'"""),
            {
                "id": package.id, "state": "failed" if failed else "waiting",
                "reason": "unexpected" if failed else None, "back": 0 if counts else 1,
                "next": now + timedelta(seconds=wait_s),
            },
        )  # fmt: skip


def fail(engine: Engine, package: Package, reason: str) -> None:
    """A package that cannot be built as it was asked for."""
    with transaction(engine) as connection:
        connection.execute(
            text("""update evidence set state = 'failed', claimed_by = null, reason = :reason
                where id = :id and state = 'building'"""),
            {"id": package.id, "reason": reason},
        )


# -- opening ---------------------------------------------------------------------------


def reader(vault: Vault, package: Package, recordings: Sequence[Recording]) -> seal.SealedReader:
    """A random-access reader of the ZIP. KeyDestroyed, KeyMissing, SealBroken."""
    assert package.object_key and package.wrapped_key and package.version
    assert package.object_bytes is not None and package.header_bytes is not None
    object_key, version = package.object_key, package.object_version
    content_key = seal.unseal(
        _wrapping_key(vault, package.id, recordings, make=False),
        _context(package.id),
        package.wrapped_key,
    )

    def fetch(start: int, length: int) -> bytes:
        return vault.store.get(object_key, start=start, length=length, version=version)

    return seal.SealedReader(
        key=content_key,
        ctx=seal.content_context(package.id, RENDITION, package.version),
        fetch=fetch,
        stream_offset=package.header_bytes,
        stream_bytes=package.object_bytes - package.header_bytes - seal.TRAILER_BYTES,
    )


def _wrapping_key(vault: Vault, id: UUID, recordings: Sequence[Recording], *, make: bool) -> bytes:
    """Of the package's own key and the data key of each recording; no part can be lacking."""
    own = vault.keys.ensure(ending.key_name(id)) if make else vault.keys.get(ending.key_name(id))
    inside = sorted(recordings, key=lambda r: r.id)
    together = own + b"".join(vault.data_key(recording) for recording in inside)
    info = seal.context("evidence-wrapping", str(id), *(str(r.id) for r in inside))
    return HKDF(SHA256(), seal.KEY, salt=None, info=info).derive(together)


def _context(id: UUID) -> bytes:
    return seal.context("evidence-key", str(id))


# -- tidying ---------------------------------------------------------------------------


def tidy(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Ends what is over: by its days, by a recording that is gone, or half ended; how many.

    Objects of packages that no row names go too: a row names its object before it is written.
    """
    with reading(engine) as connection:
        found = several(connection)
        over = [(each.id, reason) for each in found if (reason := _over(connection, each, now))]
    ended = sum(ending.end(vault, engine, id, reason=reason, now=now) for id, reason in over)
    _sweep(vault, engine)
    return ended


def _over(connection: Connection, package: Package, now: datetime) -> str | None:
    if package.state == "ending":
        return package.reason or "deleted"
    if package.expires_at <= now:
        return "expired"
    try:
        recordings_of(connection, package, now)
    except Gone:
        return "recording-gone"
    return None


def _sweep(vault: Vault, engine: Engine) -> None:
    there = [each.key for each in vault.store.list(ending.PREFIX)]
    if not there:
        return
    with reading(engine) as connection:
        named = {each.object_key for each in several(connection)}
    vault.store.delete([key for key in there if key not in named])
