"""Emails handed out as an mbox: of a case, and of a search."""

from __future__ import annotations

import io
import mailbox
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.formats import mbox
from archive.model import Purpose, Scope
from archive.sources import folder
from tests.machine import Machine
from tests.media import mail
from tests.test_evidence import call
from tests.test_holds import CASE, HANDLER


def delivered(archive: Archive, subject: str, text: str = "x\nFrom minulta\n>From\n") -> Any:
    raw = mail(subject=subject, text=text, sender="aino@esimerkki.example")
    return archive.receive_email(
        SYSTEM, io.BytesIO(raw), source="pbx", mailbox="a@sahko.example", direction="inbound"
    ).id


def subjects(raw: bytes, home: Path) -> list[str]:
    path = home / "read.mbox"
    path.write_bytes(raw)
    with closing(mailbox.mbox(path, create=False)) as opened:
        return [str(one["Subject"]) for one in opened]


def test_emails_of_a_case_and_of_a_search_are_handed_out_as_an_mbox(
    archive: Archive, token_of: Callable[..., Machine], home: Path
) -> None:
    archive.open_case(HANDLER, CASE)
    first, second = delivered(archive, "yksi"), delivered(archive, "kaksi")
    outside = delivered(archive, "kolme")
    for id in (first, second, call(archive, "1")):
        archive.add_to_case(HANDLER, CASE, id)
    worker.until_idle(archive)
    desk = token_of(Scope.SEARCH, Scope.OPEN, Scope.CASES, purposes=(Purpose.COMPLAINT,))
    dpo = token_of(Scope.SEARCH, Scope.OPEN, purposes=(Purpose.ACCESS_REQUEST,))
    complaint = {"X-Archive-Purpose": "complaint"}
    whole = desk.get(f"/api/v1/cases/{CASE}/mbox", complaint)
    assert whole.mimetype == "application/mbox"
    assert sorted(subjects(whole.data, home)) == ["kaksi", "yksi"]
    assert "mbox" in [entry["detail"].get("rendition") for entry in desk.audit(str(first))]
    assert desk.get(f"/api/v1/cases/{CASE}/mbox").status_code == 400
    assert dpo.get(f"/api/v1/cases/{CASE}/mbox", complaint).status_code == 403

    def search(machine: Machine, asked: dict[str, Any], **headers: str) -> Any:
        return machine.client.post(
            "/api/v1/recordings/mbox", json=asked, headers=machine.headers | headers
        )

    by = {"email": "aino@esimerkki.example"}
    access = {"X-Archive-Purpose": "access-request"}
    assert len(subjects(search(dpo, by, **access).data, home)) == 3
    assert [e["purpose"] for e in dpo.audit(str(outside)) if e["verb"] == "open"] == [
        "access-request"
    ]
    assert search(dpo, by).status_code == 400
    assert search(dpo, by, **complaint).status_code == 403
    asked = complaint | {"X-Archive-Case": CASE}
    assert search(desk, by, **asked).status_code == 403, "one is not of the case"
    assert subjects(search(desk, by | {"q": "yksi"}, **asked).data, home) == ["yksi"]
    assert search(dpo, {"q": "eiole"}, **access).status_code == 422
    assert search(dpo, by | {"kind": "call"}, **access).status_code == 422


def test_an_mbox_that_was_handed_out_is_read_as_the_same_emails_at_the_same_times(
    home: Path,
) -> None:
    at = datetime(2026, 11, 23, 10, 15, 7, tzinfo=UTC)
    raws = [mail(subject=s, text="x\nFrom minulta\n").rstrip(b"\n") for s in ("yksi", "kaksi")]
    from archive import retention

    path = home / "out.mbox"
    path.write_bytes(b"".join(mbox.written((retention.local(at), raw) for raw in raws)))
    found = list(folder.items(path, folder.Options(), now=at))
    assert [datetime.fromisoformat(item.metadata["received_at"]) for item in found] == [at, at]
    for item, raw in zip(found, raws, strict=True):
        assert item.content is not None
        body = item.content.partition(b"\n")[2].replace(b"\n>From ", b"\nFrom ")
        assert body == raw + b"\n\n" or body == raw + b"\n"
