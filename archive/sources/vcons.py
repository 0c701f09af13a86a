"""vCons taken in: each dialog with content becomes a recording, joined by one call id.

Every dialog goes through the real intake; what has no place in the archive is named.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from archive.archive import Archive, Receipt
from archive.errors import ArchiveError, BadFields, FetchRefused, FieldError
from archive.formats import vcon_read
from archive.formats.vcon_read import Dialog, NotReadableError, Vcon
from archive.model import Actor
from archive.seal import Readable
from archive.sources import allowed_hosts
from archive.sources.allowed_hosts import Host

_TAKEN = ("customer_number", "metering_point", "masked")


@dataclass(frozen=True, slots=True)
class Options:
    """What the deliverer says; `direction` where the vCon does not tell it."""

    source: str
    line: str
    direction: str = "inbound"


@dataclass(slots=True)
class Taken:
    """What became of one vCon: receipts by dialog, refusals by dialog, what was left."""

    uuid: str
    signature: str
    receipts: dict[int, Receipt] = field(default_factory=dict)
    refused: dict[int, ArchiveError] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def take(archive: Archive, actor: Actor, raw: bytes, options: Options) -> Taken:
    """Takes in a vCon. BadFields where it cannot be read; errors of the service pass through.

    Repeating it stores nothing twice: each dialog has its own reference.
    """
    try:
        found = vcon_read.read(raw)
    except NotReadableError as error:
        raise BadFields(errors=[FieldError("vcon", f"a vCon ({error})")]) from None
    hosts = allowed_hosts.hosts_of(archive.config.vcon_hosts)
    taken = Taken(found.uuid, found.signature, left=list(found.left))
    for dialog in found.dialogs:
        try:
            receipt = _deliver(archive, actor, found, dialog, options, hosts)
        except ArchiveError as error:
            if error.status >= 500 or error.status == 429:
                raise
            taken.refused[dialog.index] = error
            continue
        if receipt is None:
            what = dialog.media_type.partition(";")[0][:40] or "unknown"
            taken.left.append(f"dialog[{dialog.index}]: content of type {what}")
        else:
            taken.receipts[dialog.index] = receipt
    return taken


def _deliver(
    archive: Archive,
    actor: Actor,
    found: Vcon,
    dialog: Dialog,
    options: Options,
    hosts: Sequence[Host],
) -> Receipt | None:
    main, _, _ = dialog.media_type.lower().partition(";")
    if dialog.kind == "recording" and _may_be_sound(main):
        with _content(archive, dialog, hosts) as content:
            return archive.receive_call(actor, _metadata(found, dialog, options), content)
    if dialog.kind == "text" and main == "message/rfc822":
        with _content(archive, dialog, hosts) as content:
            return _email(archive, actor, found, dialog, options, content)
    if dialog.kind == "text" and main in {"text/plain", "text/html", ""}:
        with _content(archive, dialog, hosts) as content:
            body = b"".join(iter(lambda: content.read(64 * 1024), b""))
            made = _made(found, dialog, body, main)
        return _email(archive, actor, found, dialog, options, io.BytesIO(made))
    return None


def _may_be_sound(main: str) -> bool:
    return main.split("/")[0] in {"audio", "video", ""} or main == "application/octet-stream"


@contextmanager
def _content(archive: Archive, dialog: Dialog, hosts: Sequence[Host]) -> Iterator[Readable]:
    if dialog.body is not None:
        yield io.BytesIO(dialog.body)
        return
    if dialog.url is None or dialog.digest is None:
        raise FetchRefused(reason="no address")
    most = archive.config.max_bytes
    with allowed_hosts.fetched(dialog.url, hosts, sha512=dialog.digest, most=most) as content:
        yield content


def _metadata(found: Vcon, dialog: Dialog, options: Options) -> dict[str, Any]:
    known = found.known.get(dialog.index, {})
    metadata: dict[str, Any] = {
        "source": options.source,
        "source_ref": _reference(found, dialog),
        "occurred_at": dialog.start.isoformat(),
        "direction": _direction(found, dialog, options),
        "line": options.line,
        "agent": dialog.agent,
        "caller": dialog.caller,
        "callee": dialog.callee,
        "duration_s": dialog.duration_s,
        "call_id": f"vcon:{found.uuid}",
        "file_name": dialog.file_name,
        "media_type": dialog.media_type,
        "extra": _extra(found),
    } | {name: known[name] for name in _TAKEN if name in known}
    return {name: value for name, value in metadata.items() if value not in (None, "")}


def _email(
    archive: Archive,
    actor: Actor,
    found: Vcon,
    dialog: Dialog,
    options: Options,
    content: Readable,
) -> Receipt:
    return archive.receive_email(
        actor,
        content,
        source=options.source,
        mailbox=options.line,
        direction=_direction(found, dialog, options),
        source_ref=_reference(found, dialog),
        received_at=dialog.start.isoformat(),
        envelope={"vcon": _extra(found)},
    )


def _made(found: Vcon, dialog: Dialog, body: bytes, main: str) -> bytes:
    """An email of a text that came without its headers: what the vCon says of it, and no more."""
    message = EmailMessage()
    for name, value in (
        ("From", ", ".join(dialog.senders)), ("To", ", ".join(dialog.recipients)),
        ("Subject", found.subject or ""), ("Message-ID", dialog.message_id or ""),
    ):  # fmt: skip
        plain = "".join(c if c.isprintable() else " " for c in value)[:900]
        if plain:
            message[name] = plain
    message["Date"] = format_datetime(dialog.start)
    message.set_content(body.decode("utf-8", "replace"), subtype=main.rpartition("/")[2] or "plain")
    return message.as_bytes()


def _reference(found: Vcon, dialog: Dialog) -> str:
    return f"vcon:{found.uuid}:{dialog.index}"


def _direction(found: Vcon, dialog: Dialog, options: Options) -> str:
    known = found.known.get(dialog.index, {}).get("direction")
    return str(known or dialog.direction or options.direction)


def _extra(found: Vcon) -> dict[str, Any]:
    told = {
        "uuid": found.uuid, "version": found.version, "subject": found.subject,
        "signature": found.signature,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}
