"""Emails of the corpus by every way mail comes in: HTTP, SMTP and IMAP give the same archive.

Each is given the same bytes, as a mail server passes them on: lines end with CRLF. What may
differ is named in `_comes`, and nothing else does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archive.assembly import Assembly, assemble
from archive.config import Config
from archive.model import Descriptor, Query, Recording
from archive.retention import expires_at
from tests.chaos.sources import SERVICE, HttpEmail, Imap, Item, Smtp, Source
from tests.dovecot import Dovecot, dovecot

SOURCE = "chaos"  # of the token that HTTP delivers with
WAYS = {"HTTP": SOURCE, "SMTP": "smtp", "IMAP": "chaos-imap"}
MOST = 40
MOST_BYTES = 300_000
FINISH_S = 60


@dataclass(frozen=True, slots=True)
class Came:
    """What an archive says of an email that came one way."""

    recording: Recording
    descriptor: Descriptor


def chosen(corpus: Path) -> dict[str, Item]:
    """At most MOST emails by the SHA-256 of what is sent, as many of each project as there are."""
    entries = json.loads((corpus / "manifest.json").read_text("utf-8"))["entries"]
    projects: dict[str, list[str]] = {}
    for entry in entries:
        one = entry["kind"] == "email" and entry.get("mbox_messages", 1) < 2
        if one and (corpus / entry["path"]).exists():
            projects.setdefault(entry["source_repo"], []).append(entry["path"])
    found: dict[str, Item] = {}
    turns = max(map(len, projects.values()), default=0)
    for turn in range(turns):
        for paths in projects.values():
            if turn < len(paths) and len(found) < MOST:
                path = sorted(paths, key=_scattered)[turn]
                raw = _as_sent((corpus / path).read_bytes())
                if _can_travel(raw):
                    found.setdefault(hashlib.sha256(raw).hexdigest(), Item(path, raw))
    return found


def _scattered(path: str) -> bytes:
    """An order that has nothing to do with names, and is the same every time."""
    return hashlib.sha256(path.encode()).digest()


def _as_sent(raw: bytes) -> bytes:
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _can_travel(raw: bytes) -> bool:
    """Whether mail servers take it at all: IMAP knows no NUL, and an .msg is no message."""
    return b"\0" not in raw and len(raw) <= MOST_BYTES and bool(raw.strip())


class _Http(HttpEmail):
    """Says when the email was received, as a program does that reads it from a mailbox."""

    def __init__(self, config: Config, token: str, folder: Path, at: datetime) -> None:
        super().__init__(config, token, folder)
        self._at = at

    def deliver(self, item: Item, pieces: Iterator[bytes]) -> str:
        head = {"Content-Type": "message/rfc822", "X-Archive-Received-At": self._at.isoformat()}
        path = f"/api/v1/emails?source={SOURCE}&mailbox={SERVICE}&direction=inbound"
        return self._post(path, head, pieces, len(item.content))


class _Smtp(Smtp):
    def _pieces(self, content: bytes, *, torn: bool) -> Iterator[bytes]:
        dotted = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        return super()._pieces(dotted, torn=torn)


class _Imap(Imap):
    def __init__(self, config: Config, server: Dovecot, folder: Path, at: datetime) -> None:
        super().__init__(config, server, folder)
        self._at = at

    def send(self, items: list[Item]) -> None:
        with self._server.client() as client:
            for item in items:
                client.append("INBOX", item.content, msg_time=self._at)


def deliver(config: Config, items: Sequence[Item], token: str, folder: Path) -> datetime:
    """Sends them all by every way, from senders of each kind; when they were received."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    with ExitStack() as stack:
        server = stack.enter_context(dovecot())
        senders: list[Source] = [
            _Http(config, token, folder, at),
            _Smtp(config, folder),
            _Imap(config, server, folder, at),
        ]
        for sender in senders:
            stack.callback(sender.close)
            sender.start()
        for sender in senders:
            sender.send(list(items))
        for sender in senders:
            sender.finish(FINISH_S)
    return at


