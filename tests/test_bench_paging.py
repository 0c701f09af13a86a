"""The benchmark of the desks lays out contacts that the pages find as if they had come in."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from archive import mending
from archive.archive import SYSTEM, Archive
from archive.bench import invented, paging
from archive.model import Query
from tests.clock import Clock


def test_generated_contacts_are_found_and_shown_as_if_they_had_come_in(
    archive: Archive, clock: Clock
) -> None:
    made = list(islice(invented.contacts(60), 60))
    count = paging.fill(archive, made, now=clock(), say=lambda words: None)
    assert 58 <= count <= 60  # the oldest may be a year old by now
    newest = made[-1]
    page = archive.find(SYSTEM, Query(customer=newest.customer))
    assert newest.id in [view.id for view in page.items]
    whole = archive.find(SYSTEM, Query(), limit=100)
    assert len(whole.items) == count and not whole.rebuilding
    assert {view.kind for view in whole.items} == {"call", "email"}
    assert all(view.readable and view.description for view in whole.items)
    assert mending.mend(archive.engine, archive.index, now=clock()) == []


def test_a_conversation_and_a_call_to_measure_are_real(archive: Archive, clock: Clock) -> None:
    from archive import worker

    last = paging.deliver_conversation(archive, mails=4, now=clock())
    heard = paging.deliver_call(archive, now=clock())
    longer = paging.deliver_call(archive, now=clock(), minutes=3)
    worker.until_idle(archive)
    actor = replace(SYSTEM, kind="person")
    assert len(archive.conversation(actor, archive.describe(actor, last))) == 4
    for id, lasts_s in ((heard, 60), (longer, 180)):
        view = archive.describe(actor, id)
        assert "playback" in view.renditions
        assert view.description is not None and view.description.call is not None
        assert view.description.call.duration_s == lasts_s
