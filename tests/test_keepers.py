"""Root keys in a token and in a transit engine, against SoftHSM and OpenBao."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive import keys
from archive.cli import cli
from archive.config import Config
from archive.errors import (
    ArchiveError,
    BadSetting,
    RootKeyAway,
    RootKeyUnusable,
    RotationStopped,
    SealBroken,
)
from archive.keyring import rotation
from archive.keyring.keepers import KeptRoot, Providers, transit
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keyring.roots import FileRoots
from archive.keys import KeysDirectory
from tests.clock import Clock
from tests.root_keepers import PIN, Bao, Token

ROOT = Path(__file__).parent.parent
NAMES = ("cohort/2027-11-24", "cohort/2027-11-25", "hold/2026-00001.x", "installation/reference")


class Installation:
    """A keys directory whose root key is kept somewhere, and the settings that say where."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.environment = {"ARCHIVE_HOME": str(home), "ARCHIVE_KEY_CACHE_S": "0", **environment}

    def config(self) -> Config:
        return Config.from_env(self.environment)

    def open(self) -> KeysDirectory:
        return keys.open_keys(self.config())

    def move_to(self, provider: str) -> None:
        self.environment["ARCHIVE_ROOT_PROVIDER"] = provider

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`archive keys …` as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "archive.cli", "keys", *words],
            cwd=ROOT,
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *words: str) -> str:
        """`archive keys …` in this process, which must end well; what it said."""
        done = CliRunner().invoke(cli, ["keys", *words], env=self.environment)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    def files(self) -> dict[str, bytes]:
        folder = self.home / "keys"
        return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def everywhere(tmp_path: Path, token: Token, bao: Bao) -> Installation:
    """Settings of both keepers; the root key is in a file until it is moved."""
    return Installation(
        tmp_path / "home", {**token.environment, **bao.environment, "ARCHIVE_ROOT_PROVIDER": "file"}
    )


@pytest.fixture(params=["pkcs11", "transit"])
def kept(request: pytest.FixtureRequest, everywhere: Installation) -> Installation:
    """An installation with keys, whose root key was with this keeper from the first start."""
    everywhere.move_to(request.param)
    opened = everywhere.open()
    for name in NAMES:
        opened.ensure(name)
    return everywhere


def backups_of(opened: KeysDirectory) -> KeyBackups:
    return KeyBackups(opened, now=Clock(), keep_days=35)


def all_keys(opened: KeysDirectory) -> dict[str, bytes]:
    return {name: opened.get(name) for name in opened.everything()}


# -- what a kept root is ---------------------------------------------------------------


def test_the_root_is_with_its_keeper_and_its_file_only_says_where(kept: Installation) -> None:
    opened = kept.open()
    before = all_keys(opened)
    assert set(before) == set(NAMES)
    assert all_keys(kept.open()) == before
    assert kept.command("verify").returncode == 0  # another process
    fields = json.loads((opened.path / "root.key").read_bytes())
    assert set(fields) == {"v", "kind", "provider", "id", "where", "check", "made_at"}
    assert fields["id"] == opened.root.id and fields["provider"] == opened.root.provider
    assert (opened.path / "root.key").stat().st_mode & 0o777 == 0o600
    everything = b"".join(kept.files().values())
    for secret in (
        *before.values(),
        PIN.encode(),
        kept.environment["ARCHIVE_VAULT_TOKEN"].encode(),
    ):
        assert secret not in everything and base64.b64encode(secret) not in everything


def test_a_key_in_the_token_can_never_be_taken_out(everywhere: Installation, token: Token) -> None:
    everywhere.move_to("pkcs11")
    root = everywhere.open().root
    (found,) = [o for o in token.objects() if f"pkcs11-{o['id']}" == root.id]
    assert found == {
        "id": found["id"], "extractable": False, "was": False, "sensitive": True,
    }  # fmt: skip


