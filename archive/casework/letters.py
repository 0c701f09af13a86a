"""What the mails say, in each language: ids, case numbers and days, never a name or a reason.

Pure: notices in, subject and text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from archive import retention
from archive.casework.notices import Notice

WORDS: dict[str, dict[str, str]] = {
    "fi": {
        "subject": "Kontaktiarkisto: {n} ilmoitusta",
        "subject-one": "Kontaktiarkisto: ilmoitus",
        "head": "Kontaktiarkistossa on sinulle uutta:",
        "review-due": "Säilytysvelvoitteen tarkistus oli {day}. Mitään ei pureta itsestään: "
        "tarkista, tarvitaanko tallennetta yhä, ja siirrä tarkistusta tai pura säilytysvelvoite.",
        "released": "Säilytysvelvoite on purettu. Tallenne säilyy {until} asti; sen jälkeen se "
        "poistetaan, jos sen vuosi on täynnä. Uusi säilytysvelvoite ennen sitä estää poiston.",
        "unrestricted": "Käsittelyn rajoitus on poistettu. Tallenne säilyy {until} asti; sen "
        "jälkeen se poistetaan, jos sen vuosi on täynnä.",
        "handed-over": "Säilytysvelvoite on siirretty sinulle. Tarkistus: {day}.",
        "case-handed-over": "Reklamaatio on siirretty sinulle. Määräpäivä: {day}.",
        "case-due": "Reklamaation määräpäivä oli {day}.",
        "erasure-asked": "Tallenteen poistamista heti on pyydetty. Poisto tehdään, kun toinen "
        "henkilö vahvistaa sen tallenteen sivulla.",
        "break-glass": "Joku avasi tallenteen hätätilanteessa oikeuksiensa ohi. Käy läpi, oliko se "
        "perusteltua.",
        "case-closed": "Reklamaatio on suljettu. Sen säilyttämät tallenteet säilyvät {until} asti.",
        "facts": "reklamaatio {case}, säilytysvelvoite {hold}, tallenne {recording}",
        "none": "–",
        "foot": "Avaa ilmoitukset: {url}/notices",
        "foot-plain": "Avaa ilmoitukset arkiston sivuilta.",
    },
    "en": {
        "subject": "Contact archive: {n} notices",
        "subject-one": "Contact archive: a notice",
        "head": "There is news for you in the contact archive:",
        "review-due": "The review of a hold was due on {day}. Nothing is released by itself: see "
        "whether the recording is still needed, and move the review or release the hold.",
        "released": "A hold was released. The recording is kept until {until}; then it is erased "
        "if its year is over. A new hold before that keeps it.",
        "unrestricted": "A restriction was lifted. The recording is kept until {until}; then it is "
        "erased if its year is over.",
        "handed-over": "A hold was handed over to you. Review: {day}.",
        "case-handed-over": "A complaint case was handed over to you. Due: {day}.",
        "case-due": "A complaint case was due on {day}.",
        "erasure-asked": "Somebody asked for erasing a recording at once. It is erased when "
        "another person confirms it on the recording's page.",
        "break-glass": "Somebody opened a recording beyond their rights in an emergency. Review "
        "whether it was justified.",
        "case-closed": "A complaint case was closed. What it held is kept until {until}.",
        "facts": "case {case}, hold {hold}, recording {recording}",
        "none": "–",
        "foot": "See your notices: {url}/notices",
        "foot-plain": "See your notices on the archive's pages.",
    },
}
MOST = 50  # notices told in one mail; the rest is counted


def letter(found: Sequence[Notice], *, language: str, url: str) -> tuple[str, str]:
    """Subject and text of one mail about these notices. `url` may be empty."""
    words = WORDS[language]
    subject = words["subject-one" if len(found) == 1 else "subject"].format(n=len(found))
    lines = [words["head"], ""]
    for one in found[:MOST]:
        lines += _told(one, words), ""
    if len(found) > MOST:
        lines += f"+ {len(found) - MOST}", ""
    foot = words["foot"].format(url=url.rstrip("/")) if url else words["foot-plain"]
    return subject, "\n".join([*lines, foot, ""])


def _told(one: Notice, words: dict[str, str]) -> str:
    none = words["none"]
    said = words[one.kind].format(
        day=_day(one.day) or none,
        until=_day(retention.local(one.until).date() if one.until else None) or none,
    )
    facts = words["facts"].format(
        case=one.case or none, hold=one.hold or none, recording=one.recording or none
    )
    return f"* {said}\n  ({facts})"


def _day(day: date | None) -> str:
    return f"{day.day}.{day.month}.{day.year}" if day else ""
