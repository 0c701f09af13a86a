"""Emails as conversations, transferred calls as chains, a customer's timeline, and the source."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from archive.conversation import bare_subject
from archive.formats.sniffing import content_type, disguised
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail
from tests.web.conftest import ADDRESS, AINO, HETU, PHONE
from tests.web.visitor import Visitor

BOX = "asiakaspalvelu@sahko.example"


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("Re: Lasku", "lasku"),
        ("VS: Re: RE:  Lasku  maaliskuulta", "lasku maaliskuulta"),
        ("Vl: Fwd: FW: Sv: Aw: lasku", "lasku"),
        ("Re[2]: Lasku", "lasku"),
        ("[Ulkoinen] Vs: Lasku", "lasku"),
        ("Vsop-konjakki", "vsop-konjakki"),
        ("Lasku: vs", "lasku: vs"),
        (None, ""),
    ],
)
def test_a_subject_is_bared_of_what_answering_puts_before_it(
    written: str | None, bare: str
) -> None:
    assert bare_subject(written)[0] == bare


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (b"MZ\x90\x00", "application/x-msdownload"),
        (b"PK\x03\x04....word/document.xml",
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"PK\x03\x04", "application/zip"),
        (b" <!DOCTYPE html>", "text/html"),
        (b"Hei\n", None),
        (b"", None),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_first_bytes(content: bytes, kind: str | None) -> None:
    assert content_type(content) == kind


def test_a_disguise_is_noticed_and_a_kinship_is_none() -> None:
    assert disguised("application/pdf", "application/x-msdownload")
    assert not disguised("application/msword", "application/x-ole-storage")
    assert not disguised("image/jpg", "image/jpeg")
    assert not disguised("text/plain", None)


@pytest.fixture
def deliver(machine: Machine, clock: Clock) -> Callable[..., str]:
    """Delivers an email so many days ago; its id."""
    count = iter(range(100))

    def one(
        days_ago: float, subject: str, *, sender: str = ADDRESS, to: str = BOX, id: str | None,
        answers: str = "", box: str = BOX, direction: str = "inbound", **more: Any,
    ) -> str:  # fmt: skip
        headers = [("In-Reply-To", answers), ("References", answers)] if answers else []
        raw = mail(subject=subject, sender=sender, to=to, message_id=id, headers=headers, **more)
        answer = post_email(
            machine, raw, f"source=pbx&mailbox={box}&direction={direction}",
            **{"X-Archive-Received-At": (clock() - timedelta(days=days_ago)).isoformat(),
               "X-Archive-Source-Ref": f"mail-{next(count)}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.get_data()
        return str(answer.get_json()["id"])

    return one


def joined(page: str) -> list[str]:
    """Ids of the conversation on the page, in its order."""
    found = re.search(r'<nav class="conversation".*?</nav>', page, re.DOTALL)
    return re.findall(r"/recordings/([\w-]{36})", found[0]) if found else []


def test_a_conversation_is_joined_by_ids_and_where_they_lack_by_subject_and_party(
    agent: Visitor, person: Callable[..., Visitor], machine: Machine, deliver: Callable[..., str]
) -> None:
    first = deliver(20, "Lasku", id="<a@posti.example>")
    answer = deliver(19, "Vs: Lasku", sender=BOX, to=ADDRESS, id="<b@sahko.example>",
                     answers="<a@posti.example>", direction="outbound")  # fmt: skip
    elsewhere = deliver(18, "Vs: Lasku", sender="aino@tyo.example", id="<c@tyo.example>",
                        answers="<a@posti.example> <b@sahko.example>")  # fmt: skip
    unnamed = deliver(17, "VS: LASKU", id=None)  # says not what it answers
    other_line = deliver(16, "Vs: Lasku", id="<d@posti.example>", answers="<b@sahko.example>",
                         box="laskutus@sahko.example")  # fmt: skip
    deliver(10, "Lasku", id="<e@posti.example>")  # a new matter of the same name
    deliver(15, "Vs: Lasku", sender="otto@muu.example", id="<f@muu.example>")  # of somebody else
    # An id that a broken sender gives to everything joins nobody.
    deliver(14, "Tarjous", sender="x@muu.example", id="<a@posti.example>")
    machine.work()
    whole = [first, answer, elsewhere, unnamed, other_line]
    for id in whole:
        agent.get(f"/recordings/{id}")
        assert joined(agent.page) == whole, id
    assert "Keskustelu, 5 viestiä" in agent.page
    narrow = person("customer-service", lines=[BOX], name="one-line")
    narrow.get(f"/recordings/{first}")
    assert joined(narrow.page) == whole[:-1]
    noted = [e for e in machine.audit(first) if e["verb"] == "read-conversation"]
    assert noted[-1]["detail"] == {"found": 4}


def test_parts_of_a_transferred_call_are_one_chain_until_the_id_comes_again(
    agent: Visitor, machine: Machine, clock: Clock
) -> None:
    def part(ref: str, hours_ago: float, call_id: str, agent: str) -> str:
        at = (clock() - timedelta(hours=hours_ago)).isoformat()
        made = post_call(machine, metadata(clock, source_ref=ref, call_id=call_id, agent=agent,
                                           occurred_at=at, customer_number=AINO))  # fmt: skip
        return str(made.get_json()["id"])

    first, second = part("1", 5, "77", "Matti"), part("2", 4.9, "77", "Ville")
    part("3", 24 * 30, "77", "Tiina")
    part("4", 5, "78", "Olli")
    machine.work()
    agent.get(f"/recordings/{second}")
    assert joined(agent.page) == [first, second]
    assert "Puhelu 2 osassa" in agent.page


def test_the_source_of_an_email_is_shown_for_a_stated_purpose_alone(
    agent: Visitor, machine: Machine, email: dict[str, Any], call: dict[str, Any]
) -> None:
    path = f"/recordings/{email['id']}/source"
    agent.get(path)
    assert "Otsikkokentät</h2>" not in agent.page
    assert not [e for e in machine.audit(email["id"]) if e["verb"] == "open"]
    agent.get(f"/recordings/{email['id']}")
    agent.submit(f"/recordings/{email['id']}/purpose", purpose="verification")
    before = len([e for e in machine.audit(email["id"]) if e["verb"] == "open"])
    agent.get(agent.links(r"/source\?view=")[0])
    assert "Message-ID: &lt;1@esimerkki.example&gt;" in agent.page
    assert HETU not in agent.page
    assert "&lt;script&gt;" in agent.page and "<script>alert" not in agent.page
    after = [e for e in machine.audit(email["id"]) if e["verb"] == "open"]
    assert len(after) == before + 1 and after[-1]["purpose"] == "verification"
    view = re.search(r"view=([\w-]+)", agent.page)[1]  # type: ignore[index]
    assert agent.get(f"/recordings/{call['id']}/source?view={view}").status_code == 404


def test_the_envelope_of_the_journal_and_disguised_attachments_are_shown(
    agent: Visitor, machine: Machine, clock: Clock
) -> None:
    raw = mail(attachments=[("lasku.pdf", "application/pdf", b"MZ\x90\x00" + b"\0" * 60)])
    envelope = {"mail_from": "a@posti.example", "rcpt_to": ["piilo@sahko.example"],
                "journal": {"bcc": ["salainen@sahko.example"]}}  # fmt: skip
    made = post_email(machine, raw, **{"X-Archive-Envelope": json.dumps(envelope)}).get_json()
    machine.work()
    agent.get(f"/recordings/{made['id']}")
    for said in ("piilo@sahko.example", "Piilokopiot päiväkirjan mukaan", "salainen@sahko.example",
                 "Sisällöltään: Windows-ohjelma"):  # fmt: skip
        assert said in agent.page, said


def test_a_timeline_shows_everything_of_the_customer(
    agent: Visitor, complaints: Visitor, machine: Machine, call: dict[str, Any], clock: Clock,
    email: dict[str, Any],
) -> None:  # fmt: skip
    at = (clock() - timedelta(days=100)).isoformat()
    older = post_call(machine, metadata(clock, source_ref="older", customer_number=AINO,
                                        occurred_at=at)).get_json()["id"]  # fmt: skip
    machine.work()
    agent.verify(PHONE)  # by phone: the number that the call names leads to the older one
    agent.submit(f"/recordings/{call['id']}/verification", outcome="confirmed", note="Hyvitys")
    agent.verify(PHONE)
    agent.get(agent.links(r"/timeline$")[0])
    assert call["id"] in agent.page and older in agent.page and email["id"] not in agent.page
    assert "Hyvitys" in agent.page and "99 päivää ilman kontakteja" in agent.page
    path = re.search(r'action="(/verify/[\w-]+/timeline)"', agent.page)[1]  # type: ignore[index]
    agent.submit(path, contact=ADDRESS)
    assert email["id"] in agent.page and older in agent.page
    agent.submit(path, contact=HETU)
    assert "Ei lisätty" in agent.page and HETU not in agent.page
    complaints.get("/search")
    assert complaints.get(path).status_code == 403
