"""Certificates of expiry in the store, held against everything that knows of them.

The rules are in `proofs`; this brings them the objects, the public key and what is known of the
newest certificate: by the catalogue, the audit log, and the copies in backups.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from archive.backups import backup
from archive.db import transaction
from archive.erasure import journal, proofs
from archive.erasure.proofs import Bundle
from archive.keyring.keyfiles import make_private, write_durably
from archive.vault import Vault

PREFIX = proofs.CERTIFICATES
PUBLIC_KEY = "public-key.pem"


def verify_all(
    vault: Vault,
    engine: Engine,
    *,
    backups: Sequence[Path] = (),
    public: bytes | None = None,
    heads: Sequence[str] = (),
    bundle: Bundle | None = None,
) -> tuple[int, list[str]]:
    """Number of certificates in the store, and what is wrong with any of them or their order.

    `backups` are folders that may know of certificates that the store no longer has, `heads`
    digests that somebody noted; `public` another key than this archive's own; `bundle` what the
    store has, where it was read already.
    """
    bundle = bundle or collect(vault)
    own = public or public_key(vault)
    known = dict.fromkeys(heads, "your note")
    for folder in backups:
        known |= _known_to_backup(folder)
    with transaction(engine) as connection:
        known |= _known_to_catalogue(connection)
        wrong = proofs.problems(bundle, own, heads=known)
        wrong += _without_entry(connection, bundle)
    return len(bundle.certificates), wrong


def public_key(vault: Vault) -> bytes:
    """The key (32 bytes) that this archive's certificates and journal entries are checked by."""
    return proofs.public_of(vault.keys.ensure("installation/signing"))


def collect(vault: Vault) -> Bundle:
    """Every certificate, id list and journal entry of the store."""
    bundle = Bundle()
    for prefix in (PREFIX, journal.PREFIX):
        for each in vault.store.list(prefix):
            bundle.add(each.key, b"".join(vault.store.stream(each.key, version=each.version)))
    return bundle


def _known_to_catalogue(connection: Connection) -> dict[str, str]:
    """Digests of the certificates that rows and the audit log tell of."""
    told = connection.execute(
        text(
            "select detail->>'certificate' from audit_event "
            "where verb = 'expire' and detail ? 'certificate'"
        )
    ).scalars()
    known = dict.fromkeys(told, "the audit log")
    rows = connection.execute(
        text("select certificate from expiry_run where certificate is not null")
    ).scalars()
    return known | {proofs.certificate_digest(c): "the catalogue" for c in rows}


def _known_to_backup(folder: Path) -> dict[str, str]:
    copied = proofs.read_folder(folder / backup.OBJECTS).certificates.values()
    return {proofs.certificate_digest(c): "a backup" for c in copied if c is not None}


def _without_entry(connection: Connection, bundle: Bundle) -> list[str]:
    """Erasures that the catalogue knows to be in the journal, and the journal does not."""
    rows = connection.execute(text("select id from erasure where entry_at is not null")).scalars()
    entries = {name.rpartition("/")[2] for name in bundle.erasures}
    return [
        f"erasure of {id}: its journal entry is missing" for id in rows if str(id) not in entries
    ]


def stored(vault: Vault) -> Iterator[tuple[dict[str, Any], list[UUID]]]:
    """Certificates in the store whose signature and id list hold, oldest first, with their ids."""
    bundle, own = collect(vault), public_key(vault)
    for name, certificate in sorted(bundle.certificates.items(), key=_made_at):
        if certificate is None:
            continue
        if not list(proofs.certificate_problems(bundle, name, certificate, own)):
            yield certificate, bundle.lists[name] or []


def _made_at(item: tuple[str, Mapping[str, Any] | None]) -> str:
    return str((item[1] or {}).get("at"))


def export(vault: Vault, folder: Path) -> tuple[int, str | None]:
    """Copies what an outsider needs into a folder; how many certificates, and the newest's digest.

    The files are those of the store, byte for byte, and the public key beside them.
    """
    make_private(folder)
    bundle = Bundle()
    for prefix in (PREFIX, journal.PREFIX):
        for each in vault.store.list(prefix):
            content = b"".join(vault.store.stream(each.key, version=each.version))
            bundle.add(each.key, content)
            path = backup.object_path(folder, each.key)
            make_private(path.parent)
            path.unlink(missing_ok=True)
            write_durably(path, content)
    (folder / PUBLIC_KEY).write_text(proofs.pem(public_key(vault)), encoding="ascii")
    return len(bundle.certificates), proofs.head(bundle.certificates.values())


def replay_run(connection: Connection, certificate: Mapping[str, Any], ids: Sequence[UUID]) -> int:
    """Makes a catalogue of before the run know of it; how many recordings it still had."""
    run, at = UUID(certificate["run"]), certificate["at"]
    connection.execute(
        text("""insert into expiry_run (run, started_at, finished_at, certificate)
            values (:run, :at, :at, cast(:c as jsonb))
            on conflict (run) do update set finished_at = excluded.finished_at,
                certificate = excluded.certificate
            where expiry_run.certificate is null"""),
        {"run": run, "at": at, "c": json.dumps(certificate)},
    )
    connection.execute(
        text("""insert into expired (id, cohort, run, reason)
            select gone.id, coalesce(r.cohort, cast(:day as date)), :run, 'certificate'
            from unnest(cast(:ids as uuid[])) as gone (id)
            left join recording r on r.id = gone.id
            on conflict (id) do update set run = excluded.run"""),
        {"ids": list(ids), "run": run, "day": at[:10]},
    )
    for day in certificate["cohorts_closed"]:
        connection.execute(
            text("""insert into cohort (day, closed_at) values (:day, :at)
                on conflict (day) do update
                    set closed_at = coalesce(cohort.closed_at, excluded.closed_at)"""),
            {"day": day, "at": at},
        )
    return connection.execute(
        text("delete from recording where id = any(:ids)"), {"ids": list(ids)}
    ).rowcount
