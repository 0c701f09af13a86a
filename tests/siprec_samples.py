"""SIPREC metadata as clients of different make write them, made up: nobody's numbers."""

from __future__ import annotations

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"


def rfc(*, start: str = "2026-11-23T08:00:00.250Z", stop: str = "", name: str = "Ville") -> bytes:
    """As RFC 7865 has it, and Cisco sends it: an outside caller, an agent of the house."""
    ended = f"<stop-time>{stop}</stop-time>" if stop else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="{NAMESPACE}">
<datamode>complete</datamode>
<group group_id="ryhma-1"><associate-time>{start}</associate-time></group>
<session session_id="istunto-1"><sipSessionID>ab30;remote=cd40</sipSessionID>
<group-ref>ryhma-1</group-ref><start-time>{start}</start-time>{ended}</session>
<participant participant_id="p1"><nameID aor="sip:+358401234567@sbc.example;user=phone"/>
</participant>
<participant participant_id="p2"><nameID aor="sip:201@pbx.example">
<name xml:lang="fi">{name}</name></nameID></participant>
<stream stream_id="s1" session_id="istunto-1"><label>1</label></stream>
<stream stream_id="s2" session_id="istunto-1"><label>2</label></stream>
<sessionrecordingassoc session_id="istunto-1"><associate-time>{start}</associate-time>
</sessionrecordingassoc>
<participantstreamassoc participant_id="p1"><send>s1</send><recv>s2</recv></participantstreamassoc>
<participantstreamassoc participant_id="p2"><send>s2</send><recv>s1</recv></participantstreamassoc>
</recording>""".encode()


# Oracle (Acme Packet): no version in the namespace, bare ids, who calls told beside, local times.
ORACLE = b"""<?xml version='1.0' encoding='UTF-8'?>
<recording xmlns='urn:ietf:params:xml:ns:recording'><datamode>complete</datamode>
<session id="i2"><associate-time>2026-11-23T10:00:00</associate-time></session>
<participant id="a" session="i2"><nameID aor="sip:201@pbx.example"><name>201</name></nameID>
<send>x</send><associate-time>2026-11-23T10:00:00</associate-time>
<extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata">
<apkt:callingParty>false</apkt:callingParty></extensiondata></participant>
<participant id="b" session="i2"><nameID aor="sip:0401234567@sbc.example"/><send>y</send>
<extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata">
<apkt:callingParty>true</apkt:callingParty></extensiondata></participant>
<stream id="x" session="i2"><label>16777227</label><mode>separate</mode></stream>
<stream id="y" session="i2"><label>16777228</label><mode>separate</mode></stream></recording>"""

# Ribbon (Sonus): every element prefixed, the call's headers in an element of their own, a clock
# that stands in 1970; within the body of the INVITE.
RIBBON = b"""--delim\r
Content-Type: application/sdp\r
\r
v=0\r
a=label:1\r
\r
--delim\r
Content-Disposition: recording-session\r
Content-Type: application/rs-metadata+xml\r
\r
<?xml version="1.0" encoding="UTF-8"?>
<tns:recording xmlns:tns='urn:ietf:params:xml:ns:recording'><tns:datamode>complete</tns:datamode>
<tns:group group_id="ryhma-3"><tns:associate-time>1970-05-13T03:29:05Z</tns:associate-time>
<callData xmlns='urn:ietf:params:xml:ns:callData'>
<fromhdr>"Aino" &lt;sip:+358401234567@sbc.example&gt;;tag=1</fromhdr>
<tohdr>&lt;sip:020123456@pbx.example&gt;</tohdr><callid>2da5-f7</callid></callData></tns:group>
<tns:session session_id="i3"><tns:start-time>1970-05-13T03:29:05Z</tns:start-time></tns:session>
<tns:participant participant_id="a"><tns:nameID aor="020123456@pbx.example"/></tns:participant>
<tns:participant participant_id="b"><tns:nameID aor="+358401234567@sbc.example"/>
</tns:participant></tns:recording>\r
--delim--\r
"""

# BroadWorks: a root of its own, one mixed stream, the address as an element.
BROADWORKS = b"""<recording_metadata xmlns="urn:ietf:params:xml:ns:siprec">
<dataMode>complete</dataMode><session session_id="i4"/>
<participant participant_id="a"><nameID><aor>sip:Call.Centre@company.example</aor></nameID>
</participant><stream stream_id="m"><label>1</label><mode>mixed</mode></stream>
</recording_metadata>"""
