"""What a search takes out as a file, a list of hits or an mbox, holds only what may be seen."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.errors import BadFields, NotFound
from archive.model import Actor, Purpose, Query
from tests.clock import Clock
from tests.media import mail
from tests.test_holds import CASE, DPO, HANDLER, case, hold
from tests.test_story import READER

__all__ = ["case"]

AINO = Query(email="aino@esimerkki.example")
ANY = replace(HANDLER, purposes=frozenset(Purpose))


def email(archive: Archive, subject: str, *, days_ago: float = 1, line: str = "posti") -> UUID:
    raw = mail(subject=subject, sender="aino@esimerkki.example")
    at = (archive.now() - timedelta(days=days_ago)).isoformat()
    return archive.receive_email(
        SYSTEM, io.BytesIO(raw), source="pbx", mailbox=line, direction="inbound", received_at=at
    ).id


def listed(archive: Archive, actor: Actor) -> set[str]:
    views = archive.export_hits(actor, AINO, purpose="verification")
    return {view.description.mail.subject or "" for view in views
            if view.description and view.description.mail}  # fmt: skip


def mailed(archive: Archive, actor: Actor) -> set[str]:
    out = b"".join(archive.find_mbox(actor, AINO, purpose="verification"))
    return {subject.decode() for subject in re.findall(rb"(?m)^Subject: (\w+)", out)}


def test_lists_and_mboxes_leave_out_what_their_reader_may_not_see(
    archive: Archive, clock: Clock, case: str
) -> None:
    email(archive, "nahtava")
    email(archive, "vanha", days_ago=100)
    email(archive, "muualla", line="toinen")
    hidden = email(archive, "rajoitettu")
    email(archive, "paattynyt", days_ago=364)
    kept = email(archive, "pidetty", days_ago=364)
    gone = email(archive, "poistettu")
    archive.add_to_case(HANDLER, CASE, kept)
    worker.until_idle(archive)
    everything = {"nahtava", "vanha", "muualla", "rajoitettu", "paattynyt", "pidetty", "poistettu"}
    assert listed(archive, ANY) == mailed(archive, ANY) == everything
    hold(archive, kept)
    archive.erase(READER, gone, reason="private")
    archive.restrict(DPO, hidden, reason="kiistetty")
    clock.advance(timedelta(days=3))
    # Neither the night nor the index has caught up: the catalogue and the clock decide.
    everywhere = replace(DPO, purposes=frozenset(Purpose))
    for reader, seen in (
        (ANY, {"nahtava", "vanha", "muualla"}),
        (replace(ANY, lines=frozenset({"posti"})), {"nahtava", "vanha"}),
        (replace(ANY, lines=frozenset({"posti"}), days_back=30), {"nahtava"}),
    ):
        assert listed(archive, reader) == seen
        assert mailed(archive, reader) == seen
    for nothing in (replace(ANY, lines=frozenset()), replace(ANY, companies=frozenset({"muu"}))):
        assert listed(archive, nothing) == set()
        with pytest.raises(BadFields):
            mailed(archive, nothing)
    for taken in (listed(archive, everywhere), mailed(archive, everywhere)):
        assert {"nahtava", "vanha", "muualla"} <= taken
        assert not taken & {"paattynyt", "poistettu"}
    worker.until_idle(archive)
    archive.expire()
    assert listed(archive, ANY) == mailed(archive, ANY) == {"nahtava", "vanha", "muualla"}
    with pytest.raises(NotFound):
        archive.open(ANY, hidden, purpose="verification")
