"""HTML to PDF by WeasyPrint, in a child process: everything in memory, nothing fetched.

WeasyPrint needs Pango from the system (Debian: libpango-1.0-0 libpangoft2-1.0-0
libharfbuzz-subset0 and a font, fonts-dejavu-core). Knows nothing of what the document says.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from archive.errors import MediaUnusable

MEMORY_MB = 3072
LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"


def render(html: str, *, wall_s: float = 300) -> bytes:
    """The PDF (PDF/UA) of a page. MediaUnusable: "pdf-missing", "pdf-time-limit", "pdf-failed"."""
    if not is_available():
        raise MediaUnusable(code="pdf-missing")
    try:
        done = _child([], html.encode(), wall_s)
    except subprocess.TimeoutExpired:
        raise MediaUnusable(code="pdf-time-limit") from None
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise MediaUnusable(code="pdf-failed")
    return done.stdout


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Whether WeasyPrint finds its libraries here."""
    try:
        return _child(["--probe"], b"", 60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _child(
    arguments: list[str], content: bytes, wall_s: float
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "archive.formats.pdf", *arguments],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # WeasyPrint's warnings quote the document
        env={
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
        },
        timeout=wall_s,
        check=False,
    )


def main(arguments: list[str]) -> int:
    """The child: a page on standard input, its PDF on standard output."""
    limit = MEMORY_MB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    if arguments == ["--probe"]:
        return 0

    # No protocol is allowed: a document brings all it needs.
    page = HTML(
        string=sys.stdin.buffer.read().decode(), url_fetcher=URLFetcher(allowed_protocols=())
    )
    sys.stdout.buffer.write(page.write_pdf(pdf_variant="pdf/ua-1"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
