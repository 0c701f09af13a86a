"""What somebody should be told at once: found out, remembered while it lasts, told by its channels.

An alert has a name that never changes, and of what it is (a source, a day): no person, no content.
Each channel is told once when it begins and once when it is over, again until it has heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from archive import sourcebook
from archive.alarms import Alarms
from archive.casework import emergencies
from archive.db import reading, transaction
from archive.erasure.expiry import database_now, last_finished

NAMES: Mapping[str, str] = {
    "source-silent": "nothing has come from the source for an hour in which recordings are usual",
    "source-differs": "what the source announced is not what is kept",
    "expiry-late": "no expiry run has come to its end for 26 hours",
    "expiry-failed": "the last expiry run could not destroy everything that was due",
    "clock-jump": "the clock of the host was moved",
    "clocks-differ": "the clocks of host and database differ",
    "break-glass": "somebody opened a recording beyond their rights in an emergency; it waits for "
    "data protection's review",
    "alarm": "an alarm about the root key rings; see `archive doctor`",
    "test": "this is a test",
}
LATE = timedelta(hours=26)
DIFFERENCE = timedelta(minutes=2)  # between the clocks of host and database
JUMP_S = 60.0  # the clock against time that passed
LASTS = timedelta(days=1)  # of what happens at one moment: told as over after so long
WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 20, 60, 240))  # the last one repeats
GIVE_UP_AFTER = timedelta(days=5)
_MOMENTARY = frozenset({"clock-jump", "source-differs", "test"})  # ends by the time that passes


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing: what, of what, since when, and until when if it is over."""

    name: str
    of: str
    began_at: datetime
    ended_at: datetime | None = None

    @property
    def meaning(self) -> str:
        """What it says, in English, for monitoring."""
        return NAMES[self.name]


def begin(
    connection: Connection, name: str, of: str, *, now: datetime, channels: tuple[str, ...]
) -> bool:
    """Begins an alert, unless it lasts already; whether it began."""
    assert name in NAMES
    row = connection.execute(
        text("""insert into alert (name, "of", began_at) values (:name, :of, :now)
            on conflict (name, "of") do update set began_at = excluded.began_at, ended_at = null
            where alert.ended_at is not null returning 1"""),
        {"name": name, "of": of, "now": now},
    ).first()
    if row is not None:
        _tell(connection, name, of, channels, now=now)
    return row is not None


def end(
    connection: Connection, name: str, of: str, *, now: datetime, channels: tuple[str, ...]
) -> bool:
    """Ends an alert; whether it lasted."""
    changed = connection.execute(
        text("""update alert set ended_at = :now
            where name = :name and "of" = :of and ended_at is null"""),
        {"name": name, "of": of, "now": now},
    ).rowcount
    if changed:
        _tell(connection, name, of, channels, now=now)
    return bool(changed)


def lasting(connection: Connection) -> list[Alert]:
    """Those that are not over, the oldest first."""
    rows = connection.execute(
        text("""select name, "of", began_at from alert where ended_at is null
            order by began_at, name, "of" """)
    )
    return [Alert(row.name, row.of, row.began_at) for row in rows]


# -- finding out -----------------------------------------------------------------------


