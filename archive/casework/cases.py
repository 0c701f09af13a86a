"""Complaint cases: what they are about, who works on them, what was noted in them.

Subject, customer and notes of a case are sealed under the case's key; notes and marks of a
recording under its data key, and go with it. Knows rows and keys; not who may ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, RowMapping, text

from archive import audit, catalogue, seal
from archive.casework import holdchanges, holdrows, holds, notices
from archive.db import transaction
from archive.errors import CaseClosed, KeyDestroyed, KeyMissing, NotFound
from archive.model import Actor, Recording
from archive.vault import Vault

FOLDER = "case"
_COLUMNS = """number, about, owner, due_on, opened_by, opened_at, closed_at, closed_by,
    close_requested_by, (select count(*) from case_recording where case_number = number)
        as recordings,
    (select count(*) from hold where case_number = number and released_at is null) as held"""

_PLAIN = "select number, owner, closed_at, close_requested_by from complaint_case where number = :n"
_LOCKED = _PLAIN + " for no key update"


@dataclass(frozen=True, slots=True)
class About:
    """What a case is about, as its handler wrote it."""

    subject: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One complaint case. `about` None: it was forgotten, or is of a catalogue that was rebuilt.

    `held` counts its holds in force.
    """

    number: str
    about: About | None
    owner: str | None
    due_on: date | None
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    close_requested_by: str | None
    recordings: int
    held: int

    def overdue(self, today: date) -> bool:
        """Whether it is open past its day."""
        return self.closed_at is None and self.due_on is not None and self.due_on < today


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note, or a mark at `start_s` to `end_s` (seconds) of a call. `text` None: lost its key."""

    id: UUID
    recording_id: UUID | None
    kind: str
    by: str
    at: datetime
    text: str | None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """A recording of the case that was destroyed: when its year ended, when it went, and why."""

    day: date
    at: datetime | None
    reason: str


# -- opening and reading ---------------------------------------------------------------


def key_name(number: str) -> str:
    """Name of the case's key."""
    return f"{FOLDER}/{number}"


def begin(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    *,
    number: str,
    about: About,
    due_on: date | None,
    now: datetime,
) -> bool:
    """Opens a case that the actor owns; False when the number is taken.

    The key is there before the row: a crash between leaves a key that seals nothing.
    """
    sealed = _seal_about(vault, number, about) if about != About() else None
    made = catalogue.open_case(connection, number=number, about=sealed, by=actor.id, now=now)
    if made:
        connection.execute(
            text("update complaint_case set owner = :owner, due_on = :due where number = :n"),
            {"n": number, "due": due_on, "owner": actor.id if actor.kind == "person" else None},
        )
        audit.append(connection, at=now, actor=actor, verb="open-case", case=number)
    return made


def change(
    vault: Vault,
    connection: Connection,
    actor: Actor,
    *,
    number: str,
    about: About,
    due_on: date | None,
    now: datetime,
) -> None:
    """What an open case is about, and its day. NotFound, CaseClosed."""
    require_open(connection, number)
    connection.execute(
        text("update complaint_case set about = :about, due_on = :due where number = :n"),
        {"n": number, "due": due_on, "about": _seal_about(vault, number, about)},
    )
    audit.append(connection, at=now, actor=actor, verb="change-case", case=number)


def one(vault: Vault, connection: Connection, number: str) -> Case:
    """The case; NotFound."""
    row = connection.execute(
        text(f"select {_COLUMNS} from complaint_case where number = :n"),  # noqa: S608
        {"n": number},
    ).mappings()
    found = row.first()
    if found is None:
        raise NotFound()
    return _case(vault, found)


def several(
    vault: Vault, connection: Connection, *, owner: str | None, closed: bool, limit: int = 500
) -> list[Case]:
    """Open cases, the day that comes first at the top, or closed ones, the newest at the top."""
    order = "closed_at desc, number" if closed else "due_on nulls last, opened_at, number"
    rows = connection.execute(
        text(f"""select {_COLUMNS} from complaint_case
            where (closed_at is not null) = :closed
              and (cast(:owner as text) is null or owner = :owner)
            order by {order} limit :limit"""),  # noqa: S608
        {"closed": closed, "owner": owner, "limit": limit},
    ).mappings()
    return [_case(vault, row) for row in rows]


def is_open(connection: Connection, number: str) -> bool:
    """Whether there is such a case, not closed."""
    return bool(
        connection.execute(
            text("select 1 from complaint_case where number = :n and closed_at is null"),
            {"n": number},
        ).first()
    )


