"""vCons: handed out signed, taken in from 0.3 to 0.5, fetched from listed hosts and no others."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from archive import worker
from archive.archive import SYSTEM, Archive
from archive.cli import cli
from archive.errors import BadFields, BadSetting, CaseRequired, FetchRefused, Forbidden, NotFound
from archive.formats import vcon, vcon_read
from archive.model import Purpose, Query, Scope
from archive.sources import allowed_hosts, vcons
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav
from tests.running import environment_of
from tests.test_evidence import CUSTOMER, call, email
from tests.test_holds import AGENT, CASE, HANDLER
from tests.test_story import READER

UUID_ = "018e3b1c-0000-8000-8000-000000000001"
OPTIONS = vcons.Options(source="vcon", line="viat")
SOUND = wav(0.5)


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def a_vcon(archive: Archive, *dialogs: dict[str, Any], **more: Any) -> bytes:
    """A vCon of a customer and an agent; dialogs start a day ago unless they say when."""
    start = (archive.now() - timedelta(days=1)).isoformat()
    return json.dumps(
        {
            "vcon": "0.4.0",
            "uuid": UUID_,
            "created_at": start,
            "parties": [
                {"tel": "+358401234567", "name": "Aino"},
                {"name": "Mikko Laine", "meta": {"role": "agent"}, "mailto": "mikko@sahko.example"},
            ],
            "dialog": [{"start": start, "parties": [0, 1]} | dialog for dialog in dialogs],
        }
        | more
    ).encode()


def recording(**more: Any) -> dict[str, Any]:
    return {
        "type": "recording", "originator": 0, "mediatype": "audio/x-wav", "duration": 0.5,
        "filename": "a.wav", "body": b64url(SOUND), "encoding": "base64url",
    } | more  # fmt: skip


def take(archive: Archive, raw: bytes) -> vcons.Taken:
    return vcons.take(archive, SYSTEM, raw, OPTIONS)


# -- handed out ------------------------------------------------------------------------


def test_a_vcon_that_was_handed_out_comes_in_again_as_it_was(archive: Archive) -> None:
    archive.open_case(HANDLER, CASE, subject="lasku", customer=CUSTOMER)
    ids = [call(archive, "1", metering_point="643007200000000013"), email(archive)]
    worker.until_idle(archive)
    for id in ids:
        archive.add_to_case(HANDLER, CASE, id)
    signed = archive.case_vcon(HANDLER, CASE, purpose="complaint")
    found = vcon_read.read(signed)
    assert (found.signature, found.subject, found.left) == ("holds", "lasku", ())
    taken = take(archive, signed)
    assert (taken.refused, taken.left) == ({}, [])
    worker.until_idle(archive)
    views = [archive.describe(READER, receipt.id) for receipt in taken.receipts.values()]
    for old, new in zip([archive.describe(READER, id) for id in ids], views, strict=True):
        assert new.descriptor.sha256 == old.descriptor.sha256
        assert (new.occurred_at, new.direction) == (old.occurred_at, old.direction)
    assert views[0].descriptor.metering_point == "643007200000000013"
    assert views[0].descriptor.caller == "+358401234567"
    assert views[0].descriptor.agent == "Mikko Laine"
    assert {view.descriptor.call_id for view in views[:1]} == {f"vcon:{found.uuid}"}
    changed = bytearray(signed)
    changed[len(changed) // 3] ^= 1
    with pytest.raises(BadFields):
        take(archive, bytes(changed))


def test_a_vcon_is_an_opening_and_needs_what_an_opening_needs(archive: Archive) -> None:
    archive.open_case(HANDLER, CASE)
    id = call(archive, "1", masked=[[0.1, 0.2]])
    worker.until_idle(archive)
    with pytest.raises(CaseRequired):
        archive.vcon_of(HANDLER, id, purpose="complaint", case=CASE)
    archive.add_to_case(HANDLER, CASE, id)
    made = vcon_read.read(archive.vcon_of(HANDLER, id, purpose="complaint", case=CASE))
    (dialog,) = made.dialogs
    assert dialog.body is not None and dialog.body.startswith(b"OggS"), "parts are to be silent"
    for refused in (
        lambda: archive.case_vcon(AGENT, CASE, purpose="complaint"),
        lambda: archive.vcon_of(AGENT, id, purpose="complaint", case=CASE),
    ):
        with pytest.raises(Forbidden):
            refused()
    with pytest.raises(NotFound):
        archive.vcon_of(replace(HANDLER, lines=frozenset()), id, purpose="complaint", case=CASE)


# -- taken in --------------------------------------------------------------------------


def test_several_dialogs_become_several_recordings_of_one_call(archive: Archive) -> None:
    raw = a_vcon(
        archive,
        recording(),
        recording(body=b64url(wav(0.7)), start=(archive.now() - timedelta(hours=2)).isoformat()),
        {"type": "text", "originator": 0, "mediatype": "message/rfc822",
         "body": mail(subject="Laskusta").decode(), "encoding": "none"},
        {"type": "text", "mediatype": "text/plain", "body": "Hei, lupasin soittaa",
         "encoding": "none", "message_id": "<2@x.example>"},
        {"type": "transfer", "transferee": 0},
        {"type": "text", "mediatype": "image/png", "body": "", "encoding": "none"},
        recording(body=None, encoding=None),
        recording(start="eilen"),
        analysis=[{"type": "transcript", "vendor": "x", "dialog": 0, "body": "…"}],
        attachments=[{"purpose": "contract", "party": 0, "body": "x"}],
        redacted={"uuid": "x", "type": "y"},
    )  # fmt: skip
    taken = take(archive, raw)
    assert sorted(taken.receipts) == [0, 1, 2, 3] and taken.refused == {}
    assert taken.left == [
        "redacted: the original it was redacted from is not looked for",
        "analysis[0]: transcript",
        "attachments[0]: contract",
        "dialog[4]: of type transfer, which has no content",
        "dialog[6]: without content",
        "dialog[7]: its start is not a time",
        "dialog[5]: content of type image/png",
    ]
    worker.until_idle(archive)
    first, second, third, fourth = (
        archive.describe(READER, receipt.id) for receipt in taken.receipts.values()
    )
    assert first.descriptor.call_id == second.descriptor.call_id == f"vcon:{UUID_}"
    assert (first.direction, first.descriptor.agent) == ("inbound", "Mikko Laine")
    assert first.descriptor.caller == "+358401234567"
    assert third.description and third.description.mail
    assert third.description.mail.subject == "Laskusta"
    assert fourth.description and "lupasin soittaa" in fourth.description.text
    found = archive.find(READER, Query(phone="0401234567")).items
    assert {view.id for view in found} >= {first.id, second.id}
    again = take(archive, raw)
    assert [receipt.created for receipt in again.receipts.values()] == [False] * 4


def test_names_of_older_drafts_are_read_as_the_newer_ones(archive: Archive) -> None:
    sha = hashlib.sha512(SOUND).digest()
    old = recording(
        body=None, encoding=None, mimetype="audio/x-wav", mediatype=None, originator=None,
        url="https://elsewhere.example/a.wav", alg="SHA-512", signature=b64url(sha),
        meta={"direction": "out"}, start="2026-11-23T10:00:00.5",
    )  # fmt: skip
    for version in ("0.0.1", "0.3.0"):
        (dialog,) = vcon_read.read(a_vcon(archive, old, vcon=version)).dialogs
        assert (dialog.media_type, dialog.digest, dialog.direction) == (
            "audio/x-wav", sha, "outbound",
        )  # fmt: skip
        assert dialog.caller == "mikko@sahko.example" and dialog.callee == "+358401234567"
        assert dialog.start == datetime(2026, 11, 23, 10, 0, 0, 500_000, UTC)
    new = old | {"alg": None, "signature": None, "content_hash": [f"sha512-{b64url(sha)}"]}
    (dialog,) = vcon_read.read(a_vcon(archive, new, vcon=None)).dialogs
    assert dialog.digest == sha


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"), (b"[]", "not a JSON object"), (b"[" * 100_000, "not JSON"),
        (b"{}", "no uuid"), (b'{"uuid":"x y"}', "no uuid"),
        (b'{"uuid":"x","parties":{},"dialog":[]}', "no list"),
        (b'{"uuid":"x","parties":[],"dialog":[],"critical":["y"]}', "extensions: y"),
        (b'{"ciphertext":"x"}', "encrypted"), (b'{"payload":"x"}', "another form"),
        (b'{"payload":"!","signatures":[{}]}', "base64url"),
        (json.dumps({"uuid": "x", "parties": [], "dialog": [{}] * 1001}).encode(), "dialogs"),
    ],
)  # fmt: skip
def test_what_is_no_vcon_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    with pytest.raises(vcon_read.NotReadableError, match=why):
        vcon_read.read(raw)


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [None], [[]], -1, 1e400, "\udcff\0"])
def test_any_value_in_any_place_is_read_or_refused_and_never_an_accident(
    archive: Archive, value: Any
) -> None:
    whole = json.loads(a_vcon(archive, recording(meta={}, url="x", content_hash="sha512-x")))
    for place in (whole, whole["dialog"][0], whole["parties"][0], whole["parties"][1]):
        for name in list(place):
            kept = place[name]
            place[name] = value
            with suppress(vcon_read.NotReadableError):
                vcon_read.read(json.dumps(whole).encode())
            place[name] = kept


def test_a_signature_of_another_kind_is_checked_or_said_to_be_unchecked(archive: Archive) -> None:
    key, certificate = _certificate()
    plain = a_vcon(archive, recording())

    def signed(alg: str, signature: Callable[[bytes], bytes], x5c: list[str]) -> bytes:
        protected = b64url(json.dumps({"alg": alg}).encode())
        raw = signature(f"{protected}.{b64url(plain)}".encode())
        one = {"protected": protected, "header": {"x5c": x5c}, "signature": b64url(raw)}
        return json.dumps({"payload": b64url(plain), "signatures": [one]}).encode()

    def es256(message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    assert vcon_read.read(signed("ES256", es256, chain)).signature == "holds"
    assert vcon_read.read(signed("ES256", es256, [])).signature == "unchecked"
    assert vcon_read.read(signed("PS512", es256, chain)).signature == "unchecked"
    with pytest.raises(vcon_read.NotReadableError, match="does not hold"):
        vcon_read.read(signed("ES256", lambda message: b"\1" * 64, chain))
    seed = b"\2" * 32
    own = json.loads(vcon.sign({"uuid": "x", "parties": [], "dialog": []}, seed))
    assert vcon_read.read(json.dumps(own).encode()).signature == "holds"


# -- by address ------------------------------------------------------------------------


def _certificate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
    )
    return key, builder.sign(key, SHA256())


@contextmanager
def recorder(home: Path, pages: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[int]:
    """A recorder's web server with TLS on this machine; its port."""
    key, certificate = _certificate()
    pem = home / "recorder.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = pages[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_content_is_fetched_from_listed_hosts_alone_and_held_against_its_digest(
    archive: Archive, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "recorder.pem"))
    pages: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/a.wav?x=1": (200, {}, SOUND), "/other.wav": (200, {}, wav(0.6)),
        "/away": (302, {"Location": "/a.wav?x=1"}, b""),
    }  # fmt: skip
    with recorder(home, pages) as port:
        base = f"https://localhost:{port}"

        def taken(url: str, *hosts: str) -> vcons.Taken:
            archive.config = replace(archive.config, vcon_hosts=hosts)
            sha = b64url(hashlib.sha512(SOUND).digest())
            by_url = recording(body=None, encoding=None, url=url, content_hash=f"sha512-{sha}")
            return take(archive, a_vcon(archive, by_url))

        here = f"localhost:{port}=127.0.0.0/8"
        for url, hosts, why in (
            (f"{base}/a.wav?x=1", (), "not in ARCHIVE_VCON_HOSTS"),
            (f"{base}/a.wav?x=1", ("localhost=127.0.0.0/8",), "not in ARCHIVE_VCON_HOSTS"),
            (f"{base}/a.wav?x=1", (f"localhost:{port}",), "where it may not be"),
            (f"{base}/a.wav?x=1", (f"localhost:{port}=10.0.0.0/8",), "where it may not be"),
            (f"{base}/other.wav", (here,), "SHA-512"),
            (f"{base}/away", (here,), "answers 302"),
            (f"http://localhost:{port}/a.wav?x=1", (here,), "not https"),
            (f"https://a:b@localhost:{port}/a.wav?x=1", (here,), "with a user"),
            (f"https://127.0.0.1:{port}/a.wav?x=1", (here,), "not in ARCHIVE_VCON_HOSTS"),
            ("https://localhost:99999999/", (here,), "not an address"),
            (f"{base}/a b", (here,), "not an address"),
        ):
            refused = taken(url, *hosts).refused[0]
            assert isinstance(refused, FetchRefused) and why in refused.message, url
        assert list(archive.store.list("recordings/")) == []
        (receipt,) = taken(f"{base}/a.wav?x=1", here).receipts.values()
        assert receipt.sha256 == hashlib.sha256(SOUND).hexdigest()
        with (
            pytest.raises(FetchRefused, match="too large"),
            allowed_hosts.fetched(
                f"{base}/a.wav?x=1", allowed_hosts.hosts_of([here]),
                sha512=hashlib.sha512(SOUND).digest(), most=len(SOUND) - 1,
            ) as content,
        ):  # fmt: skip
            while content.read(1000):
                pass
    with pytest.raises(BadSetting, match="host"):
        allowed_hosts.hosts_of(["a:b:c"])


