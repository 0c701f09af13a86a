"""What `archive doctor` looks at: the installation, its dangers, and what to do about each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine, text

from archive import alertchannels, alerts, catalogue, surroundings, transcribing, transcriptions
from archive.archive import SYSTEM
from archive.assembly import Assembly, utc_now
from archive.backups import backup, destinations
from archive.casework import outgoing
from archive.config import Config
from archive.db import SERVICE_ROLE, is_ready, reading, transaction
from archive.erasure.expiry import database_now, last_finished
from archive.errors import ArchiveError
from archive.formats import pdf, transcriber
from archive.hosts import is_this_machine
from archive.keyring import keyreport, rootwatch
from archive.keyring.keybackup import KeyBackups
from archive.oidc.protocol import Flow
from archive.oidc.settings import provider_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: fine, worth knowing, or bad."""

    mark: str  # "ok", "note", "BAD"
    what: str
    advice: str = ""

    @property
    def bad(self) -> bool:
        """Whether something must be done."""
        return self.mark == "BAD"


def look(assembly: Assembly) -> list[Finding]:
    """Every finding; parts that are away are found, not raised."""
    findings = list(_parts(assembly))
    if not any(f.bad for f in findings):
        findings += [database_role(assembly.engine), *_work(assembly), *_mails(assembly)]
        findings += [*_alerts(assembly), *_object_lock(assembly), *_papers()]
        findings += _transcriber(assembly)
        findings += identity_provider(assembly.config)
    findings += transport(assembly.config)
    return [*findings, *_keys(assembly), *_backups(assembly), *_machine(assembly)]


def transport(config: Config) -> list[Finding]:
    """Whether what is said to the store, the catalogue and the backups is said by TLS."""
    found = []
    for name, url in (
        ("ARCHIVE_STORE_URL", config.store_url),
        ("ARCHIVE_BACKUP_URL", config.backup_url),
        ("ARCHIVE_DATABASE_URL", config.database_url),
        ("ARCHIVE_INDEX_URL", config.index_url),
    ):
        split = urlsplit(url)
        host = split.hostname or ""
        if not host or host.startswith("/") or is_this_machine(host):
            continue
        if split.scheme.startswith("postgres"):
            modes = parse_qs(split.query).get("sslmode", [])
            safe, wanted = modes == ["verify-full"], "?sslmode=verify-full"
        else:
            safe, wanted = split.scheme == "https", "https://"
        if safe:
            found.append(Finding("ok", f"{name}: by TLS to {host}"))
        else:
            # A name without a dot is one of a network of containers on one machine, as a rule.
            mark = "BAD" if "." in host or ":" in host else "note"
            advice = f"Give it {wanted}, unless that network is this machine's alone."
            found.append(Finding(mark, f"{name}: in the clear, or unchecked, to {host}", advice))
    return found


def identity_provider(config: Config) -> list[Finding]:
    """Whether people can log in where the settings send them; nothing where they name none."""
    try:
        provider = provider_of(config)
        if provider is None:
            return []
        Flow(provider, now=utc_now).check()
    except ArchiveError as error:
        advice = "Check ARCHIVE_OIDC_ISSUER and the provider; users with a password come in."
        return [Finding("BAD", error.message, advice)]
    return [Finding("ok", "identity provider answers, with its keys")]


def _parts(assembly: Assembly) -> Iterator[Finding]:
    if is_ready(assembly.engine):
        yield Finding("ok", "catalogue answers")
    else:
        yield Finding("BAD", "catalogue does not answer", "Start PostgreSQL, or `archive up`.")
    try:
        assembly.archive.store.check()
        yield Finding("ok", "object store answers")
    except ArchiveError as error:
        yield Finding("BAD", error.message, "Start the store; check ARCHIVE_STORE_*.")


