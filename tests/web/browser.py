"""The pages behind a real server, and Chromium in front of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright
from werkzeug.serving import make_server

from tests.web.visitor import PASSWORD

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VIEWPORT = {"width": 1280, "height": 720}


@dataclass
class Window:
    """One window, with what went wrong in it and what it fetched."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        """Types name and password, and Enter."""
        self.page.goto(self.url + "/")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password]", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("a.me", state="attached")

    def until(self, expression: str, within_s: float = 10.0) -> None:
        """Waits until the expression holds; asked from outside, as the page's policy allows."""
        end = time.monotonic() + within_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not so within {within_s} s: {expression}"
            self.page.wait_for_timeout(50)

    def watch(self) -> None:
        """Begins to note errors, refused content and addresses."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("response", self._got)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def _got(self, response: Response) -> None:
        self.fetched.append(response.url.removeprefix(self.url))
        if response.status >= 500:
            self.problems.append(f"{response.status} {response.url}")


@contextmanager
def serving(app: Flask, *, port: int = 0) -> Iterator[str]:
    """The application on a port of its own, or this one; its address."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window and without anything of its own to say to anybody."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser: Browser, url: str, *, dark: bool = False, **size: int) -> Iterator[Window]:
    """A fresh window without cookies."""
    context = browser.new_context(
        viewport=VIEWPORT | size,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        locale="fi-FI",
        timezone_id="Europe/Helsinki",
    )
    opened = Window(context.new_page(), url)
    opened.watch()
    try:
        yield opened
    finally:
        context.close()
