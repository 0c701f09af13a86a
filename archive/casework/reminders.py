"""Every day: whoever owns a hold whose review is due, or a case past its day, is reminded of it.

Makes notices, and mails of notices; releases and closes nothing. Knows rows and the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from sqlalchemy import Connection, Engine, text

from archive import retention
from archive.casework import holdrows, letters, notices, outgoing
from archive.config import Config
from archive.db import transaction

REMIND_AT = time(7)  # Helsinki
KEEP = timedelta(days=90)


def remind(engine: Engine, *, now: datetime) -> int:
    """Reminds of what is due, at most once a day of each; how many notices that made.

    Before seven in the morning nobody is reminded of the new day's.
    """
    local = retention.local(now)
    today = local.date() if local.time() >= REMIND_AT else local.date() - timedelta(days=1)
    with transaction(engine) as connection:
        notices.sweep(connection, before=now - KEEP)
        made = _reviews(connection, now=now, today=today)
        return made + _cases(connection, now=now, today=today)


def _reviews(connection: Connection, *, now: datetime, today: date) -> int:
    made = 0
    for hold, _ in holdrows.durable(connection, due_on=today):
        made += notices.tell(
            connection,
            notices.reader(connection, hold.owner),
            kind="review-due",
            key=f"review/{hold.id}/{hold.review_on}",
            case=hold.case,
            hold=hold.id,
            recording=hold.recording_id,
            day=hold.review_on,
            now=now,
            on=today,
        )
    return made


def _cases(connection: Connection, *, now: datetime, today: date) -> int:
    rows = connection.execute(
        text("""select number, owner, due_on from complaint_case
            where closed_at is null and due_on <= :today order by due_on, number"""),
        {"today": today},
    ).all()
    return sum(
        notices.tell(
            connection,
            notices.reader(connection, row.owner or ""),
            kind="case-due",
            key=f"case-due/{row.number}/{row.due_on}",
            case=row.number,
            day=row.due_on,
            now=now,
            on=today,
        )
        for row in rows
    )


def compose(engine: Engine, config: Config, *, now: datetime) -> int:
    """Puts one mail a person into the queue about what is new; how many.

    Where no server is named, or the person has no address, the notice on the page is all.
    """
    by_mail = outgoing.server_of(config) is not None
    made = 0
    with transaction(engine) as connection:
        reachable = outgoing.addresses(connection)
        for person, found in notices.take_to_mail(connection).items():
            if not by_mail or person not in reachable:
                continue
            subject, body = letters.letter(
                found, language=config.default_language, url=config.public_url
            )
            outgoing.queue(connection, person, subject, body, now=now)
            made += 1
    return made


def work(engine: Engine, config: Config, *, now: Callable[[], datetime]) -> tuple[int, list[str]]:
    """What the worker does every minute: remind, compose, send; as `outgoing.send_due`."""
    remind(engine, now=now())
    compose(engine, config, now=now())
    server = outgoing.server_of(config)
    return outgoing.send_due(engine, server, now=now) if server else (0, [])
