"""Every way in over HTTP: for each address and method who may use it, and what it is about. Data.

`right` is a key of permissions.RIGHTS. The verbs and pages behind a door check for themselves; this
is what they are held against: a test walks every door with every group and every token, and a
route without a line here fails it. docs/permissions.md is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from archive import permissions
from archive.model import Actor

PUBLIC = "public"  # reached by strangers
SOMEBODY = "be somebody"
SEARCH, READ, OPEN, INGEST = "search", "read", "open", "ingest"
ERASE, CASES, EXPIRY, AUDIT, ADMIN = "erase", "cases", "expiry", "audit", "admin"
REVIEW = "review"
BREAK_GLASS = "break-glass"
VERIFY, HOLDS, DPO, PROOF, QUALITY, EVIDENCE, EXPORT = (
    "verify contacts", "work with holds", "data protection", "prove expiry", "quality",
    "make evidence packages", "export hits",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way in. `refusal` is the status for somebody without the right.

    `about` names what the address is about where not everybody with the right may meet each:
    another's answers exactly as one that does not exist. `grave`: who it is must have been proved
    in the last ten minutes, by password or code.
    """

    endpoint: str
    right: str
    about: str = ""
    refusal: int = 403
    grave: bool = False

    def admits(self, actor: Actor) -> bool:
        """Whether the actor has the right."""
        return self.right != PUBLIC and permissions.RIGHTS[self.right](actor)


GRAVE = frozenset({
    "holds.release", "holds.lift", "proof.erase", "cases.close",
    "evidence.ask", "evidence.save", "searches.as_csv",
    "admin.create_person", "admin.new_link", "admin.disable_person", "admin.create_token",
    "admin.revoke_token", "accounts.change_rights", "accounts.reset_factor",
    "account.renew_codes", "account.remove_factor", "emergency.begin",
})  # fmt: skip


def _doors(right: str, about: str = "", *endpoints: str, refusal: int = 403) -> tuple[Door, ...]:
    return tuple(
        Door(endpoint=name, right=right, about=about, refusal=refusal, grave=name in GRAVE)
        for name in endpoints
    )


RECORDING, HOLD, CASE, VIEW, NOTE = "recording", "hold", "case", "view", "note"
REFERENCE, SAMPLE, PACKAGE = "reference", "sample", "evidence package"
SESSION, EMERGENCY = "session", "emergency access"

