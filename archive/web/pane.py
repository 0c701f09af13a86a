"""The reading pane: one recording with what its reader may do, on every page that shows one.

Decides what is shown, never what may be seen: contents come from the archive's verbs, with the
purpose that the person stated for this task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import g, render_template
from flask_babel import gettext as _

from archive import hitlist, permissions, transcripts
from archive.archive import View
from archive.casework.cases import Note
from archive.casework.staff import Colleague
from archive.casework.verifications import Verification
from archive.erasure.asking import ErasureRequest
from archive.errors import CaseRequired, Forbidden
from archive.model import Actor, Cue, Direction, Kind, Purpose, Rendition, Scope
from archive.pairing import Together
from archive.web import desk
from archive.web.desk import Listing
from archive.web.kept import Kept
from archive.web.show import duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One recording to be shown.

    `purposes` are those the reader may choose from; `purpose` is the one that is settled, with
    `case` where it needs one. `opened` says that an email is: `text` holds what it says, or None
    where its frame is to show it `formatted`. `problem` is the name of an error to be explained
    beside the purpose.
    """

    view: View
    token: str
    purposes: tuple[str, ...]
    purpose: str | None
    case: str | None
    may_open: bool
    may_download: bool
    may_hold: bool
    may_restrict: bool
    keepers: tuple[Colleague, ...]  # to whom a hold can be handed over
    dpos: tuple[Colleague, ...]  # and a restriction
    names: Mapping[str, str]  # of those who changed a hold, noted or verified, by their ids
    noted: tuple[Note, ...] | None  # within the case that is settled; None: nothing is noted here
    may_note: bool
    verified: tuple[Verification, ...]
    may_verify: bool
    more: tuple[tuple[str, str, str], ...]  # field, value, words: searches for the same person
    conversation: tuple[View, ...]  # the emails or parts of a call it is of, itself included
    may_erase: bool
    erasure: ErasureRequest | None  # asked for by somebody, not yet confirmed
    confirms: bool  # whether this person is the second one
    media: str  # "player", "pending", "undecodable", "unreadable", "lost", "email"
    channels: tuple[str, ...]
    together: Together | None  # the other side of the call, heard with it
    alone: bool  # whether it was asked for without
    silenced: tuple[str, ...]  # stretches that nobody hears, as "1:05–1:20"
    opened: bool
    text: str | None
    transcribed: bool  # whether there is a transcript of the call
    hearing: str | None  # how far the archive's own transcriber is: "due", "failed", "done"
    said: tuple[Cue, ...]  # what it says, once its reader stated the purpose for this task
    formatted: bool
    problem: str | None


def show(
    view: View,
    *,
    kept: Kept | None = None,
    token: str = "",
    listing: Listing | None = None,
    formatted: bool = False,
    problem: str | None = None,
    alone: bool = False,
) -> str:
    """The page of one recording, beside the list it was chosen from if there is one."""
    return render_template(
        "desk.html",
        listing=listing,
        pane=build(view, kept=kept, token=token, formatted=formatted, problem=problem, alone=alone),
        neighbours=desk.neighbours(listing, view.id) if listing else None,
        may_export=permissions.may_export(g.actor),
        most_rows=hitlist.MOST_ROWS,
    )


def build(
    view: View,
    *,
    kept: Kept | None,
    token: str,
    formatted: bool = False,
    problem: str | None = None,
    alone: bool = False,
) -> Pane:
    """What there is to show; an email is opened if the purpose was stated for this task.

    `alone`: without the other side of a call that was recorded as two.
    """
    actor: Actor = g.actor
    purpose, case = settled(actor, kept)
    opened = view.kind is Kind.EMAIL and view.readable and kept is not None and bool(kept.purpose)
    formatted = formatted and opened and bool(view.description and view.description.html)
    text = None
    if opened and not formatted:
        text, failed = _text(view, purpose, case)
        problem = problem or failed
    said: tuple[Cue, ...] = ()
    transcribed = bool(transcripts.said(view.descriptor, view.description))
    if transcribed and kept is not None and kept.purpose and not problem:
        said, problem = _said(view, purpose, case)
    if problem:
        purpose, opened = None, False
    noted = _noted(view, actor, case if not problem else None)
    media, together = _media(view), None
    if media == "player" and purpose and Scope.OPEN in actor.scopes:
        together = desk.archive_().other_side(actor, view, purpose=purpose, case=case)
    asked = desk.archive_().erasure_request(actor, view.id)
    verified = desk.archive_().verifications(actor, [view]).get(view.id, ())
    return Pane(
        view=view,
        token=token,
        purposes=tuple(sorted(actor.purposes)),
        purpose=purpose,
        case=case,
        may_open=Scope.OPEN in actor.scopes and bool(actor.purposes),
        may_download=Scope.CASES in actor.scopes,
        may_hold=_may_hold(view, actor, case if not problem else None),
        may_restrict=permissions.is_dpo(actor),
        noted=noted,
        may_note=Scope.CASES in actor.scopes,
        verified=verified,
        more=_more(view, actor),
        conversation=desk.archive_().conversation(actor, view),
        may_verify=view.readable and Purpose.VERIFICATION in actor.purposes,
        keepers=_keepers(view, restriction=False),
        dpos=_keepers(view, restriction=True),
        names=_names(view, noted, verified),
        may_erase=Scope.ERASE in actor.scopes,
        erasure=asked,
        confirms=asked is not None and asked.by != actor.id,
        media=media,
        channels=_channels(view) if together is None or alone else together.names,
        together=together,
        alone=alone,
        silenced=silenced(view),
        opened=opened,
        text=text,
        transcribed=transcribed,
        hearing=desk.archive_().hearing(view) if media == "player" else None,
        said=said,
        formatted=formatted,
        problem=problem,
    )


