"""Looking after an installation: verify, sweep, rebuild, reindex, config, doctor, bench."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from archive import anchors, rebuild, surroundings
from archive.archive import complete_descriptor
from archive.assembly import Assembly, utc_now
from archive.backups import replaying
from archive.cli.frame import cli, counting, with_archive
from archive.config import Config, describe_settings
from archive.db import ensure_database, migrate
from archive.erasure import sweeping


@cli.command()
@click.option("--sample", type=click.IntRange(1), help="Read back only so many recordings.")
@click.option("--mend", is_flag=True, help="Describe anew what lost a rendition; sweep.")
@click.option("--json", "as_json", is_flag=True)
@with_archive
def verify(assembly: Assembly, sample: int | None, mend: bool, as_json: bool) -> None:
    """Read back and authenticate; name what is missing, damaged or unreferenced."""
    archive = assembly.archive
    with counting("Verifying") as progress:
        found = rebuild.verify(
            archive.vault,
            archive.engine,
            sample=sample,
            mend=mend,
            progress=progress,
            now=utc_now(),
        )
    swept = sweeping.look(archive.vault, archive.engine, now=utc_now())
    if mend and not swept.too_many:
        swept = sweeping.sweep(archive.vault, archive.engine, now=utc_now())
    named = {
        "missing": found.missing,
        "damaged": found.damaged,
        "unreferenced": list(swept.unreferenced),
        "swept": swept.swept,
        "mended": found.mended,
    }
    if as_json:
        click.echo(json.dumps({"checked": found.checked} | named))
    else:
        click.echo(f"{found.checked} recordings read back")
        for name, keys in named.items():
            click.echo(f"{name}: {len(keys)}")
            for key in keys:
                click.echo(f"  {key}")
    sys.exit(1 if found.missing or found.damaged else 0)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go, and what stays and why.")
@click.option("--however-many", is_flag=True, help="Also more than one object in a hundred.")
@click.option("--json", "as_json", is_flag=True)
@with_archive
def sweep(assembly: Assembly, dry_run: bool, however_many: bool, as_json: bool) -> None:
    """Delete objects that no row and no envelope needs, two days old or older."""
    vault, engine = assembly.archive.vault, assembly.engine
    if dry_run:
        found = sweeping.look(vault, engine, now=utc_now())
    else:
        found = sweeping.sweep(vault, engine, now=utc_now(), however_many=however_many)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "total": found.total,
                    "unreferenced": found.unreferenced,
                    "swept": found.swept,
                    "uploads": found.uploads,
                }
            )
        )
        return
    for key, fate in found.unreferenced.items():
        click.echo(f"{fate.value:<7} {key}")
    click.echo(
        f"{found.total} objects, {len(found.unreferenced)} without a row, {len(found.swept)} "
        f"deleted, {found.uploads} uploads given up"
    )
    if found.of(sweeping.Fate.LIVES):
        click.echo("What lives has lost its row: run `archive rebuild-catalogue`.")


@cli.command(name="rebuild-catalogue")
@with_archive
def rebuild_catalogue(assembly: Assembly) -> None:
    """Make the catalogue anew from the envelopes in the store and the keys alone.

    Also where the whole database is gone. People, tokens and the audit log are in no envelope:
    restore them from a dump, or make them anew.
    """
    ensure_database(assembly.config.owner_url)
    migrate(assembly.config.owner_url)
    archive = assembly.archive
    replaying.replay(archive.vault, archive.engine, now=utc_now())
    with counting("Reading envelopes") as progress:
        outcome = rebuild.catalogue_from_envelopes(
            archive.vault,
            archive.engine,
            complete=lambda d, sha256, n: complete_descriptor(d, sha256=sha256, length=n),
            progress=progress,
            now=utc_now(),
        )
    anchors.Anchors(archive.vault, archive.engine, now=utc_now).restart()
    click.echo(
        f"{outcome.rebuilt} rebuilt, {outcome.present} there already, "
        f"{outcome.unreadable} expired (key gone), {len(outcome.damaged)} damaged; "
        f"{outcome.holds} holds"
    )
    for key in outcome.damaged:
        click.echo(f"  {key}")
    sys.exit(1 if outcome.damaged else 0)


@cli.command()
@click.option("--month", help="Only this month of contact, YYYY-MM.")
@click.option("--wait", is_flag=True, help="Wait until it is done, with a progress bar.")
@with_archive
def reindex(assembly: Assembly, month: str | None, wait: bool) -> None:
    """Make the search index anew from the catalogue; the worker does the work.

    Broken off, the worker goes on; searches say which months are not whole yet.
    """
    from archive import reindexing

    due = reindexing.begin(assembly.archive, month)
    click.echo(f"{due} recordings will be indexed again by the worker.")
    if wait:
        with click.progressbar(length=due, label="indexed") as bar:
            for done in reindexing.progress(assembly.archive, due):
                bar.update(done - bar.pos)


@cli.command()
@click.option("--markdown", is_flag=True, help="As the documentation's table.")
def config(markdown: bool) -> None:
    """List every setting with its meaning, default and present value (secrets hidden)."""
    current = Config.from_env(os.environ)
    for one in describe_settings():
        name = one["name"]
        if markdown:
            click.echo(f"| `{name}` | {one['meaning']} | `{one['default']}` |")
            continue
        value = getattr(current, name.removeprefix("ARCHIVE_").lower())
        shown = "(set)" if one["secret"] and value else value
        click.echo(f"{name} = {shown}\n    {one['meaning']}")


@cli.command()
@with_archive
def doctor(assembly: Assembly) -> None:
    """Look at the installation; say what is wrong or unsafe, and what to do."""
    from archive import checkup

    surroundings.keep_out_of_core_files()
    findings = checkup.look(assembly)
    for finding in findings:
        click.echo(
            f"{finding.mark} {finding.what}" + (f"\n    {finding.advice}" if finding.advice else "")
        )
    sys.exit(1 if any(f.bad for f in findings) else 0)


@cli.command()
@click.argument("ids", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@click.option(
    "--rounds", default=5, show_default=True, help="Interleaved rounds; the median counts."
)
@click.option(
    "--contacts",
    type=click.IntRange(100),
    default=100_000,
    show_default=True,
    help="Of `search` and `pages`.",
)
@click.option("--engine", type=click.Choice(["whoosh", "postgres"]), help="Of `search`; both.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of `search`: the folder where its contacts stay.",
)
@click.option(
    "--entries",
    type=click.IntRange(1_000),
    default=1_000_000,
    show_default=True,
    help="Of `audit`.",
)
def bench(
    ids: tuple[str, ...],
    as_json: bool,
    rounds: int,
    contacts: int,
    engine: str | None,
    keep: Path | None,
    entries: int,
) -> None:
    """Measure side by side, as ratios in one run.

    `bench search` asks every kind of question, `bench pages` waits as people at the desks do,
    `bench intake smtp mail-memory` delivers by 1, 8 and 32 connections and over SMTP,
    `bench freshness` asks for what is being delivered until it is found.

    What `bench search` has filled is kept with --keep, and from a million contacts on among the
    caches: a run that was cut off goes on there, the next one asks at once.
    """
    from archive import bench as measuring

    if "search" in ids:
        engines = [engine] if engine else ["whoosh", "postgres"]
        measuring.search(contacts, engines, as_json=as_json, keep=keep)
    if "pages" in ids:
        measuring.pages(contacts, as_json=as_json)
    if ids and not (ids := tuple(id for id in ids if id not in {"search", "pages"})):
        return
    measuring.run(ids, as_json=as_json, rounds=rounds, entries=entries)
