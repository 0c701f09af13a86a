"""`archive hold`: holds for complaint cases, and restrictions."""

from __future__ import annotations

import json
import sys
from uuid import UUID

import click

from archive import retention
from archive.archive import OPERATOR
from archive.assembly import Assembly, utc_now
from archive.cli.frame import cli, day_of, with_archive
from archive.db import transaction


@cli.group()
def hold() -> None:
    """Holds for complaint cases, and restrictions."""


@hold.command(name="list")
@click.option("--due", is_flag=True, help="Only those whose review is due today or past.")
@click.option("--case", "case", help="Only those of this complaint case.")
@click.option("--json", "as_json", is_flag=True)
@with_archive
def hold_list(assembly: Assembly, due: bool, case: str | None, as_json: bool) -> None:
    """List holds by review date; never releases any. Exit 1 with --due where there are some."""
    from archive.casework import holdrows

    today = retention.local(utc_now()).date()
    with transaction(assembly.engine) as connection:
        found = holdrows.durable(connection, due_on=today if due else None, case=case)
    listed = [
        {
            "id": str(hold.id),
            "recording": str(hold.recording_id),
            "case": hold.case,
            "owner": owner or hold.owner,
            "review_on": hold.review_on.isoformat() if hold.review_on else None,
            "ends_at": hold.ends_at.isoformat() if hold.ends_at else None,
        }
        for hold, owner in found
    ]
    if as_json:
        click.echo(json.dumps(listed))
    else:
        for one in listed:
            end = f", released, ends {one['ends_at']}" if one["ends_at"] else ""
            click.echo(
                f"{one['review_on'] or '-':<10}  {one['case'] or 'restriction':<11}  "
                f"{one['recording']}  {one['owner']}{end}"
            )
    sys.exit(1 if due and listed else 0)


_REASON = click.option("--reason", required=True, help="Why; kept sealed with the hold.")


@hold.command(name="extend")
@click.argument("hold_id", type=click.UUID)
@click.option("--review-on", required=True, help="Day of the next review, YYYY-MM-DD.")
@_REASON
@with_archive
def hold_extend(assembly: Assembly, hold_id: UUID, review_on: str, reason: str) -> None:
    """Move the review of a hold to a later day."""
    day = day_of(review_on)
    recording = _held_recording(assembly, hold_id)
    assembly.archive.extend_hold(OPERATOR, recording, hold_id, review_on=day, reason=reason)
    click.echo(f"To be reviewed on {day}.")


@hold.command(name="hand-over")
@click.argument("hold_id", type=click.UUID)
@click.option("--to", "owner", required=True, help="Name of the user who owns it from now on.")
@_REASON
@with_archive
def hold_hand_over(assembly: Assembly, hold_id: UUID, owner: str, reason: str) -> None:
    """Make another person the owner of a hold; they are told."""
    recording = _held_recording(assembly, hold_id)
    assembly.archive.hand_over_hold(OPERATOR, recording, hold_id, owner=owner, reason=reason)
    click.echo(f"Owned by {owner}.")


@hold.command(name="release")
@click.argument("hold_id", type=click.UUID)
@_REASON
@with_archive
def hold_release(assembly: Assembly, hold_id: UUID, reason: str) -> None:
    """Release a hold; what is past its year is erased after the days of grace."""
    recording = _held_recording(assembly, hold_id)
    done = assembly.archive.release(OPERATOR, recording, hold_id, reason=reason).hold
    if done.ends_at is None:
        click.echo("Asked for; a second person has to confirm it.")
    else:
        click.echo(f"Released; keeps the recording until {retention.local(done.ends_at):%Y-%m-%d}.")


def _held_recording(assembly: Assembly, hold_id: UUID) -> UUID:
    from archive.casework import holdrows

    with transaction(assembly.engine) as connection:
        found = holdrows.one(connection, hold_id)
    if found is None:
        raise click.BadParameter("there is no such hold")
    return found.recording_id
