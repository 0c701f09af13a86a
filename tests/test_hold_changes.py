"""Holds that are kept alive and handed on: reviews moved, owners changed, people told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import text

from archive.archive import Archive
from archive.auth import People
from archive.casework import letters, notices, outgoing, reminders
from archive.casework.notices import Notice
from archive.db import transaction
from archive.errors import BadFields, BadSetting, Forbidden, HoldReleased, NotFound
from archive.model import Actor
from tests.clock import Clock
from tests.owner import as_owner
from tests.running import free_port
from tests.test_holds import AGENT, CASE, DPO, HANDLER, case, days, hold, read, rebuilt
from tests.test_story import deliver

__all__ = ["case"]
LATER = date(2027, 6, 1)


@pytest.fixture
def staff(people: People) -> Callable[..., Actor]:
    """Makes somebody of a group who is a user too, and can therefore own and be told."""

    def make(group: str, name: str | None = None, **more: Any) -> Actor:
        id = people.create(name or group, group, None, more.get("lines"))
        like = {"complaints": HANDLER, "dpo": DPO}[group]
        return replace(like, id=str(id), name=name or group)

    return make


def told(archive: Archive, actor: Actor) -> list[tuple[str, bool]]:
    return [(n.kind, n.seen_at is not None) for n in archive.notices(actor)]


# -- changing a hold -------------------------------------------------------------------


def test_a_review_is_moved_with_its_reason_and_comes_back_from_the_envelope(
    archive: Archive, case: str
) -> None:
    id = deliver(archive, "1", days_ago=364).id
    made = hold(archive, id)
    archive.extend_hold(HANDLER, id, made.hold.id, review_on=LATER, reason="odotamme lautakuntaa")
    days(archive, 3)
    archive.expire()
    as_owner(archive, "truncate recording, cohort, complaint_case cascade")
    assert rebuilt(archive).holds == 1
    (back,) = archive.list_holds(HANDLER)
    assert back.hold.review_on == LATER
    assert back.terms is not None
    (change,) = back.terms.changes
    assert (change.what, change.by, change.became, change.reason) == (
        "review", HANDLER.id, "2027-06-01", "odotamme lautakuntaa",
    )  # fmt: skip
    assert back.terms.reason == "laskukiista"


def test_a_hold_is_handed_over_and_the_new_owner_is_told(
    archive: Archive, case: str, staff: Callable[..., Actor]
) -> None:
    new = staff("complaints", "uusi")
    id = deliver(archive, "1").id
    made = hold(archive, id)
    given = archive.hand_over_hold(HANDLER, id, made.hold.id, owner="uusi", reason="loma")
    assert (given.hold.owner, given.owner_name) == (new.id, "uusi")
    assert told(archive, new) == [("handed-over", False)]
    with transaction(archive.engine) as connection:
        (detail,) = connection.execute(
            text("select detail from audit_event where verb = 'hold-hand-over'")
        ).scalars()
    assert detail == {"hold": str(made.hold.id), "owner": new.id, "was": HANDLER.id}
    assert "loma" not in str(detail)


def test_a_hold_goes_to_nobody_who_may_not_have_it(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People
) -> None:
    people.create("agentti", "customer-service", None)
    people.create("muu-linja", "complaints", None, ["muu"])
    people.disable(people.create("entinen", "complaints", None))
    staff("complaints", "kollega")
    id = deliver(archive, "1").id
    made = hold(archive, id)
    for name in ("agentti", "muu-linja", "entinen", "ei-kukaan", ""):
        with pytest.raises(BadFields):
            archive.hand_over_hold(HANDLER, id, made.hold.id, owner=name, reason="x")
    restricted = deliver(archive, "2").id
    mark = archive.restrict(DPO, restricted, reason="pyyntö")
    with pytest.raises(BadFields):
        archive.hand_over_hold(DPO, restricted, mark.hold.id, owner="kollega", reason="x")
    with pytest.raises(Forbidden):
        archive.hand_over_hold(HANDLER, restricted, mark.hold.id, owner="kollega", reason="x")


def test_a_change_needs_a_reason_a_day_to_come_and_a_hold_in_force(
    archive: Archive, case: str
) -> None:
    id, other = deliver(archive, "1").id, deliver(archive, "2").id
    made = hold(archive, id)
    for day, reason in ((LATER, " "), (date(2026, 11, 24), "x")):
        with pytest.raises(BadFields):
            archive.extend_hold(HANDLER, id, made.hold.id, review_on=day, reason=reason)
    with pytest.raises(NotFound):
        archive.extend_hold(HANDLER, other, made.hold.id, review_on=LATER, reason="x")
    with pytest.raises(NotFound):
        archive.extend_hold(HANDLER, id, uuid4(), review_on=LATER, reason="x")
    with pytest.raises(Forbidden):
        archive.extend_hold(AGENT, id, made.hold.id, review_on=LATER, reason="x")
    archive.release(HANDLER, id, made.hold.id, reason="ratkaistu")
    with pytest.raises(HoldReleased):
        archive.extend_hold(HANDLER, id, made.hold.id, review_on=LATER, reason="x")


def test_an_ended_hold_leaves_no_envelope_behind_a_late_change(archive: Archive, case: str) -> None:
    from archive.casework import holds

    id = deliver(archive, "1").id
    made = hold(archive, id)
    archive.release(HANDLER, id, made.hold.id)
    days(archive, 8)
    archive.expire()
    holds.tell_envelope(archive.vault, archive.engine, made.hold.id)
    assert archive.store.head(made.hold.object_key) is None


# -- being told ------------------------------------------------------------------------


def test_a_review_past_its_day_is_told_every_day_and_releases_nothing(
    archive: Archive, case: str, staff: Callable[..., Actor]
) -> None:
    owner = staff("complaints")
    id = deliver(archive, "1", days_ago=200).id
    made = hold(archive, id, owner)

    def remind() -> int:
        return reminders.remind(archive.engine, now=archive.now())

    assert remind() == 0
    days(archive, 90)
    assert (remind(), remind()) == (1, 0)
    assert told(archive, owner) == [("review-due", False)]
    assert archive.see_notices(owner) == 1
    assert archive.unseen_notices(owner) == 0
    days(archive, 1)
    assert (remind(), remind()) == (1, 0)
    assert archive.unseen_notices(owner) == 1
    days(archive, 200)
    archive.expire()
    assert read(archive, id)
    assert archive.list_holds(owner)[0].hold.released_at is None
    later = archive.now().date() + timedelta(days=30)
    archive.extend_hold(owner, id, made.hold.id, review_on=later, reason="x")
    assert told(archive, owner) == []
    assert remind() == 0


def test_before_seven_in_the_morning_nobody_is_reminded_of_the_new_day(
    archive: Archive, case: str, staff: Callable[..., Actor], clock: Clock
) -> None:
    hold(archive, deliver(archive, "1").id, staff("complaints"))
    clock.set(clock().replace(year=2027, month=2, day=21, hour=23))  # 01.00 of the review's day - 1
    assert reminders.remind(archive.engine, now=archive.now()) == 0
    clock.set(clock().replace(month=2, day=22, hour=4))  # 06.00 in Helsinki
    assert reminders.remind(archive.engine, now=archive.now()) == 0
    clock.set(clock().replace(hour=5))
    assert reminders.remind(archive.engine, now=archive.now()) == 1


def test_the_owner_is_told_of_a_release_before_anything_is_erased(
    archive: Archive, case: str, staff: Callable[..., Actor]
) -> None:
    owner = staff("complaints")
    id = deliver(archive, "1", days_ago=364).id
    made = hold(archive, id, owner)
    days(archive, 3)
    archive.expire()
    archive.release(HANDLER, id, made.hold.id, reason="ratkaistu")
    (notice,) = archive.notices(owner)
    assert (notice.kind, notice.hold, notice.until) == (
        "released", made.hold.id, archive.now() + timedelta(days=7),
    )  # fmt: skip
    days(archive, 5)
    again = hold(archive, id, owner)  # the owner needs it still
    days(archive, 5)
    archive.expire()
    assert read(archive, id)
    assert again.hold.released_at is None


def test_where_the_owner_is_gone_data_protection_is_told(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People
) -> None:
    owner, dpo = staff("complaints"), staff("dpo")
    hold(archive, deliver(archive, "1").id, owner)
    people.disable(UUID(owner.id))
    days(archive, 91)
    reminders.remind(archive.engine, now=archive.now())
    assert told(archive, dpo) == [("review-due", False)]
    assert told(archive, owner) == []


def test_a_restriction_is_told_to_data_protection_alone(
    archive: Archive, staff: Callable[..., Actor]
) -> None:
    handler, dpo = staff("complaints"), staff("dpo")
    id = deliver(archive, "1").id
    archive.restrict(DPO, id, reason="pyyntö", review_on=date(2027, 1, 1))
    days(archive, 60)
    reminders.remind(archive.engine, now=archive.now())
    archive.unrestrict(DPO, id)
    assert told(archive, dpo) == [("unrestricted", False)]
    assert told(archive, handler) == []


def test_old_notices_go(archive: Archive, case: str, staff: Callable[..., Actor]) -> None:
    owner = staff("complaints")
    id = deliver(archive, "1").id
    archive.release(HANDLER, id, hold(archive, id, owner).hold.id)
    days(archive, 91)
    reminders.remind(archive.engine, now=archive.now())
    assert told(archive, owner) == []


# -- mails -----------------------------------------------------------------------------


class Postbox:
    """A real SMTP server that keeps what it takes, and refuses while `answer` is set."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[str], str]] = []
        self.answer: str | None = None

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answer:
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = bytes(envelope.content or b"").decode()
        self.taken.append((str(envelope.mail_from), list(envelope.rcpt_tos), content))
        return "250 OK"


