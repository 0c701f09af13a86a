"""The settings: read from the environment once, validated, documented in one place.

Knows nothing of what the settings are used for. A misspelt ARCHIVE_* stops the start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from archive.errors import BadSetting

PREFIX = "ARCHIVE_"
ROOT_PROVIDERS = ("file", "pkcs11", "transit")


def _text(raw: str) -> str:
    return raw


def _positive(raw: str) -> int:
    value = int(raw)
    if value <= 0:
        raise ValueError("expected a number above zero")
    return value


def _not_negative(raw: str) -> int:
    value = int(raw)
    if value < 0:
        raise ValueError("expected zero or more")
    return value


def _year_at_most(raw: str) -> int:
    value = _positive(raw)
    if value > 365:
        raise ValueError("expected at most 365")
    return value


def _yes(raw: str) -> bool:
    if raw.lower() in {"1", "yes", "true", "on"}:
        return True
    if raw.lower() in {"0", "no", "false", "off", ""}:
        return False
    raise ValueError("expected 1 or 0")


def _provider(raw: str) -> str:
    if raw not in ROOT_PROVIDERS:
        raise ValueError("expected one of " + ", ".join(ROOT_PROVIDERS))
    return raw


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word for word in raw.replace(",", " ").split() if word)


def _days_of_groups(raw: str) -> tuple[tuple[str, int], ...]:
    found = []
    for word in _words(raw):
        name, _, days = word.partition("=")
        if not days.isdecimal() or int(days) == 0:
            raise ValueError("expected GROUP=DAYS, as in customer-service=90")
        found.append((name, int(days)))
    return tuple(found)


def _database(url: str) -> tuple[str, ...]:
    """Server and name of a database, without who logs in."""
    parts = urlsplit(url)
    return (parts.netloc.rpartition("@")[2], parts.path, parts.query)


def setting(
    default: Any, meaning: str, parse: Callable[[str], Any], *, secret: bool = False
) -> Any:
    """A field read from ARCHIVE_<NAME>; a secret also from the file in ARCHIVE_<NAME>_FILE."""
    return dataclass_field(
        default=default, metadata={"meaning": meaning, "parse": parse, "secret": secret}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting. `archive config` and docs/settings.md are made from these lines."""

    home: Path = setting(None, "folder of the embedded parts' data, mode 0700", Path)
    keys_dir: Path = setting(None, "folder of the keys; outside the home in production", Path)
    database_url: str = setting(
        "", "PostgreSQL, postgresql://…; empty: the running embedded one", _text, secret=True
    )
    database_owner_url: str = setting(
        "",
        "the same database as the role that owns its tables: for `archive migrate`, `restore` and "
        "`rebuild-catalogue` alone; empty: ARCHIVE_DATABASE_URL is the owner's",
        _text,
        secret=True,
    )
    store_url: str = setting(
        "", "S3 bucket, http(s)://host:port/bucket?region=eu-north-1; empty: embedded", _text
    )
    store_access_key: str = setting("", "S3 access key", _text, secret=True)
    store_secret_key: str = setting("", "S3 secret key", _text, secret=True)
    object_lock_days: int = setting(
        0, "object lock: days for which the store keeps new objects; 0: none", _not_negative
    )
    store_eraser_access_key: str = setting(
        "", "S3 access key that may delete locked objects; embedded: its own", _text, secret=True
    )
    store_eraser_secret_key: str = setting(
        "", "S3 secret key that may delete locked objects", _text, secret=True
    )
    erase_per_s: int = setting(
        0, "objects that the nightly run deletes a second, at most; 0: no limit", _not_negative
    )
    listen: str = setting("127.0.0.1", "address the web service listens on", _text)
    port: int = setting(8080, "port of the web service", _positive)
    web_workers: int = setting(2, "web worker processes", _positive)
    web_threads: int = setting(32, "threads of each web worker process", _positive)
    web_receiving: int = setting(
        0,
        "deliveries over HTTP that each web worker process stores at once; some more wait for a "
        "second, the rest is told 429 and comes again; 0: three quarters of its threads",
        _not_negative,
    )
    max_bytes: int = setting(4 * 1024**3, "largest recording accepted, bytes", _positive)
    memory_files_mb: int = setting(
        512, "sum of memory files for decoding; larger calls are piped, MiB", _positive
    )
    describe_seconds: int = setting(
        900, "wall-clock limit of decoding one call, seconds", _positive
    )
    mail_seconds: int = setting(20, "wall-clock limit of parsing one email, seconds", _positive)
    transcriber: str = setting(
        "",
        "which transcriber writes down what is said in calls: an entry point of "
        "`archive.transcribers`, or faster-whisper; empty: none does",
        _text,
    )
    transcriber_model: Path | None = setting(
        None, "folder of the transcriber's local model; nothing is ever downloaded", Path
    )
    transcriber_seconds: int = setting(
        3600, "wall-clock limit of transcribing one call, seconds", _positive
    )
    transcriber_memory_mb: int = setting(
        8192, "address space of the transcriber's process, MiB", _positive
    )
    key_cache_s: int = setting(
        5, "how long an unwrapped key may stay in memory, seconds, at most 60", _not_negative
    )
    index_memory_mb: int = setting(
        1024, "memory for opened index months, MiB, of each process", _positive
    )
    index_url: str = setting(
        "",
        "search index in PostgreSQL: postgresql://… of a database of its own, or postgresql: for "
        "one beside the catalogue; empty: Whoosh, in the home",
        _text,
        secret=True,
    )
    synonyms_file: str = setting(
        "", "words that stand for each other in searches; adds to the list built in", _text
    )
    secure_cookies: bool = setting(
        False, "1 where the service stands behind TLS: cookies get __Host- and Secure", _yes
    )
    hold_release_four_eyes: bool = setting(
        False, "1: a hold is released only when a second person confirms it", _yes
    )
    erase_four_eyes: bool = setting(
        False, "1: a recording is erased early only when a second person confirms it", _yes
    )
    hold_grace_days: int = setting(
        7, "days between the release of a hold and the erasure of what it kept", _not_negative
    )
    smtp_port: int = setting(
        0,
        "port that `archive receive-mail` listens on; 0: `archive up` does not start it",
        _not_negative,
    )
    smtp_listen: str = setting("127.0.0.1", "address that `archive receive-mail` listens on", _text)
    smtp_hostname: str = setting("", "name it greets with; empty: this machine's", _text)
    smtp_source: str = setting("smtp", "name of the source that its recordings come from", _text)
    smtp_clients: tuple[str, ...] = setting(
        (), "addresses and networks of mail servers that may deliver; nobody else may", _words
    )
    smtp_mailboxes: tuple[str, ...] = setting(
        (), "addresses of the mailboxes that may be archived; no others are", _words
    )
    smtp_journal: tuple[str, ...] = setting(
        (), "addresses that journal reports and always_bcc copies are sent to", _words
    )
    smtp_max_bytes: int = setting(
        150 * 1024 * 1024, "largest message accepted over SMTP, bytes", _positive
    )
    smtp_connections: int = setting(64, "SMTP connections at once; more are told 421", _positive)
    smtp_receiving: int = setting(
        8, "messages taken over SMTP at once; more wait, then are told 451", _positive
    )
    smtp_tls_cert: str = setting("", "file of the certificate chain (PEM) for STARTTLS", _text)
    smtp_tls_key: str = setting("", "file of its private key (PEM)", _text)
    smtp_require_tls: bool = setting(
        True, "0: also mail servers on other machines may deliver without TLS", _yes
    )
    imap_accounts: str = setting(
        "", "file (TOML) of the mailboxes that `archive fetch-mail` reads; empty: none", _text
    )
    group_days: tuple[tuple[str, int], ...] = setting(
        (),
        "how far back people of a group see, days since the contact: GROUP=DAYS …; empty: the year",
        _days_of_groups,
    )
    second_factor_groups: tuple[str, ...] = setting(
        (), "groups whose people must have a second factor (a code of an app)", _words
    )
    oidc_issuer: str = setting(
        "",
        "identity provider (OpenID Connect) that people may log in at, https://…; empty: none",
        _text,
    )
    oidc_client_id: str = setting("", "id of the archive as a client of that provider", _text)
    oidc_client_secret: str = setting(
        "", "secret of this client, 16 characters or more", _text, secret=True
    )
    oidc_groups: tuple[str, ...] = setting(
        (),
        "which group a value of the claim stands for: CLAIM-VALUE=GROUP …; the first that fits "
        "decides, who has none does not come in",
        _words,
    )
    oidc_groups_claim: str = setting(
        "groups", "claim of the id token that holds these values", _text
    )
    oidc_name_claim: str = setting(
        "preferred_username", "claim of the id token that gives a new user's name", _text
    )
    oidc_scopes: tuple[str, ...] = setting(
        ("openid", "profile"), "scopes that are asked for", _words
    )
    oidc_second_factor: tuple[str, ...] = setting(
        (),
        "values of the claims acr or amr that count as a second factor, as in mfa; empty: the "
        "provider's word is none",
        _words,
    )
    break_glass: tuple[str, ...] = setting(
        (),
        "groups whose people may open one recording beyond their rights in an emergency, told to "
        "data protection at once: of customer-service, complaints, quality-lead, admin",
        _words,
    )
    case_days: int = setting(
        1095,
        "days after the closing of a complaint case until its key is destroyed, with subject, "
        "customer and notes",
        _positive,
    )
    vcon_hosts: tuple[str, ...] = setting(
        (),
        "hosts in the EU/EEA from which content of vCons is fetched over https: "
        "host[:port][=network], the network where its address is not a public one",
        _words,
    )
    evidence_days: int = setting(
        14, "days that an evidence package of a complaint case is kept, at most 365", _year_at_most
    )
    smtp_url: str = setting(
        "",
        "server that takes mails to the archive's people, smtp(s)://user:password@host:port; "
        "empty: notices on the pages alone",
        _text,
        secret=True,
    )
    mail_from: str = setting("", "address that these mails come from", _text)
    public_url: str = setting(
        "", "address of the pages as people reach them, for links in mails", _text
    )
    alert_url: str = setting(
        "", "webhook (https) that is told of what somebody should know at once; empty: none", _text
    )
    alert_secret: str = setting(
        "", "secret that these messages are signed with, 16 characters or more", _text, secret=True
    )
    alert_mail: tuple[str, ...] = setting(
        (), "addresses that are mailed the same; needs ARCHIVE_SMTP_URL", _words
    )
    metrics_allow: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"), "addresses that may read /metrics", _words
    )
    trusted_proxies: int = setting(
        0, "number of reverse proxies whose X-Forwarded-For is believed", _not_negative
    )
    eu_hosts: tuple[str, ...] = setting(
        (), "hosts outside this machine that the service may talk to, all in the EU/EEA", _words
    )
    customer_pattern: str = setting(
        r"[0-9A-Za-z-]{3,20}", "what a customer number looks like (regular expression)", _text
    )
    backup_dir: str = setting(
        "", "folder that the worker backs up to every day; empty: it does not", _text
    )
    backup_url: str = setting(
        "", "S3 bucket for the daily backup, http(s)://host:port/bucket?region=…", _text
    )
    backup_access_key: str = setting("", "S3 access key of that bucket", _text, secret=True)
    backup_secret_key: str = setting("", "S3 secret key of that bucket", _text, secret=True)
    backup_days: int = setting(
        35, "how long dumps and key backups are kept, days, at most 35", _positive
    )
    retention: tuple[str, ...] = setting(
        (),
        "periods shorter than a year: line:NAME=DAYS, kind:call=DAYS or kind:email=DAYS; a line's "
        "goes first; see `archive retention preview`",
        _words,
    )
    root_provider: str = setting(
        "file",
        "where the next root key is made: file, pkcs11 (a token), transit (Vault or OpenBao)",
        _provider,
    )
    root_rotation_days: int = setting(
        365,
        "age at which the worker replaces the root key by itself, days; 0: never",
        _not_negative,
    )
    pkcs11_module: str = setting("", "PKCS#11 library of the token, path of the .so", _text)
    pkcs11_token: str = setting("", "label of the token in which root keys are made", _text)
    pkcs11_pin: str = setting("", "the token's user PIN", _text, secret=True)
    vault_url: str = setting(
        "", "Vault or OpenBao, https://host:port; http only on this machine", _text
    )
    vault_token: str = setting(
        "", "token for the transit engine; the worker renews it", _text, secret=True
    )
    vault_mount: str = setting("transit", "where the transit engine is mounted", _text)
    vault_namespace: str = setting("", "namespace of Vault or OpenBao; empty: none", _text)
    vault_ca: str = setting("", "file of the authorities that sign Vault's certificate", _text)
    default_language: str = setting("fi", "language of the pages before a choice: fi or en", _text)
    corpus: str = setting("../shared/corpus", "folder that `make corpus` reads", _text)

    @property
    def owner_url(self) -> str:
        """The catalogue's database as the role that owns its tables.

        BadSetting where it is another database than the service's.
        """
        owner = self.database_owner_url or self.database_url
        if _database(owner) != _database(self.database_url):
            raise BadSetting(
                name="ARCHIVE_DATABASE_OWNER_URL",
                reason="expected the database of ARCHIVE_DATABASE_URL, as another role",
            )
        return owner

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Config:
        """The settings in `environ`; raises BadSetting naming an unknown or unusable one."""
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, raw in environ.items():
            if not name.startswith(PREFIX):
                continue
            if name.endswith("_FILE") and known.get(name[:-5]) is not None:
                field_ = known[name[:-5]]
                if not field_.metadata["secret"]:
                    raise BadSetting(name=name, reason="only secrets are read from files")
                try:
                    raw = Path(raw).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise BadSetting(
                        name=name, reason=f"file not readable ({error.strerror})"
                    ) from None
            elif name in known:
                field_ = known[name]
            else:
                near = _nearest(name, known)
                hint = f"; did you mean {near}?" if near else ""
                raise BadSetting(name=name, reason="there is no such setting" + hint)
            try:
                values[field_.name] = field_.metadata["parse"](raw)
            except ValueError as error:
                raise BadSetting(name=name, reason=str(error)) from None
        home = values.get("home") or default_home()
        values["home"] = Path(home).expanduser().absolute()
        values["keys_dir"] = Path(values.get("keys_dir") or values["home"] / "keys").absolute()
        if values.get("key_cache_s", 0) > 60:
            raise BadSetting(name=PREFIX + "KEY_CACHE_S", reason="expected at most 60")
        if values.get("backup_days", 0) > 35:
            raise BadSetting(name=PREFIX + "BACKUP_DAYS", reason="expected at most 35")
        return cls(**values)


def default_home() -> Path:
    """/var/lib/contact-archive for root, else ~/.local/share/contact-archive."""
    if os.geteuid() == 0:
        return Path("/var/lib/contact-archive")
    return Path.home() / ".local" / "share" / "contact-archive"


def running_parts(home: Path) -> dict[str, Any]:
    """What a running `archive up` wrote of its parts to `home`/run/parts.json; {} if none."""
    try:
        loaded = json.loads((home / "run" / "parts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def describe_settings() -> list[dict[str, Any]]:
    """Name, meaning, default and secrecy of each setting, for `archive config` and the docs."""
    return [
        {
            "name": PREFIX + f.name.upper(),
            "meaning": f.metadata["meaning"],
            "default": f.default,
            "secret": f.metadata["secret"],
        }
        for f in fields(Config)
    ]


def _nearest(name: str, known: Mapping[str, Any]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else None
