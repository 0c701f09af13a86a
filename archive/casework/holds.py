"""Holds for complaint cases (GDPR 17(3)(e)) and restrictions (18): what outlives its year, and why.

A hold is the data key wrapped once more, under a key of its own, in an envelope object beside
the original. It counts from the moment that object is durable; until then the day's key is not
destroyed. Knows rows, keys and envelopes of holds; not who may ask for one, nor expiry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, RowMapping, text

from archive import audit, catalogue, seal
from archive import keys as keyring
from archive.casework import notices
from archive.db import transaction
from archive.errors import (
    AlreadyHeld,
    ArchiveError,
    CaseRequired,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    RootKeyAway,
    SealBroken,
    SecondPersonNeeded,
    StoreUnavailable,
)
from archive.model import Actor, Hold, Recording
from archive.storage import Stored
from archive.vault import Vault, hold_object_key

BASIS = "GDPR 17(3)(e)"  # establishment, exercise or defence of legal claims
FOLDER = "hold"
RESTRICTION = "restriction"  # stands in a key's name where a hold has its case
RENDITION = "hold"
JOB = Actor(id="expiry", name="expiry", kind="system", group=None, scopes=frozenset(), session=b"")

_COLUMNS = """hold.id, recording_id, case_number as case, key, hold.cohort, hold.object_key, owner,
    review_on, placed_at, terms, wrapped, durable_at, requested_by, released_at, ends_at"""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a hold: its review ("review", days), its owner ("owner", ids), or its release.

    `by` is an actor's id; `was` and `became` are what changed.
    """

    at: datetime
    by: str
    what: str
    was: str | None
    became: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a hold says; sealed under the recording's data key in its row and its envelope."""

    reason: str
    basis: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A hold and what it says, for those who may know. `terms` None: it opens no more."""

    hold: Hold
    terms: Terms | None
    owner_name: str | None = None


# -- placing ---------------------------------------------------------------------------


def place(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    recording: Recording,
    *,
    case: str | None,
    terms: Terms,
    review_on: date | None,
    now: datetime,
) -> Hold:
    """Holds the recording for the case (None: restricts it). Returns when nothing can lose it.

    NotFound once erasure has begun, CaseRequired without an open case, AlreadyHeld. After any
    other failure nothing is held, or the hold is there: the next run carries it through.
    """
    with transaction(engine) as connection:
        # The row comes first: from here on the day is not destroyed without this hold's
        # envelope. A crash leaves a row that `settle` carries through.
        hold = _begin(
            vault, connection, actor, recording.id, case=case, terms=terms,
            review_on=review_on, now=now,
        )  # fmt: skip
    try:
        return _complete(vault, engine, actor, hold, now=now)
    except ArchiveError:
        carried_through = _take_back(vault, engine, hold)
        if carried_through is None:
            raise
        return carried_through


def _begin(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    id: UUID,
    *,
    case: str | None,
    terms: Terms,
    review_on: date | None,
    now: datetime,
) -> Hold:
    # The case's row before the recording's, as closing the case takes them: a hold is either
    # there when the case is closed, or finds it closed.
    if case is not None and not catalogue.is_open_case(connection, case, lock=True):
        raise CaseRequired()
    current = catalogue.get(connection, id, lock=True)
    if current is None or not _can_be_held(connection, current, now):
        raise NotFound()
    others = of(connection, [id])
    if any(other.case == case and other.released_at is None for other in others):
        raise AlreadyHeld()
    hold_id = uuid4()
    hold = Hold(
        id=hold_id,
        recording_id=id,
        case=case,
        key=_free_key(vault, others, case, id),
        cohort=current.cohort,
        object_key=hold_object_key(current, hold_id),
        owner=actor.id,
        review_on=review_on,
        placed_at=now,
        terms=b"",
        wrapped=None,
        durable_at=None,
        requested_by=None,
        released_at=None,
        ends_at=None,
    )
    hold = replace(hold, terms=_seal_terms(vault.data_key(current), hold, terms))
    _insert(connection, hold)
    if case is not None:
        catalogue.add_to_case(connection, number=case, id=id, by=actor.id, now=now)
    return hold


def _can_be_held(connection: Connection, recording: Recording, now: datetime) -> bool:
    """Whether its erasure has not begun; holds the day open until the transaction ends."""
    if recording.erasing:
        return False
    if recording.held:
        return True
    open_day = connection.execute(
        text("select from cohort where day = :day and closed_at is null for share"),
        {"day": recording.cohort},
    ).first()
    return open_day is not None and not recording.past_its_year(now)


def _free_key(vault: Vault, others: Sequence[Hold], case: str | None, id: UUID) -> str:
    """hold/<case>.<recording>, with a number where that name was used: no name has two keys."""
    first = f"{FOLDER}/{case or RESTRICTION}.{id}"
    taken = {other.key for other in others}
    name, number = first, 1
    while name in taken or vault.keys.is_destroyed(name):
        number += 1
        name = f"{first}.{number}"
    return name


def _complete(vault: Vault, engine: Engine, actor: Actor, hold: Hold, *, now: datetime) -> Hold:
    """Key, envelope, row, in this order; repeating it is harmless. The hold, durable."""
    with transaction(engine) as connection:
        recording = catalogue.get(connection, hold.recording_id)
    if recording is None:
        raise NotFound()
    # A crash after the key or after the envelope leaves the row as it was: not acknowledged,
    # and keeping its day from being destroyed.
    key, data_key = vault.keys.ensure(hold.key), vault.data_key(recording)
    hold = replace(
        hold,
        wrapped=keyring.wrap_data_key(key, hold.recording_id, hold.cohort, data_key),
        durable_at=now,
    )
    vault.store.put_bytes(hold.object_key, _envelope(hold, recording, data_key).encode())
    _lock(vault, hold, recording)
    with transaction(engine) as connection:
        catalogue.get(connection, hold.recording_id, lock=True)
        current = one(connection, hold.id)
        if current is None or vault.keys.is_destroyed(hold.key):
            raise NotFound()
        if current.durable_at is not None:
            return current  # somebody carried it through meanwhile
        connection.execute(
            text("update hold set wrapped = :wrapped, durable_at = :now where id = :id"),
            {"wrapped": hold.wrapped, "now": now, "id": hold.id},
        )
        _settle_restricted(connection, hold.recording_id, now=now)
        note(connection, actor, "hold" if hold.case else "restrict", hold, now=now)
    return hold


def _take_back(vault: Vault, engine: Engine, hold: Hold) -> Hold | None:
    """Undoes a placing that failed, as far as possible; the hold if a run carried it through.

    The key goes before the row, both under the recording's lock: a crash between them leaves a
    row whose key is destroyed, which `settle` removes.
    """
    try:
        with transaction(engine) as connection:
            recording = catalogue.get(connection, hold.recording_id, lock=True)
            current = one(connection, hold.id)
            if current is None or current.durable_at is not None:
                return current
            vault.keys.destroy(hold.key)
            _unlock(vault, connection, hold, recording)
            _delete(connection, hold.id)
        vault.store.delete([hold.object_key])
    except ArchiveError:
        return None
    return None


# -- releasing -------------------------------------------------------------------------


def release(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    hold_id: UUID,
    *,
    four_eyes: bool,
    grace: timedelta,
    now: datetime,
    reason: str = "",
) -> Hold:
    """Releases the hold, or with `four_eyes` asks for it until another person does the same.

    Released, it keeps the recording for the grace period, and its owner is told. Releasing again
    changes nothing. NotFound, SecondPersonNeeded.
    """
    with transaction(engine) as connection:
        hold = locked(connection, hold_id)
        if hold is None or hold.durable_at is None:
            raise NotFound()
        if hold.released_at is not None:
            return hold
        if four_eyes and hold.requested_by == actor.id:
            raise SecondPersonNeeded()
        if four_eyes and hold.requested_by is None:
            hold = replace(hold, requested_by=actor.id)
            _update_release(connection, hold)
            note(connection, actor, "hold-release-request", hold, now=now)
            return hold
        hold = let_go(vault, connection, actor, hold, grace=grace, now=now, reason=reason)
    tell_envelope(vault, engine, hold.id)
    return hold


def let_go(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    hold: Hold,
    *,
    grace: timedelta,
    now: datetime,
    reason: str,
    tells: bool = True,
) -> Hold:
    """Releases a hold whose recording's row is locked, and tells its owner until when it keeps.

    The envelope is to be told after the commit.
    """
    hold = replace(hold, released_at=now, ends_at=now + grace)
    if reason:
        change = Change(now, actor.id, "release", None, None, reason)
        hold = with_change(vault, connection, hold, change)
    _update_release(connection, hold)
    verb = "hold-release" if hold.case else "unrestrict"
    note(connection, actor, verb, hold, now=now)
    notices.forget(connection, hold=hold.id)
    notices.tell(
        connection,
        notices.reader(connection, hold.owner) if tells else (),
        kind="released" if hold.case else "unrestricted",
        key=f"released/{hold.id}",
        case=hold.case,
        hold=hold.id,
        recording=hold.recording_id,
        until=hold.ends_at,
        now=now,
    )
    _settle_restricted(connection, hold.recording_id, now=now)
    return hold


def with_change(vault: Vault, connection: Connection, hold: Hold, change: Change) -> Hold:
    """The hold with terms that tell of the change too; as it was if it opens no more."""
    recording = catalogue.get(connection, hold.recording_id)
    if recording is None:
        raise NotFound()
    try:
        data_key = vault.data_key(recording)
    except (KeyDestroyed, KeyMissing):
        return hold
    said = _open_terms(data_key, hold.recording_id, hold.id, hold.terms)
    said = replace(said, changes=(*said.changes, change))
    return replace(hold, terms=_seal_terms(data_key, hold, said))


def tell_envelope(vault: Vault, engine: Engine, hold_id: UUID) -> None:
    """Writes into the envelope what the row says, for a rebuilt catalogue.

    After the row: a crash between them leaves an envelope that holds on, never one that lets go
    of what was not released. Under the recording's lock, so that the envelope follows the last
    change, and an ended hold's is not written again.
    """
    try:
        with transaction(engine) as connection:
            hold = locked(connection, hold_id)
            recording = catalogue.get(connection, hold.recording_id) if hold else None
            if hold is None or hold.durable_at is None or recording is None:
                return
            envelope = _envelope(hold, recording, vault.data_key(recording))
            vault.store.put_bytes(hold.object_key, envelope.encode())
            vault.store.hold(hold.object_key, held=True)
    except (StoreUnavailable, RootKeyAway, KeyDestroyed, KeyMissing):
        return


# -- what the nightly run does with holds ----------------------------------------------


def settle(vault: Vault, engine: Engine, *, now: datetime) -> list[dict[str, str]]:
    """Carries through what a crash left half placed; ids and reasons of what could not be."""
    with transaction(engine) as connection:
        waiting = _select(connection, "durable_at is null")
    failed = []
    for hold in waiting:
        try:
            _complete(vault, engine, JOB, hold, now=now)
        except NotFound:
            continue
        except (KeyDestroyed, KeyMissing):
            _take_back(vault, engine, hold)  # what it should hold, or its own key, is gone
        except ArchiveError as error:
            failed.append({"id": str(hold.recording_id), "reason": f"hold: {type(error).__name__}"})
    return failed


def may_close(connection: Connection, day: date) -> bool:
    """Whether no hold on the day's recordings lacks its envelope.

    To be asked after the cohort's row was locked, in a statement of its own: a hold is begun
    under the same lock, so it is either seen here or finds the day closed.
    """
    return (
        connection.execute(
            # From the few holds to their recordings, whatever the planner thinks: the other way
            # round would read the whole day.
            text("""select from hold where durable_at is null and :day =
                (select cohort from recording where recording.id = recording_id) limit 1"""),
            {"day": day},
        ).first()
        is None
    )


def begin_erasing(connection: Connection, ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    """Locks the recordings and marks those that nothing holds; from then on no hold is taken.

    The holds are read after the rows are locked: a hold committed before is seen, and one that
    comes later finds the mark (or no row).
    """
    locked = (
        connection.execute(
            text("""select id from recording where id = any(:ids) and expires_at <= :now
                order by id for update"""),
            {"ids": list(ids), "now": now},
        )
        .scalars()
        .all()
    )
    marked = connection.execute(
        text("""update recording set erasing_at = coalesce(erasing_at, :now)
            where id = any(:ids)
              and not exists (select from hold where recording_id = recording.id)
            returning id"""),
        {"ids": list(locked), "now": now},
    ).scalars()
    return [UUID(str(id)) for id in marked]


def end_over(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Ends the holds whose grace period is over: key, envelope, row. How many ended.

    Those too whose key was destroyed before, as after an older catalogue was restored: the row
    keeps nothing any more.
    """
    with transaction(engine) as connection:
        placed = _select(connection, "durable_at is not null")
    over = [hold for hold in placed if _is_over(vault, hold, now)]
    return sum(_end(vault, engine, hold.id, now=now) for hold in over)


