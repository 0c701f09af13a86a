"""Verbs of finding: searching, browsing, describing, and the index kept true."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from archive import (
    audit,
    catalogue,
    conversation,
    documents,
    hitlist,
    legs,
    mending,
    permissions,
    retention,
    seal,
    subjects,
    unusual,
)
from archive import excerpts as excerpting
from archive.answers import Leg, Page, View
from archive.casework import cases, holdrows
from archive.db import reading, transaction
from archive.errors import (
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
)
from archive.model import (
    Actor,
    Kind,
    Purpose,
    Query,
    Recording,
    Scope,
)
from archive.search import understanding
from archive.search.exact import Verifier
from archive.search.marking import Excerpt, Marker
from archive.verbs.opening import Opening, stated

SOURCE_BYTES = 96 * 1024  # of an email's original, shown on a page


class Finding(Opening):
    """The verbs."""

    def describe(
        self, actor: Actor, id: UUID, *, purpose: str | None = None, case: str | None = None
    ) -> View:
        """One recording's metadata; NotFound unless visible to the actor.

        What is held past its year shows for purpose complaint and a case that holds it alone.
        """
        permissions.require(actor, Scope.READ)
        recording = self._visible(actor, id, purpose=purpose, case=case)
        detail = self.of_whom([recording], by=actor)
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
        as_mail = self._as_mail(id)
        opened = self.open(actor, id, purpose=purpose, case=case, rendition=as_mail)
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

        Total and facets count, of whoever sees the recordings of some companies alone, those; not
        while the index has months of an older form, which know no companies.
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
        of_theirs = replace(live, companies=actor.companies)
        counts = actor.companies is None or not self.index.stale()
        counted = self.index.count(of_theirs, lacking=lacking) if total and counts else None
        told = self._facets(actor, of_theirs, facets, lacking) if facets and counts else None
        loose = counted is not None and self.index.verifier(live) is not None
        if loose and not cursor and not following:
            counted, loose = len(recordings), False
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
            explained=(
                *understood.notes,
                *self.index.explain(understood.query),
                *(["counted-at-most"] if loose else []),
            ),
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
        if stated(actor, purpose) is Purpose.COMPLAINT:
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

        Months that cannot be read are passed over and named in `lacking`. What the index is not
        sure of (phrases), each recording's own words decide.
        """
        sure = self.index.verifier(query)
        found: list[Recording] = []
        while len(found) <= limit:
            hits = self.index.find(query, limit=limit + 10, after=after, lacking=lacking)
            with reading(self.engine) as connection:
                rows = catalogue.get_many(connection, [hit.id for hit in hits])
            for hit in hits:
                row = rows.get(hit.id)
                if row is not None and self._sees(actor, row) and self._fulfils(row, sure):
                    found.append(row)
                if len(found) > limit:
                    break
            if len(hits) < limit + 10:
                break
            after = (hits[-1].occurred_at, hits[-1].id)
        following = (
            (found[limit - 1].occurred_at, found[limit - 1].id) if len(found) > limit else None
        )
        return found[:limit], following

    def _fulfils(self, recording: Recording, sure: Verifier | None) -> bool:
        if sure is None:
            return True
        try:
            return sure(documents.document(self.vault, recording))
        except (KeyDestroyed, KeyMissing):
            return False

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
            held = holdrows.held_now(connection, self.now())
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
