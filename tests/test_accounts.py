"""The second factor, step-up, sessions, breached passwords and the commitment, on the pages."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from archive.accounts import passwords, second
from archive.app import create_app
from archive.archive import Archive
from archive.auth import People
from archive.errors import BadCredentials, BadSetting, TooManyAttempts
from tests.clock import Clock
from tests.web.visitor import PASSWORD, Visitor


@pytest.fixture
def strict(engine: Engine, clock: Clock, archive: Archive) -> People:
    """People of an installation that asks administrators for a code, everybody to commit."""
    return People(
        engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"),
        factor_groups=["admin"], commitment="2026-1",
    )  # fmt: skip


def enrol(people: People, name: str, clock: Clock) -> tuple[bytes, list[str]]:
    """A second factor for the user; its secret and recovery codes."""
    actor = people.actor_of_session(people.use_one_time(people.one_time_link(name)))
    assert actor is not None
    secret = people.begin_factor(actor)
    codes = people.confirm_factor(actor, second.code_at(secret, clock()), "10.0.0.9")
    clock.advance(timedelta(seconds=60))
    return secret, codes


def test_codes_are_those_of_the_standards_own_table() -> None:
    """RFC 6238, appendix B: SHA-1, the last six digits."""
    from datetime import UTC, datetime

    secret = b"12345678901234567890"
    for at, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924")):
        assert second.code_at(secret, datetime.fromtimestamp(at, UTC)) == code


def test_with_a_second_factor_a_password_alone_opens_no_page(
    app: Flask, people: People, clock: Clock
) -> None:
    people.create("aino", "customer-service", PASSWORD)
    secret, _codes = enrol(people, "aino", clock)
    visitor = Visitor(app.test_client())
    visitor.client.post("/login", data={"name": "aino", "password": PASSWORD})
    half = visitor.client.get_cookie("archive").value  # type: ignore[union-attr]
    for path in ("/verify", "/account", "/password", "/"):
        answer = visitor.client.get(path)
        assert answer.status_code == 303 and answer.location == "/login/code"
    assert people.actor_of_session(half) is None
    visitor.get("/login/code")
    assert visitor.submit("/login/code", code="000000").status_code == 401
    code = second.code_at(secret, clock())
    assert visitor.submit("/login/code", code=f"{code[:3]} {code[3:]}").status_code == 200
    assert visitor.client.get("/verify").status_code == 200
    whole = visitor.client.get_cookie("archive").value  # type: ignore[union-attr]
    assert whole != half and people.session(half) is None  # the half-way token is worth nothing


def test_no_code_is_taken_twice_nor_an_older_one_after_it(people: People, clock: Clock) -> None:
    people.create("aino", "customer-service", PASSWORD)
    secret, _codes = enrol(people, "aino", clock)
    token, _ = people.login("aino", PASSWORD, "10.0.0.1")
    code, earlier = (second.code_at(secret, clock() - timedelta(seconds=ago)) for ago in (0, 30))
    people.give_code(token, code, "10.0.0.1")
    for used in (code, earlier):
        again, _ = people.login("aino", PASSWORD, "10.0.0.1")
        with pytest.raises(BadCredentials):
            people.give_code(again, used, "10.0.0.1")
    clock.advance(timedelta(seconds=30))
    people.give_code(again, second.code_at(secret, clock()), "10.0.0.1")


def test_a_recovery_code_works_once_in_any_spelling(people: People, clock: Clock) -> None:
    people.create("aino", "customer-service", PASSWORD)
    _secret, codes = enrol(people, "aino", clock)
    assert len(set(codes)) == 10
    token, actor = people.login("aino", PASSWORD, "10.0.0.1")
    people.give_code(token, codes[3].lower().replace("-", " "), "10.0.0.1")
    assert people.factor_of(UUID(actor.id)) == (True, 9)
    again, _ = people.login("aino", PASSWORD, "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.give_code(again, codes[3], "10.0.0.1")


def test_codes_cannot_be_tried_out(people: People, clock: Clock) -> None:
    people.create("aino", "customer-service", PASSWORD)
    secret, _codes = enrol(people, "aino", clock)
    token, _ = people.login("aino", PASSWORD, "10.0.0.1")
    for n in range(5):
        with pytest.raises(BadCredentials):
            people.give_code(token, f"{n:06}", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        people.give_code(token, second.code_at(secret, clock()), "10.0.0.2")


def test_failed_log_ins_are_in_the_log_without_what_was_typed(
    people: People, clock: Clock, engine: Engine
) -> None:
    id = people.create("aino", "customer-service", PASSWORD)
    enrol(people, "aino", clock)
    token, _ = people.login("aino", PASSWORD, "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.login("aino", "wrong password 1", "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.login("nobody.known", "wrong password 2", "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.give_code(token, "123456", "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.use_one_time("x" * 43)
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select detail, t::text as whole from audit_event t "
                "where verb = 'refuse-log-in' order by id"
            )
        ).all()
    assert [row.detail for row in rows] == [
        {"by": "password", "person": str(id)},
        {"by": "password", "person": None},
        {"by": "code", "person": str(id)},
        {"by": "link", "person": None},
    ]
    assert not any(word in row.whole for row in rows for word in ("nobody", "wrong", "123456"))


def test_a_login_link_does_not_pass_by_the_second_factor(people: People, clock: Clock) -> None:
    people.create("aino", "customer-service", PASSWORD)
    enrol(people, "aino", clock)
    token = people.use_one_time(people.one_time_link("aino"))
    assert people.actor_of_session(token) is None
    found = people.session(token)
    assert found is not None and found.lacks == "code"


def test_an_administrator_ends_a_users_sessions(app: Flask, people: People) -> None:
    people.create("aino", "customer-service", PASSWORD)
    people.create("pomo", "admin", PASSWORD)
    aino, pomo = Visitor(app.test_client()), Visitor(app.test_client())
    aino.log_in("aino")
    pomo.log_in("pomo")
    id = next(p.id for p in people.people() if p.name == "aino")
    pomo.get(f"/admin/people/{id}")
    assert pomo.submit(f"/admin/people/{id}/sessions/end").status_code == 200
    assert aino.client.get("/verify").status_code == 303
    assert pomo.client.get("/admin").status_code == 200


def test_no_session_is_fixed_before_the_log_in(app: Flask, people: People) -> None:
    """A cookie planted before the log-in is worth nothing after it, nor is the one before."""
    people.create("aino", "customer-service", PASSWORD)
    visitor = Visitor(app.test_client())
    planted = "planted-token-of-somebody-else-0123456789abc"
    visitor.client.set_cookie("archive", planted)
    visitor.log_in("aino")
    first = visitor.client.get_cookie("archive").value  # type: ignore[union-attr]
    assert first != planted and people.session(planted) is None
    visitor.client.post("/login", data={"name": "aino", "password": PASSWORD})
    second_ = visitor.client.get_cookie("archive").value  # type: ignore[union-attr]
    assert second_ != first and people.session(first) is None


def test_secret_and_recovery_codes_are_readable_nowhere_in_the_database(
    people: People, clock: Clock, engine: Engine
) -> None:
    people.create("aino", "customer-service", PASSWORD)
    secret, codes = enrol(people, "aino", clock)
    with engine.connect() as connection:
        rows = [
            str(row)
            for table in ("second_factor", "recovery_code", "audit_event")
            for row in connection.execute(text(f"select t::text from {table} t"))
        ]
    everything = "\n".join(rows)
    for private in (secret.hex(), second.written(secret), *codes, codes[0].replace("-", "")):
        assert private not in everything


def test_a_person_takes_a_second_factor_into_use_and_an_administrator_takes_it_away(
    app: Flask, people: People, clock: Clock
) -> None:
    people.create("aino", "customer-service", PASSWORD)
    people.create("pomo", "admin", PASSWORD)
    aino, pomo = Visitor(app.test_client()), Visitor(app.test_client())
    aino.log_in("aino")
    pomo.log_in("pomo")
    aino.get("/account/second-factor")
    aino.submit("/account/second-factor")
    assert "<svg" in aino.page and not re.search(r"<style|\sstyle=", aino.page)
    written = re.search(r"<code>([A-Z2-7]{32})</code>", aino.page)
    assert written is not None
    import base64

    secret = base64.b32decode(written[1])
    assert aino.submit("/account/second-factor/first-code", code="1").status_code == 422
    answer = aino.submit("/account/second-factor/first-code", code=second.code_at(secret, clock()))
    assert answer.status_code == 200 and len(re.findall(r"<li><code>", aino.page)) == 10
    assert second.written(secret) not in aino.get("/account").get_data(as_text=True)
    id = next(p.id for p in people.people() if p.name == "aino")
    pomo.get(f"/admin/people/{id}")
    pomo.submit(f"/admin/people/{id}/second-factor/reset")
    assert people.factor_of(id) == (False, 0)
    assert aino.client.get("/verify").status_code == 303


def test_a_group_that_must_have_a_code_sees_nothing_before_and_everybody_commits_first(
    archive: Archive, strict: People, clock: Clock
) -> None:
    app = create_app(archive, strict)
    strict.create("pomo", "admin", PASSWORD)
    visitor = Visitor(app.test_client())
    visitor.client.post("/login", data={"name": "pomo", "password": PASSWORD})
    assert visitor.client.get("/admin").location == "/commitment"
    visitor.get("/commitment")
    assert visitor.submit("/commitment", version="2025-1").status_code == 400
    visitor.get("/commitment")
    visitor.submit("/commitment", version="2026-1")
    assert visitor.client.get("/admin").location == "/account/second-factor"
    visitor.get("/account/second-factor")
    assert visitor.submit("/admin/people", name="x", group="dpo").status_code == 200
    assert [p.name for p in strict.people()] == ["pomo"]  # the form led to the page, no further
    actor = strict.actor_of_session(
        visitor.client.get_cookie("archive").value  # type: ignore[union-attr]
    )
    assert actor is not None
    assert strict.agreed(UUID(actor.id)) == ("2026-1", clock())
    secret = strict.begin_factor(actor)
    strict.confirm_factor(actor, second.code_at(secret, clock()), "10.0.0.1")
    assert visitor.client.get("/admin").status_code == 200
    newer = People(archive.engine, now=clock, pepper=lambda: b"p", commitment="2027-1")
    found = newer.session(visitor.client.get_cookie("archive").value)  # type: ignore[union-attr]
    assert found is not None and found.lacks == "commitment"


def test_what_is_grave_asks_for_the_password_again_and_then_goes_on(
    app: Flask, people: People, clock: Clock
) -> None:
    people.create("pomo", "admin", PASSWORD)
    visitor = Visitor(app.test_client())
    visitor.log_in("pomo")
    clock.advance(timedelta(minutes=11))
    visitor.get("/admin")
    answer = visitor.submit("/admin/people", name="uusi.agentti", group="complaints", lines="viat")
    assert answer.status_code == 403
    assert len(people.people()) == 1
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', visitor.page))
    assert fields["name"] == "uusi.agentti" and fields["proof_to"] == "/admin/people"
    wrong = visitor.submit("/prove", **(fields | {"proof": "wrong password 1"}))
    assert wrong.status_code == 403 and len(people.people()) == 1
    visitor.get("/account")
    proved = visitor.post("/prove", **(fields | {"proof": PASSWORD}))
    assert (proved.status_code, proved.location) == (307, "/admin/people")  # the same form again
    assert visitor.submit("/admin/people", **(fields | {"proof": PASSWORD})).status_code == 201
    made = next(p for p in people.people() if p.name == "uusi.agentti")
    assert made.lines == ("viat",)
    assert visitor.submit("/admin/people", name="toinen", group="dpo").status_code == 201
    clock.advance(timedelta(minutes=11))
    visitor.get("/admin")
    assert visitor.submit("/admin/people", name="kolmas", group="dpo").status_code == 403


def test_proving_leads_nowhere_else_and_is_throttled(
    app: Flask, people: People, clock: Clock
) -> None:
    people.create("pomo", "admin", PASSWORD)
    visitor = Visitor(app.test_client())
    visitor.log_in("pomo")
    answer = visitor.post("/prove", proof=PASSWORD, proof_to="//evil.example/x")
    assert answer.status_code == 307 and answer.location == "/"
    for _ in range(5):
        visitor.get("/account")
        assert visitor.post("/prove", proof="wrong", proof_to="/").status_code == 403
    assert visitor.post("/prove", proof=PASSWORD, proof_to="/").status_code == 403


def test_sessions_are_listed_and_ended_by_their_person_and_nobody_elses(
    app: Flask, people: People, clock: Clock
) -> None:
    people.create("aino", "customer-service", PASSWORD)
    people.create("irja", "complaints", PASSWORD)
    here, there, irja = (Visitor(app.test_client()) for _ in range(3))
    for visitor, name in ((there, "aino"), (here, "aino"), (irja, "irja")):
        visitor.log_in(name)
        clock.advance(timedelta(minutes=1))
    page = here.get("/account").get_data(as_text=True)
    (address,) = re.findall(r'action="(/account/sessions/[\w-]{36}/end)"', page)
    irja.get("/account")
    assert irja.submit(address).status_code == 404
    assert there.client.get("/verify").status_code == 200
    assert here.submit(address).status_code == 200
    assert there.client.get("/verify").status_code == 303
    assert here.client.get("/verify").status_code == 200


@pytest.mark.parametrize(
    "password",
    ["password1234", "Salasana2026!", "qwertyuiop123", "Helsinki2026", "iloveyou12345",
     "aino.agentti1", "1234567890ab", "aaaaaaaaaaaa"],
)  # fmt: skip
def test_passwords_that_are_tried_first_are_refused(password: str) -> None:
    assert [error.field for error in passwords.errors(password, "aino.agentti")] == ["password"]


@pytest.mark.parametrize(
    "password", [PASSWORD, "kolme vihreää kurkea", "x7!pQ2@mZ9#k", "ä" * 6 + "7kö!lq"]
)
def test_others_do_however_they_are_written(password: str) -> None:
    assert passwords.errors(password, "aino.agentti") == []


def test_a_group_that_there_is_not_stops_the_start(engine: Engine, clock: Clock) -> None:
    with pytest.raises(BadSetting, match="boss"):
        People(engine, now=clock, pepper=lambda: b"p", factor_groups=["boss"])
    with pytest.raises(BadSetting, match="boss"):
        People(engine, now=clock, pepper=lambda: b"p", group_days=[("boss", 3)])
