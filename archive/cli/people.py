"""`archive user`, `group` and `token`: people who log in, and machines."""

from __future__ import annotations

import sys
from uuid import UUID

import click

from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import cli, with_archive
from archive.model import Purpose, Scope
from archive.permissions import GROUPS


@cli.group()
def user() -> None:
    """People who log in."""


@user.command(name="create")
@click.argument("name")
@click.option("--group", required=True, type=click.Choice(sorted(GROUPS)))
@click.option("--line", "lines", multiple=True, help="Only this service line; repeatable.")
@click.option("--company", "companies", multiple=True, help="Only this company; repeatable.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_archive
def user_create(
    assembly: Assembly,
    name: str,
    group: str,
    lines: tuple[str, ...],
    companies: tuple[str, ...],
    password_stdin: bool,
) -> None:
    """Create a user; without a password, print a one-time login."""
    given = sys.stdin.readline().rstrip("\n") if password_stdin else None
    assembly.people.create(name, group, given, lines or None, companies=companies or None)
    if given is not None:
        click.echo(f"Created {name} in {group}.")
        return
    click.echo(f"Created {name} in {group}. One-time login, valid 30 minutes:")
    click.echo(f"/once/{assembly.people.one_time_link(name)}")


@user.command(name="rights")
@click.argument("name")
@click.option("--group", required=True, type=click.Choice(sorted(GROUPS)))
@click.option("--line", "lines", multiple=True, help="Only this service line; repeatable.")
@click.option("--company", "companies", multiple=True, help="Only this company; repeatable.")
@with_archive
def user_rights(
    assembly: Assembly, name: str, group: str, lines: tuple[str, ...], companies: tuple[str, ...]
) -> None:
    """Give a user another group, lines and companies; their sessions end."""
    assembly.people.change_rights(
        _known(assembly, name), group=group, lines=lines, companies=companies
    )


@user.command(name="reset-second-factor")
@click.argument("name")
@with_archive
def user_reset_second_factor(assembly: Assembly, name: str) -> None:
    """Take a user's second factor away, who lost app and recovery codes; their sessions end."""
    assembly.people.remove_factor(_known(assembly, name))


@user.command(name="sessions")
@click.argument("name")
@click.option("--end", is_flag=True, help="End them all at once.")
@with_archive
def user_sessions(assembly: Assembly, name: str, end: bool) -> None:
    """List a user's sessions, by when each began and was last used."""
    id = _known(assembly, name)
    for one in assembly.people.sessions_of(id):
        click.echo(f"{one.created_at:%Y-%m-%d %H:%M}Z  {one.seen_at:%H:%M}Z")
    if end:
        click.echo(f"Ended: {assembly.people.end_sessions(id, by=SYSTEM)}")


@user.command(name="part-from-provider")
@click.argument("name")
@with_archive
def user_part_from_provider(assembly: Assembly, name: str) -> None:
    """Make a user of the identity provider one of the archive alone; their sessions end.

    They then come in by `archive user link` and a password. Of a disabled one: who comes from the
    provider again is a new user.
    """
    found = [p.id for p in assembly.people.people() if p.name == name and p.by_provider]
    if not found:
        raise click.BadParameter("there is no such user of the provider", param_hint="NAME")
    assembly.people.part_from_provider(found[0])


@user.command(name="link")
@click.argument("name")
@with_archive
def user_link(assembly: Assembly, name: str) -> None:
    """Print a one-time login for a user."""
    config = assembly.config
    click.echo(f"http://{config.listen}:{config.port}/once/{assembly.people.one_time_link(name)}")


@user.command(name="mail")
@click.argument("name")
@click.argument("address", required=False)
@with_archive
def user_mail(assembly: Assembly, name: str, address: str | None) -> None:
    """Mail a user's notices to ADDRESS; without one, to nobody."""
    assembly.people.mail_to(_known(assembly, name), address)


def _known(assembly: Assembly, name: str) -> UUID:
    found = [p for p in assembly.people.people() if p.name == name and p.disabled_at is None]
    if not found:
        raise click.BadParameter("there is no such user", param_hint="NAME")
    return found[0].id


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
@with_archive
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
