"""What a session recording client says of a call it records: SIPREC metadata (RFC 7865). Pure.

`application/rs-metadata+xml`, also within the body of the INVITE that brought it. Clients differ:
namespaces with and without a version, `id` for `session_id`, addresses as an element, streams
named within the participant (Oracle), the call's data in an element of their own (Ribbon), a root
`recording_metadata` (BroadWorks). Elements are known by their local names, and what lacks is
passed over. Times without an offset are the device's own, and so local; a clock that stands
before 2000 tells no time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from archive import retention
from archive.formats import guarded_xml
from archive.model import Direction
from archive.sources import pbx_names

MOST_BYTES = 1024 * 1024
MOST_DEPTH = 50
MOST_ELEMENTS = 20_000
_SPACES = frozenset(
    f"urn:ietf:params:xml:ns:{name}" for name in ("recording:1", "recording", "siprec")
)
_ROOTS = ("recording_metadata", "recording")
_ROOT = re.compile(rb"<(?:[\w.-]{1,40}:)?(?:recording_metadata|recording)[\s>]")
_WITHIN = re.compile(
    rb"<(?P<name>(?:[\w.-]{1,40}:)?(?:recording_metadata|recording))[\s>].*</(?P=name)\s*>",
    re.DOTALL,
)
_HEADER_URI = re.compile(r"<([^<>]{1,320})>")
_FIRST_YEAR = 2000  # of clocks that are believed


class SiprecError(ValueError):
    """No SIPREC metadata; the message says what was expected and repeats nothing of them."""


@dataclass(slots=True)
class Element:
    """An element by its local name; attributes likewise."""

    name: str
    space: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own words, their white space made one blank."""
        return " ".join("".join(self.words).split())

    def all(self, *names: str) -> Iterator[Element]:
        """The children of any of these names."""
        return (child for child in self.children if child.name in names)

    def first(self, *names: str) -> str:
        """The text of the first child of any of these names that has any."""
        return next((child.text for child in self.all(*names) if child.text), "")

    def below(self, name: str) -> str:
        """The text of the first element of that name anywhere below."""
        for child in self.children:
            if found := (child.text if child.name == name else child.below(name)):
                return found
        return ""

    def id(self, kind: str) -> str:
        """Its own id, or that of what it is about."""
        return self.attributes.get(f"{kind}_id") or ""


@dataclass(frozen=True, slots=True)
class Party:
    """One participant: the address of record as given, and a name."""

    id: str
    address: str
    name: str
    calls: bool | None  # whether it is told to be the one that calls


def looks_like(head: bytes) -> bool:
    """Whether the first bytes are those of SIPREC metadata, or of a body that holds them."""
    found = _ROOT.search(head)
    return bool(found) and any(space.encode() in head for space in _SPACES)


def read(raw: bytes) -> Element:
    """The root element; SiprecError. A document type, and so any entity, is refused."""
    if len(raw) > MOST_BYTES:
        raise SiprecError(f"at most {MOST_BYTES} bytes")
    if not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        within = _WITHIN.search(raw)  # a part of a multipart body
        raw = within[0] if within else raw
    reader = _Reader()
    try:
        guarded_xml.read(
            raw, reader, most_depth=MOST_DEPTH, most_elements=MOST_ELEMENTS, namespace_separator=" "
        )
    except guarded_xml.TooLargeError:
        raise SiprecError(f"at most {MOST_ELEMENTS} elements, {MOST_DEPTH} deep") from None
    except guarded_xml.DoctypeError:
        raise SiprecError("XML without a document type") from None
    except guarded_xml.NotXmlError:
        raise SiprecError("XML") from None
    if reader.root is None or reader.root.name not in _ROOTS or reader.root.space not in _SPACES:
        raise SiprecError("a recording element of RFC 7865")
    return reader.root


def fields(raw: bytes) -> dict[str, Any]:
    """The fields of the interface that the metadata tell; SiprecError."""
    root = read(raw)
    parties = list(_parties(root))
    caller, callee = _ends(root, parties)
    start, stop = _span(root)
    agent, direction = _agent(caller, callee)
    told = {
        "caller": _address(caller.address) if caller else "",
        "callee": _address(callee.address) if callee else "",
        "agent": agent,
        "direction": direction,
        "call_id": _call_id(root),
        "occurred_at": start.isoformat() if start else "",
        "duration_s": (stop - start).total_seconds() if start and stop and stop > start else None,
        "extra": {"siprec": rest} if (rest := _rest(root, parties)) else {},
    }
    return {name: value for name, value in told.items() if value}


