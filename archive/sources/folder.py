"""Files and folders taken in through the real intake: `archive ingest`.

Knows file names and what a file looks like; what is inside is left to describe.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from archive import retention
from archive.archive import Archive, Receipt
from archive.errors import ArchiveError
from archive.formats import mail, vcon_read
from archive.model import Actor, Kind
from archive.sources import attached, cdr, cdr_files, pbx_names, sidecars, vcons
from archive.sources.cdr_files import CdrFiles
from archive.sources.sidecars import NotARecordingError as NotARecordingError

HEAD_BYTES = 64 * 1024
OUTLOOK_BYTES = 64 * 1024 * 1024  # a .msg larger than this is dated by its file
MBOX_BYTES = 1024 * 1024 * 1024  # an mbox larger than this is refused whole
_AUDIO_EXTENSIONS = frozenset(
    [
        ".wav",
        ".wave",
        ".mp3",
        ".gsm",
        ".ogg",
        ".oga",
        ".opus",
        ".spx",
        ".flac",
        ".m4a",
        ".mp4",
        ".aac",
        ".amr",
        ".awb",
        ".3gp",
        ".webm",
        ".mka",
        ".wma",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".w64",
        ".rf64",
        ".g722",
        ".g726",
        ".g729",
        ".g723",
        ".ilbc",
        ".sln",
        ".sln16",
        ".ulaw",
        ".ul",
        ".mulaw",
        ".alaw",
        ".al",
        ".pcm",
    ]
)
_RAW_CODECS = {
    ".ulaw": "pcm_mulaw", ".ul": "pcm_mulaw", ".mulaw": "pcm_mulaw", ".alaw": "pcm_alaw",
    ".al": "pcm_alaw", ".sln": "pcm_s16le", ".g722": "g722", ".gsm": "gsm",
}  # fmt: skip
_MAIL_EXTENSIONS = frozenset({".eml", ".emlx", ".mbox", ".msg", ".mht"})
_EXTENSIONS = _AUDIO_EXTENSIONS | _MAIL_EXTENSIONS
_AUDIO_MAGIC = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"RIFX"), (0, b"ID3"), (0, b"OggS"), (0, b"fLaC"),
    (0, b"#!AMR"), (0, b".snd"), (0, b"FORM"), (0, b"caff"), (4, b"ftyp"), (0, b"\x1aE\xdf\xa3"),
    (0, b"0&\xb2u\x8ef\xcf\x11"), (0, b"\xff\xfb"), (0, b"\xff\xf3"), (0, b"\xff\xf1"),
)  # fmt: skip
_HEADER_LINE = re.compile(rb"(?m)^[A-Za-z][A-Za-z0-9-]{1,60}[ \t]*:")
_FROM_LINE = re.compile(rb"From \S+.* (\w{3} \w{3} +\d+ [\d:]+(?: \w+)? \d{4})[^\r\n]*\r?\n")
# A message begins at a `From ` line with a time as ctime writes it, or at one that stands behind
# an empty line and before a header. Bodies have neither but by quoting a whole mbox.
_CTIME = rb"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d(?::\d\d)?(?: [A-Z]{1,5})? \d{4}"
_NEXT_MESSAGE = re.compile(
    rb"\n(?=From \S+ +" + _CTIME + rb"[^\r\n]{0,30}\r?\n)"
    rb"|\r?\n\r?\n(?=From [^\r\n]{1,200}\d{4}[^\r\n]{0,20}\r?\n[A-Za-z-]+:)"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator says of files that do not say it themselves."""

    source: str = "import"
    line: str = "import"
    direction: str = "inbound"
    received_at: datetime | None = None
    kind: Kind | None = None


@dataclass(slots=True)
class Summary:
    """What became of each file. Names appear here and on the operator's screen only."""

    new: int = 0
    known: int = 0
    told: int = 0  # legs that CDR files told of
    refused: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    left: list[tuple[str, str]] = field(default_factory=list)  # (path, part of it not taken over)

    @property
    def complete(self) -> bool:
        """Whether nothing was refused."""
        return not self.refused


@dataclass(frozen=True, slots=True)
class Item:
    """One recording found in a file: whole, or a slice of an mbox."""

    path: Path
    kind: Kind
    metadata: dict[str, Any]
    content: bytes | None  # None: the whole file, streamed
    beside: frozenset[str] = frozenset()  # names of the fields that a sidecar told
    attached: Mapping[str, bytes] = field(default_factory=dict)  # kept with it, by name


def files(paths: Iterable[Path]) -> list[Path]:
    """Every file below the paths, sorted; sidecars of another file left out."""
    found: set[Path] = set()
    for path in paths:
        found |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path}
    return sorted(path for path in found if not sidecars.is_sidecar(path, found, _EXTENSIONS))


