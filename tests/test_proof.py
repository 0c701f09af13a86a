"""The proof that what is over is gone, to somebody who trusts nobody here."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.cli import cli
from archive.db import transaction
from archive.erasure import certificates, journal, proofs
from archive.erasure.proofs import Bundle
from archive.errors import Forbidden, NotProven
from archive.keyring.recovery import PrivateKey
from archive.permissions import scopes_of
from tests.clock import Clock
from tests.media import wav
from tests.owner import as_owner
from tests.test_backup import back_up, environment, folder, private
from tests.test_holds import CASE, HANDLER, case, hold
from tests.test_holds import read as read_held
from tests.test_story import READER, deliver

__all__ = ["case", "folder", "private"]

ROOT = Path(__file__).parent.parent
SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))
PUBLIC = proofs.public_of(SEED)


def certificate(at: datetime, ids: list[UUID], previous: dict[str, Any] | None) -> dict[str, Any]:
    body = {
        "version": 1,
        "run": str(uuid4()),
        "at": at.isoformat(),
        "destroyed": len(ids),
        "held": 0,
        "failed": [],
        "cohorts_closed": [at.date().isoformat()],
        "merkle_root": proofs.merkle_root(ids).hex(),
        "previous": proofs.certificate_digest(previous) if previous else None,
    }
    return proofs.sign(SEED, body)


def objects() -> dict[str, bytes]:
    """Four nights, as objects in a store; their keys sort as they follow each other."""
    found: dict[str, bytes] = {}
    previous = None
    for night in range(4):
        at = datetime(2027, 11, 25 + night, 0, 10, tzinfo=UTC)
        ids = sorted(uuid4() for _ in range(night + 1))
        previous = certificate(at, ids, previous)
        name = f"certificates/{at.date()}/{previous['run']}"
        found[f"{name}.ids"] = "".join(f"{id}\n" for id in ids).encode()
        found[f"{name}.json"] = json.dumps(previous, sort_keys=True).encode()
    return found


def check(found: dict[str, bytes], heads: dict[str, str] | None = None) -> list[str]:
    bundle = Bundle()
    for key, content in found.items():
        bundle.add(key, content)
    return proofs.problems(bundle, PUBLIC, heads=heads or {})


def names(found: dict[str, bytes]) -> list[str]:
    """Names of the certificates, oldest first."""
    return sorted(key.removesuffix(".json") for key in found if key.endswith(".json"))


def changed(content: bytes, seed: bytes | None = None, **fields: Any) -> bytes:
    body = json.loads(content) | fields
    return json.dumps(proofs.sign(seed, body) if seed else body).encode()


# -- the tree --------------------------------------------------------------------------


def test_every_id_of_a_list_of_any_length_leads_to_the_root_and_no_other_does() -> None:
    for size in (*range(1, 34), 100, 257):
        ids = [uuid4() for _ in range(size)]
        root = proofs.merkle_root(ids)
        for id in ids:
            index, path = proofs.inclusion(ids, id)
            assert proofs.root_by(id, index=index, size=size, path=path) == root
            assert proofs.root_by(uuid4(), index=index, size=size, path=path) != root
            assert proofs.root_by(id, index=index + 1, size=size, path=path) != root
            assert proofs.root_by(id, index=index, size=size, path=[*path, root]) != root


def test_the_root_is_that_of_rfc_6962() -> None:
    """Of the standard's structure, by hand: three leaves, the third alone on its level."""
    from hashlib import sha256

    a, b, c = sorted(uuid4() for _ in range(3))
    leaf = [sha256(b"\x00" + id.bytes).digest() for id in (a, b, c)]
    inner = sha256(b"\x01" + leaf[0] + leaf[1]).digest()
    assert proofs.merkle_root([c, a, b]) == sha256(b"\x01" + inner + leaf[2]).digest()
    assert proofs.merkle_root([]) == sha256(b"").digest()


# -- what was done to certificates -----------------------------------------------------


def test_whole_certificates_hold() -> None:
    assert check(objects()) == []


Tamper = Callable[[dict[str, bytes], list[str]], object]


