"""`make audit`: the packages of requirements.lock against PyPI's advisories, by pip-audit.

Exits with 1 where a version has a known vulnerability. Where the advisories cannot be reached it
says that nothing was audited, and exits with 0: whoever merges sees it, and a mirror stops nobody.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

ASKED = (
    *("-m", "pip_audit", "--requirement", "requirements.lock", "--require-hashes"),
    *("--disable-pip", "--progress-spinner", "off", "--format", "json"),
)


def main() -> int:
    """Asks, tells, and 1 where something was found."""
    answer = subprocess.run([sys.executable, *ASKED], capture_output=True, text=True, check=False)
    if not answer.stdout.strip():
        print(f"pip-audit did not answer: {answer.stderr.strip()[-500:]}", file=sys.stderr)
        return 1
    lines, found = told(json.loads(answer.stdout)["dependencies"])
    print("\n".join(lines))
    return 1 if found else 0


def told(packages: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """What to say of pip-audit's answer, and how many packages have known vulnerabilities."""
    asked = [package for package in packages if "skip_reason" not in package]
    bad = [package for package in asked if package["vulns"]]
    if not asked:
        return ["no package was audited: PyPI's advisories cannot be reached from here"], 0
    lines = [f"{each['name']} {each['version']}: {_ids(each)}" for each in bad]
    lines.append(
        f"{len(asked)} of {len(packages)} packages audited, {len(bad)} with vulnerabilities"
    )
    return lines, len(bad)


def _ids(package: Mapping[str, Any]) -> str:
    return ", ".join(sorted(each["id"] for each in package["vulns"]))


if __name__ == "__main__":
    raise SystemExit(main())