def ingest(
    archive: Archive,
    actor: Actor,
    paths: Iterable[Path],
    options: Options,
    *,
    progress: Callable[[Path], None] = lambda _: None,
) -> Summary:
    """Delivers every file; goes on after a refusal and names it in the summary."""
    summary = Summary()
    told = CdrFiles(archive, actor, options.source)
    with closing(mail.MailParser(wall_s=archive.config.mail_seconds)) as parser:
        _ingest(archive, actor, paths, options, summary, told, parser, progress)
    return summary


def _ingest(
    archive: Archive,
    actor: Actor,
    paths: Iterable[Path],
    options: Options,
    summary: Summary,
    told: CdrFiles,
    parser: mail.MailParser,
    progress: Callable[[Path], None],
) -> None:
    for path in files(paths):
        try:
            if cdr_files.is_cdr(path):
                summary.told += told.deliver(path)
                continue
            if _is_vcon(path, options):
                _take_vcon(archive, actor, path, options, summary)
                continue
            for item in items(path, options, now=archive.now(), parser=parser):
                receipt = deliver(archive, actor, item)
                summary.new += receipt.created
                summary.known += not receipt.created
                summary.left += [(str(path), told) for told in not_kept(receipt)]
        except ArchiveError as error:
            if error.status >= 500:
                raise
            wrong = ", ".join(f"{e.field}: {e.expected}" for e in error.errors)
            summary.refused.append((str(path), error.message + (f" ({wrong})" if wrong else "")))
        except (NotARecordingError, cdr.NotACdrError) as reason:
            summary.refused.append((str(path), str(reason)))
        except OSError as error:
            summary.refused.append((str(path), f"not readable ({error.strerror})"))
        finally:
            progress(path)


def _is_vcon(path: Path, options: Options) -> bool:
    with path.open("rb") as file:
        return options.kind is None and vcon_read.looks_like(path.name, file.read(HEAD_BYTES))


def _take_vcon(
    archive: Archive, actor: Actor, path: Path, options: Options, summary: Summary
) -> None:
    if path.stat().st_size > vcon_read.MOST_BYTES:
        raise NotARecordingError(f"a vCon of more than {vcon_read.MOST_BYTES} bytes")
    given = vcons.Options(source=options.source, line=options.line, direction=options.direction)
    taken = vcons.take(archive, actor, path.read_bytes(), given)
    summary.new += sum(receipt.created for receipt in taken.receipts.values())
    summary.known += sum(not receipt.created for receipt in taken.receipts.values())
    for index, error in taken.refused.items():
        summary.refused.append((f"{path} dialog[{index}]", error.message))
    summary.left += [(str(path), what) for what in taken.left]


def items(
    path: Path, options: Options, *, now: datetime, parser: mail.MailParser | None = None
) -> Iterator[Item]:
    """The recordings in a file; NotARecordingError with a reason where there are none.

    `parser` reads the time of an Outlook .msg; without one that is the file's.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind = options.kind or kind_of(path, head)
    if kind is Kind.CALL:
        yield _call(path, options)
    elif head.startswith(b"From ") and path.stat().st_size <= MBOX_BYTES:
        yield from _mbox(path, options)
    elif parser is not None and mail.is_outlook(head):
        yield _outlook(path, options, parser)
    else:
        yield _mail(path, head, options, content=None)


def kind_of(path: Path, head: bytes) -> Kind:
    """Call or email, by content first and name second."""
    extension = path.suffix.lower()
    if any(head[at : at + len(magic)] == magic for at, magic in _AUDIO_MAGIC):
        return Kind.CALL
    if reason := sidecars.orphan(path.name, head):
        raise NotARecordingError(reason)
    if extension in _AUDIO_EXTENSIONS:
        return Kind.CALL
    if extension in _MAIL_EXTENSIONS or not head or mail.is_outlook(head):
        return Kind.EMAIL
    if _looks_like_mail(head):
        return Kind.EMAIL
    if _is_text(head):
        return Kind.EMAIL
    if extension == ".raw":
        return Kind.CALL
    raise NotARecordingError("neither audio nor an email (content not recognised)")


def _looks_like_mail(head: bytes) -> bool:
    first = head[:8192]
    return _is_text(first) and len(_HEADER_LINE.findall(first)) >= 2


def _is_text(head: bytes) -> bool:
    sample = head[:4096]
    control = sum(byte < 9 or 13 < byte < 32 for byte in sample)
    high = sum(byte >= 128 for byte in sample)  # µ-law silence is nothing but 0xFF
    return control <= len(sample) // 50 and high <= len(sample) // 2


# -- calls -----------------------------------------------------------------------------


def _call(path: Path, options: Options) -> Item:
    beside = sidecars.read(path)
    occurred = options.received_at or _modified(path)
    metadata: dict[str, Any] = {
        "source": options.source,
        "line": options.line,
        "direction": options.direction,
        "occurred_at": occurred.isoformat(),
        "file_name": path.name,
    }
    codec = _RAW_CODECS.get(path.suffix.lower())
    if codec:
        metadata["codec"] = codec
    named = pbx_names.told(path.name)
    if options.received_at is not None:
        named.pop("occurred_at", None)
    metadata = beside.over(metadata | named)
    if "source_ref" not in metadata:
        metadata["source_ref"] = f"file:{path.name}:{_sha256(path)}"
    return Item(path, Kind.CALL, metadata, None, frozenset(beside.fields), beside.attached)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- emails ----------------------------------------------------------------------------


def _mbox(path: Path, options: Options) -> Iterator[Item]:
    """Each message of an mbox; a file with a single one is kept whole, byte for byte."""
    raw = path.read_bytes()
    starts = [0, *(match.end() for match in _NEXT_MESSAGE.finditer(raw))]
    if len(starts) == 1:
        yield _mail(path, raw[:HEAD_BYTES], options, content=None)
        return
    for start, end in zip(starts, [*starts[1:], len(raw)], strict=True):
        message = raw[start:end]
        yield _mail(path, message[:HEAD_BYTES], options, content=message)


def _mail(path: Path, head: bytes, options: Options, *, content: bytes | None) -> Item:
    beside = sidecars.read(path).fields if content is None else {}
    at = options.received_at or _mail_time(path, head)
    metadata = {
        "source": options.source,
        "mailbox": options.line,
        "direction": options.direction,
        "received_at": at.isoformat(),
    } | beside
    return Item(path, Kind.EMAIL, metadata, content)


def _outlook(path: Path, options: Options, parser: mail.MailParser) -> Item:
    """A .msg, kept as it is; a header that it kept counts as that of any other email.

    Where it kept none, the time at which a server took it stands for `Received:`.
    """
    head, received_at = b"", None
    if options.received_at is None and path.stat().st_size <= OUTLOOK_BYTES:
        made = parser.convert(path.read_bytes())
        head, received_at = (made.message or b"")[:HEAD_BYTES], made.received_at
    if received_at is not None and _received(head) is None:
        options = replace(options, received_at=received_at)
    return _mail(path, head, options, content=None)


def _mail_time(path: Path, head: bytes) -> datetime:
    """mbox `From ` line, Maildir name, topmost Received:, Date:, the file's time: in this order."""
    for found in (_from_line(head), _maildir(path), _received(head), _date(head)):
        if found is not None:
            return found
    return _modified(path)


