"""`archive evidence`: packages of complaint cases, and checking one without an archive."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy import text

from archive import retention
from archive.archive import OPERATOR, Archive
from archive.assembly import Assembly
from archive.cli.frame import cli, say, with_archive
from archive.errors import NotFound
from archive.evidence import verify
from archive.evidence.packages import Package
from archive.worker import WORKER_LOCK


@cli.group(name="evidence")
def evidence_group() -> None:
    """Evidence packages of complaint cases."""


@evidence_group.command(name="create")
@click.argument("case")
@click.option(
    "--recording",
    "recordings",
    multiple=True,
    type=click.UUID,
    help="Only these; without it what is the customer's own.",
)
@click.option("--language", type=click.Choice(["fi", "en"]), default="fi", show_default=True)
@click.option(
    "--masked-originals",
    is_flag=True,
    help="Also originals of calls with stretches that are to be silent.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Wait, and write the ZIP there.")
@with_archive  # fmt: skip
def evidence_create(
    assembly: Assembly,
    case: str,
    recordings: tuple[UUID, ...],
    language: str,
    masked_originals: bool,
    output: Path | None,
) -> None:
    """Ask for a package of a case; the worker builds it, and this command where none runs."""
    archive = assembly.archive
    id = archive.ask_evidence(
        OPERATOR, case, recordings=recordings or None, language=language,
        masked_originals=masked_originals,
    )  # fmt: skip
    if output is not None:
        package = _finished(archive, case, id)
        if package.state != "ready":
            click.echo(f"{id}: {package.state}, {package.reason}", err=True)
            sys.exit(1)
        _write(archive, id, output)
    click.echo(str(id))


@evidence_group.command(name="list")
@click.argument("case")
@with_archive
def evidence_list(assembly: Assembly, case: str) -> None:
    """List the packages of a case: how far each is, and until when it is kept."""
    for one in assembly.archive.evidence_of(OPERATOR, case):
        until = f"until {retention.local(one.expires_at):%Y-%m-%d %H:%M}"
        how = {"ready": until, "failed": str(one.reason)}.get(one.state, f"{one.percent} %")
        click.echo(f"{one.id}  {one.state:<9}  {len(one.recordings)} recordings  {how}")


@evidence_group.command(name="save")
@click.argument("id", type=click.UUID)
@click.argument("file", type=click.Path(path_type=Path))
@with_archive
def evidence_save(assembly: Assembly, id: UUID, file: Path) -> None:
    """Write a ready package to FILE, mode 0600; what lies there is nobody's to expire any more."""
    _write(assembly.archive, id, file)


@evidence_group.command(name="remove")
@click.argument("id", type=click.UUID)
@with_archive
def evidence_remove(assembly: Assembly, id: UUID) -> None:
    """End a package before its days are over."""
    assembly.archive.end_evidence(OPERATOR, id)


@evidence_group.command(name="verify")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--public-key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="PEM file of the key that must have signed it.")  # fmt: skip
def evidence_verify(file: Path, public_key: Path | None) -> None:
    """Check every byte of a package (or of the folder it was unpacked into); needs no archive.

    Names each file that is changed, missing or added, and ends with 1 then. The package carries
    the same as verify.py, for a Python without anything else.
    """
    arguments = [str(file)]
    if public_key is not None:
        arguments += ["--key", str(public_key)]
    sys.exit(verify.main(arguments))


def _finished(archive: Archive, case: str, id: UUID) -> Package:
    """The package once it is ready or has failed; built here where no worker is alive."""
    number, told = secrets.randbelow(2**31 - 2) + 1, -1
    with archive.engine.connect() as alive:
        # So that a worker which starts meanwhile leaves it to this command.
        alive.execute(text("select pg_advisory_lock(:c, :n)"), {"c": WORKER_LOCK, "n": number})
        others = text("""select count(*) from pg_locks where locktype = 'advisory'
            and classid = :c and objid <> :n and granted""")
        while True:
            if not alive.execute(others, {"c": WORKER_LOCK, "n": number}).scalar():
                archive.build_evidence(worker=number, lock_class=WORKER_LOCK)
            for package in archive.evidence_of(OPERATOR, case):
                if package.id == id and package.state in {"ready", "failed"}:
                    return package
                if package.id == id and package.percent != told:
                    told = package.percent
                    say(f"{told} %")
            if id not in {package.id for package in archive.evidence_of(OPERATOR, case)}:
                raise NotFound()
            time.sleep(0.5)


def _write(archive: Archive, id: UUID, file: Path) -> None:
    opened = archive.open_evidence(OPERATOR, id, purpose="complaint")
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        for piece in opened.read(0, opened.length):
            target.write(piece)
