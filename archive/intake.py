"""What a sender said of a recording, checked field by field. Pure: no I/O, no clock.

Required fields that are missing or not understood refuse the recording; any other bad field
is kept as it came, named in the warnings, and the recording is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from archive import retention
from archive.errors import BadFields, FieldError
from archive.formats import identifiers
from archive.model import Descriptor, Direction, Kind

CASE_NUMBER = re.compile(r"[0-9]{4}-[0-9]{5}")
_DIRECTIONS = "one of inbound, outbound, internal"
_WORD = "text of 1 to {most} characters without control characters"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNUSABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(slots=True)
class Intake:
    """The outcome: a descriptor without digest, and what was not understood."""

    descriptor: Descriptor
    warnings: list[FieldError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What depends on the installation."""

    customer_pattern: str


def call(metadata: Mapping[str, Any], *, arrived_at: datetime, rules: Rules) -> Intake:
    """The metadata part of a call. BadFields names every required field that is wrong."""
    reader = _Reader(metadata)
    source = reader.required("source", _word(100))
    source_ref = reader.required("source_ref", _word(1000))
    occurred_at = reader.required("occurred_at", moment, "RFC 3339 date and time with offset")
    direction = reader.required("direction", Direction, _DIRECTIONS)
    line = reader.required("line", _word(100))
    reader.refuse_if_wrong()
    trusted = reader.optional("clock_trusted", _boolean, "true or false")
    optional = _optional_fields(reader, rules)
    reader.keep_unknown()
    return _finish(
        reader,
        arrived_at=arrived_at,
        occurred_at=occurred_at,
        trusted=trusted is not False,
        values={
            "source": source,
            "source_ref": source_ref,
            "direction": direction,
            "line": line,
            "kind": Kind.CALL,
            **optional,
        },
    )


def email(
    *,
    source: str | None,
    source_ref: str | None,
    mailbox: str | None,
    direction: str | None,
    received_at: str | None,
    envelope: Any,
    arrived_at: datetime,
) -> Intake:
    """The query and headers of an email. An empty `source_ref` is made from the body later."""
    reader = _Reader(
        {
            "source": source,
            "source_ref": source_ref,
            "mailbox": mailbox,
            "direction": direction,
            "received_at": received_at,
        }
    )
    source_ = reader.required("source", _word(100))
    line = reader.required("mailbox", _word(254))
    direction_ = reader.required("direction", Direction, _DIRECTIONS)
    reader.refuse_if_wrong()
    reference = reader.optional("source_ref", _word(1000))
    given = reader.optional("received_at", moment, "RFC 3339 date and time with offset")
    if envelope is not None and not isinstance(envelope, Mapping):
        reader.warn("envelope", "a JSON object", envelope)
        envelope = None
    return _finish(
        reader,
        arrived_at=arrived_at,
        occurred_at=given or arrived_at,
        trusted=True,
        values={
            "source": source_,
            "source_ref": reference or "",
            "direction": direction_,
            "line": line.lower() if "@" in line else line,
            "kind": Kind.EMAIL,
            "envelope": envelope,
            "media_type": "message/rfc822",
        },
    )