def _from_line(head: bytes) -> datetime | None:
    match = _FROM_LINE.match(head)
    if match is None:
        return None
    words = match.group(1).decode("ascii", "replace").split()
    stamp = " ".join(words[:4] + words[-1:])
    try:
        naive = datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007
    except ValueError:
        return None
    return retention.resolve_local(naive)


def _maildir(path: Path) -> datetime | None:
    """`1700000000.M1P2.host:2,S`: seconds since 1970, in a folder cur or new."""
    match = re.match(r"(\d{9,11})\.", path.name)
    if match is None or path.parent.name not in {"cur", "new"}:
        return None
    return datetime.fromtimestamp(int(match.group(1)), UTC)


def _received(head: bytes) -> datetime | None:
    match = re.search(rb"(?im)^Received:((?:[^\r\n]*\r?\n[ \t])*[^\r\n]*)", _headers(head))
    if match is None:
        return None
    return _parsed(match.group(1).rpartition(b";")[2])


def _date(head: bytes) -> datetime | None:
    match = re.search(rb"(?im)^Date:((?:[^\r\n]*\r?\n[ \t])*[^\r\n]*)", _headers(head))
    return _parsed(match.group(1)) if match else None


def _headers(head: bytes) -> bytes:
    end = re.search(rb"\r?\n\r?\n", head)
    return head[: end.start()] if end else head


def _parsed(raw: bytes) -> datetime | None:
    try:
        found = parsedate_to_datetime(" ".join(raw.decode("ascii", "replace").split()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def deliver(archive: Archive, actor: Actor, item: Item) -> Receipt:
    """Delivers one recording of a file; what `Archive.receive_call` and `receive_email` raise.

    With what lies beside it; what of that is not understood is a warning in the receipt.
    """
    if item.content is not None:
        return _receive(archive, actor, item, io.BytesIO(item.content))
    with item.path.open("rb") as file:
        made = _receive(archive, actor, item, file)
    for name, raw in item.attached.items():
        made = attached.attach(archive, actor, made, name, raw, item.metadata, merged=True)
    return made


def not_kept(receipt: Receipt) -> list[str]:
    """What came with a recording and is none of what it was taken for."""
    told = dict(receipt.warnings)
    return [f"{name}: expected {told[name]}" for name in attached.MOST_BYTES if name in told]


def _receive(archive: Archive, actor: Actor, item: Item, content: Any) -> Receipt:
    if item.kind is Kind.CALL:
        return archive.receive_call(actor, item.metadata, content)
    known = ("source", "mailbox", "direction", "source_ref", "received_at", "envelope")
    return archive.receive_email(
        actor, content, **{name: item.metadata.get(name) for name in known}
    )