def test_a_key_in_the_engine_can_not_be_exported(everywhere: Installation, bao: Bao) -> None:
    everywhere.move_to("transit")
    root = everywhere.open().root
    assert isinstance(root, KeptRoot)
    key = bao.admin.secrets.transit.read_key(root.reference.where["key"])["data"]
    assert (key["exportable"], key["allow_plaintext_backup"]) == (False, False)
    assert key["type"] == "aes256-gcm96"


def test_what_was_wrapped_opens_in_its_own_context_only(kept: Installation) -> None:
    opened = kept.open()
    wrapped = opened.root.wrap(b"here", bytes(32))
    assert opened.root.unwrap(b"here", wrapped) == bytes(32)
    assert opened.root.wrap(b"here", bytes(32)) != wrapped
    with pytest.raises(SealBroken):
        opened.root.unwrap(b"there", wrapped)
    for place in range(0, len(wrapped), 5):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            opened.root.unwrap(b"here", bytes(changed))
    for length in (0, 5, 12, len(wrapped) - 1):
        with pytest.raises(SealBroken):
            opened.root.unwrap(b"here", wrapped[:length])


def test_a_key_file_under_another_name_is_damaged_not_a_lost_root(kept: Installation) -> None:
    opened = kept.open()
    one, other = (opened.path / name for name in NAMES[:2])
    fields = json.loads(one.read_bytes())
    other.write_bytes(json.dumps({**fields, "name": NAMES[1]}).encode())
    with pytest.raises(SealBroken, match="key file"):
        opened.get(NAMES[1])
    assert opened.get(NAMES[0])


def test_a_child_of_a_fork_uses_the_token_by_itself(everywhere: Installation) -> None:
    everywhere.move_to("pkcs11")
    code = """
import os
from archive import keys
from archive.config import Config
opened = keys.open_keys(Config.from_env(os.environ))
key = opened.ensure("cohort/2027-11-24")
child = os.fork()
if child == 0:
    made = opened.ensure("cohort/2027-11-25")
    os._exit(0 if opened.get("cohort/2027-11-24") == key and len(made) == 32 else 1)
assert os.waitpid(child, 0)[1] == 0
assert opened.get("cohort/2027-11-24") == key and opened.get("cohort/2027-11-25")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **everywhere.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# -- a root that cannot be used --------------------------------------------------------


def refused_start(installation: Installation, code: int) -> str:
    """What a start says that must fail, having changed nothing."""
    before = installation.files()
    with pytest.raises(ArchiveError) as caught:
        installation.open()
    assert installation.files() == before
    assert caught.value.exit_code == code
    return caught.value.message


def refused_process(installation: Installation, code: int) -> str:
    """The same of a command, which says it in one line."""
    before = installation.files()
    done = installation.command("status")
    assert installation.files() == before
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    for secret in (PIN, installation.environment["ARCHIVE_VAULT_TOKEN"]):
        assert secret not in done.stderr + done.stdout
    return done.stderr


def test_a_token_that_was_pulled_out_stops_the_start_and_harms_nothing(
    everywhere: Installation, token: Token
) -> None:
    everywhere.move_to("pkcs11")
    key = everywhere.open().ensure(NAMES[0])
    token.pull_out()
    try:
        assert "token archive is away" in refused_process(everywhere, 84)
        with pytest.raises(RootKeyAway):
            everywhere.open()
    finally:
        token.put_back()
    assert everywhere.open().get(NAMES[0]) == key


def test_a_wrong_pin_stops_the_start_and_is_tried_once(everywhere: Installation) -> None:
    everywhere.move_to("pkcs11")
    everywhere.open().ensure(NAMES[0])
    everywhere.environment["ARCHIVE_PKCS11_PIN"] = "00000000"
    assert "refuses the PIN" in refused_process(everywhere, 33)
    code = """
import sys
from archive.keyring.keepers.pkcs11 import Pkcs11Keeper, said
from archive.errors import RootKeyUnusable
tries = 0
class Counted:
    def __init__(self, lib): self.lib = lib
    def __getattr__(self, name): return getattr(self.lib, name)
    def get_token(self, **how):
        global tries
        tries += 1
        return self.lib.get_token(**how)
