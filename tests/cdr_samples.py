"""CDRs as FreeSWITCH and Asterisk write them: same elements, same order, same encoding."""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import quote

A_LEG = "3f2b1c64-0d9a-4f7e-9a53-6c1f0e2a7b10"
B_LEG = "8a1d5e90-77c2-4b0e-8f6d-1b2c3d4e5f60"


def _variables(uuid: str, at: datetime, **more: str) -> dict[str, str]:
    epoch = int(at.timestamp())
    return {
        "direction": "inbound",
        "uuid": uuid,
        "call_uuid": A_LEG,
        "sip_call_id": "1b3c@10.0.0.5",
        "domain_name": "pbx.yhtio.example",
        "caller_id_name": "Meikäläinen Maija",
        "caller_id_number": "+358401234567",
        "destination_number": "201",
        "call_direction": "inbound",
        "cc_queue": "viat@pbx.yhtio.example",
        "cc_agent": "ville@pbx.yhtio.example",
        # The stamp is local and lies an hour beside the epoch, as after a change to winter time.
        "start_stamp": "2026-11-23 11:00:00",
        "start_epoch": str(epoch),
        "start_uepoch": str(epoch * 1_000_000 + 250_000),
        "duration": "95",
        "billsec": "90",
        "record_seconds": "88",
        "hangup_cause": "NORMAL_CLEARING",
        "read_codec": "PCMA",
        "rtp_audio_in_mos": "4.50",
    } | more


def freeswitch_xml(uuid: str, at: datetime, **more: str) -> bytes:
    """mod_xml_cdr: values percent-encoded, the caller's profile in the callflow."""
    lines = "".join(
        f"    <{name}>{quote(value, safe='')}</{name}>\n"
        for name, value in _variables(uuid, at, **more).items()
    )
    return f"""<?xml version="1.0"?>
<cdr core-uuid="5c3e2b1a-1111-2222-3333-444455556666" switchname="pbx1">
  <channel_data>
    <state>CS_REPORTING</state>
    <direction>inbound</direction>
    <flags>0=1;1=1;37=1</flags>
    <caps>1=1;2=1;3=1</caps>
  </channel_data>
  <call-stats><audio><inbound><raw_bytes>1</raw_bytes></inbound></audio></call-stats>
  <variables>
{lines}  </variables>
  <app_log><application app_name="record_session" app_data="x.wav"></application></app_log>
  <callflow dialplan="XML" unique-id="{uuid}" profile_index="1">
    <caller_profile>
      <username>1001</username>
      <caller_id_number>%2B358401234567</caller_id_number>
      <destination_number>201</destination_number>
      <uuid>{uuid}</uuid>
    </caller_profile>
  </callflow>
</cdr>
""".encode()


def freeswitch_json(uuid: str, at: datetime, **more: str) -> bytes:
    """mod_json_cdr with encode-values, its default."""
    values = {n: quote(v, safe="") for n, v in _variables(uuid, at, **more).items()}
    return json.dumps(
        {
            "core-uuid": "5c3e2b1a-1111-2222-3333-444455556666",
            "switchname": "pbx1",
            "channel_data": {"state": "CS_REPORTING", "direction": "inbound"},
            "variables": values,
            "app_log": {"applications": [{"app_name": "answer", "app_data": ""}]},
            "callflow": [{"dialplan": "XML", "caller_profile": {"uuid": uuid}}],
        }
    ).encode()


def master_csv(rows: list[tuple[str, str, str, str]]) -> str:
    """Asterisk's Master.csv, every text quoted: (source, destination, start, uniqueid)."""
    return "".join(
        f'"","{src}","{dst}","from-trunk","""Maija"" <{src}>","PJSIP/trunk-00000001",'
        f'"PJSIP/201-00000002","Dial","PJSIP/201,30,tT","{start}","{start}","{start}",90,84,'
        f'"ANSWERED","DOCUMENTATION","{uid}",""\n'
        for src, dst, start, uid in rows
    )


def freepbx_csv(rows: list[tuple[str, str, str]]) -> str:
    """FreePBX's table as CSV with a header: (recordingfile, uniqueid, linkedid)."""
    head = "calldate,clid,src,dst,dcontext,channel,dstchannel,duration,billsec,disposition,"
    lines = [
        "2026-11-23 12:00:00,x,0401234567,600,q,PJSIP/t-1,PJSIP/202-2,95,90,ANSWERED,"
        f"{uid},{file},{link}"
        for file, uid, link in rows
    ]
    return "\n".join([head + "uniqueid,recordingfile,linkedid", *lines, ""])
