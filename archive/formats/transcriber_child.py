"""The child that hears one call: confines itself, loads the transcriber, answers in JSON.

Nothing is loaded and no sound is looked at before the walls stand. Knows nothing of keys,
storage and people.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from archive.formats import sandbox
from archive.formats.transcriber import RATE_HZ, entry

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc", "/sys", "/nix/store",
           "/gnu/store", "/dev/null", "/dev/urandom")  # fmt: skip
_LEAST_IMPORTANT = 19  # niceness


def main() -> None:
    """name, model's folder, limits, then a descriptor for each channel."""
    name, model, cpu_s, memory_mb, *descriptors = sys.argv[1:]
    os.nice(_LEAST_IMPORTANT)
    readable = [*_SYSTEM, sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    sandbox.confine(
        cpu_s=int(cpu_s),
        memory_mb=int(memory_mb),
        readable=[*readable, *([model] if model else [])],
        parent=os.getppid(),
    )
    found = entry(name)
    assert found is not None
    transcriber = found.load()(Path(model) if model else None)
    lines = []
    for descriptor in descriptors:
        with os.fdopen(int(descriptor), "rb") as sound:
            said = transcriber.transcribe(sound, sample_rate_hz=RATE_HZ)
            lines.append([[float(a), float(b), str(text)] for a, b, text in said])
    sys.stdout.write(json.dumps({"lines": lines}))
    sys.stdout.flush()
    os._exit(0)  # threads of a library must not keep the child


if __name__ == "__main__":
    main()
