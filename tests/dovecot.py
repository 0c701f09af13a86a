"""A real IMAP server of a test's own: Dovecot with a configuration, a port and mail of its own.

Runs as an ordinary user; as root its mail belongs to nobody. Its folders are removed at the end.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.running import free_port

USER, PASSWORD = "palvelu@yhtio.example", "salasana-testissä"


@dataclass
class Dovecot:
    """A running server, and what it runs on."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def client(self) -> IMAPClient:
        """Somebody who is logged in and may change everything."""
        client = IMAPClient("127.0.0.1", port=self.port, ssl=False)
        client.normalise_times = False
        client.sasl_login("PLAIN", lambda _: f"\0{USER}\0{PASSWORD}".encode())
        return client

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def start(self) -> None:
        self.process = _started(self.folder, self.port)


@contextmanager
def dovecot(chain: str = "", key: str = "") -> Iterator[Dovecot]:
    """A server that answers; with a certificate it also offers STARTTLS."""
    program = shutil.which("dovecot", path=os.environ["PATH"] + ":/usr/sbin")
    assert program is not None, "make test installs it: apt-get install dovecot-imapd"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if not version.stdout.startswith("2.3."):
        pytest.skip("this configuration is for Dovecot 2.3")
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    port = free_port()
    try:
        (folder / "dovecot.conf").write_text(_configuration(folder, port, chain, key), "utf-8")
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n", "utf-8")
        (folder / "users").chmod(0o644)  # for Dovecot's own user, whatever the umask is
        server = Dovecot(folder, port, _started(folder, port))
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, port: int) -> subprocess.Popen[bytes]:
    program = shutil.which("dovecot", path=os.environ["PATH"] + ":/usr/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-F", "-c", str(folder / "dovecot.conf")])
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        try:
            IMAPClient("127.0.0.1", port=port, ssl=False).shutdown()
            return process
        except OSError:
            time.sleep(0.05)
    log = folder / "log"
    raise AssertionError(log.read_text("utf-8") if log.exists() else "Dovecot does not start")


def _configuration(folder: Path, port: int, chain: str, key: str) -> str:
    me = pwd.getpwuid(os.geteuid()).pw_name
    owner = pwd.getpwnam("nobody") if me == "root" else pwd.getpwnam(me)
    mail = folder / "mail"
    mail.mkdir()
    folder.chmod(0o711)
    os.chown(mail, owner.pw_uid, owner.pw_gid)
    internal = "" if me == "root" else f"default_internal_user = {me}\ndefault_login_user = {me}\n"
    tls = f"ssl = yes\nssl_cert = <{chain}\nssl_key = <{key}\n" if chain else "ssl = no\n"
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
disable_plaintext_auth = no
{internal}{tls}
mail_location = maildir:{mail}/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={mail}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
