"""What is let go in passing: rows beside the recordings whose own time is over.

How long is said in `periods`, and in docs/retention.md that is made from it. Knows rows only.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

COUNTS = timedelta(days=400)  # of refusals: last year's month beside this year's
FORMER_PEOPLE = timedelta(days=400)  # after somebody was disabled: the audit log outlives a review
FORMER_TOKENS = timedelta(days=400)
CLOSED_CASES_YEARS = 10  # claims of a contract; privacy notice, section 6

UNUSED_SEARCHES = timedelta(days=180)

_STATEMENTS = (
    "delete from saved_search where used_at <= :searches",
    """delete from saved_search where exists
        (select from person where person.id = person_id and disabled_at is not null)""",
    # The year of what was erased early is over: its source could not deliver it again anyway.
    "delete from erased_reference where until <= :now",
    "delete from refusal where last_at <= :counts",
    "delete from source_again where day <= cast(:counts as date)",
    "delete from awaiting where cohort < cast(:now as date)",
    # Of a contact that was not found: its note is unreadable since the night of that day.
    "delete from verification where recording_id is null and cohort <= cast(:now as date) - 1",
    "delete from quality_sample where at <= :counts",
    "delete from emergency where reviewed_at <= :counts",
    "delete from alert where ended_at <= :counts",
    "delete from mail_folder where read_at <= :counts",
    "delete from machine_token where coalesce(revoked_at, expires_at) <= :tokens",
    # The row stays, because the audit log and holds name its id.
    """update person set name = 'former-' || id, password_hash = '', email = null
        where disabled_at <= :people and name <> 'former-' || id""",
    """delete from complaint_case where closed_at <= cast(:now as timestamptz) - :cases
        and not exists (select from hold where case_number = number)
        and not exists (select from case_recording where case_number = number)""",
)


def tidy(connection: Connection, *, now: datetime) -> None:
    """Lets go of everything whose time is over. Done every night; repeating it is harmless."""
    values = {
        "now": now,
        "counts": now - COUNTS,
        "tokens": now - FORMER_TOKENS,
        "searches": now - UNUSED_SEARCHES,
        "people": now - FORMER_PEOPLE,
        "cases": timedelta(days=round(CLOSED_CASES_YEARS * 365.25)),
    }
    for statement in _STATEMENTS:
        named = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), named)
