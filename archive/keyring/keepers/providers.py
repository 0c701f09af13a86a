"""Which root keys the settings mean: makes them, reads what their files say, destroys them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from archive.config import Config
from archive.errors import BadSetting, RootKeyUnusable
from archive.keyring.keepers.kept import KIND, Keeper, KeptRoot, Reference
from archive.keyring.keyfiles import overwrite_and_unlink
from archive.keyring.roots import FileRootKey, RootKey, read_fields

# What the tests of this version were run against; anything else is unverified.
VERIFIED = {
    "file": "",
    "pkcs11": "SoftHSM",
    "transit": "OpenBao",
}


class Providers:
    """The root keys of one installation, wherever they are kept."""

    def __init__(
        self, config: Config, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._config = config
        self._now = now
        self._keepers: dict[str, Keeper] = {}

    @property
    def wanted(self) -> str:
        """Where the next root key is made."""
        return self._config.root_provider

    def create(self, path: Path) -> RootKey:
        """A fresh root key where the settings want it, and its file. RootKeyUnusable.

        A crash before the file is there leaves at most a key with the keeper that wraps nothing.
        """
        if self.wanted == FileRootKey.provider:
            return FileRootKey.create(path, self._now())
        root = KeptRoot.make(self._keeper(self.wanted), now=self._now())
        if not root.reference.write(path):
            root.destroy()
            raise RootKeyUnusable(reason=f"{path} exists already and is not written over")
        return root

    def load(self, path: Path) -> RootKey:
        """The root key that the file holds or names; see `archive.keyring.roots.RootLoader`."""
        try:
            fields = read_fields(path)
            if fields.get("kind") != KIND:
                return FileRootKey.load(path)
            reference = Reference.of(fields)
            return KeptRoot(reference, self._keeper(reference.provider))
        except (ValueError, KeyError, TypeError):
            raise RootKeyUnusable(reason=f"{path} is damaged or not a root key") from None

    def destroy(self, path: Path, *, lost: bool = False) -> None:
        """Destroys the root key that the file holds or names, then the file; idempotent.

        With `lost`, a keeper that cannot be asked to, or will not, is let off.
        """
        try:
            root = self.load(path) if path.exists() else None
            if isinstance(root, KeptRoot):
                root.destroy()
        except (RootKeyUnusable, BadSetting):
            if not lost:
                raise
        # A crash here leaves a file that names a key which is no more; the next call removes it.
        overwrite_and_unlink(path)

    def keep_alive(self) -> None:
        """Has what is used of the keepers prolonged, where that runs out."""
        for keeper in self._keepers.values():
            keeper.renew()

    def _keeper(self, name: str) -> Keeper:
        if name not in self._keepers:
            self._keepers[name] = self._opened(name)
        return self._keepers[name]

    def _opened(self, name: str) -> Keeper:
        config = self._config
        # Imported where they are used: both are optional parts of the installation.
        if name == "pkcs11":
            _require(config, "pkcs11_module", "pkcs11_token", "pkcs11_pin")
            from archive.keyring.keepers.pkcs11 import Pkcs11Keeper

            return Pkcs11Keeper(
                module=config.pkcs11_module, token=config.pkcs11_token, pin=config.pkcs11_pin
            )
        if name == "transit":
            _require(config, "vault_url", "vault_token")
            from archive.keyring.keepers.transit import TransitKeeper, place_of

            return TransitKeeper(place_of(config))
        raise RootKeyUnusable(reason=f"this version knows no place {name!s:.20} for root keys")


def _require(config: Config, *names: str) -> None:
    for name in names:
        if not getattr(config, name):
            raise BadSetting(
                name=f"ARCHIVE_{name.upper()}", reason="is needed where the root key is kept"
            )
