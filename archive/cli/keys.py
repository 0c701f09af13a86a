"""`archive keys`: the root key, the recovery key, and key backups."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from archive import retention
from archive.assembly import utc_now
from archive.backups import destinations
from archive.backups.bucketpath import path_of
from archive.cli.frame import cli
from archive.config import Config
from archive.keyring import keybackup, keyreport, rotation
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import open_keys


@cli.group(name="keys")
def keys_group() -> None:
    """The root key, the recovery key, and key backups."""


def _key_backups(*, lost_root: bool = False) -> KeyBackups:
    config = Config.from_env(os.environ)
    destinations.introduce(config)
    keys = open_keys(config, lost_root=lost_root)
    return KeyBackups(keys, now=utc_now, keep_days=config.backup_days)


_RECOVERY_KEY = click.option(
    "--recovery-key", type=click.Path(path_type=Path), help="File of the recovery key."
)


@keys_group.command(name="status")
@click.option("--json", "as_json", is_flag=True)
def keys_status(as_json: bool) -> None:
    """Say which key backups exist, until when, and what destroyed keys they could still open."""
    days = Config.from_env(os.environ).root_rotation_days
    report = keyreport.report(_key_backups(), days=days, now=utc_now())
    click.echo(json.dumps(report) if as_json else "\n".join(keyreport.lines(report)))
    sys.exit(0 if report["good"] else 1)


@keys_group.command(name="recovery-key")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", "replace_old", is_flag=True, help="Seal to a new one from now on.")
def keys_recovery_key(file: Path, replace_old: bool) -> None:
    """Make the recovery key; FILE gets its private half, to be kept offline."""
    public = _key_backups().make_recovery_key(file, replace_old=replace_old)
    click.echo(f"{public.id}: its private half is in {file}, and nowhere else.")
    click.echo("Take it offline now, in two places. Without it no key backup can be opened.")


@keys_group.command(name="backup")
@click.argument("dest")
def keys_backup(dest: str) -> None:
    """Write a key backup into DEST, a folder or a bucket; it is sealed to the recovery key."""
    made = _key_backups().back_up(destinations.at(Config.from_env(os.environ), dest))
    click.echo(f"{made.path}: {len(made.names)} keys, kept until {made.until:%Y-%m-%d}")


@keys_group.command(name="forget")
@click.argument("dest")
def keys_forget(dest: str) -> None:
    """Send no more key backups to DEST; those that are there stay listed."""
    _key_backups().forget(path_of(dest.partition("?")[0]))


@keys_group.command(name="rotate-root")
@_RECOVERY_KEY
def keys_rotate_root(recovery_key: Path | None) -> None:
    """Replace the root key; while everything runs, or to finish what broke off.

    The new one is made where ARCHIVE_ROOT_PROVIDER says. With --recovery-key the old one may be
    lost: a token that broke, a Vault that is no more.
    """
    private = PrivateKey.load(recovery_key) if recovery_key else None
    done = rotation.rotate(_key_backups(lost_root=private is not None), recovery=private)
    click.echo(f"The root key is {done.root}; {done.rewrapped} keys wrapped anew.")
    for path in done.backups:
        click.echo(f"  key backup {path}")


@keys_group.command(name="verify")
@_RECOVERY_KEY
def keys_verify(recovery_key: Path | None) -> None:
    """Open every key file and every key backup, and compare them."""
    backups = _key_backups()
    private = PrivateKey.load(recovery_key) if recovery_key else None
    checked, wrong = backups.keys.check()
    click.echo(f"{checked} key files open")
    for one in backups.verify(private):
        click.echo(f"{one.path}: {one.note}")
        wrong += [] if one.good else [str(one.path)]
    for name in wrong:
        click.echo(f"  not good: {name}", err=True)
    sys.exit(1 if wrong else 0)


@keys_group.command(name="restore")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--recovery-key", required=True, type=click.Path(path_type=Path))
def keys_restore(file: Path, recovery_key: Path) -> None:
    """Put keys back from a key backup (a folder: its newest), or the root key from its copy."""
    config = Config.from_env(os.environ)
    private = PrivateKey.load(recovery_key)
    found = keybackup.newest(file) if file.is_dir() else KeyBackup.read(file)
    contents = found.open(private)
    if found.header.kind == "root":
        id = keybackup.restore_root(config.keys_dir, contents, made_at=found.header.made_at)
        open_keys(config)
        click.echo(f"Root key {id} is back.")
        return
    today = retention.local(utc_now()).date()
    done = keybackup.restore(open_keys(config), contents, today=today, private=private)
    _key_backups().adopt(file if file.is_dir() else file.parent)
    click.echo(
        f"{done.restored} keys restored, {done.present} there already, "
        f"{done.destroyed} destroyed since and left so"
    )
    for name in done.conflicts:
        click.echo(f"  {name}: another key is here, which stays", err=True)
    sys.exit(1 if done.conflicts else 0)
