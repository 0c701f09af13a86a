"""The embedded parts as `archive up` uses them: folders, modes, ends good and bad, durability."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import urllib3

from archive.config import Config
from archive.embedded import Parts, postgres, seaweedfs
from archive.embedded.volumes import mend_volumes
from archive.errors import HomeInUse, PartFailed, StoreUnavailable
from archive.storage import Store, open_store

FSYNC, FDATASYNC = "74", "75"  # numbers of the system calls on x86-64
FSYNC_ARM, FDATASYNC_ARM = "82", "83"

OWNER = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    from archive.embedded import Parts
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests' own is
    with Parts(Path(sys.argv[1]), say=lambda words: None) as parts:
        print("ready", flush=True)
        if len(sys.argv) > 2 and os.fork() == 0:
            time.sleep(600)  # a worker that holds everything its parent held
        sys.stdin.read()
    """
)


def silent(words: str) -> None:
    pass


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., Parts]]:
    """Starts parts over the test's home, or over a folder of it; they stop with the test."""
    running: list[Parts] = []

    def start(folder: Path = home) -> Parts:
        running.append(Parts(folder, say=silent))
        running[-1].start()
        return running[-1]

    yield start
    for parts in running:
        parts.stop()


def settings_of(home: Path) -> Config:
    return Config(home=home, keys_dir=home / "keys")


@contextmanager
def store_in(home: Path) -> Iterator[Store]:
    with closing(open_store(settings_of(home))) as store:
        yield store


