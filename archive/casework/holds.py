"""Holds for complaint cases (GDPR 17(3)(e)) and restrictions (18): placing and releasing.

A hold is the data key wrapped once more, under a key of its own, in an envelope object beside
the original. It counts from the moment that object is durable; until then the day's key is not
destroyed. Knows not who may ask for one, nor expiry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from archive import catalogue
from archive import keys as keyring
from archive.casework import holdrows, holdterms, notices
from archive.casework.holdterms import Change, Terms
from archive.db import transaction
from archive.errors import (
    AlreadyHeld,
    ArchiveError,
    CaseRequired,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    RootKeyAway,
    SecondPersonNeeded,
    StoreUnavailable,
)
from archive.model import Actor, Hold, Recording
from archive.vault import Vault, hold_object_key

RESTRICTION = "restriction"  # stands in a key's name where a hold has its case


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
        return complete(vault, engine, actor, hold, now=now)
    except ArchiveError:
        carried_through = take_back(vault, engine, hold)
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
    others = holdrows.of(connection, [id])
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
    hold = replace(hold, terms=holdterms.seal_terms(vault.data_key(current), hold, terms))
    holdrows.insert(connection, hold)
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
    first = f"{holdterms.FOLDER}/{case or RESTRICTION}.{id}"
    taken = {other.key for other in others}
    name, number = first, 1
    while name in taken or vault.keys.is_destroyed(name):
        number += 1
        name = f"{first}.{number}"
    return name


def complete(vault: Vault, engine: Engine, actor: Actor, hold: Hold, *, now: datetime) -> Hold:
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
    vault.store.put_bytes(hold.object_key, holdterms.envelope(hold, recording, data_key).encode())
    lock(vault, hold, recording)
    with transaction(engine) as connection:
        catalogue.get(connection, hold.recording_id, lock=True)
        current = holdrows.one(connection, hold.id)
        if current is None or vault.keys.is_destroyed(hold.key):
            raise NotFound()
        if current.durable_at is not None:
            return current  # somebody carried it through meanwhile
        connection.execute(
            text("update hold set wrapped = :wrapped, durable_at = :now where id = :id"),
            {"wrapped": hold.wrapped, "now": now, "id": hold.id},
        )
        holdrows.settle_restricted(connection, hold.recording_id, now=now)
        holdrows.note(connection, actor, "hold" if hold.case else "restrict", hold, now=now)
    return hold


def take_back(vault: Vault, engine: Engine, hold: Hold) -> Hold | None:
    """Undoes a placing that failed, as far as possible; the hold if a run carried it through.

    The key goes before the row, both under the recording's lock: a crash between them leaves a
    row whose key is destroyed, which `settle` removes.
    """
    try:
        with transaction(engine) as connection:
            recording = catalogue.get(connection, hold.recording_id, lock=True)
            current = holdrows.one(connection, hold.id)
            if current is None or current.durable_at is not None:
                return current
            vault.keys.destroy(hold.key)
            unlock(vault, connection, hold, recording)
            holdrows.delete(connection, hold.id)
        vault.store.delete([hold.object_key])
    except ArchiveError:
        return None
    return None


def lock(vault: Vault, hold: Hold, recording: Recording) -> None:
    """The store's own legal hold on original and envelope; nothing where it locks no objects."""
    for key in (recording.object_key, hold.object_key):
        vault.store.hold(key, held=True)


def unlock(vault: Vault, connection: Connection, hold: Hold, recording: Recording | None) -> None:
    """Lifts it from the envelope, and from the original if nothing else holds the recording.

    To be called under the recording's lock: a hold that is being placed has its row by then, or
    waits for this to end and locks the original again.
    """
    vault.store.hold(hold.object_key, held=False)
    others = [
        other for other in holdrows.of(connection, [hold.recording_id]) if other.id != hold.id
    ]
    if recording is not None and not others:
        vault.store.hold(recording.object_key, held=False)


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
        hold = holdrows.locked(connection, hold_id)
        if hold is None or hold.durable_at is None:
            raise NotFound()
        if hold.released_at is not None:
            return hold
        if four_eyes and hold.requested_by == actor.id:
            raise SecondPersonNeeded()
        if four_eyes and hold.requested_by is None:
            hold = replace(hold, requested_by=actor.id)
            holdrows.update_release(connection, hold)
            holdrows.note(connection, actor, "hold-release-request", hold, now=now)
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
    holdrows.update_release(connection, hold)
    verb = "hold-release" if hold.case else "unrestrict"
    holdrows.note(connection, actor, verb, hold, now=now)
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
    holdrows.settle_restricted(connection, hold.recording_id, now=now)
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
    said = holdterms.open_terms(data_key, hold.recording_id, hold.id, hold.terms)
    said = replace(said, changes=(*said.changes, change))
    return replace(hold, terms=holdterms.seal_terms(data_key, hold, said))


def tell_envelope(vault: Vault, engine: Engine, hold_id: UUID) -> None:
    """Writes into the envelope what the row says, for a rebuilt catalogue.

    After the row: a crash between them leaves an envelope that holds on, never one that lets go
    of what was not released. Under the recording's lock, so that the envelope follows the last
    change, and an ended hold's is not written again.
    """
    try:
        with transaction(engine) as connection:
            hold = holdrows.locked(connection, hold_id)
            recording = catalogue.get(connection, hold.recording_id) if hold else None
            if hold is None or hold.durable_at is None or recording is None:
                return
            envelope = holdterms.envelope(hold, recording, vault.data_key(recording))
            vault.store.put_bytes(hold.object_key, envelope.encode())
            vault.store.hold(hold.object_key, held=True)
    except (StoreUnavailable, RootKeyAway, KeyDestroyed, KeyMissing):
        return
