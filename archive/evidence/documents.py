"""What a package says in words: the page that plays and checks it, and the paper of it.

Everything that came from outside is text here and never markup; the page runs one script, named
by its hash. Knows the story; reads no row and no object.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from archive import retention
from archive.evidence import verify
from archive.evidence.contents import Story
from archive.evidence.ziplayout import Part
from archive.formats import cards
from archive.formats.identifiers import mask_hetu

HERE = Path(__file__).parent
PACKAGE = HERE.parent
LANGUAGES = ("fi", "en")
PAPER_ENTRIES = 300  # of the custody log on paper; the file has all


def page(story: Story, others: Sequence[Part], *, with_pdf: bool) -> bytes:
    """index.html: plays and shows everything, and checks the ZIP, without a network."""
    script, style = _file("page.js"), _file("page.css")
    return _render(
        "evidence/page.html",
        story,
        script=Markup(script),  # noqa: S704 - our own, named by its hash
        style=Markup(style),  # noqa: S704
        script_hash=_hash(script),
        style_hash=_hash(style),
        others=others,
        with_pdf=with_pdf,
    )


def paper(story: Story, files: Sequence[Part], *, public_key: bytes) -> str:
    """What becomes evidence.pdf: timeline, notes, waveforms, the files' SHA-256, custody."""
    style = Markup(_file("paper.css"))  # noqa: S704 - our own
    return _render(
        "evidence/paper.html",
        story,
        style=style,
        files=files,
        fingerprint=verify.fingerprint(public_key),
        paper_entries=PAPER_ENTRIES,
    ).decode()


def _render(name: str, story: Story, **more: Any) -> bytes:
    language = story.package.language
    template = _environment(language).get_template(name)
    return template.render(story=story, language=language, **more).encode("utf-8", "replace")


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_templates()),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    told = _sentences(language)

    def gettext(sentence: str) -> str:
        return told.get(sentence) or sentence

    def ngettext(one: str, many: str, n: int) -> str:
        return gettext(one if n == 1 else many)

    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "moment": _moment, "duration": _duration, "masked": _masked, "cut": _cut,
        "outline": outline,
    }  # fmt: skip
    return environment


def _templates() -> Path:
    """In the package (wheel), else at the top of the sources."""
    inside = PACKAGE / "templates"
    return inside if inside.is_dir() else PACKAGE.parent / "templates"


def _sentences(language: str) -> dict[str, str]:
    source = PACKAGE / "translations" / language / "LC_MESSAGES" / "messages.po"
    with source.open("rb") as lines:
        catalog = read_po(lines, locale=language)
    return {m.id: m.string for m in catalog if isinstance(m.id, str) and isinstance(m.string, str)}


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


# -- how things are written ------------------------------------------------------------


def _moment(at: datetime) -> str:
    """As Finns write it, with seconds and the offset: a time of day may be the evidence."""
    local = retention.local(at)
    offset = f"{local:%z}"
    return (
        f"{local.day}.{local.month}.{local.year} {local:%H}.{local:%M}.{local:%S} "
        f"(UTC{offset[:3]}:{offset[3:]})"
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _masked(text: object) -> str:
    """Without personal identity codes, and without what no page can hold."""
    plain = "".join(c for c in str(text or "") if c >= " " or c in "\n\t")
    return cards.mask(mask_hetu(plain.encode("utf-8", "replace").decode()))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def outline(levels: Sequence[float], width: int, height: int, top: int) -> str:
    """The path of one channel's waveform: mirrored about its middle, `width` columns at most."""
    if not levels:
        return f"M0 {top}"
    step = max(1, -(-len(levels) // width))
    columns = [max(levels[at : at + step]) for at in range(0, len(levels), step)]
    middle, half = top + height / 2, height / 2 - 1
    xs = [round(n * width / max(1, len(columns) - 1), 1) for n in range(len(columns))]
    tops = [round(middle - max(0.02, min(1.0, c)) * half, 1) for c in columns]
    upper = [f"{x:g} {y:g}" for x, y in zip(xs, tops, strict=True)]
    lower = [f"{x:g} {2 * middle - y:g}" for x, y in zip(xs, tops, strict=True)]
    return "M" + "L".join([*upper, *reversed(lower)]) + "Z"
