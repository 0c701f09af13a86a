"""`archive backup` and `restore`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from archive.assembly import Assembly, assemble
from archive.backups import backup, destinations
from archive.cli.frame import cli, counting, say, stages, with_archive
from archive.config import Config
from archive.keyring.recovery import PrivateKey


@cli.command(name="backup")
@click.argument("dir")
@with_archive
def backup_command(assembly: Assembly, dir: str) -> None:
    """Back up catalogue, sealed objects and keys into DIR, while everything runs.

    DIR is a folder, or a bucket https://host/bucket?region=… with ARCHIVE_BACKUP_ACCESS_KEY.
    """
    archive = assembly.archive
    means = backup.Means(
        assembly.config, archive.engine, archive.store, archive.keys, now=archive.now
    )
    with counting("Objects") as progress:
        made = backup.run(means, destinations.at(assembly.config, dir), progress=progress)
    objects = made.manifest["objects"]
    click.echo(
        f"{made.folder}: {objects['objects']} objects, {objects['copied']} copied, "
        f"{objects['deleted']} erased; kept until {made.until:%Y-%m-%d}"
    )
    if objects["kept_missing"]:
        click.echo(
            f"{objects['kept_missing']} objects are here but no longer in the store, although "
            "nobody erased them: run `archive verify`.",
            err=True,
        )
        sys.exit(1)


@cli.command(name="restore")
@click.argument("dir")
@click.option("--recovery-key", type=click.Path(path_type=Path), help="File of the recovery key.")
@click.option("--catalogue-only", is_flag=True, help="Keys and objects live: only the catalogue.")
@click.option("--dump", help="Another dump than the newest: its folder.")
@click.option("--sample", type=click.IntRange(1), help="Read back only so many recordings.")
def restore_command(
    dir: str,
    recovery_key: Path | None,
    catalogue_only: bool,
    dump: str | None,
    sample: int | None,
) -> None:
    """Restore the backup in DIR into an empty installation; what had ended stays dead."""
    from archive.backups import restoring

    if catalogue_only == (recovery_key is not None):
        raise click.UsageError("Give either --recovery-key FILE or --catalogue-only.")
    private = PrivateKey.load(recovery_key) if recovery_key else None
    config = Config.from_env(os.environ)
    folder = destinations.at(config, dir)
    with restoring.parts_for(config, say=say), stages() as progress:
        restoring.remove_index(config)
        assembly = assemble(config, restoring=True)
        chosen = destinations.at(config, dump) if dump else None
        how: dict[str, Any] = {"dump": chosen, "sample": sample, "progress": progress}
        try:
            if private is None:
                done = restoring.restore_catalogue(assembly.archive, folder, **how)
            else:
                done = restoring.restore(assembly.archive, folder, private, **how)
        finally:
            assembly.close()
    click.echo(
        f"{done.recordings} recordings restored, {done.added} of them newer than the dump; "
        f"{done.ended + len(done.without_object)} had ended or were erased and stay so"
    )
    for name in ("missing", "damaged"):
        for key in getattr(done, name):
            click.echo(f"  {name}: {key}", err=True)
    sys.exit(0 if done.whole else 1)
