"""Which ffmpeg is used, with which words it is called, and what it says about a file.

Argument lists are built with ffmpeg-python and never see a shell. What ffmpeg prints is read for
facts and reduced to codes here; it holds titles and names, so it is neither logged nor stored.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ffmpeg

from archive.errors import MediaUnusable

# Sound, and what may carry it. Not here on purpose: hls, dash, concat, sdp, rtsp, image2, tty,
# ffmetadata, avisynth, the *_pipe pictures, module music: whatever opens other files or draws.
CONTAINERS = (
    "aac,ac3,aiff,aif,alaw,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,eac3,flac,flv,g722,g723_1,g726,"
    "g726le,g729,gsm,iff,ilbc,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,"
    "mulaw,nistsphere,ogg,rso,s16be,s16le,s8,sln,sox,tta,u8,voc,vox,w64,wav,wsaud,wv,xwma"
)
DECODERS = (
    "aac,aac_fixed,aac_latm,ac3,ac3_fixed,alac,als,ape,cook,eac3,flac,g722,g723_1,g726,g726le,g729,"
    "gsm,gsm_ms,ilbc,mp1,mp1float,mp2,mp2float,mp3,mp3float,mpc7,mpc8,nellymoser,opus,libopus,qcelp,"
    "ra_144,ra_288,shorten,speex,libspeex,tta,vorbis,libvorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,"
    "wmavoice,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,libgsm,libgsm_ms,libilbc,"
    "pcm_alaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24le,"
    "pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_s8,pcm_s8_planar,"
    "pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,pcm_vidc,"
    "adpcm_ct,adpcm_g722,adpcm_g726,adpcm_g726le,adpcm_ima_amv,adpcm_ima_oki,adpcm_ima_qt,"
    "adpcm_ima_wav,adpcm_ms,adpcm_sbpro_2,adpcm_sbpro_3,adpcm_sbpro_4,adpcm_swf,adpcm_yamaha,dss_sp"
)
MOST_MASKS = 1000
PLAYBACK_BITRATE = 32_000  # bit/s: speech, one or two voices
MASK_MARGIN_S = 0.02
_MASK_FRAME = 64  # samples that a filter switches at once while masking
_SYSTEM_PATHS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/nix/store", "/gnu/store")


@dataclass(frozen=True, slots=True)
class Tool:
    """An ffmpeg: where it is, and whether it reads an open file so that it can seek in it."""

    path: str
    seeks: bool

    @property
    def readable(self) -> tuple[str, ...]:
        """The files it needs to start."""
        return (str(Path(self.path).resolve()), *_SYSTEM_PATHS)


@dataclass(frozen=True, slots=True)
class RawFormat:
    """How sound without a header is to be read."""

    demuxer: str
    sample_rate_hz: int
    channels: int
    takes_rate: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What ffmpeg said of its input. Strings are ffmpeg's own short names only."""

    container: str | None
    codec: str | None
    sample_rate_hz: int | None
    channels: int | None
    claimed_duration_s: float | None
    failure: str | None  # why nothing came out, if nothing did
    damaged: bool  # some of it was skipped


@lru_cache(maxsize=1)
def find_tool() -> Tool:
    """The first of `ffmpeg` on the path and the one from imageio-ffmpeg that can seek (`fd:`).

    ffmpeg before 6.0 lacks `fd:` and is taken only where there is no other. MediaUnusable
    ("ffmpeg-missing") where none encodes Opus.
    """
    found = [tool for tool in map(_examine, _candidates()) if tool is not None]
    for tool in sorted(found, key=lambda tool: not tool.seeks):
        return tool
    raise MediaUnusable(code="ffmpeg-missing")


def raw_format(codec: str | None) -> RawFormat | None:
    """How to read headerless sound that its sender calls `codec`; None if nobody can tell.

    Names as ffmpeg or SDP has them, with rate and channels where they differ from the usual:
    `pcm_mulaw`, `PCMU`, `PCMU/8000/1`, `pcm_s16le/16000`.
    """
    name, _, rest = (codec or "").strip().lower().partition("/")
    known = _RAW.get(_ALIASES.get(name, name))
    if known is None:
        return None
    numbers = [int(word) for word in rest.split("/") if re.fullmatch("[0-9]{1,6}", word)]
    rate = numbers[0] if numbers and 1000 <= numbers[0] <= 192_000 else known.sample_rate_hz
    channels = numbers[1] if len(numbers) > 1 and 1 <= numbers[1] <= 8 else known.channels
    if name == "g722":
        rate = known.sample_rate_hz  # SDP says 8000 for what is 16000 (RFC 3551, section 4.5.2)
    return RawFormat(known.demuxer, rate, channels, known.takes_rate)