for _ in range(3):
    keeper = Pkcs11Keeper(module=sys.argv[1], token="archive", pin="00000000")
    with keeper._module.alone() as module:
        if not module._is_begun:
            module._begin()
            module._lib = Counted(module._lib)
    try:
        keeper.make()
    except RootKeyUnusable as error:
        assert "refuses the PIN" in error.message
    else:
        raise AssertionError
print(tries)
"""
    module = everywhere.environment["ARCHIVE_PKCS11_MODULE"]
    done = subprocess.run(
        [sys.executable, "-c", code, module], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "1\n", done.stderr


def test_a_library_that_is_none_is_named(everywhere: Installation, tmp_path: Path) -> None:
    everywhere.move_to("pkcs11")
    (tmp_path / "x.so").write_bytes(b"none")
    everywhere.environment["ARCHIVE_PKCS11_MODULE"] = str(tmp_path / "x.so")
    with pytest.raises(RootKeyUnusable, match=r"x\.so is not a PKCS#11 library"):
        everywhere.open()
    assert not (everywhere.home / "keys" / "root.key").exists()


@pytest.mark.parametrize(
    ("provider", "module", "package"),
    [("pkcs11", "pkcs11", "python-pkcs11"), ("transit", "hvac", "hvac")],
)
def test_where_its_package_is_not_installed_the_start_says_which(
    provider: str, module: str, package: str, everywhere: Installation
) -> None:
    everywhere.move_to(provider)
    code = f"import sys; sys.modules[{module!r}] = None; from archive.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "keys", "status"],
        cwd=ROOT,
        env={**os.environ, **everywhere.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 33
    assert f"{package} is not installed. Run: pip install '{package}>=" in done.stderr


def test_a_sealed_vault_stops_the_start_and_harms_nothing(
    everywhere: Installation, bao: Bao
) -> None:
    everywhere.move_to("transit")
    key = everywhere.open().ensure(NAMES[0])
    bao.seal()
    try:
        assert "is sealed" in refused_process(everywhere, 84)
    finally:
        bao.unseal()
    assert everywhere.open().get(NAMES[0]) == key


def test_a_vault_that_is_away_or_refuses_the_token_stops_the_start(
    everywhere: Installation,
) -> None:
    everywhere.move_to("transit")
    everywhere.open().ensure(NAMES[0])
    right = dict(everywhere.environment)
    everywhere.environment["ARCHIVE_VAULT_URL"] = "http://127.0.0.1:9"
    assert "does not answer" in refused_start(everywhere, 84)
    everywhere.environment = {**right, "ARCHIVE_VAULT_TOKEN": "s.another"}
    assert "refuses the token" in refused_start(everywhere, 84)
    everywhere.environment = {**right, "ARCHIVE_VAULT_TOKEN": ""}
    assert "ARCHIVE_VAULT_TOKEN: is needed" in refused_start(everywhere, 40)


@pytest.mark.parametrize("again", ["lost", "another of its name"])
def test_a_key_that_its_engine_lost_stops_the_start_and_wraps_nothing(
    again: str, everywhere: Installation, bao: Bao
) -> None:
    everywhere.move_to("transit")
    opened = everywhere.open()
    opened.ensure(NAMES[0])
    root = opened.root
    assert isinstance(root, KeptRoot)
    key, transit = root.reference.where["key"], bao.admin.secrets.transit
    transit.update_key_configuration(key, deletion_allowed=True)
    transit.delete_key(key)
    if again == "another of its name":
        transit.create_key(key, key_type="aes256-gcm96")
    assert "another key of the name" in refused_start(everywhere, 33)
    before = everywhere.files()
    with pytest.raises(RootKeyUnusable):  # and it is not called damage of the key's file
        opened.get(NAMES[0])
    with pytest.raises(RootKeyUnusable):
        opened.ensure(NAMES[1])
    assert everywhere.files() == before
    assert (key in bao.names()) == (again != "lost")


def test_a_key_that_its_token_lost_stops_the_start(everywhere: Installation) -> None:
    everywhere.move_to("pkcs11")
    opened = everywhere.open()
    opened.ensure(NAMES[0])
    root = opened.root
    assert isinstance(root, KeptRoot)
    root.destroy()
    assert "has no such key" in refused_start(everywhere, 33)


@pytest.mark.parametrize(
    ("url", "hosts", "wrong"),
    [
        ("http://vault.example.fi:8200", "vault.example.fi", "expected https"),
        ("https://vault.example.fi:8200", "", "not in ARCHIVE_EU_HOSTS"),
        ("https://name:secret@127.0.0.1", "", "expected https://host:port"),
        ("vault", "", "expected https://host:port"),
    ],
)
def test_keys_are_sent_over_https_into_the_eu_or_to_this_machine_only(
    url: str, hosts: str, wrong: str, everywhere: Installation
) -> None:
    everywhere.move_to("transit")
    everywhere.environment |= {"ARCHIVE_VAULT_URL": url, "ARCHIVE_EU_HOSTS": hosts}
    with pytest.raises(BadSetting, match=wrong):
        everywhere.open()


def test_an_unknown_provider_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(BadSetting, match="expected one of file, pkcs11, transit"):
        Config.from_env({"ARCHIVE_ROOT_PROVIDER": "cloud"})


def test_a_token_of_the_engine_is_prolonged_before_it_runs_out(
    everywhere: Installation, bao: Bao
) -> None:
    made = bao.admin.auth.token.create(policies=["contact-archive"], ttl="2m", renewable=True)
    token = made["auth"]["client_token"]
    everywhere.move_to("transit")
    everywhere.environment["ARCHIVE_VAULT_TOKEN"] = token
    opened = everywhere.open()
    before = bao.admin.auth.token.lookup(token)["data"]
    assert "last_renewal" not in before
    opened.providers.keep_alive()
    assert bao.admin.auth.token.lookup(token)["data"]["last_renewal"]


# -- moving ----------------------------------------------------------------------------


@pytest.fixture
def private(everywhere: Installation, tmp_path: Path) -> PrivateKey:
    """The recovery key of an installation with keys under a root in a file, and one backup."""
    opened = everywhere.open()
    for name in NAMES:
        opened.ensure(name)
    backups = backups_of(opened)
    backups.make_recovery_key(tmp_path / "offline.key")
    backups.back_up(tmp_path / "dest")
    return PrivateKey.load(tmp_path / "offline.key")


def test_the_root_moves_from_place_to_place_and_each_old_one_is_destroyed(
    everywhere: Installation, private: PrivateKey, token: Token, bao: Bao, tmp_path: Path
) -> None:
    running = everywhere.open()
    before, tokens, engine = all_keys(running), token.objects(), bao.names()
    for provider in ("pkcs11", "transit", "file", "transit", "pkcs11", "pkcs11", "file"):
        everywhere.move_to(provider)
        moved = rotation.rotate(backups_of(everywhere.open()))
        assert running.root.id == moved.root and moved.root.startswith(provider)
        assert moved.rewrapped == len(before)
        assert all_keys(running) == before  # a process that was running follows by itself
        assert not rotation.is_unfinished(running.path)
        assert KeyBackup.read(moved.backups[0]).open(private).keys == before
        assert all(one.good for one in backups_of(running).verify())
        copies = [p.stem for p in (running.path / "recovery").iterdir()]
        assert copies == ([moved.root] if provider == "file" else [])
        assert _open_without_the_root(running, private) == ({} if provider == "file" else before)
        assert len(token.objects()) == len(tokens) + (provider == "pkcs11")
        assert len(bao.names()) == len(engine) + (provider == "transit")


def _open_without_the_root(opened: KeysDirectory, private: PrivateKey) -> dict[str, bytes]:
    """What the recovery key opens of the keys directory alone."""
    found = {}
    for name in opened.everything():
        fields = json.loads((opened.path / name).read_bytes())
        if "recovery" in fields:
            sealed = base64.b64decode(fields["recovery"]["sealed"])
            found[name] = keys.open_key(name, sealed, by=private)
    return found


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from archive import keys
from archive.keyring import rotation
from archive.config import Config
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import PrivateKey
private = PrivateKey.load(Path(sys.argv[2])) if sys.argv[2:] else None
opened = keys.open_keys(Config.from_env(os.environ), lost_root=private is not None)
def step(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
now = lambda: datetime(2026, 11, 24, 12, tzinfo=UTC)
rotation.rotate(KeyBackups(opened, now=now, keep_days=35), recovery=private, step=step)
"""
WAYS = (("file", "pkcs11"), ("pkcs11", "transit"), ("transit", "file"))


