"""Every door with every group, every token, every method, and with what is not the visitor's.

Held against the one table: archive/permissions.py says what a group may, archive/doors.py what a
door asks for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from archive import doors, permissions
from archive.archive import OPERATOR, Archive
from archive.auth import People
from archive.doors import DOORS, Door
from archive.errors import Forbidden, NotFound
from archive.model import Actor, Purpose, Scope
from archive.qualitydesk import QualityDesk
from archive.web import gate, saved
from archive.web import kept as keeping
from archive.web.kept import Kept
from tests.api.test_delivery import metadata, post_call, post_email
from tests.clock import Clock
from tests.machine import Machine
from tests.media import mail, wav

GROUPS = [group.name for group in permissions.groups()]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
STATE = (  # what a refusal must not change; the log, and when a session was seen, apart
    "person", "machine_token", "hold", "complaint_case", "case_recording", "case_note", "recording",
    "opening", "allowed_line", "erasure", "kept_view", "notice", "second_factor", "recovery_code",
    "verification", "scorecard", "quality_sample", "quality_score", "evidence", "identity",
    "emergency",
)  # fmt: skip
_numbers = itertools.count(1)


@dataclass
class Objects:
    """What stands in addresses: one of each."""

    id: str
    number: str
    hold: str
    note: str
    token: str = "x" * 24
    person: str = ""
    machine: str = ""
    opening: str = ""
    reference: str = "V-2222-2222"
    sample: str = "00000000-0000-4000-8000-000000000000"
    card: str = ""
    package: str = ""
    session: str = ""


@dataclass
class World:
    """An archive with people of every group, and everything that an address can be about."""

    archive: Archive
    people: People
    app: Flask
    machine: Machine
    clock: Clock
    tables: tuple[str, ...] = ()
    recorder: Actor | None = None

    def person(self, group: str, **rights: Any) -> tuple[FlaskClient, Actor]:
        """Somebody of the group, logged in."""
        name = f"{group}-{next(_numbers)}"
        self.people.create(name, group, None, **rights)
        token = self.people.use_one_time(self.people.one_time_link(name))
        client = self.app.test_client()
        client.set_cookie("archive", token)
        actor = self.people.actor_of_session(token)
        assert actor is not None
        return client, actor

    def call(self, *, line: str = "viat", company: str | None = None, days: int = 0) -> str:
        """A call of so many days ago, not described."""
        at = (self.clock() - timedelta(days=days, hours=2)).isoformat()
        given = metadata(
            self.clock, source_ref=f"door-{next(_numbers)}", line=line, company=company,
            occurred_at=at, customer_number="100234567",
        )  # fmt: skip
        id: str = post_call(self.machine, given, audio=wav(0.5)).get_json()["id"]
        return id

    def objects(self, id: str, by: Actor, *, held: bool = True) -> Objects:
        """A case with the recording in it, noted by `by`, and a list that `by` reached."""
        archive, day = self.archive, (self.clock() + timedelta(days=30)).date()
        number = archive.open_case(OPERATOR)
        archive.add_to_case(OPERATOR, number, UUID(id))
        hold = str(uuid4())
        if held:
            made_hold = archive.hold(OPERATOR, UUID(id), case=number, reason="x", review_on=day)
            hold = str(made_hold.hold.id)
        noter = by if Scope.CASES in by.scopes else OPERATOR
        note = archive.note_in_case(noter, number, "noted")
        made = Objects(id=id, number=number, hold=hold, note=str(note))
        made.package = str(archive.ask_evidence(OPERATOR, number, recordings=[UUID(id)]))
        if by.kind == "person":
            made.token = self.listed(by, "search", made)
            made.session = self.other_session(by)
        verifying = frozenset({Purpose.VERIFICATION})
        verifier = by if verifying <= by.purposes else replace(OPERATOR, purposes=verifying)
        made.reference = archive.record_verification(verifier, UUID(id), outcome="confirmed")
        if Scope.QUALITY in by.scopes:
            made.sample, made.card = self.sampled(by, id)
        made.person = str(self.people.create(f"spare-{next(_numbers)}", "complaints", None))
        self.people.create_token(f"spare-{next(_numbers)}", scopes=[Scope.SEARCH])
        made.machine = str(max(self.people.tokens(), key=lambda t: (not t.revoked_at, t.name)).id)
        return made

    def other_session(self, by: Actor) -> str:
        """Another session of the person's."""
        self.people.use_one_time(self.people.one_time_link(by.name))
        several = self.people.sessions_of(UUID(by.id), this=by.session)
        return str(next(one.id for one in several if not one.this))

    def sampled(self, by: Actor, id: str) -> tuple[str, str]:
        """A sample of `by`'s with the recording in it, and a scorecard of one criterion."""
        card = QualityDesk(self.archive).put_scorecard(by, name="card", criteria="1")
        sample = str(uuid4())
        with self.archive.engine.begin() as connection:
            connection.execute(
                text("insert into quality_sample values (:s, 'viat', :d, :d, :by, :now)"),
                {"s": sample, "d": self.clock().date(), "by": by.id, "now": self.clock()},
            )
            connection.execute(
                text("insert into quality_pick values (:s, 1, :id)"), {"s": sample, "id": UUID(id)}
            )
        return sample, str(card)

    def listed(self, by: Actor, desk: str, of: Objects) -> str:
        """The token of a list of `by`'s with the recording on it, for a purpose of theirs."""
        purpose = min(by.purposes, default=None)
        fields = {"customer": "100234567"}
        task = Kept(
            desk=desk, asked=fields, query=fields, pages=[[of.id]], purpose=purpose,
            case=of.number if purpose is Purpose.COMPLAINT else None,
        )  # fmt: skip
        return keeping.keep(self.archive, by, task)

    def agent(self) -> Actor:
        """Somebody of customer service, without a session."""
        if self.recorder is None:
            self.recorder = self.person("customer-service")[1]
        return self.recorder

    def state(self) -> dict[str, str]:
        """A digest of each table that a refusal must not change."""
        with self.archive.engine.connect() as connection:
            if not self.tables:
                there = "select tablename from pg_tables where tablename = any(:names)"
                names = connection.execute(text(there), {"names": list(STATE)}).scalars()
                self.tables = tuple(sorted(names))
            digests = ", ".join(
                f"(select md5(string_agg(t::text, '|' order by t::text)) from {table} t) {table}"
                for table in self.tables
            )
            return dict(connection.execute(text(f"select {digests}")).mappings().one())


