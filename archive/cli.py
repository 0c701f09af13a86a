"""The command `archive`: one command for each verb. Thin; every rule lives elsewhere."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TextIO, TypeVar
from uuid import UUID

import click

from archive import __version__, anchors, audit, rebuild, retention, surroundings
from archive.archive import OPERATOR, SYSTEM, complete_descriptor
from archive.assembly import Assembly, assemble, utc_now, with_parts
from archive.backups import backup, destinations, replaying
from archive.backups.bucketpath import path_of
from archive.config import Config, describe_settings
from archive.db import ensure_database, migrate, transaction
from archive.erasure import proofs, sweeping
from archive.erasure.ruling import Preview
from archive.errors import ArchiveError, SomethingLeft
from archive.intake import moment
from archive.keyring import keybackup, keyreport, rotation
from archive.keyring.keybackup import KeyBackups
from archive.keyring.recovery import KeyBackup, PrivateKey
from archive.keys import open_keys
from archive.model import Kind, Purpose, Scope
from archive.permissions import GROUPS

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """Entry point: an ArchiveError becomes one plain line and its own exit code."""
    try:
        cli(standalone_mode=False)
    except ArchiveError as error:
        click.echo(f"archive: {error.message}", err=True)
        for wrong in error.errors:
            click.echo(f"  {wrong.field}: expected {wrong.expected}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="archive")
def cli() -> None:
    """Call and email recordings: sealed on arrival, found, opened for a purpose, gone in a year."""
    os.umask(0o077)


@contextmanager
def _assembled(pool_size: int = 4) -> Iterator[Assembly]:
    assembly = assemble(Config.from_env(os.environ), pool_size=pool_size)
    try:
        yield assembly
    finally:
        assembly.close()


def _with_archive(command: F) -> F:
    """Passes the assembled archive as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _assembled() as assembly:
            return command(assembly, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


# -- processes -------------------------------------------------------------------------


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
        links.extend(firstrun.prepare(assembly.archive, assembly.people, with_demo=demo, say=_say))

    def ready(url: str) -> None:
        for name, token in links:
            click.echo(f"One-time login for {name}: {url}/once/{token}")
        click.echo(f"Ready: {url}")
        sys.stdout.flush()

    supervisor.Supervisor(config, say=_say).run(prepare, ready)


@cli.command()
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def web(die_with: int | None) -> None:
    """Run the web service alone."""
    from archive.server import serve

    _die_with(die_with)
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

    _die_with(die_with)
    surroundings.keep_out_of_core_files()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    with _assembled(pool_size=12) as assembly:
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

    _die_with(die_with)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = SmtpSettings.of(Config.from_env(os.environ))
    with _assembled(pool_size=settings.receiving + 4) as assembly:
        server = MailServer(assembly.archive, settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        server.run(lambda port: _say(f"receiving mail on {settings.listen}:{port}"))


@cli.command(name="fetch-mail")
@click.option("--once", is_flag=True, help="Read what is there now, and stop.")
@click.option("--die-with", type=int, hidden=True, help="Stop when this process ends.")
def fetch_mail(once: bool, die_with: int | None) -> None:
    """Read mailboxes over IMAP, and keep reading what comes (ARCHIVE_IMAP_ACCOUNTS)."""
    import logging

    from archive.sources.imap_accounts import accounts
    from archive.sources.imap_fetch import MailFetcher

    _die_with(die_with)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    found = accounts(Config.from_env(os.environ))
    with _assembled(pool_size=4 + sum(len(account.folders) for account in found)) as assembly:
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
    migrate(with_parts(Config.from_env(os.environ)).database_url)


def _die_with(pid: int | None) -> None:
    """Asks the kernel to end this process when its parent ends, however that happens."""
    if pid is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != pid:
        sys.exit(0)


def _say(text: str) -> None:
    click.echo(f"… {text}", err=True)


# -- people and machines ---------------------------------------------------------------


@cli.group()
def user() -> None:
    """People who log in."""


@user.command(name="create")
@click.argument("name")
@click.option("--group", required=True, type=click.Choice(sorted(GROUPS)))
@click.option("--line", "lines", multiple=True, help="Only this service line; repeatable.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_with_archive
def user_create(
    assembly: Assembly, name: str, group: str, lines: tuple[str, ...], password_stdin: bool
) -> None:
    """Create a user; without a password, print a one-time login."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
        assembly.people.create(name, group, password, list(lines) or None)
        click.echo(f"Created {name} in {group}.")
        return
    assembly.people.create(name, group, secrets.token_urlsafe(32), list(lines) or None)
    click.echo(f"Created {name} in {group}. One-time login, valid 30 minutes:")
    click.echo(f"/once/{assembly.people.one_time_link(name)}")


@user.command(name="link")
@click.argument("name")
@_with_archive
def user_link(assembly: Assembly, name: str) -> None:
    """Print a one-time login for a user."""
    config = assembly.config
    click.echo(f"http://{config.listen}:{config.port}/once/{assembly.people.one_time_link(name)}")


@user.command(name="mail")
@click.argument("name")
@click.argument("address", required=False)
@_with_archive
def user_mail(assembly: Assembly, name: str, address: str | None) -> None:
    """Mail a user's notices to ADDRESS; without one, to nobody."""
    found = [p for p in assembly.people.people() if p.name == name and p.disabled_at is None]
    if not found:
        raise click.BadParameter("there is no such user", param_hint="NAME")
    assembly.people.mail_to(found[0].id, address)


@cli.group()
def group() -> None:
    """Groups, and what they may do."""


@group.command(name="list")
def group_list() -> None:
    """List groups with their rights and purposes."""
    for name, rights in sorted(GROUPS.items()):
        scopes = ", ".join(sorted(rights.scopes))
        purposes = ", ".join(sorted(rights.purposes)) or "-"
        click.echo(f"{name}: {scopes}; purposes: {purposes}")


@cli.group()
def token() -> None:
    """Tokens of machines."""


@token.command(name="create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice([s.value for s in Scope])
)
@click.option("--source", help="The source it delivers for; needed with scope ingest.")
@click.option("--line", "lines", multiple=True, help="Only this service line; repeatable.")
@click.option(
    "--purpose",
    "purposes",
    multiple=True,
    default=[Purpose.VERIFICATION.value],
    show_default=True,
    type=click.Choice([p.value for p in Purpose]),
    help="What it may open for; repeatable.",
)
@_with_archive
def token_create(
    assembly: Assembly,
    name: str,
    scopes: tuple[str, ...],
    source: str | None,
    lines: tuple[str, ...],
    purposes: tuple[str, ...],
) -> None:
    """Create a token; it is printed once, as the last word."""
    made = assembly.people.create_token(
        name,
        scopes=[Scope(scope) for scope in scopes],
        source=source,
        lines=list(lines) or None,
        purpose=[Purpose(p) for p in purposes],
    )
    click.echo(f"Token {name}, shown only now: {made}")


# -- recordings ------------------------------------------------------------------------


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--received-at", help="Contact time of files without one of their own (RFC 3339).")
@click.option("--source", default="import", show_default=True)
@click.option("--line", default="import", show_default=True, help="Service line or mailbox.")
@click.option("--direction", default="inbound", show_default=True)
@click.option("--kind", type=click.Choice([k.value for k in Kind]), help="Take every file as this.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@_with_archive
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
        received_at=_moment(received_at),
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
                    "refused": [{"path": p, "reason": r} for p, r in summary.refused],
                }
            )
        )
    else:
        click.echo(f"{summary.new} new, {summary.known} known, {len(summary.refused)} refused")
        for path, reason in summary.refused:
            click.echo(f"  {path}: {reason}")
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

    _die_with(die_with)
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
    with _assembled() as assembly:
        Watcher(assembly.archive, watching).run(stop)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise click.BadParameter("expected RFC 3339 date and time with offset") from None


@cli.group()
def sources() -> None:
    """Where recordings come from: what may come, and what came."""


@sources.command(name="allow")
@click.argument("source")
@click.argument("lines", nargs=-1, required=True)
@_with_archive
def sources_allow(assembly: Assembly, source: str, lines: tuple[str, ...]) -> None:
    """List service lines or mailboxes for a source; what is not listed is refused from then on."""
    for line in lines:
        assembly.archive.allow_line(SYSTEM, source=source, line=line)


@sources.command(name="disallow")
@click.argument("source")
@click.argument("lines", nargs=-1, required=True)
@_with_archive
def sources_disallow(assembly: Assembly, source: str, lines: tuple[str, ...]) -> None:
    """Take lines off a source's list; where none is left, nothing of the source is taken."""
    for line in lines:
        assembly.archive.disallow_line(SYSTEM, source=source, line=line)


@sources.command(name="unrestrict")
@click.argument("source")
@_with_archive
def sources_unrestrict(assembly: Assembly, source: str) -> None:
    """Throw a source's list away: its token or settings alone say what it may deliver."""
    assembly.archive.unrestrict_source(SYSTEM, source=source)


def _listed_lines(lines: tuple[str, ...] | None) -> str:
    return "as its token or settings say" if lines is None else ", ".join(lines) or "none"


@sources.command(name="report")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 366))
@click.option("--json", "as_json", is_flag=True)
@_with_archive
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
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option("--json", "as_json", is_flag=True)
@_with_archive
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


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go, now and each coming day.")
@click.option("--json", "as_json", is_flag=True)
@_with_archive
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


