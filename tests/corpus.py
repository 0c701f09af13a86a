"""`make corpus`: real mail and audio through the whole life, held against what others say of it.

Starts its own embedded parts in a temporary home, ingests the folders `email` and `audio` with
the command itself, waits until the worker is idle, reads every original back byte for byte,
and compares descriptions with the manifest's oracle where that has `trust: high`. Differences
that are understood are listed, with the reason, in tests/corpus_explained.json. Afterwards some
emails go in by HTTP, SMTP and IMAP (tests/ways.py); before it, damaged files are read
(tests/mutations.py), and every sample of SIPREC metadata. An argument chooses one of them: life,
ways, damage, siprec.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archive import catalogue
from archive.assembly import Assembly, assemble, with_parts
from archive.config import Config
from archive.db import migrate
from archive.embedded import Parts
from archive.model import CallDescription, MailDescription, Query, Recording, State
from archive.sources import siprec
from archive.vault import Description
from tests import mutations, ways

EXPLAINED = Path(__file__).with_name("corpus_explained.json")
DURATION_TOLERANCE = 0.03
PARTS = ("life", "ways", "damage", "siprec")


def main() -> int:
    """Runs over the corpus; 0 if everything holds, and 0 with a word if there is no corpus."""
    chosen = set(sys.argv[1:]) or set(PARTS)
    if chosen - set(PARTS):
        print(f"usage: python -m tests.corpus [{'] ['.join(PARTS)}]")
        return 2
    corpus = Path(os.environ.get("ARCHIVE_CORPUS") or "../shared/corpus").resolve()
    if not corpus.is_dir():
        print(f"no corpus at {corpus}; set ARCHIVE_CORPUS to check one")
        return 0
    findings = mutations.run(corpus) if "damage" in chosen else []
    for finding in findings:
        print(f"  {finding}")
    if "siprec" in chosen:
        findings += _siprec(corpus)
    if chosen <= {"damage", "siprec"}:
        return 1 if findings else 0
    with tempfile.TemporaryDirectory(prefix="archive-corpus-") as folder:
        home = Path(folder) / "home"
        with Parts(home, say=lambda text: print(f"… {text}", flush=True)) as parts:
            migrate(parts.database_url)
            environment = {k: v for k, v in os.environ.items() if not k.startswith("ARCHIVE_")}
            environment["ARCHIVE_HOME"] = str(home)
            failed = 1 if findings else 0
            failed |= _run(corpus, environment) if "life" in chosen else 0
            if "ways" in chosen:
                failed |= _ways(corpus, environment, Path(folder) / "ways")
            return failed


def _siprec(corpus: Path) -> list[str]:
    """Every sample of SIPREC metadata among the corpus's metadata, read and counted."""
    findings, told = [], Counter[str]()
    for path in sorted(path for path in (corpus / "metadata").rglob("*") if path.is_file()):
        raw = path.read_bytes()
        if not siprec.looks_like(raw[:65536]):
            continue
        told["read"] += 1
        try:
            found = siprec.fields(raw)
        except siprec.SiprecError as error:
            findings.append(f"{path.relative_to(corpus)}: expected {error}")
            continue
        told.update(name for name in found if name in ("caller", "callee", "call_id"))
        told["start"] += "occurred_at" in found
    print(f"siprec: {told['read']} samples, {len(findings)} of them not read")
    print(
        f"  caller {told['caller']}, callee {told['callee']}, call id {told['call_id']}, "
        f"start {told['start']}"
    )
    for finding in findings:
        print(f"  {finding}")
    return findings


def _ways(corpus: Path, environment: dict[str, str], folder: Path) -> int:
    """The same emails by HTTP, SMTP and IMAP."""
    token = _archive(
        environment, "token", "create", "corpus", "--scope", "ingest", "--source", ways.SOURCE
    )
    wrong = ways.run(
        with_parts(Config.from_env(environment)),
        corpus,
        token=token.split()[-1],
        folder=folder,
        work=lambda: _archive(environment, "worker", "--until-idle"),
        rows=_all,
    )
    for problem in wrong:
        print(f"  {problem}")
    return 1 if wrong else 0


def _run(corpus: Path, environment: dict[str, str]) -> int:
    began = time.monotonic()
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    folders = [str(corpus / name) for name in ("email", "audio") if (corpus / name).is_dir()]
    summary = _archive(
        environment, "ingest", *folders, "--received-at", at, "--json", fine=frozenset({0, 3})
    )
    ingested = json.loads(summary)
    print(
        f"ingested in {time.monotonic() - began:.0f} s: {ingested['new']} new, "
        f"{ingested['known']} known, {len(ingested['refused'])} refused"
    )
    for one in ingested["refused"]:
        print(f"  refused {one['path']}: {one['reason']}")
    _archive(environment, "worker", "--until-idle")
    print(f"described and indexed after {time.monotonic() - began:.0f} s")
    assembly = assemble(Config.from_env(environment))
    try:
        return _compare(assembly, corpus, {one["path"] for one in ingested["refused"]})
    finally:
        assembly.close()


def _archive(
    environment: dict[str, str], *words: str, fine: frozenset[int] = frozenset({0})
) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "archive.cli", *words],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=3000,
        check=False,
    )
    if done.returncode not in fine:
        raise SystemExit(f"archive {words[0]} ended with {done.returncode}")
    return done.stdout


