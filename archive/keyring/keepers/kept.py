"""A root key that somebody else keeps, and the port that its keeper fills.

Knows neither tokens nor servers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from archive import seal
from archive.errors import RootKeyUnusable, SealBroken
from archive.keyring.keyfiles import encode, publish

KIND = "root-reference"
_CHECK = b"contact-archive root check"


class NotOpened(Exception):
    """The keeper's key does not open these bytes in this context."""


class Keeper(Protocol):
    """Keeps root keys and uses them for us.

    Each verb raises RootKeyAway where the keeper does not answer and RootKeyUnusable where it
    answers that it has no such key, or may not be used.
    """

    name: str

    def make(self) -> dict[str, str]:
        """Makes a key that cannot be taken out; what finds it again, never a secret."""
        ...

    def encrypt(self, where: Mapping[str, str], ctx: bytes, secret: bytes) -> bytes:
        """`secret` under the key, bound to the context."""
        ...

    def decrypt(self, where: Mapping[str, str], ctx: bytes, wrapped: bytes) -> bytes:
        """The secret; NotOpened."""
        ...

    def destroy(self, where: Mapping[str, str]) -> None:
        """Destroys the key; also where it is gone already."""
        ...

    def describe(self) -> str:
        """Where it is, for an administrator; no secret."""
        ...

    def product(self) -> str:
        """Whose product it is, as far as it says so."""
        ...

    def renew(self) -> None:
        """Prolongs what lets us in, where that runs out."""
        ...

    def runs_out_s(self) -> int | None:
        """Seconds until what lets us in ends for good; None where it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """What a file of the keys directory says of a root key that is kept elsewhere."""

    provider: str
    id: str  # "<provider>-" and the name by which the keeper knows it
    where: Mapping[str, str]
    check: bytes  # known bytes under the key: they tell it from another one of its name
    made_at: datetime

    def write(self, path: Path) -> bool:
        """Writes the file, mode 0600; False where there is one of the name already."""
        fields = {
            "v": 1,
            "kind": KIND,
            "provider": self.provider,
            "id": self.id,
            "where": dict(self.where),
            "check": base64.b64encode(self.check).decode("ascii"),
            "made_at": self.made_at.isoformat(),
        }
        return publish(path, encode(fields))

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Reference:
        """The inverse; ValueError, KeyError or TypeError for anything else."""
        if fields["v"] != 1 or fields["kind"] != KIND:
            raise ValueError
        return cls(
            provider=str(fields["provider"]),
            id=str(fields["id"]),
            where={str(name): str(value) for name, value in fields["where"].items()},
            check=base64.b64decode(fields["check"], validate=True),
            made_at=datetime.fromisoformat(fields["made_at"]),
        )


class KeptRoot:
    """A root key with its keeper; see `archive.keyring.roots.RootKey`."""

    def __init__(self, reference: Reference, keeper: Keeper) -> None:
        self.reference = reference
        self.id = reference.id
        self.provider = reference.provider
        self.made_at: datetime | None = reference.made_at
        self._keeper = keeper

    def __repr__(self) -> str:
        return f"KeptRoot({self.id})"

    @classmethod
    def make(cls, keeper: Keeper, *, now: datetime) -> KeptRoot:
        """A fresh key with its keeper, tried before anybody relies on it."""
        where = keeper.make()
        id = f"{keeper.name}-{where['key'].rpartition('-')[2]}"
        check = keeper.encrypt(where, _check_context(id), _CHECK)
        root = cls(Reference(keeper.name, id, where, check, now), keeper)
        root.check()
        return root

    def wrap(self, ctx: bytes, secret: bytes) -> bytes:
        """`secret` sealed in this context. RootKeyUnusable where the key is not the one."""
        wrapped = self._keeper.encrypt(self.reference.where, ctx, secret)
        # A keeper may make a key of a name that it has lost, quietly. What that one wraps is
        # never written down.
        self.check()
        return wrapped

    def unwrap(self, ctx: bytes, wrapped: bytes) -> bytes:
        """The secret; SealBroken for other bytes, after the key itself was tried."""
        try:
            return self._keeper.decrypt(self.reference.where, ctx, wrapped)
        except NotOpened:
            self.check()  # another key, or none that may be used, is no damage of ours
            raise SealBroken(reason=seal.Broken.COMMITMENT) from None

    def check(self) -> None:
        """Whether the keeper has this very key and lets us use it. RootKeyUnusable."""
        where, ctx = self.reference.where, _check_context(self.id)
        try:
            if self._keeper.decrypt(where, ctx, self.reference.check) == _CHECK:
                return
        except NotOpened:
            pass
        raise RootKeyUnusable(
            reason=f"{self._keeper.describe()} has another key of the name {where['key']}, or "
            "does not let it be used"
        )

    def destroy(self) -> None:
        """Destroys the key at its keeper's."""
        self._keeper.destroy(self.reference.where)

    def describe(self) -> str:
        """See Keeper."""
        return self._keeper.describe()

    def product(self) -> str:
        """See Keeper."""
        return self._keeper.product()

    def runs_out_s(self) -> int | None:
        """Seconds until its keeper lets us in no more; None where that is not foreseen."""
        return self._keeper.runs_out_s()


def _check_context(id: str) -> bytes:
    return seal.context("root-check", id)
