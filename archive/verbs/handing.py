"""Verbs of handing out: vCons, and evidence packages of complaint cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from archive import (
    audit,
    catalogue,
    permissions,
    retention,
)
from archive.answers import CaseFile, Opened
from archive.casework import cases
from archive.db import reading, transaction
from archive.errors import (
    BadFields,
    CaseRequired,
    FieldError,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    PurposeRequired,
    SealBroken,
)
from archive.evidence import building, choosing, ending, exporting, packages
from archive.evidence.choosing import Choice
from archive.evidence.packages import Package
from archive.formats import mbox
from archive.model import (
    Actor,
    Kind,
    Purpose,
    Query,
    Recording,
    Rendition,
    Scope,
)
from archive.verbs.casework import Casework
from archive.verbs.finding import Finding

MOST_MAILS = 500  # in one mbox of a search
_MESSAGE = Rendition.MESSAGE.value


class HandingOut(Casework, Finding):
    """The verbs."""

    def vcon_of(
        self, actor: Actor, id: UUID, *, purpose: str | None, case: str | None = None
    ) -> bytes:
        """A recording as a signed vCon; permissions and audit entry as of opening it."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        with transaction(self.engine) as connection:
            self._note_opening(connection, actor, recording, checked, case, {"rendition": "vcon"})
        return self._vcon(id, [recording], subject=None)

    def case_vcon(self, actor: Actor, number: str, *, purpose: str | None) -> bytes:
        """What of an open case is the customer's own, as one signed vCon; each is an opening.

        NotFound, CaseClosed, BadFields where nothing is left.
        """
        file, found = self._case_for(actor, number, purpose)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            rows = catalogue.get_many(connection, choosing.chosen(found, None))
            for row in rows.values():
                detail = {"rendition": "vcon"}
                self._note_opening(connection, actor, row, Purpose.COMPLAINT, number, detail)
        inside = sorted(rows.values(), key=lambda r: (r.occurred_at, r.id))
        about = file.case.about
        return self._vcon(uuid4(), inside, subject=about.subject if about else None)

    def _vcon(self, id: UUID, recordings: Sequence[Recording], *, subject: str | None) -> bytes:
        try:
            return exporting.signed(
                self.vault, self.engine, id, recordings, subject=subject, now=self.now()
            )
        except (KeyDestroyed, KeyMissing):
            raise NotFound() from None

    def case_mbox(self, actor: Actor, number: str, *, purpose: str | None) -> Iterator[bytes]:
        """The emails of an open case that are the customer's own, as an mbox; each is an opening.

        NotFound, CaseClosed, BadFields where there is none.
        """
        _, found = self._case_for(actor, number, purpose)
        mails = [choice for choice in found if choice.view.kind is Kind.EMAIL]
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            rows = catalogue.get_many(connection, choosing.chosen(mails, None))
        return self._mbox(actor, list(rows.values()), Purpose.COMPLAINT, number)

    def find_mbox(
        self, actor: Actor, query: Query, *, purpose: str | None, case: str | None = None
    ) -> Iterator[bytes]:
        """The emails that a search finds, as an mbox, for a stated purpose; each is an opening.

        BadFields where there are more than MOST_MAILS or none; CaseRequired where the purpose is a
        complaint and one of them is not of its case.
        """
        permissions.require(actor, Scope.OPEN)
        page = self.find(actor, replace(query, kind=Kind.EMAIL), limit=MOST_MAILS)
        if page.next is not None or not page.items:
            expected = f"a search that finds 1 to {MOST_MAILS} emails"
            raise BadFields(errors=[FieldError("q", expected)])
        rows = [self._visible(actor, v.id, purpose=purpose, case=case) for v in page.items]
        checked = {self._purpose(actor, row, purpose, case) for row in rows}
        return self._mbox(actor, rows, checked.pop(), case)

    def _case_for(
        self, actor: Actor, number: str, purpose: str | None
    ) -> tuple[CaseFile, tuple[Choice, ...]]:
        """A case whose contents may be handed out for this purpose, and what of it is its own."""
        permissions.require_evidence(actor)
        if purpose != Purpose.COMPLAINT.value:
            raise PurposeRequired()
        file = self.case_file(actor, number)
        return file, choosing.choices(file, customer_pattern=self.config.customer_pattern)

    def _mbox(
        self, actor: Actor, rows: Sequence[Recording], purpose: Purpose, case: str | None
    ) -> Iterator[bytes]:
        with transaction(self.engine) as connection:
            for row in rows:
                detail = {"rendition": "mbox"}
                self._note_opening(connection, actor, row, purpose, case, detail)
        inside = sorted(rows, key=lambda r: (r.occurred_at, r.id))
        with reading(self.engine) as connection:
            parts = catalogue.renditions(connection, [row.id for row in inside])
        made = {p.recording_id: p for each in parts.values() for p in each if p.name == _MESSAGE}
        return mbox.written(
            (retention.local(row.occurred_at), self.vault.read_all(row, made.get(row.id)))
            for row in inside
        )

    def evidence_choices(self, actor: Actor, number: str) -> tuple[Choice, ...]:
        """What of the case may go into a package, and which of it is the customer's own."""
        permissions.require_evidence(actor)
        file = self.case_file(actor, number)
        return choosing.choices(file, customer_pattern=self.config.customer_pattern)

    def ask_evidence(
        self,
        actor: Actor,
        number: str,
        *,
        recordings: Iterable[UUID] | None = None,
        language: str = "fi",
        masked_originals: bool = False,
    ) -> UUID:
        """Asks for a package of an open case; the worker builds it. NotFound, CaseClosed.

        Without `recordings` of what is the customer's own; others' only where they are named.
        BadFields where none is left.
        """
        permissions.require_evidence(actor)
        if masked_originals:
            permissions.require(actor, Scope.UNMASKED)
        if language not in {"fi", "en"}:
            raise BadFields(errors=[FieldError("language", "fi or en")])
        taken = choosing.chosen(self.evidence_choices(actor, number), recordings)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number, lock=True)
            return packages.ask(
                connection, actor, number=number, recordings=taken, language=language,
                masked_originals=masked_originals, now=self.now(),
            )  # fmt: skip

    def evidence_of(self, actor: Actor, number: str) -> list[Package]:
        """The packages of a case whose recordings the actor may all see, the newest at the top."""
        permissions.require_evidence(actor)
        with reading(self.engine) as connection:
            cases.one(self.vault, connection, number)
            found = packages.of_case(connection, number)
        return [package for package in found if self._sees_package(actor, package)]

    def open_evidence(self, actor: Actor, id: UUID, *, purpose: str | None) -> Opened:
        """A package that is ready, for its complaint; the audit entry is committed first.

        NotFound where it is over, a recording of it is gone or out of the actor's sight, or its
        case is closed.
        """
        permissions.require_evidence(actor)
        if purpose != Purpose.COMPLAINT.value:
            raise PurposeRequired()
        package = self._package(actor, id)
        with reading(self.engine) as connection:
            open_ = catalogue.is_open_case(connection, package.case_number)
            rows = catalogue.get_many(connection, package.recordings)
        if package.state != "ready" or not open_ or package.expires_at <= self.now():
            raise NotFound()
        try:
            reader = packages.reader(self.vault, package, list(rows.values()))
            length = reader.length
        except (KeyDestroyed, KeyMissing, SealBroken):
            raise NotFound() from None
        with transaction(self.engine) as connection:
            audit.append(
                connection, at=self.now(), actor=actor, verb="open-evidence", purpose=purpose,
                case=package.case_number, detail={"package": str(id)},
            )  # fmt: skip
        return Opened(
            length=length,
            media_type="application/zip",
            etag=hashlib.sha256(f"evidence/{id}/{package.version}".encode()).hexdigest()[:32],
            read=lambda start, stop: reader.read(start, stop),
            file_name=package.file_name,
        )

    def end_evidence(self, actor: Actor, id: UUID) -> None:
        """Ends a package before its days are over, in whatever state it is. NotFound."""
        permissions.require_evidence(actor)
        self._package(actor, id)
        ending.end(self.vault, self.engine, id, reason="deleted", now=self.now(), actor=actor)

    def build_evidence(self, *, worker: int, lock_class: int) -> bool:
        """Builds the next package that was asked for; whether there was one. For the worker."""
        means = building.Means(
            vault=self.vault, engine=self.engine, days=self.config.evidence_days, now=self.now
        )
        return building.step(means, worker=worker, lock_class=lock_class)

    def tidy_evidence(self) -> int:
        """Ends packages whose days or recordings are over, and what a crash left; how many."""
        return packages.tidy(self.vault, self.engine, now=self.now())

    def _package(self, actor: Actor, id: UUID) -> Package:
        with reading(self.engine) as connection:
            package = packages.one(connection, id)
        if package is None or not self._sees_package(actor, package):
            raise NotFound()
        return package

    def _sees_package(self, actor: Actor, package: Package) -> bool:
        """Whether every recording in it is there and may be seen by the actor for its case."""
        with reading(self.engine) as connection:
            rows = catalogue.get_many(connection, package.recordings)
        return len(rows) == len(package.recordings) and all(
            not row.restricted
            and self._sees(actor, row, purpose=Purpose.COMPLAINT.value, case=package.case_number)
            for row in rows.values()
        )

    def forget_cases(self) -> list[str]:
        """Forgets what cases closed long enough ago were about; their numbers."""
        before = self.now() - timedelta(days=self.config.case_days)
        return cases.forget(self.vault, self.engine, before=before)

    def add_to_case(self, actor: Actor, number: str, id: UUID) -> None:
        """Adds a recording that the actor can find to an open case."""
        permissions.require(actor, Scope.CASES)
        recording = self._visible(actor, id)
        with transaction(self.engine) as connection:
            if not catalogue.is_open_case(connection, number):
                raise CaseRequired()
            catalogue.add_to_case(
                connection, number=number, id=recording.id, by=actor.id, now=self.now()
            )
            audit.append(
                connection,
                at=self.now(),
                actor=actor,
                verb="add-to-case",
                recording_id=id,
                case=number,
            )