@cli.group()
def hold() -> None:
    """Holds for complaint cases, and restrictions."""


@hold.command(name="list")
@click.option("--due", is_flag=True, help="Only those whose review is due today or past.")
@click.option("--case", "case", help="Only those of this complaint case.")
@click.option("--json", "as_json", is_flag=True)
@_with_archive
def hold_list(assembly: Assembly, due: bool, case: str | None, as_json: bool) -> None:
    """List holds by review date; never releases any. Exit 1 with --due where there are some."""
    from archive.casework import holds

    today = retention.local(utc_now()).date()
    with transaction(assembly.engine) as connection:
        found = holds.durable(connection, due_on=today if due else None, case=case)
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
@_with_archive
def hold_extend(assembly: Assembly, hold_id: UUID, review_on: str, reason: str) -> None:
    """Move the review of a hold to a later day."""
    day = _day(review_on)
    recording = _held_recording(assembly, hold_id)
    assembly.archive.extend_hold(OPERATOR, recording, hold_id, review_on=day, reason=reason)
    click.echo(f"To be reviewed on {day}.")


@hold.command(name="hand-over")
@click.argument("hold_id", type=click.UUID)
@click.option("--to", "owner", required=True, help="Name of the user who owns it from now on.")
@_REASON
@_with_archive
def hold_hand_over(assembly: Assembly, hold_id: UUID, owner: str, reason: str) -> None:
    """Make another person the owner of a hold; they are told."""
    recording = _held_recording(assembly, hold_id)
    assembly.archive.hand_over_hold(OPERATOR, recording, hold_id, owner=owner, reason=reason)
    click.echo(f"Owned by {owner}.")


