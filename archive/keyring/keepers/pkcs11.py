"""Root keys in a PKCS#11 token: AES-256 keys that never leave it, used with AES-GCM.

    wrapped = nonce (12) || AES-256-GCM ciphertext || tag (16), the context as additional data

Knows sessions, tokens and their failures; nothing of the keys directory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from archive.errors import RootKeyAway, RootKeyUnusable
from archive.keyring.keepers.kept import NotOpened

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
    from pkcs11 import exceptions as said
except ImportError:
    raise RootKeyUnusable(
        reason="python-pkcs11 is not installed. Run: pip install 'python-pkcs11>=0.10'"
    ) from None

T = TypeVar("T")
_NONCE, _TAG_BITS = 12, 128
_LABEL = "contact-archive root"
_PIN = (said.PinIncorrect, said.PinInvalid, said.PinLenRange, said.PinLocked, said.PinExpired)
_NOT_OPENED = (
    said.GeneralError,  # SoftHSM says no more of a wrong tag than this
    said.EncryptedDataInvalid,
    said.EncryptedDataLenRange,
    said.FunctionFailed,
)


class Pkcs11Keeper:
    """One token, by its label; every process logs in once and keeps its session."""

    name = "pkcs11"

    def __init__(self, *, module: str, token: str, pin: str) -> None:
        self._module = _Module.at(module)
        self._token = token
        self._pin = pin

    def make(self) -> dict[str, str]:
        """See Keeper: an AES-256 key, sensitive and never extractable."""
        id = os.urandom(8)

        def generate(session: Any) -> None:
            session.generate_key(
                KeyType.AES,
                256,
                id=id,
                label=_LABEL,
                store=True,
                capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
                template={
                    Attribute.PRIVATE: True,
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                },
            )

        self._use(self._token, generate)
        return {"token": self._token, "key": id.hex()}

    def encrypt(self, where: Mapping[str, str], ctx: bytes, secret: bytes) -> bytes:
        """See Keeper."""
        nonce = os.urandom(_NONCE)

        def encrypt(session: Any) -> bytes:
            return bytes(_key(session, where).encrypt(secret, **_gcm(nonce, ctx)))

        return nonce + self._use(where["token"], encrypt)

    def decrypt(self, where: Mapping[str, str], ctx: bytes, wrapped: bytes) -> bytes:
        """See Keeper."""
        nonce, sealed = wrapped[:_NONCE], wrapped[_NONCE:]
        if len(sealed) < _TAG_BITS // 8:
            raise NotOpened

        def decrypt(session: Any) -> bytes:
            return bytes(_key(session, where).decrypt(sealed, **_gcm(nonce, ctx)))

        try:
            return self._use(where["token"], decrypt)
        except _Failed:
            raise NotOpened from None

    def destroy(self, where: Mapping[str, str]) -> None:
        """See Keeper."""

        def destroy(session: Any) -> None:
            for key in session.get_objects({Attribute.ID: bytes.fromhex(where["key"])}):
                key.destroy()

        self._use(where["token"], destroy)

    def describe(self) -> str:
        """See Keeper."""
        return f"token {self._token}"

    def product(self) -> str:
        """See Keeper."""
        return self._module.product()

    def renew(self) -> None:
        """A PIN does not run out."""

    def runs_out_s(self) -> int | None:
        """Never."""
        return None

    def _use(self, token: str, action: Callable[[Any], T]) -> T:
        """The action in a session of the token; once more in a fresh one where it was lost."""
        with self._module.alone() as module:
            for is_last in (False, True):
                try:
                    return action(module.session(token, self._pin))
                except said.PKCS11Error as error:
                    # Unplugged, restarted or its session lost: from the beginning, once.
                    module.forget()
                    if is_last and isinstance(error, said.NoSuchKey):
                        raise RootKeyUnusable(reason=f"token {token} has no such key") from None
                    if is_last and isinstance(error, _NOT_OPENED):
                        raise _Failed() from None
                    if is_last:
                        reason = f"token {token} is away ({type(error).__name__})"
                        raise RootKeyAway(reason=reason) from None
            raise AssertionError("unreachable")


class _Failed(RootKeyUnusable):
    """The root key cannot be used: the token says that the operation failed."""


class _Module:
    """A PKCS#11 library in this process, and its sessions. A child of a fork begins anew."""

    _known: dict[str, _Module] = {}  # noqa: RUF012 - a library is loaded once in a process

    def __init__(self, path: str) -> None:
        self.path = path
        self._lib: Any = None
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._is_begun = False
        self._sessions: dict[str, Any] = {}
        self._refused: set[tuple[str, str]] = set()

    @classmethod
    def at(cls, path: str) -> _Module:
        return cls._known.setdefault(path, cls(path))

    @contextmanager
    def alone(self) -> Iterator[_Module]:
        if self._pid != os.getpid():
            self._reset()  # after a fork: neither lock nor sessions of the parent
        with self._lock:
            yield self

    def session(self, token: str, pin: str) -> Any:
        if not self._is_begun:
            self._begin()
        if token not in self._sessions:
            # A token locks itself after a few wrong PINs: a wrong one is tried once a process.
            if (token, pin) not in self._refused:
                try:
                    found = self._lib.get_token(token_label=token)
                    self._sessions[token] = found.open(rw=True, user_pin=pin)
                except _PIN:
                    self._refused.add((token, pin))
            if (token, pin) in self._refused:
                raise RootKeyUnusable(reason=f"token {token} refuses the PIN (ARCHIVE_PKCS11_PIN)")
        return self._sessions[token]

    def _begin(self) -> None:
        try:
            if self._lib is None:
                self._lib = pkcs11.lib(self.path)
            else:
                self._lib.reinitialize()
        except Exception as error:  # the loader's own words, whatever their kind
            if isinstance(error, said.PKCS11Error) and self._lib is not None:
                raise
            raise RootKeyUnusable(
                reason=f"{self.path} is not a PKCS#11 library ({type(error).__name__})"
            ) from None
        self._is_begun = True

    def forget(self) -> None:
        """Every session; the library is told to look for its tokens anew."""
        self._sessions.clear()
        self._is_begun = False

    def product(self) -> str:
        if self._lib is None:
            return "PKCS#11"
        return f"{self._lib.library_description} {self._lib.manufacturer_id}".strip()


def _key(session: Any, where: Mapping[str, str]) -> Any:
    return session.get_key(
        object_class=ObjectClass.SECRET_KEY,
        key_type=KeyType.AES,
        id=bytes.fromhex(where["key"]),
    )


def _gcm(nonce: bytes, ctx: bytes) -> dict[str, Any]:
    return {
        "mechanism": Mechanism.AES_GCM,
        "mechanism_param": pkcs11.GCMParams(nonce, ctx, _TAG_BITS),
    }