def differences(
    assembly: Assembly,
    rows: Sequence[tuple[Recording, Descriptor]],
    items: Mapping[str, Item],
    *,
    received_at: datetime,
    began: datetime,
) -> list[str]:
    """What is not the same of an email by every way, each as a sentence; [] where all is."""
    by_way: dict[str, dict[str, list[Came]]] = {way: {} for way in WAYS}
    names = {source: way for way, source in WAYS.items()}
    for recording, descriptor in rows:
        if way := names.get(recording.source):
            by_way[way].setdefault(descriptor.sha256, []).append(Came(recording, descriptor))
    wrong: list[str] = []
    counted = Counter[str]()
    for way, came in by_way.items():
        counted[way] = sum(map(len, came.values()))
        for sha256, all_of_it in came.items():
            if sha256 not in items:
                wrong.append(f"{way}: {all_of_it[0].recording.id} was never sent like that")
            elif len(all_of_it) > 1:
                wrong.append(f"{items[sha256].ref}: by {way} {len(all_of_it)} times")
    for sha256, item in items.items():
        said = {}
        for way, came in by_way.items():
            if sha256 not in came:
                wrong.append(f"{item.ref}: did not come by {way} as it was sent")
                continue
            said[way] = _comes(assembly, came[sha256][0])
            wrong += [
                f"{item.ref}: by {way} {problem}"
                for problem in _wrong_time(way, came[sha256][0], received_at, began)
            ]
        wrong += [f"{item.ref}: {problem}" for problem in _unlike(said)]
    told = ", ".join(f"{counted[way]} by {way}" for way in WAYS)
    print(f"{len(items)} emails sent by every way: {told}; {len(wrong)} differences")
    return wrong


def _comes(assembly: Assembly, came: Came) -> dict[str, Any]:
    """Everything that must be the same: all but the source, its reference, envelope and time."""
    recording, descriptor = came.recording, came.descriptor
    description = assembly.archive.vault.description(recording)
    content = hashlib.sha256(assembly.archive.vault.read_all(recording)).hexdigest()
    free = {"source", "source_ref", "occurred_at", "received_at", "envelope", "given_occurred_at"}
    said: dict[str, Any] = {
        field.name: getattr(descriptor, field.name)
        for field in fields(descriptor)
        if field.name not in free
    }
    said |= {"kind": recording.kind, "line": recording.line, "direction": recording.direction}
    said |= {"state": recording.state, "content": content, "text": description and description.text}
    if description is not None and description.mail is not None:
        mail = description.mail
        said |= {f"mail.{field.name}": getattr(mail, field.name) for field in fields(mail)}
        if mail.from_:
            asked = Query(email=mail.from_[0], ids=frozenset({recording.id}))
            said["found by its sender"] = bool(assembly.archive.index.find(asked, limit=1))
    return said


def _unlike(said: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Fields that are not the same by every way."""
    for name in sorted({name for each in said.values() for name in each}):
        values = {way: repr(each.get(name))[:80] for way, each in said.items()}
        if len(set(values.values())) > 1:
            yield f"{name} is " + ", ".join(f"{value} by {way}" for way, value in values.items())


def _wrong_time(way: str, came: Came, received_at: datetime, began: datetime) -> Iterator[str]:
    """HTTP and IMAP say when a mail was received; by SMTP it is now. `Date:` never decides."""
    at = came.recording.occurred_at
    if way == "SMTP":
        if not began - timedelta(seconds=1) <= at <= datetime.now(UTC):
            yield f"its time is {at}, not that of its arrival"
    elif at != received_at:
        yield f"its time is {at}, not {received_at}, when it was received"
    if came.recording.expires_at != expires_at(at):
        yield f"it ends at {came.recording.expires_at}"


def run(
    config: Config,
    corpus: Path,
    *,
    token: str,
    folder: Path,
    work: Callable[[], object],
    rows: Callable[[Assembly], Iterable[tuple[Recording, Descriptor]]],
) -> list[str]:
    """Sends, has the worker work, compares what `rows` finds; the differences."""
    began, since, items = time.monotonic(), datetime.now(UTC), chosen(corpus)
    folder.mkdir()
    at = deliver(config, list(items.values()), token, folder)
    work()
    assembly = assemble(config)
    try:
        found = list(rows(assembly))
        wrong = differences(assembly, found, items, received_at=at, began=since)
    finally:
        assembly.close()
    print(f"by every way in {time.monotonic() - began:.0f} s")
    return wrong
