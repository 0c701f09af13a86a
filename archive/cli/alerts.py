"""`archive alert`: what somebody should be told at once, and whether they would hear it."""

from __future__ import annotations

import sys
from uuid import uuid4

import click

from archive import alertchannels, alerts
from archive.alerts import Alert, Told
from archive.assembly import Assembly, utc_now
from archive.cli.frame import cli, with_archive
from archive.db import transaction


@cli.group()
def alert() -> None:
    """What somebody is told at once, by webhook and mail (ARCHIVE_ALERT_*)."""


@alert.command(name="list")
@with_archive
def alert_list(assembly: Assembly) -> None:
    """What is wrong now, as the worker last found it; exit 1 if there is anything."""
    with transaction(assembly.engine) as connection:
        lasting = alerts.lasting(connection)
    for one in lasting:
        click.echo(f"{one.name} of {one.of} since {one.began_at:%Y-%m-%d %H:%M} UTC: {one.meaning}")
    sys.exit(1 if lasting else 0)


@alert.command(name="test")
@with_archive
def alert_test(assembly: Assembly) -> None:
    """Tell every channel a test; exit 1 unless all of them heard it."""
    now = utc_now()
    channels = alertchannels.channels_of(assembly.config, now=utc_now)
    failed = not channels
    for name, tell in channels.items():
        code = tell(Told(uuid4(), name, Alert("test", "archive", now), now))
        failed = failed or bool(code)
        click.echo(f"{name}: {code or 'heard'}")
    if not channels:
        click.echo("no channel: set ARCHIVE_ALERT_URL or ARCHIVE_ALERT_MAIL", err=True)
    sys.exit(1 if failed else 0)
