"""`archive audit`: who did what."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import UUID

import click

from archive import anchors, audit, subjects
from archive.archive import SYSTEM
from archive.assembly import Assembly
from archive.cli.frame import cli, with_archive
from archive.erasure import proofs
from archive.intake import moment


@cli.group(name="audit")
def audit_group() -> None:
    """The audit log."""


@audit_group.command(name="verify")
@click.option(
    "--public-key",
    type=click.Path(exists=True, path_type=Path),
    help="PEM file of the key to check by, instead of this installation's.",
)
@with_archive
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
@click.option("--customer", help="Only about anything of this customer number; also what is gone.")
@click.option("--phone", help="The same by a phone number.")
@click.option("--email", help="The same by an email address.")
@click.option("--metering-point", help="The same by a metering point.")
@click.option("--since", help="Not before this RFC 3339 time.")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@with_archive
def audit_list(
    assembly: Assembly,
    recording: UUID | None,
    who: str | None,
    verb: str | None,
    customer: str | None,
    phone: str | None,
    email: str | None,
    metering_point: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Entries newest first: who opened a recording, what a user opened, who met a customer."""
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
    archive = assembly.archive
    if any((customer, phone, email, metering_point)):
        whose = subjects.typed(
            customer=customer, phone=phone, email=email, metering_point=metering_point
        )
        found = archive.who_met(SYSTEM, whose, asked, limit=limit)
    else:
        found = archive.read_audit(SYSTEM, asked, limit=limit)
    for entry in found:
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