def _is_over(vault: Vault, hold: Hold, now: datetime) -> bool:
    in_time = hold.ends_at is not None and hold.ends_at <= now
    return in_time or vault.keys.is_destroyed(hold.key)


def _end(vault: Vault, engine: Engine, hold_id: UUID, *, now: datetime) -> bool:
    with transaction(engine) as connection:
        hold = locked(connection, hold_id)
        if hold is None or hold.durable_at is None or not _is_over(vault, hold, now):
            return False
        if any(other.durable_at is None for other in of(connection, [hold.recording_id])):
            return False  # one being placed may need this one's key; the next night then
        # A crash leaves the row, by which the next run finds what is left to do.
        vault.keys.destroy(hold.key)
        recording = catalogue.get(connection, hold.recording_id)
        _unlock(vault, connection, hold, recording)
        vault.store.delete([hold.object_key])
        _delete(connection, hold.id)
        notices.forget(connection, hold=hold.id)
        _settle_restricted(connection, hold.recording_id, now=now)
        note(connection, JOB, "hold-end", hold, now=now)
    return True


def lock_again(vault: Vault, engine: Engine) -> list[dict[str, str]]:
    """Puts what is held under the store's legal hold, where objects are locked and it is not yet.

    As after a restore, which writes objects anew, or where locking came later than the hold. Ids
    and reasons of what could not be.
    """
    with transaction(engine) as connection:
        placed = _select(connection, "durable_at is not null")
        recordings = catalogue.get_many(connection, [hold.recording_id for hold in placed])
    failed = []
    for hold in placed:
        try:
            _lock(vault, hold, recordings[hold.recording_id])
        except StoreUnavailable:
            failed.append({"id": str(hold.recording_id), "reason": "object store: legal hold"})
    return failed


