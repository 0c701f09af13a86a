"""How long people wait at the desks: verifying, searching, hearing, a conversation: `bench pages`.

A year of generated contacts (the same as for searching) lies in a fresh installation; the pages
are asked for over HTTP by a logged-in person, turn about with a bare page of the same service.
"""

from __future__ import annotations

import io
import itertools
import random
import re
import statistics
import time
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import urllib3
from sqlalchemy import text

from archive import catalogue, documents, keys, retention, worker
from archive.archive import SYSTEM, Archive
from archive.bench import Figure, Rig, _say, rig
from archive.bench.finding import p95
from archive.bench.invented import COMMON, END, PAIR, contacts
from archive.db import quick, transaction
from archive.errors import PartFailed
from archive.model import (
    CallDescription,
    Descriptor,
    Document,
    Kind,
    MailDescription,
    Recording,
    State,
)
from archive.vault import Description, original_key

BATCH = 1_000
ASKED = 40  # of each kind
CUSTOMERS = 100_000
LONG_MINUTES = 180  # of the long call
SOUND = 64 * 1024  # the bytes that a player asks for first
GOAL = 20  # times a bare page; 300 ms where that takes 15
_COLUMNS = """id, kind, state, source, line, direction, occurred_at, received_at, expires_at,
    cohort, bytes, object_key, object_version, object_bytes, header_bytes, envelope_seq,
    envelope_key, reference, wrapped_key, descriptor, description, index_due, attempts"""


# -- a year of contacts ------------------------------------------------------------------


def fill(
    archive: Archive, found: Iterable[Document], *, now: datetime, say: Callable[[str], None]
) -> int:
    """Puts contacts into catalogue and index as if they had come in; how many.

    Their objects are not there: nothing of them is opened.
    """
    made, shift = 0, now - END - timedelta(hours=1)
    pending = iter(found)
    while batch := list(itertools.islice(pending, BATCH)):
        shifted = [replace(each, occurred_at=each.occurred_at + shift) for each in batch]
        live = [d for d in shifted if retention.expires_at(d.occurred_at) > now]
        recordings = [_recording(archive, document) for document in live]
        with transaction(archive.engine) as connection:
            for day in {recording.cohort for recording in recordings}:
                catalogue.ensure_cohort(connection, day)
        _insert(archive, recordings)
        archive.index.put([documents.document(archive.vault, r) for r in recordings])
        made += len(recordings)
        if made // (10 * BATCH) > (made - len(recordings)) // (10 * BATCH):
            say(f"{made} contacts")
    with transaction(archive.engine) as connection:
        connection.execute(
            text("""update recording set index_month =
                to_char(occurred_at at time zone 'UTC', 'YYYY-MM') where index_month is null""")
        )
    with archive.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze recording"))
    return made


def _recording(archive: Archive, document: Document) -> Recording:
    vault, expires = archive.vault, retention.expires_at(document.occurred_at)
    day = retention.cohort_of(expires)
    descriptor = Descriptor(
        source=document.source, source_ref=str(document.id), occurred_at=document.occurred_at,
        received_at=document.occurred_at, kind=document.kind, line=document.line,
        direction=document.direction, bytes=1, agent=document.agent,
        caller=next(iter(document.phones), None), customer_number=document.customer,
        metering_point=document.metering_point,
        notes=document.text if document.kind is Kind.CALL else None,
    )  # fmt: skip
    data_key, wrapped = vault.new_data_key(document.id, day)
    return Recording(
        id=document.id, kind=document.kind, state=State.INDEXED, source=document.source,
        line=document.line, direction=document.direction, occurred_at=document.occurred_at,
        received_at=document.occurred_at, expires_at=expires, cohort=day, bytes=1,
        object_key=original_key(day, document.id), object_version=None, object_bytes=1,
        header_bytes=1, envelope_seq=1, envelope_key=None,
        reference=keys.reference_digest(
            archive.keys.ensure("installation/reference"), document.source, str(document.id)
        ),
        wrapped_key=wrapped,
        descriptor=vault.seal_descriptor(data_key, document.id, 1, descriptor),
        description=vault.seal_description(data_key, document.id, _description(document)),
        index_due=False, attempts=0, error_code=None,
    )  # fmt: skip


