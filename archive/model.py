"""The words of the archive: frozen dataclasses and closed sets. No I/O, no clock, no keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

type_bytes = bytes  # `bytes` is a field's name below


class Kind(StrEnum):
    CALL = "call"
    EMAIL = "email"


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class State(StrEnum):
    """How far a recording has come. `indexed` is the end of the way."""

    RECEIVED = "received"
    DESCRIBED = "described"
    INDEXED = "indexed"
    DESCRIBE_FAILED = "describe-failed"
    INDEX_FAILED = "index-failed"


class Purpose(StrEnum):
    """Why a recording is opened (privacy notice, section 5; access and authorities, 7 and 9)."""

    VERIFICATION = "verification"
    COMPLAINT = "complaint"
    QUALITY = "quality"
    ACCESS_REQUEST = "access-request"
    AUTHORITY = "authority"


class Exceptional(StrEnum):
    """Why a recording is opened beyond the rights of whoever opens it; never stated by choice."""

    EMERGENCY = "emergency"


class Scope(StrEnum):
    """What a machine token, or a group of people, may do."""

    INGEST = "ingest"
    SEARCH = "search"
    READ = "read"  # metadata of one recording
    OPEN = "open"  # content and renditions; includes read
    UNMASKED = "unmasked"  # the original of a call of which stretches are silenced
    REVIEW = "review"  # what was not understood, or holds what it should not: seen and mended
    ERASE = "erase"  # "private call" and early erasure
    CASES = "cases"  # complaint cases
    EXPIRY = "expiry"  # the expiry page
    QUALITY = "quality"  # samples of calls without who is in them, scorecards: never a search
    AUDIT = "audit"  # the audit log: never a recording
    ADMIN = "admin"  # people, tokens, sources, health: never a recording
    BREAK_GLASS = "break-glass"  # one recording in an emergency, told to data protection at once


class Rendition(StrEnum):
    """Names of what is stored of a recording besides itself."""

    ORIGINAL = "original"
    PLAYBACK = "playback"  # Ogg Opus
    PEAKS = "peaks"  # JSON, wavesurfer's form
    TRANSCRIPT = "transcript"  # WebVTT or JSON, as its sender gave it
    SIPREC = "siprec"  # the recorder's metadata of RFC 7865, as given
    TEXT = "text"  # UTF-8, an email's readable text
    MESSAGE = "message"  # RFC 5322, of an original that is an Outlook .msg


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of a transcript: what was said from `start_s` to `end_s`, and by whom if told."""

    start_s: float
    end_s: float
    text: str
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """All that is personal of a recording; stored sealed under its data key only.

    `raw` holds optional fields that could not be understood, as given. `given_occurred_at` is
    the sender's contact time where it was not used. `sha256` is hex of the plaintext.
    """

    source: str
    source_ref: str
    occurred_at: datetime
    received_at: datetime
    kind: Kind
    line: str
    direction: Direction
    sha256: str = ""
    bytes: int = 0
    media_type: str = ""
    file_name: str | None = None
    agent: str | None = None
    caller: str | None = None  # normal form where one exists, else as given
    callee: str | None = None
    customer_number: str | None = None
    metering_point: str | None = None
    contract: str | None = None
    case: str | None = None
    company: str | None = None
    claimed_duration_s: float | None = None
    codec: str | None = None
    call_id: str | None = None
    announcement: Mapping[str, Any] | None = None
    masked: tuple[tuple[float, float], ...] = ()  # seconds from the start
    notes: str | None = None
    extra: Any = None
    envelope: Mapping[str, Any] | None = None  # SMTP envelope of an email, as given
    raw: Mapping[str, Any] = field(default_factory=dict)
    given_occurred_at: str | None = None
    warnings: tuple[str, ...] = ()
    keep_days: int | None = None  # a rule shorter than the year, that it is kept under


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A durable hold's own copy of the data key: what outlives the key of the day.

    `case` None is a restriction (GDPR 18). `cohort` is the one the wrapping is bound to.
    """

    key: str  # name in the keys directory
    case: str | None
    cohort: date
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One row about a hold (GDPR 17(3)(e)) or, without a case, a restriction (GDPR 18).

    `terms` is sealed under the recording's data key. It counts as placed once `durable_at` is
    set; released, it keeps the recording until `ends_at`.
    """

    id: UUID
    recording_id: UUID
    case: str | None
    key: str
    cohort: date
    object_key: str
    owner: str  # an actor's id
    review_on: date | None
    placed_at: datetime
    terms: bytes
    wrapped: bytes | None
    durable_at: datetime | None
    requested_by: str | None
    released_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recording:
    """One row of the catalogue: nothing in the clear but when, which line, how far.

    `descriptor` and `description` are sealed. Times are aware, UTC. `cohort` is the
    Helsinki date of `expires_at`.
    """

    id: UUID
    kind: Kind
    state: State
    source: str
    line: str
    direction: Direction
    occurred_at: datetime
    received_at: datetime
    expires_at: datetime
    cohort: date
    bytes: int
    object_key: str
    object_version: str | None
    object_bytes: int
    header_bytes: int  # magic, length and envelope before the sealed stream
    envelope_seq: int
    envelope_key: str | None  # a later envelope object, if any
    reference: type_bytes
    wrapped_key: type_bytes
    descriptor: type_bytes
    description: type_bytes | None
    index_due: bool
    attempts: int
    error_code: str | None
    restricted: bool = False  # GDPR 18: answers the data protection officer alone
    erasing: bool = False  # its objects are being deleted; nothing can save it any more
    held: tuple[HeldKey, ...] = ()  # durable holds, until they end

    def past_its_year(self, now: datetime) -> bool:
        """Whether nothing but a hold can keep it."""
        return self.expires_at <= now


