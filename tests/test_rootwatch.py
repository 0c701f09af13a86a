"""The root key's age: replaced by itself where that is safe, an alarm where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from archive import keys, worker
from archive.alarms import Alarm, Alarms
from archive.archive import Archive
from archive.config import Config
from archive.keyring import rootwatch, rotation
from archive.keyring.keepers import Providers
from archive.keyring.keybackup import KeyBackups
from archive.keyring.roots import FileRoots
from archive.keyring.rootwatch import AWAY, ROTATION, RootWatch
from archive.keys import KeysDirectory
from tests.clock import Clock
from tests.root_keepers import Bao, Token

YEAR = timedelta(days=365)
NAMES = ("cohort/2027-11-24", "installation/reference")


def directory_of(config: Config, now: Callable[[], datetime]) -> KeysDirectory:
    """As `open_keys` makes it, with roots that are as old as the clock says."""
    providers = Providers(config, now=now)
    config.keys_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
    if not (config.keys_dir / "root.key").exists():
        providers.create(config.keys_dir / "root.key")
    return KeysDirectory(
        config.keys_dir,
        root=FileRoots(config.keys_dir, providers),
        cache_s=0,
        providers=providers,
    )


@pytest.fixture
def directory(tmp_path: Path, clock: Clock) -> KeysDirectory:
    config = Config.from_env({"ARCHIVE_HOME": str(tmp_path / "home")})
    opened = directory_of(config, clock)
    for name in NAMES:
        opened.ensure(name)
    return opened


@pytest.fixture
def backups(directory: KeysDirectory, clock: Clock) -> KeyBackups:
    return KeyBackups(directory, now=clock, keep_days=35)


@pytest.fixture
def heard() -> list[Alarm]:
    return []


@pytest.fixture
def watch(backups: KeyBackups, clock: Clock, heard: list[Alarm]) -> RootWatch:
    alarms = Alarms(backups.keys.path, heard.append)
    return RootWatch(backups, alarms, days=365, now=clock)


def ringing(directory: KeysDirectory) -> dict[str, str]:
    return {alarm.name: alarm.reason for alarm in Alarms(directory.path).standing()}


def test_a_root_key_is_replaced_when_it_is_a_year_old_and_not_before(
    watch: RootWatch, backups: KeyBackups, clock: Clock, tmp_path: Path
) -> None:
    backups.make_recovery_key(tmp_path / "offline.key")
    backups.back_up(tmp_path / "dest")
    first, before = backups.keys.root.id, {n: backups.keys.get(n) for n in NAMES}
    clock.advance(YEAR - timedelta(minutes=1))
    assert watch.look() is None and backups.keys.root.id == first
    clock.advance(timedelta(minutes=1))
    done = watch.look()
    assert done is not None and done.root == backups.keys.root.id != first
    assert {n: backups.keys.get(n) for n in NAMES} == before
    assert backups.keys.root_age(clock()) == timedelta(0)
    assert watch.look() is None and ringing(backups.keys) == {}
    clock.advance(YEAR)
    assert watch.look() is not None


def test_a_root_key_of_before_this_version_has_the_age_of_its_file(
    directory: KeysDirectory, clock: Clock
) -> None:
    import os

    file = directory.path / "root.key"
    fields = json.loads(file.read_bytes())
    del fields["made_at"]
    file.write_text(json.dumps(fields))
    made = (clock() - timedelta(days=400)).timestamp()
    os.utime(file, (made, made))
    assert directory.root_age(clock()) == timedelta(days=400)
    assert rootwatch.is_due(directory, days=365, now=clock())
    assert not rootwatch.is_due(directory, days=0, now=clock())


def test_without_recovery_key_or_destination_an_old_root_stays_and_an_alarm_rings(
    watch: RootWatch, backups: KeyBackups, clock: Clock, heard: list[Alarm], tmp_path: Path
) -> None:
    root = backups.keys.root.id
    clock.advance(YEAR)
    assert watch.look() is None
    assert "archive keys recovery-key" in ringing(backups.keys)[ROTATION]
    backups.make_recovery_key(tmp_path / "offline.key")
    clock.advance(timedelta(hours=2))
    assert watch.look() is None
    assert "archive keys backup" in ringing(backups.keys)[ROTATION]
    assert backups.keys.root.id == root and not rotation.is_unfinished(backups.keys.path)
    assert [alarm.name for alarm in heard] == [ROTATION]  # once, however often it rings
    backups.back_up(tmp_path / "dest")
    clock.advance(timedelta(hours=2))
    assert watch.look() is not None
    assert ringing(backups.keys) == {}


def test_a_step_that_fails_leaves_both_roots_rings_and_is_tried_again_an_hour_later(
    watch: RootWatch, backups: KeyBackups, clock: Clock, tmp_path: Path
) -> None:
    backups.make_recovery_key(tmp_path / "offline.key")
    for name in ("here", "away"):
        backups.back_up(tmp_path / name)
    (tmp_path / "away").rename(tmp_path / "unmounted")
    clock.advance(YEAR)
    assert watch.look() is None
    assert "is it mounted" in ringing(backups.keys)[ROTATION]
    assert (backups.keys.path / "root.key").exists()
    assert (backups.keys.path / "root.next").exists()
    written = len(list((tmp_path / "here").iterdir()))
    clock.advance(timedelta(minutes=59))
    watch.look()
    assert len(list((tmp_path / "here").iterdir())) == written  # nothing piles up
    (tmp_path / "unmounted").rename(tmp_path / "away")
    clock.advance(timedelta(minutes=1))
    assert watch.look() is not None
    assert ringing(backups.keys) == {} and not rotation.is_unfinished(backups.keys.path)


def test_where_rotation_by_itself_is_off_a_broken_off_one_rings_and_waits_for_a_person(
    backups: KeyBackups, clock: Clock, tmp_path: Path
) -> None:
    watch = RootWatch(backups, Alarms(backups.keys.path), days=0, now=clock)
    clock.advance(10 * YEAR)
    assert watch.look() is None and ringing(backups.keys) == {}
    assert rootwatch.standing(backups.keys, days=0, now=clock()) == ()
    backups.keys.providers.create(backups.keys.path / rotation.FRESH_FILE)
    assert watch.look() is None
    assert "archive keys rotate-root" in ringing(backups.keys)[ROTATION]


def test_while_a_person_rotates_nothing_rings(
    watch: RootWatch, backups: KeyBackups, clock: Clock, tmp_path: Path
) -> None:
    backups.make_recovery_key(tmp_path / "offline.key")
    clock.advance(YEAR)
    with backups.alone():
        assert watch.look() is None
    assert ringing(backups.keys) == {}


def test_without_a_worker_an_old_root_rings_all_the_same(backups: KeyBackups, clock: Clock) -> None:
    clock.advance(YEAR + timedelta(hours=23))
    assert rootwatch.standing(backups.keys, days=365, now=clock()) == ()
    clock.advance(timedelta(hours=1))
    (alarm,) = rootwatch.standing(backups.keys, days=365, now=clock())
    assert alarm.name == ROTATION and "no worker has replaced it" in alarm.reason


def test_a_root_key_that_is_gone_rings_until_it_is_back(
    watch: RootWatch, backups: KeyBackups, heard: list[Alarm]
) -> None:
    root = backups.keys.path / "root.key"
    root.rename(root.with_name("aside"))
    for _ in range(2):
        assert watch.look() is None
    assert "root.key is missing" in ringing(backups.keys)[AWAY] and len(heard) == 1
    root.with_name("aside").rename(root)
    watch.look()
    assert ringing(backups.keys) == {}


def test_an_alarm_keeps_its_beginning_and_a_damaged_list_is_an_alarm(tmp_path: Path) -> None:
    alarms, clock = Alarms(tmp_path), Clock()
    alarms.ring("b", "one", now=clock())
    clock.advance(timedelta(hours=1))
    alarms.ring("a", "x", now=clock())
    alarms.ring("b", "two", now=clock())
    assert [(a.name, a.reason) for a in alarms.standing()] == [("a", "x"), ("b", "two")]
    assert clock() - alarms.standing()[1].since == timedelta(hours=1)
    assert alarms.clear("a") and not alarms.clear("a")
    (tmp_path / "alarms.json").write_text("{")
    assert [a.name for a in alarms.standing()] == ["alarms-unreadable"]


def test_the_worker_replaces_an_old_root_tells_who_listens_and_goes_on(
    archive: Archive, clock: Clock, heard: list[Alarm], tmp_path: Path
) -> None:
    made_at = archive.keys.root.made_at
    assert made_at is not None
    clock.set(made_at + YEAR)
    working = worker.Worker(archive, hear=heard.append)
    assert working._root_once() is False
    assert [alarm.name for alarm in heard] == [ROTATION]
    backups = KeyBackups(archive.keys, now=clock, keep_days=35)
    backups.make_recovery_key(tmp_path / "offline.key")
    backups.back_up(tmp_path / "dest")
    first = archive.keys.root.id
    clock.advance(timedelta(hours=1))
    working._root_once()
    assert archive.keys.root.id != first and ringing(archive.keys) == {}


# -- where it is seen ------------------------------------------------------------------


def test_an_alarm_is_seen_in_readiness_and_metrics(
    archive: Archive, client: FlaskClient, clock: Clock
) -> None:
    parts = client.get("/readyz").json
    assert parts["parts"]["root"] == "ok" and parts["parts"]["alarms"] == "none"
    said = client.get("/metrics").get_data(as_text=True)
    assert 'archive_alarm{name="root-rotation"} 0.0' in said
    Alarms(archive.keys.path).ring(ROTATION, "volume <x> is not mounted", now=clock())
    answer = client.get("/readyz")
    assert answer.json["parts"]["alarms"] == "root-rotation"
    assert answer.status_code == 200  # what rings may wait; deliveries go on
    said = client.get("/metrics").get_data(as_text=True)
    assert 'archive_alarm{name="root-rotation"} 1.0' in said
    assert "archive_root_age_days" in said


def test_readiness_ends_where_a_kept_root_is_away(
    config: Config, archive: Archive, client: FlaskClient, bao: Bao
) -> None:
    assert rootwatch.state(archive.keys) == "ok"
    moved = Config.from_env(
        {
            **bao.environment,
            "ARCHIVE_HOME": str(config.home),
            "ARCHIVE_VAULT_URL": "http://127.0.0.1:9",
        }
    )
    fields = json.loads((archive.keys.path / "root.key").read_bytes())
    elsewhere = {**bao.environment, "ARCHIVE_HOME": str(config.home / "b")}
    other = keys.open_keys(Config.from_env(elsewhere))
    reference = (other.path / "root.key").read_bytes()
    assert fields["kind"] != json.loads(reference)["kind"]
    (archive.keys.path / "root.key").write_bytes(reference)
    archive.keys = KeysDirectory(
        archive.keys.path, root=FileRoots(archive.keys.path, Providers(moved)), cache_s=0
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json["parts"]["root"] == "away"


@pytest.mark.parametrize("provider", ["file", "pkcs11", "transit"])
def test_the_doctor_names_the_provider_its_age_and_whether_it_is_verified(
    provider: str, tmp_path: Path, token: Token, bao: Bao, clock: Clock
) -> None:
    environment = {
        **token.environment,
        **bao.environment,
        "ARCHIVE_HOME": str(tmp_path / "home"),
        "ARCHIVE_ROOT_PROVIDER": provider,
    }
    opened = directory_of(Config.from_env(environment), clock)
    opened.ensure(NAMES[0])
    clock.advance(timedelta(days=40))
    (found,) = rootwatch.findings(opened, days=365, now=clock())
    assert found[0] == "ok" and "40 days old, replaced at 365" in found[1]
    assert {
        "file": "root key: in a file",
        "pkcs11": "token archive",
        "transit": f"transit engine transit at {bao.url}",
    }[provider] in found[1]
    verified = {"pkcs11": "verified with Implementation of PKCS11 SoftHSM", "transit": "OpenBao 2."}
    assert verified.get(provider, "") in found[1]
    clock.advance(timedelta(days=330))
    assert [mark for mark, *_ in rootwatch.findings(opened, days=365, now=clock())] == ["ok", "BAD"]


def test_the_doctor_says_where_a_keeper_is_not_the_one_that_was_tested_and_when_its_token_ends(
    tmp_path: Path, bao: Bao, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bao.admin.auth.token.create(policies=["contact-archive"], ttl="2h", renewable=False)
    environment = {
        **bao.environment,
        "ARCHIVE_HOME": str(tmp_path / "home"),
        "ARCHIVE_VAULT_TOKEN": made["auth"]["client_token"],
    }
    opened = directory_of(Config.from_env(environment), clock)
    monkeypatch.setitem(rootwatch.VERIFIED, "transit", "Something else")
    first, second = rootwatch.findings(opened, days=365, now=clock())
    assert first[0] == "note" and "UNVERIFIED: OpenBao 2." in first[1]
    assert second[0] == "BAD" and "cannot be renewed" in second[1]


def test_the_doctor_names_keys_without_a_copy_and_a_root_that_is_not_where_it_should_be(
    tmp_path: Path, token: Token, clock: Clock
) -> None:
    environment = {**token.environment, "ARCHIVE_HOME": str(tmp_path / "home")}
    opened = directory_of(Config.from_env(environment), clock)
    opened.ensure(NAMES[0])
    whole = (opened.path / NAMES[0]).read_bytes()
    KeyBackups(opened, now=clock, keep_days=35).make_recovery_key(tmp_path / "offline.key")
    (opened.path / NAMES[0]).write_bytes(whole)
    elsewhere = directory_of(
        Config.from_env({**environment, "ARCHIVE_ROOT_PROVIDER": "file"}), clock
    )
    said = {what: mark for mark, what, _ in rootwatch.findings(elsewhere, days=365, now=clock())}
    assert said["1 keys have no copy for the recovery key"] == "BAD"
    assert said["the root key is not kept where ARCHIVE_ROOT_PROVIDER says (file)"] == "note"
