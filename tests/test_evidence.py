"""Evidence packages: what is in one and what never is, how it is checked, and how it ends."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from sqlalchemy import text

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.config import Config
from archive.db import transaction
from archive.erasure import proofs
from archive.errors import (
    BadFields,
    CaseClosed,
    Forbidden,
    KeyDestroyed,
    NotFound,
    PurposeRequired,
    StoreUnavailable,
)
from archive.evidence import building, documents, ending, packages, verify
from archive.evidence.ziplayout import Part, PiecesReader, stream, total_bytes
from archive.formats import pdf
from archive.model import Scope
from archive.worker import WORKER_LOCK
from tests.clock import Clock
from tests.media import mail, wav
from tests.test_cases import shut
from tests.test_holds import AGENT, CASE, DPO, HANDLER, days, hold
from tests.test_holds_steps import CLEAN, assembled, watched
from tests.test_story import READER

CUSTOMER, OTHER = "100234567", "200345678"
HETU = "131052-308T"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def call(archive: Archive, reference: str, customer: str = CUSTOMER, **more: Any) -> UUID:
    metadata = {
        "source": "pbx",
        "source_ref": reference,
        "occurred_at": (archive.now() - timedelta(days=2)).isoformat(),
        "direction": "inbound",
        "line": "viat",
        "customer_number": customer,
        "caller": "+358401234567",
        "agent": "Mikko Laine",
    } | more
    return archive.receive_call(SYSTEM, metadata, io.BytesIO(wav(1.0, hz=(440, 660)))).id


def email(archive: Archive, subject: str = "Laskun oikaisu äö") -> UUID:
    raw = mail(subject=subject, text=f"Hei {EVIL}\nHetuni on {HETU}.\n")
    return archive.receive_email(
        SYSTEM, io.BytesIO(raw), source="pbx", mailbox="asiakaspalvelu@example.com",
        direction="inbound",
    ).id  # fmt: skip


def build(archive: Archive) -> bool:
    """Builds the next package, its PDF being no matter."""
    means = building.Means(
        vault=archive.vault, engine=archive.engine, days=14, now=archive.now,
        draw=lambda html: b"%PDF-" + html.encode()[:2000],
    )  # fmt: skip
    return building.step(means, worker=0, lock_class=WORKER_LOCK)


def content(archive: Archive, id: UUID) -> bytes:
    opened = archive.open_evidence(HANDLER, id, purpose="complaint")
    return b"".join(opened.read(0, opened.length))


def made(archive: Archive, **asked: Any) -> UUID:
    id = archive.ask_evidence(HANDLER, CASE, **asked)
    assert build(archive)
    return id


@pytest.fixture
def filled(archive: Archive) -> list[UUID]:
    """A case of one customer with a call, an email, a note and a mark."""
    archive.open_case(HANDLER, CASE, subject=f"lasku väärin {EVIL}", customer=CUSTOMER)
    ids = [call(archive, "1"), email(archive)]
    worker.until_idle(archive)
    for id in ids:
        archive.add_to_case(HANDLER, CASE, id)
    archive.note_in_case(HANDLER, CASE, f"lupaus {EVIL}", id=ids[0], start_s=0.2, end_s=0.6)
    archive.note_in_case(HANDLER, CASE, "Soitettu takaisin")
    return ids


def files(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def objects(archive: Archive) -> list[str]:
    return [each.key for each in archive.store.list("evidence/")]


# -- what is in one --------------------------------------------------------------------


def test_a_package_holds_originals_copies_papers_and_who_did_what(
    archive: Archive, filled: list[UUID]
) -> None:
    archive.open_case(HANDLER, "2026-00002")
    archive.add_to_case(HANDLER, "2026-00002", filled[0])
    archive.open(HANDLER, filled[0], purpose="complaint", case=CASE)
    id = archive.ask_evidence(HANDLER, CASE)
    assert archive.build_evidence(worker=0, lock_class=WORKER_LOCK)
    (package,) = archive.evidence_of(HANDLER, CASE)
    assert (package.id, package.state, package.percent) == (id, "ready", 100)
    whole = content(archive, id)
    assert len(whole) == package.bytes
    found = files(whole)
    assert list(found) == [
        "manifest.json", "index.html", "evidence.pdf", "case.vcon.json", "custody.json",
        "verify.py", "originals/001-call.wav", "playback/001.ogg", "originals/002-email.eml",
    ]  # fmt: skip
    assert found["originals/001-call.wav"] == wav(1.0, hz=(440, 660))
    assert found["playback/001.ogg"].startswith(b"OggS")
    assert found["evidence.pdf"].startswith(b"%PDF-") and len(found["evidence.pdf"]) > 10_000
    page = found["index.html"].decode()
    assert EVIL not in page and "&lt;script&gt;alert(1)" in page
    assert HETU not in page and "lupaus" in page
    assert re.findall(r"(?:src|href|action)=\"(?!originals/|playback/|[a-z.]+\")[^\"]*", page) == []
    assert "http" not in re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL).replace(
        "http-equiv", ""
    )
    custody = json.loads(found["custody.json"])["entries"]
    verbs = [entry["verb"] for entry in custody]
    assert {"add-to-case", "open", "note-in-case", "put-in-evidence", "ask-evidence"} <= set(verbs)
    assert [e["case"] for e in custody if e["verb"] == "add-to-case"] == [CASE, CASE, "other"]
    assert b"2026-00002" not in b"".join(found.values())


def test_what_it_says_is_said_in_the_language_it_was_asked_for(
    archive: Archive, filled: list[UUID]
) -> None:
    page = files(content(archive, made(archive, language="en")))["index.html"].decode()
    assert '<html lang="en">' in page and "Timeline" in page and "Aikajana" not in page
    with pytest.raises(BadFields):
        archive.ask_evidence(HANDLER, CASE, language="sv")


def test_its_vcon_is_signed_by_the_archives_key_and_holds_the_recordings(
    archive: Archive, filled: list[UUID]
) -> None:
    signed = json.loads(files(content(archive, made(archive)))["case.vcon.json"])
    (one,) = signed["signatures"]
    public = x509.load_der_x509_certificate(base64.b64decode(one["header"]["x5c"][0])).public_key()
    assert public.public_bytes_raw() == proofs.public_of(  # type: ignore[union-attr]
        archive.keys.ensure("installation/signing")
    )
    public.verify(  # type: ignore[union-attr, call-arg]
        unbase64(one["signature"]), f"{one['protected']}.{signed['payload']}".encode()
    )
    made_ = json.loads(unbase64(signed["payload"]))
    assert [dialog["type"] for dialog in made_["dialog"]] == ["recording", "text"]
    assert unbase64(made_["dialog"][0]["body"]) == wav(1.0, hz=(440, 660))
    assert made_["parties"][0] == {"tel": "+358401234567"}
    assert made_["dialog"][1]["message_id"] == "1@esimerkki.example"
    assert all(HETU not in json.dumps(a) for a in made_["attachments"])


def unbase64(text_: str) -> bytes:
    return base64.urlsafe_b64decode(text_ + "=" * (-len(text_) % 4))


def test_other_peoples_contacts_never_slip_in(archive: Archive, filled: list[UUID]) -> None:
    others = call(archive, "other", OTHER, agent="Toinen Virkailija")
    outside = call(archive, "outside")
    worker.until_idle(archive)
    archive.add_to_case(HANDLER, CASE, others)
    assert {c.view.id: c.own for c in archive.evidence_choices(HANDLER, CASE)} == {
        filled[0]: True, filled[1]: True, others: False,
    }  # fmt: skip
    whole = content(archive, made(archive))
    for word in (str(others), OTHER, "Toinen Virkailija", str(outside)):
        assert word.encode() not in whole
        assert base64.urlsafe_b64encode(word.encode())[:-4] not in whole
    with pytest.raises(NotFound):
        archive.ask_evidence(HANDLER, CASE, recordings=[outside])
    chosen = files(content(archive, made(archive, recordings=[others])))
    assert "originals/001-call.wav" in chosen, "somebody chose it by name"
    assert "originals/002-email.eml" not in chosen


def test_what_a_sender_silenced_stays_silent_unless_it_is_asked_for(archive: Archive) -> None:
    archive.open_case(HANDLER, CASE)
    id = call(archive, "1", masked=[[0.2, 0.6]])
    worker.until_idle(archive)
    archive.add_to_case(HANDLER, CASE, id)
    without = files(content(archive, made(archive)))
    assert [name for name in without if "/" in name] == ["playback/001.ogg"]
    assert wav(1.0, hz=(440, 660))[4000:8000] not in b"".join(without.values())
    with pytest.raises(Forbidden):
        archive.ask_evidence(HANDLER, CASE, masked_originals=True)
    hears_all = replace(HANDLER, scopes=HANDLER.scopes | {Scope.UNMASKED})
    whole = archive.ask_evidence(hears_all, CASE, masked_originals=True)
    assert build(archive)
    with_ = files(content(archive, whole))
    assert with_["originals/001-call.wav"] == wav(1.0, hz=(440, 660))


def test_a_package_ends_when_other_stretches_are_to_be_silent(
    archive: Archive, filled: list[UUID]
) -> None:
    id, waiting = made(archive), archive.ask_evidence(HANDLER, CASE)
    archive.correct(READER, filled[0], {"masked": [[0.2, 0.6]]})
    assert gone(archive, id) and gone(archive, waiting)
    worker.until_idle(archive)
    again = files(content(archive, made(archive)))
    assert "originals/001-call.wav" not in again and "playback/001.ogg" in again


# -- checking one ----------------------------------------------------------------------


def test_one_changed_byte_anywhere_is_named(archive: Archive, filled: list[UUID]) -> None:
    whole = content(archive, made(archive))
    assert verify.check_zip(io.BytesIO(whole))[2] == []
    manifest = json.loads(files(whole)["manifest.json"])
    at = whole.index(b"PK\3\4", 30)  # behind the manifest
    spans = {"manifest.json": range(0, at, 3)}
    for one in manifest["files"]:
        header = 30 + len(one["name"])
        spans[one["name"]] = range(at, at + header + 1)
        inside = at + header
        middle = range(inside, inside + one["bytes"], max(1, one["bytes"] // 15))
        spans[one["name"]] = [*range(at, inside), *middle, inside + one["bytes"] - 1]  # type: ignore[assignment]
        at = inside + one["bytes"]
    spans[""] = range(at, len(whole))  # the directory and the end: any name will do
    tried = 0
    for name, places in spans.items():
        for place in places:
            changed = bytearray(whole)
            changed[place] ^= 1 << (place % 8)
            wrong = verify.check_zip(io.BytesIO(changed))[2]
            assert wrong, f"byte {place} of {name or 'the directory'} was changed unseen"
            assert name in wrong[0]
            tried += 1
    assert tried > 1500
    for more in (whole + b"\0", whole[:-1], b"\0" + whole, whole[:50], b""):
        assert verify.check_zip(io.BytesIO(more))[2]


def test_a_package_written_anew_with_another_key_does_not_pass_for_the_archives(
    archive: Archive, filled: list[UUID], home: Path
) -> None:
    whole = content(archive, made(archive))
    body = json.loads(files(whole)["manifest.json"])
    forged = proofs.sign(b"\1" * 32, {k: v for k, v in body.items() if k not in verify.UNSIGNED})
    parts = [Part.of("manifest.json", verify.written(forged))]
    parts += [Part.of(name, raw) for name, raw in list(files(whole).items())[1:]]
    fake = b"".join(stream(parts))
    own = proofs.public_of(archive.keys.ensure("installation/signing"))
    assert verify.check_zip(io.BytesIO(fake))[1] == proofs.public_of(b"\1" * 32)
    assert verify.check_zip(io.BytesIO(fake), own)[2] == [
        "manifest.json: is signed by another key than the given one"
    ]
    (home / "whole.zip").write_bytes(whole)
    (home / "key.pem").write_text(proofs.pem(own), encoding="ascii")
    for name, code in (("whole.zip", 0), ("fake.zip", 1)):
        (home / "fake.zip").write_bytes(fake)
        done = subprocess.run(  # no archive, no database: an empty environment
            [sys.executable, "-m", "archive.cli", "evidence", "verify", str(home / name),
             "--public-key", str(home / "key.pem")],
            env={"PATH": os.defpath}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr


def test_an_unpacked_package_is_checked_file_by_file(
    archive: Archive, filled: list[UUID], home: Path
) -> None:
    folder = home / "unpacked"
    with zipfile.ZipFile(io.BytesIO(content(archive, made(archive)))) as opened:
        opened.extractall(folder)

    def said() -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(folder / "verify.py"), str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return f"{done.returncode} {done.stdout}"

    assert said().startswith("0 case 2026-00001")
    (folder / "playback/001.ogg").write_bytes(b"x")
    (folder / "originals/002-email.eml").unlink()
    (folder / "more.txt").write_text("x")
    assert [line.partition("BAD  ")[2] for line in said().splitlines() if "BAD" in line] == [
        "playback/001.ogg: is changed",
        "originals/002-email.eml: is missing",
        "more.txt: does not belong to the package",
    ]


@pytest.mark.parametrize("length", [0, 5, verify.LARGE - 1, verify.LARGE, verify.LARGE + 7])
def test_the_zip_of_huge_files_is_one_that_others_read(length: int) -> None:
    part = Part(name="a", bytes=length, crc32=7, sha256="", read=lambda: ())
    behind = Part.of("b", b"behind")
    head = verify.local_header("a", length, 7)
    end = b"".join(stream([replace(part, bytes=0, crc32=0), behind]))[-1:]
    assert end == b"\0"
    directory = b"".join(
        [
            verify.central_entry("a", length, 7, 0),
            verify.central_entry("b", 6, behind.crc32, len(head) + length),
        ]
    )
    start = len(head) + length + len(verify.local_header("b", 6, 0)) + 6

    class Sparse(io.RawIOBase):
        """The end of a ZIP whose beginning is holes."""

        tail = directory + verify.end_record(2, start, len(directory))
        at = 0

        def seekable(self) -> bool:
            return True

        def seek(self, to: int, whence: int = 0) -> int:
            self.at = to + (0, self.at, start + len(self.tail))[whence]
            return self.at

        def tell(self) -> int:
            return self.at

        def read(self, n: int = -1) -> bytes:
            n = start + len(self.tail) - self.at if n < 0 else n
            inside = self.at - start
            found = self.tail[max(0, inside) : max(0, inside + n)]
            self.at += n
            return b"\0" * max(0, min(n, -inside)) + found

    with zipfile.ZipFile(Sparse()) as opened:  # type: ignore[arg-type]
        assert [(i.filename, i.file_size, i.header_offset) for i in opened.infolist()] == [
            ("a", length, 0), ("b", 6, len(head) + length),
        ]  # fmt: skip
    assert total_bytes([part, behind]) == start + len(Sparse.tail)


def test_what_reads_differently_from_how_it_was_measured_is_not_packed() -> None:
    measured = Part.of("a", b"one")
    with pytest.raises(ValueError, match="changed"):
        list(stream([replace(measured, read=lambda: (b"two",))]))
    with pytest.raises(ValueError, match="not a name"):
        Part.of("../a", b"")
    reader = PiecesReader(iter([b"ab", b"cde", b""]))
    assert [reader.read(1), reader.read(3), reader.read(9), reader.read(1)] == [
        b"a", b"bcd", b"e", b"",
    ]  # fmt: skip


# -- who may -----------------------------------------------------------------------


def test_packages_are_for_complaint_handlers_of_an_open_case_alone(
    archive: Archive, filled: list[UUID]
) -> None:
    id = made(archive)
    for actor in (AGENT, DPO, replace(HANDLER, purposes=frozenset())):
        for ask in (
            lambda a: archive.ask_evidence(a, CASE),
            lambda a: archive.evidence_of(a, CASE),
            lambda a: archive.open_evidence(a, id, purpose="complaint"),
            lambda a: archive.end_evidence(a, id),
        ):
            with pytest.raises(Forbidden):
                ask(actor)
    one_line = replace(HANDLER, lines=frozenset({"viat"}))
    assert archive.evidence_of(one_line, CASE) == []
    for ask in (
        lambda a: archive.open_evidence(a, id, purpose="complaint"),
        lambda a: archive.end_evidence(a, id),
    ):
        with pytest.raises(NotFound):
            ask(one_line)
    for purpose in (None, "verification"):
        with pytest.raises(PurposeRequired):
            archive.open_evidence(HANDLER, id, purpose=purpose)
    shut(archive)
    with pytest.raises(NotFound):
        archive.open_evidence(HANDLER, id, purpose="complaint")
    with pytest.raises(CaseClosed):
        archive.ask_evidence(HANDLER, CASE)
    with transaction(archive.engine) as connection:
        said = connection.execute(
            text("select verb, count(*) from audit_event where verb like '%evidence' group by 1")
        ).all()
    assert dict(said) == {"ask-evidence": 1, "put-in-evidence": 2, "make-evidence": 1}  # type: ignore[arg-type]


def test_an_empty_case_gives_no_package(archive: Archive) -> None:
    archive.open_case(HANDLER, CASE)
    with pytest.raises(BadFields):
        archive.ask_evidence(HANDLER, CASE)
    assert not build(archive)


# -- how it ends -----------------------------------------------------------------------


def gone(archive: Archive, id: UUID) -> bool:
    """Whether nothing is left of a package but its tombstone and the log."""
    with pytest.raises(NotFound):
        archive.open_evidence(HANDLER, id, purpose="complaint")
    with pytest.raises(KeyDestroyed):
        archive.keys.get(ending.key_name(id))
    with transaction(archive.engine) as connection:
        left = connection.execute(text("select count(*) from evidence")).scalar_one()
    return not left and not objects(archive)


def test_a_package_ends_after_its_days_and_when_it_is_removed(
    archive: Archive, filled: list[UUID]
) -> None:
    first, second = made(archive), made(archive)
    assert len(objects(archive)) == 2
    archive.end_evidence(HANDLER, second)
    assert [p.id for p in archive.evidence_of(HANDLER, CASE)] == [first]
    days(archive, 13.9)
    assert archive.tidy_evidence() == 0
    days(archive, 0.2)
    with pytest.raises(NotFound):
        archive.open_evidence(HANDLER, first, purpose="complaint")
    assert archive.tidy_evidence() == 1
    assert gone(archive, first)


def test_a_package_goes_at_once_with_a_recording_that_is_erased(
    archive: Archive, filled: list[UUID]
) -> None:
    id, waiting = made(archive), archive.ask_evidence(HANDLER, CASE)
    archive.erase(READER, filled[0], reason="private")
    assert gone(archive, id) and gone(archive, waiting)
    assert not build(archive)


def test_a_package_goes_in_the_night_of_its_first_recording_and_no_copy_opens(
    archive: Archive, filled: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = call(archive, "old", occurred_at=(archive.now() - timedelta(days=364)).isoformat())
    held = call(archive, "held", occurred_at=(archive.now() - timedelta(days=364)).isoformat())
    worker.until_idle(archive)
    for each in (old, held):
        archive.add_to_case(HANDLER, CASE, each)
    hold(archive, held)
    id, lasting = made(archive, recordings=[filled[0], old]), made(archive, recordings=[held])
    with transaction(archive.engine) as connection:
        package = packages.one(connection, id)
        assert package is not None
        rows = packages.recordings_of(connection, package, archive.now())
    own_key = archive.keys.get(ending.key_name(id))
    days(archive, 1.5)
    with pytest.raises(NotFound):
        archive.open_evidence(HANDLER, id, purpose="complaint")
    archive.expire()
    assert [p.id for p in archive.evidence_of(HANDLER, CASE)] == [lasting], "held: it stays"
    assert files(content(archive, lasting))
    archive.end_evidence(HANDLER, lasting)
    assert gone(archive, id)
    # Whoever kept row, object and the package's own key lacks the key of the day that is over.
    get = archive.keys.get
    kept = {ending.key_name(id): own_key}
    monkeypatch.setattr(archive.keys, "get", lambda name: kept.get(name) or get(name))
    with pytest.raises(KeyDestroyed, match="cohort/"):
        packages.reader(archive.vault, package, rows)


def test_a_restricted_recording_takes_its_package_along(
    archive: Archive, filled: list[UUID]
) -> None:
    id = made(archive)
    archive.restrict(DPO, filled[1], reason="pyyntö")
    with pytest.raises(NotFound):
        archive.open_evidence(HANDLER, id, purpose="complaint")
    archive.tidy_evidence()
    assert gone(archive, id)


def test_a_recording_that_goes_while_the_package_is_built_takes_it_along(
    archive: Archive, filled: list[UUID]
) -> None:
    archive.ask_evidence(HANDLER, CASE)

    def draw(html: str) -> bytes:
        archive.erase(READER, filled[0], reason="private")
        return b"%PDF-"

    means = building.Means(
        vault=archive.vault, engine=archive.engine, days=14, now=archive.now, draw=draw
    )
    assert building.step(means, worker=0, lock_class=WORKER_LOCK)
    assert archive.evidence_of(HANDLER, CASE) == [] and objects(archive) == []


def test_without_a_store_the_key_is_gone_at_once_and_the_rest_follows(
    archive: Archive, filled: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = made(archive)

    def away(*args: Any) -> Any:
        raise StoreUnavailable()

    with monkeypatch.context() as patched:
        patched.setattr(archive.store, "delete", away)
        with pytest.raises(StoreUnavailable):
            archive.end_evidence(HANDLER, id)
    with pytest.raises(KeyDestroyed):
        archive.keys.get(ending.key_name(id))
    assert archive.evidence_of(HANDLER, CASE) == [] and len(objects(archive)) == 1
    assert archive.tidy_evidence() == 1
    assert gone(archive, id)


# -- being built -----------------------------------------------------------------------


def test_a_package_is_built_whole_after_a_kill_at_any_step(
    archive: Archive, config: Config, clock: Clock, filled: list[UUID]
) -> None:
    for most in (1, 3, 6, 9, 11, 99):
        id = archive.ask_evidence(HANDLER, CASE)
        child = CLEAN.Process(target=_mortal, args=(config, clock(), most))
        child.start()
        child.join(timeout=60)
        assert child.exitcode in {0, -signal.SIGKILL}
        end = time.monotonic() + 20  # the database may take a moment to see that it was killed
        while time.monotonic() < end and not _ready(archive, id):
            build(archive) or time.sleep(0.1)
        assert verify.check_zip(io.BytesIO(content(archive, id)))[2] == []
        archive.tidy_evidence()
        assert len(objects(archive)) == 1, f"killed after {most} steps"
        archive.end_evidence(HANDLER, id)
        assert (child.exitcode == 0) == (most == 99)


def _ready(archive: Archive, id: UUID) -> bool:
    return any(p.id == id and p.state == "ready" for p in archive.evidence_of(HANDLER, CASE))


def _mortal(config: Config, at: datetime, most: int) -> None:
    archive, made_ = assembled(config, Clock(at)), 0

    def step() -> None:
        nonlocal made_
        made_ += 1
        if made_ > most:
            os.kill(os.getpid(), signal.SIGKILL)

    put = archive.store.put

    def put_and_step(*args: Any) -> Any:
        step()
        stored = put(*args)
        step()
        return stored

    archive.store.put = put_and_step  # type: ignore[method-assign]
    with archive.engine.connect() as alive:
        alive.execute(text("select pg_advisory_lock(:c, 77)"), {"c": WORKER_LOCK})
        means = building.Means(
            vault=archive.vault, engine=archive.engine, days=14, now=archive.now,
            draw=lambda html: b"%PDF-",
        )  # fmt: skip
        with watched(archive, step):
            building.step(means, worker=77, lock_class=WORKER_LOCK)
    os._exit(0)


def test_what_a_living_worker_builds_is_left_to_it(archive: Archive, filled: list[UUID]) -> None:
    archive.ask_evidence(HANDLER, CASE)
    with archive.engine.connect() as alive:
        alive.execute(text("select pg_advisory_lock(:c, 78)"), {"c": WORKER_LOCK})
        with transaction(archive.engine) as connection:
            package = packages.claim(
                connection, worker=78, lock_class=WORKER_LOCK, now=archive.now()
            )
        assert package is not None
        assert not build(archive)
        alive.rollback()
        alive.execute(text("select pg_advisory_unlock(:c, 78)"), {"c": WORKER_LOCK})
    assert build(archive)


def test_a_package_that_fails_again_and_again_is_given_up_and_said_to_have_failed(
    archive: Archive, filled: list[UUID], clock: Clock
) -> None:
    archive.ask_evidence(HANDLER, CASE)

    def draw(html: str) -> bytes:
        raise RuntimeError

    means = building.Means(
        vault=archive.vault, engine=archive.engine, days=14, now=clock, draw=draw
    )
    for _ in range(packages.GIVE_UP_AFTER):
        assert building.step(means, worker=0, lock_class=WORKER_LOCK)
        clock.advance(timedelta(hours=3))
    assert not building.step(means, worker=0, lock_class=WORKER_LOCK)
    (package,) = archive.evidence_of(HANDLER, CASE)
    assert (package.state, package.reason) == ("failed", "unexpected")


# -- the papers ------------------------------------------------------------------------


def test_the_paper_fetches_nothing_and_says_when_it_cannot_be_drawn() -> None:
    html = '<html lang="fi"><title>x</title><img alt="" src="file:///etc/passwd"><p>Ääkkösiä</p>'
    assert pdf.render(html).startswith(b"%PDF-")


@pytest.mark.parametrize("levels", [[], [0.5], [0.0, 1.0], [0.2] * 2000])
def test_a_waveform_is_drawn_from_any_number_of_levels(levels: Sequence[float]) -> None:
    drawn = documents.outline(levels, 600, 40, 0)
    assert re.fullmatch(r"M[\d. ML]+Z?", drawn)
    assert len(drawn) < 20_000
