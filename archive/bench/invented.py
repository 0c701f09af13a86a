"""Invented contacts, always the same ones: what `archive bench` fills archives and indexes with.

About 125 words each, three in five of them emails, spread over a year.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from archive.model import Direction, Document, Kind

END = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 365
WORDS = 125  # a contact

# Words whose forms are sprinkled over the contacts: base form, its forms, share of contacts.
TRADE: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("lasku", ("lasku", "laskun", "laskusta", "laskua", "laskut"), 0.30),
    ("sähkölasku", ("sähkölasku", "sähkölaskusta", "sähkölaskun"), 0.25),
    ("sopimus", ("sopimus", "sopimuksen", "sopimusta", "sopimuksia"), 0.35),
    ("häiriö", ("häiriö", "häiriön", "häiriöitä", "häiriöstä"), 0.12),
    ("katko", ("sähkökatko", "katkon", "sähkökatkosta", "katkosta"), 0.15),
    ("muutto", ("muutto", "muuton", "muuttoa"), 0.10),
    ("hyvitys", ("hyvitys", "hyvityksen", "hyvitystä"), 0.08),
    ("mittari", ("mittari", "mittarin", "mittarista"), 0.12),
    ("hinta", ("hinta", "hinnan", "hintaa", "hinnoista"), 0.20),
)
PAIR = ("sopimus", "hinta")
COMMON = "lasku"
_SYLLABLES = [a + b for a in "hjklmnprstv" for b in ("a", "e", "i", "o", "u", "y", "ä", "aa", "ii")]
_ENDINGS = ("", "n", "a", "ssa", "sta", "lla", "t", "ja")


def vocabulary(size: int = 30_000) -> list[str]:
    """Invented words with Finnish sounds and endings; the first are the most used."""
    dice = random.Random(17)
    stems = ("".join(dice.choices(_SYLLABLES, k=dice.randint(2, 4))) for _ in itertools.count())
    found = dict.fromkeys(stem + dice.choice(_ENDINGS) for stem in itertools.islice(stems, size))
    return list(found)


def contacts(count: int) -> Iterator[Document]:
    """Newest last; always the same ones."""
    dice = random.Random(23)
    words = vocabulary()
    shares = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(words))))
    step = timedelta(days=DAYS) / count
    for number in range(count):
        said = dice.choices(words, cum_weights=shares, k=WORDS - 8)
        said += [dice.choice(forms) for _, forms, share in TRADE if dice.random() < share]
        dice.shuffle(said)
        at = END - timedelta(days=DAYS) + step * number
        yield contact(dice, number, at, " ".join(said))


def contact(dice: random.Random, number: int, at: datetime, text: str) -> Document:
    """One of them."""
    email = dice.random() < 0.6
    customer = dice.randrange(100_000)
    return Document(
        id=UUID(int=dice.getrandbits(128)),
        occurred_at=at,
        kind=Kind.EMAIL if email else Kind.CALL,
        line=dice.choice(("viat", "laskutus", "sopimukset", "muutot")),
        direction=dice.choice((Direction.INBOUND, Direction.OUTBOUND)),
        source="mail" if email else "pbx",
        agent=f"Asiakaspalvelija {dice.randrange(40)}",
        customer=str(1_000_000 + customer),
        phones=() if email else (f"+35840{1_000_000 + customer}",),
        emails=(f"asiakas.{customer}@esimerkki.example",) if email else (),
        metering_point=f"6430000000{customer:08}",
        case=None,
        names=(),
        subject=text[:40] if email else "",
        text=text,
    )
