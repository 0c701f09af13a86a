"""Root keys that this machine uses and never sees: in a PKCS#11 token, in Vault or OpenBao.

`Providers` makes, loads and destroys root keys wherever the settings say; a file of the keys
directory names each. Knows nothing of what they wrap.
"""

from __future__ import annotations

from archive.keyring.keepers.kept import KeptRoot
from archive.keyring.keepers.providers import Providers

__all__ = ["KeptRoot", "Providers"]
