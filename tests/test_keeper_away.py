"""A root key's keeper goes away while everything runs: 503, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from archive import catalogue, rebuild, worker
from archive.archive import Archive
from archive.config import Config
from archive.db import transaction
from archive.describing import Describer
from archive.erasure import certificates
from archive.errors import RootKeyAway
from archive.keyring.keepers import KeptRoot
from archive.model import Query
from tests.api.test_delivery import metadata, post_call
from tests.clock import Clock
from tests.machine import Machine
from tests.media import wav
from tests.root_keepers import Bao
from tests.test_story import READER, deliver


@pytest.fixture
def config(config: Config, bao: Bao) -> Config:
    """The archive of these tests keeps its root key in the engine."""
    return replace(config, root_provider="transit", vault_url=bao.url, vault_token=bao.token)


@contextmanager
def sealed(bao: Bao) -> Iterator[None]:
    """Meanwhile the engine is sealed."""
    bao.seal()
    try:
        yield
    finally:
        bao.unseal()
    time.sleep(1.1)  # for so long nobody asks it again


def rows(archive: Archive) -> list[Any]:
    """What the queue is made of."""
    with transaction(archive.engine) as connection:
        return list(
            connection.execute(
                text("select id, state, attempts, index_due, error_code from recording order by id")
            )
        )


def describe_one(archive: Archive) -> None:
    """One step of a worker."""
    describer = Describer(archive)
    try:
        with transaction(archive.engine) as connection:
            due = catalogue.claim_to_describe(connection, now=archive.now(), worker=0)
        assert due is not None
        worker.describe_claimed(archive, describer, due)
    finally:
        describer.close()


def test_senders_and_readers_are_told_to_try_again_and_nothing_is_lost(
    archive: Archive, machine: Machine, bao: Bao, clock: Clock
) -> None:
    assert isinstance(archive.keys.root, KeptRoot)
    first = post_call(machine, metadata(clock, source_ref="1"), wav(0.5)).json["id"]
    before, objects = rows(archive), list(archive.store.list(""))
    with sealed(bao):
        for answer in (
            post_call(machine, metadata(clock, source_ref="2"), wav(0.5)),
            machine.content(first),
        ):
            assert answer.status_code == 503 and answer.headers["Retry-After"] == "5"
            said = answer.get_data(as_text=True)
            assert "root key does not answer" in said and bao.token not in said
        for _ in range(worker.GIVE_UP_AFTER + 1):  # never counted as failures
            clock.advance(timedelta(minutes=10))
            for step in (describe_one, worker.index_batch):
                with pytest.raises(RootKeyAway):
                    step(archive)
        with pytest.raises(RootKeyAway):
            verify(archive)
        assert rows(archive) == before
        assert list(archive.store.list("")) == objects
    clock.advance(timedelta(minutes=10))
    machine.work()
    assert [row.state for row in rows(archive)] == ["indexed"]
    assert machine.content(first).status_code == 200
    assert post_call(machine, metadata(clock, source_ref="2"), wav(0.5)).status_code == 201
    assert verify(archive).damaged == []


def verify(archive: Archive) -> rebuild.Findings:
    return rebuild.verify(
        archive.vault,
        archive.engine,
        sample=None,
        mend=True,
        progress=lambda n: None,
        now=archive.now(),
    )


def test_a_night_without_the_keeper_destroys_what_is_due_and_is_finished_when_it_is_back(
    archive: Archive, bao: Bao, clock: Clock
) -> None:
    deliver(archive, "1")
    worker.until_idle(archive)
    clock.advance(timedelta(days=368))
    (cohort,) = archive.keys.names("cohort")
    with sealed(bao), pytest.raises(RootKeyAway):
        archive.expire()
    assert archive.keys.is_destroyed(cohort)
    assert archive.find(READER, Query(customer="1234567")).items == []
    archive.expire()
    assert list(archive.store.list("recordings/")) == []
    assert certificates.verify_all(archive.vault, archive.engine)[1] == []
