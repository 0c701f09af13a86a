"""`archive up`, and one command for each process it runs."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import click

from archive import surroundings
from archive.assembly import Assembly, with_parts
from archive.cli.frame import assembled, cli, end_with, say
from archive.config import Config
from archive.db import migrate


@cli.command()
@click.option("--demo", is_flag=True, help="Deliver sample calls and emails, and make demo users.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web service.")
def up(demo: bool, port: int | None) -> None:
    """Run everything here: embedded parts, web service and worker, until Ctrl-C."""
    from archive import firstrun, supervisor

    config = Config.from_env(os.environ)
    config = replace(config, port=port) if port else config
    links: list[tuple[str, str]] = []

    def prepare(assembly: Assembly) -> None:
        links.extend(firstrun.prepare(assembly.archive, assembly.people, with_demo=demo, say=say))

    def ready(url: str) -> None:
        for name, token in links:
            click.echo(f"One-time login for {name}: {url}/once/{token}")
        click.echo(f"Ready: {url}")
        sys.stdout.flush()

    supervisor.Supervisor(config, say=say).run(prepare, ready)


@cli.command()
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def web(die_with: int | None) -> None:
    """Run the web service alone."""
    from archive.server import serve

    end_with(die_with)
    surroundings.keep_out_of_core_files()
    config = with_parts(Config.from_env(os.environ))
    serve(config)


@cli.command()
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
@click.option("--until-idle", is_flag=True, help="Stop when nothing waits any longer.")
def worker(die_with: int | None, until_idle: bool) -> None:
    """Run the worker alone: describing, indexing, the nightly expiry."""
    import logging

    from archive import worker as working

    end_with(die_with)
    surroundings.keep_out_of_core_files()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with assembled(pool_size=12) as assembly:
        if until_idle:
            working.until_idle(assembly.archive, most_s=3600)
            return
        running = working.Worker(assembly.archive)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: running.stop())
        running.run()


@cli.command(name="receive-mail")
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def receive_mail(die_with: int | None) -> None:
    """Run the SMTP server that journal reports and copies are sent to (ARCHIVE_SMTP_*)."""
    import logging

    from archive.sources.smtp_server import MailServer
    from archive.sources.smtp_settings import SmtpSettings

    end_with(die_with)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = SmtpSettings.of(Config.from_env(os.environ))
    with assembled(pool_size=settings.receiving + 4) as assembly:
        server = MailServer(assembly.archive, settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        server.run(lambda port: say(f"receiving mail on {settings.listen}:{port}"))


@cli.command(name="fetch-mail")
@click.option("--once", is_flag=True, help="Read what is there now, and stop.")
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def fetch_mail(once: bool, die_with: int | None) -> None:
    """Read mailboxes over IMAP, and keep reading what comes (ARCHIVE_IMAP_ACCOUNTS)."""
    import logging

    from archive.sources.imap_accounts import accounts
    from archive.sources.imap_fetch import MailFetcher

    end_with(die_with)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    found = accounts(Config.from_env(os.environ))
    with assembled(pool_size=4 + sum(len(account.folders) for account in found)) as assembly:
        fetcher = MailFetcher(assembly.archive, found)
        if once:
            click.echo(f"{fetcher.once()} new")
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: fetcher.stop())
        fetcher.run()


@cli.command(name="migrate")
def migrate_command() -> None:
    """Bring the catalogue's tables to this version."""
    migrate(with_parts(Config.from_env(os.environ)).owner_url)
