"""The quality lead: draws, hears and scores calls, and never learns whose they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from archive.archive import Archive
from archive.db import transaction
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.web.conftest import HETU
from tests.web.visitor import Visitor

AGENTS = ("Mikko Laine", "Tiina Testaaja", "Ville Varalla")
# Everything that a call brings with it and that says who somebody is.
TELLING = {
    "customer_number": "100234567",
    "caller": "+358401234567",
    "callee": "+358501112233",
    "metering_point": "643007572000044107",
    "contract": "SOP-998877",
    "case": "2026-00017",
    "company": "Verkko Esimerkki Oy",
    "call_id": "kutsu-5544",
    "notes": "Aino Esimerkki Kuusitieltä",
    "file_name": "aino-esimerkki-0401234567.wav",
    "extra": {"channels": ["agent", "Aino Esimerkki"], "queue": "Kuusitie"},
}
FRAGMENTS = (
    "100234567", "100 234 567", "401234567", "40 123 4567", "501112233", "0000044107", "SOP-998877",
    "2026-00017", "Esimerkki", "Aino ", "aino-", "Kuusitie", "kutsu-5544", "Laine", "Testaaja",
    "Varalla",
)  # fmt: skip


@pytest.fixture
def calls(machine: Machine, clock: Clock) -> dict[str, str]:
    """Nine calls of Mikko's and one of each other's on `viat`; one on another line. id: agent."""
    made = {}
    for n, agent in enumerate([AGENTS[0]] * 9 + [AGENTS[1], AGENTS[2]]):
        at = (clock() - timedelta(days=n + 1)).isoformat()
        told = metadata(clock, source_ref=f"ref-{n}", agent=agent, occurred_at=at, **TELLING)
        made[post_call(machine, told, audio=wav(0.5)).get_json()["id"]] = agent
    other = metadata(clock, source_ref="other", line="laskutus", **TELLING)
    post_call(machine, other, audio=wav(0.5))
    machine.work()
    return made


@pytest.fixture
def lead(person: Callable[..., Visitor]) -> Visitor:
    return person("quality-lead")


def draw(lead: Visitor, size: int = 5, when: str = "1.11.–24.11.") -> str:
    """Draws a sample of `viat`; its address."""
    lead.get("/quality")
    return str(lead.post("/quality/samples", line="viat", when=when, size=size).location)


def score(lead: Visitor, call: str, points: tuple[str, ...], note: str = "") -> Any:
    lead.get(call)
    card = re.search(r'name="card" value="([\w-]+)"', lead.page)[1]  # type: ignore[index]
    given = {f"p{n}": point for n, point in enumerate(points)}
    return lead.submit(f"{call}/score", card=card, criteria=len(points), note=note, **given)


def test_no_page_or_answer_of_a_quality_lead_says_who_somebody_is(
    lead: Visitor, calls: dict[str, str], archive: Archive
) -> None:
    seen: list[str] = []

    def look(answer: Any) -> None:
        seen.append(answer.get_data(as_text=True))
        seen.append(str(answer.headers))

    look(lead.get("/quality"))
    lead.submit("/quality/scorecards", name="Puhelu", criteria="Tervehdys\nRatkaisu")
    sample = draw(lead)
    look(lead.get(sample))
    places = lead.links(rf"{sample}/\d+$")
    assert len(places) == 5
    for call in places:
        look(lead.get(call))
        look(lead.get(f"{call}/peaks"))
        opened = lead.client.post(f"{call}/open", data={"csrf": lead.csrf()},
                                  headers={"Accept": "application/json"})  # fmt: skip
        look(opened)
        played = lead.client.get(opened.get_json()["url"], buffered=True)
        assert played.status_code == 200 and played.mimetype == "audio/ogg"
        seen.append(str(played.headers))
        look(score(lead, call, ("4", "5"), note="Hyvä"))
    look(lead.get("/quality"))
    assert "Keskiarvo" in lead.page and "<svg" in lead.page
    for id in calls:  # the pages of others and the interface give nothing
        for path in (f"/recordings/{id}", f"/recordings/{id}/peaks", f"/api/v1/recordings/{id}"):
            answer = lead.get(path)
            assert answer.status_code in {401, 403}
            look(answer)
        assert lead.submit(f"/recordings/{id}/open").status_code == 403
        assert lead.submit(f"/recordings/{id}/original").status_code == 403
    for path in ("/verify", "/search", "/cases", "/holds", "/audit", "/admin"):
        assert lead.get(path).status_code == 403
    everything = "\n".join(seen)
    told = [each for each in FRAGMENTS if each in everything]
    assert told == []


def test_a_sample_is_even_over_the_agents_and_of_the_line_and_days_alone(
    lead: Visitor, calls: dict[str, str], archive: Archive
) -> None:
    draw(lead, size=5)
    with transaction(archive.engine) as connection:
        drawn = connection.execute(text("select recording_id from quality_pick")).scalars().all()
    assert Counter(calls[str(id)] for id in drawn) == {AGENTS[0]: 3, AGENTS[1]: 1, AGENTS[2]: 1}
    lead.get(draw(lead, when="23.11."))
    assert lead.page.count("su 22.11.2026") == 0 and lead.page.count("ma 23.11.2026 klo") == 1
    lead.get("/quality")
    for wrong in ({"when": "joskus"}, {"when": "1.1.2020"}, {"line": "ei-ole"}, {"size": "0"}):
        fields = {"line": "viat", "when": "1.11.–24.11.", "size": "5"} | wrong
        assert lead.submit("/quality/samples", **fields).status_code == 422


def test_a_call_is_scored_again_by_the_card_as_it_was_and_goes_with_its_scores(
    lead: Visitor, person: Callable[..., Visitor], calls: dict[str, str], archive: Archive,
    clock: Clock,
) -> None:  # fmt: skip
    lead.get("/quality")
    lead.submit("/quality/scorecards", name="Puhelu", criteria="Tervehdys\nRatkaisu")
    sample = draw(lead)
    for wrong in (("9", "1"), ("", ""), ("5",)):
        assert score(lead, f"{sample}/1", wrong).status_code == 422
    assert score(lead, f"{sample}/1", ("2", ""), note=HETU).status_code == 422
    assert HETU not in lead.page
    score(lead, f"{sample}/1", ("2", "5"), note="Katso uudelleen")
    score(lead, f"{sample}/1", ("4", ""), note="Parempi")
    lead.get(f"{sample}/1")
    assert "Parempi" in lead.page and "Katso uudelleen" not in lead.page
    lead.get(sample)
    assert "4,0" in lead.page
    lead.get("/quality")
    card = re.search(r'name="instead_of" value="([\w-]+)"', lead.page)[1]  # type: ignore[index]
    lead.submit("/quality/scorecards", name="Puhelu", criteria="Uusi", instead_of=card)
    lead.get(sample)
    assert "4,0" in lead.page
    other = person("quality-lead", name="other")
    assert other.get(sample).status_code == 404
    assert other.get(f"{sample}/1").status_code == 404
    with transaction(archive.engine) as connection:
        sealed = connection.execute(text("select sealed from quality_score")).scalar_one()
    assert b"Parempi" not in bytes(sealed)
    clock.advance(timedelta(days=380))
    archive.expire()
    with transaction(archive.engine) as connection:
        for table in ("quality_score", "quality_pick"):
            left = connection.execute(text(f"select count(*) from {table}")).scalar()
            assert left == 0
