"""Logging in at an identity provider: a real one, and one that lies."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from sqlalchemy import Engine, text

from archive.app import create_app
from archive.archive import Archive
from archive.auth import People
from archive.checkup import identity_provider as identity_provider_found
from archive.config import Config
from archive.errors import BadFields, BadSetting, ProviderAway, ProviderRefused
from archive.oidc import begun as starting
from archive.oidc.protocol import Flow
from archive.oidc.settings import provider_of
from tests import identity_provider
from tests.clock import Clock
from tests.identity_provider import SECRET, Browser, IdentityProvider
from tests.web.browser import chromium, serving, window
from tests.web.visitor import PASSWORD, Visitor

GROUPS = ("arkisto-johto=admin", "arkisto-asiakaspalvelu=customer-service", "arkisto-dpo=dpo")


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    with identity_provider.running() as found:
        found.knows("a-1", preferred_username="aino.agentti", groups=["arkisto-asiakaspalvelu"])
        found.knows("p-1", preferred_username="pomo", groups=["muut", "arkisto-johto"])
        found.knows("x-1", preferred_username="xaver", groups=["muut"])
        yield found


class Running(Clock):
    """The machine's clock, which is the provider's too; `advance` puts it forward."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        self._ahead += by


@pytest.fixture
def clock() -> Clock:
    return Running()


@pytest.fixture
def config(config: Config, idp: IdentityProvider) -> Config:
    return dataclasses.replace(
        config,
        oidc_issuer=idp.issuer,
        oidc_client_id="archive",
        oidc_client_secret=SECRET,
        oidc_groups=GROUPS,
        oidc_second_factor=("mfa",),
        public_url=idp.archive_url,
    )


@dataclasses.dataclass
class Guest(Visitor):
    """Somebody who logs in at the provider, with a browser that remembers them there."""

    there: Browser = dataclasses.field(default_factory=Browser)

    def leave(self) -> str:
        """Presses the button; where the archive sends the browser."""
        answer = self.client.get("/login/provider")
        assert answer.status_code == 303
        return str(answer.location)

    def come(self, login: str | None) -> Any:
        """Logs in all the way; the archive's answer to the return."""
        return self.client.get(self.there.walk(self.leave(), login))


@pytest.fixture
def guest(app: Flask) -> Callable[[], Guest]:
    return lambda: Guest(app.test_client())


def forget_proof(engine: Engine) -> None:
    """As if who it is had last been proved a while ago; the provider's clock cannot be set."""
    with engine.begin() as connection:
        connection.execute(text("update session set proved_at = proved_at - interval '11 min'"))


def entries(engine: Engine, verb: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("select detail from audit_event where verb = :verb order by id"), {"verb": verb}
        )
        return [row.detail for row in rows]


def test_in_a_browser_one_logs_in_proves_again_who_one_is_and_logs_out_at_both(
    app: Flask, people: People, idp: IdentityProvider, clock: Clock, engine: Engine
) -> None:
    with serving(app, port=idp.archive_port) as url, chromium() as browser, window(
        browser, url
    ) as opened:  # fmt: skip
        page = opened.page
        page.goto(url + "/admin")
        page.click("text=Kirjaudu organisaation tunnuksella")
        page.fill("[name=login]", "p-1")
        page.keyboard.press("Enter")
        page.wait_for_selector("a.me")
        assert page.url == url + "/admin"
        assert page.inner_text("a.me").startswith("pomo")
        forget_proof(engine)
        page.click("summary:has-text('Uusi käyttäjä')")
        page.fill("form[action='/admin/people'] [name=name]", "uusi.agentti")
        page.click("form[action='/admin/people'] button.primary")
        page.wait_for_selector("[name=proof_to]", state="attached")
        page.click("text=Kirjaudu organisaation tunnuksella")
        page.wait_for_selector("[name=login]")  # although there is a session there: prompt=login
        page.fill("[name=login]", "p-1")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Henkilöllisyytesi on vahvistettu")
        assert [p.name for p in people.people()] == ["pomo"]
        page.click("button:has-text('Jatka')")
        page.wait_for_selector("text=uusi.agentti")
        assert {p.name for p in people.people()} == {"pomo", "uusi.agentti"}
        page.click("button:has-text('Kirjaudu ulos')")
        page.wait_for_selector("text=Do you want to sign-out")
        page.click("button[name=logout]")
        page.wait_for_selector("text=Kirjaudu organisaation tunnuksella")
        assert page.url == url + "/login"
        page.click("text=Kirjaudu organisaation tunnuksella")
        page.wait_for_selector("[name=login]")  # the session there is over too
    # The provider's own pages ask for a picture and letters that they lack; ours refuse nothing.
    assert [said for said in opened.problems if "Failed to load resource" not in said] == []


