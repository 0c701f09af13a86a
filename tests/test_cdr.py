"""What FreeSWITCH and Asterisk write of calls is read as they write it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.sources import cdr
from tests.cdr_samples import A_LEG, B_LEG, freepbx_csv, freeswitch_json, freeswitch_xml, master_csv

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EXPECTED = {
    "call_id": A_LEG,
    "occurred_at": "2026-11-23T08:00:00.250000+00:00",
    "direction": "inbound",
    "caller": "+358401234567",
    "callee": "201",
    "agent": "ville@pbx.yhtio.example",
    "duration_s": "88",
}


@pytest.mark.parametrize("raw", [freeswitch_xml(A_LEG, AT), freeswitch_json(A_LEG, AT)])
@pytest.mark.parametrize(
    "posted",
    [
        lambda raw: raw,
        lambda raw: urlencode({"cdr": raw.decode()}).encode(),
        lambda raw: quote(raw.decode(), safe="").encode(),
        base64.b64encode,
    ],
)
def test_a_cdr_of_freeswitch_is_read_however_it_is_sent_and_by_its_epoch(
    raw: bytes, posted: object
) -> None:
    told = cdr.freeswitch(posted(raw))  # type: ignore[operator]
    assert told.references == (A_LEG,)
    assert {name: told.fields[name] for name in EXPECTED} == EXPECTED
    assert told.fields["extra"]["caller_id_name"] == "Meikäläinen Maija"
    assert told.fields["extra"]["rtp_audio_in_mos"] == "4.50"


def test_of_a_second_leg_the_exchange_s_own_direction_says_nothing() -> None:
    raw = freeswitch_json(B_LEG, AT, direction="outbound", originating_leg_uuid=A_LEG)
    raw = raw.replace(b'"call_direction": "inbound", ', b"")
    told = cdr.freeswitch(raw)
    assert "direction" not in told.fields
    assert told.fields["call_id"] == A_LEG


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<cdr><variables>",
        b"<cdr></cdr>",
        b'<!DOCTYPE cdr [<!ENTITY a "aaaa">]><cdr><variables><uuid>&a;</uuid></variables></cdr>',
        b"<cdr>" + b"<a>" * 100 + b"</a>" * 100 + b"</cdr>",
        b'{"variables": []}',
        b'{"variables": {"uuid": ""}}',
        b"cdr=",
        b"\x00\x01",
        b'<?xml version="1.0" encoding="foo-8"?><cdr><variables/></cdr>',
        b'<?xml version="1.0" encoding="utf-32"?><cdr><variables/></cdr>',
    ],
)
def test_what_is_no_cdr_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(cdr.NotACdrError):
        cdr.freeswitch(raw)


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_no_damage_to_a_cdr_does_more_than_make_it_unreadable(noise: bytes, at: int) -> None:
    for whole in (freeswitch_xml(A_LEG, AT), freeswitch_json(A_LEG, AT)):
        try:
            cdr.freeswitch(whole[:at] + noise + whole[at + len(noise) :])
        except cdr.NotACdrError:
            continue
    text = master_csv([("0401234567", "201", "2026-11-23 10:00:00", "1795420800.12")])
    list(cdr.asterisk([text[: at % 100], noise.decode("utf-8", "replace"), text]))


def test_a_line_of_asterisk_is_dated_by_the_epoch_in_its_id() -> None:
    epoch = int(AT.timestamp())
    lines = master_csv(
        [
            ("0401234567", "201", "2026-11-23 08:00:00", f"{epoch}.12"),  # usegmtime=yes
            ("201", "0401234567", "2026-11-23 10:00:00", f"pbx1-{epoch}.13"),
            ("201", "202", "2026-11-23 10:00:00", f"{epoch}.14"),
        ]
    ).splitlines(keepends=True)
    inbound, outbound, internal = cdr.asterisk([*lines, '"torn"'])
    assert inbound.references == (f"{epoch}.12",)
    assert inbound.fields["occurred_at"] == AT.isoformat()
    assert inbound.fields["agent"] == "201"
    directions = [told.fields["direction"] for told in (inbound, outbound, internal)]
    assert directions == ["inbound", "outbound", "internal"]
    assert inbound.fields["extra"]["clid"] == '"Maija" <0401234567>'


def test_a_table_of_freepbx_names_the_recording_and_the_group_of_the_call() -> None:
    (told,) = cdr.asterisk(
        freepbx_csv([("2026/11/23/x.wav", "1795420800.12", "1795420800.10")]).splitlines()
    )
    assert told.references == ("1795420800.12", "file:x.wav")
    assert told.fields["call_id"] == "1795420800.10"


def test_kinds_are_told_apart_by_content() -> None:
    assert cdr.is_cdr(freeswitch_xml(A_LEG, AT)) and cdr.is_cdr(freeswitch_json(A_LEG, AT))
    assert not cdr.is_cdr(b'{"agent": "Ville"}') and not cdr.is_cdr(b"<html>")
    assert cdr.is_csv(master_csv([("1", "2", "2026-11-23 10:00:00", "1.2")]).encode())
    assert cdr.is_csv(freepbx_csv([]).encode())
    assert not cdr.is_csv(b"name,amount\nx,1\n")
