"""The journal of early erasures: nothing that is restored or rebuilt revives one."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from archive import worker
from archive.archive import Archive, Receipt
from archive.backups import backup, restoring
from archive.db import transaction
from archive.erasure import asking, certificates, journal
from archive.errors import BadRequest, NotFound, ReferenceErased, SecondPersonNeeded
from archive.keyring.recovery import PrivateKey
from tests.clock import Clock
from tests.media import wav
from tests.owner import as_owner
from tests.test_backup import Elsewhere, back_up, elsewhere, environment, folder, private
from tests.test_proof import command
from tests.test_story import READER, deliver, read

__all__ = ["elsewhere", "folder", "private"]


def copies(archive: Archive) -> dict[str, bytes]:
    """Every object of recordings in the store."""
    found = list(archive.store.list("recordings/"))
    return {each.key: b"".join(archive.store.stream(each.key)) for each in found}


def assert_dead(archive: Archive, gone: Receipt, reference: str) -> None:
    with pytest.raises(NotFound):
        read(archive, gone)
    assert [key for key in copies(archive) if str(gone.id) in key] == []
    with pytest.raises(ReferenceErased):
        deliver(archive, reference)
    assert certificates.verify_all(archive.vault, archive.engine)[1] == []
    with transaction(archive.engine) as connection:
        assert journal.find(connection, gone.id) is not None


def test_an_erasure_is_in_the_store_and_in_each_backup_before_the_next_backup(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, tmp_path: Path
) -> None:
    gone = deliver(archive, "1")
    others = [folder, tmp_path / "second"]
    for each in others:
        back_up(archive, each)
    (tmp_path / "second").rename(tmp_path / "unmounted")
    erased = archive.erase(READER, gone.id, reason="art17")
    assert (erased.at, erased.reason) == (clock(), "art17")
    (entry,) = archive.store.list("journal/")
    assert str(gone.id) in entry.key
    copy = backup.object_path(folder / backup.OBJECTS, entry.key)
    assert copy.read_bytes() == b"".join(archive.store.stream(entry.key))
    assert not (tmp_path / "second").exists()  # a volume that is not mounted is not made up
    (tmp_path / "unmounted").rename(tmp_path / "second")
    made = back_up(archive, tmp_path / "second")
    assert backup.object_path(tmp_path / "second" / backup.OBJECTS, entry.key).exists()
    assert made.manifest["objects"]["kept_missing"] == 0


def test_an_entry_says_nothing_personal_and_its_reference_dies_with_the_day(
    archive: Archive, clock: Clock
) -> None:
    gone = deliver(archive, "viite-0401234567", days_ago=364, caller="+358401234567")
    archive.erase(READER, gone.id, reason="private")
    (entry,) = archive.store.list("journal/")
    content = b"".join(archive.store.stream(entry.key))
    assert b"0401234567" not in content
    assert archive.reference("pbx", "viite-0401234567").hex().encode() not in content
    (erasure,) = journal.stored(archive.vault)

    def remembered() -> int:
        with transaction(archive.engine) as connection:
            connection.execute(text("delete from erased_reference"))
            journal.remember(connection, archive.vault, erasure, now=clock())
            return int(
                connection.execute(text("select count(*) from erased_reference")).scalar_one()
            )

    assert remembered() == 1
    clock.advance(timedelta(days=2))
    archive.expire()
    assert remembered() == 0
    clock.set(clock() - timedelta(days=2))  # even if somebody believed that it is still time
    assert remembered() == 0


def test_restoring_the_backup_of_before_an_erasure_does_not_revive_it(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    gone, kept = deliver(archive, "1"), deliver(archive, "2")
    worker.until_idle(archive)
    back_up(archive, folder)
    clock.advance(timedelta(hours=3))
    archive.erase(READER, gone.id, reason="private")
    assert list((folder / backup.OBJECTS).rglob(f"{gone.id}.original"))  # the copy is there yet
    with elsewhere.restored(folder, private) as (restored, outcome):
        assert outcome.whole and outcome.ended == 1
        assert_dead(restored, gone, "1")
        assert read(restored, kept) == wav(0.5)
        clock.advance(timedelta(days=1))
        assert restored.expire()["destroyed"] == 0  # the restore has certified it
        assert certificates.verify_all(restored.vault, restored.engine) == (2, [])


def test_an_old_catalogue_beside_the_living_bucket_does_not_revive_an_erasure(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path, elsewhere: Elsewhere
) -> None:
    gone, kept = deliver(archive, "1"), deliver(archive, "2")
    worker.until_idle(archive)
    back_up(archive, folder)
    before = copies(archive)
    archive.erase(READER, gone.id, reason="private")
    for key, content in before.items():  # as a store would that brought back what was deleted
        archive.store.put_bytes(key, content)
    lost = replace(
        archive.config, database_url=elsewhere.config.database_url, database_owner_url=""
    )
    there = Elsewhere(lost, clock)
    with there.archive(restoring=True) as empty:
        assert restoring.restore_catalogue(empty, folder).whole
    with there.archive() as restored:
        assert_dead(restored, gone, "1")
        assert read(restored, kept) == wav(0.5)


def test_a_rebuilt_catalogue_does_not_revive_an_erasure_and_goes_on_with_the_chain(
    archive: Archive, clock: Clock
) -> None:
    expired = deliver(archive, "0", days_ago=364)
    gone, kept = deliver(archive, "1"), deliver(archive, "2")
    worker.until_idle(archive)
    before = copies(archive)
    archive.erase(READER, gone.id, reason="private")
    clock.advance(timedelta(days=2))
    archive.expire()
    for key, content in before.items():
        archive.store.put_bytes(key, content)
    as_owner(
        archive,
        "truncate recording, cohort, expiry_run, erasure cascade",
        "truncate erased_reference",
    )
    done = command(archive, "rebuild-catalogue")
    assert done.exit_code == 0, done.output
    assert_dead(archive, gone, "1")
    assert [key for key in copies(archive) if str(expired.id) in key] == []
    assert read(archive, kept) == wav(0.5)
    clock.advance(timedelta(days=1))
    archive.expire()
    assert certificates.verify_all(archive.vault, archive.engine) == (2, [])


KILLED = """
import os, signal, sys
from uuid import UUID
from archive.erasure import expiry, journal
from archive.archive import SYSTEM
from archive.assembly import assemble
from archive.config import Config
where = sys.argv[2]
def dies(function):
    def dying(*arguments, **more):
        if where == "before " + function.__name__:
            os.kill(os.getpid(), signal.SIGKILL)
        function(*arguments, **more)
        if where == "after " + function.__name__:
            os.kill(os.getpid(), signal.SIGKILL)
    return dying