def _compare(assembly: Assembly, corpus: Path, refused: set[str]) -> int:
    recordings = {(d.sha256, d.kind.value, d.file_name): (r, d) for r, d in _all(assembly)}
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["entries"]
    explained = json.loads(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.exists() else {}
    states = Counter(r.state.value for r, _ in recordings.values())
    wrong: list[str] = []
    compared = Counter[str]()
    for recording, _ in recordings.values():
        if recording.state.value != "indexed":
            wrong.append(f"{recording.id}: state {recording.state.value} ({recording.error_code})")
    for entry in manifest:
        path = corpus / entry["path"]
        if entry["kind"] not in {"email", "audio"} or not path.exists():
            continue
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        kind = "email" if entry["kind"] == "email" else "call"
        found = recordings.get((sha256, kind, path.name if kind == "call" else None))
        if found is None:
            if str(path) not in refused and entry.get("mbox_messages", 1) < 2:
                compared["split or unmatched"] += 1
                if not _is_split(path):
                    wrong.append(f"{entry['path']}: neither stored nor refused")
            continue
        recording, _ = found
        content = hashlib.sha256()
        for block in assembly.archive.vault.stream(recording):
            content.update(block)
        if content.hexdigest() != sha256:
            wrong.append(f"{entry['path']}: does not come back byte for byte")
        description = assembly.archive.vault.description(recording)
        if description is None:
            continue
        differs = (
            _mail_differs(entry, description.mail)
            if description.mail
            else _call_differs(entry, description.call)
        )
        for field, ours, theirs in differs:
            compared["differences"] += 1
            if field not in explained.get(entry["path"], {}):
                wrong.append(f"{entry['path']}: {field} is {ours!r}, oracle {theirs!r}")
        compared["compared"] += 1
    wrong += _not_found_again(assembly, [recording for recording, _ in recordings.values()])
    print(f"{len(recordings)} recordings, states {dict(states)}; {dict(compared)}")
    for problem in wrong:
        print(f"  {problem}")
    print(f"{compared['compared']} passed, {len(wrong)} failed")
    return 1 if wrong else 0


def _not_found_again(assembly: Assembly, recordings: list[Recording]) -> Iterator[str]:
    """Emails that a search for their sender, subject or three words of their body misses."""
    asked, found = Counter[str](), Counter[str]()
    for recording in recordings:
        description = assembly.archive.vault.description(recording)
        if description is None or description.mail is None or recording.state is not State.INDEXED:
            continue
        asked["emails"] += 1
        for what, query in _questions(description).items():
            asked[what] += 1
            only = replace(query, ids=frozenset({recording.id}))
            if assembly.archive.index.find(only, limit=1):
                found[what] += 1
            else:
                yield f"{recording.id}: not found by its {what}"
    told = ", ".join(f"{found[what]} of {asked[what]} by {what}" for what in _WAYS)
    print(f"{asked['emails']} indexed emails; found again: {told}")


_WAYS = ("sender", "subject", "body")


def _questions(description: Description) -> dict[str, Query]:
    """What a person would ask who remembers one thing of the email; what it lacks is not asked."""
    mail, made = description.mail, dict[str, Query]()
    if mail is not None and mail.from_:
        made["sender"] = Query(email=mail.from_[0])
    subject = _words((mail.subject if mail else None) or "", most=6)
    if subject:
        made["subject"] = Query(q=f"aihe:{' aihe:'.join(subject)}")
    body = _words(description.text, most=3)
    if len(body) == 3:
        made["body"] = Query(q=" ".join(body))
    return made


def _words(text: str, *, most: int) -> list[str]:
    """The first words of letters alone, long enough to be no operator."""
    return list(dict.fromkeys(re.findall(r"(?<![\w@.:/*-])[^\W\d_]{4,30}(?![\w@.:/*-])", text)))[
        :most
    ]


def _is_split(path: Path) -> bool:
    from archive.sources.folder import Options, items

    return len(list(items(path, Options(), now=datetime.now(UTC)))) > 1


def _all(assembly: Assembly) -> Iterator[tuple[Recording, Any]]:
    for rows in catalogue.pages(assembly.engine):
        for row in rows:
            yield row, assembly.archive.vault.descriptor(row)


def _mail_differs(entry: dict[str, Any], mail: MailDescription) -> Iterator[tuple[str, Any, Any]]:
    oracle = entry.get("oracle") or {}
    trust = oracle.get("field_trust", {})
    ours: dict[str, Any] = {
        "message_id": mail.message_id,
        "subject": " ".join((mail.subject or "").split()),
        "from": sorted(mail.from_),
        "to": sorted(mail.to),
        "date": mail.date.astimezone(UTC).isoformat() if mail.date else None,
        "attachments": len(mail.attachments),
    }
    for field, mine in ours.items():
        theirs = oracle.get(field)
        if trust.get(field) != "high" or oracle.get("trust") != "high":
            continue
        if field == "subject":
            theirs = " ".join((theirs or "").split())
        if (mine or None) != (theirs or None):
            yield field, mine, theirs


def _call_differs(
    entry: dict[str, Any], call: CallDescription | None
) -> Iterator[tuple[str, Any, Any]]:
    if call is None:
        return
    oracle = entry["audio"]
    decoded = oracle.get("decoded_duration")
    if decoded and call.duration_s is not None:
        if abs(call.duration_s - decoded) > max(0.1, DURATION_TOLERANCE * decoded):
            yield "duration_s", call.duration_s, decoded
    elif bool(decoded) != call.decodes:
        yield "decodes", call.decodes, decoded
    for field, name in (("channels", "channels"), ("sample_rate_hz", "sample_rate")):
        theirs = oracle.get(name)
        mine = getattr(call, field)
        if theirs and mine and call.decodes and int(theirs) != int(mine):
            yield field, mine, theirs


if __name__ == "__main__":
    sys.exit(main())
