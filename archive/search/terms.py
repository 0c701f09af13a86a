"""Which fields an index has, and what terms a document and a question put into them.

The same for every engine: identifiers in one comparable form, words by the analyser. Knows
nothing of files and engines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archive.formats.identifiers import email_key, mask_hetu, normalise_phone, phone_digits
from archive.model import Document
from archive.search.alike import name_words, neighbourhoods
from archive.search.finnish import Analyser
from archive.search.languages import language_of
from archive.search.phrases import FIELD, said_together
from archive.search.spelling import TERM_CHARS, clean, fold, folded_words, words

VERSION = 3  # of the fields; a change makes the months of an index stale
FIELDS = (
    "id",
    "kind",
    "line",
    "direction",
    "source",
    "agent",
    "agent_label",
    "customer",
    "phone",
    "phone_end",
    "email",
    "metering_point",
    "case",
    "names",
    "alike",
    "duration",
    "attachment",
    "subject",
    "text",
    "company",
    FIELD,
)
_LABEL_CHARS = 120
DURATIONS = {  # classes of a call's length: from so many seconds on
    "0-30": 0.0,
    "30-120": 30.0,
    "120-300": 120.0,
    "300-900": 300.0,
    "900-": 900.0,
}


def document_terms(document: Document, analyser: Analyser) -> dict[str, list[str]]:
    """Field -> terms, repeated as often as they come; empty fields are left out.

    Personal identity codes are masked, wherever they stand, before a word of them is seen.
    """
    names = [mask_hetu(name) for name in document.names]
    agent = document.agent or ""
    spoken = Spoken.of(document)
    fields = {
        "id": [document.id.hex],
        "kind": [document.kind.value],
        "line": exact(document.line),
        "direction": [document.direction.value],
        "source": exact(document.source),
        "agent": person_terms(agent),
        "agent_label": exact(agent),
        "customer": [compact(document.customer)] if document.customer else [],
        "phone": _distinct(form for raw in document.phones for form in phone_forms(raw)),
        "phone_end": _distinct(end for raw in document.phones for end in phone_ends(raw)),
        "email": _distinct(form for raw in document.emails for form in email_forms(raw)),
        "metering_point": [compact(document.metering_point)] if document.metering_point else [],
        "case": [compact(document.case)] if document.case else [],
        "names": [word for name in names for word in name_words(name)],
        "alike": neighbourhoods([*names, agent]),
        "duration": duration_class(document.duration_s),
        "attachment": attachment_class(document.attachments),
        "subject": analyser.index_terms(spoken.subject),
        "text": analyser.index_terms(spoken.text),
        "company": exact(document.company or ""),
        FIELD: sorted(
            said_together("text", spoken.words, analyser, spoken.language)
            | said_together("subject", spoken.words[:1], analyser, spoken.language_of_subject)
        ),
    }
    return {name: terms for name, terms in fields.items() if terms}


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a document says in words, personal identity codes masked.

    `words` are the clean words of each piece, the subject first: it counts twice in `text`.
    """

    subject: str
    text: str
    words: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, document: Document) -> Spoken:
        """Subject, text, names and agent."""
        subject, text = mask_hetu(document.subject), mask_hetu(document.text)
        pieces = [subject, text, *map(mask_hetu, document.names), document.agent or ""]
        said = tuple(tuple(words(clean(piece))) for piece in pieces)
        return cls(subject, "\n".join([subject, *pieces]), said)

    @property
    def language(self) -> str | None:
        """Of the whole, as the terms of the text are made."""
        return language_of([word for piece in (self.words[0], *self.words) for word in piece])

    @property
    def language_of_subject(self) -> str | None:
        """As the terms of the subject are made."""
        return language_of(self.words[0])


def duration_class(seconds: float | None) -> list[str]:
    """The class of a length; [] where it is not known."""
    if seconds is None:
        return []
    return [[name for name, least in DURATIONS.items() if least <= max(seconds, 0.0)][-1]]


def attachment_class(has: bool | None) -> list[str]:
    """ "yes" or "no" of an email; [] of anything else."""
    return [] if has is None else ["yes" if has else "no"]


def exact(value: str) -> list[str]:
    """A label as it stands, white space at its ends removed; [] where nothing is left."""
    known = value.encode("utf-8", "ignore").decode().replace("\x00", " ").strip()
    return [known[:_LABEL_CHARS]] if known else []


def compact(value: str) -> str:
    """An identifier without white space and case: " A 12-3" -> "a12-3"."""
    return "".join(clean(value).split())[:TERM_CHARS]


def person_terms(name: str) -> list[str]:
    """A person's whole name or sign folded, and its words: in any order, with or without dots."""
    whole = fold(" ".join(clean(name).split()))[:_LABEL_CHARS]
    return _distinct([whole, *folded_words(name)]) if whole else []


def phone_forms(raw: str) -> list[str]:
    """The number's normal form, and its digits where those say something else."""
    normal, _ = normalise_phone(raw)
    digits = phone_digits(raw)
    forms = [compact(normal), *([digits] if len(digits) >= 3 else [])]
    return [form for form in forms if form]


def phone_ends(raw: str) -> list[str]:
    """The digits backwards, so that a number is found by any number of its last digits."""
    digits = phone_digits(normalise_phone(raw)[0])[:TERM_CHARS]
    return [digits[::-1]] if len(digits) >= 3 else []


def email_forms(raw: str) -> list[str]:
    """The address as it is compared, its domain behind an @, and the words of the local part."""
    address = compact(email_key(raw))
    local, at, domain = address.rpartition("@")
    return (
        [address, "@" + domain, *folded_words(local)]
        if at
        else [form for form in [address] if form]
    )


def _distinct(found: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found))