journal.publish = dies(journal.publish)
expiry._destroy = dies(expiry._destroy)
archive = assemble(Config.from_env(os.environ)).archive
archive.erase(SYSTEM, UUID(sys.argv[1]), reason="private")
"""


@pytest.mark.parametrize("where", ["before publish", "after publish", "after _destroy"])
def test_an_erasure_killed_at_any_step_is_carried_through_by_the_worker(
    archive: Archive, where: str
) -> None:
    gone = deliver(archive, "1", occurred_at=_hours_ago(1))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(gone.id), where],
        env=environment(archive.config),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(NotFound):  # from the first step on nobody sees it
        read(archive, gone)
    archive.settle_holds()
    assert_dead(archive, gone, "1")
    with transaction(archive.engine) as connection:
        rows = connection.execute(text("select id, reason from expired")).all()
    assert rows == [(gone.id, "private")]


def _hours_ago(hours: int) -> Any:
    from archive.assembly import utc_now

    return (utc_now() - timedelta(hours=hours)).isoformat()


def test_with_four_eyes_nothing_is_erased_that_only_one_wants(
    archive: Archive, clock: Clock
) -> None:
    archive.config = replace(archive.config, erase_four_eyes=True)
    receipt = deliver(archive, "1")
    id = receipt.id
    second = replace(READER, id="second", kind="person")
    machine = replace(READER, id="machine", kind="token")
    with pytest.raises(SecondPersonNeeded):
        archive.erase(second, id, reason="private")
    asked = archive.request_erasure(READER, id, reason="private")
    assert isinstance(asked, asking.ErasureRequest) and asked.at == clock()
    for one in (READER, machine):  # neither oneself nor a program
        with pytest.raises(SecondPersonNeeded):
            archive.erase(one, id, reason="private")
    with pytest.raises(SecondPersonNeeded):
        archive.request_erasure(machine, id, reason="private")
    with pytest.raises(BadRequest, match="private"):  # not for another reason than was asked
        archive.request_erasure(second, id, reason="art17")
    assert read(archive, receipt) == wav(0.5)
    done = archive.request_erasure(second, id, reason="private")
    assert isinstance(done, journal.Erasure) and done.reason == "private"
    with pytest.raises(NotFound):
        read(archive, receipt)
    with transaction(archive.engine) as connection:
        assert list(asking.waiting(connection)) == []
