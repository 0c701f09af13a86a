"""Writes tests/vectors/keys/backup-2.json. Run once for each version of the format, never again.

The random parts (content key, HPKE share, salts) are fresh at each run, so that a vector is
what a real program wrote; private key, root key and keys are fixed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from archive.keyring.recovery import (
    Contents,
    Header,
    PrivateKey,
    PublicKey,
    X25519PrivateKey,
    sealed,
)
from archive.keyring.roots import FileRootKey

FILE = Path(__file__).parent / "keys" / "backup-2.json"


def main() -> None:
    """Writes the file unless it is there."""
    key = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    private = PrivateKey(PublicKey.of(key.public_key()), key)
    root = FileRootKey(bytes(range(32, 64)))
    keys = {"cohort/2027-11-24": bytes(range(64, 96)), "installation/reference": bytes(32)}
    made = datetime(2026, 11, 24, 12, tzinfo=UTC)
    header = Header(
        id=UUID("0b0f6a3e-5d0c-4c3f-9a51-2f6d1e6f8a01"),
        kind="keys",
        made_at=made,
        until=made + timedelta(days=35),
        recovery=private.public.id,
        root=root.id,
        names=tuple(sorted(keys)),
    )
    contents = Contents(keys, ("cohort/2026-11-23",))
    vector = {
        "private": bytes(range(32)).hex(),
        "recovery": private.public.id,
        "root": root.for_recovery().hex(),
        "keys": {name: secret.hex() for name, secret in keys.items()},
        "destroyed": list(contents.destroyed),
        "backup": sealed(header, contents, to=private.public, root=root).hex(),
    }
    if not FILE.exists():
        FILE.write_text(json.dumps(vector, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
