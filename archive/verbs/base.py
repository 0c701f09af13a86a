"""What every verb shares: its means, and who may see which recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from archive import (
    audit,
    catalogue,
    intake,
    permissions,
    subjects,
    supplements,
)
from archive.accounts.staffnumbers import StaffNumbers
from archive.answers import View
from archive.casework import holdrows, holdterms
from archive.casework.holdterms import Held
from archive.config import Config
from archive.db import reading
from archive.erasure import expiry, ruling
from archive.errors import (
    KeyDestroyed,
    KeyMissing,
    NotFound,
)
from archive.keys import KeysDirectory
from archive.model import (
    Actor,
    Descriptor,
    Hold,
    Kind,
    Purpose,
    Recording,
    Rendition,
    StoredRendition,
)
from archive.reception import Reception
from archive.search import Index
from archive.storage import Store
from archive.vault import Vault


class Common:
    """The means and the checks that the verbs share. Thread-safe; one a process."""

    def __init__(
        self,
        *,
        config: Config,
        engine: Engine,
        store: Store,
        keys: KeysDirectory,
        index: Index,
        now: Callable[[], datetime],
        database_now: Callable[[Connection], datetime] = expiry.database_now,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config
        self.engine = engine
        self.store = store
        self.keys = keys
        self.index = index
        self.now = now
        self.vault = Vault(keys=keys, store=store, cache_s=config.key_cache_s)
        self.staff_numbers = StaffNumbers(
            engine, key=lambda: keys.ensure("installation/pages"), now=now
        )
        self._rules = intake.Rules(customer_pattern=config.customer_pattern)
        self._reception = Reception(
            vault=self.vault,
            engine=engine,
            max_bytes=lambda: self.config.max_bytes,
            now=now,
            rules=lambda: ruling.rules_of(self.config),
        )
        self._supplements = supplements.Means(self.vault, engine, self._rules, now)
        ruling.rules_of(config)  # a wrong setting stops the start
        self._means = expiry.Means(
            vault=self.vault,
            engine=engine,
            index=index,
            config=config,
            now=now,
            database_now=database_now,
            wait=wait,
        )

    def of_whom(
        self,
        recordings: Iterable[Recording],
        also: Iterable[subjects.Identifier] = (),
        *,
        by: Actor | None = None,
    ) -> dict[str, Any]:
        """What an entry says of whom it is: keyed digests, nothing that names anybody.

        With `by`, also whether that person or a colleague is among them, by what is known of staff.
        """
        found = set(also)
        for recording in recordings:
            with suppress(KeyDestroyed, KeyMissing):
                key = self.vault.data_key(recording)
                descriptor = self.vault.descriptor(recording, key=key)
                email = recording.kind is Kind.EMAIL
                described = self.vault.description(recording, key=key) if email else None
                found |= subjects.of_recording(descriptor, described.mail if described else None)
        made = subjects.digests(self.keys, self.now(), found)
        near = self.staff_numbers.near(by.id, found) if by and by.kind == "person" else ""
        return ({"subjects": made} if made else {}) | ({"near": near} if near else {})

    def _views(self, actor: Actor, recordings: Sequence[Recording]) -> list[View]:
        ids = [r.id for r in recordings]
        with reading(self.engine) as connection:
            renditions = catalogue.renditions(connection, ids)
            held = holdrows.of(connection, ids) if permissions.may_know_holds(actor) else []
        views = [self._view(r, renditions[r.id]) for r in recordings]
        return [
            replace(view, holds=self._held(recording, held))
            for recording, view in zip(recordings, views, strict=True)
        ]

    def _held(self, recording: Recording, found: Sequence[Hold]) -> tuple[Held, ...]:
        """The recording's durable holds among those found, with what they say."""
        return tuple(
            Held(hold, holdterms.terms_of(self.vault, recording, hold))
            for hold in found
            if hold.recording_id == recording.id and hold.durable_at is not None
        )

    def _view(self, recording: Recording, renditions: Sequence[StoredRendition]) -> View:
        readable = True
        try:
            key = self.vault.data_key(recording)
            descriptor = self.vault.descriptor(recording, key=key)
            description = self.vault.description(recording, key=key)
        except (KeyDestroyed, KeyMissing):
            readable, descriptor, description = False, _empty_descriptor(recording), None
        names = [r.name for r in renditions]
        if description is not None and description.mail is not None:
            names.append(Rendition.TEXT.value)
        return View(
            id=recording.id,
            kind=recording.kind,
            state=recording.state,
            source=recording.source,
            line=recording.line,
            direction=recording.direction,
            occurred_at=recording.occurred_at,
            received_at=recording.received_at,
            expires_at=recording.expires_at,
            bytes=recording.bytes,
            descriptor=descriptor,
            description=description,
            renditions=tuple(names),
            readable=readable,
            error_code=recording.error_code,
            restricted=recording.restricted,
        )

    def _note_change(
        self, connection: Connection, actor: Actor, verb: str, id: UUID, changes: Mapping[str, Any]
    ) -> None:
        detail = {"fields": sorted(changes)}
        audit.append(
            connection, at=self.now(), actor=actor, verb=verb, recording_id=id, detail=detail
        )

    def _visible(
        self, actor: Actor, id: UUID, *, purpose: str | None = None, case: str | None = None
    ) -> Recording:
        with reading(self.engine) as connection:
            recording = catalogue.get(connection, id)
        if recording is None or not self._sees(actor, recording, purpose=purpose, case=case):
            raise NotFound()
        return recording

    def _sees(
        self,
        actor: Actor,
        recording: Recording,
        *,
        purpose: str | None = None,
        case: str | None = None,
    ) -> bool:
        """The actor's to meet; within its year, or past it held, for its case and the DPO.

        A restricted one answers the DPO alone (GDPR 18).
        """
        if recording.erasing or not self._meets(actor, recording):
            return False
        if recording.restricted:
            return permissions.is_dpo(actor)
        if not recording.past_its_year(self.now()):
            return True
        if permissions.is_dpo(actor):
            return bool(recording.held)
        return (
            purpose == Purpose.COMPLAINT.value
            and Purpose.COMPLAINT in actor.purposes
            and case is not None
            and any(held.case == case for held in recording.held)
        )

    def _meets(self, actor: Actor, recording: Recording) -> bool:
        """On a line and of a company of the actor's, and not from before what they see.

        The company stands in the sealed descriptor: opened only for whoever sees some alone.
        """
        if not permissions.reaches(actor, recording, now=self.now()):
            return False
        if actor.companies is None:
            return True
        try:
            return permissions.sees_company(actor, self.vault.descriptor(recording).company)
        except (KeyDestroyed, KeyMissing):
            return False


def _empty_descriptor(recording: Recording) -> Descriptor:
    return Descriptor(
        source=recording.source,
        source_ref="",
        occurred_at=recording.occurred_at,
        received_at=recording.received_at,
        kind=recording.kind,
        line=recording.line,
        direction=recording.direction,
        bytes=recording.bytes,
    )
