"""Reading vCons of 0.3, 0.4 and 0.5, signed or not: who spoke when, and where the content is.

Pure: bytes in, dialogs out, and a list of what has no place here. Names of older drafts are
read as the newer ones. Fetches nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MOST_BYTES = 256 * 1024 * 1024  # of one vCon, which is read whole
MOST_DIALOGS = 1000
_MIME_BY_NAME = {".wav": "audio/x-wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg"}


class NotReadableError(Exception):
    """Not a vCon that can be taken in; the argument says why, without quoting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """One dialog with content: `body`, or `url` with its SHA-512 (`digest`, raw)."""

    index: int
    kind: str  # "recording", "text"
    start: datetime
    duration_s: float | None
    caller: str | None
    callee: str | None
    agent: str | None
    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    direction: str | None
    media_type: str
    file_name: str | None
    message_id: str | None
    body: bytes | None
    url: str | None
    digest: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vcon:
    """What was read. `signature`: "none", "holds" (by a certificate it brings), "unchecked".

    `known` is what this archive itself had said of a dialog, by its index; `left` names what was
    not taken over, and why.
    """

    uuid: str
    version: str
    subject: str | None
    dialogs: tuple[Dialog, ...]
    signature: str
    known: Mapping[int, Mapping[str, Any]]
    left: tuple[str, ...]


def looks_like(name: str, head: bytes) -> bool:
    """Whether a file is a vCon, by its name or what it begins with."""
    if name.lower().endswith((".vcon", ".vcon.json")):
        return True
    start = head[:4096].lstrip()
    if not start.startswith(b"{"):
        return False
    plain = b'"parties"' in head and b'"dialog"' in head and b'"uuid"' in head
    return plain or b'"vcon"' in start or (b'"payload"' in start and b'"signatures"' in head)


def read(raw: bytes) -> Vcon:
    """The vCon. NotReadableError."""
    if len(raw) > MOST_BYTES:
        raise NotReadableError(f"more than {MOST_BYTES} bytes")
    found, signature = _opened(_object(raw))
    uuid = found.get("uuid")
    parties, dialogs = found.get("parties"), found.get("dialog")
    if not isinstance(uuid, str) or not re.fullmatch(r"[0-9A-Za-z:.-]{1,100}", uuid):
        raise NotReadableError("no uuid")
    if not isinstance(parties, list) or not isinstance(dialogs, list):
        raise NotReadableError("no list of parties or of dialogs")
    if len(dialogs) > MOST_DIALOGS:
        raise NotReadableError(f"more than {MOST_DIALOGS} dialogs")
    if unknown := [str(c)[:40] for c in _list(found, "critical", "must_support")]:
        raise NotReadableError("it demands extensions: " + ", ".join(unknown))
    taken, left = [], list(_left(found))
    for index, dialog in enumerate(dialogs):
        try:
            taken.append(_dialog(index, _dict(dialog), [_dict(p) for p in parties]))
        except _LeftError as error:
            left.append(f"dialog[{index}]: {error}")
    return Vcon(
        uuid=uuid,
        version=str(found.get("vcon") or "0.5")[:20],
        subject=_text(found.get("subject")),
        dialogs=tuple(taken),
        signature=signature,
        known=_known(found),
        left=tuple(left),
    )


class _LeftError(Exception):
    """This dialog is not taken over; the argument says why."""


# -- the outer form --------------------------------------------------------------------


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise NotReadableError("not JSON") from None
    if not isinstance(found, dict):
        raise NotReadableError("not a JSON object")
    return found


def _opened(found: dict[str, Any]) -> tuple[dict[str, Any], str]:
    if "ciphertext" in found:
        raise NotReadableError("it is encrypted")
    if "payload" not in found:
        return found, "none"
    signatures = found.get("signatures")
    if not isinstance(signatures, list) or not signatures:
        raise NotReadableError("signed in another form than general JSON")
    payload = found["payload"]
    if not isinstance(payload, str):
        raise NotReadableError("no payload")
    states = [_holds(_dict(one), payload) for one in signatures]
    state = "unchecked" if "unchecked" in states else "holds"
    return _object(_unbase64(payload)), state


