"""The main job in Chromium, by keyboard: number in, Enter, play; and an email is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive.auth import People
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import ADDRESS, AINO
from tests.web.visitor import PASSWORD

AUDIO = "document.querySelector('audio')"


@pytest.fixture
def desk(app: Flask, people: People) -> Iterator[Window]:
    """An agent's window, logged in."""
    people.create("agent", "customer-service", PASSWORD)
    with serving(app) as url, chromium() as browser, window(browser, url) as opened:
        opened.log_in("agent")
        yield opened


def test_a_call_is_found_and_played_by_three_presses(desk: Window, call: dict[str, Any]) -> None:
    page = desk.page
    page.keyboard.type(AINO)  # the field has the focus already
    page.keyboard.press("Enter")
    waveform = page.locator("[data-waveform][data-drawn=true]")
    waveform.wait_for()
    assert page.evaluate(_INK) > 200  # pixels that are not empty, in every channel's lane
    assert not [a for a in desk.fetched if a.startswith("/openings/")], "nothing opens by itself"

    page.keyboard.press("Space")
    desk.until(f"{AUDIO}.currentTime > 0.3")
    assert page.evaluate(f"{AUDIO}.duration") == pytest.approx(6.0, abs=0.2)
    expect(page.locator("[data-toggle]")).to_have_text("Tauko")
    page.keyboard.press("Space")
    expect(page.locator("[data-toggle]")).to_have_text("Kuuntele")
    stopped = page.evaluate(f"{AUDIO}.currentTime")
    page.keyboard.press("ArrowRight")
    desk.until(f"{AUDIO}.currentTime >= Math.min({stopped} + 4.9, 5.9)")
    page.keyboard.press("Shift+ArrowLeft")
    desk.until(f"{AUDIO}.currentTime < 0.1")
    page.keyboard.press(".")
    assert page.evaluate(f"{AUDIO}.playbackRate") == 1.25
    assert page.locator("[data-seek]").get_attribute("aria-valuetext") == "0 sekuntia"
    played = {a for a in desk.fetched if a.startswith("/openings/")}
    assert len(played) == 1
    assert desk.fetched.count("/static/app.js") <= 2, "one module, however it is reached"
    assert not [a for a in desk.fetched if a.startswith("/static/app.js?")]
    assert desk.problems == []


_INK = """() => {
  const host = document.querySelector('[data-waveform]').firstElementChild;
  let least = Infinity;
  for (const canvas of host.shadowRoot.querySelectorAll('.canvases canvas')) {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let inked = 0;
    for (let at = 3; at < data.length; at += 4) if (data[at]) inked++;
    least = Math.min(least, inked);
  }
  return least;
}"""


def test_the_keys_are_listed_and_silent_in_the_field(desk: Window, call: dict[str, Any]) -> None:
    page = desk.page
    page.keyboard.type("?")
    assert page.locator("#contact").input_value() == "?"
    page.fill("#contact", AINO)
    page.keyboard.press("Enter")
    page.locator("[data-drawn=true]").wait_for()
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_hidden()


def test_an_email_is_read_as_text_and_as_formatted(desk: Window, email: dict[str, Any]) -> None:
    page = desk.page
    page.keyboard.type(ADDRESS)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Avaa viesti").click()
    expect(page.get_by_role("region", name="Viesti")).to_contain_text("laskussani on virhe")
    page.get_by_role("link", name="Lähettäjän muotoilemana").click()
    frame = page.frame_locator("iframe.message")
    expect(frame.locator("b")).to_have_text("laskussani")
    assert not [a for a in desk.fetched if a.startswith("http")], "nothing from elsewhere"
    assert desk.problems == []


def test_next_and_previous_walk_the_list_by_keyboard(desk: Window, many: list[str]) -> None:
    page = desk.page
    page.keyboard.type(AINO)
    page.keyboard.press("Enter")
    page.wait_for_selector(".rows")
    for key, id in (("n", many[1]), ("n", many[2]), ("p", many[1])):
        page.keyboard.press(key)
        page.wait_for_url(f"**/recordings/{id}?view=*")
    page.go_back()
    page.wait_for_url(f"**/recordings/{many[2]}?view=*")
    assert page.locator(".rows a[aria-current=true]").count() == 1
    assert desk.problems == []
