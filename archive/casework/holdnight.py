"""What the nightly run and a restored catalogue do with holds: carry through, end, find again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive import catalogue
from archive.casework import holdrows, holds, holdterms, notices
from archive.db import transaction
from archive.errors import ArchiveError, KeyDestroyed, KeyMissing, NotFound, StoreUnavailable
from archive.model import Actor, Hold
from archive.vault import Vault, hold_object_key

JOB = Actor(id="expiry", name="expiry", kind="system", group=None, scopes=frozenset(), session=b"")


def settle(vault: Vault, engine: Engine, *, now: datetime) -> list[dict[str, str]]:
    """Carries through what a crash left half placed; ids and reasons of what could not be."""
    with transaction(engine) as connection:
        waiting = holdrows.being_placed(connection)
    failed = []
    for hold in waiting:
        try:
            holds.complete(vault, engine, JOB, hold, now=now)
        except NotFound:
            continue
        except (KeyDestroyed, KeyMissing):
            holds.take_back(vault, engine, hold)  # what it should hold, or its own key, is gone
        except ArchiveError as error:
            failed.append({"id": str(hold.recording_id), "reason": f"hold: {type(error).__name__}"})
    return failed


def end_over(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Ends the holds whose grace period is over: key, envelope, row. How many ended.

    Those too whose key was destroyed before, as after an older catalogue was restored: the row
    keeps nothing any more.
    """
    with transaction(engine) as connection:
        placed = holdrows.placed(connection)
    over = [hold for hold in placed if _is_over(vault, hold, now)]
    return sum(_end(vault, engine, hold.id, now=now) for hold in over)


def _is_over(vault: Vault, hold: Hold, now: datetime) -> bool:
    in_time = hold.ends_at is not None and hold.ends_at <= now
    return in_time or vault.keys.is_destroyed(hold.key)


def _end(vault: Vault, engine: Engine, hold_id: UUID, *, now: datetime) -> bool:
    with transaction(engine) as connection:
        hold = holdrows.locked(connection, hold_id)
        if hold is None or hold.durable_at is None or not _is_over(vault, hold, now):
            return False
        if any(other.durable_at is None for other in holdrows.of(connection, [hold.recording_id])):
            return False  # one being placed may need this one's key; the next night then
        # A crash leaves the row, by which the next run finds what is left to do.
        vault.keys.destroy(hold.key)
        recording = catalogue.get(connection, hold.recording_id)
        holds.unlock(vault, connection, hold, recording)
        vault.store.delete([hold.object_key])
        holdrows.delete(connection, hold.id)
        notices.forget(connection, hold=hold.id)
        holdrows.settle_restricted(connection, hold.recording_id, now=now)
        holdrows.note(connection, JOB, "hold-end", hold, now=now)
    return True


def lock_again(vault: Vault, engine: Engine) -> list[dict[str, str]]:
    """Puts what is held under the store's legal hold, where objects are locked and it is not yet.

    As after a restore, which writes objects anew, or where locking came later than the hold. Ids
    and reasons of what could not be.
    """
    with transaction(engine) as connection:
        placed = holdrows.placed(connection)
        recordings = catalogue.get_many(connection, [hold.recording_id for hold in placed])
    failed = []
    for hold in placed:
        try:
            holds.lock(vault, hold, recordings[hold.recording_id])
        except StoreUnavailable:
            failed.append({"id": str(hold.recording_id), "reason": "object store: legal hold"})
    return failed


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
        made += holdrows.insert(connection, hold)
        holdrows.settle_restricted(connection, hold.recording_id, now=now)
    return made


def adopt(vault: Vault, engine: Engine, *, now: datetime) -> int:
    """Finds holds whose keys lie there without a row, as after an older catalogue was restored.

    How many were found. The names are listed before the rows are read: a hold's row comes before
    its key, so one that is being placed just now is never taken for a lost one.
    """
    names = {
        name for name in vault.keys.names(holdterms.FOLDER) if not vault.keys.is_destroyed(name)
    }
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
            back = holdterms.from_envelope(vault, recording.id, stored)
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
