"""What every command shares: the root, its errors, the archive a command works on.

Knows no command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import wraps
from typing import Any, TypeVar

import click

from archive import __version__
from archive.assembly import Assembly, assemble
from archive.config import Config
from archive.errors import ArchiveError
from archive.intake import moment

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """Entry point: an ArchiveError becomes one plain line and its own exit code."""
    try:
        cli(standalone_mode=False)
    except ArchiveError as error:
        click.echo(f"archive: {error.message}", err=True)
        for wrong in error.errors:
            click.echo(f"  {wrong.field}: expected {wrong.expected}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="archive")
def cli() -> None:
    """Call and email recordings: sealed on arrival, found, opened for a purpose, gone in a year."""
    os.umask(0o077)


@contextmanager
def assembled(pool_size: int = 4) -> Iterator[Assembly]:
    assembly = assemble(Config.from_env(os.environ), pool_size=pool_size)
    try:
        yield assembly
    finally:
        assembly.close()


def with_archive(command: F) -> F:
    """Passes the assembled archive as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with assembled() as assembly:
            return command(assembly, *args, **kwargs)

    return wrapped  # type: ignore[return-value]


def end_with(pid: int | None) -> None:
    """Asks the kernel to end this process when its parent ends, however that happens."""
    if pid is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != pid:
        sys.exit(0)


def say(text: str) -> None:
    """A line about what is being done, on standard error."""
    click.echo(f"… {text}", err=True)


def moment_of(text: str | None) -> datetime | None:
    """An RFC 3339 time as written on the command line; BadParameter where it is none."""
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise click.BadParameter("expected RFC 3339 date and time with offset") from None


def day_of(written: str) -> date:
    """A day as written on the command line, YYYY-MM-DD; BadParameter where it is none."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise click.BadParameter("expected a day, YYYY-MM-DD") from None


@contextmanager
def counting(label: str) -> Iterator[Callable[[int], None]]:
    """A counter on standard error for work of unknown length."""
    interactive = sys.stderr.isatty()

    def progress(n: int) -> None:
        if interactive and n % 20 == 0:
            click.echo(f"\r{label}: {n}", nl=False, err=True)

    yield progress
    if interactive:
        click.echo("\r", nl=False, err=True)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of long work on a terminal; its name elsewhere."""
    seen: list[str] = []
    interactive = sys.stderr.isatty()

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in seen:
            click.echo(("\n" if interactive and seen else "") + f"… {stage}", err=True)
            seen.append(stage)
        if interactive and (done % 20 == 0 or done == total):
            width = done * 40 // total if total else 0
            bar = f"[{'#' * width}{'.' * (40 - width)}] {done}/{total}" if total else f"{done}"
            click.echo(f"\r  {bar}", nl=False, err=True)

    yield progress
    if interactive:
        click.echo("", err=True)