def processes_of(home: Path) -> dict[int, str]:
    """Every process whose command names the home: id -> name of its program."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(home) in b" ".join(words) and int(folder.name) != os.getpid():
                found[int(folder.name)] = (folder / "exe").readlink().name
        except (OSError, ValueError):
            continue
    return found


def servers_of(home: Path) -> dict[str, int]:
    """The two servers: name -> process id."""
    return {
        name: pid
        for pid, name in sorted(processes_of(home).items())
        if name in {"postgres", "weed"}
    }


def wait_for(true: Callable[[], bool], limit_s: float = 30) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@contextmanager
def owner_of(home: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds parts over `home`, in a group of its own as a terminal makes one."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# -- starting and stopping -------------------------------------------------------------


def test_what_was_kept_is_there_after_a_stop_and_a_start(
    home: Path, started: Callable[..., Parts]
) -> None:
    first = started()
    with psycopg.connect(first.database_url, autocommit=True) as connection:
        connection.execute("create table kept as select 42 as n")
    with store_in(home) as store:
        store.put_bytes("a/1", b"kept")
    first.stop()
    second = started()
    with psycopg.connect(second.database_url) as connection:
        assert connection.execute("select n from kept").fetchone() == (42,)
    with store_in(home) as store:
        assert store.get("a/1", start=0, length=9) == b"kept"
    assert (second.access_key, second.secret_key) == (first.access_key, first.secret_key)


def test_after_a_stop_nothing_runs_and_nothing_says_it_does(
    home: Path, started: Callable[..., Parts]
) -> None:
    parts = started()
    assert {"postgres", "weed"} <= set(processes_of(home).values())
    announced = json.loads((home / "run" / "parts.json").read_text())
    assert announced["pid"] == os.getpid()
    assert announced["database_owner_url"] == parts.database_url
    assert announced["store_url"] == parts.store_url
    parts.stop()
    assert processes_of(home) == {}
    assert not (home / "run" / "parts.json").exists()
    assert not (home / "run" / "sockets").exists()
    ports = json.loads((home / "seaweedfs.json").read_text())["ports"]
    assert not [port for port in ports.values() if list(Path("/tmp").glob(f"*grpc-{port}*"))]
    parts.stop()  # again is no error


def test_everything_lies_in_the_home_for_its_owner_alone(
    home: Path, started: Callable[..., Parts]
) -> None:
    above = home / "above"
    above.mkdir(mode=0o750)
    above.chmod(0o750)
    parts = started(above / "home")
    with store_in(above / "home") as store:
        store.put_bytes("a/1", b"x")
    assert stat.S_IMODE(above.stat().st_mode) == 0o750  # nobody else's folder is touched
    top = above / "home"
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    for name in ("run", "log", "postgres", "seaweedfs"):
        assert stat.S_IMODE((top / name).stat().st_mode) == 0o700, name
    for path in top.rglob("*"):
        info = path.lstat()
        assert info.st_uid == os.geteuid(), path
        assert not info.st_mode & 0o022 or path.is_symlink(), path
    for name in ("run/parts.json", "seaweedfs.json", "run/seaweedfs-s3.json", "log/postgres.log"):
        assert stat.S_IMODE((top / name).stat().st_mode) == 0o600, name
    parts.stop()


def test_a_second_archive_in_the_same_home_is_refused_by_process_id(parts: Parts) -> None:
    with pytest.raises(HomeInUse) as refused:
        Parts(parts.home, say=silent).start()
    assert f"process {os.getpid()}" in str(refused.value)
    assert (parts.home / "run" / "parts.json").exists()  # the first is untouched
    assert len(servers_of(parts.home)) == 2


def test_a_home_with_a_very_long_path_works(home: Path, started: Callable[..., Parts]) -> None:
    deep = home / ("d" * 100) / ("e" * 60)
    parts = started(deep)
    with psycopg.connect(parts.database_url) as connection:
        connection.execute("select 1")
    sockets = Path(json.loads((deep / "run" / "parts.json").read_text())["sockets"])
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    parts.stop()
    assert not sockets.exists()


def test_waiting_says_what_is_waited_for(home: Path) -> None:
    said: list[str] = []
    with Parts(home, say=said.append):
        pass
    assert "waiting for PostgreSQL" in said
    assert "waiting for SeaweedFS" in said


def test_a_part_that_cannot_start_is_named_and_nothing_runs_on(
    home: Path, started: Callable[..., Parts]
) -> None:
    started().stop()
    (home / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PartFailed, match=r"PostgreSQL did not start.*log/postgres\.log"):
        started()
    assert processes_of(home) == {}
    (home / "postgres" / "postgresql.conf").write_text("")
    started()


def test_a_taken_port_is_exchanged_for_another(home: Path, started: Callable[..., Parts]) -> None:
    first = started()
    with store_in(home) as store:
        store.put_bytes("a/1", b"x")
    first.stop()
    ports = json.loads((home / "seaweedfs.json").read_text())["ports"]
    with socket.create_server(("127.0.0.1", ports["s3"])):
        second = started()
        assert second.store_url != first.store_url
        with store_in(home) as store:
            assert store.get("a/1", start=0, length=9) == b"x"


# -- ends that nobody ordered ----------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("with-a-worker",)])
def test_no_part_outlives_its_killed_owner(home: Path, more: tuple[str, ...]) -> None:
    with owner_of(home, *more) as owner:
        assert {"postgres", "weed"} <= set(processes_of(home).values())
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        wait_for(lambda: not servers_of(home), 20)
    wait_for(lambda: not processes_of(home), 10)


def test_the_next_start_recovers_after_everything_was_killed(
    home: Path, started: Callable[..., Parts]
) -> None:
    with owner_of(home):
        with store_in(home) as store:
            store.put_bytes("a/1", b"acknowledged")
        url = json.loads((home / "run" / "parts.json").read_text())["database_owner_url"]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create table kept as select 1 as n")
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    parts = started()
    assert time.monotonic() - began < 30
    with psycopg.connect(parts.database_url) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)
    with store_in(home) as store:
        assert store.get("a/1", start=0, length=20) == b"acknowledged"


def test_the_terminals_ctrl_c_reaches_no_part(home: Path) -> None:
    with owner_of(home) as owner:
        before = servers_of(home)
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does: to the whole group
        owner.wait(60)
        log = (home / "log" / "postgres.log").read_text()
        assert "received fast shutdown request" in log  # by its guard, in order
        assert "database system is shut down" in log
        assert set(before) == {"postgres", "weed"}
    assert servers_of(home) == {}


def test_a_part_whose_guard_is_killed_goes_too(home: Path) -> None:
    with owner_of(home):
        guards = [
            pid
            for pid in processes_of(home)
            if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert len(guards) == 2
        for pid in guards:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not servers_of(home), 30)


@pytest.mark.parametrize("name", ["postgres", "weed"])
def test_a_part_that_dies_is_started_again(
    home: Path, started: Callable[..., Parts], name: str
) -> None:
    parts = started()
    with store_in(home) as store:
        store.put_bytes("a/1", b"before")
        killed = servers_of(home)[name]
        os.kill(killed, signal.SIGKILL)

        def works() -> bool:
            try:
                with psycopg.connect(parts.database_url) as connection:
                    connection.execute("select 1")
                return store.get("a/1", start=0, length=9) == b"before"
            except Exception:
                return False

        wait_for(lambda: servers_of(home).get(name, killed) != killed and works(), 60)


def test_a_store_that_a_full_disk_has_stuck_writes_again_once_there_is_room(
    started: Callable[..., Parts], home: Path
) -> None:
    """Its filer takes no entry after one that failed; the guard begins it anew."""
    started()
    weed = servers_of(home)["weed"]
    large = os.urandom(12 * 1024 * 1024)  # in parts, so that an entry comes before any data

    def limit_files(limit: str) -> None:
        subprocess.run(["prlimit", f"--fsize={limit}", "--pid", str(weed)], check=True)

    with store_in(home) as store:
        store.put_bytes("a/1", b"before")
        limit_files("1:")
        with pytest.raises(StoreUnavailable):
            store.put("a/2", io.BytesIO(large))
        limit_files("unlimited:")

        def writes() -> bool:
            with suppress(StoreUnavailable):
                return store.put("a/3", io.BytesIO(large)).bytes == len(large)
            return False

        wait_for(writes, 60)
        assert servers_of(home)["weed"] != weed
        assert store.get("a/1", start=0, length=9) == b"before"
        assert store.get("a/3", start=0, length=9) == large[:9]


# -- what a power cut leaves -----------------------------------------------------------


def syncing(pid: int) -> Iterator[Path]:
    """Files that a thread of the process is just bringing to the disk."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            words = (task / "syscall").read_text().split()
            if words[0] in {FSYNC, FDATASYNC, FSYNC_ARM, FDATASYNC_ARM}:
                yield Path(f"/proc/{pid}/fd/{int(words[1], 16)}").readlink()
        except (OSError, ValueError, IndexError):
            continue


