"""Pictures of every page, in both languages, of the demo: `make screenshots`.

Writes screenshots/<language>-<page>.png, to be looked at and for the documentation.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.running import running
from tests.web.browser import Window, chromium, window

FOLDER = Path("screenshots")
AGENT, COMPLAINTS, ADMIN, DPO = "asiakaspalvelija", "reklamaatiot", "yllapito", "tietosuoja"
LEAD = "laatu"
PRINT = {"width": 794, "height": 1123}  # A4 at 96 dpi


class Album:
    """Takes the pictures. `sessions` holds a cookie of each of the demo's users."""

    def __init__(
        self, browser: Browser, url: str, folder: Path, sessions: Mapping[str, str]
    ) -> None:
        self._browser, self._url, self._folder, self._sessions = browser, url, folder, sessions
        self.taken = 0

    @contextmanager
    def window(self, name: str | None, language: str, **more: int) -> Iterator[Window]:
        """A window of that user (None: of a stranger) in that language."""
        dark = bool(more.pop("dark", 0))
        with window(self._browser, self._url, dark=dark, **more) as opened:
            if name:
                cookie = {"name": "archive", "value": self._sessions[name], "url": self._url}
                opened.page.context.add_cookies([cookie])  # type: ignore[list-item]
            opened.page.goto(self._url + "/")
            wanted = opened.page.locator(f".language button[value={language}]")
            if wanted.count():
                wanted.click()
            yield opened

    def shot(self, page: Page, name: str, *, full: bool = False) -> None:
        """One picture, once the page has come to rest."""
        page.wait_for_load_state("networkidle")
        if page.locator("[data-player]").count():
            page.locator("[data-drawn=true]").wait_for(state="attached")
        page.screenshot(path=str(self._folder / f"{name}.png"), full_page=full)
        self.taken += 1


def ask(page: Page, contact: str) -> None:
    """Types into the field of verification."""
    to(page, "/verify")
    page.fill("#contact", contact)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/verify/[\w-]{24}"))


def a_call(page: Page) -> str:
    """Opens the newest call that a complaint handler finds; its customer's number."""
    page.locator("[name=kind]").select_option("call")
    page.locator("main button.primary").click()
    page.wait_for_selector(".rows")
    for row in page.locator(".rows a").all():
        row.click()
        page.wait_for_load_state()
        number = page.locator("dt", has_text=re.compile("Asiakasnumero|Customer number"))
        if number.count() and not page.locator(".rows a[aria-current] .length svg").count():
            return (number.locator("xpath=../dd").text_content() or "").strip()
    raise SystemExit("the demo has no call with a customer number")


def an_address(page: Page) -> str:
    """The sender of the newest incoming email that a complaint handler finds."""
    to(page, "/search")
    page.locator("[name=kind]").select_option("email")
    page.locator("[name=direction]").select_option("inbound")
    page.locator("main button.primary").click()
    page.locator("button[name=action][value=new]").click()
    page.wait_for_load_state()
    return (page.locator(".parties dd").first.text_content() or "").split(",")[0].strip()


def take(album: Album, language: str) -> None:
    """Every page in one language."""
    with album.window(None, language) as opened:
        album.shot(opened.page, f"{language}-login")
    with album.window(COMPLAINTS, language) as opened:
        page = opened.page
        album.shot(page, f"{language}-search")
        customer = a_call(page)
        album.shot(page, f"{language}-purpose")
        page.locator("button[name=action][value=new]").click()
        album.shot(page, f"{language}-complaint-call")
        address = an_address(page)
        album.shot(page, f"{language}-complaint-email")
        _case(album, page, language)
    with album.window(AGENT, language) as opened:
        _agent(album, opened.page, language, customer, address)
    with album.window(ADMIN, language) as opened:
        album.shot(opened.page, f"{language}-admin", full=True)
        for path in ("/admin/sources", "/admin/retention"):
            to(opened.page, path)
            album.shot(opened.page, f"{language}{path.replace('/', '-')}", full=True)
    with album.window(DPO, language) as opened:
        _dpo(album, opened.page, language)
    with album.window(LEAD, language) as opened:
        _lead(album, opened.page, language)
    with album.window(AGENT, language, dark=1) as opened:
        ask(opened.page, customer)
        album.shot(opened.page, f"{language}-verify-dark")
    with album.window(AGENT, language, width=820, height=1180) as opened:
        ask(opened.page, customer)
        album.shot(opened.page, f"{language}-verify-tablet")


def to(page: Page, path: str) -> None:
    """Goes to another page of the same archive."""
    page.goto(re.sub(r"^(https?://[^/]+).*", rf"\1{path}", page.url))


def _dpo(album: Album, page: Page, language: str) -> None:
    """The audit log, a proof that is none, and what erases and restricts a recording."""
    to(page, "/audit")
    album.shot(page, f"{language}-audit", full=True)
    to(page, "/expiry/proof")
    album.shot(page, f"{language}-proof", full=True)
    page.fill("[name=id]", "00000000-0000-4000-8000-000000000000")
    page.locator("main button.primary").click()
    album.shot(page, f"{language}-proof-none", full=True)
    to(page, "/search")
    page.locator("main button.primary").click()
    page.wait_for_selector(".rows")
    page.locator(".rows a").nth(1).click()
    page.wait_for_load_state()
    for details in page.locator(".pane details").all():
        details.evaluate("there => { there.open = true; }")
    page.locator(".pane details").first.scroll_into_view_if_needed()
    album.shot(page, f"{language}-erase")