def database_role(engine: Engine) -> Finding:
    """Whether the role that the service works as could change the audit log."""
    with reading(engine) as connection:
        role, may = connection.execute(
            text("select current_user, has_table_privilege('audit_event', 'update, delete')")
        ).one()
    if not may:
        return Finding("ok", f"the service works as {role}, which cannot change the audit log")
    return Finding(
        "note",
        f"the service works as {role}, which can change the audit log's table",
        f"Make a role {SERVICE_ROLE}, run `archive migrate` as the owner (see operations), and "
        "let ARCHIVE_DATABASE_URL name it.",
    )


def _work(assembly: Assembly) -> Iterator[Finding]:
    now = utc_now()
    with transaction(assembly.engine) as connection:
        lengths = catalogue.queue_lengths(connection)
        last = last_finished(connection)
        drift = abs(database_now(connection) - now)
    yield Finding(
        "ok" if not lengths["failed"] else "note",
        f"waiting: {lengths['describe']} to describe, {lengths['index']} to index; "
        f"{lengths['failed']} failed",
    )
    for source in assembly.archive.sources(SYSTEM, days=1):
        if source.silent:
            what = f"source {source.name} is silent, {source.usual} recordings an hour are usual"
            yield Finding("BAD", what, "Check the sending side; see `archive sources report`.")
    if last is None or now - last > timedelta(hours=26):
        yield Finding(
            "BAD", "the expiry run is overdue", "Run `archive worker` or `archive expire`."
        )
    else:
        yield Finding("ok", f"last expiry run {last:%Y-%m-%d %H:%M} UTC")
    if last is not None and last > now + timedelta(minutes=5):
        yield Finding(
            "BAD",
            "the clock is earlier than the last expiry run; nothing is erased until it is right",
            "Set the clock of this host.",
        )
    if drift > timedelta(minutes=2):
        yield Finding("BAD", f"clocks differ by {drift}", "Set the clock of host and database.")


def _mails(assembly: Assembly) -> Iterator[Finding]:
    try:
        server = outgoing.server_of(assembly.config)
    except ArchiveError as error:
        yield Finding("BAD", error.message, "Correct it; until then notices are not mailed.")
        return
    with transaction(assembly.engine) as connection:
        waiting, code = outgoing.waiting(connection)
    if server is None and not waiting:
        yield Finding(
            "note", "notices are on the pages alone", "Set ARCHIVE_SMTP_URL to mail them too."
        )
    elif waiting and code:
        yield Finding("BAD", f"{waiting} mails wait ({code})", "Look at ARCHIVE_SMTP_URL.")


def _papers() -> Iterator[Finding]:
    if not pdf.is_available():
        yield Finding(
            "note", "evidence packages are made without a PDF",
            f"apt-get install {pdf.LIBRARIES}",
        )  # fmt: skip


def _alerts(assembly: Assembly) -> Iterator[Finding]:
    try:
        channels = alertchannels.channels_of(assembly.config, now=utc_now)
    except ArchiveError as error:
        yield Finding("BAD", error.message, "Correct it; the worker does not start with it.")
        return
    with transaction(assembly.engine) as connection:
        waiting, code = alerts.waiting(connection)
        lasting = alerts.lasting(connection)
    for one in lasting:
        yield Finding("note", f"alert {one.name} of {one.of} since {one.began_at:%Y-%m-%d %H:%M}")
    if not channels:
        yield Finding(
            "note", "nobody is told of alerts", "Set ARCHIVE_ALERT_URL or ARCHIVE_ALERT_MAIL."
        )
    elif waiting and code:
        yield Finding("BAD", f"{waiting} messages of alerts wait ({code})", "archive alert test")


def _object_lock(assembly: Assembly) -> Iterator[Finding]:
    if not assembly.config.object_lock_days:
        return
    wrong = assembly.archive.store.probe_lock()
    if "bypassed" in wrong:
        yield Finding(
            "BAD",
            "the service's own credential deletes locked objects",
            "Take the right to bypass governance from ARCHIVE_STORE_ACCESS_KEY.",
        )
    if "kept" in wrong:
        yield Finding(
            "BAD",
            "the eraser's credential cannot delete locked objects: nothing is deleted at expiry",
            "Set ARCHIVE_STORE_ERASER_ACCESS_KEY, with the right to bypass governance.",
        )
    if not wrong:
        yield Finding("ok", "object lock holds, and the eraser's credential lifts it")


