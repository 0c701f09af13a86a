"""How far each folder of a mail server has been read. The only SQL about it.

Losing these rows loses nothing: the folder is read from its beginning, and what was kept is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Place:
    """The last message that needs no more attention, in the numbering `uidvalidity` names."""

    uidvalidity: int
    last_uid: int


def place(connection: Connection, *, source: str, folder: str) -> Place | None:
    """Where reading stopped; None for a folder that was never read."""
    row = connection.execute(
        text("select uidvalidity, last_uid from mail_folder where source = :s and folder = :f"),
        {"s": source, "f": folder},
    ).first()
    return Place(row.uidvalidity, row.last_uid) if row else None


def note(connection: Connection, *, source: str, folder: str, place: Place, now: datetime) -> None:
    """Remembers where reading is; never backwards within one numbering."""
    connection.execute(
        text("""insert into mail_folder (source, folder, uidvalidity, last_uid, read_at)
            values (:s, :f, :v, :u, :now)
            on conflict (source, folder) do update set read_at = excluded.read_at,
                uidvalidity = excluded.uidvalidity,
                last_uid = case when mail_folder.uidvalidity = excluded.uidvalidity
                    then greatest(mail_folder.last_uid, excluded.last_uid)
                    else excluded.last_uid end"""),
        {"s": source, "f": folder, "v": place.uidvalidity, "u": place.last_uid, "now": now},
    )
