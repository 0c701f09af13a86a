"""Everything that is kept has a period, and the period is kept to."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import text

from archive import auth, keys, periods, worker
from archive.accounts import attempts
from archive.anchors import Anchors
from archive.archive import Archive
from archive.auth import People
from archive.backups import dumping
from archive.db import transaction
from archive.erasure import housekeeping
from archive.keyring.recovery import PrivateKey
from archive.oidc import begun
from archive.verbs.opening import OPENING_LIFE
from tests.clock import Clock
from tests.test_backup import back_up, folder, private
from tests.test_holds import CASE, HANDLER, case, hold
from tests.test_story import READER, deliver
from tests.web.visitor import PASSWORD, Visitor

__all__ = ["case", "folder", "private"]

SOURCE = Path(__file__).parent.parent / "archive"
OF_WORDS = ("text", "bytea", "jsonb", "json", "ARRAY", "character varying")


def names(kept: tuple[periods.Kept, ...]) -> set[str]:
    return {each.name for each in kept}


def test_every_table_has_a_period_and_no_other(archive: Archive) -> None:
    with transaction(archive.engine) as connection:
        real = connection.execute(
            text("select table_name from information_schema.tables where table_schema = 'public'")
        ).scalars()
        assert set(real) == names(periods.TABLES), "give the table a line in archive/periods.py"


def test_every_column_of_words_or_bytes_is_said_to_be_personal_or_plain(archive: Archive) -> None:
    with transaction(archive.engine) as connection:
        rows = connection.execute(
            text("""select table_name, column_name, data_type from information_schema.columns
                where table_schema = 'public'""")
        ).all()
    real: dict[str, set[str]] = {}
    for table, column, kind in rows:
        real.setdefault(table, set()).update({column} if kind in OF_WORDS else set())
    for kept in periods.TABLES:
        assert real[kept.name] == kept.columns(), f"say of {kept.name} in archive/periods.py"


def test_every_object_of_a_lived_through_year_has_a_period(
    archive: Archive, clock: Clock, case: str
) -> None:
    gone, corrected = deliver(archive, "1"), deliver(archive, "2", days_ago=3)
    deliver(archive, "3", days_ago=364)
    held = deliver(archive, "4", case=CASE)
    hold(archive, held.id)
    worker.until_idle(archive)
    archive.correct(READER, corrected.id, {"agent": "Aino"})
    archive.erase(READER, gone.id, reason="private")
    clock.advance(timedelta(days=2))
    archive.expire()
    archive.ask_evidence(HANDLER, CASE)
    assert archive.build_evidence(worker=0, lock_class=worker.WORKER_LOCK)
    Anchors(archive.vault, archive.engine, now=clock).step()
    found = {each.key.partition("/")[0] + "/" for each in archive.store.list("")}
    assert found == names(periods.OBJECTS)
    kinds = {each.key.split(".")[1] for each in archive.store.list("recordings/")}
    assert kinds == {"original", "playback", "peaks", "envelope", "hold"}


def test_every_folder_of_keys_and_of_a_backup_has_a_period(
    archive: Archive, private: PrivateKey, folder: Path
) -> None:
    deliver(archive, "1")
    worker.until_idle(archive)
    back_up(archive, folder)
    folders = {path.name for path in archive.keys.path.iterdir() if path.is_dir()}
    assert folders == names(periods.KEYS) == {*keys.FOLDERS, "recovery"}
    made = {f"{path.name}/" for path in folder.iterdir() if path.is_dir()}
    assert made == names(periods.BACKUPS)
    told = next(kept for kept in periods.BACKUPS if kept.name == "catalogue/").what
    assert len(dumping.LEFT_OUT) == 5 and "sessions, log-ins, openings and kept searches" in told


def test_every_log_has_a_period() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    found = {
        name for code in sources.values() for name in re.findall(r'/ "log" / f?"([^"]+)"', code)
    }
    assert "{name}.log" in found  # of what `archive up` starts
    started = re.findall(r'_start\("([a-z-]+)"\)', sources[SOURCE / "supervisor.py"])
    assert {"web", "worker", "receive-mail", "fetch-mail"} <= set(started)
    real = (found - {"{name}.log"}) | {f"{name}.log" for name in started}
    assert {f"log/{name}" for name in real} == {n for n in names(periods.FILES) if "log/" in n}


def test_every_metric_has_a_period(app: Flask) -> None:
    told = app.test_client().get("/metrics").get_data(as_text=True)
    real = set(re.findall(r"^# TYPE (\w+?)(?:_total|_created)? ", told, re.MULTILINE))
    assert real == names(periods.METRICS)


def test_every_cookie_has_a_period(app: Flask, people: People) -> None:
    people.create("aino", "admin", PASSWORD)
    visitor = Visitor(app.test_client())
    given: set[str] = set()

    def remember(answer: Any) -> None:
        given.update(line.partition("=")[0] for line in answer.headers.getlist("Set-Cookie"))

    remember(visitor.client.post("/login", data={"name": "aino", "password": PASSWORD}))
    visitor.get("/admin")
    remember(visitor.post("/language", language="en", next="/admin"))
    people.create("toinen", "dpo", PASSWORD)
    id = next(person.id for person in people.people() if person.name == "toinen")
    remember(visitor.post(f"/admin/people/{id}/disable"))
    # That of a log-in at the provider: tests/test_identity_provider.py, where there is one.
    assert given | {"login"} == names(periods.COOKIES)
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    # Session, language, and the log-in that was begun; the fourth is Flask's.
    assert len(re.findall(r"\.set_cookie\(", code)) == 3


def test_the_periods_that_are_written_down_are_those_of_the_code() -> None:
    said = {kept.name: kept.period for kept in (*periods.TABLES, *periods.COOKIES)}
    hours = auth.LONGEST.total_seconds() / 3600
    assert said["session"] == f"{auth.IDLE.seconds // 60} minutes unused, {hours:g} hours at most"
    assert said["archive"] == f"{hours:g} hours"
    assert said["login_attempt"] == f"{attempts.ATTEMPT_WINDOW.seconds // 60} minutes"
    assert said["login"] == f"{begun.LIFE.seconds // 60} minutes"
    assert said["one_time_login"] == f"{auth.ONE_TIME_LIFE.seconds // 60} minutes"
    minutes = OPENING_LIFE.seconds // 60
    assert said["opening"] == f"{minutes} minutes after the last use, and a day"


def test_the_night_lets_go_of_what_is_over_and_of_nothing_else(
    archive: Archive, people: People, clock: Clock
) -> None:
    gone = deliver(archive, "1", days_ago=300)
    archive.erase(READER, gone.id, reason="private")
    people.create("entinen", "admin", PASSWORD)
    people.create("nykyinen", "admin", PASSWORD)
    former = next(person for person in people.people() if person.name == "entinen")
    archive.open_case(HANDLER, "2026-00001")
    archive.open_case(HANDLER, "2026-00002")
    with transaction(archive.engine) as connection:
        for statement in (
            "update person set disabled_at = :now where name = 'entinen'",
            "update complaint_case set closed_at = :now where number = '2026-00001'",
            "insert into refusal values (current_date, 'pbx', 'too-large', 1, :now)",
            """insert into machine_token (token_digest, id, name, scopes, purposes, created_at,
                revoked_at) values ('a', gen_random_uuid(), 'old', '{}', '{}', :now, :now),
                ('b', gen_random_uuid(), 'new', '{}', '{}', :now, null)""",
        ):
            values = {"now": clock()} if ":now" in statement else {}
            connection.execute(text(statement), values)

    def there() -> dict[str, Any]:
        with transaction(archive.engine) as connection:
            housekeeping.tidy(connection, now=clock())
            return {
                name: sorted(connection.execute(text(query)).scalars())
                for name, query in {
                    "people": "select name from person",
                    "cases": "select number from complaint_case",
                    "tokens": "select name from machine_token",
                    "refusals": "select reason from refusal",
                    "references": "select 'x' from erased_reference",
                }.items()
            }

    before = there()
    assert before == {
        "people": ["entinen", "nykyinen"],
        "cases": ["2026-00001", "2026-00002"],
        "tokens": ["new", "old"],
        "refusals": ["too-large"],
        "references": ["x"],
    }
    clock.advance(timedelta(days=66))
    assert there() == before | {"references": []}
    clock.advance(timedelta(days=335))
    later = there()
    assert later["people"] == [f"former-{former.id}", "nykyinen"]
    assert (later["tokens"], later["refusals"]) == (["new"], [])
    assert later["cases"] == before["cases"]
    clock.advance(timedelta(days=3653))
    assert there()["cases"] == ["2026-00002"]


def test_the_nightly_run_tidies(archive: Archive, clock: Clock) -> None:
    gone = deliver(archive, "1", days_ago=364)
    archive.erase(READER, gone.id, reason="private")
    clock.advance(timedelta(days=2))
    archive.expire()
    with transaction(archive.engine) as connection:
        assert connection.execute(text("select count(*) from erased_reference")).scalar() == 0
