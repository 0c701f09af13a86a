"""What the player can do beside playing, in Chromium: passages, silence, balance, masked places."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import expect

from archive.archive import SYSTEM
from archive.auth import People
from tests.api.test_delivery import metadata
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav, wav_header
from tests.web.browser import Window, chromium, serving, window
from tests.web.conftest import AINO
from tests.web.visitor import PASSWORD

AUDIO = "document.querySelector('audio')"
AT = f"{AUDIO}.currentTime"
_NOTE_TIMES = f"""() => {{ const audio = {AUDIO}; window.times = [];
    for (const name of ["timeupdate", "seeking"])
      audio.addEventListener(name, () => window.times.push(audio.currentTime)); }}"""
_LONGEST_STEP = "Math.max(...window.times.map((at, n) => at - (window.times[n - 1] ?? at)))"


def deliver(machine: Machine, clock: Clock, audio: bytes, **told: Any) -> str:
    """Takes a call in without HTTP, whose test client leaves large bodies open; its id."""
    receipt = machine.archive.receive_call(SYSTEM, metadata(clock, **told), io.BytesIO(audio))
    return str(receipt.id)


@pytest.fixture
def paused_call(machine: Machine, clock: Clock) -> str:
    """3 s of sound, 6 s of silence, 11 s of sound; seconds 12 to 14 masked by the source."""
    sound, long_sound = wav(3.0, hz=(440, 660))[44:], wav(11.0, hz=(440, 660))[44:]
    silence = struct.pack("<96000h", *([0] * 96000))
    body = sound + silence + long_sound
    audio = wav_header(len(body)) + body
    made = deliver(machine, clock, audio, customer_number=AINO, masked=[[12.0, 14.0]])
    machine.work()
    return made


@pytest.fixture
def desk(app: Flask, people: People) -> Iterator[Window]:
    people.create("agent", "customer-service", PASSWORD)
    with serving(app) as url, chromium() as browser, window(browser, url) as opened:
        opened.log_in("agent")
        yield opened


def test_a_player_repeats_a_passage_skips_silence_balances_and_goes_on_where_one_stopped(
    desk: Window, paused_call: str
) -> None:
    page = desk.page
    page.goto(f"{desk.url}/recordings/{paused_call}")
    page.locator("[data-drawn=true]").wait_for()
    # Masked places are shown over the waveform and said in words.
    box = page.locator(".marks .masked").evaluate("m => [m.style.left, m.style.width]")
    assert [round(float(side.rstrip("%"))) for side in box] == [60, 10]
    expect(page.locator(".player + .hint")).to_contain_text("0:12–0:14")

    # Silence is played until somebody leaves it out.
    page.keyboard.press("s")
    expect(page.locator("[data-silence]")).to_have_attribute("aria-pressed", "true")
    page.locator("[data-speed]").select_option("2")
    page.evaluate(_NOTE_TIMES)
    page.keyboard.press("Space")
    desk.until(f"{AT} > 8.3", within_s=30)
    assert page.evaluate(_LONGEST_STEP) > 2  # of the silence's 6 s
    assert page.evaluate(f"{AUDIO}.preservesPitch")
    page.keyboard.press("Space")

    # A passage by three presses.
    page.keyboard.press("Home")
    page.keyboard.press("l")
    expect(page.locator("[data-status]")).to_contain_text("Toisto alkaa kohdasta 0:00")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.evaluate(f"() => {{ {AT} = 1.5; }}")
    page.keyboard.press("l")
    expect(page.locator("[data-loop]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    desk.until(f"{AT} > 0.8")
    desk.until(f"{AT} < 0.5")
    page.keyboard.press("l")
    expect(page.locator("[data-loop]")).to_have_attribute("aria-pressed", "false")

    # One key back and slower; the voices in balance, while it plays on.
    # (Stopped before the end is gone to: a call that reached its end while playing stands still.)
    page.keyboard.press("Space")
    desk.until(f"{AUDIO}.paused")
    page.keyboard.press("End")
    desk.until(f"{AT} > 19")
    page.evaluate(f"() => {{ {AT} = 15; }}")
    page.keyboard.press("Space")
    desk.until(f"!{AUDIO}.paused")
    page.keyboard.press("r")
    assert page.evaluate(f"{AUDIO}.playbackRate") == 1.5
    desk.until(f"Math.abs({AT} - 10) < 1.5")
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.locator("[data-balance]").get_attribute("aria-valuetext") == "50 % Kanava 2"
    before = page.evaluate(AT)
    desk.until(f"{AT} > {before} + 0.3 && !{AUDIO}.paused")
    page.keyboard.press("Space")

    # Come back: it stands where it stopped, and waits.
    stopped = page.evaluate(AT)
    page.reload()
    page.locator("[data-drawn=true]").wait_for()
    expect(page.locator("[data-status]")).to_contain_text("Jatketaan kohdasta 0:1")
    assert abs(float(page.locator("[data-seek]").input_value()) - stopped) < 1.0
    assert page.evaluate("Object.keys(sessionStorage)") == [f"stopped:{paused_call}"]
    assert page.evaluate("Object.keys(localStorage)") == []
    assert desk.problems == []


def test_a_long_call_opens_as_a_short_one(desk: Window, machine: Machine, clock: Clock) -> None:
    body = wav(1.0, channels=1)[44:] * 900
    long = wav_header(len(body), channels=1) + body
    made = {
        name: deliver(machine, clock, audio, source_ref=name)
        for name, audio in (("short", wav(30.0, channels=1)), ("long", long))
    }
    machine.work()
    sizes = {}
    for name, id in made.items():
        desk.fetched.clear()
        desk.page.goto(f"{desk.url}/recordings/{id}")
        desk.page.locator("[data-drawn=true]").wait_for()
        sizes[name] = len(desk.page.request.get(f"{desk.url}/recordings/{id}/peaks").body())
        assert not [a for a in desk.fetched if a.startswith("/openings/")]
        desk.page.keyboard.press("Space")
        desk.until(f"{AT} > 0.2")
        desk.page.evaluate(
            f"() => {{ {AT} = {AUDIO}.duration - 3; }}"
        )  # far away: a range of its own
        desk.until(f"{AT} > {AUDIO}.duration - 2.8")
    assert sizes["long"] < 60_000  # however long the call is
    assert desk.problems == []