def test_a_user_of_the_provider_is_made_at_the_first_log_in_and_known_by_subject_alone(
    guest: Callable[[], Guest], people: People, idp: IdentityProvider, engine: Engine
) -> None:
    people.create("aino.agentti", "dpo", PASSWORD)  # the same name proves nothing
    aino = guest()
    answer = aino.come("a-1")
    assert (answer.status_code, answer.location) == (303, "/")
    made = {p.name: p for p in people.people()}
    assert set(made) == {"aino.agentti", "aino.agentti-2"}
    one = made["aino.agentti-2"]
    assert (one.group, one.by_provider) == ("customer-service", True)
    assert aino.client.get("/verify").status_code == 200
    idp.knows("a-1", preferred_username="aino.virtanen", groups=["arkisto-asiakaspalvelu"])
    again = guest()
    assert again.come("a-1").status_code == 303 and len(people.people()) == 2
    assert [e.get("by") for e in entries(engine, "create-person")] == [None, "provider"]
    assert entries(engine, "log-in")[-1] == {"by": "provider"}
    with engine.connect() as connection:
        stored = str(connection.execute(text("select t::text from identity t")).all())
    assert "a-1" not in stored.replace(str(one.id), "") and idp.issuer not in stored


def test_a_user_of_the_provider_has_no_password_and_gets_no_link(
    guest: Callable[[], Guest], people: People, app: Flask
) -> None:
    aino = guest()
    aino.come("a-1")
    name = people.people()[0].name
    for password in ("", PASSWORD):
        answer = app.test_client().post("/login", data={"name": name, "password": password})
        assert answer.status_code == 401
    with pytest.raises(BadFields):
        people.one_time_link(name)
    aino.get("/verify")
    assert "/password" not in aino.get("/account").get_data(as_text=True)
    assert aino.submit("/password", old="", new=PASSWORD).status_code == 403
    assert not people.has_password(str(people.people()[0].id))


def test_who_has_no_mapped_group_does_not_come_in_and_a_lost_one_ends_the_sessions(
    guest: Callable[[], Guest], people: People, idp: IdentityProvider, engine: Engine
) -> None:
    stranger = guest()
    answer = stranger.come("x-1")
    assert answer.status_code == 403 and "oikeuksia" in answer.get_data(as_text=True)
    assert people.people() == []
    idp.knows("v-1", preferred_username="vaihtuva", groups="arkisto-asiakaspalvelu")
    first, second = guest(), guest()
    first.come("v-1")
    idp.knows("v-1", preferred_username="vaihtuva", groups=["arkisto-dpo"])
    second.come("v-1")
    assert people.people()[0].group == "dpo"
    assert first.client.get("/verify").status_code == 303  # with the old rights: over
    idp.knows("v-1", preferred_username="vaihtuva", groups=[])
    assert guest().come("v-1").status_code == 403
    assert second.client.get("/search").status_code == 303
    id = str(people.people()[0].id)
    assert entries(engine, "refuse-log-in") == [
        {"by": "provider", "person": None, "reason": "group"},
        {"by": "provider", "person": id, "reason": "group"},
    ]
    assert entries(engine, "change-rights") == [{"person": id, "group": "dpo", "by": "provider"}]