def _more(view: View, actor: Actor) -> tuple[tuple[str, str, str], ...]:
    """What else of the customer may be searched for from here: by number, phone, address."""
    if not view.readable or Scope.SEARCH not in actor.scopes:
        return ()
    d, mail = view.descriptor, view.description.mail if view.description else None
    outbound = view.direction is Direction.OUTBOUND
    theirs = d.callee if outbound else d.caller
    parties = (mail.to if outbound else mail.from_) if mail is not None else ()
    found = [
        ("customer", d.customer_number, _("More with this customer number")),
        ("phone", theirs if theirs and "@" not in theirs else None, _("More with this phone")),
        ("email", parties[0] if parties else None, _("More with this address")),
    ]
    return tuple((name, value, words) for name, value, words in found if value)


def _may_hold(view: View, actor: Actor, case: str | None) -> bool:
    """Whether there is a case to hold the recording for, and it is not held for it already."""
    if case is None or not permissions.may_know_holds(actor):
        return False
    return not any(h.hold.case == case and h.hold.released_at is None for h in view.holds)


def _keepers(view: View, *, restriction: bool) -> tuple[Colleague, ...]:
    if not any((held.hold.case is None) == restriction for held in view.holds):
        return ()
    return tuple(desk.archive_().colleagues(g.actor, restriction=restriction))


def _noted(view: View, actor: Actor, case: str | None) -> tuple[Note, ...] | None:
    if case is None or not permissions.may_know_holds(actor):
        return None
    return desk.archive_().case_notes(actor, case, view.id)


def _names(
    view: View, noted: tuple[Note, ...] | None, verified: tuple[Verification, ...]
) -> Mapping[str, str]:
    changes = [c for held in view.holds if held.terms for c in held.terms.changes]
    ids = {c.by for c in changes} | {c.became for c in changes if c.became}
    ids |= {note.by for note in noted or ()} | {each.by for each in verified}
    return desk.archive_().names(ids) if ids else {}


def settled(actor: Actor, kept: Kept | None) -> tuple[str | None, str | None]:
    """The purpose (and case) that need not be asked: stated for this task, or the only one."""
    if kept is not None and kept.purpose:
        return kept.purpose, kept.case
    if len(actor.purposes) == 1 and Purpose.COMPLAINT not in actor.purposes:
        return next(iter(actor.purposes)).value, None
    return None, None


def _text(view: View, purpose: str | None, case: str | None) -> tuple[str | None, str | None]:
    """What the email says, or the name of the error that stands before it."""
    try:
        mail = desk.archive_().email_view(g.actor, view.id, purpose=purpose, case=case)
    except (CaseRequired, Forbidden) as error:
        return None, type(error).__name__
    return mail.text, None


def _said(view: View, purpose: str | None, case: str | None) -> tuple[tuple[Cue, ...], str | None]:
    """What was said in the call, or the name of the error that stands before it."""
    if Scope.OPEN not in g.actor.scopes:
        return (), None
    try:
        return desk.archive_().transcript(g.actor, view.id, purpose=purpose, case=case), None
    except (CaseRequired, Forbidden) as error:
        return (), type(error).__name__


def _media(view: View) -> str:
    if not view.readable:
        return "unreadable"
    if view.kind is Kind.EMAIL:
        return "email"
    call = view.description.call if view.description else None
    if call is None:
        return "lost" if view.error_code else "pending"
    if not call.decodes:
        return "undecodable"
    return "player" if Rendition.PLAYBACK.value in view.renditions else "lost"


def silenced(view: View) -> tuple[str, ...]:
    """Stretches of the call that nobody hears, as "1:05–1:20"."""
    return tuple(f"{duration(start)}–{duration(end)}" for start, end in view.descriptor.masked)


def _channels(view: View) -> tuple[str, ...]:
    """Who speaks on which channel, only where the source itself said so."""
    extra = view.descriptor.extra
    named = extra.get("channels") if isinstance(extra, Mapping) else None
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        return tuple(named[:8])
    return ()
