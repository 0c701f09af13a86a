"""The one table of rights, and its rules."""

from __future__ import annotations

from dataclasses import fields

import pytest

from archive import permissions
from archive.errors import Forbidden
from archive.model import Actor, Purpose, Query, Scope

CONTENT = {Scope.SEARCH, Scope.READ, Scope.OPEN}


def actor(group: str | None, kind: str = "person") -> Actor:
    return Actor(
        id="1",
        name="x",
        kind=kind,
        group=group,
        scopes=permissions.scopes_of(group),
        purposes=permissions.allowed_purposes(group),
    )


def test_an_unknown_group_may_do_nothing() -> None:
    for group in (None, "", "boss"):
        assert permissions.scopes_of(group) == frozenset()
        assert permissions.allowed_purposes(group) == frozenset()
        for scope in Scope:
            with pytest.raises(Forbidden):
                permissions.require(actor(group), scope)


def test_an_administrator_never_meets_a_recording() -> None:
    assert not permissions.scopes_of("admin") & CONTENT
    assert permissions.allowed_purposes("admin") == frozenset()


def test_only_administrators_administer() -> None:
    holders = [group.name for group in permissions.groups() if Scope.ADMIN in group.scopes]
    assert holders == ["admin"]
    assert Scope.ADMIN not in permissions.TOKEN_SCOPES


def test_nobody_delivers_by_hand() -> None:
    assert not any(Scope.INGEST in group.scopes for group in permissions.groups())


def test_a_complaint_handler_opens_nothing_outside_a_case() -> None:
    assert permissions.allowed_purposes("complaints") == {Purpose.COMPLAINT}
    with pytest.raises(Forbidden):
        permissions.require_purpose(actor("complaints"), Purpose.VERIFICATION)


def test_whoever_opens_has_a_purpose_and_may_read() -> None:
    for group in permissions.groups():
        if Scope.OPEN in group.scopes:
            assert group.purposes
            assert Scope.READ in group.scopes


def test_a_persons_lines_narrow_the_groups_and_never_widen_them() -> None:
    assert permissions.allowed_lines("customer-service", None) is None
    assert permissions.allowed_lines("customer-service", ["viat"]) == {"viat"}
    assert permissions.allowed_lines("customer-service", []) == frozenset()


def test_a_token_that_opens_reads() -> None:
    assert permissions.token_scopes([Scope.OPEN]) == {Scope.OPEN, Scope.READ}
    assert permissions.token_scopes([Scope.SEARCH]) == {Scope.SEARCH}


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(q="lasku"),
        Query(line="viat"),
        Query(customer="1"),
        Query(customer="1*"),
        Query(customer="   "),
        Query(phone="0"),
        Query(phone="040*"),
        Query(phone="withheld"),
        Query(email="@"),
        Query(email="*@example.com"),
        Query(metering_point="6430"),
        Query(case="2026-00001"),
    ],
)
def test_an_agent_does_not_browse(query: Query) -> None:
    with pytest.raises(Forbidden):
        permissions.require_customer(actor("customer-service"), query)
    permissions.require_customer(actor("complaints"), query)
    permissions.require_customer(actor(None, kind="token"), query)


@pytest.mark.parametrize(
    "query",
    [
        Query(customer="100 234 567".replace(" ", "")),
        Query(phone="+358 40 123 4567"),
        Query(phone="(09) 424 560"),
        Query(email="aino@esimerkki.example"),
        Query(metering_point="643007572000012345"),
        Query(metering_point="643007572 000012345", q="lasku"),
    ],
)
def test_an_agent_searches_for_one_customer(query: Query) -> None:
    permissions.require_customer(actor("customer-service"), query)


def test_every_group_says_everything_of_itself() -> None:
    names = {field.name for field in fields(permissions.Group)}
    assert names == {
        "name", "scopes", "purposes", "lines", "companies", "days_back", "needs_customer",
    }  # fmt: skip
