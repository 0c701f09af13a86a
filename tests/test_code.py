"""The code about itself: layers, documents, errors, routes, migrations."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from archive import asvs, reference
from archive.api.openapi import document
from archive.config import Config, describe_settings
from archive.db import downgrade, migrate, open_engine
from archive.errors import BadSetting
from archive.web import gate

ROOT = Path(__file__).parent.parent
DOCS = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_pages_say_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), f"docs/{name} is stale: make docs"


def test_every_setting_is_documented_with_a_meaning() -> None:
    for one in describe_settings():
        assert one["meaning"]
        assert one["name"] in DOCS


def test_every_requirement_of_the_standard_is_answered_by_tests_there_are_or_a_reason() -> None:
    found = asvs.requirements()
    assert len({each.id for each in found}) == len(found) == 253  # 70 of level 1, 183 of level 2
    written = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE))
    lacking = {(each.id, name) for each in found for name in each.tests if name not in there}
    assert lacking == set()
    assert all(each.said for each in found)
    # A reason that points at a page or a module points at one there is.
    named = {
        path for each in found for path in re.findall(r"(?:docs|archive)/[\w/.]+\w", each.said)
    }
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_a_misspelt_setting_stops_the_start_and_the_right_one_is_named() -> None:
    with pytest.raises(BadSetting, match="ARCHIVE_HOME"):
        Config.from_env({"ARCHIVE_HOEM": "/x"})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("open sesame\n", encoding="utf-8")
    config = Config.from_env({"ARCHIVE_STORE_SECRET_KEY_FILE": str(path)})
    assert config.store_secret_key == "open sesame"
    with pytest.raises(BadSetting, match="only secrets"):
        Config.from_env({"ARCHIVE_PORT_FILE": str(path)})


def test_every_error_has_its_own_message_and_exit_code() -> None:
    errors = reference.all_errors()
    messages = Counter((kind.__doc__ or "").strip() for kind in errors)
    assert [m for m, n in messages.items() if n > 1 or not m] == []
    for kind in errors:
        assert 400 <= kind.status < 600


def test_every_route_of_the_interface_is_described_and_nothing_else(app: Flask) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document()["paths"].items()
        for method in operations
    }
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/api/", "/openings/"))
    }
    assert served == described


def test_strangers_reach_only_what_is_listed(app: Flask) -> None:
    client = app.test_client()
    reached = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", rule.rule)
        path = re.sub(r"<int:\w+>", "1", path)
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", path)
        path = re.sub(r"<(?:\w+:)?\w+>", "x", path)
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            answer = client.open(path, method=method, headers={"Accept": "application/json"})
            assert answer.status_code < 500, (method, path)
            if answer.status_code not in {401, 303}:
                reached.add(rule.endpoint)
    listed = {e for e in app.view_functions if gate.is_public(app, e)}
    assert reached <= listed
    others = {endpoint for endpoint in listed if not endpoint.startswith(("login.", "provider."))}
    assert others == {"static", "healthz", "readyz", "metrics", "api.openapi"}


def test_migrations_go_up_and_down_with_rows_in_them(empty_database_url: str) -> None:
    migrate(empty_database_url)
    engine = open_engine(empty_database_url, pool_size=1)
    try:
        with engine.begin() as connection:
            _fill(lambda statement: connection.execute(text(statement)))
        downgrade(empty_database_url, revision="0001")
        with engine.begin() as connection:
            assert connection.execute(text("select count(*) from recording")).scalar_one() == 1
        migrate(empty_database_url)
        with engine.begin() as connection:
            assert connection.execute(text("select count(*) from recording")).scalar_one() == 1
        downgrade(empty_database_url, revision="base")
        with engine.begin() as connection:
            left = connection.execute(
                text("select tablename from pg_tables where schemaname = 'public'")
            ).scalars()
            assert set(left) <= {"alembic_version"}
    finally:
        engine.dispose()


def _fill(execute: Callable[[str], object]) -> None:
    execute("insert into cohort (day) values ('2027-01-01')")
    execute(
        """insert into recording (id, kind, source, line, direction, occurred_at, received_at,
            expires_at, cohort, bytes, object_key, object_bytes, header_bytes, reference,
            wrapped_key, descriptor)
        values ('00000000-0000-4000-8000-000000000001', 'call', 's', 'l', 'inbound', now(), now(),
            now() + interval '1 year', '2027-01-01', 1, 'k', 1, 1, 'r', 'w', 'd')"""
    )
    execute("insert into complaint_case values ('2026-00001', null, 'x', now(), null)")
    execute(
        """insert into audit_event (at, actor_id, actor_kind, verb)
        values (now(), 'a', 'person', 'x')"""
    )
    execute(
        """insert into person (id, name, "group", password_hash, created_at)
        values ('00000000-0000-4000-8000-000000000002', 'n', 'admin', 'h', now())"""
    )