@pytest.fixture
def world(archive: Archive, people: People, app: Flask, machine: Machine, clock: Clock) -> World:
    return World(archive, people, app, machine, clock)


def rules(app: Flask, chosen: Mapping[str, Door]) -> Iterator[tuple[Rule, Door]]:
    """Routes and their doors; first what only looks, last what ends what others are about."""
    found = [
        (rule, chosen[rule.endpoint])
        for rule in app.url_map.iter_rules()
        if rule.endpoint in chosen and chosen[rule.endpoint].right != doors.PUBLIC
    ]

    def late(pair: tuple[Rule, Door]) -> tuple[bool, bool, str]:
        name = pair[0].endpoint
        return name == "login.log_out", name in ENDING, pair[0].rule

    return iter(sorted(found, key=late))


SESSION = {door.endpoint: door for door in (*doors.PAGES, *doors.EITHER)}
TOKEN = {door.endpoint: door for door in doors.INTERFACE}
ENDING = {  # each gets everything of its own
    "login.log_out", "proof.erase", "cases.close", "cases.refuse", "cases.reopen", "cases.take_out",
    "cases.remove_note", "cases.hold", "holds.release", "holds.restrict", "holds.lift",
    "holds.place", "admin.disable_person", "admin.revoke_token", "cases.hand_over",
    "holds.hand_over", "cases.add", "outcomes.undo", "evidence.remove", "api.remove_evidence",
    "account.remove_factor",
    "api.erase", "api.close_case", "api.reopen", "api.release", "api.restrict", "api.unrestrict",
    "api.place", "api.hand_over",
}  # fmt: skip


UNHELD = {
    "proof.erase", "cases.take_out", "cases.hold", "holds.place", "holds.restrict", "api.erase",
    "api.restrict", "api.place",
}  # fmt: skip


