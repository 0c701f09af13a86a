"""What stands out in who opened what is put before those who read the log, until one looked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from archive import audit, unusual
from archive.archive import Archive
from archive.auth import People
from archive.db import transaction
from archive.errors import Forbidden, NotFound
from archive.model import Actor
from tests.clock import Clock
from tests.web.visitor import Visitor


def somebody(people: People, group: str, name: str) -> Actor:
    people.create(name, group, None)
    actor = people.actor_of_session(people.use_one_time(people.one_time_link(name)))
    assert actor is not None
    return actor


def opened(archive: Archive, actor: Actor, at: datetime, n: int) -> None:
    with transaction(archive.engine) as connection:
        for _ in range(n):
            audit.append(connection, at=at, actor=actor, verb="open", recording_id=uuid4())


def test_far_more_than_usual_and_the_night_stand_out_and_nothing_else(
    archive: Archive, people: People, clock: Clock
) -> None:
    aino, irja = (somebody(people, "customer-service", name) for name in ("aino", "irja"))
    for day in (20, 21, 22):
        for actor in (aino, irja):
            opened(archive, actor, datetime(2026, 11, day, 9, tzinfo=UTC), 10)
    opened(archive, aino, datetime(2026, 11, 23, 9, tzinfo=UTC), 41)
    opened(archive, irja, datetime(2026, 11, 23, 9, tzinfo=UTC), 40)
    opened(archive, irja, datetime(2026, 11, 22, 21, tzinfo=UTC), 2)  # 23 in Helsinki
    opened(archive, irja, datetime(2026, 11, 1, 19, 59, tzinfo=UTC), 1)  # 21.59 there
    reader = somebody(people, "auditor", "tarkastaja")
    found = {(f.actor_id, str(f.day), f.kind.value, f.n) for f in archive.unusual(reader)}
    assert found == {(aino.id, "2026-11-23", "many", 41), (irja.id, "2026-11-22", "night", 2)}
    with pytest.raises(Forbidden):
        archive.unusual(aino)


def test_it_stands_there_until_somebody_else_looked(
    archive: Archive, people: People, clock: Clock, app: Any
) -> None:
    dpo = somebody(people, "dpo", "tietosuoja")
    opened(archive, dpo, datetime(2026, 11, 22, 21, tzinfo=UTC), 1)
    (finding,) = archive.unusual(dpo)
    with pytest.raises(Forbidden):
        archive.review_unusual(dpo, finding.key)
    with pytest.raises(NotFound):
        archive.review_unusual(dpo, f"{UUID(int=1)}/2026-11-22/night")
    somebody(people, "auditor", "tarkastaja")
    visitor = Visitor(app.test_client())
    visitor.get(f"/once/{people.one_time_link('tarkastaja')}")
    visitor.get("/audit/unusual")
    assert "tietosuoja" in visitor.page and finding.key in visitor.page
    visitor.submit("/audit/unusual/reviewed", key=finding.key)
    assert "tietosuoja" not in visitor.page
    assert archive.unusual(dpo) == []
    with transaction(archive.engine) as connection:
        (entry,) = audit.entries(connection, audit.Asked(verb=unusual.REVIEWED))
    assert entry.detail == {"of": finding.key}