@pytest.mark.parametrize("number", range(len(rotation.STEPS)))
def test_a_move_killed_at_any_step_loses_no_key_and_is_finished_by_the_next(
    number: int, everywhere: Installation, private: PrivateKey, token: Token, bao: Bao
) -> None:
    for start, end in WAYS:
        opened = everywhere.open()
        assert opened.root.provider == start
        before, there = all_keys(opened), len(token.objects()) + len(bao.names())
        everywhere.move_to(end)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, rotation.STEPS[number]],
            cwd=ROOT,
            env={**os.environ, **everywhere.environment},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        started = everywhere.open()
        assert all_keys(opened) == before == all_keys(started)
        made = started.ensure(f"cohort/2027-12-0{WAYS.index((start, end)) + 1}")
        rotation.rotate(backups_of(everywhere.open()))
        assert not rotation.is_unfinished(started.path)
        after = all_keys(everywhere.open())
        assert after == {**before, f"cohort/2027-12-0{WAYS.index((start, end)) + 1}": made}
        assert after == all_keys(opened)
        assert opened.root.provider == end
        # At most the key that was begun and never named is left with its keeper.
        now = len(token.objects()) + len(bao.names())
        assert there + (end != "file") - (start != "file") == now


def test_an_old_key_that_may_not_be_deleted_stops_the_rotation_until_it_may(
    everywhere: Installation, private: PrivateKey, bao: Bao
) -> None:
    everywhere.move_to("transit")
    rotation.rotate(backups_of(everywhere.open()))
    bao.admin.sys.create_or_update_policy(
        "no-deleting",
        'path "transit/keys/contact-archive-*" { capabilities = ["create", "read", "update"] }\n'
        'path "transit/encrypt/*" { capabilities = ["update"] }\n'
        'path "transit/decrypt/*" { capabilities = ["update"] }\n',
    )
    less = bao.admin.auth.token.create(policies=["no-deleting"])["auth"]["client_token"]
    more = everywhere.environment["ARCHIVE_VAULT_TOKEN"]
    old, before = everywhere.open().root.id, all_keys(everywhere.open())
    everywhere.environment["ARCHIVE_VAULT_TOKEN"] = less
    with pytest.raises(RotationStopped, match="refuses the token"):
        rotation.rotate(backups_of(everywhere.open()))
    assert rotation.is_unfinished(everywhere.home / "keys")
    assert all_keys(everywhere.open()) == before and everywhere.open().root.id != old
    everywhere.environment["ARCHIVE_VAULT_TOKEN"] = more
    rotation.rotate(backups_of(everywhere.open()))
    assert not rotation.is_unfinished(everywhere.home / "keys")
    assert f"contact-archive-{old.removeprefix('transit-')}" not in bao.names()


