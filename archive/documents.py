"""What the index is given of a recording: every identifier in its normal form, and the words."""

from __future__ import annotations

import json
from typing import Any

from archive import ties, transcripts
from archive.formats import cards, identifiers
from archive.model import Descriptor, Document, Kind, Recording
from archive.vault import Description, Vault

_TEXT_CHARS = 500_000


def document(vault: Vault, recording: Recording) -> Document:
    """The document of a recording as it is now; KeyDestroyed, KeyMissing or SealBroken."""
    key = vault.data_key(recording)
    descriptor = vault.descriptor(recording, key=key)
    description = vault.description(recording, key=key) or Description()
    mail = description.mail
    emails = [
        *(mail.from_ + mail.to + mail.cc + mail.bcc if mail else ()),
        *_envelope_emails(descriptor),
    ]
    parties = [party for party in (descriptor.caller, descriptor.callee) if party]
    emails += [party.lower() for party in parties if "@" in party]
    emails += ties.of_mail(mail) if mail else ties.of_call(descriptor)
    return Document(
        id=recording.id,
        occurred_at=recording.occurred_at,
        kind=recording.kind,
        line=recording.line,
        direction=recording.direction,
        source=recording.source,
        agent=descriptor.agent,
        customer=descriptor.customer_number,
        phones=tuple(party for party in parties if "@" not in party),
        emails=tuple(dict.fromkeys(emails)),
        metering_point=descriptor.metering_point,
        case=descriptor.case,
        names=tuple(mail.names) if mail else (),
        subject=_masked(mail.subject or "") if mail else "",
        text=_masked("\n".join(_words(descriptor, description)))[:_TEXT_CHARS],
        duration_s=description.call.duration_s if description.call else None,
        attachments=bool(mail.attachments) if mail else None,
        company=descriptor.company,
    )


def _words(descriptor: Descriptor, description: Description) -> list[str]:
    """Free text: notes, what the sender added, contract and company, body or transcript, names."""
    found = [descriptor.notes, descriptor.contract, descriptor.company, descriptor.file_name]
    found += list(_strings(descriptor.extra))
    found += list(_strings(dict(descriptor.raw)))
    if descriptor.kind is Kind.EMAIL:
        found.append(description.text)
        if description.mail is not None:
            found += [a.name for a in description.mail.attachments]
    found += [cue.text for cue in transcripts.said(descriptor, description)]
    return [text for text in found if text]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for item in value.values() for s in _strings(item)]
    if isinstance(value, list | tuple):
        return [s for item in value for s in _strings(item)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [json.dumps(value)]
    return []


def _masked(text: str) -> str:
    """Without identity codes and card numbers (never searchable), lone surrogates and NULs."""
    clean = text.encode("utf-8", "ignore").decode().replace("\x00", " ")
    return cards.mask(identifiers.mask_hetu(clean))


def _envelope_emails(descriptor: Descriptor) -> list[str]:
    envelope = descriptor.envelope or {}
    return [s.strip("<> ").lower() for s in _strings(dict(envelope)) if "@" in s]