# -- the ways in and out ---------------------------------------------------------------


def test_a_vcon_goes_in_and_out_over_the_interface(
    archive: Archive, token_of: Callable[..., Machine], clock: Clock
) -> None:
    machine = token_of(
        Scope.INGEST, Scope.OPEN, purposes=(Purpose.VERIFICATION,), source="vcon", lines=["viat"]
    )
    address = "/api/v1/vcons?source=vcon&line=viat"

    def post(raw: bytes, where: str = address) -> Any:
        return machine.client.post(where, data=raw, headers=machine.headers)

    raw = a_vcon(archive, recording(), {"type": "incomplete", "disposition": "busy"})
    answer = post(raw)
    assert answer.status_code == 201
    body = answer.get_json()
    assert [(one["dialog"], one["created"]) for one in body["items"]] == [(0, True)]
    assert body["not_taken"] == ["dialog[1]: of type incomplete, which has no content"]
    assert post(raw).status_code == 200
    id = body["items"][0]["id"]
    out = machine.get(f"/api/v1/recordings/{id}/vcon", {"X-Archive-Purpose": "verification"})
    assert out.mimetype == "application/vcon+json"
    assert vcon_read.read(out.data).dialogs[0].body == SOUND
    assert machine.get(f"/api/v1/recordings/{id}/vcon").status_code == 400
    assert "open" in [entry["verb"] for entry in machine.audit(id)]
    assert post(raw, "/api/v1/vcons?source=vcon&line=muu").status_code == 403
    assert post(raw, "/api/v1/vcons?source=pbx&line=viat").status_code == 403
    for where, fields in (
        ("/api/v1/vcons", ["source", "line"]),
        (f"{address}&direction=up", ["direction"]),
    ):
        answer = post(raw, where)
        assert [each["field"] for each in answer.get_json()["errors"]] == fields
    assert post(b"{}").status_code == 422
    old = recording(start="2020-01-01T00:00:00Z")
    assert post(a_vcon(archive, old, uuid="old")).status_code == 410


def test_files_of_vcons_are_ingested_and_the_report_names_what_was_left(
    archive: Archive, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "in"
    folder.mkdir()
    now = datetime.now(UTC)
    start = (now - timedelta(days=1)).isoformat()
    whole = a_vcon(archive, recording(start=start), analysis=[{"type": "summary", "body": "x"}])
    (folder / "one.vcon.json").write_bytes(whole)
    (folder / "two.json").write_bytes(whole.replace(UUID_.encode(), b"two"))
    (folder / "broken.vcon").write_bytes(b"{")
    monkeypatch.setattr(os, "environ", environment_of(archive.config))
    done = CliRunner().invoke(cli, ["ingest", str(folder), "--json", "--line", "viat"])
    assert done.exit_code == 3, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["new"], said["known"]) == (2, 0)
    assert [Path(one["path"]).name for one in said["refused"]] == ["broken.vcon"]
    assert {one["what"] for one in said["not_taken"]} == {"analysis[0]: summary"}
