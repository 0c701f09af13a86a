"""Identifiers: what people and systems write, brought to one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.formats.identifiers import (
    CASE_NUMBER,
    email_key,
    find_hetu,
    gsrn_check_digit,
    is_business_id,
    mask_hetu,
    normalise_customer,
    normalise_email,
    normalise_metering_point,
    normalise_phone,
    phone_digits,
)


@pytest.mark.parametrize(
    "written",
    [
        "040 123 4567",
        "0401234567",
        "(040) 123-4567",
        "+358401234567",
        "+358 (0)40 123 4567",
        "00358 40 1234567",
        "tel:+358-40-1234567",
        "sip:+358401234567@pbx.example;user=phone",
        '"Aino" <sip:0401234567@pbx.example>',
    ],
)
def test_a_phone_number_has_one_form_however_it_is_written(written: str) -> None:
    assert normalise_phone(written) == ("+358401234567", written)


@pytest.mark.parametrize(
    "written", ["withheld", "anonymous", "1234", "112", "sip:1001@pbx.example", "*31#", "", "Aino"]
)
def test_withheld_numbers_and_extensions_stay_as_they_came(written: str) -> None:
    assert normalise_phone(written) == (written, written)


def test_a_number_with_an_extension_stays_as_it_came() -> None:
    assert normalise_phone("09 123 4567 ext 12")[0] == "09 123 4567 ext 12"


@given(st.text(max_size=120))
def test_any_text_has_a_phone_form_that_is_its_own_form(text: str) -> None:
    normal, raw = normalise_phone(text)
    assert raw == text
    assert normalise_phone(normal)[0] == normal


@given(st.from_regex(r"\+358 ?4[05] ?[0-9]{3} ?[0-9]{4}", fullmatch=True))
def test_a_parsed_number_keeps_its_digits(written: str) -> None:
    normal = normalise_phone(written)[0]
    assert normal == "+" + phone_digits(written)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Aino.Esimerkki@Sahko.EXAMPLE", "Aino.Esimerkki@sahko.example"),
        (" <aino@SAHKO.example> ", "aino@sahko.example"),
        ("Aino E <aino@SAHKO.example>", "aino@sahko.example"),
        ("mailto:aino@SAHKO.example?subject=x", "aino@sahko.example"),
        ("no address", "no address"),
    ],
)
def test_an_email_address_has_a_lower_case_domain(written: str, normal: str) -> None:
    assert normalise_email(written) == normal


def test_email_addresses_are_compared_without_regard_to_case() -> None:
    assert email_key("AINO@Sahko.example") == email_key("aino@SAHKO.EXAMPLE")


@given(st.text(max_size=80))
def test_any_text_has_an_email_form_that_is_its_own_form(text: str) -> None:
    once = email_key(text)
    assert email_key(once) == once or "<" in once or "mailto:" in once


def test_a_customer_number_loses_white_space_and_must_match_whole() -> None:
    assert normalise_customer(" 1234 567\u00a08 ", "[0-9]{8}") == "12345678"
    assert normalise_customer("12345678x", "[0-9]{8}") is None


def test_a_metering_point_needs_18_digits_and_a_right_check_digit() -> None:
    assert normalise_metering_point("6430 0000 0000 0000 16") == "643000000000000016"
    assert normalise_metering_point("643000000000000017") is None
    assert normalise_metering_point("64300000000000016") is None
    assert normalise_metering_point("٦٤٣٠٠٠٠٠٠٠٠٠٠٠٠٠١٦") is None


@given(st.from_regex("[0-9]{17}", fullmatch=True), st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_in_a_metering_point_is_noticed(seventeen: str, at: int, by: int) -> None:
    right = seventeen + gsrn_check_digit(seventeen)
    wrong = right[:at] + str((int(right[at]) + by) % 10) + right[at + 1 :]
    assert normalise_metering_point(right) == right
    assert normalise_metering_point(wrong) is None


def test_a_business_id_is_told_by_its_check_digit() -> None:
    assert is_business_id("2077474-0")
    assert not is_business_id("2077474-1")


@pytest.mark.parametrize("sign", list("+-ABCDEFUVWXY") + list("abcdefuvwxy") + ["–", "−", "‐"])
def test_a_personal_identity_code_is_masked_with_every_century_sign(sign: str) -> None:
    code = f"131052{sign}308T"
    assert mask_hetu(f"Asiakas {code}, osoite") == "Asiakas ***********, osoite"
    assert find_hetu(f"Asiakas {code}, osoite") == [(8, 19)]


@pytest.mark.parametrize("code", ["131052 - 308T", "131052- 308t", "131052-308K"])
def test_a_badly_written_personal_identity_code_is_masked_too(code: str) -> None:
    assert mask_hetu(code) == "*" * len(code)


@pytest.mark.parametrize(
    "text", ["643000000000000016", "991052-308T", "131052-308", "x131052-308T", "+358401234567"]
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert mask_hetu(text) == text


@given(st.text())
def test_masking_keeps_length_and_leaves_no_code(text: str) -> None:
    masked = mask_hetu(text + " 010203A123X")
    assert len(masked) == len(text) + 12
    assert find_hetu(masked) == []


def test_a_case_number_is_a_year_and_five_digits() -> None:
    assert CASE_NUMBER.fullmatch("2026-00001")
    assert not CASE_NUMBER.fullmatch("2026-1")