def address(app: Flask, rule: Rule, of: Objects) -> str:
    """The rule's address about these objects."""
    about = {
        "id": of.id, "number": of.number, "hold": of.hold, "note": of.note, "token": of.token,
        "run": str(uuid4()), "name": "original", "index": 0, "end": "first", "month": "2026-11",
        "day": "2026-11-24", "filename": "app.css",
        "reference": of.reference, "place": 1,
    }  # fmt: skip
    if rule.rule.startswith("/quality/samples"):
        about["id"] = of.sample
    if rule.rule.startswith("/walk/"):
        about["number"] = 0
    if rule.rule.startswith("/admin/people"):
        about["id"] = of.person
    if "session" in rule.arguments:
        about["session"] = of.session
    if rule.rule.startswith("/admin/tokens"):
        about["id"] = of.machine
    if "/evidence/" in rule.rule:
        about["id"] = of.package or str(uuid4())
    if rule.endpoint == "opening":
        about["token"] = of.opening
    given = {name: UUID(value) if name in {"id", "hold", "note", "run", "session"} else value
             for name, value in about.items() if name in rule.arguments}  # fmt: skip
    built: str = app.url_map.bind("localhost").build(rule.endpoint, given, method=None)
    return built


def methods(rule: Rule) -> list[str]:
    return sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})


def ask(
    world: World, client: FlaskClient, actor: Actor, rule: Rule, of: Objects, *, method: str = "",
    filled: bool = True,
) -> TestResponse:  # fmt: skip
    """Knocks: with a form that is in order where `filled`, else with an empty one."""
    path, method = address(world.app, rule, of), method or methods(rule)[0]
    if method in {"GET", "HEAD"}:
        return client.open(path, method=method, query_string={"view": of.token}, buffered=True)
    found = world.people.session(client.get_cookie("archive").value)  # type: ignore[union-attr]
    form = {"csrf": found.csrf if found else ""}
    if filled:
        form |= fields(world, actor, rule, of)
    return client.open(path, method=method, data=form, buffered=True)


def fields(world: World, actor: Actor, rule: Rule, of: Objects) -> dict[str, Any]:
    """What the door's form would send."""
    colleague = next((p.name for p in world.archive.colleagues(OPERATOR)), "")
    day = (world.clock() + timedelta(days=40)).date().isoformat()
    given = {
        "view": of.token, "reason": "a reason", "review_on": day, "sure": "1", "id": of.id,
        "case": of.number, "owner": colleague, "text": "noted", "contact": "100234567",
        "customer": "100234567", "purpose": str(min(actor.purposes, default="")),
        "language": "en", "group": "complaints", "name": f"made-{next(_numbers)}",
        "scope": "search", "source": "another", "line": "viat", "email": "", "lines": "",
        "new": "sähköä riittää 2027", "outcome": "confirmed", "when": "24.11.2026", "size": "5",
        "card": of.card, "criteria": "1", "p0": "4", "note": "noted",
    }  # fmt: skip
    if not given["purpose"]:
        del given["purpose"]
    if rule.endpoint == "proof.erase":
        given["reason"] = "private"
    if rule.endpoint == "emergency.review":
        given["outcome"] = "justified"
    if rule.endpoint == "reviews.mend":
        given = {"agent": "Aino"}
    if rule.endpoint == "proof.prove":
        given["id"] = str(uuid4())
    if rule.endpoint == "cases.create":
        given["number"] = ""
    if rule.endpoint == "search.narrow":
        given |= {"name": "kind", "value": "call"}
    if rule.endpoint == "auditing.narrowed":
        given = {"verb": "open"}
    if rule.endpoint == "cases.close":
        seen = world.archive.closing_of(OPERATOR, of.number)
        given["seen"] = seen.digest
    return given


def prepare(world: World, rule: Rule, actor: Actor, shared: Objects) -> Objects:
    """What the door is about, of its own where it ends something."""
    desk = "case" if rule.endpoint == "cases.found" else ""
    if rule.rule.startswith("/verify/<token>"):
        desk = "verify"
    if desk:
        task = Objects(**{**shared.__dict__, "token": ""})
        task.token = keeping.keep(
            world.archive, actor,
            Kept(desk=desk, asked={"customer": "100234567", "contact": "1"},
                 query={"customer": "100234567"}, case=shared.number),
        )  # fmt: skip
        return task
    if rule.endpoint in {"searches.run", "searches.delete"}:
        id = saved.save(world.archive, actor, name="door", asked={"customer": "100234567"})
        return Objects(**{**shared.__dict__, "id": str(id)})
    if rule.endpoint not in ENDING or rule.endpoint == "login.log_out":
        return shared
    made = world.objects(world.call(), actor, held=rule.endpoint not in UNHELD)
    archive = world.archive
    if rule.endpoint in {"cases.reopen", "api.reopen"}:
        seen = archive.closing_of(OPERATOR, made.number)
        archive.close_case(OPERATOR, made.number, seen=seen.digest, reason="door")
    return made