def moment(value: Any) -> datetime:
    """RFC 3339 date and time; ValueError if it is not, or has no offset."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", value):
        raise ValueError("not a date and time")
    parsed = datetime.fromisoformat(value.strip().replace("z", "+00:00"))
    if parsed.tzinfo is None:
        raise ValueError("no offset")
    return parsed


def hold_terms(reason: str, basis: str) -> tuple[str, str]:
    """Reason and legal basis of a hold, as kept; BadFields names what cannot be."""
    reader = _Reader({"reason": reason, "basis": basis})
    checked = (
        reader.required("reason", _word(2000)),
        reader.required("basis", _word(200)),
    )
    reader.refuse_if_wrong()
    return checked


def source_line(source: str, line: str) -> tuple[str, str]:
    """Names of a source and of a line as a delivery would carry them; BadFields."""
    reader = _Reader({"source": source, "line": line})
    checked = reader.required("source", _word(100)), reader.required("line", _word(254))
    reader.refuse_if_wrong()
    return checked[0], checked[1].lower() if "@" in checked[1] else checked[1]


MOST_REFERENCES = 10


def references(source: Any, given: Sequence[Any]) -> list[str]:
    """A source, then references of it, as a delivery would carry them; BadFields."""
    reader = _Reader({"source": source} | {f"source_ref {n}": one for n, one in enumerate(given)})
    named = reader.required("source", _word(100))
    checked = [reader.required(f"source_ref {n}", _word(1000)) for n in range(len(given))]
    if not 0 < len(given) <= MOST_REFERENCES:
        reader.errors.append(FieldError("source_ref", f"1 to {MOST_REFERENCES} references"))
    for wrong in reader.errors:
        if wrong.field.startswith("source_ref "):
            reader.errors[:] = [FieldError("source_ref", wrong.expected)]
    reader.refuse_if_wrong()
    return [named, *checked]


def reason(given: str) -> str:
    """Why somebody changes something, as kept; BadFields without one."""
    reader = _Reader({"reason": given})
    checked: str = reader.required("reason", _word(2000))
    reader.refuse_if_wrong()
    return checked


def case_about(subject: str, customer: str) -> tuple[str, str]:
    """Subject and customer of a case, as kept; either may be empty. BadFields.

    A personal identity code is refused: nothing is found by it, so nothing is kept under it.
    """
    errors, kept = [], []
    for name, given, most in (("subject", subject, 300), ("customer", customer, 100)):
        value = given.strip()
        if len(value) > most or _CONTROL.search(value):
            errors.append(FieldError(name, f"text of at most {most} characters"))
        elif identifiers.find_hetu(value):
            errors.append(FieldError(name, "no personal identity code"))
        kept.append(value)
    if errors:
        raise BadFields(errors=errors)
    return kept[0], kept[1]


MOST_NOTE = 4000  # characters
LONGEST_CALL_S = 24 * 3600.0


def case_note(
    said: str, start_s: float | None, end_s: float | None, *, in_recording: bool
) -> tuple[str, float | None, float | None]:
    """A note, or with `start_s` a mark in a recording, as kept. BadFields."""
    errors = []
    text = said.replace("\r\n", "\n").strip()
    if not text or len(text) > MOST_NOTE or _UNUSABLE.search(text):
        errors.append(FieldError("text", f"text of 1 to {MOST_NOTE} characters"))
    if start_s is None and end_s is not None:
        errors.append(FieldError("start_s", "seconds, where end_s is given"))
    if start_s is not None and not (in_recording and 0 <= start_s <= LONGEST_CALL_S):
        errors.append(FieldError("start_s", "seconds from the start of a recording"))
    if start_s is not None and end_s is not None and not start_s <= end_s <= LONGEST_CALL_S:
        errors.append(FieldError("end_s", "seconds, not before start_s"))
    if errors:
        raise BadFields(errors=errors)
    return text, start_s, end_s


def verification(outcome: str, note: str) -> tuple[str, str]:
    """What a verification came to, and its note (may be empty), as kept. BadFields.

    A personal identity code is refused: nothing is kept under it.
    """
    errors = []
    said = note.replace("\r\n", "\n").strip()
    if outcome not in ("confirmed", "different", "not-found"):
        errors.append(FieldError("outcome", "confirmed, different or not-found"))
    if len(said) > MOST_NOTE or _UNUSABLE.search(said):
        errors.append(FieldError("note", f"text of at most {MOST_NOTE} characters"))
    elif identifiers.find_hetu(said):
        errors.append(FieldError("note", "no personal identity code"))
    if errors:
        raise BadFields(errors=errors)
    return outcome, said


MOST_CRITERIA = 12
POINTS = range(1, 6)


def scorecard(name: str, criteria: str) -> tuple[str, list[str]]:
    """Name and criteria (a line each) of a scorecard, as kept. BadFields."""
    errors = []
    lines = [" ".join(line.split()) for line in criteria.splitlines() if line.strip()]
    if not name.strip() or len(name) > 100 or _CONTROL.search(name):
        errors.append(FieldError("name", "text of 1 to 100 characters"))
    if not 1 <= len(lines) <= MOST_CRITERIA or any(len(line) > 200 for line in lines):
        errors.append(FieldError("criteria", f"1 to {MOST_CRITERIA} lines, 200 characters each"))
    if errors:
        raise BadFields(errors=errors)
    return name.strip(), lines


def points(given: Sequence[str], note: str, *, criteria: int) -> tuple[list[int | None], str]:
    """Points for each criterion ("1" to "5", "" where it does not apply) and a note. BadFields."""
    allowed = {"": None} | {str(point): point for point in POINTS}
    said = note.replace("\r\n", "\n").strip()
    errors = []
    if len(given) != criteria or any(one not in allowed for one in given):
        errors.append(FieldError("points", f"1 to {POINTS[-1]} or nothing, for each criterion"))
    elif not any(given):
        errors.append(FieldError("points", "at least one criterion"))
    if len(said) > MOST_NOTE or _UNUSABLE.search(said):
        errors.append(FieldError("note", f"text of at most {MOST_NOTE} characters"))
    elif identifiers.find_hetu(said):
        errors.append(FieldError("note", "no personal identity code"))
    if errors:
        raise BadFields(errors=errors)
    return [allowed[one] for one in given], said


def require_review(review_on: date, *, today: date) -> None:
    """BadFields unless the day of a hold's review is still to come."""
    if review_on <= today:
        raise BadFields(errors=[FieldError("review_on", "a day after today, YYYY-MM-DD")])


