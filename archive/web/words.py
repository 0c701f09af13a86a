"""The words of the model in the reader's language. Knows no request beyond its language."""

from __future__ import annotations

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

from archive.errors import ArchiveError

KINDS = {"call": _("Call"), "email": _("Email")}
DIRECTIONS = {"inbound": _("Incoming"), "outbound": _("Outgoing"), "internal": _("Internal")}
PURPOSES = {
    "verification": _("Verifying a contact"),
    "complaint": _("Handling a complaint"),
    "quality": _("Developing the service"),
    "access-request": _("Answering an access request"),
    "authority": _("Request of an authority"),
    "emergency": _("Emergency, beyond one's rights"),
}
GROUPS = {
    "customer-service": _("Customer service"),
    "complaints": _("Complaint handling"),
    "dpo": _("Data protection"),
    "quality-lead": _("Quality of service"),
    "auditor": _("Audit"),
    "admin": _("Administration"),
}
EMERGENCIES = {
    "justified": _("It was justified"),
    "not-needed": _("Another way would have done"),
    "misuse": _("It was misuse"),
}
SCOPES = {
    "ingest": _("Deliver recordings"),
    "search": _("Search"),
    "read": _("Read metadata"),
    "open": _("Open recordings"),
    "unmasked": _("Open originals of silenced calls"),
    "review": _("Look after what was not understood"),
    "erase": _("Erase"),
    "cases": _("Complaint cases"),
    "expiry": _("Expiry"),
    "quality": _("Develop the service"),
    "audit": _("Read the audit log"),
    "admin": _("Administer"),
    "break-glass": _("Open one recording in an emergency"),
}
REASONS = {
    "customer": _("customer number"),
    "caller": _("caller"),
    "callee": _("called number"),
    "sender": _("sender"),
    "recipient": _("recipient"),
    "metering_point": _("metering point"),
    "case": _("complaint case"),
    "text": _("words"),
}
# What a piece of a search was taken for.
TAKEN_FOR = {
    "word": _("word"),
    "phrase": _("words in this order"),
    "beginning": _("beginning"),
    "name": _("name"),
    "subject": _("subject"),
    "time": _("time"),
    "line": _("service line or mailbox"),
    "agent": _("agent"),
    "customer": _("customer number"),
    "phone": _("phone"),
    "email": _("email address"),
    "metering_point": _("metering point"),
    "case": _("complaint case"),
    "kind": _("kind"),
    "direction": _("direction"),
    "source": _("source"),
}
# Headings of a list of hits.
COLUMNS = {
    "id": _("Recording id"),
    "occurred_at": _("Contact took place"),
    "kind": _("Kind"),
    "direction": _("Direction"),
    "line": _("Service line or mailbox"),
    "agent": _("Agent"),
    "customer_number": _("Customer number"),
    "caller": _("Caller"),
    "callee": _("Called number"),
    "from": _("Sender"),
    "to": _("Recipients"),
    "subject": _("Subject"),
    "length_s": _("Length in seconds"),
    "attachments": _("Attachments"),
    "metering_point": _("Metering point"),
    "case": _("Complaint case"),
    "company": _("Company"),
    "source": _("Source"),
    "expires_at": _("To be destroyed"),
}
YES_NO = {"yes": _("Yes"), "no": _("No")}
FACET_VALUES: dict[str, dict[str, LazyString]] = {
    "kind": KINDS,
    "direction": DIRECTIONS,
    "attachment": YES_NO,
    "held": YES_NO,
    "duration": {
        "0-30": _("Under half a minute"),
        "30-120": _("½–2 minutes"),
        "120-300": _("2–5 minutes"),
        "300-900": _("5–15 minutes"),
        "900-": _("Over 15 minutes"),
    },
}
# How a search was read where that is not plain.
EXPLAINED = {
    "quote-not-closed": _("A quotation mark is missing: everything behind the first was taken."),
    "counted-at-most": _("Words in this order: the number of contacts may be a little too high."),
    "prefix-too-short": _("Give at least two letters before the asterisk."),
    "too-long": _("Only the first 1,000 characters were read."),
    "too-many-words": _("Only the first 40 words were read."),
    "identity-code-not-searched": _("Personal identity codes are not searched by."),
    "nothing-to-search": _("There was no word to look for."),
    "unknown-field": _("There is no such field; it was read as a word:"),
    "dates-apart": _("The times have no day in common: everything between them was taken."),
}
REFUSALS = {
    "older-than-retention": _("more than a year old"),
    "reference-erased": _("erased before"),
    "reference-conflict": _("other content under a known reference"),
    "line-not-allowed": _("service line not allowed"),
    "mailbox-not-allowed": _("mailbox not archived"),
    "no-archived-mailbox": _("concerns no archived mailbox"),
    "client-not-allowed": _("unknown mail server"),
    "too-large": _("too large"),
    "not-a-recording": _("neither a call nor an email"),
    "metadata-without-recording": _("metadata without a recording"),
    "other-source": _("delivered for another source"),
    "bad-fields": _("required data missing or wrong"),
    "unreadable": _("key destroyed"),
}
ERASURES = {
    "private": _("Private call, not customer service"),
    "art17": _("Request of the person (GDPR 17)"),
    "mistake": _("Recorded or delivered by mistake"),
}
VERBS = {
    "open": _("Opened"),
    "opening-ended": _("Opening ended"),
    "read": _("Read the metadata"),
    "search": _("Searched"),
    "excerpt": _("Saw an excerpt"),
    "export-hits": _("Took a list of hits"),
    "browse": _("Browsed"),
    "correct": _("Corrected"),
    "supplement": _("Added metadata"),
    "attach": _("Kept what came with a call"),
    "settle-review": _("Settled what was to be looked at"),
    "describe-again": _("Had a recording read again"),
    "erase": _("Erased early"),
    "erase-request": _("Asked for an early erasure"),
    "erase-withdraw": _("Withdrew the wish to erase"),
    "open-case": _("Complaint case opened"),
    "add-to-case": _("Added to a case"),
    "hold": _("Held"),
    "hold-release-request": _("Asked for a hold's release"),
    "hold-release": _("Released a hold"),
    "hold-end": _("A hold ended"),
    "restrict": _("Restricted"),
    "unrestrict": _("Ended a restriction"),
    "log-in": _("Logged in"),
    "give-code": _("Gave the code of the second factor"),
    "refuse-log-in": _("A failed log-in"),
    "refused": _("Refused for want of a right"),
    "begin-second-factor": _("Took a second factor into use"),
    "break-glass": _("Opened beyond their rights, in an emergency"),
    "review-break-glass": _("Reviewed an emergency access"),
    "part-from-provider": _("Parted a user from the identity provider"),
    "remove-second-factor": _("Removed a second factor"),
    "renew-recovery-codes": _("Made new recovery codes"),
    "accept-commitment": _("Accepted the confidentiality commitment"),
    "end-session": _("Ended a session"),
    "end-sessions": _("Ended other sessions"),
    "change-rights": _("Changed a user's rights"),
    "mail-address": _("Changed where notices are mailed"),
    "choose-password": _("Chose a password"),
    "create-person": _("Added a user"),
    "disable-person": _("Disabled a user"),
    "create-token": _("Made a machine token"),
    "revoke-token": _("Revoked a machine token"),
    "expire": _("Expiry run"),
    "restore": _("Restored from a backup"),
    "prove-expired": _("Asked for a proof"),
    "allow-line": _("Allowed a source a line"),
    "disallow-line": _("Took a line from a source"),
    "unrestrict-source": _("Lifted a source's restriction"),
    "read-case": _("Complaint case read"),
    "ask-evidence": _("Asked for an evidence package"),
    "put-in-evidence": _("Put into an evidence package"),
    "make-evidence": _("Evidence package made"),
    "open-evidence": _("Evidence package saved"),
    "end-evidence": _("Evidence package removed"),
    "read-audit": _("Read the audit log"),
    "review-unusual": _("Looked at unusual access"),
    "read-conversation": _("Read a conversation's list"),
    "draw-sample": _("Drew a sample of calls"),
    "score-call": _("Scored a call"),
    "put-scorecard": _("Changed a scorecard"),
    "record-verification": _("Recorded the outcome of a verification"),
    "undo-verification": _("Took a verification back"),
    "change-case": _("Changed a case"),
    "hand-over-case": _("Handed a case over"),
    "close-case-request": _("Asked for closing a case"),
    "close-case": _("Closed a case"),
    "close-case-refuse": _("Took the closing of a case back"),
    "reopen-case": _("Reopened a case"),
    "note-in-case": _("Noted something in a case"),
    "remove-note": _("Removed a note"),
    "take-out-of-case": _("Took out of a case"),
    "hold-review": _("Moved the review of a hold"),
    "hold-hand-over": _("Handed a hold over"),
    "retention-applied": _("Applied the rules of retention"),
}
REVIEWS = {
    "card-number": _("holds a card number"),
    "unread-email": _("email not read to its end"),
    "undecodable": _("sound does not play"),
    "truncated": _("sound is cut short or damaged"),
    "empty": _("without a byte"),
    "metadata": _("metadata not understood"),
    "failed": _("could not be processed"),
}
PLACES = {
    "certificate": _("Signed lists"),
    "keys": _("Encryption keys"),
    "objects": _("Object store, every version"),
    "catalogue": _("Catalogue"),
    "index": _("Search index"),
    "backup": _("Newest backup"),
}
OUTCOMES = {
    "confirmed": _("Confirmed"),
    "different": _("Different from what was said"),
    "not-found": _("Not found"),
}
ENVELOPE = {
    "mail_from": _("Sender of the envelope"),
    "rcpt_to": _("Recipients of the envelope"),
    "client": _("Delivered by"),
    "tls": _("Encryption of the delivery"),
    "sender": _("Sender, by the journal"),
    "on_behalf_of": _("On behalf of, by the journal"),
    "to": _("Recipients, by the journal"),
    "cc": _("Copies, by the journal"),
    "bcc": _("Blind copies, by the journal"),
    "recipients": _("Everybody who got it, by the journal"),
    "via": _("Through groups or forwarding"),
}
FILES = {
    "application/x-msdownload": _("a Windows program"),
    "application/x-executable": _("a program"),
    "text/x-script": _("a script"),
    "text/html": _("a web page"),
    "application/zip": _("a packed file"),
}
CHANNELS = {
    "agent": _("Agent"),
    "customer": _("Customer"),
    # Two sides of a call of which nothing else is known.
    "inbound": DIRECTIONS["inbound"],
    "outbound": DIRECTIONS["outbound"],
}