def _description(document: Document) -> Description:
    if document.kind is Kind.CALL:
        return Description(call=CallDescription("wav", "pcm", 8000, 2, 60.0, 60.0, True))
    mail = MailDescription(
        message_id=f"{document.id}@esimerkki.example", subject=document.subject,
        from_=document.emails, to=(), cc=(), names=(), date=document.occurred_at, attachments=(),
        parse_errors=(),
    )  # fmt: skip
    return Description(mail=mail, text=document.text)


def _insert(archive: Archive, recordings: Sequence[Recording]) -> None:
    names = [name.strip() for name in _COLUMNS.split(",")]
    with (
        quick(archive.engine) as driver,
        driver.cursor().copy(f"copy recording ({_COLUMNS}) from stdin") as rows,
    ):
        for recording in recordings:
            rows.write_row([getattr(recording, name) for name in names])


def deliver_conversation(archive: Archive, *, mails: int, now: datetime) -> UUID:
    """A conversation of real emails through the intake; the last one's id."""
    last = None
    for n in range(mails):
        message = EmailMessage()
        message["From"], message["To"] = "keskustelija@esimerkki.example", "viat@sahko.example"
        message["Subject"] = "Katko" if n == 0 else "Vs: Katko"
        message["Message-ID"] = f"<k{n}@esimerkki.example>"
        if n:
            message["In-Reply-To"] = f"<k{n - 1}@esimerkki.example>"
            message["References"] = " ".join(f"<k{i}@esimerkki.example>" for i in range(n))
        message.set_content("Milloin sähkö palaa?\n" * 20)
        last = archive.receive_email(
            SYSTEM, io.BytesIO(message.as_bytes()), source="bench", mailbox="viat@sahko.example",
            direction="inbound", received_at=(now - timedelta(days=mails - n)).isoformat(),
        )  # fmt: skip
    assert last is not None
    return last.id


def deliver_call(archive: Archive, *, now: datetime, minutes: int = 1) -> UUID:
    """A call that can be played."""
    told = {
        "source": "bench",
        "source_ref": f"heard-{minutes}",
        "direction": "inbound",
        "line": "viat",
        "customer_number": "9999999",
        "occurred_at": (now - timedelta(hours=1)).isoformat(),
    }
    return archive.receive_call(SYSTEM, told, io.BufferedReader(_Noise(minutes))).id


class _Noise(io.RawIOBase):
    """Minutes of noise on two channels, all alike, as WAV; never held as a whole."""

    def __init__(self, minutes: int) -> None:
        self._rest = minutes
        self._minute = random.Random(4).randbytes(60 * 8000 * 4)
        head = io.BytesIO()
        with wave.open(head, "wb") as sound:
            sound.setnchannels(2)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.setnframes(minutes * 60 * 8000)
            sound.writeframesraw(b"")
            self._held = head.getvalue()  # before the end, which would correct the length

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._held and self._rest:
            self._held, self._rest = self._minute, self._rest - 1
        given = self._held[: len(into)]
        into[: len(given)] = given
        self._held = self._held[len(given) :]
        return len(given)


# -- asking ------------------------------------------------------------------------------