def _lock(vault: Vault, hold: Hold, recording: Recording) -> None:
    """The store's own legal hold on original and envelope; nothing where it locks no objects."""
    for key in (recording.object_key, hold.object_key):
        vault.store.hold(key, held=True)


def _unlock(vault: Vault, connection: Connection, hold: Hold, recording: Recording | None) -> None:
    """Lifts it from the envelope, and from the original if nothing else holds the recording.

    To be called under the recording's lock: a hold that is being placed has its row by then, or
    waits for this to end and locks the original again.
    """
    vault.store.hold(hold.object_key, held=False)
    others = [other for other in of(connection, [hold.recording_id]) if other.id != hold.id]
    if recording is not None and not others:
        vault.store.hold(recording.object_key, held=False)


def count_kept(connection: Connection, *, now: datetime) -> dict[str, int]:
    """Recordings past their year that still live, by what keeps them; and `held`, all of them."""
    row = connection.execute(
        text("""select count(*) as held,
                count(*) filter (where restricted) as restricted,
                count(*) filter (where not restricted and complaint) as complaint,
                count(*) filter (where not restricted and not complaint) as released
            from (select restricted, exists (select from hold where recording_id = recording.id
                        and released_at is null) as complaint
                from recording where expires_at <= :now
                  and exists (select from hold where recording_id = recording.id)) as kept"""),
        {"now": now},
    ).one()
    return dict(row._mapping)