def test_a_put_is_on_the_disk_before_it_is_acknowledged(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Volumes by SeaweedFS itself, names by us: both seen while they happen."""
    settled: list[Path] = []
    real_fsync = os.fsync

    def fsync(file: int) -> None:
        settled.append(Path(f"/proc/self/fd/{file}").readlink())
        real_fsync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    keys: list[str] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            keys.append(store.put_bytes(f"synced/{len(keys)}", os.urandom(9000)).key)

    weed = servers_of(parts.home)["weed"]
    seen: Counter[str] = Counter()
    with store_in(parts.home) as store:
        writer = threading.Thread(target=write)
        writer.start()
        end = time.monotonic() + 30
        while seen[".dat"] < 5 and time.monotonic() < end:
            seen.update(path.suffix for path in syncing(weed))
        stop.set()
        writer.join()
        store.delete(keys)
    assert seen[".dat"] >= 5  # caught in the act; without the setting it is never seen
    journals = [path for path in settled if path.suffix == ".log"]
    assert len(journals) > len(keys) > 0  # and once for the deletion
    assert all("filerldb2" in str(path) for path in journals)


def lose_index(home: Path, keep: int) -> int:
    """As if the end of every volume's index had not reached the disk; entries lost."""
    lost = 0
    for index in (home / "seaweedfs").glob("archive_*.idx"):
        entries = index.stat().st_size // 17
        os.truncate(index, 17 * min(keep, entries))
        lost += entries - min(keep, entries)
    return lost


@pytest.mark.parametrize(
    ("keep", "torn"),
    [(2, b""), (0, b"\0" * 4096), (1, b"\x12\x34\x56\x78" + bytes(7) + b"\x99" * 3000)],
)
def test_a_power_cut_loses_no_acknowledged_object(
    home: Path, started: Callable[..., Parts], keep: int, torn: bytes
) -> None:
    """The volumes' indexes lose their end, and the last write is torn."""
    contents = {f"a/{n}": os.urandom(3000) for n in range(40)}
    parts = started()
    with store_in(home) as store:
        for key, content in contents.items():
            store.put_bytes(key, content)
        store.delete(["a/0"])
    parts.stop()
    assert lose_index(home, keep) > 0
    for volume in (home / "seaweedfs").glob("archive_*.dat"):
        with volume.open("ab") as file:
            file.write(torn)
    started()
    with store_in(home) as store:
        del contents["a/0"]
        assert store.head("a/0") is None
        for key, content in contents.items():
            assert store.get(key, start=0, length=4000) == content
        for n in range(20):  # and the volumes are not read-only
            store.put_bytes(f"b/{n}", b"x")


def test_after_an_ordered_stop_no_volume_needs_mending(
    home: Path, started: Callable[..., Parts]
) -> None:
    parts = started()
    with store_in(home) as store:
        for n in range(60):
            store.put_bytes(f"a/{n}", os.urandom(1 + 700 * n))
        store.put("b/1", io.BytesIO(os.urandom(9 * 1024 * 1024)))
        store.delete([f"a/{n}" for n in range(0, 60, 3)])
    parts.stop()
    assert mend_volumes(home / "seaweedfs", index=pytest.fail) == []


# -- PostgreSQL's silence and its ways -------------------------------------------------


def test_a_failing_statement_leaves_no_word_in_the_log(
    parts: Parts, empty_database_url: str
) -> None:
    marker = "MARKER-7f3a"
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("create table t (v text unique, n int)")
        connection.execute("insert into t values (%s, 1)", (marker,))
        for statement in (
            "insert into t values (%s, 1)",  # the detail of the constraint names the value
            "select %s::int",
            f"select '{marker}'::int",
            f"select {marker.replace('-', '_')} from t where v = %s",
            f"do $$ begin raise warning '{marker}'; raise exception '{marker}'; end $$",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode(), (marker,) if "%s" in statement else None)
    for log in (parts.home / "log").iterdir():
        assert "marker" not in log.read_text("utf-8", "replace").lower(), log


def test_the_database_is_durable_checked_and_off_the_network(parts: Parts) -> None:
    with psycopg.connect(parts.database_url) as connection:
        shown = {
            name: connection.execute(f"show {name}".encode()).fetchone()
            for name in (
                *("fsync", "synchronous_commit", "full_page_writes", "data_checksums"),
                *("listen_addresses", "server_encoding"),
            )
        }
    assert shown == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "full_page_writes": ("on",),
        "data_checksums": ("on",),
        "listen_addresses": ("",),
        "server_encoding": ("UTF8",),
    }