@hold.command(name="release")
@click.argument("hold_id", type=click.UUID)
@_REASON
@_with_archive
def hold_release(assembly: Assembly, hold_id: UUID, reason: str) -> None:
    """Release a hold; what is past its year is erased after the days of grace."""
    recording = _held_recording(assembly, hold_id)
    done = assembly.archive.release(OPERATOR, recording, hold_id, reason=reason).hold
    if done.ends_at is None:
        click.echo("Asked for; a second person has to confirm it.")
    else:
        click.echo(f"Released; keeps the recording until {retention.local(done.ends_at):%Y-%m-%d}.")


def _held_recording(assembly: Assembly, hold_id: UUID) -> UUID:
    from archive.casework import holds

    with transaction(assembly.engine) as connection:
        found = holds.one(connection, hold_id)
    if found is None:
        raise click.BadParameter("there is no such hold")
    return found.recording_id


def _day(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise click.BadParameter("expected a day, YYYY-MM-DD") from None


@cli.group(name="case")
def case_group() -> None:
    """Complaint cases."""


@case_group.command(name="list")
@click.option("--closed", is_flag=True, help="Closed ones instead.")
@_with_archive
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
@_with_archive
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
@_with_archive
def case_reopen(assembly: Assembly, number: str, reason: str, review_on: str | None) -> None:
    """Open a closed case again."""
    day = _day(review_on) if review_on else None
    held = assembly.archive.reopen_case(OPERATOR, number, reason=reason, review_on=day)
    click.echo(f"Open again; {held} recordings held again.")


@cli.command()
@click.option("--sample", type=click.IntRange(1), help="Read back only so many recordings.")
@click.option("--mend", is_flag=True, help="Describe anew what lost a rendition; sweep.")
@click.option("--json", "as_json", is_flag=True)
@_with_archive
def verify(assembly: Assembly, sample: int | None, mend: bool, as_json: bool) -> None:
    """Read back and authenticate; name what is missing, damaged or unreferenced."""
    archive = assembly.archive
    with _counting("Verifying") as progress:
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
@_with_archive
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
@_with_archive
def rebuild_catalogue(assembly: Assembly) -> None:
    """Make the catalogue anew from the envelopes in the store and the keys alone.

    Also where the whole database is gone. People, tokens and the audit log are in no envelope:
    restore them from a dump, or make them anew.
    """
    ensure_database(assembly.config.database_url)
    migrate(assembly.config.database_url)
    archive = assembly.archive
    replaying.replay(archive.vault, archive.engine, now=utc_now())
    with _counting("Reading envelopes") as progress:
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
@_with_archive
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


@contextmanager
def _counting(label: str) -> Iterator[Callable[[int], None]]:
    """A counter on standard error for work of unknown length."""
    interactive = sys.stderr.isatty()

    def progress(n: int) -> None:
        if interactive and n % 20 == 0:
            click.echo(f"\r{label}: {n}", nl=False, err=True)

    yield progress
    if interactive:
        click.echo("\r", nl=False, err=True)


# -- keys ------------------------------------------------------------------------------


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


# -- backups ---------------------------------------------------------------------------


@cli.command(name="backup")
@click.argument("dir")
@_with_archive
def backup_command(assembly: Assembly, dir: str) -> None:
    """Back up catalogue, sealed objects and keys into DIR, while everything runs.

    DIR is a folder, or a bucket https://host/bucket?region=… with ARCHIVE_BACKUP_ACCESS_KEY.
    """
    archive = assembly.archive
    means = backup.Means(
        assembly.config, archive.engine, archive.store, archive.keys, now=archive.now
    )
    with _counting("Objects") as progress:
        made = backup.run(means, destinations.at(assembly.config, dir), progress=progress)
    objects = made.manifest["objects"]
    click.echo(
        f"{made.folder}: {objects['objects']} objects, {objects['copied']} copied, "
        f"{objects['deleted']} erased; kept until {made.until:%Y-%m-%d}"
    )
    if objects["kept_missing"]:
        click.echo(
            f"{objects['kept_missing']} objects are here but no longer in the store, although "
            "nobody erased them: run `archive verify`.",
            err=True,
        )
        sys.exit(1)


@cli.command(name="restore")
@click.argument("dir")
@click.option("--recovery-key", type=click.Path(path_type=Path), help="File of the recovery key.")
@click.option("--catalogue-only", is_flag=True, help="Keys and objects live: only the catalogue.")
@click.option("--dump", help="Another dump than the newest: its folder.")
@click.option("--sample", type=click.IntRange(1), help="Read back only so many recordings.")
def restore_command(
    dir: str,
    recovery_key: Path | None,
    catalogue_only: bool,
    dump: str | None,
    sample: int | None,
) -> None:
    """Restore the backup in DIR into an empty installation; what had ended stays dead."""
    from archive.backups import restoring

    if catalogue_only == (recovery_key is not None):
        raise click.UsageError("Give either --recovery-key FILE or --catalogue-only.")
    private = PrivateKey.load(recovery_key) if recovery_key else None
    config = Config.from_env(os.environ)
    folder = destinations.at(config, dir)
    with restoring.parts_for(config, say=_say), _stages() as progress:
        restoring.remove_index(config)
        assembly = assemble(config, restoring=True)
        chosen = destinations.at(config, dump) if dump else None
        how: dict[str, Any] = {"dump": chosen, "sample": sample, "progress": progress}
        try:
            if private is None:
                done = restoring.restore_catalogue(assembly.archive, folder, **how)
            else:
                done = restoring.restore(assembly.archive, folder, private, **how)
        finally:
            assembly.close()
    click.echo(
        f"{done.recordings} recordings restored, {done.added} of them newer than the dump; "
        f"{done.ended + len(done.without_object)} had ended or were erased and stay so"
    )
    for name in ("missing", "damaged"):
        for key in getattr(done, name):
            click.echo(f"  {name}: {key}", err=True)
    sys.exit(0 if done.whole else 1)


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of long work on a terminal; its name elsewhere."""
    seen: list[str] = []
    interactive = sys.stderr.isatty()

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in seen:
            click.echo(("\n" if interactive and seen else "") + f"… {stage}", err=True)
            seen.append(stage)
        if interactive and (done % 20 == 0 or done == total):
            width = done * 40 // total if total else 0
            bar = f"[{'#' * width}{'.' * (40 - width)}] {done}/{total}" if total else f"{done}"
            click.echo(f"\r  {bar}", nl=False, err=True)

    yield progress
    if interactive:
        click.echo("", err=True)


# -- retention ------------------------------------------------------------------------


@cli.group(name="retention")
def retention_group() -> None:
    """Periods shorter than the year (ARCHIVE_RETENTION), and what is stored already."""


@retention_group.command(name="preview")
@click.option("--json", "as_json", is_flag=True)
@_with_archive
def retention_preview(assembly: Assembly, as_json: bool) -> None:
    """Say what applying today's rules to what is stored would change: how many, and from when.

    Changes nothing. Ends with 1 where there is something to apply.
    """
    found = assembly.archive.preview_rules(SYSTEM)
    click.echo(json.dumps(found.as_json()) if as_json else "\n".join(_rules_in_words(found)))
    sys.exit(1 if found.changes else 0)


@retention_group.command(name="apply")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_archive
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
    with _counting("Moved") as progress:
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


# -- proofs and settings ---------------------------------------------------------------


@cli.group(name="audit")
def audit_group() -> None:
    """The audit log."""


@audit_group.command(name="verify")
@click.option(
    "--public-key",
    type=click.Path(exists=True, path_type=Path),
    help="PEM file of the key to check by, instead of this installation's.",
)
@_with_archive
def audit_verify(assembly: Assembly, public_key: Path | None) -> None:
    """Check the audit log's hash chain and signed heads; name each place that does not hold."""
    public = proofs.public_from(public_key.read_bytes()) if public_key else None
    checked = anchors.verify(assembly.archive.vault, assembly.engine, public=public)
    click.echo(f"{checked.entries} entries chained, {checked.heads} signed heads")
    for note in checked.notes:
        click.echo(f"  note: {note}")
    for problem in checked.wrong:
        click.echo(f"  {problem}")
    sys.exit(1 if checked.wrong else 0)


@audit_group.command(name="list")
@click.option("--recording", type=click.UUID, help="Only of this recording.")
@click.option("--user", "who", help="Only of this user or machine token, by name.")
@click.option("--verb", help="Only of this action, as in the output.")
@click.option("--since", help="Not before this RFC 3339 time.")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@_with_archive
def audit_list(
    assembly: Assembly,
    recording: UUID | None,
    who: str | None,
    verb: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Entries newest first: who opened a recording, what a user opened."""
    names = {str(person.id): person.name for person in assembly.people.people()}
    names |= {str(token.id): token.name for token in assembly.people.tokens()}
    ids = [id for id, name in names.items() if name == who]
    if who is not None and not ids:
        raise click.ClickException(f"nobody is called {who}")
    asked = audit.Asked(
        recording_id=recording,
        actor_id=ids[0] if ids else None,
        verb=verb,
        from_=moment(since) if since else None,
    )
    for entry in assembly.archive.read_audit(SYSTEM, asked, limit=limit):
        facts = {
            "at": entry.at.isoformat(),
            "who": names.get(entry.actor_id, entry.actor_id),
            "verb": entry.verb,
            "recording": str(entry.recording_id) if entry.recording_id else None,
            "purpose": entry.purpose,
            "case": entry.case_number,
        }
        filled = (str(value) for value in facts.values() if value is not None)
        click.echo(json.dumps(facts) if as_json else "  ".join(filled))


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
    from archive.erasure import certificates, journal, proofs

    public = proofs.public_from(public_key.read_bytes()) if public_key else None
    if dir is not None:
        if public is None:
            raise click.UsageError("DIR needs --public-key FILE.")
        bundle = proofs.read_folder(dir)
        noted = dict.fromkeys(heads, "your note")
        count, wrong = len(bundle.certificates), proofs.problems(bundle, public, heads=noted)
        newest = proofs.head(bundle.certificates.values())
    else:
        with _assembled() as assembly:
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
@_with_archive
def expiry_public_key(assembly: Assembly) -> None:
    """Print the public key (PEM) that certificates are checked by; give it to whoever checks."""
    from archive.erasure import certificates, proofs

    click.echo(proofs.pem(certificates.public_key(assembly.archive.vault)), nl=False)


@expiry_group.command(name="export")
@click.argument("dir", type=click.Path(path_type=Path))
@_with_archive
def expiry_export(assembly: Assembly, dir: Path) -> None:
    """Copy certificates, id lists, the erasure journal and the public key into the folder DIR."""
    from archive.erasure import certificates

    count, newest = certificates.export(assembly.archive.vault, dir)
    click.echo(f"{count} certificates; the newest is {newest or '-'}")


@cli.command(name="prove-expired")
@click.argument("id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="With the path to the Merkle root.")
@_with_archive
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
@_with_archive
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
    "--contacts", type=click.IntRange(100), default=100_000, show_default=True, help="Of `search`."
)
@click.option("--engine", type=click.Choice(["whoosh", "postgres"]), help="Of `search`; both.")
def bench(
    ids: tuple[str, ...], as_json: bool, rounds: int, contacts: int, engine: str | None
) -> None:
    """Measure side by side, as ratios in one run; `bench search` every kind of question."""
    from archive import bench as measuring

    if "search" in ids:
        engines = [engine] if engine else ["whoosh", "postgres"]
        measuring.search(contacts, engines, as_json=as_json)
        ids = tuple(id for id in ids if id != "search")
        if not ids:
            return
    measuring.run(ids, as_json=as_json, rounds=rounds)


if __name__ == "__main__":
    main()