def index_months(connection: Connection, *, now: datetime) -> dict[UUID, str]:
    """Held recordings past their year that the index may still know, and in which month."""
    rows = connection.execute(
        text("""select id, coalesce(index_month,
                to_char(occurred_at at time zone 'UTC', 'YYYY-MM')) as index_month
            from recording where expires_at <= :now and (index_month is not null or index_due)
              and exists (select from hold where recording_id = recording.id)"""),
        {"now": now},
    )
    return {row.id: row.index_month for row in rows}


def unindexed(connection: Connection, ids: Iterable[UUID]) -> None:
    """Notes that the index knows these no more."""
    connection.execute(
        text("""update recording set index_month = null, index_due = false
            where id = any(:ids)"""),
        {"ids": list(ids)},
    )


# -- coming back from envelopes --------------------------------------------------------


def from_envelope(vault: Vault, id: UUID, stored: Stored) -> tuple[Hold, bytes] | None:
    """The hold that an envelope object tells of, and the data key; None if its key is gone.

    SealBroken for an object that is not a hold of this recording.
    """
    raw = vault.store.get(stored.key, start=0, length=stored.bytes, version=stored.version)
    envelope, _ = seal.Envelope.parse(raw)
    if envelope.id != id or envelope.hold is None or envelope.terms is None:
        raise SealBroken(reason=seal.Broken.WRONG_RECORDING)
    for name in _keys_of(vault, id):
        try:
            data_key = keyring.unwrap_data_key(
                vault.keys.get(name), id, envelope.cohort, envelope.wrapped_key
            )
        except (KeyDestroyed, KeyMissing, SealBroken):
            continue
        return _hold(envelope, name, stored.key, data_key), data_key
    return None