@dataclass(slots=True)
class Person:
    """Somebody logged in over HTTP."""

    pool: urllib3.HTTPConnectionPool
    cookie: str
    csrf: str

    @classmethod
    def of(cls, bench: Rig, group: str) -> Person:
        """A new user of the group, by a one-time login."""
        people = bench.assembly.people
        people.create(group, group, "katkeamaton sähkö 17")
        pool = urllib3.HTTPConnectionPool("127.0.0.1", bench.port, maxsize=1, retries=False)
        answer = pool.request("GET", f"/once/{people.one_time_link(group)}", redirect=False)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        page = pool.request("GET", "/password", headers={"Cookie": cookie}).data.decode()
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        if found is None:
            raise PartFailed(part="The web service", reason="it did not log a person in")
        person = cls(pool, cookie, found[1])
        person.post("/commitment", version=people.commitment or "")
        return person

    def get(self, path: str, **headers: str) -> bytes:
        """The body of a page."""
        answer = self.pool.request("GET", path, headers={"Cookie": self.cookie, **headers})
        if answer.status not in {200, 206}:
            raise PartFailed(part="The web service", reason=f"it answered {answer.status}")
        return answer.data

    def post(
        self, path: str, *, accept: str = "text/html", **fields: str
    ) -> urllib3.BaseHTTPResponse:
        """The answer to a form, not followed."""
        body = urlencode({"csrf": self.csrf, **fields})
        headers = {"Cookie": self.cookie, "Accept": accept,
                   "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
        return self.pool.request("POST", path, body=body, headers=headers, redirect=False)

    def follow(self, path: str, **fields: str) -> bytes:
        """A form, and the page that it leads to: from key press to result."""
        return self.get(self.post(path, **fields).headers["Location"])


def measure(count: int) -> Figure:
    """Every kind of waiting, beside the bare page, on so many contacts."""
    with rig(web_workers=1) as bench:
        archive = bench.archive
        now = archive.now()
        fill(archive, contacts(count), now=now, say=_say)
        heard, long, mail = (
            deliver_call(archive, now=now),
            deliver_call(archive, now=now - timedelta(hours=3), minutes=LONG_MINUTES),
            deliver_conversation(archive, mails=8, now=now),
        )
        worker.until_idle(archive)
        return _figures(Person.of(bench, "customer-service"), Person.of(bench, "complaints"),
                        heard, long, mail, count)  # fmt: skip


def _figures(
    agent: Person, handler: Person, heard: UUID, long: UUID, mail: UUID, count: int
) -> Figure:
    dice = random.Random(31)
    static = re.search(rb"/static/app\.css\?v=\w+", agent.get("/verify"))
    if static is None:
        raise PartFailed(part="The web service", reason="its pages have no style")

    def verify() -> None:
        agent.follow("/verify", contact=str(1_000_000 + dice.randrange(CUSTOMERS)))

    def search() -> None:
        handler.follow("/search", q=" ".join(PAIR))

    def search_common() -> None:
        handler.follow("/search", q=COMMON)

    def hear(call: UUID = heard) -> None:
        agent.get(f"/recordings/{call}")
        opened = agent.post(f"/recordings/{call}/open", accept="application/json").json()
        agent.get(opened["url"], Range=f"bytes=0-{SOUND - 1}")

    def hear_long() -> None:
        hear(long)

    def see_long() -> None:
        agent.get(f"/recordings/{long}/peaks")

    def see() -> None:
        agent.get(f"/recordings/{heard}/peaks")

    def conversation() -> None:
        agent.get(f"/recordings/{mail}")

    def bare() -> None:
        agent.get("/password")

    def bare_file() -> None:
        agent.get("/static/vendor/wavesurfer.esm.js", Range=f"bytes=0-{SOUND - 1}")

    kinds: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "verify": (verify, bare),
        "search": (search, bare),
        "search, common word": (search_common, bare),
        "page to first sound": (hear, bare_file),
        "three hours to first sound ÷ a minute's": (hear_long, hear),
        "three hours to first sound ÷ a file": (hear_long, bare_file),
        "three hours' waveform ÷ a minute's": (see_long, see),
        "conversation": (conversation, bare),
    }
    detail: dict[str, object] = {"contacts": count}
    worst = 0.0
    for kind, (own, other) in kinds.items():
        own_ms, other_ms = _turn_about(own, other)
        ratio = p95(own_ms) / p95(other_ms)
        detail[kind] = {
            "ratio": round(ratio, 2), "p50_ms": round(statistics.median(own_ms), 1),
            "p95_ms": round(p95(own_ms), 1), "bare_p95_ms": round(p95(other_ms), 1),
        }  # fmt: skip
        if kind == "verify":
            worst = ratio
    return Figure("pages", "key press to result of verifying ÷ a bare page, 95th percentiles",
                  worst, GOAL, "lower", detail)  # fmt: skip


def _turn_about(
    own: Callable[[], None], other: Callable[[], None]
) -> tuple[list[float], list[float]]:
    own()
    other()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ASKED):
        for which, action in enumerate((own, other)):
            began = time.perf_counter()
            action()
            taken[which].append((time.perf_counter() - began) * 1000)
    return taken
