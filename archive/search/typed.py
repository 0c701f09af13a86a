"""What a person typed into one field, cut into tokens, each with its place.

    sähkölasku "luvattu hyvitys" -perintä linja:viat puh:040 123 4567 hyvit* vika TAI katko

Nothing typed is ever an error: what cannot be read as meant is read as words, and notes say so
in stable codes. Knows nothing of indexes and of what words mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from archive.formats.identifiers import CASE_NUMBER, phone_digits
from archive.search.spelling import clean, fold

MOST_CHARS = 1_000  # of a question; what stands behind is not read
MOST_WORDS = 40
EITHER = "or"

FIELD_NAMES = {
    "linja": "line",
    "line": "line",
    "palvelulinja": "line",
    "postilaatikko": "line",
    "mailbox": "line",
    "agentti": "agent",
    "agent": "agent",
    "asiakaspalvelija": "agent",
    "asiakas": "customer",
    "asiakasnumero": "customer",
    "asiakasnro": "customer",
    "customer": "customer",
    "puh": "phone",
    "puhelin": "phone",
    "puhelinnumero": "phone",
    "numero": "phone",
    "phone": "phone",
    "tel": "phone",
    "sahkoposti": "email",
    "sposti": "email",
    "email": "email",
    "kayttopaikka": "metering_point",
    "kayttopaikkatunnus": "metering_point",
    "metering_point": "metering_point",
    "meteringpoint": "metering_point",
    "tapaus": "case",
    "reklamaatio": "case",
    "case": "case",
    "laji": "kind",
    "kind": "kind",
    "suunta": "direction",
    "direction": "direction",
    "nimi": "names",
    "name": "names",
    "aihe": "subject",
    "otsikko": "subject",
    "subject": "subject",
    "teksti": "text",
    "sana": "text",
    "text": "text",
    "lahde": "source",
    "source": "source",
}
_OPERATORS = {"OR": EITHER, "TAI": EITHER, "AND": "and", "JA": "and", "NOT": "not", "EI": "not"}
_JOINT = "\ue000"  # stands in for what separates the groups of one number
_TOKEN = re.compile(
    r"""(?P<minus>[-−–])?
        (?:(?P<field>[^\W\d][\w]*)(?P<sign>:(?=\S)|\s?[:=]\s*(?=[^\s:=])))?
        (?:["“”„»«](?P<quoted>[^"“”„»«]*)(?P<end>["“”„»«]|$)|(?P<plain>[^\s"“”„»«]+))""",
    re.VERBOSE,
)
_GROUPED = re.compile(r"(?<![\w+.@-])(\+?\d[\d()/ \u00a0-]{3,24}\d)(?![\w@-])")
_SHORT_GROUPS = re.compile(r"\d{1,4}(?:[ \u00a0-]\d{2,4})+")
_PARENTHESES = re.compile(r"(?<!\S)\(+|(?<=\S)\)+(?!\S)")


@dataclass(frozen=True, slots=True)
class Token:
    """Something typed at [start, stop). `field` is one of FIELD_NAMES' values; None: none given.

    `operator`: EITHER where this is no word but "or" between two.
    """

    text: str
    start: int
    stop: int
    field: str | None = None
    negated: bool = False
    quoted: bool = False
    operator: str | None = None


def tokens(typed: str) -> tuple[list[Token], list[str]]:
    """At most MOST_WORDS tokens, and notes on how they were read. Never raises."""
    notes: list[str] = []
    known = _known(typed)
    if len(known) > MOST_CHARS:
        notes.append("too-long")
    known = _grouped(known[:MOST_CHARS])
    found: list[Token] = []
    at = 0
    while match := _TOKEN.search(known, at):
        token, at = _token(match, notes)
        found.append(token)
    found = _with_operators(found, shouted=not any(c.islower() for c in known))
    if len(found) > MOST_WORDS:
        notes.append("too-many-words")
    return found[:MOST_WORDS], notes


def _known(typed: str) -> str:
    """As it was typed, but blanks for what no text holds, and for parentheses around words."""
    known = "".join(" " if c in (_JOINT, "\0") or "\ud800" <= c <= "\udfff" else c for c in typed)
    return _PARENTHESES.sub(lambda m: " " * len(m.group()), known) if "(" in known else known


def _token(match: re.Match[str], notes: list[str]) -> tuple[Token, int]:
    """The token that stands here, and where to read on."""
    field, sign = match["field"], match["sign"]
    name = FIELD_NAMES.get(fold(clean(field))) if field else None
    text = match["quoted"] or match["plain"] or ""
    negated = match["minus"] is not None
    if field and name is None and sign != ":":  # "a = b": no field was meant
        word = Token(field, match.start(), match.end("field"), negated=negated)
        return word, match.end("sign")
    if field and name is None:
        notes.append(f"unknown-field:{field}")
        text = f"{field} {text}"
    if match["quoted"] is not None and not match["end"]:
        notes.append("quote-not-closed")
    text = text.replace(_JOINT, "")
    quoted = match["quoted"] is not None
    return Token(text, match.start(), match.end(), name, negated, quoted), match.end()


def _with_operators(found: list[Token], *, shouted: bool) -> list[Token]:
    """AND is what is meant anyhow, NOT is a minus; capitals throughout are words."""
    read: list[Token] = []
    negated_from: int | None = None
    for token in found:
        plain = token.field is None and not token.quoted and not shouted
        operator = _OPERATORS.get(token.text) if plain and not token.negated else None
        if operator == "not":
            negated_from = token.start
        elif operator == EITHER:
            read.append(replace(token, operator=EITHER))
        elif operator is None and negated_from is not None:
            read.append(replace(token, negated=True, start=negated_from))
            negated_from = None
        elif operator is None:
            read.append(token)
    return read


def _grouped(typed: str) -> str:
    """Numbers typed in groups as one word each, every character in its place."""

    def one(match: re.Match[str]) -> str:
        group = match.group(1)
        digits = phone_digits(group)
        if CASE_NUMBER.fullmatch(group.strip()):
            return group
        whole = group.startswith(("+", "0")) and 7 <= len(digits) <= 15
        part = 6 <= len(digits) <= 10 and _SHORT_GROUPS.fullmatch(group)
        if len(digits) == 18 or whole or part:
            return group[0] + re.sub(r"\D", _JOINT, group[1:])
        return group

    return _GROUPED.sub(one, typed)