def filled(metadata: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with what they lack: what they say themselves counts."""
    made = dict(metadata)
    for name, value in told.items():
        had = made.get(name)
        if had is None or had == "":
            made[name] = value
        elif name == "extra" and isinstance(had, Mapping):
            made[name] = {**value, **had}
    return made


# -- who --------------------------------------------------------------------------------


def _parties(root: Element) -> Iterator[Party]:
    for each in root.all("participant"):
        named = next(each.all("nameID"), each)
        address = named.attributes.get("aor") or named.first("aor") or each.first("aor")
        calls = each.below("callingParty").lower()
        yield Party(
            id=each.id("participant"),
            address=address.strip(),
            name=named.first("name"),
            calls={"true": True, "1": True, "false": False, "0": False}.get(calls),
        )


def _ends(root: Element, parties: list[Party]) -> tuple[Party | None, Party | None]:
    """Who calls and who is called: as told, else by the call's headers, else the first calls."""
    known = [party for party in parties if party.address]
    told = next((party for party in known if party.calls), None)
    if told is None:
        heads = [_uri_of(root.below(name)) for name in ("fromhdr", "tohdr")]
        found = [_same(known, head) or (Party("", head, "", None) if head else None)
                 for head in heads]  # fmt: skip
        if all(found):
            return found[0], found[1]
        told = known[0] if known else None
    other = next((party for party in known if party is not told), None)
    return told, other


def _uri_of(header: str) -> str:
    found = _HEADER_URI.search(header)
    return (found[1] if found else header.partition(";")[0]).strip()


def _same(parties: list[Party], address: str) -> Party | None:
    wanted = _address(address)
    return next((each for each in parties if wanted and _address(each.address) == wanted), None)


def _address(given: str) -> str:
    """The number where the user part is one, else the address without scheme and parameters."""
    scheme, _, rest = given.partition(":")
    bare = rest if scheme.lower() in {"sip", "sips", "tel"} else given
    user = bare.partition("@")[0].partition(";")[0]
    digits = re.sub(r"[\s().-]", "", user)
    return digits if re.fullmatch(r"\+?\d{2,20}", digits) else bare.partition(";")[0].strip()


def _agent(caller: Party | None, callee: Party | None) -> tuple[str, str]:
    """The agent and the direction, where one or both ends are numbers of the house."""
    inside = [
        party is not None and pbx_names.is_extension(_address(party.address))
        for party in (caller, callee)
    ]
    if caller is None or callee is None or not any(inside):
        return "", ""
    if all(inside):
        return "", Direction.INTERNAL.value
    agent = caller if inside[0] else callee
    direction = Direction.OUTBOUND if inside[0] else Direction.INBOUND
    return agent.name or _address(agent.address), direction.value


# -- which call, and when -----------------------------------------------------------------


def _call_id(root: Element) -> str:
    """What the recordings of one call share: its group, its SIP session, the recorded session."""
    group = next((each.id("group") for each in root.all("group")), "")
    session = next(root.all("session"), None)
    sip = session.first("sipSessionID").partition(";")[0] if session else ""
    return group or sip or (session.id("session") if session else "")


def _span(root: Element) -> tuple[datetime | None, datetime | None]:
    """The first beginning and the last end that are told: of the session before its parts."""
    for names in (("session",), ("sessionrecordingassoc",), ("participantsessionassoc", "stream"),
                  ("participant", "group")):  # fmt: skip
        parts = list(root.all(*names))
        starts = [_moment(each.first("start-time", "associate-time")) for each in parts]
        if found := [at for at in starts if at]:
            return min(found), _stop(root)
    return None, _stop(root)


def _stop(root: Element) -> datetime | None:
    for names in (("session",), ("sessionrecordingassoc",), ("participantsessionassoc",)):
        stops = [_moment(each.first("stop-time", "disassociate-time")) for each in root.all(*names)]
        if found := [at for at in stops if at]:
            return max(found)
    return None


def _moment(given: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(given)
        at = retention.resolve_local(at) if at.tzinfo is None else at
    except (ValueError, OverflowError):
        return None
    return at if at.year >= _FIRST_YEAR else None


# -- the rest -----------------------------------------------------------------------------


def _rest(root: Element, parties: list[Party]) -> dict[str, Any]:
    """What no field takes, for people who look for it: ids, labels, times as they were told."""
    session = next(root.all("session"), None)
    group = next(root.all("group"), None)
    data = next((each for owner in (group, root) if owner for each in owner.all("callData")), None)
    told = {
        "mode": root.first("datamode", "dataMode"),
        "session": session.id("session") if session else "",
        "sip_session": session.first("sipSessionID") if session else "",
        "group": group.id("group") if group else "",
        "reason": session.first("reason") if session else "",
        "started": session.first("start-time", "associate-time") if session else "",
        "stopped": session.first("stop-time", "disassociate-time") if session else "",
        "participants": [_told(party) for party in parties if party.address or party.name],
        "streams": list(_streams(root, parties)),
        "call": {each.name: each.text for each in data.children if each.text} if data else {},
    }
    return {name: value for name, value in told.items() if value}


def _told(party: Party) -> dict[str, str]:
    return {n: v for n, v in (("aor", party.address), ("name", party.name)) if v}


def _streams(root: Element, parties: list[Party]) -> Iterator[dict[str, str]]:
    """Each stream's label, and whose voice it is where that is told."""
    sends = {
        send.text: part.id("participant")
        for part in root.all("participantstreamassoc", "participant")
        for send in part.all("send")
    }
    addresses = {party.id: party.address for party in parties}
    for stream in root.all("stream"):
        told = {
            "label": stream.first("label"),
            "mode": stream.first("mode"),
            "type": stream.first("content-type"),
            "from": addresses.get(sends.get(stream.id("stream"), ""), ""),
        }
        if any(told.values()):
            yield {name: value for name, value in told.items() if value}


# -- XML ----------------------------------------------------------------------------------


class _Reader:
    """Builds the tree."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        made = Element(local, space, {_local(n): v for n, v in attributes.items()})
        if bare := made.attributes.pop("id", ""):  # as older clients write it
            made.attributes.setdefault(f"{local}_id", bare)
        if self._open:
            self._open[-1].children.append(made)
        else:
            self.root = made
        self._open.append(made)

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1].words.append(data)

    def end(self, _name: str) -> None:
        self._open.pop()


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