@contextmanager
def listening(port: int) -> Iterator[Postbox]:
    postbox = Postbox()
    controller = Controller(postbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield postbox
    finally:
        controller.stop()


def plain(raw: str) -> str:
    import email
    import email.policy

    message = email.message_from_string(raw, policy=email.policy.default)
    body = message.get_body()
    assert body is not None
    return f"{message['Subject']}\n{body.get_content()}"


def mailing(archive: Archive, people: People, owner: Actor, port: int) -> None:
    people.mail_to(UUID(owner.id), "kasittelija@yhtio.example")
    archive.config = replace(
        archive.config,
        smtp_url=f"smtp://127.0.0.1:{port}",
        mail_from="arkisto@yhtio.example",
        public_url="https://arkisto.yhtio.example",
    )


def post(archive: Archive) -> tuple[int, list[str]]:
    return reminders.work(archive.engine, archive.config, now=archive.now)


def waiting(archive: Archive) -> tuple[int, str | None]:
    with transaction(archive.engine) as connection:
        return outgoing.waiting(connection)


def test_a_mail_tells_ids_and_days_and_nothing_of_a_person(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People
) -> None:
    owner, port = staff("complaints", "Irja"), free_port()
    mailing(archive, people, owner, port)
    ids = [deliver(archive, str(n)).id for n in range(2)]
    made = [hold(archive, id, owner) for id in ids]
    days(archive, 91)
    with listening(port) as postbox:
        assert post(archive) == (1, [])
        assert post(archive) == (0, [])
        days(archive, 1)
        assert post(archive) == (1, [])
    sender, to, raw = postbox.taken[0]
    assert (sender, to) == ("arkisto@yhtio.example", ["kasittelija@yhtio.example"])
    said = plain(raw)
    assert said.startswith("Kontaktiarkisto: 2 ilmoitusta")
    for part in (CASE, *map(str, ids), *(str(one.hold.id) for one in made), "22.2.2027",
                 "https://arkisto.yhtio.example/notices"):  # fmt: skip
        assert part in said
    for secret in ("laskukiista", "1234567", "Irja", "complaints"):
        assert secret not in said
    assert waiting(archive) == (0, None)


def test_a_server_that_is_away_or_refuses_is_tried_again_and_the_queue_names_nobody(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People, clock: Clock
) -> None:
    owner, port = staff("complaints"), free_port()
    mailing(archive, people, owner, port)
    id = deliver(archive, "1").id
    archive.release(HANDLER, id, hold(archive, id, owner).hold.id)
    assert post(archive) == (0, ["ConnectionRefusedError"])
    assert post(archive) == (0, []), "not before its time"
    with transaction(archive.engine) as connection:
        row = connection.execute(text("select cast(m as text) from outgoing_mail m")).scalar_one()
    assert "@" not in row
    clock.advance(timedelta(minutes=2))
    with listening(port) as postbox:
        postbox.answer = "450 tuntematon kasittelija@yhtio.example"
        assert post(archive) == (0, ["recipient-450"])
        assert waiting(archive) == (1, "recipient-450")
        postbox.answer = None
        clock.advance(timedelta(minutes=6))
        assert post(archive) == (1, [])
        assert post(archive) == (0, [])
    assert len(postbox.taken) == 1


def test_a_mail_is_given_up_after_days_and_the_notice_stays(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People, clock: Clock
) -> None:
    owner = staff("complaints")
    mailing(archive, people, owner, free_port())
    id = deliver(archive, "1").id
    archive.release(HANDLER, id, hold(archive, id, owner).hold.id)
    attempts = 0
    while waiting(archive)[0] or not attempts:
        attempts += len(post(archive)[1])
        clock.advance(timedelta(hours=4))
    assert 20 < attempts < 40
    assert told(archive, owner) == [("released", False)]


def test_two_workers_never_send_the_same_mail(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People
) -> None:
    owner = staff("complaints")
    mailing(archive, people, owner, free_port())
    server = outgoing.server_of(archive.config)
    assert server is not None
    with transaction(archive.engine) as connection:
        for n in range(6):
            outgoing.queue(connection, UUID(owner.id), str(n), "x", now=archive.now())
    both, sent = threading.Barrier(2, timeout=20), []

    def hand_over(server: object, to: str, message: Any) -> None:
        sent.append(message["Subject"])
        if len(sent) <= 2:
            both.wait()  # both are sending at once

    def work() -> None:
        outgoing.send_due(archive.engine, server, now=archive.now, hand_over=hand_over)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == [str(n) for n in range(6)]


def test_without_a_server_or_an_address_the_notice_on_the_page_is_all(
    archive: Archive, case: str, staff: Callable[..., Actor], people: People
) -> None:
    owner, port = staff("complaints"), free_port()
    id = deliver(archive, "1").id
    archive.release(HANDLER, id, hold(archive, id, owner).hold.id)
    assert post(archive) == (0, [])
    mailing(archive, people, owner, port)
    with listening(port) as postbox:
        assert post(archive) == (0, []), "what was told before is not mailed afterwards"
        people.disable(UUID(owner.id))
        other = deliver(archive, "2").id
        archive.release(HANDLER, other, hold(archive, other, owner).hold.id)
        assert post(archive) == (0, [])
    assert postbox.taken == []


@pytest.mark.parametrize(
    ("url", "sender", "named"),
    [
        ("https://mail.example", "a@b.example", "ARCHIVE_SMTP_URL"),
        ("smtp://mail.elsewhere.example", "a@b.example", "ARCHIVE_EU_HOSTS"),
        ("smtp://127.0.0.1", "", "ARCHIVE_MAIL_FROM"),
        ("smtp://127.0.0.1", "a@b.example, c@d.example", "ARCHIVE_MAIL_FROM"),
    ],
)
def test_mail_settings_that_will_not_do_are_named(
    archive: Archive, url: str, sender: str, named: str
) -> None:
    with pytest.raises(BadSetting, match=named):
        outgoing.server_of(replace(archive.config, smtp_url=url, mail_from=sender))


def test_to_other_machines_mails_go_encrypted_alone(archive: Archive) -> None:
    config = replace(archive.config, eu_hosts=("mail.example",), mail_from="a@b.example")
    for url, tls, port in (
        ("smtp://mail.example", "starttls", 587),
        ("smtps://u:p%40ss@mail.example", "always", 465),
        ("smtp://localhost", "none", 25),
    ):
        server = outgoing.server_of(replace(config, smtp_url=url))
        assert server is not None
        assert (server.tls, server.port) == (tls, port)
    assert server.password == ""


def test_every_kind_of_notice_has_words_in_every_language() -> None:
    kinds = {"review-due", "released", "unrestricted", "handed-over", "case-handed-over",
             "case-due", "case-closed"}  # fmt: skip
    assert len({frozenset(words) for words in letters.WORDS.values()}) == 1
    now = Clock()()
    for language in ("fi", "en"):
        for kind in kinds:
            notice = Notice(
                id=uuid4(), person_id=uuid4(), kind=kind, case=CASE, hold=uuid4(),
                recording=uuid4(), day=now.date(), until=now, made_at=now, seen_at=None,
            )  # fmt: skip
            subject, body = letters.letter([notice] * 60, language=language, url="")
            assert "60" in subject and CASE in body and "+ 10" in body and "24.11.2026" in body


def test_only_one_plain_address_is_an_address() -> None:
    for good in ("a@b.example", "aino.x+y@yhtio.example"):
        assert outgoing.is_address(good)
    for bad in ("", "a", "a@b", "a@b.example\nBcc: c@d.example", "a@b.example,c@d.example",
                "A <a@b.example>", "@b.example", "a@.", "a" * 250 + "@b.example"):  # fmt: skip
        assert not outgoing.is_address(bad)


def test_a_notice_is_told_again_on_another_day_alone(
    archive: Archive, staff: Callable[..., Actor]
) -> None:
    owner = UUID(staff("complaints").id)

    def tell() -> int:
        with transaction(archive.engine) as connection:
            return notices.tell(connection, [owner], kind="case-due", key="k", now=archive.now())

    assert (tell(), tell()) == (1, 0)
    days(archive, 1)
    assert tell() == 1
