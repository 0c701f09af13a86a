"""Invented contacts, and what a search over them must find, worked out without any index."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from archive.model import Direction, Document, Kind, Query

LINES = ("viat", "laskutus", "sopimukset", "muutto ja liittymät")
AGENTS = ("Mäkelä, Liisa", "Åke Öberg", "asp-17", None)
NAMES = ("Yrjö Häkkinen", "Söderström, Märta", "Virtanen Matti", "İlker Çelik")
_ELECTRICITY_BILL = ("sähkölaskusta", "sähkölasku", "sähkölaskujen")
# What may be said: word asked for -> forms that must be found by it.
SAID = {
    "lasku": ("lasku", "laskun", "Laskussa", "laskuista", "LOPPULASKU", *_ELECTRICITY_BILL),
    "sähkölasku": _ELECTRICITY_BILL,
    "katko": ("katko", "katkon", "katkoista", "sähkökatkossa"),
    "sopimus": ("sopimus", "sopimuksen", "sopimuksia"),
    "hinta": ("hinta", "hintoja", "hinnasta"),
    "häiriö": ("häiriö", "häiriöitä", "häiriön"),
    "invoice": ("invoice", "invoices"),
    "räkning": ("räkningen", "räkning"),
}
_FORMS = sorted({form for forms in SAID.values() for form in forms})
_NOISE = [
    "kiitos",
    "soitosta",
    "palaamme",
    "asiaan",
    "huomenna",
    "aamulla",
    "terveisin",
    "hyvää",
    "jatkoa",
]
STILL = ("soitosta", "palaamme", "asiaan", "huomenna", "aamulla", "terveisin")  # of the noise
FIRST = datetime(2026, 9, 1, tzinfo=UTC)
METERING_POINT = "643000000000000016"


def document(number: int, **fields: Any) -> Document:
    """A contact with nothing in it but what is given."""
    given: dict[str, Any] = {
        "id": UUID(int=number),
        "occurred_at": FIRST + timedelta(minutes=number),
        "kind": Kind.CALL,
        "line": "viat",
        "direction": Direction.INBOUND,
        "source": "pbx",
        "agent": None,
        "customer": None,
        "phones": (),
        "emails": (),
        "metering_point": None,
        "case": None,
        "names": (),
        "subject": "",
        "text": "",
    }
    return Document(**(given | fields))


def contacts(count: int, *, seed: int = 1) -> list[Document]:
    """Over three months; many share an instant, a customer or a number."""
    dice = random.Random(seed)
    return [_contact(dice, number) for number in range(1, count + 1)]


def _contact(dice: random.Random, number: int) -> Document:
    words = dice.choices(_FORMS, k=dice.randint(0, 4)) + dice.choices(_NOISE, k=6)
    dice.shuffle(words)
    return document(
        0,
        id=UUID(int=dice.getrandbits(128)),
        occurred_at=FIRST + timedelta(hours=dice.randrange(90) * 24 + dice.choice((0, 9, 23))),
        kind=dice.choice(list(Kind)),
        line=dice.choice(LINES),
        direction=dice.choice(list(Direction)),
        source=dice.choice(("pbx", "mail")),
        agent=dice.choice(AGENTS),
        customer=str(100_000 + number % 40) if dice.random() < 0.8 else None,
        phones=(f"+35840{1_000_000 + number % 30}",) if dice.random() < 0.7 else (),
        emails=(f"Asiakas.{number % 20}@Esimerkki.FI",) if dice.random() < 0.5 else (),
        metering_point=METERING_POINT if dice.random() < 0.1 else None,
        case=f"2026-{number % 5:05}" if dice.random() < 0.2 else None,
        names=(dice.choice(NAMES),) if dice.random() < 0.5 else (),
        subject=dice.choice(_FORMS) if dice.random() < 0.3 else "",
        text=" ".join(words),
    )


def newest_first(documents: Iterable[Document]) -> list[UUID]:
    """The one order of hits."""
    return [d.id for d in sorted(documents, key=lambda d: (d.occurred_at, d.id), reverse=True)]


def says(document: Document, word: str) -> bool:
    """Whether subject or text has a form of a word of SAID."""
    forms = {form.casefold() for form in SAID[word]}
    return bool(forms & set(f"{document.subject} {document.text}".casefold().split()))


def holds(document: Document, words: list[str]) -> bool:
    """Whether subject or text has these words side by side, each as it stands."""
    for piece in (document.subject, document.text):
        said = piece.casefold().split()
        if any(said[at : at + len(words)] == words for at in range(len(said))):
            return True
    return False


Check = Callable[[Document], bool]


def expected(documents: Iterable[Document], query: Query, *, words: Check = bool) -> list[UUID]:
    """What `query` must find: its filters as they read, its q as `words` says."""
    filters: list[tuple[Any, Check]] = [
        (query.customer, lambda d: d.customer == query.customer),
        (query.phone, lambda d: query.phone in d.phones),
        (query.email, lambda d: (query.email or "").lower() in [e.lower() for e in d.emails]),
        (query.metering_point, lambda d: d.metering_point == query.metering_point),
        (query.case, lambda d: d.case == query.case),
        (query.kind, lambda d: d.kind is query.kind),
        (query.line, lambda d: d.line == query.line),
        (query.agent, lambda d: d.agent == query.agent),
        (query.direction, lambda d: d.direction is query.direction),
        (query.from_, lambda d: query.from_ is not None and d.occurred_at >= query.from_),
        (query.to, lambda d: query.to is not None and d.occurred_at < query.to),
        (query.lines, lambda d: query.lines is not None and d.line in query.lines),
        (query.q, words),
    ]
    asked = [check for value, check in filters if value is not None]
    return newest_first(d for d in documents if all(check(d) for check in asked))