def _swap_lists(found: dict[str, bytes], name: list[str]) -> None:
    one, other = f"{name[1]}.ids", f"{name[2]}.ids"
    found[one], found[other] = found[other], found[one]


def _swap_order(found: dict[str, bytes], name: list[str]) -> None:
    """Two certificates take each other's place and name."""
    one, other = f"{name[1]}.json", f"{name[2]}.json"
    found[one], found[other] = found[other], found[one]


def _leave_out(found: dict[str, bytes], name: list[str]) -> None:
    """A night is taken out and the next one is made to follow the one before, by a forger."""
    del found[f"{name[1]}.json"], found[f"{name[1]}.ids"]
    first = json.loads(found[f"{name[0]}.json"])
    key = f"{name[2]}.json"
    found[key] = changed(found[key], OTHER_SEED, previous=proofs.certificate_digest(first))


def _add_id(found: dict[str, bytes], name: list[str]) -> None:
    """An id that was never destroyed is put into a list, in its place."""
    ids = [*found[f"{name[2]}.ids"].decode().split(), str(uuid4())]
    found[f"{name[2]}.ids"] = "".join(f"{id}\n" for id in sorted(ids)).encode()


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "a certificate is missing": (
        lambda f, n: (f.pop(f"{n[1]}.json"), f.pop(f"{n[1]}.ids")),
        "the certificate before it is missing",
    ),
    "a certificate is missing and its list is there": (
        lambda f, n: f.pop(f"{n[1]}.json"),
        "id list without a certificate",
    ),
    "the first is missing": (
        lambda f, n: (f.pop(f"{n[0]}.json"), f.pop(f"{n[0]}.ids")),
        "the first certificate is missing",
    ),
    "a count is altered": (
        lambda f, n: f.update({f"{n[2]}.json": changed(f[f"{n[2]}.json"], destroyed=2)}),
        "signature does not hold",
    ),
    "a forged one was signed by another key": (
        lambda f, n: f.update({f"{n[3]}.json": changed(f[f"{n[3]}.json"], OTHER_SEED, held=7)}),
        "signature does not hold",
    ),
    "two have changed places": (_swap_order, "lies under the name of another run"),
    "one is dated before the one it follows": (
        lambda f, n: f.update(
            {f"{n[2]}.json": changed(f[f"{n[2]}.json"], SEED, at="2027-11-27T00:00:00+00:00")}
            | {f"{n[3]}.json": changed(f[f"{n[3]}.json"], SEED, at="2027-11-01T00:00:00+00:00")}
        ),
        "missing or altered",
    ),
    "a night was cut out": (_leave_out, "signature does not hold"),
    "a list is missing": (lambda f, n: f.pop(f"{n[2]}.ids"), "id list missing"),
    "two lists have changed places": (_swap_lists, "id list does not match"),
    "a list is in another order": (
        lambda f, n: f.update(
            {f"{n[2]}.ids": b"\n".join(reversed(f[f"{n[2]}.ids"].split())) + b"\n"}
        ),
        "id list is not in order",
    ),
    "a list has an id more": (_add_id, "id list does not match"),
    "a list has an id less": (
        lambda f, n: f.update({f"{n[2]}.ids": f[f"{n[2]}.ids"].partition(b"\n")[2]}),
        "id list does not match",
    ),
    "a list is garbage": (
        lambda f, n: f.update({f"{n[2]}.ids": b"\xff\xfe"}),
        "id list missing or unreadable",
    ),
    "a certificate is garbage": (
        lambda f, n: f.update({f"{n[2]}.json": b"["}),
        "not readable as a certificate",
    ),
    "there are two of a first": (
        lambda f, n: f.update({f"{n[2]}.json": changed(f[f"{n[2]}.json"], SEED, previous=None)}),
        "more than one certificate claims to be the first",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_done_to_certificates_is_found_with_the_public_key_alone(what: str) -> None:
    tamper, said = TAMPERED[what]
    found = objects()
    tamper(found, names(found))
    assert any(said in problem for problem in check(found)), check(found)


def test_the_newest_taken_away_are_missed_by_whoever_knows_the_head() -> None:
    found = objects()
    last = names(found)[-1]
    head = proofs.head([json.loads(found[f"{name}.json"]) for name in names(found)])
    assert head == proofs.certificate_digest(json.loads(found[f"{last}.json"]))
    cut = copy.copy(found)
    del cut[f"{last}.json"], cut[f"{last}.ids"]
    assert check(cut) == []  # nobody could tell
    (missed,) = check(cut, {str(head): "your note"})
    assert "your note" in missed


def test_a_list_that_names_a_recording_of_another_night_is_found() -> None:
    found = objects()
    name = names(found)
    ids = found[f"{name[0]}.ids"] + found[f"{name[1]}.ids"]
    ordered = sorted(ids.decode().split())
    found[f"{name[1]}.ids"] = "".join(f"{id}\n" for id in ordered).encode()
    root = proofs.merkle_root([UUID(id) for id in ordered]).hex()
    key = f"{name[1]}.json"
    found[key] = changed(found[key], SEED, merkle_root=root, destroyed=3)
    assert any("is in the list of" in problem for problem in check(found))


# -- of a real archive -----------------------------------------------------------------


@pytest.fixture
def nights(archive: Archive, clock: Clock) -> list[UUID]:
    """One recording expired in each of three nights."""
    made = [deliver(archive, str(n), days_ago=364 - n).id for n in range(3)]
    worker.until_idle(archive)
    for _ in made:
        clock.advance(timedelta(days=1, hours=12 if _ is made[0] else 0))
        assert archive.expire()["destroyed"] == 1
    return made


def _newest(archive: Archive) -> str:
    keys = [each.key for each in archive.store.list("certificates/")]
    return sorted(key for key in keys if key.endswith(".json"))[-1].removesuffix(".json")


def test_the_newest_certificate_taken_away_is_missed_by_catalogue_audit_log_and_backup(
    archive: Archive, nights: list[UUID], private: PrivateKey, folder: Path
) -> None:
    back_up(archive, folder)
    newest = _newest(archive)
    archive.store.delete([f"{newest}.json", f"{newest}.ids"])

    def missed() -> list[str]:
        return certificates.verify_all(archive.vault, archive.engine, backups=[folder])[1]

    assert any("known from the catalogue" in problem for problem in missed())
    with transaction(archive.engine) as connection:
        connection.execute(text("update expiry_run set certificate = null"))
    assert any("known from the audit log" in problem for problem in missed())
    as_owner(archive, "alter table audit_event disable trigger all", "truncate audit_event")
    assert any("known from a backup" in problem for problem in missed())
    assert certificates.verify_all(archive.vault, archive.engine) == (2, [])


def test_a_journal_entry_that_is_missing_or_forged_is_found_and_a_forged_one_erases_nothing(
    archive: Archive,
) -> None:
    gone, kept = deliver(archive, "1"), deliver(archive, "2")
    archive.erase(READER, gone.id, reason="private")
    assert certificates.verify_all(archive.vault, archive.engine)[1] == []
    (entry,) = archive.store.list("journal/")
    content = b"".join(archive.store.stream(entry.key))
    forged = changed(content, OTHER_SEED, id=str(kept.id))
    archive.store.put_bytes(entry.key.replace(str(gone.id), str(kept.id)), forged)
    assert [erasure.id for erasure in journal.stored(archive.vault)] == [gone.id]
    _, wrong = certificates.verify_all(archive.vault, archive.engine)
    assert any("signature" in problem for problem in wrong)
    archive.store.delete([each.key for each in list(archive.store.list("journal/"))])
    _, wrong = certificates.verify_all(archive.vault, archive.engine)
    assert wrong == [f"erasure of {gone.id}: its journal entry is missing"]


def test_what_is_erased_while_the_night_is_certified_is_in_the_next_certificate(
    archive: Archive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archive.erasure import expiry

    late = deliver(archive, "1")
    real = expiry._keep

    def keep(*arguments: Any) -> None:
        real(*arguments)
        monkeypatch.setattr(expiry, "_keep", real)
        archive.erase(READER, late.id, reason="private")  # after the list, before the end

    monkeypatch.setattr(expiry, "_keep", keep)
    assert archive.expire()["destroyed"] == 0
    clock.advance(timedelta(days=1))
    assert archive.expire()["destroyed"] == 1
    assert certificates.verify_all(archive.vault, archive.engine) == (2, [])


# -- prove-expired ---------------------------------------------------------------------


def test_an_expired_recording_is_proven_gone_from_everywhere(
    archive: Archive, nights: list[UUID], private: PrivateKey, folder: Path
) -> None:
    back_up(archive, folder)
    proof = archive.prove_expired(SYSTEM, nights[1])
    assert proof.good, proof.checks
    assert [check.what for check in proof.checks] == [
        "certificate", "keys", "objects", "catalogue", "index", "backup",
    ]  # fmt: skip
    assert proof.certificate is not None and proof.index is not None and proof.size is not None
    path = [bytes.fromhex(each) for each in proof.path]
    root = proofs.root_by(nights[1], index=proof.index, size=proof.size, path=path)
    assert root is not None and root.hex() == proof.certificate["merkle_root"]
    assert proofs.signed(proof.certificate, public=certificates.public_key(archive.vault))


def test_what_lives_and_what_never_was_are_not_proven(archive: Archive, clock: Clock) -> None:
    living = deliver(archive, "1")
    archive.expire()
    for id in (living.id, uuid4()):
        with pytest.raises(NotProven, match="never held, or not proven"):
            archive.prove_expired(SYSTEM, id)


def test_a_held_recording_past_its_year_is_not_proven_and_neither_is_its_day(
    archive: Archive, clock: Clock, case: str
) -> None:
    kept = deliver(archive, "1", days_ago=364, case=CASE)
    hold(archive, kept.id)
    clock.advance(timedelta(days=3))
    archive.expire()
    with pytest.raises(NotProven):
        archive.prove_expired(SYSTEM, kept.id)
    assert read_held(archive, kept.id, HANDLER) == wav(0.5)


def test_whatever_is_left_of_a_recording_is_named(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path
) -> None:
    gone = deliver(archive, "1", days_ago=364)
    worker.until_idle(archive)
    back_up(archive, folder)
    copies = {o.key: b"".join(archive.store.stream(o.key)) for o in archive.store.list("recor")}
    with transaction(archive.engine) as connection:
        day = connection.execute(text("select cohort from recording")).scalar_one()
    key = archive.keys.get(f"cohort/{day}")
    clock.advance(timedelta(days=2))
    archive.expire()

    def bad() -> dict[str, tuple[str, ...]]:
        checks = archive.prove_expired(SYSTEM, gone.id).checks
        return {check.what: check.left for check in checks if not check.good}

    # Until tonight's backup yesterday's key backup opens yesterday's copy, and that is said.
    assert bad() == {"backup": (f"cohort/{day}",)}
    back_up(archive, folder)
    assert bad() == {}
    for object_key, content in copies.items():
        archive.store.put_bytes(object_key, content)
    assert set(bad()) == {"objects"}
    assert all(str(gone.id) in name for name in bad()["objects"])
    back_up(archive, folder)  # a copy of a sealed object whose key is gone opens nothing
    assert set(bad()) == {"objects"}
    archive.store.delete(list(copies))
    (archive.keys.path / "cohort" / f"{day}.destroyed").unlink()
    archive.keys.put(f"cohort/{day}", key)
    assert bad() == {"keys": (f"cohort/{day}",)}


def test_what_was_destroyed_within_its_day_is_proven_when_the_days_key_is_gone(
    archive: Archive, clock: Clock
) -> None:
    gone = deliver(archive, "1", days_ago=364)
    clock.advance(timedelta(days=1, hours=1))  # past its year, the day is not over
    assert archive.expire()["destroyed"] == 1
    (left,) = [check for check in archive.prove_expired(SYSTEM, gone.id).checks if not check.good]
    assert (left.what, left.left) == ("keys", (f"cohort/{clock().date()}",))
    clock.advance(timedelta(days=1))
    archive.expire()
    assert archive.prove_expired(SYSTEM, gone.id).good


def test_an_early_erasure_is_proven_at_once_by_the_journal_and_next_night_by_a_certificate(
    archive: Archive, clock: Clock, private: PrivateKey, folder: Path
) -> None:
    gone = deliver(archive, "1")
    worker.until_idle(archive)
    back_up(archive, folder)
    erased = archive.erase(READER, gone.id, reason="private")
    proof = archive.prove_expired(SYSTEM, gone.id)
    assert (proof.reason, proof.certificate, proof.gone_at) == ("private", None, clock())
    assert [check.what for check in proof.checks if not check.good] == ["backup"]
    assert proof.backups_until == erased.backups_until
    clock.advance(timedelta(days=1))
    archive.expire()
    back_up(archive, folder)
    proof = archive.prove_expired(SYSTEM, gone.id)
    assert proof.good, proof.checks
    assert proof.certificate is not None


def test_proofs_are_for_data_protection_and_administration(archive: Archive) -> None:
    for group in ("customer-service", "complaints"):
        actor = replace(READER, kind="person", group=group, scopes=scopes_of(group))
        with pytest.raises(Forbidden):
            archive.prove_expired(actor, uuid4())
        with pytest.raises(Forbidden):
            archive.erasures(actor)


# -- the commands, and the page for outsiders ------------------------------------------


def command(archive: Archive, *words: str, **more: str) -> Any:
    settings = {k: v for k, v in environment(archive.config).items() if k.startswith("ARCHIVE_")}
    settings |= more
    return CliRunner().invoke(cli, words, env=settings)


def test_an_outsider_checks_with_the_public_key_alone(
    archive: Archive, nights: list[UUID], tmp_path: Path
) -> None:
    out, key = tmp_path / "out", tmp_path / "key.pem"
    said = command(archive, "expiry", "export", str(out))
    assert said.exit_code == 0, said.output
    head = said.output.split()[-1]
    key.write_text(command(archive, "expiry", "public-key").output)
    nothing = CliRunner(env={})

    def verify(*more: str) -> Any:
        words = ["expiry", "verify", "--public-key", str(key), *more, str(out)]
        return nothing.invoke(cli, words)

    assert verify("--head", head).exit_code == 0
    assert head in verify().output
    proof = tmp_path / "proof.json"
    proof.write_text(command(archive, "prove-expired", str(nights[0]), "--json").stdout)
    assert _script(tmp_path, key, out, head, proof).returncode == 0
    newest = _newest(archive)
    for ending in (".json", ".ids"):
        (out / (newest + ending)).unlink()
    assert verify().exit_code == 0
    assert verify("--head", head).exit_code == 1
    assert _script(tmp_path, key, out, "-", proof).returncode == 0
    assert "missing" in _script(tmp_path, key, out, head, proof).stdout


def test_the_script_of_the_page_finds_what_was_done_to_certificates(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(proofs.pem(PUBLIC))
    for number, what in enumerate(TAMPERED):
        found = objects()
        TAMPERED[what][0](found, names(found))
        out = tmp_path / str(number)
        for name, content in found.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
        done = _script(tmp_path, key, out, "-")
        assert done.returncode == 1, (what, done.stdout, done.stderr)
        assert "WRONG" in done.stdout, (what, done.stderr)


def _script(tmp_path: Path, key: Path, out: Path, head: str, *proof: Path) -> Any:
    """Runs the script that docs/proof.md prints, in a process that cannot see the archive."""
    page = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 60
    assert "archive" not in re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE)
    script = tmp_path / "check.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", str(script), str(key), str(out), head, *map(str, proof)],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath},
        check=False,
    )


def test_the_command_says_by_its_exit_code_whether_it_is_proven(
    archive: Archive, nights: list[UUID]
) -> None:
    good = command(archive, "prove-expired", str(nights[2]))
    assert good.exit_code == 0, good.output
    assert "BAD" not in good.output
    never = command(archive, "prove-expired", str(uuid4()))
    assert isinstance(never.exception, NotProven) and never.exception.exit_code == 62
