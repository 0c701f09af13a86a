"""How long everything is kept: every table, object, key, log, figure and cookie. Data only.

docs/retention.md is made from it. Tests hold it against the real tables with their columns, the
objects of a lived-through year, the keys directory, the log files, the metrics and the cookies:
what is added without a line here fails them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from archive.erasure.housekeeping import (
    CLOSED_CASES_YEARS,
    COUNTS,
    FORMER_PEOPLE,
    FORMER_TOKENS,
    UNUSED_SEARCHES,
)
from archive.legs import WAITS
from archive.subjects import KEPT_MONTHS

YEAR = "a year from the contact or its shorter rule, or until its holds end"
GOOD = "as long as the archive"


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing: what it is, how long it is kept, and what ends it.

    Of a table, `personal` are the columns with data of people, each group with what it says, and
    `plain` the columns of text or bytes that hold none.
    """

    name: str
    what: str
    period: str
    ends: str
    personal: dict[str, str] = field(default_factory=dict)
    plain: str = ""

    def columns(self) -> set[str]:
        """Every column that is spoken for."""
        return {column for group in (*self.personal, self.plain) for column in group.split()}


TABLES = (
    Kept("recording", "one row a call or email", YEAR, "the nightly run deletes the row",
         {"descriptor description": "who, about what, what was said; sealed under a key of its own",
          "wrapped_key": "that key, wrapped under the day's; opens nothing after its night",
          "reference": "the source's reference, as a keyed digest",
          "source line direction": "on which line somebody called; of whom only when unsealed"},
         "kind state object_key object_version envelope_key index_month error_code"),
    Kept("rendition", "playback, waveform, transcript, message of a .msg: where they lie", YEAR,
         "with its recording",
         plain="name object_key object_version media_type"),
    Kept("transcription", "which calls the installation's own transcriber heard, and which wait",
         YEAR, "with its recording", plain="state error_code"),
    Kept("call_leg", "which recordings belong to one call", YEAR, "with its recording",
         {"call": "the source's id of the call, as a keyed digest"}),
    Kept("review", "why somebody should look at a recording: words like undecodable", YEAR,
         "with its recording", {"settled_by": "a user's id"}, "reason"),
    Kept("awaiting", "metadata that came before their recording", f"{WAITS.days} days, or until it "
         "comes", "the nightly run destroys the key of that day, and deletes the row",
         {"sealed": "the metadata, sealed under a key of its own",
          "wrapped_key": "that key, wrapped under the day's",
          "name others": "the source's references, as keyed digests"}, "source"),
    Kept("hold", "what outlives its year, and why", "until released and the days of grace are over",
         "the nightly run deletes row, envelope and key",
         {"terms": "the reason, sealed under the recording's key",
          "wrapped": "that key under the hold's key", "owner requested_by": "users' ids"},
         "case_number key object_key"),
    Kept("case_recording", "which recordings a case looks at", YEAR, "with its recording",
         {"added_by": "a user's id"}, "case_number"),
    Kept("complaint_case", "complaint cases",
         f"{CLOSED_CASES_YEARS} years after they were closed", "the nightly run deletes the row",
         {"about": "subject and customer, sealed; its key is destroyed ARCHIVE_CASE_DAYS after the "
          "closing", "owner opened_by closed_by close_requested_by": "users' ids"}, "number"),
    Kept("case_note", "notes and marks in complaint cases",
         "ARCHIVE_CASE_DAYS after the closing, or as long as the recording they are about",
         "the key of the case is destroyed, the rows deleted; or with the recording",
         {"sealed": "what was noted, sealed under the case's or the recording's key",
          "by": "a user's id"}, "case_number kind"),
    Kept("evidence", "evidence packages of complaint cases: what is being built, where it lies",
         "ARCHIVE_EVIDENCE_DAYS, or as long as the first of its recordings that goes",
         "the worker deletes row, object and key",
         {"asked_by": "a user's id",
          "wrapped_key": "a package's key; opens with its own and its recordings' alone"},
         "case_number state language object_key object_version reason"),
    Kept("evidence_recording", "which recordings are in a package", "as long as the package",
         "deleted with it"),
    Kept("emergency", "recordings opened in an emergency, and what a review found",
         f"{COUNTS.days} days after the review", "the nightly run deletes the row",
         {"reason note": "why, and what was found; sealed under the recording's key, go with it",
          "by reviewed_by": "users' ids"}, "session outcome"),
    Kept("verification", "what verifying a contact came to",
         "a year, or as long as the recording it is about",
         "the key of the day is destroyed and the nightly run deletes the row; or with the "
         "recording",
         {"sealed": "the note and what was asked, sealed under the recording's or the day's key",
          "by": "a user's id"}, "reference outcome"),
    Kept("scorecard", "what calls are scored by", GOOD, "never: criteria, no data of people",
         {"by": "a user's id"}, "name criteria"),
    Kept("quality_sample", "samples of calls: line, days, who drew them", "400 days",
         "the nightly run deletes the row", {"by": "a user's id"}, "line"),
    Kept("quality_pick", "which calls a sample holds", YEAR, "with its recording"),
    Kept("quality_score", "what a call was scored", YEAR, "with its recording",
         {"sealed": "points and note, sealed under the recording's key", "by": "a user's id"}),
    Kept("notice", "what people are told: ids, case numbers, days", "90 days, as long as the user",
         "the worker deletes the row", plain="kind key case_number"),
    Kept("outgoing_mail", "mails on their way, without an address", "until sent, 5 days at most",
         "the worker deletes the row", plain="subject body error_code"),
    Kept("alert", "what somebody was told of: a name, and a source or part",
         f"{COUNTS.days} days after it was over", "the nightly run deletes the row",
         plain="name of"),
    Kept("alert_message", "messages on their way to the channels of alerts",
         "until heard, 5 days at most", "the worker deletes the row",
         {"channel": "of a mail its address, as the settings name it"}, "name of error_code"),
    Kept("erased_reference", "what was erased early is not stored again",
         "until its year would have been over", "the nightly run deletes the row",
         {"reference": "the source's reference, as a keyed digest"}),
    Kept("erasure", "the journal of early erasures", GOOD, "never: it is the proof",
         {"reference": "sealed under the key of its day, unreadable after that night"}, "reason"),
    Kept("erasure_request", "early erasures that wait for a second person",
         "until confirmed or withdrawn, at most as long as the recording", "with its recording",
         {"requested_by": "a user's id"}, "reason"),
    Kept("expired", "which recordings a run destroyed", GOOD, "never: random ids, it is the proof",
         plain="reason"),
    Kept("expiry_run", "runs and their certificates", GOOD, "never: it is the proof",
         plain="certificate"),
    Kept("cohort", "days, and when each was closed", GOOD, "never: dates only"),
    Kept("refusal", "how many deliveries were refused, by source and day",
         f"{COUNTS.days} days", "the nightly run deletes the row", plain="source reason"),
    Kept("source_again", "how many deliveries were of what was there already, by source and day",
         f"{COUNTS.days} days", "the nightly run deletes the row", plain="source"),
    Kept("source_line", "service lines and mailboxes that a source may deliver for",
         "while it is listed", "an administrator takes it off the list",
         {"added_by": "a user's id"}, "source line"),
    Kept("mail_folder", "how far a folder of a mail server was read",
         f"{COUNTS.days} days after it was last read", "the nightly run deletes the row",
         plain="source folder"),
    Kept("opening", "addresses that players play from", "15 minutes after the last use, and a day",
         "the worker deletes the row", {"actor_id session": "who opened it"},
         "token_digest rendition purpose case_number"),
    Kept("audit_event", "who did what, when, for which purpose", GOOD,
         "never: it is append-only and chained; ids of recordings lead nowhere after their year",
         {"actor_id": "a user's id", "detail": "names of fields, numbers, ids; never content"},
         "actor_kind verb purpose case_number hash"),
    Kept("person", "people who log in", f"{FORMER_PEOPLE.days} days after they were disabled",
         "the nightly run takes name, password and address away; the id stays for the audit log",
         {"name password_hash": "the log-in name, and argon2id of the password",
          "email": "where notices are mailed to, if the person said so"},
         "group lines companies agreed_to"),
    Kept("identity", "who of the people an identity provider knows",
         "as long as the person's row: who was disabled stays out",
         "`archive user part-from-provider`",
         {"key": "issuer and subject, as a keyed digest"}),
    Kept("staff_number", "staff's own numbers and addresses, so that it stands out who opens them",
         "until an administrator takes it away, or the user is disabled",
         "the nightly run deletes the row",
         {"digest": "the number or address, as a keyed digest", "given_by": "a user's id"}, "kind"),
    Kept("second_factor", "the secrets of people's authenticator apps",
         "until removed, or as long as the user", "removing it, or the row with the user",
         {"secret": "sealed, bound to its person"}),
    Kept("recovery_code", "recovery codes of people", "until used, or as the second factor",
         "deleted when it is used", {"digest": "keyed digests of the codes"}),
    Kept("session", "log-ins", "30 minutes unused, 10 hours at most",
         "deleted at the next request of anybody", {"token_digest": "SHA-256 of the cookie"},
         "csrf language"),
    Kept("kept_view", "searches as their persons go through them, forms that wait",
         "as long as the session",
         "deleted with it", {"sealed": "what was searched for, sealed"}, "token session_digest"),
    Kept("saved_search", "searches that their persons keep, named",
         f"{UNUSED_SEARCHES.days} days unused, or until their person deletes them or is disabled",
         "the nightly run deletes the row", {"sealed": "name and fields of the search, sealed"}),
    Kept("login_attempt", "failed log-ins, for throttling", "15 minutes",
         "deleted at the next request of anybody", {"key": "keyed digest of a name or address"}),
    Kept("one_time_login", "one-time logins", "30 minutes",
         "deleted at the next request of anybody", plain="token_digest"),
    Kept("machine_token", "tokens of machines",
         f"{FORMER_TOKENS.days} days after they were revoked or ran out",
         "the nightly run deletes the row", plain="token_digest name scopes source lines purposes"),
    Kept("installation", "notes for the worker: months of the index to be made anew",
         "until they are done", "the worker deletes the row", plain="name value"),
    Kept("alembic_version", "which version the tables have", GOOD, "never", plain="version_num"),
)  # fmt: skip