# -- a root that is lost for ever ------------------------------------------------------


@pytest.mark.parametrize("provider", ["pkcs11", "transit"])
def test_a_lost_keeper_is_replaced_by_the_recovery_key_and_every_key_is_there(
    provider: str, everywhere: Installation, private: PrivateKey, tmp_path: Path
) -> None:
    everywhere.move_to(provider)
    rotation.rotate(backups_of(everywhere.open()))
    opened = everywhere.open()
    opened.ensure("cohort/2027-12-24")  # after the last key backup
    before = all_keys(opened)
    assert isinstance(opened.root, KeptRoot)
    opened.root.destroy()  # the token broke, the engine's storage is gone
    everywhere.move_to("file")
    assert everywhere.command("rotate-root").returncode == 33
    everywhere.run("rotate-root", "--recovery-key", str(tmp_path / "offline.key"))
    assert all_keys(everywhere.open()) == before
    assert everywhere.open().root.provider == "file"
    assert not rotation.is_unfinished(everywhere.home / "keys")


@pytest.mark.parametrize("step", ["new root", "in use", "rewrapped one", "switched"])
def test_the_replacement_of_a_lost_keeper_is_finished_after_a_kill(
    step: str, everywhere: Installation, private: PrivateKey, tmp_path: Path
) -> None:
    everywhere.move_to("pkcs11")
    rotation.rotate(backups_of(everywhere.open()))
    opened = everywhere.open()
    before = all_keys(opened)
    assert isinstance(opened.root, KeptRoot)
    opened.root.destroy()
    everywhere.move_to("transit")
    offline = str(tmp_path / "offline.key")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, step, offline],
        cwd=ROOT,
        env={**os.environ, **everywhere.environment},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    everywhere.run("rotate-root", "--recovery-key", offline)
    assert all_keys(everywhere.open()) == before
    assert not rotation.is_unfinished(everywhere.home / "keys")