# What happened and what can be done now, by the error's class; the rest by status.
ERRORS: dict[str, tuple[LazyString, LazyString]] = {
    "NotFound": (
        _("No such recording"),
        _(
            "The recording does not exist, or it is not visible to you. Recordings are destroyed "
            "one year after the contact."
        ),
    ),
    "Forbidden": (
        _("You have no right to do this"),
        _("Your group's rights do not cover it. If your work needs it, ask your supervisor."),
    ),
    "CaseRequired": (
        _("The recording does not belong to this complaint case"),
        _("Give the number of an open case, or add the recording to the case first."),
    ),
    "PurposeRequired": (
        _("State the purpose"),
        _("A recording is opened only for a stated purpose."),
    ),
    "TooLateToUndo": (
        _("The outcome can no longer be taken back"),
        _("It is taken back by the person who recorded it, on the same day. Record a new one."),
    ),
    "StaleForm": (
        _("The page was out of date"),
        _("Nothing was changed. Go back, reload the page and try again."),
    ),
    "TooManyAttempts": (
        _("Too many failed attempts"),
        _("Wait a quarter of an hour and try again, or ask an administrator for a login link."),
    ),
    "StoreUnavailable": (
        _("Recordings cannot be opened right now"),
        _("The storage does not answer. Nothing was lost; try again in a moment."),
    ),
    "CatalogueUnavailable": (
        _("The archive does not answer right now"),
        _("The database is away. Nothing was lost; try again in a moment."),
    ),
    "IndexDamaged": (
        _("Search is being repaired"),
        _("The index of some month is being rebuilt. Try again in a few minutes."),
    ),
}
ALARMS = {
    "root-rotation": _("The root key has not been replaced"),
    "root-away": _("The root key does not answer"),
    "alarms-unreadable": _("The list of alarms is damaged"),
}
STATUSES: dict[int, tuple[LazyString, LazyString]] = {
    400: (_("The request was not understood"), _("Go back and check what you entered.")),
    401: (_("Log in"), _("You are not logged in, or the session has ended.")),
    403: ERRORS["Forbidden"],
    404: (
        _("Page not found"),
        _("There is nothing at this address. Start again from the search."),
    ),
    405: (_("The request was not understood"), _("Go back and check what you entered.")),
    413: (_("Too large"), _("The form was too large to be received.")),
    422: (_("Something is missing or wrong"), _("Go back and check what you entered.")),
    429: (_("The service is busy"), _("Wait a moment and try again.")),
    503: (_("The archive does not answer right now"), _("Try again in a moment.")),
}
OTHERWISE = (
    _("Something went wrong"),
    _("The fault is ours and has been logged. Try again; if it recurs, tell an administrator."),
)


def of_error(error: ArchiveError) -> tuple[LazyString, LazyString]:
    """Title and advice for a person who met the error."""
    named = ERRORS.get(type(error).__name__)
    return named or STATUSES.get(error.status, OTHERWISE)