def require_open(connection: Connection, number: str, *, lock: bool = False) -> RowMapping:
    """The row of an open case; NotFound, CaseClosed.

    `lock` keeps others from changing it, and holds from being placed for it, until the
    transaction ends. It comes before the lock of any recording.
    """
    row = (
        connection.execute(
            text(_LOCKED if lock else _PLAIN),
            {"n": number},
        )
        .mappings()
        .first()
    )
    if row is None:
        raise NotFound()
    if row["closed_at"] is not None:
        raise CaseClosed()
    return row


def recording_ids(connection: Connection, number: str) -> list[UUID]:
    """What was added to the case or is held for it."""
    rows = connection.execute(
        text("""select recording_id from case_recording where case_number = :n
            union select recording_id from hold where case_number = :n and durable_at is not null
            order by 1"""),
        {"n": number},
    ).scalars()
    return [UUID(str(id)) for id in rows]


def take_out(connection: Connection, actor: Actor, *, number: str, id: UUID, now: datetime) -> bool:
    """Takes a recording that is not held for it out of an open case; whether it was in it."""
    require_open(connection, number)
    out = connection.execute(
        text("""delete from case_recording where case_number = :n and recording_id = :id
            and not exists (select from hold where case_number = :n and recording_id = :id)"""),
        {"n": number, "id": id},
    ).rowcount
    if out:
        connection.execute(
            text("delete from case_note where case_number = :n and recording_id = :id"),
            {"n": number, "id": id},
        )
        audit.append(
            connection, at=now, actor=actor, verb="take-out-of-case", recording_id=id, case=number
        )
    return bool(out)


# -- handing over ----------------------------------------------------------------------


def hand_over(
    vault: Vault,
    engine: Engine,
    actor: Actor,
    *,
    number: str,
    owner: UUID,
    reason: str,
    now: datetime,
) -> int:
    """Makes another person the case's owner, and of the holds that its owner had; how many holds.

    NotFound, CaseClosed.
    """
    moved = []
    with transaction(engine) as connection:
        former = require_open(connection, number, lock=True)["owner"]
        connection.execute(
            text("update complaint_case set owner = :owner where number = :n"),
            {"n": number, "owner": str(owner)},
        )
        for hold in holdrows.in_force(connection, number):
            catalogue.get(connection, hold.recording_id, lock=True)
            current = holdrows.one(connection, hold.id)
            if current is None or current.released_at or current.owner != (former or actor.id):
                continue
            moved.append(
                holdchanges.give_to(
                    vault, connection, actor, current,
                    owner=owner, reason=reason, now=now, tells=False,
                )
            )  # fmt: skip
        due_on = connection.execute(
            text("select due_on from complaint_case where number = :n"), {"n": number}
        ).scalar()
        if str(owner) != actor.id:
            notices.tell(
                connection, [owner], kind="case-handed-over",
                key=f"case-handed-over/{number}/{now.isoformat()}", case=number, day=due_on,
                now=now,
            )  # fmt: skip
        add_note(vault, connection, number=number, kind="handing-over", by=actor, said=reason,
                 now=now)  # fmt: skip
        audit.append(
            connection, at=now, actor=actor, verb="hand-over-case", case=number,
            detail={"owner": str(owner), "was": former, "holds": len(moved)},
        )  # fmt: skip
    for hold in moved:
        holds.tell_envelope(vault, engine, hold.id)
    return len(moved)


# -- notes and marks -------------------------------------------------------------------