def test_a_disabled_user_of_the_provider_stays_out(
    guest: Callable[[], Guest], people: People, engine: Engine
) -> None:
    pomo = guest()
    pomo.come("p-1")
    id = people.people()[0].id
    people.disable(id)
    assert pomo.client.get("/admin").status_code == 303
    again = guest()
    assert again.come("p-1").status_code == 403 and again.client.get("/admin").status_code == 303
    assert len(people.people()) == 1
    assert entries(engine, "refuse-log-in")[-1]["reason"] == "disabled"
    people.part_from_provider(id)  # an administrator's word that the next one is somebody new
    assert guest().come("p-1").status_code == 303 and len(people.people()) == 2


def test_an_answer_is_taken_once_from_the_browser_that_asked_and_as_the_provider_gave_it(
    guest: Callable[[], Guest], people: People, archive: Archive, clock: Clock, engine: Engine
) -> None:
    def refused(asker: Guest, path: str, words: str = "ei onnistunut") -> None:
        answer = asker.client.get(path)
        assert answer.status_code == 401 and words in answer.get_data(as_text=True), path
        assert asker.client.get_cookie("archive") is None
        assert asker.client.get_cookie("login") is None  # one answer to each question

    def begin() -> tuple[Guest, str]:
        asker = guest()
        return asker, asker.there.walk(asker.leave(), "a-1")

    asker, path = begin()
    refused(guest(), path, "toisessa ikkunassa")  # another browser: a link that was sent to it
    other, _ = begin()
    refused(other, path, "toisessa ikkunassa")  # somebody's code with another's state
    asker, path = begin()
    refused(asker, path.replace("state=", "state=x"), "toisessa ikkunassa")
    asker, path = begin()
    refused(asker, re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", path))
    asker, path = begin()
    refused(asker, re.sub(r"&?iss=[^&]+", "", path))  # the provider says that it always names it
    asker, path = begin()
    refused(asker, path + "&code=another")
    asker, path = begin()
    refused(asker, re.sub(r"code=[^&]+", "code=guessed", path))
    asker = guest()
    refused(asker, asker.there.walk(asker.leave(), "a-1", abort=True))
    # A code that was used already, by who has the first one's cookie.
    asker, path = begin()
    kept = asker.client.get_cookie("login").value  # type: ignore[union-attr]
    assert asker.client.get(path).status_code == 303
    thief = guest()
    thief.client.set_cookie("login", kept)
    refused(thief, path)
    # Another nonce than the one that was sent, all else right; and the same too late.
    asker, path = begin()
    key = archive.keys.ensure("installation/pages")
    begun = starting.opened(asker.client.get_cookie("login").value, key, now=clock())  # type: ignore[union-attr]
    assert begun is not None
    wrong = dataclasses.replace(begun, nonce="n" * 43)
    asker.client.set_cookie("login", starting.sealed(wrong, key))
    refused(asker, path)
    asker, path = begin()
    clock.advance(timedelta(minutes=11))
    refused(asker, path, "liian kauan sitten")
    assert {e["by"] for e in entries(engine, "refuse-log-in")} == {"provider"}


def test_only_a_fresh_log_in_of_the_same_person_proves_who_it_is(
    guest: Callable[[], Guest], people: People, archive: Archive, idp: IdentityProvider,
    clock: Clock, engine: Engine,
) -> None:  # fmt: skip
    pomo = guest()
    pomo.come("p-1")

    def ask() -> str:
        forget_proof(engine)
        pomo.get("/admin")
        answer = pomo.submit("/admin/people", name="uusi", group="dpo")
        assert answer.status_code == 403
        page = pomo.submit("/prove/provider", proof_to="/admin/people", name="uusi", group="dpo")
        address = re.search(r'content="0; url=([^"]+)"', page.get_data(as_text=True))
        assert address is not None
        return address[1].replace("&amp;", "&")

    asked = parse_qs(urlsplit(ask()).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert asked["code_challenge_method"] == ["S256"]
    # The parameters taken out on the way: the old session there answers, with its old auth_time.
    weaker = re.sub(r"&(prompt|max_age)=\w+", "", ask())
    back = pomo.there.walk(weaker, None)
    key = archive.keys.ensure("installation/pages")
    kept = pomo.client.get_cookie("login").value  # type: ignore[union-attr]
    begun = starting.opened(kept, key, now=clock())
    assert begun is not None
    # As if the question had been asked a minute later than that log-in.
    later = dataclasses.replace(begun, at=clock().timestamp() + 60)
    pomo.client.set_cookie("login", starting.sealed(later, key))
    clock.advance(timedelta(minutes=2))
    assert pomo.get(back).status_code == 401
    clock.advance(timedelta(minutes=-2))
    # Somebody else who logs in at the same browser.
    idp.knows("p-2", preferred_username="toinen", groups=["arkisto-johto"])
    back = Browser().walk(ask(), "p-2")
    assert pomo.get(back).status_code == 401
    back = pomo.there.walk(ask(), "p-1")
    assert guest().client.get(back).status_code == 401  # in another browser
    assert [p.name for p in people.people()] == ["pomo"]
    back = pomo.there.walk(ask(), "p-1")
    page = pomo.get(back)
    assert page.status_code == 200 and 'value="uusi"' in pomo.page
    assert pomo.submit("/admin/people", name="uusi", group="dpo").status_code == 201


def test_what_the_settings_call_a_second_factor_counts_as_one_and_nothing_else(
    archive: Archive, engine: Engine, clock: Clock, idp: IdentityProvider
) -> None:
    strict = People(
        engine, now=clock, pepper=lambda: archive.keys.ensure("installation/pages"),
        factor_groups=["admin"], commitment="2026-1",
    )  # fmt: skip
    app = create_app(archive, strict)
    for subject, amr, then in (("m-1", ["pwd", "mfa"], 200), ("m-2", ["pwd"], 303)):
        idp.knows(subject, preferred_username=subject, groups=["arkisto-johto"], amr=amr)
        visitor = Guest(app.test_client())
        visitor.come(subject)
        assert visitor.client.get("/admin").location == "/commitment"
        visitor.get("/commitment")
        visitor.submit("/commitment", version="2026-1")
        assert visitor.client.get("/admin").status_code == then, subject


def test_another_sites_page_begins_no_log_in(app: Flask) -> None:
    """Who is logged in at the provider would else be logged in here without their doing."""
    for site, where in (("cross-site", "/login"), ("same-site", "/login")):
        answer = app.test_client().get("/login/provider", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 303 and answer.location.startswith(where)
    answer = app.test_client().get("/login/provider", headers={"Sec-Fetch-Site": "same-origin"})
    assert urlsplit(answer.location).path == "/auth"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("login=") and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert f"Max-Age={int(starting.LIFE.total_seconds())};" in cookie


def test_without_a_provider_there_is_no_button_and_no_address(
    archive: Archive, people: People, config: Config
) -> None:
    plain = dataclasses.replace(config, oidc_issuer="", oidc_client_id="", oidc_client_secret="",
                                oidc_groups=())  # fmt: skip
    archive.config = plain
    client = create_app(archive, people).test_client()
    assert "/login/provider" not in client.get("/login").get_data(as_text=True)
    for path in ("/login/provider", "/login/provider/return?state=x&code=y"):
        assert client.get(path).status_code == 404


def test_a_provider_that_is_away_is_told_and_others_come_in_by_password(
    archive: Archive, people: People, config: Config
) -> None:
    archive.config = dataclasses.replace(config, oidc_issuer="http://127.0.0.1:9")
    client = create_app(archive, people).test_client()
    answer = client.get("/login/provider")
    assert answer.status_code == 503 and "ei vastaa" in answer.get_data(as_text=True)
    people.create("aino", "customer-service", PASSWORD)
    answer = client.post("/login", data={"name": "aino", "password": PASSWORD})
    assert answer.status_code == 303
    assert [f.mark for f in identity_provider_found(config)] == ["ok"]
    assert [f.mark for f in identity_provider_found(archive.config)] == ["BAD"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"oidc_issuer": "https://idp.example.com"}, "ARCHIVE_EU_HOSTS"),
        ({"oidc_issuer": "http://idp.example.com", "eu_hosts": ("idp.example.com",)}, "https"),
        ({"oidc_issuer": ""}, "ARCHIVE_OIDC_CLIENT_ID needs it"),
        ({"oidc_client_secret": "short"}, "16 characters"),
        ({"oidc_groups": ()}, "at least one"),
        ({"oidc_groups": ("kaikki=everybody",)}, "no group everybody"),
        ({"public_url": ""}, "ARCHIVE_PUBLIC_URL"),
    ],
)
def test_settings_of_a_provider_that_will_not_do_are_named(
    config: Config, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(BadSetting, match=re.escape(expected)):
        provider_of(dataclasses.replace(config, **changed))


# -- a provider that lies ----------------------------------------------------------------


@dataclasses.dataclass
class Liar:
    """Answers whatever the test wants, signed by whichever key."""

    issuer: str = ""
    described: dict[str, Any] = dataclasses.field(default_factory=dict)
    keys: list[RSAKey] = dataclasses.field(default_factory=list)
    token: str = ""
    asked: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture(scope="module")
def rsa_keys() -> list[RSAKey]:
    return [RSAKey.generate_key(2048, {"kid": kid}) for kid in ("one", "two")]


@pytest.fixture
def liar(rsa_keys: list[RSAKey]) -> Iterator[Liar]:
    lying = Liar(keys=rsa_keys[:1])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lying.asked.append(self.path)
            if self.path == "/jwks":
                body = KeySet(lying.keys).as_dict(private=False)
            else:
                body = lying.described
            self._say(body)

        def do_POST(self) -> None:
            lying.asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say({"id_token": lying.token, "access_token": "x", "token_type": "Bearer"})

        def _say(self, body: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    lying.issuer = f"http://127.0.0.1:{server.server_port}"
    lying.described = {
        "issuer": lying.issuer,
        "authorization_endpoint": lying.issuer + "/auth",
        "token_endpoint": lying.issuer + "/token",
        "jwks_uri": lying.issuer + "/jwks",
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield lying
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def flow(config: Config, liar: Liar, clock: Clock) -> Flow:
    provider = provider_of(dataclasses.replace(config, oidc_issuer=liar.issuer))
    assert provider is not None
    return Flow(provider, now=clock)


def claims_of(liar: Liar, clock: Clock, nonce: str) -> dict[str, Any]:
    now = int(clock().timestamp())
    return {
        "iss": liar.issuer, "sub": "l-1", "aud": "archive", "exp": now + 300, "iat": now,
        "nonce": nonce, "groups": ["arkisto-dpo"],
    }  # fmt: skip


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_an_id_token_that_is_not_for_here_and_now_is_refused(
    liar: Liar, flow: Flow, clock: Clock, rsa_keys: list[RSAKey]
) -> None:
    now = int(clock().timestamp())
    begun = starting.begin(clock())

    def finish(header: dict[str, Any], key: Any, **changed: Any) -> str:
        claims = claims_of(liar, clock, begun.nonce) | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        liar.token = jwt.encode(header, claims, key, algorithms=[header["alg"]])
        return flow.finish(begun, {"state": begun.state, "code": "c"}).subject

    good = {"alg": "RS256", "kid": "one"}
    assert finish(good, rsa_keys[0]) == "l-1"
    assert finish(good, rsa_keys[0], aud=["archive"], azp="archive") == "l-1"
    for changed in (
        {"iss": "https://idp.example.org"}, {"iss": None}, {"aud": "another"}, {"aud": None},
        {"aud": ["archive", "another"]}, {"aud": ["archive", "another"], "azp": "another"},
        {"azp": "another"}, {"exp": now - 60}, {"exp": None}, {"iat": now + 600}, {"iat": None},
        {"nbf": now + 600}, {"nonce": "another"}, {"nonce": None}, {"sub": None}, {"sub": ""},
        {"sub": 7}, {"sub": "x" * 256}, {"at_hash": "wrong"},
    ):  # fmt: skip
        with pytest.raises(ProviderRefused):
            finish(good, rsa_keys[0], **changed)
    with pytest.raises(ProviderRefused):  # signed by a key that the provider does not show
        finish({"alg": "RS256", "kid": "two"}, rsa_keys[1])
    with pytest.raises(ProviderRefused):
        finish(good, rsa_keys[1])
    whole = liar.token.split(".")
    nobody = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    # "signed" with the public key, as a secret that both sides know
    symmetric = base64url(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    by_hand = f"{symmetric}.{whole[1]}"
    mac = hmac.digest(rsa_keys[0].as_pem(private=False), by_hand.encode(), "sha256")
    for token in (
        "", "x", f"{nobody}.{whole[1]}.", f"{whole[0]}.{whole[1]}.AAAA",
        f"{by_hand}.{base64url(mac)}",
    ):  # fmt: skip
        liar.token = token
        with pytest.raises(ProviderRefused):
            flow.finish(begun, {"state": begun.state, "code": "c"})


def test_new_keys_of_the_provider_are_found_and_not_asked_for_at_every_token(
    liar: Liar, flow: Flow, clock: Clock, rsa_keys: list[RSAKey]
) -> None:
    begun = starting.begin(clock())

    def finish(key: RSAKey) -> str:
        claims = claims_of(liar, clock, begun.nonce)
        liar.token = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)
        return flow.finish(begun, {"state": begun.state, "code": "c"}).subject

    assert finish(rsa_keys[0]) == "l-1"
    liar.keys = rsa_keys[1:]
    for _ in range(3):
        with pytest.raises(ProviderRefused):
            finish(rsa_keys[1])
    assert liar.asked.count("/jwks") == 1
    clock.advance(timedelta(minutes=2))
    assert finish(rsa_keys[1]) == "l-1" and finish(rsa_keys[1]) == "l-1"
    assert liar.asked.count("/jwks") == 2
    clock.advance(timedelta(hours=1, minutes=1))
    assert finish(rsa_keys[1]) == "l-1" and liar.asked.count("/jwks") == 3


def test_a_description_leads_to_no_host_that_is_not_listed_and_to_no_other_issuer(
    liar: Liar, config: Config, clock: Clock
) -> None:
    """Nothing is asked of such a host; the tests' own guard would fail the attempt."""
    provider = provider_of(dataclasses.replace(config, oidc_issuer=liar.issuer))
    assert provider is not None
    right = dict(liar.described)
    for name, address in (
        ("issuer", "https://idp.example.org"), ("jwks_uri", "https://evil.example/jwks"),
        ("jwks_uri", "file:///etc/passwd"), ("jwks_uri", None), ("jwks_uri", "https://u@127.0.0.1/"),
    ):  # fmt: skip
        liar.described = right | {name: address}
        with pytest.raises(ProviderRefused):
            Flow(provider, now=clock).check()
    liar.described = right | {"token_endpoint": "http://169.254.169.254/token"}
    begun = starting.begin(clock())
    with pytest.raises(ProviderRefused):
        Flow(provider, now=clock).finish(begun, {"state": begun.state, "code": "c"})
    liar.described = right | {"padding": "x" * 300_000}
    with pytest.raises(ProviderRefused):
        Flow(provider, now=clock).check()
    elsewhere = dataclasses.replace(
        provider, issuer="https://idp.example.org", here=False, hosts=frozenset({"idp.example.org"})
    )
    from archive.oidc.fetching import is_allowed

    assert is_allowed(elsewhere, "https://idp.example.org/x")
    assert not is_allowed(elsewhere, "http://idp.example.org/x")
    assert not is_allowed(elsewhere, liar.issuer)  # never to what listens here alone
    with pytest.raises((ProviderAway, ProviderRefused)):
        Flow(dataclasses.replace(provider, issuer="http://127.0.0.1:9"), now=clock).check()
