"""The identifiers a recording is found by, each brought to its one normal form.

Pure: no I/O, no clock, no settings (a pattern is an argument). Knows nothing of recordings.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from stdnum.fi import ytunnus

CASE_NUMBER = re.compile(r"[0-9]{4}-[0-9]{5}")  # YYYY-NNNNN

_PHONE_MAX = 100  # characters; anything longer is no phone number
_EXTENSION_DIGITS = 6  # a bare number of at most so many digits is an extension or a short number
_URI = re.compile(r"(?i)^(?:sips?|tel):")
# Day, month, year, century sign, individual number, check character. The sign may be any dash
# that a word processor makes, with blanks around it; + - A-F U-Y are the signs of the law.
_HETU = re.compile(
    r"(?<![0-9A-Za-z])"
    r"(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2])[0-9]{2}"
    r"[ \u00a0]?[-+\u2010-\u2015\u2212A-FU-Ya-fu-y][ \u00a0]?"
    r"[0-9]{3}[0-9A-FHJ-NPR-Ya-fhj-npr-y]"
    r"(?![0-9A-Za-z])"
)


def normalise_phone(raw: str, region: str = "FI") -> tuple[str, str]:
    """(normal form, the string as given): E.164 where the number can be parsed, else as given.

    Withheld and unparsable numbers, extensions and short numbers stay as given, white space at
    the ends removed. `sip:` and `tel:` addresses are read by their user part. Never raises.
    """
    stripped = raw.strip()
    return _e164(stripped, region) or stripped, raw


def phone_digits(number: str) -> str:
    """The digits of a number alone, for finding by a part of it; '' where there are none."""
    return "".join(character for character in number if character in "0123456789")


def normalise_email(raw: str) -> str:
    """The address with its domain in lower case, the local part as written.

    `mailto:`, angle brackets and a display name before them are taken off. Compare addresses
    by `email_key`. What is no address is returned without white space at its ends.
    """
    stripped = raw.strip()
    if "<" in stripped and stripped.endswith(">"):
        stripped = stripped[stripped.rindex("<") + 1 : -1].strip()
    if stripped.lower().startswith("mailto:"):
        stripped = stripped[len("mailto:") :].split("?", 1)[0].strip()
    local, at, domain = stripped.rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else stripped


def email_key(raw: str) -> str:
    """What two addresses are compared by: the normal form, all in lower case."""
    return normalise_email(raw).lower()


def normalise_customer(raw: str, pattern: str) -> str | None:
    """The customer number without white space; None where it does not match `pattern` whole."""
    compact = "".join(raw.split())
    return compact if _compiled(pattern).fullmatch(compact) else None


def normalise_metering_point(raw: str) -> str | None:
    """The 18 digits of a metering point (GSRN, GS1 General Specifications); None if it is none.

    White space is removed; the last digit must be the mod-10 check digit.
    """
    compact = "".join(raw.split())
    if not re.fullmatch("[0-9]{18}", compact):
        return None
    return compact if gsrn_check_digit(compact[:-1]) == compact[-1] else None


def gsrn_check_digit(seventeen: str) -> str:
    """The check digit of 17 digits: weights 3 and 1 alternating, 3 at both ends."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(seventeen))
    return str(-total % 10)


def is_business_id(raw: str) -> bool:
    """Whether it is a Finnish business id (Y-tunnus) with a right check digit."""
    return bool(ytunnus.is_valid(raw))


def find_hetu(text: str) -> list[tuple[int, int]]:
    """Where personal identity codes stand in `text`: (start, stop) of each, in order.

    The check character is not asked for: a code with one wrong character still points at a
    person. All century signs are known: + - A-F U-Y (Decree 128/2010 as changed by 690/2022).
    """
    return [match.span() for match in _HETU.finditer(text)]


def mask_hetu(text: str) -> str:
    """`text` with every personal identity code replaced by as many asterisks."""
    return _HETU.sub(lambda match: "*" * len(match.group()), text)


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _e164(raw: str, region: str) -> str | None:
    number = _URI.sub("", raw.rstrip(">").rpartition("<")[2])
    if number != raw:
        number = number.partition("@")[0].partition(";")[0]
    number = re.sub(r"\(0\)", "", number) if number.startswith(("+", "00")) else number
    if len(number) > _PHONE_MAX or re.search(r"[^\W\d_]|[@#*;]", number):
        return None  # letters: "withheld", a name, an extension; # and *: a service code
    if len(phone_digits(number)) <= _EXTENSION_DIGITS and not number.startswith("+"):
        return None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