def has_key(vault: Vault, id: UUID) -> bool:
    """Whether a hold's key for the recording lives."""
    return bool(_keys_of(vault, id))


def _keys_of(vault: Vault, id: UUID) -> list[str]:
    return [
        name
        for name in vault.keys.names(FOLDER)
        if str(id) in name and not vault.keys.is_destroyed(name)
    ]


def _hold(envelope: seal.Envelope, key: str, object_key: str, data_key: bytes) -> Hold:
    assert envelope.hold is not None
    assert envelope.terms is not None
    ctx = seal.hold_terms_context(envelope.id, envelope.hold)
    said = json.loads(seal.unseal(data_key, ctx, envelope.terms))
    hold = Hold(
        id=envelope.hold,
        recording_id=envelope.id,
        case=said["case"],
        key=key,
        cohort=envelope.cohort,
        object_key=object_key,
        owner=said["owner"],
        review_on=date.fromisoformat(said["review_on"]) if said["review_on"] else None,
        placed_at=datetime.fromisoformat(said["placed_at"]),
        terms=b"",
        wrapped=envelope.wrapped_key,
        durable_at=datetime.fromisoformat(said["placed_at"]),
        requested_by=None,
        released_at=_instant(said["released_at"]),
        ends_at=_instant(said["ends_at"]),
    )
    return replace(hold, terms=_seal_terms(data_key, hold, _terms(said)))


def restore(connection: Connection, found: Iterable[Hold], *, now: datetime) -> int:
    """Gives rows to holds that came back from envelopes; how many had none.

    The recordings' rows are there already. Their cases come back by number alone.
    """
    made = 0
    for hold in found:
        if catalogue.get(connection, hold.recording_id, lock=True) is None:
            continue
        if hold.case is not None:
            catalogue.open_case(
                connection, number=hold.case, about=None, by=hold.owner, now=hold.placed_at
            )
            catalogue.add_to_case(
                connection, number=hold.case, id=hold.recording_id, by=hold.owner,
                now=hold.placed_at,
            )  # fmt: skip
        made += _insert(connection, hold)
        _settle_restricted(connection, hold.recording_id, now=now)
    return made