def test_the_store_listens_on_this_machine_only(parts: Parts) -> None:
    weed = Path(f"/proc/{servers_of(parts.home)['weed']}")
    inodes = set()
    for file in (weed / "fd").iterdir():
        with suppress(OSError):
            inodes.add(str(file.readlink()).removeprefix("socket:[").removesuffix("]"))
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in (weed / "net" / table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                listening.add(words[1].split(":")[0])
    assert listening == {"0100007F"}


def test_nobody_without_credentials_reads_or_writes_the_store(parts: Parts) -> None:
    ports = json.loads((parts.home / "seaweedfs.json").read_text())["ports"]
    s3, filer = (f"http://127.0.0.1:{ports[name]}" for name in ("s3", "filer"))
    with store_in(parts.home) as store, urllib3.PoolManager(retries=False) as http:
        store.put_bytes("secret/1", b"sealed")
        for method, url in (
            ("GET", f"{s3}/archive/secret/1"),
            ("PUT", f"{s3}/archive/secret/2"),
            ("DELETE", f"{s3}/archive/secret/1"),
            ("GET", f"{filer}/buckets/archive/secret/1"),
            ("PUT", f"{filer}/buckets/archive/secret/2"),
            ("DELETE", f"{filer}/buckets/archive/secret/1"),
        ):
            assert http.request(method, url).status in {401, 403}, (method, url)
        assert [each.key for each in store.list("secret/")] == ["secret/1"]
        store.delete(["secret/1"])


def test_data_of_another_version_is_refused_with_advice(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(PartFailed, match=r"version 12.*dump it"):
        postgres.binaries_for(home / "postgres")


def test_every_port_has_its_companion_free() -> None:
    ports = seaweedfs.free_ports()
    assert set(ports) == set(seaweedfs.SERVICES)
    assert len(set(ports.values())) == len(ports)
    assert max(ports.values()) + seaweedfs.GRPC_OFFSET < 32_768