class Lookout:
    """Looks at what may be wrong, now and then. One a worker; its clock is watched too."""

    def __init__(
        self,
        engine: Engine,
        alarms: Alarms,
        channels: tuple[str, ...],
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._alarms = alarms
        self._channels = channels
        self._now = now
        self._monotonic = monotonic
        self._before: tuple[datetime, float] | None = None

    def look(self) -> None:
        """Begins what is wrong now, and ends what no longer is."""
        now = self._now()
        jumped = self._jumped(now)
        with reading(self._engine) as connection:
            wrong = set(self._wrong(connection, now))
        with transaction(self._engine) as connection:
            if jumped:
                begin(connection, "clock-jump", "host", now=now, channels=self._channels)
            for name, of in sorted(wrong):
                begin(connection, name, of, now=now, channels=self._channels)
            for one in lasting(connection):
                momentary = one.name in _MOMENTARY
                over = now - one.began_at > LASTS if momentary else (one.name, one.of) not in wrong
                if over:
                    end(connection, one.name, one.of, now=now, channels=self._channels)

    def _wrong(self, connection: Connection, now: datetime) -> Iterator[tuple[str, str]]:
        for source in sourcebook.report(connection, now=now, days=1):
            if source.silent:
                yield "source-silent", source.name
        last = last_finished(connection)
        if last is not None and now - last > LATE:
            yield "expiry-late", "worker"
        failed = connection.execute(
            text("""select certificate->'failed' from expiry_run where certificate is not null
                order by finished_at desc limit 1""")
        ).scalar()
        if failed:
            yield "expiry-failed", "worker"
        if abs(database_now(connection) - now) > DIFFERENCE:
            yield "clocks-differ", "host"
        for emergency in emergencies.unreviewed(connection):
            yield "break-glass", str(emergency)
        for alarm in self._alarms.standing():
            yield "alarm", alarm.name

    def _jumped(self, now: datetime) -> bool:
        passed = self._monotonic()
        before, self._before = self._before, (now, passed)
        if before is None:
            return False
        return abs((now - before[0]).total_seconds() - (passed - before[1])) > JUMP_S


# -- telling ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """One message to one channel: the alert as it was then."""

    id: UUID
    channel: str
    alert: Alert
    made_at: datetime


def _tell(
    connection: Connection, name: str, of: str, channels: tuple[str, ...], *, now: datetime
) -> None:
    for channel in channels:
        connection.execute(
            text("""insert into alert_message
                    (id, channel, name, "of", began_at, ended_at, made_at, next_attempt_at)
                select :id, :channel, name, "of", began_at, ended_at, :now, :now
                from alert where name = :name and "of" = :of"""),
            {"id": uuid4(), "channel": channel, "name": name, "of": of, "now": now},
        )


def send_due(
    engine: Engine,
    channels: Mapping[str, Callable[[Told], str]],
    *,
    now: Callable[[], datetime],
    most: int = 50,
) -> tuple[int, list[str]]:
    """Tells what is due, one message a transaction; how many were heard, and codes of failures.

    A channel answers "" where it was heard. A row is locked while its message is on the way; a
    crash after it was heard tells it again, under the same id.
    """
    heard, failed = 0, []
    for _ in range(most):
        with transaction(engine) as connection:
            row = connection.execute(
                text("""select * from alert_message where next_attempt_at <= :now
                    order by next_attempt_at, id for update skip locked limit 1"""),
                {"now": now()},
            ).first()
            if row is None:
                break
            told = Told(
                row.id,
                row.channel,
                Alert(row.name, row.of, row.began_at, row.ended_at),
                row.made_at,
            )
            tell = channels.get(row.channel)
            code = tell(told) if tell is not None else ""  # the channel was taken away
            if not code:
                _heard(connection, row.id)
                heard += tell is not None
                continue
            failed.append(code)
            if now() - row.made_at > GIVE_UP_AFTER:
                _heard(connection, row.id)
                continue
            connection.execute(
                text("""update alert_message set attempts = attempts + 1, next_attempt_at = :next,
                    error_code = :code where id = :id"""),
                {
                    "id": row.id,
                    "code": code,
                    "next": now() + WAITS[min(row.attempts, len(WAITS) - 1)],
                },
            )
    return heard, failed


def waiting(connection: Connection) -> tuple[int, str | None]:
    """How many messages wait, and the code of a failure among them."""
    row = connection.execute(
        text("select count(*) as n, max(error_code) as code from alert_message")
    ).one()
    return row.n, row.code


def _heard(connection: Connection, id: UUID) -> None:
    connection.execute(text("delete from alert_message where id = :id"), {"id": id})
