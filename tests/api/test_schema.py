"""The interface against its own description: whatever is sent, an answer that is described.

Requests are made by schemathesis from /api/v1/openapi.json, right ones and wrong ones, always the
same (no chance), with a token that may do everything a token may, and without one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from archive import permissions
from archive.archive import OPERATOR, Archive
from archive.model import Purpose
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav


@schemathesis.serializer("message/rfc822")
def _as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 4  # an operation
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def known(archive: Archive, machine: Machine, clock: Clock) -> dict[str, str]:
    """What there is, by the names of variables in addresses."""
    given_ = metadata(clock, customer_number="100234567")
    id = post_call(machine, given_, audio=wav(0.5)).get_json()["id"]
    machine.work()
    number = archive.open_case(OPERATOR, subject="Lasku")
    archive.add_to_case(OPERATOR, number, UUID(id))
    held = archive.hold(
        OPERATOR, UUID(id), case=number, reason="x",
        review_on=(clock() + timedelta(days=30)).date(),
    )  # fmt: skip
    return {"id": id, "number": number, "hold": str(held.hold.id), "name": "playback"}


def run(
    app: Flask, known: dict[str, str], headers: dict[str, str], examples: int
) -> dict[str, set[int]]:
    """Every operation, a few requests each; the statuses seen, by operation."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    seen: dict[str, set[int]] = {}
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        right, wrong_ones = (
            operation.as_strategy(generation_mode=mode)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        )

        @settings(BOUNDED, max_examples=examples)
        @given(case=st.one_of(right, wrong_ones), existing=st.booleans(), stated=st.booleans())
        def ask(case: Any, existing: bool, stated: bool) -> None:
            if existing:
                case.path_parameters = {
                    name: known.get(name, value) for name, value in case.path_parameters.items()
                }
            extra = dict(headers)
            if stated:
                extra |= {"X-Archive-Purpose": "complaint", "X-Archive-Case": known["number"]}
            answer = case.call(headers=extra)
            seen.setdefault(case.operation.label, set()).add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except (Exception, BaseExceptionGroup) as error:
            wrong.append(f"{operation.label}: {error}"[:1500])
    assert wrong == []
    return seen


def test_whatever_is_sent_with_a_token_is_answered_as_described(
    app: Flask, known: dict[str, str], token_of: Callable[..., Machine]
) -> None:
    everything = token_of(*permissions.TOKEN_SCOPES, purposes=tuple(Purpose), source="pbx")
    seen = run(app, known, everything.headers, EXAMPLES)
    assert not any(status == 401 for statuses in seen.values() for status in statuses)
    assert sum(any(status < 300 for status in found) for found in seen.values()) > 10


def test_whatever_is_sent_without_a_token_is_refused_as_described(
    app: Flask, known: dict[str, str]
) -> None:
    seen = run(app, known, {}, 2)
    # (The description itself is not asked for: it is where the requests come from.)
    assert {label for label, found in seen.items() if min(found) < 400} == set()
    # An address that is none, made of an empty id, is 404 to everybody alike.
    refused = set[int]().union(*seen.values())
    assert refused <= {401, 404, 405} and 401 in refused
