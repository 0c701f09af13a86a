"""What `archive up` does once before it serves: the first administrator, and the demo.

Everything of the demo goes through the real intake; nothing is written past it.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from archive import catalogue, demo
from archive.archive import SYSTEM, Archive
from archive.auth import People
from archive.db import quick
from archive.errors import ArchiveError
from archive.model import Kind

DEMO_USERS = (
    ("asiakaspalvelija", "customer-service"),
    ("reklamaatiot", "complaints"),
    ("yllapito", "admin"),
    ("tietosuoja", "dpo"),
    ("laatu", "quality-lead"),
)
FIRST_ADMIN = "admin"


def prepare(
    archive: Archive, people: People, *, with_demo: bool, say: Callable[[str], None]
) -> list[tuple[str, str]]:
    """Makes the users that are missing; (name, one-time token) of those who can log in now."""
    if not with_demo:
        return _first_admin(people)
    links = []
    for name, group in DEMO_USERS:
        _ensure(people, name, group)
        links.append((name, people.one_time_link(name)))
    deliver(archive, say=say)
    return links


def _first_admin(people: People) -> list[tuple[str, str]]:
    """A one-time login for the first administrator, while there is nobody."""
    if people.people():
        return []
    _ensure(people, FIRST_ADMIN, "admin")
    return [(FIRST_ADMIN, people.one_time_link(FIRST_ADMIN))]


def _ensure(people: People, name: str, group: str) -> None:
    """The user, without a password: the way in is a one-time login, then one they choose."""
    if all(person.name != name for person in people.people()):
        people.create(name, group, None)


def deliver(archive: Archive, *, say: Callable[[str], None]) -> int:
    """Delivers the samples, once: those of an earlier start stay as they are."""
    samples = list(demo.samples(archive.now()))
    first = archive.reference(demo.SOURCE, samples[0].metadata["source_ref"])
    with quick(archive.engine) as connection:
        if catalogue.is_known(connection, first):
            return 0
    say("delivering sample calls and emails")
    made = 0
    for sample in samples:
        content = io.BytesIO(sample.content)
        try:
            if sample.kind is Kind.CALL:
                made += archive.receive_call(SYSTEM, sample.metadata, content).created
            else:
                made += archive.receive_email(SYSTEM, content, **sample.metadata).created
        except ArchiveError as error:
            say(f"sample not delivered: {error.message}")
    return made
