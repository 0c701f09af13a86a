"""Reading emails in a child process, so that no email can hang, crash or fill its reader.

The child is confined (sandbox.py), gets one email at a time and answers in JSON; both ways a
frame is a length and so many bytes. Knows nothing of storage, keys and people.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import sysconfig
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from archive.formats import outlook, sandbox
from archive.formats.mail_read import Depth, ParsedMail, parse_mail, unread
from archive.formats.outlook import Converted
from archive.model import Attachment, MailDescription

_ANSWER_MAX = 128 * 1024 * 1024  # bytes
_CONVERT = "o"  # first byte of a frame: an Outlook .msg to be written as a message
_DIED = "parser failed"
_HEADERS_SENT = 2 * 1024 * 1024  # of an email whose body could not be read


class MailParser:
    """Parses emails in a child that is started when first needed and after every failure.

    An email that exceeds a limit is read again without its HTML, then by its header alone, and
    marked "time limit", "memory limit" or "parser failed"; the next one is not affected. Safe to
    share by threads. `close` ends the child.
    """

    def __init__(
        self, *, wall_s: float = 20.0, memory_mb: int = 1024, mails_per_child: int = 1000
    ) -> None:
        self._wall_s = wall_s
        self._memory_mb = memory_mb
        self._mails_per_child = mails_per_child
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started the child: a fork must not use its pipes
        self._parsed = 0

    def parse(self, raw: bytes) -> ParsedMail:
        """What `parse_mail` says of `raw`, within the limits."""
        code = ""
        with self._lock:
            for depth in Depth:
                most = _HEADERS_SENT if depth is Depth.HEADERS else None
                answer = self._ask(depth, raw[:most])
                if isinstance(answer, ParsedMail):
                    return _marked(answer, code) if code else answer
                code = code or answer
        return unread(code)

    def convert(self, raw: bytes) -> Converted:
        """What `outlook.convert` says of a .msg, within the limits."""
        with self._lock:
            answer = self._ask_frame(_CONVERT, raw)
        if isinstance(answer, str):
            return Converted(None, (f"Outlook .msg: {answer}",))
        return _converted(answer)

    def close(self) -> None:
        """Ends the child. The parser can be used again and then starts another."""
        with self._lock:
            self._end()

    def _ask(self, depth: Depth, raw: bytes) -> ParsedMail | str:
        """The answer, or the code of what went wrong."""
        answer = self._ask_frame(depth[0], raw)
        if isinstance(answer, str):
            return answer
        with suppress(KeyError, TypeError, ValueError):
            return _from_json(json.loads(answer))
        return _DIED

    def _ask_frame(self, what: str, raw: bytes) -> bytes | str:
        """The frame that answers, or the code of what went wrong."""
        answer = self._ask_once(what, raw)
        if answer == _DIED and self._parsed > 0:  # perhaps of an earlier email, or killed by others
            answer = self._ask_once(what, raw)
        return answer

    def _ask_once(self, what: str, raw: bytes) -> bytes | str:
        child = self._running()
        expired = threading.Event()
        watchdog = threading.Timer(self._wall_s, _expire, args=(child, expired))
        watchdog.daemon = True
        watchdog.start()
        answer = b""
        try:
            assert child.stdin is not None and child.stdout is not None
            _send(child.stdin, what.encode() + raw)
            answer = _receive(child.stdout, _ANSWER_MAX) or b""
        except (OSError, ValueError):
            pass
        finally:
            watchdog.cancel()
        if answer:
            self._parsed += 1
            return _FAILURES.get(answer, answer)
        self._end()
        return "time limit" if expired.is_set() else _DIED

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            self._child = None
        if self._child is not None and (
            self._child.poll() is not None or self._parsed >= self._mails_per_child
        ):
            self._end()
        if self._child is None:
            self._child = self._start()
            self._owner, self._parsed = os.getpid(), 0
        return self._child

    def _start(self) -> subprocess.Popen[bytes]:
        limits = [str(int(self._wall_s) + 1), str(self._memory_mb)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "archive.formats.mail_child", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback would quote the email
            env={"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            start_new_session=True,
        )

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        child.wait()


def _expire(child: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    child.kill()


def _marked(parsed: ParsedMail, code: str) -> ParsedMail:
    errors = (*parsed.description.parse_errors, code)
    return replace(parsed, description=replace(parsed.description, parse_errors=errors))


def _send(pipe: IO[bytes], frame: bytes) -> None:
    pipe.write(struct.pack(">I", len(frame)))
    pipe.write(frame)
    pipe.flush()


def _receive(pipe: IO[bytes], most: int) -> bytes | None:
    """The next frame; None at the end or where it would be longer than `most`."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    frame = pipe.read(length) if length <= most else b""
    return frame if len(frame) == length else None


def _to_json(parsed: ParsedMail) -> bytes:
    found = asdict(parsed)
    when = parsed.description.date
    found["description"]["date"] = when.isoformat() if when else None
    return json.dumps(found).encode("ascii")


def _from_json(found: dict[str, Any]) -> ParsedMail:
    given = dict(found["description"])
    lists = ("from_", "to", "cc", "bcc", "names", "parse_errors", "references")
    given |= {name: tuple(str(item) for item in given[name]) for name in lists}
    given["attachments"] = tuple(Attachment(**item) for item in given["attachments"])
    given["date"] = datetime.fromisoformat(given["date"]) if given["date"] else None
    return ParsedMail(MailDescription(**given), str(found["text"]), found["html"])


def _told(converted: Converted) -> bytes:
    """A line of JSON, and the message behind it: as JSON it would be half as large again."""
    at = converted.received_at
    head = {
        "problems": converted.problems,
        "received_at": at.isoformat() if at else None,
        "made": converted.message is not None,
    }
    return json.dumps(head).encode("ascii") + b"\n" + (converted.message or b"")


def _converted(answer: bytes) -> Converted:
    head, _, message = answer.partition(b"\n")
    try:
        found = json.loads(head)
        at = found["received_at"]
        return Converted(
            message if found["made"] else None,
            tuple(str(problem) for problem in found["problems"]),
            datetime.fromisoformat(at) if at else None,
        )
    except (KeyError, TypeError, ValueError):
        return Converted(None, (f"Outlook .msg: {_DIED}",))


_DEPTHS = {depth[0].encode(): depth for depth in Depth}
_MEMORY, _FAILED = b'{"failed":"memory limit"}', b'{"failed":"parser failed"}'
_FAILURES = {_MEMORY: "memory limit", _FAILED: _DIED}


def _answer(frame: bytes) -> bytes:
    try:
        if frame[:1] == _CONVERT.encode():
            return _told(outlook.convert(frame[1:]))
        return _to_json(parse_mail(frame[1:], depth=_DEPTHS[frame[:1]]))
    except MemoryError:
        return _MEMORY
    except Exception:  # whatever it is: the email is kept, marked, and the next one is read
        return _FAILED


def main() -> None:
    """The child: confines itself, then answers until its input ends."""
    import encodings
    import importlib
    import pkgutil
    import resource

    for module in pkgutil.iter_modules(encodings.__path__):  # no file is opened afterwards
        with suppress(ImportError, LookupError):
            importlib.import_module(f"encodings.{module.name}")
    cpu_s, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    readable = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    sandbox.confine(cpu_s=cpu_s, memory_mb=memory_mb, readable=readable, parent=None)
    while (frame := _receive(sys.stdin.buffer, 2**32)) is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        sandbox.limit_cpu(int(used.ru_utime + used.ru_stime) + cpu_s + 1)
        _send(sys.stdout.buffer, _answer(frame))
        del frame


if __name__ == "__main__":
    main()