def test_every_route_has_a_line_in_the_table_and_every_line_a_route(app: Flask) -> None:
    routes = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert routes - set(DOORS) == set(), "a route without a line in archive/doors.py"
    assert set(DOORS) - routes == set()
    public = {name for name, door in DOORS.items() if door.right == doors.PUBLIC}
    assert public == {name for name in routes if gate.is_public(app, name)}
    assert {door.right for door in DOORS.values()} - {doors.PUBLIC} <= set(permissions.RIGHTS)


def test_a_route_without_a_line_is_shut_to_everybody(world: World) -> None:
    world.app.add_url_rule("/new", "forgotten.page", lambda: "open")
    for group in ("admin", "dpo"):
        client, _actor = world.person(group)
        assert client.get("/new").status_code == 403
    assert world.app.test_client().get("/new").status_code == 303


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_comes_through_its_own_doors_and_no_others(
    world: World, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the gate, and where the gate does not look, by the verbs: nothing shown or changed."""
    client, actor = world.person(group)
    shared = world.objects(world.call(), actor)
    world.machine.work()
    wrong = []
    # First what is refused, all of it: nothing of it may have changed anything.
    doors_here = [pair for pair in rules(world.app, SESSION) if pair[0].endpoint != "opening"]
    before = _unlisted(world)
    for rule, door in sorted(doors_here, key=lambda pair: pair[1].admits(actor)):
        if door.admits(actor):
            assert before in ("", _unlisted(world)), "a refusal changed something"
            before = ""
            of = prepare(world, rule, actor, shared)
            answer = ask(world, client, actor, rule, of)
            fine = answer.status_code < 400 or (answer.status_code == MAY_LACK.get(rule.endpoint))
        else:
            answer = ask(world, client, actor, rule, shared, filled=False)
            with monkeypatch.context() as patched:
                patched.setattr(gate, "_check_right", lambda endpoint: None)
                behind = ask(world, client, actor, rule, shared)
            fine = answer.status_code == door.refusal and behind.status_code < 500
            fine = fine and (behind.status_code >= 300 or rule.endpoint in EMPTY_FOR_OTHERS)
            if not fine:
                wrong.append(f"behind the gate: {behind.status_code} {rule.endpoint}")
        if not fine:
            wrong.append(f"{answer.status_code} {rule.endpoint}")
    assert wrong == []


def _unlisted(world: World) -> str:
    """The state without lists that people keep for themselves."""
    return str({name: value for name, value in world.state().items() if name != "kept_view"})


NONE_HERE = {  # there is none for everybody: a waveform of what is no call, a run that never was
    "recording.peaks", "recording.attachment", "expiry.certificate", "recording.open_player",
    "holds.lift", "api.unrestrict", "api.rendition", "api.make_opening", "recording.source",
    "proof.withdraw", "api.withdraw", "auditing.reviewed",
    "evidence.save", "api.evidence_content",
    # these ask for a code or a second factor that nobody here has: tests/test_accounts.py
    "account.renew_codes", "account.remove_factor", "accounts.reset_factor",
    # no provider is set up here, and nobody broke the glass: tests/test_identity_provider.py,
    # tests/web/test_emergency.py
    "provider.prove", "emergency.review",
}  # fmt: skip
MAY_LACK = dict.fromkeys(NONE_HERE, 404) | {
    "account.confirm_factor": 422, "account.agree": 400, "account.prove": 403,
}  # fmt: skip


# An email that cannot be shown is an empty frame on purpose; a refused form says nothing but that.
EMPTY_FOR_OTHERS = {"recording.email_frame", "proof.erase"}


def test_no_door_opens_by_a_method_it_does_not_name(world: World) -> None:
    client, actor = world.person("complaints")
    of = world.objects(world.call(), actor)
    form = {"csrf": world.people.csrf(client.get_cookie("archive").value)}  # type: ignore[union-attr]
    named: dict[str, set[str]] = {}
    for rule in world.app.url_map.iter_rules():
        named.setdefault(rule.rule, set()).update(rule.methods or ())
    wrong = []
    for rule, _door in rules(world.app, SESSION):
        path = address(world.app, rule, of)
        for method in set(METHODS) - named[rule.rule]:
            status = client.open(path, method=method, data=form, buffered=True).status_code
            if status not in {404, 405}:
                wrong.append(f"{status} {method} {rule.rule}")
    assert wrong == []


SCOPES = sorted(permissions.TOKEN_SCOPES)


def knock(world: World, machine: Machine, rule: Rule, of: Objects, *, filled: bool) -> Any:
    """A token's request, in order where `filled`."""
    path, method = address(world.app, rule, of), methods(rule)[0]
    purpose = {"X-Archive-Purpose": "complaint", "X-Archive-Case": of.number}
    if rule.endpoint == "api.post_call":
        return post_call(machine, metadata(world.clock, source_ref=f"d{next(_numbers)}"))
    if rule.endpoint == "api.post_email":
        return post_email(machine, mail(subject=f"d{next(_numbers)}", text="x"))
    if rule.endpoint == "api.post_vcon":
        where = f"{path}?source=pbx&line=viat"
        told = {"uuid": f"d{next(_numbers)}", "parties": [], "dialog": []}
        return machine.client.post(where, headers=machine.headers, json=told)
    body = BODIES.get(rule.endpoint, {}) if filled else {}
    if callable(body):
        body = body(world, of)
    return machine.client.open(
        path, method=method, headers=machine.headers | purpose, buffered=True,
        json=body if method in {"POST", "PUT", "PATCH"} else None,
    )  # fmt: skip


def _later(world: World) -> str:
    return (world.clock() + timedelta(days=40)).date().isoformat()


BODIES: dict[str, Any] = {
    "api.search": {"customer": "100234567"},
    "api.make_opening": lambda w, o: {
        "purpose": "complaint", "case": o.number, "rendition": "original"},
    "api.correct": {"agent": "Mikko"},
    "api.put_transcript": {"segments": []},
    "api.post_metadata": {"source": "pbx", "source_ref": "of-a-door", "agent": "Mikko"},
    "api.erase": {"reason": "private"},
    "api.add_to_case": lambda w, o: {"id": o.id},
    "api.add_note": {"text": "noted"},
    "api.hand_over": lambda w, o: {
        "owner": w.archive.handlers(OPERATOR)[0].name, "reason": "leave"},
    "api.close_case": lambda w, o: {
        "digest": w.archive.closing_of(OPERATOR, o.number).digest, "reason": "done"},
    "api.reopen": {"reason": "again"},
    "api.place": lambda w, o: {
        "case": o.number, "reason": "needed", "review_on": _later(w)},
    "api.change": lambda w, o: {"review_on": _later(w), "reason": "longer"},
    "api.restrict": {"reason": "asked for"},
}  # fmt: skip


def test_a_token_does_what_its_scope_says_and_nothing_else(
    world: World, token_of: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token for each scope there is; at the gate and behind it."""
    world.person("complaints")  # somebody to hand over to
    wrong = []
    for scope in SCOPES:
        machine = token_of(scope, purposes=(Purpose.COMPLAINT,), source="pbx")
        actor = world.people.actor_of_token(machine.headers["Authorization"].split()[1])
        assert actor is not None
        shared = world.objects(world.call(), actor)
        mine, others = (
            [(rule, door) for rule, door in rules(world.app, TOKEN) if door.admits(actor) is own]
            for own in (True, False)
        )
        before = _unlisted(world)
        for rule, door in others:
            answer = knock(world, machine, rule, shared, filled=False)
            with monkeypatch.context() as patched:
                patched.setattr(gate, "_check_right", lambda endpoint: None)
                behind = knock(world, machine, rule, shared, filled=True)
            if answer.status_code != door.refusal or not 400 <= behind.status_code < 500:
                wrong.append(f"{answer.status_code} {behind.status_code} {rule.endpoint} {scope}")
        assert _unlisted(world) == before, f"a refusal changed something for {scope}"
        for rule, _door in mine:
            of = prepare(world, rule, actor, shared)
            answer = knock(world, machine, rule, of, filled=True)
            lacks = answer.status_code == 404 and rule.endpoint in {*MAY_LACK, "api.prove"}
            if answer.status_code >= 400 and not lacks:
                wrong.append(f"{answer.status_code} {rule.endpoint} {scope}")
    assert wrong == []


def test_no_session_is_a_token(world: World) -> None:
    for group in GROUPS:
        client, _actor = world.person(group)
        of = Objects(id=str(uuid4()), number="2026-00001", hold=str(uuid4()), note=str(uuid4()))
        for rule, _door in rules(world.app, TOKEN):
            path = address(world.app, rule, of)
            assert client.open(path, method=methods(rule)[0]).status_code == 401, (group, path)


def test_what_is_not_ones_own_answers_like_what_does_not_exist(world: World) -> None:
    """Another line's, another company's, an older recording; another's hold, list and note."""
    world.people.create("colleague", "complaints", None)
    strange = {
        "line": (world.call(line="muu", company="Verkko"), {"lines": ["viat"]}),
        "company": (world.call(company="Myynti"), {"companies": ["Verkko"]}),
        "no company": (world.call(), {"companies": ["Verkko"]}),
    }
    wrong = []
    for why, (id, rights) in strange.items():
        for group in GROUPS:
            client, actor = world.person(group, **rights)
            theirs = world.objects(id, OPERATOR) if why == "line" and group == GROUPS[0] else None
            if theirs is None:
                theirs = _about(world, id)
            theirs.token = world.listed(actor, "search", theirs)
            theirs.session = world.other_session(world.agent())
            nothing = Objects(
                id=str(uuid4()), number=theirs.number, hold=str(uuid4()), note=str(uuid4()),
                token=theirs.token, session=str(uuid4()),
            )  # fmt: skip
            for rule, door in rules(world.app, SESSION):
                if door.about not in {
                    "recording",
                    "hold",
                    "note",
                    "verification",
                } or not door.admits(actor):
                    continue
                if rule.endpoint == "cases.show":  # shows nothing itself: it leads on
                    continue
                before = _unlisted(world)
                client.delete_cookie("notice")  # what the door before said
                seen = ask(world, client, actor, rule, theirs)
                if _unlisted(world) != before:
                    wrong.append(f"changed by {rule.endpoint} of another {why} for {group}")
                client.delete_cookie("notice")
                lacking = ask(world, client, actor, rule, nothing)
                if _told(seen, theirs) != _told(lacking, nothing):
                    wrong.append(f"{seen.status_code} {rule.endpoint} of another {why}: {group}")
    assert wrong == []


def _about(world: World, id: str) -> Objects:
    """The hold and case that the recording has, or new ones."""
    with world.archive.engine.connect() as connection:
        row = connection.execute(
            text("select id, case_number from hold where recording_id = :id"), {"id": UUID(id)}
        ).first()
    if row is None:
        return world.objects(id, OPERATOR)
    note = world.archive.note_in_case(OPERATOR, row.case_number, "noted")
    return Objects(id=id, number=row.case_number, hold=str(row.id), note=str(note))


def _told(answer: TestResponse, of: Objects) -> tuple[int, str, str]:
    """What an answer says, without the id that was asked for."""
    page = answer.get_data(as_text=True)
    for own in filter(None, (of.id, of.hold, of.note, of.reference, of.session)):
        page = page.replace(own, "·")
    page = re.sub(r'(name="csrf" value|nonce|content)="[^"]*"', "", page)
    where = (answer.location or "").replace(of.id, "·").replace(of.hold, "·")
    return answer.status_code, where, page


def test_a_list_and_an_opening_are_their_sessions_alone(world: World) -> None:
    client, actor = world.person("complaints")
    of = world.objects(world.call(), actor)
    world.machine.work()
    until = world.archive.make_opening(
        actor, UUID(of.id), purpose="complaint", case=of.number, rendition="original"
    )
    of.opening = until[0]
    assert client.get(f"/openings/{of.opening}").status_code == 200
    other, _ = world.person("complaints")
    assert other.get(f"/openings/{of.opening}").status_code == 404
    for path in (f"/search/{of.token}", f"/search/{of.token}/edit", f"/walk/{of.token}/0/first"):
        assert client.get(path).status_code in {200, 303}
        assert other.get(path).status_code == 404


def test_who_sees_some_companies_finds_those_alone(world: World) -> None:
    ours, _theirs, _none = (world.call(company=name) for name in ("Verkko", "Myynti", None))
    world.machine.work()
    client, actor = world.person("complaints", companies=["Verkko"])
    from archive.model import Query

    found = world.archive.find(actor, Query(customer="100234567"), total=True, facets=["line"])
    assert [str(view.id) for view in found.items] == [ours]
    # Counted as far as they see, whatever is counted.
    assert (found.total, found.facets) == (1, {"line": {"viat": 1}})
    assert [str(view.id) for view in world.archive.browse(actor, limit=1).items] == [ours]
    everything = world.archive.find(OPERATOR, Query(customer="100234567"), total=True)
    assert everything.total == 3
    assert client.get(f"/recordings/{ours}").status_code == 200


def test_how_far_back_a_group_sees_is_kept_by_every_verb(
    archive: Archive, engine: Any, clock: Clock, machine: Machine, app: Flask
) -> None:
    from archive.model import Query

    people = People(engine, now=clock, pepper=lambda: b"p", group_days=[("customer-service", 90)])
    world = World(archive, people, app, machine, clock)
    young, old = world.call(days=89), world.call(days=91)
    machine.work()
    name = str(people.create("agent", "customer-service", None))
    token = people.use_one_time(people.one_time_link("agent"))
    agent = people.actor_of_session(token)
    assert name and agent is not None and agent.days_back == 90
    found = archive.find(agent, Query(customer="100234567"), total=True)
    assert [str(view.id) for view in found.items] == [young] and found.total == 1
    archive.describe(agent, UUID(young))
    with pytest.raises(NotFound):
        archive.describe(agent, UUID(old))
    with pytest.raises(NotFound):
        archive.open(agent, UUID(old), purpose="verification")


def test_an_administrator_alters_others_rights_on_a_page_and_not_their_own(world: World) -> None:
    client, admin = world.person("admin")
    _, agent = world.person("customer-service")
    csrf = world.people.csrf(client.get_cookie("archive").value)  # type: ignore[union-attr]
    form = {"csrf": csrf, "group": "complaints", "lines": "viat, muutto", "companies": "Verkko"}
    path = f"/admin/people/{agent.id}"
    assert "viat" not in client.get(path).get_data(as_text=True)
    assert client.post(f"{path}/rights", data=form).status_code == 303
    page = client.get(path).get_data(as_text=True)
    assert "muutto, viat" in page and "Verkko" in page
    assert client.post(f"{path}/rights", data=form | {"group": "boss"}).status_code == 422
    own = client.post(f"/admin/people/{admin.id}/rights", data=form | {"group": "dpo"})
    assert own.status_code == 403
    assert "/rights" not in client.get(f"/admin/people/{admin.id}").get_data(as_text=True)
    assert client.get(f"/admin/people/{uuid4()}").status_code == 404


def test_nobody_alters_their_own_rights(world: World) -> None:
    _client, admin = world.person("admin")
    for group in ("dpo", "admin"):
        with pytest.raises(Forbidden):
            world.people.change_rights(UUID(admin.id), group=group, lines=None, by=admin)
    _other, agent = world.person("customer-service")
    client, _ = world.person("customer-service")
    world.people.change_rights(UUID(agent.id), group="complaints", lines=["viat"], by=admin)
    changed = next(p for p in world.people.people() if str(p.id) == agent.id)
    assert (changed.group, changed.lines) == ("complaints", ("viat",))
    assert _other.get("/verify").status_code == 303  # whoever gets other rights logs in anew
    assert client.get("/verify").status_code == 200


def test_a_refusal_is_in_the_log_with_the_door_and_nothing_that_was_asked(world: World) -> None:
    client, actor = world.person("admin")
    id = world.call()
    assert client.get(f"/recordings/{id}").status_code == 403
    with world.archive.engine.connect() as connection:
        row = connection.execute(
            text("select actor_id, detail from audit_event where verb = 'refused'")
        ).one()
    assert row.actor_id == actor.id
    assert row.detail == {"door": "recording.page", "id": id}
