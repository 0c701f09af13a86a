"""Numbers of payment cards in text: found by issuer's prefix, length and check digit. Pure.

ISO/IEC 7812-1: the last digit is Luhn's. Prefixes and lengths are the issuers' published ranges.
"""

from __future__ import annotations

import re

# A number as people write it, alone: digits in one piece or in groups, no letter or digit beside
# (an IBAN, a metering point in a longer number).
_WRITTEN = re.compile(r"(?<![\w+.,/-])\d(?:[ -]?\d){12,18}(?![\w-])")
_ISSUERS = (
    (re.compile(r"4"), (13, 16, 19)),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"6011|65|64[4-9]"), (16, 19)),  # Discover
    (re.compile(r"36|38|39|30[0-5]"), (14,)),  # Diners Club
    (re.compile(r"35(?:2[89]|[3-8])"), (16, 19)),  # JCB
    (re.compile(r"50|5[6-9]|67"), (16, 18, 19)),  # Maestro
    (re.compile(r"62"), (16, 17, 18, 19)),  # UnionPay
)


def find(text: str) -> list[tuple[int, int]]:
    """Where card numbers stand in the text: (start, end) of each."""
    return [found.span() for found in _WRITTEN.finditer(text) if _is_card(found.group())]


def mask(text: str) -> str:
    """The text with every card number replaced by as many asterisks."""
    return _WRITTEN.sub(
        lambda found: "*" * len(found.group()) if _is_card(found.group()) else found.group(), text
    )


def _is_card(written: str) -> bool:
    digits = written.replace(" ", "").replace("-", "")
    known = any(len(digits) in lengths and start.match(digits) for start, lengths in _ISSUERS)
    return known and len(set(digits)) > 1 and _luhn(digits) == 0


def _luhn(digits: str) -> int:
    """The sum that is 0 for a right check digit."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10