@pytest.mark.parametrize("step", ["recovery copy", "in use", "rewrapped one", "switched"])
def test_a_keeper_lost_in_the_middle_of_the_move_to_it_loses_no_key(
    step: str, everywhere: Installation, private: PrivateKey, tmp_path: Path
) -> None:
    before = all_keys(everywhere.open())
    everywhere.move_to("transit")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, step],
        cwd=ROOT,
        env={**os.environ, **everywhere.environment},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    folder = everywhere.home / "keys"
    new = next(p for p in (folder / "root.fresh", folder / "root.next", folder / "root.key")
               if p.exists() and b"transit" in p.read_bytes())  # fmt: skip
    lost = everywhere.open().providers.load(new)
    assert isinstance(lost, KeptRoot)
    lost.destroy()
    everywhere.move_to("pkcs11")
    everywhere.run("rotate-root", "--recovery-key", str(tmp_path / "offline.key"))
    opened = everywhere.open()
    assert all_keys(opened) == before and opened.root.provider == "pkcs11"
    assert not rotation.is_unfinished(folder)


def test_a_key_backup_is_restored_under_a_root_of_any_provider(
    everywhere: Installation, private: PrivateKey, tmp_path: Path
) -> None:
    before = all_keys(everywhere.open())
    offline = str(tmp_path / "offline.key")
    for provider in ("transit", "pkcs11", "file"):
        everywhere.move_to(provider)
        shutil.rmtree(everywhere.home)
        everywhere.run("restore", str(tmp_path / "dest"), "--recovery-key", offline)
        opened = everywhere.open()
        assert all_keys(opened) == before and opened.root.provider == provider
        everywhere.run("backup", str(tmp_path / "dest"))
        if provider != "file":  # what was restored is open to the recovery key again
            assert _open_without_the_root(everywhere.open(), private) == before
        everywhere.run("verify", "--recovery-key", offline)
        everywhere.run("status")


def test_keys_made_before_the_recovery_key_get_their_copies_when_it_is_made_or_replaced(
    kept: Installation, tmp_path: Path
) -> None:
    opened = kept.open()
    backups = backups_of(opened)
    assert all(opened.recoverable(name) for name in NAMES)  # there is nothing to seal to yet
    for number in (1, 2):
        backups.make_recovery_key(tmp_path / f"{number}.key", replace_old=True)
        private = PrivateKey.load(tmp_path / f"{number}.key")
        assert _open_without_the_root(opened, private) == all_keys(opened)
    with pytest.raises(SealBroken):
        _open_without_the_root(opened, PrivateKey.load(tmp_path / "1.key"))