def adopt(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Finds holds whose keys lie there without a row, as after an older catalogue was restored.

    How many were found. The names are listed before the rows are read: a hold's row comes before
    its key, so one that is being placed just now is never taken for a lost one.
    """
    names = {name for name in vault.keys.names(FOLDER) if not vault.keys.is_destroyed(name)}
    with transaction(engine) as connection:
        known = set(
            connection.execute(
                text("select key from hold where key = any(:names)"), {"names": list(names)}
            ).scalars()
        )
        ids = {_recording_id(name) for name in names - known} - {None}
        recordings = catalogue.get_many(connection, [id for id in ids if id is not None])
    found = []
    for recording in recordings.values():
        for stored in vault.store.list(hold_object_key(recording, "")):
            back = from_envelope(vault, recording.id, stored)
            if back is not None:
                found.append(back[0])
    with transaction(engine) as connection:
        return restore(connection, found, now=now)


def _recording_id(name: str) -> UUID | None:
    """The recording that a key's name, hold/<case>.<recording>[.<number>], speaks of."""
    try:
        return UUID(name.split(".")[1])
    except (IndexError, ValueError):
        return None


# -- reading ---------------------------------------------------------------------------


def of(connection: Connection, ids: Sequence[UUID]) -> list[Hold]:
    """Every hold on these recordings, also those being placed and those in their grace period."""
    return _select(connection, "recording_id = any(:ids)", ids=list(ids))


def held_now(connection: Connection, now: datetime) -> frozenset[UUID]:
    """Every recording that is held for a case at this instant."""
    rows = connection.execute(
        text("""select distinct recording_id from hold where durable_at is not null
            and case_number is not null and (ends_at is null or ends_at > :now)"""),
        {"now": now},
    ).scalars()
    return frozenset(rows)


def one(connection: Connection, id: UUID) -> Hold | None:
    """The hold of this id."""
    found = _select(connection, "hold.id = :id", id=id)
    return found[0] if found else None


def in_force(connection: Connection, case: str) -> list[Hold]:
    """The case's holds that were not released, also those being placed; by recording."""
    found = _select(connection, "case_number = :case and released_at is null", case=case)
    return sorted(found, key=lambda hold: hold.recording_id)


def in_grace(connection: Connection, case: str) -> list[UUID]:
    """Recordings that the case held, released and not ended, that nothing of it holds again."""
    rows = connection.execute(
        text("""select distinct recording_id from hold as released
            where case_number = :case and released_at is not null and not exists (
                select from hold where case_number = :case and released_at is null
                    and recording_id = released.recording_id) order by 1"""),
        {"case": case},
    ).scalars()
    return [UUID(str(id)) for id in rows]


def durable(
    connection: Connection, *, due_on: date | None = None, case: str | None = None
) -> list[tuple[Hold, str | None]]:
    """Placed holds by review date, with their owners' names; those to be reviewed by `due_on`."""
    rows = connection.execute(
        text(f"""select {_COLUMNS}, person.name as owner_name
            from hold left join person on cast(person.id as text) = owner
            where durable_at is not null
              and (cast(:due as date) is null or (review_on <= :due and released_at is null))
              and (cast(:case as text) is null or case_number = :case)
            order by review_on nulls last, placed_at, hold.id"""),  # noqa: S608
        {"due": due_on, "case": case},
    ).mappings()
    return [(_row(row), row["owner_name"]) for row in rows]


def terms_of(vault: Vault, recording: Recording, hold: Hold) -> Terms | None:
    """What the hold says; None if the recording opens no more."""
    try:
        key = vault.data_key(recording)
    except (KeyDestroyed, KeyMissing):
        return None
    return _open_terms(key, recording.id, hold.id, hold.terms)


def _select(connection: Connection, condition: str, **values: Any) -> list[Hold]:
    rows = connection.execute(
        text(f"select {_COLUMNS} from hold where {condition} order by placed_at, hold.id"),  # noqa: S608
        values,
    ).mappings()
    return [_row(row) for row in rows]


def _row(row: RowMapping) -> Hold:
    values = {name: row[name] for name in Hold.__slots__}
    values["terms"] = bytes(values["terms"])
    if values["wrapped"] is not None:
        values["wrapped"] = bytes(values["wrapped"])
    return Hold(**values)


# -- rows and envelopes ----------------------------------------------------------------


def locked(connection: Connection, id: UUID) -> Hold | None:
    """The hold, read after its recording's row was locked."""
    hold = one(connection, id)
    if hold is None:
        return None
    catalogue.get(connection, hold.recording_id, lock=True)
    return one(connection, id)


def _insert(connection: Connection, hold: Hold) -> int:
    values = {name: getattr(hold, name) for name in hold.__slots__}
    return connection.execute(
        text("""insert into hold (id, recording_id, case_number, key, cohort, object_key, owner,
                review_on, placed_at, terms, wrapped, durable_at, requested_by, released_at,
                ends_at)
            values (:id, :recording_id, :case, :key, :cohort, :object_key, :owner, :review_on,
                :placed_at, :terms, :wrapped, :durable_at, :requested_by, :released_at, :ends_at)
            on conflict do nothing"""),
        values,
    ).rowcount


def _update_release(connection: Connection, hold: Hold) -> None:
    connection.execute(
        text("""update hold set requested_by = :requested_by, released_at = :released_at,
                ends_at = :ends_at, terms = :terms where id = :id"""),
        {
            name: getattr(hold, name)
            for name in ("id", "requested_by", "released_at", "ends_at", "terms")
        },
    )


def _delete(connection: Connection, id: UUID) -> None:
    connection.execute(text("delete from hold where id = :id"), {"id": id})


def _settle_restricted(connection: Connection, id: UUID, *, now: datetime) -> None:
    """Brings the recording's mark in line with its restrictions; the index follows."""
    connection.execute(
        text("""update recording set restricted = not restricted, index_due = true,
                index_next_at = :now, index_attempts = 0
            where id = :id and restricted <> exists (select from hold where recording_id = :id
                and case_number is null and durable_at is not null and released_at is null)"""),
        {"id": id, "now": now},
    )


def note(connection: Connection, actor: Actor, verb: str, hold: Hold, *, now: datetime) -> None:
    audit.append(
        connection,
        at=now,
        actor=actor,
        verb=verb,
        recording_id=hold.recording_id,
        case=hold.case,
        detail={"hold": str(hold.id), "owner": hold.owner},
    )


def _envelope(hold: Hold, recording: Recording, data_key: bytes) -> seal.Envelope:
    assert hold.wrapped is not None
    said = _open_terms(data_key, hold.recording_id, hold.id, hold.terms)
    return seal.Envelope(
        id=hold.recording_id,
        cohort=hold.cohort,
        rendition=RENDITION,
        version=1,
        seq=recording.envelope_seq,
        wrapped_key=hold.wrapped,
        descriptor=None,
        hold=hold.id,
        terms=_seal_terms(data_key, hold, said),
    )


def _open_terms(data_key: bytes, id: UUID, hold_id: UUID, sealed: bytes) -> Terms:
    return _terms(json.loads(seal.unseal(data_key, seal.hold_terms_context(id, hold_id), sealed)))


def _terms(said: Mapping[str, Any]) -> Terms:
    changes = tuple(
        Change(datetime.fromisoformat(at), by, what, was, became, reason)
        for at, by, what, was, became, reason in said.get("changes", ())
    )
    return Terms(said["reason"], said["basis"], changes)


def _seal_terms(data_key: bytes, hold: Hold, terms: Terms) -> bytes:
    said = {
        "case": hold.case,
        "owner": hold.owner,
        "reason": terms.reason,
        "basis": terms.basis,
        "review_on": hold.review_on.isoformat() if hold.review_on else None,
        "placed_at": hold.placed_at.isoformat(),
        "released_at": hold.released_at.isoformat() if hold.released_at else None,
        "ends_at": hold.ends_at.isoformat() if hold.ends_at else None,
        "changes": [
            [each.at.isoformat(), each.by, each.what, each.was, each.became, each.reason]
            for each in terms.changes
        ],
    }
    encoded = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    return seal.seal(data_key, seal.hold_terms_context(hold.recording_id, hold.id), encoded)


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