CORRECTABLE = (
    "agent", "caller", "callee", "customer_number", "metering_point", "contract", "case",
    "company", "call_id", "announcement", "masked", "notes", "extra",
)  # fmt: skip


def correction(
    changes: Mapping[str, Any], *, rules: Rules
) -> tuple[dict[str, Any], datetime | None]:
    """Checked changes of optional fields, and a corrected contact time; BadFields if any is bad."""
    reader = _Reader(changes)
    occurred_at: datetime | None = None
    if "occurred_at" in changes:
        occurred_at = reader.required("occurred_at", moment, "RFC 3339 date and time with offset")
    for name in changes:
        if name != "occurred_at" and name not in CORRECTABLE:
            reader.errors.append(FieldError(name, "a field that can be changed"))
    reader.refuse_if_wrong()
    values = _optional_fields(reader, rules)
    if reader.warnings:
        raise BadFields(errors=reader.warnings)
    return {name: values[name] for name in changes if name in CORRECTABLE}, occurred_at


def _optional_fields(reader: _Reader, rules: Rules) -> dict[str, Any]:
    text = _word(2000)
    return {
        "agent": reader.optional("agent", _word(200)),
        "caller": reader.optional("caller", _party),
        "callee": reader.optional("callee", _party),
        "customer_number": reader.optional(
            "customer_number",
            lambda value: _customer(value, rules.customer_pattern),
            f"a customer number ({rules.customer_pattern})",
        ),
        "metering_point": reader.optional(
            "metering_point", _metering_point, "18 digits with a right check digit"
        ),
        "contract": reader.optional("contract", _word(100)),
        "case": reader.optional("case", _case, "a case number, YYYY-NNNNN"),
        "company": reader.optional("company", _word(100)),
        "claimed_duration_s": reader.optional("duration_s", _seconds, "seconds, zero or more"),
        "codec": reader.optional("codec", _word(40)),
        "call_id": reader.optional("call_id", _word(500)),
        "announcement": reader.optional(
            "announcement", _announcement, "an object {version, played}"
        ),
        "masked": reader.optional(
            "masked", _intervals, "intervals [from, to] in seconds, from before to"
        )
        or (),
        "notes": reader.optional("notes", _long_text, "text of at most 100000 characters"),
        "extra": reader.optional("extra", _anything, "any JSON without NUL characters"),
        "file_name": reader.optional("file_name", text),
        "media_type": reader.optional("media_type", _word(100)) or "",
    }


