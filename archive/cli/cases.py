"""`archive case`: complaint cases."""

from __future__ import annotations

import click

from archive import retention
from archive.archive import OPERATOR
from archive.assembly import Assembly
from archive.cli.frame import cli, day_of, with_archive


@cli.group(name="case")
def case_group() -> None:
    """Complaint cases."""


@case_group.command(name="list")
@click.option("--closed", is_flag=True, help="Closed ones instead.")
@with_archive
def case_list(assembly: Assembly, closed: bool) -> None:
    """List open cases by their day, with how many recordings they hold."""
    for one in assembly.archive.list_cases(OPERATOR, mine=False, closed=closed):
        asked = ", closing asked for" if one.close_requested_by else ""
        click.echo(
            f"{one.due_on or '-'!s:<10}  {one.number}  {one.recordings} recordings, "
            f"{one.held} held{asked}"
        )


@case_group.command(name="close")
@click.argument("number")
@click.option("--reason", help="How the complaint ended; with it the case is closed.")
@with_archive
def case_close(assembly: Assembly, number: str, reason: str | None) -> None:
    """Say what closing a case would do; with --reason, do it."""
    found = assembly.archive.closing_of(OPERATOR, number)
    for one in found.recordings:
        gone = f"{retention.local(one.gone_at):%Y-%m-%d}" if one.gone_at else ""
        what = f"kept by another {one.kept_by}" if one.kept_by else f"destroyed after {gone}"
        click.echo(f"  {one.recording.id}: hold released, {what}")
    click.echo(
        f"{len(found.recordings)} holds released; days of grace until "
        f"{retention.local(found.grace_ends_at):%Y-%m-%d %H:%M}"
    )
    if reason is None:
        click.echo("Nothing has been done. With --reason the case is closed.")
        return
    done = assembly.archive.close_case(OPERATOR, number, seen=found.digest, reason=reason)
    click.echo("Closed." if done.done else "Asked for; a second person has to confirm it.")


@case_group.command(name="reopen")
@click.argument("number")
@click.option("--reason", required=True, help="Why; kept sealed with the case.")
@click.option("--review-on", help="Hold again what it still keeps, to be reviewed on YYYY-MM-DD.")
@with_archive
def case_reopen(assembly: Assembly, number: str, reason: str, review_on: str | None) -> None:
    """Open a closed case again."""
    day = day_of(review_on) if review_on else None
    held = assembly.archive.reopen_case(OPERATOR, number, reason=reason, review_on=day)
    click.echo(f"Open again; {held} recordings held again.")