def arguments(
    tool: Tool,
    *,
    input_fd: int | None,
    pcm_fd: int,
    playback_fd: int,
    raw: RawFormat | None,
    masked: Sequence[tuple[float, float]],
) -> list[str]:
    """ffmpeg's argument list: one input, a WAV on `pcm_fd`, Ogg Opus on `playback_fd`.

    The input is the memory file `input_fd`, or standard input where that is None. Both outputs
    are masked. Lists of protocols, containers and decoders are the input's own, so nothing that
    the input names (a playlist's entries, an external track) is opened.
    """
    given: dict[str, Any] = {
        "protocol_whitelist": "fd,pipe",
        "format_whitelist": CONTAINERS,
        "codec_whitelist": DECODERS,
        "threads": 1,
        "vn": None,
        "sn": None,
        "dn": None,
    }
    if input_fd is not None:
        given["fd"] = input_fd
    if raw is not None:
        given["f"] = raw.demuxer
        if raw.takes_rate:
            given |= {"ar": raw.sample_rate_hz, "ac": raw.channels}
    source = ffmpeg.input("pipe:0" if input_fd is None else "fd:", **given)
    # Times by counting samples: what plays is as long as what is counted, and masks lie exactly.
    sound = source["a:0"].filter("asetpts", "N/SR/TB")
    if masked:
        sound = sound.filter("asetnsamples", n=_MASK_FRAME, p=0)
        sound = sound.filter("volume", volume=0, enable=_enable(masked))
    both = sound.filter_multi_output("asplit", 2)
    plain = {"map_metadata": -1, "map_chapters": -1, "bitexact": None}
    wave = ffmpeg.output(both[0], f"pipe:{pcm_fd}", f="wav", acodec="pcm_s16le", **plain)
    opus = ffmpeg.output(
        both[1].filter("aformat", channel_layouts="mono|stereo"),
        f"pipe:{playback_fd}",
        f="ogg",
        acodec="libopus",
        audio_bitrate=PLAYBACK_BITRATE,
        application="voip",
        compression_level=5,
        **plain,
    )
    options = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"]
    options += ["-filter_complex_threads", "1"]
    return [tool.path, *options, *ffmpeg.get_args(ffmpeg.merge_outputs(wave, opus))]


def channel_arguments(tool: Tool, channel: int, *, rate_hz: int) -> list[str]:
    """The argument list that makes 16-bit mono PCM on standard output of one channel of a
    playback rendition on standard input."""
    given = {
        "protocol_whitelist": "pipe", "format_whitelist": "ogg", "f": "ogg",
        "codec_whitelist": "opus,libopus", "threads": 1,
    }  # fmt: skip
    sound = ffmpeg.input("pipe:0", **given)["a:0"].filter(
        "channelmap", map=channel, channel_layout="mono"
    )
    output = ffmpeg.output(sound, "pipe:1", f="s16le", ar=rate_hz, bitexact=None)
    options = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "quiet"]
    return [tool.path, *options, "-filter_complex_threads", "1", *ffmpeg.get_args(output)]


def report(said: str, *, streamed: bool = False) -> Report:
    """The facts in what ffmpeg printed, and a stable code for what went wrong.

    `streamed`: the input claims no length of its own, so its last packet may be short.
    """
    said = said.replace("corrupt input packet", "") if streamed else said
    container = _INPUT.search(said)
    stream = _STREAM.search(said)
    codec, facts = stream.groups() if stream else (None, "")
    rate = re.search(r", ([0-9]{1,7}) Hz", facts)
    return Report(
        container=container.group(1) if container else None,
        codec=codec if codec != "none" else None,
        sample_rate_hz=int(rate.group(1)) or None if rate else None,
        channels=_channels(facts),
        claimed_duration_s=_duration(said),
        failure=_failure(said, codec=codec),
        damaged=_DAMAGE.search(said) is not None,
    )


def ran_out_of_time(said: str) -> bool:
    """Whether it was stopped by the limit of processor time: it takes SIGXCPU for a wish to end."""
    return f"received signal {int(signal.SIGXCPU)}." in said


def _enable(masked: Sequence[tuple[float, float]]) -> str:
    """When the sound is off: the intervals joined, widened so that no edge of a word is heard."""
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(masked):
        start, stop = max(0.0, start - MASK_MARGIN_S), stop + MASK_MARGIN_S
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    if len(joined) > MOST_MASKS:  # rather silence too much than too little
        joined[MOST_MASKS - 1 :] = [(joined[MOST_MASKS - 1][0], joined[-1][1])]
    return "+".join(f"between(t,{start:.3f},{stop:.3f})" for start, stop in joined)


