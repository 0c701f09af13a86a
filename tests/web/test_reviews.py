"""What was not understood is seen on one page with its reason, mended and sent on."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from archive.archive import Archive
from archive.db import transaction
from archive.worker import until_idle
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.web.visitor import Visitor

CARD = "4111 1111 1111 1111"
MAIL = (
    f"From: a@example.com\r\nTo: b@example.com\r\nSubject: Kortti {CARD}\r\n\r\n"
    f"Maksoin kortilla {CARD}.\r\n"
).encode()


@pytest.fixture
def dpo(person: Callable[..., Visitor]) -> Visitor:
    return person("dpo")


def reasons(visitor: Visitor) -> list[str]:
    """The reasons on the page, recording by recording."""
    visitor.get("/reviews")
    return [
        ", ".join(re.findall(r"<strong>(.*?)</strong>", part))
        for part in html.unescape(visitor.page).split('<section class="review"')[1:]
    ]


def action(visitor: Visitor, verb: str, n: int = 0) -> str:
    found: list[str] = re.findall(rf'action="(/reviews/[^"]+/{verb})"', visitor.page)
    return found[n]


def test_each_kind_of_trouble_is_listed_with_its_reason_and_gone_when_settled(
    machine: Machine, archive: Archive, clock: Clock, dpo: Visitor
) -> None:
    assert "Selvitettävää ei ole." in dpo.get("/reviews").get_data(as_text=True)
    post_call(machine, metadata(clock, source_ref="fine", unheard="field"), wav(0.2))
    post_call(machine, metadata(clock, source_ref="1"), b"noise" * 200)
    post_call(machine, metadata(clock, source_ref="2"), b"")
    post_call(machine, metadata(clock, source_ref="3", customer_number="?"), wav(0.2))
    post_email(machine, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    machine.work()
    assert sorted(reasons(dpo)) == [
        "sähköpostia ei voitu lukea loppuun",
        "tiedoista ei saatu selvää",
        "tyhjä",
        "ääntä ei voi toistaa",
    ]
    dpo.get("/reviews?reason=metadata")
    assert dpo.page.count('class="review"') == 1 and "4 tallennetta odottaa" in dpo.page
    mend = action(dpo, "mend")
    dpo.submit(mend, reason="metadata", customer_number="x")
    assert "Tarkista tämä kenttä." in dpo.page and 'value="x"' in dpo.page
    dpo.submit(mend, reason="metadata")
    assert "Täytä ainakin yksi kenttä." in dpo.page
    dpo.submit(mend, reason="metadata", customer_number="7654321", notes="soitettu takaisin")
    assert "Tiedot lisättiin" in dpo.page and "viimeisten seitsemän päivän aikana: 1." in dpo.page
    machine.work()
    found = machine.post("/api/v1/recordings/search", {"customer": "7654321"}).get_json()["items"]
    assert [one["source_ref"] for one in found] == ["3"]
    dpo.get("/reviews")
    dpo.submit(action(dpo, "again"))
    machine.work()
    assert len(reasons(dpo)) == 3  # it is as it was
    for _ in range(3):
        dpo.submit(action(dpo, "settle"))
    assert reasons(dpo) == []
    until_idle(archive)
    verbs = [entry["verb"] for entry in machine.audit(found[0]["id"])]
    assert verbs.count("settle-review") == 1


def test_a_card_number_raises_a_review_and_stands_in_no_index_log_or_page(
    machine: Machine,
    archive: Archive,
    clock: Clock,
    dpo: Visitor,
    complaints: Visitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    mail = post_email(machine, MAIL).get_json()["id"]
    call = post_call(machine, metadata(clock, notes=f"kortti {CARD}"), wav(0.2)).get_json()["id"]
    later = post_call(machine, metadata(clock, source_ref="l"), wav(0.2)).get_json()["id"]
    machine.work()
    machine.patch(f"/api/v1/recordings/{later}/metadata", {"notes": f"myös {CARD}"})
    told = {"source": "pbx", "source_ref": "t", "notes": CARD}
    machine.post("/api/v1/calls/metadata", told)
    post_call(machine, metadata(clock, source_ref="t"), wav(0.2))
    machine.work()
    assert reasons(dpo) == ["sisältää kortin numeron"] * 4
    for visitor in (dpo, complaints):
        for path in (f"/recordings/{mail}", f"/recordings/{call}", "/reviews"):
            visitor.get(path)
            assert "1111" not in visitor.page
    complaints.get("/search")
    complaints.submit("/search", q="Maksoin")
    assert "Kortti *" in complaints.page
    assert "1111" not in complaints.page
    for words in (CARD, CARD.replace(" ", ""), "1111"):
        found = machine.post("/api/v1/recordings/search", {"q": words}).get_json()["items"]
        assert found == []
    assert machine.post("/api/v1/recordings/search", {"q": "Maksoin"}).get_json()["items"]
    assert "1111" not in caplog.text


def test_a_stretch_of_a_call_is_silenced_where_it_is_looked_after(
    machine: Machine, clock: Clock, dpo: Visitor
) -> None:
    sent = metadata(clock, notes=CARD, masked=[[1, 2]])
    id = post_call(machine, sent, wav(4)).get_json()["id"]
    machine.work()
    dpo.get("/reviews")
    mend = action(dpo, "mend")
    for wrong in ("0:03", "0:03-0:02", "-"):
        dpo.submit(mend, silence=wrong)
        assert "Tarkista tämä kenttä." in dpo.page and f'value="{wrong}"' in dpo.page
    dpo.submit(mend, silence="0:03–0:04")
    body = machine.get(f"/api/v1/recordings/{id}").get_json()
    assert (body["masked"], body["state"]) == ([[1.0, 2.0], [3.0, 4.0]], "received")


def test_what_waits_is_seen_on_one_s_own_lines_and_ends_with_its_recording(
    machine: Machine,
    archive: Archive,
    clock: Clock,
    dpo: Visitor,
    person: Callable[..., Visitor],
    complaints: Visitor,
) -> None:
    post_call(machine, metadata(clock), b"noise" * 200)
    machine.work()
    assert len(reasons(dpo)) == len(reasons(complaints)) == 1
    for group in ("admin", "auditor", "customer-service"):
        other = person(group, name=f"{group}-2")
        assert other.get("/reviews").status_code == 403
        assert not other.links("^/reviews")
    narrow = person("dpo", name="narrow", lines=["laskutus"])
    assert reasons(narrow) == []
    assert narrow.post(action(dpo, "settle")).status_code == 404
    clock.advance(timedelta(days=366))
    archive.expire()
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from review")).scalar_one() == 0


def test_metadata_whose_sound_does_not_come_are_told_by_source(
    machine: Machine, clock: Clock, archive: Archive, person: Callable[..., Any]
) -> None:
    machine.post("/api/v1/calls/metadata", {"source": "pbx", "source_ref": "x", "agent": "Ville"})
    clock.advance(timedelta(hours=2))
    dpo = person("dpo")
    dpo.get("/reviews")
    assert "Tiedot ilman tallennetta" in dpo.page and "Ville" not in dpo.page
