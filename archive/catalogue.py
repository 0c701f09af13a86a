"""The truth about recordings: rows in, model types out. The only SQL about them.

The transaction is an argument. Knows no keys: descriptors and descriptions pass through sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, RowMapping, text

from archive.db import reading
from archive.model import Direction, HeldKey, Kind, Recording, Rendition, State, StoredRendition

_COLUMNS = """id, kind, state, source, line, direction, occurred_at, received_at, expires_at,
    cohort, bytes, object_key, object_version, object_bytes, header_bytes, envelope_seq,
    envelope_key, reference, wrapped_key, descriptor, description, index_due, attempts, error_code,
    restricted, erasing_at is not null as erasing,
    (select json_agg(json_build_array(key, case_number, hold.cohort, encode(wrapped, 'hex'))
        order by placed_at) from hold
        where recording_id = recording.id and durable_at is not null) as held"""
_RENDITION_COLUMNS = """recording_id, name, version, object_key, object_version, object_bytes,
    header_bytes, bytes, media_type"""


class Added(StrEnum):
    """What became of an attempt to add a recording."""

    STORED = "stored"
    KNOWN = "known"  # the reference is there already
    ERASED = "erased"  # the reference was erased early and is remembered
    CLOSED = "closed"  # its cohort has expired in the meantime


# -- recordings ------------------------------------------------------------------------

# Intake's own two statements, for a plain driver connection (db.quick).
_ADD = """
        with day as (
            select day from cohort where day = %(cohort)s and closed_at is null for share
        )
        insert into recording (id, kind, state, source, line, direction, occurred_at,
            received_at, expires_at, cohort, bytes, object_key, object_version, object_bytes,
            header_bytes, envelope_seq, envelope_key, reference, wrapped_key, descriptor,
            next_attempt_at, index_next_at)
        select %(id)s, %(kind)s, %(state)s, %(source)s, %(line)s, %(direction)s,
            %(occurred_at)s, %(received_at)s, %(expires_at)s, %(cohort)s, %(bytes)s,
            %(object_key)s, %(object_version)s, %(object_bytes)s, %(header_bytes)s,
            %(envelope_seq)s, %(envelope_key)s, %(reference)s, %(wrapped_key)s,
            %(descriptor)s, %(now)s, %(now)s
        from day
        where not exists (
            select 1 from erased_reference where reference = %(reference)s and until > %(now)s)
        on conflict (reference) do nothing
        returning id"""
# What is held may come back (into a rebuilt catalogue) to a day that is closed.
_ADD_HELD = _ADD.replace("%(cohort)s and closed_at is null for share", "%(cohort)s for share")
_IS_ERASED = "select 1 from erased_reference where reference = %(r)s and until > %(now)s"
_IS_KNOWN = "select 1 from recording where reference = %(r)s"
_BY_REFERENCE = text(f"select {_COLUMNS} from recording where reference = :r")  # noqa: S608
_GET = text(f"select {_COLUMNS} from recording where id = :id")  # noqa: S608


def ensure_cohort(connection: Connection, day: date) -> None:
    """Makes the cohort's row if it is not there."""
    connection.execute(
        text("insert into cohort (day) values (:day) on conflict do nothing"), {"day": day}
    )


def add(
    connection: psycopg.Connection[Any],
    recording: Recording,
    *,
    now: datetime,
    held: bool = False,
) -> Added:
    """Inserts the row: the commit point of intake.

    One statement, so that it can stand in autocommit. It takes the cohort's row in shared mode;
    the expiry run takes it exclusively, so a cohort is never closed under a row being added.
    What is `held` comes back to a closed day too.
    """
    statement = _ADD_HELD if held else _ADD
    if connection.execute(statement, _values(recording) | {"now": now}).fetchone() is not None:
        return Added.STORED
    known = {"r": recording.reference, "now": now}
    if is_known(connection, recording.reference):
        return Added.KNOWN
    if connection.execute(_IS_ERASED, known).fetchone() is not None:
        return Added.ERASED
    return Added.CLOSED


def is_known(connection: psycopg.Connection[Any], reference: bytes) -> bool:
    """Whether a recording has this reference digest."""
    return connection.execute(_IS_KNOWN, {"r": reference}).fetchone() is not None


def get(connection: Connection, id: UUID, *, lock: bool = False) -> Recording | None:
    """The row, whether expired or not; `lock` holds it until the transaction ends."""
    if lock:
        # A statement of its own: one that waits for a row gives back the row as it is now, but
        # its holds as they were before the wait.
        connection.execute(text("select from recording where id = :id for update"), {"id": id})
    row = connection.execute(_GET, {"id": id}).mappings().first()
    return _recording(row) if row else None


