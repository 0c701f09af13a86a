"""What people do at the desks: verify, search, walk a list, listen, read, work on a complaint."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from archive.archive import Archive
from archive.web.verify import candidates
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.web.conftest import ADDRESS, AINO, HETU
from tests.web.visitor import Visitor

NO_CONTACTS = "Kontakteja ei löytynyt"


def openings(machine: Machine, id: str) -> list[tuple[str, str | None]]:
    """Purposes and cases for which the recording was opened, by the audit log."""
    return [(e["purpose"], e["case_number"]) for e in machine.audit(id) if e["verb"] == "open"]


# -- verifying -------------------------------------------------------------------------


@pytest.mark.parametrize("contact", [AINO, f" {AINO} ", "0401234567", "+358 40 123 4567"])
def test_an_agent_finds_the_customers_call_by_what_the_customer_tells(
    agent: Visitor, call: dict[str, Any], contact: str
) -> None:
    agent.verify(contact)
    assert call["id"] in agent.page
    assert "Mikko Laine" in agent.page
    assert "ti 24.11.2026 klo 12.00" in agent.page  # Helsinki time, the Finnish way
    assert "data-player" in agent.page


def test_an_agent_finds_an_email_by_its_sender(agent: Visitor, email: dict[str, Any]) -> None:
    agent.verify(ADDRESS.upper())
    assert email["id"] in agent.page
    assert "Laskun oikaisu" in agent.page


@pytest.mark.parametrize("name", ["Aino Esimerkki", "esimerkki, aino", "Aino Esimerki"])
def test_an_agent_finds_an_email_by_the_customers_name(
    agent: Visitor, email: dict[str, Any], name: str
) -> None:
    agent.verify(name)
    assert email["id"] in agent.page


def test_no_name_or_number_stands_in_an_address(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get("/verify")
    answer = agent.post("/verify", contact=AINO)
    assert re.fullmatch(r"/verify/[\w-]{24}", answer.location)
    agent.get(answer.location)
    assert not [link for link in agent.links(".") if AINO in link or "401234567" in link]


def test_a_search_says_how_it_was_understood_and_each_piece_can_be_taken_away(
    complaints: Visitor, call: dict[str, Any], email: dict[str, Any]
) -> None:
    complaints.get("/search")
    complaints.submit("/search", q="lasku eilen", kind="email")
    assert "Ymmärrettiin näin:" in complaints.page
    assert "ma 23.11.2026" in complaints.page
    assert email["id"] in complaints.page
    complaints.submit("/search", q="lasku tänään TAI eilen foo:bar")
    assert "Ei hakutuloksia" in complaints.page
    assert "Tällaista kenttää ei ole; se luettiin sanana: foo" in complaints.page
    complaints.submit("/search", q="katko tänään linja:viat", direction="inbound")
    taken = "katko linja:viat"
    assert call["id"] in complaints.page
    without = re.findall(r'action="(/search/[\w-]{24}/without)"', complaints.page)
    complaints.submit(without[0], name="q", piece="1")
    assert call["id"] in complaints.page
    assert "ti 24.11.2026</li>" not in complaints.page
    complaints.get(complaints.links("/edit$")[0])
    assert f'value="{taken}"' in complaints.page
    complaints.submit(without[0], name="direction")
    complaints.get(complaints.links("/edit$")[0])
    assert '<option value="inbound" selected>' not in complaints.page
    assert complaints.post(without[0], name="q", piece="9").status_code == 404


def test_hits_are_marked_and_counts_narrow_the_search(
    complaints: Visitor, call: dict[str, Any], email: dict[str, Any]
) -> None:
    complaints.get("/search")
    complaints.submit("/search", q="lasku")
    assert "<mark>Laskun</mark> oikaisu" in complaints.page
    assert "on virhe" not in complaints.page  # what the email says is not for the list
    complaints.submit("/search", q="katko")
    assert 'class="excerpt">Soitti <mark>katkosta</mark>' in complaints.page
    assert HETU not in complaints.page
    complaints.submit("/search", line="viat")
    complaints.submit("/search")
    assert "/narrow" not in complaints.page  # counted when somebody wants to narrow
    (wish,) = complaints.links(r"/search/[\w-]{24}\?narrow=1")
    complaints.get(wish)
    (narrow,) = set(re.findall(r'action="(/search/[\w-]{24}/narrow)"', complaints.page))
    assert re.search(r'value="email">Sähköposti\s*<span class="muted">1</span>', complaints.page)
    complaints.submit(narrow, name="attachment", value="yes")
    assert email["id"] in complaints.page
    assert call["id"] not in complaints.page
    complaints.submit(narrow, name="month", value="2026-11")
    assert call["id"] in complaints.page
    assert complaints.post(narrow, name="month", value="soon").status_code == 422
    assert complaints.post(narrow, name="customer", value=AINO).status_code == 404
    complaints.submit("/search", customer=AINO)
    assert "Muut tämän asiakasnumeron kontaktit" in complaints.page


def test_back_and_reload_find_the_same_list(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get("/verify")
    address = agent.post("/verify", contact=AINO).location
    agent.get(address)
    first = agent.links("/recordings/")
    agent.get(f"/recordings/{call['id']}")
    agent.get(address)
    assert agent.links("/recordings/") == first
    assert call["id"] in first[0]


def test_a_list_belongs_to_the_session_that_made_it(
    agent: Visitor, person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    agent.get("/verify")
    address = agent.post("/verify", contact=AINO).location
    other = person("customer-service", name="other")
    assert other.get(address).status_code == 404


@pytest.mark.parametrize("contact", ["", "   ", "0", "4*", "a@", "a b", HETU, f"hetu {HETU}"])
def test_what_names_no_customer_is_not_searched_by(agent: Visitor, contact: str) -> None:
    answer = agent.verify(contact)
    assert answer.status_code == 422
    assert HETU not in agent.page


def test_nothing_found_says_what_to_do(agent: Visitor) -> None:
    agent.verify("999999")
    assert NO_CONTACTS in agent.page


def test_the_field_knows_what_was_typed() -> None:
    assert candidates("aino@esimerkki.example")[0] == ("email", "aino@esimerkki.example")
    assert candidates("+358 40 123 4567")[0][0] == "phone"
    assert candidates("040 123 4567")[0][0] == "phone"
    assert [name for name, _ in candidates("100234567")] == ["customer", "phone"]
    assert candidates("Virtanen, Aino")[0] == ("q", "nimi:Virtanen nimi:Aino")
    assert candidates("2026-00012")[0] == ("case", "2026-00012")


def test_an_expired_contact_is_not_there(
    agent: Visitor, machine: Machine, call: dict[str, Any], clock: Clock
) -> None:
    clock.advance(timedelta(days=366))
    agent.log_in("customer-service")
    agent.verify(AINO)
    assert NO_CONTACTS in agent.page
    for path in (f"/recordings/{call['id']}", f"/recordings/{call['id']}/peaks"):
        assert agent.get(path).status_code == 404


def test_an_agent_sees_the_lines_that_are_theirs(
    person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    other = person("customer-service", lines=["laskutus"], name="billing")
    other.verify(AINO)
    assert NO_CONTACTS in other.page
    assert other.get(f"/recordings/{call['id']}").status_code == 404
    theirs = person("customer-service", lines=["viat"], name="faults")
    theirs.verify(AINO)
    assert call["id"] in theirs.page


# -- walking a list --------------------------------------------------------------------


def test_next_walks_the_whole_list_across_its_pages(agent: Visitor, many: list[str]) -> None:
    agent.verify(AINO)
    walked = []
    agent.get(agent.links(r"^/recordings/")[0])
    for place in range(1, len(many) + 1):
        walked.append(re.search(r"/recordings/([\w-]+)\?view=\S+\" aria-current", agent.page)[1])  # type: ignore[index]
        assert f"{place} / {len(many)}" in agent.page
        following = re.search(r'rel="next" href="([^"]+)"', agent.page)
        if following:
            agent.get(following[1].replace("&amp;", "&"))
    assert walked == many


def test_a_page_that_was_never_reached_is_not_there(agent: Visitor, many: list[str]) -> None:
    agent.get("/verify")
    address = agent.post("/verify", contact=AINO).location
    agent.get(address)
    assert agent.get(f"{address}?page=2").status_code == 200
    for page in ("3", "0", "-1", "99999999999"):
        assert agent.get(f"{address}?page={page}").status_code == 404


# -- searching -------------------------------------------------------------------------


def test_an_agent_searches_one_customer_at_a_time(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get("/search")
    assert agent.submit("/search", q="lasku").status_code == 422
    assert "yhden asiakkaan" in agent.page
    agent.submit("/search", customer=AINO, line="viat")
    assert call["id"] in agent.page


def test_a_complaint_handler_searches_by_words_and_days(
    complaints: Visitor, email: dict[str, Any], call: dict[str, Any]
) -> None:
    complaints.get("/search")
    complaints.submit("/search", q="laskussa", **{"from": "23.11.2026", "to": "23.11.2026"})
    assert email["id"] in complaints.page and call["id"] not in complaints.page
    complaints.submit("/search", kind="call")
    assert call["id"] in complaints.page and email["id"] not in complaints.page


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"from": "32.1.2026"}, "Kirjoita päivämäärä"),
        ({"from": "1.2.2026", "to": "1.1.2026"}, "Loppu on ennen alkua"),
        ({"from": "1.1.99999"}, "Kirjoita päivämäärä"),
        ({"kind": "fax"}, "Tarkista merkityt kentät"),
        ({"q": HETU}, "Henkilötunnuksella ei voi hakea"),
    ],
)
def test_a_search_that_is_wrong_says_where(
    complaints: Visitor, fields: dict[str, str], says: str
) -> None:
    complaints.get("/search")
    assert complaints.submit("/search", **fields).status_code == 422
    assert says in complaints.page
    assert HETU not in complaints.page


# -- one recording ---------------------------------------------------------------------


def test_a_personal_identity_code_is_masked_wherever_it_was_written(
    agent: Visitor, call: dict[str, Any], email: dict[str, Any]
) -> None:
    agent.get(f"/recordings/{call['id']}")
    assert "Soitti katkosta" in agent.page and HETU not in agent.page
    agent.submit(f"/recordings/{email['id']}/purpose", purpose="verification")
    assert "laskussani on virhe" in agent.page and HETU not in agent.page
    frame = agent.get(agent.links("show=formatted")[0].replace("?", "/email-frame?"))
    assert "laskussani" in frame.get_data(as_text=True)
    assert HETU not in frame.get_data(as_text=True)


def test_playing_is_an_opening_with_its_purpose_in_the_audit_log(
    agent: Visitor, machine: Machine, call: dict[str, Any]
) -> None:
    agent.get(f"/recordings/{call['id']}")
    assert openings(machine, call["id"]) == []
    answer = agent.client.post(
        f"/recordings/{call['id']}/open",
        data={"csrf": agent.csrf()},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 201
    assert openings(machine, call["id"]) == [("verification", None)]
    address = answer.get_json()["url"]
    part = agent.client.get(address, headers={"Range": "bytes=0-99"})
    assert part.status_code == 206 and len(part.data) == 100


def test_an_opening_plays_in_its_own_session_only(
    agent: Visitor, person: Callable[..., Visitor], stranger: Visitor, call: dict[str, Any]
) -> None:
    agent.get(f"/recordings/{call['id']}")
    answer = agent.client.post(
        f"/recordings/{call['id']}/open",
        data={"csrf": agent.csrf()},
        headers={"Accept": "application/json"},
    )
    address = answer.get_json()["url"]
    assert person("customer-service", name="other").client.get(address).status_code == 404
    assert stranger.client.get(address).status_code == 401


def test_without_scripts_the_call_still_plays(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get(f"/recordings/{call['id']}")
    agent.submit(f"/recordings/{call['id']}/open")
    assert re.search(r'<audio controls[^>]* src="/openings/', agent.page)


def test_an_email_is_opened_for_a_purpose_and_shown_harmless(
    agent: Visitor, machine: Machine, email: dict[str, Any]
) -> None:
    agent.verify(ADDRESS)
    assert "laskussani" not in agent.page
    view = re.search(r'name="view" value="([^"]+)"', agent.page)
    assert view is not None
    agent.submit(f"/recordings/{email['id']}/purpose", purpose="verification", view=view[1])
    assert "laskussani on virhe" in agent.page
    assert openings(machine, email["id"]) == [("verification", None)]
    agent.get(agent.links("show=formatted")[0])
    assert re.search(r'<iframe class="message" sandbox title=', agent.page)
    frame = agent.get(f"/recordings/{email['id']}/email-frame?view={view[1]}")
    shown = frame.get_data(as_text=True)
    assert "<b>laskussani</b>" in shown
    assert not re.search(r"script|onclick|pixel\.png|alert", shown)
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "script-src" not in frame.headers["Content-Security-Policy"]
    assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_an_attachment_is_saved_and_never_shown(
    agent: Visitor, machine: Machine, email: dict[str, Any]
) -> None:
    agent.get(f"/recordings/{email['id']}")
    asked = agent.client.get(f"/recordings/{email['id']}/attachments/0")
    assert asked.status_code == 303 and "problem=PurposeRequired" in asked.location
    agent.submit(f"/recordings/{email['id']}/purpose", purpose="verification")
    answer = agent.client.get(agent.links("/attachments/")[0])
    assert answer.data == b"<script>alert(3)</script>"
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert ".." not in answer.headers["Content-Disposition"]


def test_what_does_not_decode_is_explained(agent: Visitor, machine: Machine, clock: Clock) -> None:
    meta = metadata(clock, customer_number=AINO)
    id = post_call(machine, meta, audio=b"no audio at all" * 100).get_json()["id"]
    machine.work()
    agent.get(f"/recordings/{id}")
    assert "Tätä puhelua ei voi kuunnella" in agent.page
    assert "Mitä voi vielä tehdä" in agent.page
    assert "data-player" not in agent.page


def test_what_has_just_arrived_says_so(agent: Visitor, machine: Machine, clock: Clock) -> None:
    id = post_call(machine, metadata(clock, customer_number=AINO)).get_json()["id"]
    agent.get(f"/recordings/{id}")
    assert "sitä käsitellään" in agent.page


def test_what_was_written_is_never_markup(agent: Visitor, machine: Machine, clock: Clock) -> None:
    bad = '<script>alert("x")</script>'
    meta = metadata(
        clock, customer_number=AINO, agent=bad, notes=bad, caller=bad, company=bad, extra={"a": bad}
    )
    id = post_call(machine, meta, audio=wav(1.0)).get_json()["id"]
    machine.work()
    agent.get(f"/recordings/{id}")
    assert "<script>alert" not in agent.page and "&lt;script&gt;alert" in agent.page
    agent.verify(AINO)
    assert "<script>alert" not in agent.page


def test_a_recording_whose_key_is_gone_says_so(
    agent: Visitor, archive: Archive, call: dict[str, Any]
) -> None:
    archive.keys.destroy("cohort/2027-11-24")
    agent.get(f"/recordings/{call['id']}")
    assert "Tallennetta ei voi enää avata" in agent.page


# -- a complaint -----------------------------------------------------------------------


def test_a_complaint_handler_opens_inside_a_case_only(
    complaints: Visitor, machine: Machine, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}"
    complaints.get(path)
    assert "Mihin reklamaatioon" in complaints.page and "data-player" not in complaints.page
    complaints.submit(f"{path}/purpose", purpose="verification")
    assert "Ilmoita käyttötarkoitus" in complaints.page
    complaints.submit(f"{path}/purpose", purpose="complaint", case="2026-00077", action="add")
    assert "ei kuulu tähän reklamaatioon" in complaints.page
    assert openings(machine, call["id"]) == []
    complaints.submit(f"{path}/purpose", purpose="complaint", action="new")
    assert "2026-00001" in complaints.page and "data-player" in complaints.page
    view = re.search(r'name="view" value="([^"]+)"', complaints.page)
    assert view is not None
    complaints.submit(f"{path}/open", view=view[1])
    assert openings(machine, call["id"]) == [("complaint", "2026-00001")]


def test_the_purpose_is_asked_once_for_a_list_and_checked_for_each(
    complaints: Visitor, machine: Machine, call: dict[str, Any], email: dict[str, Any]
) -> None:
    complaints.get("/search")
    complaints.submit("/search", **{"from": "1.11.2026"})
    view = re.search(r'name="view" value="([^"]+)"', complaints.page)
    assert view is not None
    fields = {"purpose": "complaint", "view": view[1]}
    complaints.submit(f"/recordings/{call['id']}/purpose", action="new", **fields)
    assert "data-player" in complaints.page
    complaints.get(f"/recordings/{email['id']}?view={view[1]}")
    assert "ei kuulu tähän reklamaatioon" in complaints.page
    assert "laskussani" not in complaints.page
    complaints.submit(
        f"/recordings/{email['id']}/purpose", action="add", case="2026-00001", **fields
    )
    assert "laskussani on virhe" in complaints.page
    assert openings(machine, email["id"]) == [("complaint", "2026-00001")]


def test_a_complaint_handler_saves_the_original_of_a_case(
    complaints: Visitor, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}"
    complaints.get(path)
    complaints.submit(f"{path}/purpose", purpose="complaint", action="new")
    view = re.search(r'name="view" value="([^"]+)"', complaints.page)
    assert view is not None
    answer = complaints.post(f"{path}/original", view=view[1])
    assert answer.data == wav(6.0, hz=(440, 660))
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_an_agent_saves_no_original(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get(f"/recordings/{call['id']}")
    assert agent.post(f"/recordings/{call['id']}/original").status_code == 303


# -- the wrong person ------------------------------------------------------------------


def test_an_administrator_meets_no_recording(admin: Visitor, call: dict[str, Any]) -> None:
    id = call["id"]
    for path in ("/verify", "/search", f"/recordings/{id}", f"/recordings/{id}/peaks"):
        assert admin.get(path).status_code == 403
    admin.get("/admin")
    for path in ("/verify", "/search", f"/recordings/{id}/open"):
        assert admin.post(path, contact=AINO, customer=AINO).status_code == 403


def test_verifying_is_for_those_whose_work_it_is(complaints: Visitor) -> None:
    assert complaints.get("/verify").status_code == 403
    assert not complaints.links("^/verify")


def test_only_administrators_administer(agent: Visitor, complaints: Visitor) -> None:
    for visitor in (agent, complaints):
        visitor.get("/expiry")
        assert visitor.post("/admin/people", name="x", group="admin").status_code == 403
        assert visitor.post("/admin/tokens", name="x", scope="search").status_code == 403
        assert visitor.get("/admin").status_code == 403
        assert not visitor.links("^/admin")
