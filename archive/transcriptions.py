"""The queue of calls that the installation's own transcriber is to hear. The only SQL about it.

A row belongs to one playback rendition: described anew, a call is due anew. A transcript whose
version is not `made_version` came from its sender, and then nothing is due. Knows no sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

MOST_ATTEMPTS = 3
_GIVEN = """exists (select from rendition given
    left join transcription made on made.recording_id = given.recording_id
    where given.recording_id = p.recording_id and given.name = 'transcript'
      and given.version is distinct from made.made_version)"""


@dataclass(frozen=True, slots=True)
class Due:
    """A call to be heard for the `attempts`th time; `made`: the version of its last transcript."""

    id: UUID
    playback_version: int
    attempts: int
    made: int | None


def note_due(connection: Connection, *, now: datetime, id: UUID | None = None) -> int:
    """Every call that can be played (or this one) waits, unless it was heard as it plays now or
    came with a transcript; how many were added."""
    return connection.execute(
        text(f"""insert into transcription (recording_id, playback_version, state, next_at)
            select p.recording_id, p.version, 'due', :now from rendition p
            where p.name = 'playback' and (cast(:id as uuid) is null or p.recording_id = :id)
              and not {_GIVEN}
            on conflict (recording_id) do update set playback_version = excluded.playback_version,
                state = 'due', attempts = 0, error_code = null, next_at = excluded.next_at
            where transcription.playback_version <> excluded.playback_version"""),  # noqa: S608
        {"now": now, "id": id},
    ).rowcount


def take(connection: Connection, *, now: datetime) -> Due | None:
    """The newest call that is due. It counts as attempted before it is heard, so that one which
    ends its worker each time is given up too; what `MOST_ATTEMPTS` ended is marked here."""
    connection.execute(
        text("""update transcription set state = 'failed',
                error_code = coalesce(error_code, 'killed')
            where state = 'due' and next_at <= :now and attempts >= :most"""),
        {"now": now, "most": MOST_ATTEMPTS},
    )
    row = connection.execute(
        text("""update transcription set attempts = attempts + 1 where recording_id = (
                select t.recording_id from transcription t join recording r on r.id = t.recording_id
                where t.state = 'due' and t.next_at <= :now and r.erasing_at is null
                  and r.expires_at > :now
                order by r.occurred_at desc limit 1)
            returning recording_id, playback_version, attempts, made_version"""),
        {"now": now},
    ).one_or_none()
    return Due(row[0], row[1], row[2], row[3]) if row else None


def later(
    connection: Connection, due: Due, *, at: datetime, code: str | None, counts: bool
) -> None:
    """It is tried again from `at` on. Not `counts`: what failed was not the call."""
    connection.execute(
        text("""update transcription set next_at = :at, error_code = :code,
                attempts = attempts - :less
            where recording_id = :id and playback_version = :version"""),
        {"at": at, "code": code, "less": 0 if counts else 1, "id": due.id,
         "version": due.playback_version},
    )  # fmt: skip


def end(
    connection: Connection, due: Due, *, code: str | None = None, made: int | None = None
) -> None:
    """It was heard (`made`: the version of its transcript, None where nothing was said), or with
    `code` is given up. Nothing happens where it is due anew by now."""
    connection.execute(
        text("""update transcription set state = :state, error_code = :code,
                made_version = coalesce(:made, made_version)
            where recording_id = :id and playback_version = :version"""),
        {"state": "failed" if code else "done", "code": code, "made": made, "id": due.id,
         "version": due.playback_version},
    )  # fmt: skip


def is_given(connection: Connection, id: UUID) -> bool:
    """Whether the call has a transcript that was not made here."""
    found = connection.execute(
        text(f"select {_GIVEN} from rendition p where p.recording_id = :id limit 1"),  # noqa: S608
        {"id": id},
    ).scalar()
    return bool(found)


def state(connection: Connection, id: UUID) -> str | None:
    """ "due", "done" or "failed"; None of a call that was never to be heard, or came with its
    transcript."""
    found = connection.execute(
        text("select state from transcription where recording_id = :id"), {"id": id}
    ).scalar()
    return str(found) if found is not None and not is_given(connection, id) else None


def counts(connection: Connection) -> dict[str, int]:
    """How many are due, done and failed."""
    rows = connection.execute(text("select state, count(*) from transcription group by state"))
    return {"due": 0, "done": 0, "failed": 0} | {str(name): int(n) for name, n in rows}
