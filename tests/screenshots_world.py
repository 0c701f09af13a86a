"""What the pictures show beside the demo: a call of three hours, what was not understood, people.

Everything goes through the real intake of a running demo; nobody in it exists.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import Any

import urllib3

from tests.running import Running

SOURCE = "vaihde"
LONG, PLAIN = "9900001", "9900002"  # customers of the long call, and of the others here
WRITER = "paljon.kirjoittava@posti.example"
PREPARED_S = 600
MAILS = 34  # more in a day than anybody usually opens
_LINES = (
    (0.0, 3.4, "Asiakaspalvelu, Mikko Laine."),
    (3.6, 8.2, "Hei, kysyisin sähkökatkosta Kuusitiellä: milloin sähköt palaavat?"),
    (8.6, 13.9, "Muuntajassa on vika, ja asentaja on paikalla. Arvio on puoli kymmenen."),
    (14.2, 17.5, "Kiitos. Saanko katkosta vakiokorvauksen?"),
    (17.8, 23.0, "Saatte, jos katko kestää yli kaksitoista tuntia. Se hyvitetään laskulla."),
)


def fill(up: Running) -> None:
    """Delivers all of it, and waits until it is found."""
    token = up.token("ingest", source=SOURCE)
    deliver = _Delivery(up.url, token)
    _calls(deliver)
    for n in range(MAILS):
        deliver.email(n)
    up.archive("user", "create", "tietosuoja2", "--group", "dpo")
    up.archive("worker", "--until-idle")
    _await_prepared(up, deliver.calls)


def _await_prepared(up: Running, calls: Sequence[str]) -> None:
    """Until each can be played, or is known to be unplayable: three hours take their time."""
    pool = urllib3.PoolManager(retries=False)
    headers = {"Authorization": f"Bearer {up.token('open')}"}
    end = time.monotonic() + PREPARED_S
    for id in calls:
        while pool.request(
            "GET", f"{up.url}/api/v1/recordings/{id}", headers=headers
        ).json()["state"] != "indexed":  # fmt: skip
            assert time.monotonic() < end, f"not prepared within {PREPARED_S} s"
            time.sleep(0.5)


def link(up: Running, name: str) -> str:
    """A fresh one-time login of somebody's."""
    found = re.search(r"https?://\S+/once/\S+", up.archive("user", "link", name))
    assert found is not None
    return found[0]


def _calls(deliver: _Delivery) -> None:
    file = files("archive.demo") / "media" / "katko.opus"
    speech = file.read_bytes()
    deliver.call("pitka", looped(file, hours=3), customer_number=LONG, days=1)
    said = [{"start": a, "end": b, "text": words} for a, b, words in _LINES]
    deliver.call("teksti", speech, transcript=json.dumps({"segments": said}),
                 customer_number=PLAIN, days=2, masked=[[24.0, 27.0]])  # fmt: skip
    deliver.call("rikki", b"not a sound at all" * 40, customer_number=PLAIN, days=3)
    deliver.call("kentta", speech, customer_number=PLAIN, metering_point="64300757", days=4)
    deliver.call("kortti", speech, notes="Kortti 4111 1111 1111 1111, 12/29", days=5)
    for n, agent in enumerate(("Mikko Laine", "Olli Oletus")):  # one call in two parts
        deliver.call(f"siirto-{n}", speech, call_id="siirto-55", agent=agent, minutes=n * 2,
                     customer_number=PLAIN, days=6)  # fmt: skip
    deliver.metadata("aani-puuttuu", agent="Olli Oletus")


class _Delivery:
    """A sender with a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._pool = url, urllib3.PoolManager(retries=False)
        self._headers = {"Authorization": f"Bearer {token}"}
        self.calls: list[str] = []

    def call(
        self, ref: str, audio: bytes, *, days: int, minutes: int = 0, transcript: str = "",
        **told: object,
    ) -> None:  # fmt: skip
        at = datetime.now(UTC) - timedelta(days=days) + timedelta(minutes=minutes)
        given: Mapping[str, object] = {
            "source": SOURCE, "source_ref": ref, "occurred_at": at.isoformat(), "line": "viat",
            "direction": "inbound", "agent": "Mikko Laine", "caller": "+358 45 700 0199",
            "extra": {"channels": ["agent", "customer"]},
        } | told  # fmt: skip
        fields = [
            ("metadata", ("m.json", json.dumps(given), "application/json")),
            ("audio", ("a.opus", audio, "audio/ogg")),
        ]
        if transcript:
            fields.append(("transcript", ("t.json", transcript, "application/json")))
        self.calls.append(self._sent("/api/v1/calls", fields=fields)["id"])

    def metadata(self, ref: str, **told: str) -> None:
        body = json.dumps({"source": SOURCE, "source_ref": ref} | told)
        self._sent("/api/v1/calls/metadata", body=body)

    def email(self, n: int) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = WRITER, "asiakaspalvelu@sahko.example"
        mail["Subject"], mail["Message-ID"] = f"Kysymys {n + 1}", f"<paljon-{n}@posti.example>"
        mail.set_content("Hei,\n\nmilloin laskuni korjataan?\n")
        at = (datetime.now(UTC) - timedelta(days=8, minutes=n)).isoformat()
        address = f"/api/v1/emails?source={SOURCE}&mailbox=asiakaspalvelu@sahko.example"
        headers = {"Content-Type": "message/rfc822", "X-Archive-Received-At": at}
        self._sent(f"{address}&direction=inbound", body=mail.as_bytes(), headers=headers)

    def _sent(
        self, path: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> dict[str, Any]:
        given = {**self._headers, **(headers or {})}
        answer = self._pool.request("POST", self._url + path, headers=given, **content)
        assert answer.status < 300, (path, answer.status, answer.data[:300])
        made: dict[str, Any] = answer.json()
        return made


def looped(speech: Traversable, *, hours: int) -> bytes:
    """The same speech over and over, not encoded anew."""
    with as_file(speech) as path:
        return subprocess.run(
            ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", str(path), "-c", "copy",
             "-t", str(hours * 3600), "-f", "ogg", "pipe:1"],
            capture_output=True, check=True, timeout=120,
        ).stdout  # fmt: skip