def _holds(signature: Mapping[str, Any], payload: str) -> str:
    """ "holds" or "unchecked"; NotReadableError where the signature is not that of its key."""
    protected = str(signature.get("protected", ""))
    head = _object(_unbase64(protected)) if protected else {}
    more = signature.get("header")
    chain = (more if isinstance(more, dict) else {}).get("x5c") or head.get("x5c")
    try:
        first = chain[0] if isinstance(chain, list) and chain else ""
        key = x509.load_der_x509_certificate(base64.b64decode(str(first))).public_key()
    except (ValueError, binascii.Error):
        return "unchecked"
    signed = f"{protected}.{payload}".encode()
    raw = _unbase64(str(signature.get("signature", "")))
    try:
        return _checked(str(head.get("alg")), key, raw, signed)
    except InvalidSignature:
        raise NotReadableError("its signature does not hold") from None


def _checked(alg: str, key: Any, raw: bytes, signed: bytes) -> str:
    if alg in {"EdDSA", "Ed25519"} and isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(raw, signed)
    elif alg == "RS256" and isinstance(key, rsa.RSAPublicKey):
        key.verify(raw, signed, padding.PKCS1v15(), SHA256())
    elif alg == "ES256" and isinstance(key, ec.EllipticCurvePublicKey) and len(raw) == 64:
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    else:
        return "unchecked"
    return "holds"


# -- what is inside --------------------------------------------------------------------


def _left(found: Mapping[str, Any]) -> Iterator[str]:
    """Parts of the whole that have no place in the archive."""
    for name in ("redacted", "redacted_from"):
        if found.get(name):
            yield f"{name}: the original it was redacted from is not looked for"
    for name in ("amended", "amended_from", "appended"):
        if found.get(name):
            yield f"{name}: the earlier vCon is not looked for"
    if group := found.get("group"):
        yield f"group: {len(group) if isinstance(group, list) else 1} other vCons"
    for index, one in enumerate(_list(found, "analysis")):
        kind = _text(_dict(one).get("type")) or "?"
        yield f"analysis[{index}]: {kind[:40]}"
    for index, one in enumerate(_list(found, "attachments")):
        told = _dict(one)
        purpose = _text(told.get("purpose") or told.get("type")) or "?"
        if purpose != "contact-archive":
            yield f"attachments[{index}]: {purpose[:40]}"


