"""HTML made into text, and made safe to show."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.formats.mail import html_to_text, safe_html
from archive.formats.mail_text import unflow


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("säh<b>kö</b>katko", "sähkökatko"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a\tb\nc"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("a &amp; b &lt;c&gt; &auml;&nbsp;&ouml;", "a & b <c> ä ö"),
        ("<head><title>t</title></head><style>x</style><script>y</script>z<!-- w -->", "z"),
        ("<img src=x alt='kuva mittarista'> rikki", "kuva mittarista rikki"),
        ("  a \n\n   b  ", "a b"),
        ("", ""),
        ("<", "<"),
    ],
)
def test_html_becomes_the_text_that_is_seen(html: str, text: str) -> None:
    assert html_to_text(html).strip() == text


DANGEROUS = [
    "<img src='http://evil.example/p.gif'>",
    "<img src='cid:1'><img srcset='http://evil.example/a 1x'>",
    "<img src=data:image/svg+xml,%3Csvg%20onload=alert(1)%3E>",
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/a.js></SCRIPT>",
    "<p onclick='alert(1)' style='background:url(http://evil.example)'>x</p>",
    "<style>@import 'http://evil.example/a.css'</style>",
    "<link rel=stylesheet href=http://evil.example/a.css>",
    "<iframe src=http://evil.example></iframe>",
    "<form action=http://evil.example><input name=a><button>x</button></form>",
    "<object data=http://evil.example></object><embed src=http://evil.example>",
    "<video src=http://evil.example poster=http://evil.example></video>",
    "<audio src=http://evil.example></audio>",
    "<body background=http://evil.example><table background=http://evil.example><td>x",
    "<base href=http://evil.example/>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\nscript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='file:///etc/passwd'>x</a>",
    "<svg><script>alert(1)</script></svg><svg onload=alert(1)>",
    "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
    "<a href='http://ok.example' ping='http://evil.example'>x</a>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img src=x onerror=alert(1)></textarea>",
    "<template><img src=x onerror=alert(1)></template>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)>",
    "<p id=login class=button>x</p>",
    "<plaintext><img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("html", DANGEROUS)
def test_nothing_dangerous_or_fetching_is_left(html: str) -> None:
    safe = re.sub(r"&lt;.*?&gt;", "", safe_html(html))
    for tag in re.findall(r"<[^>]*>", safe):
        assert not re.search(r"(?i)\s(on\w+|style|src|srcset|background|poster|data|id|ping)=", tag)
        assert not re.search(
            r"(?i)^</?(script|style|iframe|form|input|object|embed|link|meta|base)", tag
        )
        assert not re.search(r"(?i)(javascript|data|file):", tag)
    assert "evil.example" not in safe


def test_links_are_kept_with_their_address_and_no_way_back() -> None:
    assert safe_html("<a href='https://a.example/x?y=1&z'>tästä</a>") == (
        '<a href="https://a.example/x?y=1&amp;z" rel="noopener noreferrer">tästä</a>'
    )
    assert 'href="mailto:a@b.example"' in safe_html("<a href=mailto:a@b.example>x</a>")


def test_a_picture_leaves_its_words_and_a_mark() -> None:
    safe = safe_html("<img src='http://evil.example/p.gif' alt='lasku'>")
    assert 'alt="lasku"' in safe
    assert 'class="removed-image"' in safe


def test_ordinary_formatting_is_kept() -> None:
    html = "<p><b>a</b> <i>b</i></p><table><tbody><tr><td>c</td></tr></tbody></table>"
    assert safe_html(html) == html


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(DANGEROUS), max_size=4).map("".join), st.text(max_size=40))
def test_no_mixture_of_dangers_survives(html: str, text: str) -> None:
    safe = safe_html(text + html)
    assert safe_html(safe) == safe
    for tag, attributes in elements(safe):
        assert tag not in {"script", "iframe", "form"}
        for name, value in attributes:
            assert not name.startswith("on") and name != "src"
            # What an attribute says to a reader is text, whatever it looks like.
            assert name in {"title", "alt"} or "evil" not in (value or "")


def elements(html: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Start tags with their attributes, read as markup and not by their looks."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, attrs))

    reader = Reader()
    reader.feed(html)
    reader.close()
    return found


def test_a_tag_inside_an_attribute_is_text() -> None:
    safe = safe_html("<svg><noscript><p title='</noscript><img src=x onerror=alert(1)>'>")
    assert [tag for tag, _ in elements(safe)] == ["p"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_read_as_html(text: str) -> None:
    html_to_text(text.encode("utf-8", "ignore").decode())


def test_deleted_spaces_of_flowed_text_join_words() -> None:
    assert unflow("säh \nkö", delete_space=True) == "sähkö"
    assert unflow("säh \nkö", delete_space=False) == "säh kö"