def _keys(assembly: Assembly) -> Iterator[Finding]:
    config = assembly.config
    if config.keys_dir.is_relative_to(config.home):
        yield Finding(
            "note",
            "the keys lie in the same folder as the data",
            "Set ARCHIVE_KEYS_DIR to another disk, so that no copy of the home carries its keys.",
        )
    mode = config.keys_dir.stat().st_mode & 0o077
    days = config.root_rotation_days
    for found in rootwatch.findings(assembly.archive.keys, days=days, now=utc_now()):
        yield Finding(*found)
    if mode:
        yield Finding("BAD", "others may read the keys directory", f"chmod 700 {config.keys_dir}")


def _backups(assembly: Assembly) -> Iterator[Finding]:
    config, now = assembly.config, utc_now()
    backups = KeyBackups(assembly.archive.keys, now=utc_now, keep_days=config.backup_days)
    found = keyreport.report(backups, days=config.root_rotation_days, now=now)
    if found["recovery_key"] is None:
        yield Finding(
            "note",
            "no recovery key: keys are not backed up, and lost with this disk",
            "Run `archive keys recovery-key FILE` and take FILE offline.",
        )
    if found["rotation_unfinished"]:
        yield Finding(
            "BAD", "a rotation of the root key broke off", "Run `archive keys rotate-root` again."
        )
    for one in found["backups"]:
        if one["overdue"]:
            yield Finding("BAD", f"key backup {one['path']} has outlived its days", "Destroy it.")
    if not config.backup_dir and not config.backup_url:
        yield Finding(
            "note",
            "no daily backup",
            "Set ARCHIVE_BACKUP_DIR to a folder elsewhere, or ARCHIVE_BACKUP_URL to a bucket.",
        )
        return
    try:
        found_there = [backup.newest(each) for each in destinations.configured(config)]
    except ArchiveError as error:
        yield Finding("BAD", error.message, "Check ARCHIVE_BACKUP_URL, its bucket and keys.")
        return
    for newest in found_there:
        if newest is None or now - newest.made_at > timedelta(hours=26):
            yield Finding("BAD", "the daily backup is overdue", "See the worker's log.")
        else:
            yield Finding("ok", f"last backup {newest.made_at:%Y-%m-%d %H:%M} UTC")


def _transcriber(assembly: Assembly) -> Iterator[Finding]:
    by = transcribing.chosen(assembly.config)
    if by is None:
        return
    try:
        transcriber.require(by)
    except ArchiveError as error:
        yield Finding("BAD", error.message, "The worker does not start until it is right.")
        return
    with reading(assembly.engine) as connection:
        counts = transcriptions.counts(connection)
    yield Finding(
        "ok",
        f"transcriber {by.name}: {counts['done']} calls heard, {counts['due']} to hear, "
        f"{counts['failed']} failed",
    )
    if by.name in {each.name for each in transcriber.BUILT_IN}:
        yield Finding(
            "note",
            f"{by.name} has not been verified with a model by its makers here",
            "Read some transcripts beside their calls before you rely on them.",
        )


def _machine(assembly: Assembly) -> Iterator[Finding]:
    if shutil.which("ffmpeg") is None:
        yield Finding("ok", "ffmpeg: the bundled one")
    for found in surroundings.findings():
        yield Finding(*found)
    free = shutil.disk_usage(assembly.config.home).free if assembly.config.home.exists() else 0
    if free and free < 5 * 1024**3:
        yield Finding("BAD", f"only {free // 1024**2} MiB free", "Make room before intake stops.")
    if not assembly.config.secure_cookies:
        yield Finding(
            "note",
            "cookies are not marked Secure",
            "Put TLS in front and set ARCHIVE_SECURE_COOKIES=1.",
        )
    if os.environ.get("ARCHIVE_STORE_URL", "") == "":
        yield Finding(
            "note",
            "embedded store on one disk",
            "An acknowledged recording survives a crash and a power cut, not the loss of the "
            "disk; see docs/operations.md.",
        )
