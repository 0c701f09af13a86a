"""What comes with a call beside its metadata: a transcript, SIPREC metadata.

The call is kept already when these are looked at, so what is none of them is a warning in its
receipt and never costs the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archive.archive import Archive, Receipt
from archive.errors import BadFields, FieldError
from archive.formats import transcript
from archive.intake import CORRECTABLE
from archive.model import Actor, Rendition
from archive.sources import siprec

TRANSCRIPT, SIPREC = Rendition.TRANSCRIPT.value, Rendition.SIPREC.value
MOST_BYTES = {TRANSCRIPT: transcript.MOST_BYTES, SIPREC: siprec.MOST_BYTES}


def attach(
    archive: Archive,
    actor: Actor,
    made: Receipt,
    name: str,
    raw: bytes,
    told: Mapping[str, Any],
    *,
    merged: bool = False,
) -> Receipt:
    """Keeps one of them with a call just received; the receipt, with a warning of what is none.

    `told`: the call's own metadata. What it lacks is added from SIPREC metadata, unless `merged`
    says that they were in the delivery and that was a new one.
    """
    try:
        if name == TRANSCRIPT:
            archive.give_transcript(actor, made.id, raw)
        else:
            _give_siprec(archive, actor, made, raw, None if merged and made.created else told)
    except BadFields as error:
        wrong = tuple((each.field, each.expected) for each in error.errors)
        return replace(made, warnings=(*made.warnings, *wrong))
    return made


def filled(metadata: Mapping[str, Any], raw: bytes) -> tuple[dict[str, Any], FieldError | None]:
    """A call's metadata with what they lack, from SIPREC metadata; what was wrong with these."""
    try:
        return siprec.filled(metadata, siprec.fields(raw)), None
    except siprec.SiprecError as error:
        return dict(metadata), FieldError(SIPREC, str(error))


def _give_siprec(
    archive: Archive, actor: Actor, made: Receipt, raw: bytes, told: Mapping[str, Any] | None
) -> None:
    try:
        fields = siprec.fields(raw)
    except siprec.SiprecError as error:
        if len(raw) <= siprec.MOST_BYTES:
            archive.attach(actor, made.id, SIPREC, raw)  # as it came, whatever it is
        raise BadFields(errors=[FieldError(SIPREC, str(error))]) from None
    archive.attach(actor, made.id, SIPREC, raw)
    changes = {name: value for name, value in fields.items() if name in CORRECTABLE}
    if not changes or told is None:
        return
    try:
        _add(archive, actor, told, changes)
    except BadFields as error:
        bad = {wrong.field: changes.pop(wrong.field) for wrong in error.errors}
        changes["extra"] = {**changes.get("extra", {}), "not_understood": bad}
        _add(archive, actor, told, changes)


def _add(
    archive: Archive, actor: Actor, told: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    archive.add_metadata(
        actor, source=told.get("source"), references=[str(told.get("source_ref"))], changes=changes
    )  # fmt: skip
