"""`python -m archive.cli`: the same as the command `archive`."""

from __future__ import annotations

from archive.cli import main

main()