def _known(found: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    known: dict[int, Mapping[str, Any]] = {}
    for one in map(_dict, _list(found, "attachments")):
        index, body = one.get("dialog"), one.get("body")
        ours = one.get("purpose") == "contact-archive" and isinstance(body, dict)
        if ours and isinstance(index, int) and not isinstance(index, bool):
            known[index] = _dict(body)
    return known


def _dialog(index: int, told: Mapping[str, Any], parties: list[Mapping[str, Any]]) -> Dialog:
    kind = told.get("type")
    if kind not in ("recording", "text"):
        raise _LeftError(f"of type {str(kind)[:40]}, which has no content")
    body, url, digest = _content(told)
    start = _moment(told.get("start"))
    if start is None:
        raise _LeftError("its start is not a time")
    inside = [parties[i] for i in _numbers(told.get("parties")) if 0 <= i < len(parties)]
    first = told.get("originator")
    originator = parties[first] if isinstance(first, int) and 0 <= first < len(parties) else None
    agents = [party for party in inside if _role(party) == "agent"]
    others = [party for party in inside if party not in agents]
    name = _text(told.get("filename"))
    media_type = _text(told.get("mediatype") or told.get("mimetype")) or ""
    direction = _direction(told, originator, agents)
    # Who called: as told, else the customer of an incoming call, else whoever is named first.
    first_named = inside[0] if inside else None
    calling = agents if direction == "outbound" else others
    caller = originator or (calling[0] if calling else first_named)
    rest = [party for party in inside if party is not caller]
    return Dialog(
        index=index,
        kind=str(kind),
        start=start,
        duration_s=_seconds(told.get("duration")),
        caller=_address(caller),
        callee=_address(rest[0] if rest else None),
        agent=next((n for p in agents if (n := _text(p.get("name")))), None),
        senders=tuple(a for p in [caller] if (a := _mailbox(p))),
        recipients=tuple(a for p in rest if (a := _mailbox(p))),
        direction=direction,
        media_type=media_type or _MIME_BY_NAME.get((name or "")[-4:].lower(), ""),
        file_name=name,
        message_id=_text(told.get("message_id")),
        body=body,
        url=url,
        digest=digest,
    )


def _content(told: Mapping[str, Any]) -> tuple[bytes | None, str | None, bytes | None]:
    url = _text(told.get("url"))
    if told.get("body") is not None:
        return _body(told["body"], told.get("encoding")), None, None
    if not url:
        raise _LeftError("without content")
    digest = _sha512(told)
    if digest is None:
        raise _LeftError("its url has no SHA-512 to hold the content against")
    return None, url, digest


def _body(body: Any, encoding: Any) -> bytes:
    if encoding == "json":
        return json.dumps(body).encode()
    if not isinstance(body, str):
        raise _LeftError("its body is no text")
    if encoding == "base64url":
        try:
            return _unbase64(body)
        except NotReadableError:
            raise _LeftError("its body is not base64url") from None
    if encoding in ("none", None, ""):
        return body.encode("utf-8", "surrogatepass")
    raise _LeftError(f"its encoding {str(encoding)[:20]} is unknown")


def _sha512(told: Mapping[str, Any]) -> bytes | None:
    given: Any = told.get("content_hash")
    hashes = given if isinstance(given, list) else [given]
    if str(told.get("alg", "")).upper().replace("-", "") == "SHA512":
        hashes = [*hashes, f"sha512-{told.get('signature', '')}"]
    for one in hashes:
        if isinstance(one, str) and one.lower().startswith("sha512-"):
            try:
                raw = _unbase64(one[7:])
            except NotReadableError:
                continue
            if len(raw) == 64:
                return raw
    return None


def _direction(
    told: Mapping[str, Any], originator: Mapping[str, Any] | None, agents: list[Mapping[str, Any]]
) -> str | None:
    said = str(_dict(told.get("meta")).get("direction", "")).lower()
    by_word = {"in": "inbound", "inbound": "inbound", "out": "outbound", "outbound": "outbound"}
    if said in by_word:
        return by_word[said]
    if originator is None or not agents:
        return None
    return "outbound" if originator in agents else "inbound"


def _role(party: Mapping[str, Any]) -> str:
    return str(party.get("role") or _dict(party.get("meta")).get("role") or "").lower()


def _address(party: Mapping[str, Any] | None) -> str | None:
    told = party or {}
    for name in ("tel", "sip", "mailto", "email", "name"):
        if found := _text(told.get(name)):
            return re.sub(r"^(tel|mailto):", "", found)
    return None


def _mailbox(party: Mapping[str, Any] | None) -> str | None:
    found = _text((party or {}).get("mailto") or (party or {}).get("email"))
    return found.removeprefix("mailto:") if found else None


def _moment(value: Any) -> datetime | None:
    """RFC 3339, or what older writers put there: seconds since 1970, no offset for UTC."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _seconds(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
    return float(value) if usable else None


def _numbers(value: Any) -> list[int]:
    given = value if isinstance(value, list) else [value]
    flat = [n for one in given for n in (one if isinstance(one, list) else [one])]
    return [n for n in flat if isinstance(n, int) and not isinstance(n, bool)]


def _list(found: Mapping[str, Any], *names: str) -> list[Any]:
    return next((v for name in names if isinstance(v := found.get(name), list)), [])


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise NotReadableError("not base64url") from None
