"""The command `archive`: one command for each verb, one module for each group of commands.

Thin: every rule lives elsewhere.
"""

from __future__ import annotations

from archive.cli import (
    alerts,
    audit,
    backups,
    cases,
    evidence,
    expiry,
    holds,
    keys,
    moving,
    people,
    processes,
    receiving,
    retention,
    sources,
    upkeep,
)
from archive.cli.frame import cli, main

# Each module adds its commands to `cli` as it is imported.
COMMANDS = (
    processes,
    people,
    receiving,
    sources,
    expiry,
    retention,
    holds,
    cases,
    evidence,
    keys,
    backups,
    moving,
    audit,
    upkeep,
    alerts,
)

__all__ = ["COMMANDS", "cli", "main"]
