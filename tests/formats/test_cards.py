"""Numbers of payment cards are found as people write them, and numbers that are none are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.formats import cards

# Numbers that the schemes publish for tests.
CARDS = [
    "4111111111111111", "4012 8888 8888 1881", "5555-5555-5555-4444", "2223003122003222",
    "3782 822463 10005", "6011111111111117", "30569309025904", "3530111333300000",
    "6759649826438453", "4222222222222",
]  # fmt: skip
OTHERS = [
    "4111111111111112",  # another last digit
    "FI21 1234 5600 0007 85",  # IBAN
    "643007000123456788",  # metering point
    "+358 40 1234567", "0401234567", "1234567",
    "1795420800.12", "2026-11-23 12:00:00", "20261123-120000",
    "0000000000000000", "4444444444444444",
    "4111111111111111111111111111111111111111111111111111111111",  # a bar code
    "x4111111111111111",
]  # fmt: skip


@pytest.mark.parametrize("number", CARDS)
def test_a_card_number_is_found_and_masked(number: str) -> None:
    text = f"Korttini on {number}, voimassa 12/28."
    assert [text[start:end] for start, end in cards.find(text)] == [number]
    assert cards.mask(text) == f"Korttini on {'*' * len(number)}, voimassa 12/28."


@pytest.mark.parametrize("number", OTHERS)
def test_other_numbers_are_left_alone(number: str) -> None:
    assert cards.find(f"Viite {number} ok") == []


@given(st.text(alphabet="0123456789 -.ab\n", max_size=200))
def test_a_masked_text_keeps_its_length_and_holds_no_card(text: str) -> None:
    masked = cards.mask(text)
    assert len(masked) == len(text) and cards.find(masked) == []