OBJECTS = (
    Kept("recordings/", "sealed originals, renditions, later envelopes, envelopes of holds", YEAR,
         "the nightly run deletes every version"),
    Kept("evidence/", "sealed evidence packages of complaint cases",
         "ARCHIVE_EVIDENCE_DAYS, or as long as the first of its recordings that goes",
         "the worker deletes every version; with a recording, the run that destroys that"),
    Kept("audit/", "signed heads of the audit log: numbers and hashes", GOOD,
         "never: it is the proof"),
    Kept("certificates/", "certificates and lists of random ids", GOOD, "never: it is the proof"),
    Kept("journal/", "the journal of early erasures: random ids, dates, reasons", GOOD,
         "never: it is the proof"),
)  # fmt: skip

KEYS = (
    Kept("cohort", "a key for each day that recordings end on", "until that day is over",
         "the nightly run destroys it; a tombstone with the date stays"),
    Kept("hold", "a key for each hold", "until the hold has ended",
         "the nightly run destroys it; a tombstone with case and random id stays"),
    Kept("audit", "a key for each month: of whom the entries of the audit log are",
         f"{KEPT_MONTHS} months", "the worker destroys it in the night: nobody can ask any longer"),
    Kept("case", "a key for each case", "ARCHIVE_CASE_DAYS after it was closed",
         "the worker destroys it; a tombstone with the number stays"),
    Kept("evidence", "a key for each evidence package", "as long as the package",
         "the worker, or the run that destroys a recording of it; a tombstone with its id stays"),
    Kept("index", "a key for each month of the index, new at each rewriting", "until rewritten",
         "the run that rewrites the month destroys the old one"),
    Kept("installation", "signing, references, pages", GOOD, "never"),
    Kept("recovery", "the root key, sealed to the recovery key", "until the root key is rotated",
         "the rotation destroys it"),
)  # fmt: skip

