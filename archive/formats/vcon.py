"""vCon, the IETF's container of conversations: written as 0.4, read as 0.3, 0.4 and 0.5.

Source: draft-ietf-vcon-vcon-core (as of 2026). Signed form: JWS in general JSON serialisation
(RFC 7515) with the certificate in `x5c`. Knows JSON, signatures and digests; fetches nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

VERSION = "0.4.0"
MEDIA_TYPE = "application/vcon+json"


@dataclass(slots=True)
class Parties:
    """The parties of one vCon, each once; `index` gives the place of one."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def index(self, **party: str | None) -> int | None:
        """Where the party stands, added if it is new; None for one of whom nothing is known."""
        told = {name: value for name, value in party.items() if value}
        if not told or set(told) == {"role"}:
            return None
        if told not in self.found:
            self.found.append(told)
        return self.found.index(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file of a dialog: its bytes in the vCon, or None where it is too large to lie there."""

    media_type: str
    file_name: str
    body: bytes | None


def party_of_call(number: str | None) -> dict[str, str | None]:
    """A caller or called one, by what the identifier looks like."""
    if number and number.lower().startswith(("sip:", "sips:")):
        return {"sip": number}
    if number and number.startswith("+"):
        return {"tel": number}
    return {"name": number}


def dialog(
    kind: str,
    *,
    start: datetime,
    parties: Iterable[int | None],
    content: Content | None,
    originator: int | None = None,
    duration_s: float | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """One dialog; `kind` is "recording" or "text". Without content it is an "incomplete" one."""
    made: dict[str, Any] = {
        "type": kind if content is not None and content.body is not None else "incomplete",
        "start": start.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "parties": [index for index in parties if index is not None],
    }
    if made["type"] == "incomplete":
        made["disposition"] = "failed"
    if originator is not None:
        made["originator"] = originator
    if duration_s is not None:
        made["duration"] = round(duration_s, 3)
    if message_id:
        made["message_id"] = message_id
    if content is not None:
        made |= {"mediatype": content.media_type, "filename": content.file_name}
        if content.body is not None:
            made |= {"body": b64url(content.body), "encoding": "base64url"}
    return made


def container(
    id: UUID,
    *,
    created_at: datetime,
    subject: str | None,
    parties: Parties,
    dialogs: list[dict[str, Any]],
    attachments: list[dict[str, Any]],
    analyses: list[dict[str, Any]],
) -> dict[str, Any]:
    """The whole vCon, unsigned."""
    made: dict[str, Any] = {
        "vcon": VERSION,
        "uuid": str(id),
        "created_at": created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "parties": parties.found,
        "dialog": dialogs,
        "analysis": analyses,
        "attachments": attachments,
    }
    return made | ({"subject": subject} if subject else {})


def attachment(
    purpose: str, body: Mapping[str, Any], *, start: datetime, dialog: int, party: int = 0
) -> dict[str, Any]:
    """A JSON attachment about one dialog."""
    return {
        "purpose": purpose,
        "start": start.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "party": party,
        "dialog": dialog,
        "mediatype": "application/json",
        "encoding": "json",
        "body": dict(body),
    }


def transcript(body: str, *, media_type: str, dialog: int, vendor: str) -> dict[str, Any]:
    """What was said in one dialog, as an analysis; `vendor`: what it comes from."""
    return {
        "type": "transcript",
        "dialog": dialog,
        "vendor": vendor,
        "mediatype": media_type,
        "encoding": "none",
        "body": body,
    }


# -- the signed form -------------------------------------------------------------------


def sign(vcon: Mapping[str, Any], seed: bytes) -> bytes:
    """The signed form (JWS, general JSON serialisation), by an Ed25519 key; RFC 8037."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    protected = b64url(_compact({"alg": "EdDSA", "typ": "vcon+jws", "uuid": vcon["uuid"]}))
    payload = b64url(_compact(vcon))
    signature = private.sign(f"{protected}.{payload}".encode())
    header = {"x5c": [base64.b64encode(certificate(seed)).decode()]}
    return _compact(
        {
            "payload": payload,
            "signatures": [
                {"protected": protected, "header": header, "signature": b64url(signature)}
            ],
        }
    )


def certificate(seed: bytes) -> bytes:
    """A certificate (DER) that names the key by itself, the same at every call.

    Nobody vouches for it: who made a vCon is known by comparing the key.
    """
    private = Ed25519PrivateKey.from_private_bytes(seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "contact-archive signing key")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36525))
        .sign(private, None)
        .public_bytes(Encoding.DER)
    )


def b64url(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
