"""Building an evidence package: the worker's step, from a claimed row to a sealed ZIP.

Nothing of it lies on a disk in the clear: originals stream from their seal into the package's.
A crash at any point leaves a claimed row, and the next worker does it anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from archive.db import reading, transaction
from archive.erasure import proofs
from archive.errors import (
    CatalogueUnavailable,
    DiskFull,
    KeyDestroyed,
    KeyMissing,
    MediaUnusable,
    RootKeyAway,
    StoreUnavailable,
)
from archive.evidence import contents, conversation, documents, packages, verify
from archive.evidence.contents import Item, Story
from archive.evidence.packages import Gone, Package
from archive.evidence.ziplayout import Part
from archive.formats import pdf, vcon
from archive.vault import Vault

AWAY = (CatalogueUnavailable, StoreUnavailable, RootKeyAway, DiskFull)
log = logging.getLogger("archive.evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What building works with. `days`: how long a package is kept once it is ready."""

    vault: Vault
    engine: Engine
    days: int
    now: Callable[[], datetime]
    draw: Callable[[str], bytes] = pdf.render


def step(means: Means, *, worker: int, lock_class: int) -> bool:
    """Builds the next package that was asked for; whether there was one."""
    with transaction(means.engine) as connection:
        package = packages.claim(connection, worker=worker, lock_class=lock_class, now=means.now())
    if package is None:
        return False
    try:
        build(means, package, worker=worker)
    except AWAY:
        packages.later(means.engine, package, wait_s=5, counts=False, now=means.now())
        raise
    except (Gone, KeyDestroyed, KeyMissing):
        packages.fail(means.engine, package, "recording-gone")
    except Exception as error:  # whatever it is, the next package must be built
        log.error("evidence package %s: %s", package.id, type(error).__name__)
        wait_s = 5 * 4.0**package.attempts
        packages.later(means.engine, package, wait_s=wait_s, counts=True, now=means.now())
    return True


def build(means: Means, package: Package, *, worker: int) -> bool:
    """Builds a claimed package; False where it was ended meanwhile. Gone."""
    vault, engine = means.vault, means.engine
    with reading(engine) as connection:
        recordings = packages.recordings_of(connection, package, means.now())
    told = packages.Progress(engine, package.id, whole=contents.size_of(recordings) * 2)
    story = contents.gather(vault, engine, package, recordings, step=told, now=means.now())
    seed = vault.keys.ensure("installation/signing")
    parts, with_pdf = assemble(story, seed=seed, draw=means.draw)
    return packages.write(
        vault, engine, package, recordings, parts,
        worker=worker, days=means.days, with_pdf=with_pdf, now=means.now,
    )  # fmt: skip


def assemble(story: Story, *, seed: bytes, draw: Callable[[str], bytes]) -> tuple[list[Part], bool]:
    """Every part of the ZIP in its order, the signed manifest first; whether there is a PDF.

    Without the libraries that draw one, the package is made without it.
    """
    media = [part for item in story.items for part in (item.original, item.playback) if part]
    others = [
        Part.of("case.vcon.json", _vcon(story, seed)),
        Part.of("custody.json", _custody(story)),
        Part.of("verify.py", Path(verify.__file__).read_bytes()),
    ]
    public = proofs.public_of(seed)
    papers = []
    try:
        drawn = draw(documents.paper(story, [*others, *media], public_key=public))
        papers.append(Part.of("evidence.pdf", drawn))
    except MediaUnusable as error:
        log.warning("evidence package %s without a PDF: %s", story.package.id, error.facts["code"])
    page = documents.page(story, others, with_pdf=bool(papers))
    files = [Part.of("index.html", page), *papers, *others, *media]
    return [Part.of(verify.MANIFEST, _manifest(story, files, seed)), *files], bool(papers)


def _manifest(story: Story, files: Sequence[Part], seed: bytes) -> bytes:
    body = {
        "kind": verify.KIND,
        "version": 1,
        "id": str(story.package.id),
        "case": story.case.number,
        "made_at": story.made_at.astimezone(UTC).isoformat(),
        "recordings": [
            {
                "number": item.number,
                "id": str(item.recording.id),
                "occurred_at": item.recording.occurred_at.astimezone(UTC).isoformat(),
                "kind": item.recording.kind.value,
                "sha256": item.descriptor.sha256,
            }
            for item in story.items
        ],
        "files": [
            {"name": p.name, "bytes": p.bytes, "crc32": p.crc32, "sha256": p.sha256} for p in files
        ],
    }
    return verify.written(proofs.sign(seed, body))


def _custody(story: Story) -> bytes:
    numbers = story.numbers
    entries = [entry.as_json(numbers) for entry in story.custody]
    return json.dumps({"case": story.case.number, "entries": entries}, indent=1).encode()


def _vcon(story: Story, seed: bytes) -> bytes:
    about = story.case.about
    made = conversation.of(
        story.package.id,
        [_talk(item) for item in story.items],
        subject=about.subject if about else None,
        now=story.made_at,
    )
    return vcon.sign(made, seed)


def _talk(item: Item) -> conversation.Talk:
    found = []
    if item.original is not None:
        kind = conversation.media_type(item.recording, item.descriptor, item.description)
        part = item.original
        found.append((kind, part.name, part.bytes, part.read))
    if item.playback is not None:
        part = item.playback
        found.append(("audio/ogg", part.name, part.bytes, part.read))
    return conversation.Talk(
        recording=item.recording,
        descriptor=item.descriptor,
        description=item.description,
        contents=tuple(found),
    )
