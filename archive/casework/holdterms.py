"""What a hold says, sealed under its recording's data key; and its envelope in the store.

Knows keys and envelopes; neither rows nor who may ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from archive import keys as keyring
from archive import seal
from archive.errors import KeyDestroyed, KeyMissing, SealBroken
from archive.model import Hold, Recording
from archive.storage import Stored
from archive.vault import Vault

BASIS = "GDPR 17(3)(e)"  # establishment, exercise or defence of legal claims
FOLDER = "hold"
RENDITION = "hold"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a hold: its review ("review", days), its owner ("owner", ids), or its release.

    `by` is an actor's id; `was` and `became` are what changed.
    """

    at: datetime
    by: str
    what: str
    was: str | None
    became: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a hold says; sealed under the recording's data key in its row and its envelope."""

    reason: str
    basis: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A hold and what it says, for those who may know. `terms` None: it opens no more."""

    hold: Hold
    terms: Terms | None
    owner_name: str | None = None


def terms_of(vault: Vault, recording: Recording, hold: Hold) -> Terms | None:
    """What the hold says; None if the recording opens no more."""
    try:
        key = vault.data_key(recording)
    except (KeyDestroyed, KeyMissing):
        return None
    return open_terms(key, recording.id, hold.id, hold.terms)


def open_terms(data_key: bytes, id: UUID, hold_id: UUID, sealed: bytes) -> Terms:
    """The hold's terms as a row or an envelope keeps them; SealBroken."""
    return _terms(json.loads(seal.unseal(data_key, seal.hold_terms_context(id, hold_id), sealed)))


def seal_terms(data_key: bytes, hold: Hold, terms: Terms) -> bytes:
    """The terms, with all of the hold's row that a rebuilt catalogue needs."""
    said = {
        "case": hold.case,
        "owner": hold.owner,
        "reason": terms.reason,
        "basis": terms.basis,
        "review_on": hold.review_on.isoformat() if hold.review_on else None,
        "placed_at": hold.placed_at.isoformat(),
        "released_at": hold.released_at.isoformat() if hold.released_at else None,
        "ends_at": hold.ends_at.isoformat() if hold.ends_at else None,
        "changes": [
            [each.at.isoformat(), each.by, each.what, each.was, each.became, each.reason]
            for each in terms.changes
        ],
    }
    encoded = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    return seal.seal(data_key, seal.hold_terms_context(hold.recording_id, hold.id), encoded)


def _terms(said: Mapping[str, Any]) -> Terms:
    changes = tuple(
        Change(datetime.fromisoformat(at), by, what, was, became, reason)
        for at, by, what, was, became, reason in said.get("changes", ())
    )
    return Terms(said["reason"], said["basis"], changes)


def envelope(hold: Hold, recording: Recording, data_key: bytes) -> seal.Envelope:
    """What is written beside the original: the data key wrapped for the hold, and its terms."""
    assert hold.wrapped is not None
    said = open_terms(data_key, hold.recording_id, hold.id, hold.terms)
    return seal.Envelope(
        id=hold.recording_id,
        cohort=hold.cohort,
        rendition=RENDITION,
        version=1,
        seq=recording.envelope_seq,
        wrapped_key=hold.wrapped,
        descriptor=None,
        hold=hold.id,
        terms=seal_terms(data_key, hold, said),
    )


def from_envelope(vault: Vault, id: UUID, stored: Stored) -> tuple[Hold, bytes] | None:
    """The hold that an envelope object tells of, and the data key; None if its key is gone.

    SealBroken for an object that is not a hold of this recording.
    """
    raw = vault.store.get(stored.key, start=0, length=stored.bytes, version=stored.version)
    envelope, _ = seal.Envelope.parse(raw)
    if envelope.id != id or envelope.hold is None or envelope.terms is None:
        raise SealBroken(reason=seal.Broken.WRONG_RECORDING)
    for name in _keys_of(vault, id):
        try:
            data_key = keyring.unwrap_data_key(
                vault.keys.get(name), id, envelope.cohort, envelope.wrapped_key
            )
        except (KeyDestroyed, KeyMissing, SealBroken):
            continue
        return _hold(envelope, name, stored.key, data_key), data_key
    return None


def _hold(envelope: seal.Envelope, key: str, object_key: str, data_key: bytes) -> Hold:
    assert envelope.hold is not None
    assert envelope.terms is not None
    ctx = seal.hold_terms_context(envelope.id, envelope.hold)
    said = json.loads(seal.unseal(data_key, ctx, envelope.terms))
    hold = Hold(
        id=envelope.hold,
        recording_id=envelope.id,
        case=said["case"],
        key=key,
        cohort=envelope.cohort,
        object_key=object_key,
        owner=said["owner"],
        review_on=date.fromisoformat(said["review_on"]) if said["review_on"] else None,
        placed_at=datetime.fromisoformat(said["placed_at"]),
        terms=b"",
        wrapped=envelope.wrapped_key,
        durable_at=datetime.fromisoformat(said["placed_at"]),
        requested_by=None,
        released_at=_instant(said["released_at"]),
        ends_at=_instant(said["ends_at"]),
    )
    return replace(hold, terms=seal_terms(data_key, hold, _terms(said)))


def has_key(vault: Vault, id: UUID) -> bool:
    """Whether a hold's key for the recording lives."""
    return bool(_keys_of(vault, id))


def living_keys(vault: Vault) -> list[str]:
    """Names of the keys of all holds, except those that were destroyed."""
    return [name for name in vault.keys.names(FOLDER) if not vault.keys.is_destroyed(name)]


def _keys_of(vault: Vault, id: UUID) -> list[str]:
    return [name for name in living_keys(vault) if str(id) in name]


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
