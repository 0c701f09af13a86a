"""People in front of the pages, and recordings for them to meet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from archive.auth import People
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.web.visitor import PASSWORD, Visitor

AINO = "100234567"
PHONE = "+358401234567"
ADDRESS = "aino@esimerkki.example"
HETU = "131052-308T"


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    """Somebody who has not logged in."""
    return Visitor(app.test_client())


@pytest.fixture
def person(app: Flask, people: People) -> Callable[..., Visitor]:
    """Makes a user of a group, logged in."""

    def make(group: str, *, lines: list[str] | None = None, name: str | None = None) -> Visitor:
        name = name or group
        people.create(name, group, PASSWORD, lines)
        visitor = Visitor(app.test_client())
        assert visitor.log_in(name).status_code == 303
        return visitor

    return make


@pytest.fixture
def agent(person: Callable[..., Visitor]) -> Visitor:
    return person("customer-service")


@pytest.fixture
def complaints(person: Callable[..., Visitor]) -> Visitor:
    return person("complaints")


@pytest.fixture
def admin(person: Callable[..., Visitor]) -> Visitor:
    return person("admin")


@pytest.fixture
def call(machine: Machine, clock: Clock) -> dict[str, Any]:
    """Aino's call of two hours ago, described and findable."""
    answer = post_call(
        machine,
        metadata(
            clock,
            customer_number=AINO,
            caller="040 123 4567",
            agent="Mikko Laine",
            notes=f"Soitti katkosta, hetu {HETU}",
        ),
        audio=wav(6.0, hz=(440, 660)),
    )
    machine.work()
    return dict(answer.get_json())


@pytest.fixture
def email(machine: Machine, clock: Clock) -> dict[str, Any]:
    """Aino's email of yesterday, with HTML that would like to do things, and an attachment."""
    raw = mail(
        subject="Laskun oikaisu",
        text=f"Hei,\n\nlaskussani on virhe. Hetuni on {HETU}.\n\nTerveisin Aino\n",
        html=(
            '<p onclick="alert(1)">Hei, <b>laskussani</b> on virhe</p><script>alert(2)</script>'
            f'<img src="https://example.com/pixel.png"><p>Hetuni on {HETU}</p>'
        ),
        attachments=[("../../lasku.html", "text/html", b"<script>alert(3)</script>")],
    )
    at = (clock() - timedelta(days=1)).isoformat()
    answer = post_email(machine, raw, **{"X-Archive-Received-At": at})
    machine.work()
    return dict(answer.get_json())


@pytest.fixture
def many(machine: Machine, clock: Clock) -> list[str]:
    """Thirty calls of Aino's, newest first."""
    ids = [
        post_call(
            machine,
            metadata(
                clock,
                source_ref=f"many-{n}",
                customer_number=AINO,
                occurred_at=(clock() - timedelta(days=n + 1)).isoformat(),
            ),
        ).get_json()["id"]
        for n in range(30)
    ]
    machine.work()
    return ids