def _lead(album: Album, page: Page, language: str) -> None:
    """A scorecard, a sample, its calls scored, and the results."""
    if page.locator(".scorecard button.primary:visible").count():
        album.shot(page, f"{language}-quality-empty", full=True)
        page.locator(".scorecard button.primary").click()
    for line in ("viat", "myynti", "laskutus"):
        to(page, "/quality")
        page.select_option("#f-line", line)
        page.fill("[name=when]", "60 päivää sitten – tänään")
        page.locator("form.inline button.primary").click()
        page.wait_for_load_state()
        if not page.locator("main table a").count() or "/samples/" not in page.url:
            continue
        page.locator("main table a").first.click()
        page.wait_for_selector(".scoring")
        while page.locator(".scoring").count():
            for n, points in enumerate(("4", "5", "3", "4", "5")):
                page.locator(f"[name=p{n}][value='{points}']").check()
            page.locator(".scoring button.primary").click()
            page.wait_for_load_state()
    to(page, "/quality")
    album.shot(page, f"{language}-quality", full=True)
    page.locator("main table a").first.click()
    album.shot(page, f"{language}-quality-sample", full=True)
    page.locator("main table a").first.click()
    album.shot(page, f"{language}-quality-call", full=True)


def _case(album: Album, page: Page, language: str) -> None:
    """A case of its own, from opening to the question whether to close it."""
    to(page, "/cases")
    page.locator("details.new").evaluate("there => { there.open = true; }")
    page.fill("[name=subject]", "Lasku väärin sähkökatkon ajalta")
    page.fill("[name=due]", "24.12.2026")
    page.locator("main button.primary").click()
    case = page.url.rpartition("/")[2]
    to(page, f"/cases/{case}/find")
    page.fill("[name=q]", "lasku")
    page.locator("main button.primary").click()
    page.wait_for_load_state()
    for box in page.get_by_role("checkbox").all()[:3]:
        box.check()
    album.shot(page, f"{language}-case-find")
    page.locator("form:has(table) button.primary").click()
    hold = page.locator("form[action$='/hold']").first
    hold.locator("xpath=..").evaluate("there => { there.open = true; }")
    hold.locator("[name=reason]").fill("Kello on todiste vakiokorvauksesta")
    hold.locator("[name=review_on]").fill("2099-01-15")
    hold.locator("button").click()
    album.shot(page, f"{language}-case", full=True)
    for path, name in (
        (f"/cases/{case}/closing", "case-closing"),
        ("/cases", "cases"),
        ("/holds", "holds"),
        ("/reviews", "reviews"),
        ("/notices", "notices"),
        ("/expiry", "expiry-complaints"),
    ):
        to(page, path)
        album.shot(page, f"{language}-{name}", full=True)
    page.locator(".calendar [aria-current=date]").click()
    album.shot(page, f"{language}-expiry-day", full=True)


def _agent(album: Album, page: Page, language: str, customer: str, address: str) -> None:
    album.shot(page, f"{language}-verify")
    ask(page, "000111222")
    album.shot(page, f"{language}-verify-nothing")
    ask(page, address)
    page.get_by_role("button", name=re.compile("Avaa viesti|Open the message")).click()
    album.shot(page, f"{language}-email")
    page.get_by_role("link", name=re.compile("Otsikkokentät|Headers and")).click()
    album.shot(page, f"{language}-source")
    ask(page, customer)
    album.shot(page, f"{language}-verify-contacts")
    page.locator(".outcome [name=note]").fill("Luvattiin hyvitys seuraavalle laskulle")
    page.locator(".outcome button.primary").click()
    page.wait_for_selector(".sheet")
    album.shot(page, f"{language}-verification")
    page.emulate_media(media="print")
    page.set_viewport_size(PRINT)  # type: ignore[arg-type]
    album.shot(page, f"{language}-verification-print")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1280, "height": 720})
    ask(page, customer)
    page.get_by_role("link", name=re.compile("Aikajana|Timeline")).click()
    album.shot(page, f"{language}-timeline", full=True)
    ask(page, customer)
    page.keyboard.press("?")
    album.shot(page, f"{language}-keys")
    for path, name in (("/expiry", "expiry"), ("/password", "password"), ("/admin", "forbidden"),
                       ("/nowhere", "missing")):  # fmt: skip
        to(page, path)
        album.shot(page, f"{language}-{name}", full=True)


def sessions(browser: Browser, url: str, links: Mapping[str, str]) -> dict[str, str]:
    """Uses each user's one-time login; the cookie of each."""
    found = {}
    for name, link in links.items():
        with window(browser, url) as opened:
            opened.page.goto(link)
            cookies = opened.page.context.cookies()
            found[name] = next(c["value"] for c in cookies if c["name"] == "archive")
    return found


def main() -> int:
    """Starts the demo, takes the pictures, stops it."""
    FOLDER.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="archive-pictures-"))
    try:
        with running(home, "--demo") as up, chromium() as browser:
            up.archive("worker", "--until-idle")
            spoken = (re.search(r"One-time login for (\S+): (\S+)", line) for line in up.lines)
            links = {found[1]: found[2] for found in spoken if found}
            album = Album(browser, up.url, FOLDER, sessions(browser, up.url, links))
            for language in ("fi", "en"):
                take(album, language)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(f"{album.taken} pictures in {FOLDER}/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
