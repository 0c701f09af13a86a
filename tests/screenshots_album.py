"""What the pictures are taken with: an album over a running archive, and ways through its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests import screenshots_world as world
from tests.running import Running
from tests.web import tour
from tests.web.browser import Window, window

PRINT = {"width": 794, "height": 1123}  # A4 at 96 dpi
DESKTOP = {"width": 1280, "height": 720}


class Album:
    """Takes the pictures of one running archive."""

    def __init__(self, browser: Browser, up: Running, folder: Path) -> None:
        self._browser, self._up, self._folder = browser, up, folder
        self._cookies: dict[str, str] = {}
        self.taken = 0
        self.heard = ""  # the id of a call that can be played
        self.pages: set[str] = set()

    @contextmanager
    def window(self, name: str | None, language: str, **more: int) -> Iterator[Window]:
        """A window of that user (None: of a stranger) in that language."""
        dark = bool(more.pop("dark", 0))
        with window(self._browser, self._up.url, dark=dark, **more) as opened:
            page = opened.page
            page.set_default_timeout(15_000)
            if name in self._cookies:
                cookie = {"name": "archive", "value": self._cookies[name], "url": self._up.url}
                page.context.add_cookies([cookie])  # type: ignore[list-item]
                page.goto(self._up.url + "/")
            else:
                page.goto(world.link(self._up, name) if name else self._up.url + "/")
            wanted = page.locator(f".language button[value={language}]")
            if wanted.count():
                wanted.click()
                page.wait_for_selector(f"html[lang={language}]", state="attached")
            if page.url.endswith("/commitment"):
                self.shot(page, f"{language}-commitment")
                page.locator("main button.primary").click()
                page.wait_for_load_state()
            if name:
                self._cookies[name] = next(
                    c["value"] for c in page.context.cookies() if c["name"] == "archive"
                )
            yield opened

    def create(self, name: str, group: str) -> None:
        """A user more."""
        self._up.archive("user", "create", name, "--group", group)

    def forget(self) -> None:
        """Everybody logs in anew: who it is counts as proved for ten minutes only."""
        self._cookies.clear()

    def shot(self, page: Page, name: str, *, full: bool = False) -> None:
        """One picture, once the page has come to rest."""
        page.wait_for_load_state("load")
        if page.locator("[data-player]").count():
            page.locator("[data-drawn=true]").wait_for(state="attached")
        page.screenshot(path=str(self._folder / f"{name}.png"), full_page=full)
        self.taken += 1
        if (found := tour.endpoint(page.url)) is not None:
            self.pages.add(found)

    def paper(self, page: Page, name: str) -> None:
        """The page as it is printed."""
        page.emulate_media(media="print")
        page.set_viewport_size(PRINT)  # type: ignore[arg-type]
        self.shot(page, name, full=True)
        page.emulate_media(media="screen")
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]

    def each(self, page: Page, language: str, *paths: str) -> None:
        """Pages by their addresses, whole."""
        for path in paths:
            to(page, path)
            self.shot(page, f"{language}{path.replace('/', '-')}", full=True)


def to(page: Page, path: str) -> None:
    """Goes to another page of the same archive."""
    page.goto(re.sub(r"^(https?://[^/]+).*", rf"\1{path}", page.url))


def ask(page: Page, contact: str) -> None:
    """Types into the field of verification."""
    to(page, "/verify")
    page.fill("#contact", contact)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/verify/[\w-]{24}"))


def search(page: Page, **fields: str) -> None:
    """Fills in the form of searching."""
    to(page, "/search")
    for name, value in fields.items():
        field = page.locator(f"form.search [name={name}]")
        if name in {"kind", "direction"}:
            field.select_option(value)
        else:
            field.fill(value)
    page.locator("main button.primary").click()
    page.wait_for_url(re.compile(r"/search/[\w-]{24}"))


def uncover(page: Page, within: str) -> None:
    """Opens what is folded."""
    for details in page.locator(f"{within} details").all():
        details.evaluate("there => { there.open = true; }")
