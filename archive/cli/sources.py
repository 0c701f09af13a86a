"""`archive sources`: what may come, and what came."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TextIO

import click

from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import cli, with_archive


@cli.group()
def sources() -> None:
    """Where recordings come from: what may come, and what came."""


@sources.command(name="allow")
@click.argument("source")
@click.argument("lines", nargs=-1, required=True)
@with_archive
def sources_allow(assembly: Assembly, source: str, lines: tuple[str, ...]) -> None:
    """List service lines or mailboxes for a source; what is not listed is refused from then on."""
    for line in lines:
        assembly.archive.allow_line(SYSTEM, source=source, line=line)


@sources.command(name="disallow")
@click.argument("source")
@click.argument("lines", nargs=-1, required=True)
@with_archive
def sources_disallow(assembly: Assembly, source: str, lines: tuple[str, ...]) -> None:
    """Take lines off a source's list; where none is left, nothing of the source is taken."""
    for line in lines:
        assembly.archive.disallow_line(SYSTEM, source=source, line=line)


@sources.command(name="unrestrict")
@click.argument("source")
@with_archive
def sources_unrestrict(assembly: Assembly, source: str) -> None:
    """Throw a source's list away: its token or settings alone say what it may deliver."""
    assembly.archive.unrestrict_source(SYSTEM, source=source)


def _listed_lines(lines: tuple[str, ...] | None) -> str:
    return "as its token or settings say" if lines is None else ", ".join(lines) or "none"


@sources.command(name="report")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 366))
@click.option("--json", "as_json", is_flag=True)
@with_archive
def sources_report(assembly: Assembly, days: int, as_json: bool) -> None:
    """Per source and day (UTC): received, again, refused and why. Exit 1 if a source is silent."""
    known = {t.source for t in assembly.people.tokens() if t.source and t.revoked_at is None}
    found = assembly.archive.sources(SYSTEM, days=days, known=known)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], default=lambda at: at.isoformat()))
    for one in found if not as_json else ():
        last = f"last {one.last_arrival:%Y-%m-%d %H:%M} UTC" if one.last_arrival else "nothing yet"
        silent = f"; SILENT, {one.usual} an hour are usual" if one.silent else ""
        click.echo(f"{one.name}: {last}{silent}")
        click.echo(f"  lines: {_listed_lines(one.lines)}")
        for day in one.days:
            why = ", ".join(f"{reason} {n}" for reason, n in sorted(day.refused.items()))
            click.echo(
                f"  {day.day}  {day.received} received ({day.calls} calls, {day.emails} emails, "
                f"{day.empty} empty, {day.undecodable} undecodable), {day.again} again, "
                f"refused: {why or 'none'}"
            )
    sys.exit(1 if any(one.silent for one in found) else 0)


@sources.command(name="reconcile")
@click.argument("source")
@click.argument("file", type=click.File(encoding="utf-8-sig", errors="replace"))
@click.option("--json", "as_json", is_flag=True)
@with_archive
def sources_reconcile(assembly: Assembly, source: str, file: TextIO, as_json: bool) -> None:
    """Compare what a source announced (a CDR or other CSV) with what is kept; exit 1 if it differs.

    The CSV has a header: source_ref, recordingfile or uniqueid; occurred_at or calldate; sequence.
    """
    from archive.sources import announced

    found = assembly.archive.reconcile(SYSTEM, source=source, announced=announced.read(file))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{found.announced} announced, {found.received} of them received")
        for name in found.__slots__[2:]:
            for one in getattr(found, name):
                click.echo(f"  {name}: {one if isinstance(one, str) else '-'.join(map(str, one))}")
    sys.exit(0 if found.agrees else 1)