def _finish(
    reader: _Reader,
    *,
    arrived_at: datetime,
    occurred_at: datetime,
    trusted: bool,
    values: dict[str, Any],
) -> Intake:
    contact, used_given = retention.contact_time(occurred_at, arrived_at, trusted=trusted)
    given: str | None = None
    if not used_given:
        given = occurred_at.isoformat()
        reader.warnings.append(
            FieldError(
                "occurred_at",
                "a time from 2000 on, not in the future, of a trusted clock; arrival is used",
            )
        )
    descriptor = Descriptor(
        occurred_at=contact,
        received_at=arrived_at,
        given_occurred_at=given,
        raw=reader.raw,
        warnings=tuple(warning.field for warning in reader.warnings),
        **values,
    )
    return Intake(descriptor, reader.warnings)


class _Reader:
    """Takes fields out of what was given and remembers what was wrong."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._seen: set[str] = set()
        self.errors: list[FieldError] = []
        self.warnings: list[FieldError] = []
        self.raw: dict[str, Any] = {}

    def required(self, name: str, parse: Callable[[Any], Any], expected: str = "") -> Any:
        self._seen.add(name)
        try:
            return parse(self._given.get(name))
        except (ValueError, TypeError):
            self.errors.append(FieldError(name, expected or _expected(parse)))
            return None

    def optional(self, name: str, parse: Callable[[Any], Any], expected: str = "") -> Any:
        self._seen.add(name)
        value = self._given.get(name)
        if value is None or value == "":
            return None
        try:
            return parse(value)
        except (ValueError, TypeError, RecursionError):
            self.warn(name, expected or _expected(parse), value)
            return None

    def warn(self, name: str, expected: str, value: Any) -> None:
        self.warnings.append(FieldError(name, expected))
        self.raw[name] = value

    def keep_unknown(self) -> None:
        for name in self._given.keys() - self._seen:
            self.warn(name, "a field of this interface; kept as it came", self._given[name])

    def refuse_if_wrong(self) -> None:
        if self.errors:
            raise BadFields(errors=self.errors)


def _word(most: int) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError("not text")
        stripped = value.strip()
        if not 0 < len(stripped) <= most or _CONTROL.search(stripped):
            raise ValueError("not a usable text")
        return stripped

    parse.__doc__ = _WORD.format(most=most)
    return parse


def _expected(parse: Callable[[Any], Any]) -> str:
    return parse.__doc__ or "a usable value"


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def _party(value: Any) -> str:
    """a phone number, an email address or another name of a party, at most 320 characters"""
    word = _word(320)(value)
    if "@" in word and not word.lower().startswith(("sip:", "sips:", "tel:")):
        return identifiers.normalise_email(word)
    return identifiers.normalise_phone(word)[0]


def _customer(value: Any, pattern: str) -> str:
    found = identifiers.normalise_customer(_word(100)(value), pattern)
    if found is None:
        raise ValueError("not a customer number")
    return found


def _metering_point(value: Any) -> str:
    found = identifiers.normalise_metering_point(_word(100)(value))
    if found is None:
        raise ValueError("not a metering point")
    return found


def _case(value: Any) -> str:
    word = _word(20)(value)
    if not CASE_NUMBER.fullmatch(word):
        raise ValueError("not a case number")
    return word


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("not a number")
    number = float(value)
    if not 0 <= number < timedelta(days=365).total_seconds():
        raise ValueError("out of range")
    return number


def _announcement(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("played"), bool):
        raise ValueError("not an announcement")
    return {"version": _word(100)(value.get("version")), "played": value["played"]}


def _intervals(value: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    found = []
    for interval in value:
        if isinstance(interval, Mapping):
            interval = [interval.get("from"), interval.get("to")]
        start, end = (_seconds(edge) for edge in interval)
        if end <= start:
            raise ValueError("ends before it starts")
        found.append((start, end))
    return tuple(sorted(found))


def _long_text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100_000 or _UNUSABLE.search(value):
        raise ValueError("not a usable text")
    return value


def _anything(value: Any, depth: int = 0) -> Any:
    if depth > 20:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return _long_text(value)
    if isinstance(value, list):
        return [_anything(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {_long_text(name): _anything(item, depth + 1) for name, item in value.items()}
    return value
