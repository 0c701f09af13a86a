"""What telephone exchanges write of a call: CDRs of FreeSWITCH and Asterisk. Pure.

FreeSWITCH (mod_xml_cdr, mod_json_cdr; FusionPBX likewise) writes a file for each leg, its values
percent-encoded; as a POST it may also be urlencoded or base64. Asterisk (cdr_csv) appends lines to
Master.csv, without a header; FreePBX exports the same with one and more columns. Times are taken
from epochs where there are any: the stamps beside them are local and say no zone.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from archive import retention
from archive.formats import guarded_xml
from archive.model import Direction
from archive.sources import pbx_names

MOST_BYTES = 4 * 1024 * 1024  # of a CDR of one call
MOST_DEPTH = 50
_XML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<cdr[\s>]")
_MASTER = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp",
    "lastdata", "start", "answer", "end", "duration", "billsec", "disposition", "amaflags",
    "uniqueid", "userfield",
)  # fmt: skip
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_WHOLE = re.compile(r"[0-9]{1,18}")
_EXTENSION = re.compile(r"(?:PJSIP|SIP|IAX2|DAHDI|Local)/(\d{2,6})(?:[-@]|$)")
_KEPT = (
    "domain_name", "accountcode", "hangup_cause", "cc_queue", "cc_side", "waitsec",
    "hold_accum_seconds", "sip_call_id", "read_codec", "rtp_audio_in_mos", "caller_id_name",
    "missed_call", "disposition", "clid", "did", "dst_cnam", "cnam", "userfield", "lastapp",
)  # fmt: skip
_DIRECTIONS = {
    "inbound": Direction.INBOUND, "outbound": Direction.OUTBOUND, "local": Direction.INTERNAL,
    "internal": Direction.INTERNAL,
}  # fmt: skip


class NotACdrError(ValueError):
    """The bytes are no CDR of a known kind."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one leg: the references its recording may have, and the fields.

    The first reference is the leg's own id. `fields` are those of the interface.
    """

    references: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


def is_cdr(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a FreeSWITCH CDR."""
    if _XML.match(head):
        return True
    start = head.lstrip()[:4096]
    return start.startswith(b"{") and (b'"core-uuid"' in start or b'"channel_data"' in start)


def is_csv(head: bytes) -> bool:
    """Whether the first bytes are those of an Asterisk CDR in CSV, with or without a header."""
    row = _row(head.partition(b"\n")[0].decode("utf-8", "replace"))
    names = {name.strip().lower() for name in row}
    if "uniqueid" in names:
        return "calldate" in names or "start" in names
    return len(row) == len(_MASTER) and bool(_STAMP.fullmatch(row[9])) and "." in row[16]


def freeswitch(raw: bytes) -> Told:
    """A CDR of FreeSWITCH, in XML or JSON, also as it is posted; NotACdrError."""
    if len(raw) > MOST_BYTES:
        raise NotACdrError("too large")
    body = _posted(raw)
    parsed = _xml(body) if body.lstrip().startswith(b"<") else _json(body)
    variables = _flat(parsed.get("variables"))
    profile = _profile(parsed)
    uuid = variables.get("uuid") or profile.get("uuid")
    if not uuid:
        raise NotACdrError("no uuid")
    found = profile | variables
    direction = _DIRECTIONS.get(found.get("call_direction") or _a_leg(found, uuid) or "")
    fields = {
        "call_id": found.get("call_uuid")
        or found.get("originating_leg_uuid")
        or found.get("originator")
        or uuid,
        "occurred_at": _moment(found, "start"),
        "direction": direction.value if direction else "",
        "caller": found.get("caller_id_number") or found.get("source_number"),
        "callee": found.get("caller_destination") or found.get("destination_number"),
        "agent": found.get("cc_agent"),
        "duration_s": found.get("record_seconds") or found.get("billsec"),
        "extra": _kept(found),
    }
    return Told((uuid,), {name: value for name, value in fields.items() if value})


def asterisk(lines: Iterable[str]) -> Iterator[Told]:
    """Every call of a CDR in CSV; lines that tell of none, or are torn, are passed over."""
    names: tuple[str, ...] | None = None
    for row in map(_row, lines):
        if not row:
            continue
        if names is None:
            given = tuple(name.strip().lower() for name in row)
            names = given if "uniqueid" in given else _MASTER
            if names is given:
                continue
        values = {n: v.strip() for n, v in zip(names, row, strict=False) if v.strip()}
        if told := _asterisk(values):
            yield told


