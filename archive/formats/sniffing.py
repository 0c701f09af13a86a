"""What a file is by its first bytes, whatever its name or its sender says. Pure."""

from __future__ import annotations

import re

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"{\\rtf", "application/rtf"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x1f\x8b", "application/gzip"),
    (b"MZ", "application/x-msdownload"),
    (b"\x7fELF", "application/x-executable"),
    (b"#!", "text/x-script"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
_OFFICE = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_MARKUP = re.compile(rb"\s*(?:<!doctype html|<html|<script|<head|<body|<svg)", re.IGNORECASE)
PROGRAMS = frozenset(
    {"application/x-msdownload", "application/x-executable", "text/x-script", "text/html"}
)
# What a file may well be called although it is the other: a docx is a zip, a doc an OLE file.
_ALIKE = {
    "application/zip": ("openxmlformats", "zip", "java-archive", "epub", "opendocument"),
    "application/x-ole-storage": ("msword", "ms-excel", "ms-powerpoint", "outlook", "ole"),
    "application/gzip": ("gzip", "tgz", "tar"),
    "application/rtf": ("rtf",),
    "audio/wav": ("wav",),
    "image/jpeg": ("jpg", "jpeg"),
    "application/vnd.rar": ("rar",),
    "application/x-7z-compressed": ("7z",),
}


def content_type(content: bytes) -> str | None:
    """The media type by the content; None where it says nothing of itself, as plain text does."""
    head = content[:4096]
    if head.startswith(b"PK\x03\x04"):
        return next((kind for sign, kind in _OFFICE if sign in content[:65536]), "application/zip")
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in {b"heic", b"mif1"} else "video/mp4"
    for sign, kind in _MAGIC:
        if head.startswith(sign):
            return kind
    return "text/html" if _MARKUP.match(head) else None


def disguised(told: str, found: str | None) -> bool:
    """Whether the content is something else than its sender says."""
    if found is None or told == found or told == "application/octet-stream":
        return False
    return not any(word in told for word in _ALIKE.get(found, ()))
