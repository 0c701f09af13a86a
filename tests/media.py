"""Small calls and emails for tests, made in pure Python: no ffmpeg, no speech, no files."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime


def wav(
    seconds: float = 1.0,
    *,
    channels: int = 2,
    rate: int = 8000,
    hz: float | Sequence[float] = 440.0,
    level: float = 0.5,
) -> bytes:
    """A 16-bit PCM WAV of sine tones; one frequency for all channels, or one for each.

    A frequency of 0 is silence. The same arguments always give the same bytes.
    """
    tones = [float(hz)] * channels if isinstance(hz, int | float) else [float(tone) for tone in hz]
    frames = round(seconds * rate)
    columns = [_tone(tone, frames, rate, level) for tone in tones]
    interleaved = [sample for frame in zip(*columns, strict=True) for sample in frame]
    return wav_header(len(interleaved) * 2, channels=len(tones), rate=rate) + struct.pack(
        f"<{len(interleaved)}h", *interleaved
    )


def wav_header(data_bytes: int, *, channels: int = 2, rate: int = 8000) -> bytes:
    """The 44 bytes before `data_bytes` of 16-bit PCM."""
    return (
        b"RIFF"
        + struct.pack("<I", 36 + data_bytes)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
        + b"data"
        + struct.pack("<I", data_bytes)
    )


def mulaw(seconds: float = 1.0, *, rate: int = 8000, hz: float = 440.0) -> bytes:
    """Headerless G.711 µ-law, mono: what a phone system writes when it writes no header."""
    return bytes(_mulaw_byte(sample) for sample in _tone(hz, round(seconds * rate), rate, 0.5))


def mail(
    *,
    subject: str = "Sähkökatko Mäntytiellä",
    text: str
    | None = "Hei,\n\nsähköt katkesivat eilen. Milloin korvaus tulee?\n\nTerveisin Aino\n",
    html: str | None = None,
    sender: str = "Aino Esimerkki <aino@esimerkki.example>",
    to: str = "asiakaspalvelu@sahko.example",
    cc: str | None = None,
    message_id: str | None = "<1@esimerkki.example>",
    date: datetime | None = datetime(2026, 3, 2, 10, 15, tzinfo=UTC),
    attachments: Sequence[tuple[str, str, bytes]] = (),
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A well-formed email; attachments are (file name, media type, content)."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    if cc:
        message["Cc"] = cc
    if message_id:
        message["Message-ID"] = message_id
    if date:
        message["Date"] = format_datetime(date)
    for name, value in headers:
        message[name] = value
    if text is not None:
        message.set_content(text)
    if html is not None:
        if text is None:
            message.set_content(html, subtype="html")
        else:
            message.add_alternative(html, subtype="html")
    for name, media_type, content in attachments:
        main, _, sub = media_type.partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


def _tone(hz: float, frames: int, rate: int, level: float) -> list[int]:
    if hz == 0:
        return [0] * frames
    step = 2 * math.pi * hz / rate
    return [round(32767 * level * math.sin(step * index)) for index in range(frames)]


def _mulaw_byte(sample: int) -> int:
    """One sample by ITU-T G.711, µ-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = max(magnitude.bit_length() - 8, 0)
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | (exponent << 4) | mantissa) & 0xFF
