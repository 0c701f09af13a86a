"""Erasing at once, and proving that something is gone, on the pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from archive.archive import Archive
from tests.clock import Clock
from tests.web.visitor import Visitor


def test_data_protection_erases_a_private_call_and_is_told_both_dates(
    person: Callable[..., Visitor], call: dict[str, Any], archive: Archive
) -> None:
    dpo = person("dpo")
    path = f"/recordings/{call['id']}"
    dpo.get(path)
    assert "Poista tallenne heti" in dpo.page
    dpo.submit(f"{path}/erasure", reason="private")
    assert "Vahvista" in dpo.page  # not without being sure
    dpo.get(path)
    dpo.submit(f"{path}/erasure", reason="private", sure="1")
    assert "Tallenne poistettiin" in dpo.page
    assert "ti 24.11.2026" in dpo.page and "ti 29.12.2026" in dpo.page
    assert dpo.client.get(path).status_code == 404
    assert list(archive.store.list("recordings/")) == []
    dpo.get("/expiry/proof")
    assert call["id"] in dpo.page and "ti 29.12.2026" in dpo.page


def test_whoever_may_not_erase_is_neither_offered_it_nor_obeyed(
    agent: Visitor, call: dict[str, Any]
) -> None:
    path = f"/recordings/{call['id']}"
    agent.get(path)
    assert "Poista tallenne heti" not in agent.page
    assert agent.post(f"{path}/erasure", reason="private", sure="1").status_code == 403
    assert agent.client.get(path).status_code == 200


def test_a_held_recording_is_not_erased_and_the_page_says_why(
    person: Callable[..., Visitor], call: dict[str, Any]
) -> None:
    dpo = person("dpo")
    path = f"/recordings/{call['id']}"
    dpo.get(path)
    dpo.submit(f"{path}/restriction", reason="oikaisu kesken")
    dpo.submit(f"{path}/erasure", reason="art17", sure="1")
    assert "Pura se ensin" in dpo.page
    assert dpo.client.get(path).status_code == 200


def test_the_page_proves_what_is_gone_and_nothing_else(
    admin: Visitor, call: dict[str, Any], archive: Archive, clock: Clock
) -> None:
    admin.get("/expiry")
    (address,) = admin.links(r"^/expiry/proof$")
    admin.get(address)
    admin.submit("/expiry/proof", id="0401234567")
    assert "Tämä ei ole tallenteen tunniste" in admin.page
    for id in (call["id"], str(uuid4())):  # what is alive answers like what never was
        admin.submit("/expiry/proof", id=id)
        assert "ei ole ollut, tai poistoa ei ole todistettu" in admin.page
    clock.advance(timedelta(days=366))
    archive.expire()
    admin.log_in("admin")
    admin.get("/expiry/proof")
    admin.submit("/expiry/proof", id=call["id"])
    assert "Tallenne on poissa" in admin.page
    assert len(re.findall("kunnossa", admin.page)) == 5


def test_the_administrator_sees_what_a_changed_rule_would_do(
    admin: Visitor, agent: Visitor, call: dict[str, Any], archive: Archive
) -> None:
    admin.get("/admin")
    (address,) = admin.links(r"^/admin/retention$")
    admin.get(address)
    assert "Tallennetut noudattavat nykyisiä sääntöjä" in admin.page
    archive.config = replace(archive.config, retention=("kind:call=90",))
    admin.get(address)
    assert "Säännöt poikkeavat" in admin.page and "kind:call" in admin.page
    assert agent.client.get(address).status_code == 403


def test_proofs_are_shown_to_data_protection_and_administration_alone(
    agent: Visitor, complaints: Visitor
) -> None:
    for visitor in (agent, complaints):
        visitor.get("/expiry")
        assert visitor.links(r"^/expiry/proof$") == []
        assert visitor.client.get("/expiry/proof").status_code == 403
        assert visitor.post("/expiry/proof", id=str(uuid4())).status_code == 403


def test_with_four_eyes_one_asks_for_the_erasure_and_another_confirms_it(
    person: Callable[..., Visitor], call: dict[str, Any], archive: Archive
) -> None:
    archive.config = replace(archive.config, erase_four_eyes=True)
    first, second = person("dpo", name="eka"), person("dpo", name="toka")
    path = f"/recordings/{call['id']}"
    first.get(path)
    first.submit(f"{path}/erasure", reason="private", sure="1")
    assert "Tallenteen poistamista pyydettiin" in first.page
    first.get(path)
    assert "Toisen henkilön on vahvistettava se" in first.page
    assert "Vahvista poisto" not in first.page
    first.submit(f"{path}/erasure", reason="private", sure="1")  # not by asking twice
    assert first.client.get(path).status_code == 200
    second.get("/notices")
    assert second.links(f"^{path}$")
    second.get("/expiry/proof")
    assert "eka" in second.page
    second.get(path)
    assert "Vahvista poisto" in second.page
    second.submit(f"{path}/erasure", reason="private", sure="1")
    assert "Tallenne poistettiin" in second.page
    assert second.client.get(path).status_code == 404
    second.get("/expiry/proof")
    assert "Odottaa toista henkilöä" not in second.page


def test_a_wish_to_erase_can_be_taken_back(
    person: Callable[..., Visitor], call: dict[str, Any], archive: Archive
) -> None:
    archive.config = replace(archive.config, erase_four_eyes=True)
    first, second = person("dpo", name="eka"), person("dpo", name="toka")
    path = f"/recordings/{call['id']}"
    first.get(path)
    first.submit(f"{path}/erasure", reason="art17", sure="1")
    second.get(path)
    second.submit(f"{path}/erasure/withdrawal")
    assert "Vahvista poisto" not in second.page and "Poista tallenne heti" in second.page
    second.submit(f"{path}/erasure", reason="art17", sure="1")  # now the first one of two
    assert second.client.get(path).status_code == 200