PAGES = (
    *_doors(
        PUBLIC, "", "static", "healthz", "readyz", "metrics",
        "login.form", "login.log_in", "login.once", "login.language", "login.code",
        "login.give_code", "provider.begin", "provider.back",
    ),
    *_doors(
        SOMEBODY, "", "login.home", "login.log_out", "login.password", "login.choose_password",
        "account.overview", "account.begin_factor", "account.factor", "account.confirm_factor",
        "account.renew_codes", "account.remove_factor", "account.end_others",
        "account.commitment", "account.agree", "account.prove", "provider.prove",
        "notices.listing", "notices.seen", "notices.address",
    ),
    *_doors(SOMEBODY, SESSION, "account.end_session"),
    *_doors(VERIFY, "", "verify.form", "verify.look_up"),
    *_doors(
        VERIFY, VIEW, "verify.contacts", "verify.narrow", "timeline.line", "timeline.add",
        "outcomes.not_found",
    ),
    *_doors(VERIFY, RECORDING, "outcomes.record"),
    *_doors(READ, REFERENCE, "outcomes.one"),
    *_doors(VERIFY, REFERENCE, "outcomes.undo"),
    *_doors(QUALITY, "", "quality.overview", "quality.draw", "quality.put_scorecard"),
    *_doors(
        QUALITY, SAMPLE, "quality.sample", "quality.call", "quality.open_player", "quality.peaks",
        "quality.score",
    ),
    *_doors(SEARCH, "", "search.form", "search.ask"),
    *_doors(
        SEARCH, VIEW, "search.results", "search.edit", "search.without", "search.narrow",
        "recording.walk", "searches.save",
    ),
    *_doors(SEARCH, "", "searches.listing"),
    *_doors(SEARCH, "saved search", "searches.run", "searches.delete"),
    *_doors(EXPORT, VIEW, "searches.as_csv"),
    *_doors(READ, RECORDING, "recording.page", "recording.peaks", "recording.state_purpose"),
    *_doors(
        OPEN, RECORDING, "recording.open_player", "recording.email_frame",
        "recording.attachment", "recording.original", "recording.source",
    ),
    *_doors(HOLDS, "", "cases.listing"),
    *_doors(HOLDS, CASE, "cases.one"),
    *_doors(HOLDS, RECORDING, "cases.show"),
    *_doors(CASES, "", "cases.create"),
    *_doors(
        CASES, CASE, "cases.change", "cases.hand_over", "cases.note", "cases.find_form",
        "cases.find", "cases.closing", "cases.close", "cases.refuse", "cases.reopen",
    ),
    *_doors(CASES, NOTE, "cases.remove_note"),
    *_doors(CASES, RECORDING, "cases.hold", "cases.take_out", "cases.add"),
    *_doors(CASES, VIEW, "cases.found"),
    *_doors(EVIDENCE, CASE, "evidence.listing", "evidence.ask"),
    *_doors(EVIDENCE, PACKAGE, "evidence.save", "evidence.remove"),
    *_doors(HOLDS, "", "holds.listing"),
    *_doors(HOLDS, HOLD, "holds.show", "holds.release", "holds.extend", "holds.hand_over"),
    *_doors(HOLDS, RECORDING, "holds.place"),
    *_doors(DPO, RECORDING, "holds.restrict", "holds.lift"),
    *_doors(REVIEW, "", "reviews.listing"),
    *_doors(REVIEW, RECORDING, "reviews.mend", "reviews.settle", "reviews.again"),
    *_doors(EXPIRY, "", "expiry.calendar", "expiry.month", "expiry.one_day"),
    *_doors(DPO, "", "expiry.certificate", refusal=404),
    *_doors(PROOF, "", "proof.form", "proof.prove"),
    *_doors(ERASE, RECORDING, "proof.erase", "proof.withdraw"),
    *_doors(BREAK_GLASS, "", "emergency.form", "emergency.begin"),
    *_doors(BREAK_GLASS, EMERGENCY, "emergency.view", "emergency.open_player", "emergency.peaks"),
    *_doors(DPO, "", "emergency.listing"),
    *_doors(DPO, EMERGENCY, "emergency.review"),
    *_doors(AUDIT, "", "auditing.log", "auditing.narrowed", "auditing.unusual"),
    *_doors(AUDIT, "finding", "auditing.reviewed"),
    *_doors(
        ADMIN, "", "admin.overview", "admin.create_person", "admin.new_link",
        "admin.disable_person", "admin.create_token", "admin.revoke_token",
        "accounts.one", "accounts.change_rights", "accounts.reset_factor", "accounts.end_sessions",
        "rules.overview", "sources.overview", "sources.allow", "sources.disallow",
    ),
)  # fmt: skip

INTERFACE = (
    *_doors(PUBLIC, "", "api.openapi"),
    *_doors(
        INGEST, "", "api.post_call", "api.post_email", "api.post_vcon", "api.post_metadata"
    ),
    *_doors(SEARCH, "", "api.list_recordings", "api.search"),
    *_doors(READ, RECORDING, "api.get_recording"),
    *_doors("hand out emails", "", "api.mbox_of_search"),
    *_doors(OPEN, RECORDING, "api.content", "api.rendition", "api.make_opening",
            "api.recording_vcon"),
    *_doors(INGEST, RECORDING, "api.correct", "api.put_transcript"),
    *_doors(ERASE, RECORDING, "api.erase", "api.withdraw"),
    *_doors(CASES, "", "api.open_case"),
    *_doors(HOLDS, "", "api.list_cases", "api.list_holds"),
    *_doors(HOLDS, CASE, "api.get_case"),
    *_doors(
        CASES, CASE, "api.add_note", "api.hand_over", "api.closing", "api.close_case",
        "api.reopen",
    ),
    *_doors(CASES, RECORDING, "api.add_to_case"),
    *_doors(EVIDENCE, CASE, "api.ask_evidence", "api.list_evidence", "api.case_vcon",
            "api.mbox_of_case"),
    *_doors(
        EVIDENCE, PACKAGE, "api.get_evidence", "api.remove_evidence", "api.evidence_content"
    ),
    *_doors(HOLDS, RECORDING, "api.place"),
    *_doors(HOLDS, HOLD, "api.release", "api.change"),
    *_doors(DPO, RECORDING, "api.restrict", "api.unrestrict"),
    *_doors(PROOF, "", "api.prove", "api.erasures"),
)  # fmt: skip

# For sessions and tokens alike: what a player asks for. The opening is its maker's alone.
EITHER = (Door(endpoint="opening", right=SOMEBODY, about="opening"),)

DOORS: dict[str, Door] = {door.endpoint: door for door in (*PAGES, *INTERFACE, *EITHER)}