@dataclass(frozen=True, slots=True)
class StoredRendition:
    recording_id: UUID
    name: str
    version: int
    object_key: str
    object_version: str | None
    object_bytes: int
    header_bytes: int
    bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class CallDescription:
    """What decoding a call found, against what its header claimed. Durations in seconds."""

    container: str | None
    codec: str | None
    sample_rate_hz: int | None
    channels: int | None
    duration_s: float | None
    claimed_duration_s: float | None
    decodes: bool
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    type: str
    bytes: int
    index: int
    found: str | None = None  # the type by its content, where that says


@dataclass(frozen=True, slots=True)
class MailDescription:
    """What an email's parser found. Strings are free of lone surrogates and NUL bytes."""

    message_id: str | None
    subject: str | None
    from_: tuple[str, ...]  # lower-case addresses
    to: tuple[str, ...]
    cc: tuple[str, ...]
    names: tuple[str, ...]  # display names of all parties
    date: datetime | None
    attachments: tuple[Attachment, ...]
    parse_errors: tuple[str, ...]  # stable codes, no content
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()  # by a journal report: who got it and stands in no header
    container: str | None = None  # "outlook": the original is a .msg


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking: a person's session, a machine token, or the archive itself.

    `lines` None means every line, `companies` None every company and also what names none;
    `days_back` is how long ago a contact may be, None: its whole year. `name` is a user name or a
    token's name, never shown in logs. `session` is the digest that an opening is bound to.
    """

    id: str
    name: str
    kind: str  # "person", "token", "system"
    group: str | None
    scopes: frozenset[Scope]
    source: str | None = None
    lines: frozenset[str] | None = None
    purposes: frozenset[Purpose] = frozenset()
    default_purpose: Purpose | None = None
    session: bytes = b""
    companies: frozenset[str] | None = None
    days_back: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What the index is given of one recording."""

    id: UUID
    occurred_at: datetime
    kind: Kind
    line: str
    direction: Direction
    source: str
    agent: str | None
    customer: str | None
    phones: tuple[str, ...]  # E.164 or raw
    emails: tuple[str, ...]
    metering_point: str | None
    case: str | None
    names: tuple[str, ...]
    subject: str
    text: str
    duration_s: float | None = None
    attachments: bool | None = None  # whether an email has any; None: no email
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the index; every field narrows. `lines` None means all."""

    q: str | None = None
    customer: str | None = None
    phone: str | None = None
    email: str | None = None
    metering_point: str | None = None
    case: str | None = None
    kind: Kind | None = None
    line: str | None = None
    agent: str | None = None
    direction: Direction | None = None
    from_: datetime | None = None  # inclusive
    to: datetime | None = None  # exclusive
    sort: str = "newest"  # or "relevance"
    lines: frozenset[str] | None = None
    source: str | None = None
    duration: str | None = None  # a class of lengths, of search.terms.DURATIONS
    attachment: bool | None = None
    held: bool = False  # only what is held for a case
    ids: frozenset[UUID] | None = None  # none but these
    companies: frozenset[str] | None = None  # as `lines`


@dataclass(frozen=True, slots=True)
class Hit:
    id: UUID
    occurred_at: datetime
    score: float