def _candidates() -> list[str]:
    found = [shutil.which("ffmpeg")]
    try:
        import imageio_ffmpeg

        found.append(str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError, OSError):
        pass
    return [path for path in found if path]


def _examine(path: str) -> Tool | None:
    protocols, encoders = _ask(path, "-protocols"), _ask(path, "-encoders")
    if "libopus" not in encoders:
        return None
    return Tool(path, seeks=re.search(r"^\s*fd\s*$", protocols, re.MULTILINE) is not None)


def _ask(path: str, what: str) -> str:
    try:
        done = subprocess.run(
            [path, "-hide_banner", what],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("ascii", "replace")


# ffmpeg's lines. Two blanks and a word at the start of a line cannot come from a title: those are
# printed further in. `level+` puts "[info] " before each.
_INPUT = re.compile(r"^\[info\] Input #0, ([0-9A-Za-z_,]{1,60}), from '", re.MULTILINE)
_STREAM = re.compile(
    r"^\[info\]   Stream #0:[0-9]+[^\n:]{0,40}: Audio: ([0-9a-z_]{1,40})([^\n]{0,300})$",
    re.MULTILINE,
)
_DURATION = re.compile(
    r"^\[info\]   Duration: ([0-9]{1,6}):([0-9]{2}):([0-9]{2}\.[0-9]{1,6})", re.MULTILINE
)
_LAYOUTS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "4.0": 4, "quad": 4, "5.0": 5, "5.1": 6}
_REASONS = (
    (r"Cannot allocate memory|Error allocating|out of memory", "memory-limit"),
    (r"Format not on whitelist|Protocol .{0,40} not on whitelist", "format-refused"),
    (r"moov atom not found", "incomplete"),
    (r"matches no streams|does not contain any stream", "no-audio"),
    (r"no decoder found", "codec-unknown"),
    (r"Not yet implemented", "unsupported"),
    (r"\[(?:error|fatal)\] .{0,80}Invalid data found", "unrecognised"),
)
# A decoder or demuxer that skipped something. Not these: a picture that is not decoded, a title
# in a strange alphabet, an encoder that got too little to begin with.
_DAMAGE = re.compile(
    r"\[dec:[^\]\n]{1,80}\] \[(?:error|fatal)\]|Error during demuxing|: partial file"
    r"|corrupt input packet|Error while decoding|Truncat"
)


def _failure(said: str, *, codec: str | None) -> str | None:
    if codec and f"Codec ({codec}) not on whitelist" in said:
        return "codec-refused"
    for pattern, code in _REASONS:
        if re.search(pattern, said):
            return "damaged" if codec and code == "unrecognised" else code
    return None


def _duration(said: str) -> float | None:
    found = _DURATION.search(said)
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _channels(facts: str) -> int | None:
    found = re.search(r" Hz, (?:([0-9]{1,2}) channels|([a-z0-9.]{1,12}))", facts)
    if found is None:
        return None
    return int(found.group(1)) if found.group(1) else _LAYOUTS.get(found.group(2))


_RAW = {
    "pcm_mulaw": RawFormat("mulaw", 8000, 1),
    "pcm_alaw": RawFormat("alaw", 8000, 1),
    "pcm_s16le": RawFormat("s16le", 8000, 1),
    "pcm_s16be": RawFormat("s16be", 8000, 1),
    "pcm_u8": RawFormat("u8", 8000, 1),
    "pcm_s8": RawFormat("s8", 8000, 1),
    "g722": RawFormat("g722", 16000, 1, takes_rate=False),
    "gsm": RawFormat("gsm", 8000, 1, takes_rate=False),
    "g729": RawFormat("g729", 8000, 1, takes_rate=False),
    "g723_1": RawFormat("g723_1", 8000, 1, takes_rate=False),
    "g726": RawFormat("g726", 8000, 1, takes_rate=False),
}
_ALIASES = {
    "mulaw": "pcm_mulaw",
    "ulaw": "pcm_mulaw",
    "g711u": "pcm_mulaw",
    "g711_ulaw": "pcm_mulaw",
    "pcmu": "pcm_mulaw",
    "alaw": "pcm_alaw",
    "g711a": "pcm_alaw",
    "g711_alaw": "pcm_alaw",
    "pcma": "pcm_alaw",
    "s16le": "pcm_s16le",
    "slin": "pcm_s16le",
    "l16": "pcm_s16be",  # RFC 2586: network byte order
    "adpcm_g722": "g722",
    "gsm_fr": "gsm",
    "g723": "g723_1",
    "adpcm_g726": "g726",
}
