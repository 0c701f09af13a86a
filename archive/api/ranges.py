"""HTTP ranges over authenticated chunks (RFC 9110, section 14)."""

from __future__ import annotations

import re

from flask import Request, Response

from archive.archive import Opened

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def respond(opened: Opened, request: Request, *, inline: bool) -> Response:
    """200 whole, 206 one range, 416 unsatisfiable; several ranges or a stale If-Range: whole."""
    etag = f'"{opened.etag}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Type": opened.media_type,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if not inline:
        headers["Content-Disposition"] = f'attachment; filename="{opened.file_name}"'
    wanted = _wanted(request, opened.length, etag)
    if wanted is None:
        start, stop, status = 0, opened.length, 200
    elif isinstance(wanted, str):
        headers["Content-Range"] = f"bytes */{opened.length}"
        return Response(status=416, headers=headers)
    else:
        (start, stop), status = wanted, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{opened.length}"
    headers["Content-Length"] = str(stop - start)
    body = opened.read(start, stop) if request.method != "HEAD" else None
    return Response(body, status=status, headers=headers)


def _wanted(request: Request, length: int, etag: str) -> tuple[int, int] | str | None:
    given = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    if not given or (condition is not None and condition.strip() != etag):
        return None
    match = _RANGE.fullmatch(given.replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return None  # several ranges, another unit, or nonsense: the whole is a right answer
    first, last = match.groups()
    if not first:
        suffix = int(last)
        return (max(0, length - suffix), length) if suffix and length else "unsatisfiable"
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= length:
        return "unsatisfiable"
    return start, min(int(last) + 1, length) if last else length