def get_many(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Recording]:
    """The rows that exist among `ids`."""
    rows = connection.execute(
        text(f"select {_COLUMNS} from recording where id = any(:ids)"),  # noqa: S608
        {"ids": list(ids)},
    ).mappings()
    return {row["id"]: _recording(row) for row in rows}


def by_reference(connection: Connection, reference: bytes) -> Recording | None:
    """The recording known by this reference digest."""
    row = connection.execute(_BY_REFERENCE, {"r": reference}).mappings().first()
    return _recording(row) if row else None


def browse(
    connection: Connection,
    *,
    now: datetime,
    kind: Kind | None,
    lines: Iterable[str] | None,
    from_: datetime | None,
    to: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Recording]:
    """Live recordings newest first, strictly after the cursor."""
    conditions, values = _browse_conditions(
        now=now, kind=kind, lines=lines, from_=from_, to=to, after=after
    )
    rows = connection.execute(
        text(
            f"select {_COLUMNS} from recording where {conditions} "  # noqa: S608
            "order by occurred_at desc, id desc limit :limit"
        ),
        values | {"limit": limit},
    ).mappings()
    return [_recording(row) for row in rows]


def _browse_conditions(
    *,
    now: datetime,
    kind: Kind | None,
    lines: Iterable[str] | None,
    from_: datetime | None,
    to: datetime | None,
    after: tuple[datetime, UUID] | None,
) -> tuple[str, dict[str, Any]]:
    conditions = ["expires_at > :now", "not restricted", "erasing_at is null"]
    values: dict[str, Any] = {"now": now}
    optional: list[tuple[str, str, Any]] = [
        ("kind = :kind", "kind", kind.value if kind else None),
        ("line = any(:lines)", "lines", sorted(lines) if lines is not None else None),
        ("occurred_at >= :from_", "from_", from_),
        ("occurred_at < :to", "to", to),
    ]
    for condition, name, value in optional:
        if value is not None:
            conditions.append(condition)
            values[name] = value
    if after is not None:
        conditions.append("(occurred_at, id) < (:after_at, :after_id)")
        values |= {"after_at": after[0], "after_id": after[1]}
    return " and ".join(conditions), values


def change(connection: Connection, id: UUID, **columns: Any) -> None:
    """Sets columns of one recording."""
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    connection.execute(
        text(f"update recording set {sets} where id = :id"),  # noqa: S608
        {"id": id} | {name: _plain(value) for name, value in columns.items()},
    )


# -- the queue: the row's own state ----------------------------------------------------


def claim_to_describe(connection: Connection, *, now: datetime, worker: int) -> Recording | None:
    """Takes one recording that waits to be described; another worker never gets it meanwhile."""
    row = (
        connection.execute(
            text(f"""
        update recording set claimed_by = :worker, attempts = attempts + 1
        where id = (
            select id from recording
            where state = 'received' and claimed_by is null
              and next_attempt_at <= :now and erasing_at is null
              and (expires_at > :now or exists (select from hold where recording_id = recording.id))
            order by next_attempt_at for update skip locked limit 1)
        returning {_COLUMNS}"""),  # noqa: S608
            {"now": now, "worker": worker},
        )
        .mappings()
        .first()
    )
    return _recording(row) if row else None


def describe_again(connection: Connection, id: UUID, *, now: datetime) -> list[str]:
    """Puts a recording back in the queue without what was made of it; the keys of those objects.

    What came from its sender, a transcript or SIPREC metadata, stays.

    Who is describing it at this moment gives up: the envelope is another one.
    """
    change(connection, id, state="received", claimed_by=None, attempts=0, next_attempt_at=now)
    rows = connection.execute(
        text("""delete from rendition where recording_id = :id and name <> all(:given)
            returning object_key"""),
        {"id": id, "given": [Rendition.TRANSCRIPT.value, Rendition.SIPREC.value]},
    )
    return list(rows.scalars())


