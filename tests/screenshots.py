"""Pictures of every page, in both languages, of the demo: `make screenshots`.

Writes screenshots/<language>-<page>.png, to be looked at and for the documentation. What a page
without a picture would be is known by the table of doors, and ends it with an error.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page

from archive.accounts import second
from tests import screenshots_world as world
from tests.running import running
from tests.screenshots_album import Album, ask, search, to, uncover
from tests.web import tour
from tests.web.browser import Window, chromium

FOLDER = Path("screenshots")
AGENT, COMPLAINTS, ADMIN, DPO = "asiakaspalvelija", "reklamaatiot", "yllapito", "tietosuoja"
SECOND_DPO, LEAD = "tietosuoja2", "laatu"
SETTINGS = {"ARCHIVE_ERASE_FOUR_EYES": "1", "ARCHIVE_BREAK_GLASS": "admin"}
TABLET = {"width": 820, "height": 1180}


def a_call(page: Page) -> str:
    """Opens the newest call of the demo's that a complaint handler finds; its customer's number."""
    search(page, kind="call", q="vakiokorvaus")
    number = page.locator("dt", has_text=re.compile("^(Asiakasnumero|Customer number)$"))
    return (number.locator("xpath=../dd").first.text_content() or "").strip()


def read_many(page: Page) -> None:
    """Meets more recordings in a day than is usual."""
    search(page, kind="email", q="kysymys")
    while True:
        for row in page.locator(".rows a").all():
            page.request.get(re.sub(r"^(https?://[^/]+).*", r"\1", page.url)
                             + (row.get_attribute("href") or ""))  # fmt: skip
        older = page.locator(".pager a").last
        if page.locator(".pager a[rel=prev]").count() or not older.count():
            return
        older.click()
        page.wait_for_load_state()


def take(album: Album, language: str) -> None:
    """Every page in one language."""
    with album.window(None, language) as opened:
        album.shot(opened.page, f"{language}-login")
        opened.page.fill("[name=name]", "joku")
        opened.page.fill("[name=password]", "jotakin")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector(".note.bad")
        album.shot(opened.page, f"{language}-login-wrong")
    with album.window(COMPLAINTS, language) as opened:
        customer, address = _complaints(album, opened.page, language)
        _case(album, opened.page, language)
    with album.window(AGENT, language) as opened:
        _agent(album, opened.page, language, customer, address)
        _players(album, opened, language)
    with album.window(ADMIN, language) as opened:
        _admin(album, opened.page, language)
    _factor(album, language)
    with album.window(DPO, language) as opened:
        recording = _dpo(album, opened.page, language)
    with album.window(SECOND_DPO, language) as opened:
        _second_dpo(album, opened.page, language, recording)
    with album.window(LEAD, language) as opened:
        _lead(album, opened.page, language)
    for name, more in (("dark", {"dark": 1}), ("tablet", TABLET)):
        with album.window(AGENT, language, **more) as opened:
            ask(opened.page, customer)
            album.shot(opened.page, f"{language}-verify-{name}")
            opened.page.locator(".rows a").first.click()
            album.shot(opened.page, f"{language}-call-{name}")
        with album.window(COMPLAINTS, language, **more) as opened:
            to(opened.page, "/cases")
            opened.page.locator("main table a").first.click()
            album.shot(opened.page, f"{language}-case-{name}", full=True)
            to(opened.page, "/expiry")
            album.shot(opened.page, f"{language}-expiry-{name}", full=True)


def _complaints(album: Album, page: Page, language: str) -> tuple[str, str]:
    album.shot(page, f"{language}-search")
    customer = a_call(page)
    album.shot(page, f"{language}-purpose")
    page.locator("button[name=action][value=add]").click()
    page.wait_for_selector(".note.bad")
    album.shot(page, f"{language}-purpose-wrong")
    page.locator("button[name=action][value=new]").click()
    page.wait_for_selector("[data-player]")
    album.heard = page.locator("[data-player]").get_attribute("data-id") or ""
    page.locator("[data-said]").fill("Lupaa hyvityksen")
    page.locator(".noting [name=start]").fill("0:12")
    page.locator(".noting .actions:last-child button").click()
    page.wait_for_selector(".marks .marked", state="attached")
    album.shot(page, f"{language}-complaint-call")
    uncover(page, ".pane")
    page.locator(".pane .holds").scroll_into_view_if_needed()
    album.shot(page, f"{language}-complaint-call-hold")
    search(page, kind="email", direction="inbound")
    page.locator(".list p.narrowing a").click()
    uncover(page, ".list")
    album.shot(page, f"{language}-search-narrow")
    page.locator(".list form[action$='/save'] [name=name]").fill("Sähköpostit asiakkailta")
    page.locator(".list form[action$='/save'] button").click()
    page.wait_for_load_state()
    page.locator(".summary > a").click()
    album.shot(page, f"{language}-search-edit")
    search(page, q="pakastin")
    page.locator("button[name=action][value=new]").click()
    page.wait_for_selector(".message, iframe")
    album.shot(page, f"{language}-complaint-email")
    address = (page.locator(".parties dd").first.text_content() or "").split(",")[0].strip()
    search(page, q="eioletällaistasanaa")
    album.shot(page, f"{language}-search-nothing")
    album.each(page, language, "/searches")
    return customer, address


def _case(album: Album, page: Page, language: str) -> None:
    """A case of its own, from opening to the question whether to close it."""
    to(page, "/cases")
    page.locator("details.new").evaluate("there => { there.open = true; }")
    album.shot(page, f"{language}-case-new")
    page.fill("[name=subject]", "Lasku väärin sähkökatkon ajalta")
    page.fill("[name=due]", "24.12.2026")
    page.locator("main button.primary").click()
    case = page.url.rpartition("/")[2]
    album.shot(page, f"{language}-case-empty", full=True)
    to(page, f"/cases/{case}/find")
    album.shot(page, f"{language}-case-find-form")
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
    page.wait_for_load_state()
    page.fill("#f-text", "Asiakas soitti uudelleen: vastataan ennen joulua.")
    page.locator("form:has(#f-text) button").click()
    page.wait_for_load_state()
    album.shot(page, f"{language}-case", full=True)
    uncover(page, ".doing")
    album.shot(page, f"{language}-case-open", full=True)
    _evidence(album, page, language, case)
    to(page, f"/cases/{case}/closing")
    album.shot(page, f"{language}-case-closing", full=True)
    album.each(page, language, "/cases", "/holds", "/reviews", "/notices", "/expiry")
    uncover(page, "main")
    page.locator(".calendar [aria-current=date]").click()
    album.shot(page, f"{language}-expiry-day", full=True)
    to(page, "/holds")
    uncover(page, "main")
    album.shot(page, f"{language}-holds-open", full=True)
    to(page, "/reviews")
    page.locator(".review details").first.evaluate("there => { there.open = true; }")
    album.shot(page, f"{language}-reviews-open", full=True)


def _evidence(album: Album, page: Page, language: str, case: str) -> None:
    to(page, f"/cases/{case}/evidence")
    album.shot(page, f"{language}-evidence-none", full=True)
    page.locator("form.card button.primary").click()
    page.wait_for_selector("[data-refresh]")
    album.shot(page, f"{language}-evidence-progress", full=True)
    page.locator("form[action$='/save']").wait_for(timeout=90_000)
    album.shot(page, f"{language}-evidence-done", full=True)


def _agent(album: Album, page: Page, language: str, customer: str, address: str) -> None:
    album.shot(page, f"{language}-verify")
    page.fill("#contact", "12")
    page.keyboard.press("Enter")
    page.wait_for_selector("#contact-problem")
    album.shot(page, f"{language}-verify-wrong")
    ask(page, "000111222")
    album.shot(page, f"{language}-verify-nothing")
    ask(page, address)
    page.get_by_role("button", name=re.compile("Avaa viesti|Open the message")).click()
    page.wait_for_selector(".message")
    album.shot(page, f"{language}-email")
    page.get_by_role("link", name=re.compile("Otsikkokentät|Headers and")).click()
    album.shot(page, f"{language}-source")
    ask(page, customer)
    album.shot(page, f"{language}-verify-contacts")
    uncover(page, ".list")
    uncover(page, ".pane")
    album.shot(page, f"{language}-verify-narrow")
    page.locator(".pane details").last.scroll_into_view_if_needed()
    album.shot(page, f"{language}-verify-facts")
    page.locator(".outcome [name=note]").fill("Luvattiin hyvitys seuraavalle laskulle")
    page.locator(".outcome button.primary").click()
    page.wait_for_selector(".sheet")
    album.shot(page, f"{language}-verification")
    album.paper(page, f"{language}-verification-print")
    ask(page, customer)
    page.get_by_role("link", name=re.compile("Aikajana|Timeline")).click()
    page.wait_for_url(re.compile("timeline"))
    album.shot(page, f"{language}-timeline", full=True)
    album.paper(page, f"{language}-timeline-print")
    ask(page, customer)
    page.keyboard.press("?")
    album.shot(page, f"{language}-keys")
    album.each(page, language, "/expiry/month/2027-11", "/password", "/admin", "/nowhere",
               "/account", "/account/second-factor")  # fmt: skip


def _players(album: Album, opened: Window, language: str) -> None:
    """What a call may be: three hours long, with a transcript, broken, in two parts."""
    page = opened.page
    ask(page, world.LONG)
    page.wait_for_selector("[data-drawn=true]", state="attached")
    page.keyboard.press("Space")
    opened.until("document.querySelector('audio').currentTime > 0.5")
    page.locator("[data-seek]").fill("5403")
    page.keyboard.press("l")
    page.keyboard.press("Space")
    album.shot(page, f"{language}-call-three-hours")
    ask(page, world.PLAIN)
    album.shot(page, f"{language}-call-transcript-folded")
    said = page.locator("form[action$='/purpose'] button.primary")
    if said.count():
        said.first.click()
        page.wait_for_load_state()
    page.locator("section.transcript button").first.click()
    page.locator("[data-transcript]").wait_for()
    album.shot(page, f"{language}-call-transcript", full=True)
    page.locator(".rows a").nth(1).click()
    album.shot(page, f"{language}-call-unplayable")
    page.locator(".rows a").nth(3).click()
    album.shot(page, f"{language}-call-parts")


def _admin(album: Album, page: Page, language: str) -> None:
    to(page, "/admin")
    album.shot(page, f"{language}-admin", full=True)
    person = page.locator("a[href^='/admin/people/']").first.get_attribute("href")
    album.each(page, language, "/admin/sources", "/admin/retention")
    to(page, str(person))
    album.shot(page, f"{language}-admin-person", full=True)
    album.each(page, language, "/emergency")
    page.fill("[name=id]", album.heard)
    page.fill("[name=reason]", "Soittaja uhkasi muuntamoa, poliisi odottaa linjalla")
    page.locator("main button.primary").click()
    page.wait_for_selector("[data-player]")
    album.shot(page, f"{language}-emergency-call", full=True)


def _factor(album: Album, language: str) -> None:
    """From the first code to a log-in that asks for one."""
    name = f"koodi-{language}"
    album.create(name, "auditor")
    with album.window(name, language) as opened:
        page = opened.page
        to(page, "/account/second-factor")
        page.locator("main button.primary").click()
        page.wait_for_selector(".qr")
        album.shot(page, f"{language}-second-factor-square")
        secret = base64.b32decode(page.locator("code").first.text_content() or "")
        page.fill("[name=code]", second.code_at(secret, datetime.now(UTC)))
        page.locator("main button.primary").click()
        page.wait_for_selector(".codes")
        album.shot(page, f"{language}-recovery-codes")
        to(page, "/account")
        album.shot(page, f"{language}-account-factor", full=True)
    album.forget()
    with album.window(name, language) as opened:
        album.shot(opened.page, f"{language}-login-code")


def _dpo(album: Album, page: Page, language: str) -> str:
    """The audit log, a proof that is none, and what erases and restricts a recording; its id."""
    read_many(page)
    album.each(page, language, "/audit", "/audit/unusual", "/emergency/reviews", "/expiry/proof")
    page.fill("[name=id]", "00000000-0000-4000-8000-000000000000")
    page.locator("main button.primary").click()
    page.wait_for_selector(".note")
    album.shot(page, f"{language}-proof-none", full=True)
    search(page, kind="email", q="kysymys")
    address = page.locator(".rows a").first.get_attribute("href") or ""
    recording = re.search(r"/recordings/([\w-]+)", address)
    assert recording is not None
    to(page, f"/recordings/{recording[1]}")
    uncover(page, ".pane")
    page.locator(".pane form[action$='/erasure']").scroll_into_view_if_needed()
    album.shot(page, f"{language}-erase")
    page.locator(".pane [name=sure]").check()
    page.locator(".pane form[action$='/erasure'] button").click()
    page.wait_for_load_state()
    album.shot(page, f"{language}-erase-asked")
    to(page, f"/recordings/{recording[1]}")
    page.locator(".pane form[action$='/withdrawal']").scroll_into_view_if_needed()
    album.shot(page, f"{language}-erase-waiting")
    return recording[1]


def _second_dpo(album: Album, page: Page, language: str, recording: str) -> None:
    """Confirms it, and proves that it is gone."""
    album.each(page, language, "/notices")
    to(page, "/expiry/proof")
    album.shot(page, f"{language}-proof-waiting", full=True)
    to(page, f"/recordings/{recording}")
    page.locator(".pane [name=sure]").check()
    page.locator(".pane form[action$='/erasure']").scroll_into_view_if_needed()
    album.shot(page, f"{language}-erase-confirm")
    page.locator(".pane form[action$='/erasure'] button").click()
    page.wait_for_load_state()
    album.shot(page, f"{language}-erased")
    to(page, "/expiry/proof")
    page.fill("[name=id]", recording)
    page.locator("main button.primary").click()
    page.wait_for_selector(".note", timeout=90_000)
    album.shot(page, f"{language}-proof-good", full=True)


def _lead(album: Album, page: Page, language: str) -> None:
    """A scorecard, a sample, its calls scored, and the results."""
    if page.locator(".scorecard button.primary:visible").count():
        album.shot(page, f"{language}-quality-empty", full=True)
        page.locator(".scorecard button.primary").click()
    for line in ("viat", "myynti", "mittaus"):
        to(page, "/quality")
        page.select_option("#f-line", line)
        page.fill("[name=when]", "60 päivää sitten – tänään")
        page.locator("form.inline button.primary").click()
        page.wait_for_load_state()
        if not page.locator("main table a").count() or "/samples/" not in page.url:
            continue
        page.locator("main table a").first.click()
        page.wait_for_selector(".scoring, .pane, main")
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


def main() -> int:
    """Starts the demo, takes the pictures, stops it."""
    FOLDER.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="archive-pictures-"))
    try:
        with (
            running(home, "--demo", **SETTINGS) as up,
            chromium() as browser,
        ):
            world.fill(up)
            album = Album(browser, up, FOLDER)
            for language in ("fi", "en"):
                take(album, language)
                album.forget()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(f"{album.taken} pictures in {FOLDER}/\n")
    if lacking := tour.pages() - album.pages:
        sys.stdout.write(f"without a picture: {', '.join(sorted(lacking))}\n")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
