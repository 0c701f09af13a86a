"""`archive export` and `import`: the whole archive to another installation."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from archive.assembly import Assembly, assemble
from archive.backups import backup, exporting
from archive.cli.frame import cli, say, stages, with_archive
from archive.config import Config
from archive.keyring.recovery import PrivateKey, PublicKey


@cli.command(name="export")
@click.argument("dir", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="recovery.pub of the installation that is to have it.",
)
@click.option("--json", "as_json", is_flag=True)
@with_archive
def export_command(assembly: Assembly, dir: Path, to: Path, as_json: bool) -> None:
    """Write the whole archive with its keys into DIR, for another installation alone.

    Broken off, it goes on from there. It ends with ARCHIVE_BACKUP_DAYS: destroy DIR then.
    """
    archive = assembly.archive
    means = backup.Means(
        assembly.config, archive.engine, archive.store, archive.keys, now=archive.now
    )
    with stages() as progress:
        done = exporting.run(means, dir, PublicKey.load(to), progress=progress)
    facts = _facts(done.manifest) | {"copied": done.copied}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{dir}: {facts['recordings']} recordings, {facts['objects']} objects "
            f"({done.copied} copied now), sealed to {facts['to']}"
        )
        click.echo(f"Check, to be compared at the import: {facts['check']}")
        click.echo(f"It can be imported until {facts['until'][:10]}. Destroy it afterwards.")
    _name(done.missing, done.damaged)
    sys.exit(0 if done.whole else 1)


@cli.command(name="import")
@click.argument("dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--recovery-key",
    required=True,
    type=click.Path(path_type=Path),
    help="File of this installation's recovery key.",
)
@click.option("--sample", type=click.IntRange(1), help="Read back only so many recordings.")
@click.option("--json", "as_json", is_flag=True)
def import_command(dir: Path, recovery_key: Path, sample: int | None, as_json: bool) -> None:
    """Take the export in DIR into this empty installation; what had ended stays dead."""
    from archive.backups import importing, restoring

    private = PrivateKey.load(recovery_key)
    config = Config.from_env(os.environ)
    with restoring.parts_for(config, say=say), stages() as progress:
        restoring.remove_index(config)
        assembly = assemble(config, restoring=True)
        try:
            export, done = importing.run(
                assembly.archive, dir, private, sample=sample, progress=progress
            )
        finally:
            assembly.close()
    facts = _facts(export.manifest) | {
        "exported": export.manifest["recordings"],
        "recordings": done.recordings,
        "ended": done.ended + len(done.without_object),
        "missing": done.missing,
        "damaged": done.damaged,
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{done.recordings} recordings and {done.keys} keys of installation "
            f"{facts['installation']}; {facts['ended']} had ended and stay so"
        )
        click.echo(f"Check, to be compared with what the export said: {facts['check']}")
        click.echo(f"Destroy {dir} now, and every copy of it.")
    _name(done.missing, done.damaged)
    sys.exit(0 if done.whole else 1)


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {
        "installation": manifest["installation"],
        "made_at": manifest["made_at"],
        "until": manifest["until"],
        "to": manifest["to"],
        "recordings": manifest["recordings"],
        "objects": manifest["inventory"]["objects"],
        "bytes": manifest["inventory"]["bytes"],
        "missing": manifest["missing"],
        "damaged": manifest["damaged"],
        "check": exporting.fingerprint(manifest),
    }


def _name(missing: list[str], damaged: list[str]) -> None:
    for word, keys in (("missing", missing), ("damaged", damaged)):
        for key in keys:
            click.echo(f"  {word}: {key}", err=True)