def release_dead_claims(connection: Connection, *, lock_class: int, now: datetime, but: int) -> int:
    """Frees the recordings of workers that are gone (their advisory lock is free).

    `but` is the caller's own number, whose lock it could take a second time.
    """
    workers = (
        connection.execute(
            text(
                "select distinct claimed_by from recording "
                "where claimed_by is not null and claimed_by <> :but"
            ),
            {"but": but},
        )
        .scalars()
        .all()
    )
    freed = 0
    for worker in workers:
        gone = connection.execute(
            text("select pg_try_advisory_xact_lock(:c, :w)"), {"c": lock_class, "w": worker}
        ).scalar()
        if gone:
            freed += connection.execute(
                text(
                    "update recording set claimed_by = null, next_attempt_at = :now "
                    "where claimed_by = :w"
                ),
                {"w": worker, "now": now},
            ).rowcount
    return freed


_LATEST = 2000  # of what waits for the index: among them arrivals are looked for


def to_index(connection: Connection, *, now: datetime, limit: int) -> list[Recording]:
    """Recordings whose content the index lacks or should lack.

    Half of them are those that wait longest, half the latest, of which those come first that the
    index knows nothing of: an arrival is found within seconds although a month is being made
    anew, or many are indexed again because they were described.
    """
    due = """index_due and index_next_at <= :now and erasing_at is null
        and (expires_at > :now or exists (select from hold where recording_id = recording.id))
        and state <> 'index-failed'"""

    def waiting(order: str, most: int) -> list[Recording]:
        rows = connection.execute(
            text(f"""select {_COLUMNS} from recording where {due}
                order by index_next_at {order} limit :most"""),  # noqa: S608
            {"now": now, "most": most},
        ).mappings()
        return [_recording(row) for row in rows]

    def arrived(most: int) -> list[Recording]:
        rows = connection.execute(
            text(f"""select {_COLUMNS} from recording where id in (
                select id from (select id, index_month, index_next_at from recording where {due}
                    order by index_next_at desc limit :latest) latest
                where index_month is null order by index_next_at desc limit :most)"""),  # noqa: S608
            {"now": now, "most": most, "latest": _LATEST},
        ).mappings()
        return [_recording(row) for row in rows]

    longest = waiting("asc", limit)
    if len(longest) < limit:
        return longest
    half = limit - limit // 2
    found = {r.id: r for r in [*longest[: limit // 2], *arrived(half)]}
    for one in waiting("desc", half):
        if len(found) >= limit:
            break
        found[one.id] = one
    return list(found.values())


def indexed(connection: Connection, done: Sequence[tuple[Recording, str | None]]) -> None:
    """Notes that the index holds these as they were when read, in a month (None: lacks it).

    A row that moved on meanwhile (described or restricted between reading and now) stays due.
    One statement for all: an arrival waits for as many answers as there are statements.
    """
    connection.execute(
        text("""update recording set index_due = false, index_month = done.month,
                state = done.new, index_attempts = 0
            from unnest(cast(:ids as uuid[]), cast(:months as text[]), cast(:news as text[]),
                    cast(:olds as text[]), cast(:seqs as int[]), cast(:restricted as bool[]))
                as done (id, month, new, old, seq, restricted)
            where recording.id = done.id and recording.state = done.old
              and recording.envelope_seq = done.seq
              and recording.restricted = done.restricted"""),
        {
            "ids": [recording.id for recording, _ in done],
            "months": [month for _, month in done],
            "news": [
                (State.INDEXED if one.state is State.DESCRIBED else one.state).value
                for one, _ in done
            ],
            "olds": [recording.state.value for recording, _ in done],
            "seqs": [recording.envelope_seq for recording, _ in done],
            "restricted": [recording.restricted for recording, _ in done],
        },
    )


def index_failed(
    connection: Connection, ids: Sequence[UUID], *, next_at: datetime, give_up_after: int
) -> None:
    """Notes a failed attempt to index; after `give_up_after` of them the row is marked failed."""
    connection.execute(
        text("""update recording set index_attempts = index_attempts + 1, index_next_at = :next,
                state = case when index_attempts + 1 >= :most then 'index-failed' else state end,
                error_code = case when index_attempts + 1 >= :most then 'index' else error_code end
            where id = any(:ids)"""),
        {"ids": list(ids), "next": next_at, "most": give_up_after},
    )


def index_months(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """In which month's index each of the recordings was last written, or may have been.

    A crash can leave a document in the month of contact before the row says so.
    """
    rows = connection.execute(
        text(
            "select id, coalesce(index_month, to_char(occurred_at at time zone 'UTC', 'YYYY-MM')) "
            "as index_month from recording where id = any(:ids)"
        ),
        {"ids": list(ids)},
    )
    return {row.id: row.index_month for row in rows}


def reindex(connection: Connection, *, month: str | None, now: datetime) -> int:
    """Makes every recording of a month of contact (all: None) due for the index again."""
    condition = "to_char(occurred_at at time zone 'UTC', 'YYYY-MM') = :month" if month else "true"
    return connection.execute(
        text(f"""update recording set index_due = true, index_next_at = :now,
                index_attempts = 0,
                state = case when state = 'index-failed' then 'described' else state end
            where {condition}"""),  # noqa: S608
        {"now": now} | ({"month": month} if month else {}),
    ).rowcount


def note_month(connection: Connection, what: str, month: str) -> None:
    """Notes an index month for the worker: "rewrite" after an erasure, others see `mending`."""
    connection.execute(
        text("insert into installation (name, value) values (:n, '') on conflict do nothing"),
        {"n": f"index/{what}/{month}"},
    )


def take_months(connection: Connection, what: str) -> list[str]:
    """The months noted as `what`, which are thereby no longer noted."""
    rows = connection.execute(
        text("delete from installation where name like :n returning name"),
        {"n": f"index/{what}/%"},
    ).scalars()
    return sorted(name.rpartition("/")[2] for name in rows)


def queue_lengths(connection: Connection) -> dict[str, int]:
    """How many recordings wait to be described and to be indexed, and how many failed."""
    row = connection.execute(
        text("""select count(*) filter (where state = 'received') as describe,
                count(*) filter (where index_due and state <> 'index-failed') as index,
                count(*) filter (where state in ('describe-failed', 'index-failed')) as failed
            from recording
            where state <> 'indexed' or index_due""")
    ).one()
    return {"describe": row.describe, "index": row.index, "failed": row.failed}


# -- renditions ------------------------------------------------------------------------


def put_rendition(connection: Connection, rendition: StoredRendition) -> StoredRendition | None:
    """Adds or replaces a rendition's row; the one replaced, whose object is now unreferenced."""
    old = get_rendition(connection, rendition.recording_id, rendition.name)
    connection.execute(
        text("""insert into rendition (recording_id, name, version, object_key, object_version,
                object_bytes, header_bytes, bytes, media_type)
            values (:recording_id, :name, :version, :object_key, :object_version,
                :object_bytes, :header_bytes, :bytes, :media_type)
            on conflict (recording_id, name) do update set version = excluded.version,
                object_key = excluded.object_key, object_version = excluded.object_version,
                object_bytes = excluded.object_bytes, header_bytes = excluded.header_bytes,
                bytes = excluded.bytes, media_type = excluded.media_type"""),
        {name: getattr(rendition, name) for name in rendition.__slots__},
    )
    return old


def get_rendition(connection: Connection, id: UUID, name: str) -> StoredRendition | None:
    """One rendition of a recording."""
    row = (
        connection.execute(
            text(
                f"select {_RENDITION_COLUMNS} from rendition "  # noqa: S608
                "where recording_id = :id and name = :name"
            ),
            {"id": id, "name": name},
        )
        .mappings()
        .first()
    )
    return StoredRendition(**row) if row else None


def renditions(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[StoredRendition]]:
    """The renditions of each of the recordings."""
    found: dict[UUID, list[StoredRendition]] = {id: [] for id in ids}
    rows = connection.execute(
        text(
            f"select {_RENDITION_COLUMNS} from rendition "  # noqa: S608
            "where recording_id = any(:ids) order by name"
        ),
        {"ids": list(ids)},
    ).mappings()
    for row in rows:
        found[row["recording_id"]].append(StoredRendition(**row))
    return found


# -- cases -----------------------------------------------------------------------------


def open_case(
    connection: Connection, *, number: str, about: bytes | None, by: str, now: datetime
) -> bool:
    """Adds a case; False when the number is taken."""
    return bool(
        connection.execute(
            text("""insert into complaint_case (number, about, opened_by, opened_at)
                values (:number, :about, :by, :now)
                on conflict do nothing returning number"""),
            {"number": number, "about": about, "by": by, "now": now},
        ).first()
    )


def next_case_number(connection: Connection, year: int) -> str:
    """The number after the highest of the year, YYYY-NNNNN."""
    highest = connection.execute(
        text("select max(number) from complaint_case where number like :year"),
        {"year": f"{year}-_____"},
    ).scalar()
    return f"{year}-{(int(highest[5:]) if highest else 0) + 1:05d}"


def is_open_case(connection: Connection, number: str, *, lock: bool = False) -> bool:
    """Whether the case exists and is not closed; `lock` keeps it so until the transaction ends."""
    statement = "select 1 from complaint_case where number = :n and closed_at is null"
    return bool(connection.execute(text(statement + " for share" * lock), {"n": number}).first())


def is_closed_case(connection: Connection, number: str) -> bool:
    """Whether the case exists and is closed."""
    return bool(
        connection.execute(
            text("select 1 from complaint_case where number = :n and closed_at is not null"),
            {"n": number},
        ).first()
    )


def add_to_case(connection: Connection, *, number: str, id: UUID, by: str, now: datetime) -> None:
    """Links a recording to a case; linking twice is one link."""
    connection.execute(
        text("""insert into case_recording (case_number, recording_id, added_by, added_at)
            values (:number, :id, :by, :now) on conflict do nothing"""),
        {"number": number, "id": id, "by": by, "now": now},
    )


def is_in_case(connection: Connection, *, number: str, id: UUID) -> bool:
    """Whether the recording was added to the case and the case is open."""
    return bool(
        connection.execute(
            text("""select 1 from case_recording join complaint_case on number = case_number
                where case_number = :n and recording_id = :id and closed_at is null"""),
            {"n": number, "id": id},
        ).first()
    )


# -- counting what was refused ---------------------------------------------------------


def count_refusal(connection: Connection, *, source: str, reason: str, now: datetime) -> None:
    """Adds one to the source's count of refusals of this kind today (UTC)."""
    connection.execute(
        text("""insert into refusal (day, source, reason, n, last_at)
            values (:day, :source, :reason, 1, :now)
            on conflict (day, source, reason) do update
                set n = refusal.n + 1, last_at = excluded.last_at"""),
        {"day": now.date(), "source": source, "reason": reason, "now": now},
    )


def refusals(connection: Connection, *, since: date) -> list[dict[str, Any]]:
    """Day, source, reason and count of what was refused."""
    rows = connection.execute(
        text(
            "select day, source, reason, n from refusal where day >= :since "
            "order by day desc, source, reason"
        ),
        {"since": since},
    )
    return [dict(row._mapping) for row in rows]


# -- every object and every row, for verification --------------------------------------


def object_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Which of the object keys a row names."""
    rows = connection.execute(
        text("""select object_key from recording where object_key = any(:keys)
            union all select envelope_key from recording where envelope_key = any(:keys)
            union all select object_key from rendition where object_key = any(:keys)
            union all select object_key from hold where object_key = any(:keys)"""),
        {"keys": list(keys)},
    )
    return set(rows.scalars())


def known(connection: Connection, ids: Sequence[UUID]) -> tuple[set[UUID], set[UUID]]:
    """Which of the ids have a row, and which are known to have been erased or to have expired."""
    living = text("select id from recording where id = any(:ids)")
    gone = text("select id from expired where id = any(:ids)")
    return (
        set(connection.execute(living, {"ids": list(ids)}).scalars()),
        set(connection.execute(gone, {"ids": list(ids)}).scalars()),
    )


def pages(engine: Engine, *, size: int = 200) -> Iterator[list[Recording]]:
    """All recordings by id, a page at a time; each is read when it is asked for."""
    after: UUID | None = None
    while True:
        with reading(engine) as connection:
            rows = walk(connection, after=after, limit=size)
        if not rows:
            return
        after = rows[-1].id
        yield rows


def walk(connection: Connection, *, after: UUID | None, limit: int) -> list[Recording]:
    """Recordings by id, so many behind one of them."""
    rows = connection.execute(
        text(
            f"select {_COLUMNS} from recording "  # noqa: S608
            "where cast(:after as uuid) is null or id > :after order by id limit :limit"
        ),
        {"after": after, "limit": limit},
    ).mappings()
    return [_recording(row) for row in rows]


def _values(recording: Recording) -> dict[str, Any]:
    derived = {"restricted", "erasing", "held"}
    return {
        name: _plain(getattr(recording, name))
        for name in recording.__slots__
        if name not in derived
    }


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _recording(row: RowMapping) -> Recording:
    values = dict(row)
    values["kind"] = Kind(values["kind"])
    values["state"] = State(values["state"])
    values["direction"] = Direction(values["direction"])
    for name in ("reference", "wrapped_key", "descriptor", "description"):
        if values[name] is not None:
            values[name] = bytes(values[name])
    values["held"] = tuple(
        HeldKey(key, case, date.fromisoformat(cohort), bytes.fromhex(wrapped))
        for key, case, cohort, wrapped in values["held"] or ()
    )
    return Recording(**values)
