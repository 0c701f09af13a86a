"""Evidence packages on the pages, and the page inside one: from a folder, without a network."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import Flask
from playwright.sync_api import Browser

from archive.archive import Archive
from archive.auth import People
from archive.evidence import verify
from archive.worker import WORKER_LOCK
from tests.test_evidence import OTHER
from tests.test_holds import HANDLER
from tests.web.browser import chromium, serving, window
from tests.web.conftest import AINO, HETU
from tests.web.test_cases import CASE, filled, opened
from tests.web.visitor import PASSWORD, Visitor

PAGE = f"/cases/{CASE}/evidence"


def test_others_stay_out_of_the_form_and_only_handlers_see_it(
    complaints: Visitor, agent: Visitor, person: Callable[..., Visitor], archive: Archive,
    call: dict[str, Any],
) -> None:  # fmt: skip
    opened(complaints, customer=OTHER)
    complaints.get(f"/cases/{CASE}/find")
    complaints.submit(f"/cases/{CASE}/find", customer=AINO)
    complaints.submit(f"/cases/{CASE}/recordings", id=call["id"])
    complaints.get(PAGE)
    assert "Kaikki eivät ole tämän asiakkaan" in complaints.page
    box = re.search(rf'<input type="checkbox"[^>]*{call["id"]}[^>]*>', complaints.page)
    assert box and "checked" not in box[0]
    complaints.submit(PAGE, language="fi")
    assert "Valitse ainakin yksi" in complaints.page
    complaints.submit(PAGE, language="fi", id=call["id"])
    assert "Odottaa" in complaints.page
    (save,) = [p.id for p in archive.evidence_of(HANDLER, CASE)]
    dpo = person("dpo")
    for visitor in (agent, dpo):
        assert visitor.get(PAGE).status_code == 403
        for act in ("save", "remove"):
            assert visitor.post(f"{PAGE}/{save}/{act}").status_code == 403
    dpo.get(f"/cases/{CASE}")
    assert "Todistepaketit" not in dpo.page
    other = f"/cases/2026-00002/evidence/{save}"
    complaints.get("/cases")
    complaints.submit("/cases", subject="toinen", customer=AINO)
    assert complaints.post(f"{other}/save").status_code == 404
    complaints.submit(f"{PAGE}/{save}/remove")
    assert "Paketti poistettiin" in complaints.page and "Paketteja ei vielä ole" in complaints.page


def test_a_package_is_made_saved_unpacked_played_and_checked_without_the_archive(
    app: Flask, archive: Archive, people: People, complaints: Visitor, call: dict[str, Any],
    email: dict[str, Any], home: Path,
) -> None:  # fmt: skip
    opened(complaints, subject="Lasku <b>väärin</b>")
    filled(complaints, call["id"])
    archive.add_to_case(HANDLER, CASE, UUID(email["id"]))
    complaints.submit(
        f"/cases/{CASE}/notes", recording=call["id"], text="lupaus <script>", start="0:02"
    )
    with chromium() as browser:
        content = _made_and_saved(app, archive, browser)
        assert verify.check_zip(io.BytesIO(content))[2] == []
        (home / "package.zip").write_bytes(content)
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            package.extractall(home / "unpacked")
        _played_and_checked(browser, home, content)


def _made_and_saved(app: Flask, archive: Archive, browser: Browser) -> bytes:
    """Asks for it on the page, sees it become ready without touching anything, and saves it."""
    with serving(app) as url, window(browser, url) as desk:
        desk.log_in("complaints", PASSWORD)
        desk.page.goto(f"{url}/cases/{CASE}")
        desk.page.click("text=Todistepaketit")
        desk.page.click("text=Laadi paketti >> nth=-1")
        desk.page.wait_for_selector("text=Odottaa")
        building = threading.Thread(
            target=archive.build_evidence, kwargs={"worker": 0, "lock_class": WORKER_LOCK}
        )
        building.start()
        with desk.page.expect_download(timeout=60_000) as saved:
            desk.page.click("text=Tallenna ZIP", timeout=60_000)
        building.join()
        assert desk.problems == []
        assert saved.value.suggested_filename == "evidence-2026-00001-20261124.zip"
        return Path(saved.value.path()).read_bytes()


def _played_and_checked(browser: Browser, home: Path, content: bytes) -> None:
    index = (home / "unpacked" / "index.html").as_uri()
    with window(browser, index) as reader:
        asked: list[str] = []
        dialogs: list[str] = []
        page = reader.page
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.dismiss())
        page.goto(index)
        reader.until("document.querySelector('audio').duration > 5")
        page.click("button[data-at]")
        reader.until("document.querySelector('audio').currentTime > 2")
        assert HETU not in page.content() and "Lasku <b>väärin</b>" in page.inner_text("header")
        _says(page, home / "package.zip", "good", "Jokainen tavu on")
        reader.until("document.querySelector('audio').src.startsWith('blob:')")
        page.evaluate("() => { crypto.subtle.importKey = () => { throw new Error() }; }")
        _says(page, home / "package.zip", "good", "Jokainen tavu on")  # by whole numbers alone
        changed = home / "changed.zip"
        for place, named in (
            (content.index(b"OggS") + 40, "playback/002.ogg: on muuttunut"),
            (60, "manifest.json"),
            (content.index(b'"signature":"') + 20, "manifest.json"),
            (content.rindex(b"PK\3\4") + 32, "otsake"),
            (len(content) - 30, "hakemistossa"),
            (len(content) - 3, "loppu"),
        ):
            damaged = bytearray(content)
            damaged[place] ^= 1
            changed.write_bytes(damaged)
            _says(page, changed, "bad", named)
        changed.write_bytes(content + b"x")
        _says(page, changed, "bad", "lopun jälkeen")
        changed.write_bytes(b"PK" * 500)
        _says(page, changed, "bad", "ei ole todistepaketti")
        assert dialogs == [] and reader.problems == []
        assert all(url.startswith(("file:", "blob:")) for url in asked)


def _says(page: Any, file: Path, kind: str, words: str) -> None:
    page.evaluate(
        "() => { verdict.className = ''; document.getElementById('package').value = ''; }"
    )
    page.set_input_files("#package", str(file))
    page.wait_for_selector(f"#verdict.{kind}", timeout=20_000)
    assert words in page.inner_text("#verdict")