def _row(line: str) -> list[str]:
    """The fields of one line, which holds no line's end within; [] of one that is damaged."""
    try:
        return next(csv.reader([line.replace("\0", "")]), [])
    except csv.Error:
        return []


def _asterisk(values: Mapping[str, str]) -> Told | None:
    uid = values.get("uniqueid", "")
    at = pbx_names.started(values.get("calldate") or values.get("start", ""), uid)
    if not uid or at is None or values.get("disposition", "ANSWERED") != "ANSWERED":
        return None
    caller, callee = values.get("cnum") or values.get("src"), values.get("did") or values.get("dst")
    inside = [bool(number) and pbx_names.is_extension(str(number)) for number in (caller, callee)]
    outbound = inside[0] and not inside[1]
    direction = Direction.OUTBOUND if outbound else Direction.INBOUND
    if all(inside):
        direction = Direction.INTERNAL
    channel = values.get("channel" if outbound else "dstchannel", "")
    agent = _EXTENSION.match(channel)
    file = values.get("recordingfile", "").rpartition("/")[2]
    fields = {
        "call_id": values.get("linkedid") or uid,
        "occurred_at": at.isoformat(),
        "direction": direction.value,
        "caller": caller,
        "callee": callee,
        "agent": agent[1] if agent else "",
        "duration_s": values.get("billsec"),
        "extra": _kept(values),
    }
    references = (uid, pbx_names.reference(file)) if file else (uid,)
    return Told(references, {name: value for name, value in fields.items() if value})


# -- FreeSWITCH ------------------------------------------------------------------------


def _posted(raw: bytes) -> bytes:
    """The document itself: as it is, in a form field `cdr`, urlencoded or in base64."""
    text = raw.strip()
    if text.startswith(b"cdr="):
        given = parse_qs(text.decode("ascii", "replace"), max_num_fields=20).get("cdr")
        text = given[0].encode() if given else b""
    if not text.startswith((b"<", b"{")) and text[:1] in (b"%",):
        text = unquote(text.decode("ascii", "replace")).encode()
    if not text.startswith((b"<", b"{")):
        try:
            text = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise NotACdrError("neither XML nor JSON") from None
    return text


def _json(raw: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        raise NotACdrError("not JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("variables"), dict):
        raise NotACdrError("no variables")
    return parsed


def _xml(raw: bytes) -> dict[str, Any]:
    """Elements as a tree of dictionaries; a document type, and so any entity, is refused."""
    reader = _Tree()
    try:
        guarded_xml.read(raw, reader, most_depth=MOST_DEPTH)
    except guarded_xml.XmlError as error:
        raise NotACdrError(str(error)) from None
    root = reader.root.get("cdr")
    if not isinstance(root, dict):
        raise NotACdrError("no cdr element")
    return root


class _Tree:
    """Of elements with one name beside each other the first counts."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append((name, {}, []))

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1][2].append(data)

    def end(self, name: str) -> None:
        _, children, words = self._open.pop()
        into = self._open[-1][1] if self._open else self.root
        into.setdefault(name, children or "".join(words))


def _flat(given: Any) -> dict[str, str]:
    """Text values, decoded; a plus is a plus here, as in +358…"""
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): decoded
        for name, value in given.items()
        if isinstance(value, str | int | float) and (decoded := unquote(str(value)).strip())
    }


def _profile(parsed: Mapping[str, Any]) -> dict[str, str]:
    """The caller's profile of the callflow, of which JSON has a list."""
    flow = parsed.get("callflow")
    if isinstance(flow, list):
        flow = flow[0] if flow else None
    if not isinstance(flow, Mapping):
        return {}
    return _flat(flow.get("caller_profile"))


def _a_leg(found: Mapping[str, str], uuid: str) -> str | None:
    """The exchange's own direction, which tells something of the first leg alone."""
    if (found.get("originating_leg_uuid") or found.get("originator") or uuid) != uuid:
        return None
    return found.get("direction")


def _moment(found: Mapping[str, str], name: str) -> str | None:
    for unit, per_s in (("uepoch", 1_000_000), ("epoch", 1)):
        value = found.get(f"{name}_{unit}", "")
        if _WHOLE.fullmatch(value) and 0 < int(value) // per_s < 10**11:
            return datetime.fromtimestamp(int(value) / per_s, UTC).isoformat()
    stamp = found.get(f"{name}_stamp", "")
    try:
        naive = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        return retention.resolve_local(naive).isoformat()
    except ValueError:
        return None


def _kept(found: Mapping[str, str]) -> dict[str, str]:
    """What no field takes and somebody may look for."""
    return {name: found[name] for name in _KEPT if found.get(name)}