def test_with_the_recovery_key_a_root_that_still_answers_is_destroyed_all_the_same(
    everywhere: Installation, private: PrivateKey, token: Token, tmp_path: Path
) -> None:
    there = len(token.objects())
    for provider in ("pkcs11", "file"):
        everywhere.move_to(provider)
        everywhere.run("rotate-root", "--recovery-key", str(tmp_path / "offline.key"))
        assert len(token.objects()) == there + (provider == "pkcs11")


def test_a_damaged_copy_for_the_recovery_key_is_called_damage(
    kept: Installation, tmp_path: Path
) -> None:
    opened = kept.open()
    backups_of(opened).make_recovery_key(tmp_path / "offline.key")
    file = opened.path / NAMES[0]
    fields = json.loads(file.read_bytes())
    file.write_bytes(json.dumps({**fields, "recovery": {"id": 1}}).encode())
    with pytest.raises(SealBroken, match="key file"):
        opened.recoverable(NAMES[0])


def test_a_destroyed_key_is_open_to_no_recovery_key(kept: Installation, tmp_path: Path) -> None:
    opened = kept.open()
    backups_of(opened).make_recovery_key(tmp_path / "offline.key")
    copy = json.loads((opened.path / NAMES[0]).read_bytes())["recovery"]["sealed"]
    opened.destroy(NAMES[0])
    assert copy.encode() not in b"".join(kept.files().values())
    assert NAMES[0] not in opened.everything()


def test_a_copy_for_the_recovery_key_opens_under_its_own_name_only(
    kept: Installation, tmp_path: Path
) -> None:
    opened = kept.open()
    backups_of(opened).make_recovery_key(tmp_path / "offline.key")
    private = PrivateKey.load(tmp_path / "offline.key")
    sealed = base64.b64decode(
        json.loads((opened.path / NAMES[0]).read_bytes())["recovery"]["sealed"]
    )
    assert keys.open_key(NAMES[0], sealed, by=private) == opened.get(NAMES[0])
    with pytest.raises(SealBroken):
        keys.open_key(NAMES[1], sealed, by=private)
    with pytest.raises(SealBroken):
        keys.open_key(NAMES[0], sealed[:40], by=private)


# -- the keeper goes away while everything runs ----------------------------------------


def test_an_engine_that_hangs_keeps_one_asker_waiting_and_not_all(
    everywhere: Installation, bao: Bao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transit, "TIMEOUT_S", (0.5, 1.0))
    everywhere.move_to("transit")
    opened = everywhere.open()
    key = opened.ensure(NAMES[0])

    def ask(_: int) -> float:
        begun = time.monotonic()
        with pytest.raises(RootKeyAway):
            opened.get(NAMES[0])
        return time.monotonic() - begun

    bao.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, bao.process.pid, os.WSTOPPED)  # till then its threads may answer
    try:
        ask(0)
        time.sleep(1.1)
        with ThreadPoolExecutor(8) as threads:
            waited = sorted(threads.map(ask, range(8)))
        assert waited[-1] > 0.9 and waited[-2] < 0.5
    finally:
        bao.process.send_signal(signal.SIGCONT)
    time.sleep(1.1)
    assert opened.get(NAMES[0]) == key


def test_keys_in_memory_outlast_their_keeper_for_the_time_of_the_cache_and_no_longer(
    everywhere: Installation, bao: Bao
) -> None:
    everywhere.move_to("transit")
    config = everywhere.config()
    providers, now = Providers(config), [1000.0]
    everywhere.open().ensure(NAMES[0])
    opened = KeysDirectory(
        config.keys_dir,
        root=FileRoots(config.keys_dir, providers),
        cache_s=60,
        monotonic=lambda: now[0],
    )
    key = opened.get(NAMES[0])
    bao.seal()
    try:
        now[0] += 59
        assert opened.get(NAMES[0]) == key
        now[0] += 2
        with pytest.raises(RootKeyAway) as caught:
            opened.get(NAMES[0])
        assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    finally:
        bao.unseal()
    time.sleep(1.1)  # for so long nobody asks again
    assert opened.get(NAMES[0]) == key
