"""`archive expire`, the certificates it writes, and the proof for one recording."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import UUID

import click

from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import assembled, cli, with_archive
from archive.erasure import proofs
from archive.errors import SomethingLeft


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go, now and each coming day.")
@click.option("--json", "as_json", is_flag=True)
@with_archive
def expire(assembly: Assembly, dry_run: bool, as_json: bool) -> None:
    """Destroy what is a year old, and write the certificate."""
    done = assembly.archive.expire(dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo(
            f"due {done['due']}, destroyed {done['destroyed']}, held {done['held']}, "
            f"failed {len(done['failed'])}; days closed: "
            + (", ".join(done["cohorts_closed"]) or "none")
        )
        reclaimed = done["bytes_reclaimed"]
        click.echo(
            f"{done['bytes_deleted']} bytes deleted; "
            + ("the store gives the room back by itself" if reclaimed is None
               else f"{reclaimed} given back by the store")
        )  # fmt: skip
        for night in done.get("coming", ()):
            kept = f", {night['held']} held stay" if night["held"] else ""
            click.echo(f"  {night['day']}: {night['due']} will be destroyed{kept}")
    sys.exit(1 if done["failed"] else 0)


@cli.group(name="expiry")
def expiry_group() -> None:
    """Certificates of expiry."""


@expiry_group.command(name="verify")
@click.argument("dir", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--public-key",
    type=click.Path(exists=True, path_type=Path),
    help="PEM file of the key to check by; needed with DIR.",
)
@click.option("--head", "heads", multiple=True, help="Digest of a certificate once noted.")
def expiry_verify(dir: Path | None, public_key: Path | None, heads: tuple[str, ...]) -> None:
    """Check every certificate, id list and journal entry, and that none is missing.

    With DIR, what `archive expiry export` wrote, or the objects of a backup: then the public key
    is all that is needed, and no archive. Without DIR the store, held against the catalogue, the
    audit log and every backup that can be reached.
    """
    from archive.erasure import certificates, journal

    public = proofs.public_from(public_key.read_bytes()) if public_key else None
    if dir is not None:
        if public is None:
            raise click.UsageError("DIR needs --public-key FILE.")
        bundle = proofs.read_folder(dir)
        noted = dict.fromkeys(heads, "your note")
        count, wrong = len(bundle.certificates), proofs.problems(bundle, public, heads=noted)
        newest = proofs.head(bundle.certificates.values())
    else:
        with assembled() as assembly:
            vault = assembly.archive.vault
            backups = journal.reachable_backups(assembly.config, vault.keys)
            count, wrong = certificates.verify_all(
                vault, assembly.engine, backups=backups, public=public, heads=heads
            )
            newest = proofs.head(certificates.collect(vault).certificates.values())
    click.echo(f"{count} certificates; the newest is {newest or '-'}")
    for problem in wrong:
        click.echo(f"  {problem}")
    sys.exit(1 if wrong else 0)


@expiry_group.command(name="public-key")
@with_archive
def expiry_public_key(assembly: Assembly) -> None:
    """Print the public key (PEM) that certificates are checked by; give it to whoever checks."""
    from archive.erasure import certificates

    click.echo(proofs.pem(certificates.public_key(assembly.archive.vault)), nl=False)


@expiry_group.command(name="export")
@click.argument("dir", type=click.Path(path_type=Path))
@with_archive
def expiry_export(assembly: Assembly, dir: Path) -> None:
    """Copy certificates, id lists, the erasure journal and the public key into the folder DIR."""
    from archive.erasure import certificates

    count, newest = certificates.export(assembly.archive.vault, dir)
    click.echo(f"{count} certificates; the newest is {newest or '-'}")


@cli.command(name="prove-expired")
@click.argument("id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="With the path to the Merkle root.")
@with_archive
def prove_expired(assembly: Assembly, id: UUID, as_json: bool) -> None:
    """Prove that a recording is gone: certificate, keys, objects, index, catalogue, backups.

    Ends with 62 where no list names it (never held, or not proven), with 63 where it is certified
    as destroyed and something of it is left all the same.
    """
    proof = assembly.archive.prove_expired(SYSTEM, id)
    if as_json:
        click.echo(json.dumps(proof.as_json()))
    else:
        click.echo(f"{proof.id}: {proof.reason}; gone since {proof.gone_at:%Y-%m-%d %H:%M} UTC,")
        click.echo(f"from every backup by the end of {proof.backups_until}")
        for check in proof.checks:
            click.echo(f"{'ok ' if check.good else 'BAD'} {check.what}: {check.said}")
            for name in check.left:
                click.echo(f"      {name}")
    if not proof.good:
        raise SomethingLeft(id=id)