FILES = (
    Kept("index/", "the search index, one sealed folder a month of contact", YEAR,
         "the nightly run rewrites months that lost documents"),
    Kept("log/postgres.log", "PostgreSQL: starts and stops, no statements",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("log/seaweedfs.log", "SeaweedFS: starts and stops, object keys of failures",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("log/web.log", "the web service: errors by code, never names, numbers or content",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("log/worker.log", "the worker: errors by code and random ids",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("log/receive-mail.log", "the SMTP server: errors by code and random ids",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("log/fetch-mail.log", "the IMAP reader: errors by code, names of sources",
         "two runs, 16 MiB at most", "begun anew"),
    Kept("run/", "addresses and secrets of the running parts", "while it runs",
         "removed at the stop"),
)  # fmt: skip

BACKUPS = (
    Kept("catalogue/", "dumps; without sessions, log-ins, openings and kept searches",
         "ARCHIVE_BACKUP_DAYS (at most 35)",
         "deleted by the last daily run before they are over"),
    Kept("objects/", "copies of the objects", "as the objects, and until the next daily run",
         "the next daily run deletes what was erased"),
    Kept("keys/", "key backups, sealed to the recovery key",
         "ARCHIVE_BACKUP_DAYS (at most 35)",
         "destroyed by the last daily run before they are over"),
)  # fmt: skip

EXPORTS = (
    Kept("catalogue/", "one dump; without sessions, log-ins, openings and kept searches",
         "ARCHIVE_BACKUP_DAYS (at most 35)", "whoever made it destroys it; import refuses it"),
    Kept("objects/", "copies of the objects, and `inventory.jsonl` of their digests",
         "ARCHIVE_BACKUP_DAYS (at most 35)",
         "whoever made it destroys it; nothing opens them without the keys"),
    Kept("keys/", "the keys, sealed to the other installation's recovery key",
         "ARCHIVE_BACKUP_DAYS (at most 35)",
         "the last daily run before they are over, where the folder can be reached; else by hand"),
)  # fmt: skip

METRICS = (
    Kept("archive_requests", "requests by route template and status", "until the process ends",
         "in memory; how long Prometheus keeps it is its own setting"),
    Kept("archive_request_seconds", "how long answers took, by route template",
         "until the process ends", "in memory"),
    Kept("archive_alarm", "which alarms ring", "until the process ends", "in memory"),
    Kept("archive_root_age_days", "the root key's age", "until the process ends", "in memory"),
    Kept("archive_index_months", "how many index months are held open", "until the process ends",
         "in memory"),
    Kept("archive_index_memory_bytes", "the memory they take", "until the process ends",
         "in memory"),
    Kept("archive_transcriptions", "how many calls the transcriber heard and has to hear, by state",
         "until the process ends", "in memory"),
    Kept("archive_waiting", "how many recordings wait, by step", "until the process ends",
         "in memory"),
)  # fmt: skip

COOKIES = (
    Kept("archive", "the session: 256 random bits (`__Host-archive` behind TLS)", "10 hours",
         "the browser, or logging out"),
    Kept("login", "a log-in at the identity provider that was begun: random values, sealed "
         "(`__Host-login` behind TLS)", "10 minutes", "the browser, or coming back"),
    Kept("language", "fi or en", "a year", "the browser"),
    Kept("notice", "a page's notice for the next page, signed",
         "until it is shown or the browser ends", "the next page"),
)  # fmt: skip
