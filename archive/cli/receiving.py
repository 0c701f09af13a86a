"""`archive ingest` and `watch`: files and folders through the real intake."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import assembled, cli, end_with, moment_of, with_archive
from archive.model import Kind


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--received-at", help="Contact time of files without one of their own (RFC 3339).")
@click.option("--source", default="import", show_default=True)
@click.option("--line", default="import", show_default=True, help="Service line or mailbox.")
@click.option("--direction", default="inbound", show_default=True)
@click.option("--kind", type=click.Choice([k.value for k in Kind]), help="Take every file as this.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@with_archive
def ingest(
    assembly: Assembly,
    paths: tuple[Path, ...],
    received_at: str | None,
    source: str,
    line: str,
    direction: str,
    kind: str | None,
    as_json: bool,
) -> None:
    """Take in files and folders; exit 0 only when none was refused."""
    from archive.sources import folder

    options = folder.Options(
        source=source,
        line=line,
        direction=direction,
        received_at=moment_of(received_at),
        kind=Kind(kind) if kind else None,
    )
    total = len(folder.files(paths))
    with click.progressbar(length=total, label="Ingesting", file=sys.stderr) as bar:
        summary = folder.ingest(
            assembly.archive, SYSTEM, paths, options, progress=lambda _: bar.update(1)
        )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "new": summary.new,
                    "known": summary.known,
                    "told": summary.told,
                    "refused": [{"path": p, "reason": r} for p, r in summary.refused],
                    "not_taken": [{"path": p, "what": w} for p, w in summary.left],
                }
            )
        )
    else:
        told = f", {summary.told} told of by CDRs" if summary.told else ""
        click.echo(
            f"{summary.new} new, {summary.known} known, {len(summary.refused)} refused{told}"
        )
        for path, reason in summary.refused:
            click.echo(f"  {path}: {reason}")
        for path, what in summary.left:
            click.echo(f"  {path}: not taken over: {what}")
    sys.exit(0 if summary.complete else 3)


@cli.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--source", default="watch", show_default=True)
@click.option("--line", required=True, help="Service line or mailbox of what appears there.")
@click.option("--direction", default="inbound", show_default=True)
@click.option("--kind", type=click.Choice([k.value for k in Kind]), help="Take every file as this.")
@click.option(
    "--settle", default=10.0, show_default=True, help="Seconds without change: then it is finished."
)
@click.option("--wait-sidecar", default=0.0, help="Seconds that a call waits for its metadata.")
@click.option("--delete", is_flag=True, help="Delete a file once it is stored and read back.")
@click.option("--done", type=click.Path(path_type=Path), help="Or move it here.")
@click.option("--refused", type=click.Path(path_type=Path), help="Move refused files here.")
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def watch(
    path: Path,
    source: str,
    line: str,
    direction: str,
    kind: str | None,
    settle: float,
    wait_sidecar: float,
    delete: bool,
    done: Path | None,
    refused: Path | None,
    die_with: int | None,
) -> None:
    """Take in what appears in a folder, once it is finished."""
    import logging
    import threading

    from archive.sources import folder
    from archive.sources.watch import Watcher, Watching

    end_with(die_with)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    watching = Watching(
        path=path,
        options=folder.Options(
            source=source, line=line, direction=direction, kind=Kind(kind) if kind else None
        ),
        settle_s=settle,
        sidecar_s=wait_sidecar,
        delete=delete,
        done=done,
        refused=refused,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with assembled() as assembly:
        Watcher(assembly.archive, watching).run(stop)
