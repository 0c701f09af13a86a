"""`archive retention`: periods shorter than the year."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click

from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import cli, counting, with_archive
from archive.erasure.ruling import Preview


@cli.group(name="retention")
def retention_group() -> None:
    """Periods shorter than the year (ARCHIVE_RETENTION), and what is stored already."""


@retention_group.command(name="preview")
@click.option("--json", "as_json", is_flag=True)
@with_archive
def retention_preview(assembly: Assembly, as_json: bool) -> None:
    """Say what applying today's rules to what is stored would change: how many, and from when.

    Changes nothing. Ends with 1 where there is something to apply.
    """
    found = assembly.archive.preview_rules(SYSTEM)
    click.echo(json.dumps(found.as_json()) if as_json else "\n".join(_rules_in_words(found)))
    sys.exit(1 if found.changes else 0)


@retention_group.command(name="apply")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_archive
def retention_apply(assembly: Assembly, yes: bool) -> None:
    """Bring what is stored under today's rules; run it again where it broke off.

    What is over by its new rule is unreachable at once and destroyed next night. Nothing is kept
    longer than its year, and nothing that is over comes back.
    """
    found = assembly.archive.preview_rules(SYSTEM)
    click.echo("\n".join(_rules_in_words(found)))
    if not found.changes:
        return
    if not yes:
        click.confirm(f"Change when {found.changes} recordings end?", abort=True)
    with counting("Moved") as progress:
        done = assembly.archive.apply_rules(SYSTEM, progress=progress)
    click.echo(f"{done.shorter} end earlier, {done.longer} later")
    for id in done.left:
        click.echo(f"  {id}: its key is gone, it stays as it is", err=True)
    sys.exit(1 if done.left else 0)


def _rules_in_words(found: Preview) -> Iterator[str]:
    yield f"{found.recordings} recordings; {found.changes} of them would end on another day"
    for share in found.rules:
        period = f"{share.days} days" if share.days else "one year"
        first = f", the first on {share.first}" if share.first else ""
        yield (
            f"{share.rule or 'everything else'} ({period}): {share.shorter} earlier, "
            f"{share.longer} later{first}; {share.over} are over at once, {share.held} of them held"
        )
