"""Which one-channel recordings of a call are its two sides: by what their sources said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from archive import pairing
from archive.answers import View
from archive.model import CallDescription, Descriptor, Direction, Kind, State
from archive.vault import Description

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def leg(
    direction: str = "inbound", after_s: float = 0.0, lasts_s: float = 60.0, *, channels: int = 1,
    renditions: tuple[str, ...] = ("playback",), source: str = "pbx", **told: Any,
) -> View:  # fmt: skip
    at = START + timedelta(seconds=after_s)
    call = CallDescription(
        container="wav", codec="pcm_s16le", sample_rate_hz=8000, channels=channels,
        duration_s=lasts_s, claimed_duration_s=None, decodes=True,
    )  # fmt: skip
    said = Descriptor(
        source=source, source_ref="x", occurred_at=at, received_at=at, kind=Kind.CALL,
        line="viat", direction=Direction(direction), **({"call_id": "kutsu"} | told),
    )  # fmt: skip
    return View(
        id=uuid4(), kind=Kind.CALL, state=State.INDEXED, source=source, line="viat",
        direction=said.direction, occurred_at=at, received_at=at,
        expires_at=at + timedelta(days=365), bytes=1, descriptor=said,
        description=Description(call=call), renditions=renditions,
    )  # fmt: skip


def side(name: str) -> dict[str, Any]:
    return {"extra": {"side": name}}


def test_the_longer_one_rules_and_the_agent_is_above() -> None:
    customer = leg(lasts_s=90.0, masked=((5.0, 7.0),), **side("customer"))
    agent = leg(after_s=2.5, **side("agent"))
    found = pairing.other_side(agent, [customer])
    assert found is not None
    assert (found.other, found.names, found.upper) == (customer, ("agent", "customer"), True)
    assert (found.starts_s, found.first_s, found.last_s) == (-2.5, -2.5, 87.5)
    assert found.masked == ((2.5, 4.5),)
    seen = pairing.other_side(customer, [agent])
    assert seen is not None
    assert (seen.names, seen.upper) == (("agent", "customer"), False)
    assert (seen.starts_s, seen.first_s, seen.last_s) == (2.5, 0.0, 90.0)


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({}, {"direction": "outbound"}, ("outbound", "inbound")),
        ({"extra": {"channels": ["customer"]}}, {"extra": {"channels": ["agent"]}},
         ("agent", "customer")),
        (side("agent"), {"direction": "outbound"}, ("agent", "customer")),
    ],
)  # fmt: skip
def test_sides_are_told_by_their_sources_or_by_the_directions(
    one: dict[str, Any], other: dict[str, Any], names: tuple[str, str]
) -> None:
    a, b = leg(**one), leg(**other)
    found = pairing.other_side(a, [a, b])
    assert found is not None and (found.other, found.names) == (b, names)


def test_of_several_the_one_that_shares_most_time_is_the_other_side() -> None:
    seen = leg()
    short, most = leg("outbound", 20.0, 30.0), leg("outbound", 1.0)
    found = pairing.other_side(seen, [short, most])
    assert found is not None and found.other == most


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),  # the same direction
        ({}, {"direction": "internal"}),  # a consultation
        (side("agent"), {"direction": "outbound", **side("agent")}),
        ({}, {"direction": "outbound", "after_s": 40.0}),  # parts of a transferred call
        ({}, {"direction": "outbound", "after_s": 60.0}),
        ({"channels": 2}, {"direction": "outbound"}),
        ({}, {"direction": "outbound", "channels": 2}),
        ({}, {"direction": "outbound", "call_id": "another"}),
        ({}, {"direction": "outbound", "source": "another"}),
        ({"call_id": None}, {"direction": "outbound", "call_id": None}),
        ({}, {"direction": "outbound", "renditions": ()}),
        ({}, {"direction": "outbound", "given_occurred_at": "1970-01-01T00:00:00Z"}),
    ],
)
def test_what_is_no_other_side_is_not_taken_for_one(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert pairing.other_side(leg(**one), [leg(**other)]) is None
    assert pairing.other_side(leg(**other), [leg(**one)]) is None


def test_what_can_no_longer_be_read_is_no_side() -> None:
    gone = replace(leg("outbound"), readable=False)
    assert pairing.other_side(leg(), [gone]) is None
