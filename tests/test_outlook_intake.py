"""Outlook's .msg taken in from files: kept as it is, read as what it says."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archive import reviews
from archive.archive import SYSTEM, Archive
from archive.db import reading
from archive.model import Actor, Purpose, Scope
from archive.sources import folder
from archive.worker import until_idle
from tests import outlook_files as files
from tests.clock import Clock
from tests.machine import Machine
from tests.mail_server import content, kept
from tests.outlook_files import compound, message, text
from tests.test_watch import Watched

RECEIVED = datetime(2026, 11, 18, 7, 0, tzinfo=UTC)
HEADER = (
    "Received: by b.example; Wed, 18 Nov 2026 09:00:00 +0200\r\nDate: {}\r\nSubject: Otsake\r\n"
)
DPO = Actor(
    "person-1", "dpo", "person", "dpo", scopes=frozenset(Scope), purposes=frozenset(Purpose)
)
PDF = b"%PDF-1.4" + b"x" * 5000


def test_a_msg_is_kept_byte_for_byte_and_read_as_the_email_that_it_is(
    archive: Archive,
    machine: Machine,
    clock: Clock,
    token_of: Callable[..., Machine],
    tmp_path: Path,
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    attached = files.attached(("lasku.pdf", "application/pdf", PDF))
    whole = compound(message(files.recipients((1, "Palvelu", "p@sahko.example")), attached))
    (inbox / "Lasku.msg").write_bytes(whole)
    (inbox / "torn.msg").write_bytes(whole[:2000])
    done = folder.ingest(archive, SYSTEM, [inbox], folder.Options(source="pbx", line="posti"))
    assert (done.new, done.refused) == (2, [])
    assert folder.ingest(archive, SYSTEM, [inbox], folder.Options("pbx", "posti")).known == 2
    until_idle(archive)
    by_bytes = {row.bytes: row for row in kept(archive)}
    good, torn = by_bytes[len(whole)], by_bytes[2000]
    assert content(archive, good) == whole
    assert content(archive, torn) == whole[:2000]
    assert good.occurred_at == files.OCCURRED
    with reading(archive.engine) as connection:
        found = reviews.waiting(connection, now=clock(), lines=None, limit=9)
        waiting = {one.id: one.reasons for one in found}
    assert "unread-email" in waiting[torn.id]
    assert good.id not in waiting

    answer = machine.post("/api/v1/recordings/search", {"q": "laskuni väärin"})
    assert [one["id"] for one in answer.get_json()["items"]] == [str(good.id)]
    said = machine.get(f"/api/v1/recordings/{good.id}").get_json()
    assert said["description"]["from"] == ["aino@esimerkki.example"]
    assert said["renditions"] == ["message", "text"]
    assert said["description"]["attachments"][0]["name"] == "lasku.pdf"
    original = machine.content(str(good.id))
    assert (original.mimetype, original.data) == ("application/vnd.ms-outlook", whole)
    assert f"{good.id}-original.msg" in original.headers["Content-Disposition"]
    purpose = {"X-Archive-Purpose": "verification"}
    eml = machine.get(f"/api/v1/recordings/{good.id}/renditions/message", purpose)
    assert eml.mimetype == "message/rfc822"
    assert f"{good.id}-message.eml" in eml.headers["Content-Disposition"]
    assert eml.data.startswith(b"From: Aino Esimerkki <Aino@Esimerkki.example>\r\n")
    assert archive.attachment(DPO, good.id, 0, purpose="verification")[2] == PDF
    shown, all_of_it = archive.source_text(DPO, good.id, purpose="verification")
    assert shown.startswith("From: Aino") and all_of_it

    dpo = token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.ACCESS_REQUEST,))
    asked = {"email": "aino@esimerkki.example"}
    headers = dpo.headers | {"X-Archive-Purpose": "access-request"}
    out = dpo.client.post("/api/v1/recordings/mbox", json=asked, headers=headers)
    (tmp_path / "out.mbox").write_bytes(out.data)
    with closing(mailbox.mbox(tmp_path / "out.mbox", create=False)) as opened:
        assert [one["To"] for one in opened] == ["Palvelu <p@sahko.example>"]

    clock.advance(timedelta(days=400))
    archive.expire()
    assert list(archive.store.list("recordings/")) == []


def test_the_time_of_a_msg_is_the_servers_then_the_senders_then_the_files(
    archive: Archive, tmp_path: Path
) -> None:
    sent = HEADER.partition("\r\n")[2].format("Tue, 17 Nov 2026 10:00:00 +0200")
    cases: dict[str, tuple[Any, datetime]] = {
        "both.msg": (message(text(0x7D, HEADER.format("x"))), RECEIVED),
        "delivered.msg": (message(text(0x7D, sent)), files.OCCURRED),
        "sent.msg": (
            message(text(0x7D, sent), delivered=None), datetime(2026, 11, 17, 8, tzinfo=UTC),
        ),
        "none.msg": (message(delivered=None), datetime(2026, 11, 2, tzinfo=UTC)),
    }  # fmt: skip
    watched = Watched(archive, tmp_path)
    for name, (tree, _) in cases.items():
        path = watched.inbox / name
        path.write_bytes(compound(tree))
        os.utime(path, (datetime(2026, 11, 2, tzinfo=UTC).timestamp(),) * 2)
    watched.look()
    assert watched.look(10).new == 4
    watched.watcher.close()
    told = sorted(row.occurred_at for row in kept(archive))
    assert told == sorted(at for _, at in cases.values())


def test_over_http_a_msg_is_sent_to_the_other_door_and_one_in_disguise_is_still_read(
    machine: Machine, archive: Archive
) -> None:
    raw = compound(message())

    def post(kind: str) -> Any:
        return machine.client.post(
            "/api/v1/emails?source=pbx&mailbox=posti&direction=inbound",
            data=raw,
            headers=machine.headers | {"Content-Type": kind},
        )

    refused = post("application/vnd.ms-outlook")
    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["field"] == "Content-Type"
    assert "archive ingest" in refused.get_json()["errors"][0]["expected"]
    assert post("message/rfc822").status_code == 201
    until_idle(archive)
    [row] = kept(archive)
    assert content(archive, row) == raw
    description = archive.vault.description(row)
    assert description is not None and description.mail is not None
    assert (description.mail.subject, description.mail.container) == ("Lasku on väärin", "outlook")
