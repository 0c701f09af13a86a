"""Makes the demo's calls: espeak-ng speaks Finnish, agent left, customer right.

Run by hand where espeak-ng and ffmpeg are installed: `python -m tests.samples.make_samples`,
with the names of files to make only those.
The people, numbers and addresses are invented.
"""

from __future__ import annotations

import array
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

TARGET = Path(__file__).parents[2] / "archive" / "demo" / "media"
TURNS = Path(__file__).parents[2] / "archive" / "demo" / "calls.json"
RATE = 8000
PAUSE_S = 0.35
VOICES = {"agent": ("fi", "58", "165"), "customer": ("fi+m3", "32", "150")}
FEMALE = {"customer": ("fi+f2", "62", "155")}


def main() -> None:
    for call in json.loads(TURNS.read_text(encoding="utf-8")):
        if sys.argv[1:] and call["file"] not in sys.argv[1:]:
            continue
        voices = VOICES | (FEMALE if call.get("voice") == "female" else {})
        left, right = array.array("h"), array.array("h")
        for who, words in call["turns"]:
            spoken = _speak(words, *voices[who])
            silence = array.array("h", bytes(2 * len(spoken)))
            pause = array.array("h", bytes(2 * int(PAUSE_S * RATE)))
            left += (spoken if who == "agent" else silence) + pause
            right += (spoken if who == "customer" else silence) + pause
        _write(TARGET / call["file"], left, right)
        sys.stdout.write(f"{call['file']} {len(left) / RATE:.1f} s\n")


def _speak(words: str, voice: str, pitch: str, speed: str) -> array.array[int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        subprocess.run(
            ["espeak-ng", "-v", voice, "-p", pitch, "-s", speed, "-w", str(path), words], check=True
        )
        done = subprocess.run(
            [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                str(path),
                "-ar",
                str(RATE),
                "-ac",
                "1",
                "-f",
                "s16le",
                "-",
            ],
            check=True,
            capture_output=True,
        )
    return array.array("h", done.stdout)


def _write(path: Path, left: array.array[int], right: array.array[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    both = array.array("h", bytes(4 * len(left)))
    both[0::2], both[1::2] = left, right
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file.name, "wb") as out:
            out.setnchannels(2)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(both.tobytes())
        codec = (
            ["-c:a", "pcm_mulaw"]
            if path.suffix == ".wav"
            else ["-c:a", "libopus", "-b:a", "20k", "-ac", "2"]
        )
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-i", file.name, *codec, "-bitexact", str(path)],
            check=True,
        )


if __name__ == "__main__":
    main()
