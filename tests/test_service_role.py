"""The role that the service works as does not own the tables it works with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg import errors

from archive import audit, checkup, worker
from archive.archive import SYSTEM, Archive
from archive.db import SERVICE_ROLE, downgrade, migrate, transaction
from archive.errors import BadSetting
from archive.model import Query
from tests.clock import Clock
from tests.test_story import READER, deliver, read


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_event set verb = 'x'",
        "update audit_event set at = now()",
        "delete from audit_event",
        "truncate audit_event",
        "alter table audit_event disable trigger all",
        "drop trigger audit_append_only on audit_event",
        "drop table audit_event",
        "create or replace function audit_is_append_only() returns trigger language plpgsql "
        "as $$ begin return new; end $$",
        "truncate recording",
        "update alembic_version set version_num = '0001'",
        "create table somewhere (id int)",
    ],
)
def test_the_service_cannot_change_the_log_nor_any_table(archive: Archive, statement: str) -> None:
    with transaction(archive.engine) as connection:
        audit.append(connection, at=archive.now(), actor=SYSTEM, verb="tested")
    with (
        pytest.raises(errors.InsufficientPrivilege),
        psycopg.connect(archive.config.database_url) as connection,
    ):
        connection.execute(statement.encode())


def test_a_place_in_the_chain_is_given_once(archive: Archive) -> None:
    with transaction(archive.engine) as connection:
        audit.append(connection, at=archive.now(), actor=SYSTEM, verb="tested")
        assert audit.chain(connection) == 1
    with (
        pytest.raises(errors.RaiseException, match="append-only"),
        psycopg.connect(archive.config.database_url) as connection,
    ):
        connection.execute("update audit_event set chain_no = 5")


def test_the_whole_life_of_a_recording_needs_no_more(archive: Archive, clock: Clock) -> None:
    with transaction(archive.engine) as connection:
        assert connection.exec_driver_sql("select current_user").scalar() == SERVICE_ROLE
    receipt = deliver(archive, "1")
    worker.until_idle(archive)
    assert read(archive, receipt)
    assert archive.find(READER, Query(customer="1234567")).items
    clock.advance(timedelta(days=366))
    assert archive.expire()["destroyed"] == 1


def test_a_schema_taken_back_and_brought_again_lets_the_service_in(archive: Archive) -> None:
    owner = archive.config.owner_url
    archive.engine.dispose()
    downgrade(owner, revision="base")
    migrate(owner)
    deliver(archive, "1")


def test_the_doctor_says_whether_the_service_could_change_the_log(archive: Archive) -> None:
    found = checkup.database_role(archive.engine)
    assert not found.bad and SERVICE_ROLE in found.what


def test_an_owner_of_another_database_is_refused(archive: Archive) -> None:
    """Restoring empties the owner's database: it must be the service's."""
    other = replace(archive.config, database_owner_url="postgresql://archive@/elsewhere")
    with pytest.raises(BadSetting, match="DATABASE_OWNER_URL"):
        _ = other.owner_url
