"""Finding and opening over HTTP, as the contract says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from archive import retention
from archive.archive import Archive
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav

PURPOSE = {"X-Archive-Purpose": "verification"}


@pytest.fixture
def call(machine: Machine, clock: Clock) -> dict[str, Any]:
    answer = post_call(
        machine,
        metadata(clock, customer_number="1234567", caller="040 123 4567", case="2026-00001"),
        audio=wav(2.0),
    )
    machine.work()
    body: dict[str, Any] = answer.get_json()
    return body


def test_a_described_call_says_what_it_is(machine: Machine, call: dict[str, Any]) -> None:
    seen = machine.get(f"/api/v1/recordings/{call['id']}").get_json()
    assert seen["state"] == "indexed"
    assert seen["description"]["decodes"] is True
    assert seen["description"]["channels"] == 2
    assert seen["description"]["sample_rate_hz"] == 8000
    assert seen["description"]["duration_s"] == pytest.approx(2.0, abs=0.05)
    assert seen["renditions"] == ["peaks", "playback"]
    assert seen["caller"] == "+358401234567"


def test_content_needs_a_purpose(machine: Machine, call: dict[str, Any]) -> None:
    path = f"/api/v1/recordings/{call['id']}/content"
    assert machine.get(path).status_code == 400
    assert machine.get(path, {"X-Archive-Purpose": "curiosity"}).status_code == 400
    assert machine.get(path, {"X-Archive-Purpose": "quality"}).status_code == 403
    answer = machine.get(path, PURPOSE)
    assert answer.status_code == 200
    assert answer.data == wav(2.0)


def test_a_complaint_needs_its_own_case(handler: Machine, call: dict[str, Any]) -> None:
    path = f"/api/v1/recordings/{call['id']}/content"
    complaint = {"X-Archive-Purpose": "complaint"}
    assert handler.get(path, complaint).status_code == 403
    assert handler.get(path, complaint | {"X-Archive-Case": "2026-00002"}).status_code == 403
    assert handler.get(path, complaint | {"X-Archive-Case": "2026-00001"}).status_code == 200


def test_each_opening_is_in_the_audit_log_before_its_first_byte(
    machine: Machine, call: dict[str, Any]
) -> None:
    machine.get(f"/api/v1/recordings/{call['id']}/content", PURPOSE)
    events = machine.audit(call["id"])
    assert [e["verb"] for e in events][-1] == "open"
    assert events[-1]["purpose"] == "verification"


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=100-199", 206, slice(100, 200)),
        ("bytes=16380-16390", 206, slice(16380, 16391)),
        ("bytes=31000-", 206, slice(31000, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=5-1", 200, slice(None)),
        ("items=0-1", 200, slice(None)),
        ("bytes=99999999-", 416, None),
    ],
)
def test_ranges_are_answered_as_the_standard_says(
    machine: Machine, call: dict[str, Any], given: str, status: int, part: slice | None
) -> None:
    path, whole = f"/api/v1/recordings/{call['id']}/content", wav(2.0)
    answer = machine.get(path, PURPOSE | {"Range": given})
    assert answer.status_code == status
    if part is not None:
        assert answer.data == whole[part]
    if status == 206:
        start = part.indices(len(whole))[0] if part else 0
        end = start + len(answer.data) - 1
        assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{len(whole)}"
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"


def test_if_range_and_head_are_honoured(machine: Machine, call: dict[str, Any]) -> None:
    path = f"/api/v1/recordings/{call['id']}/content"
    head = machine.client.head(path, headers=machine.headers | PURPOSE)
    assert head.status_code == 200
    assert head.data == b""
    assert int(head.headers["Content-Length"]) == len(wav(2.0))
    fresh = {"Range": "bytes=0-9", "If-Range": head.headers["ETag"]}
    assert machine.get(path, PURPOSE | fresh).status_code == 206
    stale = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert machine.get(path, PURPOSE | stale).status_code == 200


def test_an_opening_is_bound_to_its_session_and_ends(
    machine: Machine, reader: Machine, clock: Clock, call: dict[str, Any]
) -> None:
    made = machine.post(
        f"/api/v1/recordings/{call['id']}/openings",
        {"purpose": "verification", "rendition": "playback"},
    )
    assert made.status_code == 201
    url = made.get_json()["url"]
    assert machine.get(url).data[:4] == b"OggS"
    assert machine.get(url, {"Range": "bytes=0-3"}).status_code == 206
    assert reader.get(url).status_code == 404
    clock.advance(timedelta(minutes=14))
    assert machine.get(url).status_code == 200  # use extends it
    clock.advance(timedelta(minutes=14))
    assert machine.get(url).status_code == 200
    clock.advance(timedelta(minutes=16))
    assert machine.get(url).status_code == 404


def test_a_recording_past_its_year_answers_404_everywhere_at_once(
    machine: Machine, clock: Clock
) -> None:
    at = clock() - timedelta(days=365) + timedelta(seconds=10)
    made = post_call(
        machine, metadata(clock, occurred_at=at.isoformat(), customer_number="777"), audio=wav(1.0)
    )
    id = made.get_json()["id"]
    machine.work()
    opening = machine.post(f"/api/v1/recordings/{id}/openings", {"purpose": "verification"})
    url = opening.get_json()["url"]
    assert machine.get(url).status_code == 200
    assert (
        len(machine.post("/api/v1/recordings/search", {"customer": "777"}).get_json()["items"]) == 1
    )
    clock.advance(timedelta(seconds=11))
    assert machine.get(url).status_code == 404
    assert machine.get(f"/api/v1/recordings/{id}").status_code == 404
    assert machine.get(f"/api/v1/recordings/{id}/content", PURPOSE).status_code == 404
    assert machine.get(f"/api/v1/recordings/{id}/renditions/playback", PURPOSE).status_code == 404
    found = machine.post("/api/v1/recordings/search", {"customer": "777", "total": True}).get_json()
    assert found["items"] == []
    assert found["total"] == 0
    assert machine.get("/api/v1/recordings").get_json()["items"] == []


def test_a_recording_is_found_by_what_is_known_of_it(
    machine: Machine, call: dict[str, Any], clock: Clock
) -> None:
    mail = (
        b"From: Maija Meik\xc3\xa4l\xc3\xa4inen <maija@example.com>\r\n"
        b"To: asiakaspalvelu@example.com\r\n"
        b"Subject: =?utf-8?q?S=C3=A4hk=C3=B6katko?=\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nSiirtolaskusta puuttuu hyvitys.\r\n"
    )
    email = post_email(machine, mail).get_json()
    machine.work()

    def found(**query: Any) -> list[str]:
        items = machine.post("/api/v1/recordings/search", query).get_json()["items"]
        return [item["id"] for item in items]

    assert found(customer="1234567") == [call["id"]]
    assert found(phone="+358 40 123 4567") == [call["id"]]
    assert found(phone="0401234567") == [call["id"]]
    assert found(email="MAIJA@example.com") == [email["id"]]
    assert found(q="lasku") == [email["id"]]
    assert found(q="sahkokatko") == [email["id"]]
    assert found(case="2026-00001") == [call["id"]]
    assert found(kind="email") == [email["id"]]
    assert found() == [email["id"], call["id"]]
    assert found(line="viat", direction="inbound") == [call["id"]]
    assert found(q="olematon") == []


def test_search_names_what_it_does_not_understand(machine: Machine) -> None:
    answer = machine.post(
        "/api/v1/recordings/search", {"limit": 0, "kind": "fax", "from": "soon", "nimi": "x"}
    )
    assert answer.status_code == 422
    assert {e["field"] for e in answer.get_json()["errors"]} == {"limit", "kind", "from", "nimi"}


def test_paging_shows_everything_once(machine: Machine, clock: Clock) -> None:
    ids = set()
    for number in range(23):
        at = (clock() - timedelta(days=number % 3, hours=1)).isoformat()
        ids.add(
            post_call(
                machine,
                metadata(clock, source_ref=str(number), occurred_at=at, customer_number="55555"),
                audio=b"x%d" % number,
            ).get_json()["id"]
        )
    machine.work()
    for search in (True, False):
        seen: list[str] = []
        cursor = None
        while True:
            if search:
                page = machine.post(
                    "/api/v1/recordings/search",
                    {"customer": "55555", "limit": 5} | ({"cursor": cursor} if cursor else {}),
                ).get_json()
            else:
                page = machine.get(
                    "/api/v1/recordings?limit=5" + (f"&cursor={cursor}" if cursor else "")
                ).get_json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 23
        assert set(seen) == ids


def test_a_cursor_of_another_search_is_refused(machine: Machine, clock: Clock) -> None:
    for number in range(3):
        post_call(machine, metadata(clock, source_ref=str(number), customer_number="1111"))
    machine.work()
    cursor = machine.post("/api/v1/recordings/search", {"customer": "1111", "limit": 1}).get_json()[
        "next"
    ]
    answer = machine.post("/api/v1/recordings/search", {"customer": "2222", "cursor": cursor})
    assert answer.status_code == 400


def test_a_token_of_one_line_sees_no_other(
    machine: Machine, one_line: Machine, clock: Clock
) -> None:
    seen = post_call(machine, metadata(clock, customer_number="333")).get_json()["id"]
    hidden = post_call(
        machine, metadata(clock, source_ref="2", line="myynti", customer_number="333")
    ).get_json()["id"]
    machine.work()
    found = one_line.post(
        "/api/v1/recordings/search", {"customer": "333", "total": True}
    ).get_json()
    assert [item["id"] for item in found["items"]] == [seen]
    assert found["total"] == 1
    assert one_line.get(f"/api/v1/recordings/{hidden}").status_code == 404
    assert one_line.get(f"/api/v1/recordings/{hidden}/content", PURPOSE).status_code == 404
    assert [i["id"] for i in one_line.get("/api/v1/recordings").get_json()["items"]] == [seen]


def test_a_correction_changes_metadata_and_moves_the_year(
    machine: Machine, clock: Clock, archive: Archive
) -> None:
    made = post_call(machine, metadata(clock, customer_number="111")).get_json()
    machine.work()
    at = clock() - timedelta(days=40)
    answer = machine.patch(
        f"/api/v1/recordings/{made['id']}/metadata",
        {"customer_number": "999", "occurred_at": at.isoformat()},
    )
    assert answer.status_code == 200
    assert answer.get_json()["customer_number"] == "999"
    assert answer.get_json()["expires_at"] < made["expires_at"]
    machine.work()
    search = "/api/v1/recordings/search"
    assert machine.post(search, {"customer": "111"}).get_json()["items"] == []
    assert len(machine.post(search, {"customer": "999"}).get_json()["items"]) == 1
    assert machine.content(made["id"]).status_code == 200
    bad = machine.patch(f"/api/v1/recordings/{made['id']}/metadata", {"bytes": 1, "case": "x"})
    assert bad.status_code == 422
    assert {e["field"] for e in bad.get_json()["errors"]} >= {"bytes"}


def test_a_correction_never_lengthens_life_beyond_arrival_plus_one_year(
    machine: Machine, clock: Clock
) -> None:
    at = clock() - timedelta(days=30)
    made = post_call(machine, metadata(clock, occurred_at=at.isoformat())).get_json()
    first = machine.get(f"/api/v1/recordings/{made['id']}").get_json()
    clock.advance(timedelta(days=20))
    later = machine.patch(
        f"/api/v1/recordings/{made['id']}/metadata", {"occurred_at": clock().isoformat()}
    ).get_json()
    assert later["expires_at"][:10] <= first["received_at"][:10].replace("2026", "2027")


def test_health_and_description_answer(machine: Machine) -> None:
    assert machine.client.get("/healthz").status_code == 200
    ready = machine.client.get("/readyz")
    assert ready.get_json()["parts"]["catalogue"] == "ok"
    assert machine.client.get("/metrics").status_code == 200
    document = machine.get("/api/v1/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")


def test_an_answer_says_how_every_piece_of_a_question_was_understood(
    machine: Machine, call: dict[str, Any]
) -> None:
    answer = machine.post("/api/v1/recordings/search", {"q": "tänään puh:040 123 4567"})
    assert [item["id"] for item in answer.get_json()["items"]] == [call["id"]]
    today = str(retention.local(datetime.fromisoformat(call["occurred_at"])).date())
    assert answer.get_json()["understood"] == [
        {"as": ["time"], "start": 0, "stop": 6, "from": today, "to": today},
        {"as": ["phone"], "start": 7, "stop": 23, "value": "+358401234567", "without": False},
    ]
    nothing = machine.post("/api/v1/recordings/search", {"q": "eilen puh:040 123 4567"})
    assert nothing.get_json()["items"] == []


def test_a_phrase_lists_only_what_says_it_and_tells_where_more_were_counted(
    machine: Machine, clock: Clock
) -> None:
    said = (
        "lasku on väärä",
        "lasku on nyt ja vika on väärä",
        "Laskut ovat vääriä",
        "LASKU ON, väärä!",
    )
    ids = [
        post_call(machine, metadata(clock, source_ref=f"call-{n}", notes=notes)).get_json()["id"]
        for n, notes in enumerate(said)
    ]
    machine.work()

    def ask(q: str, **more: Any) -> dict[str, Any]:
        asked = {"q": q, "total": True, "excerpts": True} | more
        body: dict[str, Any] = machine.post("/api/v1/recordings/search", asked).get_json()
        return body

    whole = ask('"lasku on väärä"')
    assert {item["id"] for item in whole["items"]} == {ids[0], ids[2], ids[3]}
    assert (whole["total"], whole.get("explained")) == (3, None)
    marked = [p["text"] for i in whole["items"] for p in i["excerpt"] if p["hit"]]
    assert sorted(marked) == ["LASKU ON, väärä", "Laskut ovat vääriä", "lasku on väärä"]
    assert whole["understood"][0]["as"] == ["phrase"]
    # Page by page the same; the number is the index's own.
    first = ask('"lasku on väärä"', limit=2)
    assert (len(first["items"]), first["total"]) == (2, 4)
    assert first["explained"] == ["counted-at-most"]
    rest = ask('"lasku on väärä"', limit=2, cursor=first["next"])
    assert {i["id"] for i in (*first["items"], *rest["items"])} == {ids[0], ids[2], ids[3]}
    without = ask('lasku -"lasku on väärä"')
    assert [item["id"] for item in without["items"]] == [ids[1]]
    assert without["total"] == 1


@pytest.mark.parametrize(
    ("typed", "explained"),
    [
        ("lasku", None),
        ('"väärä lasku', ["quote-not-closed"]),
        ("foo:lasku", ["unknown-field:foo"]),
        ("131052-308T", ["prefix-too-short", "identity-code-not-searched"]),
        ("a*", ["prefix-too-short"]),
    ],
)
def test_an_answer_explains_how_a_question_was_read(
    machine: Machine, call: dict[str, Any], typed: str, explained: list[str] | None
) -> None:
    answer = machine.post("/api/v1/recordings/search", {"q": typed})
    assert answer.status_code == 200
    assert answer.get_json().get("explained") == explained
