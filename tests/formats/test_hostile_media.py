"""Files that try to make the decoder read other files, talk to the network or write.

A listener on this machine must not hear a connection, a marker file with real sound must not be
decoded. Each attack is also run against a bare ffmpeg, to show that it would work there.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.formats import ffmpeg, sandbox
from archive.formats.call import DecodedCall, Limits, MemoryBudget, decode_call
from tests.media import wav


class Listener:
    """An HTTP server that only counts who knocks."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard = 0
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._socket.fileno() < 0 or connection.recv(4) == b"stop":
                    return
                self.heard += 1

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file with a second of sound that nobody was given leave to read."""
    path = tmp_path / "marker.wav"
    path.write_bytes(wav(1))
    for number in (1, 2, 3):
        (tmp_path / f"image{number}.wav").write_bytes(wav(1))
    return path


def decode(sound: bytes, *, piped: bool = False) -> DecodedCall:
    return decode_call(
        [sound],
        length=None if piped else len(sound),
        codec=None,
        claimed_duration_s=None,
        limits=Limits(wall_s=30),
        playback=lambda reader: None,
        memory_budget=MemoryBudget(1 << 24),
    )


def hls(target: str) -> bytes:
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"
        f"#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n"
    ).encode()


def hls_with_key(target: str) -> bytes:
    return (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
        f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n'
    ).encode()


def concat(target: str) -> bytes:
    return f"ffconcat version 1.0\nfile '{target}'\n".encode()


def sdp(target: str) -> bytes:
    port = target.rsplit(":", 1)[-1].split("/")[0] if target.startswith("http") else "9"
    return (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    ).encode()


def dash(target: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet contentType="audio">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    ).encode()


def svg(target: str) -> bytes:
    return (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{target}"/></svg>'
    ).encode()


def rtsp(target: str) -> bytes:
    return f"[reference]\nRef1={target}\n".encode()


def asx(target: str) -> bytes:
    return f'<ASX version="3.0"><ENTRY><REF HREF="{target}"/></ENTRY></ASX>'.encode()


def pls(target: str) -> bytes:
    return f"[playlist]\nFile1={target}\nNumberOfEntries=1\n".encode()


def movie_that_refers(target: str) -> bytes:
    """A QuickTime file whose one track lies in another file, by an alias (`alis`)."""

    def box(name: bytes, *content: bytes) -> bytes:
        body = b"".join(content)
        return struct.pack(">I4s", len(body) + 8, name) + body

    name = target.removeprefix("file:").encode()
    path = struct.pack(">HH", 2, len(name)) + name + b"\0" * (len(name) % 2)
    alis = box(b"alis", b"\0\0\0\0", b"\0" * 150, path, struct.pack(">HH", 0xFFFF, 0))
    dref = box(b"dref", struct.pack(">II", 0, 1), alis)
    sound = struct.pack(">HHIHHHHI", 0, 0, 0, 2, 16, 0, 0, 8000 << 16)
    stsd = box(b"stsd", struct.pack(">II", 0, 1), box(b"sowt", b"\0" * 6, b"\0\1", sound))
    tables = (
        box(b"stts", struct.pack(">IIII", 0, 1, 4000, 1)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 4000, 1)),
        box(b"stsz", struct.pack(">III", 0, 4, 4000)),
        box(b"stco", struct.pack(">III", 0, 1, 8044)),  # beyond its own end
    )
    media = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 8000, 4000, 0)),
        box(b"hdlr", b"\0\0\0\0mhlrsoun", b"\0" * 13),
        box(b"minf", box(b"dinf", dref), box(b"stbl", stsd, *tables)),
    )
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 8000, 4000), b"\0" * 80)
    track = box(b"trak", box(b"tkhd", struct.pack(">IIIII", 15, 0, 0, 1, 0), b"\0" * 64), media)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", header, track)


ATTACKS = [hls, hls_with_key, concat, sdp, dash, svg, rtsp, asx, pls, movie_that_refers]


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_file_leads_the_decoder_to_another_file(attack: type, marker: Path, piped: bool) -> None:
    for target in (str(marker), f"file:{marker}", f"file://{marker}", marker.name):
        found = decode(attack(target), piped=piped)
        assert not found.description.decodes
        assert found.description.error_code


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_file_leads_the_decoder_to_the_network(attack: type, listener: Listener) -> None:
    address = f"127.0.0.1:{listener.port}"
    for target in (f"http://{address}/a.wav", f"tcp://{address}", f"rtmp://{address}/a"):
        assert not decode(attack(target)).description.decodes
    assert listener.heard == 0


@pytest.mark.parametrize("target", ["fd:", "pipe:0", "pipe:1", "/proc/self/fd/0", "/dev/zero"])
def test_a_playlist_cannot_name_the_decoders_own_pipes(target: str) -> None:
    for attack in (hls, concat):
        assert not decode(attack(target)).description.decodes


@pytest.mark.parametrize("name", ["image%d.wav", "image*.wav", "image%03d.wav"])
def test_a_pattern_of_pictures_is_no_recording(marker: Path, name: str) -> None:
    assert not decode(str(marker.parent / name).encode()).description.decodes


def test_the_attacks_would_work_on_a_bare_ffmpeg(marker: Path, listener: Listener) -> None:
    """Else the tests above would prove nothing."""
    for script, extra in (
        (concat(str(marker)), ["-safe", "0"]),
        (movie_that_refers(str(marker)), ["-enable_drefs", "1", "-use_absolute_path", "1"]),
    ):
        made = marker.parent / "attack"
        made.write_bytes(script)
        command = [ffmpeg.find_tool().path, "-v", "error", *extra, "-i", str(made), "-f", "s16le"]
        done = subprocess.run([*command, "-"], capture_output=True, check=False, timeout=30)
        assert len(done.stdout) > 10_000, script[:12]
    made = marker.parent / "attack.m3u8"
    made.write_bytes(hls(f"http://127.0.0.1:{listener.port}/a.ts"))
    command = [ffmpeg.find_tool().path, "-v", "error", "-protocol_whitelist", "file,http,tcp"]
    command += ["-i", str(made), "-f", "null", "-"]
    subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert listener.heard > 0


# -- the walls, without ffmpeg -----------------------------------------------------------


def behind_walls(
    script: str, *arguments: str, memory_mb: int = 1024
) -> subprocess.CompletedProcess[bytes]:
    readable = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc/ld.so.cache"]
    command = sandbox.command(
        [sys.executable, "-I", "-S", "-c", script, *arguments],
        cpu_s=5,
        memory_mb=memory_mb,
        readable=readable,
    )
    return subprocess.run(command, capture_output=True, check=False, timeout=60, env={})


def test_behind_the_walls_a_file_cannot_be_read(marker: Path) -> None:
    """By Landlock. Where the kernel has none this fails, and the archive says so in its checks."""
    done = behind_walls("import sys; open(sys.argv[1], 'rb').read()", str(marker))
    assert b"PermissionError" in done.stderr


def test_behind_the_walls_nothing_can_be_written(tmp_path: Path) -> None:
    behind_walls("import sys; open(sys.argv[1], 'w').write('x')", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_behind_the_walls_nobody_can_be_called(listener: Listener) -> None:
    call = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)"
    assert behind_walls(call, str(listener.port)).returncode != 0
    assert listener.heard == 0


def test_behind_the_walls_memory_ends() -> None:
    done = behind_walls("b = bytearray(500_000_000); print('got it')", memory_mb=300)
    assert b"MemoryError" in done.stderr


def test_behind_the_walls_there_is_no_environment_and_no_core() -> None:
    script = (
        "import os, resource; print(sorted(os.environ)); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE))"
    )
    said = behind_walls(script).stdout.decode()
    assert "SECRET" not in said
    assert "(0, 0) (0, 0)" in said


def test_a_command_that_cannot_be_started_says_so() -> None:
    command = sandbox.command(["/nowhere/ffmpeg"], cpu_s=1, memory_mb=512, readable=["/nowhere"])
    done = subprocess.run(command, check=False, timeout=30, env={})
    assert done.returncode == sandbox.EXIT_UNUSABLE


def test_no_decoder_outlives_a_killed_parent() -> None:
    script = (
        "import itertools, time\n"
        "from archive.formats.call import *\n"
        "from tests.media import wav, wav_header\n"
        "def slow():\n"
        "    yield wav_header(0xFFFFFF00) + wav(1)[44:]\n"
        "    print('started', flush=True)\n"
        "    time.sleep(600)\n"
        "decode_call(slow(), length=None, codec=None, claimed_duration_s=None,\n"
        "    limits=Limits(), playback=lambda r: None, memory_budget=MemoryBudget(0))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        children = children_of(parent.pid)
        assert children
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}/exe").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "children").read_text()
        found += [int(word) for word in text.split()]
    return found
