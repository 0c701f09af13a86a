"""The archive: one object whose methods are what it does with recordings.

Pages, API, commands and sources are thin callers of these verbs, so none of them can forget
a permission or an audit entry. Knows nothing of HTTP, sessions or the command line.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from archive import (
    alertchannels,
    alerts,
    audit,
    catalogue,
    conversation,
    corrections,
    hitlist,
    intake,
    legs,
    mending,
    openings,
    permissions,
    retention,
    reviews,
    seal,
    sourcebook,
    subjects,
    supplements,
    unusual,
)
from archive import excerpts as excerpting
from archive.answers import CaseEntry, CaseFile, Leg, MailView, Opened, Page, Receipt, View
from archive.casework import cases, closing, holdchanges, holds, notices, staff, verifications
from archive.casework.cases import About, Case, Note
from archive.casework.closing import Closed, Consequences
from archive.casework.holds import Held
from archive.casework.notices import Notice
from archive.casework.staff import Colleague
from archive.casework.verifications import Outcome, Verification
from archive.config import Config
from archive.db import reading, transaction
from archive.erasure import asking, expiry, expirydays, journal, proving, ruling
from archive.erasure.asking import ErasureRequest
from archive.erasure.expirydays import DayAccount, ExpiryDay
from archive.erasure.journal import Erasure
from archive.erasure.proving import Proof
from archive.erasure.ruling import Preview
from archive.errors import (
    AlreadyHeld,
    ArchiveError,
    BadFields,
    BadRequest,
    CaseRequired,
    FieldError,
    Forbidden,
    IndexDamaged,
    KeyDestroyed,
    KeyMissing,
    NotFound,
    PurposeRequired,
    SealBroken,
    SourceMismatch,
)
from archive.evidence import building, choosing, ending, exporting, packages
from archive.evidence.choosing import Choice
from archive.evidence.packages import Package
from archive.formats import mail
from archive.keys import KeysDirectory
from archive.model import (
    Actor,
    Descriptor,
    Direction,
    Hold,
    Kind,
    Purpose,
    Query,
    Recording,
    Rendition,
    Scope,
    StoredRendition,
)
from archive.reception import Reception, complete_descriptor
from archive.reviews import Lacking, Progress, Review
from archive.search import Index, understanding
from archive.search.marking import Excerpt, Marker
from archive.storage import Store
from archive.vault import Description, Vault

SOURCE_BYTES = 96 * 1024  # of an email's original, shown on a page
OPENING_LIFE = timedelta(minutes=15)
SYSTEM = Actor(
    id="system",
    name="system",
    kind="system",
    group=None,
    scopes=frozenset(Scope),
    session=b"system",
)

# Whoever stands at the machine and gives commands: works with holds and cases, opens nothing.
OPERATOR = replace(SYSTEM, id="operator", name="operator", purposes=frozenset({Purpose.COMPLAINT}))


__all__ = [
    "OPERATOR",
    "SYSTEM",
    "Archive",
    "DayAccount",
    "ExpiryDay",
    "Held",
    "MailView",
    "Opened",
    "Page",
    "Receipt",
    "View",
    "complete_descriptor",
]


class Archive:
    """The verbs. Thread-safe; one a process."""

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

    # -- receive ---------------------------------------------------------------------

    def receive_call(
        self, actor: Actor, metadata: Mapping[str, Any], content: seal.Readable
    ) -> Receipt:
        """Stores a call. Returns when object and row are durable.

        BadFields, SourceMismatch, OlderThanRetention, ReferenceErased, ReferenceConflict,
        TooLarge, StoreUnavailable, CatalogueUnavailable, DiskFull; after any of them nothing
        of the recording is kept that a row would name.
        """
        permissions.require(actor, Scope.INGEST)
        checked = intake.call(metadata, arrived_at=self.now(), rules=self._rules)
        return self._reception.receive(actor, checked, content)

    def receive_email(
        self,
        actor: Actor,
        content: seal.Readable,
        *,
        source: str | None,
        mailbox: str | None,
        direction: str | None,
        source_ref: str | None = None,
        received_at: str | None = None,
        envelope: Any = None,
    ) -> Receipt:
        """Stores an email, byte for byte. Errors as for a call."""
        permissions.require(actor, Scope.INGEST)
        checked = intake.email(
            source=source,
            source_ref=source_ref,
            mailbox=mailbox,
            direction=direction,
            received_at=received_at,
            envelope=envelope,
            arrived_at=self.now(),
        )
        return self._reception.receive(actor, checked, content)

    def receive_email_also(
        self, actor: Actor, id: UUID, *, mailbox: str, direction: Direction
    ) -> Receipt:
        """Stores an email that was just received under a further mailbox as well.

        For senders that deliver one message for several: who sees one mailbox only finds it
        too. Read back from its sealed copy. Errors as for a call.
        """
        permissions.require(actor, Scope.INGEST)
        return self._reception.receive_also(actor, id, line=mailbox, direction=direction)

    def add_metadata(
        self,
        actor: Actor,
        *,
        source: str | None,
        references: Sequence[str],
        changes: Mapping[str, Any],
        times: bool = False,
    ) -> supplements.Added:
        """Metadata apart from their recording: added to it now, or when it comes within 30 days.

        It is found by one of the references, or as a leg of the call of that id. Only what it
        lacks is added. BadFields, SourceMismatch; nothing is kept then. See `supplements.give`.
        """
        permissions.require(actor, Scope.INGEST)
        named, *others = intake.references(source, references)
        if actor.source is not None and named != actor.source:
            raise SourceMismatch()
        done = supplements.give(
            self._supplements, source=named, references=others, changes=changes, times=times
        )
        for id in done.ids:
            with transaction(self.engine) as connection:
                self._note_change(connection, actor, "supplement", id, changes)
        return done

    def settle_metadata(self, recording: Recording) -> None:
        """Adds what came before a recording that has just been described."""
        with reading(self.engine) as connection:
            current = catalogue.get(connection, recording.id)
        if current is not None and not current.erasing:
            supplements.settle(self._supplements, current)

    def read_back(self, actor: Actor, id: UUID) -> str:
        """SHA-256 (hex) of a recording of the actor's own source as it opens from the store.

        For senders that throw their copy away: every byte is read and authenticated. NotFound
        for others' recordings; StoreUnavailable, SealBroken.
        """
        permissions.require(actor, Scope.INGEST)
        with reading(self.engine) as connection:
            recording = catalogue.get(connection, id)
        if recording is None or (actor.source is not None and recording.source != actor.source):
            raise NotFound()
        digest = hashlib.sha256()
        for piece in self.vault.stream(recording):
            digest.update(piece)
        return digest.hexdigest()

    def allow_line(self, actor: Actor, *, source: str, line: str) -> None:
        """Lists a line for a source, which from its first one on delivers for listed ones only.

        BadFields. In force in every process within 5 s.
        """
        permissions.require(actor, Scope.ADMIN)
        source, line = intake.source_line(source, line)
        with transaction(self.engine) as connection:
            sourcebook.allow(connection, source=source, line=line, by=actor.id, now=self.now())
            self._note_line(connection, actor, "allow-line", source, line)

    def disallow_line(self, actor: Actor, *, source: str, line: str) -> None:
        """Takes a line off a source's list; NotFound where it is not on it."""
        permissions.require(actor, Scope.ADMIN)
        with transaction(self.engine) as connection:
            if not sourcebook.disallow(connection, source=source, line=line):
                raise NotFound()
            self._note_line(connection, actor, "disallow-line", source, line)

    def unrestrict_source(self, actor: Actor, *, source: str) -> None:
        """Throws a source's list away: its token or settings alone say what it may deliver."""
        permissions.require(actor, Scope.ADMIN)
        with transaction(self.engine) as connection:
            if not sourcebook.unrestrict(connection, source=source):
                raise NotFound()
            self._note_line(connection, actor, "unrestrict-source", source, "")

    def _note_line(
        self, connection: Connection, actor: Actor, verb: str, source: str, line: str
    ) -> None:
        detail = {"source": source, "line": line}
        audit.append(connection, at=self.now(), actor=actor, verb=verb, detail=detail)

    def sources(
        self, actor: Actor, *, days: int = 7, known: Iterable[str] = ()
    ) -> list[sourcebook.Source]:
        """What each source delivered and was refused, so many days back; counts only."""
        permissions.require(actor, Scope.ADMIN)
        with reading(self.engine) as connection:
            return sourcebook.report(connection, now=self.now(), days=days, known=known)

    def reconcile(
        self, actor: Actor, *, source: str, announced: Sequence[sourcebook.Announced]
    ) -> sourcebook.Reconciled:
        """What a source says it sent against what is kept of it; a difference is an alert."""
        permissions.require(actor, Scope.ADMIN)
        with reading(self.engine) as connection:
            found = sourcebook.reconcile(
                connection,
                source=source,
                announced=announced,
                reference=lambda name: self.reference(source, name),
            )
        with transaction(self.engine) as connection:
            change = alerts.end if found.agrees else alerts.begin
            change(
                connection, "source-differs", source, now=self.now(),
                channels=tuple(alertchannels.channels_of(self.config, now=self.now)),
            )  # fmt: skip
        return found

    def note_refusal(self, actor: Actor, *, source: str, reason: str) -> None:
        """Counts what a source refused before it was received; `reason` is a word, no content."""
        permissions.require(actor, Scope.INGEST)
        self._reception.note_refusal(source, reason)

    def reference(self, source: str, source_ref: str) -> bytes:
        """The digest by which a reference is known."""
        return self._reception.reference(source, source_ref)

    # -- find ------------------------------------------------------------------------

    def describe(
        self, actor: Actor, id: UUID, *, purpose: str | None = None, case: str | None = None
    ) -> View:
        """One recording's metadata; NotFound unless visible to the actor.

        What is held past its year shows for purpose complaint and a case that holds it alone.
        """
        permissions.require(actor, Scope.READ)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        detail = self.of_whom([recording])
        with transaction(self.engine) as connection:
            audit.append(
                connection, at=self.now(), actor=actor, verb="read", recording_id=recording.id,
                detail=detail,
            )  # fmt: skip
            others = catalogue.get_many(connection, legs.beside(connection, id))
        related = [one for one in others.values() if self._sees(actor, one)]
        return replace(
            self._views(actor, [recording])[0],
            related=tuple(
                Leg(one.id, one.occurred_at, one.direction)
                for one in sorted(related, key=lambda one: (one.occurred_at, one.id))
            ),
        )

    def conversation(self, actor: Actor, view: View) -> tuple[View, ...]:
        """The emails of a conversation or the parts of a call that the view is of, oldest first.

        Only what the actor may see, the view itself included; for a page that shows it already.
        """
        permissions.require(actor, Scope.READ)

        def find(query: Query) -> list[View]:
            asked = self._live(actor, replace(query, lines=actor.lines))
            found, _ = self._search(actor, asked, set(), limit=50, after=None)
            return self._views(actor, found)

        if not view.readable:
            return (view,)
        joined = conversation.of(view, find)
        if len(joined) > 1:
            with transaction(self.engine) as connection:
                audit.append(
                    connection, at=self.now(), actor=actor, verb="read-conversation",
                    recording_id=view.id, detail={"found": len(joined)},
                )  # fmt: skip
        return joined

    def source_text(
        self, actor: Actor, id: UUID, *, purpose: str | None, case: str | None = None
    ) -> tuple[str, bool]:
        """An email as it arrived, and whether that is all; audited like an opening."""
        opened = self.open(actor, id, purpose=purpose, case=case)
        if opened.media_type != "message/rfc822":
            raise NotFound()
        stop = min(opened.length, SOURCE_BYTES)
        raw = b"".join(opened.read(0, stop))
        return raw.decode("utf-8", "replace"), stop == opened.length

    def find(
        self,
        actor: Actor,
        query: Query,
        *,
        limit: int = 25,
        cursor: str | None = None,
        total: bool = False,
        facets: Sequence[str] = (),
        excerpts: bool = False,
        purpose: str | None = None,
        case: str | None = None,
    ) -> Page:
        """What matches, newest first or by relevance; only what the actor may see.

        No total and no facets for whoever sees the recordings of some companies alone.
        With `excerpts` also the words asked for in their context: in subject and notes, in an
        email's text where the actor may open it for the purpose and case stated.
        """
        permissions.require(actor, Scope.SEARCH)
        permissions.require_customer(actor, query)
        if query.held:
            permissions.require_holds(actor)
        query = replace(query, lines=actor.lines)
        after = self._open_cursor(cursor, query) if cursor else None
        understood = understanding.understand(query, now=self.now())
        live, lacking = self._live(actor, self._held_only(understood.query)), set[str]()
        recordings, following = self._search(actor, live, lacking, limit=limit, after=after)
        # The index knows no companies: what it counts is not told to whoever sees some of them.
        counts = actor.companies is None
        counted = self.index.count(live, lacking=lacking) if total and counts else None
        told = self._facets(actor, live, facets, lacking) if facets and counts else None
        views = self._views(actor, recordings)
        marked = self.index.marker(understood.query) if excerpts and query.q else None
        shown, read = self._excerpts(actor, recordings, views, marked, purpose, case)
        mending.note_damage(self.engine, lacking)
        detail = {"fields": _asked(query), "found": len(recordings)}
        detail |= self.of_whom(recordings, subjects.of_query(query))
        with transaction(self.engine) as connection:
            rebuilding = mending.lacking(connection, from_=live.from_, to=live.to)
            audit.append(connection, at=self.now(), actor=actor, verb="search", detail=detail)
            excerpting.note(
                connection, read, at=self.now(), actor=actor, purpose=purpose, case=case
            )
        return Page(
            items=views,
            excerpts=shown,
            subjects={v.id: excerpting.subject(v, marked) for v in views} if marked else {},
            next=self._seal_cursor(following, query) if following else None,
            total=counted,
            facets=told,
            explained=(*understood.notes, *self.index.explain(understood.query)),
            understood=understood.pieces,
            rebuilding=tuple(sorted(lacking.union(rebuilding))),
        )

    def export_hits(
        self, actor: Actor, query: Query, *, purpose: str | None, case: str | None = None
    ) -> list[View]:
        """The metadata of what a search finds, for a file; at most hitlist.MOST_ROWS.

        For those who may take lists out, for a stated purpose (a complaint: its open case). The
        audit entry is committed before anything leaves.
        """
        permissions.require_export(actor)
        permissions.require_customer(actor, query)
        if query.held:
            permissions.require_holds(actor)
        self._purpose_of_list(actor, purpose, case)
        understood = understanding.understand(replace(query, lines=actor.lines), now=self.now())
        live = self._live(actor, self._held_only(understood.query))
        found, _ = self._search(actor, live, set(), limit=hitlist.MOST_ROWS, after=None)
        views = self._views(actor, found)
        with transaction(self.engine) as connection:
            audit.append(
                connection,
                at=self.now(),
                actor=actor,
                verb="export-hits",
                purpose=purpose,
                case=case,
                detail={"fields": _asked(query), "rows": len(views)},
            )
        return views

    def _purpose_of_list(self, actor: Actor, purpose: str | None, case: str | None) -> None:
        try:
            checked = Purpose(purpose or "")
        except ValueError:
            raise PurposeRequired() from None
        permissions.require_purpose(actor, checked)
        if checked is Purpose.COMPLAINT:
            with reading(self.engine) as connection:
                if not case or not cases.is_open(connection, case):
                    raise CaseRequired()

    def browse(
        self,
        actor: Actor,
        *,
        kind: Kind | None = None,
        line: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int = 25,
        cursor: str | None = None,
    ) -> Page:
        """Live recordings newest first, from the catalogue alone: no words, no parties."""
        permissions.require(actor, Scope.SEARCH)
        query = Query(kind=kind, line=line, from_=from_, to=to)
        permissions.require_customer(actor, query)
        since = permissions.sees_since(actor, now=self.now())
        narrowed = replace(query, from_=max(from_ or since, since) if since else from_)
        after = self._open_cursor(cursor, query) if cursor else None
        with transaction(self.engine) as connection:
            found = self._browsed(connection, actor, narrowed, after=after, most=limit + 1)
            shown, more = found[:limit], len(found) > limit
            detail = self.of_whom(shown)
            audit.append(connection, at=self.now(), actor=actor, verb="browse", detail=detail)
        following = (shown[-1].occurred_at, shown[-1].id) if more else None
        return Page(
            items=self._views(actor, shown),
            next=self._seal_cursor(following, query) if following else None,
        )

    def _browsed(
        self,
        connection: Connection,
        actor: Actor,
        query: Query,
        *,
        after: tuple[datetime, UUID] | None,
        most: int,
    ) -> list[Recording]:
        """Up to `most` rows that are the actor's to meet."""
        found: list[Recording] = []
        while len(found) < most:
            rows = catalogue.browse(
                connection,
                now=self.now(),
                kind=query.kind,
                lines=_lines(actor, query.line),
                from_=query.from_,
                to=query.to,
                after=after,
                limit=most,
            )
            found += [row for row in rows if self._meets(actor, row)]
            if len(rows) < most:
                break
            after = (rows[-1].occurred_at, rows[-1].id)
        return found[:most]

    def note_refused(self, actor: Actor, door: str, id: UUID | None = None) -> None:
        """Notes that somebody was refused for want of a right. `door`: the route's name.

        With an id in the address, of whatever it is; nothing else of what was asked.
        """
        detail = {"door": door} | ({"id": str(id)} if id else {})
        with transaction(self.engine) as connection:
            audit.append(connection, at=self.now(), actor=actor, verb="refused", detail=detail)

    def read_audit(
        self, actor: Actor, asked: audit.Asked, *, before: int | None = None, limit: int = 100
    ) -> list[audit.Entry]:
        """Entries of the audit log newest first, for auditors and data protection.

        Reading it is an entry too, with what was asked for.
        """
        permissions.require(actor, Scope.AUDIT)
        detail = {
            name.rstrip("_"): str(value)
            for name, value in asdict(asked).items()
            if value is not None and name != "subjects"
        }
        with transaction(self.engine) as connection:
            found = audit.entries(connection, asked, before=before, limit=limit)
            audit.append(connection, at=self.now(), actor=actor, verb="read-audit", detail=detail)
        return found

    def who_met(
        self,
        actor: Actor,
        identifiers: Iterable[subjects.Identifier],
        asked: audit.Asked | None = None,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> list[audit.Entry]:
        """Entries about anything of a customer, newest first: searches, readings, openings.

        For GDPR 15 and 33; also of recordings that are gone. `identifiers` as by
        `subjects.typed`; BadFields without any. Asking is an entry about that customer too.
        """
        permissions.require(actor, Scope.AUDIT)
        wanted = set(identifiers)
        if not wanted:
            raise BadFields(errors=[FieldError("customer", "a whole number or address")])
        carried = tuple(subjects.everywhere(self.keys, wanted))
        own = {"of": "customer", "subjects": subjects.digests(self.keys, self.now(), wanted)}
        with transaction(self.engine) as connection:
            found = audit.entries(
                connection, replace(asked or audit.Asked(), subjects=carried),
                before=before, limit=limit,
            )  # fmt: skip
            audit.append(connection, at=self.now(), actor=actor, verb="read-audit", detail=own)
        return found

    def unusual(self, actor: Actor) -> list[unusual.Finding]:
        """What stands out in who opened what, for those who read the log to look at."""
        permissions.require(actor, Scope.AUDIT)
        with reading(self.engine) as connection:
            return unusual.findings(connection, now=self.now())

    def review_unusual(self, actor: Actor, key: str) -> None:
        """Notes that somebody looked at it. NotFound unless it stands out; not one's own."""
        permissions.require(actor, Scope.AUDIT)
        with transaction(self.engine) as connection:
            there = [f for f in unusual.findings(connection, now=self.now()) if f.key == key]
            if not there:
                raise NotFound()
            if there[0].actor_id == actor.id:
                raise Forbidden(verb="review what one did oneself")
            audit.append(
                connection, at=self.now(), actor=actor, verb=unusual.REVIEWED, detail={"of": key}
            )

    def forget_subjects(self) -> list[str]:
        """Destroys the keys by which it could be asked who met somebody, too long ago."""
        return subjects.forget(self.keys, self.now())

    def of_whom(
        self, recordings: Iterable[Recording], also: Iterable[subjects.Identifier] = ()
    ) -> dict[str, Any]:
        """What an entry says of whom it is: keyed digests, nothing that names anybody."""
        found = set(also)
        for recording in recordings:
            with suppress(KeyDestroyed, KeyMissing):
                key = self.vault.data_key(recording)
                descriptor = self.vault.descriptor(recording, key=key)
                email = recording.kind is Kind.EMAIL
                described = self.vault.description(recording, key=key) if email else None
                found |= subjects.of_recording(descriptor, described.mail if described else None)
        made = subjects.digests(self.keys, self.now(), found)
        return {"subjects": made} if made else {}

    def _search(
        self,
        actor: Actor,
        query: Query,
        lacking: set[str],
        *,
        limit: int,
        after: tuple[datetime, UUID] | None,
    ) -> tuple[list[Recording], tuple[datetime, UUID] | None]:
        """Up to `limit` visible recordings, and where to go on. The catalogue has the last word.

        Months that cannot be read are passed over and named in `lacking`.
        """
        found: list[Recording] = []
        while len(found) <= limit:
            hits = self.index.find(query, limit=limit + 10, after=after, lacking=lacking)
            with reading(self.engine) as connection:
                rows = catalogue.get_many(connection, [hit.id for hit in hits])
            for hit in hits:
                row = rows.get(hit.id)
                if row is not None and self._sees(actor, row):
                    found.append(row)
            if len(hits) < limit + 10:
                break
            after = (hits[-1].occurred_at, hits[-1].id)
        following = (
            (found[limit - 1].occurred_at, found[limit - 1].id) if len(found) > limit else None
        )
        return found[:limit], following

    def mend_index(self) -> list[str]:
        """Throws noted damaged months away and makes their recordings due again; the months."""
        return mending.mend(self.engine, self.index, now=self.now())

    def rewrite_index(self) -> list[str]:
        """Rewrites, under fresh keys, the months that an erasure took words from.

        A month takes a while (about half a minute for 8,000 documents), so this is for the worker,
        never for a request.
        """
        with transaction(self.engine) as connection:
            months = catalogue.take_months(connection, "rewrite")
        for month in months:
            try:
                self.index.rewrite(month)
            except IndexDamaged:
                self.rebuild_month(month)
        return months

    def rebuild_month(self, month: str) -> None:
        """Makes one month's index anew; the other months stay searchable."""
        mending.rebuild(self.engine, self.index, month, now=self.now())

    def _live(self, actor: Actor, query: Query) -> Query:
        """The query narrowed to contacts whose year is not over, as far back as the actor sees."""
        edge = retention.live_since(self.now())
        edge = max(edge, permissions.sees_since(actor, now=self.now()) or edge)
        return replace(query, from_=max(query.from_, edge) if query.from_ else edge)

    def _held_only(self, query: Query) -> Query:
        """The query narrowed to what is held now, if it asks for that."""
        if not query.held:
            return query
        with reading(self.engine) as connection:
            held = holds.held_now(connection, self.now())
        return replace(query, ids=held if query.ids is None else held & query.ids)

    def _facets(
        self, actor: Actor, live: Query, wanted: Sequence[str], lacking: set[str]
    ) -> dict[str, dict[str, int]]:
        """Counts of the index; of what is held only for those who work with holds."""
        found = self.index.facets(live, wanted, lacking=lacking)
        if "held" in wanted and permissions.may_know_holds(actor):
            held = self._held_only(replace(live, held=True))
            counted = self.index.count(held, lacking=lacking) if held.ids else 0
            found = found | {"held": {"yes": counted} if counted else {}}
        return found

    def _excerpts(
        self,
        actor: Actor,
        recordings: Sequence[Recording],
        views: Sequence[View],
        marked: Marker | None,
        purpose: str | None,
        case: str | None,
    ) -> tuple[dict[UUID, Excerpt], list[UUID]]:
        """Excerpts, and of which recordings the text was read for them: those go into the log."""
        rows = {recording.id: recording for recording in recordings}

        def may_read(view: View) -> bool:
            if purpose is None or Scope.OPEN not in actor.scopes:
                return False
            try:
                self._purpose(actor, rows[view.id], purpose, case)
            except (Forbidden, CaseRequired, PurposeRequired):
                return False
            return True

        if marked is None:
            return {}, []
        return excerpting.of(views, marked, may_read=may_read)

    def _views(self, actor: Actor, recordings: Sequence[Recording]) -> list[View]:
        ids = [r.id for r in recordings]
        with reading(self.engine) as connection:
            renditions = catalogue.renditions(connection, ids)
            held = holds.of(connection, ids) if permissions.may_know_holds(actor) else []
        views = [self._view(r, renditions[r.id]) for r in recordings]
        return [
            replace(view, holds=self._held(recording, held))
            for recording, view in zip(recordings, views, strict=True)
        ]

    def _held(self, recording: Recording, found: Sequence[Hold]) -> tuple[Held, ...]:
        """The recording's durable holds among those found, with what they say."""
        return tuple(
            Held(hold, holds.terms_of(self.vault, recording, hold))
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

    # -- open ------------------------------------------------------------------------

    def open(
        self,
        actor: Actor,
        id: UUID,
        *,
        purpose: str | None,
        case: str | None = None,
        rendition: str = Rendition.ORIGINAL.value,
    ) -> Opened:
        """Content or a rendition, for a stated purpose; the audit entry is committed first."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        self._require_hearing(actor, recording, rendition)
        part = self._part(recording, rendition)
        opened = self._opened(recording, part, rendition)
        with transaction(self.engine) as connection:
            self._note_opening(
                connection, actor, recording, checked, case, {"rendition": rendition}
            )
        return opened

    def make_opening(
        self,
        actor: Actor,
        id: UUID,
        *,
        purpose: str | None,
        case: str | None = None,
        rendition: str = Rendition.PLAYBACK.value,
    ) -> tuple[str, datetime]:
        """A token for a player's address, and until when it holds; see `use_opening`."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        self._require_hearing(actor, recording, rendition)
        self._part(recording, rendition)
        with transaction(self.engine) as connection:
            token, until = openings.make(
                connection,
                now=self.now(),
                life=OPENING_LIFE,
                actor=actor,
                recording_id=id,
                rendition=rendition,
                purpose=checked.value,
                case=case,
            )
            detail = {"rendition": rendition, "opening": True}
            self._note_opening(connection, actor, recording, checked, case, detail)
        return token, until

    def _require_hearing(self, actor: Actor, recording: Recording, rendition: str) -> None:
        """Forbidden for the original of what is silenced in parts, without the right to it."""
        original = rendition == Rendition.ORIGINAL.value
        if (
            not original
            or recording.kind is not Kind.CALL
            or permissions.may(actor, Scope.UNMASKED)
        ):
            return
        try:
            masked = bool(self.vault.descriptor(recording).masked)
        except (KeyDestroyed, KeyMissing):
            raise NotFound() from None
        if not permissions.may_hear_all(actor, masked=masked, original=original):
            raise Forbidden(verb="open the original of a recording with silenced stretches")

    def use_opening(self, actor: Actor, token: str) -> Opened:
        """What an opening gives, for the session it was made in; NotFound in every other case.

        Use extends it; `expires_at` of the recording is checked each time.
        """
        with reading(self.engine) as connection:
            opening = openings.use(
                connection, token, session=actor.session, now=self.now(), life=OPENING_LIFE
            )
        if opening is None:
            raise NotFound()
        recording = self._visible(
            actor, opening.recording_id, purpose=opening.purpose, case=opening.case
        )
        self._require_hearing(actor, recording, opening.rendition)
        opened = self._opened(
            recording, self._part(recording, opening.rendition), opening.rendition
        )

        def counted(start: int, stop: int) -> Iterator[bytes]:
            served = 0
            try:
                for block in opened.read(start, stop):
                    served += len(block)
                    yield block
            finally:
                with transaction(self.engine) as connection:
                    openings.served(connection, token, served)

        return replace(opened, read=counted)

    def email_view(
        self, actor: Actor, id: UUID, *, purpose: str | None, case: str | None = None
    ) -> MailView:
        """An email to be read on a page; one audit entry, committed before anything is shown."""
        permissions.require(actor, Scope.OPEN)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        checked = self._purpose(actor, recording, purpose, case)
        with transaction(self.engine) as connection:
            self._note_opening(connection, actor, recording, checked, case, {"rendition": "page"})
        view = self._views(actor, [recording])[0]
        description = view.description or Description()
        html = mail.safe_html(description.html) if description.html else None
        return MailView(view=view, text=description.text, html=html)

    def peaks(
        self, actor: Actor, id: UUID, *, purpose: str | None = None, case: str | None = None
    ) -> bytes | None:
        """The waveform of a call as wavesurfer wants it (JSON); None where there is none.

        Shows loudness and nothing that was said, so it needs no purpose of its own.
        """
        permissions.require(actor, Scope.READ)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        with reading(self.engine) as connection:
            rendition = catalogue.get_rendition(connection, id, Rendition.PEAKS.value)
        return self.vault.read_all(recording, rendition) if rendition else None

    def attachment(
        self, actor: Actor, id: UUID, index: int, *, purpose: str | None, case: str | None = None
    ) -> tuple[str, str, bytes]:
        """Name, type and content of one attachment of an email; audited like an opening."""
        opened = self.open(actor, id, purpose=purpose, case=case)
        found = mail.attachment(b"".join(opened.read(0, opened.length)), index)
        if found is None:
            raise NotFound()
        return found

    def _purpose(
        self, actor: Actor, recording: Recording, purpose: str | None, case: str | None
    ) -> Purpose:
        try:
            checked = Purpose(purpose or "")
        except ValueError:
            raise PurposeRequired() from None
        permissions.require_purpose(actor, checked)
        if checked is Purpose.COMPLAINT and not self._case_covers(recording, case):
            raise CaseRequired()
        return checked

    def _note_opening(
        self,
        connection: Connection,
        actor: Actor,
        recording: Recording,
        purpose: Purpose,
        case: str | None,
        detail: Mapping[str, Any],
    ) -> None:
        """The audit entry of an opening; to be committed before its first byte leaves."""
        audit.append(
            connection,
            at=self.now(),
            actor=actor,
            verb="open",
            recording_id=recording.id,
            purpose=purpose.value,
            case=case,
            detail={**detail, **self.of_whom([recording])},
        )

    def _case_covers(self, recording: Recording, case: str | None) -> bool:
        """Whether the recording belongs to the case: by metadata, by a hold, or by being added."""
        if not case:
            return False
        with reading(self.engine) as connection:
            if catalogue.is_closed_case(connection, case):
                return False
        if any(held.case == case for held in recording.held):
            return True
        if self.vault.descriptor(recording).case == case:
            return True
        with reading(self.engine) as connection:
            return catalogue.is_in_case(connection, number=case, id=recording.id)

    def _part(self, recording: Recording, rendition: str) -> StoredRendition | None:
        if rendition in {Rendition.ORIGINAL.value, Rendition.TEXT.value}:
            return None
        with reading(self.engine) as connection:
            part = catalogue.get_rendition(connection, recording.id, rendition)
        if part is None:
            raise NotFound()
        return part

    def _opened(self, recording: Recording, part: StoredRendition | None, rendition: str) -> Opened:
        try:
            if rendition == Rendition.TEXT.value:
                return self._opened_text(recording)
            reader = self.vault.reader(recording, part)
            length = reader.length
        except (KeyDestroyed, KeyMissing):
            raise NotFound() from None
        etag = hashlib.sha256(
            f"{recording.id}/{rendition}/{part.version if part else 1}".encode()
        ).hexdigest()[:32]
        media_type = part.media_type if part else self._media_type(recording)
        return Opened(
            length=length,
            media_type=media_type,
            etag=etag,
            read=lambda start, stop: reader.read(start, stop),
            file_name=_file_name(recording, rendition, media_type),
        )

    def _opened_text(self, recording: Recording) -> Opened:
        description = self.vault.description(recording)
        if description is None or description.mail is None:
            raise NotFound()
        text = description.text.encode("utf-8", "replace")
        return Opened(
            length=len(text),
            media_type="text/plain; charset=utf-8",
            etag=hashlib.sha256(f"{recording.id}/text".encode()).hexdigest()[:32],
            read=lambda start, stop: iter([text[start:stop]]),
            file_name=_file_name(recording, "text", "text/plain"),
        )

    def _media_type(self, recording: Recording) -> str:
        if recording.kind is Kind.EMAIL:
            return "message/rfc822"
        given = self.vault.descriptor(recording).media_type
        return given if given.startswith("audio/") else "application/octet-stream"

    # -- correct, cases --------------------------------------------------------------

    def correct(self, actor: Actor, id: UUID, changes: Mapping[str, Any]) -> View:
        """Changes metadata; a corrected contact time moves the recording to its right cohort.

        A correction never lengthens life beyond arrival plus one year. BadFields names each
        field that cannot be changed or is not understood; then nothing changes.
        """
        permissions.require(actor, Scope.INGEST)
        recording = self._visible(actor, id)
        if actor.source is not None and recording.source != actor.source:
            raise NotFound()
        return self._correct(actor, recording, changes)

    def mend(self, actor: Actor, id: UUID, changes: Mapping[str, Any]) -> View:
        """The same for people who look after what was not understood."""
        permissions.require(actor, Scope.REVIEW)
        return self._correct(actor, self._visible(actor, id), changes)

    def _correct(self, actor: Actor, recording: Recording, changes: Mapping[str, Any]) -> View:
        id = recording.id
        values, occurred_at = intake.correction(changes, rules=self._rules)
        changed = corrections.apply(
            self.vault, self.engine, recording, values, occurred_at, now=self.now()
        )
        if "call_id" in values:
            supplements.note_call(self._supplements, changed, self.vault.descriptor(changed))
        with transaction(self.engine) as connection:
            if reviews.holds_card(values.values()):
                reviews.add(connection, id, "card-number", now=self.now())
            self._note_change(connection, actor, "correct", id, changes)
        return self._views(actor, [changed])[0]

    def to_review(
        self, actor: Actor, *, reason: str | None = None, limit: int = 25, offset: int = 0
    ) -> list[tuple[View, Review]]:
        """What somebody should look at, the oldest first, on the actor's lines."""
        permissions.require(actor, Scope.REVIEW)
        with reading(self.engine) as connection:
            found = reviews.waiting(
                connection, now=self.now(), lines=actor.lines, reason=reason, limit=limit,
                offset=offset,
            )  # fmt: skip
            rows = catalogue.get_many(connection, [one.id for one in found])
        seen = [one for one in found if one.id in rows and self._sees(actor, rows[one.id])]
        views = self._views(actor, [rows[one.id] for one in seen])
        return list(zip(views, seen, strict=True))

    def review_progress(self, actor: Actor) -> tuple[Progress, list[Lacking]]:
        """How much waits and was settled, and metadata whose recordings did not come."""
        permissions.require(actor, Scope.REVIEW)
        with reading(self.engine) as connection:
            done = reviews.progress(connection, now=self.now(), lines=actor.lines)
            return done, reviews.lacking(connection, now=self.now())

    def settle_review(self, actor: Actor, id: UUID) -> None:
        """Sends a recording on as it is now: nobody need look at it any more."""
        permissions.require(actor, Scope.REVIEW)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            if reviews.settle(connection, id, by=actor.id, now=self.now()):
                audit.append(
                    connection, at=self.now(), actor=actor, verb="settle-review", recording_id=id
                )

    def describe_again(self, actor: Actor, id: UUID) -> None:
        """Has a recording described anew, as with a newer decoder."""
        permissions.require(actor, Scope.REVIEW)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            gone = catalogue.describe_again(connection, id, now=self.now())
            audit.append(
                connection, at=self.now(), actor=actor, verb="describe-again", recording_id=id
            )
        self.store.delete(gone)

    def _note_change(
        self, connection: Connection, actor: Actor, verb: str, id: UUID, changes: Mapping[str, Any]
    ) -> None:
        detail = {"fields": sorted(changes)}
        audit.append(
            connection, at=self.now(), actor=actor, verb=verb, recording_id=id, detail=detail
        )

    def record_verification(
        self,
        actor: Actor,
        id: UUID | None,
        *,
        outcome: str,
        note: str = "",
        asked: Mapping[str, str] | None = None,
    ) -> str:
        """Records what verifying a contact came to; its reference.

        Of a recording, or with `id` None of a contact that was not found, with what was `asked`.
        NotFound, BadFields.
        """
        permissions.require(actor, Scope.READ)
        permissions.require_purpose(actor, Purpose.VERIFICATION)
        checked, said = intake.verification(outcome, note)
        if (id is None) != (checked == Outcome.NOT_FOUND):
            raise BadFields(errors=[FieldError("outcome", "not-found where there is no recording")])
        recording = self._visible(actor, id) if id is not None else None
        with transaction(self.engine) as connection:
            reference = verifications.record(
                self.vault, connection, actor, outcome=Outcome(checked), note=said,
                recording=recording, asked=asked or {}, now=self.now(),
            )  # fmt: skip
            audit.append(
                connection, at=self.now(), actor=actor, verb="record-verification",
                recording_id=id, purpose=Purpose.VERIFICATION.value,
                detail={"outcome": checked, "reference": reference},
            )  # fmt: skip
        return reference

    def verification(self, actor: Actor, reference: str) -> tuple[Verification, View | None]:
        """An outcome by its reference, with the recording it is about. NotFound.

        Only for those who see that recording; of a contact that was not found, for those who
        verify contacts.
        """
        permissions.require(actor, Scope.READ)
        with reading(self.engine) as connection:
            id = verifications.recording_of(connection, reference)
        if id is None:
            permissions.require_purpose(actor, Purpose.VERIFICATION)
        recording = self._visible(actor, id) if id is not None else None
        with transaction(self.engine) as connection:
            found = verifications.one(self.vault, connection, reference, recording)
            audit.append(
                connection, at=self.now(), actor=actor, verb="read", recording_id=id,
                detail={"reference": reference},
            )  # fmt: skip
        return found, self._views(actor, [recording])[0] if recording is not None else None

    def verifications(
        self, actor: Actor, views: Sequence[View]
    ) -> dict[UUID, tuple[Verification, ...]]:
        """What verifying these recordings came to so far, for a page that shows them already."""
        permissions.require(actor, Scope.READ)
        with reading(self.engine) as connection:
            rows = catalogue.get_many(connection, [view.id for view in views if view.readable])
            return verifications.of(self.vault, connection, rows)

    def undo_verification(self, actor: Actor, reference: str) -> UUID | None:
        """Takes back what the actor recorded today; the recording it was about. TooLateToUndo."""
        permissions.require_purpose(actor, Purpose.VERIFICATION)
        found, view = self.verification(actor, reference)
        with transaction(self.engine) as connection:
            verifications.undo(connection, actor, found, now=self.now())
            audit.append(
                connection, at=self.now(), actor=actor, verb="undo-verification",
                recording_id=found.recording_id, purpose=Purpose.VERIFICATION.value,
                detail={"reference": reference},
            )  # fmt: skip
        return view.id if view is not None else None

    def open_case(
        self,
        actor: Actor,
        number: str | None = None,
        *,
        subject: str = "",
        customer: str = "",
        due_on: date | None = None,
    ) -> str:
        """Opens a complaint case under the given number, or the year's next one.

        A case of that number that is there already stays as it is. BadFields, BadRequest.
        """
        permissions.require(actor, Scope.CASES)
        if number is not None and not intake.CASE_NUMBER.fullmatch(number):
            raise BadRequest(reason="a case number is YYYY-NNNNN")
        about = About(*intake.case_about(subject, customer))
        with transaction(self.engine) as connection:
            year = retention.local(self.now()).year
            chosen = number or catalogue.next_case_number(connection, year)
            cases.begin(
                self.vault, connection, actor,
                number=chosen, about=about, due_on=due_on, now=self.now(),
            )  # fmt: skip
        return chosen

    def change_case(
        self, actor: Actor, number: str, *, subject: str, customer: str, due_on: date | None
    ) -> None:
        """What an open case is about, and its day. NotFound, CaseClosed, BadFields."""
        permissions.require(actor, Scope.CASES)
        about = About(*intake.case_about(subject, customer))
        with transaction(self.engine) as connection:
            cases.change(
                self.vault, connection, actor,
                number=number, about=about, due_on=due_on, now=self.now(),
            )  # fmt: skip

    def list_cases(self, actor: Actor, *, mine: bool = True, closed: bool = False) -> list[Case]:
        """Cases, the actor's own or all; open ones with the day that comes first at the top."""
        permissions.require_holds(actor)
        owner = actor.id if mine else None
        with reading(self.engine) as connection:
            return cases.several(self.vault, connection, owner=owner, closed=closed)

    def case_file(self, actor: Actor, number: str) -> CaseFile:
        """A case with its recordings in the order of contact, notes, and what went of it."""
        permissions.require_holds(actor)
        with transaction(self.engine) as connection:
            found = cases.one(self.vault, connection, number)
            rows = catalogue.get_many(connection, cases.recording_ids(connection, number))
            seen = {
                id: row
                for id, row in rows.items()
                if self._sees(actor, row, purpose=Purpose.COMPLAINT.value, case=number)
            }
            notes = cases.notes(self.vault, connection, number, seen)
            gone = cases.gone(connection, number)
            audit.append(
                connection, at=self.now(), actor=actor, verb="read-case", case=number,
                detail=self.of_whom(seen.values()),
            )  # fmt: skip
        views = self._views(actor, sorted(seen.values(), key=lambda r: (r.occurred_at, r.id)))
        return CaseFile(
            case=found,
            entries=tuple(
                CaseEntry(view, tuple(n for n in notes if n.recording_id == view.id))
                for view in views
            ),
            notes=tuple(note for note in notes if note.recording_id is None),
            gone=tuple(gone),
        )

    def take_out_of_case(self, actor: Actor, number: str, id: UUID) -> None:
        """Takes a recording that the case does not hold out of it, with its notes there."""
        permissions.require(actor, Scope.CASES)
        self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with transaction(self.engine) as connection:
            if not cases.take_out(connection, actor, number=number, id=id, now=self.now()):
                raise NotFound()

    def note_in_case(
        self,
        actor: Actor,
        number: str,
        said: str,
        *,
        id: UUID | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> UUID:
        """Notes something in an open case, about one of its recordings, or at a place of a call.

        NotFound, CaseClosed, BadFields.
        """
        permissions.require(actor, Scope.CASES)
        text_, start, end = intake.case_note(said, start_s, end_s, in_recording=id is not None)
        recording = None
        if id is not None:
            recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            if id is not None and id not in cases.recording_ids(connection, number):
                raise CaseRequired()
            kind = "note" if start is None else "mark"
            made = cases.add_note(
                self.vault, connection, number=number, kind=kind, by=actor, said=text_,
                now=self.now(), recording=recording, start_s=start, end_s=end,
            )  # fmt: skip
            audit.append(
                connection, at=self.now(), actor=actor, verb="note-in-case", recording_id=id,
                case=number, detail={"kind": kind},
            )  # fmt: skip
        return made

    def case_notes(self, actor: Actor, number: str, id: UUID) -> tuple[Note, ...] | None:
        """Notes and marks that were made of a recording in an open case; None if it is not in it.

        For a page that shows the recording already, and has noted that it did.
        """
        permissions.require_holds(actor)
        recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=number)
        with reading(self.engine) as connection:
            if not catalogue.is_open_case(connection, number):
                return None
            if id not in cases.recording_ids(connection, number):
                return None
            found = cases.notes(self.vault, connection, number, {id: recording})
        return tuple(note for note in found if note.recording_id == id)

    def remove_note(self, actor: Actor, number: str, note: UUID) -> None:
        """Removes a note or mark that the actor made. NotFound, CaseClosed."""
        permissions.require(actor, Scope.CASES)
        with transaction(self.engine) as connection:
            cases.require_open(connection, number)
            if not cases.remove_note(connection, number=number, id=note, by=actor):
                raise NotFound()
            audit.append(connection, at=self.now(), actor=actor, verb="remove-note", case=number)

    def hand_over_case(self, actor: Actor, number: str, *, owner: str, reason: str) -> int:
        """Makes a colleague the case's owner, and of its holds; how many holds. BadFields."""
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        with reading(self.engine) as connection:
            known = [one for one in staff.handlers(connection) if one.name == owner]
        if not known:
            raise BadFields(
                errors=[FieldError("owner", "the name of a colleague who handles complaints")]
            )
        return cases.hand_over(
            self.vault, self.engine, actor,
            number=number, owner=known[0].id, reason=said, now=self.now(),
        )  # fmt: skip

    def handlers(self, actor: Actor) -> list[Colleague]:
        """Those to whom a case can be handed over."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            return staff.handlers(connection)

    def closing_of(self, actor: Actor, number: str) -> Consequences:
        """What closing the case would do now: which holds end, and what goes when.

        Of recordings that the actor may not see, nothing. NotFound, CaseClosed.
        """
        permissions.require(actor, Scope.CASES)
        with reading(self.engine) as connection:
            found = closing.consequences(
                connection, number, four_eyes=self.config.hold_release_four_eyes,
                grace=self._grace, now=self.now(),
            )  # fmt: skip
        shown = tuple(c for c in found.recordings if self._may_let_go(actor, c.recording, number))
        return replace(found, recordings=shown)

    def close_case(self, actor: Actor, number: str, *, seen: str, reason: str) -> Closed:
        """Closes a case as shown (`seen`: the digest); its holds end after the days of grace.

        Asked for by one and done by another person where holds are released so. Forbidden where
        it holds what the actor's lines do not show; else as `closing.close`.
        """
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        with reading(self.engine) as connection:
            held = [hold.recording_id for hold in holds.in_force(connection, number)]
            rows = catalogue.get_many(connection, held)
        if not all(self._meets(actor, recording) for recording in rows.values()):
            raise Forbidden(verb="close a case that holds recordings of other lines or companies")
        return closing.close(
            self.vault, self.engine, actor, number,
            seen=seen, reason=said, four_eyes=self.config.hold_release_four_eyes,
            grace=self._grace, now=self.now(),
        )  # fmt: skip

    def refuse_closing(self, actor: Actor, number: str) -> None:
        """Takes back that somebody asked for closing the case."""
        permissions.require(actor, Scope.CASES)
        closing.take_back_request(self.engine, actor, number, now=self.now())

    def reopen_case(
        self, actor: Actor, number: str, *, reason: str, review_on: date | None = None
    ) -> int:
        """Opens a closed case again; with `review_on`, holds again what its holds still keep.

        How many are held again. NotFound, BadFields.
        """
        permissions.require(actor, Scope.CASES)
        said = intake.reason(reason)
        if review_on is not None:
            intake.require_review(review_on, today=retention.local(self.now()).date())
        in_grace = closing.reopen(
            self.vault, self.engine, actor, number, reason=said, now=self.now()
        )
        held = 0
        for id in in_grace:
            if review_on is None:
                break
            try:
                self.hold(actor, id, case=number, reason=said, review_on=review_on)
            except (NotFound, AlreadyHeld):
                continue  # erased, restricted or held meanwhile
            held += 1
        return held

    # -- vCon ------------------------------------------------------------------------

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
        permissions.require_evidence(actor)
        if purpose != Purpose.COMPLAINT.value:
            raise PurposeRequired()
        file = self.case_file(actor, number)
        found = choosing.choices(file, customer_pattern=self.config.customer_pattern)
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

    # -- evidence packages -----------------------------------------------------------

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

    @property
    def _grace(self) -> timedelta:
        return timedelta(days=self.config.hold_grace_days)

    def _may_let_go(self, actor: Actor, recording: Recording, case: str) -> bool:
        return self._sees(actor, recording, purpose=Purpose.COMPLAINT.value, case=case)

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

    # -- hold, restrict, release -----------------------------------------------------

    def hold(
        self, actor: Actor, id: UUID, *, case: str, reason: str, review_on: date, basis: str = ""
    ) -> Held:
        """Holds a recording for an open complaint case; adds it to the case.

        It then outlives its year until the hold ends. Returns when nothing can lose it; NotFound
        once its erasure has begun. CaseRequired, AlreadyHeld, BadFields.
        """
        permissions.require_holds(actor)
        terms = intake.hold_terms(reason, basis or holds.BASIS)
        intake.require_review(review_on, today=retention.local(self.now()).date())
        recording = self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=case)
        return self._place(actor, recording, case, terms, review_on)

    def restrict(
        self, actor: Actor, id: UUID, *, reason: str, review_on: date | None = None
    ) -> Held:
        """Hides a recording from all but the DPO, and keeps it until that is lifted (GDPR 18)."""
        permissions.require_dpo(actor, "restrict")
        terms = intake.hold_terms(reason, "GDPR 18")
        recording = self._visible(actor, id)
        made = self._place(actor, recording, None, terms, review_on)
        with reading(self.engine) as connection:
            months = catalogue.index_months(connection, [id])
        # The row is due for the index too: where this breaks off, the worker takes it out.
        for month in months.values():
            try:
                self.index.remove([id], month=month)
            except IndexDamaged:
                mending.note_damage(self.engine, [month])  # the month is made anew, without it
        return made

    def _place(
        self,
        actor: Actor,
        recording: Recording,
        case: str | None,
        terms: tuple[str, str],
        review_on: date | None,
    ) -> Held:
        said = holds.Terms(*terms)
        hold = holds.place(
            self.vault,
            self.engine,
            actor,
            recording,
            case=case,
            terms=said,
            review_on=review_on,
            now=self.now(),
        )
        return Held(hold, said)

    def release(self, actor: Actor, id: UUID, hold_id: UUID, *, reason: str = "") -> Held:
        """Releases a hold, or asks for it where a second person must confirm.

        `released_at` says which. What is past its year is erased after the grace period.
        """
        permissions.require_holds(actor)
        return self._release(
            actor, id, hold_id, four_eyes=self.config.hold_release_four_eyes, reason=reason
        )

    def extend_hold(
        self, actor: Actor, id: UUID, hold_id: UUID, *, review_on: date, reason: str
    ) -> Held:
        """Moves the review of a hold to another day to come, for a reason."""
        intake.require_review(review_on, today=retention.local(self.now()).date())
        said = intake.reason(reason)
        recording = self._hold_to_change(actor, id, hold_id)
        changed = holdchanges.extend(
            self.vault, self.engine, actor, hold_id,
            review_on=review_on, reason=said, now=self.now(),
        )  # fmt: skip
        return Held(changed, holds.terms_of(self.vault, recording, changed))

    def hand_over_hold(
        self, actor: Actor, id: UUID, hold_id: UUID, *, owner: str, reason: str
    ) -> Held:
        """Makes another person the hold's owner, for a reason; they are told.

        BadFields unless `owner` is the name of somebody who works with holds and sees the line.
        """
        said = intake.reason(reason)
        recording = self._hold_to_change(actor, id, hold_id)
        with reading(self.engine) as connection:
            hold = holds.one(connection, hold_id)
            known = staff.keepers(connection, restriction=hold is None or hold.case is None)
        found = [one for one in known if one.name == owner and one.sees(recording.line)]
        if not found:
            raise BadFields(
                errors=[FieldError("owner", "the name of a colleague who works with holds")]
            )
        changed = holdchanges.hand_over(
            self.vault, self.engine, actor, hold_id,
            owner=found[0].id, reason=said, now=self.now(),
        )  # fmt: skip
        return Held(changed, holds.terms_of(self.vault, recording, changed), found[0].name)

    def _hold_to_change(self, actor: Actor, id: UUID, hold_id: UUID) -> Recording:
        """The recording of a hold that the actor works with; of a restriction, the DPO alone."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            hold = holds.one(connection, hold_id)
        if hold is None or hold.recording_id != id:
            raise NotFound()
        if hold.case is None:
            permissions.require_dpo(actor, "restrict")
        return self._visible(actor, id, purpose=Purpose.COMPLAINT.value, case=hold.case)

    def colleagues(self, actor: Actor, *, restriction: bool = False) -> list[Colleague]:
        """Those to whom a hold can be handed over."""
        permissions.require_holds(actor)
        with reading(self.engine) as connection:
            return staff.keepers(connection, restriction=restriction)

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Names of people behind ids of actors, for pages that tell who did something."""
        with reading(self.engine) as connection:
            return staff.names(connection, ids)

    def unrestrict(self, actor: Actor, id: UUID) -> list[Held]:
        """Lifts the restriction; what is past its year is erased after the grace period."""
        permissions.require_dpo(actor, "restrict")
        with reading(self.engine) as connection:
            found = [
                hold
                for hold in holds.of(connection, [id])
                if hold.case is None and hold.released_at is None and hold.durable_at is not None
            ]
        if not found:
            raise NotFound()
        return [self._release(actor, id, hold.id, four_eyes=False) for hold in found]

    def _release(
        self, actor: Actor, id: UUID, hold_id: UUID, *, four_eyes: bool, reason: str = ""
    ) -> Held:
        said = intake.reason(reason) if reason.strip() else ""
        recording = self._hold_to_change(actor, id, hold_id)
        released = holds.release(
            self.vault,
            self.engine,
            actor,
            hold_id,
            four_eyes=four_eyes,
            grace=self._grace,
            now=self.now(),
            reason=said,
        )
        return Held(released, holds.terms_of(self.vault, recording, released))

    def list_holds(self, actor: Actor, *, due: bool = False, case: str | None = None) -> list[Held]:
        """Holds by review date: all, of a case, or those whose review is due today or past.

        Of holds whose recording the actor may not see, nothing. Restrictions are for the DPO.
        """
        permissions.require_holds(actor)
        today = retention.local(self.now()).date()
        with reading(self.engine) as connection:
            found = holds.durable(connection, due_on=today if due else None, case=case)
            rows = catalogue.get_many(connection, [hold.recording_id for hold, _ in found])
        return [
            Held(hold, holds.terms_of(self.vault, rows[hold.recording_id], hold), owner)
            for hold, owner in found
            if self._sees(
                actor, rows[hold.recording_id], purpose=Purpose.COMPLAINT.value, case=hold.case
            )
        ]

    def notices(self, actor: Actor) -> list[Notice]:
        """What the person should know, unseen first. Machines are told nothing."""
        if actor.kind != "person":
            return []
        with reading(self.engine) as connection:
            return notices.of(connection, UUID(actor.id))

    def unseen_notices(self, actor: Actor) -> int:
        """How many notices the person has not seen."""
        if actor.kind != "person":
            return 0
        with reading(self.engine) as connection:
            return notices.unseen(connection, UUID(actor.id))

    def see_notices(self, actor: Actor) -> int:
        """Marks the person's notices as seen; how many were not."""
        if actor.kind != "person":
            return 0
        with transaction(self.engine) as connection:
            return notices.see(connection, UUID(actor.id), now=self.now())

    def settle_holds(self) -> None:
        """Carries through holds that a crash left half placed, and erasures that broke off."""
        holds.settle(self.vault, self.engine, now=self.now())
        expiry.finish_erasures(self._means)

    # -- erase and expire ------------------------------------------------------------

    def erase(self, actor: Actor, id: UUID, *, reason: str) -> Erasure:
        """Erases at once what should not have been kept; its reference is remembered as erased.

        Says since when it is gone from everything live, and by when from the last backup. With
        four eyes, SecondPersonNeeded unless another one has asked for it.
        """
        recording = self._erasable(actor, id, reason)
        return expiry.erase(
            self._means, actor, recording, reason=reason, four_eyes=self.config.erase_four_eyes
        )

    def request_erasure(self, actor: Actor, id: UUID, *, reason: str) -> Erasure | ErasureRequest:
        """Erases; with four eyes the first one only asks for it, and the second one erases."""
        recording = self._erasable(actor, id, reason)
        if self.config.erase_four_eyes:
            with transaction(self.engine) as connection:
                if catalogue.get(connection, id, lock=True) is None:
                    raise NotFound()
                if not asking.is_asked_by_another(connection, actor, id):
                    return asking.ask(connection, actor, id, reason=reason, now=self.now())
        return expiry.erase(
            self._means, actor, recording, reason=reason, four_eyes=self.config.erase_four_eyes
        )

    def withdraw_erasure(self, actor: Actor, id: UUID) -> None:
        """Takes back the wish to erase a recording. NotFound where nobody asked for it."""
        permissions.require(actor, Scope.ERASE)
        self._visible(actor, id)
        with transaction(self.engine) as connection:
            if not asking.withdraw(connection, actor, id, now=self.now()):
                raise NotFound()

    def erasure_request(self, actor: Actor, id: UUID) -> ErasureRequest | None:
        """Who asked for erasing this recording, for those who may erase; else None."""
        if Scope.ERASE not in actor.scopes:
            return None
        with reading(self.engine) as connection:
            return asking.of(connection, id)

    def erasure_requests(self, actor: Actor) -> Sequence[ErasureRequest]:
        """What waits for a second person, oldest first."""
        permissions.require_proof(actor)
        with reading(self.engine) as connection:
            return asking.waiting(connection)

    def _erasable(self, actor: Actor, id: UUID, reason: str) -> Recording:
        permissions.require(actor, Scope.ERASE)
        if reason not in expiry.ERASURE_REASONS:
            raise BadRequest(reason="the reason is one of " + ", ".join(expiry.ERASURE_REASONS))
        return self._visible(actor, id)

    def expire(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Destroys what is a year old; the certificate of the run. Resumable, one at a time."""
        return expiry.run(self._means, dry_run=dry_run)

    def prove_expired(self, actor: Actor, id: UUID) -> Proof:
        """That a recording is gone, place by place. NotProven: never held, or not proven."""
        permissions.require_proof(actor)
        with transaction(self.engine) as connection:
            audit.append(
                connection, at=self.now(), actor=actor, verb="prove-expired", recording_id=id
            )
        return proving.prove(
            self.vault,
            self.engine,
            self.index,
            id,
            backups=journal.reachable_backups(self.config, self.keys),
            backup_days=self.config.backup_days,
        )

    def erasures(self, actor: Actor, *, days: int = 400) -> list[Erasure]:
        """Early erasures of so many days, newest first."""
        permissions.require_proof(actor)
        with reading(self.engine) as connection:
            return journal.listed(connection, since=self.now() - timedelta(days=days))

    def preview_rules(self, actor: Actor) -> Preview:
        """What applying today's rules to what is stored would change: how many, and from when."""
        permissions.require(actor, Scope.ADMIN)
        return ruling.preview(self.engine, ruling.rules_of(self.config), now=self.now())

    def apply_rules(self, actor: Actor, *, progress: Callable[[int], None]) -> ruling.Applied:
        """Brings what is stored under today's rules; resumable.

        Nothing is kept longer than its year, and what is over stays over. What is over by its
        new rule leaves the index too. CatalogueUnavailable, StoreUnavailable.
        """
        permissions.require(actor, Scope.ADMIN)
        done = ruling.apply(
            self.vault,
            self.engine,
            actor,
            ruling.rules_of(self.config),
            now=self.now,
            progress=progress,
        )
        with reading(self.engine) as connection:
            months = catalogue.index_months(connection, done.over)
        for month in sorted(set(months.values())):
            try:
                self.index.remove([id for id in months if months[id] == month], month=month)
            except IndexDamaged as error:
                mending.note_damage(self.engine, [str(error.facts["month"])])
        return done

    def expiry_calendar(
        self,
        actor: Actor,
        *,
        since: date = expirydays.EARLIEST,
        until: date = expirydays.LATEST,
    ) -> list[ExpiryDay]:
        """What went and what goes, by day; held and restricted for those who may know of them."""
        permissions.require(actor, Scope.EXPIRY)
        return expirydays.days(
            self.engine, now=self.now(), knows=_knows(actor), since=since, until=until
        )

    def expiry_day(self, actor: Actor, day: date) -> DayAccount:
        """One day: its figures, the runs that took from it, and what could not be destroyed."""
        permissions.require(actor, Scope.EXPIRY)
        return expirydays.account(self.engine, day, now=self.now(), knows=_knows(actor))

    def last_expiry_bytes(self, actor: Actor) -> tuple[int, int | None] | None:
        """Bytes that the last run deleted, and those the store gave back of them."""
        permissions.require(actor, Scope.EXPIRY)
        return expiry.last_bytes(self.engine)

    # -- who may see what ------------------------------------------------------------

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

    # -- cursors ---------------------------------------------------------------------

    def _seal_cursor(self, after: tuple[datetime, UUID], query: Query) -> str:
        body = json.dumps([after[0].isoformat(), str(after[1])]).encode()
        sealed = seal.seal(self.keys.ensure("installation/pages"), _cursor_context(query), body)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _open_cursor(self, cursor: str, query: Query) -> tuple[datetime, UUID]:
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            key = self.keys.ensure("installation/pages")
            at, id = json.loads(seal.unseal(key, _cursor_context(query), sealed))
        except (ValueError, ArchiveError):
            raise BadRequest(reason="the cursor belongs to another search or is damaged") from None
        return datetime.fromisoformat(at), UUID(id)


def _knows(actor: Actor) -> expirydays.Knows:
    return expirydays.Knows(
        holds=permissions.may_know_holds(actor), restrictions=permissions.is_dpo(actor)
    )


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


def _lines(actor: Actor, line: str | None) -> list[str] | None:
    if actor.lines is None:
        return [line] if line else None
    return [line] if line in actor.lines else [] if line else sorted(actor.lines)


def _asked(query: Query) -> list[str]:
    """Names of the fields that were asked by; never their values."""
    return [
        name
        for name in query.__slots__
        if getattr(query, name) not in (None, False) and name not in {"sort", "lines"}
    ]


def _cursor_context(query: Query) -> bytes:
    narrowed = [str(getattr(query, name)) for name in query.__slots__ if name != "lines"]
    return seal.context("cursor", *narrowed)


_EXTENSIONS = {"audio/ogg": "ogg", "message/rfc822": "eml", "application/json": "json",
               "text/plain": "txt"}  # fmt: skip


def _file_name(recording: Recording, rendition: str, media_type: str) -> str:
    extension = _EXTENSIONS.get(media_type.split(";")[0], "bin")
    return f"{recording.id}-{rendition}.{extension}"
