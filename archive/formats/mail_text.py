"""An email's words for reading and finding, and its HTML made safe to show.

Knows nothing of parts and headers: strings go in, strings come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import nh3
from selectolax.lexbor import LexborHTMLParser

_BLOCKS = frozenset(
    [
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl",
        "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5",
        "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody",
        "thead", "tr", "ul",
    ]
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_UNSEEN = frozenset({"script", "style", "head", "title", "template", "noscript", "svg", "math"})

_TAGS = frozenset(
    [
        "a", "abbr", "address", "article", "b", "bdi", "bdo", "big", "blockquote", "br", "caption",
        "center", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl", "dt", "em",
        "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header",
        "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p", "pre", "q", "s",
        "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table",
        "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
    ]
)  # fmt: skip
_ATTRIBUTES: Mapping[str, set[str]] = {
    "*": {"align", "dir", "lang", "title", "valign"},
    "a": {"href"},
    "img": {"alt"},  # no src, ever: neither a sender's server nor an attachment is fetched
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing", "width", "bgcolor", "summary"},
    "td": {"colspan", "rowspan", "width", "height", "bgcolor", "nowrap"},
    "th": {"colspan", "rowspan", "width", "height", "bgcolor", "nowrap", "scope"},
    "tr": {"bgcolor"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value"},
}
_DEEPEST_HTML = 250  # levels
_MOST_AMPERSANDS = 5000
_MOST_ATTRIBUTES = 1000  # of one tag, counted by what may divide them


def html_to_text(html: str) -> str:
    """The text a reader sees, blocks on lines of their own; '' for HTML without any."""
    try:
        body = LexborHTMLParser(flattened(html)).body
    except (ValueError, RuntimeError, UnicodeError):
        return ""
    if body is None:
        return ""
    for unseen in body.css(",".join(_UNSEEN)):
        unseen.decompose()
    pieces: list[str] = []
    for node in body.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            pieces.append(re.sub(r"\s+", " ", node.text_content or ""))
        elif tag == "br":
            pieces.append("\n")
        elif tag in _BLOCKS:
            pieces.append("\n\n" if tag == "p" else "\n")
        elif tag in _CELLS:
            pieces.append("\t")
        elif tag == "img" and (alt := node.attributes.get("alt")):
            pieces.append(alt)
    return tidy("".join(pieces))


def tidy(text: str) -> str:
    """Line ends as \\n, blanks at the ends of lines gone, at most one empty line in a row."""
    lines = [line.strip(" \t\xa0") for line in re.split(r"\r\n|\n|\r", text)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def unflow(text: str, *, delete_space: bool) -> str:
    """Paragraphs of `format=flowed` text (RFC 3676) on one line each; quotes keep their depth."""
    lines: list[str] = []
    flowing = ""  # the quote marks of the open paragraph
    is_open = False
    for line in re.split(r"\r\n|\n|\r", text):
        marks = re.match(">*", line)
        quote = marks.group() if marks else ""
        content = line[len(quote) :]
        content = content[1:] if content.startswith(" ") else content
        flows = content.endswith(" ") and content != "-- "
        kept = content[:-1] if flows and delete_space else content
        if is_open and quote == flowing:
            lines[-1] += kept
        else:
            lines.append(f"{quote} {kept}" if quote else kept)
        is_open, flowing = flows, quote
    return "\n".join(line.rstrip(" ") if line != "-- " else line for line in lines)


def safe_html(html: str) -> str:
    """`html` reduced to what can be shown to a stranger to its sender.

    No script, style, form, frame or picture is left, nothing is fetched when it is shown. Links
    keep http, https and mailto only, with rel="noopener noreferrer". Where a picture stood, its
    alternative text remains in an <img> without address, of class "removed-image".
    """
    if html.count("&") > _MOST_AMPERSANDS:  # the sanitiser needs quadratic time for bare ones
        html = re.sub(r"&(?!#?\w{1,32};)", "", html)
    return nh3.clean(
        flattened(html),
        tags=set(_TAGS),
        clean_content_tags={"script", "style", "title", "template", "noscript", "svg", "math"},
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        set_tag_attribute_values={"img": {"class": "removed-image"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        strip_comments=True,
    )


def flattened(html: str) -> str:
    """`html` without the tags that lie deeper than _DEEPEST_HTML levels or have more attributes
    than anybody writes; their words remain.

    Parsers need quadratic time, or a stack, for either. Levels are counted as tags
    open and close in the text, without parsing.
    """
    depth = 0

    def kept(tag: re.Match[str]) -> str:
        nonlocal depth
        if len(re.findall(r"[\s/=]", tag.group())) > _MOST_ATTRIBUTES:
            return ""
        if tag.group(2).lower() in _VOID:
            return tag.group()
        if tag.group(1):
            depth = max(0, depth - 1)
            return tag.group() if depth < _DEEPEST_HTML else ""
        depth += 1
        return tag.group() if depth <= _DEEPEST_HTML else ""

    return re.sub(r"<(/?)([a-zA-Z][^\s/>]{0,50})[^<>]*>?", kept, html)


_VOID = frozenset(
    {"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr", "o:p"}
)
