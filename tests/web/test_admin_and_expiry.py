"""Administration, the own password, and what goes when."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from flask import Flask

from archive.alarms import Alarms
from archive.archive import Archive
from archive.auth import People
from tests.clock import Clock
from tests.web.visitor import PASSWORD, Visitor


def test_a_new_user_comes_in_by_the_link_and_chooses_a_password(
    admin: Visitor, app: Flask, people: People
) -> None:
    admin.get("/admin")
    assert admin.submit("/admin/people", name="uusi", group="complaints").status_code == 201
    link = re.search(r"/once/[\w-]+", admin.page)
    assert link is not None
    admin.get("/admin")
    assert link[0] not in admin.page

    newcomer = Visitor(app.test_client())
    ahead = newcomer.client.get(link[0], headers={"Sec-Purpose": "prefetch"})
    assert ahead.status_code == 405
    newcomer.get(link[0])
    newcomer.get("/password")
    assert newcomer.submit("/password", new="lyhyt").status_code == 422
    newcomer.submit("/password", new="oikein pitkä salasana")
    assert "Salasana vaihdettiin" in newcomer.page
    assert Visitor(app.test_client()).get(link[0]).status_code == 401
    assert people.login("uusi", "oikein pitkä salasana", "10.0.0.1")


def test_a_user_who_does_not_do_is_refused_with_the_field(admin: Visitor) -> None:
    admin.get("/admin")
    assert admin.submit("/admin/people", name="admin", group="admin").status_code == 409
    assert "Tämänniminen käyttäjä" in admin.page
    assert admin.submit("/admin/people", name="<b>", group="nobody").status_code == 422
    assert "<b>" not in admin.page


def test_an_alarm_stands_on_the_administrators_page_until_it_ends(
    admin: Visitor, archive: Archive
) -> None:
    alarms = Alarms(archive.keys.path)
    alarms.ring("root-rotation", "volume <x> is not mounted", now=archive.now())
    admin.get("/admin")
    assert "Juuriavainta ei ole vaihdettu" in admin.page
    assert "volume &lt;x&gt; is not mounted" in admin.page
    alarms.clear("root-rotation")
    admin.get("/admin")
    assert "Juuriavainta" not in admin.page


def test_disabling_a_user_ends_their_sessions(
    admin: Visitor, agent: Visitor, people: People
) -> None:
    id = next(p.id for p in people.people() if p.name == "customer-service")
    admin.get("/admin")
    admin.submit(f"/admin/people/{id}/disable")
    assert "poistettiin käytöstä" in admin.page
    assert agent.client.get("/verify").status_code == 303


def test_administrators_do_not_lock_themselves_out(admin: Visitor, people: People) -> None:
    id = next(p.id for p in people.people() if p.name == "admin")
    admin.get("/admin")
    admin.submit(f"/admin/people/{id}/disable")
    assert admin.client.get("/admin").status_code == 200


def test_a_token_is_shown_once_and_works_until_revoked(
    admin: Visitor, people: People, app: Flask
) -> None:
    admin.get("/admin")
    assert admin.submit("/admin/tokens", name="vaihde", scope="ingest").status_code == 422
    admin.submit("/admin/tokens", name="vaihde", scope=["search"])
    token = re.search(r"ca_[\w-]{43}", admin.page)
    assert token is not None
    admin.get("/admin")
    assert token[0] not in admin.page
    client, headers = app.test_client(), {"Authorization": f"Bearer {token[0]}"}
    assert client.get("/api/v1/recordings", headers=headers).status_code == 200
    admin.submit(f"/admin/tokens/{people.tokens()[0].id}/revoke")
    assert client.get("/api/v1/recordings", headers=headers).status_code == 401


def test_a_wrong_password_says_so_and_too_many_say_when(stranger: Visitor, people: People) -> None:
    people.create("agent", "customer-service", PASSWORD)
    for _ in range(5):
        answer = stranger.client.post("/login", data={"name": "agent", "password": "x"})
        assert answer.status_code == 401
        assert "väärin" in answer.get_data(as_text=True)
    answer = stranger.client.post("/login", data={"name": "agent", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_logging_out_takes_the_cookie_and_what_was_kept(
    agent: Visitor, call: dict[str, Any]
) -> None:
    agent.get("/verify")
    address = agent.post("/verify", contact="100234567").location
    assert agent.post("/logout").status_code == 303
    assert agent.client.get("/verify").status_code == 303
    agent.log_in("customer-service")
    assert agent.client.get(address).status_code == 404


def test_the_expiry_page_tells_what_went_and_what_goes(
    agent: Visitor, archive: Archive, call: dict[str, Any], email: dict[str, Any], clock: Clock
) -> None:
    agent.get("/expiry")
    assert "ti 23.11.2027" in agent.page and "ke 24.11.2027" in agent.page
    assert "Mitään ei ole vielä vanhentunut" in agent.page
    clock.set(clock().replace(year=2027, hour=1) + timedelta(days=1))
    agent.log_in("customer-service")
    agent.get("/expiry")
    assert "Poistot ovat myöhässä" in agent.page
    archive.expire()
    agent.get("/expiry")
    assert "Poistot ovat myöhässä" not in agent.page
    assert "Vanhenevia tallenteita ei ole" in agent.page


def test_the_expiry_page_names_nobody(agent: Visitor, call: dict[str, Any]) -> None:
    agent.get("/expiry")
    for word in ("100234567", "Mikko", "401234567", call["id"]):
        assert word not in agent.page