def add_note(
    vault: Vault,
    connection: Connection,
    *,
    number: str,
    kind: str,
    by: Actor,
    said: str,
    now: datetime,
    recording: Recording | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> UUID:
    """Notes something in the case, or with a recording about that. KeyDestroyed, KeyMissing."""
    id = uuid4()
    key = vault.data_key(recording) if recording else vault.keys.ensure(key_name(number))
    body = json.dumps({"text": said, "start_s": start_s, "end_s": end_s}).encode()
    ctx = _note_context(id, number, recording.id if recording else None)
    connection.execute(
        text("""insert into case_note (id, case_number, recording_id, kind, by, at, sealed)
            values (:id, :n, :recording, :kind, :by, :now, :sealed)"""),
        {
            "id": id, "n": number, "recording": recording.id if recording else None,
            "kind": kind, "by": by.id, "now": now, "sealed": seal.seal(key, ctx, body),
        },
    )  # fmt: skip
    return id


def remove_note(connection: Connection, *, number: str, id: UUID, by: Actor) -> bool:
    """Removes a note or mark that the actor made; whether there was one."""
    done = connection.execute(
        text("""delete from case_note where id = :id and case_number = :n and by = :by
            and kind in ('note', 'mark')"""),
        {"id": id, "n": number, "by": by.id},
    )
    return bool(done.rowcount)


def notes(
    vault: Vault, connection: Connection, number: str, recordings: Mapping[UUID, Recording]
) -> list[Note]:
    """Notes and marks of the case itself and of these recordings, oldest first."""
    rows = connection.execute(
        text("""select id, recording_id, kind, by, at, sealed from case_note
            where case_number = :n and (recording_id is null or recording_id = any(:ids))
            order by at, id"""),
        {"n": number, "ids": list(recordings)},
    ).mappings()
    return [_note(vault, number, row, recordings) for row in rows]


def _note(vault: Vault, number: str, row: RowMapping, recordings: Mapping[UUID, Recording]) -> Note:
    recording = recordings[row["recording_id"]] if row["recording_id"] else None
    said: dict[str, Any] = {"text": None, "start_s": None, "end_s": None}
    try:
        key = vault.data_key(recording) if recording else vault.keys.get(key_name(number))
        ctx = _note_context(row["id"], number, row["recording_id"])
        said = json.loads(seal.unseal(key, ctx, bytes(row["sealed"])))
    except (KeyDestroyed, KeyMissing):
        pass
    return Note(
        id=row["id"],
        recording_id=row["recording_id"],
        kind=row["kind"],
        by=row["by"],
        at=row["at"],
        **said,
    )


# -- what went, and forgetting ---------------------------------------------------------


def gone(connection: Connection, number: str) -> list[Gone]:
    """What was in the case and has been destroyed since, by the audit log."""
    rows = connection.execute(
        text("""select distinct expired.id, cohort, finished_at, reason
            from audit_event join expired on expired.id = recording_id
                join expiry_run using (run)
            where case_number = :n and verb in ('add-to-case', 'hold')
            order by cohort, expired.id"""),
        {"n": number},
    )
    return [Gone(row.cohort, row.finished_at, row.reason) for row in rows]


def forget(vault: Vault, engine: Engine, *, before: datetime) -> list[str]:
    """Destroys the keys of cases closed before then, and what they sealed; their numbers.

    The key goes first: a crash leaves rows that nothing opens, which the next call removes.
    """
    with transaction(engine) as connection:
        numbers = (
            connection.execute(
                text("""select number from complaint_case where closed_at < :before
                    and (about is not null or exists (select from case_note
                        where case_number = number)) order by number"""),
                {"before": before},
            )
            .scalars()
            .all()
        )
    for number in numbers:
        vault.keys.destroy(key_name(number))
        with transaction(engine) as connection:
            connection.execute(
                text("update complaint_case set about = null where number = :n"), {"n": number}
            )
            connection.execute(text("delete from case_note where case_number = :n"), {"n": number})
    return list(numbers)


# -- sealing ---------------------------------------------------------------------------


def _seal_about(vault: Vault, number: str, about: About) -> bytes:
    body = json.dumps({"subject": about.subject, "customer": about.customer}).encode()
    key = vault.keys.ensure(key_name(number))
    return seal.seal(key, seal.context("case", number), body)


def _about(vault: Vault, number: str, sealed: bytes | None) -> About | None:
    if sealed is None:
        return None
    try:
        key = vault.keys.get(key_name(number))
    except (KeyDestroyed, KeyMissing):
        return None
    said = json.loads(seal.unseal(key, seal.context("case", number), bytes(sealed)))
    return About(said["subject"], said["customer"])


def _case(vault: Vault, row: RowMapping) -> Case:
    values = dict(row)
    values["about"] = _about(vault, row["number"], row["about"])
    return Case(**values)


def _note_context(id: UUID, number: str, recording: UUID | None) -> bytes:
    return seal.context("case-note", str(id), number, str(recording or ""))


def owners(found: Iterable[Case]) -> Sequence[str]:
    """Ids of those who opened, own or closed the cases."""
    return sorted(
        {
            id
            for case in found
            for id in (case.owner, case.opened_by, case.closed_by, case.close_requested_by)
            if id
        }
    )
