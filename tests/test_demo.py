"""The samples of a first start are what they claim to be, and of nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from archive import demo
from archive.demo import Sample
from archive.formats import identifiers
from archive.formats.call import Limits, MemoryBudget, decode_call
from archive.formats.mail import parse_mail
from archive.intake import Rules, call
from archive.model import Kind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SAMPLES = list(demo.samples(NOW))
CALLS = [sample for sample in SAMPLES if sample.kind is Kind.CALL]
EMAILS = [sample for sample in SAMPLES if sample.kind is Kind.EMAIL]


def name(sample: Sample) -> str:
    return str(sample.metadata["source_ref"])


@pytest.mark.parametrize("sample", CALLS, ids=name)
def test_a_sample_call_is_a_dialogue_of_two_channels_that_decodes(sample: Sample) -> None:
    found = decode_call(
        [sample.content],
        length=len(sample.content),
        codec=None,
        claimed_duration_s=None,
        limits=Limits(wall_s=60),
        playback=lambda reader: None,
        memory_budget=MemoryBudget(1 << 24),
    ).description
    assert found.decodes
    assert found.error_code is None
    assert found.channels == 2
    assert found.duration_s is not None
    assert 5 < found.duration_s < 60


@pytest.mark.parametrize("sample", CALLS, ids=name)
def test_every_field_of_a_sample_call_is_understood(sample: Sample) -> None:
    intake = call(sample.metadata, arrived_at=NOW, rules=Rules("[0-9]{7}"))
    assert intake.warnings == []
    point = sample.metadata.get("metering_point")
    assert point is None or identifiers.normalise_metering_point(point) == point


@pytest.mark.parametrize("sample", EMAILS, ids=name)
def test_a_sample_email_is_read_without_a_mark(sample: Sample) -> None:
    said = parse_mail(sample.content)
    assert said.description.parse_errors == ()
    assert said.description.date == datetime.fromisoformat(sample.metadata["received_at"])
    assert said.text


def test_the_samples_lie_in_the_weeks_before_now() -> None:
    for sample in SAMPLES:
        told = sample.metadata.get("occurred_at") or sample.metadata["received_at"]
        assert NOW - timedelta(days=60) < datetime.fromisoformat(told) < NOW


def test_a_customer_has_both_calls_and_emails() -> None:
    numbers = {sample.metadata["customer_number"] for sample in CALLS}
    written = " ".join(parse_mail(sample.content).text for sample in EMAILS)
    assert sum(number in written for number in numbers) >= 4


def test_every_reference_is_unique_and_a_reply_answers_a_sample() -> None:
    references = [name(sample) for sample in SAMPLES]
    assert len(set(references)) == len(references)
    said = [parse_mail(sample.content).description for sample in EMAILS]
    known = {one.message_id for one in said}
    answered = {one.in_reply_to for one in said} - {None}
    assert len(answered) >= 3
    assert answered <= known


def test_addresses_of_the_samples_belong_to_nobody() -> None:
    """RFC 2606 keeps .example for such use."""
    for sample in EMAILS:
        said = parse_mail(sample.content).description
        assert all(address.endswith(".example") for address in (*said.from_, *said.to))


def test_the_samples_are_small_and_name_no_identity_code() -> None:
    assert sum(len(sample.content) for sample in SAMPLES) < 2_500_000
    assert len(CALLS) >= 8
    assert len(EMAILS) >= 10
    for sample in SAMPLES:
        assert not identifiers.find_hetu(str(sample.metadata))
