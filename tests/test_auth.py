"""Passwords, sessions, one-time logins, machine tokens, and the limits on trying."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from archive.accounts import attempts
from archive.accounts.names import digest
from archive.accounts.passwords import NO_PASSWORD
from archive.auth import ONE_TIME_LIFE, People, machines
from archive.errors import BadCredentials, BadFields, NameTaken, NotFound, TooManyAttempts
from archive.model import Purpose, Scope
from tests.clock import Clock

GOOD = "sähköä riittää 2026"


@pytest.fixture
def agent(people: People) -> str:
    people.create("aino.agentti", "customer-service", GOOD, ["viat"])
    return "aino.agentti"


def everything(engine: Engine) -> str:
    """All rows of the tables about people, as text."""
    tables = ("person", "session", "machine_token", "login_attempt", "one_time_login", "kept_view")
    with engine.connect() as connection:
        return "\n".join(
            str(row)
            for table in tables
            for row in connection.execute(text(f"select t::text from {table} t"))
        )


def test_who_logs_in_is_an_actor_with_the_groups_rights(people: People, agent: str) -> None:
    token, actor = people.login(agent, GOOD, "10.0.0.1")
    assert actor.kind == "person" and actor.group == "customer-service"
    assert actor.lines == {"viat"} and actor.purposes == {Purpose.VERIFICATION}
    assert actor.session == digest(token)
    assert people.actor_of_session(token) == actor


def test_the_name_is_the_same_in_any_case_and_taken_once(people: People, agent: str) -> None:
    people.login(agent.upper(), GOOD, "10.0.0.1")
    with pytest.raises(NameTaken):
        people.create(agent.upper(), "admin", GOOD)


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "uusi.agentti.1", "x" * 300])
def test_a_password_that_does_not_do_is_refused(people: People, password: str) -> None:
    with pytest.raises(BadFields) as refused:
        people.create("Uusi.Agentti.1", "customer-service", password)
    assert [error.field for error in refused.value.errors] == ["password"]


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\x00b", "x" * 65, "<b>"])
def test_a_name_that_does_not_do_is_refused(people: People, name: str) -> None:
    with pytest.raises(BadFields):
        people.create(name, "customer-service", GOOD)


def test_a_wrong_name_fails_like_a_wrong_password(people: People, agent: str) -> None:
    for name, password in (
        (agent, "wrong password 1"),
        ("nobody", GOOD),
        (agent, ""),
        ("\x00", ""),
    ):
        with pytest.raises(BadCredentials):
            people.login(name, password, "10.0.0.1")


def test_nobody_gets_in_without_having_chosen_a_password(people: People) -> None:
    people.create("uusi", "customer-service", None)
    for password in ("", NO_PASSWORD):
        with pytest.raises(BadCredentials):
            people.login("uusi", password, "10.0.0.1")


def test_after_five_failures_a_name_waits_whether_it_exists_or_not(
    people: People, agent: str, clock: Clock
) -> None:
    for name in (agent, "nobody"):
        for _ in range(attempts.ATTEMPTS_BY_NAME):
            with pytest.raises(BadCredentials):
                people.login(name, "wrong", "10.0.0.1")
        with pytest.raises(TooManyAttempts) as waited:
            people.login(name, GOOD, "10.9.9.9")
        assert 0 < (waited.value.retry_after_s or 0) <= 901
    clock.advance(attempts.ATTEMPT_WINDOW + timedelta(seconds=1))
    people.login(agent, GOOD, "10.0.0.1")


def test_one_address_cannot_try_many_names(people: People, agent: str) -> None:
    for n in range(attempts.ATTEMPTS_BY_ADDRESS):
        with pytest.raises(BadCredentials):
            people.login(f"name{n}", "wrong", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        people.login(agent, GOOD, "10.0.0.1")
    people.login(agent, GOOD, "10.0.0.2")


def test_a_crowd_of_attempts_at_once_gets_no_more_tries(people: People, agent: str) -> None:
    outcomes: list[str] = []

    def attempt(n: int) -> None:
        try:
            people.login(agent, "wrong", f"10.0.1.{n}")
        except (BadCredentials, TooManyAttempts) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("BadCredentials") == attempts.ATTEMPTS_BY_NAME
    assert outcomes.count("TooManyAttempts") == 9 - attempts.ATTEMPTS_BY_NAME


def test_a_success_forgets_the_failures_of_the_name(people: People, agent: str) -> None:
    for _ in range(3):
        for _ in range(attempts.ATTEMPTS_BY_NAME - 1):
            with pytest.raises(BadCredentials):
                people.login(agent, "wrong", "10.0.0.1")
        people.login(agent, GOOD, "10.0.0.1")


def test_neither_password_nor_token_nor_address_is_in_the_database(
    people: People, agent: str, engine: Engine
) -> None:
    token, _actor = people.login(agent, GOOD, "192.0.2.77")
    machine = people.create_token("vaihde", scopes=[Scope.INGEST], source="pbx")
    link = people.one_time_link(agent)
    with pytest.raises(BadCredentials):
        people.login("kirjoitti salasanan tähän", "wrong", "192.0.2.77")
    stored = everything(engine)
    for secret in (GOOD, token, machine, link, "192.0.2.77", "kirjoitti"):
        assert secret not in stored
    assert "$argon2id$" in stored


def test_a_one_time_link_works_once(people: People, agent: str) -> None:
    link = people.one_time_link(agent)
    session = people.use_one_time(link)
    found = people.actor_of_session(session)
    assert found is not None and found.name == agent
    for used in (link, "", "x", "\ud800"):
        with pytest.raises(BadCredentials):
            people.use_one_time(used)


def test_a_one_time_link_is_over_after_half_an_hour(
    people: People, agent: str, clock: Clock
) -> None:
    link = people.one_time_link(agent)
    clock.advance(ONE_TIME_LIFE)
    with pytest.raises(BadCredentials):
        people.use_one_time(link)


def test_there_is_no_link_for_who_does_not_exist(people: People) -> None:
    with pytest.raises(BadFields):
        people.one_time_link("nobody")


def test_who_is_disabled_is_out_at_once(people: People, agent: str) -> None:
    token, _actor = people.login(agent, GOOD, "10.0.0.1")
    link = people.one_time_link(agent)
    people.disable(people.people()[0].id)
    assert people.actor_of_session(token) is None
    with pytest.raises(BadCredentials):
        people.login(agent, GOOD, "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.use_one_time(link)
    with pytest.raises(NotFound):
        people.disable(people.people()[0].id)


def test_who_logs_out_is_out(people: People, agent: str) -> None:
    token, _actor = people.login(agent, GOOD, "10.0.0.1")
    people.logout(token)
    assert people.actor_of_session(token) is None
    assert people.csrf(token) == ""


def test_a_new_password_ends_every_other_session(people: People, agent: str) -> None:
    here, actor = people.login(agent, GOOD, "10.0.0.1")
    there, _actor = people.login(agent, GOOD, "10.0.0.2")
    with pytest.raises(BadCredentials):
        people.choose_password(actor, "wrong", "jokin aivan muu 77", address="10.0.0.1")
    people.choose_password(actor, GOOD, "jokin aivan muu 77", address="10.0.0.1")
    assert people.actor_of_session(here) is not None
    assert people.actor_of_session(there) is None
    people.login(agent, "jokin aivan muu 77", "10.0.0.1")


def test_the_first_password_needs_no_old_one(people: People) -> None:
    people.create("admin", "admin", None)
    assert not people.anybody()
    actor = people.actor_of_session(people.use_one_time(people.one_time_link("admin")))
    assert actor is not None and not people.has_password(actor.id)
    people.choose_password(actor, "", GOOD, address="10.0.0.1")
    assert people.anybody() and people.has_password(actor.id)


def test_a_token_is_what_it_was_made_for(people: People) -> None:
    token = people.create_token(
        "vaihde", scopes=["ingest"], source="pbx", lines=["viat"], purpose=["quality"]
    )
    actor = people.actor_of_token(token)
    assert actor is not None and actor.kind == "token" and token.startswith("ca_")
    assert actor.scopes == {Scope.INGEST} and actor.source == "pbx"
    assert actor.lines == {"viat"} and actor.purposes == {Purpose.QUALITY}


@pytest.mark.parametrize(
    ("scopes", "source", "purpose"),
    [
        ([], None, ["verification"]),
        (["ingest"], None, ["verification"]),
        (["admin"], None, ["verification"]),
        (["everything"], None, ["verification"]),
        (["search"], None, ["curiosity"]),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    people: People, scopes: list[str], source: str | None, purpose: list[str]
) -> None:
    with pytest.raises(BadFields):
        people.create_token("x", scopes=scopes, source=source, purpose=purpose)


def test_a_revoked_token_is_over_at_once_here_and_within_seconds_elsewhere(
    people: People, engine: Engine, clock: Clock
) -> None:
    elsewhere = People(engine, now=clock, pepper=lambda: b"p")
    token = people.create_token("x", scopes=["search"])
    assert elsewhere.actor_of_token(token) is not None
    people.revoke_token(people.tokens()[0].id)
    assert people.actor_of_token(token) is None
    clock.advance(machines.TOKEN_CACHE)
    assert elsewhere.actor_of_token(token) is None


def test_a_token_ends_when_it_was_to(people: People, clock: Clock) -> None:
    until = clock() + timedelta(days=1)
    token = people.create_token("x", scopes=["search"], expires_at=until)
    assert people.actor_of_token(token) is not None
    clock.set(until)
    assert people.actor_of_token(token) is None


def test_what_is_over_is_swept_away(
    people: People, agent: str, clock: Clock, engine: Engine
) -> None:
    people.login(agent, GOOD, "10.0.0.1")
    with pytest.raises(BadCredentials):
        people.login(agent, "wrong", "10.0.0.1")
    people.one_time_link(agent)
    clock.advance(timedelta(hours=11))
    people.sweep()
    with engine.connect() as connection:
        for table in ("session", "login_attempt", "one_time_login"):
            assert connection.execute(text(f"select count(*) from {table}")).scalar() == 0


def test_log_ins_and_administration_are_in_the_audit_log(
    people: People, agent: str, engine: Engine
) -> None:
    people.login(agent, GOOD, "10.0.0.1")
    people.create_token("x", scopes=["search"])
    with engine.connect() as connection:
        verbs = connection.execute(text("select verb from audit_event order by id")).scalars().all()
    assert verbs == ["create-person", "log-in", "create-token"]
